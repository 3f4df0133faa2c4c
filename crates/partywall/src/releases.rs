//! The releases of an environment, as files beside its rendered Compose file.

use std::collections::BTreeMap;
use std::path::Path;

use pw_model::config::Config;
use pw_model::desired::FileText;
use pw_model::layout::Layout;
use pw_model::name::EnvironmentName;
use pw_model::release::Release;

use crate::session::{self, Session};
use crate::stop::Stop;

/// The release that each environment runs; an environment that runs from the project's folder has none.
pub(crate) fn current(layout: &Layout, config: &Config) -> Result<BTreeMap<EnvironmentName, Release>, Stop> {
    let mut found = BTreeMap::new();
    for name in config.environments.keys() {
        let path = layout.release_file(&config.project, name);
        if Path::new(&path).is_file() {
            found.insert(name.clone(), read(Path::new(&path))?);
        }
    }
    Ok(found)
}

/// Every release of an environment that is listed, the oldest first.
pub(crate) fn all(session: &Session, name: &EnvironmentName) -> Result<Vec<Release>, Stop> {
    let folder = session.layout.releases(&session.config.project, name);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let files = entries.flatten().map(|entry| entry.path());
    let entries = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut all = entries.map(|path| read(&path)).collect::<Result<Vec<_>, _>>()?;
    all.sort_by_key(|release| release.number);
    Ok(all)
}

/// Its entry in the list.
pub(crate) fn entry(session: &Session, name: &EnvironmentName, release: &Release) -> FileText {
    let folder = session.layout.releases(&session.config.project, name);
    FileText { path: format!("{folder}/{}.json", release.number), text: text(release) }
}

/// What says that it runs.
pub(crate) fn marker(session: &Session, name: &EnvironmentName) -> Option<FileText> {
    let release = session.releases.get(name)?;
    Some(FileText { path: session.layout.release_file(&session.config.project, name), text: text(release) })
}

fn text(release: &Release) -> String {
    serde_json::to_string_pretty(release).unwrap_or_default() + "\n"
}

fn read(path: &Path) -> Result<Release, Stop> {
    let text = session::read(path)?;
    serde_json::from_str(&text).map_err(|error| {
        Stop::because(
            format!("could not understand `{}`", path.display()),
            error.to_string(),
            "bring it back from a backup, or remove it to run the environment from the project's folder",
        )
    })
}
