//! Which env file is whose.

use std::collections::BTreeSet;

use pw_model::config::Class;

use super::guess::Folder;
use super::names::{self, EnvName};
use super::text::env_values;
use super::{FileGuess, Sample};

/// Folders beside the base in which env files are kept.
const FOLDERS: &[&str] = &["env", "envs", "environments"];

struct EnvFile<'a> {
    path: &'a str,
    name: EnvName,
    /// 0 beside the base, 1 at the root, 2 in a folder for env files.
    distance: usize,
}

pub(super) fn assign(folder: &Folder<'_>, guess: &mut FileGuess) {
    let all = env_files(folder);
    for class in guess.environments.keys().copied().collect::<Vec<_>>() {
        let needed = needed_variables(folder, guess, class);
        let chosen = choose(folder, &all, class, &needed);
        if let Some(environment) = guess.environments.get_mut(&class) {
            environment.env_files = chosen;
        }
    }
    guess.samples = samples(&all, guess);
}

fn env_files<'a>(folder: &Folder<'a>) -> Vec<EnvFile<'a>> {
    let known = folder.files.iter().filter_map(|file| {
        let name = names::env_name(&file.path)?;
        let beside = names::folder(&file.path);
        let kept = FOLDERS.iter().any(|kept| beside == names::join(&folder.home, kept));
        let distance = if beside == folder.home {
            0
        } else if beside.is_empty() {
            1
        } else {
            2
        };
        (distance < 2 || kept).then_some(EnvFile { path: &file.path, name, distance })
    });
    let mut all: Vec<EnvFile<'_>> = known.collect();
    // `.env.prod` before `prod.env`, near before far, plain before decorated.
    all.sort_by_key(|file| {
        (file.distance, file.name.extra, !names::file_name(file.path).starts_with(".env"), file.path)
    });
    all
}

fn needed_variables(folder: &Folder<'_>, guess: &FileGuess, class: Class) -> BTreeSet<String> {
    let files = guess.compose_files(class);
    files.iter().filter_map(|path| folder.compose(path)).flat_map(|text| text.needed_variables()).collect()
}

/// The environment's own file; `.env` before it when the Compose files need variables that only `.env` has.
fn choose(folder: &Folder<'_>, all: &[EnvFile<'_>], class: Class, needed: &BTreeSet<String>) -> Vec<String> {
    let real = || all.iter().filter(|file| !file.name.sample);
    let general = real().find(|file| file.name.class.is_none()).map(|file| file.path);
    let own = real().find(|file| file.name.class == Some(class) && !file.name.local);
    let local = real().find(|file| file.name.local && class == Class::Development);
    let Some(own) = own.or(local) else { return general.into_iter().map(str::to_owned).collect() };
    let keys = |path: &str| -> BTreeSet<String> {
        env_values(folder.text(path).unwrap_or_default()).map(|(key, _)| key.to_owned()).collect()
    };
    let lacks = |general: &&str| {
        let mine = keys(own.path);
        own.name.local || keys(general).iter().any(|key| needed.contains(key) && !mine.contains(key))
    };
    let before = general.filter(lacks);
    before.into_iter().chain([own.path]).map(str::to_owned).collect()
}

/// Samples of files that are not there.
fn samples(all: &[EnvFile<'_>], guess: &FileGuess) -> Vec<Sample> {
    let has = |class: Option<Class>| all.iter().any(|file| !file.name.sample && file.name.class == class);
    let wanted = |file: &&EnvFile<'_>| {
        let known = file.name.class.is_none_or(|class| guess.environments.contains_key(&class));
        file.name.sample && known && !has(file.name.class)
    };
    all.iter()
        .filter(wanted)
        .map(|file| Sample { path: file.path.to_owned(), real: real_name(file) })
        .collect()
}

fn real_name(file: &EnvFile<'_>) -> String {
    let name = match file.name.class {
        Some(class) => format!(".env.{}", class.as_str()),
        None => ".env".to_owned(),
    };
    names::join(names::folder(file.path), &name)
}
