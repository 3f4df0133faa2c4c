//! Which containers and bridges there are, asked of the engine beside the loop; an engine that is gone is asked again.

use std::path::Path;
use std::time::Duration;

use pw_host::{Host, group};
use pw_model::host::CgroupVersion;
use pw_model::name::EnvironmentName;
use tokio::sync::mpsc::Sender;

use crate::Settings;
use crate::event::Event;

/// New containers run as their own ceilings say until they are known; released ones wait so long at the most.
const POLL: Duration = Duration::from_secs(5);

/// Compose project of each environment → what runs in it and what its networks are, every few seconds.
pub(crate) fn watch(settings: &Settings, projects: Vec<(EnvironmentName, String)>, events: &Sender<Event>) {
    let (host, events) = (Host::new(settings.layout.clone(), &settings.config.project), events.clone());
    // Only there is each container held by itself.
    let is_v1 = group::version(Path::new(group::ROOT)) == CgroupVersion::V1;
    tokio::spawn(async move {
        loop {
            for (name, project) in &projects {
                let mut found = Vec::new();
                // The engine may be restarting; what is known stays known.
                if is_v1 && let Ok(containers) = host.engine().own_ceilings(project).await {
                    found.push(Event::Containers(name.clone(), containers));
                }
                if let Ok(bridges) = host.engine().bridges(project).await {
                    found.push(Event::Bridges(name.clone(), bridges));
                }
                for event in found {
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
            }
            tokio::time::sleep(POLL).await;
        }
    });
}
