//! How it is shown: in the terminal's own colours, so that light and dark both read well.

use pw_model::config::Class;
use pw_model::unit::Bytes;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::Chosen;
use super::screen::{Row, Screen, TRAIL};

/// From here on there is room for both directions of disk and network, and for curves.
const WIDE: usize = 120;
/// The most that a name takes.
const NAME: usize = 24;
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One column: its title, its width, and what stands in it.
type Column = (&'static str, usize, fn(&Row) -> Span<'static>);

const NARROW_COLUMNS: [Column; 9] = [
    ("CPU", 5, |row| cpus(row)),
    ("MEMORY", 7, |row| bytes(row.used.memory_bytes)),
    ("OF", 4, |row| share_of_limit(row)),
    ("DISK/s", 7, |row| bytes(row.disk())),
    ("NET/s", 7, |row| bytes(row.network())),
    ("REQ/s", 6, |row| number(row.requests())),
    ("P50", 6, |row| duration(row.answers.percentile(0.5))),
    ("P99", 6, |row| duration(row.answers.percentile(0.99))),
    ("FAIL", 5, |row| failed(row)),
];

const WIDE_COLUMNS: [Column; 13] = [
    ("CPU", 5, |row| cpus(row)),
    ("WAIT", 5, |row| percent(row.used.waited_cpu_seconds)),
    ("MEMORY", 7, |row| bytes(row.used.memory_bytes)),
    ("OF", 4, |row| share_of_limit(row)),
    ("READ/s", 7, |row| bytes(row.used.read_bytes)),
    ("WRITE/s", 7, |row| bytes(row.used.written_bytes)),
    ("IN/s", 7, |row| bytes(row.used.received_bytes)),
    ("OUT/s", 7, |row| bytes(row.used.sent_bytes)),
    ("PIDS", 5, |row| number(row.used.processes)),
    ("REQ/s", 6, |row| number(row.requests())),
    ("P50", 6, |row| duration(row.answers.percentile(0.5))),
    ("P99", 6, |row| duration(row.answers.percentile(0.99))),
    ("FAIL", 5, |row| failed(row)),
];

/// The head stays, the table is scrolled, the foot tells the keys.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, chosen: &Chosen) {
    let width = usize::from(frame.area().width);
    let (head, table) = (head(screen, width), table(screen, width));
    let rows = [
        Constraint::Length(u16::try_from(head.len()).unwrap_or(1)),
        Constraint::Min(1),
        Constraint::Length(1),
    ];
    let [top, middle, foot] = Layout::vertical(rows).areas(frame.area());
    // The last line stays in sight.
    let above =
        chosen.above.min(u16::try_from(table.len()).unwrap_or(u16::MAX).saturating_sub(middle.height));
    frame.render_widget(Paragraph::new(head), top);
    frame.render_widget(Paragraph::new(table).scroll((above, 0)), middle);
    frame.render_widget(chosen.foot().dim(), foot);
}

/// Everything, for who prints it once.
pub(super) fn lines(screen: &Screen, width: usize) -> Vec<Line<'static>> {
    let mut lines = head(screen, width);
    lines.extend(table(screen, width));
    lines
}

fn head(screen: &Screen, width: usize) -> Vec<Line<'static>> {
    let machine = &screen.machine;
    let cells = if width >= WIDE { 40 } else { 6 };
    let share =
        |part: Option<f64>, whole: Option<f64>| percent(part.zip(whole).map(|(part, whole)| part / whole));
    let mut first = vec![
        screen.project.clone().bold(),
        format!("  {}  ", screen.at.strftime("%H:%M:%S")).into(),
        share(machine.cpu_seconds, machine.cpus),
        format!(" of {} CPUs ", machine.cpus.unwrap_or(0.0)).into(),
        curve(&screen.machine_trail, machine.cpus, cells).dim(),
        "  ".into(),
        share(machine.memory_available_bytes, machine.memory_bytes),
        " memory, ".into(),
        share(machine.disk_free_bytes, machine.disk_bytes),
        " disk free".into(),
    ];
    if let Some(stolen) = machine.stolen_seconds.filter(|stolen| *stolen >= 0.01) {
        first.push(format!(", {:.0} % stolen", stolen * 100.0 / machine.cpus.unwrap_or(1.0)).into());
    }
    let mut lines = vec![Line::from(first)];
    if let Some(waits) = &screen.waits {
        let share = |waited: Option<f64>| percent(waited).content.into_owned();
        lines.push(cut(
            format!(
                "pressure  production waits {} for a processor, {} for memory, {} for a disk",
                share(waits.waited_cpu_seconds),
                share(waits.waited_memory_seconds),
                share(waits.waited_io_seconds)
            ),
            width,
        ));
    }
    let said = screen.said.iter().map(|line| {
        let line = cut(line.clone(), width);
        if line.to_string().starts_with("incident") { line.red().bold() } else { line }
    });
    lines.extend(said);
    if !screen.is_agent {
        lines.push(cut("no agent runs: nothing is governed, and nothing of this is kept".into(), width));
    }
    lines.push(Line::default());
    lines
}

fn cut(text: String, width: usize) -> Line<'static> {
    if text.chars().count() <= width {
        return Line::from(text);
    }
    Line::from(text.chars().take(width.saturating_sub(1)).chain(['…']).collect::<String>())
}

fn table(screen: &Screen, width: usize) -> Vec<Line<'static>> {
    let columns: &[Column] = if width >= WIDE { &WIDE_COLUMNS } else { &NARROW_COLUMNS };
    let taken: usize = columns.iter().map(|(_, width, _)| width + 1).sum();
    let longest = screen.rows.iter().map(|row| row.name.chars().count() + 2).max().unwrap_or(0);
    let name = longest.clamp(8, NAME).min(width.saturating_sub(taken).max(8));
    let curve_width = width.saturating_sub(taken + name + 1).min(40);
    let mut title = format!("{:name$}", "");
    columns.iter().for_each(|(text, width, _)| title.push_str(&format!(" {text:>width$}")));
    if width >= WIDE && curve_width >= 8 {
        title.push_str(&format!(" CPU, {} MINUTES", TRAIL / 60));
    }
    let mut lines = vec![Line::from(title).dim()];
    for row in &screen.rows {
        let mut spans = vec![title_of(row, name)];
        for (_, width, cell) in columns {
            let cell = cell(row);
            spans.push(Span::styled(format!(" {:>width$}", cell.content), cell.style));
        }
        if width >= WIDE && curve_width >= 8 && !row.trail.is_empty() {
            spans.push(" ".into());
            spans.push(curve(&row.trail, row.cpu_limit.or(screen.machine.cpus), curve_width).dim());
        }
        lines.push(Line::from(spans));
    }
    lines
}

fn title_of(row: &Row, width: usize) -> Span<'static> {
    let text = match row.class {
        Some(_) => row.name.to_uppercase(),
        None => format!("  {}", row.name),
    };
    let text = cut(text, width).to_string();
    let style = match row.class {
        Some(Class::Production) => Style::new().red().add_modifier(Modifier::BOLD),
        Some(_) => Style::new().add_modifier(Modifier::BOLD),
        None => Style::new(),
    };
    Span::styled(format!("{text:width$}"), style)
}

/// The most of each stretch of time, against what there is.
fn curve(trail: &[(i64, f64)], most: Option<f64>, cells: usize) -> Span<'static> {
    let Some(newest) = trail.last().map(|(at, _)| *at) else { return " ".repeat(cells).into() };
    let mut highest = vec![None::<f64>; cells];
    let step = (TRAIL / cells.max(1) as i64).max(1);
    for (at, value) in trail {
        let back = usize::try_from((newest - at) / step).unwrap_or(usize::MAX);
        let place = cells.checked_sub(back + 1).and_then(|at| highest.get_mut(at));
        if let Some(place) = place {
            *place = Some(place.map_or(*value, |before| before.max(*value)));
        }
    }
    let most = most.unwrap_or(1.0).max(0.001);
    let step = |value: f64| ((value / most * 8.0) as usize).min(STEPS.len() - 1);
    let cell = |value: Option<f64>| value.map_or(' ', |value| STEPS.get(step(value)).copied().unwrap_or(' '));
    highest.into_iter().map(cell).collect::<String>().into()
}

/// Red from nine tenths of what it may have.
fn warned(text: String, share: Option<f64>) -> Span<'static> {
    match share {
        Some(share) if share >= 0.9 => text.red().bold(),
        Some(share) if share >= 0.75 => text.yellow(),
        _ => text.into(),
    }
}

fn nothing() -> Span<'static> {
    "-".dim()
}

fn cpus(row: &Row) -> Span<'static> {
    let Some(used) = row.used.cpu_seconds else { return nothing() };
    warned(format!("{used:.2}"), row.cpu_limit.map(|limit| used / limit))
}

fn bytes(value: Option<f64>) -> Span<'static> {
    value.map_or_else(nothing, |value| Bytes(value as u64).to_string().into())
}

fn share_of_limit(row: &Row) -> Span<'static> {
    let share = row.used.memory_bytes.zip(row.memory_limit).map(|(used, limit)| used / limit);
    share.map_or_else(|| "".into(), |share| warned(format!("{:.0}%", share * 100.0), Some(share)))
}

fn percent(share: Option<f64>) -> Span<'static> {
    share.map_or_else(nothing, |share| format!("{:.0} %", share * 100.0).into())
}

fn number(value: Option<f64>) -> Span<'static> {
    match value {
        None => nothing(),
        Some(value) if value < 10.0 && value.fract() > 0.0 => format!("{value:.1}").into(),
        Some(value) => format!("{value:.0}").into(),
    }
}

fn duration(seconds: Option<f64>) -> Span<'static> {
    match seconds {
        None => nothing(),
        Some(seconds) if seconds < 0.01 => format!("{:.1}ms", seconds * 1000.0).into(),
        Some(seconds) if seconds < 1.0 => format!("{:.0}ms", seconds * 1000.0).into(),
        Some(seconds) => format!("{seconds:.1}s").into(),
    }
}

fn failed(row: &Row) -> Span<'static> {
    match row.errors() {
        None => nothing(),
        Some(share) if share > 0.0 => format!("{:.1}%", share * 100.0).red().bold(),
        Some(_) => "0%".into(),
    }
}
