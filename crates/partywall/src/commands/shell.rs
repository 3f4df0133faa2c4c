//! `shell`: a shell that says where you are, and in which plain `docker compose` speaks to one environment.

use std::io::{IsTerminal, Write};
use std::path::Path;

use pw_model::config::Class;
use tokio::process::Command;

use crate::printer::Printer;
use crate::session::Session;
use crate::stop::{Stop, passed_on};

pub(crate) async fn run(session: &Session, name: &str, printer: &mut Printer) -> Result<(), Stop> {
    let class = session.class(name)?;
    let (name, _) = session.environment(name)?;
    let file = session.rendered_file(name)?;
    session.runs_from_here(name, &[])?;
    let shell = std::env::var("SHELL")
        .ok()
        .filter(|shell| Path::new(shell).is_file())
        .unwrap_or_else(|| "/bin/sh".into());
    let project = session.config.compose_project(name);
    let start = start_file(&shell, &project, class)?;
    let mut command = Command::new(&shell);
    command
        .env("COMPOSE_PROJECT_NAME", &project)
        .env("COMPOSE_FILE", &file)
        .env("PARTYWALL_ENVIRONMENT", name.as_str());
    command.env_remove("COMPOSE_PROFILES").env("PS1", plain_prompt(&project, class));
    start.prepare(&mut command);
    printer.note(format!("`docker compose` here speaks to `{project}`; `exit` leaves"));
    let title = Title::keep();
    let status = command.status().await?;
    drop(title);
    passed_on(status)
}

/// The terminal's own title, which comes back when the shell has ended.
struct Title;

impl Title {
    fn keep() -> Option<Self> {
        let terminal = std::io::stdout().is_terminal();
        terminal.then(|| write_codes("\x1b[22;0t")).map(|()| Self)
    }
}

impl Drop for Title {
    fn drop(&mut self) {
        // Emptied first, for terminals that keep no titles.
        write_codes("\x1b]0;\x07\x1b[23;0t");
    }
}

fn write_codes(codes: &str) {
    let mut out = std::io::stdout();
    drop(out.write_all(codes.as_bytes()).and_then(|()| out.flush()));
}

/// What a shell is started with so that its prompt survives the user's own start files.
struct Start {
    kind: Kind,
    folder: tempfile::TempDir,
}

enum Kind {
    Bash,
    Zsh,
    Other,
}

impl Start {
    fn prepare(&self, command: &mut Command) {
        match self.kind {
            Kind::Bash => {
                command.arg("--rcfile").arg(self.folder.path().join("bashrc"));
            }
            Kind::Zsh => {
                command.env("ZDOTDIR", self.folder.path());
            }
            Kind::Other => {}
        }
    }
}

fn start_file(shell: &str, project: &str, class: Class) -> Result<Start, Stop> {
    let folder = tempfile::tempdir()?;
    let kind = match Path::new(shell).file_name().and_then(|name| name.to_str()) {
        Some("bash") => Kind::Bash,
        Some("zsh") => Kind::Zsh,
        _ => Kind::Other,
    };
    let (file, text) = match kind {
        Kind::Bash => ("bashrc", bash(project, class)),
        Kind::Zsh => (".zshrc", zsh(project, class)),
        Kind::Other => return Ok(Start { kind, folder }),
    };
    std::fs::File::create(folder.path().join(file))?.write_all(text.as_bytes())?;
    Ok(Start { kind, folder })
}

/// White on red for production, black on green beside it.
fn colour(class: Class) -> &'static str {
    if class == Class::Production { "1;37;41" } else { "30;42" }
}

fn bash(project: &str, class: Class) -> String {
    let colour = colour(class);
    format!(
        "[ -f ~/.bashrc ] && . ~/.bashrc\nPS1='\\[\\e]0;{project}\\a\\]\\[\\e[{colour}m\\] {project} \\[\\e[0m\\] \\w \\$ '\nunset PROMPT_COMMAND\n"
    )
}

fn zsh(project: &str, class: Class) -> String {
    let (back, front) = if class == Class::Production { ("red", "white") } else { ("green", "black") };
    format!(
        "[ -f ~/.zshrc ] && . ~/.zshrc\nprecmd() {{ print -Pn '\\e]0;{project}\\a' }}\nPROMPT='%K{{{back}}}%F{{{front}}} {project} %f%k %~ %# '\n"
    )
}

fn plain_prompt(project: &str, class: Class) -> String {
    format!("\x1b[{}m {project} \x1b[0m $ ", colour(class))
}
