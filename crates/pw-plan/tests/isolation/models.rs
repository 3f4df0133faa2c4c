//! Random projects from small pools, so that environments collide in every way that people can write.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use pw_model::compose::ComposeModel;
use pw_model::config::Config;
use pw_model::host::CgroupDriver;
use pw_model::layout::Layout;
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_plan::wall::{Ground, Loaded, PathFacts, Rendered, render_all, yaml};
use serde_json::{Map, Value, json};

const SERVICES: &[&str] = &["web", "db", "cache.v1", "back-end"];
const NETWORKS: &[&str] = &["default", "back", "front.net"];
const VOLUMES: &[&str] = &["data", "files.v1"];
const SECRETS: &[&str] = &["token", "key.pem"];
const ENVIRONMENTS: &[&str] = &["production", "live", "staging", "development", "review"];
const CLASSES: &[&str] = &["production", "staging", "development"];
/// Path, whether it is a file, whether version control knows it.
const PATHS: &[(&str, bool, bool)] = &[
    ("/srv/app", false, true),
    ("/srv/app/src", false, true),
    ("/srv/app/conf.d", false, true),
    ("/srv/app/nginx.conf", true, true),
    ("/srv/app/data", false, false),
    ("/srv/app/data/deep", false, false),
    ("/srv/app/data/deep/er", false, false),
    ("/srv/files", false, false),
    ("/srv/files/a", false, false),
];
const FOLDERS: &[&str] = &["/srv/app/data", "/srv/app/data/deep", "/srv/files", "/srv/files/a"];

#[derive(Debug, Clone)]
struct Described {
    name: String,
    class: &'static str,
    model: Value,
    offset: Option<u16>,
    publish: BTreeMap<String, u16>,
    routed: Option<&'static str>,
}

/// Environments with their models, ready to be rendered.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    environments: Vec<Described>,
    loaded: Vec<Loaded>,
    config: Config,
    source: SourceFile,
}

pub(crate) fn project() -> impl Strategy<Value = Project> {
    let names = subsequence(ENVIRONMENTS.to_vec(), 2..=4);
    let environments = names.prop_flat_map(|names| {
        let described: Vec<_> =
            names.into_iter().enumerate().map(|(at, name)| environment(at, name)).collect();
        described
    });
    environments.prop_map(Project::new)
}

fn environment(at: usize, name: &'static str) -> impl Strategy<Value = Described> {
    let publish = proptest::option::of(select(SERVICES));
    let routed = proptest::option::of(select(SERVICES));
    (select(CLASSES), model(name), proptest::option::of(1u16..4), publish, routed).prop_map(
        move |(class, model, offset, publish, routed)| {
            let has = |service: &&str| model["services"].get(*service).is_some();
            // What people publish themselves is theirs to keep apart: one port for each environment.
            let port = 40_000 + u16::try_from(at).expect("few environments");
            let publish = publish.filter(has).map(|service| (service.to_owned(), port));
            let routed = routed.filter(has);
            Described {
                name: name.to_owned(),
                class,
                offset,
                publish: publish.into_iter().collect(),
                routed,
                model,
            }
        },
    )
}

fn model(environment: &'static str) -> impl Strategy<Value = Value> {
    let services = subsequence(SERVICES.to_vec(), 1..=4).prop_flat_map(|names| {
        let all: Vec<_> = names
            .into_iter()
            .map(|name| service(name).prop_map(move |value| (name.to_owned(), value)))
            .collect();
        all
    });
    let networks = section(NETWORKS, network, environment);
    let volumes = section(VOLUMES, volume, environment);
    let secrets = section(SECRETS, |_, _| secret().boxed(), environment);
    (services, networks, volumes, secrets).prop_map(move |(services, networks, volumes, secrets)| {
        let services: Map<String, Value> = services.into_iter().collect();
        json!({"name": format!("shop-{environment}"), "services": services, "networks": networks, "volumes": volumes, "secrets": secrets})
    })
}

fn section(
    keys: &'static [&'static str],
    entry: impl Fn(&'static str, &'static str) -> BoxedStrategy<Value>,
    environment: &'static str,
) -> impl Strategy<Value = Value> {
    let all: Vec<_> = keys
        .iter()
        .map(|&key| entry(key, environment).prop_map(move |value| (key.to_owned(), value)))
        .collect();
    all.prop_map(|entries| Value::Object(entries.into_iter().collect()))
}

fn own(environment: &str, key: &str) -> String {
    format!("shop-{environment}_{key}")
}

fn network(key: &'static str, environment: &'static str) -> BoxedStrategy<Value> {
    let subnets = select(&["172.30.0.0/16", "172.30.4.0/24", "172.31.0.0/16", "10.9.0.0/24"][..]);
    prop_oneof![
        3 => Just(json!({"name": own(environment, key), "ipam": {}})),
        1 => Just(json!({"name": format!("common-{key}"), "ipam": {}})),
        1 => Just(json!({"name": "traefik_public", "external": true})),
        1 => subnets.prop_map(move |subnet| json!({"name": own(environment, key), "ipam": {"config": [{"subnet": subnet}]}})),
        1 => Just(json!({"name": own(environment, key), "driver_opts": {"com.docker.network.bridge.name": "br-shop"}})),
    ]
    .boxed()
}

fn volume(key: &'static str, environment: &'static str) -> BoxedStrategy<Value> {
    let bound = select(FOLDERS).prop_map(|folder| json!({"type": "none", "o": "bind", "device": folder}));
    prop_oneof![
        3 => Just(json!({"name": own(environment, key)})),
        1 => Just(json!({"name": format!("common-{key}")})),
        1 => Just(json!({"name": format!("live-{key}"), "external": true})),
        1 => Just(json!({"name": own(environment, key), "driver_opts": {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/export"}})),
        1 => bound.prop_map(move |options| json!({"name": own(environment, key), "driver": "local", "driver_opts": options})),
    ]
    .boxed()
}

fn secret() -> impl Strategy<Value = Value> {
    select(&["/srv/app/secrets/a", "/srv/app/secrets/b", "/srv/secrets/c"][..])
        .prop_map(|file| json!({"file": file}))
}

fn service(name: &'static str) -> impl Strategy<Value = Value> {
    let ports = prop::collection::vec(port(), 0..4);
    let binds = prop::collection::vec(bind(), 0..4);
    let volumes = subsequence(VOLUMES.to_vec(), 0..=2);
    let networks = subsequence(NETWORKS.to_vec(), 1..=3);
    let fixed = proptest::option::of(select(&["shop_web", "shop_db"][..]));
    let built = any::<(bool, bool, bool)>();
    (ports, binds, volumes, networks, fixed, built).prop_map(
        move |(ports, binds, volumes, networks, fixed, built)| {
            let mut service =
                json!({"image": format!("shop/{name}"), "ports": ports, "secrets": [{"source": "token"}]});
            let named = volumes
                .iter()
                .map(|key| json!({"type": "volume", "source": key, "target": format!("/vol/{key}")}));
            let binds = binds.into_iter().enumerate().map(|(at, mut bind)| {
                bind["target"] = json!(format!("/mnt/{at}"));
                bind
            });
            service["volumes"] = binds.chain(named).collect();
            let joined: Map<String, Value> =
                networks.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
            match built {
                (true, true, true) => service["network_mode"] = json!("bridge"),
                _ => service["networks"] = Value::Object(joined),
            }
            if let Some(fixed) = fixed {
                service["container_name"] = json!(fixed);
            }
            if built.0 {
                service["build"] = json!({"context": "/srv/build", "tags": ["shop/extra"]});
            }
            service
        },
    )
}

fn port() -> impl Strategy<Value = Value> {
    let published = prop_oneof![
        Just(None),
        select(&["80", "443", "5432", "5433", "3000", "8000-8002", "8001", "20000-20010"][..]).prop_map(Some)
    ];
    let address = proptest::option::of(select(&["0.0.0.0", "127.0.0.1", "::1", "10.0.0.5"][..]));
    (published, address, any::<bool>(), 1u16..9).prop_map(|(published, address, udp, target)| {
        let mut port =
            json!({"mode": "ingress", "target": target, "protocol": if udp { "udp" } else { "tcp" }});
        if let Some(published) = published {
            port["published"] = json!(published);
        }
        if let Some(address) = address {
            port["host_ip"] = json!(address);
        }
        port
    })
}

fn bind() -> impl Strategy<Value = Value> {
    (select(PATHS), any::<bool>()).prop_map(|((source, _, _), read_only)| {
        let mut bind =
            json!({"type": "bind", "source": source, "target": "", "bind": {"create_host_path": true}});
        if read_only {
            bind["read_only"] = json!(true);
        }
        bind
    })
}

impl Project {
    fn new(environments: Vec<Described>) -> Self {
        let source = SourceFile::new("partywall.yaml", configuration(&environments));
        let config = pw_model::config::parse(&source).unwrap_or_else(|e| panic!("{e}\n{}", source.text));
        let loaded = environments.iter().map(load).collect();
        Self { environments, loaded, config, source }
    }

    pub(crate) fn render(&self) -> Vec<Rendered> {
        let layout = Layout::new("/var/lib/partywall");
        let ground = Ground {
            config: &self.config,
            source: &self.source,
            layout: &layout,
            cgroup_driver: CgroupDriver::Cgroupfs,
            directory: "/srv/app",
        };
        render_all(ground, &self.loaded)
    }

    pub(crate) fn loaded(&self, name: &EnvironmentName) -> &Loaded {
        self.loaded.iter().find(|loaded| loaded.name == *name).expect("an environment of the project")
    }

    pub(crate) fn published(&self, name: &EnvironmentName) -> BTreeSet<u16> {
        let environment = self.environments.iter().find(|described| described.name == name.as_str());
        environment.into_iter().flat_map(|described| described.publish.values().copied()).collect()
    }

    /// Configuration and source: all may read it.
    pub(crate) fn is_shareable(path: &str) -> bool {
        PATHS.iter().any(|(known, _, tracked)| *known == path && *tracked) || !path.starts_with("/srv")
    }

    pub(crate) fn describe(&self, rendered: &[Rendered]) -> String {
        let before = self.loaded.iter().map(|loaded| yaml(&Value::Object(loaded.model.0.clone())));
        let after = rendered.iter().map(|rendered| yaml(&rendered.model));
        format!(
            "{}\n{}\n=>\n{}",
            self.source.text,
            before.collect::<Vec<_>>().join("---\n"),
            after.collect::<Vec<_>>().join("---\n")
        )
    }
}

fn configuration(environments: &[Described]) -> String {
    let mut text = "project: shop\ncompose: [compose.yaml]\nenvironments:\n".to_owned();
    for environment in environments {
        text.push_str(&format!("  {}:\n    class: {}\n", environment.name, environment.class));
        if let Some(offset) = environment.offset {
            text.push_str(&format!("    port_offset: {offset}\n"));
        }
        for (service, port) in &environment.publish {
            text.push_str(&format!("    publish: {{ {service}: ['{port}:80'] }}\n"));
        }
        if let Some(service) = environment.routed {
            text.push_str(&format!("    routes: {{ {service}: {}.example }}\n", environment.name));
        }
    }
    text
}

fn load(environment: &Described) -> Loaded {
    let facts = PATHS.iter().map(|(path, is_file, is_tracked)| {
        ((*path).to_owned(), PathFacts { is_file: *is_file, is_tracked: *is_tracked })
    });
    let model = ComposeModel::from_json(&environment.model.to_string()).expect("a model");
    Loaded {
        sources: vec![SourceFile::new("compose.yaml", "services: {}\n")],
        env_files: vec![format!("/srv/app/.env.{}", environment.name)],
        paths: facts.collect(),
        ..Loaded::new(EnvironmentName::parse(&environment.name).expect("a name"), model)
    }
}
