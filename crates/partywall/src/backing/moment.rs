//! A server of some moment: its files from a backup, the log that is played onto them, and what is taken over from it.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use pw_backup::log::Reading;
use pw_backup::make::Program;
use pw_backup::take::Taking;
use pw_backup::{Repository, Said};
use pw_data::count::{counted, counted_here};
use pw_data::here::Here;
use pw_host::scratch::receive_files;
use pw_host::{Host, OnLine};
use pw_plan::backup::restore::LOG_FOLDER;
use pw_plan::step::{BaseRun, DatabasePlace, ScratchServer};
use pw_run::Failure;

use super::perform::{blocking, counted_as};
use super::restore::{Receiver, differences, pour, refused};
use crate::reach::reach;

/// Its log beside its files, and the sign by which a server knows that it is to play it.
const RECEIVE_LOG: &str = r#"set -e; cd "$PW_DATA"; mkdir -p "$PW_LOG"; cat >"$PW_LOG/$PW_SEGMENT""#;
const READY: &str = r#"set -e; cd "$PW_DATA"; touch recovery.signal
chown -R "$(stat -c %u:%g PG_VERSION)" "$PW_LOG" recovery.signal"#;

/// Files and log into the container that receives them.
pub(super) async fn fill(host: &Host, on_line: Option<OnLine>, run: &BaseRun) -> Result<(), Failure> {
    let inside = host.engine().look_inside(&run.project, &run.service).await?;
    let run = run.clone();
    let tell = move |text: &str| on_line.iter().for_each(|tell| tell(text));
    blocking(move || {
        let repository = Repository::new(run.stored.repository.clone());
        let service = &run.stored.part;
        let taking = Taking::open(&repository, &run.stored.backup)?;
        tell("waiting for the files of the server");
        let what = format!("could not bring the files of `{service}` back");
        pour(command(&inside.id, &run, "", &receive_files()), &what, |pipe| taking.base(service, pipe))?;
        let reading = Reading::open(&repository, &taking.manifest.environment)?;
        for (log, segments) in &run.log {
            for segment in segments {
                tell(&format!("{segment} of the log"));
                let what = format!("could not bring segment {segment} of the log of `{service}` back");
                let command = command(&inside.id, &run, segment, RECEIVE_LOG);
                pour(command, &what, |pipe| reading.segment(log, (service, segment), pipe))?;
            }
        }
        pour(command(&inside.id, &run, "", READY), "could not make the server ready", |_| Ok(()))
    })
    .await
}

fn command(container: &str, run: &BaseRun, segment: &str, script: &str) -> Command {
    let mut command = Command::new("docker");
    let variables = [
        ("PW_DATA", run.data.as_str()),
        ("PW_SOCKET", &run.socket),
        ("PW_LOG", LOG_FOLDER),
        ("PW_SEGMENT", segment),
    ];
    command.args(["exec", "-i"]);
    for (name, value) in variables {
        command.args(["-e", &format!("{name}={value}")]);
    }
    command.args([container, "sh", "-c", script]);
    command
}

/// One database of the scratch server becomes one of the environment's own, and both are counted.
pub(super) async fn copy(
    host: &Host,
    from: &ScratchServer,
    like: &str,
    to: &DatabasePlace,
) -> Result<(), Failure> {
    let scratch = host.engine().look_inside(&from.compose.project, &from.service).await?;
    let server = DatabasePlace { name: like.to_owned(), ..to.clone() };
    let reached = reach(host.engine(), &server).await?;
    pw_data::seed::remove(&reached.address, &to.name).await?;
    pw_data::seed::make_like(&reached.address, &to.name).await?;
    let receiver = Receiver {
        container: reached.id.clone(),
        password: reached.password.clone(),
        user: to.user.clone(),
        database: to.name.clone(),
        words: Vec::new(),
    };
    let dump = ["docker", "exec", &scratch.id, "pg_dump", "-w", "-Fc", "-Z0", "-U", &from.user, "-d"];
    let words = dump.into_iter().chain([from.database.as_str()]).map(str::to_owned).collect();
    let dump = Program { words, variables: Vec::new(), needs: None };
    blocking(move || piped(&dump, &receiver, "could not copy the database of that moment")).await?;
    let here = Here { folder: Path::new(&from.socket), user: &from.user, database: &from.database };
    let known = counted_as(counted_here(here.folder, here.user, here.database).await?)?;
    let made = reached.address.with_database(&to.name);
    let (_, counts) = counted(made.clone()).await?;
    let wrong = differences(&known, &counts);
    if wrong.is_empty() {
        return pw_data::roles::dress(&made, &here.around().await?).await;
    }
    Err(Failure::new(format!("`{}` came back other than the scratch server has it", from.database))
        .because(io::Error::other(wrong.join("; "))))
}

/// The dump of one server into another, without a stop between.
pub(super) fn piped(dump: &Program, receiver: &Receiver, what: &str) -> Result<(), Failure> {
    let what = || Failure::new(what);
    let Some((program, words)) = dump.words.split_first() else { return Ok(()) };
    let mut from = Command::new(program);
    from.args(words).envs(dump.variables.iter().map(|(name, value)| (name, value)));
    from.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut from = from.spawn().map_err(|error| what().because(error))?;
    let said = Said::of(from.stderr.take());
    let mut into = receiver.command();
    into.stdin(from.stdout.take().map_or_else(Stdio::null, Stdio::from));
    let heard = into.output();
    // It has the dump's other end, too: while that is open, a dump that nobody reads any more waits for ever.
    drop(into);
    // Closed after the dump has ended: before, it would be told that nobody reads.
    let input = from.stdin.take();
    let sent = from.wait().map_err(|error| what().because(error))?;
    drop(input);
    let heard = heard.map_err(|error| what().because(error))?;
    if sent.success() && heard.status.success() {
        return Ok(());
    }
    Err(refused(what(), &(said.text() + &String::from_utf8_lossy(&heard.stderr))))
}
