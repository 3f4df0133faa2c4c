use serde_json::{Value, json};

use crate::shop::{Shop, errors, warnings};

#[test]
fn a_fixed_container_name_stays_as_an_alias() {
    let web = json!({"image": "a", "container_name": "shop_web", "networks": {"default": null, "back": {"aliases": ["x"]}}});
    let (production, _) = Shop::with_web(web).both();
    let web = &production.model["services"]["web"];
    assert_eq!(web.get("container_name"), None);
    assert_eq!(
        web["networks"],
        json!({"default": {"aliases": ["shop_web"]}, "back": {"aliases": ["x", "shop_web"]}})
    );
}

#[test]
fn a_neighbour_is_found_by_its_key_when_its_name_goes() {
    let model = json!({"services": {
        "vpn": {"image": "gluetun", "container_name": "tunnel", "networks": {"default": null}},
        "loader": {"image": "a", "network_mode": "container:tunnel"},
    }});
    let (production, _) = Shop::new(&model).both();
    assert_eq!(production.model["services"]["loader"]["network_mode"], "service:vpn");
}

#[test]
fn only_routed_services_join_the_edge() {
    let model = json!({"services": {
        "web": {"image": "a", "expose": ["8000"], "networks": {"default": null}},
        "db": {"image": "postgres", "networks": {"default": null}},
    }, "networks": {"default": {"name": "shop-production_default", "ipam": {}}}});
    let (production, development) = Shop::new(&model).production("{ routes: { web: shop.example } }").both();
    let services = &production.model["services"];
    assert_eq!(services["web"]["networks"]["partywall-edge"], json!({"aliases": ["shop-production-web"]}));
    assert_eq!(services["db"]["networks"], json!({"default": null}));
    let edge = &production.model["networks"]["partywall-edge"];
    assert_eq!((&edge["name"], &edge["internal"]), (&json!("shop-production_partywall-edge"), &json!(true)));
    assert_eq!(development.model["networks"].get("partywall-edge"), None);
}

#[test]
fn a_route_to_a_service_in_anothers_network_joins_there() {
    let model = json!({"services": {
        "vpn": {"image": "gluetun", "networks": {"default": null}, "ports": [{"target": 8080, "published": "8080"}]},
        "web": {"image": "a", "network_mode": "service:vpn"},
    }});
    let (production, _) = Shop::new(&model).production("{ routes: { web: shop.example } }").both();
    assert_eq!(errors(&production), Vec::<String>::new());
    assert_eq!(
        production.model["services"]["vpn"]["networks"]["partywall-edge"]["aliases"],
        json!(["shop-production-web"])
    );
    assert_eq!(production.model["services"]["web"].get("networks"), None);
}

#[test]
fn a_route_that_leads_nowhere_is_shown_with_the_nearest_name() {
    let (production, _) =
        Shop::with_web(json!({"image": "a"})).production("{ routes: { wbe: shop.example } }").both();
    let found = errors(&production);
    assert!(found[0].contains("`wbe` of environment `production` cannot be routed"), "{}", found[0]);
    assert!(
        found[0].contains("partywall.yaml:4:") && found[0].ends_with("hint: did you mean `web`?"),
        "{}",
        found[0]
    );
    let host = json!({"image": "a", "network_mode": "host"});
    let (production, _) =
        Shop::with_web(host).production("{ routes: { web: { host: a.example, port: 80 } } }").both();
    assert!(errors(&production)[0].contains("network_mode: !reset null"), "{:?}", errors(&production));
}

#[test]
fn a_route_without_a_port_is_an_error_that_says_how_to_write_it() {
    let (production, _) =
        Shop::with_web(json!({"image": "a"})).production("{ routes: { web: shop.example } }").both();
    let found = errors(&production);
    assert!(found[0].contains("port of `web`") && found[0].contains("port: 8000"), "{found:?}");
}

#[test]
fn the_engines_own_bridge_is_left() {
    let (_, development) = Shop::with_web(json!({"image": "a", "network_mode": "bridge"})).both();
    assert_eq!(development.model["services"]["web"].get("network_mode"), None);
    assert_eq!(development.model["services"]["web"]["networks"], json!({"default": null}));
    assert_eq!(development.model["networks"]["default"]["name"], "shop-development_default");
}

#[test]
fn production_keeps_an_external_network_and_development_gets_its_own() {
    let model = json!({"services": {"web": {"image": "a", "networks": {"edge": null}, "external_links": ["old:db"]}},
        "networks": {"edge": {"name": "traefik", "external": true}}});
    let (production, development) =
        Shop::new(&model).compose("networks:\n  edge:\n    external: true\n").both();
    assert_eq!(production.model["networks"]["edge"], json!({"name": "traefik", "external": true}));
    assert_eq!(development.model["networks"]["edge"]["name"], "shop-development_edge");
    assert_eq!(development.model["networks"]["edge"].get("external"), None);
    assert_eq!(development.model["services"]["web"].get("external_links"), None);
    let found = warnings(&development);
    assert!(found[0].contains("compose.yaml:2:3"), "{}", found[0]);
}

fn mail(name: &str, subnet: &str) -> Value {
    json!({"services": {"web": {"image": "a", "dns": ["172.22.1.254", "1.1.1.1"], "networks": {"mail": {"ipv4_address": "172.22.1.5"}}}},
        "networks": {"mail": {"name": name, "enable_ipv6": true, "ipam": {"config": [{"subnet": subnet}]}}}})
}

#[test]
fn a_subnet_that_production_has_is_given_up_with_all_that_points_into_it() {
    let (production, development) = Shop::of(
        mail("shop-production_mail", "172.22.1.0/24"),
        mail("shop-development_mail", "172.22.0.0/16"),
    )
    .both();
    assert_eq!(production.model["services"]["web"]["networks"]["mail"]["ipv4_address"], "172.22.1.5");
    assert_eq!(development.model["networks"]["mail"].get("ipam"), None);
    assert_eq!(development.model["services"]["web"]["networks"]["mail"], json!({}));
    assert_eq!(development.model["services"]["web"]["dns"], json!(["1.1.1.1"]));
}

#[test]
fn a_subnet_of_its_own_stays() {
    let (_, development) = Shop::of(
        mail("shop-production_mail", "172.22.1.0/24"),
        mail("shop-development_mail", "172.23.1.0/24"),
    )
    .both();
    assert_eq!(development.model["networks"]["mail"]["ipam"]["config"][0]["subnet"], "172.23.1.0/24");
    assert_eq!(warnings(&development), Vec::<String>::new());
}

#[test]
fn services_of_a_profile_that_is_on_need_no_profile_any_more() {
    let web = json!({"image": "a", "profiles": ["x"], "depends_on": {"off": {"condition": "service_started", "required": false}}});
    let (production, _) = Shop::with_web(web).both();
    assert_eq!(production.model["services"]["web"].get("profiles"), None);
    assert_eq!(production.model["services"]["web"]["depends_on"], json!({}));
}

#[test]
fn built_images_get_a_tag_of_their_own_and_their_users_follow() {
    let model = json!({"services": {
        "web": {"image": "shop/app", "build": {"context": "/srv/app", "tags": ["shop/app:1"]}},
        "worker": {"image": "shop/app"},
        "db": {"image": "postgres"},
    }});
    let (production, development) = Shop::new(&model).both();
    assert_eq!(production.model["services"]["web"]["image"], "shop/app");
    let services = &development.model["services"];
    assert_eq!(services["web"]["image"], "shop-development-web");
    assert_eq!(services["worker"]["image"], "shop-development-web");
    assert_eq!(services["db"]["image"], "postgres");
    assert_eq!(services["web"]["build"].get("tags"), None);
}
