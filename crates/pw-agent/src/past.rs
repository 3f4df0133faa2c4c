//! What of a picture is kept, under which name and in which unit; and what is read of it again.

use std::path::Path;

use pw_host::meter::{Field, Figures, MachineFigures, Used};
use pw_journal::metrics::{Figure, Metrics, Sample, Tier};
use pw_model::name::EnvironmentName;
use pw_plan::latency::Tally;
use pw_run::JournalFailure;

use crate::collect::{Answers, EnvironmentPicture, Picture};

/// The machine's own.
const MACHINE: &str = "machine";
/// A ten-thousandth of a processor, or of a second.
const FINE: f64 = 10_000.0;
/// The kernel counts memory in pages.
const KILOBYTE: f64 = 1024.0;

/// Every subject of one second; `rates` is a picture since the one before.
pub(crate) fn samples(rates: &Picture) -> Vec<Sample> {
    let at = rates.at.as_second();
    let mut samples = vec![Sample { at, subject: MACHINE.into(), values: values(&rates.machine) }];
    for (name, environment) in &rates.environments {
        let mut add = |subject: String, values| samples.push(Sample { at, subject, values });
        add(name.to_string(), of_environment(environment));
        for service in environment.services() {
            add(format!("{name}/{service}"), values(&environment.service(service)));
        }
        // One container is its service.
        for one in environment.containers.iter().filter(|one| !environment.is_alone(&one.service)) {
            add(format!("{name}/{}/{}", one.service, one.name), values(&one.used));
        }
        for one in &environment.answers {
            add(answers_of(name, one), of_tally(&one.tally));
        }
        for (database, figures) in &environment.databases {
            let values = vec![whole(figures.bytes / KILOBYTE), whole(figures.connections)];
            add(format!("{name} database {database}"), values);
        }
    }
    samples
}

fn answers_of(name: &EnvironmentName, one: &Answers) -> String {
    let generation = one.generation.map_or("", |generation| generation.as_str());
    format!("{name}/{} answers {generation}", one.service)
}

/// Its group's, and what it keeps on disk.
fn of_environment(environment: &EnvironmentPicture) -> Vec<Option<u64>> {
    let disk = environment.disk.map(|disk| [disk.volumes, disk.layers].map(|bytes| whole(bytes / KILOBYTE)));
    let mut all = values(&environment.used);
    all.extend(disk.unwrap_or_default());
    all
}

fn values<F: Figures>(figures: &F) -> Vec<Option<u64>> {
    F::FIELDS.iter().map(|field| (field.get)(figures).and_then(|value| whole(value * scale(field)))).collect()
}

/// Failures, duration, then the classes.
fn of_tally(tally: &Tally) -> Vec<Option<u64>> {
    let mut values = vec![Some(tally.failures), whole(tally.seconds * FINE)];
    let mut before = 0;
    for count in tally.within().map(|(_, count)| count).chain([tally.count()]) {
        values.push(Some(count - before));
        before = count;
    }
    values
}

fn whole(value: f64) -> Option<u64> {
    value.is_finite().then(|| value.round().max(0.0) as u64)
}

fn scale<F>(field: &Field<F>) -> f64 {
    match field.name {
        name if name.ends_with("_seconds") => FINE,
        name if name.ends_with("_bytes") && !field.is_counter => 1.0 / KILOBYTE,
        _ => 1.0,
    }
}

/// One slot of the past of an environment, as means of its seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Then {
    /// Seconds since 1970, at its beginning.
    pub at: i64,
    pub used: Used,
    /// CPUs in use in its worst second.
    pub most_cpus: Option<f64>,
}

/// What an environment used, oldest first; empty where no agent has kept it.
///
/// # Errors
/// The file is damaged, or may not be read.
pub fn of_environment_between(
    path: &Path,
    name: &EnvironmentName,
    tier: Tier,
    between: (i64, i64),
) -> Result<Vec<Then>, JournalFailure> {
    let Some(metrics) = Metrics::open_read_only(path)? else { return Ok(Vec::new()) };
    let points = metrics.read(tier, name.as_str(), between)?;
    Ok(points.into_iter().map(|(at, figures)| then(at, &figures)).collect())
}

/// What the machine was, as shares of its processors, oldest first.
///
/// # Errors
/// The file is damaged, or may not be read.
pub fn of_machine_between(
    path: &Path,
    tier: Tier,
    between: (i64, i64),
) -> Result<Vec<(i64, MachineFigures)>, JournalFailure> {
    let Some(metrics) = Metrics::open_read_only(path)? else { return Ok(Vec::new()) };
    let points = metrics.read(tier, MACHINE, between)?;
    Ok(points.into_iter().map(|(at, figures)| (at, means(&figures))).collect())
}

fn then(at: i64, figures: &[Figure]) -> Then {
    let cpu = figures.first().filter(|figure| figure.seconds > 0);
    Then { at, used: means(figures), most_cpus: cpu.map(|figure| figure.max as f64 / FINE) }
}

fn means<F: Figures>(figures: &[Figure]) -> F {
    let mut all = F::default();
    for (field, figure) in F::FIELDS.iter().zip(figures) {
        (field.set)(&mut all, figure.mean().map(|mean| mean / scale(field)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::Container;
    use pw_model::config::Class;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_kept_is_read_again_in_its_own_units() {
        let mut tally = Tally::default();
        tally.take(0.5, true, false);
        let used = Used {
            cpu_seconds: Some(1.2345),
            memory_bytes: Some(3.0 * 4096.0),
            written_bytes: Some(1001.0),
            processes: Some(7.0),
            ..Used::default()
        };
        let container = |name: &str| Container { service: "web".into(), name: name.into(), used };
        let production = EnvironmentPicture {
            class: Class::Production,
            used,
            containers: vec![
                container("a"),
                container("b"),
                Container { service: "db".into(), ..container("c") },
            ],
            answers: vec![Answers { service: "web".into(), generation: None, tally }],
            disk: None,
            databases: BTreeMap::new(),
        };
        let name = EnvironmentName::parse("production").expect("a name");
        let picture =
            Picture { environments: BTreeMap::from([(name.clone(), production)]), ..Picture::default() };
        let samples = samples(&picture);
        let subjects: Vec<&str> = samples.iter().map(|sample| sample.subject.as_str()).collect();
        assert_eq!(
            subjects,
            [
                "machine",
                "production",
                "production/db",
                "production/web",
                "production/web/a",
                "production/web/b",
                "production/web answers ",
            ]
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("metrics.db");
        Metrics::open(&path).expect("opens").write(&samples).expect("writes");
        let all = of_environment_between(&path, &name, Tier::Hour, (0, 3600)).expect("reads");
        assert_eq!(all, [Then { at: 0, used, most_cpus: Some(1.2345) }]);
        let answers = samples.last().expect("answers");
        assert_eq!(answers.values.iter().flatten().sum::<u64>(), 1 + 5000 + 1);
    }
}
