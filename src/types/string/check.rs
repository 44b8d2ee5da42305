//! Whether the chunks of a large string are what its length allows.

use super::{CHUNK_BYTES, Content, StringValue};
use crate::base::Result;
use crate::keyspace::{Direction, Tx};
use crate::storage::Family;

impl StringValue {
    /// Tells `find` of chunks that stand where none belongs, or are too long.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn check(&self, tx: &mut Tx, find: &mut dyn FnMut(String)) -> Result<()> {
        let Content::Chunked(chunks) = &self.content else { return Ok(()) };
        let mut scan = tx.scan(Family::Data, chunks.id, b"", None, Direction::Forward)?;
        while let Some((part, bytes)) = scan.next()? {
            let Ok(index) = <[u8; 4]>::try_from(&part[..]) else {
                find(format!("a part \"{}\" that is no chunk", part.escape_ascii()));
                continue;
            };
            let start = u64::from(u32::from_be_bytes(index)) * CHUNK_BYTES as u64;
            let room = chunks.length.saturating_sub(start).min(CHUNK_BYTES as u64);
            if bytes.len() as u64 > room {
                find(format!("the chunk from byte {start} on has {} bytes where {room} belong", bytes.len()));
            }
        }
        Ok(())
    }
}
