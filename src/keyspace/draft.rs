//! [`Draft`]: a transaction that may last for as long as somebody thinks, and holds up nobody. It reads the
//! state of its beginning, keeps its writes to itself and holds no locks. In the end it is thrown away, or
//! becomes an ordinary transaction if nobody has changed what it used.

use std::sync::Arc;

use super::locks::{Locks, Stripe, Wanted};
use super::store::Store;
use super::tx::Tx;
use crate::storage::Tier;

/// A transaction over a frozen state. Dropping it forgets its writes.
pub struct Draft {
    pub tx: Tx,
    /// Those of all stripes, as of its beginning.
    versions: Vec<u32>,
    /// Whether its writes are told to copies of the data.
    tells_effects: bool,
}

/// The stripes that a draft has looked at or written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Used {
    /// It has looked at keys that nobody named.
    All,
    Some(Vec<Stripe>),
}

impl Draft {
    /// A draft of the state of now. The caller holds all locks at this moment.
    pub fn begin(store: &Arc<Store>, now_ms: u64) -> Self {
        let mut tx = Tx::new(store.clone());
        tx.start(Tier::Disk, now_ms);
        tx.freeze_for_draft();
        Self { versions: store.locks().versions(), tells_effects: tx.wants_effects(), tx }
    }

    /// Waits for all locks and gives a transaction that holds them, ready to be committed; `None` if
    /// others have changed what was used. Not on a network thread.
    pub fn settle(self, used: &Used) -> Option<Tx> {
        let Self { mut tx, versions, tells_effects } = self;
        let locks = tx.store().locks().clone();
        tx.locks().adopt(Locks::acquire_waiting(&locks, Wanted::All));
        let unchanged = |stripe: &Stripe| locks.is_as_in(&versions, *stripe);
        let is_current = match used {
            Used::All => locks.versions() == versions,
            Used::Some(stripes) => stripes.iter().all(unchanged),
        };
        // Copies that came meanwhile would not hear of what was written before.
        if !is_current || (tx.wants_effects() && !tells_effects) {
            return None;
        }
        tx.thaw();
        Some(tx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::record::{Encoding, Type};
    use crate::keyspace::StoreOptions;
    use crate::storage::memory::MemoryEngine;

    fn store() -> Arc<Store> {
        Store::open(Arc::new(MemoryEngine::new()), &StoreOptions { databases: 2, record_cache_bytes: 1 << 20 }).unwrap()
    }

    fn put(tx: &mut Tx, name: &[u8], value: &[u8]) {
        let key = tx.key(0, name);
        tx.put_inline(&key, Type::String, Encoding::Raw, None, value).unwrap();
    }

    fn write(store: &Arc<Store>, name: &[u8], value: &[u8]) {
        let mut tx = Tx::new(store.clone());
        tx.start(Tier::Disk, 1);
        tx.locks().adopt(Locks::acquire_waiting(store.locks(), Wanted::Some([Stripe::of(name)].into_iter().collect())));
        put(&mut tx, name, value);
        tx.commit(true, 0).unwrap();
    }

    fn body(tx: &mut Tx, name: &[u8]) -> Option<Vec<u8>> {
        let key = tx.key(0, name);
        tx.record(&key).unwrap().map(|record| record.encode().to_vec())
    }

    fn latest(store: &Arc<Store>, name: &[u8]) -> Option<Vec<u8>> {
        let mut tx = Tx::new(store.clone());
        tx.start(Tier::Disk, 1);
        body(&mut tx, name)
    }

    #[test]
    fn a_draft_stands_still_and_is_kept_if_what_it_used_does_too() {
        let store = store();
        write(&store, b"a", b"1");
        let before = latest(&store, b"a");
        let mut draft = Draft::begin(&store, 1);
        write(&store, b"a", b"2");
        assert_eq!(body(&mut draft.tx, b"a"), before);
        put(&mut draft.tx, b"b", b"1");
        assert!(latest(&store, b"b").is_none(), "nobody sees a draft");
        let mut tx = draft.settle(&Used::Some(vec![Stripe::of(b"b")])).expect("nobody has touched b");
        tx.commit(true, 0).unwrap();
        assert!(latest(&store, b"b").is_some());
        assert_ne!(latest(&store, b"a"), before, "what others wrote stays");
    }

    #[test]
    fn a_draft_is_given_up_when_what_it_used_has_changed() {
        let store = store();
        for used in [Used::All, Used::Some(vec![Stripe::of(b"a")])] {
            let mut draft = Draft::begin(&store, 1);
            put(&mut draft.tx, b"b", b"1");
            write(&store, b"a", b"1");
            assert!(draft.settle(&used).is_none());
            assert!(latest(&store, b"b").is_none());
        }
        assert!(Tx::new(store.clone()).locks().try_extend(&Wanted::All), "its locks are given back");
    }
}
