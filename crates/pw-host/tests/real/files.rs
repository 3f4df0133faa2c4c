//! Files: whole or not at all, private or readable as they must be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::common::{chain, shop};
use pw_host::Host;
use pw_model::layout::Layout;
use pw_plan::Action;
use pw_run::Perform as _;

fn mode(path: &str) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o7777
}

#[tokio::test]
async fn texts_are_kept_installed_and_kept_again() {
    let folder = tempfile::tempdir().expect("a temp dir");
    let root = folder.path().join("state").to_string_lossy().into_owned();
    let layout = Layout::new(&root);
    let mut host = Host::new(layout.clone(), &shop());
    let path = format!("{root}/projects/shop/production/compose.yaml");
    let hash = pw_plan::hash("services: {}\n");
    host.stage(&hash, "services: {}\n").await.expect("kept");
    host.stage(&hash, "something else").await.expect_err("another text");
    let install = Action::InstallFile { path: path.clone(), hash: hash.clone() };
    for _ in 0..2 {
        host.perform(&install).await.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    }
    assert_eq!(fs::read_to_string(&path).expect("a file"), "services: {}\n");
    assert_eq!((mode(&path), mode(&format!("{root}/projects/shop"))), (0o600, 0o700));
    let stored = format!("{}/{hash}", layout.store(&shop()));
    assert_eq!((mode(&stored), mode(&layout.store(&shop()))), (0o600, 0o700));

    fs::write(&path, "edited by hand\n").expect("a file");
    let edited = pw_plan::hash("edited by hand\n");
    let keep = Action::KeepFile { path: path.clone(), hash: edited.clone() };
    host.perform(&keep).await.expect("kept");
    host.perform(&install).await.expect("installed over it");
    host.perform(&keep).await.expect("again, after a crash: it is kept already");
    host.perform(&Action::InstallFile { path: path.clone(), hash: edited }).await.expect("taken back");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "edited by hand\n");
    let stale = Action::KeepFile { path: path.clone(), hash: pw_plan::hash("never there") };
    let failure = host.perform(&stale).await.expect_err("stale");
    assert!(failure.what.ends_with("has changed since the plan was made"));

    fs::write(&stored, "rotten").expect("a file");
    let failure = host.perform(&install).await.expect_err("damaged");
    assert!(failure.what.ends_with("is damaged"), "{failure}");
    for _ in 0..2 {
        host.perform(&Action::RemoveFile { path: path.clone() }).await.expect("removed");
    }
}

#[tokio::test]
async fn secrets_are_made_once_and_guarded_by_their_folder() {
    let folder = tempfile::tempdir().expect("a temp dir");
    let root = folder.path().to_string_lossy().into_owned();
    let mut host = Host::new(Layout::new(&root), &shop());
    let path = format!("{root}/projects/shop/dev/secrets/key");
    host.perform(&Action::GenerateSecret { path: path.clone() }).await.expect("made");
    let first = fs::read_to_string(&path).expect("a file");
    assert!(first.len() == 64 && first.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    assert_eq!((mode(&path), mode(&format!("{root}/projects/shop/dev/secrets"))), (0o644, 0o700));
    host.perform(&Action::GenerateSecret { path: path.clone() }).await.expect("there");
    assert_eq!(fs::read_to_string(&path).expect("a file"), first);
}

#[tokio::test]
async fn switches_can_be_read_by_all_and_hold_the_address_alone() {
    let folder = tempfile::tempdir().expect("a temp dir");
    let root = folder.path().to_string_lossy().into_owned();
    let mut host = Host::new(Layout::new(&root), &shop());
    let path = format!("{root}/proxy/p/switch/shop-production/web");
    let open =
        Action::OpenSwitch { path: path.clone(), service: "web".into(), address: "shop-web-1:80".into() };
    host.perform(&open).await.expect("open");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "shop-web-1:80");
    assert_eq!((mode(&path), mode(&format!("{root}/proxy/p/switch/shop-production"))), (0o644, 0o755));
    assert_eq!(mode(&format!("{root}/proxy/p/switch")), 0o755);
    let close = Action::CloseSwitch { path, service: "web".into() };
    host.perform(&close).await.expect("closed");
    host.perform(&close).await.expect("closed already");
}

#[tokio::test]
async fn only_our_own_trees_are_removed() {
    let folder = tempfile::tempdir().expect("a temp dir");
    let root = folder.path().join("state").to_string_lossy().into_owned();
    let mut host = Host::new(Layout::new(&root), &shop());
    let tree = format!("{root}/projects/shop");
    host.perform(&Action::MakeFolder { path: format!("{tree}/dev/binds/uploads") }).await.expect("made");
    for wrong in
        [folder.path().to_string_lossy().as_ref(), root.as_str(), &format!("{root}/projects/../../x")]
    {
        let failure = host.perform(&Action::RemoveTree { path: wrong.into() }).await.expect_err("not ours");
        assert!(failure.what.ends_with("is not Partywall's to remove"), "{failure}");
    }
    host.perform(&Action::RemoveFolder { path: format!("{tree}/dev") }).await.expect("not empty: it stays");
    assert!(Path::new(&tree).join("dev/binds/uploads").is_dir());
    for _ in 0..2 {
        host.perform(&Action::RemoveTree { path: tree.clone() }).await.expect("removed");
    }
    assert!(!Path::new(&tree).exists());
}

/// A filesystem of 256 kB, unmounted at the end.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Self {
        let folder = tempfile::tempdir().expect("a temp dir");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(
            mount.is_ok_and(|status| status.success()),
            "this test mounts a small filesystem: run it as root"
        );
        Self(folder)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).status());
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_the_old_file() {
    let small = Small::mount();
    let root = small.0.path().to_string_lossy().into_owned();
    let mut host = Host::new(Layout::new(&root), &shop());
    let path = format!("{root}/projects/shop/dev/compose.yaml");
    let (old, new) = ("old\n".to_owned(), "x".repeat(100_000));
    for text in [&old, &new] {
        host.stage(&pw_plan::hash(text), text).await.expect("room for both");
    }
    host.perform(&Action::InstallFile { path: path.clone(), hash: pw_plan::hash(&old) })
        .await
        .expect("installed");
    fs::write(format!("{root}/ballast"), vec![0; 100_000]).expect("room for it");
    let install = Action::InstallFile { path: path.clone(), hash: pw_plan::hash(&new) };
    let failure = host.perform(&install).await.expect_err("full");
    let told = chain(&failure);
    assert!(
        told.starts_with(&format!("could not write `{path}`\nbecause: No space left on device")),
        "{told}"
    );
    assert!(told.contains(&format!("hint: the filesystem at `{root}` is full (")), "{told}");
    assert_eq!(fs::read_to_string(&path).expect("a file"), old);
    assert_eq!(fs::read_dir(Path::new(&path).parent().expect("a folder")).expect("entries").count(), 1);
    fs::remove_file(format!("{root}/ballast")).expect("removed");
    host.perform(&install).await.expect("room again");
}

/// The release that fills the disk is the one that has to be left.
#[tokio::test]
async fn the_way_back_of_a_flip_needs_no_room() {
    let small = Small::mount();
    let root = small.0.path().to_string_lossy().into_owned();
    let mut host = Host::new(Layout::new(&root), &shop());
    let path = format!("{root}/proxy/p/switch/shop-production/web");
    let open = |address: &str| Action::OpenSwitch {
        path: path.clone(),
        service: "web".into(),
        address: address.into(),
    };
    for address in ["blue:80", "green:80", "green:80"] {
        host.perform(&open(address)).await.expect("room for it");
    }
    let full = fs::write(format!("{root}/ballast"), vec![0; 300_000]);
    assert!(full.is_err(), "the disk is not full");
    for _ in 0..2 {
        host.perform(&open("blue:80")).await.expect("a rename");
        assert_eq!((fs::read_to_string(&path).expect("a file").as_str(), mode(&path)), ("blue:80", 0o644));
    }
    let close = Action::CloseSwitch { path: path.clone(), service: "web".into() };
    host.perform(&close).await.expect("closed");
    assert!(!Path::new(&path).parent().expect("a folder").exists(), "something is left of it");
}
