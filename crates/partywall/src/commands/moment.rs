//! `restore --at`: a database as it was at one second.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pw_backup::log::{Chain, chain};
use pw_backup::manifest::Base;
use pw_backup::{Manifest, Repository};
use pw_model::name::EnvironmentName;
use pw_model::unit::Bytes;
use pw_plan::backup::restore::{Moment, Played, moment};
use pw_plan::scratch::{Ground, Source};
use pw_plan::step::{DatabasePlace, RepositoryPlace, Stored};
use pw_plan::wall::group_limits;

use super::backup::take_log;
use super::drill::{budget, rendered, walls};
use crate::backing;
use crate::cli;
use crate::prepare;
use crate::printer::Printer;
use crate::reach;
use crate::session::Session;
use crate::stop::Stop;

const PURPOSE: &str = "moment";
const HINT: &str =
    "write for example `2026-11-21 10:15:30`, in this machine's time, or `2026-11-21T10:15:30Z`";

/// The moment that is asked for, and from what it is made.
pub(super) struct Found {
    /// Name under `databases:`.
    pub(super) database: String,
    pub(super) manifest: Manifest,
    base: Base,
    service: String,
    chain: Chain,
    at: Timestamp,
}

/// In this machine's time, unless the text says otherwise.
pub(super) fn time(text: &str) -> Result<Timestamp, Stop> {
    let text = text.trim();
    let found = text.parse::<Timestamp>().or_else(|_| {
        let local: DateTime = text.parse()?;
        Ok(local.to_zoned(TimeZone::system())?.timestamp())
    });
    let at = found.map_err(|error: jiff::Error| {
        Stop::because(format!("`{text}` is not a time"), error.to_string(), HINT)
    })?;
    if at <= Timestamp::now() {
        return Ok(at);
    }
    Err(Stop::because(format!("`{text}` is still to come"), format!("read as {at}"), HINT))
}

/// Takes the rest of the log, so that the last seconds can be had too; a server that is away has none to give.
pub(super) async fn take_rest(session: &Session, name: &EnvironmentName, printer: &mut Printer) {
    if let Err(stop) = take_log(session, name, printer).await {
        let told = stop.diagnostics().into_iter().next();
        printer.note(format!(
            "what the log has grown by since it was last taken is left out: {}",
            told.map(|one| one.message).unwrap_or_default()
        ));
    }
}

/// The newest backup before the moment, and the log from there on, without a gap.
pub(super) fn find(
    session: &Session,
    (name, place): (&EnvironmentName, &RepositoryPlace),
    asked: &cli::Restore,
    at: Timestamp,
) -> Result<Found, Stop> {
    let database = database(session, asked.database.as_deref())?;
    let service = session.config.databases[&database].service.to_string();
    let repository = Repository::new(place.clone());
    for one in backing::list(session, Some(name.as_str()))? {
        if one.at > at
            || asked.backup.as_ref().is_some_and(|wanted| wanted != "latest" && *wanted != one.name)
        {
            continue;
        }
        let manifest = repository.manifest(&one.name)?;
        let Some(base) = manifest.bases.get(&service).filter(|base| base.ended <= at).cloned() else {
            continue;
        };
        let chain = chain(&repository, name.as_str(), (&service, &base), Some(at))?;
        return Ok(Found { database, manifest, base, service, chain, at });
    }
    Err(Stop::because(
        format!("no backup of `{name}` from before {at} has the files of `{service}`"),
        "the log is played onto them",
        format!(
            "keep the log with `log: {{ hold: 4GB }}` under `backup:`; `partywall backups {name}` lists what there is"
        ),
    ))
}

pub(super) fn database(session: &Session, wanted: Option<&str>) -> Result<String, Stop> {
    let all: Vec<&String> = session.config.databases.keys().collect();
    match (wanted, all.as_slice()) {
        (Some(wanted), _) if session.config.databases.contains_key(wanted) => Ok(wanted.to_owned()),
        (None, [one]) => Ok((*one).clone()),
        _ => {
            let names = all.into_iter().cloned().collect::<Vec<_>>().join(", ");
            Err(Stop::because(
                "it is not clear which database is to come back",
                format!("`databases:` in partywall.yaml names {names}"),
                "name it with `--database NAME`",
            ))
        }
    }
}

/// The scratch server, and the database that takes what it has.
pub(super) async fn prepared(
    session: &Session,
    (name, repository): (&EnvironmentName, &RepositoryPlace),
    found: &Found,
) -> Result<(Moment, BTreeMap<String, DatabasePlace>), Stop> {
    let host = session.host();
    let project = session.config.compose_project(name);
    let target = reach::place(host.engine(), &project, &session.config.databases[&found.database]).await?;
    let stored = Stored {
        repository: repository.clone(),
        backup: found.manifest.name.clone(),
        part: found.service.clone(),
    };
    let wanted = Scratched {
        purpose: PURPOSE,
        stored: &stored,
        base: &found.base,
        chain: &found.chain,
        database: &target.name,
        // The new database is made beside all of this.
        bytes: Bytes(found.base.size),
        at: found.at,
    };
    let moment = scratched(session, name, &wanted).await?;
    Ok((moment, BTreeMap::from([(found.database.clone(), target)])))
}

/// A server that plays a log, and what for.
pub(super) struct Scratched<'a> {
    pub(super) purpose: &'static str,
    /// Its part is the service.
    pub(super) stored: &'a Stored,
    pub(super) base: &'a Base,
    pub(super) chain: &'a Chain,
    pub(super) database: &'a str,
    /// Room that is needed beside it.
    pub(super) bytes: Bytes,
    pub(super) at: Timestamp,
}

/// Steps that make it, and those that remove it.
pub(super) async fn scratched(
    session: &Session,
    name: &EnvironmentName,
    wanted: &Scratched<'_>,
) -> Result<Moment, Stop> {
    let (host, config, base) = (session.host(), &session.config, wanted.base);
    let service = &wanted.stored.part;
    let walls = walls(session, &host, name).await?;
    let of = rendered(&walls, name)?;
    let beside = budget(session).and_then(|budget| rendered(&walls, budget).ok()).unwrap_or(of);
    let log = wanted.chain.segments() as u64 * base.segment_bytes;
    let source = Source {
        container: String::new(),
        image: image(session, of.model["services"][service]["image"].as_str(), base).await?,
        database: wanted.database.to_owned(),
        user: base.user.clone(),
        data: base.data.clone(),
        bytes: Bytes(base.size + wanted.bytes.0 + log),
        only_logical: None,
    };
    let folder = session.layout.scratch(&config.project, name, wanted.purpose);
    let limits = group_limits(config, &beside.name, beside.group.clone(), walls.facts.memory);
    let desired = prepare::desired(session, &walls, name).await?;
    let ground = Ground {
        purpose: wanted.purpose,
        project: config.project.as_str(),
        of,
        beside,
        service,
        source: &source,
        folder: &folder,
        state: session.layout.identity(),
        group: walls.facts.writes_cgroups.then_some(&limits),
        disk_free: walls.facts.disk_free,
    };
    let until = wanted.at.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string();
    let variables = desired.variable_file.as_ref().map(|file| file.text.as_str());
    let played = Played { stored: wanted.stored, log: &wanted.chain.parts, until: &until, variables };
    Ok(moment(ground, &played)?)
}

/// The very image that ran then, where it is still here: its files need its version.
async fn image(session: &Session, now: Option<&str>, base: &Base) -> Result<String, Stop> {
    let there = session.host().engine().images([base.image.as_str()]).await?;
    match now.filter(|_| there.is_empty()) {
        Some(now) => Ok(now.to_owned()),
        None => Ok(base.image.clone()),
    }
}
