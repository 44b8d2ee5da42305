//! What the end-to-end tests share: a server process under test, a raw client
//! that sees every byte of a reply, and a notation for replies. Nothing here
//! knows a command's meaning; the tests do. Each test file compiles its own
//! copy and uses a part of it.
#![allow(dead_code, unused_imports, reason = "every test file uses its own part of the support code")]

pub mod compare;
pub mod notation;
pub mod quoting;
pub mod resp;
pub mod server;
pub mod values;

pub use resp::{Connection, Protocol, Reply};
pub use server::{Server, Target};

/// A number from the environment, or `default`: the dials of the longer tests.
///
/// # Panics
/// When the variable is set to something else than a number.
pub fn dial(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => default,
    }
}
