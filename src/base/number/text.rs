//! A printed number on the stack: no allocation between a counter and the
//! reply that carries it. Holds the longest text of an i64, a u64 or an f64;
//! long doubles (up to 4,951 digits) are printed to the heap instead.

use std::fmt;
use std::ops::Deref;

/// The longest text: a 17-digit fraction, its sign, `0.` and six zeros.
const CAPACITY: usize = 31;

/// The ASCII text of a number; reads as a byte slice.
#[derive(Clone, Copy)]
pub struct NumberText {
    bytes: [u8; CAPACITY],
    length: u8,
}

impl NumberText {
    pub(super) const fn empty() -> Self {
        Self { bytes: [0; CAPACITY], length: 0 }
    }

    pub(super) fn of(text: &str) -> Self {
        let mut number = Self::empty();
        number.push(text.as_bytes());
        number
    }

    /// Appends bytes of a number's text; what prints numbers knows they fit.
    pub(super) fn push(&mut self, text: &[u8]) {
        let start = usize::from(self.length);
        self.bytes[start..start + text.len()].copy_from_slice(text);
        self.length += text.len() as u8;
    }

    pub(super) fn push_zeros(&mut self, count: usize) {
        for _ in 0..count {
            self.push(b"0");
        }
    }

    /// The text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The text as a string; it is always ASCII.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl Deref for NumberText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for NumberText {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<NumberText> for Vec<u8> {
    fn from(text: NumberText) -> Self {
        text.as_bytes().to_vec()
    }
}

impl fmt::Display for NumberText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for NumberText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.as_str())
    }
}
