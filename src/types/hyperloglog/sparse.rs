//! The sparse layout: runs of equal registers, in order, all registers covered.
//!
//! ```text
//! 00nnnnnn             n + 1 registers of 0
//! 01nnnnnn nnnnnnnn    n + 1 registers of 0, n with the high bits first
//! 1cccccnn             n + 1 registers of c + 1
//! ```
//!
//! Changed in place like Redis does, run by run, so that the same elements in the same order
//! leave the same bytes.

use std::fmt;
use std::ops::Range;

use super::{REGISTERS, damaged};
use crate::base::{Error, Result};

/// The longest run of zeros in one byte.
const ZEROS_MAX: usize = 64;
/// The longest run of registers above 0.
const VALUES_MAX: usize = 4;
/// The greatest register that fits.
const COUNT_MAX: u8 = 32;
/// The bytes of all registers at 0.
pub const EMPTY: [u8; 2] = [0x40 | ((REGISTERS - 1) >> 8) as u8, ((REGISTERS - 1) & 0xff) as u8];
/// Runs that are looked at for merging after a change, from the one before it.
const MERGE_SCAN: usize = 5;

/// A run of equal registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first register.
    pub first: usize,
    pub length: usize,
    pub count: u8,
    /// How many bytes it takes.
    bytes: usize,
}

impl Run {
    pub fn range(&self) -> Range<usize> {
        self.first..self.first + self.length
    }

    /// Reads the run at the front of `bytes`.
    fn read(bytes: &[u8], first: usize) -> Option<Self> {
        let byte = *bytes.first()?;
        let run = match byte >> 6 {
            0 => Self { first, length: usize::from(byte) + 1, count: 0, bytes: 1 },
            1 => {
                let low = *bytes.get(1)?;
                let length = (usize::from(byte & 0x3f) << 8 | usize::from(low)) + 1;
                Self { first, length, count: 0, bytes: 2 }
            }
            _ => Self { first, length: usize::from(byte & 3) + 1, count: (byte >> 2 & 0x1f) + 1, bytes: 1 },
        };
        (run.first + run.length <= REGISTERS).then_some(run)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.count, self.bytes) {
            (0, 1) => write!(out, "z:{}", self.length),
            (0, _) => write!(out, "Z:{}", self.length),
            (count, _) => write!(out, "v:{count},{}", self.length),
        }
    }
}

/// The runs of a body. After the last one an error tells if registers are missing.
pub fn runs(body: &[u8]) -> impl Iterator<Item = Result<Run>> {
    let mut at = 0;
    let mut first = 0;
    let mut broken = false;
    std::iter::from_fn(move || {
        if broken {
            return None;
        }
        if at == body.len() {
            broken = true;
            return (first != REGISTERS).then(|| Err(damaged()));
        }
        match body.get(at..).and_then(|rest| Run::read(rest, first)) {
            Some(run) => {
                at += run.bytes;
                first += run.length;
                Some(Ok(run))
            }
            None => {
                broken = true;
                Some(Err(damaged()))
            }
        }
    })
}

/// A few runs in bytes: at most the five that a split takes.
#[derive(Default)]
struct Sequence {
    bytes: [u8; 5],
    length: usize,
}

impl Sequence {
    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// A run of at least one zero.
    fn zeros(&mut self, length: usize) {
        let less_one = length - 1;
        if length > ZEROS_MAX {
            self.push(0x40 | (less_one >> 8) as u8);
        }
        self.push(less_one as u8);
    }

    fn values(&mut self, count: u8, length: usize) {
        self.push(value_run(count, length));
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn value_run(count: u8, length: usize) -> u8 {
    0x80 | (count - 1) << 2 | (length - 1) as u8
}

/// What became of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raised {
    Yes,
    /// It was as high already.
    No,
    /// It cannot be said in this layout, or not within the limit; nothing was changed.
    TooLong,
}

/// Raises a register in the body that begins at `start` of `value`, whose whole length must not
/// grow beyond `max_bytes`.
///
/// # Errors
/// `INVALIDOBJ` when no run covers the register.
pub fn raise(value: &mut Vec<u8>, start: usize, register: usize, count: u8, max_bytes: usize) -> Result<Raised> {
    if count > COUNT_MAX {
        return Ok(Raised::TooLong);
    }
    let (before, at, run) = find(value, start, register)?;
    if run.count >= count {
        return Ok(Raised::No);
    }
    let split = split(&run, register, count);
    let split = split.as_bytes();
    if split.len() > run.bytes && value.len() + split.len() - run.bytes > max_bytes {
        return Ok(Raised::TooLong);
    }
    value.splice(at..at + run.bytes, split.iter().copied());
    merge(value, before);
    Ok(Raised::Yes)
}

/// The run that covers a register: where the run before it begins, where it begins, and itself.
fn find(value: &[u8], start: usize, register: usize) -> Result<(usize, usize, Run), Error> {
    let (mut before, mut at, mut first) = (start, start, 0);
    loop {
        let run = value.get(at..).and_then(|rest| Run::read(rest, first)).ok_or_else(damaged)?;
        if run.range().contains(&register) {
            return Ok((before, at, run));
        }
        before = at;
        at += run.bytes;
        first += run.length;
    }
}

/// A run with one of its registers at another count.
fn split(run: &Run, register: usize, count: u8) -> Sequence {
    let mut sequence = Sequence::default();
    let rest = |sequence: &mut Sequence, length: usize| match (length, run.count) {
        (0, _) => {}
        (_, 0) => sequence.zeros(length),
        (_, old) => sequence.values(old, length),
    };
    rest(&mut sequence, register - run.first);
    sequence.values(count, 1);
    rest(&mut sequence, run.range().end - register - 1);
    sequence
}

/// Merges neighbouring runs of the same count, from `at` on, a few runs far.
fn merge(value: &mut Vec<u8>, mut at: usize) {
    for _ in 0..MERGE_SCAN {
        let Some(run) = value.get(at..).and_then(|rest| Run::read(rest, 0)) else { return };
        if run.count > 0
            && let Some(next) = value.get(at + 1..).and_then(|rest| Run::read(rest, 0))
            && next.count == run.count
            && run.length + next.length <= VALUES_MAX
        {
            value[at + 1] = value_run(run.count, run.length + next.length);
            value.remove(at);
        } else {
            at += run.bytes;
        }
    }
}
