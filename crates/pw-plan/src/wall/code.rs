//! Source code of the host inside a production container: what runs is then not what was built.

use pw_model::compose::BindMount;
use pw_model::diagnostic::Diagnostic;
use pw_model::source::Place;

use super::Wall;
use super::binds::is_within;

impl Wall<'_> {
    pub(super) fn code_mounts(&mut self) {
        if self.is_production() {
            for name in self.service_names() {
                self.refuse_code_mount(&name);
            }
        }
    }

    fn refuse_code_mount(&mut self, name: &str) {
        let Some(service) = self.loaded.model.service(name) else { return };
        if self.environment.allows(name, "bind-mount") {
            return;
        }
        let context = service.build_context();
        let Some(mount) = service.bind_mounts().into_iter().find(|mount| self.is_code(mount, context)) else {
            return;
        };
        let message = format!("`{name}` of environment `{}` mounts source code from the host", self.out.name);
        let because = format!(
            "`{}` at `{}`: production would run what lies in that folder, not the image that was built and tested",
            mount.source, mount.target
        );
        let hint = format!(
            "in production's overlay write `volumes: !reset []` under `{name}`, or accept it with `allow: [{name}/bind-mount]`"
        );
        self.out.holes.insert(format!("{name}/bind-mount"));
        let place = self.mount_place(name, &mount);
        self.complain(Diagnostic::error(message).at(place).because(because).hint(hint));
    }

    fn is_code(&self, mount: &BindMount, context: Option<&str>) -> bool {
        let facts = self.loaded.paths.get(&mount.source).copied().unwrap_or_default();
        let source = mount.source.as_str();
        if facts.is_file || super::holes::is_host_folder(source) {
            return false;
        }
        // Above the project: a monorepo's root is code, a folder that merely holds projects is not.
        let whole_project =
            source == self.ground.directory || facts.is_tracked && is_within(self.ground.directory, source);
        let whole_context = context.is_some_and(|context| context == source)
            || facts.is_tracked && context.is_some_and(|context| is_within(context, source));
        let part_of_context = facts.is_tracked
            && !mount.read_only
            && !holds_settings(source)
            // What an image looks for in `/etc` is its configuration, whatever the folder is called.
            && !mount.target.starts_with("/etc/")
            && context.is_some_and(|context| is_within(source, context));
        whole_project || whole_context || part_of_context
    }

    /// Where a mount is written; Compose made the path absolute, the user rarely wrote it so.
    pub(super) fn mount_place(&self, name: &str, mount: &BindMount) -> Option<Place> {
        let relative = mount.source.strip_prefix(self.ground.directory).unwrap_or_default();
        let relative = relative.trim_start_matches('/');
        let mut forms = vec![mount.source.clone(), format!("./{relative}"), format!("./{relative}/")];
        forms.push(if relative.is_empty() { ".".to_owned() } else { relative.to_owned() });
        let sources = self.loaded.sources.iter().rev();
        let mut lines = sources.flat_map(|source| {
            forms.iter().filter_map(|form| {
                let place = source.find(&["services", name, "volumes", form])?;
                place.text.contains(&mount.target).then_some(place)
            })
        });
        lines.next().or_else(|| self.place(&["services", name, "volumes"]))
    }
}

/// Folders of a source tree that people mount to configure an image, or to keep its data.
fn holds_settings(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    [
        "conf",
        "setting",
        "init",
        "cert",
        "ssl",
        "data",
        "upload",
        "media",
        "storage",
        "log",
        "template",
        "plugin",
        "theme",
        "provision",
        "locale",
        "system",
        "backup",
        "cache",
        "secret",
        "keys",
    ]
    .iter()
    .any(|word| name.contains(word))
}
