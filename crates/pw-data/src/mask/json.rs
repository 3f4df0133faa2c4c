//! Masks along paths of a JSON document. What no path leads to is copied as it stands: not a digit of it changes.

use std::borrow::Cow;
use std::fmt::{Formatter, Result as Written};

use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Error;
use serde_json::value::RawValue;

use super::kind::Kind;

/// What is left of a path that leads into the present value, and what happens at its end.
pub(super) type Path<'a> = (&'a [String], &'a Kind);

/// Gives a text its mask.
pub(super) type Texts<'a> = &'a mut dyn FnMut(&Kind, &str) -> String;

/// As deep as the reader of whole documents goes.
const DEEPEST: usize = 128;

/// Writes the document with every text and number at the end of a path masked, or below it; paths go through lists.
///
/// # Errors
/// It is no JSON, or one of 128 levels and more; what was written then is no document.
pub(super) fn mask(json: &str, paths: &[Path<'_>], texts: Texts<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut masking = Masking { texts, out, depth: 0 };
    let document = json.trim_matches([' ', '\n', '\r', '\t']);
    let ends = paths.iter().any(|(rest, _)| rest.is_empty());
    if document.starts_with(['{', '[']) && !paths.is_empty() && !ends {
        // What is inside is read anyway: to read the whole before would only tell the same.
        return masking.inside(document, paths);
    }
    masking.value(serde_json::from_str(document)?, paths)
}

struct Masking<'a> {
    texts: Texts<'a>,
    out: &'a mut Vec<u8>,
    depth: usize,
}

impl Masking<'_> {
    fn value(&mut self, raw: &RawValue, paths: &[Path<'_>]) -> Result<(), Error> {
        let ends = || paths.iter().filter(|(rest, _)| rest.is_empty()).map(|(_, kind)| *kind);
        let text = raw.get();
        match text.as_bytes().first() {
            _ if ends().any(|kind| *kind == Kind::Null) => self.out.extend_from_slice(b"null"),
            Some(b'{' | b'[') if !paths.is_empty() => return self.inside(text, paths),
            Some(b'"') if ends().next().is_some() => {
                let masked = ends().fold(read(text)?.into_owned(), |text, kind| (self.texts)(kind, &text));
                return serde_json::to_writer(&mut *self.out, &masked);
            }
            Some(b'-' | b'0'..=b'9') if ends().next().is_some() => self.out.push(b'0'),
            _ => self.out.extend_from_slice(text.as_bytes()),
        }
        Ok(())
    }

    /// A document is read anew at each level, so nothing else bounds how deep this goes.
    fn inside(&mut self, json: &str, paths: &[Path<'_>]) -> Result<(), Error> {
        if self.depth == DEEPEST {
            return Err(Error::custom("too many levels"));
        }
        self.depth += 1;
        let (open, close) = if json.starts_with('{') { (b'{', b'}') } else { (b'[', b']') };
        let through = onward(paths, |head| Some(head == "*"));
        let mut before = open;
        each(json, |name, inner| {
            self.out.push(std::mem::replace(&mut before, b','));
            let Some(name) = name.map(RawValue::get) else { return self.value(inner, &through) };
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b':');
            let name = read(name)?;
            self.value(inner, &onward(paths, |head| (head == "*" || head == name).then_some(true)))
        })?;
        if before == open {
            self.out.push(open);
        }
        self.out.push(close);
        self.depth -= 1;
        Ok(())
    }
}

/// What a text in quotes says.
fn read(written: &str) -> Result<Cow<'_, str>, Error> {
    match written.get(1..written.len().saturating_sub(1)) {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        _ => serde_json::from_str::<String>(written).map(Cow::Owned),
    }
}

/// The paths that go on, and whether their first part is behind them then; one at its end takes all with it.
fn onward<'a>(paths: &[Path<'a>], goes: impl Fn(&str) -> Option<bool>) -> Vec<Path<'a>> {
    let go = |(path, kind): &Path<'a>| match path.split_first() {
        None => Some((*path, *kind)),
        Some((head, rest)) => goes(head).map(|behind| (if behind { rest } else { *path }, *kind)),
    };
    paths.iter().filter_map(go).collect()
}

/// Tells each member of an object, or each item of a list, as it is written.
fn each<'j>(
    json: &'j str,
    tell: impl FnMut(Option<&'j RawValue>, &'j RawValue) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_any(Each(tell))?;
    reader.end()
}

struct Each<F>(F);

impl<'j, F: FnMut(Option<&'j RawValue>, &'j RawValue) -> Result<(), Error>> Visitor<'j> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> Written {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'j>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some((name, member)) = members.next_entry::<&RawValue, &RawValue>()? {
            (self.0)(Some(name), member).map_err(A::Error::custom)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'j>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&RawValue>()? {
            (self.0)(None, item).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(json: &str, paths: &[(&[&str], Kind)]) -> String {
        let own = |path: &[&str]| path.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        let paths: Vec<(Vec<String>, Kind)> =
            paths.iter().map(|(path, kind)| (own(path), kind.clone())).collect();
        let paths: Vec<Path<'_>> = paths.iter().map(|(path, kind)| (path.as_slice(), kind)).collect();
        let mut out = Vec::new();
        mask(json, &paths, &mut |kind, text| format!("{kind:?} of {text}"), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_no_path_leads_to_stays_to_the_digit() {
        let json = r#"{"n": 12345678901234567890.1230, "l": [1.0 , {"x":"\u00e9"}], "mail":"ann", "e": {}, "o": []}"#;
        let told = r#"{"n":12345678901234567890.1230,"l":[1.0 , {"x":"\u00e9"}],"mail":"Email of ann","e":{},"o":[]}"#;
        assert_eq!(masked(json, &[(&["mail"], Kind::Email)]), told);
        assert_eq!(masked(json, &[]), json);
        assert_eq!(masked("{}", &[(&["mail"], Kind::Email)]), "{}");
        assert_eq!(masked(" \n{}\t", &[(&["mail"], Kind::Email)]), "{}");
    }

    #[test]
    fn paths_go_through_lists_and_stars_and_take_all_below_their_end() {
        let json = r#"{"a":[{"m":"one"},[{"m":["two",{"x":3,"y":true}]}]],"b":{"c":{"m":"four"},"d":null}}"#;
        assert_eq!(
            masked(json, &[(&["a", "m"], Kind::Token), (&["b", "*", "m"], Kind::Name)]),
            r#"{"a":[{"m":"Token of one"},[{"m":["Token of two",{"x":0,"y":true}]}]],"b":{"c":{"m":"Name of four"},"d":null}}"#
        );
        assert_eq!(masked(r#"["one",-2]"#, &[(&["*"], Kind::Name)]), r#"["Name of one",0]"#);
        assert_eq!(
            masked(r#"{"m\u0061":"x","b":[1]}"#, &[(&["ma"], Kind::Null)]),
            r#"{"m\u0061":null,"b":[1]}"#
        );
        assert_eq!(masked(r#""all""#, &[(&[], Kind::Text)]), r#""Text of all""#);
    }

    #[test]
    fn what_follows_a_document_is_refused() {
        let mut copy = |_: &Kind, text: &str| text.to_owned();
        let path = ["mail".to_owned()];
        for broken in [r#"{"mail":"ann"} x"#, r#"{"mail":"ann"}{}"#, r#"[1],"#, r#"{"mail":"ann""#, "", "{,}"]
        {
            let masked = mask(broken, &[(&path, &Kind::Email)], &mut copy, &mut Vec::new());
            assert!(masked.is_err(), "{broken}");
        }
    }

    #[test]
    fn levels_are_bounded_where_a_path_leads_and_nowhere_else() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let of = |json: &str, path: &[String]| {
            mask(json, &[(path, &Kind::Email)], &mut |_, text| text.to_owned(), &mut Vec::new())
        };
        assert!(of(&deep(DEEPEST), &[]).is_ok());
        assert!(of(&deep(DEEPEST + 1), &[]).is_err());
        let beside = format!(r#"{{"deep":{}}}"#, deep(100_000));
        assert!(of(&beside, &["mail".to_owned()]).is_ok());
    }

    #[test]
    fn the_later_of_two_paths_to_one_text_sees_what_the_earlier_made() {
        let paths: [(&[&str], Kind); 2] = [(&["a"], Kind::Token), (&["a", "b"], Kind::Email)];
        assert_eq!(masked(r#"{"a":{"b":"x"}}"#, &paths), r#"{"a":{"b":"Email of Token of x"}}"#);
    }
}
