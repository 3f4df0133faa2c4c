//! Trying: what needs a network first, on many threads; what needs the mounts after that, on the only one left.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use procfs::process::Process;
use pw_plan::prove::step::Attempt;
use pw_plan::prove::verdict::Outcome;
use rustix::fs::Access;

use super::name;
use super::path::Sought;

/// On one machine a connection takes less than a millisecond; packets that are dropped never tell.
const PATIENCE: Duration = Duration::from_millis(1500);
/// With one of these, root in a container is root on the host.
const BREAK_OUT: [(u32, &str); 8] = [
    (2, "DAC_READ_SEARCH"),
    (16, "SYS_MODULE"),
    (17, "SYS_RAWIO"),
    (19, "SYS_PTRACE"),
    (21, "SYS_ADMIN"),
    (22, "SYS_BOOT"),
    (25, "SYS_TIME"),
    (39, "BPF"),
];

/// An attempt with what must be known of it before namespaces are entered.
pub(super) struct Ready<'a> {
    attempt: &'a Attempt,
    sought: Option<Sought>,
}

/// What is known of a container from outside.
pub(super) struct Known {
    pub(super) resolver: String,
    /// Capabilities that its processes can have.
    pub(super) capabilities: u64,
}

impl Known {
    pub(super) fn of(pid: Option<i32>) -> Self {
        let process = pid.map_or_else(Process::myself, Process::new).ok();
        let capabilities =
            process.and_then(|process| process.status().ok()).and_then(|status| status.capbnd).unwrap_or(0);
        let root = pid.map_or_else(|| "/".to_owned(), |pid| format!("/proc/{pid}/root/"));
        let text = std::fs::read_to_string(format!("{root}etc/resolv.conf")).unwrap_or_default();
        let resolver = text.lines().find_map(|line| line.strip_prefix("nameserver ")).map(str::trim);
        Self { resolver: resolver.unwrap_or(name::DOCKER).to_owned(), capabilities }
    }
}

impl<'a> Ready<'a> {
    pub(super) fn new(attempt: &'a Attempt, pid: Option<i32>) -> Self {
        let sought = match attempt {
            Attempt::Read { path } | Attempt::Write { path } | Attempt::Socket { path } => {
                Some(Sought::new(path, pid))
            }
            _ => None,
        };
        Self { attempt, sought }
    }

    pub(super) fn wants_network(&self) -> bool {
        matches!(self.attempt, Attempt::Connect { .. } | Attempt::Resolve { .. })
    }

    pub(super) fn carry_out(&self, known: &Known) -> Outcome {
        let begun = Instant::now();
        let (reached, told) = match self.tried(known) {
            Ok(told) => (true, told),
            Err(told) => (false, told),
        };
        Outcome { reached, told, milliseconds: begun.elapsed().as_secs_f64() * 1000.0 }
    }

    fn tried(&self, known: &Known) -> Result<String, String> {
        let nowhere = || "no path leads there".to_owned();
        match (self.attempt, &self.sought) {
            (Attempt::Connect { address, port }, _) => connect(SocketAddr::new(*address, *port)),
            (Attempt::Resolve { name, addresses }, _) => {
                let found = name::resolve(&known.resolver, name).map_err(|error| error.to_string())?;
                match found.iter().find(|one| addresses.contains(one)) {
                    Some(one) => Ok(format!("is {one}")),
                    None if found.is_empty() => Err("no such name".to_owned()),
                    None => Err(format!("is {}, another one", found[0])),
                }
            }
            (Attempt::Read { .. }, Some(sought)) => {
                let at = sought.find(|_| true).ok_or_else(nowhere)?;
                read(&at).map_err(|error| format!("{}: {error}", at.display()))
            }
            (Attempt::Write { .. }, Some(sought)) => {
                let writable = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
                let at = sought.find(writable);
                let read_only = || match sought.find(|_| true) {
                    Some(at) => format!("{} is read-only", at.display()),
                    None => nowhere(),
                };
                at.map(|at| format!("{} is writable", at.display())).ok_or_else(read_only)
            }
            (Attempt::Socket { .. }, Some(sought)) => {
                let at = sought.find(|_| true).ok_or_else(nowhere)?;
                ask(&at).map_err(|error| format!("{}: {error}", at.display()))
            }
            (Attempt::Processes { namespaces }, _) => processes(namespaces.iter().copied().collect()),
            (Attempt::Devices, _) => devices(Path::new("/dev"), 2).ok_or_else(|| "none opens".to_owned()),
            (Attempt::Capabilities, _) => capabilities(known.capabilities),
            _ => Err("was not looked for".to_owned()),
        }
    }
}

fn connect(to: SocketAddr) -> Result<String, String> {
    match TcpStream::connect_timeout(&to, PATIENCE) {
        Ok(_) => Ok("connected".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err("no answer".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// One byte, or one name, shows that it can be read; what it is, nobody is told.
fn read(path: &Path) -> io::Result<String> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path)?.count();
        return Ok(format!("{} shows {entries} entries", path.display()));
    }
    let found = std::fs::File::open(path)?.read(&mut [0; 1])?;
    Ok(format!("{} opens{}", path.display(), if found == 0 { ", and is empty" } else { "" }))
}

/// Any answer will do, also that it does not understand.
fn ask(path: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut first = [0; 12];
    let length = stream.read(&mut first)?;
    Ok(format!("{} answers `{}`", path.display(), String::from_utf8_lossy(&first[..length])))
}

fn processes(namespaces: Vec<u64>) -> Result<String, String> {
    let entries = std::fs::read_dir("/proc").map_err(|error| error.to_string())?;
    let (mut seen, mut theirs) = (0, 0);
    for entry in entries.flatten() {
        let number = entry.file_name().to_string_lossy().parse::<u32>();
        if number.is_err() {
            continue;
        }
        seen += 1;
        let link = std::fs::read_link(entry.path().join("ns/pid")).unwrap_or_default();
        let inode = link.to_string_lossy().trim_start_matches("pid:[").trim_end_matches(']').parse();
        theirs += u32::from(inode.is_ok_and(|inode: u64| namespaces.contains(&inode)));
    }
    match theirs {
        0 => Err(format!("none of {seen} is production's")),
        _ => Ok(format!("{theirs} of {seen} are production's")),
    }
}

fn devices(folder: &Path, deep: u32) -> Option<String> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_block_device() && std::fs::File::open(&path).is_ok() {
            return Some(format!("{} opens", path.display()));
        }
        let found = (kind.is_dir() && deep > 0).then(|| devices(&path, deep - 1)).flatten();
        if found.is_some() {
            return found;
        }
    }
    None
}

fn capabilities(set: u64) -> Result<String, String> {
    let found: Vec<&str> =
        BREAK_OUT.iter().filter(|(bit, _)| set >> bit & 1 == 1).map(|(_, name)| *name).collect();
    if found.is_empty() {
        Err("it has none of them".to_owned())
    } else {
        Ok(format!("it has {}", found.join(", ")))
    }
}
