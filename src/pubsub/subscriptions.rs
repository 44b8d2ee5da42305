//! What one client has subscribed to, in the order in which it did. The session that owns it
//! enters and leaves the [`Hub`] accordingly.

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashSet;

use super::Kind;
use super::hub::{Hub, Subscriber};

/// The subscriptions of one client.
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [FxHashSet<Bytes>; 3],
}

impl Subscriptions {
    fn of(&self, kind: Kind) -> &FxHashSet<Bytes> {
        &self.names[kind as usize]
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.of(kind).len()
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.names.iter().all(FxHashSet::is_empty)
    }

    /// All names of a kind.
    pub fn names(&self, kind: Kind) -> Vec<Bytes> {
        self.of(kind).iter().cloned().collect()
    }

    /// Subscribes, unless that was done before.
    pub fn enter<S: Subscriber>(&mut self, hub: &Hub<S>, subscriber: &Arc<S>, kind: Kind, name: &Bytes) {
        if self.names[kind as usize].insert(name.clone()) {
            hub.subscribe(kind, name.clone(), subscriber);
        }
    }

    /// Gives a subscription up, if there is one.
    pub fn leave<S: Subscriber>(&mut self, hub: &Hub<S>, subscriber: &Arc<S>, kind: Kind, name: &[u8]) {
        if self.names[kind as usize].remove(name) {
            hub.unsubscribe(kind, name, subscriber);
        }
    }

    /// Gives all of them up.
    pub fn leave_all<S: Subscriber>(&mut self, hub: &Hub<S>, subscriber: &Arc<S>) {
        for kind in Kind::ALL {
            for name in self.names[kind as usize].drain() {
                hub.unsubscribe(kind, &name, subscriber);
            }
        }
    }
}
