//! The wall: nothing leads from development to production, and no visitor of one meets the other.

use std::collections::BTreeSet;
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::{Answer, Container, DEVELOPMENT, Link, PRODUCTION, Story, docker, lines};

/// Where the demo's services listen.
const PORTS: [u16; 4] = [8000, 5432, 6379, 1883];
const MARK: &str = "only-in-production";

/// Promise: one Caddy serves both environments, each on its own name; from inside development no
/// connection to production, to its volumes or to Caddy's admin API is possible.
/// Given: the demonstration application, both environments up.
/// Then: 200 requests reach the right one; every attempt to break through fails, while the same
/// attempts towards development's own services succeed.
#[test]
fn the_wall_of_the_demo_holds() {
    let story = Story::demo();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    each_answers_on_its_own_name(&story);
    nothing_is_published_that_should_not_be(&story);
    no_connection_leads_across(&story);
    names_resolve_to_the_own_services(&story);
    volumes_stay_on_their_side(&story);
}

/// Promise: what is shut stays shut while somebody else changes the host's networks. Docker alone does not hold
/// it: with each new network it takes its rules out for a moment.
/// Given: both environments up, and networks that are made and removed by others, one after another.
/// Then: thousands of attempts from development to reach production's web service all fail; those to reach its
/// own, from the same program, succeed.
#[test]
fn the_wall_holds_while_networks_come_and_go() {
    let story = Story::demo();
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let (own, other) = (address_of_web(&story, DEVELOPMENT), address_of_web(&story, PRODUCTION));
    let inside = story.container(DEVELOPMENT, "db");
    assert_ne!(connections(&inside, &own), 0, "the program reaches nothing at all");
    let busy = AtomicBool::new(true);
    let reached = std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            let name = format!("{}-passing", story.compose_project(PRODUCTION));
            while busy.load(Ordering::Relaxed) {
                docker(&["network", "create", &name]);
                docker(&["network", "rm", &name]);
            }
        });
        let reached = connections(&inside, &other);
        busy.store(false, Ordering::Relaxed);
        churn.join().expect("networks can be made");
        reached
    });
    assert_eq!(reached, 0, "development reached production's {other}");
}

/// Promise: development that mounts the whole project writable does not see production's data and variables in it,
/// whatever is renamed from inside.
/// Given: production with its data in `./var/lib/data`, and development that mounts `.`.
/// Then: the data and the variables are empty there, nothing above them can be moved away, and a restart shows no more.
#[test]
fn what_is_covered_stays_covered() {
    let story = Story::light();
    story.edit(
        "docker-compose.yml",
        "    expose: [",
        "    volumes: [\"./var/lib/data:/keep\"]\n    expose: [",
    );
    story.edit("compose.override.yml", "  db:\n", "  db:\n    volumes: [\".:/code\"]\n");
    story.up(PRODUCTION);
    let kept = story.container(PRODUCTION, "web");
    kept.exec(&["sh", "-c", &format!("echo secret > /keep/{MARK}")]).expect("production writes");
    story.up(DEVELOPMENT);
    let inside = story.container(DEVELOPMENT, "db");
    assert!(inside.exec(&["touch", "/code/fresh"]).is_some(), "the project is mounted writable");
    assert!(story.project().join("var/lib/data").join(MARK).is_file(), "production's data is in the project");
    for (from, to) in [
        ("var", "away"),
        ("var/lib", "away"),
        ("var/lib/data", "away"),
        (".env.prod", "away"),
        ("fresh", ".env.prod"),
    ] {
        let moved = inside.exec(&["mv", "-fT", &format!("/code/{from}"), &format!("/code/{to}")]);
        assert!(moved.is_none(), "{from} became {to}");
    }
    for _ in 0..2 {
        let found = inside.exec(&["find", "/code", "-name", MARK]);
        assert_eq!(found.as_deref().map(str::trim), Some(""), "production's data shows");
        let variables = inside.exec(&["cat", "/code/.env.prod"]);
        assert_eq!(variables.as_deref(), Some(""), "production's variables show");
        docker(&["restart", "-t", "1", &inside.id()]);
    }
    what_the_host_uncovers_is_told_and_covered_again(&story);
}

/// As an editor saves: a new file takes the name of the old one.
fn what_the_host_uncovers_is_told_and_covered_again(story: &Story) {
    let file = story.project().join(".env.prod");
    let text = std::fs::read_to_string(&file).expect("variables");
    std::fs::write(story.project().join("new"), &text).expect("a file");
    std::fs::rename(story.project().join("new"), &file).expect("renamed");
    let shown = story.container(DEVELOPMENT, "db").exec(&["cat", "/code/.env.prod"]);
    assert_eq!(
        shown.as_deref(),
        Some(text.trim()),
        "the kernel keeps covers: this story is not needed any more"
    );
    let status = story.run(&["status"]).ended(0);
    assert!(status.out.contains("`db` sees what was covered at /code/.env.prod"), "{}", status.out);
    story.up(DEVELOPMENT).says(&["make anew db"]);
    assert_eq!(story.container(DEVELOPMENT, "db").exec(&["cat", "/code/.env.prod"]).as_deref(), Some(""));
    story.up(DEVELOPMENT).says(&["nothing to do"]);
}

fn address_of_web(story: &Story, environment: &str) -> String {
    let addresses = story.container(environment, "web").addresses();
    addresses.first().expect("web is on a network").0.clone()
}

/// How many of 3,000 attempts, spread over some seconds, connect to port 8000 of an address.
fn connections(inside: &Container, address: &str) -> usize {
    const ATTEMPTS: &str = r"
        use IO::Socket::INET;
        my $reached = 0;
        for my $round (1 .. 150) {
            my @open = map { IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 8000, Blocking => 0) } 1 .. 20;
            select(undef, undef, undef, 0.06);
            $reached += grep { $_ && $_->connected } @open;
        }
        print $reached;
    ";
    let heard = inside.exec(&["perl", "-e", ATTEMPTS, address]).expect("Perl in the database's image");
    heard.trim().parse().expect("a number")
}

fn each_answers_on_its_own_name(story: &Story) {
    let is_right = |environment: &str, answer: &Answer| {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            answer.body.contains(&format!("\"environment\":\"{environment}\"")),
            "{environment}: {answer:?}"
        );
        assert_eq!(answer.header("x-robots-tag").is_some(), environment == DEVELOPMENT, "{answer:?}");
    };
    let mut kept = Link::open(story.http).expect("the proxy");
    for round in 0..100 {
        for environment in [PRODUCTION, DEVELOPMENT] {
            let (host, fresh) = (story.host(environment), round % 5 == 0);
            let answer = kept.get(&host, "/whoami").expect("an answer on a kept connection");
            is_right(environment, &answer);
            if fresh {
                is_right(environment, &story.ask(environment, "/whoami"));
            }
        }
    }
}

fn nothing_is_published_that_should_not_be(story: &Story) {
    for one in story.containers(PRODUCTION) {
        assert_eq!(one.published(), [], "{} publishes", one.name());
    }
    let published: Vec<(String, String)> =
        story.containers(DEVELOPMENT).iter().flat_map(Container::published).collect();
    assert_eq!(published.len(), 4, "{published:?}");
    for (address, port) in published {
        assert_eq!(address, "127.0.0.1");
        let port = port.parse().expect("a port");
        TcpStream::connect(("127.0.0.1", port)).unwrap_or_else(|error| panic!("{port}: {error}"));
    }
}

/// Every pair of address and port that must be shut, and those that must be open so that the attempt means something.
fn no_connection_leads_across(story: &Story) {
    let (shut, open) = (forbidden(story), allowed(story));
    let inside: Vec<Container> =
        story.containers(DEVELOPMENT).into_iter().filter(Container::is_running).collect();
    assert_eq!(inside.len(), 5, "web, worker, db, redis, mqtt");
    for one in inside {
        let connected = attempts(&one, shut.iter().chain(&open));
        let breach: Vec<_> = connected.intersection(&shut).collect();
        assert!(breach.is_empty(), "{} reaches {breach:?}", one.name());
        let deaf: Vec<_> = open.difference(&connected).collect();
        assert!(deaf.is_empty(), "{} does not even reach its own {deaf:?}", one.name());
    }
}

type Targets = BTreeSet<(String, u16)>;

fn forbidden(story: &Story) -> Targets {
    let (production, development) = (story.containers(PRODUCTION), story.containers(DEVELOPMENT));
    let proxy = Container::named(&story.proxy());
    let mut hosts: BTreeSet<String> = host_addresses().into_iter().collect();
    for one in &production {
        hosts.insert(one.name());
        hosts.extend(one.addresses().into_iter().flat_map(|(address, gateway)| [address, gateway]));
    }
    hosts.insert(format!("{}-web", story.compose_project(PRODUCTION)));
    hosts.extend(development.iter().flat_map(Container::addresses).map(|(_, gateway)| gateway));
    hosts.remove("");
    let mut all: Targets = hosts.iter().flat_map(|host| PORTS.map(|port| (host.clone(), port))).collect();
    all.extend(hosts.iter().map(|host| (host.clone(), 2019)));
    all.extend(proxy.addresses().into_iter().map(|(address, _)| (address, 2019)));
    all.insert((story.proxy(), 2019));
    // What somebody else offers to the world on this host is not production.
    all.retain(|(host, port)| !host_addresses().contains(host) || !answers(host, *port));
    all
}

fn allowed(story: &Story) -> Targets {
    let own = [("web", 8000), ("db", 5432), ("redis", 6379), ("mqtt", 1883)];
    let db = story.container(DEVELOPMENT, "db").addresses().remove(0).0;
    let container = (format!("{}-db-1", story.compose_project(DEVELOPMENT)), 5432);
    own.into_iter().map(|(name, port)| (name.to_owned(), port)).chain([container, (db, 5432)]).collect()
}

/// The host's address to the outside, and that of Docker's own bridge. Not those of other networks: they come
/// and go, and what is sent to one that has gone leaves the host, where anything may accept it.
fn host_addresses() -> Vec<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Sends nothing; only asks for the way.
    let outside = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    let bridge = docker(&["network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}"]);
    outside.into_iter().map(|address| address.ip().to_string()).chain([bridge]).collect()
}

fn answers(host: &str, port: u16) -> bool {
    let address = format!("{host}:{port}").parse();
    address.is_ok_and(|address| TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok())
}

/// Tries every target from inside a container, all at once; answers those that accept.
fn attempts<'t>(inside: &Container, targets: impl Iterator<Item = &'t (String, u16)>) -> Targets {
    let list: String = targets.map(|(host, port)| format!("{host} {port}\n")).collect();
    let script = format!(
        "while read -r host port; do (timeout 3 bash -c \"exec 3<>/dev/tcp/$host/$port\" 2>/dev/null && echo $host $port) & done <<'LIST'\n{list}LIST\nwait"
    );
    let heard =
        inside.exec(&["bash", "-c", &script]).unwrap_or_else(|| panic!("no bash in {}", inside.name()));
    let heard = heard.lines().filter_map(|line| line.split_once(' '));
    heard.map(|(host, port)| (host.to_owned(), port.parse().expect("a port"))).collect()
}

fn names_resolve_to_the_own_services(story: &Story) {
    let inside = story.container(DEVELOPMENT, "db");
    for service in ["web", "db", "redis", "mqtt"] {
        let heard = inside.exec(&["getent", "ahostsv4", service]).unwrap_or_default();
        let found = heard.split_whitespace().next().unwrap_or_default();
        let own = story.container(DEVELOPMENT, service).addresses();
        assert!(own.iter().any(|(address, _)| address == found), "{service} is {found}, not of {own:?}");
    }
}

fn volumes_stay_on_their_side(story: &Story) {
    let web = story.container(PRODUCTION, "web");
    web.exec(&["bash", "-c", &format!("echo secret > /vault/{MARK}")]).expect("production writes");
    let search = format!("find / -name {MARK} -not -path '/proc/*' 2>/dev/null; true");
    let listed = |one: &Container| one.exec(&["bash", "-c", &search]);
    assert!(listed(&web).is_some_and(|found| found.contains(MARK)), "the search finds nothing at all");
    let volumes = lines(&[
        "volume",
        "ls",
        "-q",
        "--filter",
        &format!("label=com.docker.compose.project={}", story.compose_project(PRODUCTION)),
    ]);
    assert_eq!(volumes.len(), 3);
    for one in story.containers(DEVELOPMENT) {
        let mounts = one.mounts();
        assert!(!mounts.iter().any(|mount| volumes.contains(mount)), "{}: {mounts:?}", one.name());
        assert!(!mounts.iter().any(|mount| mount.contains("docker.sock")), "{}: {mounts:?}", one.name());
        if one.is_running() {
            assert_eq!(listed(&one).as_deref(), Some(""), "{} lists production's files", one.name());
        }
    }
}

/// Promise: after a reboot, which takes the firewall's rules and the weights of control groups away while the engine starts containers
/// again, walls are raised again by themselves, and nothing is started again for it.
/// Given: both environments up; the rules of both and the weights of production removed behind Partywall's back.
/// Then: `status` tells; the chores raise both walls, by a plan in the journal; nothing else differs from what is described, and the
/// second time nothing is due.
#[test]
fn walls_that_a_reboot_took_away_are_raised_again() {
    let story = Story::light();
    // The disk of whoever runs this may be full.
    story.write("partywall.yaml", &format!("{}governor: {{ room: 0% }}\n", story.read("partywall.yaml")));
    story.up(PRODUCTION);
    story.up(DEVELOPMENT);
    let due = || story.run(&["agent", "chores", "--plan"]).ended(0).out;
    assert_eq!(due(), "");
    let started = || {
        let all = [PRODUCTION, DEVELOPMENT].map(|environment| story.containers(environment));
        all.iter().flatten().map(|one| (one.id(), one.started())).collect::<Vec<_>>()
    };
    let before = started();
    [PRODUCTION, DEVELOPMENT].iter().for_each(|environment| story.remove_chain(environment));
    for group in story.groups(PRODUCTION) {
        for (file, default) in [("cpu.shares", "1024"), ("cpu.weight", "100")] {
            let file = group.join(file);
            if file.exists() {
                std::fs::write(file, default).expect("written");
            }
        }
    }
    let told = story.run(&["status"]).ended(0).out;
    let production =
        "rules of the firewall and limits of this environment are gone; `partywall wall production`";
    assert!(
        told.contains(production) && told.contains("`partywall wall development` sets them again"),
        "{told}"
    );
    let wanted = "partywall wall production | rules of the firewall and limits are gone, as after a reboot\n\
                  partywall wall development | rules of the firewall are gone, as after a reboot\n";
    assert_eq!(due(), wanted);
    let plans = story.plans();
    story.run(&["agent", "chores"]).ended(0).says(&["the wall of `production` stands again"]);
    assert_eq!((due(), story.plans()), (String::new(), plans + 2));
    assert!(story.plan(PRODUCTION).is_empty() && story.plan(DEVELOPMENT).is_empty());
    assert_eq!(started(), before);
    story.run(&["wall", DEVELOPMENT]).ended(0).says(&["nothing to do"]);
}
