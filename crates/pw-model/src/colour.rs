//! The two generations of a service: which container, and which address, is of which.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the two generations of a service that is flipped.
///
/// What Compose itself started has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    Blue,
    Green,
}

impl Colour {
    pub const BOTH: [Self; 2] = [Self::Blue, Self::Green];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    /// The name by which the proxy reaches all containers of the colour: that of the service, with the colour behind it.
    pub fn alias(self, service_alias: &str) -> String {
        format!("{service_alias}-{self}")
    }

    /// `shop-production-web-green-1`, counted from 1.
    pub fn container(self, compose_project: &str, service: &str, number: u64) -> String {
        format!("{compose_project}-{service}-{self}-{number}")
    }

    /// The colour of a container by its name; `None` for one that Compose named.
    pub fn of_container(compose_project: &str, service: &str, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(compose_project)?.strip_prefix('-')?.strip_prefix(service)?;
        let (colour, number) = rest.strip_prefix('-')?.split_once('-')?;
        number.parse::<u64>().ok()?;
        Self::BOTH.into_iter().find(|one| one.as_str() == colour)
    }

    /// The colour of an address `alias:port`; `None` for that of what Compose started.
    pub fn of_address(service_alias: &str, address: &str) -> Option<Self> {
        let (host, _) = address.rsplit_once(':')?;
        let colour = host.strip_prefix(service_alias)?.strip_prefix('-')?;
        Self::BOTH.into_iter().find(|one| one.as_str() == colour)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_colour() {
        let name = Colour::Green.container("shop-production", "web", 2);
        assert_eq!(name, "shop-production-web-green-2");
        assert_eq!(Colour::of_container("shop-production", "web", &name), Some(Colour::Green));
        assert_eq!(Colour::of_container("shop-production", "web", "shop-production-web-2"), None);
        // A service that is itself called after a colour.
        assert_eq!(Colour::of_container("shop-production", "web-green", "shop-production-web-green-1"), None);
        let address = format!("{}:8000", Colour::Blue.alias("shop-production-web"));
        assert_eq!(Colour::of_address("shop-production-web", &address), Some(Colour::Blue));
        assert_eq!(Colour::of_address("shop-production-web", "shop-production-web:8000"), None);
    }
}
