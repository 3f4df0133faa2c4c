use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;

/// Answers each request on each connection; the first one only after a stall.
fn server(stall: Duration, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let first = Arc::new(AtomicBool::new(true));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if first.swap(false, Ordering::Relaxed) {
                std::thread::sleep(stall);
            }
            std::thread::spawn(move || answer(stream, body));
        }
    });
    address
}

fn answer(stream: TcpStream, body: &str) {
    let Ok(mut writer) = stream.try_clone() else { return };
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        // In one piece: the kernel holds a second piece back until the first is confirmed.
        let text = format!("HTTP/1.1 200 OK\r\n{body}");
        if line.is_empty() && writer.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn a_stall_is_felt_by_all_that_were_due_in_it() {
    let stall = Duration::from_millis(400);
    let address = server(stall, "content-length: 2\r\n\r\nok");
    let load = Load { lines: 1, ..Load::new(address, "x", "/", 100.0) };
    let report = load.run(Duration::from_millis(800), |answer| answer.body == b"ok");
    assert_eq!(report.failures, 0, "{:?}", report.reasons);
    assert!(report.quantile(1.0) >= stall, "the first waited for the whole stall");
    let half = report.latencies.iter().filter(|latency| **latency >= stall / 2).count();
    assert!(half >= 15, "only {half} of those that were due in the stall counted their wait");
}

#[test]
fn answers_of_every_framing_are_read_and_judged() {
    for (body, kept) in [
        ("content-length: 2\r\n\r\nok", Connection::Kept),
        ("transfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", Connection::Kept),
        ("content-length: 2\r\n\r\nok", Connection::Each),
    ] {
        let address = server(Duration::ZERO, body);
        let load = Load { connection: kept, ..Load::new(address, "x", "/", 200.0) };
        let report =
            load.run(Duration::from_millis(200), |answer| answer.status == 200 && answer.body == b"ok");
        assert_eq!(report.failures, 0, "{:?}", report.reasons);
        assert!(report.requests() > 5);
    }
    let wrong = server(Duration::ZERO, "content-length: 3\r\n\r\nbad");
    let report =
        Load::new(wrong, "x", "/", 100.0).run(Duration::from_millis(100), |answer| answer.body == b"ok");
    assert!(report.latencies.is_empty() && report.reasons[0] == "200 bad", "{:?}", report.reasons);
}

#[test]
fn a_server_that_is_not_there_fails_each_request() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let report = Load::new(gone, "x", "/", 100.0).run(Duration::from_millis(100), |_| true);
    assert!(report.failures > 0 && report.latencies.is_empty());
}

/// Answers the first request of each connection, and closes the connection instead of answering the second.
fn forgetful_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").expect("writes");
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        }
    });
    address
}

#[test]
fn a_get_is_asked_again_on_a_closed_connection_and_a_post_is_not() {
    let address = forgetful_server();
    let load = Load { lines: 1, ..Load::new(address, "x", "/", 100.0) };
    let asked = load.clone().run(Duration::from_millis(200), |answer| answer.body == b"ok");
    assert!(asked.failures == 0 && asked.requests() > 5, "{asked:?}");
    // Without a body, the server needs not read it.
    let post = Post { headers: String::new(), before: String::new(), after: String::new() };
    let posted = Load { post: Some(post), ..load }.run(Duration::from_millis(200), |_| true);
    assert!(posted.failures > 0, "{posted:?}");
}

#[test]
fn an_answer_that_breaks_off_is_a_failure() {
    let address = server(Duration::ZERO, "content-length: 9\r\n\r\nok");
    let load = Load { patience: Duration::from_millis(100), ..Load::new(address, "x", "/", 50.0) };
    let report = load.run(Duration::from_millis(200), |_| true);
    assert!(report.latencies.is_empty() && report.failures > 0, "{report:?}");
}
