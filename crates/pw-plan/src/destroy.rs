//! `destroy`: remove an environment with its data. What cannot be undone comes last.

use pw_model::desired::Desired;
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::Observed;

use crate::parts::Draft;
use crate::step::{Action, Plan, Undo};

/// Steps of `down`, then control group, files and volumes.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan, Box<Diagnostic>> {
    let mut draft = Draft::new(desired, observed)?;
    draft.take_down();
    draft.remove_group();
    draft.remove_data();
    Ok(draft.finish("destroy"))
}

impl Draft<'_> {
    fn remove_group(&mut self) {
        if let Some(limits) = &self.observed.group {
            let back = Undo::by(Action::LimitGroup { limits: limits.clone() });
            self.step(Action::RemoveGroup { path: limits.path.clone() }, back, "nothing runs in it any more");
        }
    }

    fn remove_data(&mut self) {
        let lost = || Undo::Impossible { saved_as: None };
        let names: Vec<String> = self
            .desired
            .volumes
            .iter()
            .filter(|name| self.observed.volumes.contains(*name))
            .cloned()
            .collect();
        if !names.is_empty() {
            let project = self.desired.compose_project.clone();
            self.step(Action::RemoveVolumes { project, names }, lost(), "asked for by `destroy`");
        }
        let folder = self.desired.state_folder.clone();
        if self.observed.folders.contains(&folder) {
            self.step(Action::RemoveTree { path: folder }, lost(), "asked for by `destroy`");
        }
    }
}
