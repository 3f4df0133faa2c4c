//! The built program, run to its end or cut off.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_partywall");

/// What a run said, and how it ended.
#[derive(Debug)]
pub(crate) struct Told {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    /// Fails unless the run ended with this exit code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Fails unless stderr has all these texts.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "`{text}` is not in stderr:\n{}", self.err);
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }
}

/// Starts a command with its output in pipes.
pub(super) fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Waits for the end, and kills what takes too long.
pub(crate) fn finished(mut child: Child) -> Told {
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if Instant::now() >= end {
            drop(child.kill());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Told { code: status.code(), out: text(out), err: text(err) }
}

type Reader = Option<JoinHandle<String>>;

/// Bytes are read on a thread of their own: a full pipe would stop the program.
fn reader(pipe: Option<impl Read + Send + 'static>) -> Reader {
    let mut pipe = pipe?;
    Some(std::thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }))
}

fn text(reader: Reader) -> String {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}
