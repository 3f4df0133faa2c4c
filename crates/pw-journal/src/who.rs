//! Who runs this process.

use std::env;

/// `alice (uid 0)`: the person behind `sudo` where there is one, and the rights that were used.
pub(crate) fn runs_this() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok());
    let uid = rustix::process::getuid().as_raw();
    match named.filter(|name| !name.is_empty()) {
        Some(name) => format!("{name} (uid {uid})"),
        None => account(uid).map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})")),
    }
}

/// The account's name where the variables say nothing, as under cron or in a container.
fn account(uid: u32) -> Option<String> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = accounts.lines().map(|line| line.split(':'));
    fields.find_map(|mut line| {
        let name = line.next()?;
        (line.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
