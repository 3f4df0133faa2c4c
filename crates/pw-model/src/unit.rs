//! Amounts as people write them: `4GB`, `512m`, `1.5` CPUs, `10m` of time.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of bytes; `4GB`, `4G`, `4GiB` and `4g` are all 4 × 1024³, as in Compose files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "u64")]
#[schemars(with = "String", extend("examples" = ["4GB", "512m"]))]
pub struct Bytes(pub u64);

/// A number of processors, kept in thousandths so that it compares and hashes exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "f64")]
#[schemars(with = "f64", extend("examples" = [2, 0.5]))]
pub struct Cpus(u64);

/// A length of time: `500ms`, `2s`, `10m`, `6h`, `7d`; a plain number is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "String")]
#[schemars(with = "String", extend("examples" = ["2s", "10m"]))]
pub struct Span(pub Duration);

/// A rate of a network, in bits a second: `50mbit`, `1gbit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["50mbit", "1gbit"]))]
pub struct Rate(u64);

/// A part of a whole: `15%`. Kept in millionths so that it compares exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("examples" = ["15%", "0%"]))]
pub struct Share(u32);

/// A scalar of YAML that may be a number or a text.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Written {
    Whole(u64),
    Fraction(f64),
    Text(String),
}

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}; write for example `{example}`")]
pub struct NotAnAmount {
    text: String,
    what: &'static str,
    example: &'static str,
}

impl Bytes {
    /// Reads `4GB`, `512m`, `1.5 GiB`, `1024`.
    pub fn parse(text: &str) -> Result<Self, NotAnAmount> {
        let wrong =
            || NotAnAmount { text: text.to_owned(), what: "an amount of memory or disk", example: "4GB" };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let factor = factor_of(unit.trim()).ok_or_else(wrong)?;
        let bytes = number * factor;
        // Above 2^63 no real amount is meant, and a float no longer counts single bytes.
        if bytes.is_finite() && bytes < 9.2e18 { Ok(Self(bytes as u64)) } else { Err(wrong()) }
    }

    pub fn times(self, part: f64) -> Self {
        Self((self.0 as f64 * part) as u64)
    }

    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Rate {
    /// Slower, hardly a connection comes to be; faster, the kernel's own limit of a rate is not exact any more.
    const BITS: std::ops::RangeInclusive<f64> = 1e5..=1e10;

    /// Reads `800kbit`, `50mbit`, `1.5gbit`.
    pub fn parse(text: &str) -> Result<Self, NotAnAmount> {
        let wrong = || NotAnAmount {
            text: text.to_owned(),
            what: "a rate of a network, 100kbit to 10gbit",
            example: "50mbit",
        };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let factor = match unit.trim().to_ascii_lowercase().as_str() {
            "kbit" => 1e3,
            "mbit" => 1e6,
            "gbit" => 1e9,
            _ => return Err(wrong()),
        };
        let bits = number.parse::<f64>().map_err(|_| wrong())? * factor;
        Self::BITS.contains(&bits).then_some(Self(bits as u64)).ok_or_else(wrong)
    }

    pub fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1000, "kbit")];
        let (size, unit) =
            units.into_iter().find(|(size, _)| self.0.is_multiple_of(*size)).unwrap_or((1000, "kbit"));
        f.pad(&format!("{}{unit}", self.0 as f64 / size as f64))
    }
}

impl TryFrom<String> for Rate {
    type Error = NotAnAmount;
    fn try_from(text: String) -> Result<Self, NotAnAmount> {
        Self::parse(&text)
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl Share {
    pub const fn percent(count: u32) -> Self {
        Self(count * 10_000)
    }

    /// Reads `15%`, `0.5%`, `100%`.
    pub fn parse(text: &str) -> Result<Self, NotAnAmount> {
        let wrong = || NotAnAmount { text: text.to_owned(), what: "a share, 0% to 100%", example: "15%" };
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?;
        let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
        let is_a_part = (0.0..=100.0).contains(&percent);
        is_a_part.then(|| Self((percent * 10_000.0).round() as u32)).ok_or_else(wrong)
    }

    /// 0 to 1.
    pub fn part(self) -> f64 {
        f64::from(self.0) / 1_000_000.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}%", f64::from(self.0) / 10_000.0))
    }
}

impl TryFrom<String> for Share {
    type Error = NotAnAmount;
    fn try_from(text: String) -> Result<Self, NotAnAmount> {
        Self::parse(&text)
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

impl Span {
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// Reads `500ms`, `2s`, `10m`, `1.5h`.
    pub fn parse(text: &str) -> Result<Self, NotAnAmount> {
        let wrong = || NotAnAmount { text: text.to_owned(), what: "a length of time", example: "10m" };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let seconds = match unit.trim() {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        Duration::try_from_secs_f64(number * seconds).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Span {
    /// In the largest unit that keeps it readable: `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 10 min`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.as_secs_f64() * 1000.0);
        let text = match seconds {
            0 if millis < 9.95 => format!("{millis:.1} ms"),
            0 => format!("{millis:.0} ms"),
            1..60 => format!("{:.1} s", self.0.as_secs_f64()),
            60..3600 if seconds % 60 == 0 => format!("{} min", seconds / 60),
            60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
            _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        };
        f.pad(&text)
    }
}

impl TryFrom<Written> for Span {
    type Error = NotAnAmount;
    fn try_from(written: Written) -> Result<Self, NotAnAmount> {
        match written {
            Written::Whole(seconds) => Ok(Self::seconds(seconds)),
            Written::Fraction(seconds) => Self::parse(&seconds.to_string()),
            Written::Text(text) => Self::parse(&text),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        format!("{}ms", span.0.as_millis())
    }
}

fn factor_of(unit: &str) -> Option<f64> {
    let kilo: f64 = 1024.0;
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => kilo,
        "m" | "mb" | "mib" => kilo.powi(2),
        "g" | "gb" | "gib" => kilo.powi(3),
        "t" | "tb" | "tib" => kilo.powi(4),
        _ => return None,
    })
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1u64 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
        let Some((size, unit)) = units.into_iter().find(|(size, _)| self.0 >= *size) else {
            return f.pad(&format!("{} B", self.0));
        };
        let amount = self.0 as f64 / size as f64;
        let digits = usize::from(amount < 10.0 && !self.0.is_multiple_of(size));
        f.pad(&format!("{amount:.digits$} {unit}"))
    }
}

impl Cpus {
    pub const fn from_thousandths(count: u64) -> Self {
        Self(count)
    }

    pub fn whole(count: usize) -> Self {
        Self(count as u64 * 1000)
    }

    pub fn from_number(number: f64) -> Option<Self> {
        (number.is_finite() && (0.0..100_000.0).contains(&number))
            .then(|| Self((number * 1000.0).round() as u64))
    }

    pub fn count(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    pub fn thousandths(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}", self.count()))
    }
}

impl TryFrom<Written> for Bytes {
    type Error = NotAnAmount;
    fn try_from(written: Written) -> Result<Self, NotAnAmount> {
        match written {
            Written::Whole(bytes) => Ok(Self(bytes)),
            Written::Fraction(number) => Self::parse(&number.to_string()),
            Written::Text(text) => Self::parse(&text),
        }
    }
}

impl TryFrom<Written> for Cpus {
    type Error = NotAnAmount;
    fn try_from(written: Written) -> Result<Self, NotAnAmount> {
        let (number, text) = match written {
            Written::Whole(whole) => (Some(whole as f64), whole.to_string()),
            Written::Fraction(number) => (Some(number), number.to_string()),
            Written::Text(text) => (text.trim().parse().ok(), text),
        };
        number.and_then(Self::from_number).filter(|cpus| cpus.0 > 0).ok_or(NotAnAmount {
            text,
            what: "a number of CPUs",
            example: "2",
        })
    }
}

impl From<Bytes> for u64 {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

impl From<Cpus> for f64 {
    fn from(cpus: Cpus) -> Self {
        cpus.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_compose_reads_them() {
        for (text, bytes) in [("4GB", 4 << 30), ("512m", 512 << 20), ("1.5 GiB", 3 << 29), ("7", 7)] {
            assert_eq!(Bytes::parse(text).map(|b| b.0), Ok(bytes), "{text}");
        }
        for bad in ["", "GB", "4 GX", "-1", "1e999"] {
            assert!(Bytes::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_and_written() {
        for (text, millis) in
            [("500ms", 500), ("2s", 2000), ("10m", 600_000), ("1.5h", 5_400_000), ("7", 7000)]
        {
            assert_eq!(Span::parse(text).map(|span| span.0.as_millis()), Ok(millis), "{text}");
        }
        for bad in ["", "s", "2 weeks", "-1s", "1e9s"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
        let shown: Vec<String> = [3, 340, 3400, 125_000, 600_000, 4_200_000]
            .map(|millis| Span(Duration::from_millis(millis)).to_string())
            .into();
        assert_eq!(shown, ["3.0 ms", "340 ms", "3.4 s", "2 min 5 s", "10 min", "1 h 10 min"]);
    }

    #[test]
    fn rates_are_read_and_written() {
        for (text, bits, shown) in [
            ("50mbit", 50_000_000, "50mbit"),
            ("1.5 Gbit", 1_500_000_000, "1500mbit"),
            ("100kbit", 100_000, "100kbit"),
        ] {
            let rate = Rate::parse(text).expect("a rate");
            assert_eq!((rate.bits(), rate.to_string().as_str()), (bits, shown));
            assert_eq!(Rate::parse(shown), Ok(rate));
        }
        for bad in ["", "50", "50MB", "99kbit", "11gbit", "-1mbit", "mbit"] {
            assert!(Rate::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_read_and_written() {
        for (text, part) in [("15%", 0.15), ("0.5 %", 0.005), ("100%", 1.0), ("0%", 0.0)] {
            let share = Share::parse(text).expect("a share");
            assert_eq!((share.part(), Share::parse(&share.to_string())), (part, Ok(share)));
        }
        for bad in ["", "15", "-1%", "101%", "%"] {
            assert!(Share::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_are_written_short() {
        let shown: Vec<String> =
            [512, 1536, 4 << 30, 15 << 29].iter().map(|b| Bytes(*b).to_string()).collect();
        assert_eq!(shown, ["512 B", "1.5 kB", "4 GB", "7.5 GB"]);
    }
}
