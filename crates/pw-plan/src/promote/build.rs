//! Building a release: each image once, under a name that follows from what it is built of.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::desired::GroupLimits;
use serde_json::{Value, json};

use crate::step::{Action, ComposeRun, Plan, Step, Undo};

pub const OPERATION: &str = "build";

/// An image that a service of a release runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub service: String,
    pub tag: String,
    /// As in the Compose model.
    pub definition: Value,
}

/// All images of a release.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Builds {
    pub images: Vec<Image>,
    /// Those of the Compose model, of which builds may name some.
    pub secrets: Value,
}

/// The image of a service. The same files, arguments and target have the same name in every environment.
///
/// `content` is git's name for the content of each of [`contexts`]: a folder's path says nothing.
pub fn image(project: &str, service: &str, definition: Value, content: &[String]) -> Image {
    let mut named = definition.clone();
    if let Some(map) = named.as_object_mut() {
        map.remove("context");
        map.remove("additional_contexts");
        map.remove("tags");
    }
    let hash = crate::hash(&format!("{}\n{}", crate::proxy::canonical(&named), content.join("\n")));
    Image { service: service.to_owned(), tag: format!("partywall/{project}:{}", &hash[..12]), definition }
}

/// Folders of the host that a build takes files from.
pub fn contexts(definition: &Value) -> Vec<String> {
    let own = definition.get("context").and_then(Value::as_str);
    let further = definition.get("additional_contexts").and_then(Value::as_object).into_iter().flatten();
    let all = own.into_iter().chain(further.filter_map(|(_, value)| value.as_str()));
    let folders: BTreeSet<String> = all.filter(|path| path.starts_with('/')).map(str::to_owned).collect();
    folders.into_iter().collect()
}

/// Steps that build the images; nothing that runs is touched.
///
/// `limits` hold the builds.
pub fn plan(
    (project, environment): (&str, &str),
    folder: &str,
    builds: &Builds,
    limits: Option<&GroupLimits>,
) -> Plan {
    let once: BTreeMap<&String, &Image> = builds.images.iter().map(|image| (&image.tag, image)).collect();
    let services: serde_json::Map<String, Value> = once
        .values()
        .map(|image| (image.service.clone(), json!({"image": image.tag, "build": image.definition})))
        .collect();
    let names: Vec<String> = services.keys().cloned().collect();
    let name = format!("{project}-{environment}-build");
    let mut model = json!({"name": name, "services": services});
    if builds.secrets.is_object() {
        model["secrets"] = builds.secrets.clone();
    }
    let text = crate::wall::yaml(&model);
    let (path, hash) = (format!("{folder}/build.yaml"), crate::hash(&text));
    let compose = ComposeRun { project: name, file: path.clone() };
    let remove = || Action::RemoveFile { path: path.clone() };
    let group = limits.map(|limits| limits.path.clone());
    let limit = limits.map(|limits| {
        Step::new(Action::LimitGroup { limits: limits.clone() }, Undo::Nothing, crate::parts::BUILD_LIMITS)
    });
    let mut steps: Vec<Step> = limit.into_iter().collect();
    steps.extend([
        Step::new(
            Action::InstallFile { path: path.clone(), hash: hash.clone() },
            Undo::by(remove()),
            "what is built, and of what",
        ),
        Step::new(
            Action::BuildImages { compose, services: names, group },
            Undo::Nothing,
            "an image that nobody runs harms nobody",
        ),
        Step::new(remove(), Undo::Nothing, "it is built"),
    ]);
    Plan {
        operation: OPERATION.to_owned(),
        project: project.to_owned(),
        environment: environment.to_owned(),
        basis: crate::hash(&text),
        steps,
        texts: BTreeMap::from([(hash, text)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_has_the_same_name_wherever_it_lies() {
        let definition = |context: &str, target: &str| json!({"context": context, "target": target});
        let of =
            |definition: Value, content: &str| image("shop", "web", definition, &[content.to_owned()]).tag;
        let one = of(definition("/a", "production"), "tree 1");
        assert_eq!(one, of(definition("/b", "production"), "tree 1"));
        assert_ne!(one, of(definition("/a", "development"), "tree 1"));
        assert_ne!(one, of(definition("/a", "production"), "tree 2"));
    }

    #[test]
    fn an_image_that_two_services_run_is_built_once() {
        let definition = json!({"context": "/a"});
        let images = ["web", "worker"].map(|name| image("shop", name, definition.clone(), &["t".into()]));
        let builds = Builds { images: images.into(), secrets: Value::Null };
        let limits = GroupLimits {
            path: "/partywall-build".into(),
            cpu_weight: 10,
            cpu_idle: true,
            cpu_ceiling: None,
            memory_ceiling: None,
            memory_protection: None,
            process_ceiling: None,
        };
        let plan = plan(("shop", "production"), "/state", &builds, Some(&limits));
        assert_eq!(plan.steps.len(), 4);
        assert!(matches!(&plan.steps[2].does, Action::BuildImages { services, .. } if services.len() == 1));
    }
}
