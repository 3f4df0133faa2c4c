//! Pressure stall information: how long something waited, in microseconds since the group is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(super) enum Resource {
    Cpu,
    Memory,
    Io,
}

impl Resource {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }
}

/// Whether one of these groups exists, in any tree.
pub(super) fn is_any_there(root: &Path, paths: &[String]) -> bool {
    let trees = [tree(root), root.join("cpu")];
    paths.iter().any(|path| trees.iter().any(|tree| tree.join(path.trim_start_matches('/')).is_dir()))
}

/// Of all these groups together; `None` when there are none, or when the kernel does not tell of one that is there.
pub(super) fn of_groups(root: &Path, paths: &[String], resource: Resource) -> Option<Duration> {
    let file = format!("{}.pressure", resource.name());
    let tree = tree(root);
    let there =
        paths.iter().map(|path| tree.join(path.trim_start_matches('/'))).filter(|folder| folder.is_dir());
    let waited: Vec<Option<Duration>> = there.map(|folder| waited(&folder.join(&file))).collect();
    if waited.is_empty() { None } else { waited.into_iter().sum() }
}

pub(super) fn of_machine(resource: Resource) -> Option<Duration> {
    waited(&Path::new("/proc/pressure").join(resource.name()))
}

/// Where groups of the second version stand: at the root, or beside the trees of the first.
fn tree(root: &Path) -> PathBuf {
    let beside = root.join("unified");
    if beside.is_dir() { beside } else { root.to_owned() }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234`
fn waited(file: &Path) -> Option<Duration> {
    let text = fs::read_to_string(file).ok()?;
    let some = text.lines().find(|line| line.starts_with("some "))?;
    let total = some.split_whitespace().find_map(|word| word.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_does_not_tell_spoils_the_sum_and_one_that_is_not_there_does_not() {
        let root = tempfile::tempdir().expect("a temp dir");
        let write = |group: &str, text: &str| {
            let folder = root.path().join(group);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("cpu.pressure"), text).expect("a file");
        };
        write("a", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500\nfull avg10=0.00 total=3\n");
        let of = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|path| format!("/{path}")).collect();
            of_groups(root.path(), &paths, Resource::Cpu)
        };
        assert_eq!(of(&["a", "gone"]), Some(Duration::from_micros(1500)));
        assert_eq!(of(&["gone"]), None);
        assert!(!is_any_there(root.path(), &["/gone".into()]));
        assert!(is_any_there(root.path(), &["/gone".into(), "/a".into()]));
        write("b", "");
        assert_eq!(of(&["a", "b"]), None);
    }
}
