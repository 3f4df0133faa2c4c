//! Where the figures come from: the agent, or the kernel's files themselves.

use std::path::Path;
use std::time::{Duration, Instant};

use pw_agent::Status;
use pw_agent::collect::{Collector, Picture};
use pw_host::{Host, facts};

use crate::governed;
use crate::session::Session;
use crate::stop::Stop;

/// Containers come and go.
const KNOWN: Duration = Duration::from_secs(5);

/// A look at everything, and what the agent says.
pub(super) struct Seen {
    pub(super) picture: Picture,
    pub(super) status: Option<Status>,
}

pub(super) struct Source<'s> {
    session: &'s Session,
    host: Host,
    collector: Collector,
    known: Instant,
}

impl<'s> Source<'s> {
    /// # Errors
    /// No agent runs, and the engine does not answer.
    pub(super) async fn new(session: &'s Session) -> Result<Self, Stop> {
        let host = session.host();
        let disks = facts::disks(host.engine(), Path::new(session.layout.root())).await;
        let mut collector = Collector::new(&session.config, &session.layout, disks);
        if governed::read(session).is_none() {
            collector.know(host.engine().running(&session.config.project).await?);
        }
        Ok(Self { session, host, collector, known: Instant::now() })
    }

    /// The agent's picture; without an agent one of our own.
    pub(super) async fn next(&mut self) -> Seen {
        let mut status = governed::read(self.session);
        if let Some(picture) = status.as_mut().and_then(|status| status.picture.take()) {
            return Seen { picture, status };
        }
        if self.known.elapsed() >= KNOWN
            && let Ok(running) = self.host.engine().running(&self.session.config.project).await
        {
            self.collector.know(running);
            self.known = Instant::now();
        }
        Seen { picture: self.collector.look(), status }
    }
}
