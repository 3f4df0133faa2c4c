//! `incidents`: when production broke its objective, and why; beside it, what others on the machine cost it.

use std::path::Path;

use jiff::Timestamp;
use pw_journal::{History, Side};
use pw_plan::objective::Incident;
use serde_json::json;

use crate::governed;
use crate::printer::{BOLD, DIM, Printer, RED};
use crate::seeded::age;
use crate::session::Session;
use crate::stop::Stop;

/// Days over which the machine with and without development is compared.
const DAYS: i64 = 30;

pub(crate) fn run(session: &Session, number: u32, printer: &mut Printer) -> Result<(), Stop> {
    let path = session.layout.agent_history(&session.config.project);
    let history = History::open_read_only(Path::new(&path))?;
    let incidents =
        history.as_ref().map(|history| history.incidents(number)).transpose()?.unwrap_or_default();
    let since = (Timestamp::now().as_second() - DAYS * 86_400).div_euclid(3600);
    let sides = history.as_ref().map(|history| history.sides(since)).transpose()?.unwrap_or_default();
    if printer.is_json() {
        let [without, with] = sides;
        let beside = json!({"days": DAYS, "with_development": with, "without_development": without});
        return printer.json(&json!({"incidents": incidents, "beside": beside}));
    }
    let mut text: String = incidents.iter().map(block).collect();
    if incidents.is_empty() {
        text = format!("{}\n", none(session, history.is_some()));
    }
    text.push_str(&beside(&sides));
    printer.answer(text)
}

fn none(session: &Session, watched: bool) -> &'static str {
    match (watched, &session.config.objective) {
        (_, None) => "nothing is promised: `objective: { p99: 250ms, errors: 0.1% }` in partywall.yaml does",
        (false, _) => "no agent has watched yet: `partywall agent run` starts one",
        (true, _) => "no incident",
    }
}

fn block(incident: &Incident) -> String {
    let at = |wall: i64| {
        Timestamp::from_millisecond(wall)
            .map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
    };
    let lasted = |until: i64| age((until - incident.start) / 1000);
    let when = match incident.end {
        Some(end) => lasted(end),
        None => format!("{RED}goes on{RED:#}, {}", lasted(Timestamp::now().as_millisecond())),
    };
    let beside = if incident.developing { "with" } else { "without" };
    let more: String =
        incident.evidence.iter().skip(1).map(|words| format!("  {DIM}also: {words}{DIM:#}\n")).collect();
    format!("{BOLD}{}{BOLD:#}  {when}, {beside} development\n  {incident}\n{more}", at(incident.start))
}

fn beside([without, with]: &[Side; 2]) -> String {
    if without.hours + with.hours <= 0.0 {
        return String::new();
    }
    let line = |what: &str, side: &Side| {
        let busy = side.utilization.map_or_else(|| "-".into(), |busy| format!("{:.0} % busy", busy * 100.0));
        let rate = side
            .rate
            .map_or_else(|| "too short to tell a rate".into(), |rate| format!("{rate:.1} in 100 hours"));
        format!(
            "{what}  {:.1} h, {busy}, {}, {rate}; {}\n",
            side.hours,
            counted(side.incidents, "incident"),
            governed::share(side.bad, side.answers)
        )
    };
    format!(
        "in the last {DAYS} days\n{}{}",
        line("  without development", without),
        line("  with development   ", with)
    )
}

fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
