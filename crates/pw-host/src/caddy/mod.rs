//! Caddy: ours, which is given its whole configuration, and the user's own, which is given our routes.

mod admin;
mod answered;
mod candidate;
mod external;
mod in_flight;
mod ours;
mod tail;
mod traffic;
mod warm_up;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pw_plan::proxy::Site;
use pw_run::Failure;

pub use answered::{Answered, Series};
pub use candidate::probe;
pub use external::load_external;
pub use in_flight::{drain, in_flight};
pub use ours::load;
pub use traffic::Traffic;

use crate::failed::io_failed;

/// True when Caddy runs what the site files make, with `own` instead of this project's.
pub async fn is_current(folder: &Path, own: &str, admin: Option<&str>) -> bool {
    let Ok(mut sites) = sites(folder) else { return false };
    let Ok(own) = serde_json::from_str::<Site>(own) else { return false };
    match sites.iter().position(|site| site.project == own.project) {
        Some(at) => sites[at] = own,
        None => sites.push(own),
    }
    sites.sort_by(|a, b| a.project.cmp(&b.project));
    match admin {
        Some(admin) => external::is_current(folder, &sites, admin).await,
        None => ours::is_current(folder, &sites).await,
    }
}

/// Compose projects of all environments that the proxy serves, running or not.
pub fn compose_projects(folder: &Path) -> Result<BTreeSet<String>, Failure> {
    let sites = sites(folder)?;
    let switches = sites.iter().flat_map(|site| &site.routes).map(|route| &route.switch);
    Ok(switches.filter_map(|switch| Some(switch.split_once('/')?.0.to_owned())).collect())
}

/// The site files of all projects, by project.
fn sites(folder: &Path) -> Result<Vec<Site>, Failure> {
    let folder = folder.join("sites");
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| io_failed("read", &folder, error))?,
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut sites = files.map(|path| site(&path)).collect::<Result<Vec<Site>, Failure>>()?;
    sites.sort_by(|a, b| a.project.cmp(&b.project));
    Ok(sites)
}

fn site(path: &Path) -> Result<Site, Failure> {
    let text = fs::read_to_string(path).map_err(|error| io_failed("read", path, error))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("could not understand `{}`", path.display())).because(error))
}
