//! Compose files → [`Loaded`]: each environment as Compose reads it, with the facts of its paths.

mod complain;
mod gaps;
mod paths;
mod released;
mod service_files;
pub(crate) mod unset;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use pw_host::compose::{self, ComposeInputs};
use pw_model::config::Environment;
use pw_model::diagnostic::Diagnostic;
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_plan::wall::Loaded;

use self::service_files::Described;
use self::unset::Warning;
use crate::session::{self, Session};
use crate::stop::Stop;

/// Environments as loaded, with what Compose warned about in which of them.
pub(crate) struct Load {
    pub(crate) environments: Vec<Loaded>,
    pub(crate) warnings: Vec<(EnvironmentName, Warning)>,
}

/// How much of what the files ask for has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    All,
    /// What is missing is a warning.
    FirstLook,
}

/// Loads the named environments side by side. The first that cannot be read stops all.
pub(crate) async fn load(session: &Session, names: &[&EnvironmentName]) -> Result<Load, Stop> {
    load_with(session, names, Need::All).await
}

/// As [`load`], of files whose variables and env files may still be missing.
pub(crate) async fn first_look(session: &Session, names: &[&EnvironmentName]) -> Result<Load, Stop> {
    load_with(session, names, Need::FirstLook).await
}

async fn load_with(session: &Session, names: &[&EnvironmentName], need: Need) -> Result<Load, Stop> {
    let tracked = paths::tracked(&session.directory).await;
    let wanted = names.iter().filter_map(|name| session.config.environments.get_key_value(name));
    let loads = wanted.map(|(name, environment)| one(session, name, environment, &tracked, need));
    let mut all = Load { environments: Vec::new(), warnings: Vec::new() };
    for result in join_all(loads).await {
        let (loaded, warnings) = result?;
        all.warnings.extend(warnings.into_iter().map(|warning| (loaded.name.clone(), warning)));
        all.environments.push(loaded);
    }
    Ok(all)
}

async fn one(
    session: &Session,
    name: &EnvironmentName,
    environment: &Environment,
    tracked: &paths::Tracked,
    need: Need,
) -> Result<(Loaded, Vec<Warning>), Stop> {
    let files = session.config.compose_files(environment);
    let release = session.releases.get(name);
    let sources = sources(session, name, environment, &files)?;
    let described = Described::read(&session.directory, &files);
    let inputs = released::inputs(inputs(session, name, environment, files)?, release);
    let (result, refusals) = match need {
        Need::All => (compose::config(&inputs).await, Vec::new()),
        Need::FirstLook => gaps::config(inputs.clone(), &sources).await,
    };
    let all_sources: Vec<SourceFile> = sources.iter().cloned().chain(described.further(&sources)).collect();
    let (env_files, file) = env_texts(session, &inputs.env_files, &described);
    let told = complain::Told {
        sources: &all_sources,
        env_files: &env_files,
        described: &described,
        name,
        file: &file,
    };
    let read = result.map_err(|failure| told.error(failure))?;
    let refused = refusals.into_iter().flat_map(|refusal| told.complaints(refusal)).map(Warning::Other);
    let warnings = refused.chain(told.unset(&read.warnings).into_iter().map(Warning::Unset)).collect();
    let model = released::model(read.model, release);
    let pins = release.map(|release| release.images.clone()).unwrap_or_default();
    let loaded = Loaded { sources, pins, ..Loaded::new(name.clone(), model) };
    Ok((with_facts(session, loaded, &described, (&inputs, tracked, need)).await?, warnings))
}

/// What is known beside the model: values, env files, and facts of the host's paths.
async fn with_facts(
    session: &Session,
    loaded: Loaded,
    described: &Described,
    of: (&ComposeInputs, &paths::Tracked, Need),
) -> Result<Loaded, Stop> {
    let (inputs, tracked, need) = of;
    let variables = match loaded.model.content_variables() {
        names if names.is_empty() || need == Need::FirstLook => BTreeMap::new(),
        names => compose::variables(inputs, &names).await?,
    };
    let service_files = match need {
        Need::All => service_files::load(described, inputs).await?,
        Need::FirstLook => Vec::new(),
    };
    let absolute = |file: &String| session.directory.join(file).to_string_lossy().into_owned();
    let env_files = inputs.env_files.iter().map(absolute).collect();
    let paths = paths::facts(&loaded.model, tracked);
    let missing = paths::missing(&loaded.model);
    Ok(Loaded { env_files, variables, paths, service_files, missing, ..loaded })
}

/// The texts of all files that set variables, and the one to which the user adds some.
fn env_texts(
    session: &Session,
    variable_files: &[String],
    described: &Described,
) -> (Vec<SourceFile>, String) {
    let of_environment = variable_files.iter().map(|file| (file.clone(), session.directory.join(file)));
    let of_services = described
        .services
        .values()
        .flatten()
        .map(|named| (named.written.clone(), named.path(&named.written)));
    let read = |(name, path): (String, PathBuf)| Some(SourceFile::new(name, session::read(&path).ok()?));
    let texts = of_environment.chain(of_services).filter_map(read).collect();
    (texts, variable_files.last().cloned().unwrap_or_else(|| ".env".into()))
}

/// Compose files as the user wrote them; one that is missing is told before Compose tells it worse.
fn sources(
    session: &Session,
    name: &EnvironmentName,
    environment: &Environment,
    files: &[String],
) -> Result<Vec<SourceFile>, Stop> {
    let mut sources = Vec::new();
    for file in files {
        let path = released::path(session.directory.join(file), session.releases.get(name));
        if !path.is_file() {
            return Err(missing(session, name, environment, file, "Compose file"));
        }
        sources.push(SourceFile::new(file.clone(), session::read(&path)?));
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
        env_files: variable_files(session, environment),
        profiles: environment.profiles.clone(),
        project_name: session.config.compose_project(name),
        ..ComposeInputs::default()
    })
}

/// The files that hold the environment's variables: as configured, else the `.env` beside the first Compose file, as
/// Compose has it, else the project's.
fn variable_files(session: &Session, environment: &Environment) -> Vec<String> {
    let configured: Vec<String> = environment.env_file.iter().map(str::to_owned).collect();
    if !configured.is_empty() {
        return configured;
    }
    let files = session.config.compose_files(environment);
    let first = files.first().map(Path::new).and_then(Path::parent).unwrap_or(Path::new(""));
    let places = [first.join(".env"), PathBuf::from(".env")];
    let found = places.into_iter().find(|place| session.directory.join(place).is_file());
    found.map(|path| path.to_string_lossy().into_owned()).into_iter().collect()
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
