use super::*;

/// A Sunday, at midnight.
const BEGIN: i64 = 1_700_006_400;

fn file(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("metrics.db")
}

fn sample(at: i64, subject: &str, values: &[Option<u64>]) -> Sample {
    Sample { at, subject: subject.to_owned(), values: values.to_vec() }
}

#[test]
fn a_minute_and_an_hour_are_the_mean_and_the_most_of_their_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut metrics = Metrics::open(&file(&folder)).expect("opens");
    // The agent ends in the middle of a minute, and another goes on.
    let value = |at: i64| (at * 7919 % 1000).unsigned_abs();
    for (from, to) in [(0, 1810), (1815, 7300)] {
        let samples: Vec<Sample> = (from..to)
            .map(|at| sample(BEGIN + at, "p", &[Some(value(at)), (at % 2 == 0).then_some(5)]))
            .collect();
        samples.chunks(60).for_each(|batch| metrics.write(batch).expect("writes"));
        drop(metrics);
        metrics = Metrics::open(&file(&folder)).expect("opens again");
    }
    let reader = Metrics::open_read_only(&file(&folder)).expect("opens").expect("is there");
    let seconds = |from: i64, to: i64| (from..to).filter(|at| !(1810..1815).contains(at)).map(value);
    for (tier, from, to) in [(Tier::Minute, 1800, 1860), (Tier::Minute, 60, 120), (Tier::Hour, 0, 3600)] {
        let points = reader.read(tier, "p", (BEGIN + from, BEGIN + to)).expect("reads");
        let [(at, figures)] = &points[..] else { panic!("{points:?}") };
        assert_eq!(*at, BEGIN + from);
        let all: Vec<u64> = seconds(from, to).collect();
        let wanted = Figure {
            sum: all.iter().sum(),
            max: all.iter().copied().max().expect("some"),
            seconds: all.len() as u64,
        };
        assert_eq!(figures[0], wanted, "{tier:?} from {from}");
        assert_eq!((figures[1].mean(), figures[1].max), (Some(5.0), 5), "what is not known does not count");
    }
    let hour = reader.read(Tier::Second, "p", (BEGIN, BEGIN + 7300)).expect("reads");
    assert_eq!(hour.last().map(|(at, _)| *at), Some(BEGIN + 7299));
    assert!((3600..3800).contains(&hour.len()), "{} seconds are kept", hour.len());
    assert_eq!(reader.read(Tier::Minute, "nobody", (0, i64::MAX)).expect("reads"), vec![]);
}

/// Noise without a random number: it must be the same each time.
fn noise(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 32)
}

/// What a container does: seven of fifteen figures move in every slot, by a tenth or so.
fn busy(subject: u64, slot: u64, step: u64) -> Vec<Figure> {
    let figure = |at: u64| {
        let base =
            [4000, 0, 300_000, 0, 0, 0, 0, 50_000, 90_000, 20_000, 60_000, 30, 500, 0, 100][at as usize];
        let mean = base + noise(subject << 40 | slot << 8 | at) % (base / 5 + 1);
        let max = mean * if step > 1 { 2 + noise(slot << 8 | at) % 3 } else { 1 };
        Figure { sum: mean * step, max, seconds: step }
    };
    (0..15).map(figure).collect()
}

/// A block of a subject. Every seventh is alike: what is to be measured is how many there are, and how large each is.
fn block(tier: Tier, start: i64, subject: i64) -> Block {
    let variant = (start / tier.span() % 7).unsigned_abs() << 16;
    let slots = 0..(tier.span() / tier.step()).unsigned_abs();
    let points =
        slots.map(|slot| (slot, busy(subject.unsigned_abs(), variant | slot, tier.step().unsigned_abs())));
    Block { points: points.collect() }
}

/// Promise: with twenty containers, two years take less than three quarters of the most that the file may take.
/// Given: a past of two years of every subject that twenty busy services of two environments have, in a real file.
/// Then: the file is that small, values are where they belong, and a minute more forgets what is too old.
#[test]
fn two_years_of_twenty_containers_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut metrics = Metrics::open(&file(&folder)).expect("opens");
    let now = BEGIN + Tier::Hour.kept() + 2 * Tier::Hour.span();
    // Twenty services, two environments and their databases, the machine, and what eight generations answered.
    let names: Vec<String> = (0..33).map(|number| format!("subject {number}")).collect();
    let samples: Vec<Sample> = names.iter().map(|name| sample(now, name, &[])).collect();
    let transaction = metrics.connection.transaction().expect("begins");
    let ids = subjects(&transaction, &samples).expect("subjects");
    for tier in Tier::ALL {
        let first = now - tier.kept() - 2 * tier.span();
        let first = first - first.rem_euclid(tier.span());
        let mut made: BTreeMap<(i64, i64), Vec<u8>> = BTreeMap::new();
        for start in (first..now - tier.span()).step_by(tier.span() as usize) {
            for id in ids.values() {
                let data = made
                    .entry((start / tier.span() % 7, *id))
                    .or_insert_with(|| block(tier, start, *id).encode());
                let query = "INSERT INTO blocks (tier, start, subject, data) VALUES (?, ?, ?, ?)";
                let row = params![tier.number(), start, id, &*data];
                transaction.prepare_cached(query).expect("a query").execute(row).expect("a row");
            }
        }
    }
    transaction.commit().expect("ends");
    let size = metrics.size().expect("a size");
    assert!((MOST / 4..MOST / 4 * 3).contains(&size), "{size} bytes");
    let before = metrics.read(Tier::Hour, &names[7], (0, now)).expect("reads");
    metrics.write(&samples).expect("writes");
    let after = metrics.read(Tier::Hour, &names[7], (0, now)).expect("reads");
    assert!(before.len() - after.len() >= 24, "nothing was forgotten");
    let (at, figures) = &after[1000];
    let into = at.rem_euclid(Tier::Hour.span());
    let own = block(Tier::Hour, at - into, ids[&names[7]]);
    assert_eq!(*figures, own.points[&(into / 3600).unsigned_abs()]);
    assert!(metrics.size().expect("a size") <= size, "it grows for ever");
    assert!(std::fs::metadata(file(&folder)).expect("a file").len() < MOST);
}

#[test]
fn a_file_that_is_too_large_loses_its_oldest_minutes_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut metrics = Metrics::open(&file(&folder)).expect("opens");
    metrics.most = 400 << 10;
    for hour in 0..24 * 6 {
        let samples: Vec<Sample> = (0..60)
            .map(|minute| {
                let values: Vec<_> = (0..15).map(|at| Some(noise(hour << 16 | minute << 8 | at))).collect();
                sample(BEGIN + (hour * 3600 + minute * 60).cast_signed(), "p", &values)
            })
            .collect();
        metrics.write(&samples).expect("writes");
    }
    assert!(metrics.size().expect("a size") <= 400 << 10);
    let read = |tier| metrics.read(tier, "p", (0, i64::MAX)).expect("reads");
    assert_eq!(read(Tier::Hour).len(), 24 * 6);
    let minutes = read(Tier::Minute);
    assert!(minutes.len() >= 24 * 60 && minutes.len() < 24 * 60 * 6, "{} minutes", minutes.len());
    assert!(minutes[0].0 > BEGIN && minutes.last().expect("some").0 == BEGIN + 24 * 6 * 3600 - 60);
}

#[test]
fn a_clock_from_the_future_forgets_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut metrics = Metrics::open(&file(&folder)).expect("opens");
    let minute = |at: i64| (at..at + 60).map(|at| sample(at, "p", &[Some(7)])).collect::<Vec<_>>();
    let century = 100 * 366 * 24 * 3600;
    for at in [BEGIN, BEGIN + century, BEGIN + 60] {
        metrics.write(&minute(at)).expect("writes");
    }
    for (tier, many) in [(Tier::Second, 120), (Tier::Minute, 2), (Tier::Hour, 1)] {
        let points = metrics.read(tier, "p", (BEGIN, BEGIN + 3600)).expect("reads");
        assert_eq!(points.len(), many, "{tier:?}");
        assert!(points.iter().all(|(_, figures)| figures[0].mean() == Some(7.0)), "{tier:?}: {points:?}");
    }
}
