//! Mail over SMTP.

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport as _};
use pw_model::config::{Email, MailTls};
use pw_run::Failure;

use super::PATIENCE;

pub(super) fn send(
    email: &Email,
    password: Option<String>,
    (subject, text): &(String, String),
) -> Result<String, Failure> {
    let failed = || Failure::new(format!("could not send mail over `{}`", email.server));
    let mailbox = |address: &String| {
        address.parse::<Mailbox>().map_err(|error| failed().because(format!("`{address}`: {error}")))
    };
    let from =
        email.from.as_ref().or(email.to.first()).ok_or_else(|| failed().because("there is no sender"))?;
    let mut message = Message::builder().from(mailbox(from)?).subject(subject);
    for address in &email.to {
        message = message.to(mailbox(address)?);
    }
    let message = message.body(text.clone()).map_err(|error| failed().because(error))?;
    let transport = transport(email, password).map_err(|error| failed().because(error))?;
    let answer = transport.send(&message).map_err(|error| failed().because(error))?;
    let said = answer.message().collect::<Vec<_>>().join(" ");
    Ok(format!("{} {said}", answer.code()).trim_end().to_owned())
}

fn transport(
    email: &Email,
    password: Option<String>,
) -> Result<SmtpTransport, lettre::transport::smtp::Error> {
    let parameters = || TlsParameters::builder(email.server.clone()).build_rustls();
    let (tls, usual) = match email.tls {
        MailTls::Starttls => (Tls::Required(parameters()?), 587),
        MailTls::OnConnect => (Tls::Wrapper(parameters()?), 465),
        MailTls::Off => (Tls::None, 587),
    };
    let mut transport = SmtpTransport::builder_dangerous(email.server.clone())
        .port(email.port.unwrap_or(usual))
        .tls(tls)
        .timeout(Some(PATIENCE));
    if let (Some(user), Some(password)) = (email.user.clone(), password) {
        transport = transport.credentials(Credentials::new(user, password));
    }
    Ok(transport.build())
}
