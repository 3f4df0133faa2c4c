//! The run on the sample beside the run on the whole, for a person: 80 columns.

use pw_data::rehearse::{Report, Statement};
use pw_model::unit::Bytes;

use super::Tried;
use super::compare::{Pair, Verdict, pairs, reason, verdict};
use super::page::{cut, span, wrapped};
use super::sample::Sample;
use crate::printer::{BOLD, DIM, GREEN, RED, YELLOW};
use crate::seeded::grouped;

/// Pairs that are listed, the slowest ones.
const LISTED: usize = 10;
const TEXT: usize = 33;
/// What is quicker on both, changes no row and fails on neither is not worth a line.
const NOTICED: f64 = 0.01;

pub(super) fn page(sample: &Sample<'_>, beside: &Tried, whole: &[Report]) -> String {
    let (name, found) = (sample.name, verdict(&beside.reports, whole));
    let size = sample.size.as_ref().map_or(String::new(), |size| format!("{size}, "));
    let mut text =
        format!("\n{BOLD}beside it, on a copy of {name}'s sample{BOLD:#}  {size}{}\n\n", beside.source.bytes);
    if found == Verdict::AppliedOnTheSample {
        return text + &told(found, name.as_str(), "");
    }
    text.push_str(&table(&pairs(&beside.reports, whole)));
    text.push_str(&sums(&beside.reports, whole));
    let failed = if found == Verdict::FailsOnTheSampleOnly { beside.reports.as_slice() } else { whole };
    text + &told(found, name.as_str(), &reason(failed).unwrap_or_default())
}

fn told(verdict: Verdict, name: &str, reason: &str) -> String {
    let (style, word, text) = match verdict {
        Verdict::PassesOnBoth => (GREEN, "passed", format!("passed: on {name}'s sample as on the whole")),
        Verdict::FailsOnBoth => (RED, "stop", format!("stop: it fails on {name}'s sample as on the whole")),
        Verdict::FailsOnTheWholeOnly => {
            (RED, "stop", format!("stop: it passes on {name}'s sample but not on the whole: {reason}"))
        }
        Verdict::FailsOnTheSampleOnly => (
            YELLOW,
            "note",
            format!("note: it fails on {name}'s sample only, and the whole is what counts: {reason}"),
        ),
        Verdict::AppliedOnTheSample => (
            DIM,
            "note",
            format!(
                "note: {name} has this migration already, so there is nothing to compare; `partywall seed {name}` gives it production's schema again"
            ),
        ),
    };
    format!("{}\n", wrapped(&text).replacen(word, &format!("{style}{word}{style:#}"), 1))
}

fn table(pairs: &[Pair<'_>]) -> String {
    let fails = |one: Option<&Statement>| one.is_some_and(|one| one.error.is_some());
    let works = |one: Option<&Statement>| one.is_some_and(|one| one.rows > 0 || !one.rewritten.is_empty());
    let mut chosen: Vec<usize> = (0..pairs.len())
        .filter(|index| {
            let pair = &pairs[*index];
            pair.seconds() >= NOTICED
                || [pair.sample, pair.whole].into_iter().any(|one| fails(one) || works(one))
        })
        .collect();
    chosen.sort_by(|a, b| pairs[*b].seconds().total_cmp(&pairs[*a].seconds()));
    chosen.truncate(LISTED);
    chosen.sort_unstable();
    if chosen.is_empty() {
        return String::new();
    }
    let head = format!(
        "{DIM}  {:<TEXT$} {:>9} {:>9} {:>11} {:>11}{DIM:#}\n",
        "STATEMENT", "SAMPLE", "WHOLE", "ROWS SAMPLE", "ROWS WHOLE"
    );
    head + &chosen.iter().map(|index| row(&pairs[*index])).collect::<String>()
}

fn row(pair: &Pair<'_>) -> String {
    let text = pair.either().map_or(String::new(), |one| cut(&one.text, TEXT));
    format!(
        "  {text:<TEXT$} {:>9} {:>9} {:>11} {:>11}\n",
        time(pair.sample),
        time(pair.whole),
        rows(pair.sample),
        rows(pair.whole)
    )
}

fn time(one: Option<&Statement>) -> String {
    match one {
        Some(one) if one.error.is_some() => "failed".to_owned(),
        Some(one) => span(one.seconds).to_string(),
        None => "-".to_owned(),
    }
}

/// Rows that it changed; a rewrite changes all of a table without counting them.
fn rows(one: Option<&Statement>) -> String {
    match one {
        Some(one) if !one.rewritten.is_empty() => "all".to_owned(),
        Some(one) => grouped(one.rows),
        None => "-".to_owned(),
    }
}

fn sums(sample: &[Report], whole: &[Report]) -> String {
    let seconds = |reports: &[Report]| span(reports.iter().map(|one| one.seconds).sum()).to_string();
    let log = |reports: &[Report]| Bytes(reports.iter().map(|one| one.wal_bytes).sum()).to_string();
    let line = |word: &str, of: &dyn Fn(&[Report]) -> String| {
        format!("  {word:<TEXT$} {:>9} {:>9}\n", of(sample), of(whole))
    };
    line("in all", &seconds) + &line("log written", &log)
}

#[cfg(test)]
mod tests {
    use pw_data::rehearse::{Held, Mode};
    use pw_model::name::EnvironmentName;
    use pw_plan::scratch::Source;

    use super::*;

    fn report(rows: u64, error: Option<&str>) -> Report {
        let statement = Statement {
            text: "UPDATE users SET plan = 'free' WHERE plan IS NULL AND more".into(),
            seconds: rows as f64 / 1000.0,
            rows,
            locks: vec![Held { table: "users".into(), mode: Mode::RowExclusive, seconds: 1.0 }],
            error: error.map(str::to_owned),
            ..Statement::default()
        };
        Report {
            service: "migrate".into(),
            seconds: rows as f64 / 500.0,
            exit_code: Some(i64::from(error.is_some())),
            wal_bytes: rows * 100,
            statements: vec![statement],
            ..Report::default()
        }
    }

    #[test]
    fn both_runs_stand_beside_each_other() {
        let name = EnvironmentName::parse("development").expect("a name");
        let sample = Sample { name: &name, size: Some("10%".into()) };
        let source = Source {
            container: String::new(),
            image: String::new(),
            database: String::new(),
            user: String::new(),
            data: String::new(),
            bytes: Bytes(1 << 20),
            only_logical: None,
        };
        let beside = Tried { source, backup: None, reports: vec![report(2_000, None)] };
        let text = page(&sample, &beside, &[report(20_000, Some("division by zero"))]);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain,
            "\nbeside it, on a copy of development's sample  10%, 1 MB\n\n  \
             STATEMENT                            SAMPLE     WHOLE ROWS SAMPLE  ROWS WHOLE\n  \
             UPDATE users SET plan = 'free' W…     2.0 s    failed       2,000      20,000\n  \
             in all                                4.0 s    40.0 s\n  \
             log written                          195 kB    1.9 MB\n\
             stop: it passes on development's sample but not on the whole: division by\n     zero\n"
        );
        assert!(plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
    }
}
