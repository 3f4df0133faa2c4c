//! The host's firewall: one chain per environment in the table `mangle`, set whole with `iptables-restore`.

use std::io;
use std::process::{Output, Stdio};

use pw_model::desired::FirewallChain;
use pw_run::Failure;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::group::network;

const TABLE: &str = "mangle";
const FAMILIES: [&str; 2] = ["iptables", "ip6tables"];
const INSTALL: &str = "run `partywall` as root; `apt-get install iptables` where it is missing";

/// What iptables says when it fails.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// True when this host has iptables and we may change its rules.
pub async fn is_writable() -> bool {
    rustix::process::geteuid().is_root() && listed(FAMILIES[0]).await.is_ok()
}

/// The chain as it is; `None` when it is missing or nothing leads to it.
pub async fn observe(wanted: &FirewallChain) -> Result<Option<FirewallChain>, Failure> {
    let mut seen: Option<Vec<String>> = None;
    for family in families(wanted.ipv6) {
        let Some(mut rules) = rules_of(&wanted.name, &listed(family).await?) else { return Ok(None) };
        rules.iter_mut().for_each(|rule| *rule = of_first_family(rule));
        match &seen {
            None => seen = Some(rules),
            Some(before) if before.iter().filter(|rule| fits(family, rule)).eq(&rules) => {}
            // Two families that differ are neither what is wanted.
            Some(_) => return Ok(None),
        }
    }
    let wanted_here: Vec<&String> = wanted.rules.iter().filter(|rule| can_be_set(rule)).collect();
    let as_wanted = |(at, rule): (usize, String)| match wanted_here.get(at) {
        Some(text) if is_rounded(text, &rule) => (*text).clone(),
        _ => rule,
    };
    let rules = seen.map(|rules| rules.into_iter().enumerate().map(as_wanted).collect::<Vec<String>>());
    // What this kernel cannot set is answered as wanted.
    let rules = rules.map(|rules| if rules.iter().eq(wanted_here) { wanted.rules.clone() } else { rules });
    Ok(rules.map(|rules| FirewallChain { name: wanted.name.clone(), rules, ipv6: wanted.ipv6 }))
}

/// True when the chain is there and `FORWARD` leads to it.
pub async fn holds(name: &str) -> Result<bool, Failure> {
    Ok(rules_of(name, &listed(FAMILIES[0]).await?).is_some())
}

/// Replaces the chain in one transaction of the kernel: no packet meets half of it. A kernel without switches has the
/// chain without the rules that hang on one.
pub async fn set(chain: &FirewallChain) -> Result<(), Failure> {
    let set = set_all(chain).await;
    if set.is_ok() || network::is_switchable() || !chain.rules.iter().any(|rule| hangs_on_a_switch(rule)) {
        return set;
    }
    let rules = chain.rules.iter().filter(|rule| !hangs_on_a_switch(rule)).cloned().collect();
    set_all(&FirewallChain { rules, ..chain.clone() }).await
}

async fn set_all(chain: &FirewallChain) -> Result<(), Failure> {
    for family in families(chain.ipv6) {
        let mut text = format!("*{TABLE}\n:{} - [0:0]\n", chain.name);
        let rules = chain.rules.iter().filter(|rule| fits(family, rule));
        text.extend(rules.map(|rule| format!("-A {} {}\n", chain.name, of_family(family, rule))));
        if !leads_to(&chain.name, &listed(family).await?) {
            text.push_str(&format!("-A FORWARD -j {}\n", chain.name));
        }
        text.push_str("COMMIT\n");
        restore(family, &text).await?;
    }
    Ok(())
}

/// Removes the chain and what leads to it, of both families.
pub async fn remove(name: &str) -> Result<(), Failure> {
    for family in FAMILIES {
        // A host without IPv6 has none to remove.
        let Ok(rules) = listed(family).await else { continue };
        if !rules.lines().any(|line| line == format!("-N {name}")) {
            continue;
        }
        let jumps = rules.lines().filter(|line| *line == jump(name)).count();
        let mut text = format!("*{TABLE}\n");
        text.extend(std::iter::repeat_n(format!("-D FORWARD -j {name}\n"), jumps));
        text.push_str(&format!("-F {name}\n-X {name}\nCOMMIT\n"));
        restore(family, &text).await?;
    }
    Ok(())
}

fn families(ipv6: bool) -> impl Iterator<Item = &'static str> {
    FAMILIES.into_iter().take(1 + usize::from(ipv6))
}

/// A rule that names an address holds for the address's family alone.
fn fits(family: &str, rule: &str) -> bool {
    family == FAMILIES[0] || !rule.starts_with("-d ") || rule.contains(':')
}

const NO_BITS: [&str; 2] = [" --mask 0.0.0.0 ", " --mask :: "];

fn of_family(family: &str, rule: &str) -> String {
    if family == FAMILIES[0] { rule.to_owned() } else { rule.replace(NO_BITS[0], NO_BITS[1]) }
}

fn of_first_family(rule: &str) -> String {
    rule.replace(NO_BITS[1], NO_BITS[0])
}

fn hangs_on_a_switch(rule: &str) -> bool {
    rule.contains(" -m recent --rcheck ")
}

fn can_be_set(rule: &str) -> bool {
    !hangs_on_a_switch(rule) || network::is_switchable()
}

/// True for a limit of a rate as the kernel tells it: within a hundredth of what was wanted, with a burst of its own.
fn is_rounded(wanted: &str, seen: &str) -> bool {
    fn parts(rule: &str) -> Option<(&str, f64, &str)> {
        let (packets, limit) = rule.split_once(" --hashlimit-above ")?;
        let (rate, rest) = limit.split_once("b/s --hashlimit-burst ")?;
        let (_, name) = rest.split_once(" --hashlimit-name ")?;
        let kilobytes = match rate.strip_suffix('m') {
            Some(megabytes) => megabytes.parse::<f64>().ok()? * 1024.0,
            None => rate.strip_suffix('k')?.parse().ok()?,
        };
        Some((packets, kilobytes, name))
    }
    let (Some(wanted), Some(seen)) = (parts(wanted), parts(seen)) else { return false };
    let off = (seen.1 - wanted.1).abs() / wanted.1;
    (wanted.0, wanted.2) == (seen.0, seen.2) && off <= 0.01
}

fn jump(name: &str) -> String {
    format!("-A FORWARD -j {name}")
}

fn leads_to(name: &str, rules: &str) -> bool {
    rules.lines().any(|line| line == jump(name))
}

/// The rules of a chain from what `-S` prints; `None` when nothing leads to it.
fn rules_of(name: &str, rules: &str) -> Option<Vec<String>> {
    let own = format!("-A {name} ");
    leads_to(name, rules)
        .then(|| rules.lines().filter_map(|line| line.strip_prefix(&own)).map(str::to_owned).collect())
}

async fn listed(family: &str) -> Result<String, Failure> {
    let output = run(command(family).args(["-w", "10", "-t", TABLE, "-S"]), "").await;
    let output = said(output, "could not read the firewall's rules")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn restore(family: &str, text: &str) -> Result<(), Failure> {
    let mut command = command(&format!("{family}-restore"));
    said(run(command.args(["-w", "10", "--noflush"]), text).await, "could not set the firewall's rules")
        .map(drop)
}

/// Where a user's `PATH` has no folder of system programs, the usual ones are searched as well.
fn command(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env_clear().env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn run(command: &mut Command, input: &str) -> io::Result<Output> {
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A broken pipe means that it gave up early; its own words say why.
        drop(stdin.write_all(input.as_bytes()).await);
    }
    child.wait_with_output().await
}

fn said(output: io::Result<Output>, what: &str) -> Result<Output, Failure> {
    let failure = Failure::new(what).hint(INSTALL);
    match output {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => Err(failure.because(Said(String::from_utf8_lossy(&output.stderr).trim().to_owned()))),
        Err(error) => Err(failure.because(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_seen_as_wanted_though_the_kernel_rounds() {
        let rule = |rate: u32, burst: u32, name: &str| {
            format!(
                "-i pw-a -m hashlimit --hashlimit-above {rate}kb/s --hashlimit-burst {burst}mb --hashlimit-name {name} -j DROP"
            )
        };
        assert!(is_rounded(&rule(62_500, 63, "up-a"), &rule(62_543, 122, "up-a")));
        assert!(!is_rounded(&rule(62_500, 63, "up-a"), &rule(64_000, 122, "up-a")));
        assert!(!is_rounded(&rule(62_500, 63, "up-a"), &rule(62_500, 63, "up-b")));
        let megabytes = rule(65_536, 66, "up-a").replace("65536kb/s", "64mb/s");
        assert!(is_rounded(&rule(65_536, 66, "up-a"), &megabytes), "whole megabytes are told as such");
        assert!(!is_rounded("-i pw-a -o pw-b -j DROP", "-i pw-a -o pw-b -j DROP"), "not a limit");
    }

    #[test]
    fn a_chain_counts_only_when_something_leads_to_it() {
        let rules = "-P FORWARD ACCEPT\n-N PARTYWALL-1\n-A FORWARD -j PARTYWALL-1\n-A PARTYWALL-1 -i pw-a -o br-+ -j DROP\n";
        assert_eq!(rules_of("PARTYWALL-1", rules), Some(vec!["-i pw-a -o br-+ -j DROP".to_owned()]));
        assert_eq!(rules_of("PARTYWALL-1", &rules.replace("-A FORWARD", "-A INPUT")), None);
        assert_eq!(rules_of("PARTYWALL", rules), None);
    }
}
