//! The agent of a story.

use std::process::{Child, Command};

use super::{Story, Told, finished};

/// An agent that does not outlive its story.
pub(crate) struct Agent(Option<Child>);

impl Agent {
    pub(crate) fn start(story: &Story) -> Self {
        Self::of(story.start(&["agent", "run"]))
    }

    pub(crate) fn of(child: Child) -> Self {
        Self(Some(child))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    /// As when the kernel ends it: no time for anything.
    pub(crate) fn kill(mut self) {
        let mut child = self.0.take().expect("an agent");
        child.kill().expect("killed");
        child.wait().expect("its end");
    }

    pub(crate) fn end(mut self) -> Told {
        let child = self.0.take().expect("an agent");
        let told = Command::new("kill").arg(child.id().to_string()).status();
        assert!(told.is_ok_and(|status| status.success()));
        finished(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            drop(child.kill());
        }
    }
}
