//! `down`: stop an environment and remove its containers and networks. Volumes and files stay.

use pw_model::desired::Desired;
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::Observed;

use crate::parts::{Draft, levels};
use crate::step::{Action, Plan, Undo};

/// Steps that close routes, then remove containers, dependents first. Empty when nothing runs.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan, Box<Diagnostic>> {
    let mut draft = Draft::new(desired, observed)?;
    draft.take_down("volumes and files stay");
    Ok(draft.finish("down"))
}

impl Draft<'_> {
    /// `after` says what becomes of volumes and files.
    pub(crate) fn take_down(&mut self, after: &str) {
        let because = "nothing may reach what is about to stop";
        for switch in self.observed.open_switches.keys() {
            match self.desired.routes.iter().any(|one| one.before == *switch || one.canary == *switch) {
                true => self.forget(switch, because),
                false => self.close(switch, because),
            }
        }
        self.remove_services(after);
        self.leave_edge();
        self.remove_networks();
        self.remove_firewall();
    }

    fn remove_services(&mut self, after: &str) {
        let mut levels = levels(self.desired);
        levels.reverse();
        let strays: Vec<String> = self
            .observed
            .containers
            .iter()
            .map(|c| c.service.clone())
            .filter(|name| !self.desired.services.contains_key(name))
            .collect();
        levels.insert(0, strays);
        let mut first = true;
        for level in levels {
            let mut services: Vec<String> =
                level.into_iter().filter(|name| self.containers_of(name).next().is_some()).collect();
            services.dedup();
            if services.is_empty() {
                continue;
            }
            let undo = self.start_again(&services, first);
            first = false;
            let project = self.desired.compose_project.clone();
            self.step(Action::RemoveServices { project, services }, undo, after);
        }
    }

    /// The level removed first is started last on the way back; by then the edge exists again and the proxy can join it.
    fn start_again(&self, services: &[String], last_on_the_way_back: bool) -> Undo {
        let path = &self.desired.compose_file.path;
        let Some(before) = self.observed.files.get(path) else { return Undo::Nothing };
        let project = self.desired.compose_project.clone();
        let mut actions = vec![Action::InstallFile { path: path.clone(), hash: before.clone() }];
        actions.extend(self.start_as_now(self.compose(), services));
        actions.push(Action::AwaitServices { project, services: services.to_vec(), timeout_seconds: 120 });
        if let Some(proxy) = self.desired.proxy.as_ref().filter(|_| last_on_the_way_back) {
            let joined =
                proxy.networks.iter().filter(|network| self.observed.proxy.networks.contains(*network));
            actions.extend(joined.map(|network| Action::JoinNetwork {
                container: proxy.container.clone(),
                network: network.clone(),
            }));
        }
        Undo::By { actions }
    }

    fn leave_edge(&mut self) {
        let Some(proxy) = &self.desired.proxy else { return };
        for network in proxy.networks.iter().filter(|network| self.observed.proxy.networks.contains(*network))
        {
            let (container, network) = (proxy.container.clone(), network.clone());
            self.step(
                Action::LeaveNetwork { container, network },
                Undo::Nothing,
                "a network with members cannot be removed",
            );
        }
    }

    fn remove_firewall(&mut self) {
        if let Some(chain) = &self.observed.firewall {
            let back = Undo::by(Action::SetFirewall { chain: chain.clone() });
            self.step(Action::RemoveFirewall { name: chain.name.clone() }, back, "its networks are gone");
        }
    }

    fn remove_networks(&mut self) {
        let names: Vec<String> = self
            .desired
            .networks
            .iter()
            .filter(|name| self.observed.networks.contains(*name))
            .cloned()
            .collect();
        if !names.is_empty() {
            let project = self.desired.compose_project.clone();
            self.step(
                Action::RemoveNetworks { project, names },
                Undo::Nothing,
                "nothing is on them any more; the next `up` makes them again",
            );
        }
    }
}
