//! All subscriptions of a server, by name, and the publishing of messages to them.
//!
//! Publishers share a read lock for as long as they hand a message round, which is some tens
//! of nanoseconds a subscriber: handing over means queueing. Who subscribes takes the write lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use super::Kind;
use crate::base::glob;
use crate::resp::{Push, Reply};

/// Who takes messages. Must not wait.
pub trait Subscriber: Send + Sync {
    /// Queues a message for this subscriber.
    fn deliver(&self, message: &Push);
}

/// Subscribers of one name. Removing looks for one among them by address; adding checks nothing,
/// because a session subscribes to a name once.
type Audience<S> = Vec<Arc<S>>;

/// The subscribers of one kind of names.
struct Topics<S> {
    audiences: RwLock<FxHashMap<Bytes, Audience<S>>>,
    /// Names with subscribers, so that publishers look no further while there are none.
    count: AtomicUsize,
}

impl<S> Default for Topics<S> {
    fn default() -> Self {
        Self { audiences: RwLock::default(), count: AtomicUsize::new(0) }
    }
}

impl<S> Topics<S> {
    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn add(&self, name: Bytes, subscriber: Arc<S>) {
        let mut audiences = self.audiences.write();
        audiences.entry(name).or_default().push(subscriber);
        self.count.store(audiences.len(), Ordering::Release);
    }

    fn remove(&self, name: &[u8], subscriber: &Arc<S>) {
        let mut audiences = self.audiences.write();
        if let Some(audience) = audiences.get_mut(name) {
            if let Some(place) = audience.iter().position(|other| Arc::ptr_eq(other, subscriber)) {
                audience.swap_remove(place);
            }
            if audience.is_empty() {
                audiences.remove(name);
            }
        }
        self.count.store(audiences.len(), Ordering::Release);
    }
}

/// All subscriptions of a server.
pub struct Hub<S> {
    topics: [Topics<S>; 3],
}

impl<S> Default for Hub<S> {
    fn default() -> Self {
        Self { topics: std::array::from_fn(|_| Topics::default()) }
    }
}

impl<S> Hub<S> {
    fn of(&self, kind: Kind) -> &Topics<S> {
        &self.topics[kind as usize]
    }

    /// Whether a message to any channel could reach somebody. Shard channels are apart.
    pub fn has_listeners(&self) -> bool {
        !(self.of(Kind::Channel).is_empty() && self.of(Kind::Pattern).is_empty())
    }

    /// How many names of a kind have subscribers.
    pub fn count(&self, kind: Kind) -> usize {
        self.of(kind).count.load(Ordering::Acquire)
    }

    /// How many have subscribed to a name.
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.of(kind).audiences.read().get(name).map_or(0, Vec::len)
    }

    /// The names of a kind that match a pattern; without one, all.
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let audiences = self.of(kind).audiences.read();
        let matches = |name: &Bytes| pattern.is_none_or(|pattern| glob::matches(pattern, name, false));
        audiences.keys().filter(|name| matches(name)).cloned().collect()
    }

    /// Calls `each` with every subscription: its kind, its name, who has it.
    pub fn for_each(&self, mut each: impl FnMut(Kind, &Bytes, &Arc<S>)) {
        for kind in Kind::ALL {
            for (name, audience) in self.of(kind).audiences.read().iter() {
                audience.iter().for_each(|subscriber| each(kind, name, subscriber));
            }
        }
    }

    /// How many a message would reach; a subscriber counts once for each way it does.
    pub fn receivers(&self, kind: Kind, channel: &[u8]) -> usize {
        let direct = if self.of(kind).is_empty() { 0 } else { self.subscribers(kind, channel) };
        if kind == Kind::Shard || self.of(Kind::Pattern).is_empty() {
            return direct;
        }
        let patterns = self.of(Kind::Pattern).audiences.read();
        let matching = patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel, false));
        direct + matching.map(|(_, audience)| audience.len()).sum::<usize>()
    }
}

impl<S: Subscriber> Hub<S> {
    /// Adds a subscriber to a name; the caller knows that it is not there yet.
    pub(super) fn subscribe(&self, kind: Kind, name: Bytes, subscriber: &Arc<S>) {
        self.of(kind).add(name, subscriber.clone());
    }

    /// Removes a subscriber from a name. Afterwards nothing of that name reaches it.
    pub(super) fn unsubscribe(&self, kind: Kind, name: &[u8], subscriber: &Arc<S>) {
        self.of(kind).remove(name, subscriber);
    }

    /// Hands a message to all subscribers of a channel, and then to those of matching patterns.
    pub fn publish(&self, kind: Kind, channel: &Bytes, payload: &Bytes) {
        let word = if kind == Kind::Shard { "smessage" } else { "message" };
        let topics = self.of(kind);
        if !topics.is_empty()
            && let Some(audience) = topics.audiences.read().get(channel)
        {
            let message =
                Push::new(vec![Reply::Static(word), Reply::Bulk(channel.clone()), Reply::Bulk(payload.clone())]);
            audience.iter().for_each(|subscriber| subscriber.deliver(&message));
        }
        if kind != Kind::Shard && !self.of(Kind::Pattern).is_empty() {
            self.publish_to_patterns(channel, payload);
        }
    }

    fn publish_to_patterns(&self, channel: &Bytes, payload: &Bytes) {
        let patterns = self.of(Kind::Pattern).audiences.read();
        for (pattern, audience) in patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel, false)) {
            let message = Push::new(vec![
                Reply::Static("pmessage"),
                Reply::Bulk(pattern.clone()),
                Reply::Bulk(channel.clone()),
                Reply::Bulk(payload.clone()),
            ]);
            audience.iter().for_each(|subscriber| subscriber.deliver(&message));
        }
    }
}
