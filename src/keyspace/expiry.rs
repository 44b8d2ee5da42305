//! Deadlines: deletes keys whose time has come, in the order of the expiry index, without
//! a client touching them. Where elements of a value lapse by themselves (fields of a
//! hash), it asks a function of the type to remove them. The index may hold entries of
//! deadlines that were moved or overwritten blindly; they are recognised by the record and
//! dropped here.
//!
//! Steps here wait, so they run on the I/O pool; the server's expiry task calls them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::databases::DatabaseIndex;
use super::key::Key;
use super::locks::{Locks, Stripe, Wanted, sorted};
use super::store::Store;
use super::tx::Tx;
use crate::base::Result;
use crate::encoding::key::{KeyspaceId, Lapsing, expiry_key, split_expiry_key};
use crate::storage::{Change, Family, KeyRange, Tier, View};

/// Keys deleted in one commit, so that their locks are not held for long.
const KEYS_PER_COMMIT: usize = 64;

/// Elements of one value removed in one commit.
const ELEMENTS_PER_COMMIT: usize = 512;

/// Removes up to so many lapsed elements of a value; says whether there are more.
pub type ExpireElements = fn(&mut Tx, &Key, usize) -> Result<bool>;

/// Deadlines that have come and were not seen to yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overdue {
    /// How many there are, as far as they were counted.
    pub entries: usize,
    /// When the oldest came, milliseconds since the epoch; `None` without any.
    pub oldest_ms: Option<u64>,
}

/// An entry of the index that is due.
struct Due {
    deadline_ms: u64,
    what: Lapsing,
    user_key: Bytes,
}

impl Store {
    /// When the next key may lapse, milliseconds since the epoch; `u64::MAX` if none is known.
    pub fn next_deadline_ms(&self) -> u64 {
        self.next_deadline_ms.load(Ordering::Relaxed)
    }

    /// Resolves when a deadline earlier than all before it is set.
    pub async fn earlier_deadline(&self) {
        self.expiry_bell.notified().await;
    }

    /// Deletes up to `most` keys that are due and says whether more are waiting.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn expire_due(self: &Arc<Self>, now_ms: u64, most: usize, elements: ExpireElements) -> Result<bool> {
        self.next_deadline_ms.store(u64::MAX, Ordering::Relaxed);
        let mut left = most;
        let mut more = false;
        for db in 0..self.database_count() {
            let Some(keyspace) = self.keyspace(db) else { continue };
            let due = self.due_in(keyspace, now_ms, left)?;
            left -= due.len();
            for some in due.chunks(KEYS_PER_COMMIT) {
                more |= self.expire_some(db, keyspace, some, now_ms, elements)?;
            }
            more |= left == 0;
            if left == 0 {
                break;
            }
        }
        if more {
            self.note_deadline(now_ms);
        }
        Ok(more)
    }

    /// What is due and still waits, counted up to `most`. Waits.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn overdue(&self, now_ms: u64, most: usize) -> Result<Overdue> {
        let mut found = Overdue::default();
        for keyspace in (0..self.database_count()).filter_map(|db| self.keyspace(db)) {
            let range = KeyRange::prefix(&keyspace.0.to_be_bytes());
            let mut cursor = self.engine.cursor(Family::Expiry, range, &View::latest(Tier::Disk))?;
            cursor.seek_to_first()?;
            while found.entries < most
                && let Some((_, deadline_ms, _, _)) = cursor.entry().and_then(|(key, _)| split_expiry_key(key))
                && deadline_ms <= now_ms
            {
                found.entries += 1;
                found.oldest_ms = Some(found.oldest_ms.map_or(deadline_ms, |oldest_ms| oldest_ms.min(deadline_ms)));
                cursor.next()?;
            }
        }
        Ok(found)
    }

    /// Entries that are due, oldest first; notes the first that is not.
    fn due_in(&self, keyspace: KeyspaceId, now_ms: u64, most: usize) -> Result<Vec<Due>> {
        let range = KeyRange::prefix(&keyspace.0.to_be_bytes());
        let mut cursor = self.engine.cursor(Family::Expiry, range, &View::latest(Tier::Disk))?;
        cursor.seek_to_first()?;
        let mut due = Vec::new();
        while due.len() < most
            && let Some((key, _)) = cursor.entry()
        {
            if let Some((_, deadline_ms, what, user_key)) = split_expiry_key(key) {
                if deadline_ms > now_ms {
                    self.note_deadline(deadline_ms);
                    break;
                }
                due.push(Due { deadline_ms, what, user_key: Bytes::copy_from_slice(user_key) });
            }
            cursor.next()?;
        }
        Ok(due)
    }

    /// Deals with some of the entries that are due; says whether it must come back to one of them.
    fn expire_some(
        self: &Arc<Self>,
        db: DatabaseIndex,
        keyspace: KeyspaceId,
        due: &[Due],
        now_ms: u64,
        elements: ExpireElements,
    ) -> Result<bool> {
        let stripes = due.iter().map(|due| Stripe::of(&due.user_key)).collect();
        let mut tx = Tx::new(self.clone());
        tx.locks().adopt(Locks::acquire_waiting(&self.locks, Wanted::Some(sorted(stripes))));
        tx.start(Tier::Disk, now_ms);
        if tx.keyspace(db) != keyspace {
            return Ok(false);
        }
        let mut more = false;
        for due in due {
            let key = tx.key(db, &due.user_key);
            let record = tx.record(&key)?;
            let answers = match (due.what, &record) {
                (Lapsing::Key, None) => tx.has_pending(&key),
                (Lapsing::Key, Some(_)) => false,
                (Lapsing::Elements, None) => false,
                (Lapsing::Elements, Some(record)) => record.element_deadline_ms() == Some(due.deadline_ms),
            };
            if !answers {
                tx.extra.push(stale(keyspace, due));
            } else if due.what == Lapsing::Elements {
                more |= elements(&mut tx, &key, ELEMENTS_PER_COMMIT)?;
            }
        }
        tx.commit(true, 0)?;
        Ok(more)
    }

    /// Deletes keys that readers found past their deadline. Waits.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn expire_keys(self: &Arc<Self>, keys: &[(DatabaseIndex, Bytes)], now_ms: u64) -> Result<()> {
        for some in keys.chunks(KEYS_PER_COMMIT) {
            let stripes = some.iter().map(|(_, key)| Stripe::of(key)).collect();
            let mut tx = Tx::new(self.clone());
            tx.locks().adopt(Locks::acquire_waiting(&self.locks, Wanted::Some(sorted(stripes))));
            tx.start(Tier::Disk, now_ms);
            for (db, user_key) in some {
                let key = tx.key(*db, user_key);
                tx.record(&key)?;
            }
            tx.commit(true, 0)?;
        }
        Ok(())
    }
}

/// Drops an index entry that no record answers to.
fn stale(keyspace: KeyspaceId, due: &Due) -> Change {
    Change::Delete {
        family: Family::Expiry,
        key: expiry_key(keyspace, due.deadline_ms, due.what, &due.user_key).into(),
    }
}
