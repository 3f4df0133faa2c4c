//! The configuration loader against any text: it answers, it never panics, and places lie inside the text.

use proptest::prelude::*;
use pw_model::config::{EXAMPLE, check, parse};
use pw_model::source::SourceFile;

fn holds(text: &str) {
    let source = SourceFile::new("partywall.yaml", text);
    match parse(&source) {
        Ok(config) => drop(check(&config, &source)),
        Err(diagnostic) => {
            let lines = text.lines().count() + 1;
            if let Some(place) = &diagnostic.place {
                assert!(place.line <= lines.max(1), "{} of {lines}: {text:?}", place.line);
            }
            assert!(!diagnostic.message.is_empty());
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC*") {
        holds(&text);
    }

    /// Damaged examples reach further into the loader than noise does.
    #[test]
    fn a_damaged_example_is_answered(at in 0..EXAMPLE.len(), length in 0usize..40, put in "[\\[\\]{}:,&*!|>'\"#%@`\n -]{0,6}") {
        let start = (0..=at).rev().find(|index| EXAMPLE.is_char_boundary(*index)).unwrap_or(0);
        let end = (start + length..=EXAMPLE.len()).find(|index| EXAMPLE.is_char_boundary(*index)).unwrap_or(EXAMPLE.len());
        holds(&format!("{}{put}{}", &EXAMPLE[..start], &EXAMPLE[end..]));
    }
}
