//! Meters: what containers, environments and the machine use, from the kernel's own files.
//!
//! Files are kept open and read from their beginning each time: with twenty containers and a reading every second,
//! finding them anew would be most of the work.

mod figures;
mod group;
mod kept;
mod machine;
mod network;

pub use figures::{Field, Figures, MachineFigures, Used, rates, sum};
pub use group::GroupMeter;
pub use machine::MachineMeter;
