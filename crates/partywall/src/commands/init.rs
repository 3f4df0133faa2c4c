//! `init`: read the Compose files and the host, write `partywall.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use inquire::validator::Validation;
use pw_model::compose::ComposeModel;
use pw_model::config::{self, Class, Config, Environment, FILE_NAME, Files};
use pw_model::diagnostic::Diagnostic;
use pw_model::host::HostFacts;
use pw_model::name::{EnvironmentName, ProjectName, project_name_from};
use pw_model::source::SourceFile;
use pw_plan::init::{self, FileGuess, FolderFile, Proposal};
use pw_plan::wall::{self, Ground, Loaded};
use serde_json::json;

use crate::cli::{Common, Init};
use crate::load;
use crate::prepare;
use crate::printer::{GREEN, Printer};
use crate::session::{self, Session};
use crate::stop::Stop;

const SCHEMA_NAME: &str = "partywall.schema.json";
/// Folders below the project's that are searched for Compose and env files.
const DEPTH: usize = 3;
const HOST_RULE: &str = "write only the name, such as `shop.example`, without `https://`, port or path";

pub(crate) async fn run(common: &Common, arguments: &Init, printer: &mut Printer) -> Result<(), Stop> {
    if arguments.schema {
        return printer.answer(config::schema() + "\n");
    }
    if arguments.example {
        return print(config::EXAMPLE.to_owned(), &[], printer);
    }
    let directory = folder(common)?;
    let target = directory.join(FILE_NAME);
    if target.exists() && !arguments.force && !arguments.print {
        return Err(already_there(&target));
    }
    let folder_name =
        directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let files = search(&directory)?;
    let guess = init::guess_files(&folder_name, &files);
    if guess.environments.is_empty() {
        return Err(no_compose_file(&directory));
    }
    let session = provisional(directory, &guess, &folder_name, arguments, common)?;
    let (text, warnings) = proposal(&session, &guess, arguments).await?;
    if !printer.is_json() {
        printer.diagnostics(&warnings);
    }
    if arguments.print {
        return print(text, &warnings, printer);
    }
    write(&session.directory, &text)?;
    answer(&session, &guess, &warnings, printer)
}

/// The text of a partywall.yaml that is not written.
fn print(text: String, warnings: &[Diagnostic], printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        return printer.json(&json!({"ok": true, "file": FILE_NAME, "text": text, "warnings": warnings}));
    }
    printer.answer(text)
}

fn folder(common: &Common) -> Result<PathBuf, Stop> {
    let given = common.project.clone().unwrap_or_else(|| PathBuf::from("."));
    given.canonicalize().map_err(|error| session::unreadable(&given, &error))
}

fn already_there(target: &Path) -> Stop {
    Stop::because(
        format!("`{FILE_NAME}` is already there"),
        target.display().to_string(),
        "see what would be written with `partywall init --print`, or replace it with `--force`",
    )
}

fn no_compose_file(directory: &Path) -> Stop {
    Stop::because(
        "no Compose file here",
        format!("looked for compose.yaml, docker-compose.yml and their like in {}", directory.display()),
        "run `partywall init` in the folder of your Compose files, or name it with `--project`",
    )
}

/// Files that may be Compose or env files, with their texts.
fn search(directory: &Path) -> Result<Vec<FolderFile>, Stop> {
    let mut found = Vec::new();
    let mut folders = vec![(directory.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| session::unreadable(&folder, &error))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let Some(relative) = path.strip_prefix(directory).ok().and_then(Path::to_str) else { continue };
            if !init::is_searched(relative) {
                continue;
            }
            if path.is_dir() && depth < DEPTH && !path.is_symlink() {
                folders.push((path.clone(), depth + 1));
            } else if path.is_file() {
                let text = init::wants_text(relative).then(|| std::fs::read_to_string(&path).ok()).flatten();
                found.push(FolderFile { path: relative.to_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A session on what was guessed, so that the files load as they will later.
fn provisional(
    directory: PathBuf,
    guess: &FileGuess,
    folder_name: &str,
    arguments: &Init,
    common: &Common,
) -> Result<Session, Stop> {
    let project = project_name(guess, folder_name, arguments)?;
    let environments = guess.environments.iter().filter_map(|(class, files)| {
        let environment = Environment {
            compose: files.compose.clone(),
            overlays: files.overlays.clone(),
            env_file: Files::Many(files.env_files.clone()),
            profiles: files.profiles.clone(),
            ..Environment::default()
        };
        Some((EnvironmentName::parse(class.as_str()).ok()?, environment))
    });
    let config = Config::provisional(project, guess.compose.clone(), environments.collect());
    let source = SourceFile::new(FILE_NAME, String::new());
    Ok(Session {
        releases: BTreeMap::new(),
        directory,
        source,
        config,
        layout: session::layout()?,
        yes: common.yes,
        moved: common.moved,
    })
}

fn project_name(guess: &FileGuess, folder_name: &str, arguments: &Init) -> Result<ProjectName, Stop> {
    if let Some(name) = &arguments.name {
        let parsed = ProjectName::parse(name);
        return parsed
            .map_err(|error| Stop::because(error.to_string(), "`--name` gives it", "choose another name"));
    }
    let guessed = guess.project.clone().or_else(|| project_name_from(folder_name));
    guessed.ok_or_else(|| {
        Stop::because(
            "the project has no name",
            format!("the folder `{folder_name}` gives none"),
            "add `--name NAME`",
        )
    })
}

async fn proposal(
    session: &Session,
    guess: &FileGuess,
    arguments: &Init,
) -> Result<(String, Vec<Diagnostic>), Stop> {
    let names: Vec<&EnvironmentName> = session.config.environments.keys().collect();
    let host = session.host();
    let root = session.layout.root().to_owned();
    let (load, facts) = tokio::join!(
        load::first_look(session, &names),
        pw_host::facts::facts(host.engine(), Path::new(&root))
    );
    let load = load?;
    let class_of = |name: &EnvironmentName| session.config.environments[name].class(name);
    let models: BTreeMap<Class, ComposeModel> =
        load.environments.iter().map(|one| (class_of(&one.name), one.model.clone())).collect();
    let unset = load::unset::diagnostics(&load.warnings).into_iter().map(Diagnostic::softened).collect();
    let roles = init::roles(&models);
    let hosts = hosts(arguments, &session.config.project, session.yes)?;
    let schema = format!("./{SCHEMA_NAME}");
    let project = &session.config.project;
    let proposal = Proposal {
        project,
        files: guess,
        models: &models,
        roles: &roles,
        facts: &facts,
        hosts: &hosts,
        holes: &BTreeMap::new(),
        schema: &schema,
    };
    let holes = holes(session, init::propose(&proposal), &facts, &load.environments)?;
    Ok((init::propose(&Proposal { holes: &holes, ..proposal }), unset))
}

/// What the wall would complain of under the proposed file.
fn holes(
    session: &Session,
    text: String,
    facts: &HostFacts,
    loaded: &[Loaded],
) -> Result<BTreeMap<Class, BTreeSet<String>>, Stop> {
    let source = SourceFile::new(FILE_NAME, text);
    let config = config::parse(&source)?;
    let ground = Ground { config: &config, source: &source, ..prepare::ground(session, facts)? };
    let rendered = wall::render_all(ground, loaded);
    Ok(rendered.into_iter().map(|one| (one.class, one.holes)).collect())
}

/// The one thing that the files do not always say.
fn hosts(arguments: &Init, project: &ProjectName, yes: bool) -> Result<BTreeMap<Class, String>, Stop> {
    if let Some(host) = &arguments.host {
        if !is_answered(host) {
            let message = format!("`{host}` is not a host name");
            return Err(Stop::because(message, "`--host` gives it", HOST_RULE));
        }
        return Ok(BTreeMap::from([(Class::Production, host.clone())]));
    }
    if yes || arguments.print || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(BTreeMap::new());
    }
    let example = format!("for example {project}.example; empty takes what the files say");
    let check = |typed: &str| {
        let typed = typed.trim();
        let right = typed.is_empty() || is_answered(typed);
        Ok(if right { Validation::Valid } else { Validation::Invalid(HOST_RULE.into()) })
    };
    let question = inquire::Text::new("Public host name of production:");
    let asked = question.with_help_message(&example).with_validator(check).prompt();
    match asked {
        Ok(host) if host.trim().is_empty() => Ok(BTreeMap::new()),
        Ok(host) => Ok(BTreeMap::from([(Class::Production, host.trim().to_owned())])),
        Err(_) => Err(Stop::Code(130)),
    }
}

/// One name: what stands for many has no name of development beside it.
fn is_answered(host: &str) -> bool {
    config::is_host_name(host) && !host.starts_with('*')
}

fn write(directory: &Path, text: &str) -> Result<(), Stop> {
    for (name, text) in [(SCHEMA_NAME, config::schema() + "\n"), (FILE_NAME, text.to_owned())] {
        let path = directory.join(name);
        // Beside it and then over it: a full disk leaves no half file.
        let written = tempfile::NamedTempFile::new_in(directory).and_then(|mut file| {
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            file.as_file().set_permissions(readable)?;
            file.persist(&path).map_err(|error| error.error)
        });
        written.map_err(|error| {
            Stop::Failure(
                pw_run::Failure::new(format!("could not write `{}`", path.display()))
                    .because(error)
                    .hint("free space, or run as a user who may write there"),
            )
        })?;
    }
    Ok(())
}

fn answer(
    session: &Session,
    guess: &FileGuess,
    warnings: &[Diagnostic],
    printer: &mut Printer,
) -> Result<(), Stop> {
    if printer.is_json() {
        let environments: Vec<&str> = guess.environments.keys().map(|class| class.as_str()).collect();
        return printer.json(&json!({"ok": true, "file": session.directory.join(FILE_NAME), "project": session.config.project, "environments": environments, "warnings": warnings}));
    }
    printer.note(format!("{GREEN}{FILE_NAME} is written{GREEN:#}; read it, it is short"));
    printer.note("next: `partywall check`, then `partywall up production`");
    Ok(())
}
