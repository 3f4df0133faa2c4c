//! Replaces values. The same value under the same secret always gives the same answer, in every table, so
//! that what was equal stays equal and what was unique stays unique; another secret gives another answer.

pub(crate) mod array;
mod json;
mod kind;
mod noise;
mod password;
mod words;

pub use kind::{Kind, unfit};

use crate::catalogue::Table;

/// What makes the masks of one project unlike those of another. Never leaves production's side.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    pub fn new(text: &str) -> Self {
        Self(blake3::derive_key("partywall 2026 masks of a sample", text.trim().as_bytes()))
    }

    /// A key of its own for one purpose.
    pub(crate) fn keyed(&self, purpose: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, purpose.as_bytes()).as_bytes()
    }
}

/// A mask bound to a column.
pub struct Mask {
    pub kind: Kind,
    secret: Secret,
    base: String,
    /// Every element of the column's arrays is masked by itself.
    array: bool,
    limit: usize,
    /// The column is unique and tells upper from lower case: so must the mask.
    exact: bool,
    unique: bool,
}

impl Mask {
    pub fn new(kind: Kind, secret: &Secret, table: &Table, column: usize) -> Self {
        let known = &table.columns[column];
        let (base, array) = (known.masked_type(), known.masked_type() != known.base);
        let unique = table.uniques.iter().any(|key| key.contains(&column));
        Self {
            kind,
            secret: secret.clone(),
            base: base.to_owned(),
            array,
            limit: known.max_length.unwrap_or(usize::MAX),
            exact: unique && base != "citext",
            unique,
        }
    }

    /// Writes what goes out instead of `value`; false for null. A value that cannot be read becomes null rather than go out.
    pub fn apply(&self, value: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        match self.array {
            true => array::rewritten(value, out, |item, out| self.one(item, out)).is_some(),
            false => self.one(value, out),
        }
    }

    /// Into an empty `out`.
    fn one(&self, value: &[u8], out: &mut Vec<u8>) -> bool {
        let done = match (&self.kind, self.base.as_str()) {
            (Kind::Keep | Kind::Sql(_) | Kind::Constant(_) | Kind::Permute, _) => {
                out.extend_from_slice(value);
                Some(())
            }
            (Kind::Null, _) => None,
            (Kind::Shift(days), base) => self.shift(*days, base, value, out),
            (Kind::Noise(share), base) => {
                noise::moved(base, share * (self.hash(value).share() * 2.0 - 1.0), value, out)
            }
            (_, "json") => self.json(value, out),
            (_, "jsonb") => {
                out.push(1);
                value.split_first().and_then(|(_version, text)| self.json(text, out))
            }
            (_, "inet" | "cidr") => self.address(value, out),
            (_, "bytea") => {
                self.hash(value).fill_to(value.len(), out);
                Some(())
            }
            (_, "uuid") => {
                self.hash(value).fill_to(16, out);
                Some(())
            }
            _ => std::str::from_utf8(value)
                .ok()
                .map(|text| out.extend_from_slice(self.text(&self.kind, text, self.limit).as_bytes())),
        };
        done.is_some()
    }

    /// The values that must not go out, as far as this mask knows which are secret.
    pub(crate) fn secrets(&self, value: &[u8], found: &mut impl FnMut(&[u8])) {
        match self.array.then(|| array::items(value)).flatten() {
            Some(items) => items.into_iter().for_each(|item| self.secrets_of(item, found)),
            None => self.secrets_of(value, found),
        }
    }

    fn secrets_of(&self, value: &[u8], found: &mut impl FnMut(&[u8])) {
        let text = if self.base == "jsonb" { value.get(1..).unwrap_or_default() } else { value };
        match (&self.kind, self.base.as_str()) {
            (Kind::Json(_), _) | (_, "json" | "jsonb") => {
                let learnt = |kind: &Kind| kind.is_proved() || !matches!(self.kind, Kind::Json(_));
                let paths: Vec<json::Path<'_>> =
                    self.paths().into_iter().filter(|(_, kind)| learnt(kind)).collect();
                let mut learn = |_: &Kind, text: &str| {
                    found(text.as_bytes());
                    text.to_owned()
                };
                let text = std::str::from_utf8(text).unwrap_or_default();
                // What cannot be read does not go out either.
                json::mask(text, &paths, &mut learn, &mut Vec::with_capacity(text.len())).ok();
            }
            _ => found(value),
        }
    }

    fn hash(&self, value: &[u8]) -> Stream {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret.0);
        hasher.update(self.kind.family().as_bytes());
        hasher.update(value);
        Stream::new(&hasher)
    }

    fn text(&self, kind: &Kind, text: &str, limit: usize) -> String {
        if text.is_empty() {
            return String::new();
        }
        let same = if self.exact { text.to_owned() } else { text.to_lowercase() };
        let mut hasher = blake3::Hasher::new_keyed(&self.secret.0);
        hasher.update(kind.family().as_bytes()).update(same.as_bytes());
        kind.write(&mut Stream::new(&hasher), text, &kind::Room { limit, unique: self.unique })
    }

    fn json(&self, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let mut text_of = |kind: &Kind, text: &str| self.text(kind, text, usize::MAX);
        json::mask(std::str::from_utf8(text).ok()?, &self.paths(), &mut text_of, out).ok()
    }

    /// Where masks reach in a document, learnt and applied alike.
    fn paths(&self) -> Vec<json::Path<'_>> {
        match &self.kind {
            Kind::Json(paths) => paths.iter().map(|(path, kind)| (path.as_slice(), kind)).collect(),
            kind => vec![([].as_slice(), kind)],
        }
    }

    /// Family, prefix length, is-cidr, size, address. IPv4 goes to 100.64.0.0/10, IPv6 to 2001:db8::/32: nobody's.
    fn address(&self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let (head, address) = value.split_at_checked(4)?;
        let mut stream = self.hash(address);
        out.extend_from_slice(head);
        stream.fill_to(address.len(), out);
        let fresh = out.get_mut(4..)?;
        if let [first, second, _, _] = fresh {
            (*first, *second) = (100, 64 | (*second & 63));
        } else {
            fresh.get_mut(..4)?.copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        }
        clear_host_bits(out);
        Some(())
    }

    fn shift(&self, days: i64, base: &str, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let span = u64::try_from(days).ok()? * 2 + 1;
        let by = i64::try_from(self.hash(value).number() % span).ok()? - days;
        if base == "date" {
            let date = i32::from_be_bytes(value.try_into().ok()?);
            let moved = if date == i32::MAX || date == i32::MIN {
                date
            } else {
                date.checked_add(i32::try_from(by).ok()?)?
            };
            out.extend_from_slice(&moved.to_be_bytes());
        } else {
            let time = i64::from_be_bytes(value.try_into().ok()?);
            let moved = if time == i64::MAX || time == i64::MIN {
                time
            } else {
                time.checked_add(by * 86_400_000_000)?
            };
            out.extend_from_slice(&moved.to_be_bytes());
        }
        Some(())
    }
}

/// A `cidr` with bits beyond its mask is refused by the server.
fn clear_host_bits(out: &mut [u8]) {
    if out.get(2) != Some(&1) {
        return;
    }
    let prefix = usize::from(out[1]);
    for (index, byte) in out.iter_mut().skip(4).enumerate() {
        let kept = prefix.saturating_sub(index * 8).min(8);
        *byte &= u8::MAX.checked_shl(u32::try_from(8 - kept).unwrap_or(8)).unwrap_or(0);
    }
}

/// An endless stream of bytes that a value and the secret decide.
pub(crate) struct Stream {
    reader: blake3::OutputReader,
    /// Its function gives 64 bytes at once.
    block: [u8; 64],
    used: usize,
}

impl Stream {
    /// Most masks need no more than the first bytes, which are the plain hash: cheaper than a stream.
    fn new(hasher: &blake3::Hasher) -> Self {
        let mut reader = hasher.finalize_xof();
        let first = hasher.finalize();
        reader.set_position(32);
        let mut block = [0; 64];
        block[32..].copy_from_slice(first.as_bytes());
        Self { reader, block, used: 32 }
    }

    fn fill(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            if self.used == self.block.len() {
                self.used = usize::try_from(self.reader.position() % 64).unwrap_or_default();
                self.reader.fill(&mut self.block[self.used..]);
            }
            let count = out.len().min(self.block.len() - self.used);
            let (now, later) = out.split_at_mut(count);
            now.copy_from_slice(&self.block[self.used..self.used + count]);
            self.used += count;
            out = later;
        }
    }

    pub(crate) fn fill_to(&mut self, length: usize, out: &mut Vec<u8>) {
        let from = out.len();
        out.resize(from + length, 0);
        self.fill(&mut out[from..]);
    }

    pub(crate) fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// From 0 to 1.
    pub(crate) fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.number() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }

    pub(crate) fn hex(&mut self, digits: usize) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = vec![0; digits.div_ceil(2)];
        self.fill(&mut bytes);
        let both = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        bytes.iter().flat_map(both).take(digits).map(char::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(kind: Kind, base: &str, limit: usize, secret: &str) -> Mask {
        Mask {
            kind,
            secret: Secret::new(secret),
            base: base.into(),
            array: false,
            limit,
            exact: false,
            unique: true,
        }
    }

    fn apply(mask: &Mask, value: &str) -> String {
        let mut out = Vec::new();
        assert!(mask.apply(value.as_bytes(), &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_same_value_gives_the_same_answer_under_one_secret_only() {
        let [one, two, other] = [("varchar", "a"), ("text", "a"), ("text", "b")]
            .map(|(base, secret)| mask(Kind::Email, base, 200, secret));
        assert_eq!(apply(&one, "Ann@example.org"), apply(&two, "ann@example.org"));
        assert_ne!(apply(&one, "ann@example.org"), apply(&other, "ann@example.org"));
        assert!(apply(&one, "ann@example.org").ends_with("@dev.local"));
    }

    #[test]
    fn a_stream_is_that_of_the_hash() {
        let mut hasher = blake3::Hasher::new_keyed(&[7; 32]);
        hasher.update(b"value");
        let mut told = [0; 300];
        hasher.finalize_xof().fill(&mut told);
        let (mut stream, mut given) = (Stream::new(&hasher), Vec::new());
        for length in [1, 31, 5, 40, 100, 123] {
            stream.fill_to(length, &mut given);
        }
        assert_eq!(given, told);
    }

    #[test]
    fn a_limit_is_kept() {
        for kind in [Kind::Email, Kind::Username, Kind::Name, Kind::Phone, Kind::Url, Kind::Text, Kind::Token]
        {
            let told = format!("{kind:?}");
            let shown = apply(&mask(kind, "varchar", 20, "a"), "somebody.with.a.long.name@example.org");
            assert!(shown.chars().count() <= 20 && !shown.is_empty(), "{told}: {shown}");
        }
    }

    #[test]
    fn paths_into_json_are_followed_through_lists() {
        let kind =
            Kind::Json(vec![(vec!["a".into(), "mail".into()], Kind::Email), (vec!["ip".into()], Kind::Null)]);
        let shown = apply(
            &mask(kind, "json", 0, "a"),
            r#"{"keep":"ann@x.org","a":[{"mail":"ann@x.org"}],"ip":"10.0.0.1"}"#,
        );
        assert!(shown.starts_with(r#"{"keep":"ann@x.org","a":[{"mail":"user"#), "{shown}");
        assert!(shown.ends_with(r#""ip":null}"#), "{shown}");
    }

    #[test]
    fn what_is_masked_in_a_document_is_what_is_learnt() {
        let learnt = |kind: Kind| {
            let mut all = Vec::new();
            let text = b"\x01"
                .iter()
                .chain(br#"{"a":[{"mail":"one","n":1},[{"mail":["two"]}]],"mail":"three","name":"no"}"#);
            let text: Vec<u8> = text.copied().collect();
            mask(kind, "jsonb", 0, "a")
                .secrets(&text, &mut |text| all.push(String::from_utf8_lossy(text).into_owned()));
            all
        };
        let path = |parts: &[&str], kind| (parts.iter().map(|part| (*part).to_owned()).collect(), kind);
        let paths = vec![path(&["a", "mail"], Kind::Email), path(&["name"], Kind::Name)];
        assert_eq!(learnt(Kind::Json(paths)), ["one", "two"]);
        assert_eq!(learnt(Kind::Token), ["one", "two", "three", "no"]);
    }

    #[test]
    fn broken_json_does_not_go_out() {
        let mut out = Vec::new();
        assert!(!mask(Kind::Json(Vec::new()), "json", 0, "a").apply(b"{ann@x.org", &mut out));
    }
}
