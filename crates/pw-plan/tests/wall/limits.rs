use serde_json::{Value, json};

use crate::shop::Shop;

fn web(shop: &Shop) -> (Value, Value) {
    let (production, development) = shop.both();
    (production.model["services"]["web"].clone(), development.model["services"]["web"].clone())
}

#[test]
fn an_environment_is_one_group_with_a_ceiling_and_dies_before_production() {
    let shop = Shop::with_web(json!({"image": "a"})).development("{ budget: { cpus: 1.5, memory: 1GB } }");
    let (production, development) = web(&shop);
    assert_eq!(production["cgroup_parent"], "/partywall/shop/production");
    assert_eq!(development["cgroup_parent"], "/partywall-idle/shop/development");
    assert_eq!((&development["cpus"], production.get("mem_limit")), (&json!(1.5), None));
    assert!(development["mem_limit"].is_string());
    assert_eq!((&development["oom_score_adj"], production.get("oom_score_adj")), (&json!(600), None));
    assert_eq!((&production["pids_limit"], &development["pids_limit"]), (&json!(16384), &json!(2048)));
}

#[test]
fn what_is_written_stays() {
    let service = json!({"image": "a", "mem_limit": "5", "cpus": 0.5, "pids_limit": 7, "oom_score_adj": 900, "cpu_shares": 3,
        "logging": {"driver": "json-file", "options": {"max-size": "1m"}}, "restart": "no"});
    let (_, development) =
        web(&Shop::with_web(service.clone()).development("{ budget: { cpus: 2, memory: 1GB } }"));
    for key in ["mem_limit", "cpus", "pids_limit", "oom_score_adj", "cpu_shares", "logging", "restart"] {
        assert_eq!(development[key], service[key], "{key}");
    }
}

#[test]
fn limits_take_the_form_that_the_file_uses() {
    let service = json!({"image": "a", "deploy": {"resources": {"limits": {"cpus": 0.5}}}});
    let (_, development) = web(&Shop::with_web(service).development("{ budget: { cpus: 2, memory: 1GB } }"));
    let limits = &development["deploy"]["resources"]["limits"];
    assert_eq!((&limits["cpus"], &limits["pids"]), (&json!(0.5), &json!(2048)));
    assert!(limits["memory"].is_string());
    assert_eq!((development.get("mem_limit"), development.get("pids_limit")), (None, None));
}

#[test]
fn a_ceiling_is_one_that_the_engine_takes() {
    let budget = "{ budget: { cpus: 2, memory: 1000 } }";
    let reserved = json!({"image": "a", "mem_reservation": "4000", "cpu_quota": 5});
    let (_, development) = web(&Shop::with_web(reserved).development(budget));
    assert_eq!((&development["mem_limit"], development.get("cpus")), (&json!("4000"), None));
    let swap = json!({"image": "a", "memswap_limit": "500"});
    assert_eq!(web(&Shop::with_web(swap).development(budget)).1["mem_limit"], "500");
}

#[test]
fn reserved_cpus_become_a_weight() {
    let service = json!({"image": "a", "deploy": {"resources": {"reservations": {"cpus": 0.5}}}});
    assert_eq!(web(&Shop::with_web(service)).0["cpu_shares"], 512);
}

#[test]
fn only_logs_that_grow_without_end_are_capped() {
    let (production, development) = web(&Shop::with_web(json!({"image": "a"})));
    assert_eq!(
        production["logging"],
        json!({"driver": "json-file", "options": {"max-size": "50m", "max-file": "3"}})
    );
    assert_eq!(development["logging"]["options"]["max-size"], "10m");
    for driver in ["local", "journald", "none", "syslog"] {
        let (production, _) = web(&Shop::with_web(json!({"image": "a", "logging": {"driver": driver}})));
        assert_eq!(production["logging"], json!({"driver": driver}));
    }
}

#[test]
fn production_comes_back_after_a_reboot_but_a_job_does_not() {
    let db = Shop::with_web(json!({"image": "postgres"}));
    assert_eq!(web(&db).0["restart"], "unless-stopped");
    assert_eq!(web(&db).1.get("restart"), None);
    let job = Shop::new(&json!({"services": {"migrate": {"image": "a"}}}));
    assert_eq!(job.both().0.model["services"]["migrate"].get("restart"), None);
}
