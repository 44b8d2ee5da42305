//! The one listener of commits: hands what happened to replicas, to WATCH, to subscribers (messages
//! and keyspace notifications), to client-side caches and to blocked clients.

use std::sync::Arc;

use bytes::Bytes;

use super::instance::Instance;
use super::tracking::TrackingTable;
use super::waiters::Waiters;
use super::watch::WatchTable;
use crate::config::{Config, EventClasses};
use crate::keyspace::{Class, Commit, Deed, Event, LockSet, Observer, Told};
use crate::observe::{Client, Observations};
use crate::pubsub::{Hub, Kind};
use crate::replication::Feed;
use crate::scripting::Scripts;

/// The classes of events, as the configuration and the keyspace call them.
const CLASSES: [(EventClasses, Class); 12] = [
    (EventClasses::GENERIC, Class::GENERIC),
    (EventClasses::STRING, Class::STRING),
    (EventClasses::LIST, Class::LIST),
    (EventClasses::SET, Class::SET),
    (EventClasses::HASH, Class::HASH),
    (EventClasses::ZSET, Class::SORTED_SET),
    (EventClasses::EXPIRED, Class::EXPIRED),
    (EventClasses::EVICTED, Class::EVICTED),
    (EventClasses::STREAM, Class::STREAM),
    (EventClasses::MISS, Class::KEY_MISS),
    (EventClasses::MODULE, Class::MODULE),
    (EventClasses::NEW, Class::NEW),
];

struct Listener {
    watch: Arc<WatchTable>,
    waiters: Arc<Waiters>,
    tracking: Arc<TrackingTable>,
    pubsub: Arc<Hub<Client>>,
    observe: Arc<Observations>,
    config: Arc<Config>,
    scripts: Arc<Scripts>,
    feed: Arc<Feed<Client>>,
}

impl Observer for Listener {
    fn committed(&self, commit: &Commit, origin: u64, locks: &mut LockSet) {
        self.watch.committed(commit);
        self.replicate(commit);
        for told in &commit.told {
            match told {
                Told::Effect(_) => {}
                Told::Event(event) => self.announce(event),
                Told::Message(message) => {
                    let kind = if message.sharded { Kind::Shard } else { Kind::Channel };
                    self.pubsub.publish(kind, &message.channel, &message.payload);
                }
            }
        }
        self.tracking.committed(commit, origin, &self.observe.clients);
        // Last, because it hands locks over: until then what is told of a key keeps its order.
        self.waiters.committed(commit, origin, locks);
        // The last one stands: it was made from those before it.
        let libraries = commit.facts.iter().rev().find_map(|fact| fact.value.clone().downcast().ok());
        libraries.into_iter().for_each(|libraries| self.scripts.publish(libraries));
    }

    /// None while nobody listens: who subscribes during a command may or may not hear of it.
    fn wanted(&self) -> Class {
        if !self.pubsub.has_listeners() {
            return Class::empty();
        }
        wanted(self.config.load().notify_keyspace_events)
    }

    fn wants_effects(&self) -> bool {
        self.feed.flows()
    }

    fn wants_touched(&self) -> bool {
        !self.watch.is_empty() || !self.waiters.is_empty() || self.tracking.in_use()
    }
}

impl Listener {
    /// Appends what the commit did to the replication stream.
    fn replicate(&self, commit: &Commit) {
        if !commit.told.iter().any(|told| matches!(told, Told::Effect(_))) {
            return;
        }
        self.feed.append(|stretch| {
            for told in &commit.told {
                let Told::Effect(effect) = told else { continue };
                if effect.opens {
                    // SELECT stands in front of MULTI, as in Redis.
                    stretch.command(Some(effect.db), &["MULTI"]);
                }
                match &effect.deed {
                    Deed::Command(words) => stretch.command(Some(effect.db), words),
                    Deed::Lapsed(key) => stretch.command(Some(effect.db), &[self.deletion(), &key[..]]),
                    Deed::LapsedElements(key, fields) => {
                        let words: Vec<&[u8]> =
                            [b"HDEL", &key[..]].into_iter().chain(fields.iter().map(|field| &field[..])).collect();
                        stretch.command(Some(effect.db), &words);
                    }
                }
                if effect.closes {
                    stretch.command(None, &["EXEC"]);
                }
            }
        });
    }

    /// How replicas delete what has lapsed.
    fn deletion(&self) -> &'static [u8] {
        let lazily = self.config.snapshot().text("lazyfree-lazy-expire");
        if lazily.as_deref() == Some("yes") { b"UNLINK" } else { b"DEL" }
    }

    /// Publishes a keyspace notification, on the key's channel and on the event's.
    fn announce(&self, event: &Event) {
        let classes = self.config.load().notify_keyspace_events;
        if !wanted(classes).intersects(event.class) {
            return;
        }
        if classes.contains(EventClasses::KEYSPACE) {
            let channel = channel("keyspace", event, &event.key);
            self.pubsub.publish(Kind::Channel, &channel, &Bytes::from_static(event.name.as_bytes()));
        }
        if classes.contains(EventClasses::KEYEVENT) {
            let channel = channel("keyevent", event, event.name.as_bytes());
            self.pubsub.publish(Kind::Channel, &channel, &event.key);
        }
    }
}

/// The keyspace's classes that a setting turns on.
fn wanted(classes: EventClasses) -> Class {
    if !classes.intersects(EventClasses::KEYSPACE | EventClasses::KEYEVENT) {
        return Class::empty();
    }
    let chosen = CLASSES.iter().filter(|(setting, _)| classes.contains(*setting));
    chosen.fold(Class::empty(), |all, (_, class)| all | *class)
}

fn channel(what: &str, event: &Event, of: &[u8]) -> Bytes {
    let mut channel = format!("__{what}@{}__:", event.db).into_bytes();
    channel.extend_from_slice(of);
    channel.into()
}

/// Connects the store's commits with those who want to know of them.
pub fn attach(instance: &Instance) {
    instance.store.observe(Arc::new(Listener {
        watch: instance.watch.clone(),
        waiters: instance.waiters.clone(),
        tracking: instance.tracking.clone(),
        pubsub: instance.pubsub.clone(),
        observe: instance.observe.clone(),
        config: instance.config.clone(),
        scripts: instance.scripts.clone(),
        feed: instance.feed.clone(),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_wanted_on_some_channel_only() {
        assert_eq!(wanted(EventClasses::GENERIC), Class::empty());
        assert_eq!(wanted(EventClasses::GENERIC | EventClasses::KEYEVENT), Class::GENERIC);
        let all = wanted(EventClasses::ALL | EventClasses::KEYSPACE);
        assert_eq!(all, Class::all() - Class::KEY_MISS - Class::NEW);
    }
}
