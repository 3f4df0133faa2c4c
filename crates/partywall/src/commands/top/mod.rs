//! `top`: what everything uses and answers, live.

mod draw;
mod screen;
mod source;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::widgets::Paragraph;

use crate::printer::Printer;
use crate::session::Session;
use crate::stop::Stop;
use screen::{Screen, Sort, View};
use source::Source;

const PERIOD: Duration = Duration::from_secs(1);
/// For a picture to be another one: the agent looks once a second.
const ANOTHER: Duration = Duration::from_millis(1100);

pub(crate) async fn run(
    session: &Session,
    wanted: Option<&str>,
    once: bool,
    printer: &mut Printer,
) -> Result<(), Stop> {
    if let Some(name) = wanted {
        session.environment(name)?;
    }
    let mut source = Source::new(session).await?;
    let mut view = View::new(session, wanted);
    view.take(source.next().await);
    if once || printer.is_json() || !io::stdout().is_terminal() {
        tokio::time::sleep(ANOTHER).await;
        view.take(source.next().await);
        return print(&view.screen(Sort::Name), printer);
    }
    let mut terminal = ratatui::try_init().map_err(no_terminal)?;
    let ended = live(&mut terminal, &mut source, &mut view).await;
    ratatui::restore();
    ended.map_err(no_terminal)
}

fn no_terminal(error: io::Error) -> Stop {
    Stop::because("could not draw", error.to_string(), "`partywall top --once` prints one picture")
}

fn print(screen: &Screen, printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        return printer.json(&screen.to_json());
    }
    let width = rustix::termios::tcgetwinsize(io::stdout()).map(|size| usize::from(size.ws_col));
    let lines = draw::lines(screen, width.ok().filter(|columns| *columns > 0).unwrap_or(100));
    printer.answer(lines.iter().map(|line| format!("{}\n", line.to_string().trim_end())).collect::<String>())
}

/// What the person at the keyboard has chosen.
struct Chosen {
    sort: Sort,
    is_paused: bool,
    /// Lines of the table above the screen.
    above: u16,
}

async fn live(
    terminal: &mut ratatui::DefaultTerminal,
    source: &mut Source<'_>,
    view: &mut View,
) -> io::Result<()> {
    let mut chosen = Chosen { sort: Sort::Name, is_paused: false, above: 0 };
    loop {
        let screen = view.screen(chosen.sort);
        terminal.draw(|frame| draw::draw(frame, &screen, &chosen))?;
        let until = Instant::now() + PERIOD;
        if wait_for_keys(&mut chosen, until)? {
            return Ok(());
        }
        if !chosen.is_paused && Instant::now() >= until {
            view.take(source.next().await);
        }
    }
}

/// Until the time is over or a key changes something; true at the end.
fn wait_for_keys(chosen: &mut Chosen, until: Instant) -> io::Result<bool> {
    while event::poll(until.saturating_duration_since(Instant::now()))? {
        match event::read()? {
            Event::Key(key) if key.kind == KeyEventKind::Press => {
                if is_end(key) {
                    return Ok(true);
                }
                chosen.press(key.code);
                return Ok(false);
            }
            Event::Resize(..) => return Ok(false),
            _ => {}
        }
    }
    Ok(false)
}

/// In raw mode the terminal makes no signal of Ctrl-C.
fn is_end(key: KeyEvent) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) || is_control && key.code == KeyCode::Char('c')
}

impl Chosen {
    fn press(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Down => self.above = self.above.saturating_add(1),
            KeyCode::Up => self.above = self.above.saturating_sub(1),
            KeyCode::Home => self.above = 0,
            _ => {}
        }
    }

    fn foot(&self) -> Paragraph<'static> {
        let pause = if self.is_paused { "p go on (paused)" } else { "p pause" };
        Paragraph::new(format!("q quit   s sorted by {}   {pause}   ↑↓ scroll", self.sort.as_str()))
    }
}

#[cfg(test)]
mod tests;
