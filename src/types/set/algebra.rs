//! What several sets have in common, together, or apart. Members are read one page at a time
//! and looked up in the other sets together, so that misses cost one wait a page; only
//! the result is held in memory.

use bytes::Bytes;
use rustc_hash::FxHashSet;

use super::Set;
use crate::base::Result;
use crate::keyspace::Tx;

/// Members looked up together.
const PAGE: usize = 256;

/// Members that all of the sets have; none if there are no sets.
///
/// # Errors
/// As [`Tx::scan`].
pub fn intersection(tx: &mut Tx, sets: &[Set]) -> Result<Vec<Bytes>> {
    let mut shared = Vec::new();
    each_shared(tx, sets, u64::MAX, |members| shared.extend(members))?;
    Ok(shared)
}

/// How many members all of the sets have; counting stops at `most`.
///
/// # Errors
/// As [`Tx::scan`].
pub fn intersection_count(tx: &mut Tx, sets: &[Set], most: u64) -> Result<u64> {
    let mut count = 0;
    each_shared(tx, sets, most, |members| count += members.len() as u64)?;
    Ok(count.min(most))
}

/// Walks the smallest set and shows what the others have too, page by page, until there were `most`.
fn each_shared(tx: &mut Tx, sets: &[Set], most: u64, mut show: impl FnMut(Vec<Bytes>)) -> Result<()> {
    let mut by_size: Vec<&Set> = sets.iter().collect();
    by_size.sort_by_key(|set| set.len());
    let Some((smallest, others)) = by_size.split_first() else { return Ok(()) };
    let mut walk = smallest.walk(tx)?;
    let mut shown = 0;
    while shown < most {
        let mut page = Vec::with_capacity(PAGE.min(smallest.len() as usize));
        while page.len() < PAGE
            && let Some(member) = walk.next()?
        {
            page.push(member);
        }
        if page.is_empty() {
            break;
        }
        for other in others {
            keep(tx, &mut page, other, true)?;
        }
        shown += page.len() as u64;
        show(page);
    }
    Ok(())
}

/// Keeps the members that `set` has, or has not.
fn keep(tx: &mut Tx, members: &mut Vec<Bytes>, set: &Set, wanted: bool) -> Result<()> {
    if members.is_empty() {
        return Ok(());
    }
    let names: Vec<&[u8]> = members.iter().map(|member| &member[..]).collect();
    let mut found = set.contains_many(tx, &names)?.into_iter();
    members.retain(|_| found.next() == Some(wanted));
    Ok(())
}

/// Members that any of the sets has.
///
/// # Errors
/// As [`Tx::scan`].
pub fn union(tx: &mut Tx, sets: &[Set]) -> Result<Vec<Bytes>> {
    if let [only] = sets {
        return only.all(tx);
    }
    let mut seen = FxHashSet::default();
    let mut all = Vec::new();
    for set in sets {
        let mut walk = set.walk(tx)?;
        while let Some(member) = walk.next()? {
            if seen.insert(member.clone()) {
                all.push(member);
            }
        }
    }
    Ok(all)
}

/// Members of the first set that none of the others has.
///
/// # Errors
/// As [`Tx::scan`].
pub fn difference(tx: &mut Tx, first: &Set, others: &[Set]) -> Result<Vec<Bytes>> {
    let others_len: u64 = others.iter().map(Set::len).sum();
    // Looking up costs about ten times what reading in order does.
    if others_len <= first.len().saturating_mul(10) {
        let gone: FxHashSet<Bytes> = union(tx, others)?.into_iter().collect();
        let mut left = first.all(tx)?;
        left.retain(|member| !gone.contains(member));
        return Ok(left);
    }
    let mut left = Vec::new();
    for page in first.all(tx)?.chunks(PAGE) {
        let mut page = page.to_vec();
        for other in others {
            keep(tx, &mut page, other, false)?;
        }
        left.extend(page);
    }
    Ok(left)
}
