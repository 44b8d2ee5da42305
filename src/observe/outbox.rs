//! What others have queued for a client: messages, invalidations, a monitor's lines. Anybody
//! puts, only the client's own connection takes, between replies; so nobody who sends ever waits
//! for one who reads slowly. How much may gather here is the client's limit (`clients.rs`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::resp::Push;

/// What an entry takes beside its bytes, most of which it shares with other clients' entries.
pub const ENTRY_BYTES: usize = size_of::<Push>();

/// A client's queue of pushes.
#[derive(Default)]
pub struct Outbox {
    queue: Mutex<VecDeque<Push>>,
    count: AtomicUsize,
    bytes: AtomicUsize,
    /// Nothing of it goes out yet.
    held: AtomicBool,
}

impl Outbox {
    /// Queues a push; says how many bytes are queued now.
    pub(super) fn put(&self, push: Push) -> usize {
        let weight = push.len() + ENTRY_BYTES;
        let mut queue = self.queue.lock();
        queue.push_back(push);
        self.count.store(queue.len(), Ordering::Release);
        self.bytes.fetch_add(weight, Ordering::Relaxed) + weight
    }

    /// Takes pushes in their order, at least one and then as long as they are `most_bytes` together.
    pub fn take(&self, most_bytes: usize, mut each: impl FnMut(Push)) {
        let mut queue = self.queue.lock();
        let mut taken = 0;
        let mut weight = 0;
        while taken < most_bytes
            && let Some(push) = queue.pop_front()
        {
            taken += push.len();
            weight += push.len() + ENTRY_BYTES;
            each(push);
        }
        if queue.is_empty() {
            queue.shrink_to(KEPT_ENTRIES);
        }
        self.count.store(queue.len(), Ordering::Release);
        self.bytes.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Whether nothing is queued that may go out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 || self.held.load(Ordering::Acquire)
    }

    /// Keeps what is queued back, or no longer.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    /// How many pushes are queued.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// How many bytes are queued.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Places that an emptied queue keeps.
const KEPT_ENTRIES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Protocol, Reply};

    fn push(text: &'static str) -> Push {
        Push::of(&Reply::Simple(text.into()), Protocol::Resp2)
    }

    #[test]
    fn pushes_leave_in_order_and_by_weight() {
        let outbox = Outbox::default();
        for text in ["one", "two", "three"] {
            outbox.put(push(text));
        }
        let mut taken = Vec::new();
        outbox.take(7, |push| taken.push(push));
        assert_eq!(taken, [push("one"), push("two")]);
        outbox.take(1, |push| taken.push(push));
        assert_eq!(taken.last(), Some(&push("three")));
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }
}
