//! ACL LOG: the latest refusals, the newest first. Like ones within a minute are one entry
//! that counts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::selector::Denial;

/// Refusals further apart than this are entries of their own.
const SAME_WITHIN_MS: u64 = 60_000;
/// Entries looked through for one like a new refusal.
const ENTRIES_COMPARED: usize = 10;

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Auth,
    Command,
    Key,
    Channel,
}

impl Reason {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Command => "command",
            Self::Key => "key",
            Self::Channel => "channel",
        }
    }
}

impl From<Denial> for Reason {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Command => Self::Command,
            Denial::Key(_) => Self::Key,
            Denial::Channel(_) => Self::Channel,
        }
    }
}

/// Where the refused call came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Toplevel,
    Multi,
    Script,
    Module,
}

impl Place {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Toplevel => "toplevel",
            Self::Multi => "multi",
            Self::Script => "lua",
            Self::Module => "module",
        }
    }
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub place: Place,
    /// The command, key or channel.
    pub object: Bytes,
    /// The user, or the name that a client tried to log in with.
    pub user: Bytes,
    /// The client's line of CLIENT LIST.
    pub client: String,
}

/// Like refusals.
#[derive(Debug, Clone)]
pub struct LogEntry {
    pub id: u64,
    pub count: u64,
    pub created_ms: u64,
    pub updated_ms: u64,
    /// The latest.
    pub refusal: Refusal,
}

/// The log, and how often what was refused since the start.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<VecDeque<LogEntry>>,
    last_id: AtomicU64,
    auth: AtomicU64,
    command: AtomicU64,
    key: AtomicU64,
    channel: AtomicU64,
}

impl Log {
    /// Enters a refusal; `most` entries are kept.
    pub fn enter(&self, refusal: Refusal, now_ms: u64, most: usize) {
        self.counter(refusal.reason).fetch_add(1, Ordering::Relaxed);
        let mut entries = self.entries.lock();
        let like = entries.iter().take(ENTRIES_COMPARED).position(|entry| is_like(entry, &refusal, now_ms));
        let entry = match like.and_then(|place| entries.remove(place)) {
            Some(known) => LogEntry { count: known.count + 1, updated_ms: now_ms, refusal, ..known },
            None => {
                let id = self.last_id.fetch_add(1, Ordering::Relaxed);
                LogEntry { id, count: 1, created_ms: now_ms, updated_ms: now_ms, refusal }
            }
        };
        entries.push_front(entry);
        entries.truncate(most);
    }

    /// How many calls were refused for this reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.counter(reason).load(Ordering::Relaxed)
    }

    fn counter(&self, reason: Reason) -> &AtomicU64 {
        match reason {
            Reason::Auth => &self.auth,
            Reason::Command => &self.command,
            Reason::Key => &self.key,
            Reason::Channel => &self.channel,
        }
    }

    /// The newest entries, `most` at the most.
    pub fn latest(&self, most: usize) -> Vec<LogEntry> {
        self.entries.lock().iter().take(most).cloned().collect()
    }

    /// ACL LOG RESET.
    pub fn clear(&self) {
        self.entries.lock().clear();
    }
}

fn is_like(entry: &LogEntry, refusal: &Refusal, now_ms: u64) -> bool {
    let same =
        |a: &Refusal, b: &Refusal| (a.reason, a.place, &a.object, &a.user) == (b.reason, b.place, &b.object, &b.user);
    same(&entry.refusal, refusal) && now_ms.abs_diff(entry.updated_ms) <= SAME_WITHIN_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(object: &'static str) -> Refusal {
        Refusal {
            reason: Reason::Key,
            place: Place::Toplevel,
            object: object.into(),
            user: "u".into(),
            client: String::new(),
        }
    }

    fn shown(log: &Log) -> Vec<(u64, u64, Bytes)> {
        log.latest(100).into_iter().map(|entry| (entry.id, entry.count, entry.refusal.object)).collect()
    }

    #[test]
    fn like_refusals_are_counted_and_come_to_the_front() {
        let log = Log::default();
        log.enter(refusal("a"), 1_000, 10);
        log.enter(refusal("b"), 1_001, 10);
        log.enter(refusal("a"), 60_000, 10);
        assert_eq!(shown(&log), [(0, 2, "a".into()), (1, 1, "b".into())]);
        log.enter(refusal("a"), 120_001, 10);
        assert_eq!(shown(&log), [(2, 1, "a".into()), (0, 2, "a".into()), (1, 1, "b".into())]);
        assert_eq!(log.refused(Reason::Key), 4);
        assert_eq!(log.refused(Reason::Auth), 0);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let log = Log::default();
        for object in ["a", "b", "c"] {
            log.enter(refusal(object), 1, 2);
        }
        assert_eq!(shown(&log), [(2, 1, "c".into()), (1, 1, "b".into())]);
        assert_eq!(log.latest(1).len(), 1);
        log.clear();
        assert!(shown(&log).is_empty());
    }
}
