//! Processor time: what a contender costs, however busy the machine is with other things.

use crate::run::{Result, output};

use super::server::Server;

/// Kernels count the time of processes in hundredths of a second.
const TICKS: f64 = 100.0;

/// Seconds that the server and the programs of this benchmark have computed so far.
pub(super) fn spent(server: &Server) -> Result<f64> {
    let read = "cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null \
        || awk '$1 == \"usage_usec\" { print $2 \"000\" }' /sys/fs/cgroup/cpu.stat";
    let nanoseconds: f64 = output(&mut server.shell(read))?.trim().parse()?;
    Ok(nanoseconds / 1e9 + children(&std::fs::read_to_string("/proc/self/stat")?).unwrap_or_default())
}

/// Of programs that were started here and have ended.
fn children(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(13)? + ticks(14)?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_ended_programs_is_read_whatever_the_name_of_the_process() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 50 60 700 300 20 0 1 0 9 9";
        assert_eq!(children(stat), Some(10.0));
    }
}
