//! MULTI, EXEC, DISCARD, WATCH, UNWATCH. Queued commands run one after the other in the
//! session's transaction, under the union of their locks, and are committed as one batch.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::command::{Command, Flags, Group, flags};
use super::context::{Context, Within};
use super::dispatch::{self, owned};
use super::grammar::{Access, key};
use super::inside::{Tally, run_inside};
use super::instance::Instance;
use super::monitor::Source;
use super::outcome::Outcome;
use super::permission;
use super::request::Args;
use super::session::SessionState;
use super::table::Entry;
use super::tracking::{self, TrackingTable};
use super::watch::{Fate, WatchTable};
use crate::acl::{Denial, Place};
use crate::base::{Error, Result, clock};
use crate::keyspace::{DatabaseIndex, Stripe, Stripes, Wanted, sorted};
use crate::resp::Reply;

pub static COMMANDS: &[Command] = &[
    Command {
        name: "DISCARD",
        summary: "Forgets the commands queued since MULTI.",
        since: "2.0.0",
        complexity: "O(N) in the queued commands",
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY),
        run: discard,
        ..Command::of(Group::Transactions)
    },
    Command {
        name: "EXEC",
        summary: "Runs the commands queued since MULTI, all or none visible to others.",
        since: "1.2.0",
        complexity: "That of the queued commands",
        flags: flags!(NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG | SETTLED),
        run: exec,
        ..Command::of(Group::Transactions)
    },
    Command {
        name: "MULTI",
        summary: "Starts to queue commands for EXEC.",
        since: "1.2.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY),
        run: multi,
        ..Command::of(Group::Transactions)
    },
    Command {
        name: "UNWATCH",
        summary: "Stops watching all watched keys.",
        since: "2.2.0",
        complexity: "O(N) in the watched keys",
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY),
        run: unwatch,
        ..Command::of(Group::Transactions)
    },
    Command {
        name: "WATCH",
        summary: "Lets the next EXEC fail if one of these keys is changed before it.",
        since: "2.2.0",
        complexity: "O(1) a key",
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | SETTLED),
        args: &[key("key", Access::Inspect).many()],
        run: watch,
        ..Command::of(Group::Transactions)
    },
];

/// A queued command.
#[derive(Debug, Clone)]
struct Queued {
    entry: Entry,
    args: Vec<Bytes>,
}

impl Queued {
    fn words(&self) -> Vec<&[u8]> {
        self.args.iter().map(|arg| &arg[..]).collect()
    }
}

/// What was queued since MULTI.
#[derive(Debug, Clone, Default)]
pub struct Multi {
    queued: Vec<Queued>,
    /// What their words take.
    bytes: usize,
    /// A command was refused, so EXEC must be.
    broken: bool,
}

/// A watched key.
#[derive(Debug, Clone)]
pub struct Watched {
    db: DatabaseIndex,
    key: Bytes,
    /// It was there and live when WATCH came, so that its lapsing counts as a change.
    was_there: bool,
}

impl Multi {
    /// How many commands are queued.
    pub fn len(&self) -> usize {
        self.queued.len()
    }

    /// How many bytes the queued commands take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether none is queued.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Whether a script is among them, which may run for long.
    pub(super) fn runs_scripts(&self) -> bool {
        self.queued.iter().any(|queued| queued.entry.command.group == Group::Scripting)
    }

    /// What any of the queued commands may do.
    pub(super) fn flags(&self) -> Flags {
        self.queued.iter().fold(Flags::empty(), |all, queued| all | queued.entry.command.flags)
    }

    /// Whether one of the queued commands may write.
    pub(super) fn may_write(&self, instance: &Instance) -> bool {
        self.queued.iter().any(|queued| dispatch::writes(instance, queued.entry, &queued.words()))
    }

    /// The locks of all keys, watched ones included: nobody may change those between the
    /// check and the commit.
    pub(super) fn wanted(&self, state: &SessionState, table: &TrackingTable) -> Wanted {
        let exclusive = |entry: Entry| {
            entry.command.flags.contains(Flags::EXCLUSIVE) || entry.reads_other_keys() || tracking::begins(entry, table)
        };
        if self.queued.iter().any(|queued| exclusive(queued.entry)) {
            return Wanted::All;
        }
        let mut stripes: Stripes = state.watched.iter().map(|watched| Stripe::of(&watched.key)).collect();
        for queued in &self.queued {
            queued.entry.for_each_key(&queued.words(), |key, _| stripes.push(Stripe::of(key)));
        }
        Wanted::Some(sorted(stripes))
    }
}

impl SessionState {
    /// Stops watching everything.
    pub(super) fn unwatch(&mut self, table: &WatchTable) {
        for watched in self.watched.drain(..) {
            table.remove(watched.db, &watched.key, &self.watch_mark);
        }
        self.watch_mark.clear();
    }

    /// Forgets MULTI and WATCH.
    pub(super) fn reset_transaction(&mut self, table: &WatchTable) {
        self.multi = None;
        self.unwatch(table);
        self.show_transaction();
    }

    /// Lets others see how far the transaction has come.
    pub(super) fn show_transaction(&self) {
        let (queued, bytes) = self.multi.as_ref().map_or((-1, 0), |multi| (multi.len() as i64, multi.bytes()));
        self.client.queued.store(queued, Ordering::Relaxed);
        self.client.queued_bytes.store(bytes, Ordering::Relaxed);
        self.client.watching.store(self.watched.len(), Ordering::Relaxed);
    }
}

/// Whether a command runs inside MULTI instead of being queued.
pub(super) fn runs_at_once(command: &Command) -> bool {
    matches!(command.name, "EXEC" | "DISCARD" | "MULTI" | "WATCH" | "QUIT" | "RESET")
        && matches!(command.group, Group::Transactions | Group::Connection)
}

/// A command was refused while queueing.
pub(super) fn refuse(state: &mut SessionState) {
    if let Some(multi) = &mut state.multi {
        multi.broken = true;
    }
}

/// Queues a command that passed all gates.
pub(super) fn queue(state: &mut SessionState, entry: Entry, args: &[&[u8]]) {
    let Some(multi) = &mut state.multi else { return };
    multi.bytes += args.iter().map(|arg| arg.len() + size_of::<Bytes>()).sum::<usize>();
    multi.queued.push(Queued { entry, args: owned(args) });
    state.show_transaction();
}

fn multi(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    if context.session.multi.is_some() {
        return Err(Error::client("ERR MULTI calls can not be nested"));
    }
    context.session.multi = Some(Multi::default());
    Ok(Outcome::ok())
}

fn discard(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    if context.session.multi.is_none() {
        return Err(Error::client("ERR DISCARD without MULTI"));
    }
    context.session.reset_transaction(&context.instance.watch);
    Ok(Outcome::ok())
}

fn unwatch(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    context.session.unwatch(&context.instance.watch);
    Ok(Outcome::ok())
}

fn watch(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    if context.session.multi.is_some() {
        return Err(Error::client("ERR WATCH inside MULTI is not allowed"));
    }
    let db = context.session.db;
    for name in args.rest() {
        let key = Bytes::copy_from_slice(name);
        if context.session.watched.iter().any(|watched| watched.db == db && watched.key == key) {
            continue;
        }
        // The lock of the key is held, so nothing changes between the look and the entry.
        let stored = context.key(&key);
        let was_there = context.tx.record(&stored)?.is_some();
        context.instance.watch.add(db, key.clone(), context.session.watch_mark.clone(), was_there);
        context.session.watched.push(Watched { db, key, was_there });
    }
    Ok(Outcome::ok())
}

fn exec(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let Some(multi) = context.session.multi.clone() else {
        return Err(Error::client("ERR EXEC without MULTI"));
    };
    if multi.broken {
        context.session.reset_transaction(&context.instance.watch);
        return Err(Error::client("EXECABORT Transaction discarded because of previous errors."));
    }
    if watched_changed(context)? {
        context.session.reset_transaction(&context.instance.watch);
        return Ok(Reply::NilArray.into());
    }
    let db = context.session.db;
    context.session.multi = None;
    let mut replies = Vec::with_capacity(multi.queued.len());
    let mut tally = Tally::logging_slow();
    let mut denials: Vec<(&Queued, Denial)> = Vec::new();
    let mut ran: Vec<(&Queued, DatabaseIndex)> = Vec::with_capacity(multi.queued.len());
    for queued in &multi.queued {
        if let Err(denial) = may_still_run(context.session, queued) {
            denials.push((queued, denial));
            replies.push(Reply::error(denial.reply_in_exec()));
            continue;
        }
        match run_inside(context, queued.entry, &queued.words(), Within::Transaction, &mut tally) {
            Ok(reply) => {
                replies.push(reply);
                ran.push((queued, context.session.db));
            }
            Err(error) => {
                // To be run again as a whole, from the state before.
                context.session.multi = Some(multi);
                context.session.select(db);
                return Err(error);
            }
        }
    }
    context.session.unwatch(&context.instance.watch);
    // Noted once: all this may have been run several times.
    for (queued, denial) in denials {
        let (instance, session) = (context.instance, &context.session);
        permission::note_denial(instance, session, queued.entry, &queued.words(), denial, Place::Multi);
    }
    show(context, &ran);
    tally.tell(context, false);
    Ok(Reply::Array(replies).into())
}

/// Shows what was run to those who watch: only now is it sure that it is not run again.
fn show(context: &Context<'_>, ran: &[(&Queued, DatabaseIndex)]) {
    let monitors = &context.instance.monitors;
    if monitors.is_empty() {
        return;
    }
    let now_us = clock::now_us();
    for (queued, db) in ran {
        monitors.show(now_us, *db, Source::Client(&context.session.client), queued.entry, &queued.words());
    }
}

/// Whether the user may still run what it queued.
fn may_still_run(session: &SessionState, queued: &Queued) -> Result<(), Denial> {
    if session.user.is_unrestricted() {
        return Ok(());
    }
    session.may_run(queued.entry, &queued.words())
}

fn watched_changed(context: &mut Context<'_>) -> Result<bool> {
    let fate = context.session.watch_mark.fate();
    if fate == Fate::Touched {
        return Ok(true);
    }
    for watched in context.session.watched.clone() {
        // What was missing and is there now has been touched, or come with its database.
        if !watched.was_there && fate == Fate::Untouched {
            continue;
        }
        let key = context.tx.key(watched.db, &watched.key);
        if context.tx.record(&key)?.is_some() != watched.was_there {
            return Ok(true);
        }
    }
    Ok(false)
}
