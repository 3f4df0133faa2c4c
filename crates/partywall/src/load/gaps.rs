//! A first look at files that nobody has filled in yet: what is missing is told, and made up for the look alone.
//!
//! Compose gives no model while a required variable or an env file is missing. `init` shall say which
//! services there are all the same; `check`, `render` and `up` never come here.

use std::io::Write as _;

use pw_host::compose::{self, ComposeAnswer, ComposeFailure, ComposeInputs};
use pw_model::source::SourceFile;
use tempfile::NamedTempFile;

use super::complain::between;
use super::unset::unset;

/// More gaps than any project has.
const MOST: usize = 100;

/// What Compose said of each gap before it had what it needs.
type Refusals = Vec<ComposeFailure>;

/// Asks Compose again and again, each time with what it missed, until it answers or complains of something else.
pub(super) async fn config(
    mut inputs: ComposeInputs,
    sources: &[SourceFile],
) -> (Result<ComposeAnswer, ComposeFailure>, Refusals) {
    let (mut refusals, mut overlay) = (Vec::new(), None);
    loop {
        let result = compose::config(&inputs).await;
        let Err(ComposeFailure::Refused { lines, warnings }) = &result else { return (result, refusals) };
        let filled = refusals.len() < MOST
            && (fill_required(&mut inputs, sources, lines)
                || leave_out_env_files(&mut inputs, &mut overlay, sources, lines)
                || fill_unset(&mut inputs, sources, warnings));
        match result {
            Err(failure) if filled => refusals.push(failure),
            other => return (other, refusals),
        }
    }
}

/// `required variable X is missing a value`
fn fill_required(inputs: &mut ComposeInputs, sources: &[SourceFile], lines: &[String]) -> bool {
    let mut names =
        lines.iter().filter_map(|line| between(line, "required variable ", " is missing a value"));
    names.next().is_some_and(|name| make_up(inputs, sources, name))
}

/// Variables without a value that make an entry impossible, such as `:/data` for `${FOLDER}:/data`.
fn fill_unset(inputs: &mut ComposeInputs, sources: &[SourceFile], warnings: &[String]) -> bool {
    let names: Vec<&str> = warnings.iter().filter_map(|line| unset(line)).collect();
    let new = names.into_iter().filter(|name| make_up(inputs, sources, name));
    new.count() > 0
}

/// False when the variable is made up already and that was no help.
fn make_up(inputs: &mut ComposeInputs, sources: &[SourceFile], name: &str) -> bool {
    // A number does as port, tag, password and amount.
    let value = if sources.iter().any(|source| is_path(&source.text, name)) { "./unset" } else { "1" };
    inputs.made_up.insert(name.to_owned(), value.to_owned()).is_none()
}

/// The variable stands before a slash, as in `${FOLDER}:/data` or `${FOLDER}/data:/data`.
fn is_path(text: &str, name: &str) -> bool {
    text.match_indices("${").any(|(at, _)| {
        let rest = text[at + 2..].strip_prefix(name);
        let after =
            rest.filter(|rest| rest.starts_with([':', '?', '}'])).and_then(|rest| rest.split_once('}'));
        let begins = !text[..at].ends_with(['/', ':']);
        begins && after.is_some_and(|(_, after)| after.starts_with(":/") || after.starts_with('/'))
    })
}

/// `env file X not found`: an overlay takes the env files from every service.
fn leave_out_env_files(
    inputs: &mut ComposeInputs,
    overlay: &mut Option<NamedTempFile>,
    sources: &[SourceFile],
    lines: &[String],
) -> bool {
    let missing = lines.iter().any(|line| {
        line.contains("env file ") && line.contains(" not found") || line.contains("couldn't find env file")
    });
    if !missing || overlay.is_some() {
        return false;
    }
    let Ok(file) = without_env_files(sources) else { return false };
    inputs.files.push(file.path().to_string_lossy().into_owned());
    *overlay = Some(file);
    true
}

fn without_env_files(sources: &[SourceFile]) -> std::io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    writeln!(file, "services:")?;
    for name in sources.iter().flat_map(|source| source.keys("services")) {
        writeln!(file, "  {name:?}: {{ env_file: !reset null }}")?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_before_a_slash_is_a_path() {
        let path = |text: &str| is_path(text, "DATA");
        assert!(path("- ${DATA}:/data") && path("- ${DATA:?set it}/db:/data"));
        assert!(!path("- ${DATA}:8080") && !path("URL: http://${DATA}/x") && !path("- ${DATA_2}:/data"));
    }

    #[test]
    fn what_helped_nothing_is_not_tried_twice() {
        let mut inputs = ComposeInputs::default();
        let lines = ["required variable KEY is missing a value: set it".to_owned()];
        assert!(fill_required(&mut inputs, &[], &lines));
        assert!(!fill_required(&mut inputs, &[], &lines));
    }
}
