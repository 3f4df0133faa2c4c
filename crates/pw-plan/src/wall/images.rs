//! Images that are built: a tag of its own for each environment.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Wall;

impl Wall<'_> {
    /// Building development must not replace the image that production starts from next.
    pub(super) fn images(&mut self) {
        if self.before.is_empty() {
            return;
        }
        let own = self.built_images();
        for name in self.service_names() {
            let image = self.loaded.model.service(&name).and_then(|service| service.image());
            if let Some((image, own)) = image.and_then(|image| Some((image, own.get(image)?))) {
                let because = format!("`{image}` would be built over the image of another environment");
                self.set(&name, "image", json!(own), ("own-image", because));
            }
            self.drop_tags(&name);
        }
    }

    /// What a release was tried with is what runs, whatever a tag means by now.
    pub(super) fn pins(&mut self) {
        for (name, image) in &self.loaded.pins {
            self.set(
                name,
                "image",
                json!(image),
                ("release", "the image of the release that runs".to_owned()),
            );
        }
    }

    /// Written tag → tag of our own, after the first service that builds it. Services that only use it follow.
    fn built_images(&self) -> BTreeMap<String, String> {
        let mut own = BTreeMap::new();
        for service in self.loaded.model.services().filter(|service| service.is_built()) {
            let Some(image) = service.image() else { continue };
            let tag = format!("{}-{}", self.out.compose_project, service.name().to_lowercase());
            own.entry(image.to_owned()).or_insert(tag);
        }
        own
    }

    fn drop_tags(&mut self, name: &str) {
        let build = self.service(name).and_then(|service| service.get_mut("build"));
        let removed = build.and_then(Value::as_object_mut).and_then(|build| build.remove("tags"));
        if removed.is_some() {
            let because = "further tags would be moved away from another environment's image";
            self.note(&["services", name, "build", "tags"], "own-image", because);
        }
    }
}
