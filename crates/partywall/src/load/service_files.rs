//! Env files that services name. Compose merges them into `environment` and drops their names, so they are read from the YAML.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use pw_host::compose::{self, ComposeInputs};
use pw_model::source::{Place, SourceFile};
use pw_plan::wall::ServiceFile;
use pw_run::Failure;

/// Files that take in files that take in files; more is a circle.
const DEEPEST: usize = 8;

/// An env file as a Compose file names it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) written: String,
    /// The folder that the path counts from.
    base: PathBuf,
    pub(super) place: Place,
}

impl Named {
    pub(super) fn path(&self, written: &str) -> PathBuf {
        clean(&self.base.join(written))
    }
}

/// Every Compose file that the given ones lead to, and the env files that their services name.
pub(super) struct Described {
    directory: PathBuf,
    files: BTreeMap<PathBuf, SourceFile>,
    /// In the order in which Compose reads them.
    pub(super) services: BTreeMap<String, Vec<Named>>,
}

impl Described {
    /// Follows `include` and `extends` from the files that Compose is given.
    pub(super) fn read(directory: &Path, files: &[String]) -> Self {
        let services = BTreeMap::new();
        let mut all = Self { directory: directory.to_owned(), files: BTreeMap::new(), services };
        let paths: Vec<PathBuf> = files.iter().map(|file| directory.join(file)).collect();
        let base = paths.first().and_then(|path| path.parent()).unwrap_or(directory).to_owned();
        for path in paths {
            all.take_in(&path, &base, 0);
        }
        all
    }

    /// The files beyond those that Compose was given.
    pub(super) fn further(&self, known: &[SourceFile]) -> Vec<SourceFile> {
        self.files.values().filter(|file| known.iter().all(|one| one.name != file.name)).cloned().collect()
    }

    fn open(&mut self, path: &Path) -> Option<SourceFile> {
        let path = clean(path);
        if !self.files.contains_key(&path) {
            let text = std::fs::read_to_string(&path).ok()?;
            self.files.insert(path.clone(), SourceFile::new(shown(&path, &self.directory), text));
        }
        self.files.get(&path).cloned()
    }

    fn take_in(&mut self, path: &Path, base: &Path, depth: usize) {
        let Some(source) = self.open(path).filter(|_| depth < DEEPEST) else { return };
        for include in source.includes() {
            let files: Vec<PathBuf> = include.files.iter().map(|file| base.join(file)).collect();
            let beside = files.first().and_then(|file| file.parent()).unwrap_or(base).to_owned();
            let inner = include.directory.map_or(beside, |directory| base.join(directory));
            for file in files {
                self.take_in(&file, &inner, depth + 1);
            }
        }
        for service in source.keys("services") {
            let (named, replaces) = self.of_service(&source, base, &service, depth);
            let list = self.services.entry(service).or_default();
            if replaces {
                list.clear();
            }
            list.extend(named);
        }
    }

    /// What the service names itself, after what it is built upon.
    fn of_service(
        &mut self,
        source: &SourceFile,
        base: &Path,
        name: &str,
        depth: usize,
    ) -> (Vec<Named>, bool) {
        let mut named = match source.extends(name).filter(|_| depth < DEEPEST) {
            Some(extends) => {
                let path = extends.file.as_ref().map(|file| base.join(file));
                let folder = path.as_deref().and_then(Path::parent).unwrap_or(base).to_owned();
                let other = path.map_or(Some(source.clone()), |path| self.open(&path));
                other.map(|other| self.of_service(&other, &folder, &extends.service, depth + 1).0)
            }
            None => None,
        }
        .unwrap_or_default();
        let Some(own) = source.env_files(name) else { return (named, false) };
        if own.replaces {
            named.clear();
        }
        let files = own.files.into_iter();
        named.extend(files.map(|(written, place)| Named { written, base: base.to_owned(), place }));
        (named, own.replaces)
    }
}

/// The files with their texts; one that is not there gives no variables.
pub(super) async fn load(described: &Described, inputs: &ComposeInputs) -> Result<Vec<ServiceFile>, Failure> {
    let all: Vec<(&String, &Named)> = described
        .services
        .iter()
        .flat_map(|(service, list)| list.iter().map(move |named| (service, named)))
        .collect();
    let mut paths: Vec<String> = all.iter().map(|(_, named)| named.written.clone()).collect();
    if paths.iter().any(|path| path.contains('$')) {
        paths = compose::interpolated(inputs, &paths).await?;
    }
    let file = |((service, named), written): (&(&String, &Named), String)| {
        let path = named.path(&written);
        let text = std::fs::read(&path).ok()?;
        let name = shown(&path, &described.directory);
        let file = SourceFile::new(name, String::from_utf8_lossy(&text));
        let path = path.to_str()?.to_owned();
        Some(ServiceFile { service: (*service).clone(), path, file, place: named.place.clone() })
    };
    Ok(all.iter().zip(paths).filter_map(file).collect())
}

/// As the user would type it.
fn shown(path: &Path, directory: &Path) -> String {
    path.strip_prefix(directory).unwrap_or(path).to_string_lossy().into_owned()
}

/// Without `.` and `..`, by the text alone, as Compose does it.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The env files of a service, relative to the project.
    fn files(described: &Described, service: &str) -> Vec<String> {
        let list = described.services.get(service).into_iter().flatten();
        list.map(|named| shown(&named.path(&named.written), &described.directory)).collect()
    }

    #[test]
    fn env_files_are_found_through_include_extends_and_overlays() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        write(
            "compose.yml",
            "include: [mail/compose.yml]\nservices:\n  web: { env_file: web.env, extends: { file: base/app.yml, service: app } }\n  api: { env_file: [a.env] }\n",
        );
        write("base/app.yml", "services:\n  app: { env_file: ./app.env }\n");
        write("mail/compose.yml", "services:\n  mail: { env_file: ../mail.env }\n");
        write("dev.yml", "services:\n  web: { env_file: dev.env }\n  api: { env_file: !override [b.env] }\n");
        let read = Described::read(folder.path(), &["compose.yml".into(), "dev.yml".into()]);
        assert_eq!(files(&read, "web"), ["base/app.env", "web.env", "dev.env"]);
        assert_eq!(files(&read, "api"), ["b.env"]);
        assert_eq!(files(&read, "mail"), ["mail.env"]);
        let known = [SourceFile::new("compose.yml", ""), SourceFile::new("dev.yml", "")];
        let further: Vec<String> = read.further(&known).into_iter().map(|file| file.name).collect();
        assert_eq!(further, ["base/app.yml", "mail/compose.yml"]);
    }

    #[test]
    fn files_in_a_circle_end() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(
            folder.path().join("a.yml"),
            "include: [a.yml]\nservices: { web: { extends: web, env_file: x } }\n",
        )
        .expect("a file");
        let read = Described::read(folder.path(), &["a.yml".into()]);
        assert!(files(&read, "web").iter().all(|file| file == "x"));
    }
}
