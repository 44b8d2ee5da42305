//! Groups of keys by prefix. Keys come in the order of their names, so those of one prefix come together, and
//! only the groups that the last key lies in are open: one for each delimiter. Of the closed ones
//! the largest are kept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use memchr::memmem::Finder;

use super::report::{Group, Others, Prefix, Shape, shown};
use crate::keyspace::Surveyed;

/// The prefixes of one database.
pub(super) struct Prefixes {
    delimiter: Finder<'static>,
    depth: usize,
    most: usize,
    /// Each a prefix of the next; the first is that of keys without a delimiter.
    open: Vec<(Vec<u8>, Group)>,
    /// The smallest on top.
    largest: BinaryHeap<Reverse<Closed>>,
    others: Others,
}

/// A group that no more keys will come to; ordered by bytes, then by prefix.
struct Closed {
    prefix: Vec<u8>,
    group: Group,
}

impl Closed {
    fn order(&self) -> (u64, Reverse<&[u8]>) {
        (self.group.bytes, Reverse(&self.prefix))
    }
}

impl PartialEq for Closed {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Closed {}

impl PartialOrd for Closed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Closed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl Prefixes {
    pub fn new(shape: &Shape) -> Self {
        Self {
            delimiter: Finder::new(&shape.delimiter).into_owned(),
            depth: shape.depth,
            most: shape.prefixes,
            open: Vec::new(),
            largest: BinaryHeap::new(),
            others: Others::default(),
        }
    }

    /// Takes the next key.
    pub fn add(&mut self, key: &Surveyed, now_ms: u64) {
        let prefix = self.prefix_of(&key.name);
        while self.open.last().is_some_and(|(open, _)| !prefix.starts_with(open)) {
            self.close();
        }
        match self.open.last_mut() {
            Some((open, group)) if open == prefix => group.add(key, now_ms),
            _ => {
                let mut group = Group::default();
                group.add(key, now_ms);
                self.open.push((prefix.to_vec(), group));
            }
        }
    }

    /// What of a name ends with the delimiter that counts, or with the last there is.
    fn prefix_of<'a>(&self, name: &'a [u8]) -> &'a [u8] {
        let delimiters = self.delimiter.find_iter(name).take(self.depth);
        let end = delimiters.last().map_or(0, |at| at + self.delimiter.needle().len());
        name.get(..end).unwrap_or_default()
    }

    fn close(&mut self) {
        let Some((prefix, group)) = self.open.pop() else { return };
        self.largest.push(Reverse(Closed { prefix, group }));
        if self.largest.len() > self.most
            && let Some(Reverse(smallest)) = self.largest.pop()
        {
            self.others.count += 1;
            self.others.all.join(&smallest.group);
        }
    }

    /// The largest, and all others together.
    pub fn finish(mut self) -> (Vec<Prefix>, Others) {
        while !self.open.is_empty() {
            self.close();
        }
        let mut closed: Vec<Closed> = self.largest.into_iter().map(|closed| closed.0).collect();
        closed.sort_by(|one, other| other.cmp(one));
        let prefixes = closed.into_iter().map(|closed| Prefix { prefix: shown(&closed.prefix), all: closed.group });
        (prefixes.collect(), self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Type;

    /// Prefixes with their keys; then how many others with how many keys.
    fn found(depth: usize, most: usize, names: &[&str]) -> (Vec<(String, u64)>, (u64, u64)) {
        let shape = Shape { top: 0, prefixes: most, delimiter: b":".to_vec(), depth, now_ms: 0 };
        let mut prefixes = Prefixes::new(&shape);
        let mut names: Vec<&str> = names.to_vec();
        names.sort_unstable();
        for name in names {
            let name = bytes::Bytes::copy_from_slice(name.as_bytes());
            prefixes.add(&Surveyed { db: 0, name, kind: Type::Set, expire_at_ms: None, bytes: 1, parts: 0 }, 0);
        }
        let (largest, others) = prefixes.finish();
        let largest = largest.into_iter().map(|prefix| (prefix.prefix, prefix.all.keys)).collect();
        (largest, (others.count, others.all.keys))
    }

    const NAMES: [&str; 9] = ["user:1:a", "user:1:b", "user:2", "user:", "users", "zoo", "a", "b:x", "user:10:c"];

    #[test]
    fn groups_are_whole_though_names_lie_between() {
        let named =
            |pairs: &[(&str, u64)]| pairs.iter().map(|(name, keys)| ((*name).into(), *keys)).collect::<Vec<_>>();
        assert_eq!(found(1, 9, &NAMES), (named(&[("user:", 5), ("", 3), ("b:", 1)]), (0, 0)));
        let deeper = [("", 3), ("user:", 2), ("user:1:", 2), ("b:", 1), ("user:10:", 1)];
        assert_eq!(found(2, 9, &NAMES), (named(&deeper), (0, 0)));
        assert_eq!(found(1, 1, &NAMES), (named(&[("user:", 5)]), (2, 4)));
        assert_eq!(found(1, 0, &NAMES), (Vec::new(), (3, 9)));
    }
}
