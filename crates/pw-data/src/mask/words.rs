//! Words of masks. Ours, so that no update of a library changes a sample.

pub(super) const FIRST: [&str; 16] = [
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon", "Kim", "Lou", "Mia", "Noa",
    "Ole", "Pia",
];
pub(super) const LAST: [&str; 16] = [
    "Archer", "Baker", "Carter", "Dyer", "Fisher", "Gardner", "Hunter", "Joiner", "Mason", "Miller",
    "Painter", "Potter", "Sawyer", "Tanner", "Turner", "Weaver",
];
pub(super) const TEXT: [&str; 16] = [
    "lorem", "ipsum", "dolor", "sit", "amet", "sed", "elit", "nunc", "ante", "orci", "quam", "urna", "vita",
    "magna", "porta", "felis",
];
