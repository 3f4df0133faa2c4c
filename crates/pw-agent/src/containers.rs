//! Which containers there are, asked of the engine beside the loop; an engine that is gone is asked again.

use std::time::Duration;

use pw_host::Host;
use pw_model::name::EnvironmentName;
use tokio::sync::mpsc::Sender;

use crate::event::Event;

/// New containers run as their own ceilings say until they are known; released ones wait so long at the most.
const POLL: Duration = Duration::from_secs(5);

/// Compose project of each environment → what runs in it, every few seconds.
pub(crate) fn watch(host: Host, projects: Vec<(EnvironmentName, String)>, events: Sender<Event>) {
    tokio::spawn(async move {
        loop {
            for (name, project) in &projects {
                // The engine may be restarting; what is known stays known.
                let Ok(found) = host.engine().own_ceilings(project).await else { continue };
                if events.send(Event::Containers(name.clone(), found)).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(POLL).await;
        }
    });
}
