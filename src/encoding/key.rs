//! The keys of every column family, composed and taken apart.
//!
//! | family | key |
//! | --- | --- |
//! | `keys`, `objects` | keyspace u32 BE · slot u16 BE · user key |
//! | `data`, `scores` | object u64 BE · part |
//! | `expiry` | keyspace u32 BE · deadline ms u64 BE · what lapses u8 (0 key, 1 elements) · user key |
//! | `system` | ASCII name, or ASCII prefix and a number BE |

use smallvec::SmallVec;

/// A logical database's current contents; FLUSHDB gives the database a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyspaceId(pub u32);

/// A large object. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub u64);

/// Bytes of a stored key in front of the user key.
pub const KEY_PREFIX_BYTES: usize = 6;
/// Bytes of an expiry index key in front of the user key.
pub const EXPIRY_PREFIX_BYTES: usize = 13;
/// Bytes of an object id.
pub const OBJECT_ID_BYTES: usize = 8;

/// What an entry of the expiry index says will lapse. Discriminants are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Lapsing {
    /// The key.
    Key = 0,
    /// Elements of its value, the earliest at that time.
    Elements = 1,
}

/// A stored key; short ones stay on the stack.
pub type StoredKey = SmallVec<[u8; 64]>;

/// The key of a record (`keys`) and of an object's directory entry (`objects`).
pub fn record_key(keyspace: KeyspaceId, user_key: &[u8]) -> StoredKey {
    let mut stored = StoredKey::new();
    stored.extend_from_slice(&keyspace_prefix(keyspace));
    stored.extend_from_slice(user_key);
    stored
}

/// What every record key of a keyspace starts with (outside cluster mode the slot is 0).
pub fn keyspace_prefix(keyspace: KeyspaceId) -> [u8; KEY_PREFIX_BYTES] {
    let [a, b, c, d] = keyspace.0.to_be_bytes();
    [a, b, c, d, 0, 0]
}

/// Keyspace and user key of a record key; `None` when it is too short to be one.
pub fn split_record_key(stored: &[u8]) -> Option<(KeyspaceId, &[u8])> {
    let (keyspace, rest) = stored.split_first_chunk::<4>()?;
    let (_slot, user_key) = rest.split_first_chunk::<2>()?;
    Some((KeyspaceId(u32::from_be_bytes(*keyspace)), user_key))
}

/// The key of a part of a large object.
pub fn part_key(object: ObjectId, part: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(OBJECT_ID_BYTES + part.len());
    stored.extend_from_slice(&object.0.to_be_bytes());
    stored.extend_from_slice(part);
    stored
}

/// Object and part of a part key; `None` when it is too short to be one.
pub fn split_part_key(stored: &[u8]) -> Option<(ObjectId, &[u8])> {
    let (object, part) = stored.split_first_chunk::<OBJECT_ID_BYTES>()?;
    Some((ObjectId(u64::from_be_bytes(*object)), part))
}

/// The key of an entry in the time-ordered index of expiring keys.
pub fn expiry_key(keyspace: KeyspaceId, deadline_ms: u64, what: Lapsing, user_key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(EXPIRY_PREFIX_BYTES + user_key.len());
    stored.extend_from_slice(&keyspace.0.to_be_bytes());
    stored.extend_from_slice(&deadline_ms.to_be_bytes());
    stored.push(what as u8);
    stored.extend_from_slice(user_key);
    stored
}

/// Keyspace, deadline, what lapses and user key of an expiry index key.
pub fn split_expiry_key(stored: &[u8]) -> Option<(KeyspaceId, u64, Lapsing, &[u8])> {
    let (keyspace, rest) = stored.split_first_chunk::<4>()?;
    let (deadline, user_key) = rest.split_first_chunk::<8>()?;
    let (what, user_key) = match user_key {
        [0, user_key @ ..] => (Lapsing::Key, user_key),
        [1, user_key @ ..] => (Lapsing::Elements, user_key),
        _ => return None,
    };
    Some((KeyspaceId(u32::from_be_bytes(*keyspace)), u64::from_be_bytes(*deadline), what, user_key))
}

/// Names in the `system` family. A test holds them apart.
pub mod system {
    /// The keyspace of each logical database: u32 BE each, in order.
    pub const DATABASES: &[u8] = b"databases";
    /// The next keyspace id: u32 BE.
    pub const NEXT_KEYSPACE: &[u8] = b"next-keyspace";
    /// No object id at or above this was ever handed out: u64 BE.
    pub const OBJECT_ID_LIMIT: &[u8] = b"object-id-limit";
    /// Key counts by keyspace as of a clean shutdown: (u32 BE, u64 BE) each. Gone while running.
    pub const KEY_COUNTS: &[u8] = b"key-counts";
    /// `reclaim-object/` + object u64 BE: space to give back. Value empty.
    pub const RECLAIM_OBJECT: &[u8] = b"reclaim-object/";
    /// `reclaim-keyspace/` + keyspace u32 BE: a flushed keyspace. Value empty.
    pub const RECLAIM_KEYSPACE: &[u8] = b"reclaim-keyspace/";
    /// `function-library/` + name: the code of a library.
    pub const FUNCTION_LIBRARY: &[u8] = b"function-library/";
}

/// The `system` entry that says an object's space is to be given back.
pub fn reclaim_object_key(object: ObjectId) -> Vec<u8> {
    [system::RECLAIM_OBJECT, &object.0.to_be_bytes()].concat()
}

/// The `system` entry that says a flushed keyspace's space is to be given back.
pub fn reclaim_keyspace_key(keyspace: KeyspaceId) -> Vec<u8> {
    [system::RECLAIM_KEYSPACE, &keyspace.0.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_keys_split_into_what_they_were_made_of() {
        let stored = record_key(KeyspaceId(7), b"user:1");
        assert_eq!(&stored[..], b"\0\0\0\x07\0\0user:1");
        assert_eq!(split_record_key(&stored), Some((KeyspaceId(7), &b"user:1"[..])));
        assert_eq!(split_record_key(b"\0\0\0\x07\0"), None);
    }

    #[test]
    fn expiry_keys_order_by_deadline_before_name() {
        let early = expiry_key(KeyspaceId(1), 255, Lapsing::Elements, b"z");
        let late = expiry_key(KeyspaceId(1), 256, Lapsing::Key, b"a");
        assert!(early < late);
        assert_eq!(early, b"\0\0\0\x01\0\0\0\0\0\0\0\xff\x01z");
        assert_eq!(split_expiry_key(&early), Some((KeyspaceId(1), 255, Lapsing::Elements, &b"z"[..])));
        assert_eq!(split_expiry_key(b"\0\0\0\x01\0\0\0\0\0\0\0\xff\x02z"), None);
    }
}
