use serde_json::json;

use crate::shop::Shop;

const COMPOSE: &str = "\
x-common: &common
  mem_limit: 1g
services:
  web:
    <<: *common
    image: shop/app
    env_file: .env.shop
    environment:
      - DEBUG=1
    labels: { a: b }
    cap_add: [NET_ADMIN]
    volumes:
      - data:/a:ro
      - data:/b
    secrets: [one, two]
";
const OVERLAY: &str = "\
services:
  web:
    image: shop/dev
    volumes:
      - data:/c/
      - { type: volume, source: data, target: /b }
";

fn shop() -> Shop {
    let volumes =
        json!(["/a", "/b", "/c"].map(|at| json!({"type": "volume", "source": "data", "target": at})));
    let web = json!({"volumes": volumes, "secrets": [{"source": "two"}, {"source": "one"}], "cap_add": ["NET_ADMIN"], "image": "shop/dev", "mem_limit": "1073741824", "command": null, "labels": {"a": "b"}, "container_name": "x",
        "environment": {"DEBUG": "1", "TOKEN": "t", "MY_TOKEN": "u"}, "ports": [{"target": 80, "published": "80", "protocol": "tcp"}],
        "networks": {"default": null}});
    let model = json!({"services": {"web": web, "php8.3": {"image": "php", "restart": "always"}}});
    Shop::new(&model).compose(COMPOSE).overlay(OVERLAY).service_file(
        1,
        ".env.shop",
        "# TOKEN=old\nMY_TOKEN=u\nexport TOKEN = t\n",
    )
}

fn origin(path: &str) -> String {
    shop().explain(path).map_or("nothing".to_owned(), |(_, origin)| origin)
}

#[test]
fn every_value_names_its_rule_or_its_line() {
    for (path, expected) in [
        ("services.web.cgroup_parent", "rule group"),
        ("services.web.ports.0.published", "rule own-ports"),
        ("services.web.image", "compose.override.yaml:3"),
        ("services.web.mem_limit", "compose.yaml:2"),
        ("services.web.environment.DEBUG", "compose.yaml:9"),
        ("services.web.environment.TOKEN", "variable .env.shop:3"),
        ("services.web.environment.MY_TOKEN", "variable .env.shop:2"),
        ("services.web.labels.a", "compose.yaml:10"),
        ("services.web.labels.partywall.role", "rule labels"),
        ("services.web.volumes.0", "compose.yaml:13"),
        ("services.web.volumes.1.target", "compose.override.yaml:6"),
        ("services.web.volumes.2.target", "compose.override.yaml:5"),
        ("services.web.secrets.1", "compose.yaml:15"),
        ("services.web.cap_add.0", "compose.yaml:11"),
        ("services.web.command", "compose"),
        ("services.php8.3.restart", "compose"),
        ("services.php8.3.labels.partywall.class", "rule labels"),
        ("services.web.nothing", "nothing"),
    ] {
        assert_eq!(origin(path), expected, "{path}");
    }
}

#[test]
fn what_a_rule_removed_is_explained_without_a_value() {
    let (explained, origin) = shop().explain("services.web.container_name").expect("a rule removed it");
    assert_eq!((explained.value, origin.as_str()), (None, "rule own-names"));
}

/// The rules that set parts of the value at a path.
fn inside(path: &str) -> Vec<String> {
    let (explained, _) = shop().explain(path).expect("a value");
    explained.inside.iter().map(|rule| format!("{} by {}", rule.path.join("."), rule.name)).collect()
}

#[test]
fn what_rules_put_into_a_value_is_told_with_it() {
    assert_eq!(origin("services.web.labels"), "compose.yaml:10");
    assert!(inside("services.web.labels").contains(&"partywall.role by labels".into()));
    assert_eq!(origin("services.php8.3.labels"), "rules inside");
    assert!(inside("services.web.image").is_empty());
}

#[test]
fn an_entry_of_a_list_is_known_by_what_it_is_not_by_its_number() {
    let ports = |list: &str| format!("services:\n  web:\n    ports:\n{list}");
    let written = "      - \"127.0.0.1:${PORT:-90}:80\"\n      - 53:53/udp\n      - 7000-7009:6000-6009\n";
    let port =
        |target: u16, protocol: &str| json!({"target": target, "protocol": protocol, "published": "1"});
    let ports_of = json!({"image": "a", "ports": [port(53, "udp"), port(6003, "tcp"), port(80, "tcp"), port(53, "tcp")]});
    let web = json!({"services": {"web": ports_of}});
    let shop = Shop::of(web.clone(), web).compose(&ports(written)).development("{ class: production }");
    let [_, loaded] = shop.loaded();
    let place = |index: usize| {
        let entry = &loaded.model.0["services"]["web"]["ports"][index];
        pw_plan::wall::entry_place(&loaded.sources, &["services", "web", "ports"], entry)
            .map(|place| place.line)
    };
    assert_eq!([place(0), place(1), place(2), place(3)], [Some(5), Some(6), Some(4), None]);
}
