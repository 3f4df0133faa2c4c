//! A shop with two environments, of which each test writes only the part that it is about.

use std::collections::BTreeMap;

use pw_model::compose::ComposeModel;
use pw_model::host::CgroupDriver;
use pw_model::layout::Layout;
use pw_model::name::EnvironmentName;
use pw_model::source::SourceFile;
use pw_plan::wall::{Ground, Loaded, Origin, PathFacts, Rendered, explain, render_all};
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
            Loaded {
                name: EnvironmentName::parse(name).expect("a name"),
                model: ComposeModel::from_json(&self.models[index].to_string()).expect("a model"),
                sources: self.sources.iter().chain(overlay).cloned().collect(),
                variables: BTreeMap::new(),
                env_files: vec![format!("/srv/app/.env.{name}")],
                paths: self.paths.clone(),
            }
        })
    }

    /// The value at a path of development, and where it comes from: `rule NAME`, `FILE:LINE` or `compose`.
    pub(crate) fn explain(&self, path: &str, variables: &[SourceFile]) -> Option<(Option<Value>, String)> {
        let (_, development) = self.both();
        let [_, loaded] = self.loaded();
        let (value, origin) = explain(&development, &loaded, variables, path)?;
        let origin = match origin {
            Origin::Rule { rule } => format!("rule {}", rule.name),
            Origin::Written { place } => format!("{}:{}", place.file, place.line),
            Origin::Variable { place } => format!("variable {}:{}", place.file, place.line),
            Origin::Compose => "compose".to_owned(),
        };
        Some((value, origin))
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
