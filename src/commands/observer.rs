//! The one listener of commits: hands what happened to WATCH, and later to notifications,
//! client-side caching and blocked clients.

use std::sync::Arc;

use super::instance::Instance;
use super::watch::WatchTable;
use crate::keyspace::{Class, Commit, Observer};

struct Listener {
    watch: Arc<WatchTable>,
}

impl Observer for Listener {
    fn committed(&self, commit: &Commit, _origin: u64) {
        self.watch.committed(commit);
    }

    fn wanted(&self) -> Class {
        Class::empty()
    }

    fn wants_touched(&self) -> bool {
        !self.watch.is_empty()
    }
}

/// Connects the store's commits with those who want to know of them.
pub fn attach(instance: &Instance) {
    instance.store.observe(Arc::new(Listener { watch: instance.watch.clone() }));
}
