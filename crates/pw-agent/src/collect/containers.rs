//! Which containers run, asked of the engine when it tells that this changed.

use std::sync::mpsc::Sender;
use std::time::Duration;

use pw_host::Host;
use pw_host::docker::Running;
use pw_model::ProjectName;

/// What the engine did not tell is found out after this time.
const AT_LEAST: Duration = Duration::from_secs(30);
/// Containers come and go in crowds: they are asked for once the first has.
const CROWD: Duration = Duration::from_millis(500);

/// Ends with the receiver.
pub(crate) async fn watch(host: Host, project: ProjectName, found: Sender<Vec<Running>>) {
    loop {
        // An engine that does not answer is restarting; what is known stays known.
        if let Ok(running) = host.engine().running(&project).await
            && found.send(running).is_err()
        {
            return;
        }
        let changed = tokio::time::timeout(AT_LEAST, host.engine().change(&project)).await;
        let pause = match changed {
            Ok(Err(_)) => CROWD * 4,
            Ok(Ok(())) | Err(_) => CROWD,
        };
        tokio::time::sleep(pause).await;
    }
}
