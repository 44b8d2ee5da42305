//! What lies in the databases, key by key, with the bytes that each takes: for `ferrock stats`. Memory is that
//! of one key, whatever their number and sizes.

use std::sync::Arc;

use bytes::Bytes;

use super::databases::DatabaseIndex;
use super::store::Store;
use super::tx::{Deadlines, Tx};
use crate::base::{Result, clock};
use crate::encoding::key::{EXPIRY_PREFIX_BYTES, OBJECT_ID_BYTES, ObjectId};
use crate::encoding::record::{Record, Type};
use crate::storage::{Family, KeyRange, Tier, View};

/// Read ahead of the parts of large objects.
const READAHEAD_BYTES: usize = 256 << 10;

/// A key and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    pub db: DatabaseIndex,
    pub name: Bytes,
    pub kind: Type,
    /// Milliseconds since the epoch.
    pub expire_at_ms: Option<u64>,
    /// Of all entries it has in every family, keys and values, as they are before compression.
    pub bytes: u64,
    /// Entries of family `data` among them; 0 for what lies in its record.
    pub parts: u64,
}

impl Store {
    /// Shows every live key, in the order of databases and names. For a store that nobody writes to.
    ///
    /// # Errors
    /// When the engine fails, or a record is damaged.
    pub fn survey(self: &Arc<Self>, see: &mut dyn FnMut(Surveyed)) -> Result<()> {
        let mut tx = Tx::new(self.clone());
        tx.start(Tier::Disk, clock::now_ms());
        let view = View { fill_cache: false, readahead_bytes: READAHEAD_BYTES, ..View::latest(Tier::Disk) };
        for db in 0..self.database_count() {
            let mut walk = tx.walk(db, b"", None)?;
            while let Some((name, record)) = walk.next()? {
                let stored_bytes = tx.key(db, &name).stored().len() as u64;
                let mut bytes = stored_bytes + record.encode().len() as u64 + index_bytes(&record, &name);
                let mut parts = 0;
                if let Some(object) = record.object() {
                    let (count, part_bytes) = self.parts_of(object, &view)?;
                    bytes += stored_bytes + OBJECT_ID_BYTES as u64 + part_bytes;
                    parts = count;
                }
                see(Surveyed { db, name, kind: record.kind, expire_at_ms: record.expire_at_ms, bytes, parts });
            }
        }
        Ok(())
    }

    /// How many parts an object has, and their bytes.
    fn parts_of(&self, object: ObjectId, view: &View) -> Result<(u64, u64)> {
        let range = KeyRange::prefix(&object.0.to_be_bytes());
        let (mut parts, mut bytes) = (0, 0);
        for family in [Family::Data, Family::Scores] {
            let mut cursor = self.engine.cursor(family, range.clone(), view)?;
            cursor.seek_to_first()?;
            while let Some((key, value)) = cursor.entry() {
                parts += 1;
                bytes += (key.len() + value.len()) as u64;
                cursor.next()?;
            }
        }
        Ok((parts, bytes))
    }
}

/// Bytes of the entries that the index of deadlines has for a record.
fn index_bytes(record: &Record, name: &[u8]) -> u64 {
    let deadlines = Deadlines::of(record);
    let entries = [deadlines.key_ms, deadlines.element_ms].into_iter().flatten().count();
    (entries * (EXPIRY_PREFIX_BYTES + name.len())) as u64
}
