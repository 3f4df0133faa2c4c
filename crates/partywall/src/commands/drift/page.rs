//! How drift is told.

use pw_plan::drift::Difference;

use super::Comparison;
use crate::printer::{BOLD, DIM, GREEN, YELLOW, count};

/// One block for each comparison; `all` shows what is deliberate too.
pub(super) fn page(comparisons: &[Comparison], all: bool) -> String {
    let mut text = String::new();
    for comparison in comparisons {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&block(comparison, all));
    }
    text
}

fn block(comparison: &Comparison, all: bool) -> String {
    let drift = comparison.drift().count();
    let title = match comparison.left.as_str() {
        "described" => format!("{}, as described and as it runs", comparison.environment),
        left => format!("{left} and {}", comparison.right),
    };
    let told = match drift {
        0 if !comparison.not_compared.is_empty() && comparison.differences.is_empty() => {
            format!("{YELLOW}not compared{YELLOW:#}")
        }
        0 => format!("{GREEN}no drift{GREEN:#}"),
        drift => format!("{YELLOW}{}{YELLOW:#}", count(drift, "difference")),
    };
    let mut text = format!("{BOLD}{title}{BOLD:#}: {told}\n");
    for why in &comparison.not_compared {
        text.push_str(&format!("  not compared: {why}\n"));
    }
    for one in comparison.differences.iter().filter(|one| all || !one.deliberate) {
        text.push_str(&entry(comparison, one));
    }
    text.push_str(&foot(comparison, all));
    text
}

fn entry(comparison: &Comparison, one: &Difference) -> String {
    let (left, right) = (&comparison.left, &comparison.right);
    let mark = if one.deliberate { format!("  {DIM}(on purpose){DIM:#}") } else { String::new() };
    let repair = if one.deliberate { String::new() } else { format!("    {DIM}{}{DIM:#}\n", one.repair) };
    format!("  {}{mark}\n    {left}: {}, {right}: {}\n{repair}", one.path, one.left, one.right)
}

fn foot(comparison: &Comparison, all: bool) -> String {
    let deliberate = comparison.differences.len() - comparison.drift().count();
    let mut text = String::new();
    if deliberate > 0 && !all {
        text.push_str(&format!(
            "  {DIM}{deliberate} more on purpose, by overlays and variables; `--all` shows them{DIM:#}\n"
        ));
    }
    if comparison.accepted > 0 {
        text.push_str(&format!("  {DIM}{} accepted in `partywall.yaml`{DIM:#}\n", comparison.accepted));
    }
    text
}
