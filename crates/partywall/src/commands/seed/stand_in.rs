//! From a backup to the server that stands in for the environment that was backed up.

use pw_backup::Manifest;
use pw_backup::manifest::Folder;
use pw_model::config::{Seed, Vault};
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_plan::scratch::Ground;
use pw_plan::seed::VaultSource;
use pw_plan::seed::backup::{FromBackup, PURPOSE, Wanted, stand_in};
use pw_plan::step::BackupOrigin;
use pw_plan::wall::group_limits;

use crate::backing::dumped;
use crate::commands::drill::{rendered, walls};
use crate::prepare;
use crate::session::Session;
use crate::stop::Stop;

/// Steps to the server and away from it; nothing is made yet.
pub(super) async fn prepared(
    session: &Session,
    manifest: &Manifest,
    target: &EnvironmentName,
    seed: &Seed,
) -> Result<FromBackup, Stop> {
    let Some((part, _)) = seed.database(&session.config) else {
        return Err(Diagnostic::error("`seed` has no database to fill").hint("add `databases:`").into());
    };
    let known = dumped::database(manifest, part)?;
    let (name, _) = session.environment(&manifest.environment)?;
    let walls = walls(session, &session.host(), name).await?;
    let (of, beside) = (rendered(&walls, name)?, rendered(&walls, target)?);
    let source = dumped::source(session, of, known).await?;
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
    let stored = dumped::stored(session, manifest, part)?;
    let variables = desired.variable_file.as_ref().map(|file| file.text.as_str());
    Ok(stand_in(ground, &Wanted { origin: &origin, stored: &stored, variables })?)
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
