//! Our own rules, which go by what was measured, and the limits.

use std::time::Duration;

use pw_model::unit::Span;

use super::lint::lint;
use super::report::{Finding, Report, Statement};
use super::statement::{Kind, words};
use super::timeline::Timed;

/// Rows that one statement may change without being called a backfill: a batch as people write them stays below.
const BATCH: u64 = 10_000;
/// Shorter than this, nobody notices that he waits.
const NOTICED: f64 = 0.1;

/// What a migration may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    pub lock: Duration,
    pub total: Duration,
}

/// All dangers, by statement and then by rule.
pub(super) fn findings(timed: &[Timed], server_version: i32) -> Vec<Finding> {
    let mut found = lint(timed, server_version);
    for (index, one) in timed.iter().enumerate() {
        let ours = [
            lock_queue(&one.statement),
            blocked(&one.statement),
            rewritten(&one.statement),
            whole_table(&one.statement, one.kind),
            backfill(&one.statement),
            enum_value(&one.statement),
        ];
        found.extend(ours.into_iter().flatten().map(|(rule, message, hint)| Finding {
            rule: rule.to_owned(),
            statement: index,
            message,
            hint: Some(hint.to_owned()),
        }));
    }
    found.sort_by(|a, b| (a.statement, &a.rule).cmp(&(b.statement, &b.rule)));
    found
}

type Told = Option<(&'static str, String, &'static str)>;

fn shown(seconds: f64) -> Span {
    Span(Duration::from_secs_f64(seconds.max(0.0)))
}

/// A strong lock that is waited for without end: behind one long reader everybody else queues too.
fn lock_queue(statement: &Statement) -> Told {
    let strong = statement.strongest().filter(|held| held.mode.blocks_reads())?;
    if statement.lock_timeout.is_some() {
        return None;
    }
    let message = format!(
        "it waits for `{}` without end, and while it waits behind a long query, every other query of the table queues behind it",
        strong.table
    );
    Some(("lock-queue", message, "`SET lock_timeout = '2s'` before it, and try again when it fails"))
}

fn blocked(statement: &Statement) -> Told {
    let held = statement.strongest().filter(|held| held.mode.blocks_writes() && held.seconds >= NOTICED)?;
    let whom = if held.mode.blocks_reads() { "reads and writes" } else { "writes" };
    let message = format!("{whom} of `{}` wait for {}", held.table, shown(held.seconds));
    let hint = if statement.in_transaction {
        "end the transaction sooner: the lock is held until it ends"
    } else {
        "split it into steps that lock less, or run it when nobody is there"
    };
    Some(("blocked", message, hint))
}

fn rewritten(statement: &Statement) -> Told {
    let table = statement.rewritten.first()?;
    let message = format!("every row of `{table}` is written anew, in {}", shown(statement.seconds));
    Some(("table-rewrite", message, "add a new column, fill it in batches, then switch over"))
}

fn whole_table(statement: &Statement, kind: Kind) -> Told {
    let words = words(&statement.text, usize::MAX);
    let verb = words.first().map_or("", String::as_str);
    let whole = kind == Kind::Change
        && matches!(verb, "UPDATE" | "DELETE")
        && !words.iter().any(|word| word == "WHERE");
    if !whole || statement.locks.is_empty() {
        return None;
    }
    let message = format!("it has no WHERE: {} rows are changed", statement.rows);
    Some(("without-where", message, "say which rows, and take them in batches"))
}

fn backfill(statement: &Statement) -> Told {
    if statement.rows < BATCH {
        return None;
    }
    let held = statement.locks.iter().map(|held| held.seconds).fold(statement.seconds, f64::max);
    let message = format!(
        "{} rows are changed in one transaction, and whoever writes one of them waits up to {}",
        statement.rows,
        shown(held)
    );
    Some(("backfill", message, "commit after every few thousand rows"))
}

fn enum_value(statement: &Statement) -> Told {
    let words = words(&statement.text, usize::MAX);
    let is = |index: usize, word: &str| words.get(index).is_some_and(|found| found == word);
    let adds = is(0, "ALTER") && is(1, "TYPE") && words.windows(2).any(|pair| pair == ["ADD", "VALUE"]);
    if !adds || !statement.in_transaction {
        return None;
    }
    let message = "the new value cannot be used before its transaction has ended".to_owned();
    Some(("enum-in-transaction", message, "put it into a migration of its own, outside of a transaction"))
}

/// Why it must not go on.
pub(super) fn exceeded(report: &Report, limits: Limits) -> Vec<String> {
    let mut reasons = Vec::new();
    let lock = limits.lock.as_secs_f64();
    let mut worst: Vec<(&str, &super::Held)> = Vec::new();
    for statement in &report.statements {
        for held in statement.locks.iter().filter(|held| held.mode.blocks_writes() && held.seconds > lock) {
            match worst.iter_mut().find(|(table, _)| *table == held.table) {
                Some((_, before)) if before.seconds >= held.seconds => {}
                Some((_, before)) => *before = held,
                None => worst.push((&held.table, held)),
            }
        }
    }
    for (table, held) in worst {
        let whom = if held.mode.blocks_reads() { "reads and writes" } else { "writes" };
        reasons.push(format!(
            "{whom} of `{table}` wait for {}, and `promote.limits.lock` is {}",
            shown(held.seconds),
            Span(limits.lock)
        ));
    }
    if report.exit_code.is_none() || report.seconds > limits.total.as_secs_f64() {
        reasons.push(format!(
            "it took longer than {}, which is `promote.limits.total`, and was stopped",
            Span(limits.total)
        ));
    }
    reasons
}
