//! What is known of an environment's data: from where it came, when, how much, and what was proved.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use pw_data::sample::Done;
use pw_host::vault::Manifest;
use pw_model::config;
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_model::unit::Bytes;
use pw_plan::seed::current_file;
use pw_plan::step::{SampleRun, SourcePlace};
use pw_run::Failure;
use serde_json::{Value, json};

use crate::session::Session;

/// A sample that was made, and what was found out of it.
pub(crate) struct Proved {
    pub(crate) size: Option<String>,
    pub(crate) done: Done,
    pub(crate) foreign_keys: u64,
    pub(crate) took: Duration,
}

/// Writes the record of a sample beside the lists of its files.
pub(crate) fn write(run: &SampleRun, proved: &Proved) -> Result<(), Failure> {
    let backup = run.backup.as_ref();
    let (project, database, server) = match &run.from {
        SourcePlace::Database(place) => (&place.project, Some(&place.name), None),
        SourcePlace::Server { dsn, project } => (project, None, Some(dsn)),
    };
    let record = json!({
        "at": Timestamp::now(),
        "from": backup.map_or(project, |backup| &backup.environment),
        "backup": backup.map(|backup| json!({"name": backup.name, "at": backup.at})),
        "server": server,
        "database": database,
        "size": proved.size,
        "seconds": (proved.took.as_secs_f64() * 1000.0).round() / 1000.0,
        "foreign_keys": proved.foreign_keys,
        "sample": proved.done,
    });
    let failed =
        |error: std::io::Error| Failure::new(format!("could not write `{}`", run.record)).because(error);
    std::fs::write(&run.record, record.to_string()).map_err(failed)
}

/// The size of the cohort that rules ask for, as it is written.
pub(crate) fn cohort_size(rules: &str) -> Option<String> {
    let config = config::parse(&SourceFile::new(config::FILE_NAME, rules)).ok()?;
    let cohort = config.seed?.cohort?;
    let first = cohort.as_array().and_then(|list| list.first()).unwrap_or(&cohort);
    let sample = first.get("sample")?;
    Some(sample.as_str().map_or_else(|| sample.to_string(), str::to_owned))
}

/// The seed in use, with its files; `None` for an environment that was not seeded.
pub(crate) fn read(session: &Session, name: &EnvironmentName) -> Option<Value> {
    let seeds = session.layout.seeds(&session.config.project, name);
    let number = std::fs::read_to_string(current_file(&seeds)).ok()?;
    let number: u64 = number.trim().parse().ok()?;
    let folder = format!("{seeds}/{number}");
    let record = std::fs::read_to_string(format!("{folder}/record.json")).ok()?;
    let mut record: Value = serde_json::from_str(&record).ok()?;
    let lists = (0..)
        .map_while(|index| Manifest::read(Path::new(&format!("{folder}/files-{index}.json"))).ok().flatten());
    let lists: Vec<Value> = lists.map(|list| files(&list)).collect();
    let project = format!("{}-", session.config.project);
    let from = record["from"].as_str().map(|from| from.strip_prefix(&project).unwrap_or(from).to_owned());
    record["from"] = json!(from);
    let entries = record.as_object_mut()?;
    entries.insert("number".into(), json!(number));
    entries.insert("vault".into(), Value::Array(lists));
    Some(record)
}

fn files(list: &Manifest) -> Value {
    json!({
        "files": list.files(), "bytes": list.bytes(), "copied": list.copied(), "copied_bytes": list.copied_bytes,
        "shared": list.shared, "removed": list.removed(), "missing": list.missing, "refused": list.refused,
    })
}

/// What `status` says of it.
pub(crate) fn line(record: &Value) -> String {
    let at: Option<Timestamp> = record["at"].as_str().and_then(|at| at.parse().ok());
    let age = at.map_or_else(|| "?".into(), |at| age(Timestamp::now().duration_since(at).as_secs()));
    format!("  data    {}, {age} old", summary(record))
}

/// How much of what, and what was proved of it.
pub(crate) fn summary(record: &Value) -> String {
    let number = |value: &Value| grouped(value.as_u64().unwrap_or_default());
    let sample = &record["sample"];
    let tables = sample["tables"].as_array().map_or(0, Vec::len);
    let size = record["size"].as_str().map_or(String::new(), |size| format!("{size} of "));
    let sum = |key: &str| -> u64 {
        record["vault"].as_array().into_iter().flatten().filter_map(|list| list[key].as_u64()).sum()
    };
    let files = match record["vault"].as_array().map_or(0, Vec::len) {
        0 => String::new(),
        _ => format!(", {} files ({})", grouped(sum("files")), Bytes(sum("bytes"))),
    };
    let backup = &record["backup"];
    let at: Option<Timestamp> = backup["at"].as_str().and_then(|at| at.parse().ok());
    let of = at.zip(backup["name"].as_str()).map_or_else(String::new, |(at, name)| {
        format!(" as of {}, from backup {name}", at.strftime("%Y-%m-%d %H:%M:%S UTC"))
    });
    let server = record["server"].as_str().map_or(String::new(), |dsn| format!(", from {dsn}"));
    format!(
        "{size}{}{of}{server}: {} rows in {tables} tables{files}; {} leaks of {} masked values, {} foreign keys valid",
        record["from"].as_str().unwrap_or("?"),
        number(&sample["rows"]),
        number(&sample["leaks"]),
        number(&sample["searched_for"]),
        number(&record["foreign_keys"]),
    )
}

/// `1234567` → `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_one_line() {
        let record = json!({
            "from": "shop-production", "size": "10%", "foreign_keys": 8, "vault": [{"files": 412, "bytes": 2_000_000}],
            "sample": {"rows": 12_345, "leaks": 0, "searched_for": 620, "tables": [{}, {}]},
        });
        assert_eq!(
            summary(&record),
            "10% of shop-production: 12,345 rows in 2 tables, 412 files (1.9 MB); 0 leaks of 620 masked values, 8 foreign keys valid"
        );
        assert_eq!([age(59), age(7_199), age(90_000), age(200_000)], ["59 s", "119 min", "25 h", "2 days"]);
        assert_eq!([grouped(1), grouped(1_000), grouped(1_234_567)], ["1", "1,000", "1,234,567"]);
    }
}
