//! A backup that stands in for the environment that was backed up: which one is meant, and the server that takes its dump.

use pw_backup::manifest::Database;
use pw_backup::{Manifest, Repository};
use pw_model::unit::Bytes;
use pw_plan::scratch::Source;
use pw_plan::step::Stored;
use pw_plan::wall::Rendered;

use crate::backing;
use crate::reach::USERS;
use crate::session::Session;
use crate::stop::Stop;

/// The newest backup.
pub(crate) const LATEST: &str = "latest";
/// A dump holds no indexes, and its rows lie closer than a server's.
pub(crate) const UNPACKED: u64 = 2;

/// The backup of this name in the repository.
pub(crate) fn manifest(session: &Session, name: &str) -> Result<Manifest, Stop> {
    let repository = Repository::new(backing::place(session)?);
    if !repository.list()?.iter().any(|one| one.name == name) {
        return Err(Stop::because(
            format!("there is no backup `{name}`"),
            format!("the repository `{}` holds none of that name", repository.path()),
            "`partywall backups` lists those that are there",
        ));
    }
    let manifest = repository.manifest(name)?;
    if manifest.project == session.config.project.as_str() {
        return Ok(manifest);
    }
    Err(Stop::because(
        format!("backup `{name}` is not of this project"),
        format!("it is of `{}`", manifest.project),
        "`partywall backups` lists those that are",
    ))
}

/// What the backup holds of an entry of `databases`.
pub(crate) fn database<'m>(manifest: &'m Manifest, part: &str) -> Result<&'m Database, Stop> {
    manifest.databases.get(part).ok_or_else(|| {
        let there: Vec<&str> = manifest.databases.keys().map(String::as_str).collect();
        let there = if there.is_empty() { "no database".to_owned() } else { there.join(", ") };
        Stop::because(
            format!("backup `{}` does not hold the database `{part}`", manifest.name),
            format!("it holds {there}"),
            format!("name another: `partywall backups {}` lists them", manifest.environment),
        )
    })
}

pub(crate) fn stored(session: &Session, manifest: &Manifest, part: &str) -> Result<Stored, Stop> {
    Ok(Stored { repository: backing::place(session)?, backup: manifest.name.clone(), part: part.to_owned() })
}

/// A fresh server that the dump is loaded into.
pub(crate) async fn source(session: &Session, of: &Rendered, known: &Database) -> Result<Source, Stop> {
    let image = image(session, of, known).await?;
    let data = session.host().engine().image_variable(&image, "PGDATA").await?;
    Ok(Source {
        container: String::new(),
        image,
        database: known.name.clone(),
        user: user(of, known),
        data: data.unwrap_or_else(|| "/var/lib/postgresql/data".to_owned()),
        bytes: Bytes(known.dump.bytes * UNPACKED),
        only_logical: Some("it comes from a backup".to_owned()),
    })
}

/// The very image that ran then, where it is still here, else the one of the Compose file.
async fn image(session: &Session, of: &Rendered, known: &Database) -> Result<String, Stop> {
    let there = session.host().engine().images([known.image.as_str()]).await?;
    let now = of.model["services"][&known.service]["image"].as_str();
    Ok(now.filter(|_| there.is_empty()).unwrap_or(&known.image).to_owned())
}

/// Who owns a fresh server of that service.
fn user(of: &Rendered, known: &Database) -> String {
    let variables = &of.model["services"][&known.service]["environment"];
    let mut set = USERS.iter().filter_map(|name| variables[*name].as_str()).filter(|user| !user.is_empty());
    set.next().unwrap_or(&known.user).to_owned()
}
