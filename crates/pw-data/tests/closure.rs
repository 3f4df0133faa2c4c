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
    salt: u32,
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
    let children = prop::sample::select(vec![None, None, None, Some("all"), Some("none")]);
    (0..tables, 0..tables, any::<bool>(), prop::bool::weighted(0.2), children, 0..1000_u32).prop_map(
        |(from, to, required, held, children, salt)| Link { from, to, required, held, children, salt },
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
            reference.required &= self.tables[reference.to].rows > 0;
        }
        self
    }

    /// Mixed case, a space, a quote and a reserved word.
    fn name(table: usize) -> String {
        format!("\"Table {table}\"\"s\"")
    }

    fn columns(&self, at: usize) -> Vec<String> {
        let reference = &self.references[at];
        let second = self.tables[reference.to].composite.then(|| format!("\"R{at}s\""));
        std::iter::once(format!("\"R{at}\"")).chain(second).collect()
    }

    fn key(&self, table: usize) -> &'static str {
        if self.tables[table].composite { "k, \"order\"" } else { "k" }
    }

    fn leaving(&self, table: usize) -> impl Iterator<Item = usize> {
        (0..self.references.len()).filter(move |at| self.references[*at].from == table)
    }

    fn sql(&self) -> String {
        let mut sql = String::new();
        for (table, shape) in self.tables.iter().enumerate() {
            self.table(&mut sql, table, shape);
        }
        for (at, reference) in self.references.iter().enumerate() {
            let (from, to) = (Self::name(reference.from), Self::name(reference.to));
            let columns = self.columns(at).join(", ");
            let _ = writeln!(
                sql,
                "ALTER TABLE {from} ADD FOREIGN KEY ({columns}) REFERENCES {to} ({}) DEFERRABLE;",
                self.key(reference.to)
            );
        }
        sql
    }

    fn table(&self, sql: &mut String, table: usize, shape: &Shape) {
        let (name, mut columns, mut values) = (Self::name(table), String::new(), String::new());
        for at in self.leaving(table) {
            let reference = &self.references[at];
            let rows = self.tables[reference.to].rows;
            let null = if reference.required { "NOT NULL" } else { "" };
            let some = format!("(hashint4(i * 7 + {}) & 65535)", reference.salt);
            let named = format!("{some} % greatest({rows}, 1) + 1");
            let absent = format!("{} OR {rows} = 0", if reference.required { "false" } else { "i % 4 = 0" });
            for (column, kind) in self.columns(at).iter().zip(["int", "text"]) {
                let _ = write!(columns, ", {column} {kind} {null}");
                let value = if kind == "int" { named.clone() } else { format!("'s' || ({named}) % 3") };
                let _ = write!(values, ", CASE WHEN NOT ({absent}) THEN {value} END");
            }
        }
        let partitions = if shape.partitioned { "PARTITION BY HASH (k)" } else { "" };
        let _ = writeln!(
            sql,
            "CREATE TABLE {name} (k int, \"order\" text, gone int{columns}, PRIMARY KEY ({})) {partitions};",
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
            "INSERT INTO {name} SELECT i, 's' || i % 3, 0{values} FROM generate_series(1, {}) i;\nALTER TABLE {name} DROP COLUMN gone;",
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
        rules
    }
}

/// The same in SQL: sets of rows that grow until nothing is added.
impl Schema {
    fn owns(&self, at: usize) -> bool {
        let reference = &self.references[at];
        match reference.children {
            Some(said) => said == "all",
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
        let pairs: Vec<String> =
            self.columns(at).iter().zip(keys).map(|(own, its)| format!("f.{own} = t.{its}")).collect();
        format!(
            "{} f JOIN {} t ON {}",
            Self::name(reference.from),
            Self::name(reference.to),
            pairs.join(" AND ")
        )
    }

    /// Adds to a set the rows at one end of references whose other end is in a set.
    fn grow(&self, set: &str, by: &[(usize, bool, &str)]) -> String {
        let mut steps = String::new();
        for (at, up, among) in by {
            let reference = &self.references[*at];
            let (from, to) = (reference.from, reference.to);
            let (known, (new, row)) = if *up { ((from, "f"), (to, "t")) } else { ((to, "t"), (from, "f")) };
            let free = if set == "gone" {
                "true"
            } else {
                &format!("({new}, {row}.k) NOT IN (SELECT n, k FROM gone)")
            };
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
                    let column = &self.columns(at)[0];
                    format!(", CASE WHEN NOT {lost} THEN {column} END")
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
            let list: String = self.leaving(table).map(|at| format!(", {}", self.columns(at)[0])).collect();
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
