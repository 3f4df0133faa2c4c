//! The network: each rate that the firewall has prepared hangs on a switch, a list of the kernel's that is empty or has
//! everybody on it. No command is run, and none of root's special rights is needed.

use std::fs;
use std::path::{Path, PathBuf};

use pw_model::unit::Bytes;
use pw_plan::govern::NETWORK_RATES;
use pw_plan::wall::network_switch;
use pw_run::Failure;

const SWITCHES: &str = "/proc/net/xt_recent";
/// The one address that all are on a list that looks at none of their bits.
const ANYBODY: [&str; 2] = ["+0.0.0.0", "+::"];

/// Whether this kernel has switches, or would load them.
pub(crate) fn is_switchable() -> bool {
    Path::new(SWITCHES).is_dir() || is_a_module("xt_recent")
}

fn is_a_module(name: &str) -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let list = fs::read_to_string(format!("/lib/modules/{release}/modules.dep")).unwrap_or_default();
    list.lines().any(|line| line.split(':').next().is_some_and(|file| file.contains(name)))
}

fn switch(compose_project: &str, rate: Bytes) -> PathBuf {
    Path::new(SWITCHES).join(network_switch(compose_project, rate))
}

fn is_on(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|list| !list.trim().is_empty())
}

/// The wanted one first: there is no moment without any. A firewall without the rule has nothing to switch.
pub(super) fn hold(compose_project: &str, rate: Option<Bytes>) -> Result<(), Failure> {
    let (wanted, others): (Vec<Bytes>, Vec<Bytes>) =
        NETWORK_RATES.into_iter().partition(|one| Some(*one) == rate);
    for file in wanted.iter().map(|rate| switch(compose_project, *rate)) {
        if file.exists() && !is_on(&file) {
            ANYBODY.iter().try_for_each(|everybody| write(&file, everybody))?;
        }
    }
    for file in others.iter().map(|rate| switch(compose_project, *rate)).filter(|file| is_on(file)) {
        write(&file, "/")?;
    }
    Ok(())
}

pub(super) fn held(compose_project: &str) -> Option<f64> {
    let on = NETWORK_RATES.into_iter().find(|rate| is_on(&switch(compose_project, *rate)));
    on.map(|rate| rate.0 as f64)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text)
        .map_err(|error| Failure::new(format!("could not write {}", file.display())).because(error))
}
