//! What other samplers break on, each by itself, on small databases.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod arrays;
mod encrypted;
mod kept;
mod lender;
mod locale;
mod older;
mod permuted;
mod roles;
mod schemas;
#[path = "../server/mod.rs"]
mod server;
mod standby;
mod types;

use pw_data::Halt;
use pw_data::mask::Secret;
use pw_data::sample::{Done, Order, Reading};
use pw_data::server::Address;
use pw_model::source::SourceFile;
use server::Server;

/// What a person would read.
fn told(halt: Halt) -> String {
    match halt {
        Halt::Complaints(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Halt::Failure(failure) => {
            let cause = failure.source.as_ref().and_then(|cause| cause.source().map(ToString::to_string));
            format!("{failure} because {}", cause.unwrap_or_default())
        }
    }
}

async fn between(from: &Address, to: &Address, program: &[String], rules: &str) -> Result<Done, String> {
    let file = SourceFile::new("rules.yaml", rules);
    let reading = Reading::open(from, &file, false, &|_| ()).await.map_err(told)?;
    let secret = Secret::new("s");
    let order = Order { to, secret: &secret, keep_failed: false, pg_dump: Some(program) };
    reading.load(&order, &|_| ()).await.map_err(told)
}

/// From `production` into `development`, on one server.
async fn try_sample(server: &Server, rules: &str) -> Result<Done, String> {
    between(&server.address("production"), &server.address("development"), &server.pg_dump(), rules).await
}

async fn sample(server: &Server, rules: &str) -> Done {
    sample_into(server, server, rules).await
}

/// A server that a test may ask, wherever it runs.
trait Asked {
    /// Runs SQL; answers unaligned rows.
    fn sql(&self, database: &str, sql: &str) -> String;
    fn address(&self, database: &str) -> Address;
    fn pg_dump(&self) -> Vec<String>;

    /// What the server does not know yet, in the words of its time.
    fn known(&self, sql: &str, newer: &[(u32, &str, &str)]) -> String {
        let told = self.sql("postgres", "SELECT current_setting('server_version_num')::int / 10000");
        let version: u32 = told.parse().expect("a version");
        let unknown = newer.iter().filter(|(since, ..)| version < *since);
        unknown.fold(sql.to_owned(), |sql, (_, new, old)| {
            assert!(sql.contains(new), "`{new}` is not said");
            sql.replace(new, old)
        })
    }
}

impl Asked for Server {
    fn sql(&self, database: &str, sql: &str) -> String {
        self.sql(database, sql)
    }

    fn address(&self, database: &str) -> Address {
        self.address(database)
    }

    fn pg_dump(&self) -> Vec<String> {
        self.pg_dump()
    }
}

async fn sample_into(from: &impl Asked, to: &impl Asked, rules: &str) -> Done {
    let (source, target) = (from.address("production"), to.address("development"));
    let done = between(&source, &target, &from.pg_dump(), rules).await;
    done.unwrap_or_else(|message| panic!("{message}"))
}
