//! `./x bench promote`: promotions in a row under requests, writes, uploads and websockets; beside them the two ways in
//! which Compose alone replaces a service, in the same run and under the same load.

mod report;
mod site;
mod sockets;
mod switches;
mod traffic;
mod verdict;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::run::{Result, partywall, say};
use site::Site;
use sockets::{Sockets, Talk};
use switches::{Routed, Switch, Watcher};
use traffic::{Clock, Front, Kind, Seen, Traffic};
use verdict::Deployment;

/// How long websockets may stay on the release before, as the project's `partywall.yaml` says.
const DRAIN: Duration = Duration::from_secs(5);
const WEBSOCKETS: usize = 200;
/// Of development, while production is promoted.
const WEBSOCKETS_BESIDE: usize = 50;
/// Between two deployments: first websockets come back, then nothing happens.
const PAUSE: Duration = Duration::from_secs(6);
/// A time to compare, in seconds: two quiet ones before each deployment, and one after each switch.
const LOOK: f64 = 2.0;
/// More in one phase, and it ends.
const FAILURES: usize = 3;
/// A deployment takes less; so many of them, and the phase ends.
const LONGEST: Duration = Duration::from_secs(60);

/// Who deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Ours,
    /// `docker compose up -d` with the new image.
    Recreate,
    /// Scale to two, wait until the second is healthy, remove the first; Caddy dials the service's name.
    Rollout,
}

const ALL: [Who; 3] = [Who::Ours, Who::Recreate, Who::Rollout];

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "partywall promote",
            Self::Recreate => "compose up -d",
            Self::Rollout => "scale 2, remove old",
        }
    }

    /// In names of users and posts.
    fn word(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Recreate => "recreate",
            Self::Rollout => "rollout",
        }
    }
}

/// What was seen of one who deploys.
struct Phase {
    who: Who,
    /// The release that served in the beginning.
    first: u32,
    deployments: Vec<Deployment>,
    seen: Vec<Seen>,
    requests: usize,
    failed: usize,
    reasons: Vec<String>,
    talks: Vec<Talk>,
    /// Websockets of development.
    beside: Vec<Talk>,
    /// Only with us.
    switches: Vec<Switch>,
    routed: Vec<Routed>,
    /// Titles in the database afterwards.
    rows: Vec<String>,
}

pub(super) fn run() -> Result<()> {
    let wanted = std::env::var("PARTYWALL_BENCH_PROMOTIONS").map_or(Ok(20), |text| text.parse::<u32>())?;
    // Theirs fail each time: ten tell how.
    let others = wanted.div_ceil(4).clamp(3, 10);
    let site = Site::open(&partywall()?)?;
    let ours = phase(&site, Who::Ours, 1, wanted)?;
    let next = 2 + wanted;
    // Compose's services still run the first release.
    let recreate = phase_of_compose(&site, Who::Recreate, 1, (next, others))?;
    let last = recreate.deployments.last().map_or(1, |one| one.release);
    let rollout = phase_of_compose(&site, Who::Rollout, last, (next + others, others))?;
    report::report(wanted, &[ours, recreate, rollout])
}

fn phase(site: &Site, who: Who, first: u32, count: u32) -> Result<Phase> {
    let clock = Clock::new();
    let front = front(site, who)?;
    let beside = Front { host: site::DEVELOPMENT, environment: "development", ..front.clone() };
    let watcher = Watcher::start(site.switch(), site.log(), Site::route());
    let beside = Sockets::open(&beside, WEBSOCKETS_BESIDE, clock);
    let mut phase = loaded(site, &front, clock, (who, first), first + 1..=first + count)?;
    phase.beside = beside.close()?;
    (phase.switches, phase.routed) = watcher.stop();
    Ok(phase)
}

fn phase_of_compose(site: &Site, who: Who, first: u32, (from, count): (u32, u32)) -> Result<Phase> {
    loaded(site, &front(site, who)?, Clock::new(), (who, first), from..=from + count - 1)
}

fn front(site: &Site, who: Who) -> Result<Front> {
    Ok(Front {
        address: ([127, 0, 0, 1], site.port(who)).into(),
        host: site::PRODUCTION,
        environment: "production",
        cookie: site.sign_in(who)?,
        word: who.word(),
    })
}

/// Everything at once: visitors, websockets, and deployments with pauses.
fn loaded(
    site: &Site,
    front: &Front,
    clock: Clock,
    (who, first): (Who, u32),
    releases: std::ops::RangeInclusive<u32>,
) -> Result<Phase> {
    let traffic = Traffic::start(front, clock);
    let sockets = Sockets::open(front, WEBSOCKETS, clock);
    let deployments = deploy_all(site, who, clock, releases);
    std::thread::sleep(PAUSE);
    let talks = sockets.close();
    let (seen, reports) = traffic.stop();
    let told = |(kind, report): &(Kind, pw_load::Report)| {
        report.reasons.iter().map(|reason| format!("{kind:?}: {reason}")).collect::<Vec<_>>()
    };
    Ok(Phase {
        who,
        first,
        deployments: deployments?,
        seen,
        requests: reports.iter().map(|(_, report)| report.requests()).sum(),
        failed: reports.iter().map(|(_, report)| report.failures).sum(),
        reasons: reports.iter().flat_map(told).collect(),
        talks: talks?,
        beside: Vec::new(),
        switches: Vec::new(),
        routed: Vec::new(),
        rows: site.titles(who)?,
    })
}

fn deploy_all(
    site: &Site,
    who: Who,
    clock: Clock,
    releases: std::ops::RangeInclusive<u32>,
) -> Result<Vec<Deployment>> {
    let mut all: Vec<Deployment> = Vec::new();
    let until = Instant::now() + LONGEST * (releases.end() - releases.start() + 1);
    for release in releases {
        site.prepare(who, release)?;
        std::thread::sleep(PAUSE);
        let begun = clock.now();
        let failed = site.deploy(who, release).err().map(|error| error.to_string());
        let ended = clock.now();
        let word = failed.as_ref().map_or_else(String::new, |why| format!(": FAILED: {why}"));
        say(&format!("{}: release {release}, {:.1} s{word}", who.name(), ended - begun));
        all.push(Deployment { release, begun, ended, failed });
        let failures = all.iter().filter(|one| one.failed.is_some()).count();
        if failures >= FAILURES || Instant::now() >= until {
            say(&format!("{}: no more, after {failures} failures", who.name()));
            break;
        }
    }
    Ok(all)
}

impl Phase {
    /// Titles that somebody was told are kept.
    fn acknowledged(&self) -> BTreeSet<String> {
        let posts = self.seen.iter().filter(|one| matches!(one.kind, Kind::Write | Kind::Upload));
        posts.map(|one| traffic::title(self.who.word(), one.kind, one.number)).collect()
    }

    /// Those of this phase.
    fn rows(&self) -> Vec<String> {
        let word = self.who.word();
        self.rows.iter().filter(|title| title.starts_with(word)).cloned().collect()
    }

    fn lives(&self) -> Vec<verdict::Life> {
        match self.who {
            Who::Ours => verdict::switched_lives(self.first, &self.deployments, &self.switches),
            _ => verdict::deployed_lives(self.first, &self.deployments),
        }
    }

    fn done(&self) -> usize {
        self.deployments.iter().filter(|one| one.failed.is_none()).count()
    }
}
