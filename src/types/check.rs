//! Whether a value is whole: every part well formed, in its place, and counted right. For
//! `ferrock check`; each type knows its own layout.

use super::hash::Hash;
use super::list::List;
use super::set::Set;
use super::stream::Stream;
use super::string::StringValue;
use super::zset::ZSet;
use crate::base::Result;
use crate::keyspace::{Kind, Record, Tx, Type};

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
        Type::SortedSet => loaded(record, find).map_or(Ok(()), |zset: ZSet| zset.check(tx, find)),
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

fn loaded<K: Kind>(record: Record, find: &mut dyn FnMut(String)) -> Option<K> {
    K::load(record.encoding, record.body).map_err(find).ok()
}
