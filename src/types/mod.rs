//! The types of values, one file or folder each: verbs over the keyspace's editor. Knows neither
//! RESP nor sessions.
//!
//! - `encoding.rs`: what OBJECT ENCODING answers. `check.rs`: whether a value is whole.
//! - `string/`: strings, inline or in chunks; `bitmap.rs`: strings as bits.
//! - `hyperloglog/`: approximate counts of distinct elements, in strings.
//! - `packed.rs`: small collections in one run of bytes, inside a record.
//! - `spread.rs`: the elements of large hashes and sets, in an order made for random draws.
//! - `ranked/`: order statistics over a large sorted set.
//! - `hash/`: hashes, and deadlines of their fields. `set/`: sets, and what several have in common.
//! - `stream/`: streams and their consumer groups.
//! - `list/`: lists, quick at both ends and by index.
//! - `zset/`: sorted sets. `geo/`: positions as their scores.
//! - `trial.rs`: a store in memory for the types' tests.

pub mod bitmap;
mod check;
mod encoding;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod packed;
pub mod ranked;
pub mod set;
pub mod spread;
pub mod stream;
pub mod string;
pub mod zset;

#[cfg(test)]
pub mod trial;

pub use check::check;
pub use encoding::encoding_name;
