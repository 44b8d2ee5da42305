//! HyperLogLogs: how many distinct elements were seen, from 16384 registers of six bits, in strings
//! whose bytes are Redis' own, so that GET, SET, DUMP and RESTORE carry them between servers.
//!
//! ```text
//! 0..4   "HYLL"
//! 4      0 dense, 1 sparse
//! 5..8   0
//! 8..16  the cardinality as last counted, u64 LE; its highest bit says that it no longer holds
//! 16..   dense.rs: 12288 bytes of registers; sparse.rs: runs of equal registers
//! ```
//!
//! A new one is sparse, and becomes dense when it is longer than a limit or a register exceeds 32.
//! `estimate.rs`: hashing elements and counting registers. Knows no key and no command.

mod dense;
mod estimate;
mod sparse;
#[cfg(test)]
mod tests;

use super::string::{CHUNK_BYTES, StringValue};
use crate::base::{Error, Result};
use crate::keyspace::{Encoding, Tx};

pub use estimate::{REGISTERS, place};

const MAGIC: &[u8; 4] = b"HYLL";
const HEADER_BYTES: usize = 16;
const DENSE_BYTES: usize = HEADER_BYTES + dense::BYTES;
const ENCODING_AT: usize = 4;
const CACHE_AT: usize = 8;
const STALE: u64 = 1 << 63;

/// One byte a register: what several HyperLogLogs are merged into.
pub type Registers = [u8; REGISTERS];

/// How the registers are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Dense = 0,
    Sparse = 1,
}

/// The bytes of one HyperLogLog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HyperLogLog {
    bytes: Vec<u8>,
}

impl Default for HyperLogLog {
    fn default() -> Self {
        Self::new()
    }
}

impl HyperLogLog {
    /// An empty one: sparse, one run of zeros, its count of 0 valid.
    pub fn new() -> Self {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[ENCODING_AT] = Layout::Sparse as u8;
        bytes.extend_from_slice(&sparse::EMPTY);
        Self { bytes }
    }

    /// Takes a string for a HyperLogLog, as far as its head tells.
    ///
    /// # Errors
    /// Redis' WRONGTYPE for a string that is none.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let head = bytes.get(..HEADER_BYTES).filter(|head| head.starts_with(MAGIC));
        let valid = match head.map(|head| head[ENCODING_AT]) {
            Some(0) => bytes.len() == DENSE_BYTES,
            Some(1) => true,
            _ => false,
        };
        if !valid {
            return Err(Error::client("WRONGTYPE Key is not a valid HyperLogLog string value."));
        }
        Ok(Self { bytes: bytes.to_vec() })
    }

    /// The bytes to store.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Puts the bytes in place of `old`, those that `value` has. A dense one that stays dense
    /// writes the chunks that differ.
    ///
    /// # Errors
    /// `NotInMemory`, corruption.
    pub fn store(self, value: &mut StringValue, tx: &mut Tx, old: &[u8]) -> Result<()> {
        if old.len() != self.bytes.len() {
            *value = StringValue::new(Encoding::Raw, self.bytes.into());
            return Ok(());
        }
        let chunks = old.chunks(CHUNK_BYTES).zip(self.bytes.chunks(CHUNK_BYTES));
        for (index, (_, new)) in (0_u64..).zip(chunks).filter(|(_, (old, new))| old != new) {
            value.write(tx, index * CHUNK_BYTES as u64, new, u64::MAX)?;
        }
        Ok(())
    }

    /// The bytes as they are now.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn layout(&self) -> Layout {
        if self.bytes[ENCODING_AT] == Layout::Dense as u8 { Layout::Dense } else { Layout::Sparse }
    }

    fn body(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    // ---- registers ------------------------------------------------------------

    /// Notes an element; says whether a register changed. Sparse ones beyond
    /// `sparse_max_bytes` become dense.
    ///
    /// # Errors
    /// `INVALIDOBJ` when the sparse runs are damaged.
    pub fn add(&mut self, element: &[u8], sparse_max_bytes: usize) -> Result<bool> {
        let (register, count) = place(element);
        self.raise(register, count, sparse_max_bytes)
    }

    /// Raises a register to `count`, if it is below; says whether it was.
    ///
    /// # Errors
    /// As [`HyperLogLog::add`].
    pub fn raise(&mut self, register: usize, count: u8, sparse_max_bytes: usize) -> Result<bool> {
        if self.layout() == Layout::Sparse {
            match sparse::raise(&mut self.bytes, HEADER_BYTES, register, count, sparse_max_bytes)? {
                sparse::Raised::No => return Ok(false),
                sparse::Raised::Yes => {
                    self.invalidate();
                    return Ok(true);
                }
                sparse::Raised::TooLong => {
                    self.make_dense()?;
                }
            }
        }
        Ok(dense::raise(&mut self.bytes[HEADER_BYTES..], register, count))
    }

    /// Lays the registers out one by one; the cached count stays. Says whether that was to do.
    ///
    /// # Errors
    /// As [`HyperLogLog::add`].
    pub fn make_dense(&mut self) -> Result<bool> {
        if self.layout() == Layout::Dense {
            return Ok(false);
        }
        let registers = self.registers()?;
        self.bytes.truncate(HEADER_BYTES);
        self.bytes[ENCODING_AT] = Layout::Dense as u8;
        self.bytes.resize(DENSE_BYTES, 0);
        let body = &mut self.bytes[HEADER_BYTES..];
        for (register, count) in registers.iter().enumerate().filter(|(_, count)| **count > 0) {
            dense::raise(body, register, *count);
        }
        Ok(true)
    }

    /// All registers, a byte each.
    ///
    /// # Errors
    /// As [`HyperLogLog::add`].
    pub fn registers(&self) -> Result<Box<Registers>> {
        let mut registers = Box::new([0; REGISTERS]);
        self.merge_into(&mut registers)?;
        Ok(registers)
    }

    /// Raises `registers` to those of this one.
    ///
    /// # Errors
    /// As [`HyperLogLog::add`].
    pub fn merge_into(&self, registers: &mut Registers) -> Result<()> {
        match self.layout() {
            Layout::Dense => {
                for (register, merged) in registers.iter_mut().enumerate() {
                    *merged = (*merged).max(dense::count(self.body(), register));
                }
            }
            Layout::Sparse => {
                for run in sparse::runs(self.body()) {
                    let run = run?;
                    for merged in registers.get_mut(run.range()).ok_or_else(damaged)? {
                        *merged = (*merged).max(run.count);
                    }
                }
            }
        }
        Ok(())
    }

    /// The runs of a sparse one, as PFDEBUG DECODE prints them; `None` for a dense one.
    ///
    /// # Errors
    /// As [`HyperLogLog::add`].
    pub fn runs_as_text(&self) -> Result<Option<String>> {
        if self.layout() == Layout::Dense {
            return Ok(None);
        }
        let words: Result<Vec<String>> = sparse::runs(self.body()).map(|run| Ok(run?.to_string())).collect();
        Ok(Some(words?.join(" ")))
    }

    // ---- counting -----------------------------------------------------------------

    /// How many distinct elements there were, about, from the registers.
    ///
    /// # Errors
    /// As [`HyperLogLog::add`].
    pub fn count(&self) -> Result<u64> {
        let registers = self.registers()?;
        Ok(estimate::cardinality(&registers))
    }

    /// The count as it was last cached, if it still holds.
    pub fn cached_count(&self) -> Option<u64> {
        let cached = self.bytes.get(CACHE_AT..).and_then(|bytes| bytes.first_chunk::<8>())?;
        Some(u64::from_le_bytes(*cached)).filter(|count| count & STALE == 0)
    }

    /// Keeps a count for later.
    pub fn cache_count(&mut self, count: u64) {
        self.bytes[CACHE_AT..HEADER_BYTES].copy_from_slice(&(count & !STALE).to_le_bytes());
    }

    /// The cached count no longer holds.
    pub fn invalidate(&mut self) {
        self.bytes[HEADER_BYTES - 1] |= (STALE >> 56) as u8;
    }
}

/// How many distinct elements several HyperLogLogs saw together, from their merged registers.
pub fn cardinality(registers: &Registers) -> u64 {
    estimate::cardinality(registers)
}

/// The sparse runs are not what this file writes.
fn damaged() -> Error {
    Error::client("INVALIDOBJ Corrupted HLL object detected")
}
