//! The front: a process that puts environments to sleep when nobody uses them or the governor wants it, and wakes them for
//! who asks.
//!
//! Both are commands of this program in a process of their own, with a plan, a journal and a lock like any other. Not in
//! the governor's process: that one may touch little, and waits for nobody.

mod answer;
mod usage;
mod wake;
mod wished;

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use pw_model::config::Class;
use pw_model::name::EnvironmentName;
use pw_plan::proxy::is_front;
use pw_run::Failure;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::governed;
use crate::printer::Printer;
use crate::renew;
use crate::session::Session;
use crate::stop::Stop;
use usage::{Seen, Sleeper};
use wake::Waker;
use wished::{Wish, Wishes};

const LOOK: Duration = Duration::from_secs(5);

/// True when somebody answers for what sleeps.
pub(crate) async fn is_there(session: &Session) -> bool {
    UnixStream::connect(socket(session)).await.is_ok()
}

/// True when visitors of an environment are led to the front.
pub(crate) fn is_asleep(session: &Session, name: &EnvironmentName) -> bool {
    let switches = usage::switches(session, name);
    switches.iter().filter_map(|file| std::fs::read_to_string(file).ok()).any(|address| is_front(&address))
}

/// Until it is told to end.
pub(crate) async fn run(session: &Session, printer: &mut Printer) -> Result<(), Stop> {
    let waker = Arc::new(Waker::of(session)?);
    let path = socket(session);
    let listener = listen(session, &path).await?;
    let mut wishes = Wishes::of(&session.config);
    let mut sleepers: Vec<Sleeper> = usage::sleepers(session);
    let wrong = |error| Failure::new("could not listen for signals").because(error);
    let mut ends =
        [signal(SignalKind::terminate()).map_err(wrong)?, signal(SignalKind::interrupt()).map_err(wrong)?];
    let [terminate, interrupt] = &mut ends;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    said(printer, &format!("answers for what sleeps, and looks after {}", names(&sleepers)))?;
    let wrong = RefCell::new(Vec::new());
    let outdated =
        renew::changed(session, |_| Ok(()), |failure| wrong.borrow_mut().push(failure.to_string()));
    tokio::pin!(outdated);
    loop {
        tokio::select! {
            () = &mut outdated => {
                said(printer, "begins anew: `partywall.yaml` has changed")?;
                return Err(renew::again().into());
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(answer::serve(stream, Arc::clone(&waker)))),
                // Too many files are open, for example: the next one may be luckier.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            _ = looks.tick() => {
                for words in wrong.take() {
                    said(printer, &words)?;
                }
                heed(session, &mut wishes, &waker, printer).await?;
                for sleeper in &mut sleepers {
                    look(session, sleeper, &waker, printer).await?;
                }
            }
        }
    }
    drop(std::fs::remove_file(path));
    said(printer, "ends; what sleeps is woken by `partywall up`")
}

/// The governor's wishes come first, whoever uses the environment.
async fn heed(
    session: &Session,
    wishes: &mut Wishes,
    waker: &Waker,
    printer: &mut Printer,
) -> Result<(), Stop> {
    for wish in wishes.hear(governed::read(session).as_ref(), Timestamp::now()) {
        match wish {
            Wish::Sleep(name, why) => {
                said(printer, &format!("{name} is to sleep: {why}"))?;
                let done = waker.run(&["sleep", name.as_str(), "--stop", "--because", &why]).await;
                if !done {
                    said(printer, &format!("{name} does not; `partywall sleep {name}` says why"))?;
                }
                wishes.carried_out(name, done);
            }
            Wish::Wake(name) if is_asleep(session, &name) => {
                said(printer, &format!("{name} wakes: production is calm"))?;
                waker.let_wake(&name);
                waker.wake(&name);
            }
            Wish::Wake(name) => waker.let_wake(&name),
        }
    }
    wishes.names().iter().for_each(|name| waker.keep_asleep(name));
    Ok(())
}

/// A look that fails is one look less: the engine may be restarting.
async fn look(
    session: &Session,
    sleeper: &mut Sleeper,
    waker: &Waker,
    printer: &mut Printer,
) -> Result<(), Stop> {
    let name = sleeper.name.clone();
    let in_hours = sleeper.sleep.hours.map(|hours| pw_agent::is_within(&hours, &Zoned::now()));
    if sleeper.begins(in_hours) && sleeper.is_asleep() {
        said(printer, &format!("{name} wakes: its hours begin"))?;
        waker.wake(&name);
        return Ok(());
    }
    let why = match sleeper.look(session).await {
        Ok(Seen::Awake(usage)) => pw_plan::sleep::tired(&sleeper.sleep, &usage, in_hours),
        Ok(Seen::Entered(container)) => {
            said(printer, &format!("{name} wakes: somebody works in {container}"))?;
            waker.wake(&name);
            None
        }
        Ok(Seen::Nothing) => None,
        Err(failure) => return said(printer, &format!("{name}: {failure}")),
    };
    let Some(why) = why.filter(|_| sleeper.may_try()) else { return Ok(()) };
    said(printer, &format!("{name} falls asleep: {why}"))?;
    if waker.run(&["sleep", name.as_str()]).await {
        sleeper.sleeps();
    } else {
        said(printer, &format!("{name} does not; `partywall sleep {name}` says why"))?;
    }
    Ok(())
}

fn said(printer: &mut Printer, what: &str) -> Result<(), Stop> {
    let at = Timestamp::now();
    if printer.is_json() {
        return printer.json(&serde_json::json!({"at": at, "said": what}));
    }
    printer.answer(format!("{} {what}\n", at.strftime("%Y-%m-%d %H:%M:%S")))
}

fn names(sleepers: &[Sleeper]) -> String {
    let names: Vec<&str> = sleepers.iter().map(|one| one.name.as_str()).collect();
    if names.is_empty() { "nobody: no environment has `sleep`".to_owned() } else { names.join(", ") }
}

fn socket(session: &Session) -> PathBuf {
    session.layout.front(&session.config.proxy.name, &session.config.project).into()
}

async fn listen(session: &Session, path: &Path) -> Result<UnixListener, Stop> {
    if is_there(session).await {
        return Err(Stop::because(
            "a front runs already",
            format!("somebody answers at {}", path.display()),
            "one is enough for a project",
        ));
    }
    let failed = |error: std::io::Error| {
        Failure::new(format!("could not listen at {}", path.display()))
            .because(error)
            .hint("bring an environment up once, so that the proxy's folder is there")
    };
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(failed(error).into());
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Caddy may be another user; the folder around it is the owner's alone.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(failed)?;
    Ok(listener)
}

/// Environments that are not production, in the order of their names.
fn others(session: &Session) -> impl Iterator<Item = &EnvironmentName> {
    let all = session.config.environments.iter();
    all.filter(|(name, one)| one.class(name) != Class::Production).map(|(name, _)| name)
}
