//! Data on its way in or out, cut into pieces that no format owns: what the database, an RDB
//! file, Ferrock's own dump and a script of commands have in common.
//!
//! A key is [`Piece::Key`], the pieces of its value in order, and [`Piece::End`]. No piece is
//! larger than one element of a value (or [`CHUNK_BYTES`] of a string), so whoever passes
//! pieces on needs little memory, however large the values are.

use bytes::Bytes;

use super::record::Type;

/// Strings longer than this come in several pieces, all but the last of this length.
pub const CHUNK_BYTES: usize = 256 << 10;

/// One step of a transfer.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// What follows belongs to this logical database.
    Database(u32),
    /// The code of a function library.
    Library(Bytes),
    /// A key begins.
    Key(Head),
    /// Bytes of a string.
    Bytes(Bytes),
    /// An element of a list, from head to tail.
    Item(Bytes),
    /// A member of a set.
    Member(Bytes),
    /// A field of a hash.
    Field { name: Bytes, value: Bytes, expire_at_ms: Option<u64> },
    /// A member of a sorted set.
    Scored { member: Bytes, score: f64 },
    /// An entry of a stream, in the order of their ids.
    Entry { id: StreamId, fields: Vec<(Bytes, Bytes)> },
    /// What a stream knows beside its entries; behind the last of them.
    State(StreamState),
    /// A consumer group, behind the state; as many as it says.
    Group(Group),
    /// The key that began is complete.
    End,
}

/// How a key begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Empty in the payload of DUMP, which has no name.
    pub name: Bytes,
    pub kind: Type,
    /// How many elements follow, or bytes of a string.
    pub count: u64,
    /// Whether fields of a hash may have deadlines.
    pub timed: bool,
    /// Milliseconds since the epoch.
    pub expire_at_ms: Option<u64>,
    /// For how many seconds the key had not been used.
    pub idle_s: Option<u64>,
    /// How often it was used lately, on Redis' logarithmic scale.
    pub frequency: Option<u8>,
}

impl Head {
    /// A key without deadline, use or name.
    pub fn of(kind: Type, count: u64) -> Self {
        Self { name: Bytes::new(), kind, count, timed: false, expire_at_ms: None, idle_s: None, frequency: None }
    }
}

/// The id of a stream's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

/// What a stream knows beside its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamState {
    pub last_id: StreamId,
    /// The highest id that was ever deleted from the middle.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
    /// How many groups follow.
    pub groups: u64,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: Bytes,
    pub last_id: StreamId,
    /// How many entries it has read, where that is known.
    pub entries_read: Option<u64>,
    pub consumers: Vec<Consumer>,
    /// Entries delivered and not acknowledged, in the order of their ids.
    pub pending: Vec<Pending>,
}

/// A consumer of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    pub name: Bytes,
    /// When it was last heard of, milliseconds since the epoch.
    pub seen_ms: u64,
    /// When it last got an entry; `None` if never.
    pub active_ms: Option<u64>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    pub id: StreamId,
    /// Which of the group's consumers has it, by its place among them.
    pub consumer: u32,
    pub delivered_ms: u64,
    pub deliveries: u64,
}
