//! The drill: the newest backup comes back in a scratch place, where every row and every byte of it is tried.

use std::time::Instant;

use serde_json::Value;

use super::shop::Shop;
use crate::run::{Result, say};

/// What has to be tried, each of it by its name.
const TRIED: [&str; 6] =
    ["database main", "folder files", "repository", "rows", "foreign keys", "newest row"];

/// Runs it and prints how long bringing back took; answers what did not hold.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn drill(shop: &Shop, bytes: u64) -> Result<Vec<String>> {
    let begun = Instant::now();
    let told = shop.partywall(&["drill", "--json"]).output()?;
    let (all, text) = (begun.elapsed().as_secs_f64(), String::from_utf8_lossy(&told.stdout).into_owned());
    let answer: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).map_err(|error| {
        format!("the drill said no JSON ({error}): {}", String::from_utf8_lossy(&told.stderr))
    })?;
    let missed = judged(&answer, told.status.success());
    let seconds = answer["drill"]["restore_seconds"].as_f64().unwrap_or_default();
    let megabytes = bytes as f64 / 1e6;
    say(&format!(
        "drill of {megabytes:.0} MB: {}; restored in {seconds:.1} s (RTO), {:.1} MB/s; {all:.1} s with every row and byte tried",
        if missed.is_empty() { "passed" } else { "failed" },
        megabytes / seconds.max(1e-9)
    ));
    Ok(missed)
}

fn judged(answer: &Value, ended_well: bool) -> Vec<String> {
    let tried = answer["drill"]["tried"].as_array().cloned().unwrap_or_default();
    let found = |name: &str| tried.iter().find(|one| one["what"] == name).cloned().unwrap_or_default();
    let wrong = TRIED.iter().map(|name| (name, found(name))).filter(|(_, one)| one["ok"] != true);
    let mut missed: Vec<String> =
        wrong.map(|(name, one)| format!("drill: {name}: {}", one["told"])).collect();
    if missed.is_empty() && !(ended_well && answer["ok"] == true) {
        missed.push("drill: it did not end well".to_owned());
    }
    missed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_tried_did_not_hold() {
        let all: Vec<Value> =
            TRIED.iter().map(|name| json!({"what": name, "ok": true, "told": ""})).collect();
        assert_eq!(judged(&json!({"ok": true, "drill": {"tried": all}}), true), Vec::<String>::new());
        assert_eq!(judged(&json!({"ok": true, "drill": {"tried": all}}), false).len(), 1);
        assert_eq!(
            judged(&json!({"ok": true, "drill": {"tried": all[1..]}}), true),
            ["drill: database main: null"]
        );
        let mut damaged = all.clone();
        damaged[3] = json!({"what": "rows", "ok": false, "told": "table a is missing"});
        let missed = judged(&json!({"ok": false, "drill": {"tried": damaged}}), false);
        assert_eq!(missed, ["drill: rows: \"table a is missing\""]);
    }
}
