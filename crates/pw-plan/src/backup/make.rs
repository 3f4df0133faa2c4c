//! `backup`: data and configuration of one environment into a repository.

use std::collections::BTreeMap;

use pw_model::diagnostic::Diagnostic;

use crate::step::{Action, BackupRun, Kept, LogHold, LogRun, Plan, Step, Undo};

/// What is to be backed up, and what is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub run: BackupRun,
    pub kept: Kept,
    pub has_key: bool,
    pub has_repository: bool,
    /// Of the repository that the folder holds; `None` when it holds none, or when there is no key to ask it.
    pub found: Option<String>,
    /// True when the user asked for a repository other than the remembered one.
    pub new_repository: bool,
    /// Servers whose log is not held back yet, or no longer.
    pub hold: Vec<LogHold>,
    /// Servers whose log nobody wants any more.
    pub release: Vec<LogHold>,
    /// What is taken of the log, after the data.
    pub log: Option<LogRun>,
}

/// Steps of a backup. The environment itself is only read.
///
/// # Errors
/// The repository was made with a key that is not here: a new one would not open it. Or the remembered repository is
/// not there: a disk that is not mounted must not become a new repository in silence.
pub fn plan(order: &Order) -> Result<Plan, Box<Diagnostic>> {
    let run = &order.run;
    if order.has_repository && !order.has_key {
        return Err(Box::new(no_key(run)));
    }
    same_repository(order)?;
    let mut steps = Vec::new();
    if !order.has_key {
        // The key stays whatever becomes of the backup: a repository that it opened would be lost without it.
        let does = Action::MakeKey { path: run.repository.key.clone() };
        steps.push(Step::new(does, Undo::Nothing, "nobody reads a backup without it"));
    }
    if !order.has_repository {
        let does = Action::MakeRepository { repository: run.repository.clone() };
        let because = if order.new_repository { "a new one was asked for" } else { "it is the first backup" };
        steps.push(Step::new(does, Undo::Nothing, because));
    }
    for hold in &order.hold {
        let does = Action::HoldLog { hold: Box::new(hold.clone()) };
        let because =
            if hold.is_held { "`log.hold` says how much" } else { "`backup.log` asks for every second" };
        steps.push(Step::new(does, Undo::by(hold.back()), because));
    }
    let back = Action::RemoveBackup { repository: run.repository.clone(), name: run.name.clone() };
    let does = Action::MakeBackup { backup: Box::new(run.clone()) };
    steps.push(Step::new(does, Undo::by(back), "one moment of all databases, then everything beside them"));
    steps.extend(order.log.iter().map(take_log));
    for hold in &order.release {
        let back = Undo::by(Action::HoldLog { hold: Box::new(hold.clone()) });
        let does = Action::ReleaseLog { hold: Box::new(hold.clone()) };
        steps.push(Step::new(does, back, "there is no `backup.log` any more"));
    }
    Ok(Plan {
        operation: "backup".to_owned(),
        project: run.project.clone(),
        environment: run.environment.clone(),
        basis: crate::hash(&format!("{order:?}")),
        steps,
        texts: BTreeMap::new(),
    })
}

/// What follows a backup, by itself: the backup is whole, whether older ones can be forgotten or not.
pub fn forget(order: &Order) -> Plan {
    let run = &order.run;
    let forget = Action::ForgetBackups {
        repository: run.repository.clone(),
        project: run.project.clone(),
        environment: run.environment.clone(),
        kept: order.kept.clone(),
        prune: false,
    };
    Plan {
        operation: "forget".to_owned(),
        project: run.project.clone(),
        environment: run.environment.clone(),
        basis: crate::hash(&format!("{order:?}")),
        // What is forgotten was not to stay: who is cut off goes on the next time.
        steps: vec![Step::new(forget, Undo::Nothing, "`backup.keep` says how many stay")],
        texts: BTreeMap::new(),
    }
}

/// The plan that takes only the log: often, for it is little.
///
/// # Errors
/// The remembered repository is not there.
pub fn log_plan(order: &Order, log: &LogRun) -> Result<Plan, Box<Diagnostic>> {
    same_repository(order)?;
    Ok(Plan {
        operation: "backup".to_owned(),
        project: log.project.clone(),
        environment: log.environment.clone(),
        basis: crate::hash(&format!("{log:?}")),
        steps: vec![take_log(log)],
        texts: BTreeMap::new(),
    })
}

fn take_log(log: &LogRun) -> Step {
    let does = Action::TakeLog { log: Box::new(log.clone()) };
    Step::new(does, Undo::Nothing, "the servers forget it only when the repository has it")
}

/// Whether the backup goes where the former ones went.
fn same_repository(order: &Order) -> Result<(), Box<Diagnostic>> {
    let place = &order.run.repository;
    let (Some(known), false) = (&place.id, order.new_repository) else { return Ok(()) };
    if order.found.as_ref() == Some(known) {
        return Ok(());
    }
    let (message, there) = match &order.found {
        None => (format!("there is no repository in `{}`", place.path), "nothing".to_owned()),
        Some(found) => (format!("`{}` holds another repository", place.path), format!("{:.8}", found)),
    };
    Err(Box::new(
        Diagnostic::error(message)
            .because(format!("backups went into the repository {known:.8}, and the folder holds {there}"))
            .hint(format!(
                "mount the disk that holds it; or keep backups here from now on: `partywall backup {} --new-repository`",
                order.run.environment
            )),
    ))
}

fn no_key(run: &BackupRun) -> Diagnostic {
    let (path, key) = (&run.repository.path, &run.repository.key);
    Diagnostic::error(format!("the key of the repository `{path}` is missing"))
        .because(format!("there is a repository, and no file `{key}`"))
        .hint(format!("put the key that you kept outside this machine there: `install -m 600 KEY {key}`; or name another repository"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::RepositoryPlace;

    fn order(has_key: bool, has_repository: bool) -> Order {
        let place = |name: &str| format!("/{name}");
        let repository =
            RepositoryPlace { path: place("repository"), key: place("key"), lock: place("lock"), id: None };
        let run = BackupRun {
            repository,
            name: "20260101-000000".into(),
            project: "shop".into(),
            environment: "production".into(),
            databases: BTreeMap::new(),
            folders: BTreeMap::new(),
            files: BTreeMap::new(),
            release: BTreeMap::new(),
            bases: BTreeMap::new(),
        };
        let kept = Kept::default();
        Order {
            run,
            kept,
            has_key,
            has_repository,
            found: None,
            new_repository: false,
            hold: Vec::new(),
            release: Vec::new(),
            log: None,
        }
    }

    #[test]
    fn a_repository_that_is_away_is_not_made_anew() {
        let mut away = order(true, false);
        away.run.repository.id = Some("0123456789".into());
        let told = plan(&away).expect_err("refused").to_string();
        assert!(told.contains("there is no repository in `/repository`"), "{told}");
        assert!(
            told.contains("backups went into the repository 01234567, and the folder holds nothing"),
            "{told}"
        );
        let other = Order { has_repository: true, found: Some("another-one".into()), ..away.clone() };
        let told = plan(&other).expect_err("refused").to_string();
        assert!(told.contains("`/repository` holds another repository"), "{told}");
        let asked = Order { new_repository: true, ..away.clone() };
        assert!(plan(&asked).expect("a plan").to_string().starts_with("1. make repository /repository"));
        let there = Order { has_repository: true, found: away.run.repository.id.clone(), ..away };
        assert_eq!(plan(&there).expect("a plan").steps.len(), 1);
    }

    #[test]
    fn the_first_backup_makes_its_key() {
        let plan = plan(&order(false, false)).expect("a plan");
        assert_eq!(
            plan.to_string(),
            "1. make key /key | undo: - | nobody reads a backup without it\n\
             2. make repository /repository | undo: - | it is the first backup\n\
             3. back production up as 20260101-000000: configuration | undo: remove backup 20260101-000000 from /repository | one moment of all databases, then everything beside them\n"
        );
        assert_eq!(
            forget(&order(true, true)).to_string(),
            "1. forget old backups in /repository | undo: - | `backup.keep` says how many stay\n"
        );
        assert!(plan.lint().is_ok());
    }

    #[test]
    fn a_new_key_is_never_made_for_an_old_repository() {
        let told = plan(&order(false, true)).expect_err("refused").to_string();
        assert!(told.contains("the key of the repository `/repository` is missing"), "{told}");
        assert_eq!(plan(&order(true, true)).expect("a plan").steps.len(), 1);
    }
}
