//! What a blocking command waits for, and until when. Who waits, and in which order they are
//! served, is `waiters.rs`'s; here is only what a handler says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::base::number::{LongDouble, parse_i64};
use crate::base::{Error, Result};
use crate::keyspace::DatabaseIndex;
use crate::observe::Client;
use crate::resp::Reply;

/// Redis' clock is a signed number of milliseconds; what goes beyond it is refused.
const LATEST_MS: u64 = i64::MAX as u64;

/// A handler's wish to be run again when something changes.
#[derive(Debug, Clone)]
pub struct Wait {
    /// A change of any of these is worth another run.
    pub keys: Vec<(DatabaseIndex, Bytes)>,
    /// When to give up, milliseconds since the epoch; `None` waits for ever.
    pub until_ms: Option<u64>,
    /// The reply of giving up.
    pub on_timeout: Reply,
    /// What to run when called, name included, instead of the request as it came (XREAD's `$` is
    /// what it was when the client began to wait).
    pub resume: Option<Arc<[Bytes]>>,
}

/// Why a blocking command stops waiting without having been served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum GiveUp {
    /// Its time has come, or CLIENT UNBLOCK TIMEOUT says so.
    Timeout = 1,
    /// CLIENT UNBLOCK ERROR.
    Unblocked = 2,
}

impl GiveUp {
    /// Asks a blocked client to give up.
    pub(super) fn ask(self, client: &Client) {
        client.unblock.store(self as u32, Ordering::Release);
        client.bell.notify_one();
    }

    /// What the client was asked, once.
    pub fn asked(client: &Client) -> Option<Self> {
        match client.unblock.swap(0, Ordering::AcqRel) {
            1 => Some(Self::Timeout),
            2 => Some(Self::Unblocked),
            _ => None,
        }
    }
}

/// The moment that a timeout in seconds, with decimals, means; `None` for zero, which is never.
///
/// # Errors
/// Redis' texts for what is no number, negative or too far away.
pub fn until_after_seconds(now_ms: u64, seconds: &[u8]) -> Result<Option<u64>> {
    let seconds = LongDouble::parse(seconds);
    let seconds = seconds.ok_or_else(|| Error::client("ERR timeout is not a float or out of range"))?;
    let ms = seconds.ceil_of_product(1000.0);
    if ms > LATEST_MS as f64 {
        return Err(out_of_range());
    }
    // A cast of a double saturates, so whatever is below zero stays there.
    until(now_ms, ms as i64)
}

/// The moment that a timeout in whole milliseconds means (XREAD … BLOCK).
///
/// # Errors
/// As [`until_after_seconds`].
pub fn until_after_ms(now_ms: u64, ms: &[u8]) -> Result<Option<u64>> {
    let ms = parse_i64(ms).ok_or_else(|| Error::client("ERR timeout is not an integer or out of range"))?;
    until(now_ms, ms)
}

fn until(now_ms: u64, ms: i64) -> Result<Option<u64>> {
    match u64::try_from(ms) {
        Err(_) => Err(Error::client("ERR timeout is negative")),
        Ok(0) => Ok(None),
        Ok(ms) => match now_ms.checked_add(ms) {
            Some(until_ms) if until_ms <= LATEST_MS => Ok(Some(until_ms)),
            _ => Err(out_of_range()),
        },
    }
}

fn out_of_range() -> Error {
    Error::client("ERR timeout is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Result<Option<u64>, String> {
        until_after_seconds(1_000, text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn parts_of_a_millisecond_count_as_a_whole_one() {
        assert_eq!(seconds("0"), Ok(None));
        assert_eq!(seconds("-0"), Ok(None));
        assert_eq!(seconds("-0.0001"), Ok(None), "rounded up, as Redis does");
        assert_eq!(seconds("0.1"), Ok(Some(1_100)));
        assert_eq!(seconds("1e-20"), Ok(Some(1_001)));
        assert_eq!(seconds("0x10"), Ok(Some(17_000)));
    }

    #[test]
    fn what_is_no_timeout_is_refused_in_redis_words() {
        for text in ["", "x", "1s", " 1", "nan", "1e5000"] {
            assert_eq!(seconds(text), Err("ERR timeout is not a float or out of range".into()), "{text}");
        }
        for text in ["-1", "-0.002", "-inf"] {
            assert_eq!(seconds(text), Err("ERR timeout is negative".into()), "{text}");
        }
        for text in ["inf", "1e400", "9223372036854775.807", "0x7FFFFFFFFFFFFFFF"] {
            assert_eq!(seconds(text), Err("ERR timeout is out of range".into()), "{text}");
        }
    }

    #[test]
    fn milliseconds_are_whole() {
        let ms = |text: &str| until_after_ms(1_000, text.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(ms("0"), Ok(None));
        assert_eq!(ms("25"), Ok(Some(1_025)));
        assert_eq!(ms("0.5"), Err("ERR timeout is not an integer or out of range".into()));
        assert_eq!(ms("-1"), Err("ERR timeout is negative".into()));
        assert_eq!(ms("9223372036854775807"), Err("ERR timeout is out of range".into()));
    }
}
