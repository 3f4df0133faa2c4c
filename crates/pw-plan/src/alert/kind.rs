//! What can be wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Every alert there is; each has a page of its own among the runbooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Production breaks its objective.
    Incident,
    /// The governor has been holding development for long.
    Squeezed,
    /// A disk is nearly full.
    Disk,
    /// The newest backup is too old.
    BackupOverdue,
    BackupFailed,
    DrillOverdue,
    DrillFailed,
    /// An operation was cut off, and nothing else is done until somebody finishes it or takes it back.
    Interrupted,
    /// The agent before this one ended without being told to.
    AgentCrashed,
    /// A service of production is not healthy, or has ended.
    ServiceUnhealthy,
    /// A service of production starts over and over.
    ServiceRestarting,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Warning,
    /// Told in quiet hours, too.
    Critical,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub kind: Kind,
    /// The environment, and where it is one the service: `production`, `production/web`.
    pub subject: String,
    /// In a line.
    pub words: String,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Incident,
        Self::Squeezed,
        Self::Disk,
        Self::BackupOverdue,
        Self::BackupFailed,
        Self::DrillOverdue,
        Self::DrillFailed,
        Self::Interrupted,
        Self::AgentCrashed,
        Self::ServiceUnhealthy,
        Self::ServiceRestarting,
    ];

    /// As others call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Squeezed => "squeezed",
            Self::Disk => "disk",
            Self::BackupOverdue => "backup-overdue",
            Self::BackupFailed => "backup-failed",
            Self::DrillOverdue => "drill-overdue",
            Self::DrillFailed => "drill-failed",
            Self::Interrupted => "interrupted",
            Self::AgentCrashed => "agent-crashed",
            Self::ServiceUnhealthy => "service-unhealthy",
            Self::ServiceRestarting => "service-restarting",
        }
    }

    /// What to do: the name of its page in `docs/runbooks/`.
    pub fn runbook(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Squeezed => "squeezed",
            Self::Disk => "disk",
            Self::BackupOverdue | Self::BackupFailed => "backup",
            Self::DrillOverdue | Self::DrillFailed => "drill",
            Self::Interrupted => "interrupted",
            Self::AgentCrashed => "agent",
            Self::ServiceUnhealthy | Self::ServiceRestarting => "service",
        }
    }

    pub fn severity(self) -> Severity {
        match self {
            Self::Incident
            | Self::Disk
            | Self::Interrupted
            | Self::ServiceUnhealthy
            | Self::ServiceRestarting => Severity::Critical,
            _ => Severity::Warning,
        }
    }

    /// Milliseconds for which it must have been so before anybody is told.
    pub(super) fn endures(self) -> i64 {
        match self {
            // It was confirmed before it was opened.
            Self::Incident | Self::BackupFailed | Self::DrillFailed | Self::AgentCrashed => 0,
            Self::Disk => 30_000,
            Self::Interrupted | Self::ServiceUnhealthy | Self::ServiceRestarting => 60_000,
            Self::Squeezed => 600_000,
            Self::BackupOverdue | Self::DrillOverdue => 900_000,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.subject, self.words)
    }
}
