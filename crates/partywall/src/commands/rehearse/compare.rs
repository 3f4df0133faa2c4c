//! The same migration on development's sample and on the whole: what one of them hides, the other shows.

use pw_data::rehearse::{Report, Statement};
use serde::Serialize;

/// How the two runs ended, seen together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    PassesOnBoth,
    FailsOnBoth,
    /// The danger that a rehearsal is made for: development saw nothing of it.
    FailsOnTheWholeOnly,
    FailsOnTheSampleOnly,
    /// Nothing was left to do on the sample: development has the migration already.
    AppliedOnTheSample,
}

/// One statement on both; `None` where it was not reached, or not sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair<'r> {
    pub(super) sample: Option<&'r Statement>,
    pub(super) whole: Option<&'r Statement>,
}

impl<'r> Pair<'r> {
    pub(super) fn either(&self) -> Option<&'r Statement> {
        self.whole.or(self.sample)
    }

    pub(super) fn seconds(&self) -> f64 {
        let of = |one: Option<&Statement>| one.map_or(0.0, |one| one.seconds);
        of(self.whole).max(of(self.sample))
    }
}

pub(super) fn verdict(sample: &[Report], whole: &[Report]) -> Verdict {
    let passed = |reports: &[Report]| !reports.is_empty() && reports.iter().all(Report::passed);
    match (passed(sample), passed(whole)) {
        (true, _) if is_applied(sample, whole) => Verdict::AppliedOnTheSample,
        (true, true) => Verdict::PassesOnBoth,
        (false, false) => Verdict::FailsOnBoth,
        (true, false) => Verdict::FailsOnTheWholeOnly,
        (false, true) => Verdict::FailsOnTheSampleOnly,
    }
}

/// True when of all that works on the whole, nothing was so much as sent to the sample.
fn is_applied(sample: &[Report], whole: &[Report]) -> bool {
    let sent: Vec<&str> = statements(sample).map(|one| one.text.as_str()).collect();
    let mut works = statements(whole).filter(|one| !one.locks.is_empty() || one.rows > 0).peekable();
    works.peek().is_some() && works.all(|one| !sent.contains(&one.text.as_str()))
}

fn statements(reports: &[Report]) -> impl Iterator<Item = &Statement> {
    reports.iter().flat_map(|report| &report.statements)
}

/// The statements of both, by their texts and in the whole's order; what only the sample met comes last.
pub(super) fn pairs<'r>(sample: &'r [Report], whole: &'r [Report]) -> Vec<Pair<'r>> {
    let mut left: Vec<&Statement> = statements(sample).collect();
    let mut pairs: Vec<Pair<'_>> = statements(whole)
        .map(|one| {
            let at = left.iter().position(|other| other.text == one.text);
            Pair { sample: at.map(|at| left.remove(at)), whole: Some(one) }
        })
        .collect();
    pairs.extend(left.into_iter().map(|one| Pair { sample: Some(one), whole: None }));
    pairs
}

/// Why a run did not pass, in few words.
pub(super) fn reason(reports: &[Report]) -> Option<String> {
    let failed = reports.iter().find(|report| !report.passed())?;
    let error = failed.statements.iter().find_map(|one| one.error.clone());
    let code = failed.exit_code.map(|code| format!("`{}` ended with exit code {code}", failed.service));
    // A command may go on after an error and end well; then it is the limits that it missed.
    let error = error.filter(|_| failed.exit_code != Some(0));
    error.or_else(|| failed.exceeded.first().cloned()).or(code)
}

#[cfg(test)]
mod tests {
    use pw_data::rehearse::{Held, Mode};

    use super::*;

    fn statement(text: &str, rows: u64) -> Statement {
        let locks = vec![Held { table: "users".into(), mode: Mode::AccessExclusive, seconds: 0.1 }];
        Statement { text: text.into(), rows, locks, ..Statement::default() }
    }

    fn report(code: i64, statements: Vec<Statement>) -> Vec<Report> {
        vec![Report { service: "migrate".into(), exit_code: Some(code), statements, ..Report::default() }]
    }

    #[test]
    fn outcomes_are_told_apart() {
        let done = || report(0, vec![statement("ALTER TABLE users ADD a int", 0)]);
        let mut failed = report(1, vec![statement("ALTER TABLE users ADD a int", 0)]);
        failed[0].statements[0].error = Some("column `a` contains null values".into());
        assert_eq!(verdict(&done(), &done()), Verdict::PassesOnBoth);
        assert_eq!(verdict(&done(), &failed), Verdict::FailsOnTheWholeOnly);
        assert_eq!(verdict(&failed, &done()), Verdict::FailsOnTheSampleOnly);
        assert_eq!(verdict(&failed, &failed), Verdict::FailsOnBoth);
        let nothing = report(0, vec![Statement { text: "SELECT 1".into(), ..Statement::default() }]);
        assert_eq!(verdict(&nothing, &done()), Verdict::AppliedOnTheSample);
        assert_eq!(verdict(&nothing, &failed), Verdict::AppliedOnTheSample);
        assert_eq!(verdict(&nothing, &nothing), Verdict::PassesOnBoth);
        assert_eq!(reason(&failed).as_deref(), Some("column `a` contains null values"));
        assert_eq!(reason(&done()), None);
    }

    #[test]
    fn statements_find_each_other_by_their_text() {
        let sample = report(
            0,
            vec![statement("UPDATE users", 1), statement("UPDATE users", 2), statement("CREATE INDEX", 0)],
        );
        let whole = report(1, vec![statement("UPDATE users", 10), statement("UPDATE users", 20)]);
        let rows = |one: Option<&Statement>| one.map(|one| one.rows);
        let pairs = pairs(&sample, &whole);
        let shown: Vec<_> = pairs.iter().map(|pair| (rows(pair.sample), rows(pair.whole))).collect();
        assert_eq!(shown, [(Some(1), Some(10)), (Some(2), Some(20)), (Some(0), None)]);
    }
}
