//! What Compose drops from its answer: the files that services take variables from, and the files those are described in.

use saphyr::{LoadableYamlNode, MarkedYaml, YamlData};

use crate::source::{Place, SourceFile, untagged, value_at};

/// `env_file` of one service, as one Compose file writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFiles {
    /// Paths as written, with variables in them.
    pub files: Vec<(String, Place)>,
    /// True under `!override` and `!reset`: what the files before say no longer holds.
    pub replaces: bool,
}

/// `extends` of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extends {
    /// `None`: a service of the same file.
    pub file: Option<String>,
    pub service: String,
}

/// One entry of `include`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    pub files: Vec<String>,
    pub directory: Option<String>,
}

impl SourceFile {
    /// The env files of a service, `None` when this file says nothing about them.
    pub fn env_files(&self, service: &str) -> Option<EnvFiles> {
        let text = self.parsable();
        let documents = MarkedYaml::load_from_str(&text).ok()?;
        let service = value_at(documents.first()?, &["services", service])?;
        let tagged = raw(service, "env_file").is_some_and(|node| matches!(node.data, YamlData::Tagged(..)));
        let node = value_at(service, &["env_file"])?;
        let items = match &node.data {
            YamlData::Sequence(items) => items.iter().map(|item| self.item(item)).collect(),
            _ => vec![self.item(node)],
        };
        let path = |item: crate::source::Item| {
            let path = item.text.or_else(|| item.fields.get("path").cloned())?;
            Some((path, item.place))
        };
        Some(EnvFiles { files: items.into_iter().filter_map(path).collect(), replaces: tagged })
    }

    /// What a service is built upon.
    pub fn extends(&self, service: &str) -> Option<Extends> {
        let text = self.parsable();
        let documents = MarkedYaml::load_from_str(&text).ok()?;
        let item = self.item(value_at(documents.first()?, &["services", service, "extends"])?);
        let named = item.fields.get("service").cloned().or(item.text)?;
        Some(Extends { file: item.fields.get("file").cloned(), service: named })
    }

    /// Further Compose files that this one takes in.
    pub fn includes(&self) -> Vec<Include> {
        let text = self.parsable();
        let documents = MarkedYaml::load_from_str(&text).unwrap_or_default();
        let list = documents.first().and_then(|document| value_at(document, &["include"]));
        let entries = list.and_then(|list| list.data.as_sequence()).into_iter().flatten();
        entries.map(|entry| self.include(entry)).collect()
    }

    fn include(&self, entry: &MarkedYaml<'_>) -> Include {
        let item = self.item(entry);
        let paths = value_at(entry, &["path"]).and_then(|path| path.data.as_sequence());
        let listed = paths.into_iter().flatten().filter_map(|path| path.data.as_str().map(str::to_owned));
        let one = item.text.or_else(|| item.fields.get("path").cloned());
        Include {
            files: one.into_iter().chain(listed).collect(),
            directory: item.fields.get("project_directory").cloned(),
        }
    }
}

/// The value of a key with its tag.
fn raw<'n, 'i>(node: &'n MarkedYaml<'i>, key: &str) -> Option<&'n MarkedYaml<'i>> {
    let map = untagged(node).data.as_mapping()?;
    map.iter().find(|(known, _)| known.data.as_str() == Some(key)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSE: &str = "\
include: [jobs.yml, { path: [mail.yml, mail.more.yml], project_directory: mail }]
x-app: &app
  env_file: [.env.app]
services:
  web: { <<: *app, extends: { file: base.yml, service: app } }
  api: { env_file: !override .env.api, extends: web }
  job:
    env_file:
      - { path: .env.job, required: false }
  db: { image: postgres }
";

    fn named(service: &str) -> Option<(Vec<String>, bool)> {
        let found = SourceFile::new("c.yml", COMPOSE).env_files(service)?;
        Some((found.files.into_iter().map(|(path, _)| path).collect(), found.replaces))
    }

    #[test]
    fn every_form_of_env_file_is_read() {
        assert_eq!(named("web"), Some((vec![".env.app".into()], false)));
        assert_eq!(named("api"), Some((vec![".env.api".into()], true)));
        assert_eq!(named("job"), Some((vec![".env.job".into()], false)));
        assert_eq!(named("db"), None);
        let place = SourceFile::new("c.yml", COMPOSE).env_files("job").map(|found| found.files[0].1.line);
        assert_eq!(place, Some(9));
    }

    #[test]
    fn other_files_are_named() {
        let file = SourceFile::new("c.yml", COMPOSE);
        let extends = |service: &str| file.extends(service).map(|found| (found.file, found.service));
        assert_eq!(extends("web"), Some((Some("base.yml".into()), "app".into())));
        assert_eq!(extends("api"), Some((None, "web".into())));
        let includes: Vec<_> = file.includes().into_iter().map(|one| (one.files, one.directory)).collect();
        assert_eq!(includes[0], (vec!["jobs.yml".to_owned()], None));
        assert_eq!(includes[1], (vec!["mail.yml".to_owned(), "mail.more.yml".into()], Some("mail".into())));
    }
}
