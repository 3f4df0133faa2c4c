//! `sample`: a closed, masked, proved sample of one PostgreSQL database in another.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use comfy_table::{CellAlignment, Table};
use pw_data::load::Scratch;
use pw_data::mask::Secret;
use pw_data::sample::{Done, Opening, Order, Planned, Reading, Standing};
use pw_data::server::Address;
use pw_model::source::SourceFile;
use pw_model::unit::Bytes;
use pw_run::Failure;
use serde_json::{Value, json};

use crate::cli::Sample;
use crate::look::{self, Answer, Question};
use crate::moving;
use crate::printer::{GREEN, Printer, count};
use crate::reach::pg_dump;
use crate::stop::Stop;

pub(crate) async fn run(asked: &Sample, printer: &mut Printer) -> Result<(), Stop> {
    let file = rules(asked)?;
    let from = Address::parse(&asked.from)?.limited(rate(asked.rate.as_deref())?);
    let notes = printer.notes();
    let (json, quiet) = (printer.is_json(), printer.is_quiet());
    let tell = |stage: &str| {
        if json {
            event(&json!({"event": "stage", "stage": stage}));
        } else {
            notes(&format!("  {stage}"));
        }
    };
    let show = |standing: &Standing| match (json, quiet) {
        (true, _) => event(&json!({"event": "copying", "percent": standing.percent(), "standing": standing})),
        (_, true) => {}
        _ => moving::draw(standing),
    };
    let (why, words) = (asked.why.is_some(), pg_dump());
    let load = !(asked.plan || asked.suggest || why);
    let opening = Opening { why, load, pg_dump: words.as_deref(), ..Opening::default() };
    let reading = Reading::open_as(&from, &file, &opening, &tell).await?;
    if asked.plan {
        return plan(&reading.plan(), printer);
    }
    let why = asked.why.clone().map(Question::Why);
    if let Some(question) = asked.suggest.then_some(Question::Suggest).or(why) {
        return answered(look::answer(&reading, &question).await?, printer);
    }
    let work = fill(asked, &reading, &tell);
    match moving::watched(&reading, work, moving::interval(), &show).await {
        Ok(done) => answer(&done, printer),
        Err(stop) => {
            if asked.keep_failed {
                tell_left(asked, printer).await?;
            }
            Err(stop)
        }
    }
}

/// One line of long work, for another program.
fn event(value: &Value) {
    // A closed pipe ends the showing, not the work.
    drop(writeln!(anstream::stdout(), "{value}"));
}

/// Names what stays of a failed run, and how to be rid of it.
async fn tell_left(asked: &Sample, printer: &mut Printer) -> Result<(), Stop> {
    let to = Address::parse(asked.to.as_deref().unwrap_or_default())?;
    if let Some(name) = Scratch::left(&to).await? {
        let (host, port, user) = (to.host(), to.port(), to.user().unwrap_or("postgres"));
        printer.note(format!(
            "the failed sample stays in `{name}` until the next run; remove it before: dropdb --host {host} --port {port} --username {user} '{name}'"
        ));
    }
    Ok(())
}

async fn fill(asked: &Sample, reading: &Reading, tell: &dyn Fn(&str)) -> Result<Done, Stop> {
    let to = asked.to.as_deref().unwrap_or_default();
    let (to, secret) = (Address::parse(to)?, secret(&asked.rules)?);
    let words = pg_dump();
    let order = Order { to: &to, secret: &secret, keep_failed: asked.keep_failed, pg_dump: words.as_deref() };
    tokio::select! {
        done = reading.load(&order, tell) => return Ok(done?),
        _ = tokio::signal::ctrl_c() => {}
    }
    Scratch::sweep(&to).await?;
    Err(Failure::new("interrupted; the target is as before").into())
}

/// Of `--rate`.
pub(super) fn rate(text: Option<&str>) -> Result<Option<u64>, Stop> {
    let Some(text) = text else { return Ok(None) };
    match Bytes::parse(text) {
        Ok(Bytes(0)) => {
            Err(Stop::because("`--rate 0` reads nothing", "no time is long enough", "leave it out"))
        }
        Ok(Bytes(bytes)) => Ok(Some(bytes)),
        Err(error) => {
            Err(Stop::because(format!("`{text}` is no rate"), error.to_string(), "write `--rate 50MB`"))
        }
    }
}

fn rules(asked: &Sample) -> Result<SourceFile, Stop> {
    let name = asked.rules.display().to_string();
    match std::fs::read_to_string(&asked.rules) {
        Ok(text) => Ok(SourceFile::new(name, text)),
        Err(error) => Err(Stop::because(
            format!("could not read `{name}`"),
            error.to_string(),
            "name the file of rules with `--rules`",
        )),
    }
}

/// `$PARTYWALL_SECRET`, else a file beside the rules, made on first use and readable by its owner only.
fn secret(rules: &Path) -> Result<Secret, Stop> {
    if let Ok(text) = std::env::var("PARTYWALL_SECRET") {
        return Ok(Secret::new(&text));
    }
    let path = rules.with_extension("secret");
    let failure = |what: &str, error: std::io::Error| {
        Failure::new(format!("could not {what} `{}`", path.display())).because(error)
    };
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 16 => return Ok(Secret::new(&text)),
        Ok(_) => {
            return Err(Stop::because(
                format!("`{}` holds no secret", path.display()),
                "it is shorter than 16 characters",
                "remove it; a new one is made",
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failure("read", error).into()),
    }
    let mut bytes = [0_u8; 32];
    let random = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    random.map_err(|error| failure("make", error))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| writeln!(file, "{text}")).map_err(|error| failure("write", error))?;
    Ok(Secret::new(&text))
}

pub(super) fn answered(answer: Answer, printer: &mut Printer) -> Result<(), Stop> {
    match answer {
        Answer::Snippet(text) => printer.answer(text),
        Answer::Chain(chain) if printer.is_json() => printer.json(&json!({"ok": true, "chain": chain})),
        Answer::Chain(chain) => printer.answer(format!("{}\n", chain.join("\n  "))),
    }
}

fn plan(planned: &[Planned], printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        return printer.json(&json!({"ok": true, "tables": planned}));
    }
    printer.answer(tables(planned))
}

/// Rows of every table, and by which path they come.
pub(super) fn tables(planned: &[Planned]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["TABLE", "ROWS", "OF", "MB", "COHORT", "OWNED", "PARENTS", "WHOLE", "CLEARED"]);
    for one in planned {
        let megabytes = one.bytes.div_ceil(1_000_000);
        let numbers = [
            one.rows as u64,
            one.of,
            megabytes,
            one.by.cohort as u64,
            one.by.owned as u64,
            one.by.parents as u64,
            one.by.whole as u64,
            one.cleared as u64,
        ];
        table.add_row([one.table.clone()].into_iter().chain(numbers.map(|number| number.to_string())));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    format!("{table}\n")
}

fn answer(done: &Done, printer: &mut Printer) -> Result<(), Stop> {
    if printer.is_json() {
        return printer.json(&json!({"ok": true, "done": done}));
    }
    if done.large_objects + done.large_objects_left > 0 {
        printer.note(format!(
            "{} came along, {} that no row of the sample is known to name stayed",
            count(usize::try_from(done.large_objects).unwrap_or(usize::MAX), "large object"),
            done.large_objects_left
        ));
    }
    done.told.iter().for_each(|told| printer.note(told));
    let tables = count(done.tables.len(), "table");
    printer.note(format!("{GREEN}done{GREEN:#}: {} rows in {tables}, {} production values searched for and not found, every foreign key holds", done.rows, done.searched_for));
    Ok(())
}
