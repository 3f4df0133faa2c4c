//! Volumes of its own for each environment, and bind mounts that cannot reach another's data.

use std::collections::BTreeMap;

use pw_model::compose::BindMount;
use pw_model::diagnostic::Diagnostic;
use serde_json::{Value, json};

use super::{PathFacts, Wall};

/// What another environment does with a path that it mounts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// Configuration or source: may be looked at, not changed.
    Reads,
    /// Data: neither looked at nor changed.
    Owns,
    /// Variables and secrets.
    Secret,
}

impl Wall<'_> {
    pub(super) fn volumes(&mut self) {
        let keys: Vec<String> = self.loaded.model.section("volumes").map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            self.own_volume(&key);
        }
        let theirs = self.paths_of_others();
        for name in self.service_names() {
            self.separate_binds(&name, &theirs);
            if self.is_production() {
                self.refuse_source_mounts(&name);
            }
        }
    }

    fn own_volume(&mut self, key: &str) {
        let production =
            self.is_production() && !self.before.iter().any(|(_, other)| other.class == self.out.class);
        let name = format!("{}_{key}", self.out.compose_project);
        let theirs: Vec<Value> = self
            .before
            .iter()
            .filter_map(|(other, _)| device(other.model.0.get("volumes")?.get(key)?))
            .collect();
        let Some(slot) = self.out.model.get_mut("volumes").and_then(|volumes| volumes.get_mut(key)) else {
            return;
        };
        let external = slot.get("external") == Some(&Value::Bool(true));
        let named = slot.get("name").is_some_and(|written| written != &json!(name));
        if production && (external || named) {
            // Production's data is already there under that name.
            return;
        }
        let shared_device = device(slot).is_some_and(|device| theirs.contains(&device));
        if external || shared_device || !slot.is_object() {
            *slot = json!({});
        }
        slot["name"] = json!(name);
        if external || named || shared_device {
            let because = "production's volume holds production's data; each environment has its own";
            self.note(&["volumes", key], "own-volume", because);
            let place = self.place(&["volumes", key]);
            self.complain(
                Diagnostic::warning(format!(
                    "environment `{}` gets a volume of its own for `{key}`",
                    self.out.name
                ))
                .at(place)
                .because(because),
            );
        }
    }

    /// Every path that an environment before this one mounts or keeps secrets in.
    fn paths_of_others(&self) -> BTreeMap<String, Use> {
        let mut paths = BTreeMap::new();
        let mut add = |path: String, usage: Use| {
            let entry = paths.entry(path).or_insert(usage);
            *entry = (*entry).max(usage);
        };
        for (other, _) in self.before {
            for mount in other.model.services().flat_map(|service| service.bind_mounts()) {
                let facts = other.paths.get(&mount.source).copied().unwrap_or_default();
                let usage =
                    if mount.read_only || facts.is_file || facts.is_tracked { Use::Reads } else { Use::Owns };
                add(mount.source, usage);
            }
            let secrets =
                other.model.section("secrets").filter_map(|(_, secret)| secret.get("file")?.as_str());
            let own: Vec<&str> = self.loaded.env_files.iter().map(String::as_str).collect();
            let files = other.env_files.iter().map(String::as_str).filter(|file| !own.contains(file));
            files.chain(secrets).for_each(|path| add(path.to_owned(), Use::Secret));
        }
        paths
    }

    fn separate_binds(&mut self, name: &str, theirs: &BTreeMap<String, Use>) {
        let Some(service) = self.loaded.model.service(name) else { return };
        let mut covers = Vec::new();
        for mount in service.bind_mounts() {
            if is_system(&mount.source) {
                continue;
            }
            if let Some(usage) = theirs
                .iter()
                .filter(|(path, _)| is_within(&mount.source, path))
                .map(|(_, usage)| *usage)
                .max()
            {
                self.take_apart(name, &mount, usage);
            }
            let inside =
                theirs.iter().filter(|(path, _)| is_within(path, &mount.source) && **path != mount.source);
            covers.extend(inside.map(|(path, usage)| (cover(&mount, path, *usage), path.clone(), *usage)));
        }
        for (cover, path, usage) in covers {
            self.add_mount(name, cover, &path, usage);
        }
    }

    /// The mount is another environment's: configuration is shared read-only, data is replaced by a folder of our own.
    fn take_apart(&mut self, name: &str, mount: &BindMount, usage: Use) {
        let facts = self.loaded.paths.get(&mount.source).copied().unwrap_or_default();
        if usage == Use::Secret {
            // Its own variable or secret file, named in its own files: the user's explicit wish, reported by `check`.
            return;
        }
        if usage == Use::Reads && (mount.read_only || facts.is_file || facts.is_tracked) {
            if !mount.read_only {
                self.change_mount(name, mount, |slot| slot["read_only"] = json!(true));
                self.note(
                    &["services", name, "volumes"],
                    "shared-read-only",
                    format!("`{}` is production's too; only production may change it", mount.source),
                );
            }
            return;
        }
        let relative =
            mount.source.strip_prefix(self.ground.directory).unwrap_or(&mount.source).trim_start_matches('/');
        let own =
            format!("{}/{relative}", self.ground.layout.binds(&self.ground.config.project, &self.out.name));
        self.out.folders.insert(own.clone());
        self.change_mount(name, mount, |slot| slot["source"] = json!(own));
        self.note(
            &["services", name, "volumes"],
            "own-folder",
            format!("`{}` holds another environment's data", mount.source),
        );
        let place = self.place(&["services", name, "volumes"]);
        self.complain(
            Diagnostic::warning(format!(
                "`{name}` of environment `{}` gets a folder of its own in place of `{}`",
                self.out.name, mount.source
            ))
            .at(place)
            .because("the environment before it keeps data there")
            .hint(format!("it starts empty, at {own}")),
        );
    }

    fn change_mount(&mut self, name: &str, mount: &BindMount, change: impl Fn(&mut Value)) {
        let volumes = self.service(name).and_then(|service| service.get_mut("volumes")?.as_array_mut());
        for slot in volumes.into_iter().flatten() {
            if slot.get("target").and_then(Value::as_str) == Some(mount.target.as_str()) {
                change(slot);
            }
        }
    }

    fn add_mount(&mut self, name: &str, cover: Value, path: &str, usage: Use) {
        let Some(service) = self.service(name) else { return };
        let volumes = service.entry("volumes").or_insert_with(|| json!([]));
        let Some(list) = volumes.as_array_mut() else { return };
        // What the user mounts there already hides it.
        if list.iter().any(|mount| mount.get("target") == cover.get("target")) {
            return;
        }
        list.push(cover);
        self.note(&["services", name, "volumes"], "cover", format!("`{path}` lies inside a mounted folder"));
        if usage == Use::Secret {
            let place = self.place(&["services", name, "volumes"]);
            self.complain(
                Diagnostic::warning(format!("`{name}` of environment `{}` mounts a folder in which another environment keeps `{path}`", self.out.name))
                    .at(place)
                    .because("the file is covered in the container, until somebody replaces it by renaming another one over it")
                    .hint(format!("move `{path}` out of the mounted folder")),
            );
        }
    }

    /// Source code of the host inside a production container: what runs is then not what was built.
    fn refuse_source_mounts(&mut self, name: &str) {
        let Some(service) = self.loaded.model.service(name) else { return };
        if self.environment.allows(name, "bind-mount") {
            return;
        }
        let context = service.build_context();
        let mounts = service.bind_mounts();
        let of_source = mounts.iter().find(|mount| {
            let facts = self.loaded.paths.get(&mount.source).copied().unwrap_or_default();
            self.is_source(mount, context, facts)
        });
        let Some(mount) = of_source else { return };
        let index = mounts.iter().position(|other| other == mount).unwrap_or(0).to_string();
        let place = self
            .place(&["services", name, "volumes", &mount.source])
            .or_else(|| self.place(&["services", name, "volumes", &index]));
        self.complain(
            Diagnostic::error(format!("`{name}` of environment `{}` mounts source code from the host", self.out.name))
                .at(place)
                .because(format!("`{}` at `{}`: production would run what lies in that folder, not the image that was built and tested", mount.source, mount.target))
                .hint(format!("in production's overlay write `volumes: !reset []` under `{name}`, or allow it with `allow: [{name}/bind-mount]`")),
        );
    }

    fn is_source(&self, mount: &BindMount, context: Option<&str>, facts: PathFacts) -> bool {
        if facts.is_file || is_system(&mount.source) {
            return false;
        }
        let whole_project = is_within(self.ground.directory, &mount.source);
        let whole_context = context.is_some_and(|context| is_within(context, &mount.source));
        let part_of_context = context.is_some_and(|context| is_within(&mount.source, context))
            && facts.is_tracked
            && !mount.read_only;
        whole_project || whole_context || part_of_context
    }
}

/// A mount that hides or protects `path` where it shows inside `mount`.
fn cover(mount: &BindMount, path: &str, usage: Use) -> Value {
    let target = format!(
        "{}{}",
        mount.target.trim_end_matches('/'),
        &path[mount.source.trim_end_matches('/').len()..]
    );
    match usage {
        Use::Reads => json!({"type": "bind", "source": path, "target": target, "read_only": true}),
        Use::Owns => json!({"type": "tmpfs", "target": target}),
        Use::Secret => json!({"type": "bind", "source": "/dev/null", "target": target, "read_only": true}),
    }
}

/// True when `path` is `folder` or lies below it.
fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Paths of the system that many containers read, such as the time zone; `holes` judges them.
fn is_system(path: &str) -> bool {
    ["/etc", "/dev", "/proc", "/sys", "/run", "/var/run", "/usr", "/lib"]
        .iter()
        .any(|root| is_within(path, root))
}

fn device(volume: &Value) -> Option<Value> {
    volume.get("driver_opts")?.get("device").cloned()
}
