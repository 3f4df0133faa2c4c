//! What belongs into a backup: databases, folders of data, and every file that makes the environment what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pw_host::Host;
use pw_model::config::FILE_NAME;
use pw_model::desired::Desired;
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::role::Role;
use pw_plan::step::{BackupRun, DatabasePlace, FolderPlace};
use pw_plan::wall::Loaded;
use serde_json::Value;

use super::place;
use crate::prepare;
use crate::reach;
use crate::session::Session;
use crate::stop::Stop;

/// Everything of the environment, and what there is to warn of.
pub(crate) async fn gather(
    session: &Session,
    host: &Host,
    name: &EnvironmentName,
    backup: String,
) -> Result<(BackupRun, Vec<Diagnostic>), Stop> {
    let walls = prepare::walls(session, host, Some(name)).await?;
    let desired = prepare::desired(session, &walls, name).await?;
    let containers = host.engine().containers(&desired.compose_project).await?;
    session.runs_from_here(name, &containers)?;
    let databases = databases(session, host, name).await?;
    let folders = folders(host, &desired, &databases).await?;
    let loaded = walls.loaded.iter().find(|one| one.name == *name);
    let model = walls.rendered.iter().find(|one| one.name == *name).map(|one| &one.model);
    let run = BackupRun {
        repository: place(session)?,
        name: backup,
        project: session.config.project.to_string(),
        environment: name.to_string(),
        files: files(session, name, loaded, model),
        release: desired.services.iter().map(|(name, one)| (name.clone(), one.image.clone())).collect(),
        bases: bases(session, &databases),
        databases,
        folders,
    };
    let warnings = unread(session, &desired, &run);
    Ok((run, warnings))
}

async fn databases(
    session: &Session,
    host: &Host,
    name: &EnvironmentName,
) -> Result<BTreeMap<String, DatabasePlace>, Stop> {
    let project = session.config.compose_project(name);
    let mut found = BTreeMap::new();
    for (key, database) in &session.config.databases {
        found.insert(key.clone(), reach::place(host.engine(), &project, database).await?);
    }
    Ok(found)
}

/// Each server once, where its log is kept.
fn bases(session: &Session, databases: &BTreeMap<String, DatabasePlace>) -> BTreeMap<String, DatabasePlace> {
    let keeps = session.config.backup.as_ref().is_some_and(|backup| backup.log.is_some());
    let servers = databases.values().filter(|_| keeps);
    servers.map(|place| (place.service.clone(), place.clone())).collect()
}

/// Own volumes and folders of data, but for those of the servers whose databases are dumped.
async fn folders(
    host: &Host,
    desired: &Desired,
    databases: &BTreeMap<String, DatabasePlace>,
) -> Result<BTreeMap<String, FolderPlace>, Stop> {
    let servers: BTreeSet<&str> = databases.values().map(|place| place.service.as_str()).collect();
    let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut dumped = BTreeSet::new();
    for (service, one) in &desired.services {
        for (inside, from) in &one.mounts {
            users.entry(from).or_default().push(format!("{service}:{inside}"));
            if servers.contains(service.as_str()) {
                dumped.insert(from.as_str());
            }
        }
    }
    let outside = desired.kept_data.iter().map(|text| text.strip_prefix("volume ").unwrap_or(text));
    let all: BTreeSet<&str> = desired.volumes.iter().map(String::as_str).chain(outside).collect();
    let mut found = BTreeMap::new();
    for from in all.into_iter().filter(|from| !dumped.contains(from)) {
        let Some(mounted) = users.get(from).cloned() else { continue };
        let volume = (!from.starts_with('/')).then(|| from.to_owned());
        let path = match &volume {
            Some(name) => match host.engine().volume_path(name).await? {
                Some(path) => path,
                None => continue,
            },
            None => from.to_owned(),
        };
        let own = format!("{}_", desired.compose_project);
        let name = match &volume {
            Some(name) => name.strip_prefix(&own).unwrap_or(name).to_owned(),
            None => from.trim_start_matches('/').replace('/', "_"),
        };
        found.insert(name, FolderPlace { volume, path, mounted });
    }
    Ok(found)
}

/// Name in the backup → path: what the environment is rendered from, and what it runs from.
fn files(
    session: &Session,
    name: &EnvironmentName,
    loaded: Option<&Loaded>,
    model: Option<&Value>,
) -> BTreeMap<String, String> {
    let (layout, project) = (&session.layout, &session.config.project);
    let mut paths: BTreeSet<PathBuf> = BTreeSet::from([session.directory.join(FILE_NAME)]);
    for path in
        [layout.compose_file(project, name), layout.variable_file(project, name), layout.masks_key(project)]
    {
        paths.insert(path.into());
    }
    let secrets = std::fs::read_dir(layout.secrets(project, name)).into_iter().flatten().flatten();
    paths.extend(secrets.map(|entry| entry.path()));
    if let Some(loaded) = loaded {
        paths.extend(loaded.sources.iter().map(|source| session.directory.join(&source.name)));
        paths.extend(loaded.env_files.iter().map(PathBuf::from));
        paths.extend(loaded.service_files.iter().map(|file| PathBuf::from(&file.path)));
    }
    paths.extend(model.into_iter().flat_map(named));
    let there = paths.into_iter().filter(|path| path.is_file());
    there.filter_map(|path| Some((stored_as(session, &path), path.to_str()?.to_owned()))).collect()
}

/// Files of secrets, configs and single-file mounts.
fn named(model: &Value) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for section in ["secrets", "configs"] {
        let all = model.get(section).and_then(Value::as_object).into_iter().flatten();
        found.extend(all.filter_map(|(_, one)| one.get("file")?.as_str()).map(PathBuf::from));
    }
    let services = model.get("services").and_then(Value::as_object).into_iter().flatten();
    for (_, service) in services {
        let mounts = service.get("volumes").and_then(Value::as_array).into_iter().flatten();
        let binds = mounts.filter(|mount| mount.get("type").and_then(Value::as_str) == Some("bind"));
        found.extend(binds.filter_map(|mount| mount.get("source")?.as_str()).map(PathBuf::from));
    }
    found
}

/// `project/…` for what lies in the project's folder, `state/…` for ours, `elsewhere/…` for the rest.
fn stored_as(session: &Session, path: &Path) -> String {
    let state = session.layout.project(&session.config.project);
    if let Ok(below) = path.strip_prefix(&session.directory) {
        return format!("project/{}", below.display());
    }
    match path.strip_prefix(&state) {
        Ok(below) => format!("state/{}", below.display()),
        Err(_) => format!("elsewhere/{}", path.display().to_string().trim_start_matches('/')),
    }
}

/// A server whose files are copied while it writes them is not sure to start from the copy.
fn unread(session: &Session, desired: &Desired, run: &BackupRun) -> Vec<Diagnostic> {
    let dumped: BTreeSet<&str> = run.databases.values().map(|place| place.service.as_str()).collect();
    let has_folder = |service: &str| {
        let prefix = format!("{service}:");
        run.folders.values().flat_map(|folder| &folder.mounted).any(|mount| mount.starts_with(&prefix))
    };
    let servers = desired.services.iter().filter(|(name, one)| {
        one.role == Role::Database && !dumped.contains(name.as_str()) && has_folder(name)
    });
    servers
        .map(|(name, _)| {
            Diagnostic::warning(format!("the files of `{name}` are copied while it writes them"))
                .at(session.source.find_nearest(&["databases"]))
                .because("only databases named under `databases:` are dumped at one moment")
                .hint(format!("if it is PostgreSQL, add `{name}: {{ service: {name} }}` under `databases:`"))
        })
        .collect()
}
