use pw_model::source::SourceFile;
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
";
const OVERLAY: &str = "\
services:
  web:
    image: shop/dev
";

fn shop() -> Shop {
    let web = json!({"image": "shop/dev", "mem_limit": "1073741824", "command": null, "labels": {"a": "b"}, "container_name": "x",
        "environment": {"DEBUG": "1", "TOKEN": "t", "MY_TOKEN": "u"}, "ports": [{"target": 80, "published": "80", "protocol": "tcp"}],
        "networks": {"default": null}});
    let model = json!({"services": {"web": web, "php8.3": {"image": "php", "restart": "always"}}});
    Shop::new(&model).compose(COMPOSE).overlay(OVERLAY)
}

fn origin(path: &str) -> String {
    let variables = [SourceFile::new(".env.shop", "# TOKEN=old\nMY_TOKEN=u\nexport TOKEN = t\n")];
    shop().explain(path, &variables).map_or("nothing".to_owned(), |(_, origin)| origin)
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
    let (value, origin) = shop().explain("services.web.container_name", &[]).expect("a rule removed it");
    assert_eq!((value, origin.as_str()), (None, "rule own-names"));
}
