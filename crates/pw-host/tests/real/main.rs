//! Tests against a real Docker Engine and the kernel's own control groups: one program, so that it links once.

#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expected by failing")]

mod caddy;
mod common;
mod compose;
mod files;
mod firewall;
mod groups;
mod redis;
mod services;
mod snapshot;
mod squeeze;
mod upstream;
mod vault;
