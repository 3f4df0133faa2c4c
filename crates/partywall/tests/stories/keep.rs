//! What keeps backups from being lost without a word.

use std::fs;

use crate::harness::{PRODUCTION, Story};

/// Promise: a repository whose disk is away is not replaced by an empty one in silence.
/// Given: a backup, then a folder that is empty, as when its disk is not mounted, then one with another repository.
/// Then: the next backup is refused, makes nothing, and `status` and `backups` say that it failed; it begins a new
/// repository when that is asked for, and then refuses the former one.
#[test]
fn an_absent_repository_is_not_a_new_one() {
    let story = Story::stocked_shop();
    let before = story.holdings(PRODUCTION);
    let (repository, away) = (story.repository(), story.folder().join("away"));
    story.run(&["backup", PRODUCTION]).ended(0).says(&["a new repository was made in", "is backed up"]);
    fs::rename(&repository, &away).expect("moved");
    fs::create_dir(&repository).expect("the empty place of a mount");

    let told = story.run(&["backup", PRODUCTION]).ended(1);
    told.says(&["there is no repository in", "the folder holds nothing", "--new-repository"]);
    assert_eq!(fs::read_dir(&repository).expect("a folder").count(), 0);
    for words in [["backups"].as_slice(), &["drill"], &["restore", PRODUCTION, "latest"]] {
        story.run(words).ended(2).says(&["which is not there", "mount the disk"]);
    }
    let status = story.run(&["status", PRODUCTION]).ended(0);
    assert!(status.out.contains("backup  failed"), "{}", status.out);
    assert!(status.out.contains(" old"), "the good one is still told: {}", status.out);

    story.run(&["backup", PRODUCTION, "--new-repository"]).ended(0).says(&["a new repository was made"]);
    let status = story.run(&["status", PRODUCTION]).ended(0);
    assert!(!status.out.contains("failed"), "{}", status.out);
    fs::remove_dir_all(&repository).expect("removed");
    fs::rename(&away, &repository).expect("moved");
    story.run(&["backup", PRODUCTION]).ended(1).says(&["holds another repository"]);
    assert_eq!(story.holdings(PRODUCTION), before);
}
