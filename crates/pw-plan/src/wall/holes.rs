//! What would breach the wall: refused beside production unless allowed, reported in production.

use pw_model::compose::Service;
use pw_model::diagnostic::Diagnostic;
use serde_json::Value;

use super::Wall;

/// One breach: the kind that `allow` names, the key that opens it, and what it lets through.
struct Hole {
    kind: &'static str,
    key: &'static str,
    what: String,
}

/// Rights that lead out of a container.
const CAPABILITIES: &[&str] = &[
    "ALL",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_PTRACE",
    "DAC_READ_SEARCH",
    "SYS_BOOT",
    "BPF",
    "PERFMON",
];
/// Folders of the host that hold every environment's belongings.
const HOST_PATHS: &[&str] = &[
    "/",
    "/etc",
    "/root",
    "/home",
    "/var",
    "/var/lib",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/run",
    "/run",
    "/proc",
    "/sys",
    "/dev",
    "/boot",
    "/usr",
    "/opt",
    "/srv",
    "/mnt",
    "/sys/fs/cgroup",
];

impl Wall<'_> {
    pub(super) fn holes(&mut self) {
        for name in self.service_names() {
            let Some(service) = self.loaded.model.service(&name) else { continue };
            for hole in holes_of(&service) {
                if !self.environment.allows(&name, hole.kind) {
                    let diagnostic = self.breach(&name, &hole);
                    self.complain(diagnostic);
                }
            }
        }
    }

    fn breach(&self, name: &str, hole: &Hole) -> Diagnostic {
        let message = format!("`{name}` of environment `{}` {}", self.out.name, hole.what);
        let place = self.place(&["services", name, hole.key]);
        let hint = format!("remove it in an overlay, or accept it with `allow: [{name}/{}]`", hole.kind);
        if self.is_production() {
            return Diagnostic::warning(message)
                .at(place)
                .because("whoever takes over this container has the host, and with it every environment")
                .hint(hint);
        }
        Diagnostic::error(message)
            .at(place)
            .because("that leads around every wall, into production")
            .hint(hint)
    }
}

fn holes_of(service: &Service<'_>) -> Vec<Hole> {
    let text = |key: &str| service.get(key).and_then(Value::as_str);
    let mut holes = Vec::new();
    let mut add = |kind, key, what: String| holes.push(Hole { kind, key, what });
    if service.get("privileged") == Some(&Value::Bool(true)) {
        add("privileged", "privileged", "is privileged".into());
    }
    if let Some(mode) =
        service.network_mode().filter(|mode| *mode == "host" || mode.starts_with("container:"))
    {
        add("host-network", "network_mode", format!("uses `network_mode: {mode}`"));
    }
    for key in ["pid", "ipc", "uts", "userns_mode", "cgroup"] {
        if text(key).is_some_and(|mode| mode == "host" || mode.starts_with("container:")) {
            add("host-pid", key, format!("shares `{key}` with the host"));
        }
    }
    let capabilities =
        service.get("cap_add").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for capability in
        capabilities.map(|name| name.trim_start_matches("CAP_")).filter(|name| CAPABILITIES.contains(name))
    {
        add("privileged", "cap_add", format!("has the capability `{capability}`"));
    }
    for mount in service.bind_mounts() {
        if mount.source.ends_with("docker.sock")
            || mount.source.ends_with("containerd.sock")
            || mount.source.ends_with("podman.sock")
        {
            add("docker-socket", "volumes", format!("mounts the engine's socket `{}`", mount.source));
        } else if HOST_PATHS.contains(&mount.source.trim_end_matches('/')) || mount.source == "/" {
            add("host-path", "volumes", format!("mounts `{}` of the host", mount.source));
        }
    }
    for device in devices(service).filter(|device| reaches_disks(device)) {
        add("privileged", "devices", format!("has the device `{device}`"));
    }
    let from =
        service.get("volumes_from").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for container in from.filter(|name| name.starts_with("container:")) {
        add("host-path", "volumes_from", format!("mounts the volumes of `{container}`"));
    }
    holes
}

fn devices<'a>(service: &Service<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let list = service.get("devices").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|device| {
        device
            .as_str()
            .map(|text| text.split(':').next().unwrap_or(text))
            .or_else(|| device.get("source")?.as_str())
    })
}

fn reaches_disks(device: &str) -> bool {
    let name = device.trim_start_matches("/dev/");
    device == "/dev"
        || ["sd", "vd", "nvme", "xvd", "mapper", "dm-", "mem", "kmem", "port", "loop"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}
