//! What a migration does to a database, measured on a copy that nobody else uses.
//!
//! Route: [`watch`] prepares the copy and looks on while the migration runs; [`visit`] queues where it locks;
//! [`log`] reads what the server wrote down; [`timeline`] gives each statement its time, its locks and its rows;
//! [`lint`] and [`judge`] say what is dangerous and what goes beyond the limits. [`report`] is what comes out.
//!
//! Nothing is missed because no single source is trusted with everything. The server logs every statement with its
//! time. Event triggers write down, inside the transaction, every lock that it holds when a DDL statement ends:
//! PostgreSQL keeps locks until the transaction ends, so none can come and go between two of them.
//! Statement triggers do the same for what changes rows, also inside functions. For the few commands that fire
//! neither (`VACUUM FULL`, `CLUSTER`, `LOCK`, `REINDEX` before 17) `pg_locks` is read 20 times a second.
//! What is written goes to the server's log, which no rollback takes back.

pub mod judge;
mod lint;
mod lock;
mod log;
pub mod report;
mod statement;
mod timeline;
mod visit;
mod watch;

pub use lock::Mode;
pub use report::{Finding, Held, Report, Statement, Waited};
pub use watch::{Watch, Watched};
