//! How environments look in a terminal.

use anstyle::Style;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use pw_host::docker::Published;
use pw_model::config::{Class, Config, TlsMode};
use pw_model::name::EnvironmentName;
use pw_model::observed::{Container, Health, State};
use pw_model::unit::Bytes;
use serde_json::{Value, json};

use crate::measure::{Measured, Reading};
use crate::printer::{BOLD, DIM, GREEN, RED, YELLOW};

/// One word for an environment, and how loud it is said.
pub(crate) fn verdict(reading: &Reading) -> (&'static str, Style) {
    let states: Vec<&Container> = reading.containers.iter().map(|one| &one.container).collect();
    if states.is_empty() {
        return ("not running", DIM);
    }
    let runs = |container: &&Container| container.state == State::Running;
    if reading.asleep && (!states.iter().any(runs) || states.iter().any(|container| container.throttled)) {
        return ("asleep", DIM);
    }
    if !reading.troubles.is_empty() {
        return ("needs you", RED);
    }
    let well = |container: &&Container| {
        container.is_up() && container.health != Health::Starting || container.ended_well()
    };
    if states.iter().all(well) {
        return ("healthy", GREEN);
    }
    if states.iter().any(|container| {
        container.health == Health::Unhealthy
            || container.state == State::Restarting
            || container.state == State::Dead
            || container.state == State::Exited && !container.ended_well()
    }) {
        return ("needs you", RED);
    }
    ("starting", YELLOW)
}

/// The addresses under which an environment is reached.
pub(crate) fn addresses(config: &Config, name: &EnvironmentName) -> Vec<String> {
    let Some(environment) = config.environments.get(name) else { return Vec::new() };
    let proxy = &config.proxy;
    let (scheme, port, usual) = if proxy.tls == TlsMode::Off {
        ("http", proxy.http_port, 80)
    } else {
        ("https", proxy.https_port, 443)
    };
    let suffix = if port == usual { String::new() } else { format!(":{port}") };
    let hosts = environment.routes.values().flat_map(|route| route.hosts());
    hosts.map(|host| format!("{scheme}://{host}{suffix}")).collect()
}

/// Each address and each published port on a line of its own, so that no terminal breaks one.
pub(crate) fn reached(addresses: &[String], published: &[Published]) -> String {
    let ports = published.iter().map(|one| {
        let address =
            if one.address.contains(':') { format!("[{}]", one.address) } else { one.address.clone() };
        let protocol = if one.protocol == "tcp" { String::new() } else { format!("/{}", one.protocol) };
        format!("{address}:{} → {} {}{protocol}", one.port, one.service, one.target)
    });
    addresses.iter().cloned().chain(ports).map(|line| format!("  {line}\n")).collect()
}

/// One environment as a block: headline, then a line per service.
pub(crate) fn block(config: &Config, reading: &Reading, width: u16) -> String {
    let (word, style) = verdict(reading);
    let class = config
        .environments
        .get(&reading.name)
        .map_or(Class::Development, |environment| environment.class(&reading.name));
    let name_style = if class == Class::Production { RED } else { BOLD };
    let name = reading.name.as_str().to_uppercase();
    let totals = totals(config, reading);
    let mut text = format!(
        "{name_style}{name}{name_style:#}  {style}{word}{style:#}{totals}\n{}",
        reached(&addresses(config, &reading.name), &reading.published)
    );
    for trouble in &reading.troubles {
        text.push_str(&format!("  {RED}{trouble}{RED:#}\n"));
    }
    if !reading.containers.is_empty() {
        text.push_str(&table(reading, width));
        text.push('\n');
    }
    text
}

fn totals(config: &Config, reading: &Reading) -> String {
    if reading.containers.is_empty() {
        return String::new();
    }
    let budget = config
        .environments
        .get(&reading.name)
        .map(|environment| environment.budget.clone())
        .unwrap_or_default();
    // A sum of nothing is minus zero.
    let cpus = reading.containers.iter().filter_map(|one| one.cpus).sum::<f64>().abs();
    let memory = Bytes(reading.containers.iter().filter_map(|one| one.memory).map(|memory| memory.0).sum());
    let of = |limit: Option<String>| limit.map_or(String::new(), |limit| format!(" of {limit}"));
    format!(
        "  {cpus:.2}{} CPUs, {memory}{}",
        of(budget.cpus.map(|c| c.to_string())),
        of(budget.memory.map(|m| m.to_string()))
    )
}

fn table(reading: &Reading, width: u16) -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width.saturating_sub(1));
    // Styled always: the printer takes the colours off where nobody sees them.
    table.enforce_styling();
    table.set_header(
        ["SERVICE", "STATE", "CPU", "MEMORY", "IMAGE"]
            .map(|title| Cell::new(title).add_attribute(Attribute::Dim)),
    );
    for one in &reading.containers {
        table.add_row(row(one));
    }
    for index in [2, 3] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn row(one: &Measured) -> Vec<Cell> {
    let (word, style) = state(&one.container);
    let name = if one.container.number > 1 {
        format!("{} {}", one.container.service, one.container.number)
    } else {
        one.container.service.clone()
    };
    let number = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    vec![
        Cell::new(name),
        painted(word, style),
        Cell::new(number(one.cpus.map(|cpus| format!("{:.1} %", cpus * 100.0)))),
        Cell::new(number(one.memory.map(|memory| memory.to_string()))),
        Cell::new(short_image(&one.container.image)),
    ]
}

fn painted(word: String, style: Style) -> Cell {
    let cell = Cell::new(word);
    match style {
        GREEN => cell.fg(Color::Green),
        RED => cell.fg(Color::Red),
        YELLOW => cell.fg(Color::Yellow),
        _ => cell.add_attribute(Attribute::Dim),
    }
}

/// What a container does, in one word or two.
pub(crate) fn state(container: &Container) -> (String, Style) {
    let word = |text: &str, style| (text.to_owned(), style);
    match (container.state, container.health) {
        (State::Running, _) if container.throttled => word("throttled", YELLOW),
        (State::Running, Health::Healthy) => word("healthy", GREEN),
        (State::Running, Health::Unknown) => word("running", GREEN),
        (State::Running, Health::Starting) => word("starting", YELLOW),
        (State::Running, Health::Unhealthy) => word("unhealthy", RED),
        (State::Restarting, _) => word("restarting", RED),
        (State::Paused, _) => word("paused", YELLOW),
        (State::Created, _) => word("created", YELLOW),
        (State::Dead, _) => word("dead", RED),
        (State::Exited, _) if container.ended_well() => word("done", DIM),
        (State::Exited, _) => (format!("exited {}", container.exit_code.unwrap_or(-1)), RED),
    }
}

/// Without the registry and with a short digest.
fn short_image(image: &str) -> String {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let name =
        name.strip_prefix("docker.io/library/").or_else(|| name.strip_prefix("docker.io/")).unwrap_or(name);
    match digest {
        Some(digest) => {
            format!("{name}@{}", digest.trim_start_matches("sha256:").chars().take(8).collect::<String>())
        }
        None => name.trim_start_matches("sha256:").chars().take(48).collect(),
    }
}

/// One environment for another program.
pub(crate) fn to_json(config: &Config, reading: &Reading) -> Value {
    let class =
        config.environments.get(&reading.name).map(|environment| environment.class(&reading.name).as_str());
    let services: Vec<Value> = reading
        .containers
        .iter()
        .map(|one| {
            json!({
                "service": one.container.service, "container": one.container.name, "number": one.container.number,
                "state": state(&one.container).0, "image": one.container.image,
                "cpus": one.cpus, "memory_bytes": one.memory.map(|memory| memory.0),
            })
        })
        .collect();
    let published: Vec<Value> = reading
        .published
        .iter()
        .map(|one| json!({"service": one.service, "target": one.target, "protocol": one.protocol, "address": one.address, "port": one.port}))
        .collect();
    json!({"environment": reading.name, "class": class, "state": verdict(reading).0, "troubles": reading.troubles, "addresses": addresses(config, &reading.name), "published": published, "services": services})
}
