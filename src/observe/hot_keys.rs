//! Which keys are asked for most: a sample of the commands, in a table of bounded size. A command
//! that is not in the sample pays one thread-local decrement. How many are is set by the load, so that
//! at any rate a few hundred a second are, and all of them where there are no more.
//!
//! The table forgets: what counts is the last ten seconds or so. When it is full, a new key takes the
//! place of the one with the least weight and inherits it (the *space-saving* summary of Metwally,
//! Agrawal and El Abbadi, 2005), so a key that is really hot is never missed. What was inherited is no
//! weight of its own: it is taken off what is shown, and a key that has little else is not shown.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::base::random;

/// Keys that are told apart.
const PLACES: usize = 256;
/// Bytes of a key that are kept to be shown.
const SHOWN_BYTES: usize = 128;
/// Commands a second that are looked at.
const SAMPLES_PER_SECOND: u64 = 500;
/// One command in so many is looked at, however many there are.
const MOST_APART: u64 = 4096;
/// What is left of a weight after a second.
const MEMORY: f64 = 0.9;
/// A key of less weight is forgotten.
const LEAST_WEIGHT: f64 = 0.25;

/// Per thread: commands until the next that is looked at, and what it will count for.
#[derive(Clone, Copy)]
struct Gap {
    left: u32,
    weight: u32,
}

thread_local! {
    static GAP: Cell<Gap> = const { Cell::new(Gap { left: 0, weight: 1 }) };
}

/// A key that is asked for often.
#[derive(Debug, Clone, PartialEq)]
pub struct HotKey {
    pub db: u32,
    /// Its first 128 bytes.
    pub name: Bytes,
    pub is_shortened: bool,
    /// Commands that name it, as estimated.
    pub per_second: f64,
    /// The index of the command that was seen last.
    pub command: usize,
}

struct Place {
    hash: u64,
    weight: f64,
    /// What of it came from keys that stood here before.
    inherited: f64,
    key: HotKey,
}

struct Table {
    places: Vec<Place>,
    /// The weight that one command a second would have by now.
    unit: f64,
}

/// The sample.
pub struct HotKeys {
    /// One command in so many is looked at.
    interval: AtomicU32,
    hasher: RandomState,
    table: Mutex<Table>,
}

impl Default for HotKeys {
    fn default() -> Self {
        let table = Mutex::new(Table { places: Vec::new(), unit: 0.0 });
        Self { interval: AtomicU32::new(1), hasher: RandomState::default(), table }
    }
}

impl HotKeys {
    /// Whether the command that has just run on this thread is in the sample, and if so, how many it
    /// stands for.
    #[inline]
    pub fn is_due(&self) -> Option<u32> {
        GAP.with(|cell| {
            let gap = cell.get();
            if gap.left > 0 {
                cell.set(Gap { left: gap.left - 1, ..gap });
                return None;
            }
            cell.set(self.next_gap());
            Some(gap.weight)
        })
    }

    /// Random, so that no rhythm of a client's commands hides some of them.
    #[cold]
    fn next_gap(&self) -> Gap {
        let weight = self.interval.load(Ordering::Relaxed);
        let left = random::below(u64::from(weight) * 2 - 1);
        Gap { left: u32::try_from(left).unwrap_or(u32::MAX), weight }
    }

    /// A command in the sample named this key. Where another thread is at the table it is left out.
    pub fn note(&self, weight: u32, db: u32, key: &[u8], command: usize) {
        let hash = self.hasher.hash_one((db, key));
        let Some(mut table) = self.table.try_lock() else { return };
        let weight = f64::from(weight);
        if let Some(place) = table.places.iter_mut().find(|place| place.hash == hash) {
            place.weight += weight;
            place.key.command = command;
            return;
        }
        let shown = key.get(..SHOWN_BYTES).unwrap_or(key);
        let is_shortened = shown.len() < key.len();
        let key = HotKey { db, name: Bytes::copy_from_slice(shown), is_shortened, per_second: 0.0, command };
        if table.places.len() < PLACES {
            table.places.push(Place { hash, weight, inherited: 0.0, key });
        } else if let Some(least) = table.places.iter_mut().min_by(|a, b| a.weight.total_cmp(&b.weight)) {
            *least = Place { hash, weight: least.weight + weight, inherited: least.weight, key };
        }
    }

    /// So much time has passed, at so many commands a second: older samples count less, and the
    /// distance between samples is set anew.
    pub fn cool(&self, elapsed_seconds: f64, operations_per_second: u64) {
        let interval = (operations_per_second / SAMPLES_PER_SECOND).clamp(1, MOST_APART);
        self.interval.store(u32::try_from(interval).unwrap_or(u32::MAX), Ordering::Relaxed);
        let left = MEMORY.powf(elapsed_seconds.clamp(0.0, 3600.0));
        let mut table = self.table.lock();
        table.unit = (table.unit + elapsed_seconds.max(0.0)) * left;
        for place in &mut table.places {
            place.weight *= left;
            place.inherited *= left;
        }
        table.places.retain(|place| place.weight >= LEAST_WEIGHT);
    }

    /// The hottest keys, hottest first.
    pub fn hottest(&self, most: usize) -> Vec<HotKey> {
        let table = self.table.lock();
        // Half a second goes by, on average, since the last cooling.
        let unit = table.unit + 0.5;
        let mut keys: Vec<HotKey> = table
            .places
            .iter()
            .filter(|place| place.inherited < place.weight / 2.0)
            .map(|place| HotKey { per_second: (place.weight - place.inherited) / unit, ..place.key.clone() })
            .collect();
        drop(table);
        keys.sort_by(|a, b| b.per_second.total_cmp(&a.per_second));
        keys.truncate(most);
        keys
    }

    /// Forgets all (CONFIG RESETSTAT).
    pub fn reset(&self) {
        *self.table.lock() = Table { places: Vec::new(), unit: 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_keys_stand_out_of_a_crowd() {
        let keys = HotKeys::default();
        for round in 0..2000_u32 {
            keys.note(1, 0, b"hot", 7);
            if round % 2 == 0 {
                keys.note(1, 3, b"hot", 7);
            }
            keys.note(1, 0, format!("cold:{round}").as_bytes(), 7);
        }
        let hottest = keys.hottest(2);
        assert_eq!((&hottest[0].name[..], hottest[0].db), (&b"hot"[..], 0));
        assert_eq!((&hottest[1].name[..], hottest[1].db), (&b"hot"[..], 3));
        let shown = keys.hottest(10_000).len();
        assert!(shown < PLACES, "{shown} are shown, most of which inherited what they have");
    }

    #[test]
    fn rates_are_those_of_late() {
        let keys = HotKeys::default();
        for _ in 0..60 {
            (0..100).for_each(|_| keys.note(1, 0, b"steady", 0));
            keys.cool(1.0, 100);
        }
        let rate = keys.hottest(1)[0].per_second;
        assert!((90.0..105.0).contains(&rate), "{rate} a second");
        for _ in 0..80 {
            keys.cool(1.0, 0);
        }
        assert_eq!(keys.hottest(1), [], "forgotten after a while");
    }

    #[test]
    fn samples_stand_for_all_commands() {
        let keys = HotKeys::default();
        keys.cool(1.0, 100 * SAMPLES_PER_SECOND);
        let (commands, mut looked_at, mut weight) = (200_000_u32, 0, 0);
        for _ in 0..commands {
            if let Some(one) = keys.is_due() {
                looked_at += 1;
                weight += one;
            }
        }
        assert!((1_600..2_500).contains(&looked_at), "{looked_at} of {commands} were looked at");
        assert!((160_000..250_000).contains(&weight), "they stand for {weight}");
    }

    #[test]
    fn long_names_are_shortened_and_told_apart() {
        let keys = HotKeys::default();
        let name = |end: &str| format!("{}{end}", "x".repeat(SHOWN_BYTES));
        keys.note(1, 0, name("a").as_bytes(), 0);
        keys.note(1, 0, name("b").as_bytes(), 0);
        let hottest = keys.hottest(3);
        assert_eq!(hottest.len(), 2);
        assert!(hottest.iter().all(|key| key.is_shortened && key.name.len() == SHOWN_BYTES));
    }
}
