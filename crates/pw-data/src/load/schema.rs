//! The schema travels as `pg_dump` writes it, so that nothing is lost in translation.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use futures_util::future::{try_join, try_join_all};
use pw_run::Failure;
use tokio::process::Command;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::owners::{self, Roles};
use crate::catalogue::Catalogue;
use crate::server::{Address, Source, quoted};

/// What comes before the data and after it.
pub struct Schema {
    before: String,
    after: Vec<Entry>,
    preamble: String,
    /// What gives objects their owners, and roles their privileges.
    owners: Vec<String>,
    owners_of_events: Vec<String>,
    /// Foreign servers' passwords, which are production's and stay there.
    pub user_mappings: usize,
}

/// Every connection builds by itself: workers of the server would only wait for each other. Statistics are made of 9,000
/// rows a table instead of 30,000, in a third of the time.
const BUILDING: &str = "SET maintenance_work_mem = '170MB'; SET max_parallel_maintenance_workers = 0; \
    SET max_parallel_workers_per_gather = 0; SET jit = off; SET synchronous_commit = off; \
    SELECT set_config('default_statistics_target', least(30, current_setting('default_statistics_target')::int)::text, false)";

/// One statement for each table that has unchecked keys. Frozen rows can be read from their indexes alone, in order:
/// to merge two indexes takes half the time of a hash. Where sorting is dear (texts) or there is no index, the planner
/// decides.
const CHECKS: &str = "SELECT string_agg(format('SET enable_hashjoin = %s; ALTER TABLE %s VALIDATE CONSTRAINT %I', \
    EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = conrelid AND a.attnum = ANY (conkey) AND a.attcollation <> 0) \
    OR NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = conrelid AND i.indkey[0] = conkey[1] AND i.indpred IS NULL), \
    conrelid::regclass, conname), ';') FROM pg_constraint \
    WHERE contype = 'f' AND NOT convalidated GROUP BY conrelid ORDER BY pg_table_size(conrelid) DESC";

/// It would act on what is still done to the database.
const EVENT_TRIGGER: &str = "EVENT TRIGGER";

/// One entry of `pg_dump`'s table of contents.
#[derive(Debug, Clone)]
struct Entry {
    kind: String,
    sql: String,
}

/// What a table needs once its rows stand, and nothing else.
#[derive(Default)]
pub(super) struct Own<'a> {
    /// They lock the table for everybody.
    pub(super) keys: Vec<&'a str>,
    /// Several may be built at once.
    pub(super) indexes: Vec<&'a str>,
}

impl Schema {
    /// Dumps the source's schema as of its snapshot. `program` are the words that start `pg_dump`, where it is not on this host.
    ///
    /// # Errors
    /// No fitting `pg_dump` is found, or it fails.
    pub async fn dump(source: &Source, program: Option<&[String]>, roles: &Roles) -> Result<Self, Failure> {
        let program = match program {
            Some(words) => words.to_vec(),
            None => installed(source.version / 10_000).await?,
        };
        let (before, after) =
            try_join(section(&program, source, "pre-data"), section(&program, source, "post-data")).await?;
        let (head, before) = entries(&before);
        let (preamble, mut after) = entries(&after);
        let (mut owners, mut owners_of_events) = (Vec::new(), Vec::new());
        let (mut before, mappings): (Vec<Entry>, Vec<Entry>) =
            before.into_iter().partition(|entry| entry.kind != "USER MAPPING");
        for entry in before.iter_mut().chain(&mut after) {
            entry.give_up(if entry.kind == EVENT_TRIGGER { &mut owners_of_events } else { &mut owners });
        }
        for policy in owners::policies(source).await? {
            let mine = after.iter_mut().filter(|entry| entry.kind == "POLICY");
            mine.for_each(|entry| entry.sql = policy.renamed(&entry.sql, roles));
        }
        let before = before.iter().fold(head, |text, entry| text + &entry.sql);
        Ok(Self { before, after, preamble, owners, owners_of_events, user_mappings: mappings.len() })
    }

    /// What must not act while the sample is made, then owners and privileges; answers what could not be given.
    ///
    /// # Errors
    /// The scratch database refuses.
    pub async fn last(&self, scratch: &Address, roles: &Roles) -> Result<BTreeSet<String>, Failure> {
        let client = scratch.connect().await?;
        let mut told = owners::give(scratch, &self.owners, roles).await?;
        let events = self.after.iter().filter(|entry| entry.kind == EVENT_TRIGGER);
        in_turn(&client, &events.map(|entry| entry.sql.as_str()).collect::<Vec<_>>()).await?;
        told.extend(owners::give(scratch, &self.owners_of_events, roles).await?);
        Ok(told)
    }

    /// # Errors
    /// The scratch database refuses.
    pub async fn before(&self, scratch: &Address) -> Result<(), Failure> {
        let client = scratch.connect().await?;
        let what = "could not create the schema in the scratch database";
        client.batch_execute(&self.before).await.map_err(|error| Failure::new(what).because(error))
    }

    /// Makes a connection to the scratch database ready to build.
    ///
    /// # Errors
    /// The scratch database refuses.
    pub(super) async fn prepare(&self, client: &Client) -> Result<(), Failure> {
        run(client, &self.preamble).await?;
        run(client, BUILDING).await
    }

    /// What belongs to each table of the catalogue.
    pub(super) fn own(&self, catalogue: &Catalogue) -> Vec<Own<'_>> {
        let tables = paths(catalogue);
        let mut own: Vec<Own<'_>> = catalogue.tables.iter().map(|_| Own::default()).collect();
        for (entry, table) in self.after.iter().filter_map(|entry| Some((entry, entry.table(&tables)?))) {
            let list = if entry.kind == "INDEX" { &mut own[table].indexes } else { &mut own[table].keys };
            list.push(&entry.sql);
        }
        own
    }

    /// What joins tables, after every table has its own: indexes of partitions are attached, then foreign keys are
    /// checked in parallel, then comes the rest.
    ///
    /// # Errors
    /// The data does not keep a constraint, or the scratch database refuses.
    pub async fn join(&self, clients: &[Client], catalogue: &Catalogue) -> Result<(), Failure> {
        let tables = paths(catalogue);
        let of = |kinds: &[&str]| -> Vec<&str> {
            let entries = self.after.iter().filter(|entry| kinds.contains(&entry.kind.as_str()));
            entries.filter(|entry| entry.table(&tables).is_none()).map(|entry| entry.sql.as_str()).collect()
        };
        together(clients, of(&["CONSTRAINT", "INDEX"])).await?;
        in_turn(&clients[0], &of(&["INDEX ATTACH"])).await?;
        foreign_keys(clients, of(&["FK CONSTRAINT"])).await?;
        let done = ["CONSTRAINT", "INDEX", "INDEX ATTACH", "FK CONSTRAINT", EVENT_TRIGGER];
        let rest = self.after.iter().filter(|entry| !done.contains(&entry.kind.as_str()));
        in_turn(&clients[0], &rest.map(|entry| entry.sql.as_str()).collect::<Vec<_>>()).await
    }
}

/// From the quoted path of a table or a partition to the table's place in the catalogue.
fn paths(catalogue: &Catalogue) -> HashMap<String, usize> {
    let of = |(index, table): (usize, &crate::catalogue::Table)| {
        let heaps: Vec<String> = table.heaps.iter().map(|heap| heap.path.clone()).collect();
        heaps.into_iter().chain([table.path()]).map(move |path| (path, index)).collect::<Vec<_>>()
    };
    catalogue.tables.iter().enumerate().flat_map(of).collect()
}

impl Entry {
    /// The table that an index or a key is of; what cannot be read so is nobody's, and waits.
    fn table(&self, tables: &HashMap<String, usize>) -> Option<usize> {
        let statement = self.sql.trim_start_matches(['-', '\n', ' ']);
        let path = match self.kind.as_str() {
            "CONSTRAINT" => {
                let rest = statement.strip_prefix("ALTER TABLE ")?;
                path(rest.strip_prefix("ONLY ").unwrap_or(rest))?
            }
            "INDEX" => {
                let rest = statement.strip_prefix("CREATE ")?;
                let rest = rest.strip_prefix("UNIQUE ").unwrap_or(rest).strip_prefix("INDEX ")?;
                let (_, rest) = identifier(rest)?;
                let rest = rest.strip_prefix(" ON ")?;
                path(rest.strip_prefix("ONLY ").unwrap_or(rest))?
            }
            _ => return None,
        };
        tables.get(&path).copied()
    }
}

/// A schema and a name as `pg_dump` writes them, both quoted.
fn path(text: &str) -> Option<String> {
    let (schema, rest) = identifier(text)?;
    let (name, _) = identifier(rest.strip_prefix('.')?)?;
    Some(format!("{}.{}", quoted(&schema), quoted(&name)))
}

/// An identifier at the beginning, and what follows it.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(|letter: char| !(letter.is_alphanumeric() || "_$".contains(letter)))?;
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut letters = inner.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter != '"' {
            name.push(letter);
        } else if inner[at + 1..].starts_with('"') {
            name.push('"');
            letters.next();
        } else {
            return Some((name, &inner[at + 1..]));
        }
    }
    None
}

pub(super) async fn in_turn(client: &Client, statements: &[&str]) -> Result<(), Failure> {
    for sql in statements {
        run(client, sql).await?;
    }
    Ok(())
}

/// To add a key locks what it leads to; two keys to one table would wait for each other. So keys are added
/// unchecked, which takes no time, and checked together. Keys from or to partitioned tables have one more for
/// each partition, and cannot be checked apart.
async fn foreign_keys(clients: &[Client], statements: Vec<&str>) -> Result<(), Failure> {
    let query = "SELECT format('REFERENCES %I.%I(', n.nspname, c.relname) FROM pg_class c \
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'p'";
    let rows = clients[0].query(query, &[]).await;
    let rows = rows.map_err(|error| Failure::new("could not list the partitioned tables").because(error))?;
    let partitioned: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let apart = |sql: &&str| {
        sql.contains("ALTER TABLE ONLY ")
            && !sql.contains(" NOT VALID;")
            && !partitioned.iter().any(|to| sql.contains(to.as_str()))
    };
    let (plain, others): (Vec<&str>, Vec<&str>) = statements.into_iter().partition(apart);
    let unchecked: Vec<String> = plain.iter().filter_map(|sql| unchecked(sql)).collect();
    in_turn(&clients[0], &unchecked.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let rows = clients[0].query(CHECKS, &[]).await;
    let rows = rows.map_err(|error| Failure::new("could not list the foreign keys").because(error))?;
    let checks: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    together(clients, checks.iter().map(String::as_str).collect()).await?;
    let left = others.iter().filter(|sql| sql.contains(" NOT VALID;")).count();
    in_turn(&clients[0], &others).await?;
    valid(&clients[0], left).await
}

/// No key is left unchecked but those that the source does not check either.
async fn valid(client: &Client, left: usize) -> Result<(), Failure> {
    let query = "SELECT conrelid::regclass::text || '.' || conname FROM pg_constraint \
        WHERE contype = 'f' AND NOT convalidated ORDER BY 1";
    let rows = client.query(query, &[]).await;
    let rows = rows.map_err(|error| Failure::new("could not list the foreign keys").because(error))?;
    if rows.len() <= left {
        return Ok(());
    }
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Err(Failure::new("foreign keys of the new database are not valid").because(names.join(", ")))
}

/// The same statement, but for the check.
fn unchecked(sql: &str) -> Option<String> {
    let (statement, rest) = sql.rsplit_once(';')?;
    Some(format!("{statement} NOT VALID;{rest}"))
}

/// Each connection takes the next statement. Two that lock the same tables in opposite order may meet; the one that is thrown out tries again.
async fn together(clients: &[Client], statements: Vec<&str>) -> Result<(), Failure> {
    let queue = std::cell::RefCell::new(statements.into_iter());
    let next = || queue.borrow_mut().next();
    try_join_all(clients.iter().map(async |client| {
        while let Some(sql) = next() {
            run(client, sql).await?;
        }
        Ok::<(), Failure>(())
    }))
    .await
    .map(drop)
}

pub(super) async fn run(client: &Client, sql: &str) -> Result<(), Failure> {
    loop {
        match client.batch_execute(sql).await {
            Ok(()) => return Ok(()),
            Err(error) if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED) => {}
            Err(error) => {
                let first: String =
                    sql.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
                return Err(Failure::new(format!("the loaded data refuses `{first}`")).because(error));
            }
        }
    }
}

/// The oldest `pg_dump` of this host that knows the server.
async fn installed(major: i32) -> Result<Vec<String>, Failure> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(i32, PathBuf)> = Vec::new();
    for path in installed.map(|entry| entry.path().join("bin/pg_dump")).chain([PathBuf::from("pg_dump")]) {
        if let Some(version) = version(&path).await.filter(|version| *version >= major) {
            found.push((version, path));
        }
    }
    found.sort();
    match found.first() {
        Some((_, path)) => Ok(vec![path.display().to_string()]),
        None => Err(Failure::new(format!("there is no pg_dump {major} or newer on this host"))
            .hint("install postgresql-client, or set PARTYWALL_PG_DUMP, such as `docker run --rm --network host -e PGPASSWORD IMAGE pg_dump`")),
    }
}

async fn version(path: &PathBuf) -> Option<i32> {
    let output = Command::new(path).arg("--version").output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok())
}

async fn section(program: &[String], source: &Source, section: &str) -> Result<String, Failure> {
    let address = &source.address;
    let Some((name, words)) = program.split_first() else {
        return Err(Failure::new("PARTYWALL_PG_DUMP is empty"));
    };
    let mut command = Command::new(name);
    command.args(words).args(["--schema-only", "--no-tablespaces"]);
    command.args(["--no-publications", "--no-subscriptions", "--no-security-labels", "--no-password"]);
    command.arg(format!("--section={section}")).arg(format!("--snapshot={}", source.snapshot));
    command.args([
        "--host",
        &address.host(),
        "--port",
        &address.port().to_string(),
        "--dbname",
        address.database(),
    ]);
    if let Some(user) = address.user() {
        command.args(["--username", user]);
    }
    command.envs(address.encryption());
    if let Some(password) = address.password() {
        command.env("PGPASSWORD", password);
    }
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    let output = command
        .output()
        .await
        .map_err(|error| Failure::new(format!("could not start `{name}`")).because(error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::new("pg_dump could not read the source's schema").because(said));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // Commands for psql, and settings that older servers do not know.
    let kept =
        text.lines().filter(|line| !line.starts_with('\\') && !line.starts_with("SET transaction_timeout"));
    Ok(kept.collect::<Vec<_>>().join("\n"))
}

impl Entry {
    /// Takes out what gives the object its owner, or roles their privileges. The owner comes last in an entry, so
    /// that no line of a function's body is taken for it.
    fn give_up(&mut self, to: &mut Vec<String>) {
        if matches!(self.kind.as_str(), "ACL" | "DEFAULT ACL") {
            let sql = std::mem::take(&mut self.sql);
            to.extend(sql.lines().filter(|line| line.ends_with(';')).map(str::to_owned));
            return;
        }
        let is_owner =
            |line: &str| line.starts_with("ALTER ") && line.contains(" OWNER TO ") && line.ends_with(';');
        let mut lines: Vec<&str> = self.sql.lines().collect();
        while let Some(last) = lines.iter().rposition(|line| !line.is_empty() && !line.starts_with("--")) {
            if !is_owner(lines[last]) {
                break;
            }
            to.push(lines.remove(last).to_owned());
        }
        self.sql = lines.join("\n") + "\n";
    }
}

/// Splits at the comments that `pg_dump` writes before each entry.
fn entries(text: &str) -> (String, Vec<Entry>) {
    let mut preamble = String::new();
    let mut list: Vec<Entry> = Vec::new();
    for line in text.lines() {
        let kind =
            line.strip_prefix("-- Name: ").and_then(|rest| rest.split("; Type: ").nth(1)?.split(';').next());
        match (kind, list.last_mut()) {
            (Some(kind), _) => list.push(Entry { kind: kind.to_owned(), sql: String::new() }),
            (None, Some(entry)) => entry.sql.extend([line, "\n"]),
            (None, None) => preamble.extend([line, "\n"]),
        }
    }
    (preamble, list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_split_by_its_comments() {
        let text = "SET a = 1;\n--\n-- Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: -\n--\n\nALTER TABLE t ADD PRIMARY KEY (id);\n\n--\n-- Name: i; Type: INDEX; Schema: public; Owner: -\n--\nCREATE INDEX i ON t (a);\n";
        let (preamble, entries) = entries(text);
        assert!(preamble.starts_with("SET a = 1;"));
        let kinds: Vec<&str> = entries.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["CONSTRAINT", "INDEX"]);
        assert!(entries[0].sql.contains("PRIMARY KEY") && !entries[0].sql.contains("CREATE INDEX"));
    }

    #[test]
    fn an_index_or_key_is_of_a_table_whatever_its_name() {
        let tables =
            HashMap::from([(r#""public"."t""#.to_owned(), 0), (r#""a b"."On ""x"" ON y""#.to_owned(), 1)]);
        let owner = |kind: &str, sql: &str| Entry { kind: kind.into(), sql: sql.into() }.table(&tables);
        let key = r#"--

ALTER TABLE ONLY "a b"."On ""x"" ON y"
    ADD CONSTRAINT k PRIMARY KEY (id);"#;
        assert_eq!(owner("CONSTRAINT", key), Some(1));
        let index = r#"CREATE UNIQUE INDEX " ON public.z USING" ON ONLY public.t USING btree (a);"#;
        assert_eq!(owner("INDEX", index), Some(0));
        assert_eq!(owner("INDEX", "CREATE INDEX i ON public.other USING btree (a);"), None);
        assert_eq!(owner("FK CONSTRAINT", key), None);
    }
}
