//! `prove`: the wall is attacked from inside, production is measured while its neighbour does its worst, and nothing
//! of it stays.
//!
//! [`scene`] is what was found, [`probes`] lists what is tried, [`verdict`] says what the results mean. The attack
//! itself is a plan: its processes live in control groups of one name below those of the containers, and each step's
//! undo ends whatever is in them.

pub mod probes;
pub mod scene;
pub mod step;
pub mod verdict;

use std::collections::BTreeMap;

use crate::step::{Action, Plan, Step, Undo};
use scene::{Room, Scene};
use step::{Attacker, Blast, BlastRun, Bounds, ProbeRun};

pub const OPERATION: &str = "prove";
/// Containers of each environment that blast; more of them find the same limits.
const BLASTERS: usize = 3;

/// How much is tried, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted<'a> {
    pub project: &'a str,
    /// The environment that is protected.
    pub environment: &'a str,
    pub probes: bool,
    pub blasts: &'a [Blast],
    pub rounds: u32,
    pub seconds: u32,
    /// Requests in a second.
    pub rate: u32,
    pub bounds: Bounds,
}

/// The control groups of a project's attacks have this name, wherever they are.
pub fn group(project: &str) -> String {
    format!("partywall-prove-{project}")
}

/// Probes first: while the machine is at its worst, an answer that does not come tells nothing.
pub fn plan(scene: &Scene, wanted: &Wanted<'_>) -> Plan {
    let group = group(wanted.project);
    let step =
        |does, because: &str| Step::new(does, Undo::by(Action::EndAttack { group: group.clone() }), because);
    let mut steps = Vec::new();
    if wanted.probes {
        let run = ProbeRun {
            group: group.clone(),
            from: scene.beside.iter().map(Room::attacker).collect(),
            probes: probes::probes(scene),
        };
        let does = Action::ProbeWall { run: Box::new(run) };
        steps.push(step(does, "each must fail, and the same from the right place must not"));
    }
    let blasts = wanted.blasts.iter().filter_map(|blast| {
        let run = blast_run(scene, *blast, wanted)?;
        Some(step(Action::Blast { run: Box::new(run) }, blast.because()))
    });
    steps.extend(blasts);
    let basis = crate::hash(&steps.iter().map(ToString::to_string).collect::<String>());
    Plan {
        operation: OPERATION.to_owned(),
        project: wanted.project.to_owned(),
        environment: wanted.environment.to_owned(),
        basis,
        steps,
        texts: BTreeMap::new(),
    }
}

/// `None` where there is nobody to ask, or no link to fill.
fn blast_run(scene: &Scene, blast: Blast, wanted: &Wanted<'_>) -> Option<BlastRun> {
    let site = scene.site.clone()?;
    let own_site = if blast == Blast::Bandwidth { Some(scene.own_site.clone()?) } else { None };
    // Only who is asked for pages shares a network with the proxy.
    let meets = |room: &&Room| own_site.as_ref().is_none_or(|own| own.service == room.service);
    Some(BlastRun {
        group: group(wanted.project),
        blast,
        from: blasters(scene.beside.iter().filter(meets)),
        guarded: scene.production.iter().map(Room::attacker).collect(),
        site,
        own_site,
        rounds: wanted.rounds,
        seconds: wanted.seconds,
        rate: wanted.rate,
        bounds: wanted.bounds,
    })
}

fn blasters<'s>(rooms: impl Iterator<Item = &'s Room>) -> Vec<Attacker> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let few = rooms.filter(|room| {
        let count = taken.entry(room.environment.as_str()).or_default();
        *count += 1;
        *count <= BLASTERS
    });
    few.map(Room::attacker).collect()
}
