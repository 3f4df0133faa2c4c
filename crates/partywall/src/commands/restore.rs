//! `restore`: an environment gets back what a backup holds, and keeps what it had under another name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use pw_backup::manifest::Folder;
use pw_backup::{Manifest, Repository};
use pw_model::compose::ComposeModel;
use pw_model::config::FILE_NAME;
use pw_model::desired::DesiredService;
use pw_model::name::EnvironmentName;
use pw_model::role::speaks_of;
use pw_plan::Plan;
use pw_plan::backup::restore::{Moment, Wanted, former, former_folder};
use pw_plan::step::{DatabasePlace, RepositoryPlace};
use pw_run::{Failure, Observe};
use serde_json::json;

use super::change::{Asked, confirmed};
use super::moment;
use super::part::{self, Of};
use crate::apply;
use crate::backing;
use crate::cli::{self, Kind};
use crate::prepare;
use crate::printer::{GREEN, Printer, count};
use crate::reach;
use crate::session::Session;
use crate::stop::Stop;

pub(crate) async fn run(session: &Session, asked: &cli::Restore, printer: &mut Printer) -> Result<(), Stop> {
    from(session, backing::place(session)?, asked, printer).await
}

/// From any repository that holds backups of the environment.
pub(super) async fn from(
    session: &Session,
    place: RepositoryPlace,
    asked: &cli::Restore,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let (name, _) = session.environment(asked.environment.as_deref().unwrap_or_default())?;
    if let Some(at) = &asked.at {
        return as_of(session, (name, place), asked, (moment::time(at)?, printer)).await;
    }
    let backup = chosen(session, name, asked.backup.as_deref().unwrap_or("latest"))?;
    let manifest = Repository::new(place.clone()).manifest(&backup)?;
    of_this(name, &manifest)?;
    let of = Of { name, repository: &place, manifest: &manifest };
    match (&asked.path, &asked.table) {
        (Some(path), _) => return part::path(session, &of, (asked, path), printer).await,
        (None, Some(table)) => return part::table(session, &of, (asked, table), printer).await,
        (None, None) => {}
    }
    let databases = databases(session, name, asked, &manifest).await?;
    let folders = folders(session, asked, &manifest).await?;
    let roles = roles(session, asked, (&manifest, &databases)).await?;
    let parts = Parts { repository: place, databases, folders, roles, moment: None };
    let (plan, wanted) = planned(session, name, &manifest, parts).await?;
    if asked.plan {
        return show(&plan, printer);
    }
    let lost = format!("what came after {} would no longer be in use", manifest.at);
    confirmed(session, &Asked { name, operation: "restore", lost }, &asked.confirm, printer)?;
    let (_lock, mut journal) = session.begin()?;
    apply::run(&plan, session.host(), &mut journal, printer).await?;
    let what = format!("what backup {} holds", wanted.backup);
    done(name, (&wanted, &what), printer)
}

/// One database as it was at a moment; what was there stays, as with any restore.
async fn as_of(
    session: &Session,
    (name, place): (&EnvironmentName, RepositoryPlace),
    asked: &cli::Restore,
    (at, printer): (Timestamp, &mut Printer),
) -> Result<(), Stop> {
    let lost = format!("what was committed after {at} would no longer be in use");
    if !asked.plan {
        confirmed(session, &Asked { name, operation: "restore", lost }, &asked.confirm, printer)?;
        moment::take_rest(session, name, printer).await;
    }
    let found = moment::find(session, (name, &place), asked, at)?;
    let (moment, databases) = moment::prepared(session, (name, &place), &found).await?;
    let roles = roles(session, asked, (&found.manifest, &databases)).await?;
    let parts = Parts { repository: place, databases, folders: BTreeMap::new(), roles, moment: Some(moment) };
    let (plan, wanted) = planned(session, name, &found.manifest, parts).await?;
    if asked.plan {
        return show(&plan, printer);
    }
    let (_lock, mut journal) = session.begin()?;
    apply::run(&plan, session.host(), &mut journal, printer).await?;
    done(name, (&wanted, &format!("what was there at {at}")), printer)
}

/// What comes back, and from where.
struct Parts {
    repository: RepositoryPlace,
    databases: BTreeMap<String, DatabasePlace>,
    folders: BTreeMap<String, String>,
    roles: BTreeMap<String, BTreeSet<String>>,
    moment: Option<Moment>,
}

/// The backup of that name, or the newest of the environment.
fn chosen(session: &Session, name: &EnvironmentName, asked: &str) -> Result<String, Stop> {
    if asked != "latest" {
        return Ok(asked.to_owned());
    }
    backing::newest(session, name)
}

/// Production's rows belong into development only masked.
pub(super) fn of_this(name: &EnvironmentName, manifest: &Manifest) -> Result<(), Stop> {
    if manifest.environment == name.as_str() {
        return Ok(());
    }
    Err(Stop::because(
        format!("backup `{}` is not of `{name}`", manifest.name),
        format!("it is of `{}`", manifest.environment),
        format!("`partywall backups {name}` lists those that are"),
    ))
}

async fn planned(
    session: &Session,
    name: &EnvironmentName,
    manifest: &Manifest,
    parts: Parts,
) -> Result<(Plan, Wanted), Stop> {
    let Parts { repository, databases, folders, roles, moment } = parts;
    let host = session.host();
    let walls = prepare::walls(session, &host, Some(name)).await?;
    let desired = prepare::desired(session, &walls, name).await?;
    let observed = host.observe(&desired).await?;
    let rendered = walls.rendered.iter().find(|one| one.name == *name);
    let model = ComposeModel(rendered.and_then(|one| one.model.as_object().cloned()).unwrap_or_default());
    let mut users: BTreeSet<String> = BTreeSet::new();
    for place in databases.values() {
        let others = model.services().filter(|service| service.name() != place.service);
        users.extend(others.filter(|one| speaks_of(one, &place.service)).map(|one| one.name().to_owned()));
    }
    let mounts = |(name, one): (&String, &DesiredService)| {
        one.mounts.values().map(|from| (name.clone(), from.clone())).collect::<Vec<_>>()
    };
    // A server has to run while its database comes back.
    let serves = |name: &String| databases.values().any(|place| place.service == *name);
    let others = desired.services.iter().filter(|(name, _)| !serves(name));
    let mounts: Vec<(String, String)> = others.flat_map(mounts).collect();
    for (folder, path) in folders.iter().filter_map(|(part, path)| Some((manifest.folders.get(part)?, path)))
    {
        users.extend(mounting(&mounts, folder, path));
    }
    let wanted = Wanted {
        repository,
        backup: manifest.name.clone(),
        stamp: Timestamp::now().strftime("%Y%m%d_%H%M%S").to_string(),
        databases,
        folders,
        roles,
        users,
        moment,
    };
    let plan = pw_plan::backup::restore::plan(&desired, &observed, &wanted)?;
    plan.lint().map_err(|error| Failure::new("the plan is not safe to carry out").because(error))?;
    Ok((plan, wanted))
}

/// Services that mounted the folder when it was backed up, and those that mount it or something in it now: they would go on
/// writing into what is replaced. `now` is of each service what it mounts.
fn mounting(now: &[(String, String)], folder: &Folder, path: &str) -> BTreeSet<String> {
    let then = folder.mounted.iter().filter_map(|mount| Some(mount.split_once(':')?.0.to_owned()));
    let is_it = |from: &String| folder.volume.as_ref() == Some(from) || Path::new(from).starts_with(path);
    then.chain(now.iter().filter(|(_, from)| is_it(from)).map(|(name, _)| name.clone())).collect()
}

/// Nothing named means everything; one kind named leaves the other alone.
async fn databases(
    session: &Session,
    name: &EnvironmentName,
    asked: &cli::Restore,
    manifest: &Manifest,
) -> Result<BTreeMap<String, DatabasePlace>, Stop> {
    let all = asked.database.is_none() && asked.volume.is_none() && asked.only != Some(Kind::Folders);
    let mut found = BTreeMap::new();
    for key in manifest.databases.keys().filter(|key| all || asked.database.as_ref() == Some(key)) {
        let Some(database) = session.config.databases.get(key) else {
            return Err(not_here("database", key, "`databases:` in partywall.yaml does not name it"));
        };
        let project = session.config.compose_project(name);
        found.insert(key.clone(), reach::place(session.host().engine(), &project, database).await?);
    }
    match &asked.database {
        Some(key) if found.is_empty() => Err(not_in(manifest, "database", key, manifest.databases.keys())),
        _ => Ok(found),
    }
}

/// Roles that the servers lack: on a new machine all that there were, else those that a database cannot do without. One that
/// somebody has removed since may have been removed for good.
async fn roles(
    session: &Session,
    asked: &cli::Restore,
    (manifest, places): (&Manifest, &BTreeMap<String, DatabasePlace>),
) -> Result<BTreeMap<String, BTreeSet<String>>, Stop> {
    let (mut found, mut claimed) = (BTreeMap::new(), BTreeSet::new());
    for (key, place) in places {
        let known = manifest.databases.get(key).map(|database| &database.roles).into_iter().flatten();
        let wanted = known.filter(|(_, named)| **named || asked.from.is_some()).map(|(name, _)| name.clone());
        let reached = reach::reach(session.host().engine(), place).await?;
        let mut missing = pw_data::roles::missing(&reached.address, wanted.collect()).await?;
        // Two databases of one server may need the same.
        missing.retain(|name| claimed.insert((place.service.clone(), name.clone())));
        if !missing.is_empty() {
            found.insert(key.clone(), missing);
        }
    }
    Ok(found)
}

pub(super) async fn folders(
    session: &Session,
    asked: &cli::Restore,
    manifest: &Manifest,
) -> Result<BTreeMap<String, String>, Stop> {
    let all = asked.database.is_none() && asked.volume.is_none() && asked.only != Some(Kind::Databases);
    let mut found = BTreeMap::new();
    for (key, folder) in manifest.folders.iter().filter(|(key, _)| all || asked.volume.as_ref() == Some(key))
    {
        let path = match &folder.volume {
            None => moved(session, manifest, &folder.path),
            Some(volume) => match session.host().engine().volume_path(volume).await? {
                Some(path) => path,
                None => return Err(not_here("volume", volume, "the engine has none of that name")),
            },
        };
        found.insert(key.clone(), path);
    }
    match &asked.volume {
        Some(key) if found.is_empty() => Err(not_in(manifest, "volume", key, manifest.folders.keys())),
        _ => Ok(found),
    }
}

/// A folder of the project is where the project is now.
fn moved(session: &Session, manifest: &Manifest, path: &str) -> String {
    let file = manifest.files.get(&format!("project/{FILE_NAME}"));
    let former = file.and_then(|file| Path::new(&file.path).parent());
    let below = former.and_then(|former| Path::new(path).strip_prefix(former).ok());
    below.map_or_else(|| path.to_owned(), |below| session.directory.join(below).display().to_string())
}

fn not_here(what: &str, name: &str, why: &str) -> Stop {
    Stop::because(
        format!("the {what} `{name}` of the backup has no place here"),
        why,
        "run `partywall up` first, which makes it; or restore only a part: `--database`, `--volume`",
    )
}

pub(super) fn not_in<'a>(
    manifest: &Manifest,
    what: &str,
    key: &str,
    known: impl Iterator<Item = &'a String>,
) -> Stop {
    let known: Vec<&str> = known.map(String::as_str).collect();
    Stop::because(
        format!("backup `{}` has no {what} `{key}`", manifest.name),
        format!("it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") }),
        format!("`partywall backups --show {}` says what is in it", manifest.name),
    )
}

pub(super) fn show(plan: &Plan, printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        return printer.json(&json!({
            "operation": plan.operation, "environment": plan.environment, "steps": plan.steps,
        }));
    }
    printer.note(count(plan.steps.len(), "step"));
    printer.answer(plan.to_string())
}

fn done(name: &EnvironmentName, (wanted, what): (&Wanted, &str), printer: &mut Printer) -> Result<(), Stop> {
    let databases: Vec<String> =
        wanted.databases.values().map(|place| former(&place.name, &wanted.stamp)).collect();
    let folders: Vec<String> =
        wanted.folders.values().map(|path| former_folder(path, &wanted.stamp)).collect();
    if printer.is_json() {
        return printer.json(&json!({
            "ok": true, "operation": "restore", "environment": name, "changed": true, "backup": wanted.backup,
            "replaced": {"databases": databases, "folders": folders},
        }));
    }
    printer.note(format!("{GREEN}`{name}` has {what}{GREEN:#}"));
    for kept in databases.iter().map(|name| format!("database {name}")).chain(folders) {
        printer.note(format!("  replaced, and kept until you remove it: {kept}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_mounts_a_folder_since_its_backup_uses_it_too() {
        let now =
            [("web", "shop_vault"), ("mail", "shop_mail"), ("scan", "/srv/vault/pictures"), ("top", "/srv")];
        let now = now.map(|(name, from)| (name.to_owned(), from.to_owned()));
        let folder = |volume: Option<&str>| Folder {
            path: String::new(),
            volume: volume.map(str::to_owned),
            mounted: vec!["former:/vault".to_owned()],
            files: 0,
            bytes: 0,
            blake3: String::new(),
        };
        let of = |volume, path| Vec::from_iter(mounting(&now, &folder(volume), path)).join(" ");
        assert_eq!(of(Some("shop_vault"), "/var/lib/docker/volumes/shop_vault/_data"), "former web");
        assert_eq!(of(None, "/srv/vault"), "former scan");
    }
}
