//! Backups of this project: [`gather`] finds what belongs into one, [`perform`] makes it, [`restore`] brings it back, [`drill`] tries it;
//! [`part`] brings back one file or table; [`log`] takes what servers wrote since, [`moment`] plays it;
//! [`dumped`] has a backup stand in for what was backed up; [`roles`] makes what a server needs before a database comes back.

pub(crate) mod drill;
pub(crate) mod dumped;
pub(crate) mod gather;
pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod moment;
mod part;
pub(crate) mod perform;
pub(crate) mod restore;
mod roles;
pub(crate) mod shown;

use std::path::Path;

use jiff::Timestamp;
use pw_backup::{Backup, Repository};
use pw_model::config;
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_plan::step::{Kept, RepositoryPlace};

use crate::releases;
use crate::session::Session;
use crate::stop::Stop;

/// The section of partywall.yaml, or how to write one.
pub(crate) fn section(session: &Session) -> Result<&config::Backup, Stop> {
    session.config.backup.as_ref().ok_or_else(|| {
        Diagnostic::error("partywall.yaml has no `backup` section")
            .because("it says where backups are kept")
            .hint(format!(
                "add `backup: {{ repository: /var/backups/{} }}`; see docs/backup.md",
                session.config.project
            ))
            .into()
    })
}

/// The repository of the section, and the project's key.
pub(crate) fn place(session: &Session) -> Result<RepositoryPlace, Stop> {
    let project = &session.config.project;
    Ok(RepositoryPlace {
        path: section(session)?.repository.clone(),
        key: session.layout.backup_key(project),
        lock: session.layout.backup_lock(project),
        id: shown::repository(session),
    })
}

/// What `backup.keep` says, and the restore points of releases that are still listed.
pub(crate) fn kept(session: &Session, name: &str) -> Result<Kept, Stop> {
    let config::Keep { last, hourly, daily, weekly, monthly, yearly } = section(session)?.keep;
    let (name, _) = session.environment(name)?;
    let points = releases::all(session, name)?.into_iter().filter_map(|one| one.restore_point).collect();
    Ok(Kept { last, hourly, daily, weekly, monthly, yearly, points })
}

/// The name of an environment's newest backup.
pub(crate) fn newest(session: &Session, name: &EnvironmentName) -> Result<String, Stop> {
    let newest = list(session, Some(name.as_str()))?.into_iter().next();
    newest.map(|one| one.name).ok_or_else(|| {
        Stop::because(
            format!("`{name}` has no backup"),
            "the repository holds none of it",
            format!("`partywall backup {name}` makes one"),
        )
    })
}

/// Whole backups of the project, the newest first; of one environment where it is named.
pub(crate) fn list(session: &Session, environment: Option<&str>) -> Result<Vec<Backup>, Stop> {
    let place = place(session)?;
    let repository = Repository::new(place.clone());
    if place.id.is_none() && !repository.exists() {
        return Ok(Vec::new());
    }
    let project = session.config.project.as_str();
    let ours = |one: &Backup| {
        one.project == project && environment.is_none_or(|environment| one.environment == environment)
    };
    Ok(repository.list()?.into_iter().filter(ours).collect())
}

/// True when somebody has put the key in its place, or a backup has made one.
pub(crate) fn has_key(place: &RepositoryPlace) -> bool {
    Path::new(&place.key).is_file()
}

pub(crate) fn seconds_since(at: Timestamp) -> i64 {
    Timestamp::now().duration_since(at).as_secs()
}
