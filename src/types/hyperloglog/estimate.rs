//! From an element to its register, and from registers to a cardinality.
//!
//! The hash is MurmurHash64A as Redis uses it. The estimate is Otmar Ertl's ("New cardinality
//! estimation algorithms for HyperLogLog sketches", arXiv 1702.01284), which needs no table
//! of corrections; floating-point steps are in Redis' order, so that counts agree to the unit.

use super::Registers;

/// Bits of the hash that choose the register.
const INDEX_BITS: u32 = 14;
/// How many registers there are.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of the hash whose trailing zeros are counted.
const PATTERN_BITS: u32 = 64 - INDEX_BITS;
/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;

const SEED: u64 = 0xadc8_3b19;
const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
const SHIFT: u32 = 47;

/// An element's register, and the count that it raises it to: 1 to 51.
pub fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element);
    let register = hash as usize & (REGISTERS - 1);
    let pattern = hash >> INDEX_BITS | 1 << PATTERN_BITS;
    (register, pattern.trailing_zeros() as u8 + 1)
}

fn murmur(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    for word in words {
        let mut mixed = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> SHIFT;
        hash = (hash ^ mixed.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}

/// The estimate for these registers.
pub fn cardinality(registers: &Registers) -> u64 {
    let mut holding = [0_u32; 256];
    registers.iter().for_each(|count| holding[usize::from(*count)] += 1);
    let share = |count: u32| f64::from(count) / REGISTERS as f64;
    let all = REGISTERS as f64;
    let saturated = holding[PATTERN_BITS as usize + 1];
    let mut sum = all * tau(share(REGISTERS as u32 - saturated));
    for count in (1..=PATTERN_BITS as usize).rev() {
        sum = (sum + f64::from(holding[count])) * 0.5;
    }
    sum += all * sigma(share(holding[0]));
    (ALPHA * all * all / sum).round() as u64
}

fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}
