//! Secrets of its own for each environment.

use std::collections::BTreeSet;

use pw_model::diagnostic::Diagnostic;
use serde_json::{Value, json};

use super::Wall;

impl Wall<'_> {
    /// A secret file that an environment before this one uses is replaced by a freshly generated one.
    pub(super) fn secrets(&mut self) {
        let theirs: BTreeSet<String> = self
            .before
            .iter()
            .flat_map(|(other, _)| {
                other
                    .model
                    .section("secrets")
                    .filter_map(|(_, secret)| secret.get("file")?.as_str().map(str::to_owned))
            })
            .collect();
        let folder = self.ground.layout.secrets(&self.ground.config.project, &self.out.name);
        let shared: Vec<String> = self
            .loaded
            .model
            .section("secrets")
            .filter(|(_, secret)| {
                secret.get("file").and_then(Value::as_str).is_some_and(|file| theirs.contains(file))
            })
            .map(|(key, _)| key.to_owned())
            .collect();
        for key in shared {
            let own = format!("{folder}/{key}");
            self.out.model["secrets"][&key]["file"] = json!(own);
            self.out.generated_secrets.insert(own.clone());
            self.note(
                &["secrets", &key, "file"],
                "own-secret",
                "the written file is another environment's; this one is generated",
            );
            let place = self.place(&["secrets", &key]);
            self.complain(
                Diagnostic::warning(format!(
                    "environment `{}` gets a generated value for the secret `{key}`",
                    self.out.name
                ))
                .at(place)
                .because("an environment before it uses the same file")
                .hint(format!("name a file of its own in an overlay, or put the value into {own}")),
            );
        }
    }
}
