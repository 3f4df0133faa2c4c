//! What a program complains of, heard beside its output: one that nobody hears would fill its pipe and stop.

use std::io::Read;
use std::thread::JoinHandle;

/// The words of a program that still runs.
pub struct Said(JoinHandle<String>);

impl Said {
    /// Hears from now on.
    pub fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        Self(std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.into_iter().for_each(|mut pipe| drop(pipe.read_to_end(&mut bytes)));
            String::from_utf8_lossy(&bytes).into_owned()
        }))
    }

    /// All of them, once the program has closed its pipe.
    pub fn text(self) -> String {
        self.0.join().unwrap_or_default()
    }
}
