//! Where a seed's data comes from: an environment that runs, or a backup.

use pw_backup::Manifest;
use pw_data::server::Address;
use pw_model::config::Class;
use pw_model::diagnostic::{Diagnostic, nearest};
use pw_model::name::EnvironmentName;

use crate::backing::dumped::LATEST;
use crate::backing::{self, dumped};
use crate::session::Session;
use crate::stop::Stop;

pub(super) enum Source<'s> {
    Environment(&'s EnvironmentName),
    Backup(Box<Manifest>),
    /// A server that this host can reach, with the rows of an environment whose files are here.
    Server {
        dsn: String,
        of: &'s EnvironmentName,
    },
}

/// The only production environment, or what is named.
pub(super) fn find<'s>(
    session: &'s Session,
    target: &EnvironmentName,
    named: Option<&str>,
) -> Result<Source<'s>, Stop> {
    let written = session.config.seed.as_ref().and_then(|seed| seed.from.as_deref());
    let named = named.or(written);
    let known = |name: &str| session.config.environments.keys().find(|known| known.as_str() == name);
    let found = match named {
        None => production(session).ok_or_else(no_production)?,
        Some(named) => match known(named) {
            Some(found) => found,
            None if is_dsn(named) => return server(session, target, named),
            None if named == LATEST || is_backup(named) => return backup(session, target, named),
            None => return Err(unknown(session, named)),
        },
    };
    if found == target {
        let told = format!("`{found}` cannot be filled from itself");
        return Err(Stop::because(
            told,
            "source and target are one environment",
            "name another with `--from`",
        ));
    }
    Ok(Source::Environment(found))
}

fn production(session: &Session) -> Option<&EnvironmentName> {
    let mut all = session.config.environments_in_order().into_iter();
    all.find(|(name, environment)| environment.class(name) == Class::Production).map(|(name, _)| name)
}

fn no_production() -> Stop {
    let told = Diagnostic::error("there is no production environment to take data from");
    told.hint("name the environment with `--from`").into()
}

/// Backups are named by their time: `20261121-072437`.
fn is_backup(text: &str) -> bool {
    let digits = |part: &str, count| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').is_some_and(|(day, time)| digits(day, 8) && digits(time, 6))
}

fn is_dsn(text: &str) -> bool {
    ["postgres://", "postgresql://", "env:"].iter().any(|begin| text.starts_with(begin))
        || text.split(' ').any(|word| word.starts_with("dbname="))
}

/// Its files come from production's own folders, for a server of rows has none.
fn server<'s>(session: &'s Session, target: &EnvironmentName, dsn: &str) -> Result<Source<'s>, Stop> {
    let address = Address::parse(dsn)?;
    if address.has_password() && !dsn.starts_with("env:") {
        return Err(Stop::because(
            "the DSN of `--from` holds a password",
            "a list of processes, `partywall.yaml` and the journal would show it",
            "write `--from env:NAME` with the DSN in that variable, or leave the password out and set PGPASSWORD",
        ));
    }
    let of = production(session).filter(|of| *of != target).ok_or_else(no_production)?;
    Ok(Source::Server { dsn: dsn.to_owned(), of })
}

fn backup<'s>(session: &Session, target: &EnvironmentName, named: &str) -> Result<Source<'s>, Stop> {
    let name = if named == LATEST { newest(session)? } else { named.to_owned() };
    let manifest = dumped::manifest(session, &name)?;
    if manifest.environment == target.as_str() {
        return Err(Stop::because(
            format!("backup `{name}` is of `{target}` itself"),
            "a seed takes the data of another environment, and masks it",
            format!("`partywall restore {target} {name}` brings it back as it was"),
        ));
    }
    Ok(Source::Backup(Box::new(manifest)))
}

fn newest(session: &Session) -> Result<String, Stop> {
    let name = production(session).ok_or_else(no_production)?;
    backing::newest(session, name)
}

fn unknown(session: &Session, named: &str) -> Stop {
    let known: Vec<&str> = session.config.environments.keys().map(EnvironmentName::as_str).collect();
    let written = session.config.seed.as_ref().and_then(|seed| seed.from.as_deref());
    let place = session.source.find(&["seed", "from"]).filter(|_| written == Some(named));
    let told = Diagnostic::error(format!("there is no environment or backup `{named}` to take data from"))
        .at(place)
        .because(format!(
            "environments are {}; a backup is `{LATEST}` or a name such as 20261121-072437",
            known.join(", ")
        ));
    match nearest(named, known) {
        Some(near) => told.hint(format!("did you mean `{near}`?")).into(),
        None => told.hint("leave `--from` out for production, or see `partywall backups`").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_dsn() {
        for dsn in ["postgres://u@h/d", "postgresql://h/d", "env:REPLICA", "host=h dbname=d"] {
            assert!(is_dsn(dsn), "{dsn}");
        }
        assert!(!is_dsn("production") && !is_dsn("20261121-072437"));
    }

    #[test]
    fn a_backup_is_known_by_its_name() {
        assert!(is_backup("20261121-072437"));
        for other in ["production", "20261121", "20261121-07243", "20261121-07243x", "2026-11-21"] {
            assert!(!is_backup(other), "{other}");
        }
    }
}
