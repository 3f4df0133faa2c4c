//! The `governor:` section: how production's quiet weighs against development's work.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unit::{Share, Span};

/// What `partywall agent run` is held to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Governor {
    /// How much production's quiet weighs.
    pub mode: Mode,
    /// Office hours in the server's own time, e.g. `Mon-Fri 08:00-20:00`; read in mode `office-hours`.
    pub hours: Hours,
    /// Below so much free of a disk, `agent chores` removes what is surely nobody's, e.g. `15%`; `0%` for never.
    pub room: Share,
    /// So long nothing must press before who was put to sleep for production's sake is woken, e.g. `5m`.
    pub wake: Span,
}

impl Default for Governor {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            hours: Hours::default(),
            room: Share::percent(15),
            wake: Span::seconds(300),
        }
    }
}

/// How much production's quiet weighs against development's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Development is squeezed at the first sign that production waits.
    Guarantee,
    /// Short waits are borne.
    #[default]
    Balanced,
    /// In office hours longer waits are borne, as far as production's objective is known and kept; `guarantee` outside them.
    OfficeHours,
}

/// Days of the week and a time of the day: `Mon-Fri 08:00-20:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["Mon-Fri 08:00-20:00"]))]
pub struct Hours {
    /// Monday is 0.
    days: (u8, u8),
    /// Minutes of the day.
    times: (u16, u16),
}

/// Why a text is no office hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no days and times; write for example `Mon-Fri 08:00-20:00`")]
pub struct NotHours(String);

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Default for Hours {
    fn default() -> Self {
        Self { days: (0, 4), times: (8 * 60, 20 * 60) }
    }
}

impl Hours {
    /// Reads `Mon-Fri 08:00-20:00`, `Sat 10:00-14:00`, `Sun-Thu 22:00-06:00`.
    pub fn parse(text: &str) -> Result<Self, NotHours> {
        Self::read(text.trim()).ok_or_else(|| NotHours(text.to_owned()))
    }

    fn read(text: &str) -> Option<Self> {
        let (days, times) = text.split_once(' ')?;
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let (from, to) = times.trim().split_once('-')?;
        Some(Self { days: (day(first)?, day(last)?), times: (minutes(from)?, minutes(to)?) })
    }

    /// `day` counts from Monday, 0; `minute` from midnight. Hours over midnight belong to the day on which they begin.
    pub fn contain(&self, day: u8, minute: u16) -> bool {
        let (from, to) = self.times;
        let before = (day + 6) % 7;
        match from <= to {
            true => self.has(day) && (from..to).contains(&minute),
            false => self.has(day) && minute >= from || self.has(before) && minute < to,
        }
    }

    fn has(&self, day: u8) -> bool {
        let (first, last) = self.days;
        if first <= last { (first..=last).contains(&day) } else { day >= first || day <= last }
    }
}

fn day(text: &str) -> Option<u8> {
    let at = DAYS.iter().position(|day| day.eq_ignore_ascii_case(text))?;
    u8::try_from(at).ok()
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour * 60 + minute <= 24 * 60 && minute < 60).then_some(hour * 60 + minute)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |day: u8| DAYS.get(usize::from(day)).copied().unwrap_or_default();
        let ((first, last), (from, to)) = (self.days, self.times);
        let days =
            if first == last { name(first).to_owned() } else { format!("{}-{}", name(first), name(last)) };
        write!(f, "{days} {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl TryFrom<String> for Hours {
    type Error = NotHours;
    fn try_from(text: String) -> Result<Self, NotHours> {
        Self::parse(&text)
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_and_hold() {
        let at = |text: &str, day, hour: u16| Hours::parse(text).expect("hours").contain(day, hour * 60);
        assert!(at("Mon-Fri 08:00-20:00", 0, 8) && at("Mon-Fri 08:00-20:00", 4, 19));
        assert!(!at("Mon-Fri 08:00-20:00", 4, 20) && !at("Mon-Fri 08:00-20:00", 5, 12));
        assert!(at("Sat-Mon 00:00-24:00", 6, 23) && !at("Sat-Mon 00:00-24:00", 1, 0));
        assert!(at("Fri 22:00-06:00", 4, 23) && at("Fri 22:00-06:00", 5, 5) && !at("Fri 22:00-06:00", 4, 5));
        for wrong in ["", "Mon", "Mon-Fri", "Mon-Fri 8-20", "Mon-Fry 08:00-20:00", "Mon 25:00-26:00"] {
            assert_eq!(Hours::parse(wrong), Err(NotHours(wrong.into())));
        }
        assert_eq!(Hours::default().to_string(), "Mon-Fri 08:00-20:00");
    }
}
