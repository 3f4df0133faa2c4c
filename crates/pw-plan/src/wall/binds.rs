//! Bind mounts that cannot reach another environment's data, variables or secrets.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::compose::BindMount;
use pw_model::diagnostic::Diagnostic;
use pw_model::role::Role;
use serde_json::{Value, json};

use super::volumes::host_folder;
use super::{Loaded, PathFacts, Rendered, Wall};

/// What another environment does with a path that it mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// Configuration or source: may be looked at, not changed.
    Reads,
    /// Data: neither looked at nor changed.
    Owns,
    /// Variables and secrets.
    Secret,
}

/// A mount of the service, and where it stands in its `volumes`.
struct Slot<'s> {
    service: &'s str,
    index: usize,
    mount: BindMount,
}

impl Wall<'_> {
    pub(super) fn binds(&mut self) {
        let theirs = self.paths_of_others();
        for name in self.service_names() {
            for (index, mount) in self.out.model["services"].get(&name).map(binds_of).unwrap_or_default() {
                self.separate(&Slot { service: &name, index, mount }, &theirs);
            }
        }
    }

    /// Every path that an environment before this one mounts or keeps secrets in.
    fn paths_of_others(&self) -> BTreeMap<String, Use> {
        let mut paths = BTreeMap::new();
        let ours: BTreeSet<&str> = self.loaded.all_env_files().collect();
        for (loaded, rendered) in self.before {
            let files = self.files_that_decide(loaded).into_iter().map(|path| (path, Use::Reads));
            for (path, usage) in paths_of(loaded, rendered).into_iter().chain(files) {
                // The same variable file for both is the user's wish, and no secret between them.
                if usage != Use::Secret || !ours.contains(path.as_str()) {
                    let known = paths.entry(path).or_insert(usage);
                    *known = (*known).max(usage);
                }
            }
        }
        self.inherit(&mut paths);
        paths
    }

    /// What lies in a folder of data is data, even where it is mounted once more to be read; unless it came with the code.
    fn inherit(&self, paths: &mut BTreeMap<String, Use>) {
        let owned: Vec<String> =
            paths.iter().filter(|(_, usage)| **usage == Use::Owns).map(|(path, _)| path.clone()).collect();
        let tracked = |path: &String| {
            self.before.iter().any(|(other, _)| other.paths.get(path).is_some_and(|facts| facts.is_tracked))
        };
        for (path, usage) in paths.iter_mut().filter(|(_, usage)| **usage == Use::Reads) {
            if !tracked(path) && owned.iter().any(|folder| is_within(path, folder)) {
                *usage = Use::Owns;
            }
        }
    }

    /// Who may write these decides what the other environment runs next.
    fn files_that_decide(&self, other: &Loaded) -> Vec<String> {
        let names = other.sources.iter().chain([self.ground.source]).map(|source| source.name.as_str());
        let inside = names.filter(|name| !name.starts_with("..") && !name.starts_with('/'));
        inside.map(|name| format!("{}/{}", self.ground.directory, name.trim_start_matches("./"))).collect()
    }

    fn separate(&mut self, slot: &Slot<'_>, theirs: &BTreeMap<String, Use>) {
        let source = slot.mount.source.as_str();
        let state = self.ground.layout.root();
        if is_system(source) || super::holes::is_host_folder(source) || share_a_path(source, state) {
            return;
        }
        let around = self.usage_around(source, theirs);
        let inside: Vec<(&String, Use)> = theirs
            .iter()
            .filter(|(path, _)| is_within(path, source) && *path != source)
            .map(|(path, usage)| (path, *usage))
            .collect();
        // A folder of data that holds another's data; one with source is shared with its holes covered.
        let holds_data = !self.is_source_tree(slot) && inside.iter().any(|(_, usage)| *usage == Use::Owns);
        match around {
            Some(Use::Secret) => self.hide_secret(slot),
            Some(Use::Owns) => self.own_folder(slot),
            _ if holds_data => self.own_folder(slot),
            Some(Use::Reads) if !slot.mount.read_only && self.usage(slot) == Use::Owns => {
                self.own_folder(slot);
            }
            Some(Use::Reads) => self.share_read_only(slot, &inside),
            None => {
                self.cover_all(slot, &inside);
                self.hold_parents(slot, &inside);
            }
        }
    }

    /// What the nearest path of another environment that holds `source` is to it.
    fn usage_around(&self, source: &str, theirs: &BTreeMap<String, Use>) -> Option<Use> {
        let around = theirs.iter().filter(|(path, _)| is_within(source, path));
        let (nearest, usage) = around.max_by_key(|(path, _)| path.len())?;
        // A file of the code's that lies in a folder of data.
        let from_code = nearest != source && self.facts(source).is_tracked;
        Some(if from_code { Use::Reads } else { *usage })
    }

    fn is_source_tree(&self, slot: &Slot<'_>) -> bool {
        let source = slot.mount.source.as_str();
        let service = self.loaded.model.service(slot.service);
        let context = service.and_then(|service| service.build_context());
        self.facts(source).is_tracked
            || is_within(self.ground.directory, source)
            || context.is_some_and(|context| is_within(context, source))
    }

    fn facts(&self, path: &str) -> PathFacts {
        self.loaded.paths.get(path).copied().unwrap_or_default()
    }

    fn usage(&self, slot: &Slot<'_>) -> Use {
        let role = self.out.roles.get(slot.service).copied();
        usage_of(&slot.mount, self.facts(&slot.mount.source), role)
    }

    /// Data is replaced by a folder of our own.
    fn own_folder(&mut self, slot: &Slot<'_>) {
        if self.facts(&slot.mount.source).is_file {
            return self.refuse_data_file(slot);
        }
        let own = self.folder_for(&slot.mount.source);
        self.out.folders.insert(own.clone());
        self.change(slot, "source", json!(own));
        let source = &slot.mount.source;
        self.note_mount(slot, "own-folder", format!("`{source}` holds another environment's data"));
        let message = format!(
            "`{}` of environment `{}` gets a folder of its own in place of `{source}`",
            slot.service, self.out.name
        );
        self.complain(
            Diagnostic::warning(message)
                .at(self.mount_place(slot.service, &slot.mount))
                .because("another environment keeps data there")
                .hint(format!("it starts empty, at {own}")),
        );
    }

    fn refuse_data_file(&mut self, slot: &Slot<'_>) {
        let source = &slot.mount.source;
        let message = format!(
            "`{}` of environment `{}` mounts another environment's data `{source}`",
            slot.service, self.out.name
        );
        self.complain(
            Diagnostic::error(message)
                .at(self.mount_place(slot.service, &slot.mount))
                .because("a single file cannot be replaced by an empty folder")
                .hint(format!(
                    "in an overlay of `{}` mount a file of its own at `{}`, or a named volume at its folder",
                    self.out.name, slot.mount.target
                )),
        );
    }

    /// Where data stands that is another's at `source`; one place for all services that mount it.
    fn folder_for(&self, source: &str) -> String {
        let binds = self.ground.layout.binds(&self.ground.config.project, &self.out.name);
        match source.strip_prefix(self.ground.directory).filter(|_| is_within(source, self.ground.directory))
        {
            Some("" | "/") => format!("{binds}/_project"),
            Some(relative) => format!("{binds}/{}", relative.trim_start_matches('/')),
            None => format!("{binds}/_host{source}"),
        }
    }

    /// A secret or variable file of another environment, mounted by its path.
    fn hide_secret(&mut self, slot: &Slot<'_>) {
        let source = &slot.mount.source;
        self.change(slot, "source", json!("/dev/null"));
        self.change(slot, "read_only", json!(true));
        self.note_mount(slot, "cover", format!("`{source}` holds another environment's secrets"));
        let message = format!(
            "`{}` of environment `{}` finds an empty file in place of `{source}`",
            slot.service, self.out.name
        );
        self.complain(
            Diagnostic::warning(message)
                .at(self.mount_place(slot.service, &slot.mount))
                .because("another environment keeps its secrets or variables there")
                .hint(format!("mount a file of its own in an overlay of `{}`", self.out.name)),
        );
    }

    /// Configuration is shared, and only the first environment may change it.
    fn share_read_only(&mut self, slot: &Slot<'_>, inside: &[(&String, Use)]) {
        let source = &slot.mount.source;
        if !slot.mount.read_only {
            self.change(slot, "read_only", json!(true));
            let because = format!("`{source}` is another environment's too; this one must not change it");
            self.note_mount(slot, "shared-read-only", because);
        }
        if looks_secret(source) {
            let message = format!(
                "`{}` of environment `{}` reads `{source}`, which another environment uses too",
                slot.service, self.out.name
            );
            self.complain(
                Diagnostic::warning(message)
                    .at(self.mount_place(slot.service, &slot.mount))
                    .because("by its name it holds keys or passwords")
                    .hint(format!("mount others in an overlay of `{}`", self.out.name)),
            );
        }
        self.cover_all(slot, inside);
    }

    fn cover_all(&mut self, slot: &Slot<'_>, inside: &[(&String, Use)]) {
        for (path, usage) in inside {
            self.cover(slot, path, *usage);
        }
    }

    /// Mounts folders onto themselves: the kernel renames no mount point, so what is covered below stays where its cover is.
    fn hold_parents(&mut self, slot: &Slot<'_>, inside: &[(&String, Use)]) {
        for folder in parents(&slot.mount, inside) {
            let target = shown_at(&slot.mount, &folder);
            let bind = json!({"create_host_path": true});
            let itself = json!({"type": "bind", "source": folder, "target": target, "bind": bind});
            let because = format!("`{folder}` cannot be renamed, for what lies in it is covered");
            self.add_mount(slot.service, itself, because);
        }
    }

    /// True when nothing was mounted there before; what the user mounts hides what is below it already.
    fn add_mount(&mut self, service: &str, mount: Value, because: String) -> bool {
        let Some(list) = self.service(service).and_then(|service| service.get_mut("volumes")) else {
            return false;
        };
        let Some(list) = list.as_array_mut() else { return false };
        if list.iter().any(|there| there.get("target") == mount.get("target")) {
            return false;
        }
        list.push(mount);
        let index = (list.len() - 1).to_string();
        self.note(&["services", service, "volumes", &index], "cover", because);
        true
    }

    fn cover(&mut self, slot: &Slot<'_>, path: &str, usage: Use) {
        let because = format!("`{path}` is another environment's and lies inside a mounted folder");
        let is_new = self.add_mount(slot.service, cover_of(&slot.mount, path, usage), because);
        if is_new && usage == Use::Secret {
            self.warn_of_covered_secret(slot, path);
        }
    }

    fn warn_of_covered_secret(&mut self, slot: &Slot<'_>, path: &str) {
        let message = format!(
            "`{}` of environment `{}` mounts a folder in which another environment keeps `{path}`",
            slot.service, self.out.name
        );
        self.complain(
            Diagnostic::warning(message)
                .at(self.mount_place(slot.service, &slot.mount))
                .because("the file is covered in the container, until somebody on the host replaces it by renaming another one over it, as editors do")
                .hint(format!("move `{path}` out of the mounted folder")),
        );
    }

    fn change(&mut self, slot: &Slot<'_>, key: &str, value: Value) {
        let volumes = self.service(slot.service).and_then(|service| service.get_mut("volumes"));
        if let Some(entry) = volumes.and_then(|volumes| volumes.get_mut(slot.index)) {
            entry[key] = value;
        }
    }

    fn note_mount(&mut self, slot: &Slot<'_>, rule: &'static str, because: String) {
        self.note(&["services", slot.service, "volumes", &slot.index.to_string()], rule, because);
    }
}

fn paths_of(loaded: &Loaded, rendered: &Rendered) -> Vec<(String, Use)> {
    let mut paths = Vec::new();
    for (service, mount) in mounts_of(&rendered.model) {
        if !is_system(&mount.source) {
            let facts = loaded.paths.get(&mount.source).copied().unwrap_or_default();
            let usage = usage_of(&mount, facts, rendered.roles.get(&service).copied());
            paths.push((mount.source, usage));
        }
    }
    let files = loaded.model.section("secrets").filter_map(|(_, secret)| secret.get("file")?.as_str());
    let files = files.chain(loaded.all_env_files());
    paths.extend(files.map(|path| (path.to_owned(), Use::Secret)));
    paths
}

/// Data that does not lie in the environment's own volumes and folders: bind mounts, and volumes that somebody else made.
pub(crate) fn kept_data(loaded: &Loaded, rendered: &Rendered, state: &str) -> Vec<String> {
    let used = mounts_of(&rendered.model).into_iter().filter(|(service, mount)| {
        let facts = loaded.paths.get(&mount.source).copied().unwrap_or_default();
        let ours = is_within(&mount.source, state) || is_system(&mount.source);
        !ours && usage_of(mount, facts, rendered.roles.get(service).copied()) == Use::Owns
    });
    let volumes = rendered.model.get("volumes").and_then(Value::as_object);
    let external = volumes.into_iter().flatten().filter(|(_, one)| one.get("external") == Some(&json!(true)));
    let names = external.filter_map(|(_, one)| Some(format!("volume {}", one.get("name")?.as_str()?)));
    let all: BTreeSet<String> = used.map(|(_, mount)| mount.source).chain(names).collect();
    all.into_iter().collect()
}

fn usage_of(mount: &BindMount, facts: PathFacts, role: Option<Role>) -> Use {
    let stateful = role.is_some_and(Role::is_stateful) && !looks_like_configuration(&mount.target);
    let data = match (facts.is_file, facts.is_tracked) {
        (true, tracked) => !tracked && looks_like_data_file(&mount.source),
        // A database's folder with a placeholder in version control is still a database's folder.
        (false, true) => stateful,
        (false, false) => true,
    };
    if data && !mount.read_only { Use::Owns } else { Use::Reads }
}

fn looks_like_configuration(target: &str) -> bool {
    ["conf", "/etc", "initdb", "init.d", "cert", "script", "plugin"].iter().any(|word| target.contains(word))
}

fn looks_like_data_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "acme.json"
        || [".db", ".sqlite", ".sqlite3", ".rdb", ".mdb", ".log"].iter().any(|end| name.ends_with(end))
}

fn looks_secret(path: &str) -> bool {
    let lower = path.to_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    [".key", ".p12", ".pfx", ".jks", ".pem", ".env"].iter().any(|end| name.ends_with(end))
        || ["secret", "credential", "password", "htpasswd", "id_rsa", "id_ed25519", "private", "letsencrypt"]
            .iter()
            .any(|word| name.contains(word))
}

/// A mount that hides or protects `path` where it shows inside `mount`.
fn cover_of(mount: &BindMount, path: &str, usage: Use) -> Value {
    let target = shown_at(mount, path);
    match usage {
        Use::Reads => json!({"type": "bind", "source": path, "target": target, "read_only": true}),
        Use::Owns => json!({"type": "tmpfs", "target": target}),
        Use::Secret => json!({"type": "bind", "source": "/dev/null", "target": target, "read_only": true}),
    }
}

/// Where a path inside the mount's source shows in the container.
fn shown_at(mount: &BindMount, path: &str) -> String {
    let inner = &path[mount.source.trim_end_matches('/').len()..];
    format!("{}{inner}", mount.target.trim_end_matches('/'))
}

/// Folders between a writable mount and what is covered in it, outermost first. Not those inside of a cover: they are
/// hidden or read-only already.
fn parents(mount: &BindMount, covered: &[(&String, Use)]) -> BTreeSet<String> {
    let above = covered.iter().flat_map(|(path, _)| {
        let folders = std::iter::successors(path.rsplit_once('/'), |(folder, _)| folder.rsplit_once('/'));
        folders.map(|(folder, _)| folder)
    });
    let between = above.filter(|folder| is_within(folder, &mount.source) && *folder != mount.source);
    let is_covered = |folder: &str| covered.iter().any(|(path, _)| is_within(folder, path));
    between.filter(|folder| !mount.read_only && !is_covered(folder)).map(str::to_owned).collect()
}

/// Every folder of the host that services mount, plainly or behind a named volume.
pub(super) fn mounts_of(model: &Value) -> Vec<(String, BindMount)> {
    let services = model.get("services").and_then(Value::as_object);
    let mut mounts = Vec::new();
    for (name, service) in services.into_iter().flatten() {
        let binds = binds_of(service).into_iter().map(|(_, mount)| mount);
        let all = binds.chain(folders_behind_volumes(model, service));
        mounts.extend(all.map(|mount| (name.clone(), mount)));
    }
    mounts
}

/// Bind mounts with their position in `volumes`.
pub(super) fn binds_of(service: &Value) -> Vec<(usize, BindMount)> {
    let list = service.get("volumes").and_then(Value::as_array);
    let entries = list.into_iter().flatten().enumerate();
    entries
        .filter(|(_, entry)| entry.get("type").and_then(Value::as_str) == Some("bind"))
        .filter_map(|(index, entry)| Some((index, mount(entry, entry.get("source")?.as_str()?)?)))
        .collect()
}

/// Named volumes that are a folder of the host in truth.
pub(super) fn folders_behind_volumes(model: &Value, service: &Value) -> Vec<BindMount> {
    let list = service.get("volumes").and_then(Value::as_array);
    let named = list.into_iter().flatten().filter_map(|entry| {
        let volume = model.get("volumes")?.get(entry.get("source")?.as_str()?)?;
        mount(entry, host_folder(volume)?)
    });
    named.collect()
}

fn mount(entry: &Value, source: &str) -> Option<BindMount> {
    Some(BindMount {
        source: source.to_owned(),
        target: entry.get("target")?.as_str()?.to_owned(),
        read_only: entry.get("read_only").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// True when `path` is `folder` or lies below it.
pub(super) fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// True when one of the two lies in the other, or both are the same.
pub(super) fn share_a_path(one: &str, other: &str) -> bool {
    is_within(one, other) || is_within(other, one)
}

/// Paths of the system that many containers use, such as the time zone; `holes` judges them.
pub(super) fn is_system(path: &str) -> bool {
    let folders =
        ["/dev", "/proc", "/sys", "/run", "/var/run", "/lib", "/usr/share", "/usr/lib", "/etc/ssl/certs"];
    let files = [
        "/etc/localtime",
        "/etc/timezone",
        "/etc/machine-id",
        "/etc/os-release",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/etc/passwd",
        "/etc/group",
    ];
    folders.iter().any(|root| is_within(path, root)) || files.contains(&path)
}
