//! The figures of `ferrock stats`, and how they come about, one key after the other in the order of
//! databases and names. What is kept is bounded by what is asked for, whatever the number of keys.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use serde::Serialize;

use super::prefixes::Prefixes;
use crate::keyspace::Surveyed;
use crate::storage::{EngineFigures, Family};

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// How many of the biggest keys are named.
    pub top: usize,
    /// How many prefixes of each database are.
    pub prefixes: usize,
    pub delimiter: Vec<u8>,
    pub depth: usize,
    pub now_ms: u64,
}

/// What lies in a database.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub keys: u64,
    pub bytes: u64,
    pub databases: Vec<Database>,
    pub biggest: Vec<Biggest>,
    pub families: Vec<FamilyFiles>,
}

/// A logical database that is not empty.
#[derive(Debug, Serialize)]
pub(super) struct Database {
    pub database: u32,
    #[serde(flatten)]
    pub all: Group,
    pub prefixes: Vec<Prefix>,
    /// The keys of all prefixes that are not named.
    pub other_prefixes: Others,
}

/// Prefixes that are not named.
#[derive(Debug, Default, Serialize)]
pub(super) struct Others {
    pub count: u64,
    #[serde(flatten)]
    pub all: Group,
}

/// Keys that begin alike.
#[derive(Debug, Serialize)]
pub(super) struct Prefix {
    /// Empty for keys without a delimiter. Bytes that are no text are `\xNN`.
    pub prefix: String,
    #[serde(flatten)]
    pub all: Group,
}

/// Figures of some keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Group {
    pub keys: u64,
    pub bytes: u64,
    pub types: BTreeMap<&'static str, OfType>,
    pub deadlines: Deadlines,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct OfType {
    pub keys: u64,
    pub bytes: u64,
}

/// When keys will lapse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Deadlines {
    /// Keys with one.
    pub keys: u64,
    /// Of those, how many lapse within an hour, a day, a week, 30 days, later.
    pub within_hour: u64,
    pub within_day: u64,
    pub within_week: u64,
    pub within_30_days: u64,
    pub later: u64,
}

/// A key among the biggest.
#[derive(Debug, Serialize)]
pub(super) struct Biggest {
    pub database: u32,
    pub key: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub bytes: u64,
    /// Entries that its elements have beside the record; 0 for what lies in that.
    pub parts: u64,
}

/// The sorted files of a family.
#[derive(Debug, Serialize)]
pub(super) struct FamilyFiles {
    pub family: &'static str,
    pub files: u64,
    pub bytes: u64,
    pub levels: Vec<Level>,
}

#[derive(Debug, Serialize)]
pub(super) struct Level {
    pub level: usize,
    pub files: u64,
    pub bytes: u64,
}

impl Group {
    pub fn add(&mut self, key: &Surveyed, now_ms: u64) {
        self.keys += 1;
        self.bytes += key.bytes;
        let of_type = self.types.entry(key.kind.name()).or_default();
        of_type.keys += 1;
        of_type.bytes += key.bytes;
        if let Some(deadline_ms) = key.expire_at_ms {
            self.deadlines.add(deadline_ms.saturating_sub(now_ms));
        }
    }

    pub fn join(&mut self, other: &Self) {
        self.keys += other.keys;
        self.bytes += other.bytes;
        for (kind, figures) in &other.types {
            let of_type = self.types.entry(kind).or_default();
            of_type.keys += figures.keys;
            of_type.bytes += figures.bytes;
        }
        self.deadlines.join(&other.deadlines);
    }
}

impl Deadlines {
    fn add(&mut self, left_ms: u64) {
        const HOUR_MS: u64 = 3_600_000;
        const DAY_MS: u64 = 24 * HOUR_MS;
        self.keys += 1;
        let group = match left_ms {
            left_ms if left_ms <= HOUR_MS => &mut self.within_hour,
            left_ms if left_ms <= DAY_MS => &mut self.within_day,
            left_ms if left_ms <= 7 * DAY_MS => &mut self.within_week,
            left_ms if left_ms <= 30 * DAY_MS => &mut self.within_30_days,
            _ => &mut self.later,
        };
        *group += 1;
    }

    fn join(&mut self, other: &Self) {
        self.keys += other.keys;
        self.within_hour += other.within_hour;
        self.within_day += other.within_day;
        self.within_week += other.within_week;
        self.within_30_days += other.within_30_days;
        self.later += other.later;
    }
}

/// A report in the making.
pub(super) struct Counting {
    shape: Shape,
    databases: Vec<Database>,
    /// Of the database whose keys are coming.
    current: Option<(u32, Group, Prefixes)>,
    /// The smallest of the biggest on top.
    biggest: BinaryHeap<Reverse<Candidate>>,
}

/// A key that may be among the biggest: ordered by bytes, then by place so that reports do not vary.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    bytes: u64,
    place: Reverse<(u32, Vec<u8>)>,
    kind: &'static str,
    parts: u64,
}

impl Counting {
    pub fn new(shape: Shape) -> Self {
        Self { shape, databases: Vec::new(), current: None, biggest: BinaryHeap::new() }
    }

    /// Takes the next key.
    pub fn add(&mut self, key: &Surveyed) {
        if self.current.as_ref().is_none_or(|(db, ..)| *db != key.db) {
            self.end_database();
        }
        let now_ms = self.shape.now_ms;
        let begin = || (key.db, Group::default(), Prefixes::new(&self.shape));
        let (_, all, prefixes) = self.current.get_or_insert_with(begin);
        all.add(key, now_ms);
        prefixes.add(key, now_ms);
        self.consider(key);
    }

    fn consider(&mut self, key: &Surveyed) {
        let is_full = self.biggest.len() >= self.shape.top;
        if is_full && self.biggest.peek().is_none_or(|smallest| smallest.0.bytes >= key.bytes) {
            return;
        }
        let place = Reverse((key.db, key.name.to_vec()));
        let candidate = Candidate { bytes: key.bytes, place, kind: key.kind.name(), parts: key.parts };
        self.biggest.push(Reverse(candidate));
        if is_full {
            self.biggest.pop();
        }
    }

    fn end_database(&mut self) {
        if let Some((database, all, prefixes)) = self.current.take() {
            let (prefixes, other_prefixes) = prefixes.finish();
            self.databases.push(Database { database, all, prefixes, other_prefixes });
        }
    }

    /// The report, with what the engine says of its files.
    pub fn finish(mut self, engine: &EngineFigures) -> Report {
        self.end_database();
        let mut biggest: Vec<Candidate> = self.biggest.into_iter().map(|candidate| candidate.0).collect();
        biggest.sort_by(|one, other| other.cmp(one));
        let biggest = biggest.into_iter().map(|Candidate { bytes, place: Reverse((database, name)), kind, parts }| {
            Biggest { database, key: shown(&name), kind, bytes, parts }
        });
        Report {
            keys: self.databases.iter().map(|database| database.all.keys).sum(),
            bytes: self.databases.iter().map(|database| database.all.bytes).sum(),
            databases: self.databases,
            biggest: biggest.collect(),
            families: Family::ALL
                .iter()
                .zip(&engine.family_levels)
                .map(|(family, levels)| files(*family, levels))
                .collect(),
        }
    }
}

fn files(family: Family, levels: &[(u64, u64)]) -> FamilyFiles {
    let level = |(level, (files, bytes)): (usize, &(u64, u64))| Level { level, files: *files, bytes: *bytes };
    FamilyFiles {
        family: family.name(),
        files: levels.iter().map(|(files, _)| files).sum(),
        bytes: levels.iter().map(|(_, bytes)| bytes).sum(),
        levels: levels.iter().enumerate().filter(|(_, (files, _))| *files > 0).map(level).collect(),
    }
}

/// Text as it is, other bytes as `\xNN`.
pub(super) fn shown(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) => text.to_owned(),
        Err(_) => name.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Type;

    fn shape() -> Shape {
        Shape { top: 2, prefixes: 2, delimiter: b":".to_vec(), depth: 1, now_ms: 0 }
    }

    fn key(db: u32, name: &str, bytes: u64, expire_at_ms: Option<u64>) -> Surveyed {
        let name = bytes::Bytes::copy_from_slice(name.as_bytes());
        Surveyed { db, name, kind: Type::String, expire_at_ms, bytes, parts: 0 }
    }

    fn report(keys: &[Surveyed]) -> Report {
        let mut counting = Counting::new(shape());
        keys.iter().for_each(|key| counting.add(key));
        counting.finish(&EngineFigures::default())
    }

    #[test]
    fn sums_and_the_biggest() {
        let found = report(&[key(0, "a", 5, None), key(0, "b", 9, None), key(0, "c", 9, None), key(3, "a", 9, None)]);
        assert_eq!((found.keys, found.bytes), (4, 32));
        assert_eq!(
            found.databases.iter().map(|one| (one.database, one.all.bytes)).collect::<Vec<_>>(),
            [(0, 23), (3, 9)]
        );
        let names: Vec<_> = found.biggest.iter().map(|one| (one.database, one.key.as_str())).collect();
        assert_eq!(names, [(0, "b"), (0, "c")], "the first of equals");
    }

    #[test]
    fn deadlines_fall_into_their_spans() {
        let hour = 3_600_000;
        let at = |hours: u64| key(0, "k", 1, Some(hours * hour));
        let found = report(&[at(1), at(2), at(24), at(25), at(7 * 24), at(30 * 24), at(30 * 24 + 1)]);
        let deadlines = &found.databases[0].all.deadlines;
        let counts = [deadlines.within_hour, deadlines.within_day, deadlines.within_week, deadlines.within_30_days];
        assert_eq!((counts, deadlines.later, deadlines.keys), ([1, 2, 2, 1], 1, 7));
    }
}
