//! The proxy's part of `up`: the one Caddy is there, knows our sites, and has joined our edge.

use pw_model::desired::DesiredProxy;

use crate::parts::Draft;
use crate::step::{Action, ComposeRun, Undo};

impl Draft<'_> {
    /// Folders, file and image of our own Caddy: what is slow or may be missing comes before anything that runs is touched.
    pub(super) fn proxy_ground(&mut self, proxy: &DesiredProxy) {
        if proxy.external_admin.is_some() {
            return;
        }
        for folder in &proxy.folders {
            self.folder(folder, "the proxy's");
        }
        self.install(&proxy.compose_file, "the proxy has a life of its own");
        if self.starts_proxy(proxy) {
            let (compose, services) = (compose(proxy), caddy());
            self.step(
                Action::PullImages { compose, services },
                Undo::Nothing,
                "if it is not on this host yet",
            );
        }
    }

    fn starts_proxy(&self, proxy: &DesiredProxy) -> bool {
        let written = self.observed.files.get(&proxy.compose_file.path);
        let changed = written != Some(&crate::hash(&proxy.compose_file.text));
        proxy.external_admin.is_none() && (!self.observed.proxy.running || changed)
    }

    /// Told about our sites if they changed, started if it does not run, joined to our edge.
    pub(super) fn proxy(&mut self, proxy: &DesiredProxy) {
        self.install(&proxy.site_file, "names of all environments, so that later starts change nothing");
        self.load(proxy);
        if self.starts_proxy(proxy) {
            self.start_proxy(proxy);
        }
        if self.starts_proxy(proxy) {
            for network in self.edges_of_others(proxy) {
                let join = Action::JoinNetwork { container: proxy.container.clone(), network };
                // The way back of the start joins them itself.
                self.step(join, Undo::Nothing, "a new proxy container must reach what the one before did");
            }
        }
        for network in &proxy.networks {
            if self.starts_proxy(proxy) || !self.observed.proxy.networks.contains(network) {
                let (container, network) = (proxy.container.clone(), network.clone());
                let back =
                    Undo::by(Action::LeaveNetwork { container: container.clone(), network: network.clone() });
                self.step(
                    Action::JoinNetwork { container, network },
                    back,
                    "the proxy reaches routed services over the edge only",
                );
            }
        }
    }

    fn edges_of_others(&self, proxy: &DesiredProxy) -> Vec<String> {
        let edges = self.observed.proxy.edges.iter();
        edges.filter(|network| !proxy.networks.contains(network)).cloned().collect()
    }

    fn load(&mut self, proxy: &DesiredProxy) {
        if self.observed.proxy.current {
            return;
        }
        let load = Action::LoadProxy { folder: proxy.folder.clone(), admin: proxy.external_admin.clone() };
        // On the way back the site file is restored first, then read again.
        let path = proxy.site_file.path.clone();
        let (restore, because) = match self.observed.files.get(&path) {
            Some(before) if *before == crate::hash(&proxy.site_file.text) => {
                (None, "the proxy does not serve what its site files say")
            }
            Some(before) => {
                (Some(Action::InstallFile { path, hash: before.clone() }), "the set of sites changed")
            }
            None => (Some(Action::RemoveFile { path }), "the proxy does not know this project yet"),
        };
        let actions = restore.into_iter().chain([load.clone()]).collect();
        self.step(load, Undo::By { actions }, because);
    }

    /// Starts the proxy as it ran before, on all the networks that it was on; nothing when it did not run.
    fn proxy_before(&self, proxy: &DesiredProxy) -> Vec<Action> {
        let seen = &self.observed.proxy;
        if !seen.running {
            return Vec::new();
        }
        let path = &proxy.compose_file.path;
        let elsewhere = seen.origin.as_ref().and_then(|origin| origin.compose_file.clone());
        let (install, file) = match (self.observed.files.get(path), elsewhere) {
            (_, Some(file)) if file != *path => (None, file),
            (Some(hash), _) => {
                (Some(Action::InstallFile { path: path.clone(), hash: hash.clone() }), path.clone())
            }
            (None, _) => return Vec::new(),
        };
        let compose = ComposeRun { project: proxy.name.clone(), file };
        let start = Action::StartServices { compose, services: caddy() };
        let own = format!("{}_default", proxy.name);
        let joined = seen.networks.iter().filter(|network| **network != own);
        let join = |network: &String| Action::JoinNetwork {
            container: proxy.container.clone(),
            network: network.clone(),
        };
        install.into_iter().chain([start]).chain(joined.map(join)).collect()
    }

    fn start_proxy(&mut self, proxy: &DesiredProxy) {
        let (compose, services) = (compose(proxy), caddy());
        let remove = Action::RemoveServices { project: proxy.name.clone(), services: services.clone() };
        let undo = match self.proxy_before(proxy) {
            actions if actions.is_empty() => Undo::by(remove),
            actions => Undo::By { actions },
        };
        self.step(
            Action::StartServices { compose, services: services.clone() },
            undo,
            "the proxy does not run as described",
        );
        let project = proxy.name.clone();
        self.step(
            Action::AwaitServices { project, services, timeout_seconds: 60 },
            Undo::Nothing,
            "routes need it",
        );
    }
}

fn compose(proxy: &DesiredProxy) -> ComposeRun {
    ComposeRun { project: proxy.name.clone(), file: proxy.compose_file.path.clone() }
}

fn caddy() -> Vec<String> {
    vec!["caddy".to_owned()]
}
