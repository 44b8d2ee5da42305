//! The record: the value of a key in family `keys`.
//!
//! ```text
//! byte 0      type (low 4 bits) | 0x10 has a deadline | 0x20 is large
//! byte 1      encoding, Redis' word for it (sticky, whatever the physical layout)
//! [8 bytes    expire-at, milliseconds since the epoch, u64 BE, if 0x10]
//! inline:     the body, as its type packs it
//! large:      object id u64 BE · metadata of its type (counts, ends …)
//! ```
//!
//! In the encodings whose elements can lapse by themselves (`*Ex`), body and metadata begin
//! with the earliest deadline among them, u64 BE, all bits set if none has one.

use bytes::{BufMut, Bytes, BytesMut};

use super::key::ObjectId;

/// The type of a value, as TYPE names it. Discriminants are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Type {
    String = 0,
    List = 1,
    Set = 2,
    SortedSet = 3,
    Hash = 4,
    Stream = 5,
}

impl Type {
    /// All types.
    pub const ALL: [Self; 6] = [Self::String, Self::List, Self::Set, Self::SortedSet, Self::Hash, Self::Stream];

    /// As TYPE and SCAN … TYPE name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == tag)
    }
}

/// What OBJECT ENCODING answers. Discriminants are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// A string: `int`, `embstr` or `raw` by its content.
    ByContent = 0,
    /// A string that was changed in place.
    Raw = 1,
    Listpack = 2,
    Hashtable = 3,
    Intset = 4,
    Quicklist = 5,
    Skiplist = 6,
    Stream = 7,
    /// A listpack hash with field deadlines (7.4).
    ListpackEx = 8,
    /// A hashtable with field deadlines: `hashtable` to clients.
    HashtableEx = 9,
    /// A string that is never `int`, whatever its content: what INCRBYFLOAT leaves.
    Text = 10,
}

impl Encoding {
    const ALL: [Self; 11] = [
        Self::ByContent,
        Self::Raw,
        Self::Listpack,
        Self::Hashtable,
        Self::Intset,
        Self::Quicklist,
        Self::Skiplist,
        Self::Stream,
        Self::ListpackEx,
        Self::HashtableEx,
        Self::Text,
    ];

    fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| *encoding as u8 == tag)
    }
}

const HAS_DEADLINE: u8 = 0x10;
const IS_LARGE: u8 = 0x20;
const KNOWN_FLAGS: u8 = HAS_DEADLINE | IS_LARGE;
const TYPE_MASK: u8 = 0x0f;

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub kind: Type,
    pub encoding: Encoding,
    /// Milliseconds since the epoch.
    pub expire_at_ms: Option<u64>,
    pub body: Body,
}

/// Where the elements are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Packed into the record.
    Inline(Bytes),
    /// In families `data` and `scores`, under an object id.
    Large { id: ObjectId, meta: Bytes },
}

/// Why stored bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record ends early")]
    Short,
    #[error("unknown type tag {0}")]
    UnknownType(u8),
    #[error("unknown encoding tag {0}")]
    UnknownEncoding(u8),
    #[error("unknown flags {0:#x}")]
    UnknownFlags(u8),
}

impl Record {
    /// Reads a record; the body is a slice of `stored`, not a copy.
    pub fn decode(stored: &Bytes) -> Result<Self, RecordError> {
        let (&[tag, encoding], _) = stored.split_first_chunk::<2>().ok_or(RecordError::Short)?;
        if tag & !(TYPE_MASK | KNOWN_FLAGS) != 0 {
            return Err(RecordError::UnknownFlags(tag & !(TYPE_MASK | KNOWN_FLAGS)));
        }
        let kind = Type::from_tag(tag & TYPE_MASK).ok_or(RecordError::UnknownType(tag & TYPE_MASK))?;
        let encoding = Encoding::from_tag(encoding).ok_or(RecordError::UnknownEncoding(encoding))?;
        let mut at = 2;
        let mut expire_at_ms = None;
        if tag & HAS_DEADLINE != 0 {
            expire_at_ms = Some(u64_at(stored, at)?);
            at += 8;
        }
        let body = if tag & IS_LARGE != 0 {
            let id = ObjectId(u64_at(stored, at)?);
            Body::Large { id, meta: stored.slice(at + 8..) }
        } else {
            Body::Inline(stored.slice(at..))
        };
        Ok(Self { kind, encoding, expire_at_ms, body })
    }

    /// The bytes to store.
    pub fn encode(&self) -> Bytes {
        let body_bytes = match &self.body {
            Body::Inline(body) => body.len(),
            Body::Large { meta, .. } => 8 + meta.len(),
        };
        let mut out = BytesMut::with_capacity(10 + body_bytes);
        let is_large = if matches!(self.body, Body::Large { .. }) { IS_LARGE } else { 0 };
        put_header(&mut out, self.kind as u8 | is_large, self.encoding, self.expire_at_ms);
        match &self.body {
            Body::Inline(body) => out.put_slice(body),
            Body::Large { id, meta } => {
                out.put_u64(id.0);
                out.put_slice(meta);
            }
        }
        out.freeze()
    }

    /// The bytes of an inline record whose body is borrowed.
    pub fn encode_inline(kind: Type, encoding: Encoding, expire_at_ms: Option<u64>, body: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(10 + body.len());
        put_header(&mut out, kind as u8, encoding, expire_at_ms);
        out.put_slice(body);
        out.freeze()
    }

    /// The object behind a large record.
    pub fn object(&self) -> Option<ObjectId> {
        match &self.body {
            Body::Large { id, .. } => Some(*id),
            Body::Inline(_) => None,
        }
    }

    /// The earliest deadline among elements that lapse by themselves, if any has one.
    pub fn element_deadline_ms(&self) -> Option<u64> {
        if !matches!(self.encoding, Encoding::ListpackEx | Encoding::HashtableEx) {
            return None;
        }
        let (Body::Inline(bytes) | Body::Large { meta: bytes, .. }) = &self.body;
        u64_at(bytes, 0).ok().filter(|deadline| *deadline != u64::MAX)
    }

    /// Whether the deadline has come at `now_ms`.
    pub fn is_lapsed(&self, now_ms: u64) -> bool {
        self.expire_at_ms.is_some_and(|deadline| deadline <= now_ms)
    }
}

/// What stands in front of the body; adds the flag of the deadline to the tag.
fn put_header(out: &mut BytesMut, tag: u8, encoding: Encoding, expire_at_ms: Option<u64>) {
    out.put_u8(if expire_at_ms.is_some() { tag | HAS_DEADLINE } else { tag });
    out.put_u8(encoding as u8);
    if let Some(deadline) = expire_at_ms {
        out.put_u64(deadline);
    }
}

fn u64_at(stored: &[u8], at: usize) -> Result<u64, RecordError> {
    let bytes = stored.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or(RecordError::Short)?;
    Ok(u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_large_record_with_a_deadline_has_the_documented_bytes() {
        let record = Record {
            kind: Type::Hash,
            encoding: Encoding::Hashtable,
            expire_at_ms: Some(0x0102),
            body: Body::Large { id: ObjectId(9), meta: Bytes::from_static(b"\x05") },
        };
        let stored = record.encode();
        assert_eq!(&stored[..], b"\x34\x03\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x09\x05");
        assert_eq!(Record::decode(&stored), Ok(record));
    }

    #[test]
    fn a_borrowed_body_makes_the_same_bytes() {
        for expire_at_ms in [None, Some(7)] {
            let body = Body::Inline(Bytes::from_static(b"value"));
            let record = Record { kind: Type::String, encoding: Encoding::Raw, expire_at_ms, body };
            assert_eq!(Record::encode_inline(Type::String, Encoding::Raw, expire_at_ms, b"value"), record.encode());
        }
    }

    #[test]
    fn only_some_encodings_have_elements_that_lapse() {
        let mut record = Record {
            kind: Type::Hash,
            encoding: Encoding::HashtableEx,
            expire_at_ms: None,
            body: Body::Inline(Bytes::from_static(b"\0\0\0\0\0\0\x01\0...")),
        };
        assert_eq!(record.element_deadline_ms(), Some(256));
        record.encoding = Encoding::Hashtable;
        assert_eq!(record.element_deadline_ms(), None);
        record.encoding = Encoding::ListpackEx;
        record.body = Body::Inline(Bytes::from_static(&[0xff; 8]));
        assert_eq!(record.element_deadline_ms(), None);
        record.body = Body::Inline(Bytes::from_static(b"short"));
        assert_eq!(record.element_deadline_ms(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail_and_what_decodes_encodes_back(stored in proptest::collection::vec(any::<u8>(), 0..40)) {
            let stored = Bytes::from(stored);
            if let Ok(record) = Record::decode(&stored) {
                prop_assert_eq!(record.encode(), stored);
            }
        }
    }
}
