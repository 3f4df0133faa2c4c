//! Backups of real folders into real repositories, and what becomes of damage.
#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use pw_backup::make::{Order, Program, make};
use pw_backup::manifest::{Database, Manifest};
use pw_backup::take::Taking;
use pw_backup::{Repository, retain};
use pw_plan::step::{BackupRun, DatabasePlace, FolderPlace, Kept, RepositoryPlace};
use pw_run::Failure;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        fs::write(place.path("key"), "the key of a test").expect("a key");
        fs::create_dir_all(place.path("vault/deep/er")).expect("folders");
        fs::write(place.path("vault/one"), "1").expect("a file");
        fs::write(place.path("vault/empty"), "").expect("a file");
        fs::write(place.path("vault/deep/er/big"), noise(3_000_000)).expect("a file");
        symlink("../one", place.path("vault/deep/link")).expect("a link");
        fs::set_permissions(place.path("vault/one"), fs::Permissions::from_mode(0o640)).expect("rights");
        fs::set_permissions(place.path("vault"), fs::Permissions::from_mode(0o1750)).expect("rights");
        fs::set_permissions(place.path("vault/deep"), fs::Permissions::from_mode(0o1755)).expect("rights");
        fs::write(place.path("compose.yaml"), "services: {}").expect("a file");
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn text(&self, below: &str) -> String {
        self.path(below).display().to_string()
    }

    fn repository(&self) -> Repository {
        Repository::new(RepositoryPlace {
            path: self.text("repository"),
            key: self.text("key"),
            lock: self.text("lock"),
            id: None,
        })
    }

    fn run(&self, name: &str) -> BackupRun {
        let place = DatabasePlace {
            project: "shop-production".into(),
            service: "db".into(),
            name: "shop".into(),
            user: "shop".into(),
            password: None,
        };
        let vault =
            FolderPlace { volume: None, path: self.text("vault"), mounted: vec!["web:/vault".into()] };
        BackupRun {
            repository: RepositoryPlace {
                path: self.text("repository"),
                key: self.text("key"),
                lock: self.text("lock"),
                id: None,
            },
            name: name.into(),
            project: "shop".into(),
            environment: "production".into(),
            databases: BTreeMap::from([("main".into(), place)]),
            folders: BTreeMap::from([("vault".into(), vault)]),
            files: BTreeMap::from([("compose.yaml".into(), self.text("compose.yaml"))]),
            release: BTreeMap::new(),
            bases: BTreeMap::new(),
        }
    }

    fn make(&self, name: &str, dump: &str) -> Result<Manifest, Failure> {
        self.make_told(name, dump, &|_| {})
    }

    fn make_told(&self, name: &str, dump: &str, tell: &(dyn Fn(u64) + Sync)) -> Result<Manifest, Failure> {
        let run = self.run(name);
        self.repository().make().expect("a repository");
        let words = ["sh", "-c", dump].map(str::to_owned).to_vec();
        make(Order {
            run: &run,
            bases: BTreeMap::new(),
            dumps: BTreeMap::from([("main".into(), Program { words, variables: Vec::new(), needs: None })]),
            roles: BTreeMap::from([("main".into(), serde_json::json!({"owner": "shop"}))]),
            manifest: empty(name),
            stop: Arc::default(),
            tell,
        })
    }

    fn names(&self) -> Vec<String> {
        self.repository().list().expect("a list").into_iter().map(|one| one.name).collect()
    }
}

fn empty(name: &str) -> Manifest {
    Manifest {
        version: 1,
        name: name.into(),
        project: "shop".into(),
        environment: "production".into(),
        at: jiff::Timestamp::UNIX_EPOCH,
        by: "test".into(),
        release: BTreeMap::new(),
        databases: BTreeMap::from([("main".into(), Database::default())]),
        folders: BTreeMap::new(),
        bases: BTreeMap::new(),
        files: BTreeMap::new(),
        vanished: Vec::new(),
    }
}

fn noise(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn chain(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut next = std::error::Error::source(failure);
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}

fn listing(folder: &Path) -> String {
    let words =
        "find . -printf '%P %y %m %U:%G %l\\n' | sort; find . -type f -exec sha256sum {} + | sort -k2";
    let told = Command::new("sh").args(["-c", words]).current_dir(folder).output().expect("a listing");
    String::from_utf8_lossy(&told.stdout).into_owned()
}

#[test]
fn only_the_files_that_are_named_come_back() {
    let place = Place::new();
    place.make("20260101-000000", "echo a dump").expect("a backup");
    let taking = Taking::open(&place.repository(), "20260101-000000").expect("opened");
    let named = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
    let take = |inner, paths: &[&str], into: &str, stop: bool| {
        taking.named(("vault", inner), &named(paths), (&place.path(into), &AtomicBool::new(stop)))
    };
    take(None, &["deep/er/big", "deep/link", "one/below", "absent", "deep/er"], "a", false).expect("taken");
    let found = |folder: &str| -> Vec<String> {
        let told =
            Command::new("find").args([".", "-mindepth", "1"]).current_dir(place.path(folder)).output();
        let told = String::from_utf8(told.expect("find").stdout).expect("text");
        let mut lines: Vec<String> = told.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    // `one` is a file where a folder is named: it comes along and is found out by who copies.
    assert_eq!(found("a"), ["./deep", "./deep/er", "./deep/er/big", "./deep/link", "./one"]);
    assert_eq!(fs::read(place.path("a/deep/er/big")).expect("read"), noise(3_000_000));
    let (here, there) = (place.path("a").metadata(), place.path("vault").metadata());
    assert_eq!(here.expect("a folder").permissions(), there.expect("a folder").permissions());
    take(Some("deep"), &["er/big", "one"], "b", false).expect("taken");
    assert_eq!(found("b"), ["./er", "./er/big"]);
    assert_eq!(take(None, &["one"], "c", true).expect_err("stopped").what, "interrupted");
    let paths = named(&["one"]);
    let lacking = taking.named(("valt", None), &paths, (&place.path("d"), &AtomicBool::new(false)));
    assert!(lacking.expect_err("no folder").what.contains("has no folder `valt`"));
}

#[test]
fn what_was_backed_up_comes_back_with_owner_rights_and_links() {
    let place = Place::new();
    let made = place.make("20260101-000000", "printf 'a dump'").expect("made");
    assert_eq!((made.databases["main"].dump.bytes, made.folders["vault"].files), (6, 3));
    assert_eq!(place.names(), ["20260101-000000"]);
    let taking = Taking::open(&place.repository(), "20260101-000000").expect("opened");
    assert_eq!(taking.manifest, made);
    let (mut dump, mut file) = (Vec::new(), Vec::new());
    taking.dump("main", &mut dump).expect("a dump");
    taking.file("compose.yaml", &mut file).expect("a file");
    assert_eq!((dump.as_slice(), file.as_slice()), (b"a dump".as_slice(), b"services: {}".as_slice()));
    taking.folder("vault", &place.path("back")).expect("a folder");
    assert_eq!(listing(&place.path("back")), listing(&place.path("vault")));
    assert_eq!(taking.path("vault", "deep/er", &place.path("part")).expect("a part"), 1);
    assert!(taking.path("vault", "../vault", &place.path("no")).is_err());
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let place = Place::new();
    let first = place.make("20260101-000000", "printf 'a dump'").expect("made");
    let read = AtomicU64::new(0);
    fs::write(place.path("vault/one"), "another").expect("written");
    let second = place.make_told("20260101-000001", "printf 'a dump'", &|bytes| read.store(bytes, Relaxed));
    let second = second.expect("made");
    assert!((13..100).contains(&read.load(Relaxed)), "{read:?} bytes");
    assert_eq!(first.databases, second.databases);
    assert_eq!(second.folders["vault"].bytes, first.folders["vault"].bytes + 6);
    assert_ne!(second.folders["vault"].blake3, first.folders["vault"].blake3);
    let taking = Taking::open(&place.repository(), "20260101-000001").expect("opened");
    taking.folder("vault", &place.path("back")).expect("equal by checksum");
    assert_eq!(listing(&place.path("back")), listing(&place.path("vault")));
}

#[test]
fn another_repository_in_the_same_folder_is_not_taken_for_ours() {
    let place = Place::new();
    place.make("20260101-000000", "printf 'a dump'").expect("made");
    let id = place.repository().id().expect("opened");
    fs::rename(place.path("repository"), place.path("away")).expect("the disk is away");
    let known = RepositoryPlace { id: id.clone(), ..place.run("x").repository };
    let told = chain(&Repository::new(known.clone()).list().expect_err("away"));
    assert!(told.contains("which is not there"), "{told}");
    place.repository().make().expect("another");
    assert_ne!(place.repository().id().expect("opened"), id);
    let told = chain(&Repository::new(known).list().expect_err("another"));
    assert!(told.contains("which is not there"), "{told}");
}

#[test]
fn a_dump_that_was_cut_off_is_no_backup() {
    let place = Place::new();
    let failure = place.make("20260101-000000", "printf 'half a'; echo 'server closed' >&2; exit 1");
    let told = chain(&failure.expect_err("cut off"));
    assert!(told.contains("not whole") && told.contains("server closed"), "{told}");
    assert_eq!(place.names(), Vec::<String>::new());
    let open = Command::new("ls").arg(place.path("repository/snapshots")).output().expect("ls");
    assert_eq!(String::from_utf8_lossy(&open.stdout), "", "nothing of it stays");
    place.make("20260101-000001", "printf 'a dump'").expect("the next one is made");
}

#[test]
fn the_same_backup_twice_is_one() {
    let place = Place::new();
    let first = place.make("20260101-000000", "printf 'a dump'").expect("made");
    let second = place.make("20260101-000000", "printf 'another'").expect("made already");
    assert_eq!((first, place.names().len()), (second, 1));
}

#[test]
fn old_backups_are_forgotten_and_the_newest_stays() {
    let place = Place::new();
    for second in 0..4 {
        place.make(&format!("20260101-00000{second}"), &format!("printf 'dump {second}'")).expect("made");
    }
    let of_another = retain::forget(&place.repository(), ("market", "production"), &(Kept::default(), false));
    assert_eq!(of_another.expect("looked"), Vec::<String>::new(), "they are another project's");
    let points = vec!["20260101-000000".to_owned()];
    let kept = Kept { last: 2, points, ..Kept::default() };
    let gone =
        retain::forget(&place.repository(), ("shop", "production"), &(kept, false)).expect("forgotten");
    let stay = ["20260101-000003", "20260101-000002", "20260101-000000"].map(str::to_owned);
    assert_eq!((gone, place.names()), (vec!["20260101-000001".to_owned()], stay.to_vec()));
    retain::forget(&place.repository(), ("shop", "production"), &(Kept::default(), false))
        .expect("forgotten");
    assert_eq!(place.names(), ["20260101-000003"]);
    place.repository().check(true).expect("nothing that is needed is gone");
}

#[test]
fn what_a_killed_prune_left_is_no_damage_and_damage_still_is() {
    let place = Place::new();
    for second in 0..3 {
        place.make(&format!("20260101-00000{second}"), &format!("printf 'dump {second}'")).expect("made");
    }
    // A pack that was repacked and killed before its index was written: nobody names it.
    let stray = place.path(&format!("repository/data/ab/ab{}", "0".repeat(62)));
    fs::create_dir_all(stray.parent().expect("a folder")).expect("made");
    fs::write(&stray, noise(6650)).expect("written");
    for last in [2, 1] {
        let kept = Kept { last, ..Kept::default() };
        retain::forget(&place.repository(), ("shop", "production"), &(kept, true)).expect("forgotten");
        place.repository().check(true).expect("no damage");
    }
    assert!(stray.exists(), "it is removed a day later");
    let taking = Taking::open(&place.repository(), "20260101-000002").expect("opened");
    taking.folder("vault", &place.path("back")).expect("whole");
    let packs = Command::new("find").arg(place.path("repository/data")).args(["-type", "f"]).output();
    let packs = String::from_utf8(packs.expect("find").stdout).expect("text");
    for pack in packs.lines().filter(|&one| Path::new(one) != stray) {
        fs::remove_file(pack).expect("removed");
    }
    place.repository().check(false).expect_err("every pack is gone");
}

#[test]
fn a_wrong_key_and_a_missing_one_are_told_apart() {
    let place = Place::new();
    place.make("20260101-000000", "printf 'a dump'").expect("made");
    fs::write(place.path("key"), "another key").expect("written");
    let failure = place.repository().list().expect_err("a wrong key");
    assert!(
        failure.hint.as_ref().is_some_and(|hint| hint.contains("key of another repository")),
        "{failure:?}"
    );
    fs::remove_file(place.path("key")).expect("removed");
    let failure = place.repository().list().expect_err("no key");
    assert!(failure.to_string().starts_with("could not read the key"), "{failure}");
}

#[test]
fn a_flipped_byte_is_found_by_a_check_and_by_a_restore() {
    let place = Place::new();
    place.make("20260101-000000", "printf 'a dump'").expect("made");
    let mut packs = Command::new("find");
    packs.arg(place.path("repository/data")).args(["-type", "f", "-size", "+1M"]);
    let found = packs.output().expect("find");
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let pack = PathBuf::from(text.lines().next().expect("a pack of data"));
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).expect("rights");
    let mut bytes = fs::read(&pack).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&pack, bytes).expect("written");
    let told = chain(&place.repository().check(true).expect_err("damaged"));
    assert!(told.contains("is damaged"), "{told}");
    let taking = Taking::open(&place.repository(), "20260101-000000").expect("its index is whole");
    let told = chain(&taking.folder("vault", &place.path("back")).expect_err("damaged"));
    assert!(told.contains("could not bring") || told.contains("came back other"), "{told}");
}
