//! Connections. A password is never printed: messages name host, port and database only.

use std::ops::Deref;
use std::path::Path;
use std::rc::Rc;

use futures_util::TryStreamExt;
use pw_run::Failure;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Statement};

use crate::copy::Rows;
use crate::pace::Pace;
use crate::tls::Tls;

/// Where a database is and how to get in.
#[derive(Clone)]
pub struct Address {
    config: Config,
    /// Bytes in a second that may be read from it.
    rate: Option<u64>,
    tls: Tls,
}

impl Address {
    /// Reads a URL or `key=value` DSN; `env:NAME` takes it from the environment, so that no list of processes shows it.
    ///
    /// # Errors
    /// The text is no DSN, or names no database. The message never repeats it.
    pub fn parse(written: &str) -> Result<Self, Failure> {
        let text = match written.strip_prefix("env:") {
            Some(name) => std::env::var(name).map_err(|error| {
                Failure::new(format!("could not read the DSN from `{name}`")).because(error)
            })?,
            None => written.to_owned(),
        };
        let (tls, text) = Tls::split(&text);
        // The parser's own message may quote a part of the text, and that part may be the password.
        let mut config: Config = text.parse().map_err(|_unsaid: tokio_postgres::Error| {
            Failure::new("the DSN cannot be read")
                .hint("write postgres://user:password@host:port/database, or env:NAME to take it from the environment")
        })?;
        if config.get_dbname().is_none() {
            return Err(Failure::new("the DSN names no database").hint("end it with /DATABASE"));
        }
        config.application_name("partywall").ssl_mode(tls.driver_mode()?);
        Ok(Self { config, rate: None, tls })
    }

    /// Reads at most so many bytes in a second from there, all connections together.
    #[must_use]
    pub fn limited(self, bytes_in_a_second: Option<u64>) -> Self {
        Self { rate: bytes_in_a_second, ..self }
    }

    /// True when the text that it was read from, or what was given since, holds a password.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Signs in with this password where there is none.
    #[must_use]
    pub fn or_password(mut self, password: Option<&str>) -> Self {
        if let Some(password) = password.filter(|_| !self.has_password()) {
            self.config.password(password);
        }
        self
    }

    /// True when the certificate of the server is compared with a file of this host.
    pub fn compares_with_file(&self) -> bool {
        self.tls.roots.as_deref().is_some_and(|roots| roots != "system")
    }

    /// A server at `host`, whatever name, user and password hold.
    pub fn new(host: &str, port: u16, database: &str) -> Self {
        let mut config = Config::new();
        config.host(host).port(port).dbname(database).application_name("partywall");
        config.connect_timeout(std::time::Duration::from_secs(10));
        Self { config, rate: None, tls: Tls::default() }
    }

    /// Who signs in, and with what.
    #[must_use]
    pub fn signed_in(mut self, user: &str, password: Option<&str>) -> Self {
        self.config.user(user);
        if let Some(password) = password {
            self.config.password(password);
        }
        self
    }

    /// A server on this machine, by its socket in a folder that is held open.
    pub(crate) fn local(folder: std::os::fd::RawFd, user: &str, database: &str) -> Self {
        let mut config = Config::new();
        config.host_path(format!("/proc/self/fd/{folder}")).user(user).dbname(database);
        config.application_name("partywall");
        Self { config, rate: None, tls: Tls::default() }
    }

    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    pub fn host(&self) -> String {
        match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => Path::display(path).to_string(),
            None => "localhost".to_owned(),
        }
    }

    pub fn port(&self) -> u16 {
        self.config.get_ports().first().copied().unwrap_or(5432)
    }

    pub fn user(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// For the environment of `pg_dump`, never for an argument.
    pub(crate) fn password(&self) -> Option<String> {
        self.config.get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// What the environment of `pg_dump` must say of encryption.
    pub(crate) fn encryption(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mode = self.tls.mode.as_deref().map(|mode| ("PGSSLMODE", mode));
        let roots = self.tls.roots.as_deref().map(|roots| ("PGSSLROOTCERT", roots));
        mode.into_iter().chain(roots)
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        let mut config = self.config.clone();
        config.dbname(name);
        Self { config, ..self.clone() }
    }

    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let (client, connection) = self
            .config
            .connect(self.tls.connector()?)
            .await
            .map_err(|error| Failure::new(format!("could not connect to {self}")).because(error))?;
        // The driver ends with its client; what goes wrong on it is told by the next query.
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` at {}:{}", self.database(), self.host(), self.port())
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({self})")
    }
}

const CONFLICT: &str = "a standby ends who still reads rows that its primary has removed: set `hot_standby_feedback = on` there, or `max_standby_streaming_delay` to more than a sample takes";
/// What every reading connection is told. Scans keep the order of the heap, so that two scans agree row by
/// row; a policy that would hide rows is an error instead of a silent loss.
const READING: &str = "SET row_security = off; SET synchronize_seqscans = off; \
    SET max_parallel_workers_per_gather = 0; SET jit = off; SET statement_timeout = 0; SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = 0; SET extra_float_digits = 3; SET enable_indexscan = on";

/// A connection that reads no faster than it may.
pub struct Reader {
    client: Client,
    moved: Statement,
    pub(crate) pace: Rc<Pace>,
}

impl Deref for Reader {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Tables that are locked here and whose rows lie elsewhere than when the snapshot was taken: the one tells the present,
/// the other the snapshot. The server's own tables, numbered below, are read by what they hold.
const MOVED: &str = "SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
    WHERE l.pid = pg_backend_pid() AND c.relkind = 'r' AND c.oid >= 16384 AND c.relfilenode <> pg_relation_filenode(c.oid)";

impl Reader {
    async fn new(client: Client, pace: Rc<Pace>) -> Result<Self, Failure> {
        let moved = client.prepare(MOVED).await;
        let moved =
            moved.map_err(|error| Failure::new("could not prepare to read the source").because(error))?;
        Ok(Self { client, moved, pace })
    }

    /// One more connection to the moment of a snapshot. It reads a table in the order of its heap, whatever is asked, and
    /// as fast as it can: the pace is kept by who asks.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(crate) async fn joined(address: &Address, snapshot: &str) -> Result<Self, Failure> {
        let client = address.connect().await?;
        begin(&client, Some(snapshot)).await?;
        let set = client.batch_execute("SET enable_indexscan = off; SET enable_bitmapscan = off").await;
        set.map_err(|error| Failure::new("could not prepare to read the source").because(error))?;
        Self::new(client, Rc::new(Pace::new(None))).await
    }

    /// From here to [`release`](Self::release) tables are locked, and nobody can alter them: a query, never the whole
    /// run, for whoever waits to alter a table makes all others wait that want to read it.
    pub(crate) async fn hold(&self) -> Result<(), Failure> {
        let held = self.client.batch_execute("SAVEPOINT reading").await;
        held.map_err(|error| Failure::new("could not read from the source").because(error))
    }

    /// What was read since [`hold`](Self::hold) is of the snapshot, and the tables are free again.
    ///
    /// # Errors
    /// A table was made anew since the snapshot, so that its rows lie elsewhere or cannot be seen.
    pub(crate) async fn release(&self) -> Result<(), Failure> {
        let failed = |error| Failure::new("could not read from the source").because(error);
        let moved: Option<String> = self.client.query_one(&self.moved, &[]).await.map_err(failed)?.get(0);
        if let Some(moved) = moved {
            return Err(Failure::new(format!("`{moved}` was made anew in the source while it was read"))
                .hint("run it again when nobody alters or rewrites tables there"));
        }
        let free = self.client.batch_execute("ROLLBACK TO reading; RELEASE reading").await;
        free.map_err(failed)
    }
}

/// Connections that all see one moment of the source, and can only read.
pub struct Source {
    pub address: Address,
    pub clients: Vec<Reader>,
    pub snapshot: String,
    /// 170012 for 17.12.
    pub version: i32,
    /// It follows another server, and ends who reads what that one has removed.
    pub standby: bool,
}

impl Source {
    /// # Errors
    /// The server cannot be reached, is older than 13, or cannot export a snapshot.
    pub async fn open(address: Address, connections: usize) -> Result<Self, Failure> {
        let leader = address.connect().await?;
        begin(&leader, None).await?;
        let row = leader
            .query_one("SELECT pg_export_snapshot(), current_setting('server_version_num')::int, pg_is_in_recovery()", &[])
            .await
            .map_err(|error| Failure::new("could not export a snapshot of the source").because(error))?;
        let (snapshot, version, standby): (String, i32, bool) = (row.get(0), row.get(1), row.get(2));
        if version < 130_000 {
            return Err(Failure::new(format!("the source is PostgreSQL {}", version / 10_000))
                .hint("sampling needs PostgreSQL 13 or newer"));
        }
        let pace = Rc::new(Pace::new(address.rate));
        let mut clients = vec![Reader::new(leader, Rc::clone(&pace)).await?];
        while clients.len() < connections.max(1) {
            let client = address.connect().await?;
            begin(&client, Some(&snapshot)).await?;
            clients.push(Reader::new(client, Rc::clone(&pace)).await?);
        }
        Ok(Self { address, clients, snapshot, version, standby })
    }

    /// From now on rows are fetched by where they lie: the planner thinks that a scan of all would be cheaper, and
    /// would make one for every few thousand rows.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(crate) async fn fetch_by_place(&self) -> Result<(), Failure> {
        self.set("SET enable_seqscan = off; SET enable_indexscan = on; SET enable_bitmapscan = on").await
    }

    async fn set(&self, settings: &str) -> Result<(), Failure> {
        for client in &self.clients {
            let set = client.batch_execute(settings).await;
            set.map_err(|error| Failure::new("could not prepare to read the source").because(error))?;
        }
        Ok(())
    }

    pub fn leader(&self) -> &Reader {
        &self.clients[0]
    }
}

async fn begin(client: &Client, snapshot: Option<&str>) -> Result<(), Failure> {
    let join = snapshot.map(|id| format!("; SET TRANSACTION SNAPSHOT {}", literal(id))).unwrap_or_default();
    let text = format!("{READING}; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{join}");
    client
        .batch_execute(&text)
        .await
        .map_err(|error| Failure::new("could not begin to read the source").because(error))
}

/// Where the rows of a scan go.
pub(crate) trait Each {
    /// # Errors
    /// The row is refused, and the scan ends.
    fn row(&mut self, rows: &Rows) -> Result<(), Failure>;

    /// So many bytes came, and all rows in them were told.
    ///
    /// # Errors
    /// The scan ends.
    async fn pass(&mut self, bytes: usize) -> Result<(), Failure>;
}

/// Told each row, and never slower than the source may be read.
struct Paced<'a, F>(&'a Reader, F);

impl<F: FnMut(&Rows) -> Result<(), Failure>> Each for Paced<'_, F> {
    fn row(&mut self, rows: &Rows) -> Result<(), Failure> {
        (self.1)(rows)
    }

    async fn pass(&mut self, bytes: usize) -> Result<(), Failure> {
        self.0.pace.spend(bytes).await;
        Ok(())
    }
}

/// Streams a query's rows as binary fields.
///
/// # Errors
/// The query fails, the stream is malformed, or `each` says no.
pub async fn scan(
    client: &Reader,
    query: &str,
    each: impl FnMut(&Rows) -> Result<(), Failure>,
) -> Result<(), Failure> {
    scan_into(client, query, &mut Paced(client, each)).await
}

/// As [`scan`], to who looks after the pace himself.
///
/// # Errors
/// The query fails, the stream is malformed, or `each` says no.
pub(crate) async fn scan_into(client: &Reader, query: &str, each: &mut impl Each) -> Result<(), Failure> {
    let what = || Failure::new(format!("could not read from the source: {}", shortened(query)));
    let text = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
    client.hold().await?;
    let stream = client.copy_out(&text).await.map_err(|error| what().because(error))?;
    let mut stream = std::pin::pin!(stream);
    let mut rows = Rows::default();
    while let Some(chunk) = stream.try_next().await.map_err(|error| what().because(error))? {
        let bytes = chunk.len();
        rows.push(chunk);
        while rows.advance().map_err(|error| what().because(error))? {
            each.row(&rows)?;
        }
        each.pass(bytes).await?;
    }
    client.release().await
}

/// The same failure, with what to do where a standby took back the rows that were being read.
///
/// Who reads nothing at that moment is told only that the connection is closed.
pub(crate) fn explained(failure: Failure, standby: bool) -> Failure {
    let conflicts = |error: &(dyn std::error::Error + 'static)| {
        let known = error.downcast_ref::<tokio_postgres::Error>();
        known.is_some_and(|error| {
            error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) || standby && error.is_closed()
        }) || error.to_string().contains("conflict with recovery")
    };
    let first: Option<&(dyn std::error::Error + 'static)> =
        failure.source.as_deref().map(|source| source as _);
    match std::iter::successors(first, |error| error.source()).any(conflicts) {
        true => failure.hint(CONFLICT),
        false => failure,
    }
}

fn shortened(query: &str) -> String {
    if query.chars().count() <= 160 {
        query.to_owned()
    } else {
        query.chars().take(160).chain(['…']).collect()
    }
}

/// An identifier, quoted.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL, whatever it holds.
pub fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    if text.contains('\\') { format!("E'{escaped}'") } else { format!("'{escaped}'") }
}
