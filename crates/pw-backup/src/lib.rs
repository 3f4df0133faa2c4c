//! Backups: one encrypted, deduplicated repository, in the format of restic, which reads it without us.
//!
//! Route: [`repository`] opens it and lists what is in it; [`make`] puts databases, folders and files into one
//! snapshot, measured by [`source`] while they are read; [`manifest`] says what a whole backup holds; [`take`] brings
//! parts of it back and measures them again; [`retain`] forgets what is no longer kept; [`log`] keeps
//! what servers wrote between two backups; [`copy`] puts all of it elsewhere.
//!
//! **Invariant:** a snapshot without a manifest is no backup: it is never listed, and the next backup removes it.
//! **Invariant:** one writer at a time, by a lock of ours: the library takes none.

pub mod copy;
pub mod failure;
mod former;
mod key;
pub mod log;
pub mod make;
pub mod manifest;
pub mod repository;
pub mod retain;
mod rights;
mod said;
mod source;
pub mod take;

pub use manifest::Manifest;
pub use repository::{Backup, Repository};
pub use said::Said;
