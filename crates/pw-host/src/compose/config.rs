//! Asking Compose what the user's files mean.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pw_model::compose::ComposeModel;
use pw_run::Failure;
use serde_json::json;
use tokio::process::Command;

use super::process::{self, command, messages, output, output_of};

/// The user's Compose files and what goes with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComposeInputs {
    pub directory: PathBuf,
    pub files: Vec<String>,
    /// Where paths count from, when the files themselves lie elsewhere.
    pub counts_from: Option<PathBuf>,
    /// Without any, Compose reads `.env` in the directory by itself.
    pub env_files: Vec<String>,
    pub profiles: Vec<String>,
    pub project_name: String,
    /// Variables that beat those of the env files: for a look at files that nobody has filled in yet.
    pub made_up: BTreeMap<String, String>,
}

/// What Compose made of the files.
#[derive(Debug, Clone, PartialEq)]
pub struct ComposeAnswer {
    pub model: ComposeModel,
    /// Such as `The "X" variable is not set. Defaulting to a blank string.`
    pub warnings: Vec<String>,
}

/// Compose gave no model.
#[derive(Debug, thiserror::Error)]
pub enum ComposeFailure {
    /// The files are wrong. The lines are Compose's own, without time and level.
    #[error("docker compose refuses the files: {}", lines.join("; "))]
    Refused { lines: Vec<String>, warnings: Vec<String> },
    /// Compose could not run at all.
    #[error(transparent)]
    NotRun(#[from] Failure),
}

impl ComposeInputs {
    fn command(&self) -> Command {
        let mut command = command();
        // Left to itself, paths count from the folder of the first file, as in the user's own `docker compose -f`.
        command.current_dir(&self.directory).envs(&self.made_up);
        // Every shell sets it, and files say `${PWD}/data`.
        command.env("PWD", &self.directory);
        let flags = [("-f", &self.files), ("--env-file", &self.env_files), ("--profile", &self.profiles)];
        for (flag, values) in flags {
            command.args(values.iter().flat_map(|value| [flag, value]));
        }
        if let Some(folder) = &self.counts_from {
            command.arg("--project-directory").arg(folder);
        }
        command.args(["-p", &self.project_name, "config", "--format", "json"]);
        command
    }
}

/// The canonical model of the files, with warnings.
pub async fn config(inputs: &ComposeInputs) -> Result<ComposeAnswer, ComposeFailure> {
    if !inputs.directory.is_dir() {
        let what = format!("there is no folder `{}`", inputs.directory.display());
        return Err(ComposeFailure::NotRun(Failure::new(what)));
    }
    let (output, new_enough) = tokio::join!(output(inputs.command()), process::new_enough());
    let output = output?;
    new_enough?;
    let (warnings, lines) = messages(&output.stderr);
    if !output.status.success() {
        return Err(ComposeFailure::Refused { lines, warnings });
    }
    let model = ComposeModel::from_json(&String::from_utf8_lossy(&output.stdout)).map_err(|error| {
        Failure::new("could not read what `docker compose config` answered").because(error)
    })?;
    Ok(ComposeAnswer { model, warnings })
}

/// The values of variables as Compose would put them in, from the same env files. What is not set is left out.
pub async fn variables(
    inputs: &ComposeInputs,
    names: &[String],
) -> Result<BTreeMap<String, String>, Failure> {
    let texts: Vec<String> = names.iter().map(|name| format!("${{{name}-}}")).collect();
    let values = names.iter().cloned().zip(interpolated(inputs, &texts).await?);
    Ok(values.filter(|(_, value)| !value.is_empty()).collect())
}

/// Texts with their variables put in, as Compose does it, from the same env files.
pub async fn interpolated(inputs: &ComposeInputs, texts: &[String]) -> Result<Vec<String>, Failure> {
    let key = |number: usize| format!("TEXT_{number}");
    let asked: BTreeMap<String, &String> =
        texts.iter().enumerate().map(|(number, text)| (key(number), text)).collect();
    let service = json!({"image": "none", "environment": asked});
    let text = json!({"name": "variables", "services": {"ask": service}}).to_string();
    let mut command = command();
    command.arg("--project-directory").arg(&inputs.directory).current_dir(&inputs.directory);
    for file in &inputs.env_files {
        command.args(["--env-file", file]);
    }
    command.args(["-f", "-", "config", "--format", "json"]);
    let output = output_of(command, &text).await?;
    let failed = || Failure::new("could not ask Compose for the values of variables");
    let answer = String::from_utf8_lossy(&output.stdout);
    let model = ComposeModel::from_json(&answer).map_err(|error| failed().because(error))?;
    let service = model.service("ask").ok_or_else(failed)?;
    let values: BTreeMap<&str, &str> = service.environment().collect();
    let value = |number: usize| values.get(key(number).as_str()).copied().unwrap_or_default();
    // Compose answers texts that can be read again, with `$` doubled.
    Ok((0..texts.len()).map(|number| value(number).replace("$$", "$")).collect())
}

/// The hash of each service, by which Compose decides whether to recreate its container.
pub async fn hashes(yaml_text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut command = command();
    // From the root no `.env` is picked up by accident.
    command.args(["-f", "-", "config", "--hash", "*"]).current_dir("/");
    let output = output_of(command, yaml_text).await?;
    if !output.status.success() {
        let (_, lines) = messages(&output.stderr);
        return Err(
            process::failed("could not hash the rendered Compose file".into(), lines.join("\n")).await
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs.map(|(service, hash)| (service.to_owned(), hash.trim().to_owned())).collect())
}
