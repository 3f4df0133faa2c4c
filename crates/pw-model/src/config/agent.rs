//! The `agent:` section: where `partywall agent run` shows its figures.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use crate::diagnostic::Diagnostic;
use crate::source::SourceFile;

/// What the agent does beside governing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Where Prometheus finds the figures at `/metrics`, e.g. `127.0.0.1:9477`; a port alone is one of the loopback
    /// address. Left out, nothing is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsAddress>,
}

/// An address and a port, or a port of the loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "String")]
#[schemars(with = "Written", extend("examples" = ["127.0.0.1:9477"]))]
pub struct MetricsAddress(SocketAddr);

/// As YAML has it.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    Port(u16),
    Text(String),
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address with a port; write for example `127.0.0.1:9477`")]
pub struct NotAddress(String);

impl MetricsAddress {
    /// Reads `127.0.0.1:9477`, `[::1]:9477`, `9477`.
    pub fn parse(text: &str) -> Result<Self, NotAddress> {
        let wrong = |_| NotAddress(text.to_owned());
        match text.parse::<u16>() {
            Ok(port) => Ok(Self::of_port(port)),
            Err(_) => text.parse().map(Self).map_err(wrong),
        }
    }

    fn of_port(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl TryFrom<Written> for MetricsAddress {
    type Error = NotAddress;
    fn try_from(written: Written) -> Result<Self, NotAddress> {
        match written {
            Written::Port(port) => Ok(Self::of_port(port)),
            Written::Text(text) => Self::parse(&text),
        }
    }
}

impl From<MetricsAddress> for String {
    fn from(address: MetricsAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Figures tell nobody's secrets, but how busy a shop is: that is not everybody's.
pub(super) fn check(config: &Config, source: &SourceFile) -> Option<Diagnostic> {
    let address = config.agent.metrics?.address();
    let is_open = !address.ip().is_loopback();
    is_open.then(|| {
        Diagnostic::warning(format!("whoever reaches `{address}` can read the figures of all environments"))
            .at(source.find(&["agent", "metrics"]))
            .hint("write `127.0.0.1:9477`, or keep others from the port with a firewall")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_the_loopback_address() {
        let read = |text: &str| MetricsAddress::parse(text).map(|address| address.to_string());
        assert_eq!(read("9477").as_deref(), Ok("127.0.0.1:9477"));
        assert_eq!(read("[::1]:9477").as_deref(), Ok("[::1]:9477"));
        for wrong in ["", "localhost", "localhost:9477", "127.0.0.1", "70000"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
