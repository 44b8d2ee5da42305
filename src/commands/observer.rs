//! The one listener of commits: hands what happened to WATCH and to blocked clients.

use std::sync::Arc;

use super::instance::Instance;
use super::waiters::Waiters;
use super::watch::WatchTable;
use crate::keyspace::{Class, Commit, LockSet, Observer};

struct Listener {
    watch: Arc<WatchTable>,
    waiters: Arc<Waiters>,
}

impl Observer for Listener {
    fn committed(&self, commit: &Commit, origin: u64, locks: &mut LockSet) {
        self.watch.committed(commit);
        self.waiters.committed(commit, origin, locks);
    }

    fn wanted(&self) -> Class {
        Class::empty()
    }

    fn wants_touched(&self) -> bool {
        !(self.watch.is_empty() && self.waiters.is_empty())
    }
}

/// Connects the store's commits with those who want to know of them.
pub fn attach(instance: &Instance) {
    instance.store.observe(Arc::new(Listener { watch: instance.watch.clone(), waiters: instance.waiters.clone() }));
}
