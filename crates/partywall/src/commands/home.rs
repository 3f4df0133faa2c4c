//! `restore --from`: a project comes back from its repository and its key alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pw_backup::{Backup, Manifest, Repository};
use pw_host::Host;
use pw_host::lock::ProjectLock;
use pw_journal::SqliteJournal;
use pw_model::config::FILE_NAME;
use pw_model::layout::Layout;
use pw_model::name::{EnvironmentName, ProjectName};
use pw_plan::backup::home::{OPERATION, Wanted, plan};
use pw_plan::step::RepositoryPlace;
use pw_run::{Failure, Journal as _};

use super::{change, restore};
use crate::apply;
use crate::backing::shown;
use crate::cli::{self, Common, Confirm, Kind};
use crate::printer::{GREEN, Printer, count};
use crate::session::{self, Session};
use crate::stop::Stop;

/// Everything that is known before anything is written.
struct Home {
    layout: Layout,
    project: ProjectName,
    place: RepositoryPlace,
    /// The newest backup of each environment, the newest of them first.
    manifests: Vec<Manifest>,
    /// The project's folder, here.
    into: PathBuf,
}

pub(crate) async fn run(common: &Common, asked: &cli::Restore, printer: &mut Printer) -> Result<(), Stop> {
    let home = Home::understand(common, asked)?;
    let wanted = home.wanted()?;
    if asked.plan {
        return printer.answer(plan(&wanted).to_string());
    }
    home.write(&wanted, printer).await?;
    let common = Common { project: Some(home.into.clone()), ..common.clone() };
    let session = Session::open(&common, printer)?.checked(printer)?;
    for (name, _) in session.config.environments_in_order() {
        if let Some(manifest) = home.manifests.iter().find(|one| one.environment == name.as_str()) {
            home.bring(&session, (name, manifest), asked, printer).await?;
        }
    }
    printer.note(format!("{GREEN}`{}` is back in {}{GREEN:#}", home.project, home.into.display()));
    Ok(())
}

impl Home {
    fn understand(common: &Common, asked: &cli::Restore) -> Result<Self, Stop> {
        let layout = session::layout()?;
        let absolute = |path: Option<&PathBuf>| -> Result<String, Stop> {
            let path = path.cloned().unwrap_or_default();
            let whole = std::path::absolute(&path).map_err(|error| session::unreadable(&path, &error))?;
            Ok(whole.to_string_lossy().into_owned())
        };
        let (path, key) = (absolute(asked.from.as_ref())?, absolute(asked.key.as_ref())?);
        // Nothing is written into the repository here, so nobody is locked out.
        let place = RepositoryPlace { path, key, lock: String::new(), id: None };
        let repository = Repository::new(place.clone());
        let (project, newest) = newest(&repository, asked)?;
        let manifests: Vec<Manifest> =
            newest.iter().map(|one| repository.manifest(&one.name)).collect::<Result<_, _>>()?;
        let known = manifests.iter().find_map(|one| Some(&one.files.get(&in_project(FILE_NAME))?.path));
        let former = known.and_then(|path| Some(Path::new(path).parent()?.to_owned()));
        let into = match (&common.project, former) {
            (Some(folder), _) => PathBuf::from(absolute(Some(folder))?),
            (None, Some(former)) => former,
            (None, None) => return Err(no_configuration(&project)),
        };
        let lock = layout.backup_lock(&project);
        Ok(Self { layout, project, place: RepositoryPlace { lock, ..place }, manifests, into })
    }

    /// Each file from the newest backup that has it.
    fn wanted(&self) -> Result<Wanted, Stop> {
        let (mut files, mut claimed) = (BTreeMap::new(), BTreeSet::new());
        for manifest in &self.manifests {
            let mut of_this = BTreeMap::new();
            for name in manifest.files.keys() {
                if let Some(path) = self.place_of(name).filter(|path| claimed.insert(path.clone())) {
                    of_this.insert(name.clone(), path);
                }
            }
            files.insert(manifest.name.clone(), of_this);
        }
        let key = self.layout.backup_key(&self.project);
        let all = claimed.into_iter().chain([key.clone()]);
        let there = all.filter(|path| Path::new(path).exists()).collect();
        Ok(Wanted { project: self.project.to_string(), repository: self.place.clone(), key, files, there })
    }

    /// Where a file of a backup goes; `None` for what `up` writes anew.
    fn place_of(&self, name: &str) -> Option<String> {
        if let Some(below) = name.strip_prefix("project/") {
            return Some(self.into.join(below).display().to_string());
        }
        if let Some(below) = name.strip_prefix("elsewhere/") {
            return Some(format!("/{below}"));
        }
        let below = name.strip_prefix("state/")?;
        let made = below.ends_with("/compose.yaml") || below.ends_with("/.env");
        (!made).then(|| format!("{}/{below}", self.layout.project(&self.project)))
    }

    /// The configuration, by a plan of its own; one that was cut off is finished first.
    async fn write(&self, wanted: &Wanted, printer: &mut Printer) -> Result<(), Stop> {
        let path = self.layout.lock(&self.project);
        let _lock = ProjectLock::acquire(Path::new(&path), "partywall restore --from")?;
        pw_host::identity::keep_identity(Path::new(self.layout.root()), self.layout.identity())?;
        let mut journal = SqliteJournal::open(Path::new(&self.layout.journal(&self.project)))?;
        let host = || Host::new(self.layout.clone(), &self.project);
        match journal.unfinished()? {
            Some(left) if left.plan.operation == OPERATION => {
                apply::recover(&left, true, host(), &mut journal, printer).await?;
            }
            Some(left) => return Err(session::left_unfinished(&left).into()),
            None => apply::run(&plan(wanted), host(), &mut journal, printer).await?,
        }
        if let Some(id) = Repository::new(self.place.clone()).id()? {
            shown::remember(&mut journal, &id, &self.place.path)?;
        }
        let files = wanted.files.values().map(BTreeMap::len).sum();
        printer.note(format!("{} of configuration in {}", count(files, "file"), self.into.display()));
        Ok(())
    }

    async fn bring(
        &self,
        session: &Session,
        (name, manifest): (&EnvironmentName, &Manifest),
        asked: &cli::Restore,
        printer: &mut Printer,
    ) -> Result<(), Stop> {
        let project = session.config.compose_project(name);
        let there = session.host().engine().containers(&project).await?;
        // Where nothing was, nothing can be lost by a name that nobody typed.
        let confirm = match there.is_empty() {
            true => Confirm { confirm: Some(name.to_string()) },
            false => asked.confirm.clone(),
        };
        let (environment, backup) = (Some(name.to_string()), Some(manifest.name.clone()));
        let part = cli::Restore { environment, backup, confirm, ..asked.clone() };
        let servers: BTreeSet<String> = manifest.databases.values().map(|one| one.service.clone()).collect();
        if servers.is_empty() || there.iter().any(|one| !servers.contains(&one.service)) {
            change::up(session, name.as_str(), change::Source::default(), &asked.confirm, printer).await?;
            return restore::from(session, self.place.clone(), &part, printer).await;
        }
        // What signs in and reads as it starts would not start beside empty servers.
        change::up_alone(session, name.as_str(), &servers, &asked.confirm, printer).await?;
        let databases = cli::Restore { only: Some(Kind::Databases), ..part.clone() };
        restore::from(session, self.place.clone(), &databases, printer).await?;
        change::up(session, name.as_str(), change::Source::default(), &part.confirm, printer).await?;
        if manifest.folders.is_empty() {
            return Ok(());
        }
        let folders = cli::Restore { only: Some(Kind::Folders), ..part };
        restore::from(session, self.place.clone(), &folders, printer).await
    }
}

fn in_project(file: &str) -> String {
    format!("project/{file}")
}

/// The project in the repository, and the newest backup of each of its environments.
fn newest(repository: &Repository, asked: &cli::Restore) -> Result<(ProjectName, Vec<Backup>), Stop> {
    let mut all = repository.list()?;
    all.retain(|one| asked.environment.as_ref().is_none_or(|name| one.environment == *name));
    all.retain(|one| asked.backup.as_ref().is_none_or(|name| name == "latest" || one.name == *name));
    let projects: BTreeSet<&str> = all.iter().map(|one| one.project.as_str()).collect();
    let path = &repository.path();
    let project = match projects.iter().collect::<Vec<_>>().as_slice() {
        [one] => ProjectName::parse(one)
            .map_err(|error| Failure::new("the repository is of no project").because(error))?,
        [] => {
            return Err(Stop::because(
                "there is nothing to bring back",
                format!("`{path}` holds no such backup"),
                format!("`restic -r {path} -p KEYFILE snapshots` lists what it holds"),
            ));
        }
        several => {
            let names: Vec<&str> = several.iter().map(|one| **one).collect();
            return Err(Stop::because(
                "it is not clear which project is to come back",
                format!("`{path}` holds backups of {}", names.join(", ")),
                "name one backup: `partywall restore --from REPOSITORY --key FILE ENV BACKUP`",
            ));
        }
    };
    let mut found: Vec<Backup> = Vec::new();
    for one in all {
        if found.iter().all(|known| known.environment != one.environment) {
            found.push(one);
        }
    }
    Ok((project, found))
}

fn no_configuration(project: &ProjectName) -> Stop {
    Stop::because(
        format!("it is not known where `{project}` was"),
        format!("its backups hold no {FILE_NAME}"),
        "name the folder: `--project DIR`",
    )
}
