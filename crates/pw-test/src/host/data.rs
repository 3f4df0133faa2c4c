//! What the steps of a seed do to databases, caches and files, and when they are refused.

use std::collections::{BTreeMap, BTreeSet};

use pw_model::observed::State;
use pw_plan::Action;
use pw_plan::step::{CachePlace, DatabasePlace, SampleRun, SourcePlace, VaultPlace, VaultRun};

use super::FakeHost;
use super::act::{Refusal, need};
use super::world::FakeVault;

fn server(place: &DatabasePlace) -> String {
    format!("{}/{}", place.project, place.service)
}

impl FakeHost {
    pub(super) fn do_seed(&mut self, action: &Action) -> Refusal {
        match action {
            Action::SampleDatabase { sample } => self.sample(sample),
            Action::RewriteRows { database, hash } => self.rewrite(database, hash),
            Action::RenameDatabases { server, renames } => self.rename(server, renames),
            Action::RemoveDatabases { server: place, names } => {
                self.runs(&place.project, &place.service)?;
                let there = self.world.databases.entry(server(place)).or_default();
                there.retain(|name, _| !names.contains(name));
                Ok(())
            }
            Action::LoadDump { server, .. } => {
                self.runs(&server.compose.project, &server.service)?;
                let place = format!("{}/{}", server.compose.project, server.service);
                let there = self.world.databases.entry(place).or_default();
                there.insert(server.database.clone(), "what was backed up".to_owned());
                Ok(())
            }
            Action::LookAtSample { from, rules, .. } => {
                need(self.store.contains(rules), || "the rules are not stored".to_owned())?;
                let there = self.databases(from)?.contains_key(&from.name);
                need(there, || format!("there is no {from}"))
            }
            Action::TakeFiles { take } => self.take(&take.database, &take.vault),
            Action::StageFiles { database, vault } => self.stage(database, vault),
            Action::SwitchFiles { vault } => self.switch(vault),
            Action::SwitchFilesBack { vault } => {
                let there = self.vault(&vault.to)?;
                if let Some(aside) = there.aside.take() {
                    there.staged = Some(std::mem::replace(&mut there.files, aside));
                }
                Ok(())
            }
            Action::RemoveStaged { vault } => {
                let there = self.vault(&vault.to)?;
                (there.staged, there.aside) = (None, None);
                Ok(())
            }
            Action::SetCacheAside { cache, numbers }
            | Action::BringCacheBack { cache, numbers }
            | Action::RemoveCacheAside { cache, numbers } => self.cache(action, cache, numbers),
            other => self.do_restore(other),
        }
    }

    fn do_restore(&mut self, action: &Action) -> Refusal {
        match action {
            Action::RestoreBase { base } => self.runs(&base.project, &base.service),
            Action::CopyRestored { from, like, to } => {
                self.runs(&from.compose.project, &from.service)?;
                self.make_database(like, to)
            }
            Action::RestoreDatabase { like, to, .. } | Action::RestoreTable { like, to, .. } => {
                self.make_database(like, to)
            }
            Action::PlaceTable { from, to, schema, .. } => {
                let there = self.databases(to)?;
                need(there.contains_key(&from.name), || format!("there is no database {}", from.name))?;
                need(there.contains_key(&to.name), || format!("there is no database {}", to.name))?;
                there.insert(format!("{}.{schema}", to.name), "restored".to_owned());
                Ok(())
            }
            Action::MakeRoles { server: place, names, .. } => {
                let there = self.databases(place)?;
                there.extend(names.iter().map(|name| (format!("role {name}"), "restored".to_owned())));
                Ok(())
            }
            Action::RemoveRoles { server: place, names } => {
                let there = self.databases(place)?;
                // A server removes no role that something belongs to.
                need(!there.keys().any(|name| name.contains("partywall_restored")), || {
                    "it owns a database".to_owned()
                })?;
                there.retain(|name, _| !names.iter().any(|role| *name == format!("role {role}")));
                Ok(())
            }
            Action::CopyRepository { .. } => Ok(()),
            Action::RemovePlaced { from, schema } => {
                self.databases(from)?.remove(&format!("{}.{schema}", from.name));
                Ok(())
            }
            Action::RestoreFolder { into, .. } | Action::RestorePath { into, .. } => {
                let files = BTreeSet::from(["restored".to_owned()]);
                self.world.vaults.insert(into.clone(), FakeVault { files, ..FakeVault::default() });
                Ok(())
            }
            Action::RemoveRestored { path } => {
                self.world.vaults.remove(path);
                Ok(())
            }
            Action::SwapFolders { path, new, aside } => {
                let vaults = &mut self.world.vaults;
                let Some(there) = vaults.remove(new) else { return Ok(()) };
                if let Some(former) = vaults.insert(path.clone(), there) {
                    vaults.insert(aside.clone(), former);
                }
                Ok(())
            }
            promotion => self.do_promote(promotion),
        }
    }

    fn make_database(&mut self, like: &str, to: &DatabasePlace) -> Refusal {
        let there = self.databases(to)?;
        need(there.contains_key(like), || format!("there is no database {like}"))?;
        there.insert(to.name.clone(), "restored".to_owned());
        Ok(())
    }

    fn runs(&self, project: &str, service: &str) -> Refusal {
        let up = self.world.of(project, service).any(|container| container.state == State::Running);
        need(up, || format!("{service} of {project} does not run"))
    }

    fn databases(&mut self, place: &DatabasePlace) -> Result<&mut BTreeMap<String, String>, String> {
        self.runs(&place.project, &place.service)?;
        let server = server(place);
        self.world.databases.get_mut(&server).ok_or_else(|| format!("{server} has no databases"))
    }

    fn sample(&mut self, sample: &SampleRun) -> Refusal {
        need(self.store.contains(&sample.rules), || "the rules are not stored".to_owned())?;
        need(self.world.files.contains_key(&sample.key), || "there is no key".to_owned())?;
        let from = match &sample.from {
            SourcePlace::Database(place) => self.databases(place)?.get(&place.name).cloned(),
            SourcePlace::Server { .. } => Some("rows of production".to_owned()),
        };
        let from = from.ok_or_else(|| format!("there is no {}", sample.from))?;
        let ours = self.databases(&sample.to)?;
        ours.insert(sample.scratch.clone(), format!("sample of {from}"));
        let folder = sample.record.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        need(self.world.folders.contains(&folder), || format!("there is no folder {folder}"))?;
        self.world.files.insert(sample.record.clone(), "record".to_owned());
        Ok(())
    }

    fn rewrite(&mut self, place: &DatabasePlace, hash: &str) -> Refusal {
        need(self.store.contains(hash), || "the rewrites are not stored".to_owned())?;
        let content = self.databases(place)?.get_mut(&place.name);
        let content = content.ok_or_else(|| format!("there is no {place}"))?;
        if !content.ends_with(", rewritten") {
            content.push_str(", rewritten");
        }
        Ok(())
    }

    fn rename(&mut self, place: &DatabasePlace, renames: &[(String, String)]) -> Refusal {
        let mut after = self.databases(place)?.clone();
        if renames.last().is_none_or(|(from, _)| !after.contains_key(from)) {
            return Ok(());
        }
        self.nobody_uses(place)?;
        for (from, to) in renames {
            let content = after.remove(from).ok_or_else(|| format!("there is no database {from}"))?;
            need(after.insert(to.clone(), content).is_none(), || format!("there is a database {to}"))?;
        }
        *self.databases(place)? = after;
        Ok(())
    }

    /// A database that somebody holds open keeps its name.
    fn nobody_uses(&self, place: &DatabasePlace) -> Refusal {
        let needs = |service: &str| {
            let sketches = self.known.values().filter_map(|known| known.services.get(service));
            sketches.into_iter().any(|sketch| sketch.needs.contains(&place.service))
        };
        let ours = self.world.containers.values().filter(|one| one.project == place.project);
        let mut users = ours.filter(|one| one.state == State::Running && needs(&one.service));
        let user = users.next();
        need(user.is_none(), || format!("{:?} holds {} open", user.map(|one| &one.service), place.name))
    }

    fn vault(&mut self, place: &VaultPlace) -> Result<&mut FakeVault, String> {
        let VaultPlace::Folder { path } = place;
        self.world.vaults.get_mut(path).ok_or_else(|| format!("there is no {path}"))
    }

    fn take(&mut self, place: &DatabasePlace, vault: &VaultRun) -> Refusal {
        need(self.databases(place)?.contains_key(&place.name), || format!("there is no {place}"))?;
        let VaultPlace::Folder { path } = &vault.from;
        let files = BTreeSet::from(["backed up".to_owned()]);
        self.world.vaults.insert(path.clone(), FakeVault { files, ..FakeVault::default() });
        Ok(())
    }

    fn stage(&mut self, place: &DatabasePlace, vault: &VaultRun) -> Refusal {
        need(self.databases(place)?.contains_key(&place.name), || format!("there is no {place}"))?;
        if let Some(former) = &vault.former {
            need(self.world.files.contains_key(former), || format!("there is no {former}"))?;
        }
        let named: BTreeSet<String> = self.vault(&vault.from)?.files.iter().take(1).cloned().collect();
        let there = self.vault(&vault.to)?;
        need(there.aside.is_none(), || "what a seed set aside is still there".to_owned())?;
        there.staged = Some(named);
        self.world.files.insert(vault.manifest.clone(), "manifest".to_owned());
        Ok(())
    }

    fn switch(&mut self, vault: &VaultRun) -> Refusal {
        let there = self.vault(&vault.to)?;
        match there.staged.take() {
            Some(staged) => there.aside = Some(std::mem::replace(&mut there.files, staged)),
            None => need(there.aside.is_some(), || "nothing is staged".to_owned())?,
        }
        Ok(())
    }

    fn cache(&mut self, action: &Action, place: &CachePlace, numbers: &[(u32, u32)]) -> Refusal {
        self.runs(&place.project, &place.service)?;
        let there = self.world.caches.entry(format!("{}/{}", place.project, place.service)).or_default();
        for (from, to) in numbers {
            match action {
                Action::SetCacheAside { .. } if !there.contains_key(to) => {
                    let content = there.remove(from).unwrap_or_default();
                    there.insert(*to, content);
                }
                Action::BringCacheBack { .. } => {
                    let back = there.remove(to).map(|content| there.insert(*from, content));
                    drop(back);
                }
                Action::RemoveCacheAside { .. } => drop(there.remove(to)),
                _ => {}
            }
        }
        Ok(())
    }
}
