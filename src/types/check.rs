//! Whether a value is whole: every part well formed, in its place, and counted right. For
//! `ferrock check`; each type knows its own layout.

use super::hash::Hash;
use super::list::List;
use super::set::Set;
use super::stream::Stream;
use super::string::StringValue;
use super::zset::ZSet;
use crate::base::Result;
use crate::keyspace::{Direction, Kind, Record, Tx, Type};

/// Elements of a list that are read at a time.
const STRETCH: u64 = 256;

/// Looks through a value down to its last part and tells `find` what does not hold.
///
/// # Errors
/// As [`Tx::scan`].
pub fn check(tx: &mut Tx, record: Record, find: &mut dyn FnMut(String)) -> Result<()> {
    match record.kind {
        Type::String => loaded(record, find).map_or(Ok(()), |value: StringValue| value.check(tx, find)),
        Type::Set => loaded(record, find).map_or(Ok(()), |set: Set| set.check(tx, find)),
        Type::Hash => loaded(record, find).map_or(Ok(()), |hash: Hash| hash.check(tx, find)),
        Type::List => loaded(record, find).map_or(Ok(()), |list: List| check_list(tx, &list, find)),
        Type::Stream => loaded(record, find).map_or(Ok(()), |stream: Stream| stream.check(tx, find)),
        Type::SortedSet => loaded(record, find).map_or(Ok(()), |zset: ZSet| check_zset(tx, &zset, find)),
    }
}

/// A list has as many elements as it counts.
fn check_list(tx: &mut Tx, list: &List, find: &mut dyn FnMut(String)) -> Result<()> {
    let mut found = 0;
    let mut at = 0;
    while at < list.len() {
        let end = list.len().min(at + STRETCH);
        found += list.range(tx, at..end)?.len() as u64;
        at = end;
    }
    if found != list.len() {
        find(format!("{found} elements where the list counts {}", list.len()));
    }
    Ok(())
}

/// A sorted set has as many elements as it counts, in the order of scores and members, and knows
/// the score of each by its member.
fn check_zset(tx: &mut Tx, zset: &ZSet, find: &mut dyn FnMut(String)) -> Result<()> {
    let mut walk = zset.walk(tx, 0, Direction::Forward)?;
    let mut found = 0;
    let mut before: Option<(f64, bytes::Bytes)> = None;
    while let Some((member, score)) = walk.next(tx)? {
        found += 1;
        if zset.score(tx, &member)? != Some(score) {
            find(format!("member \"{}\" stands at the score {score} and has another", member.escape_ascii()));
        }
        let place = (score, member);
        if before.is_some_and(|before| before >= place) {
            find(format!("member \"{}\" stands in the wrong place", place.1.escape_ascii()));
        }
        before = Some(place);
    }
    if found != zset.len() {
        find(format!("{found} elements where the sorted set counts {}", zset.len()));
    }
    Ok(())
}

fn loaded<K: Kind>(record: Record, find: &mut dyn FnMut(String)) -> Option<K> {
    K::load(record.encoding, record.body).map_err(find).ok()
}
