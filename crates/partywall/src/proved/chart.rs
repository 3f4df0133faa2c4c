//! Bars of latency, drawn without text in them: text belongs to the page, where it can grow and wrap.

use pw_plan::prove::verdict::{Blasted, Felt};

/// Units of the drawing's width, whatever the screen's is.
const WIDTH: f64 = 1000.0;

/// p99 of one blast: alone, under it, and how far alone is from itself; each round is a tick.
pub(super) fn chart(one: &Blasted, most: f64) -> String {
    let scale = |millis: f64| millis / most.max(f64::MIN_POSITIVE) * WIDTH;
    let alone = Blasted::p99(&one.alone);
    let floor = scale(alone * one.floor()).min(WIDTH);
    format!(
        "<svg viewBox=\"0 0 {WIDTH} 46\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"p99 alone {:.1} ms, under the blast {:.1} ms\">\
         <rect class=\"floor\" x=\"0\" y=\"0\" width=\"{floor:.1}\" height=\"46\"/>{}{}</svg>",
        alone,
        Blasted::p99(&one.under),
        bar("alone", 4.0, &one.alone, &scale),
        bar("under", 26.0, &one.under, &scale),
    )
}

fn bar(class: &str, y: f64, slots: &[Felt], scale: &dyn Fn(f64) -> f64) -> String {
    let mut text = format!(
        "<rect class=\"{class}\" x=\"0\" y=\"{y}\" width=\"{:.1}\" height=\"16\"/>",
        scale(Blasted::p99(slots))
    );
    for slot in slots {
        let x = scale(slot.p99);
        text += &format!("<path class=\"tick\" d=\"M{x:.1} {}V{}\"/>", y - 2.0, y + 18.0);
    }
    text
}

/// The longest of all.
pub(super) fn most(all: &[Blasted]) -> f64 {
    let slots = all.iter().flat_map(|one| one.alone.iter().chain(&one.under));
    slots.map(|slot| slot.p99).fold(0.0, f64::max) * 1.02
}
