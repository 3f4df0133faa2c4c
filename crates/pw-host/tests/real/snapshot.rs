//! The snapshot that a plan compares with, and the facts of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use pw_host::facts;
use pw_model::config::{Class, Goals, Promote};
use pw_model::desired::{Desired, DesiredRoute, DesiredService, Entrance, FileText, GroupLimits};
use pw_model::{EnvironmentName, Role};
use pw_plan::Action;
use pw_run::Observe as _;

use crate::common::{Project, chain, image, shop};

fn desired(project: &Project, file: &str) -> Desired {
    let service = DesiredService {
        role: Role::Web,
        config_hash: String::new(),
        scale: 1,
        image: image(),
        built: false,
        needs: Vec::new(),
        has_healthcheck: false,
        cpus: None,
        networks: BTreeSet::new(),
        mounts: BTreeMap::new(),
        aspects: BTreeMap::new(),
    };
    let route = DesiredRoute {
        service: "web".into(),
        hosts: vec!["shop.example.test".into()],
        switch: project.path("state/proxy/p/switch/shop/web"),
        address: "shop-web-1:80".into(),
        edge: None,
        entrance: Entrance { address: "127.0.0.1:80".into(), tls: false, warming: String::new() },
        candidate: project.path("state/proxy/p/switch/.candidate/shop/web"),
        canary: project.path("state/proxy/p/switch/.canary/shop/web"),
        before: project.path("state/proxy/p/switch/.before/shop/web"),
        calls: None,
    };
    Desired {
        project: shop(),
        environment: EnvironmentName::parse("production").expect("a name"),
        class: Class::Production,
        compose_project: project.name.clone(),
        compose_file: FileText { path: file.to_owned(), text: String::new() },
        services: BTreeMap::from([("web".into(), service)]),
        networks: vec!["bridge".into()],
        volumes: vec!["nobody-has-this".into()],
        variable_file: None,
        folder_file: FileText {
            path: project.path("state/projects/shop/production/folder"),
            text: String::new(),
        },
        state: String::new(),
        moved: false,
        state_folder: project.path("state/projects/shop/production"),
        store_folder: project.path("state/projects/shop/.store/production"),
        kept_data: Vec::new(),
        folders: vec![project.path("folder"), project.path("no-folder")],
        generated_secrets: vec![project.path("state/projects/shop/production/secrets/key")],
        group: Some(group()),
        build_group: None,
        firewall: None,
        proxy: None,
        routes: vec![route],
        release_path: project.path("state/projects/shop/production/release.json"),
        release: None,
        promote: Promote::default(),
        goals: Goals::default(),
    }
}

fn group() -> GroupLimits {
    GroupLimits {
        path: "/pwhost-nobody-made-this".into(),
        cpu_weight: 100,
        cpu_idle: false,
        cpu_ceiling: None,
        memory_ceiling: None,
        memory_protection: None,
        process_ceiling: None,
    }
}

#[tokio::test]
async fn a_snapshot_holds_what_is_there_and_is_the_same_when_taken_again() {
    let mut project = Project::new();
    let run = project.compose("  web: {image: IMAGE, init: true, LABELS, command: [sleep, 1d]}\n");
    project.start(&run, &["web"]).await;
    let desired = desired(&project, &run.file);
    fs::create_dir(project.path("folder")).expect("a folder");
    project
        .perform(Action::GenerateSecret { path: desired.generated_secrets[0].clone() })
        .await
        .expect("made");
    let route = &desired.routes[0];
    let open = Action::OpenSwitch {
        path: route.switch.clone(),
        service: "web".into(),
        address: route.address.clone(),
    };
    project.perform(open).await.expect("open");

    let begun = Instant::now();
    let found = project.host.observe(&desired).await.unwrap_or_else(|failure| panic!("{}", chain(&failure)));
    tell(&format!("one snapshot: {:?}", begun.elapsed()));
    assert_eq!(found.containers.len(), 1);
    assert_eq!(found.networks.iter().collect::<Vec<_>>(), ["bridge", &format!("{}_default", project.name)]);
    assert!(found.volumes.is_empty() && found.group.is_none());
    assert_eq!(found.images.iter().collect::<Vec<_>>(), [&image()]);
    assert_eq!(
        found.folders.iter().collect::<Vec<_>>(),
        [&project.path("folder"), &project.path("state/projects/shop/production")]
    );
    assert_eq!(found.files.len(), 2);
    assert_eq!(found.files[&run.file], pw_plan::hash(&fs::read_to_string(&run.file).expect("a file")));
    assert_eq!(found.open_switches, BTreeMap::from([(route.switch.clone(), route.address.clone())]));
    assert_eq!(project.host.observe(&desired).await.expect("again"), found);
}

#[tokio::test]
async fn facts_of_this_machine_are_found() {
    let project = Project::new();
    let facts = facts::facts(project.host.engine(), Path::new("/nowhere/yet")).await;
    assert!(facts.cpus.count() >= 1.0 && facts.memory.0 > 1 << 20 && facts.disk_total.0 > facts.disk_free.0);
    assert!(facts.docker.is_some() && facts.compose.is_some(), "{facts:?}");
    tell(&format!("{facts:#?}"));
}

#[expect(clippy::print_stderr, reason = "for whoever runs the test with --nocapture")]
fn tell(text: &str) {
    eprintln!("{text}");
}
