//! Facts of the machine, for `init`, `check` and `assess`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::SystemInfo;
use procfs::Current as _;
use procfs::net::TcpState;
use pw_model::host::{CgroupDriver, CgroupVersion, HostFacts, Listener};
use pw_model::unit::{Bytes, Cpus};
use rustix::fs::Access;

use crate::docker::Engine;
use crate::failed::existing;
use crate::{compose, firewall, group};

const USUAL_DATA_ROOT: &str = "/var/lib/docker";

/// What the host has. Never fails: what cannot be found out is zero, empty or `None`.
pub async fn facts(engine: &Engine, state_root: &Path) -> HostFacts {
    let (info, compose, projects, writes_firewall) =
        tokio::join!(info(engine), compose::version(), engine.compose_projects(), firewall::is_writable());
    let data = info.as_ref().and_then(|info| info.docker_root_dir.clone());
    let (disk_total, disk_free) = disk(data.as_deref().map_or(state_root, Path::new));
    let root = Path::new(group::ROOT);
    let driver = driver(info.as_ref());
    HostFacts {
        cpus: cpus(),
        memory: memory(),
        disk_total,
        disk_free,
        cgroup: version(info.as_ref(), root),
        cgroup_driver: driver,
        live_restore: info.as_ref().and_then(|info| info.live_restore_enabled).unwrap_or(false),
        docker: info.and_then(|info| info.server_version),
        compose,
        listening: listening().into_iter().collect(),
        compose_projects: projects.unwrap_or_default(),
        writes_cgroups: writes_cgroups(root, driver),
        writes_firewall,
        lacks: group::Hands::new(root, data.as_deref().map_or(state_root, Path::new)).lacks(),
    }
}

/// An engine that hangs must not keep whoever protects production from beginning.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which driver the engine gives control groups with; without an engine that answers, that of the groups that stand, and without
/// these the one that it would have.
pub async fn cgroup_driver(engine: &Engine) -> CgroupDriver {
    let info = tokio::time::timeout(PATIENCE, info(engine)).await.ok().flatten();
    let standing = || group::standing_driver(Path::new(group::ROOT));
    if info.is_some() { driver(info.as_ref()) } else { standing().unwrap_or_else(|| driver(None)) }
}

/// Folders whose disks must not fill: where the engine keeps images, containers and volumes, and our state.
pub async fn disks(engine: &Engine, state_root: &Path) -> Vec<PathBuf> {
    let info = tokio::time::timeout(PATIENCE, info(engine)).await.ok().flatten();
    let data = info.and_then(|info| info.docker_root_dir).unwrap_or_else(|| USUAL_DATA_ROOT.to_owned());
    [PathBuf::from(data), state_root.to_owned()].into_iter().filter(|path| path.is_dir()).collect()
}

async fn info(engine: &Engine) -> Option<SystemInfo> {
    engine.docker().await.ok()?.info().await.ok()
}

pub fn cpus() -> Cpus {
    Cpus::whole(std::thread::available_parallelism().map_or(1, usize::from))
}

pub fn memory() -> Bytes {
    Bytes(procfs::Meminfo::current().map_or(0, |info| info.mem_total))
}

/// Size of the filesystem and what is free on it, where `path` is or would be.
fn disk(path: &Path) -> (Bytes, Bytes) {
    let figures = rustix::fs::statvfs(existing(path));
    figures.map_or((Bytes(0), Bytes(0)), |f| (Bytes(f.f_blocks * f.f_frsize), Bytes(f.f_bavail * f.f_frsize)))
}

/// How much is free where the engine keeps what it has, and which part that is of the fuller of its disk and ours.
pub async fn room(engine: &Engine, state_root: &Path) -> (Bytes, f64) {
    let data = info(engine).await.and_then(|info| info.docker_root_dir);
    let (size, free) = disk(data.as_deref().map_or(state_root, Path::new));
    let part = |(size, free): (Bytes, Bytes)| free.0 as f64 / size.0.max(1) as f64;
    (free, part((size, free)).min(part(disk(state_root))))
}

fn version(info: Option<&SystemInfo>, root: &Path) -> CgroupVersion {
    match info.and_then(|info| info.cgroup_version).map(|version| version.to_string()).as_deref() {
        Some("1") => CgroupVersion::V1,
        Some("2") => CgroupVersion::V2,
        _ => group::version(root),
    }
}

/// Without an engine, a host that runs systemd will have an engine that uses it.
fn driver(info: Option<&SystemInfo>) -> CgroupDriver {
    match info.and_then(|info| info.cgroup_driver).map(|driver| driver.to_string()).as_deref() {
        Some("systemd") => CgroupDriver::Systemd,
        None if Path::new("/run/systemd/system").exists() => CgroupDriver::Systemd,
        _ => CgroupDriver::Cgroupfs,
    }
}

/// True where limits of control groups can be set by whoever runs this.
pub fn writes_cgroups(root: &Path, driver: CgroupDriver) -> bool {
    let place = if group::version(root) == CgroupVersion::V2 { root.to_path_buf() } else { root.join("cpu") };
    match driver {
        CgroupDriver::Cgroupfs => rustix::fs::access(place, Access::WRITE_OK).is_ok(),
        CgroupDriver::Systemd => rustix::process::geteuid().is_root(),
    }
}

/// Ports on which something listens, in this network namespace.
pub fn listening() -> BTreeSet<Listener> {
    let tcp = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let tcp = tcp.filter(|one| one.state == TcpState::Listen).map(|one| listener(one.local_address, "tcp"));
    let udp = [procfs::net::udp(), procfs::net::udp6()].into_iter().flatten().flatten();
    // A socket with a peer is somebody's conversation, not a service.
    let udp = udp.filter(|one| one.remote_address.port() == 0).map(|one| listener(one.local_address, "udp"));
    tcp.chain(udp).collect()
}

fn listener(address: SocketAddr, protocol: &str) -> Listener {
    Listener { address: address.ip().to_string(), port: address.port(), protocol: protocol.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_we_open_is_seen() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let wanted = Listener { address: "127.0.0.1".into(), port, protocol: "tcp".into() };
        assert!(listening().contains(&wanted));
    }
}
