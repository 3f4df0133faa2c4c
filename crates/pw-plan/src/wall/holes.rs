//! What would breach the wall: refused beside production unless allowed, reported in production.

use pw_model::compose::{BindMount, Service};
use pw_model::diagnostic::Diagnostic;
use pw_model::source::Place;
use serde_json::Value;

use super::Wall;
use super::binds::{folders_behind_volumes, share_a_path};

/// One breach: the kind that `allow` names, the key that opens it, and what it lets through.
struct Hole {
    kind: &'static str,
    key: &'static str,
    what: String,
    mount: Option<BindMount>,
}

/// Rights that lead out of a container, or change what all containers share.
const CAPABILITIES: &[&str] = &[
    "ALL",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_TIME",
    "DAC_READ_SEARCH",
    "SYS_BOOT",
    "BPF",
    "PERFMON",
];
/// Folders of the host that hold every environment's belongings.
const HOST_FOLDERS: &[&str] = &[
    "/",
    "/etc",
    "/root",
    "/home",
    "/var",
    "/var/lib",
    "/var/log",
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
    "/media",
    "/sys/fs/cgroup",
];
/// Folders of which every part belongs to all: the engine's own, and the processes of the host.
const HOST_TREES: &[&str] = &[
    "/var/lib/docker",
    "/var/lib/containerd",
    "/run/containerd",
    "/var/run/containerd",
    "/run/docker",
    "/proc",
    "/boot",
];
const SOCKETS: &[&str] = &["docker.sock", "containerd.sock", "podman.sock", "crio.sock"];
/// Disks and memory of the host.
const DEVICES: &[&str] = &[
    "sd", "hd", "vd", "nvme", "xvd", "mmcblk", "md", "mapper", "dm-", "mem", "kmem", "port", "loop", "disk",
];

impl Wall<'_> {
    pub(super) fn holes(&mut self) {
        for name in self.service_names() {
            for hole in self.holes_of(&name) {
                if !self.environment.allows(&name, hole.kind) {
                    self.out.holes.insert(format!("{name}/{}", hole.kind));
                    let diagnostic = self.breach(&name, &hole);
                    self.complain(diagnostic);
                }
            }
        }
    }

    fn holes_of(&self, name: &str) -> Vec<Hole> {
        let Some(service) = self.loaded.model.service(name) else { return Vec::new() };
        let mut holes = of_rights(&service);
        holes.extend(of_namespaces(&service));
        holes.extend(of_devices(&service));
        let state = self.ground.layout.root();
        let binds = self.out.model["services"].get(name).map(super::binds::binds_of).unwrap_or_default();
        let written = service.bind_mounts();
        let ours = |mount: &BindMount| written.iter().any(|other| other.source == mount.source);
        let binds = binds.into_iter().map(|(_, mount)| mount).filter(ours);
        let behind =
            self.out.model["services"].get(name).map(|all| folders_behind_volumes(&self.out.model, all));
        holes.extend(binds.chain(behind.into_iter().flatten()).filter_map(|mount| of_mount(mount, state)));
        holes
    }

    fn breach(&self, name: &str, hole: &Hole) -> Diagnostic {
        let message = format!("`{name}` of environment `{}` {}", self.out.name, hole.what);
        let fix = match hole.key {
            "volumes" => {
                format!("leave that mount out in an overlay (`volumes: !override […]` under `{name}`)")
            }
            key => format!("take it away in an overlay (`{key}: !reset null` under `{name}`)"),
        };
        let hint = format!("{fix}, or accept it with `allow: [{name}/{}]` in partywall.yaml", hole.kind);
        let (diagnostic, because) = if self.is_production() {
            let because = "whoever takes over this container has the host, and with it every environment";
            (Diagnostic::warning(message), because)
        } else {
            (Diagnostic::error(message), "that leads around every wall, into production")
        };
        diagnostic.at(self.place_of_hole(name, hole)).because(because).hint(hint)
    }

    fn place_of_hole(&self, name: &str, hole: &Hole) -> Option<Place> {
        match &hole.mount {
            Some(mount) => self.mount_place(name, mount),
            None => self.place(&["services", name, hole.key]),
        }
    }
}

fn hole(kind: &'static str, key: &'static str, what: String) -> Hole {
    Hole { kind, key, what, mount: None }
}

fn of_rights(service: &Service<'_>) -> Vec<Hole> {
    let mut holes = Vec::new();
    if service.get("privileged") == Some(&Value::Bool(true)) {
        holes.push(hole("privileged", "privileged", "is privileged".into()));
    }
    let names = texts(service, "cap_add").map(|name| name.to_uppercase().replacen("CAP_", "", 1));
    holes.extend(
        names
            .filter(|name| CAPABILITIES.contains(&name.as_str()))
            .map(|name| hole("privileged", "cap_add", format!("has the capability `{name}`"))),
    );
    holes
}

fn of_namespaces(service: &Service<'_>) -> Vec<Hole> {
    let mode = |key: &str| {
        let text = service.get(key).and_then(Value::as_str);
        text.filter(|mode| *mode == "host" || mode.starts_with("container:"))
    };
    let mut holes = Vec::new();
    if let Some(mode) = mode("network_mode") {
        holes.push(hole("host-network", "network_mode", format!("uses `network_mode: {mode}`")));
    }
    for key in ["pid", "ipc", "uts", "userns_mode", "cgroup"] {
        if let Some(mode) = mode(key) {
            holes.push(hole("host-pid", key, format!("uses `{key}: {mode}`")));
        }
    }
    for container in texts(service, "volumes_from").filter(|name| name.starts_with("container:")) {
        holes.push(hole("host-path", "volumes_from", format!("mounts the volumes of `{container}`")));
    }
    holes
}

fn of_devices(service: &Service<'_>) -> Vec<Hole> {
    let devices = service.get("devices").and_then(Value::as_array).into_iter().flatten();
    let sources = devices.filter_map(|device| device.as_str().or_else(|| device.get("source")?.as_str()));
    let mut holes: Vec<Hole> = sources
        .map(|device| device.split(':').next().unwrap_or(device))
        .filter(|device| reaches_disks(device))
        .map(|device| hole("privileged", "devices", format!("has the device `{device}`")))
        .collect();
    // `a` is every device and `b` every disk; a container may make the device file itself.
    holes.extend(
        texts(service, "device_cgroup_rules")
            .filter(|rule| rule.starts_with(['a', 'b']))
            .map(|rule| hole("privileged", "device_cgroup_rules", format!("may use the devices `{rule}`"))),
    );
    holes
}

fn of_mount(mount: BindMount, state: &str) -> Option<Hole> {
    let source = mount.source.as_str();
    let (kind, what) = if SOCKETS.iter().any(|socket| source.ends_with(socket)) {
        ("docker-socket", format!("mounts the engine's socket `{source}`"))
    } else if share_a_path(source, state) && !is_host_folder(source) {
        ("host-path", format!("mounts `{source}`, where Partywall keeps all environments' files"))
    } else if is_host_folder(source) {
        ("host-path", format!("mounts `{source}` of the host"))
    } else if source.strip_prefix("/dev/").is_some() && reaches_disks(source) {
        ("privileged", format!("mounts the device `{source}`"))
    } else {
        return None;
    };
    Some(Hole { kind, key: "volumes", what, mount: Some(mount) })
}

/// True for folders that people mount to look at the whole host, or at the engine's belongings.
pub(super) fn is_host_folder(path: &str) -> bool {
    path == "/"
        || HOST_FOLDERS.contains(&path.trim_end_matches('/'))
        || HOST_TREES.iter().any(|tree| share_a_path(path, tree))
}

fn texts<'a>(service: &Service<'a>, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    service.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn reaches_disks(device: &str) -> bool {
    let name = device.trim_start_matches("/dev/");
    device == "/dev" || DEVICES.iter().any(|prefix| name.starts_with(prefix))
}
