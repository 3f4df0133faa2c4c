//! Compose runs that change the world: pull, build, up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::process::Stdio;

use pw_plan::step::ComposeRun;
use pw_run::Failure;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;

use crate::failed::io_failed;

use super::process::{self, Level, command, feed, message, not_run};

/// How many lines of a failed run are kept for the failure.
const KEPT_LINES: usize = 40;

/// A rendered file.
pub(super) fn parsed(file: &Path) -> Result<serde_json::Value, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| io_failed("read", file, error))?;
    serde_saphyr::from_str(&text).map_err(|error| {
        Failure::new(format!("could not understand `{}`", file.display())).because(error.to_string())
    })
}

/// The services with all that they depend on, which Compose looks at too when it starts them.
fn with_needs(file: &Path, services: &[String]) -> Result<BTreeSet<String>, Failure> {
    let parsed = parsed(file)?;
    let (mut all, mut next) = (BTreeSet::new(), services.to_vec());
    while let Some(name) = next.pop() {
        let needs = parsed.get("services").and_then(|all| all.get(&name)?.get("depends_on")?.as_object());
        next.extend(
            needs.into_iter().flatten().map(|(need, _)| need.clone()).filter(|need| !all.contains(need)),
        );
        all.insert(name);
    }
    Ok(all)
}

/// The image of each service of a rendered file.
pub fn images(file: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let parsed = parsed(file)?;
    let services = parsed.get("services").and_then(serde_json::Value::as_object).into_iter().flatten();
    let image = |service: &serde_json::Value| Some(service.get("image")?.as_str()?.to_owned());
    Ok(services.filter_map(|(name, service)| Some((name.clone(), image(service)?))).collect())
}

pub(super) type OnLine<'a> = Option<&'a (dyn Fn(&str) + Send + Sync)>;

/// Pulls the images of these services, also where the engine has one under that name.
pub async fn pull(run: &ComposeRun, services: &[String], on_line: OnLine<'_>) -> Result<(), Failure> {
    let what = format!("could not pull the image of {}", listed(services));
    carry_out(run, &["pull"], services, on_line, what).await
}

/// Creates, recreates or starts the services.
///
/// Never `--no-deps`: it leaves `depends_on` out of the config hash, and the next plain `up` would
/// recreate the container. Never `--remove-orphans`: what we do not know is not ours to remove.
pub async fn up(run: &ComposeRun, services: &[String], on_line: OnLine<'_>) -> Result<(), Failure> {
    let what = format!("could not start {}", listed(services));
    carry_out(run, &["up", "-d", "--no-build", "--pull", "never"], services, on_line, what).await
}

/// Makes containers anew though their configuration is as it was: Compose does not see that one is off a network.
pub async fn recreate(run: &ComposeRun, services: &[String], on_line: OnLine<'_>) -> Result<(), Failure> {
    let what = format!("could not make {} anew", listed(services));
    let verb = ["up", "-d", "--no-build", "--pull", "never", "--force-recreate"];
    carry_out(run, &verb, services, on_line, what).await
}

/// Creates containers beside those that are there, up to `count` of the service, and starts none.
pub async fn create(
    run: &ComposeRun,
    service: &str,
    count: usize,
    on_line: OnLine<'_>,
) -> Result<(), Failure> {
    let what = format!("could not create another container of `{service}`");
    let scale = format!("{service}={count}");
    let verb = ["create", "--no-build", "--pull", "never", "--no-recreate", "--scale", &scale];
    carry_out(run, &verb, &[service.to_owned()], on_line, what).await
}

/// Starts the services and leaves every container that is there as it is; `counts` says of how many Compose may know.
pub async fn up_only(
    run: &ComposeRun,
    services: &[String],
    counts: &BTreeMap<String, usize>,
    on_line: OnLine<'_>,
) -> Result<(), Failure> {
    let what = format!("could not start {}", listed(services));
    let mut verb: Vec<String> =
        ["up", "-d", "--no-build", "--pull", "never", "--no-recreate"].map(str::to_owned).to_vec();
    let looked_at = with_needs(Path::new(&run.file), services)?;
    let counts = counts.iter().filter(|(name, _)| looked_at.contains(*name));
    verb.extend(counts.flat_map(|(name, count)| ["--scale".to_owned(), format!("{name}={count}")]));
    let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
    carry_out(run, &verb, services, on_line, what).await
}

/// Starts a command in a container of its own, which is not waited for. The container stays when it ends.
pub async fn run_once(
    run: &ComposeRun,
    service: &str,
    container: &str,
    (variables, command): (&[String], &[String]),
) -> Result<(), Failure> {
    let what = format!("could not start `{}` in `{service}`", command.join(" "));
    let mut verb = vec!["run", "-d", "--no-deps", "--name", container];
    verb.extend(variables.iter().flat_map(|variable| ["-e", variable.as_str()]));
    verb.push(service);
    carry_out(run, &verb, command, None, what).await
}

pub(super) fn listed(services: &[String]) -> String {
    services.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

pub(super) async fn carry_out(
    run: &ComposeRun,
    verb: &[&str],
    services: &[String],
    on_line: OnLine<'_>,
    what: String,
) -> Result<(), Failure> {
    // To Compose, no service means every service.
    if services.is_empty() {
        return Ok(());
    }
    let mut command = command();
    command.args(["--progress", "plain", "-p", &run.project, "-f", &run.file]).args(verb).args(services);
    command.env("COMPOSE_IGNORE_ORPHANS", "true");
    match stream(command, None, on_line).await? {
        None => Ok(()),
        Some(said) => Err(process::failed(what, said).await),
    }
}

/// Runs to the end; `Some` holds the last lines of a run that failed.
pub(super) async fn stream(
    mut command: Command,
    input: Option<&str>,
    on_line: OnLine<'_>,
) -> Result<Option<String>, Failure> {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(not_run)?;
    let feeding = feed(child.stdin.take(), input.unwrap_or_default());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (_, kept, status, ()) =
        tokio::join!(follow(out, on_line), follow(err, on_line), child.wait(), feeding);
    let status = status.map_err(not_run)?;
    Ok((!status.success()).then(|| last_words(kept)))
}

async fn follow(pipe: Option<impl AsyncRead + Unpin>, on_line: OnLine<'_>) -> VecDeque<String> {
    let mut kept = VecDeque::new();
    let Some(pipe) = pipe else { return kept };
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (level, text) = message(&line);
        if text.trim().is_empty() {
            continue;
        }
        if let Some(tell) = on_line {
            tell(text.trim());
        }
        if level == Level::Plain {
            kept.push_back(text);
        }
        if kept.len() > KEPT_LINES {
            kept.pop_front();
        }
    }
    kept
}

/// The lines that say why: what only reports progress is left out, unless nothing else is there.
fn last_words(mut lines: VecDeque<String>) -> String {
    // A build says between two rules which step failed, and what it said last.
    if let Some(rule) = lines.iter().position(|line| line.trim() == "------") {
        lines.drain(..=rule);
        lines.retain(|line| !line.starts_with("-----"));
    }
    let is_progress = |line: &String| {
        let line = line.trim_start();
        ["Container ", "Network ", "Volume "].iter().any(|word| line.starts_with(word))
            && !line.contains("Error")
    };
    let (progress, words): (Vec<String>, Vec<String>) = lines.into_iter().partition(is_progress);
    if words.is_empty() { progress.join("\n") } else { words.join("\n") }
}
