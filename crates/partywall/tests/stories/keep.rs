//! What keeps backups from being lost without a word.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{DEVELOPMENT, PRODUCTION, Story, docker_answers, finished, image, random};
use crate::roles;
use crate::steps::clean;

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
    assert!(status.out.contains("could not be drilled"), "{}", status.out);

    story.run(&["backup", PRODUCTION, "--new-repository"]).ended(0).says(&["a new repository was made"]);
    let status = story.run(&["status", PRODUCTION]).ended(0);
    assert!(!status.out.contains("failed"), "{}", status.out);
    fs::remove_dir_all(&repository).expect("removed");
    fs::rename(&away, &repository).expect("moved");
    story.run(&["backup", PRODUCTION]).ended(1).says(&["holds another repository"]);
    assert_eq!(story.holdings(PRODUCTION), before);
}

/// Promise: with the repository and its key, everything comes back onto a machine that has nothing else.
/// Given: production and development with rows and files of their own, a role of the application's that owns tables and the
/// database, one that only reads, and one that owns nothing, and a worker that ends where its table is missing; all backed up. Then both destroyed, and the project's folder and
/// the whole state removed.
/// Then: `restore --from`, killed once and run again, brings both back, equal by checksum; the application's role signs in
/// with the secret that the environment has, and each role may do what it might; a drill passes, and so it does where the
/// Compose file of the other environment is missing.
#[test]
fn repository_and_key_are_all_that_is_needed() {
    let story = Story::stocked_shop();
    story.up(DEVELOPMENT);
    story.stock(DEVELOPMENT, 300);
    let worker = format!(
        "  worker:\n    image: {}\n    init: true\n    command: [sh, -c, \"psql -c 'SELECT FROM item' && exec sleep 1000000\"]\n    \
         environment: {{ PGHOST: db, PGUSER: shop, PGPASSWORD: \"secret of ${{APP_ENV}}\" }}\n    \
         depends_on: {{ db: {{ condition: service_healthy }} }}\n  db:\n    image",
        image("postgres")
    );
    story.edit("docker-compose.yml", "  db:\n    image", &worker);
    for name in [PRODUCTION, DEVELOPMENT] {
        story.up(name);
    }
    roles::make(&story, "$POSTGRES_PASSWORD");
    let before = [PRODUCTION, DEVELOPMENT].map(|name| story.holdings(name));
    let rights = roles::rights(&story);
    for name in [PRODUCTION, DEVELOPMENT] {
        story.run(&["backup", name]).ended(0);
    }
    let listed = story.run(&["backups", "--json"]).ended(0).json();
    let names: std::collections::BTreeSet<&str> =
        listed["backups"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names.len(), 2, "two backups in one second have two names: {listed}");
    let key = story.folder().join("key");
    fs::copy(backup_key(&story), &key).expect("a copy of the key");
    lose_everything(&story);

    let (repository, project) = (text(&story.repository()), text(&story.project()));
    let key = text(&key);
    let words = ["restore", "--from", &repository, "--key", &key];
    // The project's folder is gone, so this runs from anywhere.
    let start = |story: &Story| {
        let mut command = story.command(&words);
        command.current_dir("/");
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().expect("partywall")
    };
    let mut cut_off = start(&story);
    crate::harness::until("the first file is back", || Path::new(&project).join("partywall.yaml").exists());
    drop(cut_off.kill());
    drop(finished(cut_off));
    let told = finished(start(&story));
    let told = if told.code == Some(0) {
        told
    } else {
        // Containers had been made already: now the name is asked for.
        story.run(&["resume"]).ended(0);
        story.run(&[words.as_slice(), &["--confirm", PRODUCTION]].concat())
    };
    told.ended(0).says(&["is back in"]);
    assert_eq!([PRODUCTION, DEVELOPMENT].map(|name| story.holdings(name)), before);
    assert_eq!(roles::rights(&story), rights);
    assert!(roles::signs_in(&story, "app", "$POSTGRES_PASSWORD"));
    assert!(!roles::signs_in(&story, "app", "another"), "the password is asked for");
    assert!(roles::nothing_is_told(&story));

    story.run(&["drill"]).ended(0);
    fs::remove_file(story.project().join("compose.override.yml")).expect("removed");
    story.run(&["drill"]).ended(0);
}

/// Promise: an environment without a database is drilled too, and one whose folders do not come back fails.
/// Given: a backup of a volume alone.
/// Then: its drill passes; after a file of the repository was damaged it fails, and nothing is left.
#[test]
fn folders_alone_are_drilled() {
    let story = Story::light();
    let section = format!("backup: {{ repository: {} }}\n", story.repository().display());
    story.write("partywall.yaml", &format!("{}{section}", story.read("partywall.yaml")));
    story.up(PRODUCTION);
    story
        .container(PRODUCTION, "db")
        .exec(&["sh", "-c", "head -c 300000 /dev/urandom > /data/file"])
        .expect("a file");
    story.run(&["backup", PRODUCTION]).ended(0);
    let told = story.run(&["drill"]).ended(0);
    assert!(told.out.contains("folder data: "), "{}", told.out);
    damage(&story.repository());
    story.run(&["drill"]).ended(1).says(&["does not restore"]);
    let scratch = story.rendered(PRODUCTION).with_file_name("drill");
    assert!(!scratch.exists(), "{}", scratch.display());
}

/// Promise: a dump that its program cut short without a word fails its drill, with the cause.
/// Given: a database container in which `pg_dump` prints the first part only, and says that all went well.
/// Then: the backup cannot know; the drill does.
#[test]
fn a_dump_that_was_cut_short_fails_its_drill() {
    let story = Story::stocked_shop();
    let words = "real=$(readlink -f $(command -v pg_dump)); mv $real $real.whole; \
        printf '#!/bin/sh\\n%s \"$@\" | head -c 30000\\n' $real.whole >$real; chmod 755 $real";
    story.container(PRODUCTION, "db").exec(&["sh", "-c", words]).expect("replaced");
    story.run(&["backup", PRODUCTION]).ended(0);
    let told = story.run(&["drill"]).ended(1);
    told.says(&["does not restore", "database main: could not restore `main`", "pg_restore: error"]);
}

/// Promise: a scratch disk that fills fails the drill, with the cause, and nothing is left on it.
/// Given: a backup of files, and a scratch place on a disk of 4 MB that takes 40 files at most.
/// Then: more files than that fail when the disk is full; one that is larger than what is free fails before it is written.
#[test]
fn a_scratch_disk_that_fills_fails_the_drill() {
    let story = Story::light();
    let section = format!("backup: {{ repository: {} }}\n", story.repository().display());
    story.write("partywall.yaml", &format!("{}{section}", story.read("partywall.yaml")));
    let place = story.state().join("projects").join(&story.name).join(PRODUCTION);
    fs::create_dir_all(&place).expect("a folder");
    let _disk = SmallDisk::at(&place);
    story.up(PRODUCTION);
    let fill = |words: &str| story.container(PRODUCTION, "db").exec(&["sh", "-c", words]).expect("files");
    fill("for n in $(seq 80); do echo $n > /data/$n; done");
    story.run(&["backup", PRODUCTION]).ended(0);
    story.run(&["drill"]).ended(1).says(&["folder data: could not", "No space left on device"]);
    fill("rm /data/*; head -c 8000000 /dev/urandom > /data/large");
    // Backups are named by the second.
    std::thread::sleep(std::time::Duration::from_secs(1));
    story.run(&["backup", PRODUCTION]).ended(0);
    story.run(&["drill"]).ended(1).says(&["folder data: there is no room to restore `data`", "are free"]);
    assert!(!place.join("drill").exists());
}

/// A disk of its own, as long as it is held.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(place: &Path) -> Self {
        let words = ["-t", "tmpfs", "-o", "size=4m,nr_inodes=40", "none"];
        let told = std::process::Command::new("mount").args(words).arg(place).status();
        assert!(told.is_ok_and(|status| status.success()), "root may mount");
        Self(place.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Promise: a backup of a newer server fails its drill with the cause, before anything stumbles over it.
/// Given: a backup of this image's PostgreSQL, and then a Compose file that names a real server of version 15 (where this
/// machine has one).
/// Then: the drill names both versions; production is not touched.
#[test]
fn a_backup_of_a_newer_server_fails_its_drill() {
    let programs = Path::new("/usr/lib/postgresql/15");
    if !programs.join("bin/postgres").exists() || image("postgres").contains(":1") {
        return;
    }
    let story = Story::stocked_shop();
    story.run(&["backup", PRODUCTION]).ended(0);
    let before = story.holdings(PRODUCTION);
    let older = OlderServer::build(&story);
    story.edit(
        "docker-compose.yml",
        &format!("image: {}", image("postgres")),
        &format!("image: {}", older.0),
    );
    let told = story.run(&["drill"]).ended(1);
    told.says(&["does not restore", "the backup is of PostgreSQL 17, and the service's image has 15"]);
    assert_eq!(story.holdings(PRODUCTION), before);
}

/// An image with this machine's PostgreSQL 15 in place of the newer one, as long as it is held.
struct OlderServer(String);

impl OlderServer {
    fn build(story: &Story) -> Self {
        let (name, place) = (format!("{}-older", story.name), story.folder().join("older"));
        let recipe = format!(
            "FROM {}\nCOPY lib /usr/lib/postgresql/15\nCOPY share /usr/share/postgresql/15\nCOPY libs /opt/libs\n\
             ENV PATH=/usr/lib/postgresql/15/bin:$PATH LD_LIBRARY_PATH=/opt/libs\n",
            image("postgres")
        );
        fs::create_dir_all(place.join("libs")).expect("a folder");
        fs::write(place.join("Dockerfile"), recipe).expect("written");
        let words = "cp -r /usr/lib/postgresql/15 lib && cp -r /usr/share/postgresql/15 share && \
            ldd lib/bin/postgres lib/bin/initdb lib/bin/psql lib/bin/pg_isready | awk '$2 == \"=>\" { print $3 }' | sort -u | \
            grep -Ev '/(libc|libm|libpthread|libdl|librt|libresolv)[.]so' | xargs -I@ cp -L @ libs/";
        let copied = std::process::Command::new("sh").args(["-c", words]).current_dir(&place).status();
        assert!(copied.is_ok_and(|status| status.success()));
        docker_answers(&["build", "-q", "-t", &name, &text(&place)]).expect("built");
        Self(name)
    }
}

impl Drop for OlderServer {
    fn drop(&mut self) {
        drop(docker_answers(&["image", "rm", "-f", &self.0]));
    }
}

/// Promise: `backups --prune` leaves what `backup.keep` says, and a kill at any moment loses nothing that is kept.
/// Given: five backups, and then a `backup.keep` of two.
/// Then: `--plan` names the three that go and removes nothing; after kills at random moments each, followed by
/// `resume`, the newest two are there, the newest passes its drill, and restic finds no error.
#[test]
fn a_killed_prune_loses_nothing_that_is_kept() {
    let story = Story::shop();
    let path = story.repository().display().to_string();
    let keep =
        |last: u32| format!("{path}, keep: {{ last: {last}, hourly: 0, daily: 0, weekly: 0, monthly: 0 }}");
    story.edit("partywall.yaml", &path, &keep(5));
    story.up(PRODUCTION);
    story.stock(PRODUCTION, 1000);
    for round in 0..5 {
        story.sql(PRODUCTION, &format!("UPDATE item SET words = words || {round}"));
        story.run(&["backup", PRODUCTION]).ended(0);
        // Backups are named by the second.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    let all = names(&story);
    assert_eq!(all.len(), 5, "{all:?}");
    story.edit("partywall.yaml", &keep(5), &keep(2));
    let plan = story.run(&["backups", PRODUCTION, "--prune", "--plan"]).ended(0);
    assert!(all[2..].iter().all(|name| plan.out.contains(name.as_str())), "{}", plan.out);
    assert!(all[..2].iter().all(|name| !plan.out.contains(name.as_str())), "{}", plan.out);
    assert_eq!(names(&story), all);
    for _ in 0..4 {
        let mut prune = story.start(&["backups", "--prune"]);
        std::thread::sleep(std::time::Duration::from_millis(random() % 700));
        drop(prune.kill());
        finished(prune);
        let left = names(&story);
        assert_eq!(left[..2], all[..2]);
    }
    story.run(&["resume"]);
    story.run(&["backups", "--prune"]).ended(0);
    assert_eq!(names(&story), all[..2]);
    story.run(&["drill"]).ended(0);
}

/// Names of the backups, the newest first.
fn names(story: &Story) -> Vec<String> {
    let told = story.run(&["backups", PRODUCTION, "--json"]).ended(0);
    let all: serde_json::Value = serde_json::from_str(told.out.trim()).expect("one object");
    let all = all["backups"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|one| Some(one["name"].as_str()?.to_owned())).collect()
}

/// Promise: one file, one folder and one table come back out of a backup while everything goes on.
/// Given: a backup; then a file that was overwritten, a folder that was removed, and rows that were lost.
/// Then: each comes back equal; the overwritten file stays under another name, the rows come into a schema of their
/// own and the present table is untouched; an unknown path or table is refused, and `abandon` after a kill leaves
/// nothing.
#[test]
fn one_file_and_one_table_come_back() {
    let story = Story::stocked_shop();
    let before = story.holdings(PRODUCTION);
    story.run(&["backup", PRODUCTION]).ended(0);
    let web = || story.container(PRODUCTION, "web");
    let started = web().id();
    web().exec(&["sh", "-c", "echo worse > /files/1/noise; rm -r /files/2"]).expect("done");
    let restore = |words: &[&str]| {
        story.run(&[&["restore", PRODUCTION, "latest", "--confirm", PRODUCTION], words].concat())
    };
    restore(&["--volume", "files", "--path", "1/noise"]).ended(0).says(&["`1/noise` is back", "replaced"]);
    restore(&["--volume", "files", "--path", "2"]).ended(0).says(&["`2` is back"]);
    restore(&["--volume", "files", "--path", "../files"]).ended(1).says(&["leads outside"]);
    restore(&["--volume", "files", "--path", "nobody"]).ended(2).says(&["could not read", "nobody"]);
    let kept = web().exec(&["sh", "-c", "cat /files/1/noise.replaced-*"]);
    assert_eq!(kept.as_deref().map(str::trim), Some("worse"));
    web().exec(&["sh", "-c", "rm /files/1/noise.replaced-*"]).expect("removed");
    assert_eq!(story.holdings(PRODUCTION), before);
    assert_eq!(web().id(), started);

    story.sql(PRODUCTION, "DELETE FROM item WHERE id <= 400");
    let told = restore(&["--table", "item"]).ended(0);
    told.says(&["`public.item`", "1000 rows", "the present one is as it was", "ON CONFLICT DO NOTHING"]);
    assert_eq!(story.sql(PRODUCTION, "SELECT count(*) FROM public.item"), "600");
    let schema = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'partywall%'";
    let schema = story.sql(PRODUCTION, schema);
    story.sql(PRODUCTION, &format!("INSERT INTO item SELECT * FROM {schema}.item r WHERE r.id <= 400"));
    story.sql(PRODUCTION, &format!("DROP SCHEMA {schema} CASCADE"));
    assert_eq!(story.holdings(PRODUCTION), before);
    restore(&["--table", "nobody"]).ended(1).says(&["has no one table `nobody`", "public.item"]);

    let words = ["restore", PRODUCTION, "latest", "--table", "item", "--confirm", PRODUCTION];
    let mut cut_off = story.start(&words);
    std::thread::sleep(std::time::Duration::from_millis(300 + random() % 900));
    drop(cut_off.kill());
    finished(cut_off);
    story.run(&["abandon"]);
    let left = "SELECT count(*) FROM pg_database WHERE datname LIKE '%partywall%'";
    assert_eq!(story.sql(PRODUCTION, left), "0");
    assert_eq!(story.holdings(PRODUCTION), before);
}

/// Promise: one database, or one volume, comes back and leaves what else the backup holds as it is now.
/// Given: a backup of a database and a volume, and changes in both since.
/// Then: each comes back by its name alone; what it replaced stays; a name that the backup does not hold is refused.
#[test]
fn one_database_and_one_volume_come_back() {
    let story = Story::stocked_shop();
    let parts = || {
        let all = story.holdings(PRODUCTION);
        let (shelf, rest) = all.split_once('\n').expect("rows of one table");
        let (item, files) = rest.split_once('\n').expect("rows of another");
        ([shelf, item].map(str::to_owned), files.to_owned())
    };
    let (rows, files) = parts();
    story.run(&["backup", PRODUCTION]).ended(0);
    story.sql(PRODUCTION, "DELETE FROM item WHERE id <= 400");
    story.container(PRODUCTION, "web").exec(&["sh", "-c", "echo later > /files/1/name"]).expect("changed");
    let (fewer, later) = parts();
    let restore = |words: &[&str]| {
        story.run(&[&["restore", PRODUCTION, "latest", "--confirm", PRODUCTION], words].concat())
    };
    restore(&["--database", "nobody"]).ended(1).says(&["`nobody`"]);
    restore(&["--volume", "nobody"]).ended(1).says(&["`nobody`"]);
    assert_eq!(parts(), (fewer, later.clone()));
    restore(&["--database", "main"]).ended(0);
    assert_eq!(parts(), (rows.clone(), later));
    story.sql(PRODUCTION, "DELETE FROM item WHERE id <= 300");
    let (fewer, _) = parts();
    restore(&["--volume", "files"]).ended(0);
    assert_eq!(parts(), (fewer, files));
    assert_eq!(story.ask(PRODUCTION, "/").status, 200);
    clean(&story, (true, true), "after both");
}

pub(crate) fn backup_key(story: &Story) -> PathBuf {
    story.state().join("projects").join(&story.name).join("backup.key")
}

/// All but the repository and the key: as if the machine were a new one.
pub(crate) fn lose_everything(story: &Story) {
    for name in [PRODUCTION, DEVELOPMENT] {
        story.run(&["destroy", name, "--confirm", name]).ended(0);
    }
    let filter = format!("label=com.docker.compose.project={}", story.proxy());
    let proxy = docker_answers(&["ps", "-aq", "--filter", &filter]).expect("docker answers");
    docker_answers(&["rm", "-f", "-v", &proxy]).expect("the proxy is gone");
    fs::remove_dir_all(story.project()).expect("removed");
    fs::remove_dir_all(story.state()).expect("removed");
}

/// Flips bytes in the largest file of data.
fn damage(repository: &Path) {
    let words = "f=$(find data -type f -printf '%s %p\\n' | sort -n | tail -1 | cut -d' ' -f2); chmod u+w $f; printf 'XXXX' | dd of=$f bs=1 seek=3000 conv=notrunc";
    let told = std::process::Command::new("sh").args(["-c", words]).current_dir(repository).output();
    assert!(told.expect("sh").status.success());
}

pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}
