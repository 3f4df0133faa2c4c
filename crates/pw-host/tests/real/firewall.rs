//! The firewall: a chain of the kernel's own.

use pw_host::firewall;
use pw_model::desired::FirewallChain;

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
