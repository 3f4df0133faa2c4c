//! Room on the disk: what is surely nobody's is looked for, and what was given back is remembered.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use jiff::Timestamp;
use pw_host::facts;
use pw_journal::{Proof, SqliteJournal};
use pw_model::unit::Bytes;
use pw_plan::Plan;
use pw_plan::room::{self, Tree, Unnamed, Wanted};
use pw_run::{Failure, JournalFailure};
use serde_json::{Value, json};

use crate::printer::count;
use crate::seeded::age;
use crate::session::Session;
use crate::stop::Stop;

/// Under which the journal keeps it; it is nobody's environment.
const KIND: &str = "room";

/// What lies on this host.
pub(crate) struct Found {
    pub(crate) images: Vec<Unnamed>,
    trees: Vec<Tree>,
    mentions: Vec<String>,
}

impl Found {
    pub(crate) fn plan(&self, session: &Session) -> Plan {
        room::plan(&Wanted {
            project: session.config.project.as_str(),
            images: &self.images,
            trees: &self.trees,
            mentions: &self.mentions,
            now: Timestamp::now().as_second(),
        })
    }
}

/// Looks for it; what another project of this state folder mentions is not nobody's either.
pub(crate) async fn look(session: &Session) -> Result<Found, Stop> {
    let images = session.host().engine().unnamed_images().await?;
    let mut mentions = Vec::new();
    read_all(&Path::new(session.layout.root()).join("projects"), &mut mentions)?;
    let trees = trees(Path::new(&session.layout.trees(&session.config.project)))?;
    Ok(Found { images, trees, mentions })
}

/// Why it is time; `None` while there is room.
pub(crate) async fn due(session: &Session) -> Option<String> {
    let below = session.config.governor.room;
    let (_, free) = facts::room(session.host().engine(), Path::new(session.layout.root())).await;
    let ago = read(session).and_then(|record| record["age_seconds"].as_u64());
    room::due(below, free, ago)
}

/// Bytes that are free where the engine keeps what it has.
pub(crate) async fn free(session: &Session) -> u64 {
    facts::room(session.host().engine(), Path::new(session.layout.root())).await.0.0
}

/// Releases and Compose files of all projects, those that are kept for a way back too. What cannot be read is a failure:
/// it might mention anything.
fn read_all(folder: &Path, texts: &mut Vec<String>) -> Result<(), Failure> {
    let failed = |path: &Path, error| {
        Failure::new(format!("could not read `{}`", path.display()))
            .because(error)
            .hint("nothing is removed while it is not known what is still wanted")
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| failed(folder, error))?,
    };
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        if path.is_symlink() || path.ends_with(".trees") {
            continue;
        }
        if path.is_dir() {
            read_all(&path, texts)?;
        } else if may_mention(&path) {
            let read = fs::read(&path).map_err(|error| failed(&path, error))?;
            texts.push(String::from_utf8_lossy(&read).into_owned());
        }
    }
    Ok(())
}

/// Files of the store have names without an end.
fn may_mention(path: &Path) -> bool {
    let is_stored = path.components().any(|part| part.as_os_str() == ".store");
    is_stored || path.extension().is_some_and(|end| end == "json" || end == "yaml")
}

fn trees(folder: &Path) -> Result<Vec<Tree>, Failure> {
    let failed = |error| Failure::new(format!("could not look into `{}`", folder.display())).because(error);
    let entries: Vec<PathBuf> = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?.flatten().map(|entry| entry.path()).collect(),
    };
    let tree = |path: PathBuf| {
        let changed = fs::symlink_metadata(&path).and_then(|found| found.modified()).ok()?;
        let made = changed.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some(Tree { path: path.to_str()?.to_owned(), made: i64::try_from(made).ok()? })
    };
    Ok(entries.into_iter().filter_map(tree).collect())
}

/// Remembers what was given back.
pub(crate) fn remember(journal: &mut SqliteJournal, done: &Value) -> Result<(), JournalFailure> {
    let (kind, environment) = (KIND.to_owned(), String::new());
    journal.prove(&Proof { kind, environment, passed: true, summary: done.to_string() })
}

/// The last time.
pub(crate) fn read(session: &Session) -> Option<Value> {
    let path = session.layout.journal(&session.config.project);
    // Looking must not fail for the sake of a line.
    let journal = SqliteJournal::open_read_only(path.as_ref()).ok().flatten()?;
    let (at, proof) = journal.newest_proof(KIND, "").ok().flatten()?;
    let mut value: Value = serde_json::from_str(&proof.summary).ok()?;
    value["age_seconds"] = json!(Timestamp::now().as_second() - at);
    Some(value)
}

/// What `status` says of it; nothing before the first time.
pub(crate) fn line(session: &Session) -> String {
    let told = |record: Value| {
        let ago = age(record["age_seconds"].as_i64().unwrap_or(0));
        format!(
            "room      {}, {ago} ago, because {}\n",
            summary(&record),
            record["because"].as_str().unwrap_or("?")
        )
    };
    read(session).map(told).unwrap_or_default()
}

/// What was given back, in words.
pub(crate) fn summary(record: &Value) -> String {
    let number = |key: &str| record[key].as_u64().unwrap_or(0);
    let removed: Vec<String> =
        [("images", "unnamed image"), ("trees", "folder of a release that did not come to be")]
            .iter()
            .filter_map(|(key, word)| {
                let many = usize::try_from(number(key)).ok().filter(|many| *many > 0)?;
                Some(count(many, word))
            })
            .chain(std::iter::once("old build cache".to_owned()))
            .collect();
    format!("{} given back: {}", Bytes(number("bytes")), removed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_one_line() {
        let record = json!({"images": 2, "trees": 0, "bytes": 3_u64 << 30});
        assert_eq!(summary(&record), "3 GB given back: 2 unnamed images, old build cache");
    }

    #[test]
    fn what_may_mention_an_image_is_read_wherever_it_lies() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("shop/production/releases/1.json", "one");
        write("shop/.store/production/0a", "two");
        write("other/development/compose.yaml", "three");
        write("shop/.trees/0b/package.json", "nobody asks");
        write("shop/journal.db", "nobody asks");
        let mut texts = Vec::new();
        read_all(folder.path(), &mut texts).expect("read");
        texts.sort();
        assert_eq!(texts, ["one", "three", "two"]);
        read_all(&folder.path().join("nowhere"), &mut texts).expect("nothing there");
    }
}
