//! A copy of a database: looking at the original, streaming it into its scratch container, ending what was cut off.
//!
//! The two never meet on a network: the engine hands the bytes from one container's command to the other's. The
//! original is only read; what a killed copy left running there is ended by [`Engine::end_copy`].

use std::pin::Pin;
use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use futures_util::StreamExt as _;
use pw_model::unit::Bytes;
use pw_plan::scratch::Source;
use pw_plan::step::{CopyMethod, DatabaseCopy};
use pw_run::Failure;
use serde::Deserialize;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::docker::exec::{Complained, Running, Script, keep};
use crate::docker::{Engine, label};

/// Nobody waits longer for a copy; a server that is still streaming by then is stuck.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// Between two words about how far a copy is.
const WORD: Duration = Duration::from_secs(2);

/// The password as the image knows it. It stays inside the container.
pub(crate) const PASSWORD: &str = r#"
[ -z "${POSTGRES_PASSWORD_FILE:-}" ] || POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
export PGPASSWORD="${POSTGRES_PASSWORD:-}" PGOPTIONS="-c statement_timeout=0" PGCONNECT_TIMEOUT=20
"#;

const LOOK: &str = r#"
told=
for user in $PW_USER "${POSTGRES_USER:-postgres}" postgres; do
  database=${PW_DATABASE:-${POSTGRES_DB:-${POSTGRES_USER:-postgres}}}
  answer=$(psql -XAtqw -U "$user" -d "$database" -c "$PW_QUERY") || continue
  case $answer in *'"super" : true'*) told=$answer; break ;; esac
done
[ -n "$told" ] || { echo "no role of it may read everything" >&2; exit 3; }
printf '%s\n' "$told"
psql -XAtqw "user=$user dbname=postgres replication=true" -c IDENTIFY_SYSTEM >/dev/null
"#;

const QUERY: &str = "SELECT json_build_object('user', current_user, 'database', current_database(), \
    'super', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), \
    'data', current_setting('data_directory'), 'version', current_setting('server_version_num')::int, \
    'wal_level', current_setting('wal_level'), \
    'senders', current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication), \
    'tablespaces', (SELECT count(*) FROM pg_tablespace WHERE spcname NOT LIKE 'pg\\_%'), \
    'bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint + \
        (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())::bigint)";

/// `-c fast` costs the original one checkpoint at once; the gentle way would make the copy wait up to minutes for it.
const SEND_FILES: &str = r#"
exec pg_basebackup -D - -Ft -X fetch -c fast -w -d "user=$PW_USER application_name=$PW_NAME"
"#;
/// Empties `PW_DATA`.
pub(crate) const CLEAR: &str = r#"
set -e
cd "$PW_DATA"
find . -mindepth 1 -delete
"#;
/// Makes what lies in `PW_DATA` the files of a server of its own that lets everybody in who reaches its socket.
pub(crate) const SETTLE: &str = r#"
set -e
cd "$PW_DATA"
rm -f standby.signal recovery.signal postmaster.pid
{ echo 'local all all trust'; cat pg_hba.conf; echo 'host all all all md5'; } >partywall_hba.conf
chown "$(stat -c %u:%g PG_VERSION)" . partywall_hba.conf
chmod 0700 .
chmod 0777 "$PW_SOCKET"
"#;
const SEND_ROLES: &str =
    r#"PGAPPNAME=$PW_NAME exec pg_dumpall --roles-only -w -U "$PW_USER" -d "dbname=$PW_DATABASE""#;
/// Roles that the image made already are refused, and that is well.
const RECEIVE_ROLES: &str = r#"exec psql -Xqw -U "$PW_USER" -d "$PW_DATABASE" >/dev/null 2>&1"#;
const SEND_ROWS: &str =
    r#"PGAPPNAME=$PW_NAME exec pg_dump -Fc -Z0 -w -U "$PW_USER" -d "dbname=$PW_DATABASE""#;
const RECEIVE_ROWS: &str = r#"
pg_restore -w -U "$PW_USER" -d "$PW_DATABASE" --exit-on-error &&
exec psql -Xqw -U "$PW_USER" -d "$PW_DATABASE" -c ANALYZE
"#;
const END: &str = r#"
exec psql -Xqw -U "$PW_USER" -d postgres -v name="$PW_NAME" <<'SQL' >/dev/null
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :'name';
SQL
"#;

#[derive(Deserialize)]
struct Looked {
    user: String,
    database: String,
    data: String,
    version: i32,
    wal_level: String,
    senders: i64,
    tablespaces: i64,
    bytes: u64,
}

/// Reads the files of a server from its standard input, as one archive, into `PW_DATA`.
pub fn receive_files() -> String {
    format!("{CLEAR}tar -xf -\n{SETTLE}")
}

/// Told how far a copy is.
pub(crate) type OnLine<'a> = Option<&'a (dyn Fn(&str) + Send + Sync)>;

impl Engine {
    /// Looks at a running database: who may read it, where it keeps its files, how large it is. An empty name or
    /// user is the image's own.
    ///
    /// # Errors
    /// It does not answer, is older than 13, or no role is found that may read everything.
    pub async fn look_at_database(
        &self,
        container: &str,
        user: &str,
        database: &str,
    ) -> Result<Source, Failure> {
        let text = format!("{PASSWORD}{LOOK}");
        let variables = [("PW_USER", user), ("PW_DATABASE", database), ("PW_QUERY", QUERY)];
        let said = self.run_script(&Script { container, text: &text, variables: &variables }).await?;
        let what = || Failure::new(format!("could not look at the database in `{container}`"));
        let looked: Looked = match serde_json::from_str(said.out.lines().next().unwrap_or_default()) {
            Ok(looked) => looked,
            Err(_) => {
                return Err(what()
                    .because(Complained(said.complaints))
                    .hint("`databases` in partywall.yaml names service, name and user; the copy needs a superuser of it"));
            }
        };
        if looked.version < 130_000 {
            return Err(what()
                .because(Complained(format!("it is PostgreSQL {}", looked.version / 10_000)))
                .hint("copies need PostgreSQL 13 or newer"));
        }
        let image = self.inspect_named(container).await?.and_then(|found| found.image);
        let only_logical = only_logical(&looked, said.code == 0);
        Ok(Source {
            container: container.to_owned(),
            image: image.unwrap_or_default(),
            user: looked.user,
            database: looked.database,
            data: looked.data,
            bytes: Bytes(looked.bytes),
            only_logical,
        })
    }

    /// The version of the server's programs, such as `17.5 (Debian …)`.
    ///
    /// # Errors
    /// The container does not run, or has no such program.
    pub async fn look_at_version(&self, container: &str) -> Result<String, Failure> {
        let said =
            self.run_script(&Script { container, text: "exec postgres --version", variables: &[] }).await?;
        match said.out.rsplit_once("(PostgreSQL) ") {
            Some((_, version)) => Ok(version.to_owned()),
            None => Err(Failure::new(format!("could not ask `{container}` for its version"))
                .because(Complained(said.complaints))),
        }
    }

    /// Streams it; doing it again begins afresh.
    ///
    /// # Errors
    /// Either side fails; both sides' words are in the cause.
    pub(crate) async fn copy_database(
        &self,
        copy: &DatabaseCopy,
        on_line: OnLine<'_>,
    ) -> Result<(), Failure> {
        let all = async {
            match copy.method {
                CopyMethod::Physical if self.share(copy, on_line).await? => Ok(()),
                CopyMethod::Physical => self.stream(copy, (SEND_FILES, &receive_files()), on_line).await,
                CopyMethod::Logical => {
                    self.stream(copy, (SEND_ROLES, RECEIVE_ROLES), None).await?;
                    self.stream(copy, (SEND_ROWS, RECEIVE_ROWS), on_line).await
                }
            }
        };
        tokio::time::timeout(LONGEST, all).await.unwrap_or_else(|_| {
            Err(Failure::new(format!("copying `{}` took longer than 6 hours", copy.database)))
        })
    }

    async fn stream(
        &self,
        copy: &DatabaseCopy,
        texts: (&str, &str),
        on_line: OnLine<'_>,
    ) -> Result<(), Failure> {
        let receiver = self.container_of(&copy.project, &copy.service).await?;
        let name = name(copy);
        let variables = variables(copy, &name);
        let text = [format!("{PASSWORD}{}", texts.0), format!("{PASSWORD}{}", texts.1)];
        let script = |container, text| Script { container, text, variables: &variables };
        let into = self.start_script(&script(&receiver, &text[1])).await?;
        let from = self.start_script(&script(&copy.from, &text[0])).await?;
        self.relay(copy, from, into, on_line).await
    }

    /// Hands on what one says to the other, until both have ended.
    async fn relay(
        &self,
        copy: &DatabaseCopy,
        mut from: Running,
        mut into: Running,
        on_line: OnLine<'_>,
    ) -> Result<(), Failure> {
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        {
            let send = send(&mut from, &mut into.input, &mut said, on_line);
            let listen = async {
                while let Some(Ok(chunk)) = into.output.next().await {
                    keep(&mut heard, &chunk.into_bytes());
                }
            };
            let (mut send, mut listen) = (std::pin::pin!(send), std::pin::pin!(listen));
            // A receiver that has ended takes nothing more, whatever the sender still has to say.
            tokio::select! {
                () = &mut listen => {}
                () = &mut send => listen.await,
            }
        }
        let received = self.exit_code(&into).await?;
        if received == 0 && self.exit_code(&from).await? == 0 {
            return Ok(());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let words = [("the original said: ", text(&said)), ("the copy said: ", text(&heard))];
        let words = words.into_iter().filter(|(_, words)| !words.is_empty());
        let cause: Vec<String> = words.map(|(who, words)| format!("{who}{words}")).collect();
        Err(not_copied(copy, cause.join("\n")))
    }

    /// Ends what a copy that was cut off still reads; success when nothing does, or when the original is gone.
    pub(crate) async fn end_copy(&self, copy: &DatabaseCopy) -> Result<(), Failure> {
        if !self.is_running(&copy.from).await? {
            return Ok(());
        }
        let (text, name) = (format!("{PASSWORD}{END}"), name(copy));
        let variables = [("PW_USER", copy.user.as_str()), ("PW_NAME", &name)];
        let said =
            self.run_script(&Script { container: &copy.from, text: &text, variables: &variables }).await?;
        match said.code {
            0 => Ok(()),
            _ => Err(Failure::new(format!("could not end the copying of `{}`", copy.from))
                .because(Complained(said.complaints))),
        }
    }

    /// The container of a service of a Compose project.
    pub(crate) async fn container_of(&self, project: &str, service: &str) -> Result<String, Failure> {
        let found = self.containers(project).await?;
        let found = found.into_iter().find(|container| container.service == service);
        found.map(|container| container.id).ok_or_else(|| {
            Failure::new(format!("service `{service}` of `{project}` has no container"))
                .because(Complained(format!("none carries the label `{}`", label::SERVICE)))
        })
    }
}

/// Until the sender has nothing more to say, or the receiver takes nothing more; its own words say why.
async fn send(
    from: &mut Running,
    into: &mut Pin<Box<dyn AsyncWrite + Send>>,
    said: &mut Vec<u8>,
    on_line: OnLine<'_>,
) {
    let (mut bytes, mut told) = (0_u64, Instant::now());
    while let Some(Ok(chunk)) = from.output.next().await {
        match chunk {
            LogOutput::StdErr { message } => keep(said, &message),
            other => {
                let part = other.into_bytes();
                bytes += part.len() as u64;
                if into.write_all(&part).await.is_err() {
                    return;
                }
            }
        }
        if told.elapsed() >= WORD {
            told = Instant::now();
            on_line.iter().for_each(|tell| tell(&format!("waiting for the copy: {} so far", Bytes(bytes))));
        }
    }
    drop(into.shutdown().await);
}

fn not_copied(copy: &DatabaseCopy, cause: String) -> Failure {
    let hint = if cause.contains("No space left") {
        Some("make room where Docker keeps its volumes: `docker system df` shows what takes it")
    } else if cause.contains("requested WAL segment") || cause.contains("could not find WAL") {
        Some("the server removed its log while it was copied: raise `wal_keep_size`")
    } else {
        None
    };
    let failure = Failure::new(format!("could not copy database `{}` of `{}`", copy.database, copy.from))
        .because(Complained(cause));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What the scripts of both sides are told.
pub(crate) fn variables<'a>(copy: &'a DatabaseCopy, name: &'a str) -> [(&'static str, &'a str); 5] {
    [
        ("PW_USER", &copy.user),
        ("PW_DATABASE", &copy.database),
        ("PW_NAME", name),
        ("PW_DATA", &copy.data),
        ("PW_SOCKET", &copy.socket),
    ]
}

/// By which the original's connections of this copy are known.
pub(crate) fn name(copy: &DatabaseCopy) -> String {
    // PostgreSQL cuts names after 63 bytes.
    format!("partywall-copy-{}", &pw_plan::hash(&copy.project)[..16])
}

fn only_logical(looked: &Looked, replicates: bool) -> Option<String> {
    match looked {
        Looked { wal_level, .. } if wal_level == "minimal" => {
            Some("`wal_level` of the server is `minimal`, so it cannot stream its files".to_owned())
        }
        Looked { senders, .. } if *senders < 1 => Some("the server has no free `max_wal_senders`".to_owned()),
        Looked { tablespaces, .. } if *tablespaces > 0 => {
            Some("the server keeps tables in further tablespaces".to_owned())
        }
        _ if !replicates => Some("the server's pg_hba.conf allows no replication".to_owned()),
        _ => None,
    }
}
