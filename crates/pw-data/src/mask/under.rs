//! Texts at paths of a JSON document, found while it is read: nothing else of it is kept or copied.

use std::fmt::{Formatter, Result as Written};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Every text that stands at one of the paths, or below it. Of what is no JSON, the texts before the fault.
pub(super) fn texts(json: &[u8], paths: Vec<&[String]>, found: &mut impl FnMut(&[u8])) {
    let mut reader = serde_json::Deserializer::from_slice(json);
    // A document that cannot be read cannot be masked either, and does not go out.
    drop(Under { paths, found }.deserialize(&mut reader));
}

/// What is left of each path that leads into the present value. An empty one wants all that is in it.
struct Under<'a, F> {
    paths: Vec<&'a [String]>,
    found: &'a mut F,
}

impl<'a, F> Under<'a, F> {
    /// The paths that go on with what `holds` says of their first part.
    fn onward(&self, holds: impl Fn(&'a String) -> Onward) -> Vec<&'a [String]> {
        let go = |path: &&'a [String]| match path.split_first() {
            None => Some(*path),
            Some((head, rest)) => match holds(head) {
                Onward::Into => Some(rest),
                Onward::Along => Some(*path),
                Onward::Nowhere => None,
            },
        };
        self.paths.iter().filter_map(go).collect()
    }
}

/// Where a path goes from a value to what the value holds.
enum Onward {
    Into,
    Along,
    Nowhere,
}

/// The name of a member; answers the paths that lead into it.
struct Name<'a, 'b, F>(&'b Under<'a, F>);

impl<'a, F> Visitor<'_> for Name<'a, '_, F> {
    type Value = Vec<&'a [String]>;

    fn expecting(&self, f: &mut Formatter<'_>) -> Written {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let holds = |head: &String| if head == "*" || head == name { Onward::Into } else { Onward::Nowhere };
        Ok(self.0.onward(holds))
    }
}

impl<'de, 'a, F> DeserializeSeed<'de> for Name<'a, '_, F> {
    type Value = Vec<&'a [String]>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl<'de, F: FnMut(&[u8])> DeserializeSeed<'de> for Under<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        if self.paths.is_empty() {
            return value.deserialize_ignored_any(IgnoredAny).map(drop);
        }
        value.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&[u8])> Visitor<'de> for Under<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> Written {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.paths.iter().any(|path| path.is_empty()) {
            (self.found)(text.as_bytes());
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let paths = self.onward(|head| if head == "*" { Onward::Into } else { Onward::Along });
        while items.next_element_seed(Under { paths: paths.clone(), found: &mut *self.found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(paths) = members.next_key_seed(Name(&self))? {
            members.next_value_seed(Under { paths, found: &mut *self.found })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str, paths: &[&[&str]]) -> Vec<String> {
        let paths: Vec<Vec<String>> =
            paths.iter().map(|path| path.iter().map(|part| (*part).to_owned()).collect()).collect();
        let mut all = Vec::new();
        let paths = paths.iter().map(Vec::as_slice).collect();
        texts(json.as_bytes(), paths, &mut |text| all.push(String::from_utf8_lossy(text).into_owned()));
        all
    }

    #[test]
    fn texts_at_a_path_and_below_it_are_found_through_lists() {
        let json = r#"{"a":[{"mail":"one","n":1},[{"mail":["two",{"x":"three"}]}]],"mail":"no","b":{"c":{"ip":"four"},"d":null},"e":[true,"five",2.5]}"#;
        assert_eq!(found(json, &[&["a", "mail"]]), ["one", "two", "three"]);
        assert_eq!(found(json, &[&["b", "*", "ip"], &["e"]]), ["four", "five"]);
        assert_eq!(found(json, &[&["e", "*"]]), ["five"]);
        assert_eq!(found(json, &[&[]]), ["one", "two", "three", "no", "four", "five"]);
        assert_eq!(found(json, &[]), Vec::<String>::new());
    }

    #[test]
    fn a_name_is_read_through_its_escapes_and_each_time_it_comes() {
        assert_eq!(found(r#"{"m\u0061il":"one","mail":"two\n"}"#, &[&["mail"]]), ["one", "two\n"]);
        assert_eq!(found(r#"{"mail":"one","#, &[&["mail"]]), ["one"]);
    }
}
