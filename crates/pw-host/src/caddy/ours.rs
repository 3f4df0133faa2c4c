//! Our Caddy: one configuration, made from the site files of all projects.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pw_plan::proxy::{Site, canonical, configuration};
use pw_run::Failure;
use reqwest::Method;
use serde_json::Value;

use super::admin::{Admin, accepted};
use super::sites;
use crate::failed::io_failed;
use crate::files::{make_folder, private_folder, write};
use crate::lock;

/// A container that has just started needs a moment until its socket is there.
const STARTING: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);
/// Another project may be loading at this moment.
const TURN: Duration = Duration::from_secs(60);

/// Makes Caddy run the site files' configuration, now when it is `running`, and when it starts.
///
/// Caddy judges first and the file is written after, so that a refused configuration never becomes
/// the one that Caddy starts with.
pub async fn load(folder: &Path, running: bool) -> Result<(), Failure> {
    let turn =
        lock::acquire_waiting(&folder.join("load.lock"), "load the proxy's configuration", TURN, |_| {})
            .await?;
    let wanted = configuration(&sites(folder)?);
    private_folder(&folder.join("run"))?;
    if running {
        let admin = answering(folder).await?;
        load_running(&admin, &wanted, folder).await?;
    }
    let written = write_config(folder, &wanted);
    drop(turn);
    written
}

async fn load_running(admin: &Admin, wanted: &Value, folder: &Path) -> Result<(), Failure> {
    let (found, _) = admin.get("/config/").await?;
    if canonical(&found) == canonical(wanted) {
        return Ok(());
    }
    let answer = admin.call(Method::POST, "/load", Some(wanted), None).await;
    let answer = answer.map_err(|error| admin.silent(error))?;
    let what = "Caddy refuses the configuration and goes on with the one it had";
    accepted(answer, what).await.map_err(|failure| {
        failure.hint(format!("look at the routes in `{}`", folder.join("sites").display()))
    })
}

/// Waits until the running Caddy answers.
async fn answering(folder: &Path) -> Result<Admin, Failure> {
    let admin = socket(folder);
    let until = Instant::now() + STARTING;
    loop {
        match admin.get("/config/").await {
            Ok(_) => return Ok(admin),
            Err(failure) if Instant::now() >= until => {
                let name = folder.file_name().unwrap_or_default().display();
                return Err(failure.hint(format!("docker logs {name}")));
            }
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

pub(super) fn socket(folder: &Path) -> Admin {
    Admin::Socket(folder.join("run/admin.sock"))
}

fn config_file(folder: &Path) -> PathBuf {
    folder.join("config/caddy.json")
}

/// Readable by all: a Caddy that does not run as root reads it too, and it holds no secret.
fn write_config(folder: &Path, wanted: &Value) -> Result<(), Failure> {
    let path = config_file(folder);
    let text = pretty(wanted);
    if fs::read_to_string(&path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    for part in ["config", "switch", "log"] {
        make_folder(&folder.join(part))?;
    }
    write(&path, text.as_bytes(), 0o644)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// True when Caddy runs this and would start with this.
pub(super) async fn is_current(folder: &Path, sites: &[Site]) -> bool {
    let wanted = configuration(sites);
    let written = fs::read_to_string(config_file(folder));
    if written.map_err(|error| io_failed("read", folder, error)).is_ok_and(|text| text == pretty(&wanted)) {
        let found = socket(folder).get("/config/").await;
        return found.is_ok_and(|(found, _)| canonical(&found) == canonical(&wanted));
    }
    false
}
