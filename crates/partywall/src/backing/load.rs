//! A dump in a scratch server, counted; and files that rows name, out of a backup.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use pw_backup::Repository;
use pw_backup::manifest::Database;
use pw_backup::take::Taking;
use pw_data::count::counted_here;
use pw_data::here::Here;
use pw_host::{Host, OnLine, vault};
use pw_plan::step::{ScratchServer, Stored, TakeRun, VaultPlace};
use pw_run::Failure;

use super::perform::blocking;
use super::restore::{Receiver, differences, missing_role, received};
use super::roles;

/// A database cannot be dropped through itself.
const KEEPER: &str = "postgres";
const OTHER_KEEPER: &str = "template1";
/// For definitions that only tell which roles they need.
const TRIED: &str = "partywall_definitions";
/// A statement tells only the first role that it lacks.
const MOST_ROUNDS: u32 = 50;

/// Makes the server's database from the dump; answers what the manifest says of it.
pub(crate) async fn load(host: &Host, stored: &Stored, server: &ScratchServer) -> Result<Database, Failure> {
    let inside = host.engine().look_inside(&server.compose.project, &server.service).await?;
    let (place, running) = (stored.clone(), host.engine().look_at_version(&inside.id).await?);
    let known = blocking(move || Repository::new(place.repository).manifest(&place.backup)).await?;
    if let Some(known) = known.databases.get(&stored.part) {
        not_older(&running, &known.server)?;
    }
    let keeper = if server.database == KEEPER { OTHER_KEEPER } else { KEEPER };
    match roles::around(stored).await? {
        Some(around) => {
            let here = Here { folder: Path::new(&server.socket), user: &server.user, database: keeper };
            here.make_roles_of(&around).await?;
        }
        None => make_roles(stored, server, (&inside.id, keeper)).await?,
    }
    let words = ["-C", "--clean", "--if-exists"].map(str::to_owned).to_vec();
    received(stored, receiver(server, &inside.id, (keeper, words))).await
}

fn receiver(server: &ScratchServer, container: &str, (database, words): (&str, Vec<String>)) -> Receiver {
    Receiver {
        container: container.to_owned(),
        password: None,
        user: server.user.clone(),
        database: database.to_owned(),
        words,
    }
}

/// For a backup that holds no roles. Its dump names some that a fresh server has not: owners, grantees, those of policies.
/// Which they are is said by a load of the definitions alone, which nobody needs otherwise.
async fn make_roles(
    stored: &Stored,
    server: &ScratchServer,
    (container, keeper): (&str, &str),
) -> Result<(), Failure> {
    let here = Here { folder: Path::new(&server.socket), user: &server.user, database: keeper };
    let words = vec!["--schema-only".to_owned()];
    for _ in 0..MOST_ROUNDS {
        here.make_anew(TRIED).await?;
        let (stored, receiver) = (stored.clone(), receiver(server, container, (TRIED, words.clone())));
        let missing = blocking(move || {
            let taking = Taking::open(&Repository::new(stored.repository.clone()), &stored.backup)?;
            let said = receiver.complaints(|pipe| drop(taking.dump(&stored.part, pipe)))?;
            Ok(said.lines().filter_map(missing_role).map(str::to_owned).collect::<BTreeSet<String>>())
        });
        let missing = missing.await?;
        if missing.is_empty() {
            break;
        }
        here.make_roles(&missing).await?;
    }
    here.drop_database(TRIED).await
}

/// The same, and nobody reads from it before it is known to be what was backed up.
pub(crate) async fn load_counted(
    host: &Host,
    on_line: Option<OnLine>,
    (stored, server): (&Stored, &ScratchServer),
) -> Result<(), Failure> {
    let tell = |text: &str| on_line.iter().for_each(|tell| tell(text));
    tell("waiting for the dump to be loaded");
    let known = load(host, stored, server).await?;
    tell("waiting for the rows to be counted");
    let folder = Path::new(&server.socket);
    let found = counted_here(folder, &server.user, &server.database).await?;
    let wrong = differences(&known, &found);
    if !wrong.is_empty() {
        return Err(Failure::new(format!("`{}` came back other than it was backed up", stored.part))
            .because(io::Error::other(wrong.join("; "))));
    }
    Here { folder, user: &server.user, database: &server.database }.look_through().await
}

/// A server does not read what a newer one has written.
fn not_older(running: &str, known: &str) -> Result<(), Failure> {
    let major = |version: &str| version.split(['.', ' ']).next().and_then(|text| text.parse::<u32>().ok());
    match (major(running), major(known)) {
        (Some(running), Some(known)) if running < known => Err(Failure::new(format!(
            "the backup is of PostgreSQL {known}, and the service's image has {running}"
        ))
        .because("an older server does not read what a newer one wrote")
        .hint("the image in the Compose file must not be older than the backup")),
        _ => Ok(()),
    }
}

/// The files of these keys into the folder that the vault is then copied from.
pub(crate) fn take(run: &TakeRun, keys: &[String], stop: &AtomicBool) -> Result<(), Failure> {
    let VaultPlace::Folder { path } = &run.vault.from;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Failure::new(format!("could not remove `{path}`")).because(error));
        }
        _ => {}
    }
    let taking = Taking::open(&Repository::new(run.stored.repository.clone()), &run.stored.backup)?;
    let paths = vault::named(&run.vault, keys);
    taking.named((&run.stored.part, run.below.as_deref()), &paths, (Path::new(path), stop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_is_not_there_is_known_by_its_name() {
        let said = "pg_restore: error: could not execute query: ERROR:  role \"some one\" does not exist";
        assert_eq!(missing_role(said), Some("some one"));
        assert_eq!(missing_role("ERROR:  relation \"role\" does not exist"), None);
    }

    #[test]
    fn an_older_server_is_told_before_it_stumbles() {
        assert!(not_older("17.5 (Debian 17.5-1)", "17.2").is_ok());
        assert!(not_older("18beta1", "17.2").is_ok());
        let told = not_older("15.13 (Debian 15.13-0+deb12u1)", "17.5").expect_err("older");
        assert_eq!(told.what, "the backup is of PostgreSQL 17, and the service's image has 15");
    }
}
