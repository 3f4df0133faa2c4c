//! The fixture projects of `tests/projects`, through the real `docker compose config`: every environment
//! is loaded and rendered, and what we write is read again by Compose.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests stop like tests")]

#[path = "projects/compose.rs"]
mod compose;
#[path = "projects/expect.rs"]
mod expect;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use compose::Compose;
use expect::Case;
use pw_model::config::Config;
use pw_model::host::CgroupDriver;
use pw_model::layout::Layout;
use pw_model::source::SourceFile;
use pw_plan::wall::{Ground, Loaded, Rendered, conflicts, render_all, yaml};
use serde_json::Value;

/// A project with all its environments behind their walls, in the same order.
struct Walled {
    case: Case,
    loaded: Vec<Loaded>,
    rendered: Vec<Rendered>,
}

impl Walled {
    fn read(directory: &Path) -> Self {
        let case = Case::read(directory);
        let names = case.expected.environments.keys().rev();
        let loaded: Vec<Loaded> = names.map(|name| compose::load(&case, name)).collect();
        let rendered = render(&case, &loaded);
        Self { case, loaded, rendered }
    }

    /// Complaints about each environment, with its name before them.
    fn each(&self, check: impl Fn(&Loaded, &Rendered) -> Vec<String>) -> Vec<String> {
        let pairs = self.loaded.iter().zip(&self.rendered);
        let named = pairs.flat_map(|(loaded, rendered)| {
            assert_eq!(loaded.name, rendered.name);
            let name = format!("{}/{}", self.case.name(), rendered.name);
            check(loaded, rendered).into_iter().map(move |line| format!("{name}: {line}"))
        });
        named.collect()
    }
}

fn projects() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/projects");
    let entries = std::fs::read_dir(root).expect("the fixture projects are there");
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("expect.yaml").is_file())
        .map(|path| path.canonicalize().expect("a real path"))
        .collect();
    found.sort();
    found
}

fn render(case: &Case, loaded: &[Loaded]) -> Vec<Rendered> {
    let source = SourceFile::new("partywall.yaml", expect::configuration(case, loaded));
    let config: Config = pw_model::config::parse(&source).unwrap_or_else(|e| panic!("{}: {e}", case.name()));
    let ground = Ground {
        config: &config,
        source: &source,
        layout: &Layout::new("/var/lib/partywall"),
        cgroup_driver: CgroupDriver::Cgroupfs,
        directory: case.directory.to_str().expect("a path in UTF-8"),
    };
    render_all(ground, loaded)
}

/// All projects, read once: a few at a time, as all at once would start a hundred processes.
fn all() -> &'static [Walled] {
    static ALL: OnceLock<Vec<Walled>> = OnceLock::new();
    ALL.get_or_init(|| {
        let paths = projects();
        assert!(paths.len() >= 20, "only {} projects", paths.len());
        in_parts(&paths, |path| vec![Walled::read(path)])
    })
}

fn in_parts<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> Vec<R> + Sync) -> Vec<R> {
    let work = &work;
    std::thread::scope(|scope| {
        let parts = all.chunks(all.len().div_ceil(4));
        let threads: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().flat_map(work).collect::<Vec<R>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn for_every_project(check: impl Fn(&Walled) -> Vec<String> + Sync) {
    let complaints = in_parts(all(), check);
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn every_service_has_the_role_that_people_expect() {
    for_every_project(|project| {
        project.each(|_, rendered| {
            let roles = rendered.roles.iter().map(|(service, role)| (service, role.as_str()));
            roles
                .map(|(service, role)| (service, role, project.case.roles_of(service)))
                .filter(|(_, role, expected)| !expected.iter().any(|name| name == role))
                .map(|(service, role, expected)| format!("{service} is {role} instead of {expected:?}"))
                .collect()
        })
    });
}

#[test]
fn every_service_is_one_that_people_expect_there() {
    for_every_project(|project| {
        project.each(|_, rendered| {
            let expected = project.case.services_in(rendered.name.as_str());
            let surplus = rendered.roles.keys().filter(|name| !expected.contains(&name.as_str()));
            surplus.map(|name| format!("`{name}` is not expected")).collect()
        })
    });
}

#[test]
fn compose_reads_what_we_write_as_we_meant_it() {
    for_every_project(|project| {
        project.each(|_, rendered| {
            let file = Compose::written(&yaml(&rendered.model));
            let mut wrong = match file.config() {
                Err(message) => vec![message],
                Ok(read) => compose::differences(&rendered.model, &read),
            };
            wrong.extend(file.is_quiet().err());
            wrong
        })
    });
}

#[test]
fn the_hashes_of_a_file_do_not_depend_on_where_it_lies() {
    for_every_project(|project| {
        project.each(|_, rendered| {
            let text = yaml(&rendered.model);
            let (from_text, from_file) = (compose::hashes_of_text(&text), Compose::written(&text).hashes());
            let services = rendered.roles.len();
            let same = from_text == from_file && from_text.len() == services;
            if same { Vec::new() } else { vec![format!("{from_text:?} is not {from_file:?}")] }
        })
    });
}

#[test]
fn no_two_environments_share_anything() {
    for_every_project(|project| {
        let conflicts = conflicts(&project.rendered);
        conflicts.iter().map(|conflict| format!("{}: {conflict}", project.case.name())).collect()
    });
}

#[test]
fn nothing_is_lost_or_changed_unless_a_rule_says_so() {
    for_every_project(|project| {
        project.each(|loaded, rendered| {
            let written = Value::Object(loaded.model.0.clone());
            let lines = compose::differences(&written, &rendered.model);
            lines.into_iter().filter(|line| !is_ruled(line, rendered)).collect()
        })
    });
}

/// True when a rule explains the difference, which reads `~ services/web/image …`.
fn is_ruled(line: &str, rendered: &Rendered) -> bool {
    let path = line.split(' ').nth(1).unwrap_or_default();
    rendered.rules.iter().map(|rule| rule.path.join("/")).any(|rule| {
        let part =
            |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('/'));
        // A whole that is new, such as `labels`, is explained by the rules about its parts.
        path == rule || part(path, &rule) || !line.starts_with('-') && part(&rule, path)
    })
}

#[test]
fn production_publishes_nothing_and_the_rest_only_locally() {
    for_every_project(|project| {
        project.each(|_, rendered| {
            let services = rendered.model["services"].as_object().into_iter().flatten();
            let ports = services.flat_map(|(_, service)| service["ports"].as_array().into_iter().flatten());
            let production = rendered.name.as_str() == "production";
            ports
                .filter(|port| production || port["host_ip"] != "127.0.0.1")
                .map(|port| format!("publishes {port}"))
                .collect()
        })
    });
}

#[test]
fn every_complaint_has_a_place_a_cause_and_a_hint() {
    for_every_project(|project| {
        project.each(|_, rendered| {
            let bare = |d: &&pw_model::diagnostic::Diagnostic| {
                d.hint.is_none() || d.because.is_empty() || d.place.is_none()
            };
            rendered.diagnostics.iter().filter(bare).map(|d| d.to_string()).collect()
        })
    });
}

/// Texts that some YAML would take for something else.
const AWKWARD: &str = concat!(
    "¶ ¶yes¶No¶on¶off¶012¶0o17¶1e3¶0x1f¶1_000¶12:30¶~¶null¶.inf¶- a¶a: b¶a #b¶#¶'¶\"¶\\¶%¶@a",
    "¶`a¶{a}¶[a]¶*a¶&a¶!a¶|¶>¶?¶2026-01-01¶=¶<<¶a\nb¶a\nb\n¶\n a\n\tb  \n\n¶a\tb¶a\r\nb",
    "¶\u{7f}¶\u{2028}¶ü ☃ 🦀¶$$HOME $${x:-y} $$$$¶key: |\n  x¶---\na¶...\n",
);

#[test]
fn awkward_texts_come_through_compose_unharmed() {
    let long = "long line ".repeat(40);
    let texts: Vec<&str> = AWKWARD.split('¶').chain([long.as_str()]).collect();
    let environment: serde_json::Map<String, Value> =
        texts.iter().enumerate().map(|(at, text)| (format!("T{at}"), Value::from(*text))).collect();
    let model = serde_json::json!({
        "name": "awkward",
        "services": {"a": {
            "image": "x", "command": texts, "entrypoint": null, "environment": environment,
            "labels": {"a.b: c": "#", "yes": "no"},
            "networks": {"default": null},
            "configs": [{"source": "c", "target": "/c", "mode": 288}],
        }},
        "networks": {"default": {"name": "awkward_default"}},
        "configs": {"c": {"name": "awkward_c", "content": "#!/bin/sh\nset -e\n\nif [ a ]; then\n\techo \"$$1\"  # b: c\nfi\n"}},
    });
    let text = yaml(&model);
    let read = Compose::written(&text).config().unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(compose::differences(&model, &read), Vec::<String>::new(), "{text}");
}
