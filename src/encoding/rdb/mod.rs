//! Redis' RDB format: the files that SAVE writes and the payloads of DUMP. A pure codec between
//! bytes and [`Piece`](super::piece::Piece)s, streaming both ways.
//!
//! - `input.rs`: bytes with their checksum, lengths, strings. `read.rs`: a file, opcode by opcode.
//! - `value.rs`: the value of a key, type by type. `stream.rs`: streams, read and written.
//! - `packed.rs`: ziplist, listpack, intset and zipmap, the runs of bytes small values are kept in.
//! - `write.rs`: files and values written. `payload.rs`: DUMP's payloads.
//!
//! Read are versions 1 to 12 with every encoding they had, module values apart, which are
//! refused by name. Written are the encodings that redis-server 7.0 reads (version 10);
//! only a hash whose fields have deadlines, which it has no word for, is written as 7.4 does.
//!
//! Bytes come from outside: nothing here panics on them, and no length is believed before
//! that many bytes have arrived.

mod input;
mod packed;
mod payload;
mod read;
mod stream;
mod value;
mod write;

#[cfg(test)]
mod tests;

use std::io;

pub use payload::{PayloadReader, PayloadWriter, WrongFooter};
pub use read::Reader;
pub use write::Writer;

/// The newest version that is read.
pub const NEWEST: u32 = 12;
/// The version written: what redis-server 7.0 reads.
pub const WRITTEN: u16 = 10;
/// The version that brought deadlines of hash fields.
pub const TIMED: u16 = 12;

/// What a file begins with, in front of four digits of version.
pub const MAGIC: &[u8; 5] = b"REDIS";

/// Why bytes are not what they claim.
#[derive(Debug, thiserror::Error)]
pub enum RdbError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the data end early, at byte {at}")]
    Short { at: u64 },
    #[error("damaged at byte {at}: {what}")]
    Damaged { at: u64, what: &'static str },
    #[error("not an RDB file")]
    Magic,
    #[error("RDB version {0} is not known here")]
    Version(String),
    #[error("byte {at}: a value of the module type '{name}', which only Redis with that module can read")]
    Module { at: u64, name: String },
    #[error("the checksum is {found:016x}, but the data's own is {computed:016x}")]
    Checksum { found: u64, computed: u64 },
}

/// The result of reading or writing RDB.
pub type Result<T, E = RdbError> = std::result::Result<T, E>;

/// The bytes in front of what is not a key.
mod opcode {
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION2: u8 = 245;
    pub const FUNCTION_PRE_GA: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQUENCY: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const EXPIRE_AT_MS: u8 = 252;
    pub const EXPIRE_AT_S: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const EOF: u8 = 255;
}

/// The bytes in front of a value.
mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const MODULE_PRE_GA: u8 = 6;
    pub const MODULE_2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_LISTPACKS_3: u8 = 21;
    pub const HASH_METADATA_PRE_GA: u8 = 22;
    pub const HASH_LISTPACK_EX_PRE_GA: u8 = 23;
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;
}

/// How a length begins that is an encoding of a string instead, and which there are.
mod length {
    pub const BITS_14: u8 = 1;
    pub const LONGER: u8 = 2;
    pub const ENCODED: u8 = 3;
    pub const BITS_32: u8 = 0x80;
    pub const BITS_64: u8 = 0x81;
    pub const INT_8: u8 = 0;
    pub const INT_16: u8 = 1;
    pub const INT_32: u8 = 2;
    pub const LZF: u8 = 3;
}
