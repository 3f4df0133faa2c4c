//! What the shell offers at the tabulator key: names of environments and services, read from the project's own files.

use std::path::PathBuf;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;
use pw_model::config::{self, Config, FILE_NAME};
use pw_model::source::SourceFile;

use crate::session;
use crate::stop::Stop;

/// Set by the shell when it asks for candidates.
pub(crate) const VARIABLE: &str = "PARTYWALL_COMPLETE";

pub(crate) fn environments() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let Some((_, config)) = project() else { return Vec::new() };
        let all = config.environments_in_order();
        all.into_iter()
            .map(|(name, environment)| {
                CompletionCandidate::new(name.as_str()).help(Some(environment.class(name).as_str().into()))
            })
            .collect()
    })
}

pub(crate) fn services() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let Some((directory, config)) = project() else { return Vec::new() };
        let files = config.environments.values().flat_map(|environment| config.compose_files(environment));
        let read = |file: String| std::fs::read_to_string(directory.join(&file)).ok();
        let texts = files.filter_map(read);
        let mut names: Vec<String> =
            texts.flat_map(|text| SourceFile::new("", text).keys("services")).collect();
        names.sort();
        names.dedup();
        names.into_iter().map(CompletionCandidate::new).collect()
    })
}

/// The project of the line that is being typed. What cannot be read offers nothing, and says nothing into that line.
fn project() -> Option<(PathBuf, Config)> {
    let words: Vec<String> = std::env::args().collect();
    let given = words.iter().position(|word| word == "--project").and_then(|at| words.get(at + 1));
    let directory = session::find(given.map(PathBuf::from).as_deref()).ok()?;
    let source = SourceFile::new(FILE_NAME, std::fs::read_to_string(directory.join(FILE_NAME)).ok()?);
    Some((directory, config::parse(&source).ok()?))
}

/// The lines that make a shell ask this program.
pub(crate) fn registration(shell: &str) -> Result<Vec<u8>, Stop> {
    let mut text = Vec::new();
    if let Some(completer) = Shells::builtins().completer(shell) {
        completer.write_registration(VARIABLE, "partywall", "partywall", "partywall", &mut text)?;
    }
    Ok(text)
}
