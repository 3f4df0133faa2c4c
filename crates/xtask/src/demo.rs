//! `./x demo`: production and development of the demo application on this machine.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::run::{Result, output, partywall, root, say, show};

const ENVIRONMENTS: [(&str, &str); 2] =
    [("production", "atelier.localhost"), ("development", "development.atelier.localhost")];
pub(crate) const PORT: u16 = 8443;

pub(crate) fn run() -> Result<()> {
    let folder = root().join("demo");
    images(&folder)?;
    let binary = partywall()?;
    let ours = |words: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(words).current_dir(&folder);
        command
    };
    show(&mut ours(&["check"]))?;
    for (environment, _) in ENVIRONMENTS {
        say(&format!("\n$ partywall up {environment}"));
        // Another checkout may have brought it up; both have the same name.
        show(&mut ours(&["up", environment, "--moved", "--confirm", environment]))?;
    }
    for (environment, host) in ENVIRONMENTS {
        await_answer(environment, host)?;
    }
    say("\n$ partywall seed development");
    output(Command::new(folder.join("populate.sh")).arg(&binary))?;
    show(&mut ours(&["seed", "development"]))?;
    say("\n$ partywall status");
    show(&mut ours(&["status"]))?;
    say(&look_at(&binary, &folder));
    Ok(())
}

/// Image names for a machine that reaches no registry, from the environment that `./x` sets; an empty file elsewhere.
pub(crate) fn images(folder: &Path) -> Result<()> {
    let names = ["POSTGRES_IMAGE", "REDIS_IMAGE", "MOSQUITTO_IMAGE", "RUST_IMAGE", "DEBIAN_IMAGE"];
    let lines = names.iter().filter_map(|name| Some(format!("{name}={}\n", std::env::var(name).ok()?)));
    std::fs::write(folder.join(".env.images"), lines.collect::<String>())?;
    if let Ok(caddy) = std::env::var("CADDY_IMAGE")
        && output(Command::new("docker").args(["image", "inspect", "caddy:2"])).is_err()
    {
        output(Command::new("docker").args(["tag", &caddy, "caddy:2"]))?;
    }
    Ok(())
}

/// Asks through the one Caddy until the right environment answers.
fn await_answer(environment: &str, host: &str) -> Result<()> {
    let wanted = format!("\"environment\":\"{environment}\"");
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let resolve = format!("{host}:{PORT}:127.0.0.1");
        let answer = output(Command::new("curl").args([
            "-sk",
            "--max-time",
            "5",
            "--resolve",
            &resolve,
            &format!("https://{host}:{PORT}/whoami"),
        ]));
        match answer {
            Ok(text) if text.contains(&wanted) => {
                say(&format!("https://{host}:{PORT}/whoami  {}", text.trim()));
                return Ok(());
            }
            _ if Instant::now() < until => std::thread::sleep(Duration::from_millis(200)),
            Ok(text) => return Err(format!("`{host}` answered {text:?}, not {wanted}").into()),
            Err(error) => return Err(error),
        }
    }
}

fn look_at(binary: &Path, folder: &Path) -> String {
    let name = binary.display();
    format!(
        "\nBoth answer. To look around:\n  cd {}\n  {name} status\n  {name} render development --explain services.web.cpus\n  {name} seed development --plan\n  {name} shell production\n  curl -k https://atelier.localhost:{PORT}/\n  docker compose ls\nTo remove it:\n  {name} destroy development\n  {name} destroy production --confirm production\n  docker rm -f partywall-proxy   # the proxy serves other projects too, so no `destroy` stops it\n",
        folder.display()
    )
}
