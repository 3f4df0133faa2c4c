//! Compose files → [`Loaded`]: each environment as Compose reads it, with the facts of its paths.

mod complain;
mod paths;

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::future::join_all;
use pw_host::compose::{self, ComposeInputs};
use pw_model::config::Environment;
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_plan::wall::Loaded;

use crate::session::{self, Session};
use crate::stop::Stop;

/// Environments as loaded, with what Compose warned about.
pub(crate) struct Load {
    pub(crate) environments: Vec<Loaded>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Loads the named environments side by side. The first that cannot be read stops all.
pub(crate) async fn load(session: &Session, names: &[&EnvironmentName]) -> Result<Load, Stop> {
    let tracked = paths::tracked(&session.directory).await;
    let wanted = names.iter().filter_map(|name| session.config.environments.get_key_value(name));
    let loads = wanted.map(|(name, environment)| one(session, name, environment, &tracked));
    let mut all = Load { environments: Vec::new(), warnings: Vec::new() };
    for result in join_all(loads).await {
        let (loaded, warnings) = result?;
        all.environments.push(loaded);
        all.warnings
            .extend(warnings.into_iter().filter(|new| !all.warnings.contains(new)).collect::<Vec<_>>());
    }
    Ok(all)
}

async fn one(
    session: &Session,
    name: &EnvironmentName,
    environment: &Environment,
    tracked: &paths::Tracked,
) -> Result<(Loaded, Vec<Diagnostic>), Stop> {
    let files = session.config.compose_files(environment);
    let sources = sources(session, name, environment, &files)?;
    let inputs = inputs(session, name, environment, files)?;
    let variable_files = variable_files(session, environment);
    match compose::config(&inputs).await {
        Ok(read) => {
            let warnings = complain::warnings(&read.warnings, &sources, name, &variable_files);
            let paths = paths::facts(&read.model, tracked);
            let variables = match read.model.content_variables() {
                names if names.is_empty() => BTreeMap::new(),
                names => compose::variables(&inputs, &names).await?,
            };
            let env_files = variable_files
                .iter()
                .map(|file| session.directory.join(file).to_string_lossy().into_owned())
                .collect();
            Ok((
                Loaded { name: name.clone(), model: read.model, sources, env_files, variables, paths },
                warnings,
            ))
        }
        Err(failure) => Err(complain::error(failure, &sources, session, name)),
    }
}

/// Compose files as the user wrote them; one that is missing or broken is told before Compose tells it worse.
fn sources(
    session: &Session,
    name: &EnvironmentName,
    environment: &Environment,
    files: &[String],
) -> Result<Vec<SourceFile>, Stop> {
    let mut sources = Vec::new();
    for file in files {
        let path = session.directory.join(file);
        if !path.is_file() {
            return Err(missing(session, name, environment, file, "Compose file"));
        }
        let source = SourceFile::new(file.clone(), session::read(&path)?);
        if let Some(broken) = complain::broken_yaml(&source) {
            return Err(broken.into());
        }
        sources.push(source);
    }
    Ok(sources)
}

fn inputs(
    session: &Session,
    name: &EnvironmentName,
    environment: &Environment,
    files: Vec<String>,
) -> Result<ComposeInputs, Stop> {
    for file in environment.env_file.iter() {
        if !session.directory.join(file).is_file() {
            return Err(missing(session, name, environment, file, "env file"));
        }
    }
    Ok(ComposeInputs {
        directory: session.directory.clone(),
        files,
        env_files: environment.env_file.iter().map(str::to_owned).collect(),
        profiles: environment.profiles.clone(),
        project_name: session.config.compose_project(name),
    })
}

/// The files that hold the environment's variables: as configured, else Compose's own `.env`.
pub(crate) fn variable_files(session: &Session, environment: &Environment) -> Vec<String> {
    let configured: Vec<String> = environment.env_file.iter().map(str::to_owned).collect();
    if configured.is_empty() && session.directory.join(".env").is_file() {
        vec![".env".to_owned()]
    } else {
        configured
    }
}

fn missing(
    session: &Session,
    name: &EnvironmentName,
    environment: &Environment,
    file: &str,
    what: &str,
) -> Stop {
    let key = if what == "env file" {
        vec!["environments", name.as_str(), "env_file"]
    } else if environment.overlays.iter().any(|overlay| overlay == file) {
        vec!["environments", name.as_str(), "overlays"]
    } else if environment.compose.is_some() {
        vec!["environments", name.as_str(), "compose"]
    } else {
        vec!["compose"]
    };
    let place = session.source.find_text(file).or_else(|| session.source.find_nearest(&key));
    let path = session.directory.join(file);
    let example = [".example", ".sample", ".dist", ".template"]
        .iter()
        .map(|end| format!("{file}{end}"))
        .find(|name| Path::new(&session.directory).join(name).is_file());
    let hint = match example {
        Some(example) => format!("copy `{example}` to `{file}` and fill it in"),
        None => format!("write `{file}`, or correct the line above"),
    };
    Diagnostic::error(format!("the {what} `{file}` of environment `{name}` is missing"))
        .at(place)
        .because(format!("there is no {}", path.display()))
        .hint(hint)
        .into()
}
