//! What OBJECT ENCODING answers, in Redis' words and by Redis' thresholds, whatever the physical
//! layout is.

use crate::base::number::parse_i64;
use crate::encoding::record::{Body, Encoding, Record};

/// Strings up to this many bytes are `embstr` (Redis' `OBJ_ENCODING_EMBSTR_SIZE_LIMIT`).
const EMBSTR_BYTES: usize = 44;

/// Redis' word for how a value is encoded.
pub fn encoding_name(record: &Record) -> &'static str {
    match record.encoding {
        Encoding::ByContent => by_content(&record.body),
        Encoding::Raw => "raw",
        Encoding::Text => by_length(&record.body),
        Encoding::Listpack => "listpack",
        Encoding::ListpackEx => "listpackex",
        Encoding::Hashtable | Encoding::HashtableEx => "hashtable",
        Encoding::Intset => "intset",
        Encoding::Quicklist => "quicklist",
        Encoding::Skiplist => "skiplist",
        Encoding::Stream => "stream",
    }
}

fn by_content(body: &Body) -> &'static str {
    match body {
        Body::Inline(text) if parse_i64(text).is_some() => "int",
        body => by_length(body),
    }
}

fn by_length(body: &Body) -> &'static str {
    match body {
        Body::Inline(text) if text.len() <= EMBSTR_BYTES => "embstr",
        Body::Inline(_) | Body::Large { .. } => "raw",
    }
}
