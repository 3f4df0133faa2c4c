//! What development does to its neighbour: each runs in three containers at once, until they are restarted.

pub(super) struct Blast {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// In bash.
    pub(super) script: &'static str,
    /// It takes every processor that it can have.
    pub(super) fills_processors: bool,
}

const CPU: &str = "for i in 1 2; do while :; do :; done & done;";
const MEMORY: &str = "while :; do head -c 500M /dev/zero | tail >/dev/null; done &";
const CACHE: &str = "while :; do dd if=/dev/zero of=/var/tmp/cache bs=1M count=400; cat /var/tmp/cache >/dev/null; rm /var/tmp/cache; done 2>/dev/null &";
const DISK: &str =
    "while :; do dd if=/dev/zero of=/var/tmp/disk bs=64k count=2000 oflag=dsync; done 2>/dev/null &";
const NETWORK: &str = "while :; do exec 3<>/dev/tcp/web/80; printf 'GET /big HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3 >/dev/null; exec 3<&-; done &";

pub(super) const BLASTS: [Blast; 6] = [
    Blast { name: "cpu", what: "six loops", script: CPU, fills_processors: true },
    Blast {
        name: "memory",
        what: "three times 500 MB, again and again",
        script: MEMORY,
        fills_processors: true,
    },
    Blast {
        name: "cache",
        what: "400 MB written and read through the page cache",
        script: CACHE,
        fills_processors: false,
    },
    Blast { name: "disk", what: "64 kB at a time, each to the disk", script: DISK, fills_processors: false },
    Blast {
        name: "network",
        what: "200 MB from one container to three",
        script: NETWORK,
        fills_processors: true,
    },
    Blast { name: "all", what: "all of these at once", script: "", fills_processors: true },
];

impl Blast {
    pub(super) fn text(&self) -> String {
        match self.script {
            "" => format!("rm -f /var/tmp/*; {CPU} {MEMORY} {CACHE} {DISK} {NETWORK} wait"),
            script => format!("rm -f /var/tmp/*; {script} wait"),
        }
    }
}
