//! The certificate for a terminal: 80 columns wide where names allow it.

use pw_plan::prove::step::Kind;
use pw_plan::prove::verdict::{Blasted, Tried, Verdict};

use super::Certificate;
use crate::printer::{BOLD, DIM, GREEN, RED};

pub(crate) fn told(certificate: &Certificate) -> String {
    let Certificate { project, environment, proved, .. } = certificate;
    let mut text = format!("{BOLD}{environment} of {project}, attacked from beside it{BOLD:#}\n");
    if !proved.tried.is_empty() {
        text += &format!(
            "\n{DIM}  {:<28} {:>6} {:>6} {:>10} {:>8}{DIM:#}\n",
            "PROBES", "TRIED", "HELD", "NOT THERE", "ALLOWED"
        );
        text.extend(kinds(&proved.tried).into_iter().map(|kind| line(kind, &proved.tried)));
        text.extend(proved.tried.iter().filter(|one| !one.verdict().is_good()).map(complaint));
    }
    if !proved.blasted.is_empty() {
        text += &format!(
            "\n{DIM}  {:<12} {:>9} {:>9} {:>7} {:>7} {:>7} {:>9}{DIM:#}\n",
            "BLAST", "P99 ALONE", "P99 UNDER", "RATIO", "FLOOR", "LOST", "OOM KILLS"
        );
        text.extend(proved.blasted.iter().map(|one| blast(one, certificate)));
    }
    let (style, word) = if certificate.passed() { (GREEN, "passed") } else { (RED, "FAILED") };
    text + &format!("\n{style}{word}{style:#}: {}\n", certificate.verdict())
}

pub(super) fn kinds(tried: &[Tried]) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = tried.iter().map(|one| one.probe.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn line(kind: Kind, tried: &[Tried]) -> String {
    let of = |verdict: Option<Verdict>| {
        let mine = tried.iter().filter(|one| one.probe.kind == kind);
        mine.filter(|one| verdict.is_none_or(|verdict| one.verdict() == verdict)).count()
    };
    format!(
        "  {:<28} {:>6} {:>6} {:>10} {:>8}\n",
        kind.title(),
        of(None),
        of(Some(Verdict::Held)),
        of(Some(Verdict::Absent)),
        of(Some(Verdict::Allowed))
    )
}

fn complaint(one: &Tried) -> String {
    let verdict = one.verdict();
    let head = format!("  {RED}{}{RED:#}: {}: {}\n", verdict.word(), one.probe.kind.title(), one.probe.what);
    if verdict == Verdict::Unproven {
        return head
            + &format!("    from {}, where it must succeed: {}\n", one.probe.control, one.control.told);
    }
    let through = one.from.iter().filter(|(_, outcome)| outcome.reached);
    head + &through.map(|(name, outcome)| format!("    from {name}: {}\n", outcome.told)).collect::<String>()
}

fn blast(one: &Blasted, certificate: &Certificate) -> String {
    let failed: usize = one.under.iter().map(|slot| slot.failed).sum();
    let line = format!(
        "  {:<12} {:>6.1} ms {:>6.1} ms {:>7.2} {:>7.2} {:>7} {:>9}\n",
        one.blast,
        Blasted::p99(&one.alone),
        Blasted::p99(&one.under),
        one.ratio(),
        one.floor(),
        failed,
        one.killed_beside + one.killed_in_production
    );
    match one.hurt(&certificate.held) {
        Some(why) => line + &format!("    {RED}hurt{RED:#}: {why}\n"),
        None => line,
    }
}
