//! Named volumes of its own for each environment.

use pw_model::diagnostic::Diagnostic;
use serde_json::{Value, json};

use super::binds::{is_within, share_a_path};
use super::{Rendered, Wall};

impl Wall<'_> {
    pub(super) fn volumes(&mut self) {
        let keys: Vec<String> = self.loaded.model.section("volumes").map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            self.own_volume(&key);
        }
    }

    fn own_volume(&mut self, key: &str) {
        let own = format!("{}_{key}", self.out.compose_project);
        let written = self.out.model["volumes"][key].clone();
        let name = written.get("name").and_then(Value::as_str).unwrap_or(&own).to_owned();
        let external = written.get("external") == Some(&Value::Bool(true));
        if self.is_first_production() && (external || name != own) {
            // Production's data is already there under that name.
            return;
        }
        let shared = self.before.iter().any(|(_, other)| stores_together(&written, other));
        let slot = &mut self.out.model["volumes"][key];
        if external || shared || !slot.is_object() {
            *slot = json!({});
        }
        slot["name"] = json!(own);
        if external || shared || name != own {
            let what = if shared { "the same place".to_owned() } else { format!("`{name}`") };
            self.say_own_volume(key, &what);
        }
    }

    fn say_own_volume(&mut self, key: &str, what: &str) {
        let because = format!("{what} may hold another environment's data");
        self.note(&["volumes", key], "own-volume", because.as_str());
        let own = format!("{}_{key}", self.out.compose_project);
        let place = self.place(&["volumes", key]);
        let message = format!("environment `{}` gets a volume of its own for `{key}`", self.out.name);
        let hint = format!("`{own}` starts empty; copy into it what this environment should begin with");
        self.complain(Diagnostic::warning(message).at(place).because(because).hint(hint));
    }
}

/// True when a volume that is written like this keeps its files where one of the other environment does.
fn stores_together(volume: &Value, other: &Rendered) -> bool {
    let theirs = other.model.get("volumes").and_then(Value::as_object);
    let by_volume = theirs.into_iter().flatten().any(|(_, other)| same_store(volume, other));
    let folder = host_folder(volume);
    by_volume
        || folder.is_some_and(|folder| {
            let mounts = super::binds::mounts_of(&other.model);
            mounts.iter().any(|(_, mount)| share_a_path(folder, &mount.source))
        })
}

fn same_store(one: &Value, other: &Value) -> bool {
    let options = |volume: &Value| volume.get("driver_opts").filter(|options| !options.is_null()).cloned();
    match (options(one), options(other)) {
        (Some(one), Some(other)) => match (device(&one), device(&other)) {
            (Some(one), Some(other)) => is_within(one, other) || is_within(other, one),
            (None, None) => one == other && !is_in_memory(&one),
            _ => false,
        },
        _ => false,
    }
}

/// What is mounted: a folder, a disk, an export. Nothing for what lives in memory only.
fn device(options: &Value) -> Option<&str> {
    let device = options.get("device")?.as_str()?.trim_start_matches(':');
    (!is_in_memory(options) && !device.is_empty()).then_some(device)
}

fn is_in_memory(options: &Value) -> bool {
    options.get("type").and_then(Value::as_str) == Some("tmpfs")
}

/// The folder of the host that a volume of the `local` driver really is.
pub(super) fn host_folder(volume: &Value) -> Option<&str> {
    let options = volume.get("driver_opts")?;
    let bound = options.get("o").and_then(Value::as_str)?.split(',').any(|option| option.ends_with("bind"));
    let folder = device(options).filter(|device| device.starts_with('/'))?;
    bound.then_some(folder)
}
