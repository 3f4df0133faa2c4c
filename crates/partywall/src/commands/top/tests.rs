use std::collections::BTreeMap;

use jiff::Timestamp;
use pw_host::meter::{MachineFigures, Used};
use pw_model::config::Class;
use pw_plan::latency::Tally;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::Chosen;
use super::draw;
use super::screen::{Row, Screen, Sort};

const MEGABYTE: f64 = 1_048_576.0;

fn row(name: &str, cpus: f64, answers: &[f64]) -> Row {
    let mut tally = Tally::default();
    answers.iter().for_each(|seconds| tally.take(*seconds, *seconds > 1.0, false));
    Row {
        name: name.into(),
        used: Used {
            cpu_seconds: Some(cpus),
            memory_bytes: Some(240.0 * MEGABYTE),
            read_bytes: Some(0.0),
            written_bytes: Some(57.0 * MEGABYTE),
            received_bytes: (name != "worker").then_some(1500.0),
            sent_bytes: (name != "worker").then_some(70_000.0),
            processes: Some(12.0),
            waited_cpu_seconds: Some(0.2),
            ..Used::default()
        },
        memory_limit: (name == "web").then_some(256.0 * MEGABYTE),
        answers: tally,
        seconds: 10.0,
        ..Row::default()
    }
}

fn screen() -> Screen {
    let answers: Vec<f64> = (0..200).map(|n| if n == 7 { 1.5 } else { 0.012 }).collect();
    let trail: Vec<(i64, f64)> = (0..600).map(|at| (at, at as f64 / 300.0)).collect();
    let whole =
        |row: Row, class, limit| Row { class: Some(class), cpu_limit: limit, trail: trail.clone(), ..row };
    Screen {
        project: "shop".into(),
        at: Timestamp::from_second(1_700_000_000).expect("a time"),
        machine: MachineFigures {
            cpus: Some(2.0),
            cpu_seconds: Some(1.96),
            memory_bytes: Some(100.0),
            memory_available_bytes: Some(92.0),
            disk_bytes: Some(100.0),
            disk_free_bytes: Some(11.0),
            stolen_seconds: Some(0.1),
            ..MachineFigures::default()
        },
        machine_trail: trail.clone(),
        waits: Some(Used { waited_cpu_seconds: Some(0.73), waited_io_seconds: Some(0.0), ..Used::default() }),
        said: vec![
            "objective p99 12 ms of 250 ms, of 3,000 answers in five minutes".into(),
            "governor  development: at most 0.1 CPUs, because production waited 73 % of the time for a processor".into(),
        ],
        is_agent: true,
        rows: vec![
            whole(row("production", 1.0, &answers), Class::Production, None),
            row("web", 0.97, &answers),
            row("worker", 0.03, &[]),
            whole(row("development", 0.96, &[]), Class::Development, Some(1.0)),
            row("a-service-with-a-rather-long-name", 0.96, &[]),
        ],
    }
}

/// What a terminal of this size shows.
fn shown(width: u16, height: u16, chosen: &Chosen) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw::draw(frame, &screen(), chosen)).expect("draws");
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| format!("{}\n", line(y).trim_end())).collect()
}

fn chosen(above: u16) -> Chosen {
    Chosen { sort: Sort::Cpu, is_paused: above > 0, above }
}

#[test]
fn eighty_columns_hold_everything_that_decides() {
    insta::assert_snapshot!(shown(80, 13, &chosen(0)));
}

#[test]
fn a_wide_terminal_tells_directions_and_the_past() {
    insta::assert_snapshot!(shown(140, 13, &chosen(0)));
}

#[test]
fn a_low_terminal_scrolls_to_the_last_line_and_no_further() {
    let text = shown(80, 8, &chosen(99));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[6].starts_with("  a-service"), "{text}");
    assert!(lines[7].contains("paused"), "{text}");
}

#[test]
fn json_tells_environments_with_their_services() {
    let json = screen().to_json();
    let services: BTreeMap<&str, usize> = json["environments"]
        .as_array()
        .expect("environments")
        .iter()
        .map(|one| {
            (
                one["environment"].as_str().expect("a name"),
                one["services"].as_array().expect("services").len(),
            )
        })
        .collect();
    assert_eq!(services, BTreeMap::from([("production", 2), ("development", 1)]));
    let web = &json["environments"][0]["services"][0];
    assert_eq!((&web["requests_per_second"], &web["failed"]), (&20.0.into(), &0.005.into()));
}
