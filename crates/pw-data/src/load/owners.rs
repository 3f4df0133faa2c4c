//! Who owns what and who may do what, as far as the target's server knows them.

use std::collections::BTreeSet;

use pw_run::Failure;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::server::{Address, Source, literal, quoted};

/// Roles of the source that have another name in the target.
pub type Roles = std::collections::BTreeMap<String, String>;

/// Runs what gives objects their owners and roles their privileges, statement by statement. What the server refuses
/// because a role is not there, or because who signs in may not give it, stays as it is; answers why, once each.
///
/// # Errors
/// The server refuses for another reason.
pub(super) async fn give(
    scratch: &Address,
    statements: &[String],
    roles: &Roles,
) -> Result<BTreeSet<String>, Failure> {
    let client = scratch.connect().await?;
    let mut told = BTreeSet::new();
    for statement in statements {
        let Err(error) = client.batch_execute(&renamed(statement, roles)).await else { continue };
        match error.as_db_error() {
            Some(known)
                if [SqlState::UNDEFINED_OBJECT, SqlState::INSUFFICIENT_PRIVILEGE].contains(known.code()) =>
            {
                told.insert(known.message().to_owned());
            }
            _ => {
                let what = format!("could not carry over `{statement}`");
                return Err(Failure::new(what).because(error));
            }
        }
    }
    Ok(told)
}

/// The same statement for the roles of the target. `pg_dump` writes a role behind one of these words, alone or last.
pub(super) fn renamed(statement: &str, roles: &Roles) -> String {
    let mut text = statement.to_owned();
    for (from, to) in roles {
        for from in [quoted(from), from.clone()] {
            for (before, after) in
                [(" TO ", ";"), (" TO ", " WITH GRANT OPTION;"), (" FROM ", ";"), (" FOR ROLE ", " ")]
            {
                text = text
                    .replace(&format!("{before}{from}{after}"), &format!("{before}{}{after}", quoted(to)));
            }
        }
    }
    text
}

/// A policy that names roles, and the words by which `pg_dump` does so, in the order of its own question.
pub(super) struct Policy {
    pub(super) words: String,
    pub(super) roles: Vec<String>,
}

impl Policy {
    /// The statement with the roles of the target, where it is this policy's.
    pub(super) fn renamed(&self, sql: &str, roles: &Roles) -> String {
        let name = |role: &String| quoted(roles.get(role).unwrap_or(role));
        let words = format!(" TO {}", self.roles.iter().map(name).collect::<Vec<_>>().join(", "));
        match sql.split_once(&self.words) {
            Some((before, after)) if after.starts_with([' ', ';']) => format!("{before}{words}{after}"),
            _ => sql.to_owned(),
        }
    }
}

/// # Errors
/// The source cannot be read.
pub(super) async fn policies(source: &Source) -> Result<Vec<Policy>, Failure> {
    let query = "SELECT p.polname, (SELECT array_agg(r.rolname::text ORDER BY r.rolname) FROM pg_roles r WHERE r.oid = ANY (p.polroles)), \
        array_to_string(ARRAY(SELECT quote_ident(r.rolname) FROM pg_roles r WHERE r.oid = ANY (p.polroles)), ', ') \
        FROM pg_policy p WHERE p.polroles <> '{0}' ORDER BY p.oid";
    let rows = source.leader().query(query, &[]).await;
    let rows =
        rows.map_err(|error| Failure::new("could not read the policies of the source").because(error))?;
    let policy = |row: &tokio_postgres::Row| Policy {
        words: format!(" TO {}", row.get::<_, &str>(2)),
        roles: row.get::<_, Option<Vec<String>>>(1).unwrap_or_default(),
    };
    Ok(rows.iter().map(policy).collect())
}

/// What the database that is replaced has of its own: its owner, who may connect, its settings. They are
/// development's, not production's.
///
/// # Errors
/// The server refuses for another reason than that who signs in may not.
pub(super) async fn keep(keeper: &Client, former: &str, new: &Address) -> Result<BTreeSet<String>, Failure> {
    let failed = |error| Failure::new(format!("could not read the settings of `{former}`")).because(error);
    let name = quoted(new.database());
    let grants = "SELECT format('GRANT %s ON DATABASE %s TO %s%s', a.privilege_type, $2::text, \
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, \
            CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
        FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = $1 AND a.grantee <> d.datdba";
    let mut statements: Vec<String> =
        keeper.query(grants, &[&former, &name]).await.map_err(failed)?.iter().map(|row| row.get(0)).collect();
    let owner = "SELECT format('ALTER DATABASE %s OWNER TO %I', $2::text, pg_get_userbyid(datdba)), datacl IS NOT NULL \
        FROM pg_database WHERE datname = $1";
    let Some(row) = keeper.query_opt(owner, &[&former, &name]).await.map_err(failed)? else {
        return Ok(BTreeSet::new());
    };
    if row.get(1) {
        statements.insert(0, format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"));
    }
    let settings = "SELECT split_part(c, '=', 1), substr(c, strpos(c, '=') + 1), \
            CASE s.setrole WHEN 0 THEN '' ELSE format('ROLE %I IN ', pg_get_userbyid(s.setrole)) END \
        FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c WHERE d.datname = $1";
    for row in keeper.query(settings, &[&former]).await.map_err(failed)? {
        let (setting, value, role): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
        // A list among the settings is quoted otherwise than a text; the server knows which is one.
        statements.push(format!(
            "SELECT set_config({}, {}, true); ALTER {role}DATABASE {name} SET {setting} FROM CURRENT",
            literal(setting),
            literal(value)
        ));
    }
    statements.push(row.get(0));
    give(&new.with_database("postgres"), &statements, &Roles::new()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_renamed_where_pg_dump_writes_them_and_nowhere_else() {
        let roles = Roles::from([("app".to_owned(), "app dev".to_owned())]);
        for (from, to) in [
            ("ALTER TABLE public.app OWNER TO app;", "ALTER TABLE public.app OWNER TO \"app dev\";"),
            ("GRANT SELECT ON TABLE app TO application;", "GRANT SELECT ON TABLE app TO application;"),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT ALL ON TABLES TO app WITH GRANT OPTION;",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"app dev\" GRANT ALL ON TABLES TO \"app dev\" WITH GRANT OPTION;",
            ),
            ("REVOKE ALL ON TABLE t FROM \"app\";", "REVOKE ALL ON TABLE t FROM \"app dev\";"),
        ] {
            assert_eq!(renamed(from, &roles), to);
        }
    }
}
