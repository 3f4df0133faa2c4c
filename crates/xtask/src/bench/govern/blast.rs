//! What development does to its neighbour: each runs in three containers at once, until they are restarted.

pub(super) struct Blast {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// In bash.
    pub(super) script: &'static str,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It takes every processor that it can have.
    Processors,
    /// It waits for a disk most of the time.
    Disk,
    /// It grows until it is stopped: nobody measures what visitors feel, but whether they are served.
    Bomb,
}

const CPU: &str = "for i in 1 2; do while :; do :; done & done;";
const MEMORY: &str = "while :; do head -c 500M /dev/zero | tail >/dev/null; done &";
const CACHE: &str = "while :; do dd if=/dev/zero of=/var/tmp/cache bs=1M count=400; cat /var/tmp/cache >/dev/null; rm /var/tmp/cache; done 2>/dev/null &";
const DISK: &str =
    "while :; do dd if=/dev/zero of=/var/tmp/disk bs=64k count=2000 oflag=dsync; done 2>/dev/null &";
/// Over the bridge of development's own network, from the container `web` to each of the three.
const NETWORK: &str = "while :; do exec 3<>/dev/tcp/web/80; printf 'GET /big HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3 >/dev/null; exec 3<&-; done &";
const BUILD: &str = "while :; do rm -rf /var/tmp/crates/target; cargo build --quiet --offline --release --manifest-path /var/tmp/crates/Cargo.toml; done &";

const FORK: &str = "bomb() { bomb | bomb & }; bomb;";
const FEAST: &str = r#"while :; do perl -e 'while (1) { push @all, "x" x (64 << 20) }'; done 2>/dev/null &"#;

/// At most so much, and for so long, whatever the protection: the machine is to be used afterwards.
const FILL: &str = "timeout 60 dd if=/dev/zero of=/var/tmp/fill bs=1M count=1024 conv=fsync 2>/dev/null &";

pub(super) const BLASTS: [Blast; 10] = [
    Blast { name: "cpu", what: "six loops", script: CPU, kind: Kind::Processors },
    Blast {
        name: "memory",
        what: "three times 500 MB, again and again",
        script: MEMORY,
        kind: Kind::Processors,
    },
    Blast {
        name: "cache",
        what: "400 MB written and read through the page cache",
        script: CACHE,
        kind: Kind::Disk,
    },
    Blast { name: "disk", what: "64 kB at a time, each to the disk", script: DISK, kind: Kind::Disk },
    Blast {
        name: "network",
        what: "200 MB from one container to three, over their bridge",
        script: NETWORK,
        kind: Kind::Processors,
    },
    Blast {
        name: "build",
        what: "`cargo build` of eight crates, three times at once",
        script: BUILD,
        kind: Kind::Processors,
    },
    Blast { name: "all", what: "all of these at once", script: "", kind: Kind::Processors },
    Blast { name: "fork", what: "processes that start two like themselves", script: FORK, kind: Kind::Bomb },
    Blast {
        name: "fill",
        what: "1 GB written at once, three times, where 2 GB are budgeted",
        script: FILL,
        kind: Kind::Bomb,
    },
    Blast {
        name: "feast",
        what: "memory without end, three times, where 4 GB are budgeted",
        script: FEAST,
        kind: Kind::Bomb,
    },
];

impl Blast {
    pub(super) fn text(&self) -> String {
        match self.script {
            "" => format!("rm -f /var/tmp/*; {CPU} {MEMORY} {CACHE} {DISK} {NETWORK} {BUILD} wait"),
            script => format!("rm -f /var/tmp/*; {script} wait"),
        }
    }
}

/// Makes eight crates without dependencies that keep a compiler busy for longer than a measurement takes. In bash.
pub(super) const CRATES: &str = r#"set -e
mkdir -p /var/tmp/crates; cd /var/tmp/crates
printf '[workspace]\nresolver = "2"\nmembers = ["part*"]\n' > Cargo.toml
for part in 1 2 3 4 5 6 7 8; do
  mkdir -p part$part/src
  printf '[package]\nname = "part%s"\nversion = "0.1.0"\nedition = "2021"\n' $part > part$part/Cargo.toml
  for i in $(seq 300); do
    echo "pub fn sorted$i(all: &[u64]) -> std::collections::BTreeMap<u64, String> { all.iter().filter(|one| **one % $i != 0).map(|one| (*one * $i, format!(\"{one} of $i\"))).collect() }"
  done > part$part/src/lib.rs
done
"#;
