//! What an attacker does to the machine, each within its time and its bounds.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pw_plan::prove::step::{Blast, Bounds, Site};
use rustix::fs::OFlags;

use super::order::{Common, Order};

const MEGABYTE: usize = 1 << 20;
/// Alignment that every disk takes for direct writes.
const ALIGNED: usize = 4096;
/// Connections of the hog.
const LINES: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// Does its worst, and tells what it got done.
pub(super) fn blast(
    common: &Common,
    blast: Blast,
    bounds: &Bounds,
    site: Option<&Site>,
) -> io::Result<String> {
    let until = Instant::now() + Duration::from_secs_f64(common.seconds);
    match (blast, site) {
        (Blast::Cpu, _) => Ok(spin(until)),
        (Blast::Memory, _) => feast(common, bounds.memory.0, until),
        (Blast::Fork, _) => {
            multiply(common, bounds.processes.max(2).ilog2());
            Ok("processes that start processes".to_owned())
        }
        (Blast::Cache, _) => through_cache(common, bounds.disk.0, until),
        (Blast::Direct, _) => past_cache(common, bounds.disk.0, until),
        (Blast::Disk, _) => fill(common, bounds.disk.0, until),
        (Blast::Bandwidth, Some(site)) => {
            common.enter_network()?;
            Ok(hog(site, until))
        }
        (Blast::Bandwidth, None) => Ok("there is nothing to ask for".to_owned()),
    }
}

fn spin(until: Instant) -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < until {
                    std::hint::black_box((0..10_000_u64).sum::<u64>());
                }
            });
        }
    });
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    format!("{:.1} s of processors", used.tv_sec as f64 + used.tv_nsec as f64 / 1e9)
}

/// Another copy of this program, which lives where this one does.
fn again(order: &Order) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("attack").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let told = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(&serde_json::to_vec(order)?));
    told.map(|()| child)
}

/// What a child of this process is told.
fn below(until: Instant) -> Common {
    Common {
        parent: std::process::id(),
        pid: None,
        groups: Vec::new(),
        seconds: until.saturating_duration_since(Instant::now()).as_secs_f64(),
    }
}

fn feast(common: &Common, bytes: u64, until: Instant) -> io::Result<String> {
    let (mut whole, mut killed) = (0, 0);
    while Instant::now() < until {
        let mut child = again(&Order::Eat { common: Common { pid: common.pid, ..below(until) }, bytes })?;
        match child.wait()?.signal() {
            Some(9) => killed += 1,
            _ => whole += 1,
        }
    }
    let size = pw_model::unit::Bytes(bytes);
    Ok(format!("{size} taken {whole} times, and killed for it {killed} times"))
}

/// Every page is written to, or the kernel gives none.
pub(super) fn eat(common: &Common, bytes: u64) {
    let until = Instant::now() + Duration::from_secs_f64(common.seconds);
    let mut held = Vec::new();
    while (held.len() * 16 * MEGABYTE) as u64 <= bytes && Instant::now() < until {
        held.push(std::hint::black_box(vec![1_u8; 16 * MEGABYTE]));
    }
}

/// Starts two like itself, and others for those that were refused, until its time is over.
pub(super) fn multiply(common: &Common, depth: u32) {
    let until = Instant::now() + Duration::from_secs_f64(common.seconds);
    let mut children = Vec::new();
    while Instant::now() < until {
        if depth > 1 && children.len() < 2 {
            children.extend(again(&Order::Fork { common: below(until), depth: depth - 1 }).ok());
        }
        children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        std::thread::sleep(PAUSE);
    }
    for mut child in children {
        drop(child.kill());
        drop(child.wait());
    }
}

/// A file of the container's own layer, without a name: it goes with who holds it, however that ends.
fn scratch(common: &Common, flags: OFlags) -> io::Result<File> {
    let pid = common.pid.unwrap_or_default();
    let path = PathBuf::from(format!("/proc/{pid}/root/.partywall-prove-{}", std::process::id()));
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).write(true).create_new(true).custom_flags(flags).open(&path);
    drop(std::fs::remove_file(&path));
    file
}

fn written(bytes: u64) -> String {
    format!("{} written", pw_model::unit::Bytes(bytes))
}

fn through_cache(common: &Common, most: u64, until: Instant) -> io::Result<String> {
    let (mut file, block, mut done) = (scratch(common, OFlags::empty())?, vec![7_u8; MEGABYTE], 0);
    let mut read = vec![0; MEGABYTE];
    while Instant::now() < until {
        let mut size = 0;
        file.rewind()?;
        while size < most && Instant::now() < until {
            file.write_all(&block)?;
            size += MEGABYTE as u64;
        }
        file.rewind()?;
        while Instant::now() < until && file.read(&mut read)? > 0 {}
        file.set_len(0)?;
        done += size;
    }
    Ok(written(done))
}

fn past_cache(common: &Common, most: u64, until: Instant) -> io::Result<String> {
    // Not every file system takes direct writes.
    let file = scratch(common, OFlags::DIRECT).or_else(|_| scratch(common, OFlags::DSYNC));
    let (mut file, space) = (file?, vec![7_u8; MEGABYTE + ALIGNED]);
    let start = space.as_ptr().align_offset(ALIGNED).min(ALIGNED);
    let block = &space[start..start + MEGABYTE];
    let mut done = 0;
    while Instant::now() < until {
        file.rewind()?;
        let mut size = 0;
        while size < most && Instant::now() < until {
            file.write_all(block)?;
            size += MEGABYTE as u64;
        }
        done += size;
    }
    Ok(written(done))
}

fn fill(common: &Common, most: u64, until: Instant) -> io::Result<String> {
    let (mut file, block, mut done) = (scratch(common, OFlags::empty())?, vec![7_u8; 8 * MEGABYTE], 0);
    while Instant::now() < until {
        let mut size = 0;
        file.rewind()?;
        while size < most && Instant::now() < until {
            file.write_all(&block)?;
            file.sync_data()?;
            size += block.len() as u64;
        }
        file.set_len(0)?;
        done += size;
    }
    Ok(written(done))
}

fn hog(site: &Site, until: Instant) -> String {
    let line = || {
        let (mut answers, mut bytes) = (0_u64, 0_u64);
        while Instant::now() < until {
            match page(site, until) {
                Ok(read) => (answers, bytes) = (answers + 1, bytes + read),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        (answers, bytes)
    };
    let (answers, bytes) = std::thread::scope(|scope| {
        let lines: Vec<_> = (0..LINES).map(|_| scope.spawn(line)).collect();
        let all = lines.into_iter().filter_map(|line| line.join().ok());
        all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    format!("{answers} pages, {}", pw_model::unit::Bytes(bytes))
}

fn page(site: &Site, until: Instant) -> io::Result<u64> {
    let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let to = SocketAddr::new(site.address, site.port);
    let mut stream = TcpStream::connect_timeout(&to, left.min(Duration::from_secs(1)))?;
    stream.set_read_timeout(Some(left))?;
    write!(stream, "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", site.path, site.host)?;
    io::copy(&mut stream, &mut io::sink())
}
