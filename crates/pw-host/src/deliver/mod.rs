//! Messages to the outside: webhooks, mail, Alertmanager.
//!
//! **Invariant:** no address of a webhook and no password is in an error or an answer; either may be a secret.

mod http;
mod mail;

use std::path::Path;
use std::time::Duration;

use pw_model::config::Receiver;
use pw_plan::alert::{Message, shape};
use pw_run::Failure;

use crate::failed::io_failed;

/// Nobody is waited for longer; the message is tried again later.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hands a message over, and answers what the other side said. Blocks its thread for ten seconds at the most, or
/// twenty where a mail server is slow with every word.
///
/// # Errors
/// The other side cannot be reached, or does not want it.
pub fn deliver(receiver: &Receiver, message: &Message) -> Result<String, Failure> {
    if let Some(email) = &receiver.email {
        let password = email.password_file.as_deref().map(secret).transpose()?;
        return mail::send(email, password, &shape::mail(message));
    }
    if let Some(address) = &receiver.alertmanager {
        return http::post(address, &shape::alertmanager(message));
    }
    let post = shape::webhook(receiver.shape, message);
    match receiver.webhook.as_deref() {
        Some(address) => match address.strip_prefix("file:") {
            Some(file) => http::post(&secret(file)?, &post),
            None => http::post(address, &post),
        },
        None => Err(Failure::new("nobody is named who could be told")),
    }
}

/// What stands in a file, without the line's end that editors add.
fn secret(file: &str) -> Result<String, Failure> {
    let path = Path::new(file);
    let text = std::fs::read_to_string(path).map_err(|error| io_failed("read", path, error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
