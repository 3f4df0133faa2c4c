//! One snapshot of an environment.
//!
//! The engine is asked one thing after the other: asked all at once it takes every processor for some milliseconds, beside
//! production's visitors, and is hardly faster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use pw_model::config::Class;
use pw_model::desired::{Desired, DesiredProxy};
use pw_model::observed::{Observed, ObservedProxy, RecordedFolder};
use pw_run::{Failure, Observe};
use serde_json::Value;

use crate::files::hash_of;
use crate::{Host, caddy, firewall, group};

impl Observe for Host {
    async fn observe(&self, desired: &Desired) -> Result<Observed, Failure> {
        let project = &desired.compose_project;
        let images = desired.services.values().map(|service| service.image.as_str());
        let mut containers = self.engine.containers(project).await?;
        // Production does not sleep, and needs no question for it.
        if desired.class != Class::Production {
            self.engine.find_throttled(&mut containers).await?;
        }
        let networks = self.engine.networks(&desired.networks, project).await?;
        let volumes = self.engine.volumes(&desired.volumes, project).await?;
        let images = self.engine.images(images).await?;
        let proxy = self.observe_proxy(desired.proxy.as_ref()).await?;
        let firewall = match &desired.firewall {
            Some(chain) => Some(firewall::observe(chain).await?),
            None => None,
        };
        Ok(Observed {
            containers,
            networks,
            volumes,
            images,
            files: files(desired)?,
            folders: folders(desired),
            firewall: firewall.flatten(),
            group: desired.group.as_ref().and_then(|limits| group::observe(&self.groups, limits)),
            proxy,
            neighbours: neighbours(desired),
            open_switches: switches(desired),
            folder: recorded_folder(Path::new(&desired.folder_file.path)),
            aspects: installed_aspects(desired),
        })
    }
}

impl Host {
    async fn observe_proxy(&self, desired: Option<&DesiredProxy>) -> Result<ObservedProxy, Failure> {
        let Some(proxy) = desired else { return Ok(ObservedProxy::default()) };
        let admin = proxy.external_admin.as_deref();
        let current = caddy::is_current(Path::new(&proxy.folder), &proxy.site_file.text, admin);
        if admin.is_some() {
            return Ok(ObservedProxy { running: true, current: current.await, ..ObservedProxy::default() });
        }
        let found = self.engine.networks_and_origin(&proxy.container);
        let (found, current, edges) = (found.await?, current.await, self.edges(proxy).await?);
        let (networks, origin) = found.map_or((None, None), |(networks, origin)| (networks, Some(origin)));
        let (running, networks) = (networks.is_some(), networks.unwrap_or_default());
        Ok(ObservedProxy { running, networks, current, origin, edges })
    }

    /// Edge networks that exist, of all environments of all projects that the proxy serves.
    async fn edges(&self, proxy: &DesiredProxy) -> Result<BTreeSet<String>, Failure> {
        let all = self.engine.all_networks().await?;
        let edges = caddy::compose_projects(Path::new(&proxy.folder))?;
        let edges = edges.iter().map(|project| pw_plan::wall::edge_network(project));
        Ok(edges.filter(|name| all.contains_key(name)).collect())
    }
}

/// The folder that an environment was last brought up from, by the file that remembers it.
pub fn recorded_folder(file: &Path) -> Option<RecordedFolder> {
    let path = fs::read_to_string(file).ok()?.trim_end().to_owned();
    Some(RecordedFolder { exists: Path::new(&path).is_dir(), path })
}

/// What the installed file says of each service, unless it is as desired.
fn installed_aspects(desired: &Desired) -> BTreeMap<String, BTreeMap<String, String>> {
    let text = fs::read_to_string(&desired.compose_file.path).unwrap_or_default();
    if text == desired.compose_file.text {
        return BTreeMap::new();
    }
    // Written by us; one that cannot be read only costs the detail of a reason.
    let model: Value = serde_saphyr::from_str(&text).unwrap_or_default();
    let services = model.get("services").and_then(Value::as_object).into_iter().flatten();
    services.map(|(name, service)| (name.clone(), pw_plan::aspects::aspects(service))).collect()
}

/// Hashes of the files that a plan may write.
fn files(desired: &Desired) -> Result<BTreeMap<String, String>, Failure> {
    let proxy = desired.proxy.iter().flat_map(|proxy| [&proxy.compose_file.path, &proxy.site_file.path]);
    let variables = desired.variable_file.iter().map(|file| &file.path).chain([&desired.release_path]);
    let ours =
        [&desired.compose_file.path, &desired.folder_file.path].into_iter().chain(variables).chain(proxy);
    let paths = ours.chain(&desired.generated_secrets);
    let hashed = paths.map(|path| Ok(hash_of(Path::new(path))?.map(|hash| (path.clone(), hash))));
    hashed.filter_map(Result::transpose).collect()
}

fn folders(desired: &Desired) -> BTreeSet<String> {
    let proxy = desired.proxy.iter().flat_map(|proxy| &proxy.folders);
    let own = [&desired.state_folder, &desired.store_folder];
    let wanted = desired.folders.iter().chain(own).chain(proxy);
    wanted.filter(|path| Path::new(path).is_dir()).cloned().collect()
}

/// Folders beside the environment's that hold a rendered file.
fn neighbours(desired: &Desired) -> BTreeSet<String> {
    let own = Path::new(&desired.state_folder);
    let beside = own.parent().and_then(|project| fs::read_dir(project).ok()).into_iter().flatten().flatten();
    let others = beside.map(|entry| entry.path()).filter(|path| path != own);
    let rendered = others.filter(|path| path.join("compose.yaml").is_file());
    rendered.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
}

/// Every switch in the environment's folder, also of a service that has lost its route.
fn switches(desired: &Desired) -> BTreeMap<String, String> {
    let of_routes = desired
        .routes
        .iter()
        .filter_map(|route| route.switch.rsplit_once('/'))
        .map(|(folder, _)| folder.to_owned());
    let of_proxy =
        desired.proxy.iter().map(|proxy| format!("{}/switch/{}", proxy.folder, desired.compose_project));
    let beside = desired.routes.iter().flat_map(|route| [&route.before, &route.canary]);
    let beside = beside.filter_map(|file| Some(file.rsplit_once('/')?.0.to_owned()));
    let folders: BTreeSet<String> = of_routes.chain(of_proxy).chain(beside).collect();
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    entries.filter_map(|entry| opened(&entry.path())).collect()
}

fn opened(path: &Path) -> Option<(String, String)> {
    // A temporary file of a write that was cut off.
    if path.file_name()?.to_str()?.starts_with('.') {
        return None;
    }
    Some((path.to_str()?.to_owned(), fs::read_to_string(path).ok()?.trim_end().to_owned()))
}
