//! Alerts on traces: what is seen on the left, what a receiver is told on the right; and the shapes of a message.
#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use pw_model::config::Shape;
use pw_plan::alert::{Alert, Book, Kind, Message, Told, Way, notify, shape};
use serde_json::Value;

const HOUR: i64 = 3600;

/// Seconds from and to, what is wrong, and where.
type Seen = (i64, i64, Kind, &'static str);

struct Trace {
    seen: Vec<Seen>,
    /// Seconds of quiet hours.
    quiet: (i64, i64),
    until: i64,
    /// When the agent is killed, and another goes on from what was written.
    killed: Vec<i64>,
}

impl Trace {
    fn of(seen: &[Seen], until: i64) -> Self {
        Self { seen: seen.to_vec(), quiet: (0, 0), until, killed: Vec::new() }
    }

    /// One look every five seconds.
    fn told(&self) -> Vec<String> {
        let (mut book, mut told, mut lines) = (Book::default(), Told::default(), Vec::new());
        for at in (0..self.until).step_by(5) {
            if self.killed.contains(&at) {
                let text = serde_json::to_string(&(&book, &told)).expect("a text");
                (book, told) = serde_json::from_str(&text).expect("the same");
            }
            let now = self.seen.iter().filter(|(from, to, ..)| (*from..*to).contains(&at));
            let alerts = now.map(|(.., kind, subject)| alert(*kind, subject)).collect();
            book.see(alerts, at * 1000);
            let way = Way { repeat: 4 * HOUR * 1000, quiet: (self.quiet.0..self.quiet.1).contains(&at) };
            let (next, message) = notify(way, told, &book, at * 1000);
            told = next;
            lines.extend(message.map(|message| format!("{at} {}", line(&message))));
        }
        lines
    }
}

fn alert(kind: Kind, subject: &str) -> Alert {
    Alert { kind, subject: subject.into(), words: "as it is".into() }
}

fn line(message: &Message) -> String {
    let name = |alert: &Alert| format!("{} {}", alert.kind, alert.subject);
    let standing = message.standing.iter().map(|one| name(&one.alert));
    let over = message.resolved.iter().map(|alert| format!("over: {}", name(alert)));
    standing.chain(over).collect::<Vec<_>>().join(", ")
}

#[test]
fn what_belongs_together_is_told_together_and_once() {
    let both = [
        (0, 600, Kind::Incident, "production"),
        (5, 600, Kind::ServiceUnhealthy, "production/web"),
        (5, 600, Kind::ServiceUnhealthy, "production/worker"),
    ];
    let told = [
        "10 incident production",
        "75 incident production, service-unhealthy production/web, service-unhealthy production/worker",
        "665 over: incident production, over: service-unhealthy production/web, over: service-unhealthy production/worker",
    ];
    assert_eq!(Trace::of(&both, 1000).told(), told);
    let killed = Trace { killed: vec![10, 15, 70, 75, 80, 660, 665, 670], ..Trace::of(&both, 1000) };
    assert_eq!(killed.told(), told, "an agent that is killed tells twice, or not at all");
}

#[test]
fn what_comes_and_goes_is_one_alert_and_what_was_short_is_none() {
    let flapping: Vec<Seen> = (0..20).map(|turn| (turn * 40, turn * 40 + 10, Kind::Disk, "host")).collect();
    assert_eq!(Trace::of(&flapping, 1000).told(), ["50 disk host", "835 over: disk host"]);
    let short = [(0, 50, Kind::ServiceRestarting, "production/web"), (0, 500, Kind::Squeezed, "development")];
    assert_eq!(Trace::of(&short, 1000).told(), Vec::<String>::new());
}

#[test]
fn what_still_stands_is_told_again_and_quiet_hours_let_only_the_critical_through() {
    let old = [(0, 9 * HOUR, Kind::BackupFailed, "production")];
    let told =
        ["10 backup-failed production", "14420 backup-failed production", "28830 backup-failed production"];
    assert_eq!(Trace::of(&old, 9 * HOUR).told(), told);
    let night = [(0, 9 * HOUR, Kind::BackupFailed, "production"), (600, 1200, Kind::Disk, "host")];
    let trace = Trace { quiet: (0, 2 * HOUR), ..Trace::of(&night, 3 * HOUR) };
    assert_eq!(trace.told(), ["640 disk host", "1265 over: disk host", "7210 backup-failed production"]);
}

/// A clock that jumps keeps nobody from being told.
#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let (mut book, mut told) = (Book::default(), Told::default());
    let mut count = 0;
    for at in [1_000_000_000, 1000, 6000, 11_000, 16_000] {
        book.see(vec![alert(Kind::Incident, "production")], at);
        let (next, message) = notify(Way { repeat: 1_000_000, quiet: false }, told, &book, at);
        (told, count) = (next, count + usize::from(message.is_some()));
    }
    assert_eq!((count, book.standing().count()), (1, 1));
}

fn message() -> Message {
    let mut book = Book::default();
    let words = "p99 900 ms, <b>@everyone & co";
    book.see(vec![Alert { kind: Kind::Incident, subject: "production".into(), words: words.into() }], 0);
    let standing = book.standing().cloned().collect();
    Message {
        at: 1_700_000_000_000,
        standing,
        resolved: vec![alert(Kind::Disk, "host")],
        ..Message::default()
    }
    .of("shop")
}

#[test]
fn each_receiver_gets_its_own_shape() {
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let plain = read(&shape::webhook(Shape::Json, &message()).body);
    assert_eq!(plain["title"], "shop: incident production");
    assert_eq!(plain["standing"][0]["runbook"], "docs/runbooks/incident.md");
    assert_eq!(plain["standing"][0]["since"], "1970-01-01T00:00:00Z");
    assert_eq!(
        (&plain["at"], &plain["resolved"][0]["alert"]),
        (&"2023-11-14T22:13:20Z".into(), &"disk".into())
    );
    let slack = read(&shape::webhook(Shape::Slack, &message()).body);
    assert_eq!(
        slack["text"],
        "*shop: incident production*\n• critical incident production: p99 900 ms, &lt;b&gt;@everyone &amp; co (docs/runbooks/incident.md)\n• over disk host"
    );
    let discord = read(&shape::webhook(Shape::Discord, &message()).body);
    assert!(
        discord["content"]
            .as_str()
            .is_some_and(|text| text.starts_with("**shop: incident production**\n• critical"))
    );
    assert_eq!(discord["allowed_mentions"]["parse"], Value::Array(vec![]), "everybody is called");
    let ntfy = shape::webhook(Shape::Ntfy, &message());
    assert!(
        ntfy.headers.contains(&("priority", "urgent".into())) && ntfy.body.starts_with("critical incident")
    );
    let alerts = read(&shape::alertmanager(&message()).body);
    assert_eq!(
        (&alerts[0]["labels"]["alertname"], &alerts[0]["endsAt"]),
        (&"incident".into(), &"2023-11-14T22:18:20Z".into())
    );
    assert_eq!(
        (&alerts[1]["labels"]["subject"], &alerts[1]["endsAt"]),
        (&"host".into(), &"2023-11-14T22:13:20Z".into())
    );
    let (subject, text) = shape::mail(&message());
    assert_eq!(subject, "[critical] shop: incident production");
    assert!(text.contains("docs/runbooks/incident.md") && text.contains("over disk host"), "{text}");
}

/// Discord refuses what is longer than it takes.
#[test]
fn a_long_message_is_cut_between_characters() {
    let mut long = message();
    for number in 0..200 {
        long.resolved.push(alert(Kind::ServiceUnhealthy, &format!("production/dienst-mit-ü-{number}")));
    }
    let body: Value = serde_json::from_str(&shape::webhook(Shape::Discord, &long).body).expect("JSON");
    let content = body["content"].as_str().expect("a text");
    assert!(content.len() <= 2000 && content.ends_with(" …"), "{}", content.len());
    assert!(shape::webhook(Shape::Ntfy, &long).body.len() <= 4000);
}
