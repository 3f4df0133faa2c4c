//! Any text as `partywall.yaml`: it loads, or it is refused with a place inside the text; never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pw_model::config;
use pw_model::source::SourceFile;

fuzz_target!(|text: &str| {
    let source = SourceFile::new("partywall.yaml", text);
    match config::parse(&source) {
        Ok(config) => drop(config::check(&config, &source)),
        Err(diagnostic) => {
            let lines = text.lines().count().max(1) + 1;
            assert!(diagnostic.place.as_ref().is_none_or(|place| place.line <= lines));
            drop(diagnostic.to_string());
        }
    }
});
