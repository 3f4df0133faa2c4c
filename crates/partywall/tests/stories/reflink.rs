//! A copy of production that shares its blocks, on a file system that can.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{PRODUCTION, Story, docker, finished};
use crate::rehearse::{copy, query, unstocked};

/// Fails in the copy unless it holds every row whole, those that were being written too.
const WHOLE: &str = "DO $$ BEGIN\n\
    ASSERT (SELECT count(*) = 20000 AND sum(length(words)) = 20000 * 12800 FROM book), 'rows of book';\n\
    ASSERT (SELECT count(*) = max(id) AND count(*) > 0 FROM visit), 'rows of visit';\n\
    END $$;\nSET lock_timeout = '2s';\nALTER TABLE book ADD COLUMN note text;\n";

/// Promise: where the file system shares blocks, a copy of production takes no room and is whole all the same.
/// Given: XFS, of which production's server takes more than half, and somebody who writes meanwhile.
/// Then: the rehearsal passes on every row; the server is not left in backup mode, and nothing of the copy stays.
#[test]
fn a_copy_shares_the_blocks_of_production() {
    let Some(disk) = Disk::new() else { return };
    let story = unstocked();
    let settings =
        "--data-checksums }\n    command: [postgres, -c, max_wal_size=64MB, -c, min_wal_size=32MB]";
    story.edit("docker-compose.yml", "--no-sync }", settings);
    let project = story.compose_project(PRODUCTION);
    disk.holds_data_of(&story, &project);
    disk.holds_data_of(&story, &format!("{project}-rehearsal"));
    story.up(PRODUCTION);
    query(
        &story,
        "CREATE TABLE visit (id bigserial PRIMARY KEY); CREATE TABLE book (id int PRIMARY KEY, words text)",
    );
    query(&story, "ALTER TABLE book ALTER words SET STORAGE EXTERNAL");
    query(&story, "INSERT INTO book SELECT g, repeat(md5(g::text), 400) FROM generate_series(1, 20000) g");
    query(&story, "CHECKPOINT");
    assert!(disk.used() > 50, "{} % of the file system is used", disk.used());

    story.write("sql/up.sql", WHOLE);
    let writes = "for n in $(seq 3000); do echo 'INSERT INTO visit DEFAULT VALUES;'; sleep 0.01; done | psql -qX -U shop";
    let server = story.container(PRODUCTION, "db").id();
    let mut writer = Command::new("docker");
    let writer = writer.args(["exec", &server, "sh", "-c", writes]).spawn().expect("docker");
    let told = story.run(&["rehearse", PRODUCTION]).ended(0);
    assert!(told.out.contains("ALTER TABLE book"), "{}", told.out);
    assert_eq!(query(&story, "SELECT count(*) FROM pg_replication_slots"), "0");
    query(
        &story,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'INSERT%' AND pid <> pg_backend_pid()",
    );
    drop(finished(writer));
    assert_eq!(copy(&story), Vec::<String>::new());
    docker(&["rm", "-f", "-v", &server]);
}

/// A small XFS in a file.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// `None` where the machine has no such file system.
    fn new() -> Option<Self> {
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let is_there = known.contains("\txfs\n") && Path::new("/dev/loop-control").exists();
        if !is_there || Command::new("mkfs.xfs").arg("-V").output().is_err() {
            drop(writeln!(
                std::io::stderr(),
                "nothing is tested: XFS, loop devices or `mkfs.xfs` are missing here"
            ));
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder").keep();
        let (image, mount) = (folder.join("image"), folder.join("mount"));
        fs::create_dir(&mount).expect("a folder");
        fs::File::create(&image).and_then(|file| file.set_len(600 << 20)).expect("a file");
        let disk = Self { folder };
        done(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image));
        done(Command::new("mount").args(["-o", "loop"]).args([&image, &mount]));
        Some(disk)
    }

    /// The volume `data` of a Compose project lies on it, marked as if `up` had made it.
    fn holds_data_of(&self, story: &Story, project: &str) {
        let device = self.mount().join(project);
        fs::create_dir(&device).expect("a folder");
        let options = ["type=none".into(), "o=bind".into(), format!("device={}", device.display())];
        let labels = [
            format!("com.docker.compose.project={project}"),
            "com.docker.compose.volume=data".into(),
            format!("partywall.project={}", story.name),
            format!("partywall.environment={PRODUCTION}"),
        ];
        let named = |word: &'static str, all: Vec<String>| {
            all.into_iter().flat_map(move |one| [word.to_owned(), one])
        };
        let mut words = vec!["volume".to_owned(), "create".to_owned()];
        words.extend(named("--opt", options.into()).chain(named("--label", labels.into())));
        words.push(format!("{project}_data"));
        docker(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn mount(&self) -> PathBuf {
        self.folder.join("mount")
    }

    /// Percent.
    fn used(&self) -> u32 {
        let told = lines_of(Command::new("df").arg("--output=pcent").arg(self.mount()));
        told.lines().last().and_then(|line| line.trim().trim_end_matches('%').parse().ok()).expect("a number")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.mount()).status());
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn done(command: &mut Command) {
    lines_of(command);
}

fn lines_of(command: &mut Command) -> String {
    let told =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; `./x setup` installs it"));
    assert!(told.status.success(), "{command:?}: {}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8_lossy(&told.stdout).into_owned()
}
