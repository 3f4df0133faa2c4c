//! Files of ours: written whole or not at all.

mod atomic;
mod folder;
mod secret;
mod store;
mod switch;

pub use folder::{make_folder, make_shared_folder, remove_folder, remove_tree, unremovable};
pub(crate) use secret::random_hex;
pub use secret::{generate_secret, make_key};
pub use store::{Store, hash_of, remove};
pub use switch::{close_switch, open_switch};

pub use atomic::write;
pub(crate) use folder::private_folder;
