//! The C `long double` of INCRBYFLOAT and HINCRBYFLOAT: Redis adds in 80 bits (on
//! x86) and prints 17 decimals, which no f64 reproduces, and Rust has no such
//! type. So a few small C functions (`long_double.c`) do the arithmetic, and this
//! file holds the only `unsafe` of the ground layer: calls into them.

use std::ffi::{c_char, c_int};

use super::is_space;

/// Texts of this many bytes or more are refused, as Redis does.
const MAX_TEXT: usize = 5 * 1024;

/// A value of C's `long double`, never NaN.
#[derive(Clone, Copy)]
pub struct LongDouble(Bytes);

/// Where C keeps it: at least as large and as aligned as any platform's.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Bytes([u8; 16]);

unsafe extern "C" {
    fn ferrock_long_double_parse(text: *const c_char, length: usize, out: *mut Bytes) -> c_int;
    fn ferrock_long_double_from_double(value: f64, out: *mut Bytes);
    fn ferrock_long_double_ceil_product(value: *const Bytes, factor: f64) -> f64;
    fn ferrock_long_double_add(left: *const Bytes, right: *const Bytes, out: *mut Bytes) -> c_int;
    fn ferrock_long_double_is_finite(value: *const Bytes) -> c_int;
    fn ferrock_long_double_print(value: *const Bytes, out: *mut c_char, capacity: usize) -> c_int;
}

impl LongDouble {
    /// Reads a number as `strtold` does: decimal, hexadecimal or `inf`, without white
    /// space around it. `None` for NaN, for what is too large, and for what is so
    /// small that it would become zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= MAX_TEXT || text.first().is_none_or(|byte| is_space(*byte)) {
            return None;
        }
        let mut terminated = [0_u8; MAX_TEXT];
        terminated[..text.len()].copy_from_slice(text);
        let mut value = Bytes([0; 16]);
        // SAFETY: the text is shorter than its zeroed buffer, so it is terminated
        // and outlives the call; C writes 16 bytes, the size of `Bytes`.
        let read = unsafe { ferrock_long_double_parse(terminated.as_ptr().cast(), text.len(), &raw mut value) };
        (read == 1).then_some(Self(value))
    }

    /// The value of an f64, exactly; `None` for NaN.
    pub fn of(value: f64) -> Option<Self> {
        if value.is_nan() {
            return None;
        }
        let mut bytes = Bytes([0; 16]);
        // SAFETY: C writes 16 bytes, the size of `Bytes`.
        unsafe { ferrock_long_double_from_double(value, &raw mut bytes) };
        Some(Self(bytes))
    }

    /// This times `factor`, rounded up to a whole number; an infinity where f64 does not reach.
    pub fn ceil_of_product(self, factor: f64) -> f64 {
        // SAFETY: points to live `Bytes`, of the 16 bytes C reads.
        unsafe { ferrock_long_double_ceil_product(&raw const self.0, factor) }
    }

    /// The sum; `None` if it is infinite or not a number.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let mut sum = Bytes([0; 16]);
        // SAFETY: all three point to live `Bytes`, of the 16 bytes C reads and writes.
        let finite = unsafe { ferrock_long_double_add(&raw const self.0, &raw const other.0, &raw mut sum) };
        (finite == 1).then_some(Self(sum))
    }

    /// Whether it is not an infinity.
    pub fn is_finite(self) -> bool {
        // SAFETY: points to live `Bytes`, of the 16 bytes C reads.
        unsafe { ferrock_long_double_is_finite(&raw const self.0) == 1 }
    }

    /// The text for people, as Redis stores and replies it: up to 17 decimals
    /// without trailing zeros, never an exponent; at most 4,951 bytes.
    pub fn to_text(self) -> Vec<u8> {
        let mut buffer = [0_u8; MAX_TEXT];
        // SAFETY: points to live `Bytes`, and C writes at most the buffer's length.
        let length = unsafe {
            let out = buffer.as_mut_ptr().cast();
            ferrock_long_double_print(&raw const self.0, out, buffer.len())
        };
        let length = usize::try_from(length).unwrap_or(0).min(MAX_TEXT - 1);
        without_trailing_zeros(&buffer[..length]).to_vec()
    }
}

fn without_trailing_zeros(text: &[u8]) -> &[u8] {
    if !text.contains(&b'.') {
        return text;
    }
    let digits = text.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
    let trimmed = &text[..digits];
    match trimmed.strip_suffix(b".").unwrap_or(trimmed) {
        b"-0" => b"0",
        other => other,
    }
}

impl std::fmt::Debug for LongDouble {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "LongDouble({})", self.to_text().escape_ascii())
    }
}

#[cfg(test)]
mod tests;
