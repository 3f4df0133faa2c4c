//! Carrying out a plan before the user's eyes.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use pw_journal::SqliteJournal;
use pw_model::diagnostic::Diagnostic;
use pw_plan::{Action, Plan};
use pw_run::{Event, Failure, Journal, Outcome, Progress, Standing, Unfinished};
use serde::Serialize;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::hands::Hands;
use crate::printer::{DIM, GREEN, Printer, RED};
use crate::stop::{Complained, Stop, of_failure};

/// Shows each step as it goes: a moving line on a terminal, plain lines elsewhere, JSON lines with `--json`.
pub(crate) struct Steps<'p> {
    printer: &'p mut Printer,
    bar: ProgressBar,
    begun: Instant,
    step_begun: Instant,
}

impl<'p> Steps<'p> {
    pub(crate) fn new(printer: &'p mut Printer, plan: &Plan) -> Self {
        let bar =
            if printer.draws() { ProgressBar::new(plan.steps.len() as u64) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {wide_msg} {elapsed}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        Self { printer, bar, begun: Instant::now(), step_begun: Instant::now() }
    }

    /// A handle that shows the lines of long runs beside the current step; where nothing is drawn, only what is waited for.
    pub(crate) fn lines(&self) -> pw_host::OnLine {
        let (bar, draws, note) = (self.bar.clone(), self.printer.draws(), self.printer.notes());
        std::sync::Arc::new(move |line: &str| {
            if !draws && line.starts_with("waiting for ") {
                note(&format!("      {DIM}{line}{DIM:#}"));
            }
            let step = bar.prefix();
            bar.set_message(format!("{step}: {}", line.trim()));
        })
    }

    fn line(&mut self, plan: &Plan, number: usize, word: &str) {
        let took = self.step_begun.elapsed().as_secs_f64();
        let text = format!(
            "{:>2}/{} {} {word} {DIM}({took:.1} s){DIM:#}",
            number + 1,
            plan.steps.len(),
            plan.steps[number].does
        );
        let note = |printer: &mut Printer| printer.note(text);
        self.bar.suspend(|| note(self.printer));
    }

    fn event_line(&mut self, plan: &Plan, event: &Event) {
        let step = event.step().map(|number| &plan.steps[number]);
        let percent = event.step().map(|number| number * 100 / plan.steps.len().max(1));
        let value = json!({
            "event": event_name(event),
            "operation": plan.operation,
            "environment": plan.environment,
            "step": event.step().map(|number| number + 1),
            "steps": plan.steps.len(),
            "does": step.map(|step| step.does.to_string()),
            "percent": percent,
            "seconds": (self.begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        });
        drop(self.printer.json(&value));
    }
}

impl Progress for Steps<'_> {
    fn event(&mut self, plan: &Plan, event: &Event) {
        if self.printer.is_json() {
            self.event_line(plan, event);
            return;
        }
        match event {
            Event::Started(number) | Event::UndoStarted(number) => {
                self.step_begun = Instant::now();
                let word = if matches!(event, Event::Started(_)) { "" } else { "taking back: " };
                self.bar.set_position(*number as u64);
                self.bar.set_prefix(format!("{word}{}", plan.steps[*number].does));
                self.bar.set_message(self.bar.prefix());
            }
            Event::Done(number) => self.line(plan, *number, &format!("{GREEN}done{GREEN:#}")),
            Event::Failed(number) => self.line(plan, *number, &format!("{RED}failed{RED:#}")),
            Event::Undone(number) => self.line(plan, *number, "taken back"),
            Event::UndoFailed(number) => {
                self.line(plan, *number, &format!("{RED}could not be taken back{RED:#}"))
            }
            Event::Applied | Event::TakenBack => self.bar.finish_and_clear(),
        }
    }
}

fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Started(_) => "started",
        Event::Done(_) => "done",
        Event::Failed(_) => "failed",
        Event::UndoStarted(_) => "undo-started",
        Event::Undone(_) => "undone",
        Event::UndoFailed(_) => "undo-failed",
        Event::Applied => "applied",
        Event::TakenBack => "taken-back",
    }
}

/// Runs a plan to its end. Ctrl-C takes back what was done, and so does being told to end, as by systemd or by who cancels a job of CI.
pub(crate) async fn run(
    plan: &Plan,
    hands: impl Into<Hands>,
    journal: &mut SqliteJournal,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let mut steps = Steps::new(printer, plan);
    let mut host = hands.into().storing_for(&plan.environment).on_line(steps.lines());
    let mut interruption = Interruption::listen();
    let outcome = tokio::select! {
        outcome = pw_run::apply(plan, &mut host, journal, &mut steps) => Some(outcome),
        () = interruption.comes() => None,
    };
    let Some(outcome) = outcome else {
        let outcome = take_back(&mut host, journal, &mut steps).await?;
        finish(&outcome, plan, printer)?;
        // Everything is as before, so what was asked for is not done.
        return Err(Stop::Code(1));
    };
    finish(&outcome, plan, printer)
}

/// Ctrl-C, being told to end, and a terminal that is gone; heard from the moment on in which it is made.
struct Interruption([Option<Signal>; 3]);

impl Interruption {
    fn listen() -> Self {
        let hang_up = (!outlives_its_terminal()).then(|| signal(SignalKind::hangup()).ok()).flatten();
        Self([signal(SignalKind::interrupt()).ok(), signal(SignalKind::terminate()).ok(), hang_up])
    }

    async fn comes(&mut self) {
        let [ctrl_c, told_to_end, hang_up] = &mut self.0;
        tokio::select! {
            () = heard(ctrl_c) => {}
            () = heard(told_to_end) => {}
            () = heard(hang_up) => {}
        }
    }
}

/// True under `nohup`, which asks the kernel to keep the signal from it.
fn outlives_its_terminal() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The first bit is that of the first signal, SIGHUP.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// How a recovered operation ended; what was already on its way back is never finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ended {
    Applied,
    TakenBack,
}

/// Finishes (`forward`) or takes back an operation that was cut off.
pub(crate) async fn recover(
    left: &Unfinished,
    forward: bool,
    hands: impl Into<Hands>,
    journal: &mut SqliteJournal,
    printer: &mut Printer,
) -> Result<Ended, Stop> {
    let mut steps = Steps::new(printer, &left.plan);
    let mut host = hands.into().storing_for(&left.plan.environment).on_line(steps.lines());
    // What was only tried is never gone on with: its answer would be about another moment.
    let outcome = if forward && !is_trial(&left.plan) {
        pw_run::resume(left, &mut host, journal, &mut steps).await
    } else {
        pw_run::abandon(left, &mut host, journal, &mut steps).await
    };
    finish(&outcome, &left.plan, printer)?;
    if matches!(outcome, Outcome::Applied) {
        printer.note(format!("`{} {}` is finished", left.plan.operation, left.plan.environment));
        return Ok(Ended::Applied);
    }
    Ok(Ended::TakenBack)
}

/// What works on a copy alone, or only measures, is not finished: its answer would be lost.
pub(crate) fn is_trial(plan: &Plan) -> bool {
    let trials = [
        pw_plan::rehearse::OPERATION,
        pw_plan::backup::drill::OPERATION,
        pw_plan::seed::backup::LOOK,
        pw_plan::prove::OPERATION,
    ];
    trials.contains(&plan.operation.as_str())
}

/// What changes nothing that anybody relies on: cut off, it may be ended by whoever comes next, without being asked.
pub(crate) fn only_reads(plan: &Plan) -> bool {
    is_trial(plan) || ["backup", "forget", "copy"].contains(&plan.operation.as_str())
}

async fn take_back(
    host: &mut Hands,
    journal: &mut SqliteJournal,
    steps: &mut Steps<'_>,
) -> Result<Outcome, Stop> {
    steps.printer.note("interrupted: taking back what was done");
    match journal.unfinished()? {
        Some(left) => Ok(pw_run::abandon(&left, host, journal, steps).await),
        None => Ok(Outcome::TakenBack),
    }
}

fn finish(outcome: &Outcome, plan: &Plan, printer: &mut Printer) -> Result<(), Stop> {
    let what = format!("{} {}", plan.operation, plan.environment);
    match outcome {
        Outcome::Applied => Ok(()),
        Outcome::TakenBack => {
            printer.note(format!("`{what}` is taken back; {}", plan.taken_back()));
            Ok(())
        }
        Outcome::Undone { step, error } => {
            let back = format!("`{what}` was taken back; {}", plan.taken_back());
            let diagnostic = of_failure(error).because(back);
            printer_stop(printer, diagnostic);
            Err(Stop::Code(code_of(plan, *step, error)))
        }
        Outcome::Stuck { error, undo_error } => {
            let mut diagnostic = of_failure(undo_error);
            if let Some(error) = error {
                diagnostic = diagnostic.because(format!("after: {error}"));
            }
            diagnostic = diagnostic.because(format!("`{what}` is neither done nor taken back"));
            printer_stop(
                printer,
                diagnostic.hint("when the cause is mended, run `partywall resume` or `partywall abandon`"),
            );
            Err(Stop::Code(2))
        }
        Outcome::Unrecorded { error, host } => {
            let standing = match host {
                Standing::AsBefore => plan.taken_back(),
                Standing::AsWanted => "everything is as wanted, but the journal does not know it".to_owned(),
                Standing::Between => "it is neither done nor taken back".to_owned(),
            };
            let mut diagnostic = Diagnostic::error(error.to_string()).because(error.source.to_string());
            diagnostic = diagnostic.because(format!("`{what}`: {standing}"));
            printer_stop(
                printer,
                diagnostic.hint(
                    error
                        .hint
                        .as_deref()
                        .unwrap_or("look at the disk of the state folder, then run the command again"),
                ),
            );
            Err(Stop::Code(2))
        }
    }
}

fn printer_stop(printer: &mut Printer, diagnostic: Diagnostic) {
    printer.stop(&Stop::Complaints(vec![diagnostic]));
}

/// A service that does not become healthy, and a release that is worse, is the application's fault; everything else the host's or ours.
fn code_of(plan: &Plan, step: usize, error: &Failure) -> u8 {
    if error.source.as_ref().is_some_and(|source| source.is::<Complained>()) {
        return 1;
    }
    match plan.steps.get(step).map(|step| &step.does) {
        Some(
            Action::AwaitServices { .. }
            | Action::AwaitJobs { .. }
            | Action::BuildImages { .. }
            | Action::RewriteRows { .. }
            | Action::AwaitContainers { .. }
            | Action::Probe { .. }
            | Action::ReplaceServices { .. }
            | Action::StartContainers { .. }
            | Action::RunCommand { .. }
            | Action::RunHook { .. }
            | Action::Watch { .. },
        ) => 1,
        _ => 2,
    }
}
