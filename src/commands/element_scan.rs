//! What HSCAN, SSCAN and ZSCAN share: cursor and options in, a page of elements out; and what
//! a random draw is to be weighed as. What is scanned, and what a cursor means, is the
//! type's business.

use bytes::Bytes;

use super::outcome::Outcome;
use super::request::Args;
use crate::base::number::{format_u64, parse_u64_lenient};
use crate::base::{ClientError, Result, glob};
use crate::resp::Reply;

/// Elements that one call looks at, unless told.
const DEFAULT_COUNT: usize = 10;
/// Elements that one call may look at, whatever it is told.
const MOST_COUNT: usize = 1_000_000;

/// Reading an element in order costs as much as this share of drawing one at random.
const ELEMENTS_PER_DRAW: u64 = 16;

/// What drawing `count` elements of `stored` weighs, in elements read in order; a negative count
/// draws with repetitions.
pub fn drawing(count: i64, stored: u64) -> u64 {
    let wanted = count.unsigned_abs();
    let whole = if count < 0 { stored.max(wanted) } else { stored };
    wanted.saturating_mul(ELEMENTS_PER_DRAW).min(whole)
}

/// The options behind the cursor.
#[derive(Debug)]
pub struct ElementScan<'a> {
    pattern: Option<&'a [u8]>,
    /// About how many elements to look at.
    pub count: usize,
    /// HSCAN's NOVALUES.
    pub no_values: bool,
}

/// The cursor argument.
///
/// # Errors
/// `ERR invalid cursor`.
pub fn cursor(args: &mut Args<'_>) -> Result<u64> {
    match args.next()? {
        b"" => Ok(0),
        word => Ok(parse_u64_lenient(word).ok_or(ClientError::InvalidCursor)?),
    }
}

/// The reply for a key that is not there; its options are not looked at, as in Redis.
pub fn nothing() -> Outcome {
    page(0, Vec::new())
}

/// A page as the reply shows it.
pub fn page(cursor: u64, elements: Vec<Bytes>) -> Outcome {
    Reply::Array(vec![Reply::copy(format_u64(cursor)), Reply::Bulks(elements)]).into()
}

impl<'a> ElementScan<'a> {
    /// Reads the options. `has_values` says whether there is anything NOVALUES could leave out.
    ///
    /// # Errors
    /// Syntax errors, a count that is no number.
    pub fn parse(args: &mut Args<'a>, has_values: bool) -> Result<Self> {
        let mut scan = Self { pattern: None, count: DEFAULT_COUNT, no_values: false };
        while !args.is_empty() {
            if args.remaining() >= 2 && args.accept("COUNT") {
                let count = args.integer()?;
                let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(ClientError::Syntax)?;
                scan.count = count.min(MOST_COUNT);
            } else if args.remaining() >= 2 && args.accept("MATCH") {
                scan.pattern = Some(args.next()?).filter(|pattern| *pattern != b"*");
            } else if has_values && args.accept("NOVALUES") {
                scan.no_values = true;
            } else {
                return Err(ClientError::Syntax.into());
            }
        }
        Ok(scan)
    }

    /// Whether the reply shows the element of this name.
    pub fn wants(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_never_weighs_more_than_reading_everything_and_repeating_it() {
        assert_eq!(drawing(3, 1_000_000), 48);
        assert_eq!(drawing(900_000, 1_000_000), 1_000_000);
        assert_eq!(drawing(-5, 2), 5);
        assert_eq!(drawing(-5, 1_000), 80);
        assert_eq!(drawing(i64::MIN, 10), 1 << 63);
    }

    #[test]
    fn options_come_in_any_order_and_the_last_one_counts() {
        let words: Vec<&[u8]> = vec![b"match", b"a*", b"COUNT", b"7", b"MATCH", b"b*", b"novalues"];
        let scan = ElementScan::parse(&mut Args::new(&words, 0), true).unwrap();
        assert_eq!((scan.count, scan.no_values, scan.wants(b"bc"), scan.wants(b"a")), (7, true, true, false));
        assert!(ElementScan::parse(&mut Args::new(&words, 0), false).is_err());
        for wrong in [&[b"COUNT".as_slice(), b"0"][..], &[b"COUNT", b"x"], &[b"MATCH"], &[b"other"]] {
            assert!(ElementScan::parse(&mut Args::new(wrong, 0), true).is_err(), "{wrong:?}");
        }
    }
}
