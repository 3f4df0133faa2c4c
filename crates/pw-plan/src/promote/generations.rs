//! Which containers of a service are of which generation, and which of them serves.

use std::collections::BTreeMap;

use pw_model::colour::Colour;
use pw_model::desired::{Desired, DesiredRoute};
use pw_model::observed::{Container, Observed};

use crate::parts::Draft;
use crate::step::{Action, ComposeRun, Containers, Generation, Undo};

/// The generations of a routed service. `None` is what Compose itself started.
#[derive(Debug, Clone)]
pub(crate) struct Generations<'a> {
    desired: &'a Desired,
    project: &'a str,
    route: &'a DesiredRoute,
    pub(crate) all: BTreeMap<Option<Colour>, Vec<&'a Container>>,
    /// The one that visitors meet; `None` while the route is closed.
    pub(crate) live: Option<Option<Colour>>,
}

impl<'a> Generations<'a> {
    pub(crate) fn of(desired: &'a Desired, observed: &'a Observed, route: &'a DesiredRoute) -> Self {
        let project = desired.compose_project.as_str();
        let mut all: BTreeMap<Option<Colour>, Vec<&Container>> = BTreeMap::new();
        for one in observed.containers.iter().filter(|one| one.service == route.service) {
            all.entry(Colour::of_container(project, &route.service, &one.name)).or_default().push(one);
        }
        let open = observed.open_switches.get(&route.switch);
        let alias = alias(route);
        let live =
            open.map(|address| Colour::of_address(alias, address)).filter(|live| all.contains_key(live));
        Self { desired, project, route, all, live }
    }

    /// The address of a generation.
    pub(crate) fn address(&self, generation: Option<Colour>) -> String {
        let plain = &self.route.address;
        match (generation, plain.rsplit_once(':')) {
            (Some(colour), Some((alias, port))) => format!("{}:{port}", colour.alias(alias)),
            _ => plain.clone(),
        }
    }

    pub(crate) fn containers(&self, generation: Option<Colour>) -> Containers {
        let names = self.all.get(&generation).into_iter().flatten().map(|one| one.name.clone()).collect();
        Containers { project: self.project.to_owned(), service: self.route.service.clone(), names }
    }

    /// Those beside the one that serves.
    pub(crate) fn others(&self) -> impl Iterator<Item = Option<Colour>> {
        let live = self.live;
        self.all.keys().copied().filter(move |one| live.is_some_and(|live| live != *one))
    }

    /// True for a generation that runs whole and is made from this configuration.
    pub(crate) fn is_ready(&self, generation: Option<Colour>, config_hash: &str, scale: u64) -> bool {
        let containers = self.all.get(&generation).map(Vec::as_slice).unwrap_or_default();
        containers.len() as u64 == scale
            && containers.iter().all(|one| one.is_up() && one.config_hash == config_hash)
    }

    /// Makes the generation that serves now once more, under the same names.
    pub(crate) fn again(
        &self,
        route: &DesiredRoute,
        compose: &ComposeRun,
        timeout_seconds: u64,
    ) -> Vec<Action> {
        let Some(Some(colour)) = self.live else { return Vec::new() };
        let containers = self.containers(Some(colour));
        let first = self.all.get(&Some(colour)).and_then(|all| all.first());
        let generation = Generation {
            colour,
            containers: containers.clone(),
            config_hash: first.map(|one| one.config_hash.clone()).unwrap_or_default(),
            edge: route.edge.clone().unwrap_or_default(),
            alias: colour.alias(alias(route)),
            networks: silent_networks(self.desired, route),
        };
        let mut actions = vec![
            Action::MakeGeneration { compose: compose.clone(), generation: Box::new(generation) },
            Action::StartContainers { containers: containers.clone() },
            Action::AwaitContainers { containers: containers.clone(), timeout_seconds },
        ];
        actions.extend(route.calls.as_ref().map(|calls| Action::AnswerCalls {
            containers,
            network: calls.network.clone(),
            aliases: calls.aliases.clone(),
        }));
        actions
    }

    /// The colour that nobody serves from.
    pub(crate) fn free(&self) -> Colour {
        self.live.flatten().map_or(Colour::Blue, Colour::other)
    }
}

/// The containers of a service that serve: of one with two generations, those of one.
pub fn serving<'a>(desired: &'a Desired, observed: &'a Observed, service: &str) -> Vec<&'a Container> {
    let route = desired.routes.iter().find(|route| route.service == service && route.edge.is_some());
    let live = route.and_then(|route| {
        let all = Generations::of(desired, observed, route);
        all.all.get(&all.live?).cloned()
    });
    live.unwrap_or_else(|| observed.containers.iter().filter(|one| one.service == service).collect())
}

/// Where the proxy finds the containers that serve.
pub(crate) fn serving_address(desired: &Desired, observed: &Observed, route: &DesiredRoute) -> String {
    if route.edge.is_none() {
        return route.address.clone();
    }
    let all = Generations::of(desired, observed, route);
    // A closed route leads to the only generation there is.
    let only = all.all.keys().next().copied().filter(|_| all.all.len() == 1);
    all.live.or(only).map_or_else(|| route.address.clone(), |one| all.address(one))
}

/// Ends containers that no visitor meets any more: first nobody finds them, then they go.
pub(crate) fn remove(draft: &mut Draft<'_>, route: &DesiredRoute, containers: &Containers) {
    let withdraw = Action::WithdrawContainers {
        containers: containers.clone(),
        edge: route.edge.clone().unwrap_or_default(),
        networks: silent_networks(draft.desired, route),
    };
    draft.step(withdraw, Undo::Nothing, "other services call the generation that serves");
    let remove = Action::RemoveContainers { containers: containers.clone() };
    draft.step(remove, Undo::Nothing, "nobody meets them any more");
}

/// Networks on which a new generation has no name: all but the edge and that of calls.
pub(crate) fn silent_networks(desired: &Desired, route: &DesiredRoute) -> Vec<String> {
    let calls = route.calls.as_ref().map(|calls| &calls.network);
    let own = desired.services.get(&route.service).map(|service| &service.networks);
    let silent = own.into_iter().flatten();
    silent.filter(|name| Some(*name) != route.edge.as_ref() && Some(*name) != calls).cloned().collect()
}

/// The name by which the proxy reaches what Compose started.
pub(crate) fn alias(route: &DesiredRoute) -> &str {
    route.address.rsplit_once(':').map_or(route.address.as_str(), |(alias, _)| alias)
}
