//! The one door to randomness, of two kinds. Choices (RANDOMKEY, SPOP, sampling,
//! jitter) come from a fast generator that a test can [`seed`]; names that must
//! not be guessed (run ids, ACL GENPASS) come from the kernel.

use std::io;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// A generator of one's own: the same seed gives the same choices on every machine.
pub type Generator = fastrand::Rng;

/// Makes the choices of this thread repeatable. For tests and DEBUG.
pub fn seed(seed: u64) {
    fastrand::seed(seed);
}

/// A generator that starts from `seed`.
pub fn generator(seed: u64) -> Generator {
    Generator::with_seed(seed)
}

/// A number of all 64 bits.
pub fn number() -> u64 {
    fastrand::u64(..)
}

/// A number below `limit`, each as likely as the others; 0 when `limit` is 0.
pub fn below(limit: u64) -> u64 {
    if limit == 0 { 0 } else { fastrand::u64(..limit) }
}

/// A number in `0.0..1.0`.
pub fn fraction() -> f64 {
    fastrand::f64()
}

/// Puts the items in random order.
pub fn shuffle<T>(items: &mut [T]) {
    fastrand::shuffle(items);
}

/// Fills `bytes` from the kernel's generator; waits only before the system has
/// gathered its first entropy, at boot.
pub fn fill_secret(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest, GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// `digits` lower-case hexadecimal digits that nobody can guess; 40 make a run id.
pub fn secret_hex(digits: usize) -> io::Result<String> {
    let mut bytes = vec![0; digits.div_ceil(2)];
    fill_secret(&mut bytes)?;
    let mut hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(digits);
    Ok(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices() {
        let choose = || {
            seed(7);
            let mut items: Vec<_> = (0..20).collect();
            shuffle(&mut items);
            (number(), below(1_000), fraction(), items)
        };
        assert_eq!(choose(), choose());
        assert_eq!(generator(7).u64(..), generator(7).u64(..));
        assert_ne!(generator(7).u64(..), generator(8).u64(..));
    }

    #[test]
    fn choices_stay_below_their_limit_and_reach_it() {
        assert_eq!(below(0), 0);
        assert_eq!(below(1), 0);
        let mut seen = [0_u32; 4];
        for _ in 0..4_000 {
            seen[below(4) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
    }

    #[test]
    fn secrets_have_their_length_and_differ() {
        for digits in [0, 1, 39, 40, 2_000] {
            let hex = secret_hex(digits).unwrap();
            assert_eq!(hex.len(), digits);
            assert!(hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
        }
        assert_ne!(secret_hex(40).unwrap(), secret_hex(40).unwrap());
    }
}
