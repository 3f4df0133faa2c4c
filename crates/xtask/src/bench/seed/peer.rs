//! slice-db, as its package registry gives it, told to take the same rows.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::server::{PASSWORD, SOURCE, Server};
use crate::run::{Result, output, say};

const VERSION: &str = "5.1.18";

/// What the cohort owns, table by table: slice-db follows references to parents by itself, and would follow those
/// to children from the parents too. It cannot read a table with capitals in its name: nobody copies that one.
const ROOTS: &[(&str, &str)] = &[
    ("users", "id % 10 = 0"),
    ("alembic_version", "true"),
    ("site_settings", "true"),
    ("profiles", "user_id % 10 = 0"),
    ("oauth_accounts", "user_id % 10 = 0"),
    ("api_keys", "user_id % 10 = 0"),
    ("teams", "owner_id % 10 = 0"),
    ("team_memberships", "user_id % 10 = 0 OR team_id IN (SELECT id FROM teams WHERE owner_id % 10 = 0)"),
    ("team_invites", "inviter_id % 10 = 0 OR team_id IN (SELECT id FROM teams WHERE owner_id % 10 = 0)"),
    ("user_badges", "user_id % 10 = 0 OR granted_by % 10 = 0"),
    ("posts", "author_id % 10 = 0"),
    ("post_files", "post_id IN (SELECT id FROM posts WHERE author_id % 10 = 0)"),
    ("post_stats", "post_id IN (SELECT id FROM posts WHERE author_id % 10 = 0)"),
    ("post_tags", "post_id IN (SELECT id FROM posts WHERE author_id % 10 = 0)"),
    ("comments", "author_id % 10 = 0 OR post_id IN (SELECT id FROM posts WHERE author_id % 10 = 0)"),
    // Written so that the server joins: two conditions with `OR` took it more than five minutes.
    (
        "comment_likes",
        "ctid IN (SELECT ctid FROM comment_likes WHERE user_id % 10 = 0 UNION ALL \
         SELECT l.ctid FROM comment_likes l JOIN comments c ON c.id = l.comment_id JOIN posts p ON p.id = c.post_id \
         WHERE c.author_id % 10 = 0 OR p.author_id % 10 = 0)",
    ),
    ("reactions", "user_id % 10 = 0 OR post_id IN (SELECT id FROM posts WHERE author_id % 10 = 0)"),
    ("follows", "follower_id % 10 = 0 OR followee_id % 10 = 0"),
    ("notifications", "user_id % 10 = 0 OR actor_id % 10 = 0"),
    ("direct_messages", "sender_id % 10 = 0 OR recipient_id % 10 = 0"),
    ("players", "owner_id % 10 = 0"),
    ("playlists", "owner_id % 10 = 0"),
    (
        "playlist_items",
        "playlist_id IN (SELECT id FROM playlists WHERE owner_id % 10 = 0) \
         OR post_id IN (SELECT id FROM posts WHERE author_id % 10 = 0)",
    ),
    ("moderation_reports", "reporter_id % 10 = 0 OR handled_by % 10 = 0"),
    ("blog_posts", "author_id % 10 = 0"),
    (
        "blog_comments",
        "author_id % 10 = 0 OR blog_post_id IN (SELECT id FROM blog_posts WHERE author_id % 10 = 0)",
    ),
    ("legacy_attachments", "user_id % 10 = 0"),
];

/// slice-db with what it needs for this source.
pub(super) struct SliceDb {
    program: PathBuf,
    folder: PathBuf,
}

impl SliceDb {
    /// Installs it into the cache; `None` where it cannot be had.
    ///
    /// # Errors
    /// It is there and does not understand the source.
    pub(super) fn prepare(server: &Server) -> Result<Option<Self>> {
        let cache = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let folder = cache.join(format!("bench-slice-db-{VERSION}"));
        let program = folder.join("bin/slicedb");
        if !program.is_file()
            && let Err(error) = install(&folder)
        {
            say(&format!("slice-db cannot be had here, its figures are quoted: {error}"));
            return Ok(None);
        }
        let peer = Self { program, folder };
        peer.describe(server)?;
        Ok(Some(peer))
    }

    /// The schema file that slice-db suggests, but for what it would fail on and with references to parents only.
    fn describe(&self, server: &Server) -> Result<()> {
        let told = output(self.command(server, SOURCE).arg("schema"))?;
        let mut schema: Value = serde_json::from_str(&told)?;
        let generated = server.sql(
            SOURCE,
            "SELECT attrelid::regclass || '.' || attname FROM pg_attribute WHERE attgenerated <> ''",
        )?;
        let generated: Vec<&str> = generated.lines().collect();
        let left = |name: &str| {
            name.contains("audit_log")
                || name.contains("playerEvents")
                || name.ends_with("sessions")
                || name.ends_with("tokens")
        };
        if let Some(tables) = schema["tables"].as_object_mut() {
            tables.retain(|name, _| !left(name));
            for (name, table) in tables {
                let name = name.trim_start_matches("public.");
                if let Some(columns) = table["columns"].as_array_mut() {
                    let made = |column: &Value| {
                        generated
                            .contains(&format!("{name}.{}", column.as_str().unwrap_or_default()).as_str())
                    };
                    columns.retain(|column| !made(column));
                }
            }
        }
        if let Some(references) = schema["references"].as_object_mut() {
            references.retain(|_, reference| !left(reference["table"].as_str().unwrap_or_default()));
            references.values_mut().for_each(|reference| reference["directions"] = json!(["forward"]));
        }
        Ok(std::fs::write(self.folder.join("schema.json"), schema.to_string())?)
    }

    fn command(&self, server: &Server, database: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env("PGHOST", &server.host).env("PGUSER", "owner");
        command.env("PGPASSWORD", PASSWORD).env("PGDATABASE", database).arg("--log-level").arg("error");
        command
    }

    /// What a user of it does: the schema's first part, the rows, the schema's second part. Two jobs.
    pub(super) fn run(&self, server: &Server, to: &str) -> Result<()> {
        let (slice, schema) = (self.folder.join("slice.zip"), self.folder.join("schema.json"));
        let section = |name: &str| {
            format!(
                "pg_dump -U owner --schema-only --section={name} {SOURCE} | psql -U owner -q {to} >/dev/null"
            )
        };
        output(&mut server.shell(&format!("createdb -U owner {to} && {}", section("pre-data"))))?;
        let mut dump = self.command(server, SOURCE);
        dump.args(["dump", "-j", "2", "--schema"]).arg(&schema).arg("-o").arg(&slice);
        for (table, condition) in ROOTS {
            dump.args(["-r", &format!("public.{table}"), condition]);
        }
        output(&mut dump)?;
        let restore = ["restore", "-j", "2", "--no-transaction", "-i"];
        output(self.command(server, to).args(restore).arg(&slice))?;
        output(&mut server.shell(&section("post-data"))).map(drop)
    }
}

fn install(folder: &Path) -> Result<()> {
    output(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let pip = folder.join("bin/pip");
    output(Command::new(pip).args(["install", "--quiet", &format!("slice-db=={VERSION}")])).map(drop)
}
