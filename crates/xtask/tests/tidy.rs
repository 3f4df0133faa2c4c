//! The house rules that a compiler does not know.
#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use std::path::{Path, PathBuf};

/// Which crate may use which; arrows point down only (ARCHITECTURE.md, Layers).
const MAY_USE: &[(&str, &[&str])] = &[
    ("pw-load", &[]),
    ("pw-model", &[]),
    ("pw-plan", &["pw-model"]),
    ("pw-run", &["pw-model", "pw-plan"]),
    ("pw-journal", &["pw-model", "pw-plan", "pw-run"]),
    ("pw-host", &["pw-model", "pw-plan", "pw-run"]),
    ("pw-data", &["pw-model", "pw-plan", "pw-run"]),
    ("pw-backup", &["pw-model", "pw-plan", "pw-run"]),
    ("pw-test", &["pw-model", "pw-plan", "pw-run"]),
    ("pw-agent", &["pw-model", "pw-plan", "pw-run", "pw-host", "pw-journal"]),
    (
        "partywall",
        &[
            "pw-model",
            "pw-plan",
            "pw-run",
            "pw-host",
            "pw-data",
            "pw-backup",
            "pw-journal",
            "pw-agent",
            "pw-load",
        ],
    ),
    ("xtask", &["pw-load"]),
];
/// Lines of a file; beyond, it has two subjects. The aim is 400.
const LONGEST_FILE: usize = 600;

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of ours").flatten() {
        let path = entry.path();
        match path.extension() {
            _ if path.is_dir() && !path.ends_with("target") => rust_files(&path, found),
            Some(end) if end == "rs" => found.push(path),
            _ => {}
        }
    }
}

fn all_rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    rust_files(&crates(), &mut found);
    assert!(found.len() > 50, "the search found only {} files", found.len());
    found
}

#[test]
fn arrows_point_down_only() {
    for entry in std::fs::read_dir(crates()).expect("the crates folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("`{name}` is not in the table of layers"));
        let manifest = std::fs::read_to_string(entry.path().join("Cargo.toml")).expect("a manifest");
        let product = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for used in product
            .lines()
            .filter_map(|line| line.split(['=', '.', ' ']).next())
            .filter(|used| used.starts_with("pw-"))
        {
            assert!(allowed.contains(&used), "`{name}` must not use `{used}`; see ARCHITECTURE.md, Layers");
        }
    }
}

#[test]
fn files_have_one_subject() {
    for path in all_rust_files() {
        let lines = std::fs::read_to_string(&path).expect("a file of ours").lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines; split it by subject", path.display());
    }
}

#[test]
fn lints_are_expected_with_a_reason_never_allowed() {
    let marker = ["#[", "allow("].concat();
    for path in all_rust_files() {
        let text = std::fs::read_to_string(&path).expect("a file of ours");
        assert!(
            !text.contains(&marker),
            "{} allows a lint; write `#[expect(…, reason = …)]`",
            path.display()
        );
    }
}

#[test]
fn pure_crates_ban_the_world() {
    for name in ["pw-model", "pw-plan"] {
        let text =
            std::fs::read_to_string(crates().join(name).join("clippy.toml")).expect("its own clippy.toml");
        for banned in
            ["SystemTime::now", "Instant::now", "fs::read_to_string", "process::Command::new", "env::var"]
        {
            assert!(text.contains(banned), "{name}/clippy.toml does not ban `{banned}`");
        }
    }
}
