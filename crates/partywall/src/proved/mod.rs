//! What `prove` found: the certificate, as it is told, shown and kept.

mod certificate;
mod chart;
mod measure;
mod page;
mod told;

use std::sync::{Arc, Mutex};

use pw_plan::prove::verdict::{Blasted, Tried};

pub(crate) use certificate::{Certificate, Facts, Wall};
pub(crate) use measure::blast;
pub(crate) use page::page;
pub(crate) use told::told;

/// Filled step by step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proved {
    pub(crate) tried: Vec<Tried>,
    pub(crate) blasted: Vec<Blasted>,
}

pub(crate) type Shared = Arc<Mutex<Proved>>;
