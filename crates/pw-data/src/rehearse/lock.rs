//! Locks of tables: how strong, and whom they keep waiting.

use serde::{Deserialize, Serialize};

/// Weakest first, in PostgreSQL's own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    #[serde(rename = "AccessShareLock")]
    AccessShare,
    #[serde(rename = "RowShareLock")]
    RowShare,
    #[serde(rename = "RowExclusiveLock")]
    RowExclusive,
    #[serde(rename = "ShareUpdateExclusiveLock")]
    ShareUpdateExclusive,
    #[serde(rename = "ShareLock")]
    Share,
    #[serde(rename = "ShareRowExclusiveLock")]
    ShareRowExclusive,
    #[serde(rename = "ExclusiveLock")]
    Exclusive,
    #[serde(rename = "AccessExclusiveLock")]
    AccessExclusive,
}

impl Mode {
    /// As `pg_locks` writes it.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
    }

    /// As SQL writes it, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessShare => "access share",
            Self::RowShare => "row share",
            Self::RowExclusive => "row exclusive",
            Self::ShareUpdateExclusive => "share update exclusive",
            Self::Share => "share",
            Self::ShareRowExclusive => "share row exclusive",
            Self::Exclusive => "exclusive",
            Self::AccessExclusive => "access exclusive",
        }
    }

    pub fn blocks_reads(self) -> bool {
        self == Self::AccessExclusive
    }

    /// `INSERT`, `UPDATE` and `DELETE` take `ROW EXCLUSIVE`.
    pub fn blocks_writes(self) -> bool {
        self >= Self::Share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_and_ordered_as_the_server_means_them() {
        assert_eq!(Mode::parse("AccessExclusiveLock"), Some(Mode::AccessExclusive));
        assert_eq!(Mode::parse("SIReadLock"), None);
        assert!(Mode::AccessExclusive > Mode::Share);
        assert!(Mode::Share.blocks_writes() && !Mode::Share.blocks_reads());
        assert!(!Mode::ShareUpdateExclusive.blocks_writes());
    }
}
