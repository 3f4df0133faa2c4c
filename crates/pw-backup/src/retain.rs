//! Which backups stay, and what becomes of the room that the others took.

use jiff::Zoned;
use pw_plan::step::Kept;
use pw_run::Failure;
use rustic_core::{KeepOptions, PruneOptions};

use crate::failure::failed;
use crate::log::of_environment;
use crate::repository::Repository;

/// Removes what is not kept of one environment; answers the names. Room is given back when nobody can be reading any
/// more what was in it, a day later.
///
/// # Errors
/// The repository cannot be written.
pub fn forget(repository: &Repository, environment: &str, kept: Kept) -> Result<Vec<String>, Failure> {
    let _writing = repository.writing()?;
    let what = || format!("could not forget old backups in `{}`", repository.place.path);
    let open = repository.open()?;
    let tag = format!("environment:{environment}");
    let ours = repository.whole(&open)?.into_iter().filter(|one| one.tags.contains(&tag)).collect();
    let judged = options(kept).apply(ours, &Zoned::now()).map_err(failed(what()))?;
    let oldest = judged.iter().filter(|one| one.keep).map(|one| one.snapshot.label.clone()).min();
    let gone: Vec<_> = judged.into_iter().filter(|one| !one.keep).map(|one| one.snapshot).collect();
    let mut ids: Vec<_> = gone.iter().map(|one| one.id).collect();
    // A log is played onto what was backed up before it.
    if let Some(oldest) = oldest {
        let logs = of_environment(repository.snapshots(&open)?, environment);
        ids.extend(logs.into_iter().filter(|one| one.label < oldest).map(|one| one.id));
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    open.delete_snapshots(&ids).map_err(failed(what()))?;
    let prune = PruneOptions::default();
    let plan = open.prune_plan(&prune).map_err(failed(what()))?;
    open.prune(&prune, plan).map_err(failed(what()))?;
    Ok(gone.into_iter().map(|one| one.label).collect())
}

/// The newest always stays.
fn options(kept: Kept) -> KeepOptions {
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
