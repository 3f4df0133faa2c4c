//! A shop with two environments, of which each test writes only the part that it is about.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::compose::ComposeModel;
use pw_model::host::CgroupDriver;
use pw_model::layout::Layout;
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_plan::wall::{
    Explained, Ground, Loaded, Origin, PathFacts, Rendered, ServiceFile, explain, render_all,
};
use serde_json::{Value, json};

pub(crate) struct Shop {
    /// What stands under `production:` and `development:` in partywall.yaml, in flow form.
    production: &'static str,
    development: &'static str,
    top: &'static str,
    models: [Value; 2],
    paths: BTreeMap<String, PathFacts>,
    sources: Vec<SourceFile>,
    overlay: Option<SourceFile>,
    service_files: [Vec<ServiceFile>; 2],
    missing: BTreeSet<String>,
}

impl Shop {
    /// The same model in both environments, as Compose answers it for each.
    pub(crate) fn new(model: &Value) -> Self {
        Self::of(model.clone(), model.clone())
    }

    pub(crate) fn of(production: Value, development: Value) -> Self {
        Self {
            production: "{}",
            development: "{}",
            top: "",
            models: [production, development],
            paths: BTreeMap::new(),
            sources: vec![SourceFile::new("compose.yaml", "services: {}\n")],
            overlay: None,
            service_files: [Vec::new(), Vec::new()],
            missing: BTreeSet::new(),
        }
    }

    /// One service called `web` in both environments.
    pub(crate) fn with_web(service: Value) -> Self {
        Self::new(&json!({"services": {"web": service}}))
    }

    pub(crate) fn production(mut self, text: &'static str) -> Self {
        self.production = text;
        self
    }

    pub(crate) fn development(mut self, text: &'static str) -> Self {
        self.development = text;
        self
    }

    pub(crate) fn top(mut self, text: &'static str) -> Self {
        self.top = text;
        self
    }

    pub(crate) fn compose(mut self, text: &str) -> Self {
        self.sources = vec![SourceFile::new("compose.yaml", text)];
        self
    }

    pub(crate) fn overlay(mut self, text: &str) -> Self {
        self.overlay = Some(SourceFile::new("compose.override.yaml", text));
        self
    }

    pub(crate) fn file(mut self, path: &str, is_tracked: bool) -> Self {
        self.paths.insert(path.to_owned(), PathFacts { is_file: true, is_tracked });
        self
    }

    pub(crate) fn tracked(mut self, path: &str) -> Self {
        self.paths.insert(path.to_owned(), PathFacts { is_file: false, is_tracked: true });
        self
    }

    /// An env file of `web` in production (0) or development (1), in the project's folder.
    pub(crate) fn service_file(mut self, environment: usize, name: &str, text: &str) -> Self {
        let place = SourceFile::new("compose.yaml", format!("env_file: {name}")).place(1, 11, name.len());
        let (service, path) = ("web".to_owned(), format!("/srv/app/{name}"));
        let file = SourceFile::new(name, text);
        self.service_files[environment].push(ServiceFile { service, path, file, place });
        self
    }

    /// A file of a secret or config that is not there.
    pub(crate) fn missing(mut self, path: &str) -> Self {
        self.missing.insert(path.to_owned());
        self
    }

    /// Production and development, rendered.
    pub(crate) fn render(&self) -> [Rendered; 2] {
        let text = format!(
            "project: shop\ncompose: [compose.yaml]\n{}environments:\n  production: {}\n  development: {}\n",
            self.top, self.production, self.development
        );
        let source = SourceFile::new("partywall.yaml", text);
        let config = pw_model::config::parse(&source).unwrap_or_else(|e| panic!("{e}"));
        let layout = Layout::new("/state");
        let ground = Ground {
            config: &config,
            source: &source,
            layout: &layout,
            cgroup_driver: CgroupDriver::Cgroupfs,
            directory: "/srv/app",
        };
        render_all(ground, &self.loaded()).try_into().expect("two environments")
    }

    pub(crate) fn loaded(&self) -> [Loaded; 2] {
        ["production", "development"].map(|name| {
            let index = usize::from(name == "development");
            let overlay = self.overlay.iter().filter(|_| name == "development");
            let model = ComposeModel::from_json(&self.models[index].to_string()).expect("a model");
            Loaded {
                sources: self.sources.iter().chain(overlay).cloned().collect(),
                env_files: vec![format!("/srv/app/.env.{name}")],
                paths: self.paths.clone(),
                service_files: self.service_files[index].clone(),
                missing: self.missing.clone(),
                ..Loaded::new(EnvironmentName::parse(name).expect("a name"), model)
            }
        })
    }

    /// The value at a path of development, and where it comes from: `rule NAME`, `FILE:LINE` or `compose`.
    pub(crate) fn explain(&self, path: &str) -> Option<(Explained, String)> {
        let (_, development) = self.both();
        let [_, loaded] = self.loaded();
        let explained = explain(&development, &loaded, path)?;
        let origin = match explained.origin.clone() {
            Origin::Rule { rule } => format!("rule {}", rule.name),
            Origin::Written { place } => format!("{}:{}", place.file, place.line),
            Origin::Variable { place } => format!("variable {}:{}", place.file, place.line),
            Origin::Compose => "compose".to_owned(),
            Origin::Parts => "rules inside".to_owned(),
        };
        Some((explained, origin))
    }

    pub(crate) fn both(&self) -> (Rendered, Rendered) {
        let [production, development] = self.render();
        (production, development)
    }
}

pub(crate) fn errors(rendered: &Rendered) -> Vec<String> {
    rendered.diagnostics.iter().filter(|d| d.is_error()).map(|d| d.to_string()).collect()
}

pub(crate) fn warnings(rendered: &Rendered) -> Vec<String> {
    rendered.diagnostics.iter().filter(|d| !d.is_error()).map(|d| d.to_string()).collect()
}

/// A bind mount as Compose writes it.
pub(crate) fn bind(source: &str, target: &str) -> Value {
    json!({"type": "bind", "source": source, "target": target, "bind": {"create_host_path": true}})
}
