//! The generator behind `math.random`: the 48-bit one that Redis offers scripts, so that a seed
//! gives the same numbers as there.

use std::cell::Cell;

use crate::base::random;

/// Numbers are drawn from `0.0..1.0` in this many steps.
const STEPS: u64 = i32::MAX as u64;
const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
/// What a seed becomes the upper bits of.
const LOWER_BITS: u64 = 0x330E;

/// A generator.
#[derive(Debug, Default)]
pub(super) struct Random(Cell<u64>);

impl Random {
    /// Starts from a seed.
    pub fn seed(&self, seed: i32) {
        self.0.set(u64::from(seed.cast_unsigned()) << 16 | LOWER_BITS);
    }

    /// Starts from where nobody can tell.
    pub fn scramble(&self) {
        self.0.set(random::number() & MASK);
    }

    /// A number in `0.0..1.0`.
    #[expect(clippy::cast_precision_loss, reason = "31 bits fit a double")]
    pub fn fraction(&self) -> f64 {
        let next = self.0.get().wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        self.0.set(next);
        ((next >> 17) % STEPS) as f64 / STEPS as f64
    }
}
