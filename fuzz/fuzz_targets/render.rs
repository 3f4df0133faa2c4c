//! Any JSON as the model of both environments: rendering ends, never with a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pw_model::compose::ComposeModel;
use pw_model::config;
use pw_model::host::CgroupDriver;
use pw_model::layout::Layout;
use pw_model::source::SourceFile;
use pw_plan::wall::{Ground, Loaded, conflicts, render_all, yaml};

const CONFIG: &str = "project: p\ncompose: [c.yml]\nenvironments:\n  production:\n    routes: { web: p.example }\n  development:\n    routes: { web: d.p.example }\n    budget: { cpus: 1, memory: 1GB }\n";

fuzz_target!(|text: &str| {
    let Ok(model) = ComposeModel::from_json(text) else { return };
    let source = SourceFile::new("partywall.yaml", CONFIG);
    let Ok(config) = config::parse(&source) else { return };
    let layout = Layout::new("/state");
    let ground = Ground { config: &config, source: &source, layout: &layout, cgroup_driver: CgroupDriver::Cgroupfs, directory: "/project" };
    let loaded: Vec<Loaded> = config
        .environments
        .keys()
        .map(|name| Loaded { sources: vec![SourceFile::new("c.yml", text)], ..Loaded::new(name.clone(), model.clone()) })
        .collect();
    let rendered = render_all(ground, &loaded);
    drop(conflicts(&rendered));
    rendered.iter().for_each(|one| drop(yaml(&one.model)));
});
