//! Attacks from inside running containers, whatever their image holds: this very program is started again, joins a
//! control group below that of the container and its namespaces, and then tries or blasts.
//!
//! Who attacks ends in any case: with its parent (the kernel sees to that), after its time, or by [`group::end`].

mod attackers;
mod attempt;
mod blast;
mod ground;
mod group;
mod name;
mod order;
mod path;
mod room;

pub use attackers::{Attackers, probe};
pub use ground::{bounds, docker_sockets, kernel};
pub use group::{end, killed};
pub use order::obey;
pub use pw_plan::prove::probes::CADDY_ADMIN;
pub use room::{Side, address_on, container, rooms};
