//! What counts as a difference. Most replies must be equal to the byte; some
//! are about time, some are random, some come in no order. What Ferrock means
//! to answer otherwise than redis-server 7.0.15 stands in one table below, each
//! with its reason.

use super::grammar::Command;
use super::support::Reply;
use super::support::compare::{Order, normalise, order_of};

/// Times are read from two servers one after the other, on a busy machine.
const SECONDS_APART_MAX: i64 = 3;

/// How the replies of a command are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    Same(Order),
    /// The same but for integers, which may differ by this much.
    Near(i64),
    /// Random: the same kind and, where it is a list, the same length.
    Shape,
}

pub fn name_of(command: &Command) -> Vec<u8> {
    command.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default()
}

pub fn check_of(command: &Command) -> Check {
    match name_of(command).as_slice() {
        b"TTL" | b"EXPIRETIME" => Check::Near(SECONDS_APART_MAX),
        b"PTTL" | b"PEXPIRETIME" | b"XPENDING" | b"XINFO" => Check::Near(SECONDS_APART_MAX * 1000),
        b"RANDOMKEY" | b"HRANDFIELD" | b"SRANDMEMBER" | b"ZRANDMEMBER" | b"SPOP" => Check::Shape,
        // What is sorted by nothing comes in no order from a set.
        _ => Check::Same(order_of(command)),
    }
}

/// Whether a command may stand between MULTI and EXEC here: what needs an errand
/// of the player afterwards may not, and what has another arity in 7.2.
pub fn fits_a_transaction(command: &Command) -> bool {
    match name_of(command).as_slice() {
        b"LAPSE" | b"BLOCKED" | b"SPOP" | b"MULTI" | b"EXEC" | b"SELECT" => false,
        b"ZRANK" | b"ZREVRANK" => command.len() == 3,
        _ => true,
    }
}

/// Whether two replies of EXEC agree, command by command.
pub fn agree_in_transaction(queued: &[Command], reference: &Reply, tested: &Reply) -> bool {
    match (reference, tested) {
        (Reply::Array(left), Reply::Array(right)) => {
            left.len() == right.len()
                && left.len() == queued.len()
                && queued.iter().zip(left.iter().zip(right)).all(|(command, (a, b))| agree(command, a, b))
        }
        _ => reference == tested,
    }
}

/// Whether the reply of the server under test stands for that of the reference.
pub fn agree(command: &Command, reference: &Reply, tested: &Reply) -> bool {
    same(check_of(command), reference.clone(), tested.clone())
        || DEVIATIONS.iter().any(|deviation| (deviation.covers)(command, reference, tested))
}

fn same(check: Check, reference: Reply, tested: Reply) -> bool {
    match check {
        Check::Same(order) => normalise(reference, order) == normalise(tested, order),
        Check::Near(distance) => near(&reference, &tested, distance),
        Check::Shape => shape(&reference, &tested),
    }
}

fn near(reference: &Reply, tested: &Reply, distance: i64) -> bool {
    match (reference, tested) {
        (Reply::Integer(left), Reply::Integer(right)) => {
            // -1 and -2 are answers, not times.
            left == right || *left >= 0 && *right >= 0 && left.abs_diff(*right) <= distance.unsigned_abs()
        }
        (Reply::Map(left), Reply::Map(right)) => {
            let pairs = left.iter().zip(right);
            left.len() == right.len() && pairs.into_iter().all(|(a, b)| a.0 == b.0 && near(&a.1, &b.1, distance))
        }
        (Reply::Array(left), Reply::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| near(a, b, distance))
        }
        _ => reference == tested,
    }
}

fn shape(reference: &Reply, tested: &Reply) -> bool {
    match (reference.elements(), tested.elements()) {
        (Some(left), Some(right)) => left.len() == right.len(),
        _ => match (reference, tested) {
            (Reply::Bulk(_), Reply::Bulk(_)) => true,
            _ => reference == tested,
        },
    }
}

/// A difference that is meant.
struct Deviation {
    #[expect(dead_code, reason = "the reason is for the reader of the table")]
    reason: &'static str,
    covers: fn(&Command, &Reply, &Reply) -> bool,
}

const DEVIATIONS: &[Deviation] = &[
    Deviation {
        reason: "7.2 prints a double with its shortest digits, 7.0 with 17 significant ones",
        covers: |command, reference, tested| {
            let name = name_of(command);
            let scored = name.starts_with(b"Z") || name.starts_with(b"BZ") || name.starts_with(b"GEO");
            scored && equal_as_doubles(reference, tested)
        },
    },
    Deviation {
        reason: "7.2 makes a consumer by its first attempt to read or claim, 7.0 by the first that gets something",
        covers: |command, reference, tested| {
            let is_made_here = (reference, tested) == (&Reply::Integer(1), &Reply::Integer(0));
            name_of(command) == b"XGROUP" && is_made_here
        },
    },
    Deviation {
        reason: "the same, and 7.2 tells when a consumer was active",
        covers: |command, reference, tested| {
            let (reference, tested) = (without_consumers(reference), without_consumers(tested));
            name_of(command) == b"XINFO" && near(&reference, &tested, SECONDS_APART_MAX * 1000)
        },
    },
    Deviation {
        reason: "XREAD knows + for the last entry, as 7.4 does",
        covers: |command, reference, _| {
            let error = b"ERR Invalid stream ID specified as stream command argument";
            let is_invalid = matches!(reference, Reply::Error(text) if text == error);
            name_of(command).starts_with(b"XREAD") && command.iter().any(|word| word == b"+") && is_invalid
        },
    },
    Deviation {
        reason: "7.2 keeps small sets of strings as listpack, 7.0 as hashtable; small lists likewise",
        covers: |command, reference, tested| {
            let encodings = (reference.bytes(), tested.bytes());
            name_of(command) == b"OBJECT" && matches!(encodings, (Some(b"hashtable" | b"quicklist"), Some(b"listpack")))
        },
    },
    Deviation {
        reason: "SORT turns the sorted set it reads into a skiplist in Redis, here it changes nothing",
        covers: |command, reference, tested| {
            let encodings = (reference.bytes(), tested.bytes());
            name_of(command) == b"OBJECT" && encodings == (Some(b"skiplist"), Some(b"listpack"))
        },
    },
    Deviation {
        reason: "7.2 refuses the least RANK of LPOS, 7.0 takes it",
        covers: |command, _, tested| {
            let is_refused =
                matches!(tested, Reply::Error(text) if text.starts_with(b"ERR value is out of range, value must"));
            name_of(command) == b"LPOS" && is_refused
        },
    },
    Deviation {
        reason: "a range by names of members with different scores is undefined, and LIMIT and REV show Redis' way through it",
        covers: |command, _, _| {
            let has = |word: &[u8]| command.iter().any(|other| other.eq_ignore_ascii_case(word));
            let by_name = has(b"BYLEX") || name_of(command).ends_with(b"RANGEBYLEX");
            by_name && (has(b"LIMIT") || has(b"REV")) && name_of(command) != b"ZRANGESTORE"
        },
    },
    Deviation {
        reason: "7.2's ZRANK and ZREVRANK take WITHSCORE behind the member, and complain of other words there",
        covers: |command, reference, tested| {
            let ranks = matches!(name_of(command).as_slice(), b"ZRANK" | b"ZREVRANK");
            let both_complain = matches!((reference, tested), (Reply::Error(_), Reply::Error(_)));
            ranks && command.len() == 4 && both_complain
        },
    },
];

/// XINFO without consumers: without the lists of FULL, that is.
fn without_consumers(reply: &Reply) -> Reply {
    let named = |name: &Reply| name.bytes() == Some(b"consumers");
    match reply {
        Reply::Map(pairs) => {
            let kept = pairs.iter().filter(|(name, _)| !named(name));
            Reply::Map(kept.map(|(name, value)| (name.clone(), without_consumers(value))).collect())
        }
        Reply::Array(elements) => {
            let mut kept = Vec::new();
            let mut rest = elements.iter();
            while let Some(element) = rest.next() {
                if named(element) {
                    rest.next();
                } else {
                    kept.push(without_consumers(element));
                }
            }
            Reply::Array(kept)
        }
        other => other.clone(),
    }
}

/// Equal but for the digits of doubles, wherever in the reply they stand.
fn equal_as_doubles(reference: &Reply, tested: &Reply) -> bool {
    match (reference, tested) {
        (Reply::Array(left), Reply::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| equal_as_doubles(a, b))
        }
        (Reply::Double(left), Reply::Double(right)) | (Reply::Bulk(left), Reply::Bulk(right)) => {
            left == right || double(left).is_some() && double(left) == double(right)
        }
        _ => reference == tested,
    }
}

fn double(digits: &[u8]) -> Option<f64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
