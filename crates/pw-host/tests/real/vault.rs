//! Files that rows name: what is copied, what is refused, and that every moment can be taken back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use pw_host::vault::{self, Manifest};
use pw_plan::step::{VaultPlace, VaultRun};
use tempfile::TempDir;

struct Scene {
    folder: TempDir,
}

impl Scene {
    /// `a` and `deep/er/b` in the source; `own` in the target.
    fn new() -> Self {
        let scene = Self { folder: TempDir::new().expect("a temp dir") };
        for (path, text) in [("from/a", "a1"), ("from/deep/er/b", "b1"), ("from/c", "c1"), ("to/own", "mine")]
        {
            scene.write(path, text);
        }
        fs::create_dir(scene.path("lists")).expect("a folder");
        scene
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("written");
    }

    fn run(&self, number: u64) -> VaultRun {
        let text = |path: &str| self.path(path).to_str().expect("UTF-8").to_owned();
        VaultRun {
            from: VaultPlace::Folder { path: text("from") },
            to: VaultPlace::Folder { path: text("to") },
            column: "files.key".into(),
            strip: None,
            files: Vec::new(),
            manifest: text(&format!("lists/{number}")),
            former: (number > 1).then(|| text(&format!("lists/{}", number - 1))),
        }
    }

    fn stage(&self, number: u64, keys: &[&str]) -> Manifest {
        let run = self.run(number);
        let keys: Vec<String> = keys.iter().map(|&key| key.into()).collect();
        vault::stage(&run, &keys, &AtomicBool::new(false), &|_| {}).expect("staged");
        Manifest::read(Path::new(&run.manifest)).expect("legible").expect("written")
    }

    /// The whole of a seed.
    fn seed(&self, number: u64, keys: &[&str]) -> Manifest {
        let list = self.stage(number, keys);
        vault::switch(&self.run(number)).expect("switched");
        vault::remove_staged(&self.run(number)).expect("removed");
        list
    }

    /// Path → content of everything in the target, what is hidden too; folders are empty.
    fn target(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path("to")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.strip_prefix(self.path("to")).expect("inside").display().to_string();
                if path.is_dir() {
                    found.insert(name + "/", String::new());
                    folders.push(path);
                } else {
                    found.insert(name, fs::read_to_string(&path).expect("a text"));
                }
            }
        }
        found
    }
}

#[test]
fn only_what_is_named_comes_and_what_is_own_stays() {
    let scene = Scene::new();
    fs::set_permissions(scene.path("from/a"), fs::Permissions::from_mode(0o4640)).expect("a mode");
    let list = scene.seed(1, &["a", "deep/er/b", "gone"]);
    let target = scene.target();
    let paths: Vec<&str> = target.keys().map(String::as_str).collect();
    assert_eq!(paths, ["a", "deep/", "deep/er/", "deep/er/b", "own"]);
    assert_eq!((list.files(), list.copied(), list.bytes()), (2, 2, 4));
    assert_eq!(list.missing, ["gone"]);
    let (from, to) = (scene.path("from/a").metadata().expect("a"), scene.path("to/a").metadata().expect("a"));
    assert_eq!((from.mtime(), from.mtime_nsec(), from.uid()), (to.mtime(), to.mtime_nsec(), to.uid()));
    assert_eq!(to.mode() & 0o7777, 0o640, "rights come along, not those of the owner");
    assert_ne!(from.ino(), to.ino(), "never a hard link");
}

#[test]
fn what_is_there_already_is_not_copied_again_and_what_is_not_named_goes() {
    let scene = Scene::new();
    scene.seed(1, &["a", "deep/er/b", "c"]);
    let before = scene.path("to/a").metadata().expect("a").ino();
    scene.write("from/c", "c2, longer");
    let list = scene.seed(2, &["a", "c"]);
    assert_eq!((list.files(), list.copied(), list.removed()), (2, 1, 1));
    assert_eq!(scene.path("to/a").metadata().expect("a").ino(), before, "the same file");
    let target = scene.target();
    assert_eq!(target["c"], "c2, longer");
    assert!(!target.contains_key("deep/er/b") && target["own"] == "mine", "{target:?}");
    assert_eq!(scene.seed(3, &["a", "c"]).copied(), 0);
}

#[test]
fn every_moment_is_taken_back() {
    let scene = Scene::new();
    scene.seed(1, &["a", "c"]);
    scene.write("to/a", "changed by development");
    let before = scene.target();
    let run = scene.run(2);
    // Also twice, and where nothing was ever staged.
    let back = || {
        for _ in 0..2 {
            vault::switch_back(&run).expect("taken back");
        }
        for _ in 0..2 {
            vault::remove_staged(&run).expect("removed");
        }
        vault::switch_back(&run).expect("nothing to take back");
    };
    back();
    assert_eq!(scene.target(), before);
    scene.stage(2, &["a", "deep/er/b"]);
    back();
    assert_eq!(scene.target(), before, "after staging");
    scene.stage(2, &["a", "deep/er/b"]);
    for _ in 0..2 {
        vault::switch(&run).expect("switched");
    }
    let after = scene.target();
    assert_eq!((after["a"].as_str(), after["deep/er/b"].as_str()), ("a1", "b1"));
    assert!(!after.contains_key("c"));
    back();
    assert_eq!(scene.target(), before, "after switching");
}

#[test]
fn a_switch_that_was_cut_off_is_finished_or_taken_back() {
    for files in 0..3 {
        let scene = Scene::new();
        scene.seed(1, &["a", "c"]);
        scene.write("to/a", "changed by development");
        let before = scene.target();
        scene.stage(2, &["a", "deep/er/b"]);
        // What a cut leaves: the first of the files is set aside, or in its place.
        let staged = scene.path("to/.partywall-seed");
        if files > 0 {
            fs::rename(scene.path("to/a"), staged.join("old/0")).expect("set aside");
        }
        if files > 1 {
            fs::rename(staged.join("new/0"), scene.path("to/a")).expect("in place");
        }
        if files % 2 == 0 {
            vault::switch(&scene.run(2)).expect("finished");
            assert_eq!(scene.target()["a"], "a1", "{files}");
        }
        vault::switch_back(&scene.run(2)).expect("taken back");
        vault::remove_staged(&scene.run(2)).expect("removed");
        assert_eq!(scene.target(), before, "{files}");
    }
}

#[test]
fn nothing_leads_outside() {
    let scene = Scene::new();
    scene.write("secret", "of the host");
    symlink(scene.path("secret"), scene.path("from/link")).expect("a link");
    symlink(scene.folder.path(), scene.path("from/up")).expect("a link");
    fs::create_dir(scene.path("from/folder")).expect("a folder");
    let keys = ["link", "up/secret", "folder", "../secret", "/etc/passwd", "a"];
    let failed = vault::stage(&scene.run(1), &keys.map(str::to_owned), &AtomicBool::new(false), &|_| {});
    failed.expect("links and the rest are no reason to stop");
    let list = Manifest::read(Path::new(&scene.run(1).manifest)).expect("legible").expect("written");
    assert_eq!(list.files(), 1);
    let mut refused = list.refused.clone();
    refused.sort();
    assert_eq!(refused, ["../secret", "/etc/passwd", "folder", "link", "up/secret"]);
    // A container puts a link where a folder should be.
    symlink(scene.folder.path(), scene.path("to/deep")).expect("a link");
    let keys = ["deep/er/b".to_owned()];
    let staged = vault::stage(&scene.run(1), &keys, &AtomicBool::new(false), &|_| {});
    let refused = staged.and_then(|()| vault::switch(&scene.run(1)));
    assert!(refused.is_err());
    assert!(!scene.path("er").exists(), "nothing was written outside");
}

/// A disk of its own over the target, as long as it is held.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn over(place: PathBuf) -> Self {
        let told = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(&place).status();
        assert!(told.is_ok_and(|status| status.success()), "root may mount");
        Self(place)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_disk_that_fills_while_staging_is_told_and_holds_what_it_held() {
    let scene = Scene::new();
    let disk = SmallDisk::over(scene.path("to"));
    scene.write("to/own", "mine");
    for number in 0..8 {
        scene.write(&format!("from/large/{number}"), &"x".repeat(300_000));
    }
    let keys: Vec<String> = (0..8).map(|number| format!("large/{number}")).collect();
    let failure =
        vault::stage(&scene.run(1), &keys, &AtomicBool::new(false), &|_| {}).expect_err("it is full");
    let (told, hint) = (failure.to_string(), failure.hint.unwrap_or_default());
    assert!(told.contains(&disk.0.join("large").display().to_string()), "{told}");
    assert!(hint.contains(&format!("the filesystem at `{}` is full", disk.0.display())), "{hint}");
    assert!(Manifest::read(Path::new(&scene.run(1).manifest)).expect("legible").is_none());
    vault::remove_staged(&scene.run(1)).expect("removed");
    assert_eq!(scene.target(), BTreeMap::from([("own".to_owned(), "mine".to_owned())]));
    assert_eq!(scene.seed(1, &["large/0"]).files(), 1, "there is room again");
}

#[test]
fn one_folder_is_no_copy_of_itself() {
    let scene = Scene::new();
    let run = VaultRun { to: scene.run(1).from, ..scene.run(1) };
    let failed = vault::stage(&run, &["a".to_owned()], &AtomicBool::new(false), &|_| {});
    assert!(failed.expect_err("refused").what.contains("are one folder"));
}

#[test]
fn what_is_called_off_copies_nothing() {
    let scene = Scene::new();
    let called_off = AtomicBool::new(true);
    assert!(vault::stage(&scene.run(1), &["a".to_owned()], &called_off, &|_| {}).is_err());
    vault::remove_staged(&scene.run(1)).expect("removed");
    assert_eq!(scene.target().keys().collect::<Vec<_>>(), ["own"]);
}
