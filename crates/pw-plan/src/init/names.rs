//! What a file's name says: which environment it is for, or that it is for none.

use pw_model::config::Class;

/// Compose reads the first of these that is there.
const DEFAULTS: &[&str] = &["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

const PRODUCTION: &[&str] = &["prod", "production", "prd", "live"];
const DEVELOPMENT: &[&str] = &["dev", "development", "develop", "devel", "local", "localhost", "laptop"];
const STAGING: &[&str] = &["staging", "stage", "stg", "uat", "preprod", "preproduction"];
/// Words of files that run something beside the application, or the application somewhere else.
const NEVER: &[&str] = &[
    "test",
    "tests",
    "testing",
    "e2e",
    "ci",
    "bench",
    "benchmark",
    "example",
    "sample",
    "template",
    "dist",
    "swarm",
    "stack",
    "k8s",
    "cypress",
    "playwright",
    "lint",
    "integration",
    "hwaccel",
    "gpu",
    "cuda",
    "rocm",
    "debug",
    "arm",
    "arm64",
];
const SHARED: &[&str] = &["base", "common", "shared", "core", "main"];
/// Words that say nothing about the environment.
const SILENT: &[&str] = &["docker", "compose", "dockercompose", "override", "overlay", ""];
const SAMPLES: &[&str] =
    &["example", "sample", "dist", "template", "tmpl", "tpl", "default", "defaults", "skel"];
/// Folders that hold other people's files, or none worth reading.
const SKIPPED_FOLDERS: &[&str] = &[
    "node_modules",
    "vendor",
    "target",
    "dist",
    "build",
    "venv",
    "__pycache__",
    "test",
    "tests",
    "examples",
];
const DEPTH: usize = 3;

/// What the name of a Compose-like file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Compose reads it by itself; the lower the number, the sooner.
    Default(usize),
    /// Compose lays it over the default file by itself.
    Override,
    /// For one environment; the number counts further words, 0 is exact.
    For(Class, usize),
    /// `base`, `common`: to be shared.
    Shared,
    Other,
}

/// True for folders that are looked into.
pub fn is_searched(path: &str) -> bool {
    let mut folders: Vec<&str> = path.split('/').collect();
    folders.pop();
    folders.len() <= DEPTH
        && folders.iter().all(|folder| {
            let hidden = folder.starts_with('.') && *folder != ".docker";
            !hidden && !SKIPPED_FOLDERS.contains(folder)
        })
}

/// True for files whose text [`super::guess_files`] reads: YAML files and env files.
pub fn wants_text(path: &str) -> bool {
    is_searched(path) && (stem(path).is_some() || env_name(path).is_some_and(|name| !name.sample))
}

pub(super) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `path` below `folder`, with `.` and `..` taken out.
pub(super) fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// The name of a YAML file without its ending.
pub(super) fn stem(path: &str) -> Option<&str> {
    let name = file_name(path);
    name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml"))
}

/// True when the name alone says that Compose is meant.
pub(super) fn says_compose(path: &str) -> bool {
    stem(path).is_some_and(|stem| stem.to_lowercase().contains("compose"))
}

pub(super) fn kind(path: &str) -> Kind {
    if let Some(rank) = DEFAULTS.iter().position(|name| *name == file_name(path)) {
        return by_folder(path).unwrap_or(Kind::Default(rank));
    }
    let stem = stem(path).unwrap_or_default();
    if matches!(stem, "compose.override" | "docker-compose.override") {
        return Kind::Override;
    }
    let words = words(stem);
    let class = class_of(&words);
    match class {
        _ if words.iter().any(|word| NEVER.contains(&word.as_str())) => Kind::Other,
        Some(class) => Kind::For(class, words.len() - 1),
        None if words.len() == 1 && SHARED.contains(&words[0].as_str()) => Kind::Shared,
        None => Kind::Other,
    }
}

/// True for a file that Compose reads by itself in its folder.
pub(super) fn is_default(path: &str) -> bool {
    DEFAULTS.contains(&file_name(path))
}

/// True for what Compose itself reads when it is called in the project's folder, whatever is in it.
pub(super) fn is_asked_for(path: &str) -> bool {
    DEFAULTS.contains(&path)
}

/// `production/compose.yaml`: the folder's name says what the file is for.
fn by_folder(path: &str) -> Option<Kind> {
    let folder = file_name(folder(path));
    class_of(&words(folder)).map(|class| Kind::For(class, 0))
}

/// True for `docker-compose.without-nginx.yml` beside `docker-compose.nginx.yml`: the one that stays at home.
pub(super) fn is_without(path: &str, other: &str) -> bool {
    let (mut mine, theirs) = (words(stem(path).unwrap_or("")), words(stem(other).unwrap_or("")));
    let before = mine.len();
    mine.retain(|word| !matches!(word.as_str(), "without" | "no" | "non"));
    before != mine.len() && !mine.is_empty() && mine == theirs
}

/// The words of a name, in lower case, that are not about Compose itself.
pub(super) fn words(stem: &str) -> Vec<String> {
    let lower = stem.to_lowercase();
    lower.split(['.', '-', '_']).filter(|word| !SILENT.contains(word)).map(str::to_owned).collect()
}

/// The environment that the words name, when they name one only.
pub(super) fn class_of(words: &[String]) -> Option<Class> {
    let one = |word: &String| match word.as_str() {
        word if PRODUCTION.contains(&word) => Some(Class::Production),
        word if DEVELOPMENT.contains(&word) => Some(Class::Development),
        word if STAGING.contains(&word) => Some(Class::Staging),
        _ => None,
    };
    let mut classes: Vec<Class> = words.iter().filter_map(one).collect();
    if words.iter().any(|word| word == "pre") && classes == [Class::Production] {
        return Some(Class::Staging);
    }
    classes.dedup();
    if classes.len() == 1 { classes.pop() } else { None }
}

/// What the name of an env file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnvName {
    pub(super) class: Option<Class>,
    /// `.env.local`: laid over `.env`.
    pub(super) local: bool,
    pub(super) sample: bool,
    /// Words beyond the environment's.
    pub(super) extra: usize,
}

/// Reads `.env`, `.env.prod`, `prod.env`, `env.example`; `None` for anything else, such as `docker-compose.env`.
pub(super) fn env_name(path: &str) -> Option<EnvName> {
    let name = file_name(path);
    let bare = name.strip_prefix('.').unwrap_or(name);
    let rest = bare.strip_prefix("env").filter(|rest| rest.is_empty() || rest.starts_with(['.', '-', '_']));
    let leading = rest.is_some();
    let rest = rest.or_else(|| bare.strip_suffix(".env"))?;
    let mut words: Vec<String> = words(rest);
    let before = words.len();
    words.retain(|word| !SAMPLES.contains(&word.as_str()));
    let sample = before != words.len();
    let dotted = name.starts_with('.');
    if stem(path).is_some() || words.iter().any(|word| NEVER.contains(&word.as_str())) {
        return None;
    }
    let class = class_of(&words);
    let plain = words.is_empty() && (sample || dotted && leading);
    (plain || class.is_some()).then(|| EnvName {
        local: words == ["local"],
        extra: words.len().saturating_sub(1),
        class,
        sample,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_compose_files_say_what_they_are_for() {
        let prod = Kind::For(Class::Production, 0);
        for (path, expected) in [
            ("compose.yaml", Kind::Default(0)),
            ("docker-compose.yaml", Kind::Default(3)),
            ("docker-compose.override.yml", Kind::Override),
            ("docker-compose.prod.yml", prod.clone()),
            ("docker-compose-production.yaml", prod.clone()),
            ("prod.docker-compose.yml", prod.clone()),
            ("deploy/production/compose.yml", prod),
            ("production.yml", Kind::For(Class::Production, 0)),
            ("docker-compose.pre-prod.yml", Kind::For(Class::Staging, 1)),
            ("docker-compose.dev.nginx.yml", Kind::For(Class::Development, 1)),
            ("docker-compose.dev.test.yml", Kind::Other),
            ("docker-compose.dev-prod.yml", Kind::Other),
            ("docker-compose.base.yml", Kind::Shared),
            ("hwaccel.ml.yml", Kind::Other),
        ] {
            assert_eq!(kind(path), expected, "{path}");
        }
    }

    #[test]
    fn names_of_env_files_say_what_they_are_for() {
        let class = |path: &str| env_name(path).map(|name| (name.class, name.sample));
        assert_eq!(class(".env"), Some((None, false)));
        for path in [".env.prod", ".env.production", "prod.env", ".prod.env", "env/production.env"] {
            assert_eq!(class(path), Some((Some(Class::Production), false)), "{path}");
        }
        assert_eq!(class(".env.production.sample"), Some((Some(Class::Production), true)));
        for path in [".env.example", "env.example", ".env-dist", "template.env"] {
            assert_eq!(class(path), Some((None, true)), "{path}");
        }
        for path in ["docker-compose.env", "env", ".env.test", "wiki.env", "environment", "env.prod.yml"] {
            assert_eq!(class(path), None, "{path}");
        }
    }

    #[test]
    fn the_pair_with_and_without_is_seen() {
        assert!(is_without("docker-compose.without-nginx.yml", "docker-compose.nginx.yml"));
        assert!(is_without("compose.no_tls.yaml", "compose.tls.yaml"));
        assert!(!is_without("compose.tls.yaml", "compose.tls.yaml"));
    }
}
