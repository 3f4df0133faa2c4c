use serde_json::{Value, json};

use crate::shop::{Shop, bind, errors, warnings};

fn refused(service: Value, kind: &str) {
    let shop = Shop::with_web(service.clone());
    let (production, development) = shop.both();
    let found = errors(&development);
    assert!(
        found.iter().any(|text| text.contains(&format!("`allow: [web/{kind}]`"))),
        "{service}: {found:?}"
    );
    assert!(warnings(&production).iter().any(|text| text.contains(kind)), "{service}");
    assert_eq!(errors(&production), Vec::<String>::new(), "{service}");
}

#[test]
fn what_leads_out_is_refused_in_development_and_reported_in_production() {
    let mounts = |source: &str| json!({"image": "a", "volumes": [bind(source, "/x")]});
    refused(mounts("/var/run/docker.sock"), "docker-socket");
    refused(mounts("/run/user/1000/podman/podman.sock"), "docker-socket");
    refused(mounts("/"), "host-path");
    refused(mounts("/etc"), "host-path");
    refused(mounts("/var/lib/docker/containers"), "host-path");
    refused(mounts("/proc"), "host-path");
    refused(mounts("/state/projects/shop/production/secrets"), "host-path");
    refused(json!({"image": "a", "privileged": true}), "privileged");
    refused(json!({"image": "a", "cap_add": ["cap_sys_admin"]}), "privileged");
    refused(json!({"image": "a", "devices": [{"source": "/dev/sda", "target": "/dev/sda"}]}), "privileged");
    refused(json!({"image": "a", "device_cgroup_rules": ["b 8:* rwm"]}), "privileged");
    refused(json!({"image": "a", "network_mode": "host"}), "host-network");
    refused(json!({"image": "a", "network_mode": "container:other"}), "host-network");
    refused(json!({"image": "a", "pid": "host"}), "host-pid");
    refused(json!({"image": "a", "volumes_from": ["container:other"]}), "host-path");
}

#[test]
fn a_volume_that_is_a_folder_of_the_host_is_a_mount_like_others() {
    let model = json!({"services": {"web": {"image": "a", "volumes": [{"type": "volume", "source": "v", "target": "/x"}]}},
        "volumes": {"v": {"name": "shop-development_v", "driver_opts": {"type": "none", "o": "bind", "device": "/var/lib/docker/volumes"}}}});
    let (_, development) = Shop::of(json!({"services": {}}), model).both();
    assert!(errors(&development)[0].contains("mounts `/var/lib/docker/volumes` of the host"));
}

#[test]
fn ordinary_needs_are_no_holes() {
    for service in [
        json!({"image": "a", "cap_add": ["NET_ADMIN", "SYS_PTRACE", "SYS_NICE"]}),
        json!({"image": "a", "devices": [{"source": "/dev/dri", "target": "/dev/dri"}, {"source": "/dev/net/tun", "target": "/dev/net/tun"}]}),
        json!({"image": "a", "device_cgroup_rules": ["c 189:* rmw"]}),
        json!({"image": "a", "volumes": [bind("/etc/localtime", "/etc/localtime")]}),
        json!({"image": "a", "ipc": "shareable", "pid": "service:other"}),
    ] {
        let (production, development) = Shop::with_web(service.clone()).both();
        assert_eq!((errors(&development), warnings(&production)), (vec![], vec![]), "{service}");
    }
}

#[test]
fn a_wanted_hole_is_allowed_for_that_service_and_kind_only() {
    let model = json!({"services": {
        "ci": {"image": "a", "volumes": [bind("/var/run/docker.sock", "/var/run/docker.sock")], "privileged": true},
        "web": {"image": "a", "volumes": [bind("/var/run/docker.sock", "/var/run/docker.sock")]},
    }});
    let shop = Shop::new(&model)
        .development("{ allow: [ci/docker-socket] }")
        .compose("services:\n  ci:\n    privileged: true\n  web:\n    volumes:\n      - /var/run/docker.sock:/var/run/docker.sock\n");
    let found = errors(&shop.both().1);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("compose.yaml:3:5") && found[0].contains("`privileged: !reset null`"),
        "{}",
        found[0]
    );
    assert!(found[1].contains("compose.yaml:6:9"), "{}", found[1]);
}
