//! What a handler works with: the transaction, the session it runs for, and what all share.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::command::Flags;
use super::instance::Instance;
use super::outcome::Outcome;
use super::request::Args;
use super::session::SessionState;
use super::table::Entry;
use super::waiters::WaitedKey;
use crate::base::{Error, Result};
use crate::config::Settings;
use crate::keyspace::{Class, Key, Kind, Record, Tx};
use crate::storage::Tier;

/// The most bytes a handler works through on a network thread: a fraction of a millisecond.
const NETWORK_THREAD_BYTES: u64 = 1 << 20;

/// As many bytes are worked through in the time that one element of a large object takes.
const ELEMENT_BYTES: u64 = 1 << 10;

/// Everything one run of a handler may touch.
pub struct Context<'a> {
    /// Reads and writes of data.
    pub tx: &'a mut Tx,
    /// The connection's own state.
    pub session: &'a mut SessionState,
    /// What all sessions share.
    pub instance: &'a Arc<Instance>,
    /// The settings of the moment.
    pub settings: &'a Arc<Settings>,
    /// The entry that is being run.
    pub entry: Entry,
    /// On whose behalf it runs.
    pub within: Within,
    /// The keys that a waiting client is called for, in the order in which they were written.
    pub called_for: &'a [WaitedKey],
}

/// What a command runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// Nothing: a client called it.
    Client,
    /// EXEC.
    Transaction,
    Script,
}

impl<'a> Context<'a> {
    /// Keys in the order in which a client that waits is served from them: those that it is called for as they
    /// were written, then all as it named them.
    pub fn in_order_of_writes<'k>(&self, keys: &'k [&'k [u8]]) -> impl Iterator<Item = &'k [u8]> + use<'a, 'k>
    where
        'a: 'k,
    {
        let db = self.session.db;
        let written = self.called_for.iter().filter(move |(of, _)| *of == db).map(|(_, name)| &name[..]);
        written.chain(keys.iter().copied())
    }
}

impl Context<'_> {
    /// Whether it runs inside EXEC or a script, where nothing blocks.
    pub fn in_transaction(&self) -> bool {
        self.within != Within::Client
    }

    /// Sees to it that what this command looks at counts as used, or does not.
    pub fn count_uses(&mut self) {
        let client = &self.session.client;
        let in_passing = self.entry.command.flags.contains(Flags::NO_TOUCH)
            || (client.no_touch.load(Ordering::Relaxed) && self.entry.command.name != "TOUCH");
        self.tx.count_uses(!in_passing);
    }

    /// A key of the selected database.
    pub fn key(&self, user_key: &[u8]) -> Key {
        self.tx.key(self.session.db, user_key)
    }

    /// Reads a value of the selected database: `None` if the key is not there. Counted as a hit
    /// or a miss.
    ///
    /// # Errors
    /// WRONGTYPE, engine failures.
    pub fn read<K: Kind>(&mut self, user_key: &[u8]) -> Result<Option<K>> {
        let key = self.key(user_key);
        let found = self.tx.read(&key);
        match &found {
            Ok(value) => self.note_lookup(&key, value.is_some()),
            Err(Error::Client(_)) => self.note_lookup(&key, true),
            Err(_) => {}
        }
        found
    }

    /// The record of a key that is read, whatever its type. Counted as a hit or a miss.
    ///
    /// # Errors
    /// Engine failures.
    pub fn read_record(&mut self, key: &Key) -> Result<Option<Record>> {
        let found = self.tx.record(key)?;
        self.note_lookup(key, found.is_some());
        Ok(found)
    }

    /// Counts a reader's look at a key; a miss is an event as well.
    fn note_lookup(&mut self, key: &Key, found: bool) {
        let counters = &self.instance.store.counters;
        if found {
            counters.hits.add(1);
        } else {
            counters.misses.add(1);
            self.tx.notify(Class::KEY_MISS, "keymiss", key);
        }
    }

    /// Work on this many bytes is about to begin: too many for a network thread send the command
    /// to the I/O pool, where it runs again.
    ///
    /// # Errors
    /// `NotInMemory`, the sign to run elsewhere.
    pub fn weigh(&self, bytes: u64) -> Result<()> {
        if bytes > NETWORK_THREAD_BYTES && self.tx.tier() == Tier::Memory {
            return Err(Error::NotInMemory);
        }
        Ok(())
    }

    /// The same for work on this many elements of a value.
    ///
    /// # Errors
    /// As [`Context::weigh`].
    pub fn weigh_elements(&self, elements: u64) -> Result<()> {
        self.weigh(elements.saturating_mul(ELEMENT_BYTES))
    }

    /// Changes a value of the selected database, creating it if missing.
    ///
    /// # Errors
    /// WRONGTYPE, engine failures, whatever `change` fails with.
    pub fn edit<K: Kind, R>(
        &mut self,
        user_key: &[u8],
        change: impl FnOnce(&mut K, &mut Tx, &Key) -> Result<R>,
    ) -> Result<R> {
        let key = self.key(user_key);
        self.tx.edit(&key, |value, tx| change(value, tx, &key))
    }

    /// Changes a value of the selected database if it is there.
    ///
    /// # Errors
    /// As [`Context::edit`].
    pub fn edit_existing<K: Kind, R>(
        &mut self,
        user_key: &[u8],
        change: impl FnOnce(&mut K, &mut Tx, &Key) -> Result<R>,
    ) -> Result<Option<R>> {
        let key = self.key(user_key);
        self.tx.edit_existing(&key, |value, tx| change(value, tx, &key))
    }

    /// Copies of the data are to run these words instead of the command's own. Several calls make
    /// several commands, which belong together.
    pub fn replicate_as(&mut self, words: &[&[u8]]) {
        if self.tx.wants_effects() {
            self.tx.tell_effect(self.session.db, super::dispatch::owned(words));
        }
    }

    /// What copies are to run instead of the command's own words has been said, or is nothing.
    pub fn replicate_no_more(&mut self) {
        self.tx.tell_no_effect();
    }

    /// Something with a name happened to a key.
    pub fn notify(&mut self, class: Class, name: &'static str, user_key: &[u8]) {
        let key = self.key(user_key);
        self.tx.notify(class, name, &key);
    }

    /// The command's full name in lower case, as error texts show it (`client|list`).
    pub fn command_name(&self) -> &'static str {
        &self.entry.name
    }
}

/// The handler of a container (CLIENT, OBJECT …): dispatch never gets here with a known subcommand.
///
/// # Errors
/// Always.
pub fn container(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let given = args.peek().unwrap_or_default();
    Err(unknown_subcommand(context.entry.command.name, given))
}

/// The error for a subcommand that a container does not have.
pub fn unknown_subcommand(container: &str, given: &[u8]) -> Error {
    let shown: String = String::from_utf8_lossy(given).chars().take(128).collect();
    Error::client(format!("ERR unknown subcommand '{shown}'. Try {container} HELP."))
}
