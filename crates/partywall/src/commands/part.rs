//! `restore --path` and `restore --table`: one file or one table, while everything goes on.

use std::path::{Component, Path};

use jiff::Timestamp;
use pw_backup::Manifest;
use pw_model::name::EnvironmentName;
use pw_plan::Plan;
use pw_plan::backup::part::{self, Ground, WantedPath, WantedTable};
use pw_plan::step::{RepositoryPlace, Stored, TableName};
use serde_json::json;

use super::change::{Asked, confirmed};
use super::moment::database;
use super::restore::{folders, not_in, show};
use crate::apply;
use crate::cli;
use crate::printer::{GREEN, Printer};
use crate::reach;
use crate::session::Session;
use crate::stop::Stop;

/// From which backup, and for whom.
pub(super) struct Of<'a> {
    pub(super) name: &'a EnvironmentName,
    pub(super) repository: &'a RepositoryPlace,
    pub(super) manifest: &'a Manifest,
}

impl Of<'_> {
    fn stored(&self, part: &str) -> Stored {
        let (repository, backup) = (self.repository.clone(), self.manifest.name.clone());
        Stored { repository, backup, part: part.to_owned() }
    }

    fn ground(&self, session: &Session) -> Ground {
        Ground {
            project: session.config.project.to_string(),
            environment: self.name.to_string(),
            stamp: Timestamp::now().strftime("%Y%m%d_%H%M%S").to_string(),
        }
    }
}

pub(super) async fn path(
    session: &Session,
    of: &Of<'_>,
    (asked, path): (&cli::Restore, &str),
    printer: &mut Printer,
) -> Result<(), Stop> {
    let found = folders(session, asked, of.manifest).await?;
    let Some((folder, on_host)) = found.into_iter().next() else { return Ok(()) };
    let below = path.trim_matches('/');
    let plain = Path::new(below).components().all(|part| matches!(part, Component::Normal(_)));
    if below.is_empty() || !plain {
        return Err(Stop::because(
            format!("`{path}` is not a path below `{folder}`"),
            "it has no name, or leads outside",
            format!("write for example `--volume {folder} --path pictures/1.png`"),
        ));
    }
    let place = Path::new(&on_host).join(below);
    let there = place.symlink_metadata().is_ok();
    let place = place.display().to_string();
    let (stored, ground) = (of.stored(&folder), of.ground(session));
    let plan =
        part::path(&ground, &WantedPath { stored, path: below.to_owned(), place: place.clone(), there });
    let lost = format!("what was written to `{below}` after {} would no longer be in use", of.manifest.at);
    if !carried_out(session, (of, asked), (&plan, lost), printer).await? {
        return Ok(());
    }
    let replaced = there.then(|| format!("{place}.replaced-{}", ground.stamp));
    if printer.is_json() {
        return printer.json(&json!({
            "ok": true, "operation": "restore", "environment": of.name, "changed": true,
            "backup": of.manifest.name, "path": place, "replaced": replaced,
        }));
    }
    printer.note(format!("{GREEN}`{below}` is back{GREEN:#} in {folder}, from backup {}", of.manifest.name));
    if let Some(kept) = replaced {
        printer.note(format!("  replaced, and kept until you remove it: {kept}"));
    }
    Ok(())
}

pub(super) async fn table(
    session: &Session,
    of: &Of<'_>,
    (asked, written): (&cli::Restore, &str),
    printer: &mut Printer,
) -> Result<(), Stop> {
    let key = database(session, asked.database.as_deref())?;
    let Some(known) = of.manifest.databases.get(&key) else {
        return Err(not_in(of.manifest, "database", &key, of.manifest.databases.keys()));
    };
    let named =
        |full: &&String| *full == written || full.split_once('.').is_some_and(|(_, name)| name == written);
    let found: Vec<&String> = known.tables.keys().filter(named).collect();
    let [full] = found.as_slice() else {
        let tables = if found.is_empty() { known.tables.keys().collect() } else { found };
        return Err(not_in(of.manifest, "one table", written, tables.into_iter()));
    };
    let (schema, name) = full.split_once('.').unwrap_or(("public", full));
    let table = TableName { schema: schema.to_owned(), name: name.to_owned() };
    let project = session.config.compose_project(of.name);
    let host = session.host();
    let database = reach::place(host.engine(), &project, &session.config.databases[&key]).await?;
    let (stored, ground) = (of.stored(&key), of.ground(session));
    let plan = part::table(&ground, &WantedTable { stored, table, database });
    let lost = "nothing that is in use would change; a schema with the table is added".to_owned();
    if !carried_out(session, (of, asked), (&plan, lost), printer).await? {
        return Ok(());
    }
    let (rows, beside) = (known.tables[*full].rows, format!("{}.{name}", part::schema(&ground.stamp)));
    if printer.is_json() {
        return printer.json(&json!({
            "ok": true, "operation": "restore", "environment": of.name, "changed": true,
            "backup": of.manifest.name, "table": full, "beside": beside, "rows": rows,
        }));
    }
    printer.note(format!(
        "{GREEN}`{full}` of backup {} is there as {beside}{GREEN:#}: {rows} rows; the present one is as it was",
        of.manifest.name
    ));
    printer.note(format!(
        "  take what you need, such as: INSERT INTO {full} SELECT * FROM {beside} ON CONFLICT DO NOTHING; \
         then: DROP SCHEMA {} CASCADE",
        part::schema(&ground.stamp)
    ));
    Ok(())
}

/// False when only the plan was asked for.
async fn carried_out(
    session: &Session,
    (of, asked): (&Of<'_>, &cli::Restore),
    (plan, lost): (&Plan, String),
    printer: &mut Printer,
) -> Result<bool, Stop> {
    if asked.plan {
        return show(plan, printer).map(|()| false);
    }
    confirmed(session, &Asked { name: of.name, operation: "restore", lost }, &asked.confirm, printer)?;
    let (_lock, mut journal) = session.begin()?;
    apply::run(plan, session.host(), &mut journal, printer).await?;
    Ok(true)
}
