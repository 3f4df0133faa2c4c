//! What Compose resolved when it read the files, so that a plain `docker compose up` of ours does the same.

use serde_json::Value;

use super::Wall;

impl Wall<'_> {
    /// The services of the model are those whose profiles are on; nobody needs to say so again.
    pub(super) fn active(&mut self) {
        let known = self.service_names();
        for name in &known {
            let Some(service) = self.service(name) else { continue };
            if service.remove("profiles").is_some() {
                let because = "its profile is on in this environment; the rendered file needs none";
                self.note(&["services", name, "profiles"], "profile-on", because);
            }
            self.forget_absent(name, &known);
        }
    }

    /// A dependency that is not required may lack, but Compose refuses one that it has never heard of.
    fn forget_absent(&mut self, name: &str, known: &[String]) {
        let depends = self.service(name).and_then(|service| service.get_mut("depends_on"));
        let Some(depends) = depends.and_then(Value::as_object_mut) else { return };
        let absent: Vec<String> = depends.keys().filter(|on| !known.contains(on)).cloned().collect();
        depends.retain(|on, _| known.contains(on));
        for on in absent {
            let because = format!("`{on}` is off in this environment");
            self.note(&["services", name, "depends_on", &on], "profile-off", because);
        }
    }
}
