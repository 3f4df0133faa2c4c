//! Who runs this process.

use std::env;

/// `alice (uid 0)`: the person behind `sudo` where there is one, and the rights that were used.
pub(crate) fn runs_this() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok());
    let uid = rustix::process::getuid().as_raw();
    match named.filter(|name| !name.is_empty()) {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    }
}
