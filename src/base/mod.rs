//! The ground every layer stands on: errors, clock, randomness, numbers as
//! Redis reads and prints them, glob patterns, quoting, checksums. Nothing here
//! knows a key, a socket or a file format.

pub mod clock;
pub mod counter;
pub mod crc;
pub mod error;
pub mod glob;
pub mod number;
pub mod quoting;
pub mod random;
pub mod sip;

pub use error::{ClientError, Error, Result};
