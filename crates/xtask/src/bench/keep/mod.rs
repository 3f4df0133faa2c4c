//! `./x bench keep`: a backup and a restore of a database and its files, beside what others do with the same, in one run, and
//! a drill of the last backup. `PARTYWALL_BENCH_ROUNDS=0` leaves out the others.

mod drill;
mod shop;
mod watch;

use std::process::Command;
use std::time::Duration;

use crate::run::{Result, partywall, say};
use shop::Shop;
use watch::{Taken, heard, watched};

/// Of the best in every row.
const AT_LEAST: f64 = 0.9;

/// One who backs up and restores.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    Restic,
    /// `pg_dump -Fc` into a file, `tar` and `gzip` of the files.
    Dump,
}

const ALL: [Who; 3] = [Who::Ours, Who::Restic, Who::Dump];

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "partywall",
            Self::Restic => "pg_dump | restic, restic",
            Self::Dump => "pg_dump -Fc, tar -z",
        }
    }
}

/// What the rounds gave for one.
#[derive(Default)]
struct Results {
    first: Vec<Taken>,
    again: Vec<Taken>,
    /// Until everything lies beside what is in use.
    restore: Vec<Taken>,
    /// From there until it is in use.
    exchange: Vec<Duration>,
    bytes: Vec<u64>,
}

pub(super) fn run() -> Result<()> {
    let of = |name: &str, default| std::env::var(name).map_or(Ok(default), |text| text.parse::<u64>());
    let (database, files) = (of("PARTYWALL_BENCH_DATABASE_MB", 150)?, of("PARTYWALL_BENCH_FILES_MB", 150)?);
    let rounds = of("PARTYWALL_BENCH_ROUNDS", 3)?;
    let shop = Shop::open(&partywall()?, database, files)?;
    let bytes = shop.bytes()?;
    if rounds == 0 {
        watched(&mut backup(&shop, Who::Ours, true))?;
        return held(drill::drill(&shop, bytes)?);
    }
    let mut results: [Results; 3] = Default::default();
    for round in 0..=rounds {
        say(&format!(
            "round {round} of {rounds}{}",
            if round == 0 { ": warms the caches, is not counted" } else { "" }
        ));
        if round == 0 {
            one_round(&shop, &mut Default::default())?;
        } else {
            one_round(&shop, &mut results)?;
        }
    }
    let alone = shop.queries(5)?.wait()?;
    shop.forget_ours()?;
    let queries =
        shop.queries(results[0].first.iter().map(|one| one.time.as_secs()).min().unwrap_or(0).max(2))?;
    watched(&mut backup(&shop, Who::Ours, true))?;
    let beside = queries.wait()?;
    let drilled = drill::drill(&shop, bytes)?;
    held([report(bytes, &results, (alone, beside)), drilled].concat())
}

fn held(missed: Vec<String>) -> Result<()> {
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}

/// All take turns, so that a slow moment of the machine hits all alike.
fn one_round(shop: &Shop, results: &mut [Results; 3]) -> Result<()> {
    for (who, all) in ALL.into_iter().zip(results.iter_mut()) {
        shop.forget(who.name())?;
        all.first.push(watched(&mut backup(shop, who, true))?);
        all.bytes.push(shop::size(&shop.place(who.name()))?);
    }
    shop.change()?;
    for (who, all) in ALL.into_iter().zip(results.iter_mut()) {
        all.again.push(watched(&mut backup(shop, who, false))?);
    }
    for (who, all) in ALL.into_iter().zip(results.iter_mut()) {
        shop.clear_restored()?;
        let (beside, exchange) = restored(shop, who)?;
        all.restore.push(beside);
        all.exchange.push(exchange);
        shop.same()?;
    }
    shop.clear_restored()
}

fn backup(shop: &Shop, who: Who, first: bool) -> Command {
    let (place, files) = (shop.place(who.name()), shop.files());
    let (place, files, dump) = (place.display(), files.display(), shop.inside("nice -n 19 pg_dump -U shop"));
    match who {
        Who::Ours if first => shop.partywall(&["backup", "production", "--new-repository"]),
        Who::Ours => shop.partywall(&["backup", "production"]),
        Who::Restic => {
            let init = if first { format!("restic -q -r '{place}' init && ") } else { String::new() };
            backup_shell(&format!(
                "{init}{dump} -Fc -Z0 shop | restic -q -r '{place}' backup --stdin --stdin-filename main.dump \
                 && restic -q -r '{place}' backup '{files}'"
            ))
        }
        Who::Dump => backup_shell(&format!(
            "mkdir -p '{place}' && {dump} -Fc shop >'{place}/main.dump' && tar -czf '{place}/files.tar.gz' -C '{files}' . && sync '{place}'/*"
        )),
    }
}

/// Into a database and a folder beside the present ones; then they change places.
fn restored(shop: &Shop, who: Who) -> Result<(Taken, Duration)> {
    if who != Who::Ours {
        let beside = watched(&mut restore(shop, who))?;
        return Ok((beside, watched(&mut shell(&shop.exchange(who == Who::Restic)))?.time));
    }
    let (taken, told) = heard(&mut restore(shop, who))?;
    let after = |event: &str, does: &str| {
        let is = |line: &&str| line.contains(&format!("\"event\":\"{event}\"")) && line.contains(does);
        let line = told.lines().rev().find(is)?;
        line.rsplit_once("\"seconds\":")?.1.trim_end_matches('}').parse::<f64>().ok()
    };
    let made = after("done", "\"does\":\"make ").ok_or("nothing was made")?;
    let exchange = Duration::from_secs_f64(after("applied", "").ok_or("it was not applied")? - made);
    Ok((Taken { time: taken.time.saturating_sub(exchange), ..taken }, exchange))
}

fn restore(shop: &Shop, who: Who) -> Command {
    let (place, into) = (shop.place(who.name()), shop.restored());
    let (place, into) = (place.display(), into.display());
    let load = shop.inside("createdb -U shop restored");
    let pipe = shop.inside_piped("pg_restore -U shop -d restored --exit-on-error");
    match who {
        Who::Ours => {
            shop.partywall(&["restore", "production", "latest", "--confirm", "production", "--json"])
        }
        Who::Restic => shell(&format!(
            "{load} && restic -q -r '{place}' dump --path /main.dump latest main.dump | {pipe} \
             && restic -q -r '{place}' restore --path '{}' latest --target '{into}'",
            shop.files().display()
        )),
        Who::Dump => shell(&format!(
            "{load} && {pipe} <'{place}/main.dump' && mkdir -p '{into}' && tar -xzf '{place}/files.tar.gz' -C '{into}'"
        )),
    }
}

fn shell(text: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", text]).env("RESTIC_PASSWORD", "bench");
    command
}

/// Ours takes what nobody else wants; so do the others, or a busy machine would judge.
fn backup_shell(text: &str) -> Command {
    shell(&format!("renice -n 19 $$ >/dev/null && ionice -c 3 -p $$ && {text}"))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(bytes: u64, results: &[Results; 3], (alone, beside): (f64, f64)) -> Vec<String> {
    let megabytes = bytes as f64 / 1e6;
    let speed = |all: &[Taken]| megabytes / middle(all.iter().map(|one| one.time.as_secs_f64())).max(1e-9);
    let memory = |one: &Results| {
        let all = one.first.iter().chain(&one.again).chain(&one.restore);
        all.map(|one| one.peak_kb).max().unwrap_or_default() as f64 / 1000.0
    };
    let size = |one: &Results| middle(one.bytes.iter().map(|bytes| *bytes as f64 / 1e6));
    // More is better or not; a dump neither encrypts nor finds what is there already, so its memory is only shown.
    let rows: [(&str, [f64; 3], bool); 5] = [
        ("first backup, MB/s", each(results, |one| speed(&one.first)), true),
        ("backup after few changes, MB/s", each(results, |one| speed(&one.again)), true),
        ("restore beside, MB/s", each(results, |one| speed(&one.restore)), true),
        ("most memory, MB", each(results, memory), false),
        ("size of one backup, MB", each(results, size), false),
    ];
    say(&format!("{megabytes:.0} MB{:>62}", ALL.map(|who| format!("{:>26}", who.name())).concat()));
    let (mut missed, mut better) = (Vec::new(), 0);
    for (name, values, more) in rows {
        let ours = values[0];
        let best = |a: f64, b: f64| if more { a.max(b) } else { a.min(b) };
        let other = if name.contains("memory") { values[1] } else { best(values[1], values[2]) };
        let ratio = if more { ours / other } else { other / ours };
        let shown = values.map(|value| format!("{value:>26.1}")).concat();
        say(&format!("{name:<34}{shown}   {ratio:.2} of the best other"));
        better += usize::from(ratio > 1.0);
        if ratio < AT_LEAST {
            missed.push(format!("{name}: {ratio:.2} of the best other; the goal is {AT_LEAST}"));
        }
    }
    let seconds = each(results, |one| middle(one.exchange.iter().map(Duration::as_secs_f64)));
    let shown = seconds.map(|value| format!("{value:>26.1}")).concat();
    say(&format!(
        "{:<34}{shown}   not judged: ours watches a second whether what it started stays up",
        "then into use, s"
    ));
    say(&format!(
        "keep: 99 of 100 of production's queries by key: {alone:.2} ms alone, {beside:.2} ms during our backup"
    ));
    if better == 0 {
        missed.push("better in no row".to_owned());
    }
    missed
}

fn each(results: &[Results; 3], of: impl Fn(&Results) -> f64) -> [f64; 3] {
    [of(&results[0]), of(&results[1]), of(&results[2])]
}

fn middle(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}
