//! Who waits for keys, and in which order they are served. A blocking command that finds
//! nothing enters here and is called when a commit touches one of its keys; then its handler
//! runs again.
//!
//! - *Order of arrival.* A commit calls the one who came first and hands over the key's lock,
//!   still held, so that nobody comes between what was pushed and who waited for it, unless that one is just
//!   looking by itself. The commit of the one who was served calls the next.
//! - *Nothing is missed.* A session enters first and then looks once more under the locks of
//!   its keys: a commit it did not see is one that will call it.
//! - *A call is never lost.* Who was called and leaves without having looked (a timeout, a
//!   closed connection), or looked and found nothing of its kind, passes the call on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::blocking::Wait;
use super::table::Entry;
use crate::keyspace::{Commit, DatabaseIndex, LockSet, Stripe, Touched, Tx};
use crate::observe::Client;
use crate::resp::Reply;

/// A key of a database.
pub(super) type WaitedKey = (DatabaseIndex, Bytes);

/// One who waits.
struct Waiter {
    /// Its place in the order of arrival.
    ticket: u64,
    client: Arc<Client>,
    desk: Mutex<Desk>,
}

/// Where calls are left.
#[derive(Default)]
struct Desk {
    call: Option<Call>,
    /// The session does nothing but wait. While it looks it may wait for locks itself, and would never come
    /// to those that lie here.
    resting: bool,
}

/// Word that keys changed, and the locks that come with it.
struct Call {
    keys: SmallVec<[WaitedKey; 1]>,
    locks: Option<LockSet>,
}

#[derive(Default)]
struct Queues {
    by_key: FxHashMap<WaitedKey, BTreeMap<u64, Arc<Waiter>>>,
    last_ticket: u64,
}

/// All who wait.
#[derive(Default)]
pub struct Waiters {
    queues: Mutex<Queues>,
    /// Keys waited for, so that commits look no further while there are none.
    keys: AtomicUsize,
}

impl Waiters {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.keys.load(Ordering::Acquire) == 0
    }

    /// Keys that somebody waits for.
    pub fn key_count(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for what this transaction is about to change.
    pub(super) fn await_commit_of(&self, tx: &Tx) -> bool {
        if self.is_empty() {
            return false;
        }
        let queues = self.queues.lock();
        let awaited = |touched: &Touched| queues.by_key.contains_key(&(touched.db, touched.key.clone()));
        tx.replaces_databases() || tx.touched().iter().any(awaited)
    }

    /// A client begins to wait, behind all who do so already.
    pub(super) fn enter(self: &Arc<Self>, wait: Wait, entry: Entry, client: Arc<Client>) -> Waiting {
        let mut queues = self.queues.lock();
        queues.last_ticket += 1;
        let waiter = Arc::new(Waiter { ticket: queues.last_ticket, client: client.clone(), desk: Mutex::default() });
        for key in &wait.keys {
            queues.by_key.entry(key.clone()).or_default().insert(waiter.ticket, waiter.clone());
        }
        self.keys.store(queues.by_key.len(), Ordering::Release);
        drop(queues);
        client.unblock.store(0, Ordering::Release);
        client.blocked.store(true, Ordering::Release);
        Waiting { waiters: self.clone(), waiter, entry, wait, answered: SmallVec::new() }
    }

    /// A commit touched keys: the first who waits for each is called, and gets its lock. `origin`
    /// is the client of the commit; it is not called if it waits itself.
    pub(super) fn committed(&self, commit: &Commit, origin: u64, locks: &mut LockSet) {
        if self.is_empty() {
            return;
        }
        let queues = self.queues.lock();
        for touched in &commit.touched {
            let key = (touched.db, touched.key.clone());
            let Some(queue) = queues.by_key.get(&key) else { continue };
            if let Some(waiter) = queue.values().find(|waiter| waiter.client.id != origin) {
                let stripe = Stripe::of(&touched.key);
                waiter.call(key, || locks.part_with(stripe));
            }
        }
        if !commit.replaced.is_empty() {
            for (key, queue) in &queues.by_key {
                if let Some((_, waiter)) = queue.first_key_value().filter(|_| commit.replaced.contains(&key.0)) {
                    waiter.call(key.clone(), || None);
                }
            }
        }
    }

    /// Calls everybody who waits for this.
    pub(super) fn call_all(&self, key: &WaitedKey) {
        if !self.is_empty() {
            let queues = self.queues.lock();
            queues
                .by_key
                .get(key)
                .into_iter()
                .flat_map(BTreeMap::values)
                .for_each(|waiter| waiter.call(key.clone(), || None));
        }
    }

    /// Calls who waits for a key behind a ticket.
    fn call_next(&self, key: &WaitedKey, ticket: u64, locks: Option<LockSet>) {
        let queues = self.queues.lock();
        let next = queues.by_key.get(key).and_then(|queue| queue.range(ticket + 1..).next());
        if let Some((_, waiter)) = next {
            waiter.call(key.clone(), || locks);
        }
    }

    fn leave(&self, waiter: &Waiter, keys: &[WaitedKey]) {
        let mut queues = self.queues.lock();
        for key in keys {
            if let Some(queue) = queues.by_key.get_mut(key) {
                queue.remove(&waiter.ticket);
                if queue.is_empty() {
                    queues.by_key.remove(key);
                }
            }
        }
        self.keys.store(queues.by_key.len(), Ordering::Release);
    }
}

impl Waiter {
    /// `locks` are taken over only if the session rests.
    fn call(&self, key: WaitedKey, locks: impl FnOnce() -> Option<LockSet>) {
        let mut desk = self.desk.lock();
        let locks = if desk.resting { locks() } else { None };
        let call = desk.call.get_or_insert_with(|| Call { keys: SmallVec::new(), locks: None });
        match (&mut call.locks, locks) {
            (Some(held), Some(more)) => held.join(more),
            (held, more) => *held = held.take().or(more),
        }
        if !call.keys.contains(&key) {
            call.keys.push(key);
        }
        self.client.bell.notify_one();
    }
}

/// A session's place among those who wait. Dropping it gives the place up.
pub(super) struct Waiting {
    waiters: Arc<Waiters>,
    waiter: Arc<Waiter>,
    entry: Entry,
    wait: Wait,
    /// Keys of calls that were taken and are being looked into.
    answered: SmallVec<[WaitedKey; 1]>,
}

impl Waiting {
    /// What the handler asked for when it began to wait.
    pub fn wait(&self) -> &Wait {
        &self.wait
    }

    /// The reply of giving up is another by now.
    pub fn renew_reply(&mut self, reply: Reply) {
        self.wait.on_timeout = reply;
    }

    /// The command that waits.
    pub fn entry(&self) -> Entry {
        self.entry
    }

    /// The keys of the calls that are being looked into.
    pub fn answered(&self) -> &[WaitedKey] {
        &self.answered
    }

    /// Whether there is a call to look into.
    pub fn is_called(&self) -> bool {
        self.waiter.desk.lock().call.is_some()
    }

    /// Takes the call, if there is one, and the locks that came with it.
    pub fn answer(&mut self) -> Option<LockSet> {
        let mut desk = self.waiter.desk.lock();
        desk.resting = false;
        let call = desk.call.take()?;
        drop(desk);
        self.answered.extend(call.keys);
        call.locks
    }

    /// The session looks no more; it holds no locks.
    pub fn rest(&self) {
        self.waiter.desk.lock().resting = true;
    }

    /// The session is busy with something that may take long: calls come without locks until it rests
    /// again. False if one has come before.
    pub fn stir(&self) -> bool {
        let mut desk = self.waiter.desk.lock();
        desk.resting = desk.call.is_some();
        !desk.resting
    }

    /// The look is over: whoever is behind is called for these keys.
    pub fn pass_on(&mut self, mut worth_it: impl FnMut(&WaitedKey) -> bool) {
        for key in std::mem::take(&mut self.answered) {
            if worth_it(&key) {
                self.waiters.call_next(&key, self.waiter.ticket, None);
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waiters.leave(&self.waiter, &self.wait.keys);
        self.waiter.client.blocked.store(false, Ordering::Release);
        let unanswered = self.waiter.desk.lock().call.take();
        if let Some(Call { keys, mut locks }) = unanswered {
            for key in &keys {
                let part = locks.as_mut().and_then(|locks| locks.part_with(Stripe::of(&key.1)));
                self.waiters.call_next(key, self.waiter.ticket, part);
            }
        }
        self.pass_on(|_| true);
    }
}
