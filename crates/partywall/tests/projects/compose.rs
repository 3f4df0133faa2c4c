//! The real `docker compose`, only for reading: no engine is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pw_model::compose::ComposeModel;
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_plan::wall::{Loaded, PathFacts};
use serde_json::Value;

use crate::expect::Case;

/// `docker compose` with nothing of the caller's variables but what finds the program.
fn docker_compose() -> Command {
    let mut command = Command::new("docker");
    command.arg("compose").env_clear();
    command.envs(std::env::vars().filter(|(name, _)| matches!(name.as_str(), "PATH" | "HOME")));
    command
}

fn answer(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().expect("docker compose is installed");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Reads one environment as the program does.
pub(crate) fn load(case: &Case, name: &str) -> Loaded {
    let environment = &case.expected.environments[name];
    let files = case.files(name);
    let mut command = docker_compose();
    command.current_dir(&case.directory).args(["-p", &format!("{}-{name}", case.name())]);
    command.args(files.iter().flat_map(|file| ["-f", file]));
    command.args(environment.env_file.iter().flat_map(|file| ["--env-file", file]));
    command.args(environment.profiles.iter().flat_map(|profile| ["--profile", profile]));
    let text = answer(command.args(["config", "--format", "json"]))
        .unwrap_or_else(|e| panic!("{}/{name}: {e}", case.name()));
    let model = ComposeModel::from_json(&text).expect("a model");
    let sources = files.iter().map(|file| {
        SourceFile::new(file, std::fs::read_to_string(case.directory.join(file)).expect("a Compose file"))
    });
    Loaded {
        paths: facts(&model, &case.directory),
        sources: sources.collect(),
        env_files: environment.env_file.iter().map(|file| absolute(&case.directory, file)).collect(),
        ..Loaded::new(EnvironmentName::parse(name).expect("a name"), model)
    }
}

fn absolute(directory: &Path, file: &str) -> String {
    directory.join(file).to_str().expect("UTF-8").to_owned()
}

fn facts(model: &ComposeModel, directory: &Path) -> BTreeMap<String, PathFacts> {
    let tracked = tracked(directory);
    let sources = model.services().flat_map(|service| service.bind_mounts()).map(|mount| mount.source);
    sources
        .map(|source| {
            let path = PathBuf::from(&source);
            let facts = PathFacts { is_file: path.is_file(), is_tracked: tracked.contains(&path) };
            (source, facts)
        })
        .collect()
}

/// Files that git knows, and the folders above them.
fn tracked(directory: &Path) -> BTreeSet<PathBuf> {
    let output = Command::new("git").current_dir(directory).args(["ls-files", "-z"]).output().expect("git");
    let names = String::from_utf8(output.stdout).expect("UTF-8");
    let files = names.split('\0').filter(|name| !name.is_empty() && !name.ends_with(".gitkeep"));
    files.flat_map(|file| directory.join(file).ancestors().map(Path::to_owned).collect::<Vec<_>>()).collect()
}

/// A rendered file in a folder of its own.
pub(crate) struct Compose {
    folder: tempfile::TempDir,
}

impl Compose {
    pub(crate) fn written(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("compose.yaml"), text).expect("a file");
        Self { folder }
    }

    fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        let file = self.folder.path().join("compose.yaml");
        answer(docker_compose().arg("-f").arg(file).args(arguments))
    }

    pub(crate) fn config(&self) -> Result<Value, String> {
        let text = self.ask(&["config", "--format", "json"])?;
        serde_json::from_str(&text).map_err(|e| e.to_string())
    }

    /// Compose accepts the file and has nothing to say about it.
    pub(crate) fn is_quiet(&self) -> Result<(), String> {
        let file = self.folder.path().join("compose.yaml");
        let output =
            docker_compose().arg("-f").arg(file).args(["config", "-q"]).output().expect("docker compose");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() && said.is_empty() { Ok(()) } else { Err(said) }
    }

    pub(crate) fn hashes(&self) -> BTreeMap<String, String> {
        hash_lines(&self.ask(&["config", "--hash", "*"]).unwrap_or_default())
    }
}

/// Hashes of a text that comes in over standard input, as the program asks for them.
pub(crate) fn hashes_of_text(text: &str) -> BTreeMap<String, String> {
    let mut command = docker_compose();
    command
        .args(["-f", "-", "config", "--hash", "*"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .current_dir("/");
    let mut child = command.spawn().expect("docker compose");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("an answer");
    hash_lines(&String::from_utf8_lossy(&output.stdout))
}

fn hash_lines(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(service, hash)| (service.to_owned(), hash.trim().to_owned())).collect()
}

/// What differs between two models, one line each: `- path` is missing in the second, `+ path` new, `~ path` other.
pub(crate) fn differences(one: &Value, other: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", one, other, &mut lines);
    // An empty mapping says nothing; Compose writes some and leaves out others.
    lines.retain(|line| !line.ends_with(" = {}"));
    lines
}

fn compare(path: &str, one: &Value, other: &Value, lines: &mut Vec<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one {
                match other.get(key) {
                    Some(same) => compare(&below(key), value, same, lines),
                    None => lines.push(format!("- {} = {value}", below(key))),
                }
            }
            let new = other.iter().filter(|(key, _)| !one.contains_key(*key));
            lines.extend(new.map(|(key, value)| format!("+ {} = {value}", below(key))));
        }
        (Value::Array(one), Value::Array(other)) if one.len() <= other.len() => {
            for (index, value) in one.iter().enumerate() {
                compare(&below(&index.to_string()), value, &other[index], lines);
            }
            lines.extend(
                (one.len()..other.len())
                    .map(|index| format!("+ {} = {}", below(&index.to_string()), other[index])),
            );
        }
        (one, other) if one == other => {}
        (one, other) => lines.push(format!("~ {path} {one} {other}")),
    }
}
