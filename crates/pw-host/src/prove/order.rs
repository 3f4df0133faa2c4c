//! What a copy of this program is told to do inside a container, and how it gets there.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use pw_plan::prove::step::{Attempt, Blast, Bounds, Site};
use pw_plan::prove::verdict::Outcome;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::{Deserialize, Serialize};

use super::attempt::{Known, Ready};
use super::{blast, group};

/// Threads that were joined a moment ago may still hold what the kernel wants unshared.
const PATIENCE: u32 = 200;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(super) enum Order {
    /// Each attempt once, from inside `pid`; here, with `None`.
    Try {
        common: Common,
        attempts: Vec<Attempt>,
    },
    Blast {
        common: Common,
        blast: Blast,
        bounds: Bounds,
        site: Option<Site>,
    },
    /// Part of a fork bomb.
    Fork {
        common: Common,
        depth: u32,
    },
    /// Takes so much memory.
    Eat {
        common: Common,
        bytes: u64,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Common {
    /// Who started it, and without whom it ends.
    pub(super) parent: u32,
    /// The first process of the container.
    pub(super) pid: Option<i32>,
    /// Groups to live in.
    pub(super) groups: Vec<PathBuf>,
    /// Time to live.
    pub(super) seconds: f64,
}

/// Obeys the order on standard input, and answers on standard output.
///
/// Called before any thread is started: the kernel moves only a single thread into other mounts.
pub fn obey() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let order: Order = serde_json::from_str(&text)?;
    order.common().settle()?;
    let answer = match &order {
        Order::Try { common, attempts } => serde_json::to_string(&attempt(common, attempts)?)?,
        Order::Blast { common, blast, bounds, site } => {
            serde_json::to_string(&blast::blast(common, *blast, bounds, site.as_ref())?)?
        }
        Order::Fork { common, depth } => {
            blast::multiply(common, *depth);
            String::new()
        }
        Order::Eat { common, bytes } => {
            blast::eat(common, *bytes);
            String::new()
        }
    };
    writeln!(io::stdout(), "{answer}")
}

impl Order {
    fn common(&self) -> &Common {
        match self {
            Self::Try { common, .. }
            | Self::Blast { common, .. }
            | Self::Fork { common, .. }
            | Self::Eat { common, .. } => common,
        }
    }
}

impl Common {
    /// Ends with its parent, lives in its groups, and goes first when memory ends.
    fn settle(&self) -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended before the kernel was told.
        if getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()) != Some(self.parent) {
            return Err(io::Error::other("who started it is gone"));
        }
        if !self.groups.is_empty() {
            group::join(&self.groups)?;
            std::fs::write("/proc/self/oom_score_adj", "1000")?;
        }
        Ok(())
    }

    pub(super) fn enter_network(&self) -> io::Result<()> {
        self.enter("net", LinkNameSpaceType::Network)
    }

    fn enter(&self, name: &str, kind: LinkNameSpaceType) -> io::Result<()> {
        let Some(pid) = self.pid else { return Ok(()) };
        let file = File::open(format!("/proc/{pid}/ns/{name}"))?;
        let mut entered = move_into_link_name_space(file.as_fd(), Some(kind));
        for _ in 0..PATIENCE {
            if entered != Err(rustix::io::Errno::INVAL) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
            entered = move_into_link_name_space(file.as_fd(), Some(kind));
        }
        Ok(entered?)
    }
}

fn attempt(common: &Common, attempts: &[Attempt]) -> io::Result<Vec<Outcome>> {
    let known = Known::of(common.pid);
    let ready: Vec<Ready<'_>> = attempts.iter().map(|one| Ready::new(one, common.pid)).collect();
    common.enter_network()?;
    let mut outcomes: Vec<Option<Outcome>> = thread::scope(|scope| {
        let start = |one: &'_ Ready<'_>| one.wants_network();
        let running: Vec<_> =
            ready.iter().map(|one| start(one).then(|| scope.spawn(|| one.carry_out(&known)))).collect();
        running.into_iter().map(|one| one.and_then(|one| one.join().ok())).collect()
    });
    common.enter("mnt", LinkNameSpaceType::Mount)?;
    for (outcome, one) in outcomes.iter_mut().zip(&ready) {
        if outcome.is_none() {
            *outcome = Some(one.carry_out(&known));
        }
    }
    Ok(outcomes.into_iter().flatten().collect())
}
