//! The version guard: what the whole database is written in, noted once in the `system`
//! family and read before anything else is.
//!
//! ```text
//! system family, key "format"
//! 0        8           12
//! +--------+-----------+
//! | magic  | version   |   magic "FERROCK\0", version u32 big-endian
//! +--------+-----------+
//! ```

use std::path::Path;

use super::{Change, CommitOptions, Durability, Engine, Family, Tier, View};
use crate::base::{Error, Result};

/// The version this build reads and writes.
pub const VERSION: u32 = 1;

/// Where the version lies in the `system` family.
pub const KEY: &[u8] = b"format";

const MAGIC: [u8; 8] = *b"FERROCK\0";
const BYTES: usize = MAGIC.len() + size_of::<u32>();

/// The stored form of a version.
fn encode(version: u32) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
    bytes[MAGIC.len()..].copy_from_slice(&version.to_be_bytes());
    bytes
}

/// The version out of its stored form; `None` if it is no such thing.
fn decode(bytes: &[u8]) -> Option<u32> {
    let version = bytes.strip_prefix(&MAGIC)?;
    Some(u32::from_be_bytes(version.try_into().ok()?))
}

/// Notes the version in a new database.
pub(super) fn initialise(engine: &dyn Engine) -> Result<()> {
    let note = Change::Put { family: Family::System, key: KEY.into(), value: encode(VERSION).to_vec().into() };
    engine.commit(vec![note], CommitOptions { may_wait: true, durability: Durability::Synced })
}

/// Refuses a database that this build does not understand; `directory` is for the message.
pub(super) fn check(engine: &dyn Engine, directory: &Path) -> Result<()> {
    let directory = directory.display();
    let Some(note) = engine.get(Family::System, KEY, &View::latest(Tier::Disk))? else {
        return Err(Error::Storage(format!(
            "{directory} holds a RocksDB database without Ferrock's format mark; it was left as it is"
        )));
    };
    match decode(&note) {
        Some(VERSION) => Ok(()),
        Some(version) if version > VERSION => Err(Error::Storage(format!(
            "the database in {directory} has format version {version}, this ferrock reads up to version {VERSION}: \
             use a newer ferrock"
        ))),
        Some(version) => Err(Error::Storage(format!(
            "the database in {directory} has format version {version}, which no release of ferrock ever wrote; \
             this one reads version {VERSION}"
        ))),
        None => Err(Error::Corruption {
            family: Family::System.name(),
            key: KEY.to_vec(),
            what: format!("\"{}\" is no format mark of Ferrock's", note.escape_ascii()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_mark_is_what_the_head_draws() {
        assert_eq!(&encode(1), b"FERROCK\0\0\0\0\x01");
    }

    proptest! {
        #[test]
        fn versions_survive(version: u32) {
            prop_assert_eq!(decode(&encode(version)), Some(version));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>) {
            let version = decode(&bytes);
            prop_assert!(version.is_none_or(|version| encode(version)[..] == bytes[..]));
        }
    }
}
