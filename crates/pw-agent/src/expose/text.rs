//! The text format of Prometheus, version 0.0.4. Names and labels are a promise: docs/metrics.md lists them.

use std::fmt::Write as _;

use pw_host::meter::{Field, Figures, MachineFigures, Used};
use pw_model::name::EnvironmentName;

use super::{Governed, Squeezes};
use crate::collect::{Answers, EnvironmentPicture, Picture};
use crate::status::Promised;

/// One line: labels with their values, and the value.
type Sample = (String, f64);

/// Everything of a picture, and what the governor makes of it.
pub fn exposition(picture: &Picture, governed: &Governed) -> String {
    let mut text = String::with_capacity(64 << 10);
    machine(&mut text, picture);
    used(&mut text, "environment", || environments(picture).map(|(label, one)| (label, one.used)));
    used(&mut text, "container", || containers(picture));
    answers(&mut text, picture);
    databases(&mut text, picture);
    disks(&mut text, picture);
    squeezes(&mut text, governed);
    if let Some(promised) = &governed.promised {
        objective(&mut text, promised);
    }
    text
}

fn machine(text: &mut String, picture: &Picture) {
    for field in MachineFigures::FIELDS {
        let value = (field.get)(&picture.machine).map(|value| (String::new(), value));
        family(text, &name("machine", field), field, value.into_iter());
    }
}

fn used<I: Iterator<Item = (String, Used)>>(text: &mut String, of: &str, all: impl Fn() -> I) {
    for field in Used::FIELDS {
        let samples = all().filter_map(|(labels, used)| Some((labels, (field.get)(&used)?)));
        family(text, &name(of, field), field, samples);
    }
}

/// Counters end in `_total`.
fn name<F>(of: &str, field: &Field<F>) -> String {
    let end = if field.is_counter { "_total" } else { "" };
    format!("partywall_{of}_{}{end}", field.name)
}

fn family<F>(text: &mut String, name: &str, field: &Field<F>, samples: impl Iterator<Item = Sample>) {
    plain(text, name, if field.is_counter { "counter" } else { "gauge" }, field.help, samples);
}

/// A family without a sample is left out.
fn plain(text: &mut String, name: &str, kind: &str, help: &str, samples: impl Iterator<Item = Sample>) {
    let mut samples = samples.peekable();
    if samples.peek().is_some() {
        head(text, name, kind, help);
    }
    for (labels, value) in samples {
        line(text, name, &labels, value);
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a text does not fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: f64) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

fn environments(picture: &Picture) -> impl Iterator<Item = (String, &EnvironmentPicture)> {
    picture.environments.iter().map(|(name, one)| (environment_label(name), one))
}

fn environment_label(name: &EnvironmentName) -> String {
    label("environment", name.as_str())
}

fn containers(picture: &Picture) -> impl Iterator<Item = (String, Used)> {
    environments(picture).flat_map(|(environment, one)| {
        one.containers.iter().map(move |one| {
            let (service, container) = (label("service", &one.service), label("container", &one.name));
            (format!("{environment},{service},{container}"), one.used)
        })
    })
}

fn answers(text: &mut String, picture: &Picture) {
    let all = || {
        environments(picture).flat_map(|(environment, one)| {
            one.answers.iter().map(move |one| (of_answers(&environment, one), one))
        })
    };
    if all().next().is_none() {
        return;
    }
    let name = "partywall_answer_seconds";
    head(text, name, "histogram", "Time from request to answer at the proxy, websockets left out.");
    for (labels, one) in all() {
        let bucket = format!("{name}_bucket");
        for (bound, count) in one.tally.within() {
            line(text, &bucket, &format!("{labels},le=\"{bound}\""), count as f64);
        }
        line(text, &bucket, &format!("{labels},le=\"+Inf\""), one.tally.count() as f64);
        line(text, &format!("{name}_sum"), &labels, one.tally.seconds);
        line(text, &format!("{name}_count"), &labels, one.tally.count() as f64);
    }
    let failed = all().map(|(labels, one)| (labels, one.tally.failures as f64));
    plain(text, "partywall_failed_answers_total", "counter", "Answers with status 500 and above.", failed);
}

fn of_answers(environment: &str, one: &Answers) -> String {
    let generation = one.generation.map_or("", |generation| generation.as_str());
    format!("{environment},{},{}", label("service", &one.service), label("generation", generation))
}

fn databases(text: &mut String, picture: &Picture) {
    let all = || {
        environments(picture).flat_map(|(environment, one)| {
            one.databases
                .iter()
                .map(move |(name, figures)| (format!("{environment},{}", label("database", name)), *figures))
        })
    };
    let mut gauge = |name: &str, help: &str, samples: &mut dyn Iterator<Item = Sample>| {
        plain(text, &format!("partywall_database_{name}"), "gauge", help, samples);
    };
    gauge("bytes", "Size of a PostgreSQL database.", &mut all().map(|(labels, one)| (labels, one.bytes)));
    gauge(
        "connections",
        "Clients connected to it.",
        &mut all().map(|(labels, one)| (labels, one.connections)),
    );
    let most = &mut all().map(|(labels, one)| (labels, one.most_connections));
    gauge("connections_limit", "Clients that its server lets in, for all its databases.", most);
}

fn disks(text: &mut String, picture: &Picture) {
    let all = environments(picture).flat_map(|(environment, one)| {
        let parts = one.disk.map(|disk| [("volumes", disk.volumes), ("layers", disk.layers)]);
        let parts = parts.into_iter().flatten();
        parts.map(move |(part, bytes)| (format!("{environment},{}", label("part", part)), bytes))
    });
    let help = "Disk that an environment takes: its volumes, and what containers write outside of them.";
    plain(text, "partywall_environment_disk_bytes", "gauge", help, all);
}

fn squeezes(text: &mut String, governed: &Governed) {
    let all = |figure: fn(&Squeezes) -> f64| {
        governed.squeezes.iter().map(move |((name, resource), one)| {
            let labels = format!("{},{}", environment_label(name), label("resource", resource.as_str()));
            (labels, figure(one))
        })
    };
    let now = all(|one| f64::from(u8::from(one.now)));
    let help = "1 while an environment is held to less than its budget because production is under pressure.";
    plain(text, "partywall_squeezed", "gauge", help, now);
    let count = all(|one| one.count as f64);
    plain(text, "partywall_squeezes_total", "counter", "How often that began.", count);
}

/// What production is held to, and how it stood over the last five minutes.
fn objective(text: &mut String, promised: &Promised) {
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        let sample = value.map(|value| (String::new(), value)).into_iter();
        plain(text, &format!("partywall_{name}"), "gauge", help, sample);
    };
    let long = promised.standing.map(|standing| standing.long);
    let failed = long.filter(|long| long.answers > 0).map(|long| long.failed as f64 / long.answers as f64);
    gauge("objective_latency_limit_seconds", "99 of 100 answers are to take no longer.", promised.p99);
    gauge(
        "objective_latency_seconds",
        "What 99 of 100 answers took at most.",
        long.and_then(|long| long.p99),
    );
    gauge("objective_failed_limit", "Share of the answers that may fail.", promised.errors);
    gauge("objective_failed", "Share of the answers that failed.", failed);
    let help = "Bad answers over those that the objective allows; above 1 it is broken.";
    gauge("objective_budget_used", help, long.map(|long| long.burn));
    let open = f64::from(u8::from(promised.incident.is_some()));
    gauge("incident_open", "1 while an incident goes on.", Some(open));
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use pw_host::meter::MachineFigures;
    use pw_model::config::Class;
    use pw_model::unit::Bytes;
    use pw_plan::govern::Amount;
    use pw_plan::latency::Tally;
    use pw_plan::objective::{Measure, Standing};

    use super::*;
    use crate::collect::{Container, DatabaseFigures, Disk};

    /// Every figure there is, each another value.
    fn full<F: Figures>() -> F {
        let mut figures = F::default();
        F::FIELDS
            .iter()
            .zip(1..)
            .for_each(|(field, value)| (field.set)(&mut figures, Some(f64::from(value) / 2.0)));
        figures
    }

    fn picture() -> Picture {
        let mut tally = Tally::default();
        [0.0015, 0.0015, 0.25, 100.0].iter().for_each(|seconds| tally.take(*seconds, *seconds > 1.0, false));
        let answers = [None, Some(pw_model::colour::Colour::Green)].map(|generation| Answers {
            service: "web".into(),
            generation,
            tally: tally.clone(),
        });
        let production = EnvironmentPicture {
            class: Class::Production,
            used: full(),
            containers: vec![Container { service: "web".into(), name: "a\"b\\c".into(), used: full() }],
            answers: answers.into(),
            disk: Some(Disk { volumes: 1e12, layers: 5.0 }),
            databases: BTreeMap::from([(
                "main".into(),
                DatabaseFigures { bytes: 1.0, connections: 2.0, most_connections: 3.0 },
            )]),
        };
        let environments =
            BTreeMap::from([(EnvironmentName::parse("production").expect("a name"), production)]);
        Picture { machine: full::<MachineFigures>(), environments, ..Picture::default() }
    }

    /// Development's disk is squeezed, and production's objective broken.
    fn governed() -> Governed {
        let long = Measure { answers: 40, failed: 2, slow: 0, p99: Some(0.3), burn: 2.5 };
        let standing = Some(Standing { short: Measure::default(), long });
        let promised = Promised { p99: Some(0.25), errors: Some(0.02), standing, incident: None };
        let development = EnvironmentName::parse("development").expect("a name");
        let held = vec![Amount::Io(Some(Bytes(1 << 20)))];
        Governed::default().next(std::iter::once((development, held)), promised)
    }

    /// Name and type of each family, after a reading as strict as that of Prometheus.
    fn families(text: &str) -> BTreeMap<String, String> {
        let (mut families, mut seen, mut current) = (BTreeMap::new(), BTreeSet::new(), String::new());
        assert!(text.ends_with('\n'));
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help");
                assert!(help.ends_with('.'), "{line}");
                let kind = lines
                    .next()
                    .and_then(|line| line.strip_prefix("# TYPE "))
                    .expect("a type after the help");
                let (of, kind) = kind.split_once(' ').expect("a type");
                assert_eq!(of, name);
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
                current = name.to_owned();
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().expect("a number").is_finite(), "{line}");
            assert!(seen.insert(series.to_owned()), "{series} comes twice");
            let name = series.split('{').next().expect("a name");
            let bare = match families.get(&current).map(String::as_str) {
                Some("histogram") => {
                    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end))
                }
                _ => Some(name),
            };
            assert_eq!(bare, Some(current.as_str()), "{line}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
        families
    }

    #[test]
    fn prometheus_can_read_it_and_the_manual_lists_every_name() {
        let text = exposition(&picture(), &governed());
        let families = families(&text);
        assert_eq!(families.len(), 11 + 2 * 15 + 2 + 3 + 1 + 2 + 6);
        let manual = include_str!("../../../../docs/metrics.md");
        let words = manual.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
        let words = words.map(|word| word.trim_end_matches("_bucket"));
        let listed: BTreeSet<&str> = words.filter(|word| word.starts_with("partywall_")).collect();
        let told: BTreeSet<&str> = families.keys().map(String::as_str).collect();
        assert_eq!(listed, told);
        assert_eq!(families_of_nothing(), BTreeMap::new());
    }

    fn families_of_nothing() -> BTreeMap<String, String> {
        let text = exposition(&Picture::default(), &Governed::default());
        if text.is_empty() { BTreeMap::new() } else { families(&text) }
    }

    #[test]
    fn labels_are_quoted_and_answers_cumulated() {
        let text = exposition(&picture(), &governed());
        let web = "environment=\"production\",service=\"web\"";
        for line in [
            format!("partywall_container_cpu_seconds_total{{{web},container=\"a\\\"b\\\\c\"}} 0.5"),
            format!("partywall_answer_seconds_bucket{{{web},generation=\"green\",le=\"0.001\"}} 0"),
            format!("partywall_answer_seconds_bucket{{{web},generation=\"green\",le=\"0.002\"}} 2"),
            format!("partywall_answer_seconds_bucket{{{web},generation=\"green\",le=\"0.256\"}} 3"),
            format!("partywall_answer_seconds_bucket{{{web},generation=\"\",le=\"65.536\"}} 3"),
            format!("partywall_answer_seconds_bucket{{{web},generation=\"\",le=\"+Inf\"}} 4"),
            format!("partywall_answer_seconds_count{{{web},generation=\"\"}} 4"),
            format!("partywall_failed_answers_total{{{web},generation=\"\"}} 1"),
            "partywall_environment_disk_bytes{environment=\"production\",part=\"volumes\"} 1000000000000"
                .into(),
            "partywall_squeezed{environment=\"development\",resource=\"disk\"} 1".into(),
            "partywall_squeezes_total{environment=\"development\",resource=\"cpu\"} 0".into(),
            "partywall_objective_budget_used 2.5".into(),
            "partywall_incident_open 0".into(),
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }
}
