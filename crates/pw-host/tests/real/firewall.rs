//! The firewall: a chain of the kernel's own.

use std::path::Path;

use pw_host::firewall;
use pw_host::group::{self, Hands, Place};
use pw_model::desired::FirewallChain;
use pw_plan::govern::{Amount, NETWORK_RATES};
use pw_plan::wall::network_switch;

/// Removes the chain when the test ends, however it ends.
struct Cleanup(String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        for arguments in [["-D", "FORWARD", "-j", &self.0].as_slice(), &["-F", &self.0], &["-X", &self.0]] {
            for family in ["iptables", "ip6tables"] {
                drop(std::process::Command::new(family).args(["-t", "mangle"]).args(arguments).output());
            }
        }
    }
}

#[tokio::test]
async fn a_chain_is_set_whole_seen_as_set_and_removed() {
    let name = format!("PWHOST-{}", std::process::id());
    let _cleanup = Cleanup(name.clone());
    let chain = |rules: &[&str]| FirewallChain {
        name: name.clone(),
        rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
        ipv6: true,
    };
    // An address of IPv4 is no rule of IPv6's.
    let wanted = chain(&[
        "-i pw-none1 -o pw-none1 -j RETURN",
        "-i pw-none1 -o br-+ -j DROP",
        "-d 169.254.169.254/32 -i pw-none1 -j DROP",
    ]);
    assert_eq!(firewall::observe(&wanted).await.expect("readable"), None);
    for _ in 0..2 {
        firewall::set(&wanted).await.expect("writable");
        assert_eq!(firewall::observe(&wanted).await.expect("readable"), Some(wanted.clone()));
    }
    let other = chain(&["-i docker0 -o pw-none1 -j DROP"]);
    firewall::set(&other).await.expect("writable");
    assert_eq!(firewall::observe(&wanted).await.expect("readable"), Some(other));
    assert!(firewall::holds(&name).await.expect("readable"));
    for _ in 0..2 {
        firewall::remove(&name).await.expect("writable");
        assert!(!firewall::holds(&name).await.expect("readable"));
    }
}

/// Two machines, as network namespaces, whose packets this host forwards; gone with the test.
struct Between {
    names: [String; 2],
    bridges: [String; 2],
}

impl Between {
    fn new() -> Self {
        let id = std::process::id() % 100_000;
        let between = Self {
            names: ["a", "b"].map(|end| format!("pwhost{id}{end}")),
            bridges: ["a", "b"].map(|end| format!("pwh{id}{end}")),
        };
        for (at, (name, bridge)) in between.names.iter().zip(&between.bridges).enumerate() {
            let (peer, net) = (format!("{bridge}p"), format!("10.213.{at}"));
            ip(&["netns", "add", name]);
            ip(&["link", "add", bridge, "type", "veth", "peer", "name", &peer, "netns", name]);
            ip(&["address", "add", &format!("{net}.1/24"), "dev", bridge]);
            ip(&["link", "set", bridge, "up"]);
            ip(&["-n", name, "address", "add", &format!("{net}.2/24"), "dev", &peer]);
            ip(&["-n", name, "link", "set", &peer, "up"]);
            ip(&["-n", name, "route", "add", "default", "via", &format!("{net}.1")]);
        }
        between
    }

    /// Sends so many bytes from the first to the second; how many came, and in how many seconds.
    fn send(&self, bytes: usize) -> (usize, f64) {
        let begun = std::time::Instant::now();
        let mut receiver = python(
            &self.names[1],
            &format!(
                "import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.setsockopt(socket.SOL_SOCKET,33,64<<20)\ns.bind(('10.213.1.2',9000))\nprint('ready',flush=True)\ns.settimeout(3)\nn=0\ntry:\n  while n<{bytes}: n+=len(s.recv(2000))\nexcept TimeoutError: pass\nprint(n)"
            ),
        );
        let mut receiver = receiver.stdout(std::process::Stdio::piped()).spawn().expect("python");
        let mut said = std::io::BufReader::new(receiver.stdout.take().expect("its words"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut said, &mut line).expect("ready");
        let mut sent = python(
            &self.names[0],
            &format!(
                "import socket,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\nfor i in range({bytes}//1000):\n  s.sendto(b'x'*1000,('10.213.1.2',9000))\n  if i%50==0: time.sleep(0.002)"
            ),
        );
        assert!(sent.status().expect("python").success());
        let mut count = String::new();
        std::io::Read::read_to_string(&mut said, &mut count).expect("a number");
        drop(receiver.wait());
        (count.trim().parse().expect("a number"), begun.elapsed().as_secs_f64())
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        for name in &self.names {
            drop(std::process::Command::new("ip").args(["netns", "delete", name]).output());
        }
    }
}

fn ip(words: &[&str]) {
    let output = std::process::Command::new("ip").args(words).output().expect("ip runs");
    assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn python(name: &str, text: &str) -> std::process::Command {
    let mut command = std::process::Command::new("ip");
    command.args(["netns", "exec", name, "python3", "-c", text]);
    command
}

/// Promise: what is beyond the rate does not come through, and the rule is seen as it was set.
/// Given: two machines whose packets the host forwards.
/// Then: without the rule everything comes; with 4 Mbit a second, no more than that and the burst; with a rate that is
/// prepared, everything until its switch is on, and again when it is off.
#[tokio::test]
async fn a_rate_is_kept() {
    const BYTES: usize = 20_000_000;
    let between = Between::new();
    let name = format!("PWHOST-L{}", std::process::id());
    let _cleanup = Cleanup(name.clone());
    // Docker's own policy for what is forwarded is to drop it.
    let [from, to] = &between.bridges;
    let allow = ["FORWARD", "-i", from, "-o", to, "-j", "ACCEPT"];
    let filter = |verb: &str| drop(std::process::Command::new("iptables").arg(verb).args(allow).output());
    filter("-I");
    let (free, _) = between.send(BYTES);
    let limit = format!(
        "-i {from} -m hashlimit --hashlimit-above 500kb/s --hashlimit-burst 2mb --hashlimit-name {name} -j DROP"
    );
    let wanted = FirewallChain { name: name.clone(), rules: vec![limit], ipv6: true };
    firewall::set(&wanted).await.expect("writable");
    assert_eq!(firewall::observe(&wanted).await.expect("readable"), Some(wanted));
    let held = between.send(BYTES);
    let switched = switched(&between, &name, BYTES).await;
    filter("-D");
    assert!(free > BYTES / 2, "{free} of {BYTES} came without a limit");
    is_within(held, 500.0, 2.0);
    let [before, on, after] = switched;
    assert!(before.0.min(after.0) > BYTES / 2, "{before:?} before, {after:?} after of {BYTES} came");
    is_within(on, 1024.0, 3.0);
}

/// What a second's rate (in kilobytes) and the burst (in megabytes) may bring, with a tenth for the kernel's own units.
fn is_within((came, seconds): (usize, f64), rate: f64, burst: f64) {
    let most = (rate * 1024.0 * seconds + burst * 1024.0 * 1024.0) * 1.1;
    assert!((came as f64) < most && came > 0, "{came} came in {seconds} s, {most} may");
}

/// What comes before the switch of the least rate is on, while it is, and after.
async fn switched(between: &Between, name: &str, bytes: usize) -> [(usize, f64); 3] {
    let ([from, _], [least, ..]) = (&between.bridges, NETWORK_RATES);
    let project = name.to_lowercase();
    let switch = network_switch(&project, least);
    let rule = format!(
        "-i {from} -m recent --rcheck --name {switch} --mask 0.0.0.0 --rsource -m hashlimit --hashlimit-above 1024kb/s --hashlimit-burst 3mb --hashlimit-name {name}s -j DROP"
    );
    let wanted = FirewallChain { name: name.into(), rules: vec![rule], ipv6: true };
    firewall::set(&wanted).await.expect("writable");
    let mut hands = Hands::new(Path::new(group::ROOT), Path::new("/"));
    let place = Place { path: format!("/{project}"), compose_project: project, ..Place::default() };
    let mut came = Vec::new();
    for rate in [None, Some(least), None] {
        hands.hold(&place, Amount::Network(rate)).expect("held");
        assert_eq!(hands.held(&place).network, rate.map(|rate| rate.0 as f64));
        assert_eq!(firewall::observe(&wanted).await.expect("readable").as_ref(), Some(&wanted));
        came.push(between.send(bytes));
    }
    // A chain that is set anew goes on being held.
    hands.hold(&place, Amount::Network(Some(least))).expect("held");
    firewall::set(&wanted).await.expect("writable");
    assert!(hands.held(&place).network.is_some(), "`up` lets a squeeze go");
    came.try_into().expect("three")
}

#[tokio::test]
async fn rules_that_the_kernel_refuses_change_nothing() {
    let name = format!("PWHOST-R{}", std::process::id());
    let _cleanup = Cleanup(name.clone());
    let wrong =
        FirewallChain { name: name.clone(), rules: vec!["-i pw-none1 -j NOWHERE".into()], ipv6: false };
    let failure = firewall::set(&wrong).await.expect_err("no such target");
    assert!(failure.to_string().contains("firewall"), "{failure}");
    assert_eq!(firewall::observe(&wrong).await.expect("readable"), None);
}
