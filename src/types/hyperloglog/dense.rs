//! The dense layout: 16384 registers of six bits, the first in the lowest bits of the first
//! byte, each continuing in the low bits of the next byte.

use super::REGISTERS;

const BITS: usize = 6;
/// Bytes of all registers.
pub const BYTES: usize = REGISTERS * BITS / 8;
const _: () = assert!((REGISTERS * BITS).is_multiple_of(8));
const MASK: u16 = (1 << BITS) - 1;

/// Two bytes at the register's first bit; behind the last byte there is zero.
fn pair(body: &[u8], at: usize) -> u16 {
    let byte = |at: usize| body.get(at).copied().unwrap_or(0);
    u16::from_le_bytes([byte(at), byte(at + 1)])
}

/// What a register holds.
pub fn count(body: &[u8], register: usize) -> u8 {
    let bit = register * BITS;
    (pair(body, bit / 8) >> (bit % 8) & MASK) as u8
}

/// Raises a register to `to`, if it is below; says whether it was.
pub fn raise(body: &mut [u8], register: usize, to: u8) -> bool {
    if count(body, register) >= to {
        return false;
    }
    let bit = register * BITS;
    let (at, shift) = (bit / 8, bit % 8);
    let pair = pair(body, at) & !(MASK << shift) | (u16::from(to) & MASK) << shift;
    for (byte, new) in body[at..].iter_mut().zip(pair.to_le_bytes()) {
        *byte = new;
    }
    true
}
