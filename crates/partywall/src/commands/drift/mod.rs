//! `drift`: what is described against what runs, and production against every other environment.

mod gather;
mod page;

use pw_journal::{Proof, SqliteJournal};
use pw_plan::drift::{Difference, accepts};
use serde::Serialize;
use serde_json::json;

use pw_model::desired::Desired;
use pw_model::observed::Observed;

use crate::cli;
use crate::drifted::KIND;
use crate::prepare::Walls;
use crate::printer::Printer;
use crate::session::Session;
use crate::stop::Stop;

/// Two sides that were held against each other.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    pub(crate) left: String,
    pub(crate) right: String,
    /// The environment whose record this is.
    pub(crate) environment: String,
    pub(crate) differences: Vec<Difference>,
    /// Accepted in `partywall.yaml`.
    pub(crate) accepted: usize,
    /// What could not be compared, and why.
    pub(crate) not_compared: Vec<String>,
}

impl Comparison {
    fn new(sides: (&str, &str), environment: &str, differences: Vec<Difference>) -> Self {
        let (left, right, environment) = (sides.0.to_owned(), sides.1.to_owned(), environment.to_owned());
        Self { left, right, environment, differences, accepted: 0, not_compared: Vec::new() }
    }

    /// Those that nobody wants.
    pub(crate) fn drift(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|one| !one.deliberate)
    }
}

pub(crate) async fn run(session: &Session, asked: &cli::Drift, printer: &mut Printer) -> Result<(), Stop> {
    let wanted = match &asked.environment {
        Some(name) => Some(session.environment(name)?.0),
        None => None,
    };
    let mut all = gather::gather(session, wanted).await?;
    let patterns = session.config.drift.as_ref().map(|drift| drift.accept.as_slice()).unwrap_or_default();
    for comparison in &mut all {
        let before = comparison.differences.len();
        let is_accepted = |one: &Difference| patterns.iter().any(|pattern| accepts(pattern, &one.path));
        comparison.differences.retain(|one| !is_accepted(one));
        comparison.accepted = before - comparison.differences.len();
    }
    remember(session, &all, printer);
    let found: usize = all.iter().map(|comparison| comparison.drift().count()).sum();
    if printer.is_json() {
        printer.json(&json!({"ok": found == 0, "drift": found, "comparisons": all}))?;
    } else {
        printer.answer(page::page(&all, asked.all))?;
    }
    if found == 0 { Ok(()) } else { Err(Stop::Code(1)) }
}

/// Refuses to build on what somebody changed by hand, which would be lost without a word.
pub(super) async fn gate(
    session: &Session,
    walls: &Walls,
    (desired, observed): (&Desired, &Observed),
) -> Result<(), Stop> {
    let name = &desired.environment;
    let patterns = session.config.drift.as_ref().map(|drift| drift.accept.as_slice()).unwrap_or_default();
    let found = gather::by_hand(session, walls, (desired, observed)).await?;
    let drift: Vec<String> = found
        .iter()
        .filter(|one| !patterns.iter().any(|pattern| accepts(pattern, &one.path)))
        .map(|one| format!("{}: described {}, running {}", one.path, one.left, one.right))
        .collect();
    if drift.is_empty() {
        return Ok(());
    }
    Err(Stop::because(
        format!("`{name}` was changed by hand since it was brought up"),
        drift.join("; "),
        format!(
            "`partywall drift {name}` says what mends it; `drift.accept` in `partywall.yaml` lets it be, and `--accept-drift` this once"
        ),
    ))
}

/// For `status`. Looking does not fail because it cannot be noted down.
fn remember(session: &Session, all: &[Comparison], printer: &mut Printer) {
    let path = session.layout.journal(&session.config.project);
    let mut names: Vec<&str> = all.iter().map(|comparison| comparison.environment.as_str()).collect();
    names.dedup();
    let noted = SqliteJournal::open(path.as_ref()).and_then(|mut journal| {
        for name in names {
            let of_it = || all.iter().filter(|comparison| comparison.environment == name);
            let drift = of_it().map(|comparison| comparison.drift().count()).sum::<usize>();
            let skipped = of_it().map(|comparison| comparison.not_compared.len()).sum::<usize>();
            journal.prove(&Proof {
                kind: KIND.to_owned(),
                environment: name.to_owned(),
                passed: drift == 0,
                summary: json!({"drift": drift, "not_compared": skipped}).to_string(),
            })?;
        }
        Ok(())
    });
    if let Err(error) = noted {
        printer.note(format!("not noted for `status`: {error}"));
    }
}
