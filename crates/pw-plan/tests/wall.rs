//! What each rule of the wall does, one module of tests for each of its modules.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests stop like tests")]

#[path = "wall/explain.rs"]
mod explain;
#[path = "wall/holes.rs"]
mod holes;
#[path = "wall/limits.rs"]
mod limits;
#[path = "wall/networks.rs"]
mod networks;
#[path = "wall/ports.rs"]
mod ports;
#[path = "wall/secrets.rs"]
mod secrets;
#[path = "wall/shop.rs"]
mod shop;
#[path = "wall/volumes.rs"]
mod volumes;
