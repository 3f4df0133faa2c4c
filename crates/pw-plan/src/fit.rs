//! Does the configuration fit the host: engine, budgets, limits, ports, secrets.
//!
//! Route: [`check`] asks each part in turn; every complaint says by how much something does not fit
//! and which line of `partywall.yaml` changes that.

mod budgets;
mod engine;
mod ports;
mod secrets;
pub(crate) mod written;

use std::collections::BTreeSet;

use pw_model::compose::ComposeModel;
use pw_model::config::Config;
use pw_model::diagnostic::Diagnostic;
use pw_model::host::HostFacts;
use pw_model::source::{Place, SourceFile};

use crate::wall::{Loaded, Rendered};

/// What all parts look at.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    pub config: &'a Config,
    /// `partywall.yaml`, for places.
    pub source: &'a SourceFile,
    pub facts: &'a HostFacts,
    pub loaded: &'a [Loaded],
    pub rendered: &'a [Rendered],
    /// Port and protocol (`tcp` or `udp`) of what our own containers publish already.
    pub ours: &'a BTreeSet<(u16, String)>,
}

/// Everything that does not fit.
pub fn check(ground: Ground<'_>) -> Vec<Diagnostic> {
    let mut found = engine::check(ground);
    found.extend(budgets::check(ground));
    found.extend(ports::check(ground));
    found.extend(secrets::check(ground));
    found
}

impl<'a> Ground<'a> {
    fn loaded(&self, rendered: &Rendered) -> Option<&'a Loaded> {
        self.loaded.iter().find(|loaded| loaded.name == rendered.name)
    }

    /// Where an environment's key is written, or the nearest line above it.
    fn place(&self, environment: &str, rest: &[&str]) -> Option<Place> {
        self.source.find_nearest(&[&["environments", environment], rest].concat())
    }
}

/// The rendered model, to be read as Compose models are.
fn model(rendered: &Rendered) -> ComposeModel {
    ComposeModel(rendered.model.as_object().cloned().unwrap_or_default())
}
