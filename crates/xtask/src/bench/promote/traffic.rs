//! What visitors do to the application, all of it at once, and what they saw.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use pw_load::{Answer, Connection, Load, Post, Report, Running};

/// A page takes a moment, an upload waits for the disk; whoever waits longer has given up.
const PATIENCE: Duration = Duration::from_secs(10);
const UPLOAD_BYTES: usize = 1_200_000;
const EDGE: &str = "bench-edge";

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// GET on connections that are kept.
    Kept,
    /// GET on a new connection each.
    Each,
    /// GET of a page that asks the database and the cache.
    Health,
    /// GET that takes two seconds, so that some are always under way.
    Slow,
    /// POST that makes a row.
    Write,
    /// POST of more than a megabyte.
    Upload,
}

/// A kind, how many a second, and how many may be under way.
const VISITORS: [(Kind, f64, usize); 6] = [
    (Kind::Kept, 150.0, 30),
    (Kind::Each, 20.0, 10),
    (Kind::Health, 10.0, 10),
    (Kind::Slow, 2.0, 12),
    (Kind::Write, 5.0, 10),
    (Kind::Upload, 1.0, 6),
];

/// Instants as seconds since 1970, for files and logs say those.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    begun: Instant,
    since_1970: f64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { begun: Instant::now(), since_1970: now.as_secs_f64() }
    }

    pub(super) fn at(&self, moment: Instant) -> f64 {
        self.since_1970 + moment.saturating_duration_since(self.begun).as_secs_f64()
    }

    pub(super) fn now(&self) -> f64 {
        self.at(Instant::now())
    }
}

/// An answer that was as it should be, as far as one answer tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    pub(super) number: u32,
    pub(super) due: f64,
    pub(super) sent: f64,
    pub(super) ended: f64,
    /// What the answer says of who gave it; a POST's says nothing.
    pub(super) release: Option<u32>,
    /// False where another environment answered.
    pub(super) here: bool,
}

/// Whom visitors ask.
#[derive(Debug, Clone)]
pub(super) struct Front {
    pub(super) address: SocketAddr,
    pub(super) host: &'static str,
    pub(super) environment: &'static str,
    /// Of somebody who may post.
    pub(super) cookie: String,
    /// What the titles of posts begin with.
    pub(super) word: &'static str,
}

pub(super) struct Traffic {
    loads: Vec<Running>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Traffic {
    pub(super) fn start(front: &Front, clock: Clock) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let start = |(kind, rate, lines): (Kind, f64, usize)| {
            let (seen, environment) = (Arc::clone(&seen), front.environment);
            load(front, kind, rate, lines).start(move |answer| {
                let Some(one) = understood(kind, environment, answer, clock) else { return false };
                if let Ok(mut seen) = seen.lock() {
                    seen.push(one);
                }
                true
            })
        };
        Self { loads: VISITORS.into_iter().map(start).collect(), seen }
    }

    /// What was seen, and of each kind what failed.
    pub(super) fn stop(self) -> (Vec<Seen>, Vec<(Kind, Report)>) {
        let kinds = VISITORS.into_iter().map(|(kind, ..)| kind);
        let reports = kinds.zip(self.loads.into_iter().map(Running::stop)).collect();
        let seen = self.seen.lock().map(|mut seen| std::mem::take(&mut *seen)).unwrap_or_default();
        (seen, reports)
    }
}

/// The title of the post that a request makes.
pub(super) fn title(word: &str, kind: Kind, number: u32) -> String {
    format!("{word} {kind:?} {number}")
}

fn load(front: &Front, kind: Kind, rate: f64, lines: usize) -> Load {
    let path = match kind {
        Kind::Kept | Kind::Each => "/whoami",
        Kind::Health => "/health",
        Kind::Slow => "/slow?ms=2000",
        Kind::Write | Kind::Upload => "/posts",
    };
    let connection = if kind == Kind::Each { Connection::Each } else { Connection::Kept };
    let post = match kind {
        Kind::Write => Some(form(front, kind, 20)),
        Kind::Upload => Some(form(front, kind, UPLOAD_BYTES)),
        _ => None,
    };
    Load { lines, connection, post, patience: PATIENCE, ..Load::new(front.address, front.host, path, rate) }
}

fn form(front: &Front, kind: Kind, bytes: usize) -> Post {
    let begins = title(front.word, kind, 0);
    let begins = begins.trim_end_matches('0');
    Post {
        headers: format!(
            "Content-Type: multipart/form-data; boundary={EDGE}\r\nCookie: {}\r\n",
            front.cookie
        ),
        before: format!("--{EDGE}\r\ncontent-disposition: form-data; name=\"title\"\r\n\r\n{begins}"),
        after: format!(
            "\r\n--{EDGE}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
             content-type: text/plain\r\n\r\n{}\r\n--{EDGE}--\r\n",
            "x".repeat(bytes)
        ),
    }
}

/// `None` for what is no right answer.
fn understood(kind: Kind, environment: &str, answer: &Answer, clock: Clock) -> Option<Seen> {
    let posts = matches!(kind, Kind::Write | Kind::Upload);
    let value: Value = serde_json::from_slice(&answer.body).ok()?;
    if answer.status != if posts { 201 } else { 200 } {
        return None;
    }
    let release = match value.get("release") {
        _ if posts => value.get("id").map(|_| None)?,
        release => Some(release?.as_str()?.parse().ok()?),
    };
    Some(Seen {
        kind,
        number: answer.number,
        due: clock.at(answer.due),
        sent: clock.at(answer.sent),
        ended: clock.at(answer.ended),
        release,
        here: value.get("environment").is_none_or(|told| told == environment),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: Kind, status: u16, body: &str) -> Option<Seen> {
        let now = Instant::now();
        let answer = Answer { status, body: body.into(), number: 7, due: now, sent: now, ended: now };
        understood(kind, "production", &answer, Clock::new())
    }

    #[test]
    fn an_answer_tells_who_gave_it() {
        let whoami = "{\"environment\":\"production\",\"release\":\"12\",\"hostname\":\"x\"}";
        let seen = asked(Kind::Kept, 200, whoami).expect("a right answer");
        assert_eq!((seen.release, seen.here, seen.number), (Some(12), true, 7));
        let other = asked(Kind::Kept, 200, &whoami.replace("production", "development")).expect("an answer");
        assert!(!other.here);
        assert_eq!(asked(Kind::Write, 201, "{\"id\":3}").map(|seen| seen.release), Some(None));
    }

    #[test]
    fn what_is_no_right_answer_is_none() {
        let whoami = "{\"environment\":\"production\",\"release\":\"12\"}";
        assert_eq!(asked(Kind::Kept, 502, whoami), None);
        assert_eq!(asked(Kind::Kept, 200, "<html>"), None);
        assert_eq!(asked(Kind::Kept, 200, "{\"environment\":\"production\"}"), None);
        assert_eq!(asked(Kind::Kept, 200, "{\"release\":\"newest\"}"), None);
        assert_eq!(asked(Kind::Write, 200, "{\"id\":3}"), None, "a post is answered with 201");
        assert_eq!(asked(Kind::Write, 201, "{}"), None);
    }

    #[test]
    fn each_post_has_a_title_of_its_own() {
        let front = Front {
            address: ([127, 0, 0, 1], 1).into(),
            host: "x",
            environment: "production",
            cookie: "a=b".into(),
            word: "ours",
        };
        let form = form(&front, Kind::Write, 1);
        let sent = format!("{}{}{}", form.before, 31, form.after);
        assert!(sent.contains(&format!("\r\n\r\n{}\r\n", title("ours", Kind::Write, 31))), "{sent}");
    }
}
