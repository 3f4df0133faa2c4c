//! What a database needs of its server: roles with their passwords as the server keeps them, and who may do what with the
//! database itself. No dump of a database holds any of it.

use std::collections::{BTreeMap, BTreeSet};

use pw_run::Failure;
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::server::{Address, literal, quoted};

/// Roles of the database are those that own or may do something in it, and whoever shares a group with them.
/// Only a superuser sees what the server keeps of passwords; `%AUTH%` is what the asker may read.
const READ: &str = "\
    WITH RECURSIVE db AS (SELECT * FROM pg_database WHERE datname = current_database()), \
    members AS (SELECT m.roleid, m.member FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE g.rolname !~ '^pg_'), \
    named AS (\
        SELECT s.refobjid AS role FROM pg_shdepend s, db WHERE s.refclassid = 'pg_authid'::regclass \
            AND (s.dbid = db.oid OR s.classid = 'pg_database'::regclass AND s.objid = db.oid) \
        UNION SELECT s.setrole FROM pg_db_role_setting s, db WHERE s.setdatabase = db.oid AND s.setrole <> 0 \
        UNION SELECT datdba FROM db \
        UNION SELECT CASE WHEN m.member = n.role THEN m.roleid ELSE m.member END \
            FROM named n JOIN members m ON n.role IN (m.member, m.roleid)) \
    SELECT json_build_object(\
        'owner', pg_get_userbyid(db.datdba), \
        'grants', (SELECT json_agg(json_build_object('to', CASE grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(grantee) END, \
            'right', privilege_type, 'passes_on', is_grantable)) FROM aclexplode(db.datacl)), \
        'settings', (SELECT coalesce(json_agg(json_build_object('role', CASE setrole WHEN 0 THEN NULL ELSE pg_get_userbyid(setrole) END, \
            'entries', setconfig)), '[]') FROM pg_db_role_setting WHERE setdatabase = db.oid), \
        'roles', (SELECT coalesce(json_object_agg(r.rolname, json_build_object(\
            'named', r.oid IN (SELECT role FROM named), \
            'superuser', rolsuper, 'inherits', rolinherit, 'makes_roles', rolcreaterole, 'makes_databases', rolcreatedb, \
            'logs_in', rolcanlogin, 'replicates', rolreplication, 'bypasses', rolbypassrls, 'connections', rolconnlimit, \
            'password', %PASSWORD%, 'until', rolvaliduntil::text, \
            'member_of', (SELECT coalesce(json_agg(json_build_object('role', pg_get_userbyid(m.roleid), 'passes_on', m.admin_option, \
                'inherits', (to_jsonb(m) ->> 'inherit_option')::bool, 'sets', (to_jsonb(m) ->> 'set_option')::bool)), '[]') \
                FROM pg_auth_members m WHERE m.member = r.oid), \
            'entries', (SELECT coalesce(json_agg(e), '[]') FROM pg_db_role_setting s, unnest(s.setconfig) e \
                WHERE s.setdatabase = 0 AND s.setrole = r.oid))), '{}') \
            FROM %AUTH% r WHERE r.rolname !~ '^pg_'))::text \
    FROM db";
/// Their values are lists of names, quoted already where they must be.
const LISTS: [&str; 6] = [
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
    "shared_preload_libraries",
    "unix_socket_directories",
];
/// What makes a role is not for the server's log: it holds what the server keeps of a password.
const UNWRITTEN: &str = "SET log_statement = 'none'; SET log_min_duration_statement = -1; \
    SET log_min_error_statement = 'panic'; SET log_duration = off;";

/// What is around a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    pub owner: String,
    /// `None` as long as nobody has changed them.
    grants: Option<Vec<Grant>>,
    settings: Vec<Settings>,
    /// All of the server's, but for those that it brings itself.
    pub roles: BTreeMap<String, Role>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Grant {
    /// `None` is everybody.
    to: Option<String>,
    right: String,
    passes_on: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Settings {
    role: Option<String>,
    /// `name=value`.
    entries: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// True for one that the database cannot be restored without.
    pub named: bool,
    superuser: bool,
    inherits: bool,
    makes_roles: bool,
    makes_databases: bool,
    logs_in: bool,
    replicates: bool,
    bypasses: bool,
    connections: i32,
    /// As the server keeps it, from which nobody learns the password itself.
    password: Option<String>,
    until: Option<String>,
    member_of: Vec<Membership>,
    entries: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Membership {
    role: String,
    passes_on: bool,
    /// Known since PostgreSQL 16.
    inherits: Option<bool>,
    sets: Option<bool>,
}

impl std::fmt::Debug for Role {
    /// Without what the server keeps of its password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Role").field("named", &self.named).finish_non_exhaustive()
    }
}

fn not(what: &str) -> impl FnOnce(tokio_postgres::Error) -> Failure {
    let what = format!("could not {what}");
    move |error| Failure::new(what).because(error)
}

/// Reads what is around the database that the address names.
///
/// # Errors
/// The server cannot be reached, or says something else than it should.
pub async fn read(database: &Address) -> Result<Around, Failure> {
    let client = database.connect().await?;
    let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
    let sees = client.query_one(superuser, &[]).await.map_err(not("ask who asks"))?.get::<_, bool>(0);
    let (auth, password) = if sees { ("pg_authid", "rolpassword") } else { ("pg_roles", "NULL") };
    let query = READ.replace("%AUTH%", auth).replace("%PASSWORD%", password);
    let row = client.query_one(&query, &[]).await.map_err(not("read the roles"))?;
    let text: &str = row.get(0);
    serde_json::from_str(text).map_err(|error| Failure::new("could not understand the roles").because(error))
}

/// Which of these roles the server lacks.
///
/// # Errors
/// The server cannot be reached.
pub async fn missing(server: &Address, wanted: BTreeSet<String>) -> Result<BTreeSet<String>, Failure> {
    Ok(lacks(&server.connect().await?, wanted).await?.into_iter().collect())
}

async fn lacks(client: &Client, mut wanted: BTreeSet<String>) -> Result<BTreeSet<String>, Failure> {
    let rows =
        client.query("SELECT rolname::text FROM pg_roles", &[]).await.map_err(not("list the roles"))?;
    for row in rows {
        wanted.remove(row.get::<_, &str>(0));
    }
    Ok(wanted)
}

/// Makes those of the named roles that are not there, as they were: all or none.
///
/// # Errors
/// The server cannot be reached, or refuses. Nothing of a password is in the message.
pub async fn make(server: &Address, around: &Around, names: &BTreeSet<String>) -> Result<(), Failure> {
    make_on(&server.connect().await?, around, names).await
}

pub(crate) async fn make_on(
    client: &Client,
    around: &Around,
    names: &BTreeSet<String>,
) -> Result<(), Failure> {
    let new = lacks(client, names.clone()).await?;
    if new.is_empty() {
        return Ok(());
    }
    client.batch_execute(UNWRITTEN).await.map_err(not("keep the roles out of the server's log"))?;
    let known: BTreeSet<String> = around.roles.keys().cloned().collect();
    let still_lacks = &lacks(client, known).await? - &new;
    let text = format!("BEGIN; {} COMMIT", around.making(&new, &still_lacks));
    let made = client.batch_execute(&text).await;
    let list = new.iter().cloned().collect::<Vec<_>>().join(", ");
    made.map_err(not(&format!("make the roles {list}")))
}

/// Removes roles that a restore has made.
///
/// # Errors
/// The server cannot be reached, or something belongs to one of them.
pub async fn remove(server: &Address, names: &BTreeSet<String>) -> Result<(), Failure> {
    let list = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let dropped = server.connect().await?.batch_execute(&format!("DROP ROLE IF EXISTS {list}")).await;
    dropped.map_err(not(&format!("remove the roles {list}")))
}

/// Gives the database that the address names its owner, its rights and its settings.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub async fn dress(database: &Address, around: &Around) -> Result<(), Failure> {
    let client = database.connect().await?;
    let mentioned = around.settings.iter().filter_map(|one| one.role.clone());
    let mentioned = mentioned.chain(around.grants.iter().flatten().filter_map(|grant| grant.to.clone()));
    let absent = lacks(&client, mentioned.chain([around.owner.clone()]).collect()).await?;
    let text = format!("BEGIN; {} COMMIT", around.dressing(database.database(), &absent));
    client
        .batch_execute(&text)
        .await
        .map_err(not(&format!("set owner and rights of `{}`", database.database())))
}

impl Around {
    fn making(&self, new: &BTreeSet<String>, absent: &BTreeSet<String>) -> String {
        let mut text = String::new();
        for (name, role) in self.roles.iter().filter(|(name, _)| new.contains(*name)) {
            text.push_str(&format!("CREATE ROLE {} WITH {};", quoted(name), role.attributes()));
            for entry in &role.entries {
                text.push_str(&setting(&format!("ROLE {}", quoted(name)), entry));
            }
        }
        for (name, role) in self.roles.iter().filter(|(name, _)| !absent.contains(*name)) {
            let groups = role.member_of.iter().filter(|one| !absent.contains(&one.role));
            for group in groups.filter(|one| new.contains(name) || new.contains(&one.role)) {
                text.push_str(&format!(
                    "GRANT {} TO {}{};",
                    quoted(&group.role),
                    quoted(name),
                    group.options()
                ));
            }
        }
        text
    }

    fn dressing(&self, database: &str, absent: &BTreeSet<String>) -> String {
        let database = quoted(database);
        let mut text = String::new();
        if !absent.contains(&self.owner) {
            text.push_str(&format!("ALTER DATABASE {database} OWNER TO {};", quoted(&self.owner)));
        }
        if let Some(grants) = &self.grants {
            text.push_str(&format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC;"));
            for grant in grants.iter().filter(|one| one.to.as_ref().is_none_or(|to| !absent.contains(to))) {
                let to = grant.to.as_ref().map_or_else(|| "PUBLIC".to_owned(), |to| quoted(to));
                let option = if grant.passes_on { " WITH GRANT OPTION" } else { "" };
                text.push_str(&format!("GRANT {} ON DATABASE {database} TO {to}{option};", grant.right));
            }
        }
        for one in
            self.settings.iter().filter(|one| one.role.as_ref().is_none_or(|role| !absent.contains(role)))
        {
            let of = one.role.as_ref().map_or_else(
                || format!("DATABASE {database}"),
                |role| format!("ROLE {} IN DATABASE {database}", quoted(role)),
            );
            one.entries.iter().for_each(|entry| text.push_str(&setting(&of, entry)));
        }
        text
    }
}

/// `name=value` as a statement.
fn setting(of: &str, entry: &str) -> String {
    let Some((name, value)) = entry.split_once('=') else { return String::new() };
    // An empty name in such a list stands as `""`, which no statement may say.
    let list =
        || value.split(", ").map(|one| if one == "\"\"" { "''" } else { one }).collect::<Vec<_>>().join(", ");
    let value = if LISTS.contains(&name) && !value.is_empty() { list() } else { literal(value) };
    let name = name.split('.').map(quoted).collect::<Vec<_>>().join(".");
    format!("ALTER {of} SET {name} TO {value};")
}

impl Role {
    fn attributes(&self) -> String {
        let word = |is: bool, word: &str| if is { word.to_owned() } else { format!("NO{word}") };
        let mut words = vec![
            word(self.superuser, "SUPERUSER"),
            word(self.inherits, "INHERIT"),
            word(self.makes_roles, "CREATEROLE"),
            word(self.makes_databases, "CREATEDB"),
            word(self.logs_in, "LOGIN"),
            word(self.replicates, "REPLICATION"),
            word(self.bypasses, "BYPASSRLS"),
            format!("CONNECTION LIMIT {}", self.connections),
        ];
        words.extend(self.password.as_ref().map(|kept| format!("PASSWORD {}", literal(kept))));
        words.extend(self.until.as_ref().map(|until| format!("VALID UNTIL {}", literal(until))));
        words.join(" ")
    }
}

impl Membership {
    fn options(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.passes_on.then(|| "ADMIN TRUE".to_owned()));
        // Servers that know only of one way to be a member know only one word for passing it on.
        let (Some(inherits), Some(sets)) = (self.inherits, self.sets) else {
            return if self.passes_on { " WITH ADMIN OPTION".to_owned() } else { String::new() };
        };
        words.push(format!("INHERIT {}", if inherits { "TRUE" } else { "FALSE" }));
        words.push(format!("SET {}", if sets { "TRUE" } else { "FALSE" }));
        format!(" WITH {}", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Around {
        serde_json::from_str(
            r#"{"owner": "app", "grants": [{"to": null, "right": "CONNECT", "passes_on": false}, {"to": "gone", "right": "CREATE", "passes_on": true}],
            "settings": [{"role": null, "entries": ["search_path=public, \"odd one\"", "app.word=it's"]}],
            "roles": {"app": {"named": true, "superuser": false, "inherits": true, "makes_roles": false, "makes_databases": false,
                "logs_in": true, "replicates": false, "bypasses": false, "connections": -1, "password": "SCRAM-SHA-256$kept",
                "until": null, "entries": ["statement_timeout=7s", "search_path=\"\""],
                "member_of": [{"role": "readers", "passes_on": true, "inherits": true, "sets": false},
                    {"role": "gone", "passes_on": false, "inherits": null, "sets": null}]}}}"#,
        )
        .expect("it reads")
    }

    #[test]
    fn roles_are_made_as_they_were() {
        let (new, absent) = (BTreeSet::from(["app".to_owned()]), BTreeSet::from(["gone".to_owned()]));
        assert_eq!(
            around().making(&new, &absent),
            "CREATE ROLE \"app\" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS \
             CONNECTION LIMIT -1 PASSWORD 'SCRAM-SHA-256$kept';\
             ALTER ROLE \"app\" SET \"statement_timeout\" TO '7s';\
             ALTER ROLE \"app\" SET \"search_path\" TO '';\
             GRANT \"readers\" TO \"app\" WITH ADMIN TRUE, INHERIT TRUE, SET FALSE;"
        );
        assert_eq!(around().making(&BTreeSet::new(), &absent), "");
        assert!(!format!("{:?}", around()).contains("SCRAM"));
    }

    #[test]
    fn a_database_gets_what_is_its_own() {
        assert_eq!(
            around().dressing("shop", &BTreeSet::from(["gone".to_owned()])),
            "ALTER DATABASE \"shop\" OWNER TO \"app\";REVOKE ALL ON DATABASE \"shop\" FROM PUBLIC;\
             GRANT CONNECT ON DATABASE \"shop\" TO PUBLIC;\
             ALTER DATABASE \"shop\" SET \"search_path\" TO public, \"odd one\";\
             ALTER DATABASE \"shop\" SET \"app\".\"word\" TO 'it''s';"
        );
    }
}
