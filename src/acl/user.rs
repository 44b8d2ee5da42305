//! A user as sessions hold it: a name that stays and rules that are replaced as a whole.
//! The questions of every request are answered by one flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::catalogue::Catalogue;
use super::rules::Rules;

/// A user.
pub struct User {
    name: Bytes,
    rules: ArcSwap<Rules>,
    /// Nothing is refused: most requests ask no more than this.
    unrestricted: AtomicBool,
    /// Anybody is this user without a word.
    open: AtomicBool,
    gone: AtomicBool,
}

impl User {
    pub(super) fn new(name: Bytes, rules: Rules) -> Self {
        Self {
            name,
            unrestricted: AtomicBool::new(rules.is_unrestricted()),
            open: AtomicBool::new(rules.is_open()),
            rules: ArcSwap::from_pointee(rules),
            gone: AtomicBool::new(false),
        }
    }

    /// Any bytes but blanks and NUL.
    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// The rules of the moment.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Whether nothing is refused.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted.load(Ordering::Acquire)
    }

    /// Whether it is on and needs no password.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether it was deleted; sessions that still have it may do nothing.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn set_rules(&self, rules: Rules) {
        // Never a moment in which less is checked than either rules say.
        self.unrestricted.store(false, Ordering::Release);
        self.open.store(rules.is_open(), Ordering::Release);
        let unrestricted = rules.is_unrestricted();
        self.rules.store(Arc::new(rules));
        self.unrestricted.store(unrestricted, Ordering::Release);
    }

    /// Takes everything away, for whoever still holds it.
    pub(super) fn delete(&self, catalogue: &Catalogue) {
        self.gone.store(true, Ordering::Release);
        self.set_rules(Rules::fresh(catalogue, false));
    }
}
