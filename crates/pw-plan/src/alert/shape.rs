//! A message in the form that a receiver understands.

use jiff::Timestamp;
use pw_model::config::Shape;
use serde_json::{Value, json};

use super::kind::{Alert, Severity};
use super::notify::{Message, Standing};

/// What is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Behind the receiver's own address.
    pub path: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// Discord takes no more in one message, in characters.
const DISCORD: usize = 2000;
/// ntfy makes an attachment of what is longer, in bytes.
const NTFY: usize = 4000;
/// Milliseconds for which Alertmanager believes that an alert stands, without hearing of it again.
const BELIEVED: i64 = 300_000;

pub fn webhook(shape: Shape, message: &Message) -> Post {
    let json = |value: Value| Post {
        path: "",
        headers: vec![("content-type", "application/json".to_owned())],
        body: value.to_string(),
    };
    match shape {
        Shape::Json => json(plain(message)),
        Shape::Slack => json(slack(message)),
        Shape::Discord => {
            json(json!({"content": cut(&text(message, "**"), DISCORD), "allowed_mentions": {"parse": []}}))
        }
        Shape::Ntfy => ntfy(message),
    }
}

fn plain(message: &Message) -> Value {
    let alert = |alert: &Alert| {
        json!({
            "alert": alert.kind,
            "severity": alert.kind.severity(),
            "subject": alert.subject,
            "words": alert.words,
            "runbook": format!("docs/runbooks/{}.md", alert.kind.runbook()),
        })
    };
    let standing = message.standing.iter().map(|one| {
        let mut value = alert(&one.alert);
        value["since"] = json!(time(one.since));
        value
    });
    json!({
        "project": message.project,
        "at": time(message.at),
        "title": message.title(),
        "standing": standing.collect::<Vec<_>>(),
        "resolved": message.resolved.iter().map(alert).collect::<Vec<_>>(),
    })
}

/// What Slack would take for a link or a mention is escaped.
fn slack(message: &Message) -> Value {
    let text = text(message, "*").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({"text": text})
}

/// A title that stands out, then a line for each alert.
fn text(message: &Message, bold: &str) -> String {
    let lines: String = message.lines().iter().map(|line| format!("\n• {line}")).collect();
    format!("{bold}{}{bold}{lines}", message.title())
}

fn ntfy(message: &Message) -> Post {
    let (priority, tags) = match message.severity() {
        Some(Severity::Critical) => ("urgent", "rotating_light"),
        Some(Severity::Warning) => ("default", "warning"),
        None => ("low", "white_check_mark"),
    };
    let headers = vec![
        ("title", message.title()),
        ("priority", priority.to_owned()),
        ("tags", tags.to_owned()),
        ("content-type", "text/plain; charset=utf-8".to_owned()),
    ];
    Post { path: "", headers, body: cut(&message.lines().join("\n"), NTFY) }
}

/// Whole characters, in at most so many bytes.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most.saturating_sub(4)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{} …", text.get(..end).unwrap_or_default())
}

/// For `POST /api/v2/alerts`; it groups, silences and repeats by itself.
pub fn alertmanager(message: &Message) -> Post {
    let labels = |alert: &Alert| {
        json!({
            "alertname": alert.kind,
            "project": message.project,
            "subject": alert.subject,
            "severity": alert.kind.severity(),
        })
    };
    let annotations = |alert: &Alert| json!({"summary": alert.words, "runbook": format!("docs/runbooks/{}.md", alert.kind.runbook())});
    let standing = message.standing.iter().map(|Standing { alert, since, .. }| {
        json!({
            "labels": labels(alert), "annotations": annotations(alert),
            "startsAt": time(*since), "endsAt": time(message.at + BELIEVED),
        })
    });
    let resolved = message.resolved.iter().map(|alert| {
        json!({"labels": labels(alert), "annotations": annotations(alert), "endsAt": time(message.at)})
    });
    Post {
        path: "/api/v2/alerts",
        headers: vec![("content-type", "application/json".to_owned())],
        body: Value::Array(standing.chain(resolved).collect()).to_string(),
    }
}

/// Subject and text of a mail.
pub fn mail(message: &Message) -> (String, String) {
    let mark = match message.severity() {
        Some(severity) => format!("[{severity}] "),
        None => String::new(),
    };
    let mut text = message.lines().join("\n\n");
    text.push_str("\n\nthe agent of this project has sent this; `partywall status` shows how it stands\n");
    (format!("{mark}{}", message.title()), text)
}

/// RFC 3339, UTC, in whole seconds.
fn time(millis: i64) -> String {
    Timestamp::from_second(millis.div_euclid(1000)).map_or_else(|_| String::new(), |at| at.to_string())
}
