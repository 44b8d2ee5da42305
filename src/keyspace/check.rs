//! `ferrock check`: every record decoded, every value looked through, and what stands in two places
//! compared: deadlines with their index, objects with their directory, parts with the
//! records that own them. Reading everything checks every checksum on the way.
//!
//! Works on a store that nobody writes to. Says what could be done about a finding, and
//! does nothing.

use bytes::Bytes;
use rustc_hash::FxHashSet;

use super::key::Key;
use super::store::Store;
use super::tx::{Deadlines, Tx};
use crate::base::{Error, Result, clock};
use crate::encoding::key::{
    KeyspaceId, Lapsing, OBJECT_ID_BYTES, ObjectId, expiry_key, split_expiry_key, split_part_key, split_record_key,
    system,
};
use crate::encoding::record::Record;
use crate::storage::{Family, KeyRange, Tier, View};

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub family: Family,
    /// The stored key.
    pub key: Vec<u8>,
    pub what: String,
    pub remedy: Remedy,
}

/// What would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing that this program knows.
    None,
    /// The engine cannot read its files: what it can read is to be written anew.
    Rewrite,
    /// The entry goes; with a record, what it held is lost.
    Delete,
    /// The value is made again from what of it can be read.
    Rebuild,
    /// An entry is put in its place.
    Put { family: Family, key: Vec<u8>, value: Vec<u8> },
    /// The parts of an object that nobody owns go.
    Reclaim(ObjectId),
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckFigures {
    pub keys: u64,
    pub objects: u64,
    pub index_entries: u64,
    pub findings: u64,
}

/// Looks through the value of a record and tells what does not hold.
pub type CheckValue<'a> = &'a dyn Fn(&mut Tx, Record, &mut dyn FnMut(String)) -> Result<()>;

struct Check<'a> {
    store: &'a Store,
    tx: Tx,
    view: View,
    /// Keyspaces that a database shows, and those that wait to be reclaimed.
    shown: Vec<KeyspaceId>,
    reclaimed: FxHashSet<KeyspaceId>,
    owned: FxHashSet<ObjectId>,
    object_limit: u64,
    figures: CheckFigures,
    find: &'a mut dyn FnMut(Finding),
}

impl Store {
    /// Checks everything. `find` is told of each finding, `passed` how many keys were looked at.
    ///
    /// # Errors
    /// When the engine fails otherwise than by damage.
    pub fn check(
        self: &std::sync::Arc<Self>,
        value: CheckValue<'_>,
        find: &mut dyn FnMut(Finding),
        passed: &mut dyn FnMut(u64),
    ) -> Result<CheckFigures> {
        let mut view = View::latest(Tier::Disk);
        view.fill_cache = false;
        let mut tx = Tx::new(self.clone());
        tx.start(Tier::Disk, clock::now_ms());
        tx.freeze_all();
        let mut check = Check {
            store: self,
            tx,
            shown: self.databases.snapshot(),
            reclaimed: self.reclaimed_keyspaces()?,
            owned: self.reclaimed_objects()?,
            object_limit: self.object_limit(&view)?,
            view,
            figures: CheckFigures::default(),
            find,
        };
        for family in [Family::Keys, Family::Objects, Family::Expiry, Family::Data, Family::Scores] {
            let done = match family {
                Family::Keys => check.keys(value, passed),
                Family::Objects => check.directory(),
                Family::Expiry => check.index(),
                family => check.parts(family),
            };
            check.damage(done, family)?;
        }
        Ok(check.figures)
    }

    fn reclaimed_keyspaces(&self) -> Result<FxHashSet<KeyspaceId>> {
        let numbers = self.entries(system::RECLAIM_KEYSPACE, usize::MAX)?;
        let number = |bytes: &Bytes| <[u8; 4]>::try_from(&bytes[..]).ok().map(u32::from_be_bytes);
        Ok(numbers.iter().filter_map(number).map(KeyspaceId).collect())
    }

    fn reclaimed_objects(&self) -> Result<FxHashSet<ObjectId>> {
        let numbers = self.entries(system::RECLAIM_OBJECT, usize::MAX)?;
        let number = |bytes: &Bytes| <[u8; 8]>::try_from(&bytes[..]).ok().map(u64::from_be_bytes);
        Ok(numbers.iter().filter_map(number).map(ObjectId).collect())
    }

    fn object_limit(&self, view: &View) -> Result<u64> {
        let stored = self.engine.get(Family::System, system::OBJECT_ID_LIMIT, view)?;
        Ok(stored.and_then(|bytes| <[u8; 8]>::try_from(&bytes[..]).ok()).map_or(1, u64::from_be_bytes))
    }
}

impl Check<'_> {
    fn find(&mut self, family: Family, key: &[u8], what: String, remedy: Remedy) {
        self.figures.findings += 1;
        (self.find)(Finding { family, key: key.to_vec(), what, remedy });
    }

    /// Damage that the engine met ends the walk over its family, and is a finding.
    fn damage(&mut self, done: Result<()>, family: Family) -> Result<()> {
        match done {
            Err(Error::Corruption { key, what, .. }) => {
                self.find(family, &key, what, Remedy::Rewrite);
                Ok(())
            }
            Err(Error::Storage(what)) => {
                self.find(family, b"", what, Remedy::Rewrite);
                Ok(())
            }
            done => done,
        }
    }

    fn keys(&mut self, value: CheckValue<'_>, passed: &mut dyn FnMut(u64)) -> Result<()> {
        let mut cursor = self.store.engine.cursor(Family::Keys, KeyRange::default(), &self.view)?;
        cursor.seek_to_first()?;
        while let Some((key, stored)) = cursor.entry() {
            let (key, stored) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(stored));
            self.figures.keys += 1;
            self.record(&key, &stored, value)?;
            passed(self.figures.keys);
            cursor.next()?;
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], stored: &Bytes, value: CheckValue<'_>) -> Result<()> {
        let Some((keyspace, name)) = split_record_key(key) else {
            self.find(Family::Keys, key, "too short for a key".into(), Remedy::Delete);
            return Ok(());
        };
        let record = match Record::decode(stored) {
            Ok(record) => record,
            Err(error) => {
                self.find(Family::Keys, key, error.to_string(), Remedy::Delete);
                return Ok(());
            }
        };
        if self.reclaimed.contains(&keyspace) {
            // Its objects go with it, one after the other; some may be gone.
            self.owned.extend(record.object());
            return Ok(());
        }
        if let Some(object) = record.object() {
            self.object(key, object)?;
        }
        let Some(db) = self.shown.iter().position(|shown| *shown == keyspace) else {
            self.find(Family::Keys, key, format!("no database shows its keyspace {}", keyspace.0), Remedy::None);
            return Ok(());
        };
        let deadlines = Deadlines::of(&record);
        self.deadline(key, expiry_entry(keyspace, deadlines.key_ms, Lapsing::Key, name))?;
        self.deadline(key, expiry_entry(keyspace, deadlines.element_ms, Lapsing::Elements, name))?;
        debug_assert_eq!(Key::new(db as u32, keyspace, name).stored(), key);
        let mut wrong = Vec::new();
        match value(&mut self.tx, record, &mut |what| wrong.push(what)) {
            Err(Error::Corruption { what, .. } | Error::Storage(what)) => {
                self.find(Family::Keys, key, what, Remedy::Rebuild);
            }
            done => done?,
        }
        for what in wrong {
            self.find(Family::Keys, key, what, Remedy::Rebuild);
        }
        Ok(())
    }

    /// An object belongs to one key, which the directory names.
    fn object(&mut self, key: &[u8], object: ObjectId) -> Result<()> {
        self.figures.objects += 1;
        if !self.owned.insert(object) {
            self.find(Family::Keys, key, format!("object {} is another key's, or given up", object.0), Remedy::None);
        }
        if object.0 >= self.object_limit {
            self.object_limit = object.0.saturating_add(1);
            let value = self.object_limit.to_be_bytes().to_vec();
            let remedy = Remedy::Put { family: Family::System, key: system::OBJECT_ID_LIMIT.to_vec(), value };
            self.find(Family::Keys, key, format!("object {} was never handed out", object.0), remedy);
        }
        let listed = self.store.engine.get(Family::Objects, key, &self.view)?;
        if listed.as_deref() != Some(&object.0.to_be_bytes()) {
            let value = object.0.to_be_bytes().to_vec();
            let remedy = Remedy::Put { family: Family::Objects, key: key.to_vec(), value };
            self.find(Family::Objects, key, format!("object {} is not in the directory", object.0), remedy);
        }
        Ok(())
    }

    fn deadline(&mut self, key: &[u8], entry: Option<Vec<u8>>) -> Result<()> {
        let Some(entry) = entry else { return Ok(()) };
        if self.store.engine.get(Family::Expiry, &entry, &self.view)?.is_none() {
            let remedy = Remedy::Put { family: Family::Expiry, key: entry, value: Vec::new() };
            self.find(Family::Expiry, key, "a deadline is not in the index".into(), remedy);
        }
        Ok(())
    }

    /// The directory names no object that its key does not own.
    fn directory(&mut self) -> Result<()> {
        let mut cursor = self.store.engine.cursor(Family::Objects, KeyRange::default(), &self.view)?;
        cursor.seek_to_first()?;
        while let Some((key, listed)) = cursor.entry() {
            let (key, listed) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(listed));
            let stored = self.store.engine.get(Family::Keys, &key, &self.view)?;
            let object = stored.and_then(|stored| Record::decode(&stored).ok()?.object());
            if object.is_none_or(|object| listed[..] != object.0.to_be_bytes()) {
                self.find(Family::Objects, &key, "names an object that its key does not own".into(), Remedy::Delete);
            }
            cursor.next()?;
        }
        Ok(())
    }

    /// Entries of the index may be stale, but must be entries.
    fn index(&mut self) -> Result<()> {
        let mut cursor = self.store.engine.cursor(Family::Expiry, KeyRange::default(), &self.view)?;
        cursor.seek_to_first()?;
        while let Some((key, value)) = cursor.entry() {
            self.figures.index_entries += 1;
            if split_expiry_key(key).is_none() || !value.is_empty() {
                let key = key.to_vec();
                self.find(Family::Expiry, &key, "not an entry of the index of deadlines".into(), Remedy::Delete);
            }
            cursor.next()?;
        }
        Ok(())
    }

    /// Parts belong to objects that somebody owns, or that wait to be reclaimed.
    fn parts(&mut self, family: Family) -> Result<()> {
        let mut cursor = self.store.engine.cursor(family, KeyRange::default(), &self.view)?;
        cursor.seek_to_first()?;
        while let Some((key, _)) = cursor.entry() {
            let Some((object, _)) = split_part_key(key) else {
                let key = key.to_vec();
                self.find(family, &key, "too short for a part".into(), Remedy::Delete);
                cursor.next()?;
                continue;
            };
            if !self.owned.contains(&object) {
                let what = format!("parts of object {}, which no key owns", object.0);
                self.find(family, &object.0.to_be_bytes(), what, Remedy::Reclaim(object));
            }
            let Some(next) = object.0.checked_add(1) else { break };
            const _: () = assert!(OBJECT_ID_BYTES == size_of::<u64>());
            cursor.seek(&next.to_be_bytes())?;
        }
        Ok(())
    }
}

fn expiry_entry(keyspace: KeyspaceId, deadline_ms: Option<u64>, what: Lapsing, name: &[u8]) -> Option<Vec<u8>> {
    deadline_ms.map(|deadline_ms| expiry_key(keyspace, deadline_ms, what, name))
}
