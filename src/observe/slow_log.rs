//! The slow log: the latest commands that took longer than `slowlog-log-slower-than`, their
//! words cut short so that it stays small.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// Words of a command that an entry keeps (Redis' `SLOWLOG_ENTRY_MAX_ARGC`).
const MOST_WORDS: usize = 32;
/// Bytes of a word that an entry keeps (Redis' `SLOWLOG_ENTRY_MAX_STRING`).
const MOST_BYTES: usize = 128;

/// One slow command.
#[derive(Debug, Clone)]
pub struct SlowEntry {
    pub id: u64,
    /// Microseconds since the epoch.
    pub started_us: u64,
    pub duration_us: u64,
    pub words: Vec<Bytes>,
    pub address: String,
    /// The client's name.
    pub name: Bytes,
}

#[derive(Default)]
struct Entries {
    latest: VecDeque<SlowEntry>,
    next_id: u64,
}

/// The latest slow commands, newest first.
#[derive(Default)]
pub struct SlowLog {
    entries: Mutex<Entries>,
    count: AtomicUsize,
}

impl SlowLog {
    /// Enters a command; the oldest beyond `most` go. The id is filled in here.
    pub fn enter(&self, mut entry: SlowEntry, most: usize) {
        let mut entries = self.entries.lock();
        entry.id = entries.next_id;
        entries.next_id += 1;
        entries.latest.push_front(entry);
        entries.latest.truncate(most);
        self.count.store(entries.latest.len(), Ordering::Relaxed);
    }

    /// The newest, newest first.
    pub fn latest(&self, count: usize) -> Vec<SlowEntry> {
        self.entries.lock().latest.iter().take(count).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all; ids go on.
    pub fn reset(&self) {
        self.entries.lock().latest.clear();
        self.count.store(0, Ordering::Relaxed);
    }
}

/// What an entry keeps of a command's words, in Redis' manner.
pub fn shortened(words: &[&[u8]]) -> Vec<Bytes> {
    let kept = if words.len() > MOST_WORDS { MOST_WORDS - 1 } else { words.len() };
    let mut short: Vec<Bytes> = words.iter().take(kept).map(|word| shortened_word(word)).collect();
    if words.len() > kept {
        short.push(format!("... ({} more arguments)", words.len() - kept).into());
    }
    short
}

fn shortened_word(word: &[u8]) -> Bytes {
    match word.split_at_checked(MOST_BYTES) {
        Some((start, rest)) if !rest.is_empty() => {
            [start, format!("... ({} more bytes)", rest.len()).as_bytes()].concat().into()
        }
        _ => Bytes::copy_from_slice(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_commands_are_cut_as_redis_cuts_them() {
        let words: Vec<&[u8]> = vec![b"x"; 33];
        let short = shortened(&words);
        assert_eq!(short.len(), 32);
        assert_eq!(&short[31][..], b"... (2 more arguments)");
        assert_eq!(shortened(&words[..32]).len(), 32);
        let word = [b'y'; 130];
        assert!(shortened(&[&word])[0].ends_with(b"y... (2 more bytes)"));
    }

    #[test]
    fn the_oldest_entries_go_and_ids_go_on() {
        let log = SlowLog::default();
        let entry = || SlowEntry {
            id: 0,
            started_us: 0,
            duration_us: 1,
            words: Vec::new(),
            address: String::new(),
            name: Bytes::new(),
        };
        (0..3).for_each(|_| log.enter(entry(), 2));
        let ids: Vec<u64> = log.latest(10).iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [2, 1]);
        log.reset();
        log.enter(entry(), 2);
        assert_eq!(log.latest(1)[0].id, 3);
    }
}
