//! Secrets of its own for each environment.

use std::collections::BTreeSet;

use pw_model::diagnostic::Diagnostic;
use serde_json::{Value, json};

use super::{Loaded, Wall};

impl Wall<'_> {
    /// A secret file that an environment before this one uses is replaced by a freshly generated one.
    pub(super) fn secrets(&mut self) {
        let theirs: BTreeSet<&str> =
            self.before.iter().flat_map(|(other, _)| files(other)).map(|(_, file)| file).collect();
        let shared: Vec<(&str, &str)> =
            files(self.loaded).filter(|(_, file)| theirs.contains(file)).collect();
        for (key, file) in shared {
            self.own_secret(key, file);
        }
        self.missing_files();
    }

    /// The engine would find it only when the container starts, after others have been stopped for it.
    fn missing_files(&mut self) {
        for section in ["secrets", "configs"] {
            let entries = self.out.model.get(section).and_then(Value::as_object);
            let named = entries.into_iter().flatten();
            let missing: Vec<(String, String)> = named
                .filter_map(|(key, entry)| Some((key.clone(), entry.get("file")?.as_str()?.to_owned())))
                .filter(|(_, file)| self.loaded.missing.contains(file))
                .collect();
            for (key, file) in missing {
                let what = section.trim_end_matches('s');
                let message =
                    format!("the file of the {what} `{key}` of environment `{}` is missing", self.out.name);
                let place = self.place(&[section, &key, "file"]);
                let because = format!("there is no {file}");
                let hint = "write the file, or correct the path here";
                self.complain(Diagnostic::error(message).at(place).because(because).hint(hint));
            }
        }
    }

    fn own_secret(&mut self, key: &str, file: &str) {
        let folder = self.ground.layout.secrets(&self.ground.config.project, &self.out.name);
        let own = format!("{folder}/{key}");
        self.out.model["secrets"][key]["file"] = json!(own);
        self.out.generated_secrets.insert(own.clone());
        let because = format!("`{file}` is another environment's; this one is generated");
        self.note(&["secrets", key, "file"], "own-secret", because);
        let message =
            format!("environment `{}` gets a generated value for the secret `{key}`", self.out.name);
        self.complain(
            Diagnostic::warning(message)
                .at(self.place(&["secrets", key]))
                .because("an environment before it uses the same file")
                .hint(format!("name a file of its own in an overlay, or put the value into {own}")),
        );
    }
}

fn files(loaded: &Loaded) -> impl Iterator<Item = (&str, &str)> {
    let secrets = loaded.model.section("secrets");
    secrets.filter_map(|(key, secret)| Some((key, secret.get("file").and_then(Value::as_str)?)))
}
