//! Connections that last: websockets and keep-alive.

use crate::harness::{DEVELOPMENT, Link, PRODUCTION, Story};

/// Promise: what happens to development cuts no connection of production's visitors.
/// Given: the demonstration application's production, a websocket and a kept connection to it.
/// Then: both still work after `up`, `down`, `up` and `destroy` of development.
#[test]
fn connections_to_production_outlive_what_happens_to_development() {
    let story = Story::demo();
    story.up(PRODUCTION);
    let host = story.host(PRODUCTION);
    let mut kept = Link::open(story.http).expect("the proxy");
    let mut socket = Link::open(story.http).expect("the proxy");
    assert_eq!(socket.upgrade(&host, "/ws").expect("an answer").status, 101);
    for words in [["up", DEVELOPMENT], ["down", DEVELOPMENT], ["up", DEVELOPMENT], ["destroy", DEVELOPMENT]] {
        story.run(&words).ended(0);
        let after = words.join(" ");
        let answer =
            kept.get(&host, "/whoami").unwrap_or_else(|error| panic!("kept, after {after}: {error}"));
        assert!(answer.status == 200 && answer.body.contains(PRODUCTION), "{answer:?}");
        socket.say(&after).unwrap_or_else(|error| panic!("websocket, after {after}: {error}"));
        heard(&mut socket, &after);
    }
}

/// Reads over the ticks until the echo comes.
fn heard(socket: &mut Link, wanted: &str) {
    for _ in 0..10_000 {
        let (kind, text) = socket.hear().unwrap_or_else(|error| panic!("websocket, after {wanted}: {error}"));
        assert_ne!(kind, 8, "the websocket was closed: {text}");
        if text.contains(wanted) {
            return;
        }
    }
    panic!("no echo of {wanted}");
}
