//! From files and host to both sides of a plan.

use std::collections::BTreeSet;
use std::path::Path;

use pw_host::{Host, compose};
use pw_model::config::How;
use pw_model::desired::Desired;
use pw_model::diagnostic::Diagnostic;
use pw_model::host::HostFacts;
use pw_model::name::EnvironmentName;
use pw_model::observed::Observed;
use pw_plan::wall::{self, Ground, Loaded, Rendered};
use pw_plan::{Plan, sleep, up};
use pw_run::Observe;

use crate::load::{self, Load};
use crate::releases;
use crate::session::Session;
use crate::stop::Stop;

/// Environments behind their walls, with everything there is to complain about.
pub(crate) struct Walls {
    pub(crate) loaded: Vec<Loaded>,
    pub(crate) rendered: Vec<Rendered>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) facts: HostFacts,
}

/// One environment, ready to be planned.
pub(crate) struct Prepared {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
    pub(crate) warnings: usize,
    /// Where visitors are led while the environment sleeps.
    pub(crate) front: String,
    /// What becomes of its containers meanwhile.
    pub(crate) how: How,
    /// Why it is done, where that is not said by what is done.
    pub(crate) because: String,
}

/// Renders `wanted` and the environments before it, beside whose walls it must stand; all with `None`.
pub(crate) async fn walls(
    session: &Session,
    host: &Host,
    wanted: Option<&EnvironmentName>,
) -> Result<Walls, Stop> {
    let ordered: Vec<&EnvironmentName> =
        session.config.environments_in_order().into_iter().map(|(name, _)| name).collect();
    let until = wanted
        .and_then(|wanted| ordered.iter().position(|name| *name == wanted))
        .map_or(ordered.len(), |at| at + 1);
    let state = session.layout.root().to_owned();
    let (facts, load) = tokio::join!(
        pw_host::facts::facts(host.engine(), Path::new(&state)),
        load::load(session, &ordered[..until])
    );
    let Load { environments: loaded, warnings } = load?;
    let rendered = wall::render_all(ground(session, &facts)?, &loaded);
    // What is wrong with production does not bar development, which was only rendered beside it.
    let concerns = |name: &EnvironmentName| wanted.is_none_or(|wanted| wanted == name);
    let warnings: Vec<_> = warnings.into_iter().filter(|(name, _)| concerns(name)).collect();
    let mut diagnostics = load::unset::diagnostics(&warnings);
    diagnostics
        .extend(rendered.iter().filter(|one| concerns(&one.name)).flat_map(|one| one.diagnostics.clone()));
    diagnostics.extend(wall::conflicts(&rendered));
    Ok(Walls { loaded, rendered, diagnostics, facts })
}

pub(crate) fn ground<'a>(session: &'a Session, facts: &HostFacts) -> Result<Ground<'a>, Stop> {
    let directory = session.directory.to_str().ok_or_else(|| {
        Stop::because(
            "the project's folder is not UTF-8",
            session.directory.display().to_string(),
            "rename the folder",
        )
    })?;
    Ok(Ground {
        config: &session.config,
        source: &session.source,
        layout: &session.layout,
        cgroup_driver: facts.cgroup_driver,
        directory,
    })
}

/// Both sides of a plan for one environment.
///
/// Before `up`, errors of its own files and what does not fit the host stop; a way down is never barred.
pub(crate) async fn prepare(
    session: &Session,
    host: &Host,
    name: &EnvironmentName,
    operation: &str,
) -> Result<Prepared, Stop> {
    let mut walls = walls(session, host, Some(name)).await?;
    if [up::WALL, "up"].contains(&operation) {
        walls.diagnostics.extend(fit(session, host, &walls).await?);
        let errors: Vec<Diagnostic> =
            walls.diagnostics.iter().filter(|one| one.is_error()).cloned().collect();
        if !errors.is_empty() {
            return Err(Stop::Complaints(errors));
        }
    }
    let mut desired = desired(session, &walls, name).await?;
    if operation == "destroy" {
        can_be_removed(name, &desired.state_folder)?;
    }
    desired.moved = session.moved;
    let observed = host.observe(&desired).await?;
    if session.moved {
        may_be_taken_over(name, &observed)?;
    }
    let front = pw_plan::proxy::front(&session.config, &session.layout);
    let sleep = session.config.environments.get(name).and_then(|environment| environment.sleep.as_ref());
    Ok(Prepared {
        desired,
        observed,
        warnings: walls.diagnostics.len(),
        front,
        how: sleep.map(|sleep| sleep.how).unwrap_or_default(),
        because: sleep::UNASKED.to_owned(),
    })
}

/// What containers wrote as somebody else would stop `destroy` when there is no way back any more.
fn can_be_removed(name: &EnvironmentName, folder: &str) -> Result<(), Stop> {
    match pw_host::files::unremovable(Path::new(folder)) {
        None => Ok(()),
        Some(path) => Err(Stop::because(
            format!("`{name}` cannot be destroyed by this user"),
            format!("a container made `{}` as somebody else", path.display()),
            format!(
                "`partywall down {name}`, then `sudo rm -rf '{}'`, then `partywall destroy {name}`",
                path.display()
            ),
        )),
    }
}

/// The way back of a take-over starts what ran from its own file.
fn may_be_taken_over(name: &EnvironmentName, observed: &Observed) -> Result<(), Stop> {
    let files = observed.containers.iter().filter_map(|container| container.origin.compose_file.as_ref());
    for file in files.collect::<BTreeSet<_>>() {
        if let Err(error) = std::fs::File::open(file) {
            return Err(Stop::because(
                format!("`{name}` cannot be taken over"),
                format!(
                    "its Compose file `{file}` cannot be read ({}), and without it there is no way back",
                    error.kind()
                ),
                "run it as a user who may read that file, such as root",
            ));
        }
    }
    Ok(())
}

/// What does not fit the host.
pub(crate) async fn fit(session: &Session, host: &Host, walls: &Walls) -> Result<Vec<Diagnostic>, Stop> {
    let config = &session.config;
    let ours = host.engine().own_ports(config.project.as_str(), &config.proxy.name).await?;
    Ok(pw_plan::fit::check(pw_plan::fit::Ground {
        config,
        source: &session.source,
        facts: &walls.facts,
        loaded: &walls.loaded,
        rendered: &walls.rendered,
        ours: &ours,
    }))
}

pub(crate) async fn desired(
    session: &Session,
    walls: &Walls,
    name: &EnvironmentName,
) -> Result<Desired, Stop> {
    let find = |list: &[Loaded]| list.iter().position(|one| one.name == *name);
    let (Some(at), Some(rendered)) =
        (find(&walls.loaded), walls.rendered.iter().find(|one| one.name == *name))
    else {
        return Err(Stop::because(
            format!("environment `{name}` was not loaded"),
            "it is not described",
            "see `partywall check`",
        ));
    };
    let text = compose_text(session, rendered);
    let hashes = compose::hashes(&text).await?;
    let ground = ground(session, &walls.facts)?;
    let desired = pw_plan::desire::desired(ground, &walls.loaded[at], rendered, (text, hashes), &walls.facts);
    desired.map(|desired| Desired { release: releases::marker(session, name), ..desired }).ok_or_else(|| {
        Stop::because(
            format!("environment `{name}` is not described"),
            "it was rendered from elsewhere",
            "see `partywall check`",
        )
    })
}

/// The rendered file as it is written.
pub(crate) fn compose_text(session: &Session, rendered: &Rendered) -> String {
    format!(
        "# Environment `{}` of `{}`, rendered by Partywall from the project's own files. Change those, not this.\n# It runs without Partywall: docker compose -f THIS-FILE up -d\n{}",
        rendered.name,
        session.config.project,
        wall::yaml(&rendered.model)
    )
}

/// The plan of an operation.
pub(crate) fn plan(operation: &str, prepared: &Prepared) -> Result<Plan, Stop> {
    let (desired, observed) = (&prepared.desired, &prepared.observed);
    let plan = match operation {
        "down" => pw_plan::down::plan(desired, observed)?,
        "destroy" => pw_plan::destroy::plan(desired, observed)?,
        sleep::OPERATION => {
            let (front, because) = (&prepared.front, &prepared.because);
            sleep::plan(desired, observed, sleep::Fall { front, because, how: prepared.how })?
        }
        up::WALL => up::wall(desired, observed)?,
        _ => up::plan(desired, observed)?,
    };
    plan.lint().map_err(|unsafe_order| {
        pw_run::Failure::new("the plan is not safe to carry out").because(unsafe_order)
    })?;
    Ok(plan)
}
