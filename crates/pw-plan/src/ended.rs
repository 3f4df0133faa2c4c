//! What is true of an operation that was taken back. Most leave everything as before; some have left what nobody misses.

use crate::step::{Action, Plan};
use crate::{backup, promote, rehearse, room, seed};

impl Plan {
    /// One sentence without its full stop, for after "is taken back".
    pub fn taken_back(&self) -> String {
        let environment = &self.environment;
        let is_first = self.steps.iter().any(|step| matches!(step.does, Action::MakeRepository { .. }));
        let only_log = self.steps.iter().all(|step| matches!(step.does, Action::TakeLog { .. }));
        match self.operation.as_str() {
            rehearse::OPERATION | backup::drill::OPERATION | seed::backup::LOOK => {
                format!("nothing is left of the scratch place, and `{environment}` was only read")
            }
            "backup" if only_log => {
                "what of the log has not come into the repository is still with its server".to_owned()
            }
            "backup" if is_first => {
                format!("there is no new backup in the new repository, and `{environment}` was only read")
            }
            "backup" => format!("there is no new backup, and `{environment}` was only read"),
            "copy" => "the repository is as before; of the copy, what was begun stays, and the next one completes it".to_owned(),
            promote::build::OPERATION => {
                format!("what was built stays in the engine, and `{environment}` is as before")
            }
            room::OPERATION => "what is gone already was nobody's".to_owned(),
            promote::prune::OPERATION => "images that are gone already are built again when they are needed".to_owned(),
            _ => "everything is as before".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::RepositoryPlace;

    #[test]
    fn each_operation_says_what_is_true_of_it() {
        let repository = RepositoryPlace { path: "/r".into(), key: "/k".into(), lock: "/l".into(), id: None };
        let copy = backup::copy::plan(&repository, ("shop", "production"), "away:shop");
        assert!(copy.taken_back().starts_with("the repository is as before; of the copy,"));
        let of = |operation: &str| Plan { operation: operation.to_owned(), ..copy.clone() }.taken_back();
        assert_eq!(of("backup"), "there is no new backup, and `production` was only read");
        assert_eq!(of("drill"), "nothing is left of the scratch place, and `production` was only read");
        assert_eq!(of("restore"), "everything is as before");
    }
}
