use serde_json::{Value, json};

use crate::shop::{Shop, bind, errors, warnings};

fn volumes(rendered: &pw_plan::wall::Rendered) -> Vec<(String, String, bool)> {
    let list = rendered.model["services"]["web"]["volumes"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list.iter()
        .map(|mount| (text(&mount["source"]), text(&mount["target"]), mount["read_only"] == true))
        .collect()
}

fn mount(source: &str, target: &str, read_only: bool) -> (String, String, bool) {
    (source.to_owned(), target.to_owned(), read_only)
}

#[test]
fn data_moves_to_a_folder_of_its_own() {
    let shop = Shop::with_web(
        json!({"image": "a", "volumes": [bind("/srv/app/data", "/data"), bind("/mnt2/x", "/x")]}),
    )
    .compose("services:\n  web:\n    volumes:\n      - ./data:/data\n");
    let (production, development) = shop.both();
    assert_eq!(volumes(&production)[0], mount("/srv/app/data", "/data", false));
    assert_eq!(
        volumes(&development),
        [
            mount("/state/projects/shop/development/binds/data", "/data", false),
            mount("/state/projects/shop/development/binds/_host/mnt2/x", "/x", false),
        ]
    );
    assert!(development.folders.contains("/state/projects/shop/development/binds/data"));
    let found = warnings(&development);
    assert!(found[0].contains("compose.yaml:4:9"), "{}", found[0]);
    assert!(found[0].contains("hint: it starts empty, at /state"), "{}", found[0]);
}

#[test]
fn configuration_is_shared_and_only_production_may_change_it() {
    let web = json!({"image": "a", "volumes": [bind("/srv/app/nginx.conf", "/etc/nginx/nginx.conf"), bind("/srv/app/conf.d", "/etc/conf.d")]});
    let (production, development) =
        Shop::with_web(web).file("/srv/app/nginx.conf", true).tracked("/srv/app/conf.d").both();
    assert!(volumes(&production).iter().all(|(_, _, read_only)| !read_only));
    assert!(
        volumes(&development)
            .iter()
            .all(|(source, _, read_only)| *read_only && source.starts_with("/srv/app"))
    );
    assert_eq!(errors(&development), Vec::<String>::new());
}

#[test]
fn a_databases_folder_is_data_even_with_a_placeholder_under_version_control() {
    let db = json!({"services": {"web": {"image": "postgres", "volumes": [bind("/srv/app/pg", "/var/lib/postgresql/data")]}}});
    let (_, development) = Shop::new(&db).tracked("/srv/app/pg").both();
    assert_eq!(volumes(&development)[0].0, "/state/projects/shop/development/binds/pg");
}

#[test]
fn a_single_file_of_data_is_refused() {
    let web = json!({"image": "a", "volumes": [bind("/srv/app/app.sqlite", "/app/app.sqlite")]});
    let (_, development) = Shop::with_web(web).file("/srv/app/app.sqlite", false).both();
    assert!(errors(&development)[0].contains("mount a file of its own at `/app/app.sqlite`"));
}

#[test]
fn a_hot_reload_mount_stays_in_development_with_productions_parts_covered() {
    let production = json!({"services": {"web": {"image": "a", "volumes": [bind("/srv/app/data", "/data"), bind("/srv/app/nginx.conf", "/n")]}}});
    let development = json!({"services": {"web": {"image": "a", "build": {"context": "/srv/app"}, "volumes": [bind("/srv/app", "/code")]}}});
    let shop = Shop::of(production, development).tracked("/srv/app").file("/srv/app/nginx.conf", true);
    let (_, development) = shop.both();
    let found = volumes(&development);
    assert_eq!(found[0], mount("/srv/app", "/code", false));
    for expected in [
        mount("", "/code/data", false),
        mount("/dev/null", "/code/.env.production", true),
        mount("/srv/app/nginx.conf", "/code/nginx.conf", true),
        mount("/srv/app/partywall.yaml", "/code/partywall.yaml", true),
        mount("/srv/app/compose.yaml", "/code/compose.yaml", true),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    let data = development.model["services"]["web"]["volumes"].as_array().expect("a list");
    assert!(data.iter().any(|mount| mount["type"] == "tmpfs" && mount["target"] == "/code/data"));
}

#[test]
fn a_folder_above_what_is_covered_cannot_be_renamed() {
    let production = json!({"services": {"web": {"image": "a", "volumes": [bind("/srv/app/var/lib/data", "/data"), bind("/srv/app/var/lib/data/logs/old", "/l")]}}});
    let development = |mount| {
        let web = json!({"image": "a", "build": {"context": "/srv/app"}, "volumes": [mount]});
        let shop = Shop::of(production.clone(), json!({"services": {"web": web}})).tracked("/srv/app");
        volumes(&shop.both().1)
    };
    let found = development(bind("/srv/app", "/code"));
    for held in ["/srv/app/var", "/srv/app/var/lib"] {
        let target = held.replace("/srv/app", "/code");
        assert!(found.contains(&mount(held, &target, false)), "{held}: {found:?}");
    }
    assert!(found.iter().all(|(source, _, _)| !source.starts_with("/srv/app/var/lib/data")), "{found:?}");
    let mut read_only = bind("/srv/app", "/code");
    read_only["read_only"] = json!(true);
    assert!(
        development(read_only).iter().all(|(source, _, _)| source != "/srv/app/var"),
        "nothing to rename"
    );
}

#[test]
fn env_files_of_productions_services_are_covered_in_a_mounted_project_and_own_ones_are_not() {
    let production = json!({"services": {"web": {"image": "a"}}});
    let development = json!({"services": {"web": {"image": "a", "volumes": [bind("/srv/app", "/code")]}}});
    let shop = Shop::of(production, development)
        .tracked("/srv/app")
        .service_file(0, "config/web.env", "A=1")
        .service_file(0, "both.env", "B=1")
        .service_file(1, "both.env", "B=1");
    let (_, development) = shop.both();
    let found = volumes(&development);
    assert!(found.contains(&mount("/dev/null", "/code/config/web.env", true)), "{found:?}");
    assert!(found.iter().all(|(_, target, _)| target != "/code/both.env"), "{found:?}");
    let said =
        warnings(&development).into_iter().any(|text| text.contains("keeps `/srv/app/config/web.env`"));
    assert!(said, "{:?}", warnings(&development));
}

#[test]
fn settings_beside_a_dockerfile_are_no_source_code() {
    let refused = |folder: &str, target: &str| {
        let source = format!("/srv/app/{folder}");
        let web = json!({"image": "a", "build": {"context": "/srv/app"}, "volumes": [bind(&source, target)]});
        !errors(&Shop::with_web(web).tracked(&source).both().0).is_empty()
    };
    assert!(!refused("sites", "/etc/apache2/sites-available"));
    assert!(!refused("extra_settings", "/app/extra_settings"));
    assert!(refused("src", "/app/src"));
}

#[test]
fn source_code_in_production_is_refused_where_it_is_written() {
    let web = json!({"image": "a", "build": {"context": "/srv/app"}, "volumes": [bind("/srv/app/media", "/m"), bind("/srv/app", "/code")]});
    let compose = "services:\n  web:\n    volumes:\n      - ./media:/m\n      - .:/code\n";
    let shop = Shop::with_web(web.clone()).compose(compose).tracked("/srv/app");
    let (production, development) = shop.both();
    let found = errors(&production);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("compose.yaml:5:9"), "{}", found[0]);
    assert!(
        found[0].contains("`volumes: !reset []`") && found[0].contains("allow: [web/bind-mount]"),
        "{}",
        found[0]
    );
    assert_eq!(errors(&development), Vec::<String>::new());
    let allowed = Shop::with_web(web).production("{ allow: [web/bind-mount] }").tracked("/srv/app");
    assert_eq!(errors(&allowed.both().0), Vec::<String>::new());
}

#[test]
fn looking_at_the_whole_host_is_not_source_code() {
    let (production, _) =
        Shop::with_web(json!({"image": "prom/node-exporter", "volumes": [bind("/", "/host")]})).both();
    assert_eq!(errors(&production), Vec::<String>::new());
    assert!(warnings(&production)[0].contains("mounts `/` of the host"));
}

#[test]
fn productions_variables_mounted_by_name_are_empty_in_development() {
    let web = json!({"image": "a", "volumes": [bind("/srv/app/.env.production", "/app/.env")]});
    let (_, development) = Shop::of(json!({"services": {}}), json!({"services": {"web": web}})).both();
    assert_eq!(volumes(&development), [mount("/dev/null", "/app/.env", true)]);
}

#[test]
fn what_is_read_inside_a_folder_of_data_is_data_too() {
    let production = json!({"services": {"web": {"image": "a", "volumes": [bind("/srv/app/data", "/d")]},
        "pages": {"image": "nginx", "volumes": [{"type": "bind", "source": "/srv/app/data/pages", "target": "/p", "read_only": true}]}}});
    let development = json!({"services": {"web": {"image": "a", "volumes": [bind("/srv/app", "/code")]}}});
    let (_, development) = Shop::of(production, development).tracked("/srv/app").both();
    assert!(volumes(&development).iter().all(|(source, _, _)| source != "/srv/app/data/pages"));
}

#[test]
fn named_volumes_keep_productions_name_and_are_new_in_development() {
    let volumes = json!({"plain": {"name": "x_plain"}, "fixed": {"name": "pgdata"}, "old": {"name": "old", "external": true},
        "bound": {"name": "shop-development_bound", "driver": "local", "driver_opts": {"type": "none", "o": "bind", "device": "/srv/data"}},
        "memory": {"name": "shop-development_memory", "driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1g"}}});
    let (production, development) = Shop::new(&json!({"services": {}, "volumes": volumes})).both();
    assert_eq!(production.model["volumes"]["fixed"]["name"], "pgdata");
    assert_eq!(production.model["volumes"]["old"], json!({"name": "old", "external": true}));
    let own = &development.model["volumes"];
    for key in ["plain", "fixed", "old", "bound", "memory"] {
        assert_eq!(own[key]["name"], format!("shop-development_{key}"));
    }
    assert_eq!((own["old"].get("external"), own["bound"].get("driver_opts")), (None, None));
    assert_eq!(own["memory"]["driver_opts"]["type"], "tmpfs");
}

#[test]
fn a_volume_on_a_folder_that_production_mounts_is_taken_off_it() {
    let production = json!({"services": {"web": {"image": "a", "volumes": [bind("/srv/data/x", "/d")]}}});
    let bound = json!({"name": "shop-development_v", "driver_opts": {"type": "none", "o": "rbind", "device": "/srv/data"}});
    let (_, development) = Shop::of(production, json!({"services": {}, "volumes": {"v": bound}})).both();
    assert_eq!(development.model["volumes"]["v"].get("driver_opts"), None);
}
