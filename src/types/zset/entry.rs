//! An element as the order of scores keeps it: bytes that sort by score, then by member.
//!
//! ```text
//! score f64, sortable · member
//! ```

use bytes::Bytes;

use crate::encoding::order::{decode_f64, encode_f64};

/// Bytes of the score in front of the member.
pub const SCORE_BYTES: usize = 8;

/// The entry of an element.
pub fn entry(score: f64, member: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(SCORE_BYTES + member.len());
    entry.extend_from_slice(&encode_f64(score));
    entry.extend_from_slice(member);
    entry
}

/// The member of an entry.
pub fn member_of(entry: &[u8]) -> &[u8] {
    entry.get(SCORE_BYTES..).unwrap_or_default()
}

/// The score of an entry, or of the bytes that stand for a score alone; `None` if they are none.
pub fn score_of(entry: &[u8]) -> Option<f64> {
    entry.first_chunk::<SCORE_BYTES>().and_then(|score| decode_f64(*score))
}

/// Member and score of an entry.
pub fn split(entry: &Bytes) -> Option<(Bytes, f64)> {
    let score = score_of(entry)?;
    Some((entry.slice(SCORE_BYTES..), score))
}
