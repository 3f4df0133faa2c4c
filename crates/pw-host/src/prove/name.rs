//! Asking the resolver that a container asks. The C library would read this host's own configuration instead.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

/// Of a container on a network of its own.
pub(super) const DOCKER: &str = "127.0.0.11";
const PATIENCE: Duration = Duration::from_millis(1500);
const A: u16 = 1;
const AAAA: u16 = 28;

/// All addresses of a name.
pub(super) fn resolve(server: &str, name: &str) -> io::Result<Vec<IpAddr>> {
    let mut found = ask(server, name, A)?;
    found.extend(ask(server, name, AAAA).unwrap_or_default());
    Ok(found)
}

fn ask(server: &str, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((server, 53))?;
    socket.send(&question(name, kind)?)?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer)?;
    addresses(&answer[..length], kind).ok_or_else(|| io::Error::other("the answer is cut off"))
}

/// One question, wanting recursion.
fn question(name: &str, kind: u16) -> io::Result<Vec<u8>> {
    let mut message = vec![0x50, 0x57, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length));
        message.push(length.ok_or_else(|| io::Error::other(format!("`{name}` is no host name")))?);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    Ok(message)
}

/// The addresses in an answer; `None` where it ends early.
fn addresses(message: &[u8], wanted: u16) -> Option<Vec<IpAddr>> {
    let number = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let mut at = 12;
    for _ in 0..number(4)? {
        at = after_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..number(6)? {
        at = after_name(message, at)?;
        let (kind, length) = (number(at)?, usize::from(number(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        match (kind, length) {
            (A, 4) if wanted == A => found.push(<[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from)?.into()),
            (AAAA, 16) if wanted == AAAA => {
                found.push(<[u8; 16]>::try_from(data).ok().map(Ipv6Addr::from)?.into());
            }
            _ => {}
        }
        at += 10 + length;
    }
    Some(found)
}

/// A name ends with an empty label or with a pointer to another one.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_a_damaged_one_is_none() {
        let mut message = question("web.shop", A).expect("a question");
        assert_eq!(&message[12..], b"\x03web\x04shop\x00\x00\x01\x00\x01");
        message[7] = 2;
        message.extend_from_slice(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x10\x00\x02\xc0\x0c");
        message.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x10\x00\x04\x0a\x01\x02\x03");
        assert_eq!(addresses(&message, A), Some(vec![IpAddr::from([10, 1, 2, 3])]));
        assert_eq!(addresses(&message[..message.len() - 1], A), None);
        assert_eq!(addresses(b"\x50\x57", A), None);
        assert!(question(&"x".repeat(64), A).is_err());
        assert!(question("", A).is_err());
    }
}
