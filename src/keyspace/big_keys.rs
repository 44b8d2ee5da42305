//! The biggest keys, found by walking the directory of large objects a little at a time. Only
//! values in parts are looked at; what is packed into its record is small by definition.
//!
//! Steps wait, so they run where waiting is allowed.

use bytes::Bytes;

use super::databases::DatabaseIndex;
use super::store::Store;
use crate::base::Result;
use crate::encoding::key::{ObjectId, keyspace_prefix, record_key, split_record_key};
use crate::encoding::record::{Record, Type};
use crate::storage::{Family, KeyRange, Tier, View};

/// A key whose value lies in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BigKey {
    pub db: DatabaseIndex,
    pub name: Bytes,
    pub kind: Type,
    /// Bytes of table files that its parts take; what was written of late is not among them.
    pub bytes: u64,
}

/// A walk through all databases, again and again.
#[derive(Debug, Default)]
pub struct BigKeys {
    db: DatabaseIndex,
    /// The stored key that was looked at last.
    after: Option<Bytes>,
    /// What this round has found so far, and what the round before found.
    found: Vec<BigKey>,
    before: Vec<BigKey>,
}

impl BigKeys {
    /// Looks at up to `most` more keys, and keeps the `kept` biggest.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn go_on(&mut self, store: &Store, most: usize, kept: usize) -> Result<()> {
        let mut left = most;
        loop {
            left -= self.walk(store, left)?;
            self.found.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
            self.found.truncate(kept);
            if left == 0 {
                return Ok(());
            }
            self.after = None;
            self.db += 1;
            if self.db >= store.database_count() {
                self.db = 0;
                self.before = std::mem::take(&mut self.found);
                return Ok(());
            }
        }
    }

    /// The biggest keys, biggest first: of the last whole round, or of the first as far as it has come.
    pub fn biggest(&self) -> &[BigKey] {
        if self.before.is_empty() { &self.found } else { &self.before }
    }

    /// Looks at some keys of one database; says how many there were.
    fn walk(&mut self, store: &Store, most: usize) -> Result<usize> {
        let Some(keyspace) = store.keyspace(self.db) else { return Ok(0) };
        let view = View::latest(Tier::Disk);
        let range = KeyRange::prefix(&keyspace_prefix(keyspace));
        let mut cursor = store.engine.cursor(Family::Objects, range, &view)?;
        // A flush may have given the database another keyspace meanwhile: then from its beginning.
        match self.after.take() {
            Some(after) => cursor.seek(&[&after[..], &[0]].concat())?,
            None => cursor.seek_to_first()?,
        }
        let mut seen = 0;
        while seen < most
            && let Some((stored, id)) = cursor.entry()
        {
            seen += 1;
            self.after = Some(Bytes::copy_from_slice(stored));
            if let (Some((_, name)), Ok(id)) = (split_record_key(stored), <[u8; 8]>::try_from(id)) {
                let stored = record_key(keyspace, name);
                let record = store.engine.get(Family::Keys, &stored, &view)?;
                if let Some(record) = record.and_then(|record| Record::decode(&record).ok()) {
                    let bytes = store.object_bytes(ObjectId(u64::from_be_bytes(id)))?;
                    let name = Bytes::copy_from_slice(name);
                    self.found.push(BigKey { db: self.db, name, kind: record.kind, bytes });
                }
            }
            cursor.next()?;
        }
        Ok(seen)
    }
}

impl Store {
    /// About how many bytes of table files the parts of an object take.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn object_bytes(&self, object: ObjectId) -> Result<u64> {
        let range = KeyRange::prefix(&object.0.to_be_bytes());
        let data = self.engine.approximate_bytes(Family::Data, &range)?;
        Ok(data + self.engine.approximate_bytes(Family::Scores, &range)?)
    }
}
