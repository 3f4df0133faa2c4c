//! What is backed up: production of a small project of the benchmark's own, with a database and a volume of files.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::run::{Result, output, say};

const PROJECT: &str = "benchkeep";
const DATABASE: &str = "shop";
/// Rows of one megabyte.
const ROWS: u64 = 5_000;

/// Gone at its end, with everything in it.
pub(super) struct Shop {
    folder: PathBuf,
    binary: PathBuf,
    container: String,
    files_container: String,
    files: PathBuf,
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.partywall(&["destroy", "production", "--confirm", "production"]).output());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Shop {
    pub(super) fn open(binary: &Path, database: u64, files: u64) -> Result<Self> {
        let folder = PathBuf::from(format!("/var/tmp/partywall-bench-keep-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("project"))?;
        let image = std::env::var("POSTGRES_IMAGE").unwrap_or_else(|_| "postgres:17".into());
        std::fs::write(folder.join("project/compose.yaml"), compose(&image))?;
        let config = format!(
            "project: {PROJECT}\ncompose: [compose.yaml]\nenvironments: {{ production: {{}} }}\n\
             databases: {{ main: {{ service: db }} }}\nbackup: {{ repository: {}/partywall }}\n",
            folder.display()
        );
        std::fs::write(folder.join("project/partywall.yaml"), config)?;
        let (container, files_container) = (String::new(), String::new());
        let mut shop =
            Self { folder, binary: binary.into(), container, files_container, files: PathBuf::new() };
        output(&mut shop.partywall(&["up", "production"]))?;
        let of = |service: &str| format!("label=com.docker.compose.service={service}");
        let project = format!("label=com.docker.compose.project={PROJECT}-production");
        for (service, id) in [("db", &mut shop.container), ("files", &mut shop.files_container)] {
            let words = ["ps", "-q", "--filter", &project, "--filter", &of(service)];
            output(Command::new("docker").args(words))?.trim().clone_into(id);
        }
        let volume = format!("{PROJECT}-production_files");
        let words = ["volume", "inspect", "-f", "{{.Mountpoint}}", &volume];
        shop.files = output(Command::new("docker").args(words))?.trim().into();
        shop.fill(database, files)?;
        Ok(shop)
    }

    fn fill(&self, database: u64, files: u64) -> Result<()> {
        say(&format!("filling a database of {database} MB and {files} MB of files"));
        let rows = database * ROWS;
        self.sql(&format!(
            "CREATE TABLE item (id int PRIMARY KEY, owner int, made_at timestamptz DEFAULT now(), name text, words text); \
             INSERT INTO item SELECT n, n % 1000, now(), 'item ' || n, md5(n::text) || ' ' || repeat('word ' || n % 97 || ' ', 8) || md5((n * 7)::text) \
             FROM generate_series(1, {rows}) n; CREATE INDEX ON item (owner); ANALYZE"
        ))?;
        // Half of it cannot be compressed, half of it can.
        for number in 0..files {
            let folder = self.files.join(format!("{}", number % 16));
            std::fs::create_dir_all(&folder)?;
            let text = format!(
                "head -c 512k /dev/urandom >{0}/{number}.noise; seq {number}000 {number}99999 | head -c 512k >{0}/{number}.text",
                folder.display()
            );
            output(Command::new("sh").args(["-c", &text]))?;
        }
        Ok(())
    }

    pub(super) fn partywall(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).current_dir(self.folder.join("project"));
        command.env("PARTYWALL_STATE", self.folder.join("state"));
        command
    }

    /// Of a contender's backups.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        let word = ["restic", "partywall"].into_iter().find(|word| name.contains(word));
        self.folder.join(word.unwrap_or("dump"))
    }

    pub(super) fn files(&self) -> PathBuf {
        self.files.clone()
    }

    pub(super) fn restored(&self) -> PathBuf {
        self.folder.join("restored")
    }

    /// Words of a program of the server, for a shell.
    pub(super) fn inside(&self, words: &str) -> String {
        format!("docker exec {} {words}", self.container)
    }

    pub(super) fn inside_piped(&self, words: &str) -> String {
        format!("docker exec -i {} {words}", self.container)
    }

    pub(super) fn sql(&self, sql: &str) -> Result<String> {
        let words = ["exec", &self.container, "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "shop", "-d"];
        let mut command = Command::new("docker");
        command.args(words).arg(DATABASE);
        command.args(sql.split(';').filter(|one| !one.trim().is_empty()).flat_map(|one| ["-c", one]));
        Ok(output(&mut command)?.trim().to_owned())
    }

    /// Database as it is dumped, and files.
    pub(super) fn bytes(&self) -> Result<u64> {
        let dump = format!("{} -Fc -Z0 shop | wc -c", self.inside("pg_dump -U shop"));
        let dump: u64 = output(Command::new("sh").args(["-c", &dump]))?.trim().parse()?;
        Ok(dump + size(&self.files)?)
    }

    /// One row of a hundred, and one file.
    pub(super) fn change(&self) -> Result<()> {
        self.sql("UPDATE item SET name = name || '.' WHERE id % 100 = 0")?;
        let more = format!("head -c 300k /dev/urandom >>{}/0/0.noise", self.files.display());
        // Backups are named by the second.
        output(Command::new("sh").args(["-c", &format!("sleep 1; {more}")])).map(drop)
    }

    pub(super) fn forget(&self, name: &str) -> Result<()> {
        let place = self.place(name);
        if place.exists() { Ok(std::fs::remove_dir_all(place)?) } else { Ok(()) }
    }

    pub(super) fn forget_ours(&self) -> Result<()> {
        self.forget("partywall")
    }

    /// What restores left beside what is in use.
    pub(super) fn clear_restored(&self) -> Result<()> {
        let list = "SELECT datname FROM pg_database WHERE datname ~ '__partywall_replaced|^restored$'";
        for name in self.sql(list)?.lines() {
            self.sql(&format!("DROP DATABASE \"{name}\""))?;
        }
        let text = format!("rm -rf '{}' '{}'.replaced-*", self.restored().display(), self.files.display());
        output(Command::new("sh").args(["-c", &text])).map(drop)
    }

    /// The words with which somebody lets what was restored and what is in use change places, as ours does.
    pub(super) fn exchange(&self, nested: bool) -> String {
        let (files, into) = (self.files.display(), self.restored());
        let from = if nested { into.join(self.files.strip_prefix("/").unwrap_or(&self.files)) } else { into };
        let rename = |from: &str, to: &str| format!("-c 'ALTER DATABASE {from} RENAME TO {to}'");
        let psql = self.inside("psql -qX -v ON_ERROR_STOP=1 -U shop -d postgres");
        format!(
            "docker stop {files_container} && {psql} {} {} && mv '{files}' '{files}.replaced-bench' && mv '{}' '{files}' && \
             docker start {files_container}",
            rename(DATABASE, "shop__partywall_replaced_bench"),
            rename("restored", DATABASE),
            from.display(),
            files_container = self.files_container,
        )
    }

    /// Fails unless what was restored has the rows and files that were there.
    pub(super) fn same(&self) -> Result<()> {
        let count = "SELECT count(*) || ' ' || sum(hashtext(t::text)) FROM item t";
        let former = self.sql("SELECT datname FROM pg_database WHERE datname ~ '__partywall_replaced'")?;
        let there = format!("{} -d {former} -c \"{count}\"", self.inside("psql -qAtX -U shop"));
        let (here, there) = (self.sql(count)?, output(Command::new("sh").args(["-c", &there]))?);
        let sums = |folder: &Path| -> Result<String> {
            let text = "find . -type f -exec md5sum {} + | sed 's# .*/# #' | sort";
            output(Command::new("sh").args(["-c", text]).current_dir(folder))
        };
        if here == there.trim() && sums(&self.files)? == sums(&self.replaced()?)? {
            Ok(())
        } else {
            Err("what was restored differs".into())
        }
    }

    fn replaced(&self) -> Result<PathBuf> {
        let above = self.files.parent().ok_or("no folder of the volume")?;
        let mut all = std::fs::read_dir(above)?.flatten().map(|one| one.path());
        let found = all.find(|path| path.display().to_string().contains(".replaced-"));
        found.ok_or_else(|| "the replaced folder is not there".into())
    }

    /// A row by its key, again and again, beside something else.
    pub(super) fn queries(&self, seconds: u64) -> Result<Queries> {
        let text = format!(
            "cd /tmp && rm -f waits.* && printf '\\\\set id random(1, {ROWS})\\nSELECT words FROM item WHERE id = :id;\\n' >waits.sql && \
             \"$(ls -d /usr/lib/postgresql/*/bin | tail -1)/pgbench\" -U shop -n -c 1 -R 200 -T {seconds} -M prepared -f waits.sql \
             --log --log-prefix=waits {DATABASE} >/dev/null && cat waits.[0-9]*"
        );
        let mut command = Command::new("docker");
        command.args(["exec", &self.container, "bash", "-c", &text]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Queries(child))
    }
}

pub(super) struct Queries(Child);

impl Queries {
    /// Milliseconds that 99 of 100 took at most, with what they waited to begin.
    pub(super) fn wait(self) -> Result<f64> {
        let told = self.0.wait_with_output()?;
        let text = String::from_utf8_lossy(&told.stdout);
        let mut times: Vec<u32> =
            text.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse().ok()).collect();
        times.sort_unstable();
        let found = times.get(times.len() * 99 / 100);
        found.map(|micros| f64::from(*micros) / 1000.0).ok_or_else(|| {
            format!("pgbench noted no query: {}", String::from_utf8_lossy(&told.stderr)).into()
        })
    }
}

/// Bytes of all files below a folder.
pub(super) fn size(folder: &Path) -> Result<u64> {
    let told = output(Command::new("du").arg("-sb").arg(folder))?;
    Ok(told.split_whitespace().next().unwrap_or_default().parse()?)
}

fn compose(image: &str) -> String {
    format!(
        "services:\n  db:\n    image: {image}\n    environment: {{ POSTGRES_USER: shop, POSTGRES_DB: {DATABASE}, POSTGRES_PASSWORD: bench }}\n    \
         volumes: [\"data:/var/lib/postgresql/data\"]\n    \
         healthcheck: {{ test: [CMD-SHELL, \"pg_isready -q -h 127.0.0.1 -U shop\"], interval: 1s, retries: 60 }}\n  \
         files:\n    image: {image}\n    entrypoint: [sleep, infinity]\n    init: true\n    volumes: [\"files:/files\"]\n\
         volumes:\n  data:\n  files:\n"
    )
}
