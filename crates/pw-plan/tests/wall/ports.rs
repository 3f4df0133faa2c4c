use serde_json::{Value, json};

use crate::shop::{Shop, errors};

fn port(published: &str, target: u16) -> Value {
    json!({"mode": "ingress", "target": target, "published": published, "protocol": "tcp"})
}

fn published(rendered: &pw_plan::wall::Rendered, service: &str) -> Vec<String> {
    let ports = rendered.model["services"][service]["ports"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("*").to_owned();
    ports.iter().map(|port| format!("{}:{}", text(&port["host_ip"]), text(&port["published"]))).collect()
}

#[test]
fn production_publishes_nothing_but_keeps_what_its_ports_said() {
    let ports = json!([port("80", 8000), {"target": 53, "published": "53", "protocol": "udp"}]);
    let (production, _) = Shop::with_web(json!({"image": "a", "ports": ports, "expose": ["9000"]})).both();
    assert_eq!(production.model["services"]["web"].get("ports"), None);
    assert_eq!(production.model["services"]["web"]["expose"], json!(["8000", "53/udp", "9000"]));
}

#[test]
fn development_is_one_above_on_the_loopback_address() {
    let model = json!({"services": {
        "db": {"image": "postgres", "ports": [port("5432", 5432)]},
        "web": {"image": "a", "ports": [port("3000", 3000)]},
        "cache": {"image": "redis", "ports": [port("6379", 6379)]},
    }});
    let (_, development) = Shop::new(&model).both();
    assert_eq!(published(&development, "db"), ["127.0.0.1:5433"]);
    assert_eq!(published(&development, "web"), ["127.0.0.1:3001"]);
    assert_eq!(published(&development, "cache"), ["127.0.0.1:6380"]);
}

#[test]
fn the_same_port_on_two_addresses_is_one_and_a_chosen_one_stays_open() {
    let mut six = port("8080", 80);
    six["host_ip"] = json!("::1");
    let any = json!({"mode": "ingress", "target": 81, "protocol": "tcp"});
    let (_, development) =
        Shop::with_web(json!({"image": "a", "ports": [port("8080", 80), six, any]})).both();
    assert_eq!(published(&development, "web"), ["127.0.0.1:8081", "127.0.0.1:*"]);
}

#[test]
fn neighbours_and_the_proxy_are_passed_by() {
    let model = json!({"services": {
        "a": {"image": "a", "ports": [port("79", 1)]},
        "b": {"image": "b", "ports": [port("5432", 1)]},
        "c": {"image": "c", "ports": [port("5432", 1), port("5433", 1)]},
    }});
    let (_, development) = Shop::new(&model).development("{ publish: { a: ['5433:1'] } }").both();
    assert_eq!(published(&development, "a"), ["127.0.0.1:5433"]);
    assert_eq!(published(&development, "b"), ["127.0.0.1:5434"]);
    assert_eq!(published(&development, "c"), ["127.0.0.1:5435", "127.0.0.1:5436"]);
    let (_, development) = Shop::with_web(json!({"image": "a", "ports": [port("79", 1)]})).both();
    assert_eq!(published(&development, "web"), ["127.0.0.1:81"]);
}

#[test]
fn publish_means_what_it_says_and_beside_production_only_on_the_loopback_address() {
    let shop = Shop::with_web(json!({"image": "a", "ports": [port("80", 80)]}))
        .production("{ publish: { web: ['8883:8883'] } }")
        .development("{ publish: { web: ['8884:8883', '0.0.0.0:9:9'] } }");
    let (production, development) = shop.both();
    assert_eq!(published(&production, "web"), ["*:8883"]);
    assert_eq!(published(&development, "web"), ["127.0.0.1:8884", "0.0.0.0:9"]);
}

#[test]
fn wrong_publications_are_shown_where_they_stand() {
    let shop =
        Shop::with_web(json!({"image": "a"})).production("{ publish: { web: ['8883'], mqtt: ['1:1'] } }");
    let found = errors(&shop.both().0);
    assert_eq!(found.len(), 2);
    let has = |text: &str| found.iter().any(|complaint| complaint.contains(text));
    assert!(has("`8883` is not a published port") && has("partywall.yaml:4:"), "{found:?}");
    assert!(has("`mqtt` of environment `production` cannot be published"), "{found:?}");
}

#[test]
fn a_caddy_of_the_users_own_finds_a_port_on_the_loopback_address() {
    let shop = Shop::with_web(json!({"image": "a", "expose": ["8000"]}))
        .top("proxy: { admin: 'http://127.0.0.1:2019' }\n")
        .production("{ routes: { web: shop.example } }");
    let ports = published(&shop.both().0, "web");
    assert_eq!(ports.len(), 1);
    assert!(ports[0].starts_with("127.0.0.1:2"), "{ports:?}");
}
