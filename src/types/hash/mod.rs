//! Hashes: fields with values, and since 7.4 fields with deadlines of their own.
//!
//! - here: [`Hash`], its two layouts, how it is read and changed; the verbs that every
//!   layout answers.
//! - `inline.rs`: packed into the record. `large.rs`: a part a field, spread by `spread.rs`.
//! - `deadlines.rs`: fields that lapse. `number.rs`: fields that count.
//!
//! A field past its deadline is never shown: [`Hash::read`] and [`Hash::edit`] are the
//! doors that see to it, not the transaction's own `read` and `edit`. OBJECT ENCODING's word follows
//! Redis' thresholds ([`Limits`]) and never goes back; the layout follows the bytes.
//!
//! ```text
//! inline body      plain: packed (field, value)
//!                  timed: earliest deadline u64 BE · packed (field, value, deadline u64 BE or empty)
//! large metadata   plain: salt u64 BE · count of fields varint
//!                  timed: earliest deadline u64 BE · salt u64 BE · count of fields varint
//! parts            'f' place field → value
//!                  'd' place field → deadline u64 BE        (only fields that have one)
//!                  't' deadline u64 BE place field → empty  (the same in order of time)
//! ```

mod check;
mod deadlines;
mod inline;
mod large;
mod number;

use bytes::{BufMut, Bytes, BytesMut};

pub use deadlines::{Condition, Expired, Persisted, expire_fields};

use self::inline::Inline;
use self::large::Large;
use super::packed::INLINE_BYTES;
use super::spread::{Element, Page, SpreadWalk};
use crate::base::{Result, random};
use crate::keyspace::{Body, Encoding, Key, Kind, Tx, Type};
use crate::storage::Tier;

/// No field has a deadline.
const NEVER: u64 = u64::MAX;

/// Up to where OBJECT ENCODING calls a hash a listpack.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most fields.
    pub entries: usize,
    /// The longest field or value.
    pub value_bytes: usize,
}

/// A hash as a command holds it.
#[derive(Debug)]
pub struct Hash {
    /// Whether OBJECT ENCODING calls it a hashtable.
    is_hashtable: bool,
    layout: Layout,
    /// Whether the record must be written.
    changed: bool,
}

/// Where the fields are.
#[derive(Debug)]
enum Layout {
    Inline(Inline),
    Large(Large),
}

/// What becomes of a field's deadline when its value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deadline {
    /// HSET: the field is new, and without one.
    Drop,
    /// HINCRBY: the field is the same.
    Keep,
}

impl Kind for Hash {
    const TYPE: Type = Type::Hash;

    fn create() -> Self {
        Self { is_hashtable: false, layout: Layout::Inline(Inline::empty()), changed: false }
    }

    fn load(encoding: Encoding, body: Body) -> Result<Self, String> {
        let (is_hashtable, is_timed) = match encoding {
            Encoding::Listpack => (false, false),
            Encoding::Hashtable => (true, false),
            Encoding::ListpackEx => (false, true),
            Encoding::HashtableEx => (true, true),
            other => return Err(format!("a hash is never encoded as {other:?}")),
        };
        let layout = match body {
            Body::Inline(bytes) => Layout::Inline(Inline::load(bytes, is_timed)?),
            Body::Large { id, meta } => Layout::Large(Large::load(id, &meta, is_timed)?),
        };
        Ok(Self { is_hashtable, layout, changed: false })
    }

    fn is_empty(&self) -> bool {
        match &self.layout {
            Layout::Inline(inline) => inline.packed.is_empty(),
            Layout::Large(large) => large.count == 0,
        }
    }

    fn is_changed(&self) -> bool {
        self.changed
    }

    fn pack(mut self, tx: &mut Tx) -> Result<(Encoding, Body)> {
        if matches!(&self.layout, Layout::Inline(inline) if inline.packed.size_bytes() > INLINE_BYTES) {
            self.spill(tx)?;
        }
        let encoding = match (self.is_hashtable, self.is_timed()) {
            (false, false) => Encoding::Listpack,
            (true, false) => Encoding::Hashtable,
            (false, true) => Encoding::ListpackEx,
            (true, true) => Encoding::HashtableEx,
        };
        let body = match self.layout {
            Layout::Inline(inline) => Body::Inline(inline.into_body()),
            Layout::Large(mut large) => {
                large.settle(tx)?;
                Body::Large { id: large.id(), meta: large.meta() }
            }
        };
        Ok((encoding, body))
    }
}

impl Hash {
    /// Reads a hash: `None` if the key is not there.
    ///
    /// # Errors
    /// As [`Tx::read`].
    pub fn read(tx: &mut Tx, key: &Key) -> Result<Option<Self>> {
        let found = tx.read::<Self>(key)?;
        Ok(found.map(|hash| hash.as_of(tx.now_ms())))
    }

    /// The hash as a reader sees it at `now_ms`: without the fields that have lapsed.
    #[must_use]
    pub fn as_of(mut self, now_ms: u64) -> Self {
        self.hide_lapsed(now_ms);
        self
    }

    /// Changes a hash, creating it if missing.
    ///
    /// # Errors
    /// As [`Tx::edit`].
    pub fn edit<R>(tx: &mut Tx, key: &Key, change: impl FnOnce(&mut Self, &mut Tx) -> Result<R>) -> Result<R> {
        tx.edit(key, |hash: &mut Self, tx| {
            hash.expel_lapsed(tx, key)?;
            change(hash, tx)
        })
    }

    /// Changes a hash that is there; `None` if it is not.
    ///
    /// # Errors
    /// As [`Tx::edit_existing`].
    pub fn edit_existing<R>(
        tx: &mut Tx,
        key: &Key,
        change: impl FnOnce(&mut Self, &mut Tx) -> Result<R>,
    ) -> Result<Option<R>> {
        tx.edit_existing(key, |hash: &mut Self, tx| {
            hash.expel_lapsed(tx, key)?;
            change(hash, tx)
        })
    }

    fn is_timed(&self) -> bool {
        match &self.layout {
            Layout::Inline(inline) => inline.is_timed,
            Layout::Large(large) => large.is_timed,
        }
    }

    /// How many fields there are.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn len(&self, tx: &mut Tx) -> Result<u64> {
        match &self.layout {
            Layout::Inline(inline) => Ok(inline.packed.len() as u64),
            Layout::Large(large) => large.len(tx),
        }
    }

    /// How many fields are stored, those that have lapsed and are not removed yet included.
    pub fn stored_len(&self) -> u64 {
        match &self.layout {
            Layout::Inline(inline) => inline.packed.len() as u64,
            Layout::Large(large) => large.count,
        }
    }

    /// The value of a field.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn get(&self, tx: &mut Tx, field: &[u8]) -> Result<Option<Bytes>> {
        match &self.layout {
            Layout::Inline(inline) => Ok(inline.get(field)),
            Layout::Large(large) => large.get(tx, field),
        }
    }

    /// The values of several fields, in their order; reads that miss memory run together.
    ///
    /// # Errors
    /// As [`Tx::parts`].
    pub fn get_many(&self, tx: &mut Tx, fields: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        match &self.layout {
            Layout::Inline(inline) => Ok(fields.iter().map(|field| inline.get(field)).collect()),
            Layout::Large(large) => large.get_many(tx, fields),
        }
    }

    /// Whether a field is there.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn contains(&self, tx: &mut Tx, field: &[u8]) -> Result<bool> {
        match &self.layout {
            Layout::Inline(inline) => Ok(inline.packed.find(field).is_some()),
            Layout::Large(large) => Ok(large.get(tx, field)?.is_some()),
        }
    }

    /// Sets a field, which loses its deadline; says whether it is new.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn set(&mut self, tx: &mut Tx, field: &[u8], value: &[u8], limits: Limits) -> Result<bool> {
        self.store(tx, field, value, Deadline::Drop, limits)
    }

    fn store(&mut self, tx: &mut Tx, field: &[u8], value: &[u8], deadline: Deadline, limits: Limits) -> Result<bool> {
        self.make_room(tx, field, value)?;
        let is_new = match &mut self.layout {
            Layout::Inline(inline) => inline.set(field, value, deadline),
            Layout::Large(large) => large.set(tx, field, value, deadline)?,
        };
        self.stored(is_new, field.len().max(value.len()), limits);
        Ok(is_new)
    }

    /// Sets fields, given as field and value in turn; says how many are new.
    ///
    /// # Errors
    /// As [`Tx::parts`].
    pub fn set_many(&mut self, tx: &mut Tx, pairs: &[&[u8]], limits: Limits) -> Result<u64> {
        if pairs.len() / 2 > limits.entries {
            self.call_hashtable();
        }
        let (pairs, _) = pairs.as_chunks::<2>();
        if let (Layout::Large(large), [_, _, ..]) = (&mut self.layout, pairs) {
            let longest = pairs.iter().flatten().map(|text| text.len()).max().unwrap_or(0);
            let added = large.set_many(tx, pairs)?;
            self.stored(added > 0, longest, limits);
            return Ok(added);
        }
        let mut added = 0;
        for [field, value] in pairs {
            added += u64::from(self.store(tx, field, value, Deadline::Drop, limits)?);
        }
        Ok(added)
    }

    /// Notes what follows from a field having been stored.
    fn stored(&mut self, is_new: bool, longest_bytes: usize, limits: Limits) {
        let count = match &self.layout {
            Layout::Inline(inline) => {
                self.changed = true;
                inline.packed.len() as u64
            }
            Layout::Large(large) => {
                self.changed |= is_new || large.is_unsettled();
                large.count
            }
        };
        if longest_bytes > limits.value_bytes || count > limits.entries as u64 {
            self.call_hashtable();
        }
    }

    fn call_hashtable(&mut self) {
        self.changed |= !self.is_hashtable;
        self.is_hashtable = true;
    }

    /// Removes a field; says whether it was there.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn remove(&mut self, tx: &mut Tx, field: &[u8]) -> Result<bool> {
        match &mut self.layout {
            Layout::Inline(inline) => {
                let removed = inline.remove(field);
                self.changed |= removed;
                Ok(removed)
            }
            Layout::Large(large) => {
                let before = large.count;
                let removed = large.remove(tx, field)?;
                self.changed |= large.count != before;
                Ok(removed)
            }
        }
    }

    /// Removes fields; says how many were there.
    ///
    /// # Errors
    /// As [`Tx::parts`].
    pub fn remove_many(&mut self, tx: &mut Tx, fields: &[&[u8]]) -> Result<usize> {
        if let (Layout::Large(large), [_, _, ..], Tier::Disk) = (&self.layout, fields, tx.tier()) {
            // What is on disk only is read at once; the removals below then find it in memory.
            large.fields().get_many(tx, fields)?;
        }
        let mut removed = 0;
        for field in fields {
            removed += usize::from(self.remove(tx, field)?);
        }
        Ok(removed)
    }

    /// All fields and values, one by one.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn walk<'a>(&'a self, tx: &mut Tx) -> Result<Walk<'a>> {
        match &self.layout {
            Layout::Inline(inline) => Ok(Walk::Inline(inline.elements())),
            Layout::Large(large) if large.hides => Ok(Walk::Listed(large.visible(tx)?.into_iter())),
            Layout::Large(large) => Ok(Walk::Large(large.fields().walk(tx)?)),
        }
    }

    /// All fields and values.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn all(&self, tx: &mut Tx) -> Result<Vec<Element>> {
        let mut all = Vec::with_capacity(self.expected());
        let mut walk = self.walk(tx)?;
        while let Some(element) = walk.next()? {
            all.push(element);
        }
        Ok(all)
    }

    /// About how many fields there are; not more than fit a reply without thought.
    fn expected(&self) -> usize {
        match &self.layout {
            Layout::Inline(inline) => inline.packed.len(),
            Layout::Large(large) => large.count.min(1 << 16) as usize,
        }
    }

    /// A page of HSCAN: about `count` fields of a large hash, all of an inline one.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn page(&self, tx: &mut Tx, cursor: u64, count: usize) -> Result<Page> {
        match &self.layout {
            Layout::Inline(inline) => Ok(Page { cursor: 0, elements: inline.elements().collect() }),
            Layout::Large(large) => large.page(tx, cursor, count),
        }
    }

    /// A field drawn evenly, with its value; `None` only if there is none.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn random(&self, tx: &mut Tx) -> Result<Option<Element>> {
        match &self.layout {
            Layout::Inline(inline) => Ok(inline.random()),
            Layout::Large(large) if large.hides => Ok(take_random(large.visible(tx)?)),
            Layout::Large(large) => large.fields().random(tx, large.count),
        }
    }

    /// `wanted` different fields, each choice as likely as any other; all, if there are no more.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn sample(&self, tx: &mut Tx, wanted: u64) -> Result<Vec<Element>> {
        let mut all = match &self.layout {
            Layout::Inline(inline) => inline.elements().collect(),
            Layout::Large(large) if large.hides => large.visible(tx)?,
            Layout::Large(large) => return large.fields().sample(tx, large.count, wanted),
        };
        if wanted < all.len() as u64 {
            random::shuffle(&mut all);
            all.truncate(wanted as usize);
        }
        Ok(all)
    }

    /// `wanted` fields, each drawn evenly from all; none only if there is none.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn draws(&self, tx: &mut Tx, wanted: u64) -> Result<Vec<Element>> {
        let all: Vec<Element> = match &self.layout {
            Layout::Inline(inline) => inline.elements().collect(),
            Layout::Large(large) if large.hides => large.visible(tx)?,
            Layout::Large(large) => return large.fields().draws(tx, large.count, wanted),
        };
        let draw = |_| all.get(random::below(all.len() as u64) as usize).cloned();
        Ok((0..wanted).map_while(draw).collect())
    }

    /// Sees to it that an inline body stays within its limit when this field is stored.
    fn make_room(&mut self, tx: &mut Tx, field: &[u8], value: &[u8]) -> Result<()> {
        if matches!(&self.layout, Layout::Inline(inline) if !inline.has_room(field, value)) {
            self.spill(tx)?;
        }
        Ok(())
    }

    /// Moves the fields out of the record into parts of a new object.
    fn spill(&mut self, tx: &mut Tx) -> Result<()> {
        if let Layout::Inline(inline) = &self.layout {
            self.layout = Layout::Large(Large::spill(tx, inline)?);
            self.changed = true;
        }
        Ok(())
    }
}

fn take_random(mut all: Vec<Element>) -> Option<Element> {
    let nth = random::below(all.len() as u64) as usize;
    (nth < all.len()).then(|| all.swap_remove(nth))
}

/// Walks over the fields of a hash.
pub enum Walk<'a> {
    Inline(inline::Elements<'a>),
    Listed(std::vec::IntoIter<Element>),
    Large(SpreadWalk),
}

impl Walk<'_> {
    /// The next field and its value.
    ///
    /// # Errors
    /// As [`crate::keyspace::Scan::next`].
    #[allow(clippy::should_implement_trait, reason = "fallible")]
    pub fn next(&mut self) -> Result<Option<Element>> {
        match self {
            Self::Inline(elements) => Ok(elements.next()),
            Self::Listed(elements) => Ok(elements.next()),
            Self::Large(walk) => walk.next(),
        }
    }
}

/// A deadline as stored.
fn deadline_bytes(deadline_ms: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(8);
    bytes.put_u64(deadline_ms);
    bytes.freeze()
}

/// A stored deadline; `None` for other bytes, the empty ones of a field without deadline included.
fn deadline_of(bytes: &[u8]) -> Option<u64> {
    <[u8; 8]>::try_from(bytes).ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests;
