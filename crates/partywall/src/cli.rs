//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pw_plan::prove::step::Blast;

use crate::complete::{environments, services};

/// Production and development of one application, side by side on one server.
#[derive(Debug, Parser)]
#[command(name = "partywall", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Start with `partywall init` in the folder of your Compose files.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Folder of the project; left out, the nearest one above with a partywall.yaml
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
    /// Answer with JSON: one object, or one a line for long work
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but answers and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Do not ask; production still wants `--confirm production`
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// The project has moved: take the environment over from another folder, or from another state folder
    #[arg(long, global = true)]
    pub(crate) moved: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read the Compose files and the host, write partywall.yaml
    Init(Init),
    /// Is the configuration sound, and does it fit the host?
    Check,
    /// What `up` would do, step by step, with the undo beside each step
    Plan {
        /// The environment
        #[arg(add = environments())]
        environment: String,
        /// Plan this operation
        #[arg(long, value_parser = ["up", "wall", "down", "destroy", "sleep"], default_value = "up")]
        operation: String,
    },
    /// Bring an environment to what its files describe
    Up {
        #[arg(add = environments())]
        environment: String,
        /// Build images again even where they exist
        #[arg(long)]
        build: bool,
        /// Run the project's folder as it lies there, no longer a release
        #[arg(long)]
        folder: bool,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Set an environment's firewall rules and limits again, as after a reboot; nothing is started or stopped
    Wall {
        #[arg(add = environments())]
        environment: String,
    },
    /// Stop an environment and remove its containers; volumes stay
    Down {
        #[arg(add = environments())]
        environment: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Stop, freeze or throttle an environment's containers until somebody asks for it; data and containers stay
    Sleep(Sleep),
    /// Remove an environment with its volumes and all data in them
    Destroy {
        #[arg(add = environments())]
        environment: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Environments, services, health, usage and addresses at a glance
    Status {
        #[arg(add = environments())]
        environment: Option<String>,
    },
    /// What every service uses and answers, live: q ends, s sorts, p pauses
    Top {
        #[arg(add = environments())]
        environment: Option<String>,
        /// Print one picture and end; so does --json
        #[arg(long)]
        once: bool,
    },
    /// Logs of an environment or of one service
    Logs {
        #[arg(add = environments())]
        environment: String,
        #[arg(add = services())]
        service: Option<String>,
        /// Go on as new lines come
        #[arg(long, short)]
        follow: bool,
        /// Lines from the end
        #[arg(long, short = 'n', default_value = "100")]
        tail: String,
    },
    /// Run a command in a service's container
    Exec {
        #[arg(add = environments())]
        environment: String,
        #[arg(add = services())]
        service: String,
        /// The command with its arguments; `--` before it where it begins with a dash
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
    /// Open a shell in which plain `docker compose` speaks to one environment
    Shell {
        #[arg(add = environments())]
        environment: String,
    },
    /// Print the final Compose file of an environment
    Render {
        #[arg(add = environments())]
        environment: String,
        /// Say which file and line, or which rule, set a value: `services.web.mem_limit`
        #[arg(long, value_name = "PATH")]
        explain: Option<String>,
        /// Write the file, readable by you only
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Fill a development environment with a masked sample of another environment's data
    Seed(Seed),
    /// Run the project's migration on a full-size copy of an environment's database, and measure it
    Rehearse(Rehearse),
    /// Copy a closed, masked, proved sample of one PostgreSQL database into another
    Sample(Sample),
    /// Build a commit and run it in a development environment
    Push(Push),
    /// Bring a commit to production: a second generation beside the first, a flip without a lost request, and a way back
    Promote(Promote),
    /// Bring an earlier release back
    Rollback(Rollback),
    /// Releases of an environment, the newest first
    Releases {
        #[arg(add = environments())]
        environment: String,
    },
    /// End the containers of the release before, once nobody is in them any more
    Retire(Retire),
    /// Put data and configuration of an environment into the repository
    Backup(Backup),
    /// Backups in the repository, the newest first
    Backups {
        #[arg(add = environments())]
        environment: Option<String>,
        /// Say what is in this one
        #[arg(long, value_name = "BACKUP", conflicts_with = "prune")]
        show: Option<String>,
        /// Remove what `backup.keep` does not keep, and give back the room that nobody needs
        #[arg(long)]
        prune: bool,
        /// Print what would be removed; change nothing
        #[arg(long, requires = "prune")]
        plan: bool,
    },
    /// Give back room on the disk: unnamed images, old build cache and what we left, a day old and nobody's; never a volume
    Prune {
        /// Print what would be removed; change nothing
        #[arg(long)]
        plan: bool,
    },
    /// Bring a backup back in a scratch place, try it, and remove it again
    Drill(Drill),
    /// Bring back what a backup holds; what was there stays under another name
    Restore(Restore),
    /// Attack the wall from inside the environments beside production, measure what production feels, write a certificate
    Prove(Prove),
    /// What `prove` starts inside containers
    #[command(hide = true)]
    Attack,
    /// Where what is described, what runs and the other environments differ
    Drift(Drift),
    /// Watch production, and squeeze development while production is under pressure
    #[command(subcommand)]
    Agent(Agent),
    /// When production broke its objective, and why; and what the machine did with and without development
    Incidents {
        /// So many of the newest
        #[arg(long, short = 'n', default_value = "20")]
        number: u32,
    },
    /// Who is told when something is wrong
    #[command(subcommand)]
    Alerts(Alerts),
    /// Finish an operation that was cut off
    Resume,
    /// Take back an operation that was cut off
    Abandon,
    /// Print completions for a shell, with the names of environments and services
    Completions { shell: clap_complete::Shell },
    /// Write man pages into a folder
    Man { folder: PathBuf },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Watch until it is told to end
    Run {
        /// Print what would be done; touch nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// How the agent fares, what it squeezes and why
    Status {
        /// So many of the newest decisions
        #[arg(long, short = 'n', default_value = "5")]
        decisions: u32,
    },
    /// Do what is due: backups, drills, the end of containers that were kept warm, room on a full disk; for a timer, once a minute
    Chores {
        /// Print what is due; do nothing
        #[arg(long)]
        plan: bool,
    },
    /// Put environments to sleep when nobody uses them, and wake them for who asks
    Front,
    /// Write the units by which systemd starts it, and does what is due
    Install {
        /// Print the units; write nothing
        #[arg(long)]
        print: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Alerts {
    /// Send one, and say what the other side answered
    Test {
        /// The receiver; left out, all
        name: Option<String>,
    },
    /// Receivers, and what waits to be delivered to them
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Print the JSON Schema of partywall.yaml
    #[arg(long)]
    pub(crate) schema: bool,
    /// Print the commented example with every key
    #[arg(long, conflicts_with = "schema")]
    pub(crate) example: bool,
    /// Print what would be written
    #[arg(long)]
    pub(crate) print: bool,
    /// Replace an existing partywall.yaml
    #[arg(long)]
    pub(crate) force: bool,
    /// Public host name of production
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Name of the project; left out, that of the Compose file or the folder
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    #[arg(add = environments())]
    pub(crate) environment: String,
    /// Begin a new repository where the former one is gone for good
    #[arg(long)]
    pub(crate) new_repository: bool,
    /// Only what the servers' log has grown by, with `backup.log`: quick, so it can be done every minute
    #[arg(long)]
    pub(crate) log: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Push {
    #[arg(add = environments())]
    pub(crate) environment: String,
    /// The commit, branch or tag; left out, the folder's last commit, when nothing is changed since
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) reference: Option<String>,
    /// A line for the list of releases
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Print the steps; build and change nothing
    #[arg(long)]
    pub(crate) plan: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Promote {
    /// The environment whose release it is; left out, the development that was pushed to, else the folder's last commit
    #[arg(long, value_name = "ENV", add = environments(), conflicts_with = "reference")]
    pub(crate) from: Option<String>,
    /// The environment that gets it; left out, production
    #[arg(long, value_name = "ENV", add = environments())]
    pub(crate) to: Option<String>,
    /// The commit, branch or tag
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) reference: Option<String>,
    /// A line for the list of releases
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Print the steps; build and change nothing
    #[arg(long)]
    pub(crate) plan: bool,
    /// Go on though somebody changed what runs by hand; what they changed is lost
    #[arg(long)]
    pub(crate) accept_drift: bool,
    /// Make no backup before the migration
    #[arg(long)]
    pub(crate) skip_backup: bool,
    /// Do not try the migration on a copy first
    #[arg(long)]
    pub(crate) skip_rehearsal: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[arg(add = environments())]
    pub(crate) environment: String,
    /// Its number in `partywall releases`; left out, the one before
    pub(crate) release: Option<u64>,
    /// It runs with the schema of today, though a migration lies between
    #[arg(long)]
    pub(crate) accept_schema: bool,
    /// First run `promote.migrate.down` with the release that serves
    #[arg(long, conflicts_with = "accept_schema")]
    pub(crate) migrate_down: bool,
    /// A line for the list of releases
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Print the steps; change nothing
    #[arg(long)]
    pub(crate) plan: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sleep {
    #[arg(add = environments())]
    pub(crate) environment: String,
    /// Stop them even where `sleep.how` is `freeze` or `throttle`, with which they keep their memory
    #[arg(long)]
    pub(crate) stop: bool,
    /// Why, for the journal
    #[arg(long, hide = true, default_value = pw_plan::sleep::UNASKED)]
    pub(crate) because: String,
}

#[derive(Debug, Args)]
pub(crate) struct Retire {
    #[arg(add = environments())]
    pub(crate) environment: String,
}

#[derive(Debug, Args)]
pub(crate) struct Drill {
    /// Its name; left out, the newest of production
    pub(crate) backup: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Restore {
    /// The environment that gets it back
    #[arg(add = environments(), required_unless_present = "from")]
    pub(crate) environment: Option<String>,
    /// Its name, or `latest`; `partywall backups` lists them
    #[arg(required_unless_present_any = ["from", "at"])]
    pub(crate) backup: Option<String>,
    /// The whole project, onto a machine that has nothing of it: the folder of its repository
    #[arg(long, value_name = "REPOSITORY", requires = "key", conflicts_with_all = ["database", "volume"])]
    pub(crate) from: Option<PathBuf>,
    /// The key of that repository
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(crate) key: Option<PathBuf>,
    /// Only this database, by its name under `databases:`
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Only this volume or folder, by its name in the backup
    #[arg(long, value_name = "NAME", conflicts_with = "database")]
    pub(crate) volume: Option<String>,
    /// With `--volume`, only this file or folder below it; nothing is stopped
    #[arg(long, value_name = "PATH", requires = "volume", conflicts_with = "from")]
    pub(crate) path: Option<String>,
    /// Only this table, such as `items` or `public.items`, into a schema of its own beside the present one
    #[arg(long, value_name = "NAME", conflicts_with_all = ["volume", "at", "from"])]
    pub(crate) table: Option<String>,
    /// The database as it was at this time, such as `2026-11-21 10:15:30` or with `Z` for UTC; needs `backup.log`
    #[arg(long, value_name = "TIME", conflicts_with_all = ["volume", "from"])]
    pub(crate) at: Option<String>,
    /// Nobody types it: a project that comes back whole gets its databases first.
    #[arg(skip)]
    pub(crate) only: Option<Kind>,
    /// Print the steps; change nothing
    #[arg(long)]
    pub(crate) plan: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
}

/// A kind of what a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Databases,
    Folders,
}

/// What of `prove` is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Probes,
    Blasts,
}

#[derive(Debug, Args)]
pub(crate) struct Prove {
    /// Only this half of it
    #[arg(long)]
    pub(crate) only: Option<Part>,
    /// These blasts, not all: cpu, memory, fork, cache, direct, disk, bandwidth
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = blast)]
    pub(crate) blasts: Vec<Blast>,
    /// How often each blast is measured between two measurements without it
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Length of each measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub(crate) seconds: u32,
    /// Requests a second to production while it is measured
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// How many times slower than alone production's p99 may be, where `objective` has no p99
    #[arg(long, default_value_t = 1.05)]
    pub(crate) limit: f64,
    /// Write the certificate here, and its figures beside it as .json
    #[arg(long, value_name = "FILE.html")]
    pub(crate) out: Option<PathBuf>,
    /// Print the steps and the probes, and do nothing
    #[arg(long)]
    pub(crate) plan: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
}

fn blast(text: &str) -> Result<Blast, String> {
    let known = || Blast::ALL.map(Blast::name).join(", ");
    Blast::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| format!("there are {}", known()))
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Confirm {
    /// The environment's name, typed again; needed for production where nobody can be asked
    #[arg(long, value_name = "ENV", add = environments())]
    pub(crate) confirm: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// The environment that is filled; never production
    #[arg(add = environments())]
    pub(crate) environment: String,
    /// The environment, the backup (its name, or `latest`) or the read replica (`env:NAME` takes its DSN from the environment)
    /// whose data it gets; left out, `seed.from`, else production
    #[arg(long, value_name = "ENV|BACKUP|DSN", add = environments())]
    pub(crate) from: Option<String>,
    /// Read at most so much of the source in a second, in place of the configured rate: `50MB`
    #[arg(long)]
    pub(crate) rate: Option<String>,
    /// Size of the cohort in place of the configured one: `10%` or `500`
    #[arg(long, value_name = "SIZE")]
    pub(crate) sample: Option<String>,
    /// Print how many rows of each table would come, and every step with its undo; change nothing
    #[arg(long)]
    pub(crate) plan: bool,
    /// Print by which references a row would come; a key of several columns is written with commas
    #[arg(long, num_args = 2, value_names = ["TABLE", "KEY"])]
    pub(crate) why: Option<Vec<String>>,
    /// Print masks for the columns that look personal or secret and have no rule
    #[arg(long)]
    pub(crate) suggest: bool,
    /// Keep the database of before until the next seed
    #[arg(long)]
    pub(crate) keep: bool,
    /// Leave the new database of a failed run to be looked at
    #[arg(long)]
    pub(crate) keep_failed: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Drift {
    /// Only this environment, against its files and against production
    #[arg(add = environments())]
    pub(crate) environment: Option<String>,
    /// Show what overlays and variables make different on purpose, too
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// The environment whose database is copied; it is only read
    #[arg(add = environments())]
    pub(crate) environment: String,
    /// The environment whose image and files hold the migration; left out, the first of class development
    #[arg(long, value_name = "ENV", add = environments())]
    pub(crate) code: Option<String>,
    /// Make the copy from this backup of it, or from `latest`, and leave its database alone
    #[arg(long, value_name = "BACKUP")]
    pub(crate) from: Option<String>,
    /// The entry of `databases` that is copied, where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Only on the whole; left out, the same runs on a copy of the development that was seeded from it, to compare
    #[arg(long)]
    pub(crate) no_sample: bool,
    /// Print the steps and do nothing
    #[arg(long)]
    pub(crate) plan: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sample {
    /// The source: postgres://user:password@host:port/database, or env:NAME to take it from the environment; with
    /// `?sslmode=verify-full&sslrootcert=FILE` and libpq's other modes behind it, encrypted
    #[arg(long, value_name = "DSN")]
    pub(crate) from: String,
    /// The target; what has its name is replaced when the sample is proved
    #[arg(long, value_name = "DSN", required_unless_present_any = ["plan", "why", "suggest"])]
    pub(crate) to: Option<String>,
    /// Cohort, exclusions, masks: a file of their own, or a partywall.yaml with a `seed` section
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: PathBuf,
    /// Print how many rows of each table would come, and why; copy nothing
    #[arg(long)]
    pub(crate) plan: bool,
    /// Print by which references a row is in the sample; a key of several columns is written with commas
    #[arg(long, num_args = 2, value_names = ["TABLE", "KEY"])]
    pub(crate) why: Option<Vec<String>>,
    /// Print masks for the columns that look personal or secret and have no rule
    #[arg(long)]
    pub(crate) suggest: bool,
    /// Read at most so much in a second from the source, such as `50MB`
    #[arg(long, value_name = "BYTES")]
    pub(crate) rate: Option<String>,
    /// Leave the scratch database of a failed run to be looked at
    #[arg(long)]
    pub(crate) keep_failed: bool,
}
