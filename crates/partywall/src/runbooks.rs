//! The pages that alerts name: each is there, and every command on it is one of ours.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use pw_plan::alert::Kind;

use crate::cli::Cli;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks")
}

#[test]
fn every_alert_has_its_page() {
    for kind in Kind::ALL {
        let path = folder().join(kind.runbook()).with_extension("md");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let title = text.lines().next().unwrap_or_default();
        assert!(title.contains(kind.as_str()), "`{title}` does not name {kind}");
        assert!(text.contains("It is over "), "{} does not say when it is over", path.display());
    }
}

#[test]
fn every_command_on_a_page_is_one_of_ours() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).expect("the pages").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a page");
        for line in commands(&text) {
            let parsed = Cli::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{}: `{line}`: {parsed:?}", entry.path().display());
            count += 1;
        }
    }
    assert!(count > 20, "only {count} commands were found");
}

/// Lines of code, and code within lines, that begin with our name.
fn commands(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("partywall "));
    let within = text.lines().filter(|line| !line.trim().starts_with("partywall "));
    let within = within.flat_map(|line| line.split('`').skip(1).step_by(2));
    lines.chain(within.filter(|code| code.starts_with("partywall "))).collect()
}
