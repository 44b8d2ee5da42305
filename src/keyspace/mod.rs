//! The keyspace: keys, their records, and the one way to change them.
//!
//! - `key.rs`: a key on its way through a command (database, name, stored bytes, lock stripe).
//! - `locks.rs`: key-striped writer locks with a version each, so that readers can validate.
//! - `store.rs`: [`Store`], what is shared: engine, caches, locks, databases, object ids.
//! - `tx.rs`: [`Tx`], a view of the store and a set of writes; `commit.rs` makes them true.
//!   `parts.rs`: its side that reads and writes parts of large objects. `draft.rs`: one that may last.
//! - `edit.rs`: [`Kind`] and the one read-modify-write frame of every type.
//! - `walk.rs`: SCAN, KEYS, DBSIZE, RANDOMKEY. `expiry.rs`: deadlines. `reclaim.rs`: space.
//! - `survey.rs`: what each key takes. `big_keys.rs`: which take most, looked for bit by bit.
//! - `check.rs`: whether everything that is stored belongs together.
//! - `events.rs`: what a commit did, for whoever listens.
//!
//! Knows neither RESP nor what a hash is; of storage it knows only the `Engine` trait.

mod big_keys;
mod check;
mod commit;
mod databases;
mod draft;
mod edit;
mod events;
mod expiry;
mod key;
mod locks;
mod parts;
mod reclaim;
mod store;
mod survey;
mod tx;
mod walk;

pub use big_keys::{BigKey, BigKeys};
pub use check::{CheckFigures, CheckValue, Finding, Remedy};
pub use databases::{DatabaseIndex, Databases};
pub use draft::{Draft, Used};
pub use edit::Kind;
pub use events::{Class, Commit, Deed, Effect, Event, Fact, Look, Message, Observer, Told, Touched};
pub use expiry::{ExpireElements, Overdue};
pub use key::Key;
pub use locks::{LockSet, Locks, Stripe, Stripes, Wanted, sorted};
pub use parts::{Direction, Scan};
pub use store::{DatabaseFigures, Store, StoreOptions};
pub use survey::Surveyed;
pub use tx::{Presence, Savepoint, Tx, Use};
pub use walk::{KeyPage, Walk};

pub use crate::encoding::record::{Body, Encoding, Record, Type};
