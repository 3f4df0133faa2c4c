//! The one door to the terminal: answers on stdout, notes and progress on stderr.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use pw_model::diagnostic::{Diagnostic, Severity};
use serde::Serialize;
use serde_json::json;

use crate::stop::Stop;

pub(crate) struct Printer {
    json: bool,
    quiet: bool,
}

pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

/// How wide the terminal is that the answer goes to; `None` where it goes elsewhere.
pub(crate) fn columns() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

impl Printer {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// True when notes and progress may be drawn and redrawn.
    pub(crate) fn draws(&self) -> bool {
        !self.quiet && !self.json && std::io::stderr().is_terminal()
    }

    /// Text another program may read. A closed pipe (`| head`) ends quietly.
    pub(crate) fn answer(&mut self, text: impl AsRef<str>) -> Result<(), Stop> {
        ignore_closed_pipe(anstream::stdout().write_all(text.as_ref().as_bytes()))
    }

    /// One JSON object on a line of its own.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Stop> {
        let mut text = serde_json::to_string(value).map_err(std::io::Error::other)?;
        text.push('\n');
        self.answer(text)
    }

    /// Text for the person at the keyboard.
    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        if !self.quiet && !self.json {
            // Nobody is left to be told when stderr is closed.
            drop(writeln!(anstream::stderr(), "{}", text.as_ref()));
        }
    }

    /// The same for who has no hold of the printer.
    pub(crate) fn notes(&self) -> impl Fn(&str) + Send + Sync + use<> {
        let (json, quiet) = (self.json, self.quiet);
        move |text| Self::new(json, quiet).note(text)
    }

    pub(crate) fn diagnostics(&mut self, list: &[Diagnostic]) {
        for diagnostic in list {
            if diagnostic.severity == Severity::Error || !self.quiet {
                drop(writeln!(anstream::stderr(), "{}", coloured(diagnostic)));
            }
        }
    }

    /// Says why a command stopped, and answers its exit code.
    pub(crate) fn stop(&mut self, stop: &Stop) -> ExitCode {
        let list = stop.diagnostics();
        if self.json && !list.is_empty() {
            drop(self.json(&json!({"ok": false, "errors": list})));
        } else {
            self.diagnostics(&list);
        }
        ExitCode::from(stop.exit_code())
    }
}

/// Prints what clap says. Help is an answer; a slip of the hand is the user's input, exit 1.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let before_the_command = std::env::args().take_while(|word| word != "--");
    if error.use_stderr() && before_the_command.into_iter().any(|word| word == "--json") {
        return Printer::new(true, false).stop(&Stop::Complaints(vec![slip(&error.to_string())]));
    }
    drop(error.print());
    if error.use_stderr() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

/// What clap says, in our shape: its first paragraph, and its tip or else the usage line as hint.
fn slip(text: &str) -> Diagnostic {
    let plain = text.replace('\'', "`");
    let paragraph = plain.split("\n\n").next().unwrap_or_default();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = words(paragraph.trim_start_matches("error: "));
    let line = |start: &str| plain.lines().find_map(|line| line.trim().strip_prefix(start)).map(words);
    // Without a command clap prints the help, which has no error in it.
    let message = if paragraph.starts_with("error: ") { message } else { "a command is missing".to_owned() };
    Diagnostic::error(message)
        .hint(line("tip: ").or_else(|| line("Usage: ")).unwrap_or_else(|| "see `partywall --help`".into()))
}

fn coloured(diagnostic: &Diagnostic) -> String {
    let text = diagnostic.to_string();
    let (word, style) = if diagnostic.is_error() { ("error", RED) } else { ("warning", YELLOW) };
    let rest = text.strip_prefix(word).unwrap_or(&text);
    let rest = rest.replacen("\nhint:", &format!("\n{GREEN}hint{GREEN:#}:"), 1);
    format!("{style}{word}{style:#}{rest}")
}

fn ignore_closed_pipe(result: std::io::Result<()>) -> Result<(), Stop> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Stop::Code(0)),
        other => other.map_err(Stop::from),
    }
}

/// `1 step`, `2 steps`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;

    fn slip_of(words: &[&str]) -> Diagnostic {
        let words = ["partywall"].iter().chain(words);
        slip(&Cli::try_parse_from(words).expect_err("a slip").to_string())
    }

    #[test]
    fn a_slip_of_the_hand_is_a_diagnostic() {
        let typed = slip_of(&["upp"]);
        assert_eq!(typed.message, "unrecognized subcommand `upp`");
        assert!(typed.hint.is_some_and(|hint| hint.contains("`up`")));
        let missing = slip_of(&["exec", "development"]);
        assert_eq!(
            missing.message,
            "the following required arguments were not provided: <SERVICE> <COMMAND>..."
        );
        assert!(missing.hint.is_some_and(|hint| hint.starts_with("partywall exec ")));
        assert_eq!(slip_of(&[]).message, "a command is missing");
    }
}
