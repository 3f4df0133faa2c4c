//! Names and texts of a folder's files → which Compose files make which environment.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::config::Class;
use pw_model::name::project_name_from;

use super::names::{self, Kind};
use super::text::{ComposeText, env_value};
use super::{EnvironmentGuess, FileGuess, FolderFile, LeftOut, Shape, env_files, profiles};

/// Folders in which a project without Compose files at its root keeps them, best first.
const HOMES: &[&str] = &["docker", "deploy", "deployment", "compose", ".docker", "infra"];

/// The Compose-like files of a folder.
pub(super) struct Folder<'a> {
    pub(super) files: &'a [FolderFile],
    texts: BTreeMap<&'a str, ComposeText>,
    /// Where the base is; `.env` is looked for there first.
    pub(super) home: String,
    /// Included or extended by another file.
    used: BTreeSet<String>,
    unread: Vec<LeftOut>,
}

/// Finds base, overlays, env files and profiles of production, development and staging.
pub fn guess_files(folder_name: &str, files: &[FolderFile]) -> FileGuess {
    let folder = Folder::read(files);
    let mut guess = FileGuess::default();
    folder.compose_files(&mut guess);
    env_files::assign(&folder, &mut guess);
    folder.follow_compose_file(&mut guess);
    profiles::assign(&folder, &mut guess);
    guess.left_out = folder.left_out(&guess);
    guess.project = folder.declared_name(&guess).as_deref().and_then(project_name_from);
    guess.project = guess.project.or_else(|| project_name_from(folder_name));
    guess
}

impl<'a> Folder<'a> {
    fn read(files: &'a [FolderFile]) -> Self {
        let (mut texts, mut unread) = (BTreeMap::new(), Vec::new());
        for file in
            files.iter().filter(|file| names::stem(&file.path).is_some() && names::is_searched(&file.path))
        {
            match file.text.as_deref().map(|text| ComposeText::read(&file.path, text)) {
                Some(Ok(Some(text))) => drop(texts.insert(file.path.as_str(), text)),
                Some(_) if names::is_asked_for(&file.path) => {
                    let text = file.text.as_deref().unwrap_or_default();
                    texts.insert(file.path.as_str(), ComposeText::unread(&file.path, text));
                }
                Some(Err(why)) if names::says_compose(&file.path) => {
                    unread.push(LeftOut {
                        path: file.path.clone(),
                        because: format!("it cannot be read: {why}"),
                    });
                }
                _ => {}
            }
        }
        let used = texts.values().flat_map(ComposeText::uses).collect();
        let home = home(&texts);
        Self { files, texts, home, used, unread }
    }

    pub(super) fn compose(&self, path: &str) -> Option<&ComposeText> {
        self.texts.get(path)
    }

    /// The text of an env file or any other file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path)?.text.as_deref()
    }

    fn is_home(&self, path: &str) -> bool {
        names::folder(path) == self.home
    }

    /// Files that may be an environment's: not read through another file, or named so that they are meant to be used.
    fn candidates(&self) -> impl Iterator<Item = (&'a str, Kind)> + '_ {
        self.texts.keys().map(|path| (*path, names::kind(path))).filter(|(path, kind)| {
            !self.used.contains(*path) || matches!(kind, Kind::Default(_) | Kind::For(_, 0))
        })
    }

    fn compose_files(&self, guess: &mut FileGuess) {
        let base = self.base();
        match base {
            Some(base) => self.with_base(base, guess),
            None => self.without_base(guess),
        }
    }

    fn base(&self) -> Option<&'a str> {
        let defaults = self.candidates().filter_map(|(path, kind)| match kind {
            Kind::Default(rank) if self.is_home(path) => Some((rank, path)),
            _ => None,
        });
        defaults.min().map(|(_, path)| path)
    }

    /// The best file for an environment: in the base's folder before others, fewest further words first.
    fn best(&self, class: Class, fits: impl Fn(&str) -> bool) -> Option<&'a str> {
        let mut all: Vec<(bool, usize, usize, &str)> = self
            .candidates()
            .filter_map(|(path, kind)| match kind {
                Kind::For(of, extra) if of == class && fits(path) => {
                    Some((!self.is_home(path), extra, path.len(), path))
                }
                _ => None,
            })
            .collect();
        all.sort_unstable();
        let (away, extra, _, path) = *all.first()?;
        // Several variants and no plain one: which is meant cannot be seen.
        let rivals = all.iter().filter(|other| other.0 == away && other.1 == extra).count();
        (extra == 0 || rivals == 1).then_some(path)
    }

    fn with_base(&self, base: &'a str, guess: &mut FileGuess) {
        guess.compose = vec![base.to_owned()];
        let Some(whole) = self.compose(base) else { return };
        // Away from the base, only what changes it or replaces it is meant for it.
        let fits = |path: &str| {
            self.is_home(path)
                || self.compose(path).is_some_and(|text| text.touches(whole) && self.is_below_home(path))
        };
        for class in [Class::Production, Class::Staging, Class::Development] {
            let found = self.best(class, fits);
            if class == Class::Staging && found.is_none() {
                continue;
            }
            let environment = guess.environments.entry(class).or_default();
            match found {
                Some(path) if self.stands_for(path, whole) => {
                    environment.compose = Some(vec![path.to_owned()]);
                }
                Some(path) => environment.overlays = vec![path.to_owned()],
                None if class == Class::Development => environment.overlays = self.override_file(),
                None => {}
            }
        }
        if guess.environments.values().all(|environment| environment.compose.is_some()) {
            guess.compose.clear();
        }
        if guess.environments.values().any(|environment| environment.compose.is_some()) {
            guess.shape = Shape::Separate;
        }
        self.with_and_without(guess);
    }

    /// True when the environment runs from `path` alone.
    fn stands_for(&self, path: &str, base: &ComposeText) -> bool {
        // `dev/compose.yaml`: what Compose reads there by itself was written to be run there.
        let own_project = || !self.is_home(path) && names::is_default(path);
        self.compose(path).is_some_and(|text| text.replaces(base) || own_project() && text.is_complete())
    }

    fn is_below_home(&self, path: &str) -> bool {
        self.home.is_empty() || path.starts_with(&format!("{}/", self.home))
    }

    fn override_file(&self) -> Vec<String> {
        let files = self.candidates().filter(|(path, kind)| *kind == Kind::Override && self.is_home(path));
        files.map(|(path, _)| path.to_owned()).take(1).collect()
    }

    /// `X` and `without-X` beside a base: one of the two is always needed, and the server is the one with X.
    fn with_and_without(&self, guess: &mut FileGuess) {
        let others: Vec<&str> =
            self.candidates().filter(|(path, _)| self.is_home(path)).map(|(path, _)| path).collect();
        let pairs = others.iter().flat_map(|with| others.iter().map(move |without| (*with, *without)));
        let Some((with, without)) =
            pairs.into_iter().find(|(with, without)| names::is_without(without, with))
        else {
            return;
        };
        for (class, path) in [(Class::Production, with), (Class::Development, without)] {
            let environment = guess.environments.entry(class).or_default();
            if environment.overlays.is_empty() && environment.compose.is_none() {
                environment.overlays = vec![path.to_owned()];
            }
        }
    }

    fn without_base(&self, guess: &mut FileGuess) {
        let complete = |path: &str| self.compose(path).is_some_and(ComposeText::is_complete);
        let shared = self.candidates().find(|(_, kind)| *kind == Kind::Shared).map(|(path, _)| path);
        let found: BTreeMap<Class, &str> = [Class::Production, Class::Staging, Class::Development]
            .into_iter()
            .filter_map(|class| Some((class, self.best(class, |path| self.is_home(path))?)))
            .collect();
        if let Some(base) = shared.filter(|_| !found.values().any(|path| complete(path))) {
            return self.with_base(base, guess);
        }
        match found.len() {
            0 => guess.compose = self.only_file().into_iter().collect(),
            // One environment's file is all there is; the others run from it too.
            1 => guess.compose = found.values().map(|path| (*path).to_owned()).collect(),
            _ => guess.shape = Shape::Separate,
        }
        if guess.compose.is_empty() && found.is_empty() {
            return;
        }
        for class in [Class::Production, Class::Development] {
            guess.environments.insert(class, EnvironmentGuess::default());
        }
        if found.len() > 1 {
            self.separate(&found, guess);
        }
    }

    fn separate(&self, found: &BTreeMap<Class, &str>, guess: &mut FileGuess) {
        let nearest = |class: Class| {
            let like = [class, Class::Staging, Class::Production, Class::Development];
            like.into_iter().find_map(|class| found.get(&class)).map(|path| vec![(*path).to_owned()])
        };
        for class in [Class::Production, Class::Development].into_iter().chain(found.keys().copied()) {
            guess.environments.entry(class).or_default().compose = nearest(class);
        }
    }

    /// No name says anything: the one complete file, the shortest name first.
    fn only_file(&self) -> Option<String> {
        let complete = self.candidates().filter(|(path, _)| {
            self.is_home(path) && self.compose(path).is_some_and(ComposeText::is_complete)
        });
        complete
            .map(|(path, _)| path)
            .min_by_key(|path| (!names::says_compose(path), path.len()))
            .map(str::to_owned)
    }

    /// `COMPOSE_FILE` in an env file is what Compose reads there, unless it names another environment's file.
    fn follow_compose_file(&self, guess: &mut FileGuess) {
        let mut env_files = guess.environments.values().flat_map(|environment| &environment.env_files);
        // Where no name says which file is the base, the variable does.
        if let Some(Kind::Other) = guess.compose.first().map(|path| names::kind(path))
            && let Some(files) = env_files.find_map(|path| self.compose_file_variable(path))
        {
            guess.compose = files;
            return;
        }
        let (shared, whole) = (guess.compose.clone(), guess.shape);
        for (class, environment) in &mut guess.environments {
            let Some(files) =
                environment.env_files.iter().rev().find_map(|path| self.compose_file_variable(path))
            else {
                continue;
            };
            let mine = |path: &String| !matches!(names::kind(path), Kind::For(of, _) if of != *class);
            if whole == Shape::BaseAndOverlays && files.first() == shared.first() && files.iter().all(mine) {
                environment.overlays = files[1..].to_vec();
            }
        }
    }

    fn compose_file_variable(&self, path: &str) -> Option<Vec<String>> {
        let text = self.text(path)?;
        let separator = env_value(text, "COMPOSE_PATH_SEPARATOR").unwrap_or_else(|| ":".into());
        let files: Vec<String> = env_value(text, "COMPOSE_FILE")?
            .split(&separator)
            .map(|file| names::join(&self.home, file.trim()))
            .collect();
        files.iter().all(|file| self.texts.contains_key(file.as_str())).then_some(files)
    }

    fn declared_name(&self, guess: &FileGuess) -> Option<String> {
        let mut files = guess.compose_files(Class::Production).into_iter();
        let written = files.find_map(|path| self.compose(&path)?.name().map(str::to_owned));
        written.or_else(|| {
            let production = guess.environments.get(&Class::Production)?;
            let mut texts = production.env_files.iter().filter_map(|path| self.text(path));
            texts.find_map(|text| env_value(text, "COMPOSE_PROJECT_NAME"))
        })
    }

    fn left_out(&self, guess: &FileGuess) -> Vec<LeftOut> {
        let in_use: BTreeSet<String> =
            guess.environments.keys().flat_map(|class| guess.compose_files(*class)).collect();
        let rest = self.texts.keys().filter(|path| !in_use.contains(**path));
        let mut left: Vec<LeftOut> = rest
            .map(|path| LeftOut { path: (*path).to_owned(), because: self.why_left_out(path, guess) })
            .collect();
        left.extend(self.unread.iter().cloned());
        left
    }

    fn why_left_out(&self, path: &str, guess: &FileGuess) -> String {
        let kind = names::kind(path);
        if self.used.contains(path) {
            return "another file includes or extends it".into();
        }
        match kind {
            Kind::Default(_) if self.is_home(path) => {
                format!("Compose reads `{}` instead", guess.compose.first().map_or("another", String::as_str))
            }
            Kind::Default(_) => "it lies in another folder than the base".into(),
            Kind::Override => {
                "Compose lays it over the base by itself; no environment asks for it here".into()
            }
            Kind::For(class, _) => format!("a nearer file for {} is there", class.as_str()),
            Kind::Shared | Kind::Other => "its name says no environment".into(),
        }
    }
}

/// The folder of the base: the root when anything is there, else a usual one, else the first.
fn home(texts: &BTreeMap<&str, ComposeText>) -> String {
    let folders: BTreeSet<&str> = texts
        .keys()
        .filter(|path| matches!(names::kind(path), Kind::Default(_) | Kind::For(..) | Kind::Shared))
        .map(|path| names::folder(path))
        .collect();
    let root = texts.keys().any(|path| names::folder(path).is_empty() && names::says_compose(path));
    let usual = HOMES.iter().find(|home| folders.contains(*home)).copied();
    let shallow = folders.iter().min_by_key(|folder| (folder.split('/').count(), **folder)).copied();
    if root || folders.contains("") {
        String::new()
    } else {
        usual.or(shallow).unwrap_or_default().to_owned()
    }
}
