//! The one read-modify-write frame. It alone knows expiry, WRONGTYPE, object ids,
//! delete-when-empty, inline or large, keeping the deadline, and that a key was touched; a type's
//! file is verbs only.

use super::events::Class;
use super::key::Key;
use super::tx::Tx;
use crate::base::{Error, Result};
use crate::encoding::record::{Body, Encoding, Record, Type};
use crate::storage::Family;

/// A type of value: how it is made, read from a record and packed into one.
///
/// Its verbs take the transaction apart, because the elements of a large object are read and
/// written there: `hash.set(tx, field, value)`.
pub trait Kind: Sized {
    /// Which type this is.
    const TYPE: Type;

    /// An empty value.
    fn create() -> Self;

    /// Reads the body (inline bytes, or the metadata of a large object).
    ///
    /// # Errors
    /// A description when the bytes are not what [`Kind::pack`] writes.
    fn load(encoding: Encoding, body: Body) -> Result<Self, String>;

    /// Whether nothing is in it, so that its key must go.
    fn is_empty(&self) -> bool;

    /// Whether the record must be written again (parts of large objects apart).
    fn is_changed(&self) -> bool;

    /// The record's encoding and body. Moves an inline body that has outgrown its limit out into
    /// the parts of a new object.
    ///
    /// # Errors
    /// When no object id can be had.
    fn pack(self, tx: &mut Tx) -> Result<(Encoding, Body)>;
}

impl Tx {
    /// Reads a value: `None` if the key is not there.
    ///
    /// # Errors
    /// WRONGTYPE, `NotInMemory`, corruption.
    pub fn read<K: Kind>(&mut self, key: &Key) -> Result<Option<K>> {
        match self.record_of(key, K::TYPE)? {
            None => Ok(None),
            Some(record) => load(key, record).map(Some),
        }
    }

    /// Changes a value, creating it if missing, deleting it if it ends up empty.
    ///
    /// # Errors
    /// WRONGTYPE, `NotInMemory`, and whatever `change` fails with; the caller rolls back.
    pub fn edit<K: Kind, R>(&mut self, key: &Key, change: impl FnOnce(&mut K, &mut Self) -> Result<R>) -> Result<R> {
        match self.record_of(key, K::TYPE)? {
            None => self.change(key, K::create(), None, Tx::touch, change),
            Some(record) => {
                let deadline = record.expire_at_ms;
                let value = load(key, record)?;
                self.change(key, value, Some(deadline), Tx::touch, change)
            }
        }
    }

    /// Changes a value that is there; `None` if it is not.
    ///
    /// # Errors
    /// As [`Tx::edit`].
    pub fn edit_existing<K: Kind, R>(
        &mut self,
        key: &Key,
        change: impl FnOnce(&mut K, &mut Self) -> Result<R>,
    ) -> Result<Option<R>> {
        let Some(record) = self.record_of(key, K::TYPE)? else { return Ok(None) };
        let deadline = record.expire_at_ms;
        let value = load(key, record)?;
        self.change(key, value, Some(deadline), Tx::touch, change).map(Some)
    }

    /// The same for changes that leave the value as it was in the eyes of WATCH and of caches (the
    /// consumer groups of a stream).
    ///
    /// # Errors
    /// As [`Tx::edit`].
    pub fn edit_quietly<K: Kind, R>(
        &mut self,
        key: &Key,
        change: impl FnOnce(&mut K, &mut Self) -> Result<R>,
    ) -> Result<Option<R>> {
        let Some(record) = self.record_of(key, K::TYPE)? else { return Ok(None) };
        let deadline = record.expire_at_ms;
        let value = load(key, record)?;
        self.change(key, value, Some(deadline), Tx::touch_quietly, change).map(Some)
    }

    /// Replaces whatever a key holds by a new value without a deadline; an empty one deletes the key.
    ///
    /// # Errors
    /// `NotInMemory` and engine failures.
    pub fn replace<K: Kind>(&mut self, key: &Key, value: K) -> Result<()> {
        if value.is_empty() {
            return self.delete_record(key);
        }
        let (encoding, body) = value.pack(self)?;
        self.put_record(key, &Record { kind: K::TYPE, encoding, expire_at_ms: None, body })
    }

    /// The frame itself. `found` is the deadline of the value that was there.
    fn change<K: Kind, R>(
        &mut self,
        key: &Key,
        mut value: K,
        found: Option<Option<u64>>,
        touch: impl Fn(&mut Self, &Key),
        change: impl FnOnce(&mut K, &mut Self) -> Result<R>,
    ) -> Result<R> {
        let parts_before = self.parts_written();
        let result = change(&mut value, self)?;
        let touched = value.is_changed() || self.parts_written() != parts_before;
        if !touched {
            return Ok(result);
        }
        if value.is_empty() {
            if found.is_some() {
                self.delete_record(key)?;
                self.touch(key);
                self.notify(Class::GENERIC, "del", key);
            }
            return Ok(result);
        }
        if value.is_changed() {
            let (encoding, body) = value.pack(self)?;
            self.put_record(key, &Record { kind: K::TYPE, encoding, expire_at_ms: found.flatten(), body })?;
        }
        touch(self, key);
        if found.is_none() {
            self.notify(Class::NEW, "new", key);
        }
        Ok(result)
    }
}

fn load<K: Kind>(key: &Key, record: Record) -> Result<K> {
    K::load(record.encoding, record.body).map_err(|what| Error::Corruption {
        family: Family::Keys.name(),
        key: key.stored().to_vec(),
        what,
    })
}
