//! `destroy`: remove an environment with its data. What cannot be undone comes last.

use pw_model::desired::Desired;
use pw_model::diagnostic::Diagnostic;
use pw_model::observed::Observed;

use crate::parts::Draft;
use crate::step::{Action, Plan, Undo};

/// Steps of `down`, then control group, site, volumes and files.
pub fn plan(desired: &Desired, observed: &Observed) -> Result<Plan, Box<Diagnostic>> {
    let mut draft = Draft::new(desired, observed)?;
    draft.take_down("volumes and files go after them");
    draft.remove_group();
    draft.remove_site();
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

    /// The names of the project's sites go with its last environment.
    fn remove_site(&mut self) {
        let Some(proxy) = &self.desired.proxy else { return };
        let path = proxy.site_file.path.clone();
        let Some(hash) = self.observed.files.get(&path).filter(|_| self.observed.neighbours.is_empty())
        else {
            return;
        };
        let because = "no environment of the project is left";
        let (keep, back) = (
            Action::KeepFile { path: path.clone(), hash: hash.clone() },
            Action::InstallFile { path: path.clone(), hash: hash.clone() },
        );
        self.step(keep, Undo::Nothing, "for the way back");
        self.step(Action::RemoveFile { path }, Undo::by(back.clone()), because);
        // A Caddy of the user's own that does not answer must not keep an environment from going.
        if proxy.external_admin.is_none() || self.observed.proxy.current {
            let load =
                Action::LoadProxy { folder: proxy.folder.clone(), admin: proxy.external_admin.clone() };
            self.step(load.clone(), Undo::By { actions: vec![back, load] }, because);
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
        let folders = [
            (&self.desired.state_folder, "asked for by `destroy`"),
            (&self.desired.store_folder, "kept texts hold secrets"),
        ];
        for (folder, because) in folders.map(|(folder, because)| (folder.clone(), because)) {
            // This very plan may keep a text there.
            let keeps = folder == self.desired.store_folder
                && self.steps.iter().any(|step| matches!(step.does, Action::KeepFile { .. }));
            if keeps || self.observed.folders.contains(&folder) {
                self.step(Action::RemoveTree { path: folder }, lost(), because);
            }
        }
    }
}
