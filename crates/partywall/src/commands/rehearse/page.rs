//! A rehearsal for a person: 80 columns, the worst in plain sight.

use std::time::Duration;

use pw_data::rehearse::{Finding, Held, Report, Statement};
use pw_model::unit::{Bytes, Span};

use super::Tried;
use crate::printer::{BOLD, DIM, GREEN, RED, YELLOW, count};

/// Statements that are listed; the slowest and those with findings always are.
const LISTED: usize = 20;
const TEXT: usize = 31;
const LOCK: usize = 23;

pub(super) fn page(name: &str, tried: &Tried) -> String {
    let source = &tried.source;
    let how = if source.only_logical.is_some() { "logical" } else { "physical" };
    let of = match &tried.backup {
        Some(backup) => format!("backup {backup} of {name}{BOLD:#}  `{}`", source.database),
        None => format!("a copy of {name}{BOLD:#}  `{}`, {}, {how}", source.database, source.bytes),
    };
    let mut text = format!("{BOLD}rehearsed on {of}\n");
    for report in &tried.reports {
        text.push('\n');
        text.push_str(&one(report));
    }
    text
}

fn one(report: &Report) -> String {
    let mut text = format!(
        "{BOLD}{}{BOLD:#}  {} in {}, {} of log written, {}\n",
        report.service,
        count(report.statements.len(), "statement"),
        span(report.seconds),
        Bytes(report.wal_bytes),
        grown(report.grown_bytes)
    );
    text.push_str(&table(report));
    for waited in &report.waited {
        let one = |word: &str, seconds: f64| (seconds > 0.0).then(|| format!("{word} {}", span(seconds)));
        let times: Vec<String> = [one("a read", waited.read_seconds), one("a write", waited.write_seconds)]
            .into_iter()
            .flatten()
            .collect();
        text.push_str(&format!("  a visitor of `{}` waited: {}\n", waited.table, times.join(", ")));
    }
    for finding in &report.findings {
        text.push_str(&danger(finding));
    }
    text.push_str(&verdict(report));
    text
}

fn grown(bytes: i64) -> String {
    let amount = Bytes(bytes.unsigned_abs());
    if bytes < 0 { format!("disk {amount} less") } else { format!("disk {amount} more") }
}

pub(super) fn span(seconds: f64) -> Span {
    Span(Duration::from_secs_f64(seconds.max(0.0)))
}

fn table(report: &Report) -> String {
    let chosen = chosen(report);
    if chosen.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{DIM}  #  {:<TEXT$} {:>9}  {:<LOCK$} {:>7}{DIM:#}\n",
        "STATEMENT", "TIME", "STRONGEST LOCK", "HELD"
    );
    for index in &chosen {
        text.push_str(&row(*index, &report.statements[*index]));
    }
    let left = report.statements.len() - chosen.len();
    if left > 0 {
        text.push_str(&format!(
            "{DIM}     and {} that took less time and keep nobody out{DIM:#}\n",
            count(left, "more statement")
        ));
    }
    text
}

/// Shorter, and without a lock that keeps anybody out, is not worth a line.
const NOTICED: f64 = 0.01;

/// Those with findings or errors, and the slowest, in order.
fn chosen(report: &Report) -> Vec<usize> {
    let named = |index: &usize| {
        report.statements[*index].error.is_some()
            || report.findings.iter().any(|finding| finding.statement == *index)
    };
    let matters = |statement: &Statement| {
        statement.seconds >= NOTICED || statement.locks.iter().any(|held| held.mode.blocks_writes())
    };
    let mut all: Vec<usize> = (0..report.statements.len())
        .filter(|index| named(index) || matters(&report.statements[*index]))
        .collect();
    all.sort_by(|a, b| {
        let seconds = |index: &usize| report.statements[*index].seconds;
        named(b).cmp(&named(a)).then(seconds(b).total_cmp(&seconds(a)))
    });
    all.truncate(LISTED);
    all.sort_unstable();
    all
}

fn row(index: usize, statement: &Statement) -> String {
    let strongest = statement.strongest();
    let (lock, held) = strongest.map_or_else(
        || ("-".to_owned(), String::new()),
        |held| (format!("{} {}", held.table, short(held)), span(held.seconds).to_string()),
    );
    let style = match strongest {
        _ if statement.error.is_some() => RED,
        Some(held) if held.mode.blocks_reads() => RED,
        Some(held) if held.mode.blocks_writes() => YELLOW,
        _ => DIM,
    };
    let error =
        statement.error.as_ref().map_or(String::new(), |error| format!("     {RED}failed: {error}{RED:#}\n"));
    format!(
        "{:>3}  {:<TEXT$} {:>9}  {style}{:<LOCK$}{style:#} {held:>7}\n{error}",
        index + 1,
        cut(&statement.text, TEXT),
        span(statement.seconds).to_string(),
        cut(&lock, LOCK),
    )
}

fn short(held: &Held) -> String {
    held.mode.as_str().replace("exclusive", "excl.")
}

pub(super) fn cut(text: &str, width: usize) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= width {
        return flat;
    }
    flat.chars().take(width - 1).chain(['…']).collect()
}

fn danger(finding: &Finding) -> String {
    let told = format!("{}: {}", finding.rule, finding.message);
    let hint = finding.hint.as_ref().map_or(String::new(), |hint| {
        let text = wrapped(&format!("hint: {hint}"));
        format!("     {}\n", text.replacen("hint", &format!("{GREEN}hint{GREEN:#}"), 1))
    });
    format!("{YELLOW}{:>3}{YELLOW:#}  {}\n{hint}", finding.statement + 1, wrapped(&told))
}

/// Broken between words, so that with the indent no line is longer than 80 columns.
pub(super) fn wrapped(text: &str) -> String {
    let (mut out, mut length) = (String::new(), 0);
    for word in text.split_whitespace() {
        let long = word.chars().count();
        if length > 0 && length + 1 + long > 75 {
            out.push_str("\n     ");
            length = 0;
        } else if length > 0 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += long;
    }
    out
}

fn verdict(report: &Report) -> String {
    let mut text = String::new();
    for reason in &report.exceeded {
        let reason = wrapped(&format!("stop: {reason}"));
        text.push_str(&format!("{}\n", reason.replacen("stop", &format!("{RED}stop{RED:#}"), 1)));
    }
    match report.exit_code {
        Some(0) if report.exceeded.is_empty() => text.push_str(&format!(
            "{GREEN}passed{GREEN:#}: within the limits, {}\n",
            count(report.findings.len(), "danger")
        )),
        Some(0) | None => {}
        Some(code) => text.push_str(&format!(
            "{RED}stop{RED:#}: the command ended with exit code {code}; its last lines were\n{}\n",
            report.words
        )),
    }
    text
}

#[cfg(test)]
mod tests {
    use pw_data::rehearse::Mode;

    use super::*;

    #[test]
    fn a_page_fits_eighty_columns() {
        let held = Held { table: "a_rather_long_table".into(), mode: Mode::AccessExclusive, seconds: 12.0 };
        let statement = Statement {
            text:
                "ALTER TABLE a_rather_long_table ADD COLUMN another uuid NOT NULL DEFAULT gen_random_uuid()"
                    .into(),
            seconds: 12.0,
            locks: vec![held],
            ..Statement::default()
        };
        let report = Report {
            service: "migrate".into(),
            exit_code: Some(0),
            statements: vec![statement],
            ..Report::default()
        };
        let plain = anstream::adapter::strip_str(&one(&report)).to_string();
        let lines: Vec<&str> = plain.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "migrate  1 statement in 0.0 ms, 0 B of log written, disk 0 B more",
                "  #  STATEMENT                            TIME  STRONGEST LOCK             HELD",
                "  1  ALTER TABLE a_rather_long_tabl…    12.0 s  a_rather_long_table ac…  12.0 s",
                "passed: within the limits, 0 dangers",
            ]
        );
        assert!(plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
    }
}
