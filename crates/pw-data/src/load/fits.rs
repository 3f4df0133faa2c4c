//! What the target's server must have, asked before anything is copied.

use pw_model::diagnostic::Diagnostic;
use pw_run::Failure;
use tokio_postgres::Client;

use super::owners::{Roles, policies};
use crate::Halt;
use crate::server::{Address, Source};

/// # Errors
/// The target lacks something without which the schema cannot be made, or either side cannot be asked.
pub async fn fits(source: &Source, target: &Address, roles: &Roles) -> Result<(), Halt> {
    let keeper = target.with_database("postgres").connect().await?;
    let mut lacking = extensions(source, &keeper).await?;
    lacking.extend(roles_of_policies(source, &keeper, roles).await?);
    if lacking.is_empty() { Ok(()) } else { Err(Halt::Complaints(lacking)) }
}

async fn names(client: &Client, query: &str) -> Result<Vec<String>, Failure> {
    let rows = client.query(query, &[]).await;
    let rows = rows.map_err(|error| Failure::new("could not ask what the servers have").because(error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn extensions(source: &Source, keeper: &Client) -> Result<Vec<Diagnostic>, Failure> {
    let installed = names(source.leader(), "SELECT extname FROM pg_extension ORDER BY 1").await?;
    let available = names(keeper, "SELECT name::text FROM pg_available_extensions").await?;
    let lacking = installed.iter().filter(|name| !available.contains(name));
    let told = |name: &String| {
        Diagnostic::error(format!("the target's server has no extension `{name}`"))
            .because("the source uses it")
            .hint("install its package there, or use the same image for both servers")
    };
    Ok(lacking.map(told).collect())
}

async fn roles_of_policies(
    source: &Source,
    keeper: &Client,
    roles: &Roles,
) -> Result<Vec<Diagnostic>, Failure> {
    let known = names(keeper, "SELECT rolname::text FROM pg_roles").await?;
    let mut named: Vec<String> =
        policies(source).await?.into_iter().flat_map(|policy| policy.roles).collect();
    named.sort();
    named.dedup();
    let lacking = named.iter().filter(|name| !known.contains(roles.get(*name).unwrap_or(name)));
    let told = |name: &String| {
        Diagnostic::error(format!("the target's server has no role `{name}`"))
            .because("a policy of row-level security names it")
            .hint(format!(
                "create it there: CREATE ROLE \"{name}\"; or name another: `roles: {{ {name}: OTHER }}`"
            ))
    };
    Ok(lacking.map(told).collect())
}
