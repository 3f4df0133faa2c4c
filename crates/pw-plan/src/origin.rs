//! From where an environment runs: which folder describes it, and which state folder remembers it.
//!
//! A second copy of a project has other data behind its relative paths, and another state folder has
//! other secrets, another lock and another journal. Neither may take an environment over by accident.

use pw_model::desired::Desired;
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::{Container, Observed, Origin, RecordedFolder};

/// Refuses an environment that runs from another folder or state, unless the user says that it moves.
pub(crate) fn check(desired: &Desired, observed: &Observed) -> Result<(), Box<Diagnostic>> {
    if desired.moved {
        return Ok(());
    }
    let name = desired.environment.as_str();
    check_state(name, &desired.state, &observed.containers)?;
    check_folder(name, desired.folder(), observed.folder.as_ref())
}

/// Refuses a proxy of ours that another state folder made: it would lose the sites that only that one knows.
pub(crate) fn check_proxy(desired: &Desired, observed: &Observed) -> Result<(), Box<Diagnostic>> {
    let found = desired.proxy.as_ref().zip(observed.proxy.origin.as_ref());
    match found.filter(|(_, origin)| !desired.moved && origin.state.as_ref() != Some(&desired.state)) {
        Some((proxy, origin)) => Err(Box::new(other_proxy(&proxy.container, origin))),
        None => Ok(()),
    }
}

/// Refuses containers that another state folder made.
pub fn check_state(environment: &str, state: &str, containers: &[Container]) -> Result<(), Box<Diagnostic>> {
    let is_foreign = |container: &&Container| container.origin.state.as_deref() != Some(state);
    let Some(container) = containers.iter().find(is_foreign) else { return Ok(()) };
    let diagnostic = Diagnostic::error(format!("`{environment}` runs from another state folder"))
        .because(made_from(&format!("container `{}`", container.name), &container.origin));
    Err(Box::new(diagnostic.hint(format!(
        "{}; to take `{environment}` over into this state, add `--moved`",
        other_state(&container.origin)
    ))))
}

/// Refuses a folder that is not the one from which the environment was last brought up.
pub fn check_folder(
    environment: &str,
    folder: &str,
    recorded: Option<&RecordedFolder>,
) -> Result<(), Box<Diagnostic>> {
    let Some(recorded) = recorded.filter(|recorded| recorded.path != folder) else { return Ok(()) };
    let path = &recorded.path;
    let diagnostic = Diagnostic::error(format!("`{environment}` runs from another folder"))
        .because(format!("it was brought up from {path}, and this is {folder}"))
        .because("relative paths of its Compose files are other files and other data here");
    Err(Box::new(diagnostic.hint(match recorded.exists {
        true => format!("run it in {path}; if the project is to run from here from now on, add `--moved`"),
        false => format!("{path} is no longer there; if the project has moved here, add `--moved`"),
    })))
}

fn other_proxy(container: &str, origin: &Origin) -> Diagnostic {
    Diagnostic::error(format!("the proxy `{container}` runs from another state folder"))
        .because(made_from("it", origin))
        .because("one state folder holds the sites of all projects that a proxy serves")
        .hint(format!(
            "{}; or give this project a proxy of its own: `proxy: {{ name: …, http_port: … }}`; to take the proxy over, add `--moved`: sites that only the other state knows are then served no more",
            other_state(origin)
        ))
}

fn made_from(what: &str, origin: &Origin) -> String {
    match (&origin.state, &origin.compose_file) {
        (None, _) => format!("{what} has no label `partywall.state` that says which"),
        (Some(_), Some(file)) => {
            format!("{what} was made from {file}, which is not of the state in use here")
        }
        (Some(state), None) => format!("{what} is labelled with state `{state}`"),
    }
}

fn other_state(origin: &Origin) -> String {
    match root(origin) {
        Some(root) => format!(
            "work with that state, as the user who owns it or with `sudo`: `PARTYWALL_STATE={root} partywall …`"
        ),
        None => "work with the state folder it was made from (PARTYWALL_STATE)".to_owned(),
    }
}

/// The state folder above a rendered file or the proxy's.
fn root(origin: &Origin) -> Option<&str> {
    let file = origin.compose_file.as_deref()?;
    ["/projects/", "/proxy/"].iter().find_map(|part| file.rsplit_once(part)).map(|(root, _)| root)
}
