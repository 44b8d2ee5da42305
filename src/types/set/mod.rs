//! Sets: members without order.
//!
//! - here: [`Set`], its two layouts and its verbs. `algebra.rs`: what several sets share.
//!
//! Which of Redis' three words OBJECT ENCODING answers follows Redis' thresholds ([`Limits`])
//! and goes one way only, from `intset` over `listpack` to `hashtable`. The layout
//! follows the bytes: members are stored as texts in either, integers too.
//!
//! ```text
//! inline body      packed (member)
//! large metadata   salt u64 BE · count of members varint · most there were varint
//! parts            'm' place member → empty
//! ```

mod algebra;
mod check;

use bytes::{BufMut, Bytes, BytesMut};
use rustc_hash::FxHashSet;

pub use algebra::{difference, intersection, intersection_count, union};

use super::packed::{INLINE_BYTES, Packed};
use super::spread::{Spread, SpreadWalk};
use crate::base::number::parse_i64;
use crate::base::{Error, Result, random};
use crate::encoding::key::ObjectId;
use crate::encoding::order::take_u64;
use crate::encoding::varint::{put_varint, take_varint};
use crate::keyspace::{Body, Encoding, Kind, Tx, Type};
use crate::storage::Tier;

const MEMBERS: u8 = b'm';
/// Large sets that never had this many members are left as they are.
const SPARSE_FROM: u64 = 1024;
/// A large set is moved together once it has shrunk to one member in so many: draws would
/// step over the remains of the others.
const SPARSE_SHARE: u64 = 64;

/// Up to where OBJECT ENCODING says `intset` and `listpack`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most members of an intset.
    pub intset_entries: usize,
    /// The most members of a listpack.
    pub listpack_entries: usize,
    /// The longest member of a listpack.
    pub listpack_value_bytes: usize,
}

/// What OBJECT ENCODING says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Intset,
    Listpack,
    Hashtable,
}

/// A set as a command holds it.
#[derive(Debug)]
pub struct Set {
    word: Word,
    layout: Layout,
    /// Whether the record must be written.
    changed: bool,
}

/// Where the members are.
#[derive(Debug)]
enum Layout {
    Inline(Packed),
    Large(Large),
}

/// The metadata of a large set.
#[derive(Debug, Clone, Copy)]
struct Large {
    object: ObjectId,
    salt: u64,
    count: u64,
    /// The most members since it was written together.
    most: u64,
}

impl Large {
    fn load(object: ObjectId, meta: &[u8]) -> Result<Self, &'static str> {
        let mut rest = meta;
        let (Some(salt), Some(count), Some(most)) =
            (take_u64(&mut rest), take_varint(&mut rest), take_varint(&mut rest))
        else {
            return Err("the metadata of a large set ends early");
        };
        if !rest.is_empty() {
            return Err("the metadata of a large set has bytes behind its counts");
        }
        Ok(Self { object, salt, count, most })
    }

    fn create(tx: &mut Tx) -> Result<Self> {
        Ok(Self { object: tx.new_object()?, salt: random::number(), count: 0, most: 0 })
    }

    fn meta(&self) -> Bytes {
        let mut meta = BytesMut::with_capacity(28);
        meta.put_u64(self.salt);
        put_varint(&mut meta, self.count);
        put_varint(&mut meta, self.most);
        meta.freeze()
    }

    fn members(&self) -> Spread {
        Spread { object: self.object, salt: self.salt, tag: MEMBERS }
    }

    /// Writes members that are not there yet.
    fn add(&mut self, tx: &mut Tx, member: &[u8]) {
        self.members().put(tx, member, Bytes::new());
        self.count += 1;
        self.most = self.most.max(self.count);
    }

    fn take(&mut self, tx: &mut Tx, member: &[u8]) {
        self.members().delete(tx, member);
        self.count = self.count.saturating_sub(1);
    }
}

impl Kind for Set {
    const TYPE: Type = Type::Set;

    fn create() -> Self {
        Self { word: Word::Intset, layout: Layout::Inline(Packed::empty(1)), changed: false }
    }

    fn load(encoding: Encoding, body: Body) -> Result<Self, String> {
        let word = match encoding {
            Encoding::Intset => Word::Intset,
            Encoding::Listpack => Word::Listpack,
            Encoding::Hashtable => Word::Hashtable,
            other => return Err(format!("a set is never encoded as {other:?}")),
        };
        let layout = match body {
            Body::Inline(bytes) => Layout::Inline(Packed::open(bytes, 1)?),
            Body::Large { id, meta } => Layout::Large(Large::load(id, &meta)?),
        };
        Ok(Self { word, layout, changed: false })
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_changed(&self) -> bool {
        self.changed
    }

    fn pack(mut self, tx: &mut Tx) -> Result<(Encoding, Body)> {
        if matches!(&self.layout, Layout::Inline(packed) if packed.size_bytes() > INLINE_BYTES) {
            self.spill(tx)?;
        }
        let encoding = match self.word {
            Word::Intset => Encoding::Intset,
            Word::Listpack => Encoding::Listpack,
            Word::Hashtable => Encoding::Hashtable,
        };
        let body = match self.layout {
            Layout::Inline(packed) => Body::Inline(packed.into_bytes()),
            Layout::Large(large) => Body::Large { id: large.object, meta: large.meta() },
        };
        Ok((encoding, body))
    }
}

impl Set {
    /// A new set of members, each given once.
    ///
    /// # Errors
    /// When no object id can be had.
    pub fn of(tx: &mut Tx, members: impl IntoIterator<Item = Bytes>, limits: Limits) -> Result<Self> {
        let mut set = Self::create();
        for member in members {
            set.add(tx, &member, limits)?;
        }
        Ok(set)
    }

    /// How many members there are.
    pub fn len(&self) -> u64 {
        match &self.layout {
            Layout::Inline(packed) => packed.len() as u64,
            Layout::Large(large) => large.count,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it has a member.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn contains(&self, tx: &mut Tx, member: &[u8]) -> Result<bool> {
        match &self.layout {
            Layout::Inline(packed) => Ok(packed.find(member).is_some()),
            Layout::Large(large) => Ok(large.members().get(tx, member)?.is_some()),
        }
    }

    /// Which of several members it has, in their order; reads that miss memory run together.
    ///
    /// # Errors
    /// As [`Tx::parts`].
    pub fn contains_many(&self, tx: &mut Tx, members: &[&[u8]]) -> Result<Vec<bool>> {
        match &self.layout {
            Layout::Inline(packed) => Ok(members.iter().map(|member| packed.find(member).is_some()).collect()),
            Layout::Large(large) => {
                let found = large.members().get_many(tx, members)?;
                Ok(found.iter().map(Option::is_some).collect())
            }
        }
    }

    /// Adds a member; says whether it is new.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn insert(&mut self, tx: &mut Tx, member: &[u8], limits: Limits) -> Result<bool> {
        if self.contains(tx, member)? {
            return Ok(false);
        }
        self.add(tx, member, limits)?;
        Ok(true)
    }

    /// Adds members; says how many are new.
    ///
    /// # Errors
    /// As [`Tx::parts`].
    pub fn insert_many(&mut self, tx: &mut Tx, members: &[&[u8]], limits: Limits) -> Result<u64> {
        self.expect(members, limits);
        if let ([_, _, ..], Layout::Large(_)) = (members, &self.layout) {
            let found = self.contains_many(tx, members)?;
            let mut seen = FxHashSet::default();
            let mut added = 0;
            for (member, found) in members.iter().zip(found) {
                if !found && seen.insert(*member) {
                    self.add(tx, member, limits)?;
                    added += 1;
                }
            }
            return Ok(added);
        }
        let mut added = 0;
        for member in members {
            added += u64::from(self.insert(tx, member, limits)?);
        }
        Ok(added)
    }

    /// Adds a member that is not there.
    fn add(&mut self, tx: &mut Tx, member: &[u8], limits: Limits) -> Result<()> {
        self.word = self.word_with(member, limits);
        self.changed = true;
        let has_room = match &self.layout {
            Layout::Inline(packed) => packed.size_bytes() + Packed::item_bytes(&[member]) <= INLINE_BYTES,
            Layout::Large(_) => true,
        };
        if !has_room {
            self.spill(tx)?;
        }
        match &mut self.layout {
            Layout::Inline(packed) => packed.push(&[member]),
            Layout::Large(large) => large.add(tx, member),
        }
        Ok(())
    }

    /// The word once so many members are about to be added.
    fn expect(&mut self, members: &[&[u8]], limits: Limits) {
        let is_new = self.is_empty();
        let fits_intset = members.len() <= limits.intset_entries;
        let fits_listpack = members.len() <= limits.listpack_entries;
        let starts_as_integer = members.first().is_some_and(|member| parse_i64(member).is_some());
        let word = match self.word {
            _ if is_new && starts_as_integer && fits_intset => Word::Intset,
            _ if is_new && fits_listpack => Word::Listpack,
            Word::Intset if !is_new && fits_intset => Word::Intset,
            Word::Listpack if !is_new && fits_listpack => Word::Listpack,
            _ => Word::Hashtable,
        };
        self.changed |= self.word != word && !is_new;
        self.word = word;
    }

    /// The word with one more member.
    fn word_with(&self, member: &[u8], limits: Limits) -> Word {
        let before = self.len();
        let fits_listpack = before < limits.listpack_entries as u64 && member.len() <= limits.listpack_value_bytes;
        match self.word {
            Word::Intset if parse_i64(member).is_some() && before < limits.intset_entries as u64 => Word::Intset,
            Word::Intset if parse_i64(member).is_some() => Word::Hashtable,
            Word::Intset if fits_listpack && self.longest_bytes() <= limits.listpack_value_bytes => Word::Listpack,
            Word::Listpack if fits_listpack => Word::Listpack,
            _ => Word::Hashtable,
        }
    }

    /// The longest member of an inline set; of a large one of integers, the longest it may be.
    fn longest_bytes(&self) -> usize {
        const LONGEST_INTEGER: usize = 20;
        match &self.layout {
            Layout::Inline(packed) => packed.strings().map(|range| range.len()).max().unwrap_or(0),
            Layout::Large(_) => LONGEST_INTEGER,
        }
    }

    /// Removes a member; says whether it was there.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn remove(&mut self, tx: &mut Tx, member: &[u8]) -> Result<bool> {
        let removed = match &mut self.layout {
            Layout::Inline(packed) => {
                let spot = packed.find(member);
                if let Some(spot) = &spot {
                    packed.remove(spot);
                }
                spot.is_some()
            }
            Layout::Large(large) => {
                let found = large.members().get(tx, member)?.is_some();
                if found {
                    large.take(tx, member);
                }
                found
            }
        };
        self.changed |= removed;
        Ok(removed)
    }

    /// Removes members; says how many were there.
    ///
    /// # Errors
    /// As [`Tx::parts`].
    pub fn remove_many(&mut self, tx: &mut Tx, members: &[&[u8]]) -> Result<usize> {
        if let (Layout::Large(large), [_, _, ..], Tier::Disk) = (&self.layout, members, tx.tier()) {
            // What is on disk only is read at once; the removals below then find it in memory.
            large.members().get_many(tx, members)?;
        }
        let mut removed = 0;
        for member in members {
            removed += usize::from(self.remove(tx, member)?);
        }
        self.gather_if_sparse(tx)?;
        Ok(removed)
    }

    /// Takes out `wanted` members, each choice as likely as any other; all, if there are no more.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn pop(&mut self, tx: &mut Tx, wanted: u64) -> Result<Vec<Bytes>> {
        let popped = self.sample(tx, wanted)?;
        self.changed |= !popped.is_empty();
        if popped.len() as u64 == self.len() {
            // The key goes, and what is left of its object with it.
            self.layout = Layout::Inline(Packed::empty(1));
            return Ok(popped);
        }
        for member in &popped {
            match &mut self.layout {
                Layout::Inline(packed) => {
                    if let Some(spot) = packed.find(member) {
                        packed.remove(&spot);
                    }
                }
                Layout::Large(large) => large.take(tx, member),
            }
        }
        self.gather_if_sparse(tx)?;
        Ok(popped)
    }

    /// All members, one by one.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn walk<'a>(&'a self, tx: &mut Tx) -> Result<Walk<'a>> {
        match &self.layout {
            Layout::Inline(packed) => Ok(Walk::Inline(Members { packed, strings: packed.strings() })),
            Layout::Large(large) => Ok(Walk::Large(large.members().walk(tx)?)),
        }
    }

    /// All members.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn all(&self, tx: &mut Tx) -> Result<Vec<Bytes>> {
        let mut all = Vec::with_capacity(self.len().min(1 << 16) as usize);
        let mut walk = self.walk(tx)?;
        while let Some(member) = walk.next()? {
            all.push(member);
        }
        Ok(all)
    }

    /// A page of SSCAN and the cursor behind it: about `count` members of a large set, all of
    /// an inline one.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn page(&self, tx: &mut Tx, cursor: u64, count: usize) -> Result<(u64, Vec<Bytes>)> {
        match &self.layout {
            Layout::Inline(_) => Ok((0, self.all(tx)?)),
            Layout::Large(large) => {
                let page = large.members().page(tx, cursor, count)?;
                Ok((page.cursor, page.elements.into_iter().map(|(member, _)| member).collect()))
            }
        }
    }

    /// A member drawn evenly; `None` only if there is none.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn random(&self, tx: &mut Tx) -> Result<Option<Bytes>> {
        match &self.layout {
            Layout::Inline(packed) => {
                let nth = random::below(packed.len() as u64) as usize;
                Ok(packed.strings().nth(nth).map(|range| packed.slice(range)))
            }
            Layout::Large(large) => Ok(large.members().random(tx, large.count)?.map(|(member, _)| member)),
        }
    }

    /// `wanted` members, each drawn evenly from all; none only if there is none.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn draws(&self, tx: &mut Tx, wanted: u64) -> Result<Vec<Bytes>> {
        match &self.layout {
            Layout::Inline(_) => {
                let all = self.all(tx)?;
                let draw = |_| all.get(random::below(all.len() as u64) as usize).cloned();
                Ok((0..wanted).map_while(draw).collect())
            }
            Layout::Large(large) => {
                let drawn = large.members().draws(tx, large.count, wanted)?;
                Ok(drawn.into_iter().map(|(member, _)| member).collect())
            }
        }
    }

    /// `wanted` different members, each choice as likely as any other; all, if there are no more.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn sample(&self, tx: &mut Tx, wanted: u64) -> Result<Vec<Bytes>> {
        match &self.layout {
            Layout::Large(large) if wanted < large.count => {
                let sample = large.members().sample(tx, large.count, wanted)?;
                Ok(sample.into_iter().map(|(member, _)| member).collect())
            }
            _ => {
                let mut all = self.all(tx)?;
                if wanted < all.len() as u64 {
                    random::shuffle(&mut all);
                    all.truncate(wanted as usize);
                }
                Ok(all)
            }
        }
    }

    /// Moves the members out of the record into parts of a new object.
    fn spill(&mut self, tx: &mut Tx) -> Result<()> {
        if let Layout::Inline(packed) = &self.layout {
            let mut large = Large::create(tx)?;
            for range in packed.strings() {
                large.add(tx, packed.as_slice().get(range).unwrap_or_default());
            }
            self.layout = Layout::Large(large);
            self.changed = true;
        }
        Ok(())
    }

    /// Writes what is left of a set that was much larger together, in a new place. It steps over
    /// the remains of all that was removed, so it is not done where nobody may wait.
    fn gather_if_sparse(&mut self, tx: &mut Tx) -> Result<()> {
        let Layout::Large(old) = &self.layout else { return Ok(()) };
        if old.most < SPARSE_FROM || old.count.saturating_mul(SPARSE_SHARE) > old.most || old.count == 0 {
            return Ok(());
        }
        if tx.tier() == Tier::Memory {
            return Err(Error::NotInMemory);
        }
        let mut walk = old.members().walk(tx)?;
        let mut gathered = Packed::empty(1);
        let mut large = None;
        while let Some((member, _)) = walk.next()? {
            if large.is_none() && gathered.size_bytes() + Packed::item_bytes(&[&member]) > INLINE_BYTES {
                let mut new = Large::create(tx)?;
                for range in gathered.strings() {
                    new.add(tx, gathered.as_slice().get(range).unwrap_or_default());
                }
                large = Some(new);
            }
            match &mut large {
                Some(large) => large.add(tx, &member),
                None => gathered.push(&[&member]),
            }
        }
        self.layout = large.map_or(Layout::Inline(gathered), Layout::Large);
        self.changed = true;
        Ok(())
    }
}

/// Walks over the members of a set.
pub enum Walk<'a> {
    Inline(Members<'a>),
    Large(SpreadWalk),
}

/// Walks over the members of an inline set.
pub struct Members<'a> {
    packed: &'a Packed,
    strings: super::packed::Strings<'a>,
}

impl Walk<'_> {
    /// The next member.
    ///
    /// # Errors
    /// As [`crate::keyspace::Scan::next`].
    #[allow(clippy::should_implement_trait, reason = "fallible")]
    pub fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Inline(members) => Ok(members.strings.next().map(|range| members.packed.slice(range))),
            Self::Large(walk) => Ok(walk.next()?.map(|(member, _)| member)),
        }
    }
}

#[cfg(test)]
mod tests;
