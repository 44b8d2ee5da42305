//! Who has to be told that a key changed, so that it drops its copy (client-side caching).
//!
//! Two modes. By default a client is told once of each key it has read: the key remembers the
//! clients. In broadcast mode it is told of every key with one of its prefixes, read or not.
//! Keys go by their names alone, whatever their database, as in Redis.
//!
//! Nothing may be missed, and that rests on two orders. A client is remembered *before* its read is
//! run, so whatever commit follows finds it. And a commit tells its keys only if somebody was
//! tracking when it began (`Observer::wants_touched`, asked after the locks are taken): therefore
//! the first client enters under the exclusive lock, when no commit is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;

use crate::keyspace::Commit;
use crate::observe::{Client, ClientKind, Clients, Tracking};
use crate::resp::{Protocol, Push, Reply};

/// The keys are spread over so many maps, each with a lock.
const SHARDS: usize = 16;
/// Where RESP2 clients hear of invalidations redirected to them.
const CHANNEL: &str = "__redis__:invalidate";

/// Clients that have read a key, by id. They stay when they leave, until the key changes or the last leaves.
type Readers = SmallVec<[u64; 2]>;

type Keys = FxHashMap<Bytes, Readers>;

/// What INFO tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackingFigures {
    pub clients: usize,
    pub keys: usize,
    pub items: usize,
    pub prefixes: usize,
}

/// All that is tracked.
#[derive(Default)]
pub struct TrackingTable {
    clients: RwLock<BTreeMap<u64, Arc<Client>>>,
    client_count: AtomicUsize,
    shards: [Mutex<Keys>; SHARDS],
    key_count: AtomicUsize,
    item_count: AtomicUsize,
    prefixes: RwLock<BTreeMap<Bytes, BTreeSet<u64>>>,
    /// Held by who lets keys go: two at once would let one go too many.
    shrinking: Mutex<()>,
}

impl TrackingTable {
    /// Whether anybody has keys tracked.
    pub fn in_use(&self) -> bool {
        self.client_count.load(Ordering::Acquire) > 0
    }

    /// A client has its keys tracked from now on. False if it is the first and the caller does not
    /// hold the exclusive lock, without which it might miss what is being committed.
    #[must_use]
    pub fn enter(&self, client: &Arc<Client>, exclusive: bool) -> bool {
        let mut clients = self.clients.write();
        if clients.is_empty() && !exclusive {
            return false;
        }
        clients.insert(client.id, client.clone());
        self.client_count.store(clients.len(), Ordering::Release);
        true
    }

    /// A client is no longer told anything. What it has read is forgotten when it changes.
    pub fn leave(&self, id: u64, prefixes: &BTreeSet<Bytes>) {
        if !prefixes.is_empty() {
            let mut all = self.prefixes.write();
            for prefix in prefixes {
                if let Some(ids) = all.get_mut(prefix) {
                    ids.remove(&id);
                    if ids.is_empty() {
                        all.remove(prefix);
                    }
                }
            }
        }
        let mut clients = self.clients.write();
        clients.remove(&id);
        self.client_count.store(clients.len(), Ordering::Release);
        if clients.is_empty() {
            // From here on commits do not tell what they touch.
            self.forget_all();
        }
    }

    /// A client wants to be told of every key with this prefix.
    pub fn add_prefix(&self, id: u64, prefix: Bytes) {
        self.prefixes.write().entry(prefix).or_default().insert(id);
    }

    /// A client is about to read a key.
    pub fn remember(&self, id: u64, key: &[u8]) {
        let mut keys = self.shards[shard(key)].lock();
        if let Some(readers) = keys.get_mut(key) {
            if readers.contains(&id) {
                return;
            }
            readers.push(id);
        } else {
            keys.insert(Bytes::copy_from_slice(key), std::iter::once(id).collect());
            self.key_count.fetch_add(1, Ordering::Relaxed);
        }
        self.item_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells of what a commit changed. `origin` is the client that caused it.
    pub fn committed(&self, commit: &Commit, origin: u64, clients: &Clients) {
        if !self.in_use() {
            return;
        }
        let mut looks = commit.looks.iter().peekable();
        for (place, touched) in commit.touched.iter().enumerate() {
            while let Some(look) = looks.next_if(|look| look.after <= place) {
                self.remember(origin, &look.key);
            }
            if !touched.quiet
                && let Some(readers) = self.forget(&touched.key)
            {
                self.tell(&readers, &touched.key, origin, clients);
            }
        }
        looks.for_each(|look| self.remember(origin, &look.key));
        self.broadcast(commit, origin, clients);
        if !commit.replaced.is_empty() {
            self.forget_all();
            let tracking: Vec<Arc<Client>> = self.clients.read().values().cloned().collect();
            tracking.iter().for_each(|client| send(client, None, clients));
        }
    }

    fn forget(&self, key: &[u8]) -> Option<Readers> {
        if self.key_count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let readers = self.shards[shard(key)].lock().remove(key)?;
        self.key_count.fetch_sub(1, Ordering::Relaxed);
        self.item_count.fetch_sub(readers.len(), Ordering::Relaxed);
        Some(readers)
    }

    fn forget_all(&self) {
        for shard in &self.shards {
            let keys = std::mem::take(&mut *shard.lock());
            self.key_count.fetch_sub(keys.len(), Ordering::Relaxed);
            self.item_count.fetch_sub(keys.values().map(SmallVec::len).sum(), Ordering::Relaxed);
        }
    }

    /// Tells those who have read a key. Who has left, or broadcasts by now, is passed over.
    fn tell(&self, readers: &[u64], key: &Bytes, origin: u64, clients: &Clients) {
        let tracking = self.clients.read();
        for client in readers.iter().filter_map(|id| tracking.get(id)) {
            let how = client.tracking();
            let own = client.id == origin && how.contains(Tracking::NO_LOOP);
            if !own && !how.contains(Tracking::BROADCAST) {
                send(client, Some(std::slice::from_ref(key)), clients);
            }
        }
    }

    /// Tells each prefix' clients of the keys that have it, in one message.
    fn broadcast(&self, commit: &Commit, origin: u64, clients: &Clients) {
        let prefixes = self.prefixes.read();
        if prefixes.is_empty() || commit.touched.is_empty() {
            return;
        }
        let keys: BTreeSet<&Bytes> = commit.changed().map(|touched| &touched.key).collect();
        let tracking = self.clients.read();
        for (prefix, ids) in prefixes.iter() {
            let matching: Vec<Bytes> = keys.iter().filter(|key| key.starts_with(prefix)).copied().cloned().collect();
            if matching.is_empty() {
                continue;
            }
            for client in ids.iter().filter_map(|id| tracking.get(id)) {
                if client.id != origin || !client.tracking().contains(Tracking::NO_LOOP) {
                    send(client, Some(&matching), clients);
                }
            }
        }
    }

    /// Whether more than so many keys are remembered; 0 is no limit.
    pub fn exceeds(&self, most_keys: usize) -> bool {
        most_keys != 0 && self.key_count.load(Ordering::Relaxed) > most_keys
    }

    /// Forgets keys beyond so many, at most `step` of them, as if they had changed; says whether
    /// there are more that nobody is seeing to.
    pub fn shrink(&self, most_keys: usize, step: usize, clients: &Clients) -> bool {
        let Some(_alone) = self.shrinking.try_lock() else { return false };
        for _ in 0..step {
            if !self.exceeds(most_keys) {
                return false;
            }
            let any = self.shards.iter().find_map(|shard| shard.lock().keys().next().cloned());
            if let Some((key, readers)) = any.and_then(|key| Some((key.clone(), self.forget(&key)?))) {
                self.tell(&readers, &key, 0, clients);
            }
        }
        self.exceeds(most_keys)
    }

    /// What INFO tells.
    pub fn figures(&self) -> TrackingFigures {
        TrackingFigures {
            clients: self.client_count.load(Ordering::Relaxed),
            keys: self.key_count.load(Ordering::Relaxed),
            items: self.item_count.load(Ordering::Relaxed),
            prefixes: self.prefixes.read().len(),
        }
    }
}

fn shard(key: &[u8]) -> usize {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    (hasher.finish() >> 32) as usize % SHARDS
}

/// Tells a client, or whom it redirects to, to drop some keys; `None` is all keys.
fn send(client: &Arc<Client>, keys: Option<&[Bytes]>, clients: &Clients) {
    let redirect = client.redirect.load(Ordering::Relaxed);
    if redirect == 0 {
        // A RESP2 client has no pushes of its own, so it would take one for a reply.
        if client.speaks() == Protocol::Resp3 {
            client.push(invalidation(keys));
        }
        return;
    }
    match clients.get(redirect).filter(|target| !target.closes_after_reply()) {
        Some(target) if target.speaks() == Protocol::Resp3 => target.push(invalidation(keys)),
        Some(target) if target.kind() == ClientKind::PubSub => target.push(message(keys)),
        Some(_) => {}
        None => {
            client.break_redirect();
            if client.speaks() == Protocol::Resp3 {
                let id = Reply::Integer(redirect.cast_signed());
                client.push(Push::new(vec![Reply::Static("tracking-redir-broken"), id]));
            }
        }
    }
}

fn invalidation(keys: Option<&[Bytes]>) -> Push {
    let keys = keys.map_or(Reply::Nil, |keys| Reply::Bulks(keys.to_vec()));
    Push::of(&Reply::Push(vec![Reply::Static("invalidate"), keys]), Protocol::Resp3)
}

/// The same as a message of the channel that RESP2 clients listen to.
fn message(keys: Option<&[Bytes]>) -> Push {
    let keys = keys.map_or(Reply::Nil, |keys| Reply::Bulks(keys.to_vec()));
    Push::of(&Reply::Push(vec![Reply::Static("message"), Reply::Static(CHANNEL), keys]), Protocol::Resp2)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
