//! Stories: the built program against a real Docker Engine, told as a user would tell them.
//!
//! Each story has a project, a proxy and ports of its own, and takes everything away again when it
//! ends, also when it fails. Needs Docker and the demo's images: `./x setup`.

#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expected by failing")]

mod harness;

mod alerts;
mod backup;
mod bucket;
mod compose;
mod copies;
mod down;
mod drift;
mod elsewhere;
mod govern;
mod guarded;
mod input;
mod interrupt;
mod keep;
mod kill;
mod looking;
mod metrics;
mod mishap;
mod moment;
mod objective;
mod people;
mod pressure;
mod promote;
mod prove;
mod reflink;
mod rehearse;
mod roles;
mod room;
mod sample;
mod seed;
mod seed_from;
mod sleep;
mod sockets;
mod ssh;
mod steps;
mod tls;
mod up;
mod wall;
