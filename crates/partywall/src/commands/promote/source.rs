//! From a name of a commit to a release: its files, and the images that they make.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pw_host::git::{self, Commit};
use pw_journal::SqliteJournal;
use pw_model::config::Moment;
use pw_model::name::EnvironmentName;
use pw_model::release::Release;
use pw_plan::promote::build::{self, Builds};
use pw_plan::promote::hook;
use pw_plan::step::{Checkout, Hook};
use pw_plan::wall::build_limits;
use pw_plan::{Action, Plan, Step, Undo};
use serde_json::Value;

use crate::apply;
use crate::load;
use crate::printer::Printer;
use crate::releases;
use crate::session::Session;
use crate::stop::Stop;

/// The commit that is meant: the one named, else that of the environment that it comes from, else the folder's.
pub(super) async fn commit(
    session: &Session,
    reference: Option<&str>,
    from: Option<&Release>,
) -> Result<Commit, Stop> {
    if let Some(wanted) = reference.or(from.map(|release| release.commit.as_str())) {
        return Ok(git::commit(&session.directory, wanted).await?);
    }
    let commit = git::commit(&session.directory, "HEAD").await?;
    let changed = git::changed(&session.directory).await?;
    if changed.is_empty() {
        return Ok(commit);
    }
    Err(Stop::because(
        "the folder is not what its last commit says",
        format!("changed: {}", changed.iter().take(5).cloned().collect::<Vec<_>>().join(", ")),
        "commit the changes, or name what you mean: `--ref HEAD` for the last commit",
    ))
}

/// Brings the commit's files into the state folder, unless they are there.
pub(super) async fn check_out(
    session: &Session,
    name: &EnvironmentName,
    commit: &Commit,
    printer: &mut Printer,
) -> Result<String, Stop> {
    let path = format!("{}/{}", session.layout.trees(&session.config.project), commit.id);
    if Path::new(&path).is_dir() {
        return Ok(path);
    }
    let checkout =
        Checkout { repository: commit.repository.clone(), commit: commit.id.clone(), path: path.clone() };
    let step = Step::new(
        Action::CheckOut { checkout },
        Undo::by(Action::RemoveTree { path: path.clone() }),
        "what is built is a commit, not whatever lies in the folder",
    );
    let plan = Plan {
        operation: "check-out".to_owned(),
        project: session.config.project.to_string(),
        environment: name.to_string(),
        basis: pw_plan::hash(&path),
        steps: vec![step],
        texts: BTreeMap::new(),
    };
    let (_lock, mut journal) = session.begin()?;
    apply::run(&plan, session.host(), &mut journal, printer).await?;
    Ok(path)
}

/// The release as far as the commit decides it; its images have names that follow from what they are built of.
pub(super) async fn release(
    session: &Session,
    name: &EnvironmentName,
    commit: &Commit,
    tree: String,
) -> Result<(Release, Builds), Stop> {
    let number = releases::all(session, name)?.last().map_or(1, |last| last.number + 1);
    let mut release = Release {
        number,
        commit: commit.id.clone(),
        subject: commit.subject.clone(),
        tree,
        repository: commit.repository.clone(),
        ..Release::default()
    };
    let looked = session.with_release(name, release.clone());
    let loaded = load::load(&looked, &[name]).await?.environments;
    let mut builds = Builds::default();
    for service in loaded.iter().flat_map(|loaded| loaded.model.services()).filter(|one| one.is_built()) {
        let Some(definition) = service.get("build").cloned() else { continue };
        let content = contents(&release, &definition).await?;
        let project = session.config.project.as_str();
        builds.images.push(build::image(project, service.name(), definition, &content));
    }
    if let Some(secrets) = loaded.first().and_then(|loaded| loaded.model.0.get("secrets")) {
        builds.secrets = secrets.clone();
    }
    release.images = builds.images.iter().map(|image| (image.service.clone(), image.tag.clone())).collect();
    Ok((release, builds))
}

/// What git calls the content of each folder that the build takes files from.
async fn contents(release: &Release, definition: &Value) -> Result<Vec<String>, Stop> {
    let mut content = Vec::new();
    for path in build::contexts(definition) {
        let tree = PathBuf::from(&release.tree);
        let below = Path::new(&path).strip_prefix(&tree).map_err(|_| {
            Stop::because(
                format!("the build context `{path}` is not in the repository"),
                "a release is built of a commit alone, so that it can be built again",
                "move the context into the repository, or name the image with `image:` and build it elsewhere",
            )
        })?;
        content.push(git::content(&tree, &release.commit, &below.to_string_lossy()).await?);
    }
    Ok(content)
}

/// Builds what is not here; an image that came out as the one that runs keeps that one's name.
pub(super) async fn built(
    session: &Session,
    name: &EnvironmentName,
    (mut release, mut builds): (Release, Builds),
    journal: &mut SqliteJournal,
    printer: &mut Printer,
) -> Result<Release, Stop> {
    let host = session.host();
    let have = host.engine().images(builds.images.iter().map(|image| image.tag.as_str())).await?;
    builds.images.retain(|image| !have.contains(&image.tag));
    if !builds.images.is_empty() {
        let project = session.config.project.as_str();
        let folder = session.layout.environment(&session.config.project, name);
        let facts = pw_host::facts::facts(host.engine(), Path::new(session.layout.root())).await;
        let limits = facts.writes_cgroups.then(|| build_limits(&session.config, &facts));
        let mut plan = build::plan((project, name.as_str()), &folder, &builds, limits.as_ref());
        let promote = session.config.promote.clone().unwrap_or_default();
        if let Some(hook) = hook(&promote, Moment::BeforeBuild, (name.as_str(), &release.commit)) {
            let hook = Box::new(Hook { folder: release.tree.clone(), ..hook });
            let because = "`promote.hooks` names it; in the commit's files";
            plan.steps.insert(0, Step::new(Action::RunHook { hook }, Undo::Nothing, because));
        }
        apply::run(&plan, session.host(), journal, printer).await?;
    }
    let before = session.releases.get(name);
    for (service, tag) in &mut release.images {
        let identity = host.engine().image_identity(tag).await?;
        let former =
            before.and_then(|before| Some((before.images.get(service)?, before.digests.get(service)?)));
        if let (Some(identity), Some((former, digest))) = (&identity, former)
            && digest == identity
        {
            tag.clone_from(former);
        }
        release.digests.extend(identity.map(|identity| (service.clone(), identity)));
    }
    Ok(release)
}
