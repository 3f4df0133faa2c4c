//! From a backup to the server that stands in for the environment that was backed up.

use pw_backup::Manifest;
use pw_backup::manifest::{Database, Folder};
use pw_model::config::{Seed, Vault};
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::unit::Bytes;
use pw_plan::scratch::{Ground, Source};
use pw_plan::seed::VaultSource;
use pw_plan::seed::backup::{FromBackup, PURPOSE, Wanted, stand_in};
use pw_plan::step::{BackupOrigin, Stored};
use pw_plan::wall::{Rendered, group_limits};

use crate::backing;
use crate::commands::drill::{UNPACKED, rendered, walls};
use crate::prepare;
use crate::reach::USERS;
use crate::session::Session;
use crate::stop::Stop;

/// Steps to the server and away from it; nothing is made yet.
pub(super) async fn prepared(
    session: &Session,
    manifest: &Manifest,
    target: &EnvironmentName,
    seed: &Seed,
) -> Result<FromBackup, Stop> {
    let (part, known) = database(session, manifest, seed)?;
    let (name, _) = session.environment(&manifest.environment)?;
    let host = session.host();
    let walls = walls(session, &host, name).await?;
    let (of, beside) = (rendered(&walls, name)?, rendered(&walls, target)?);
    let image = image(session, of, known).await?;
    let data = host.engine().image_variable(&image, "PGDATA").await?;
    let source = Source {
        container: String::new(),
        image,
        database: known.name.clone(),
        user: user(of, known),
        data: data.unwrap_or_else(|| "/var/lib/postgresql/data".to_owned()),
        bytes: Bytes(known.dump.bytes * UNPACKED),
        only_logical: Some("it comes from a backup".to_owned()),
    };
    let folder = session.layout.scratch(&session.config.project, target, PURPOSE);
    let limits = group_limits(&session.config, &beside.name, beside.group.clone(), walls.facts.memory);
    let desired = prepare::desired(session, &walls, name).await?;
    let ground = Ground {
        purpose: PURPOSE,
        project: session.config.project.as_str(),
        of,
        beside,
        service: &known.service,
        source: &source,
        folder: &folder,
        state: session.layout.identity(),
        group: walls.facts.writes_cgroups.then_some(&limits),
        disk_free: walls.facts.disk_free,
    };
    let origin = BackupOrigin {
        name: manifest.name.clone(),
        environment: manifest.environment.clone(),
        at: manifest.at.to_string(),
    };
    let stored = Stored { repository: backing::place(session)?, backup: manifest.name.clone(), part };
    let variables = desired.variable_file.as_ref().map(|file| file.text.as_str());
    Ok(stand_in(ground, &Wanted { origin: &origin, stored: &stored, variables })?)
}

/// The seed's database, as it is in the backup.
fn database<'m>(
    session: &Session,
    manifest: &'m Manifest,
    seed: &Seed,
) -> Result<(String, &'m Database), Stop> {
    let Some((part, _)) = seed.database(&session.config) else {
        return Err(Diagnostic::error("`seed` has no database to fill").hint("add `databases:`").into());
    };
    let known = manifest.databases.get(part).ok_or_else(|| {
        let there: Vec<&str> = manifest.databases.keys().map(String::as_str).collect();
        let there = if there.is_empty() { "no database".to_owned() } else { there.join(", ") };
        Stop::because(
            format!("backup `{}` does not hold the database `{part}`", manifest.name),
            format!("it holds {there}"),
            format!("name another: `partywall backups {}` lists them", manifest.environment),
        )
    })?;
    Ok((part.to_owned(), known))
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

/// The folder of the backup that holds what the vault is.
pub(super) fn vault(
    session: &Session,
    manifest: &Manifest,
    index: usize,
    vault: &Vault,
) -> Result<VaultSource, Stop> {
    let found = match (&vault.volume, &vault.mount) {
        (Some(volume), _) => manifest.folders.contains_key(volume).then(|| (volume.clone(), None)),
        (None, Some(mount)) => mounted(manifest, mount),
        (None, None) => None,
    };
    let Some((part, below)) = found else {
        let (key, name) = match &vault.volume {
            Some(volume) => ("volume", volume),
            None => ("mount", vault.mount.as_ref().unwrap_or(&vault.key)),
        };
        let there: Vec<&str> = manifest.folders.keys().map(String::as_str).collect();
        return Err(Diagnostic::error(format!("backup `{}` does not hold `{name}`", manifest.name))
            .at(session.source.find_nearest(&["seed", "vault", &index.to_string(), key]))
            .because(format!("its folders are {}", there.join(", ")))
            .hint(format!("name another: `partywall backups {}` lists them", manifest.environment))
            .into());
    };
    Ok(VaultSource::Stored { part, below })
}

/// The deepest mount at or above the path of the service, and the rest of the path.
fn mounted(manifest: &Manifest, wanted: &str) -> Option<(String, Option<String>)> {
    let inside = |(part, folder): (&String, &Folder)| {
        let at = |mount: &String| {
            let rest = wanted.strip_prefix(mount.trim_end_matches('/'))?;
            let below = rest.trim_matches('/').to_owned();
            let plain = !below.split('/').any(|part| part == "..");
            (plain && (rest.is_empty() || rest.starts_with('/'))).then_some((mount.len(), below))
        };
        let (depth, below) = folder.mounted.iter().filter_map(at).max()?;
        Some((depth, part.clone(), Some(below).filter(|below| !below.is_empty())))
    };
    manifest.folders.iter().filter_map(inside).max().map(|(_, part, below)| (part, below))
}
