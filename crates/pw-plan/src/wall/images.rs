//! Images that are built: a tag of its own for each environment.

use serde_json::json;

use super::Wall;

impl Wall<'_> {
    /// Building development must not replace the image that production starts from next.
    pub(super) fn images(&mut self) {
        if self.before.is_empty() {
            return;
        }
        for name in self.service_names() {
            let Some(service) = self.loaded.model.service(&name) else { continue };
            if !service.is_built() || service.image().is_none() {
                continue;
            }
            let own = format!("{}-{}", self.out.compose_project, name.to_lowercase());
            let because = format!(
                "`{}` would be built over the image of another environment",
                service.image().unwrap_or_default()
            );
            self.set(&name, "image", json!(own), ("own-image", because));
        }
    }
}
