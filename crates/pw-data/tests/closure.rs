//! Random schemas, data and rules: the sample holds the rows that plain SQL finds by saying the same naively.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod server;

use std::fmt::Write;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use pw_data::Halt;
use pw_data::mask::Secret;
use pw_data::sample::{Order, Reading};
use pw_model::source::SourceFile;
use server::Server;

#[derive(Debug, Clone)]
struct Schema {
    tables: Vec<Shape>,
    references: Vec<Link>,
    cohort: usize,
    excluded: Option<usize>,
}

/// A table: `k` is unique whatever the key is.
#[derive(Debug, Clone)]
struct Shape {
    rows: u32,
    composite: bool,
    partitioned: bool,
    rule: Option<&'static str>,
}

#[derive(Debug, Clone)]
struct Link {
    from: usize,
    to: usize,
    required: bool,
    held: bool,
    children: Option<&'static str>,
    form: Form,
    salt: u32,
}

/// What makes rows refer to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A foreign key to the primary key.
    Key,
    /// A foreign key to a name, written in other letters.
    Name,
    /// A column that the database knows nothing of.
    Declared,
    /// The same, where another column says so.
    Typed,
    /// A number inside JSON.
    Inside,
}

fn shape() -> impl Strategy<Value = Shape> {
    let rule = prop::sample::select(vec![None, None, None, None, Some("whole"), Some("empty")]);
    (0..40_u32, any::<bool>(), any::<bool>(), rule).prop_map(|(rows, composite, partitioned, rule)| Shape {
        rows,
        composite,
        partitioned,
        rule,
    })
}

fn link(tables: usize) -> impl Strategy<Value = Link> {
    let children =
        prop::sample::select(vec![None, None, None, Some("all"), Some("none"), Some("1"), Some("2")]);
    let form = prop::sample::select(vec![
        Form::Key,
        Form::Key,
        Form::Name,
        Form::Declared,
        Form::Typed,
        Form::Inside,
    ]);
    let held = prop::bool::weighted(0.2);
    (0..tables, 0..tables, any::<bool>(), held, children, form, 0..1000_u32).prop_map(
        |(from, to, required, held, children, form, salt)| Link {
            from,
            to,
            required,
            held,
            children,
            form,
            salt,
        },
    )
}

fn schema() -> impl Strategy<Value = Schema> {
    (2..6_usize).prop_flat_map(|count| {
        let tables = prop::collection::vec(shape(), count);
        let references = prop::collection::vec(link(count), 1..9);
        (tables, references, 0..count, prop::option::of(0..count)).prop_map(
            |(mut tables, references, cohort, excluded)| {
                tables[cohort].rule = None;
                Schema { tables, references, cohort, excluded }.sound()
            },
        )
    })
}

impl Schema {
    /// What is required must be there: a reference to a table without rows is not.
    fn sound(mut self) -> Self {
        for reference in &mut self.references {
            let to = &self.tables[reference.to];
            reference.required &= to.rows > 0;
            // A name is unique in a table that is not partitioned; what is declared leads to one unique column.
            reference.form = match reference.form {
                Form::Name if to.partitioned => Form::Key,
                Form::Declared | Form::Typed | Form::Inside if to.composite => Form::Key,
                form => form,
            };
            if reference.form == Form::Inside {
                // No column can be spoken of, and none cleared.
                (reference.children, reference.held, reference.required) = (None, false, true);
            }
        }
        self
    }

    /// Mixed case, a space, a quote and a reserved word.
    fn name(table: usize) -> String {
        format!("\"Table {table}\"\"s\"")
    }

    fn columns(&self, at: usize) -> Vec<String> {
        let reference = &self.references[at];
        let second = match reference.form {
            Form::Inside => return Vec::new(),
            Form::Typed => Some(format!("\"R{at}t\"")),
            Form::Key => self.tables[reference.to].composite.then(|| format!("\"R{at}s\"")),
            Form::Name | Form::Declared => None,
        };
        std::iter::once(format!("\"R{at}\"")).chain(second).collect()
    }

    fn key(&self, table: usize) -> &'static str {
        if self.tables[table].composite { "k, \"order\"" } else { "k" }
    }

    fn leaving(&self, table: usize) -> impl Iterator<Item = usize> {
        (0..self.references.len()).filter(move |at| self.references[*at].from == table)
    }

    fn sql(&self) -> String {
        let mut sql = String::from(
            "CREATE EXTENSION citext; CREATE DOMAIN label AS citext CHECK (VALUE <> ''); CREATE DOMAIN number AS int;\n",
        );
        for (table, shape) in self.tables.iter().enumerate() {
            self.table(&mut sql, table, shape);
        }
        let keys = |one: &&(usize, &Link)| matches!(one.1.form, Form::Key | Form::Name);
        for (at, reference) in self.references.iter().enumerate().collect::<Vec<_>>().iter().filter(keys) {
            let at = *at;
            let (from, to) = (Self::name(reference.from), Self::name(reference.to));
            let columns = self.columns(at).join(", ");
            let _ = writeln!(
                sql,
                "ALTER TABLE {from} ADD FOREIGN KEY ({columns}) REFERENCES {to} ({}) DEFERRABLE;",
                if reference.form == Form::Name { "name" } else { self.key(reference.to) }
            );
        }
        sql
    }

    fn table(&self, sql: &mut String, table: usize, shape: &Shape) {
        let (name, mut columns, mut values) = (Self::name(table), String::new(), String::new());
        let mut inside = String::new();
        for at in self.leaving(table) {
            let reference = &self.references[at];
            let rows = self.tables[reference.to].rows;
            let null = if reference.required { "NOT NULL" } else { "" };
            let some = format!("(hashint4(i * 7 + {}) & 65535)", reference.salt);
            let named = format!("{some} % greatest({rows}, 1) + 1");
            let absent = format!("{} OR {rows} = 0", if reference.required { "false" } else { "i % 4 = 0" });
            let (kinds, first, second) = match reference.form {
                Form::Name => (
                    ["label", ""],
                    format!("(CASE WHEN i % 2 = 0 THEN 'N' ELSE 'n' END || {named})"),
                    String::new(),
                ),
                Form::Typed => (
                    ["number", "text"],
                    named.clone(),
                    "CASE WHEN i % 3 = 0 THEN 'other' ELSE 'this' END".to_owned(),
                ),
                _ => (["int", "text"], named.clone(), format!("'s' || ({named}) % 3")),
            };
            for ((column, kind), value) in self.columns(at).iter().zip(kinds).zip([first, second]) {
                let _ = write!(columns, ", {column} {kind} {null}");
                let _ = write!(values, ", CASE WHEN NOT ({absent}) THEN {value} END");
            }
            if reference.form == Form::Inside {
                let _ = write!(inside, ", 'r{at}', CASE WHEN i % 4 > 0 AND {rows} > 0 THEN {named} END");
            }
        }
        let unique = if shape.partitioned { "" } else { "UNIQUE" };
        let partitions = if shape.partitioned { "PARTITION BY HASH (k)" } else { "" };
        let _ = writeln!(
            sql,
            "CREATE TABLE {name} (k int, \"order\" text, gone int, name label {unique}, more jsonb{columns}, PRIMARY KEY ({})) {partitions};",
            self.key(table)
        );
        for part in (0..2).filter(|_| shape.partitioned) {
            let _ = writeln!(
                sql,
                "CREATE TABLE \"Part {table}.{part}\" PARTITION OF {name} FOR VALUES WITH (MODULUS 2, REMAINDER {part});"
            );
        }
        let _ = writeln!(
            sql,
            "INSERT INTO {name} SELECT i, 's' || i % 3, 0, 'N' || i, jsonb_build_object('none', 0{inside}){values} FROM generate_series(1, {}) i;\nALTER TABLE {name} DROP COLUMN gone;",
            shape.rows
        );
    }

    fn rules(&self) -> String {
        let quoted = |table: usize| format!("Table {table}\"s");
        let mut rules =
            format!("cohort: {{ table: '{}', where: \"k % 3 = 0\" }}\ntables:\n", quoted(self.cohort));
        for (table, rule) in self.tables.iter().enumerate().filter_map(|(at, shape)| Some((at, shape.rule?)))
        {
            let _ = writeln!(rules, "  '{}': {rule}", quoted(table));
        }
        if self.tables.iter().all(|shape| shape.rule.is_none()) {
            rules = rules.replace("tables:\n", "");
        }
        if let Some(table) = self.excluded {
            let _ = writeln!(rules, "exclude: ['{} where k % 5 = 0']", quoted(table));
        }
        let own = |at: usize| format!("'{}.R{at}'", quoted(self.references[at].from));
        let said: Vec<String> = (0..self.references.len())
            .filter_map(|at| Some(format!("  {}: {}\n", own(at), self.references[at].children?)))
            .collect();
        if !said.is_empty() {
            let _ = write!(rules, "children:\n{}", said.concat());
        }
        let held: Vec<String> =
            (0..self.references.len()).filter(|at| self.references[*at].held).map(own).collect();
        let _ = writeln!(rules, "hold: [{}]", held.join(", "));
        let declared = |at: usize| {
            let (from, to) = (quoted(self.references[at].from), quoted(self.references[at].to));
            Some(match self.references[at].form {
                Form::Key | Form::Name => return None,
                Form::Declared => format!("  - {{ from: '{from}.R{at}', to: '{to}.k' }}\n"),
                Form::Typed => format!(
                    "  - {{ from: '{from}.R{at}', to: '{to}.k', when: \"\\\"R{at}t\\\" = 'this'\" }}\n"
                ),
                Form::Inside => {
                    format!("  - {{ table: '{from}', value: \"more ->> 'r{at}'\", to: '{to}.k' }}\n")
                }
            })
        };
        let declared: Vec<String> = (0..self.references.len()).filter_map(declared).collect();
        if !declared.is_empty() {
            let _ = write!(rules, "references:\n{}", declared.concat());
        }
        rules
    }
}

/// The same in SQL: sets of rows that grow until nothing is added.
impl Schema {
    fn owns(&self, at: usize) -> bool {
        let reference = &self.references[at];
        match reference.children {
            Some(said) => said != "none",
            None if !matches!(reference.form, Form::Key | Form::Name) => false,
            None => {
                reference.from != self.cohort
                    && reference.from != reference.to
                    && (reference.required || reference.to == self.cohort)
            }
        }
    }

    /// Rows of both ends of a reference.
    fn joined(&self, at: usize) -> String {
        let reference = &self.references[at];
        let keys = ["k", "\"order\""];
        let pairs: Vec<String> = match (reference.form, self.columns(at).as_slice()) {
            (Form::Name, [own]) => vec![format!("f.{own} = t.name")],
            (Form::Typed, [own, kind]) => vec![format!("f.{own} = t.k"), format!("f.{kind} = 'this'")],
            (Form::Inside, _) => vec![format!("(f.more ->> 'r{at}')::int = t.k")],
            (_, columns) => columns.iter().zip(keys).map(|(own, its)| format!("f.{own} = t.{its}")).collect(),
        };
        format!(
            "{} f JOIN {} t ON {}",
            Self::name(reference.from),
            Self::name(reference.to),
            pairs.join(" AND ")
        )
    }

    /// So many for each parent, as they lie.
    fn limit(&self, at: usize) -> Option<u32> {
        self.references[at].children?.parse().ok()
    }

    /// Adds to a set the rows at one end of references whose other end is in a set.
    fn grow(&self, set: &str, by: &[(usize, bool, &str)]) -> String {
        let mut steps = String::new();
        for (at, up, among) in by {
            let reference = &self.references[*at];
            let (from, to) = (reference.from, reference.to);
            let (known, (new, row)) = if *up { ((from, "f"), (to, "t")) } else { ((to, "t"), (from, "f")) };
            let mut free = match set {
                "gone" => "true".to_owned(),
                _ => format!("({new}, {row}.k) NOT IN (SELECT n, k FROM gone)"),
            };
            if let (Some(limit), "down") = (self.limit(*at), set) {
                let _ = write!(
                    free,
                    " AND f.k IN (SELECT k FROM (SELECT f.k, row_number() OVER (PARTITION BY t.k ORDER BY f.tableoid, f.ctid) AS r FROM {} WHERE ({from}, f.k) NOT IN (SELECT n, k FROM gone)) one WHERE r <= {limit})",
                    self.joined(*at)
                );
            }
            let _ = writeln!(
                steps,
                "INSERT INTO {set} SELECT {new}, {row}.k FROM {} WHERE ({}, {}.k) IN (SELECT n, k FROM {among}) AND {free} ON CONFLICT DO NOTHING; GET DIAGNOSTICS c = ROW_COUNT; added := added + c;",
                self.joined(*at),
                known.0,
                known.1
            );
        }
        format!(
            "DO $$ DECLARE added int := 1; c int; BEGIN WHILE added > 0 LOOP added := 0; {steps} END LOOP; END $$;\n"
        )
    }

    fn oracle(&self) -> String {
        let mut sql = String::from(
            "CREATE TEMP TABLE gone (n int, k int, PRIMARY KEY (n, k)); CREATE TEMP TABLE down (LIKE gone INCLUDING ALL); CREATE TEMP TABLE up (LIKE gone INCLUDING ALL);\n",
        );
        let all = 0..self.references.len();
        for (table, shape) in self.tables.iter().enumerate() {
            let out = match (shape.rule, self.excluded) {
                (Some("empty"), _) => "true",
                (_, Some(excluded)) if excluded == table => "k % 5 = 0",
                _ => "false",
            };
            let name = Self::name(table);
            let _ = writeln!(sql, "INSERT INTO gone SELECT {table}, k FROM {name} WHERE {out};");
        }
        let binding = |at: &usize| self.references[*at].required || self.references[*at].held;
        let spread: Vec<_> = all.clone().filter(binding).map(|at| (at, false, "gone")).collect();
        sql += &self.grow("gone", &spread);
        let free = |table: usize| format!("({table}, k) NOT IN (SELECT n, k FROM gone)");
        let (root, name) = (self.cohort, Self::name(self.cohort));
        let _ = writeln!(
            sql,
            "INSERT INTO down SELECT {root}, k FROM {name} WHERE k % 3 = 0 AND {};",
            free(root)
        );
        let owned: Vec<_> = all.clone().filter(|at| self.owns(*at)).map(|at| (at, false, "down")).collect();
        sql += &self.grow("down", &owned);
        sql += "INSERT INTO up SELECT * FROM down;\n";
        for (table, shape) in self.tables.iter().enumerate() {
            let alone =
                table != root && self.references.iter().all(|one| one.from != table && one.to != table);
            if shape.rule == Some("whole") || alone {
                let name = Self::name(table);
                let _ = writeln!(
                    sql,
                    "INSERT INTO up SELECT {table}, k FROM {name} WHERE {} ON CONFLICT DO NOTHING;",
                    free(table)
                );
            }
        }
        let parents: Vec<_> = all.map(|at| (at, true, "up")).collect();
        sql + &self.grow("up", &parents)
    }

    fn shown(&self, at: usize) -> String {
        self.columns(at).into_iter().next().unwrap_or_else(|| format!("more ->> 'r{at}'"))
    }

    /// Every row of the sample, with what it refers to, or with null for what does not come along.
    fn expected(&self) -> String {
        let row = |table: usize| {
            let list: String = self
                .leaving(table)
                .map(|at| {
                    let lost = format!(
                        "EXISTS (SELECT FROM {} WHERE f.k = x.k AND ({}, t.k) IN (SELECT n, k FROM gone))",
                        self.joined(at),
                        self.references[at].to
                    );
                    format!(", CASE WHEN NOT {lost} THEN {} END", self.shown(at))
                })
                .collect();
            format!(
                "SELECT {table}, k{list} FROM {} x WHERE ({table}, k) IN (SELECT n, k FROM up) ORDER BY k;\n",
                Self::name(table)
            )
        };
        (0..self.tables.len()).map(row).collect()
    }

    fn loaded(&self) -> String {
        let row = |table: usize| {
            let list: String = self.leaving(table).map(|at| format!(", {}", self.shown(at))).collect();
            format!("SELECT {table}, k{list} FROM {} ORDER BY k;\n", Self::name(table))
        };
        (0..self.tables.len()).map(row).collect()
    }
}

async fn sample(server: &Server, rules: &str) -> Result<(), Halt> {
    let file = SourceFile::new("rules.yaml", rules);
    let reading = Reading::open(&server.address("random"), &file, false, &|_| ()).await?;
    let (to, secret, program) = (server.address("development"), Secret::new("s"), server.pg_dump());
    let order = Order { to: &to, secret: &secret, keep_failed: false, pg_dump: Some(&program) };
    reading.load(&order, &|_| ()).await.map(drop)
}

fn check(server: &Server, schema: &Schema) {
    server.sql("postgres", "DROP DATABASE IF EXISTS random WITH (FORCE)");
    server.sql("postgres", "CREATE DATABASE random");
    server.sql("random", &schema.sql());
    if schema.tables.len().is_multiple_of(2) {
        // Tables that the server takes for large are asked for the rows of known owners only.
        server.sql(
            "random",
            "UPDATE pg_class SET reltuples = 100000 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        );
    }
    let expected = server.sql("random", &(schema.oracle() + &schema.expected()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if let Err(halt) = runtime.block_on(sample(server, &schema.rules())) {
        panic!("{halt:?}\n{}\n{}", schema.sql(), schema.rules());
    }
    let loaded = server.sql("development", &schema.loaded());
    assert_eq!(loaded, expected, "\n{}\n{}", schema.sql(), schema.rules());
    let keys =
        server.sql("development", "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated");
    let source = server.sql("random", "SELECT count(*) FROM pg_constraint WHERE contype = 'f'");
    assert_eq!(keys, source, "every foreign key holds");
}

#[test]
fn the_closure_of_random_schemas_is_what_naive_sql_finds() {
    let server = Server::start();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let config = Config { cases, max_shrink_iters: 30, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&schema(), |schema| {
            check(&server, &schema);
            Ok(())
        })
        .unwrap();
}
