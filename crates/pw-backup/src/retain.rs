//! Which backups stay, and what becomes of the room that the others took.

use jiff::Zoned;
use pw_plan::step::Kept;
use pw_run::Failure;
use rustic_core::repofile::SnapshotFile;
use rustic_core::{KeepOptions, PruneOptions};

use crate::failure::failed;
use crate::log::of_environment;
use crate::repository::Repository;

/// Project and environment: several projects may keep what is theirs in one repository.
type Of<'a> = (&'a str, &'a str);

/// Names of the backups of one environment that are not kept, the oldest first; nothing is removed.
///
/// # Errors
/// The repository cannot be read.
pub fn surplus(repository: &Repository, of: Of<'_>, kept: &Kept) -> Result<Vec<String>, Failure> {
    let mut names: Vec<String> = judged(repository, of, kept)?.1.into_iter().map(|one| one.label).collect();
    names.sort();
    Ok(names)
}

/// Removes what is not kept of one environment; answers the names. Room is given back when nobody can be reading any
/// more what was in it, a day later; where nothing is removed, only if `prune` asks for it.
///
/// # Errors
/// The repository cannot be written.
pub fn forget(
    repository: &Repository,
    of: Of<'_>,
    (kept, prune): &(Kept, bool),
) -> Result<Vec<String>, Failure> {
    let _writing = repository.writing()?;
    let what = || format!("could not forget old backups in `{}`", repository.place.path);
    let open = repository.open()?;
    let (oldest, gone) = judged(repository, of, kept)?;
    let mut ids: Vec<_> = gone.iter().map(|one| one.id).collect();
    // A log is played onto what was backed up before it.
    if let Some(oldest) = oldest {
        let logs = of_environment(repository.snapshots(&open)?, of.1);
        let logs = logs.into_iter().filter(|one| is_of(one, of));
        ids.extend(logs.filter(|one| one.label < oldest).map(|one| one.id));
    }
    if ids.is_empty() && !*prune {
        return Ok(Vec::new());
    }
    open.delete_snapshots(&ids).map_err(failed(what()))?;
    let options = PruneOptions::default();
    let plan = open.prune_plan(&options).map_err(failed(what()))?;
    open.prune(&options, plan).map_err(failed(what()))?;
    Ok(gone.into_iter().map(|one| one.label).collect())
}

/// The name of the oldest that stays, and those that do not.
fn judged(
    repository: &Repository,
    of: Of<'_>,
    kept: &Kept,
) -> Result<(Option<String>, Vec<SnapshotFile>), Failure> {
    let what = format!("could not tell old backups in `{}`", repository.place.path);
    let all = repository.whole(&repository.open()?)?;
    let ours = all.into_iter().filter(|one| is_of(one, of)).collect();
    let judged = options(kept).apply(ours, &Zoned::now()).map_err(failed(what))?;
    let (stay, gone): (Vec<_>, Vec<_>) =
        judged.into_iter().partition(|one| one.keep || kept.points.contains(&one.snapshot.label));
    let oldest = stay.into_iter().map(|one| one.snapshot.label).min();
    Ok((oldest, gone.into_iter().map(|one| one.snapshot).collect()))
}

fn is_of(one: &SnapshotFile, (project, environment): Of<'_>) -> bool {
    let tags = [format!("project:{project}"), format!("environment:{environment}")];
    tags.iter().all(|tag| one.tags.contains(tag))
}

/// The newest always stays.
fn options(kept: &Kept) -> KeepOptions {
    let some = |count: u32| (count > 0).then(|| i32::try_from(count).unwrap_or(i32::MAX));
    let mut options = KeepOptions::default();
    options.keep_last = some(kept.last.max(1));
    options.keep_hourly = some(kept.hourly);
    options.keep_daily = some(kept.daily);
    options.keep_weekly = some(kept.weekly);
    options.keep_monthly = some(kept.monthly);
    options.keep_yearly = some(kept.yearly);
    options
}
