//! What every command needs: the project's folder, its configuration, and where its state lives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pw_host::Host;
use pw_host::lock::ProjectLock;
use pw_journal::SqliteJournal;
use pw_model::config::{self, Class, Config, Environment, FILE_NAME};
use pw_model::diagnostic::{Diagnostic, nearest};
use pw_model::layout::Layout;
use pw_model::name::EnvironmentName;
use pw_model::observed::Container;
use pw_model::release::Release;
use pw_model::source::SourceFile;
use pw_run::Unfinished;

use crate::apply;
use crate::cli::Common;
use crate::printer::Printer;
use crate::releases;
use crate::stop::Stop;

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) directory: PathBuf,
    pub(crate) source: SourceFile,
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) yes: bool,
    /// The user says that environments may be taken over from another folder or state.
    pub(crate) moved: bool,
    /// Of each environment that runs one.
    pub(crate) releases: BTreeMap<EnvironmentName, Release>,
}

impl Session {
    /// The same project, as it would be with another release in one environment.
    pub(crate) fn with_release(&self, name: &EnvironmentName, release: Release) -> Self {
        let mut session = self.clone();
        session.releases.insert(name.clone(), release);
        session
    }

    /// The same project, as it would be with the folder's own files in one environment.
    pub(crate) fn without_release(&self, name: &EnvironmentName) -> Self {
        let mut session = self.clone();
        session.releases.remove(name);
        session
    }

    /// Finds and reads `partywall.yaml`; says so when an operation was left unfinished.
    pub(crate) fn open(common: &Common, printer: &mut Printer) -> Result<Self, Stop> {
        let directory = find(common.project.as_deref())?;
        let text = read(&directory.join(FILE_NAME))?;
        let source = SourceFile::new(FILE_NAME, text);
        let config = config::parse(&source)?;
        let layout = layout()?;
        let releases = releases::current(&layout, &config)?;
        let session =
            Self { directory, source, config, layout, yes: common.yes, moved: common.moved, releases };
        if let Some(left) = session.unfinished()?.filter(|_| !session.is_at_work()) {
            printer.note(left_unfinished(&left).softened().to_string());
        }
        Ok(session)
    }

    /// True while another command holds the lock: what it does is not cut off.
    pub(crate) fn is_at_work(&self) -> bool {
        pw_host::lock::is_held(Path::new(&self.layout.lock(&self.config.project)))
    }

    /// The configuration's own mistakes, before anything is done with it.
    pub(crate) fn checked(self, printer: &mut Printer) -> Result<Self, Stop> {
        let found = config::check(&self.config, &self.source);
        let (errors, warnings): (Vec<_>, Vec<_>) = found.into_iter().partition(Diagnostic::is_error);
        if errors.is_empty() {
            drop(warnings);
            return Ok(self);
        }
        printer.note("");
        Err(Stop::Complaints(errors))
    }

    pub(crate) fn host(&self) -> Host {
        Host::new(self.layout.clone(), &self.config.project)
    }

    /// The environment of that name, or a complaint with the nearest known one.
    pub(crate) fn environment(&self, name: &str) -> Result<(&EnvironmentName, &Environment), Stop> {
        let found = self.config.environments.iter().find(|(known, _)| known.as_str() == name);
        found.ok_or_else(|| self.unknown_environment(name))
    }

    pub(crate) fn class(&self, name: &str) -> Result<Class, Stop> {
        let (name, environment) = self.environment(name)?;
        Ok(environment.class(name))
    }

    /// Refuses to enter an environment that runs from another folder or another state folder.
    pub(crate) fn runs_from_here(
        &self,
        name: &EnvironmentName,
        containers: &[Container],
    ) -> Result<(), Stop> {
        if self.moved {
            return Ok(());
        }
        let file = self.layout.folder_file(&self.config.project, name);
        let recorded = pw_host::recorded_folder(Path::new(&file));
        let folder = self.directory.to_string_lossy();
        pw_plan::origin::check_state(name.as_str(), self.layout.identity(), containers)?;
        Ok(pw_plan::origin::check_folder(name.as_str(), &folder, recorded.as_ref())?)
    }

    fn unknown_environment(&self, name: &str) -> Stop {
        let known: Vec<&str> = self.config.environments.keys().map(EnvironmentName::as_str).collect();
        let diagnostic = Diagnostic::error(format!("there is no environment `{name}`"))
            .at(self.source.find(&["environments"]))
            .because(format!("`{FILE_NAME}` describes {}", known.join(", ")));
        match nearest(name, known) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")).into(),
            None => diagnostic.hint(format!("add it under `environments:` in `{FILE_NAME}`")).into(),
        }
    }

    pub(crate) fn unfinished(&self) -> Result<Option<Unfinished>, Stop> {
        let path = self.layout.journal(&self.config.project);
        match SqliteJournal::open_read_only(Path::new(&path))? {
            Some(journal) => Ok(pw_run::Journal::unfinished(&journal)?),
            None => Ok(None),
        }
    }

    /// The environment's rendered file; a complaint when it was never brought up.
    pub(crate) fn rendered_file(&self, name: &EnvironmentName) -> Result<String, Stop> {
        let file = self.layout.compose_file(&self.config.project, name);
        if Path::new(&file).is_file() {
            return Ok(file);
        }
        Err(Stop::because(
            format!("environment `{name}` was never started"),
            format!("there is no {file}"),
            format!("run `partywall up {name}`"),
        ))
    }

    /// The lock and the journal for a new operation; refused while another is left unfinished.
    pub(crate) fn begin(&self) -> Result<(ProjectLock, SqliteJournal), Stop> {
        let locked = self.lock()?;
        match self.unfinished()? {
            Some(left) => Err(left_unfinished(&left).into()),
            None => Ok(locked),
        }
    }

    /// The same; what was only tried, and cut off, is removed first.
    pub(crate) async fn begin_after_trials(
        &self,
        printer: &mut Printer,
    ) -> Result<(ProjectLock, SqliteJournal), Stop> {
        let (lock, mut journal) = self.lock()?;
        match self.unfinished()? {
            Some(left) if apply::is_trial(&left.plan) => {
                printer.note(format!(
                    "removing what a cut-off `{} {}` left",
                    left.plan.operation, left.plan.environment
                ));
                apply::recover(&left, false, self.host(), &mut journal, printer).await?;
            }
            Some(left) => return Err(left_unfinished(&left).into()),
            None => {}
        }
        Ok((lock, journal))
    }

    /// The journal for writing, and the lock that makes us the only one who writes.
    fn lock(&self) -> Result<(ProjectLock, SqliteJournal), Stop> {
        let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let lock = ProjectLock::acquire(
            Path::new(&self.layout.lock(&self.config.project)),
            &format!("partywall {command}"),
        )?;
        pw_host::identity::keep_identity(Path::new(self.layout.root()), self.layout.identity())?;
        let journal = SqliteJournal::open(Path::new(&self.layout.journal(&self.config.project)))?;
        Ok((lock, journal))
    }
}

/// What is said when an operation was cut off: by the next command of any kind.
pub(crate) fn left_unfinished(left: &Unfinished) -> Diagnostic {
    let begun = jiff::Timestamp::from_second(left.begun)
        .map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    Diagnostic::error(format!("`{} {}` was left unfinished", left.plan.operation, left.plan.environment))
        .because(format!("it was begun by {} at {begun} and cut off", left.by))
        .hint("finish it with `partywall resume`, or take it back with `partywall abandon`")
}

pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf, Stop> {
    let start = match given {
        Some(folder) => folder.to_owned(),
        None => std::env::current_dir()
            .map_err(|error| pw_run::Failure::new("could not find out the current folder").because(error))?,
    };
    let start = start.canonicalize().map_err(|_| {
        Stop::because(
            format!("there is no folder `{}`", start.display()),
            "`--project` names it",
            "name the folder that holds partywall.yaml",
        )
    })?;
    let mut above = start.ancestors().filter(|folder| folder.join(FILE_NAME).is_file());
    let found = if given.is_some() {
        Some(start.as_path()).filter(|folder| folder.join(FILE_NAME).is_file())
    } else {
        above.next()
    };
    found.map(Path::to_owned).ok_or_else(|| {
        Stop::because(
            format!("no `{FILE_NAME}` here"),
            format!("looked in {} and the folders above", start.display()),
            "run `partywall init` in the folder of your Compose files",
        )
    })
}

/// Reads a text file that the user wrote.
pub(crate) fn read(path: &Path) -> Result<String, Stop> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        Stop::because(
            format!("`{}` is not UTF-8 text", path.display()),
            format!("byte {} is not", error.utf8_error().valid_up_to()),
            "save it as UTF-8",
        )
    })
}

pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Stop {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "write the file, or correct the name",
        std::io::ErrorKind::PermissionDenied => "run as a user who may read it",
        _ => "look at it with `ls -l`",
    };
    Stop::because(format!("could not read `{}`", path.display()), error.to_string(), hint)
}

/// `$PARTYWALL_STATE`, else `/var/lib/partywall` for root, else the user's own state folder.
pub(crate) fn layout() -> Result<Layout, Stop> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let root = match (
        set("PARTYWALL_STATE"),
        rustix::process::geteuid().is_root(),
        set("XDG_STATE_HOME"),
        set("HOME"),
    ) {
        (Some(state), ..) => absolute(&state)?,
        (None, true, ..) => "/var/lib/partywall".to_owned(),
        (None, false, Some(state), _) => format!("{state}/partywall"),
        (None, false, None, Some(home)) => format!("{home}/.local/state/partywall"),
        _ => {
            return Err(Stop::because(
                "there is no place for state",
                "neither PARTYWALL_STATE nor HOME is set",
                "set PARTYWALL_STATE to a folder",
            ));
        }
    };
    let identity = pw_host::identity::identity(Path::new(&root))?;
    Ok(Layout::new(root).identified(identity))
}

fn absolute(folder: &str) -> Result<String, Stop> {
    let path = std::path::absolute(folder).map_err(|error| unreadable(Path::new(folder), &error))?;
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Stop::because("PARTYWALL_STATE is not UTF-8", folder.to_owned(), "choose another folder")
    })
}
