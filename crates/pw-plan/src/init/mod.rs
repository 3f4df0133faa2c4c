//! What `partywall init` proposes: which files belong to which environment, and the text of `partywall.yaml`.
//!
//! Route: [`guess_files`] looks at names and texts of a folder's files ([`names`], [`text`], [`env_files`],
//! [`profiles`]); `docker compose config` then reads what was guessed; [`propose()`] writes the file from
//! the models ([`front`], [`hosts`], [`budget`], [`ports`], [`reasons`]).
//!
//! **Invariant:** a guess names only files that are there, and everything that looks like a Compose
//! file is either used or listed in [`FileGuess::left_out`] with the reason.

mod budget;
mod env_files;
mod front;
mod guess;
mod hosts;
mod names;
mod ports;
mod profiles;
mod propose;
mod reasons;
mod sections;
mod text;
mod write;

use std::collections::BTreeMap;

use pw_model::config::Class;
use pw_model::name::ProjectName;

pub use guess::guess_files;
pub use names::{is_searched, wants_text};
pub use propose::{Proposal, propose};
pub use reasons::roles;

/// A file below the project's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFile {
    /// Relative to the folder, with `/`.
    pub path: String,
    /// Filled where [`wants_text`] says so; symbolic links are followed.
    pub text: Option<String>,
}

/// Which files make which environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileGuess {
    /// From top-level `name:`, `COMPOSE_PROJECT_NAME` or the folder, in this order.
    pub project: Option<ProjectName>,
    pub shape: Shape,
    /// Compose files that the environments share, base first; empty when each has complete files of its own.
    pub compose: Vec<String>,
    /// Always production and development when a Compose file was found; staging when there is a file for it.
    pub environments: BTreeMap<Class, EnvironmentGuess>,
    /// Every profile that the used files name, in order of appearance.
    pub known_profiles: Vec<String>,
    pub left_out: Vec<LeftOut>,
    /// Sample env files whose real file is missing.
    pub samples: Vec<Sample>,
}

/// The two layouts of a project's Compose files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// A base that all environments share, and overlays (layout A).
    #[default]
    BaseAndOverlays,
    /// Complete files per environment (layout B).
    Separate,
}

/// The files and profiles of one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentGuess {
    /// Complete files in place of the shared ones.
    pub compose: Option<Vec<String>>,
    pub overlays: Vec<String>,
    pub env_files: Vec<String>,
    pub profiles: Vec<String>,
}

/// A file that looks like a Compose file and is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub path: String,
    pub because: String,
}

/// A sample of an env file: to be copied to `real` and filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub path: String,
    pub real: String,
}

impl FileGuess {
    /// The Compose files of an environment, base first.
    pub fn compose_files(&self, class: Class) -> Vec<String> {
        let Some(environment) = self.environments.get(&class) else { return Vec::new() };
        let base = environment.compose.as_ref().unwrap_or(&self.compose);
        base.iter().chain(&environment.overlays).cloned().collect()
    }
}
