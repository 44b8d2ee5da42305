//! Codecs of what is stored: bytes to values and back, no I/O, no meaning beyond the layout.
//!
//! - `key.rs`: the keys of every family.
//! - `record.rs`: the value of a key in family `keys`.
//! - `lzf.rs`: the compression of RDB strings.
//! - `piece.rs`: data on its way in or out, whatever the format. `rdb/`: Redis' RDB format.
//! - `dump.rs`: Ferrock's own dump. `serial.rs`: small structures by serde.
//! - `order.rs`: numbers whose bytes sort as their values do, and fixed fields.
//! - `varint.rs`: variable-length integers and length-prefixed bytes.
//!
//! `docs/format.md` draws every layout; its examples are executed by `tests/format.rs`.
//! Decoders of stored bytes return errors, never panic: the bytes may be damaged.

pub mod dump;
pub mod key;
pub mod lzf;
pub mod order;
pub mod piece;
pub mod rdb;
pub mod record;
pub mod serial;
pub mod varint;
