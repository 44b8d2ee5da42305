//! What a commit did, told once and in one place. From here come WATCH invalidation,
//! keyspace notifications, client-side caching, wake-ups of blocked clients, and the
//! replication stream.

use std::any::Any;
use std::sync::Arc;

use bitflags::bitflags;
use bytes::Bytes;

use super::databases::DatabaseIndex;
use super::locks::LockSet;

bitflags! {
    /// Classes of keyspace events, as `notify-keyspace-events` selects them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Class: u32 {
        const GENERIC = 1;
        const STRING = 1 << 1;
        const LIST = 1 << 2;
        const SET = 1 << 3;
        const HASH = 1 << 4;
        const SORTED_SET = 1 << 5;
        const EXPIRED = 1 << 6;
        const EVICTED = 1 << 7;
        const STREAM = 1 << 8;
        const KEY_MISS = 1 << 9;
        const MODULE = 1 << 10;
        const NEW = 1 << 11;
    }
}

/// A named thing that happened to a key.
#[derive(Debug, Clone)]
pub struct Event {
    pub class: Class,
    /// Redis' name of it: `set`, `del`, `expired` …
    pub name: &'static str,
    pub db: DatabaseIndex,
    pub key: Bytes,
}

/// A message that a command publishes: said once, when its writes are true, however often the
/// command had to be run.
#[derive(Debug, Clone)]
pub struct Message {
    pub channel: Bytes,
    pub payload: Bytes,
    /// To a shard channel.
    pub sharded: bool,
}

/// What is to be done to a copy of the data.
#[derive(Debug, Clone)]
pub enum Deed {
    /// A command with its arguments.
    Command(Vec<Bytes>),
    /// A key whose time had come was deleted.
    Lapsed(Bytes),
    /// Elements of a key's value whose time had come were deleted.
    LapsedElements(Bytes, Vec<Bytes>),
}

/// What makes on a copy of the data what was made here.
#[derive(Debug, Clone)]
pub struct Effect {
    pub db: DatabaseIndex,
    pub deed: Deed,
    /// The first of several that belong together: a copy must show all of them at once.
    pub opens: bool,
    /// The last of them.
    pub closes: bool,
}

/// What is told of a commit, in the order in which its commands told it.
#[derive(Debug, Clone)]
pub enum Told {
    Event(Event),
    Message(Message),
    Effect(Effect),
}

/// A key whose value changed.
#[derive(Debug, Clone)]
pub struct Touched {
    pub db: DatabaseIndex,
    /// The key as clients name it.
    pub key: Bytes,
    /// Only who waits for the key is to look; for WATCH and caches the value is as it was.
    pub quiet: bool,
}

/// A key that was read inside a transaction by a client which wants to be told when it changes.
#[derive(Debug, Clone)]
pub struct Look {
    pub key: Bytes,
    /// How many keys the transaction had touched by then: what it did before is no news to the reader.
    pub after: usize,
}

/// A named fact about the database itself that a commit changed, as those who keep it hold it.
#[derive(Debug, Clone)]
pub struct Fact {
    pub name: &'static str,
    pub value: Arc<dyn Any + Send + Sync>,
}

/// What one commit did, in order.
#[derive(Debug, Default)]
pub struct Commit {
    pub touched: Vec<Touched>,
    pub looks: Vec<Look>,
    pub told: Vec<Told>,
    /// Databases whose whole contents changed (flushed or swapped).
    pub replaced: Vec<DatabaseIndex>,
    pub facts: Vec<Fact>,
}

impl Commit {
    /// The keys whose values changed, in the eyes of WATCH and of caches.
    pub fn changed(&self) -> impl Iterator<Item = &Touched> {
        self.touched.iter().filter(|touched| !touched.quiet)
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
            && self.looks.is_empty()
            && self.told.is_empty()
            && self.replaced.is_empty()
            && self.facts.is_empty()
    }
}

/// Told of every commit, after it is true and while the locks of its keys are still held, so that
/// what is told of one key comes in the order in which it happened. Must not wait.
pub trait Observer: Send + Sync {
    /// `origin` is the client that caused it; 0 for the server itself. Stripes may be split off
    /// `locks` for somebody who goes on with their keys before anybody else does.
    fn committed(&self, commit: &Commit, origin: u64, locks: &mut LockSet);
    /// Which classes of events anybody wants; others need not be collected.
    fn wanted(&self) -> Class;
    /// Whether anybody wants to know of touched keys.
    fn wants_touched(&self) -> bool;
    /// Whether anybody keeps a copy of the data, and so wants effects. May become true only while
    /// the exclusive lock is held.
    fn wants_effects(&self) -> bool;
}
