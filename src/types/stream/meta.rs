//! What a stream's record says of it: enough to add entries without looking at others, and to know
//! where the first one is without walking over those that are gone.

use bytes::{BufMut, Bytes, BytesMut};

use super::id::Id;
use super::nodes::Tail;
use crate::encoding::varint::{put_varint, take_varint};

/// The metadata of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Meta {
    pub length: u64,
    /// Entries that were ever added.
    pub added: u64,
    /// The highest id given so far.
    pub last: Id,
    /// The first entry there is; nothing that is lower has to be looked at. `0-0` without any.
    pub first: Id,
    /// The highest id that XDEL took away.
    pub deleted: Id,
    /// Consumer groups.
    pub groups: u64,
    /// The number of the next group.
    pub next_group: u32,
    pub head: Head,
    pub tail: Tail,
}

/// The node of the first entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub node: u64,
    /// Its entries that are there; 0: to be counted.
    pub live: u64,
    /// The last of them. Good while `live` is.
    pub last: Id,
}

impl Meta {
    pub fn load(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut rest = bytes;
        let meta = Self::take(&mut rest).ok_or("the metadata of a stream ends early")?;
        if rest.is_empty() { Ok(meta) } else { Err("the metadata of a stream has bytes behind its end") }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(Self {
            length: take_varint(input)?,
            added: take_varint(input)?,
            last: Id::take(input)?,
            first: Id::take(input)?,
            deleted: Id::take(input)?,
            groups: take_varint(input)?,
            next_group: take_varint(input)?.try_into().ok()?,
            head: Head { node: take_varint(input)?, live: take_varint(input)?, last: Id::take(input)? },
            tail: Tail::take(input)?,
        })
    }

    pub fn pack(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        self.put(&mut out);
        out.freeze()
    }

    fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.length);
        put_varint(out, self.added);
        self.last.put(out);
        self.first.put(out);
        self.deleted.put(out);
        put_varint(out, self.groups);
        put_varint(out, u64::from(self.next_group));
        put_varint(out, self.head.node);
        put_varint(out, self.head.live);
        self.head.last.put(out);
        self.tail.put(out);
    }
}
