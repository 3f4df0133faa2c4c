//! Docker Engine, Compose and control groups.

use pw_model::diagnostic::Diagnostic;
use pw_model::host::CgroupVersion;

use super::Ground;

const OLDEST_ENGINE: (u64, u64) = (20, 10);
const OLDEST_COMPOSE: (u64, u64) = (2, 20);

pub(super) fn check(ground: Ground<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    found.extend(program(
        "Docker Engine",
        ground.facts.docker.as_deref(),
        OLDEST_ENGINE,
        "run `docker version`; start it with `systemctl start docker`, or install it",
    ));
    found.extend(program(
        "Docker Compose",
        ground.facts.compose.as_deref(),
        OLDEST_COMPOSE,
        "install the Compose plugin, then run `docker compose version`",
    ));
    found.extend(control_groups(ground));
    found.extend(firewall(ground));
    found.extend(restart(ground));
    found
}

fn program(name: &str, version: Option<&str>, oldest: (u64, u64), missing: &str) -> Option<Diagnostic> {
    let Some(version) = version else {
        return Some(Diagnostic::error(format!("no {name} answers on this host")).hint(missing));
    };
    let parsed = parse(version)?;
    (parsed < oldest).then(|| {
        Diagnostic::error(format!("{name} {version} is too old"))
            .because(format!("{}.{} or newer is needed", oldest.0, oldest.1))
            .hint(format!("upgrade {name}"))
    })
}

/// Major and minor of `v2.26.1-4`; what cannot be read is not refused.
fn parse(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.trim().trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn control_groups(ground: Ground<'_>) -> Option<Diagnostic> {
    let because_of =
        |warning: Diagnostic| ground.facts.lacks.iter().fold(warning, |all, lack| all.because(lack));
    if ground.facts.cgroup == CgroupVersion::V1 {
        let warning = Diagnostic::warning("this host has control groups of version 1")
            .because("production's memory is protected by a soft limit, which the kernel honours less");
        return Some(
            because_of(warning).hint("boot with `systemd.unified_cgroup_hierarchy=1` to have version 2"),
        );
    }
    if ground.facts.writes_cgroups && !ground.facts.lacks.is_empty() {
        let warning = Diagnostic::warning("the governor cannot squeeze everything on this host");
        return Some(
            because_of(warning).hint("a kernel with these controllers can; static limits hold all the same"),
        );
    }
    (!ground.facts.writes_cgroups).then(|| {
        Diagnostic::warning("control groups of environments cannot be set with these rights")
            .because("without them a budget holds each container, not all of an environment together, and production has no memory guarantee")
            .hint("run `partywall` as root")
    })
}

fn firewall(ground: Ground<'_>) -> Option<Diagnostic> {
    (!ground.facts.writes_firewall).then(|| {
        Diagnostic::warning("the host's firewall cannot be set with these rights")
            .because("Docker's own rules have gaps: for some milliseconds, whenever a network is created, containers of one network reach another")
            .hint("run `partywall` as root, where `iptables` is installed")
    })
}

fn restart(ground: Ground<'_>) -> Option<Diagnostic> {
    (ground.facts.docker.is_some() && !ground.facts.live_restore).then(|| {
        Diagnostic::warning("production stops whenever Docker's daemon restarts")
            .because("its upgrade restarts it, and so does a change of its configuration")
            .hint(
                "write `\"live-restore\": true` into /etc/docker/daemon.json, then `systemctl reload docker`",
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_missing_programs_are_refused() {
        let said = |version| program("Docker Compose", version, OLDEST_COMPOSE, "install").map(|d| d.message);
        assert_eq!(said(Some("v2.26.1-4")), None);
        assert_eq!(said(Some("5.0.0")), None);
        assert_eq!(said(Some("2.5")), Some("Docker Compose 2.5 is too old".into()));
        assert_eq!(said(None), Some("no Docker Compose answers on this host".into()));
    }
}
