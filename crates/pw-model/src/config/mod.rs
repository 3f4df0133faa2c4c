//! `partywall.yaml`: its shape ([`file`]), and how a text becomes a checked [`Config`] ([`check`]).

mod agent;
mod alerts;
mod backup;
mod check;
mod file;
mod governor;
mod parse;
mod promote;
mod seed;

pub use agent::{Agent, MetricsAddress};
pub use alerts::{Email, MailTls, Receiver, Shape};
pub use backup::{Backup, BackupCheck, BackupLog, Keep};
pub use check::{HOLES, check, is_host_name};
pub use file::{
    Access, Allowance, Budget, Class, Config, Cost, Database, Environment, Files, How, Objective, Proxy,
    Route, Sleep, TlsMode,
};
pub use governor::{Governor, Hours, Mode};
pub use parse::{parse, schema};
pub use promote::{Canary, Goals, Limits, Migrate, Moment, Promote, Verify};
pub use seed::{CacheRule, Rewrite, Seed, Vault};

/// The file that Partywall reads beside the Compose files.
pub const FILE_NAME: &str = "partywall.yaml";

/// The commented example: manual, default and test at once.
pub const EXAMPLE: &str = include_str!("../../partywall.example.yaml");
