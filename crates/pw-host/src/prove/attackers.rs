//! Starting attackers, and hearing what they found.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pw_plan::prove::step::{Attacker, Attempt, Blast, BlastRun, Control, ProbeRun};
use pw_plan::prove::verdict::{Outcome, Tried};
use pw_run::Failure;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::group;
use super::order::{Common, Order};
use crate::docker::Engine;
use crate::failed::io_failed;

/// Nobody tries for longer; connections wait 1.5 s, all at once.
const LONGEST: Duration = Duration::from_secs(60);

/// Tries everything from everywhere.
///
/// # Errors
/// A container does not run any more, or the kernel lets nobody in.
pub async fn probe(engine: &Engine, run: &ProbeRun, tell: &dyn Fn(&str)) -> Result<Vec<Tried>, Failure> {
    let attempts: Vec<Attempt> = run.probes.iter().map(|probe| probe.attempt.clone()).collect();
    let mut from = Vec::new();
    for attacker in &run.from {
        tell(&format!("waiting for {} probes from {}", attempts.len(), attacker.name));
        let outcomes = tried(engine, Some(attacker), &run.group, attempts.clone()).await?;
        from.push((attacker.name.clone(), outcomes));
    }
    let controls = controls(engine, run).await?;
    let tried = run.probes.iter().zip(controls).enumerate().map(|(at, (probe, control))| {
        let from = from.iter().filter_map(|(name, all)| Some((name.clone(), all.get(at)?.clone())));
        Tried { probe: probe.clone(), from: from.collect(), control }
    });
    Ok(tried.collect())
}

/// Each probe from where it must succeed.
async fn controls(engine: &Engine, run: &ProbeRun) -> Result<Vec<Outcome>, Failure> {
    let mut places: Vec<Option<&Attacker>> = Vec::new();
    let place = |control: &'_ Control| match control {
        Control::Container(inside) => Some(inside.clone()),
        Control::Host | Control::HostIfThere => None,
    };
    for probe in &run.probes {
        let inside = match &probe.control {
            Control::Container(inside) => Some(inside),
            Control::Host | Control::HostIfThere => None,
        };
        if !places.contains(&inside) {
            places.push(inside);
        }
    }
    let mut found: Vec<Option<Outcome>> = vec![None; run.probes.len()];
    for inside in places {
        let mine: Vec<usize> =
            (0..run.probes.len()).filter(|at| place(&run.probes[*at].control).as_ref() == inside).collect();
        let attempts = mine.iter().map(|at| run.probes[*at].attempt.clone()).collect();
        let outcomes = tried(engine, inside, &run.group, attempts).await?;
        for (at, outcome) in mine.into_iter().zip(outcomes) {
            found[at] = Some(outcome);
        }
    }
    Ok(found.into_iter().flatten().collect())
}

async fn tried(
    engine: &Engine,
    inside: Option<&Attacker>,
    group: &str,
    attempts: Vec<Attempt>,
) -> Result<Vec<Outcome>, Failure> {
    let wanted = attempts.len();
    let common = common(engine, inside, group, LONGEST).await?;
    let child = start(&Order::Try { common, attempts }).await?;
    let text = heard(child, inside.map_or("the host", |one| &one.name), LONGEST).await?;
    let outcomes: Vec<Outcome> = serde_json::from_str(&text)
        .map_err(|error| Failure::new("could not understand what a probe told").because(error))?;
    match outcomes.len() == wanted {
        true => Ok(outcomes),
        false => Err(Failure::new(format!("{} of {wanted} probes were answered", outcomes.len()))),
    }
}

/// On the host nobody needs a group.
async fn common(
    engine: &Engine,
    inside: Option<&Attacker>,
    group: &str,
    time: Duration,
) -> Result<Common, Failure> {
    let (pid, groups) = match inside {
        Some(attacker) => {
            let pid = engine.first_process(&attacker.id).await?.ok_or_else(|| {
                Failure::new(format!("`{}` does not run any more", attacker.name))
                    .hint("run it again when all environments are up: `partywall status`")
            })?;
            (Some(pid), group::make(pid, group)?)
        }
        None => (None, Vec::new()),
    };
    Ok(Common { parent: std::process::id(), pid, groups, seconds: time.as_secs_f64() })
}

async fn start(order: &Order) -> Result<Child, Failure> {
    let failed = |error| io_failed("start", Path::new("/proc/self/exe"), error);
    let mut command = Command::new("/proc/self/exe");
    command.arg("attack").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
    let text = serde_json::to_vec(order)
        .map_err(|error| Failure::new("could not write down what is to be tried").because(error))?;
    if let Some(mut pipe) = child.stdin.take() {
        // Who ended already says why.
        drop(pipe.write_all(&text).await);
    }
    Ok(child)
}

async fn heard(child: Child, name: &str, longest: Duration) -> Result<String, Failure> {
    let what = || format!("could not attack from inside `{name}`");
    let output = tokio::time::timeout(longest + Duration::from_secs(10), child.wait_with_output()).await;
    let output = output.map_err(|_| Failure::new(what()).because("it does not end"))?;
    let output = output.map_err(|error| Failure::new(what()).because(error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let told = if told.is_empty() { output.status.to_string() } else { told };
    Err(Failure::new(what()).because(told))
}

/// Attackers at work. Dropped, they end.
pub struct Attackers {
    running: Vec<(String, Child)>,
    groups: Vec<Vec<PathBuf>>,
    time: Duration,
}

impl Attackers {
    /// Starts the blast in every container, for at most so long.
    ///
    /// # Errors
    /// A container does not run any more, or the kernel lets nobody in.
    pub async fn start(engine: &Engine, run: &BlastRun, time: Duration) -> Result<Self, Failure> {
        let mut all = Self { running: Vec::new(), groups: Vec::new(), time };
        let share = run.bounds.memory.0 / run.from.len().max(1) as u64;
        let bounds = pw_plan::prove::step::Bounds { memory: pw_model::unit::Bytes(share), ..run.bounds };
        for attacker in &run.from {
            let common = common(engine, Some(attacker), &run.group, time).await?;
            all.groups.push(common.groups.clone());
            let order = Order::Blast { common, blast: run.blast, bounds, site: run.own_site.clone() };
            all.running.push((attacker.name.clone(), start(&order).await?));
        }
        Ok(all)
    }

    /// Waits for their time to be over, and answers what each got done. Their groups are left to [`group::end`].
    pub async fn ended(mut self, blast: Blast) -> Vec<String> {
        let mut told = Vec::new();
        let counts: Vec<usize> = self.groups.iter().map(|folders| group::count(folders)).collect();
        for ((name, child), count) in std::mem::take(&mut self.running).into_iter().zip(counts) {
            let heard = match blast {
                // Their number is what they got done, and nobody waits for all of them.
                Blast::Fork => format!("{count} processes at the end"),
                _ => match heard(child, &name, self.time).await {
                    Ok(text) => serde_json::from_str(&text).unwrap_or(text),
                    Err(failure) => format!("refused: {}", cause(&failure)),
                },
            };
            told.push(format!("{name}: {heard}"));
        }
        told
    }
}

fn cause(failure: &Failure) -> String {
    failure.source.as_ref().map_or_else(|| failure.what.clone(), ToString::to_string)
}
