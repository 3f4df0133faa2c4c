//! Which Compose profiles an environment switches on.

use pw_model::config::Class;

use super::FileGuess;
use super::guess::Folder;
use super::text::env_value;

/// Profiles of a server: encryption, all parts, more of the same.
const PRODUCTION: &[&str] = &["prod", "production", "live", "tls", "ssl", "https", "full", "scaled", "ha"];
/// Profiles of a developer's machine: also what only shows things to people.
const DEVELOPMENT: &[&str] =
    &["dev", "development", "develop", "devel", "local", "ui", "gui", "mailpit", "mailhog"];
const STAGING: &[&str] = &["staging", "stage"];

pub(super) fn assign(folder: &Folder<'_>, guess: &mut FileGuess) {
    guess.known_profiles = known(folder, guess);
    let known = guess.known_profiles.clone();
    for (class, environment) in &mut guess.environments {
        let said = environment.env_files.iter().rev().find_map(|path| variable(folder.text(path)?));
        environment.profiles = said.unwrap_or_else(|| by_name(&known, *class));
    }
}

/// `COMPOSE_PROFILES` of an env file: what Compose itself would switch on.
fn variable(text: &str) -> Option<Vec<String>> {
    let value = env_value(text, "COMPOSE_PROFILES")?;
    let profiles = value.split(',').map(str::trim).filter(|profile| !profile.is_empty());
    Some(profiles.map(str::to_owned).collect())
}

fn by_name(known: &[String], class: Class) -> Vec<String> {
    let words = match class {
        Class::Production => PRODUCTION,
        Class::Staging => STAGING,
        Class::Development => DEVELOPMENT,
    };
    // `default` is what a project that puts everything behind profiles means to be run.
    let on = |profile: &str| profile == "default" || words.contains(&profile);
    known.iter().filter(|profile| on(&profile.to_lowercase())).cloned().collect()
}

/// Profiles of the used files and of what they include.
fn known(folder: &Folder<'_>, guess: &FileGuess) -> Vec<String> {
    let mut files: Vec<String> =
        guess.environments.keys().flat_map(|class| guess.compose_files(*class)).collect();
    let mut found: Vec<String> = Vec::new();
    let mut next = 0;
    while let Some(path) = files.get(next).cloned() {
        next += 1;
        let Some(text) = folder.compose(&path) else { continue };
        for profile in text.profiles() {
            if !found.iter().any(|known| known == profile) {
                found.push(profile.to_owned());
            }
        }
        let more: Vec<String> = text.uses().into_iter().filter(|path| !files.contains(path)).collect();
        files.extend(more);
    }
    found
}
