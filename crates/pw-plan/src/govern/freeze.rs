//! The last lever: an environment stands still for some seconds, or until the disk has room.

use std::time::Duration;

use super::Mood;
use super::feeling::Feeling;

/// Help is needed so long, with all other levers at their end, before it comes to this.
const ENDURED: Duration = Duration::from_secs(3);
/// Nobody is frozen longer, unless the disk is full: programs lose their connections.
const LONGEST: Duration = Duration::from_secs(5);
const CALM: Duration = Duration::from_secs(1);
/// Between two times; it doubles while freezing does not help.
const FIRST_REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(900);

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Ice {
    frozen: Option<Frozen>,
    severe: Option<Duration>,
    calm: Option<Duration>,
    thawed: Option<Duration>,
    rest: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Frozen {
    since: Duration,
    for_disk: bool,
}

/// What decides.
pub(super) struct Seen<'a> {
    /// It works, and nothing else is left to pull.
    pub(super) may: bool,
    pub(super) worst: (Feeling, &'a str),
    pub(super) disk: Feeling,
    pub(super) because: &'a Mood,
}

impl Ice {
    /// Goes on from what was found: nobody knows why it was frozen, so it is looked at anew.
    pub(super) fn found(now: Duration) -> Self {
        Self { frozen: Some(Frozen { since: now, for_disk: false }), ..Self::default() }
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    pub(super) fn turn(&mut self, seen: &Seen<'_>, now: Duration) -> Option<(bool, String)> {
        if seen.disk == Feeling::Severe {
            let was = self.frozen.replace(Frozen { since: now, for_disk: true });
            return was.is_none().then(|| (true, seen.because.disk.1.clone()));
        }
        let severe = seen.worst.0 == Feeling::Severe;
        self.severe = severe.then(|| self.severe.unwrap_or(now));
        self.calm = (!seen.worst.0.is_pressed()).then(|| self.calm.unwrap_or(now));
        match self.frozen {
            Some(frozen) => self.thaw(frozen, seen, now),
            None => self.freeze(seen, now),
        }
    }

    fn freeze(&mut self, seen: &Seen<'_>, now: Duration) -> Option<(bool, String)> {
        let endured = self.severe.is_some_and(|since| now.saturating_sub(since) >= ENDURED);
        let rested = self.thawed.is_none_or(|thawed| now.saturating_sub(thawed) >= self.rest);
        if !(seen.may && endured && rested) {
            return None;
        }
        self.frozen = Some(Frozen { since: now, for_disk: false });
        Some((true, format!("{}, and nothing else helped", seen.worst.1)))
    }

    fn thaw(&mut self, frozen: Frozen, seen: &Seen<'_>, now: Duration) -> Option<(bool, String)> {
        let long = now.saturating_sub(frozen.since) >= LONGEST;
        let calm = self.calm.is_some_and(|since| now.saturating_sub(since) >= CALM);
        // A disk that cannot be seen is not known to have room.
        let room = !frozen.for_disk || matches!(seen.disk, Feeling::Calm | Feeling::Warm);
        if !room || !(calm || long || frozen.for_disk) {
            return None;
        }
        let helped = calm || frozen.for_disk;
        self.rest = if helped { FIRST_REST } else { (self.rest * 2).clamp(FIRST_REST * 2, LONGEST_REST) };
        (self.frozen, self.thawed) = (None, Some(now));
        let because = match (frozen.for_disk, calm) {
            (true, _) => seen.because.disk.1.clone(),
            (false, true) => "production is calm".into(),
            (false, false) => "standing still did not help: the load is production's own".into(),
        };
        Some((false, because))
    }

    pub(super) fn restart(&mut self, now: Duration) {
        (self.severe, self.calm) = (None, None);
        self.frozen = self.frozen.map(|frozen| Frozen { since: now, ..frozen });
        self.thawed = self.thawed.map(|_| now);
    }
}
