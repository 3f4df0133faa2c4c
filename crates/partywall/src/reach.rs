//! How a database inside an environment is reached: from this host, at its container's own address.
//!
//! Nothing is published for it. The wall keeps environments from each other, not the host from them.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use pw_data::server::Address;
use pw_host::docker::{Engine, Inside};
use pw_model::config::Database;
use pw_plan::step::DatabasePlace;
use pw_run::Failure;

/// How long an address may take to answer that is only a bridge away.
const PATIENCE: Duration = Duration::from_secs(3);
/// From which the password of a DSN without one is taken.
const PASSWORD: &str = "PGPASSWORD";
/// Variables of the usual images, the official one first.
const PASSWORDS: [&str; 3] = ["POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "PGPASSWORD"];
pub(crate) const USERS: [&str; 3] = ["POSTGRES_USER", "POSTGRESQL_USERNAME", "PGUSER"];
const NAMES: [&str; 3] = ["POSTGRES_DB", "POSTGRESQL_DATABASE", "PGDATABASE"];

/// A server that answers.
pub(crate) struct Reached {
    /// Of the container.
    pub(crate) id: String,
    pub(crate) password: Option<String>,
    pub(crate) address: Address,
    /// Of the container, by id.
    pub(crate) image: String,
    /// The words that start the server's own `pg_dump`.
    pub(crate) pg_dump: Vec<String>,
}

/// Database and user of an environment: as configured, else as its own service has them.
pub(crate) async fn place(
    engine: &Engine,
    compose_project: &str,
    database: &Database,
) -> Result<DatabasePlace, Failure> {
    let inside = engine.look_inside(compose_project, database.service.as_str()).await?;
    let user = known(&inside, database.user.as_deref(), &USERS)?.unwrap_or_else(|| "postgres".into());
    let name = known(&inside, database.name.as_deref(), &NAMES)?.unwrap_or_else(|| user.clone());
    Ok(DatabasePlace {
        project: compose_project.to_owned(),
        service: database.service.to_string(),
        name,
        user,
        password: database.password.clone(),
    })
}

fn known(inside: &Inside, configured: Option<&str>, variables: &[&str]) -> Result<Option<String>, Failure> {
    if let Some(text) = configured {
        return Ok(Some(text.to_owned()));
    }
    for name in variables {
        if let Some(found) = inside.secret(name)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Finds the address that answers now, and the password.
pub(crate) async fn reach(engine: &Engine, place: &DatabasePlace) -> Result<Reached, Failure> {
    let inside = engine.look_inside(&place.project, &place.service).await?;
    let password = match &place.password {
        Some(name) => Some(inside.secret(name)?.ok_or_else(|| no_password(place, name))?),
        None => known(&inside, None, &PASSWORDS)?,
    };
    let port = inside.variables.get("PGPORT").and_then(|port| port.parse().ok()).unwrap_or(5432);
    let host = answering(place, &inside, port)?;
    let address = Address::new(&host, port, &place.name).signed_in(&place.user, password.as_deref());
    let own = ["docker", "exec", "-e", "PGPASSWORD", &inside.id, "pg_dump"].map(str::to_owned).to_vec();
    Ok(Reached { id: inside.id, image: inside.image, password, address, pg_dump: pg_dump().unwrap_or(own) })
}

/// A server that is named by its DSN, which holds a password only where it is taken from a variable.
pub(crate) fn server(dsn: &str) -> Result<Address, Failure> {
    let password = std::env::var(PASSWORD).ok();
    Ok(Address::parse(dsn)?.or_password(password.as_deref()))
}

/// The words that start a `pg_dump` of an image, which is at least as new as the server's; `None` for this host's own.
pub(crate) fn pg_dump_for(server: &Address, image: &str) -> Option<Vec<String>> {
    let words = [
        "docker",
        "run",
        "--rm",
        "--network",
        "host",
        "-e",
        PASSWORD,
        "-e",
        "PGSSLMODE",
        "-e",
        "PGSSLROOTCERT",
    ];
    let words = words.into_iter().chain(["--entrypoint", "pg_dump", image]).map(str::to_owned).collect();
    // A certificate's file is on this host, not in a container.
    pg_dump().or((!server.compares_with_file()).then_some(words))
}

/// The words of `PARTYWALL_PG_DUMP`.
pub(crate) fn pg_dump() -> Option<Vec<String>> {
    let words = std::env::var("PARTYWALL_PG_DUMP").ok()?;
    Some(words.split_whitespace().map(str::to_owned).collect())
}

fn no_password(place: &DatabasePlace, name: &str) -> Failure {
    Failure::new(format!("`{}` of `{}` has no variable `{name}`", place.service, place.project))
        .hint("correct `password` under `databases:` in partywall.yaml")
}

/// The first of the container's addresses at which something listens.
fn answering(place: &DatabasePlace, inside: &Inside, port: u16) -> Result<String, Failure> {
    let mut said = String::from("it has no address in any network");
    for text in &inside.addresses {
        let Ok(address) = text.parse().map(|address| SocketAddr::new(address, port)) else { continue };
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(text.clone()),
            Err(error) => said = format!("{address} does not answer: {error}"),
        }
    }
    let failure =
        Failure::new(format!("`{}` of `{}` cannot be reached from this host", place.service, place.project));
    Err(failure.because(said).hint(
        "Partywall asks a database at its container's own address, which a rootless engine, or one in a virtual machine, keeps to itself: run it where the containers run",
    ))
}
