//! One connection's conversation: requests in from a buffer, replies out to a buffer, no
//! socket. It never waits: what would wait comes back as a [`Next`], the server waits
//! and calls [`Session::run`] again with the same input.
//!
//! Consecutive requests share one commit: their writes gather in the session's [`Tx`] with the
//! locks of their keys, and their replies stay in `output` until the commit is done.
//! Before anything that waits, what was gathered is committed and the locks go back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;

use super::blocking::{GiveUp, Wait};
use super::command::Group;
use super::dispatch;
use super::instance::Instance;
use super::replication::{FullSync, Introduction};
use super::scripting::Debugging;
use super::table::Entry;
use super::tracking::Tracked;
use super::transactions::{Multi, Watched};
use super::waiters::Waiting;
use super::watch::Mark;
use crate::acl::User;
use crate::base::{ClientError, Error, clock};
use crate::config::{Reader, Settings};
use crate::keyspace::{DatabaseIndex, LockSet, Tx, Type, Wanted};
use crate::observe::Client;
use crate::pubsub::Subscriptions;
use crate::resp::{self, Limits, Parsed, Protocol, Reply, RequestParser};
use crate::scripting::Wire;
use crate::storage::Tier;

/// Requests that share a commit at the most, so that locks are not held for long.
const REQUESTS_PER_COMMIT: u32 = 128;
/// Output gathered before it is sent although more requests are waiting.
const OUTPUT_BYTES_PER_RUN: usize = 1 << 20;
/// Pushes moved into the output at once. The others stay shared with their other receivers.
const PUSH_BYTES_PER_RUN: usize = 64 << 10;
/// Keys beyond `tracking-table-max-keys` that one command lets go.
const UNTRACKED_PER_COMMAND: usize = 128;

/// What has to happen before the session can go on.
#[derive(Debug)]
pub enum Next {
    /// Every whole request is answered: send the output, read more. At least `missing` bytes are wanted.
    Read { missing: usize },
    /// Send the output and run again; more requests are waiting.
    Send,
    /// Run again on the I/O pool, with [`Tier::Disk`].
    Offload,
    /// The same for a script, which may run for long: not where others need the threads.
    OffloadScript,
    /// Wait for these locks, hand them over by [`Session::adopt`], and run again.
    Lock(Wanted),
    /// Clients are paused: send the output, wait until this time (milliseconds since the epoch)
    /// or the end of the pause, run again.
    Pause { until_ms: u64 },
    /// A blocking command waits: send the output, wait until the session is called
    /// ([`Session::is_called`]) or this time has come (milliseconds since the epoch), then
    /// [`Session::answer_call`] or [`Session::give_up`], and run again.
    Block { until_ms: Option<u64> },
    /// Send the output, and run again with [`Tier::Disk`] on a thread that the client talks to over this wire.
    Debug(Wire),
    /// Send the output and then a copy of everything, after which the session goes on.
    FullSync(Box<FullSync>),
    /// Send the output and close the connection.
    Close,
}

/// Which replies a client wants (CLIENT REPLY).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// Not the reply of this command, and not that of the next.
    SkipNext,
    /// Not the reply of this command.
    Skip,
}

/// What handlers may read and change of a connection.
pub struct SessionState {
    /// The registry's entry: id, addresses, name, what CLIENT LIST shows.
    pub client: Arc<Client>,
    pub db: DatabaseIndex,
    pub protocol: Protocol,
    /// Whose permissions count.
    pub user: Arc<User>,
    /// It logged in, or could begin as the default user without a word.
    pub authenticated: bool,
    pub reply_mode: ReplyMode,
    /// Commands queued since MULTI.
    pub multi: Option<Multi>,
    pub watched: Vec<Watched>,
    /// What became of the watched keys.
    pub watch_mark: Mark,
    pub subscriptions: Subscriptions,
    /// What others sent goes out before the reply of the command that is being run: it gave
    /// subscriptions up, so nothing of them may come after it.
    pub pushes_first: bool,
    /// Client-side caching.
    pub tracked: Tracked,
    /// Where in the replication stream its last write stands at the latest.
    pub written_offset: u64,
    /// What it has said of itself as a replica.
    pub introduction: Introduction,
    /// Whether its scripts are debugged.
    pub debugging: Debugging,
    /// Replies stand before that of the command that is being run.
    pub has_unsent: bool,
}

/// A connection's session.
pub struct Session {
    pub(super) state: SessionState,
    pub(super) tx: Tx,
    pub(super) instance: Arc<Instance>,
    parser: RequestParser,
    reader: Reader,
    pub(super) batch: Batch,
    /// The place in the queue of the blocking command that comes first in the input.
    pub(super) waiting: Option<Waiting>,
    /// Milliseconds since the epoch, as of the last look at the clock.
    pub(super) now_us: u64,
    /// Writes were committed that `appendfsync always` wants synced before their replies leave.
    unsynced: bool,
}

/// The requests whose commit is outstanding.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub requests: u32,
    /// Where their replies begin in the output.
    pub output_start: usize,
}

impl Session {
    /// A fresh session of a registered client.
    pub fn new(instance: Arc<Instance>, client: Arc<Client>) -> Self {
        let user = instance.acl.default_user().clone();
        Self {
            state: SessionState {
                client,
                db: 0,
                protocol: Protocol::Resp2,
                authenticated: user.is_open(),
                user,
                reply_mode: ReplyMode::On,
                multi: None,
                watched: Vec::new(),
                watch_mark: Mark::default(),
                subscriptions: Subscriptions::default(),
                pushes_first: false,
                tracked: Tracked::default(),
                written_offset: 0,
                introduction: Introduction::default(),
                debugging: Debugging::default(),
                has_unsent: false,
            },
            tx: Tx::new(instance.store.clone()),
            parser: RequestParser::default(),
            reader: instance.config.reader(),
            batch: Batch::default(),
            waiting: None,
            now_us: 0,
            unsynced: false,
            instance,
        }
    }

    /// Locks that [`Next::Lock`] asked for.
    pub fn adopt(&mut self, locks: LockSet) {
        self.tx.locks().adopt(locks);
    }

    /// Whether the blocking command that waits is to look again.
    pub fn is_called(&self) -> bool {
        self.waiting.as_ref().is_some_and(Waiting::is_called)
    }

    /// The blocking command has looked and waits from here on.
    pub fn rest(&self) {
        self.waiting.iter().for_each(Waiting::rest);
    }

    /// Until it rests again, no locks come with a call. False if a call has come already.
    pub fn stir(&self) -> bool {
        self.waiting.as_ref().is_none_or(Waiting::stir)
    }

    /// Takes the call, and the locks that come with it, into the next run.
    pub fn answer_call(&mut self) {
        if let Some(locks) = self.waiting.as_mut().and_then(Waiting::answer) {
            self.tx.locks().adopt(locks);
        }
    }

    /// The blocking command waits no longer: answers it and takes it out of the input.
    pub fn give_up(&mut self, why: GiveUp, input: &mut BytesMut, output: &mut BytesMut) {
        let Some(waiting) = self.waiting.take() else { return };
        if let Ok(Parsed::Request { consumed }) = self.parser.parse(input, self.limits(&self.instance.config.load())) {
            input.advance(consumed);
        }
        let unblocked = Reply::error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
        let reply = if why == GiveUp::Timeout { &waiting.wait().on_timeout } else { &unblocked };
        dispatch::note_given_up(self, waiting.entry(), reply);
        self.answer(reply, output);
        self.batch.output_start = output.len();
    }

    /// A blocking command found nothing. True when it has just entered the queue and must look
    /// once more, so that no commit is missed.
    pub(super) fn begins_to_wait(&mut self, wait: Wait, entry: Entry) -> bool {
        let tx = &mut self.tx;
        match &mut self.waiting {
            None => {
                self.waiting = Some(self.instance.waiters.enter(wait, entry, self.state.client.clone()));
                true
            }
            Some(waiting) => {
                waiting.renew_reply(wait.on_timeout);
                // Where there is no key there is nothing for those behind either.
                waiting.pass_on(|(db, name)| !matches!(tx.record(&tx.key(*db, name)), Ok(None)));
                false
            }
        }
    }

    /// What a blocked client goes on waiting for, where it was called to keys that by now hold
    /// something else than the list or sorted set it wants: whoever blocks does not hear of those.
    pub(super) fn waits_on(&mut self, entry: Entry, error: &Error) -> Option<Wait> {
        let wanted = match entry.command.group {
            Group::List => Type::List,
            Group::SortedSet => Type::SortedSet,
            _ => return None,
        };
        let waiting = self.waiting.as_ref().filter(|_| matches!(error, Error::Client(ClientError::WrongType)))?;
        let tx = &mut self.tx;
        let is_wanted = |(db, name): &(DatabaseIndex, Bytes)| match tx.record(&tx.key(*db, name)) {
            Ok(found) => found.is_some_and(|record| record.kind == wanted),
            Err(_) => true,
        };
        if waiting.answered().iter().any(is_wanted) { None } else { Some(waiting.wait().clone()) }
    }

    fn limits(&self, settings: &Settings) -> Limits {
        Limits {
            max_bulk_bytes: settings.proto_max_bulk_len as usize,
            authenticated: !self.state.must_log_in(&self.instance),
        }
    }

    /// The registry's entry of this connection.
    pub fn client(&self) -> &Arc<Client> {
        &self.state.client
    }

    /// Forgets a script that was to be debugged.
    pub fn end_debugging(&mut self) {
        self.state.debugging.forget();
    }

    /// Whether writes were committed since this was asked last.
    pub fn take_unsynced(&mut self) -> bool {
        std::mem::take(&mut self.unsynced)
    }

    /// The protocol of the moment, for pushes.
    pub fn protocol(&self) -> Protocol {
        self.state.protocol
    }

    /// Answers as many of the requests in `input` as it can without waiting.
    ///
    /// Consumed bytes leave `input`; a request that has to be run again stays.
    pub fn run(&mut self, input: &mut BytesMut, output: &mut BytesMut, tier: Tier) -> Next {
        let settings = self.reader.load().clone();
        let mut parser = std::mem::take(&mut self.parser);
        let mut consumed = 0;
        self.now_us = clock::now_us();
        let next = self.run_requests(&mut parser, input, &mut consumed, output, tier, &settings);
        input.advance(consumed);
        self.parser = parser;
        self.state.client.input_bytes.store(input.len(), Ordering::Relaxed);
        if consumed > 0 || !input.is_empty() || !output.is_empty() {
            self.state.client.last_active_ms.store(self.now_us / 1000, Ordering::Relaxed);
        }
        next
    }

    fn run_requests(
        &mut self,
        parser: &mut RequestParser,
        input: &[u8],
        consumed: &mut usize,
        output: &mut BytesMut,
        tier: Tier,
        settings: &Arc<Settings>,
    ) -> Next {
        if self.batch.requests > 0 && !self.commit(output, tier) {
            return Next::Offload;
        }
        self.batch.output_start = output.len();
        let outcome = loop {
            self.attend_to_pushes(output, tier, settings);
            let rest = input.get(*consumed..).unwrap_or_default();
            match parser.parse(rest, self.limits(settings)) {
                Ok(Parsed::Request { consumed: length }) => {
                    let resumed = self.waiting.as_ref().and_then(|waiting| waiting.wait().resume.clone());
                    let args: SmallVec<[&[u8]; 8]> = match &resumed {
                        None => parser.arguments(rest).collect(),
                        Some(args) => args.iter().map(|arg| &arg[..]).collect(),
                    };
                    match dispatch::dispatch(self, &args, output, tier, settings) {
                        Ok(()) => *consumed += length,
                        Err(dispatch::Stop::After(next)) => {
                            *consumed += length;
                            self.waiting = None;
                            break next;
                        }
                        Err(dispatch::Stop::Before(next)) => break next,
                    }
                }
                Ok(Parsed::Incomplete { consumed: length, missing }) => {
                    *consumed += length;
                    break Next::Read { missing };
                }
                Err(error) => {
                    self.answer(&Reply::error(error.to_string()), output);
                    break Next::Close;
                }
            }
            let served = self.waiting.take();
            let commits_now = served.is_some()
                || self.batch.requests >= REQUESTS_PER_COMMIT
                || self.instance.waiters.await_commit_of(&self.tx);
            if commits_now && !self.commit(output, tier) {
                return Next::Offload;
            }
            drop(served);
            if output.len() >= OUTPUT_BYTES_PER_RUN {
                break Next::Send;
            }
        };
        if !self.commit(output, tier) {
            return self.after_stall(outcome);
        }
        self.take_pushes(output);
        outcome
    }

    /// Between two requests: lets go of keys that are tracked beyond the limit, and gives what others
    /// have sent its place before the next reply.
    fn attend_to_pushes(&mut self, output: &mut BytesMut, tier: Tier, settings: &Settings) {
        let tracking = &self.instance.tracking;
        if tracking.exceeds(settings.tracking_table_max_keys) {
            let clients = &self.instance.observe.clients;
            tracking.shrink(settings.tracking_table_max_keys, UNTRACKED_PER_COMMAND, clients);
        }
        // Without a request to commit, locks that were waited for stay where they are.
        let commits = self.batch.requests > 0 && (self.state.hears_itself() || !self.state.client.outbox.is_empty());
        if commits {
            self.commit(output, tier);
        }
        if self.batch.requests == 0 {
            self.take_pushes(output);
        }
    }

    /// Moves what others have sent into the output, in its order and behind all replies so far, whose
    /// commit must be done: were it to fail, they would be written again.
    pub fn take_pushes(&mut self, output: &mut BytesMut) {
        self.move_pushes(output, PUSH_BYTES_PER_RUN);
    }

    fn move_pushes(&mut self, output: &mut BytesMut, most_bytes: usize) {
        debug_assert!(self.batch.requests <= 1, "pushes between replies that may have to change");
        let outbox = &self.state.client.outbox;
        if !outbox.is_empty() {
            let protocol = self.state.protocol;
            outbox.take(most_bytes, |push| push.write(protocol, output));
            self.batch.output_start = output.len();
        }
    }

    /// The commit has to be tried again where waiting is allowed; what was to come after it
    /// comes again by itself, unless the connection is to close.
    fn after_stall(&mut self, outcome: Next) -> Next {
        if matches!(outcome, Next::Close) {
            self.state.client.close_after_reply();
        }
        Next::Offload
    }

    /// Commits what was gathered and gives the locks back. False if it would have to wait.
    ///
    /// When the store refuses, the replies of all gathered requests become errors.
    pub(super) fn commit(&mut self, output: &mut BytesMut, tier: Tier) -> bool {
        let is_clean = self.tx.is_clean();
        self.unsynced |= !is_clean;
        let done = self.tx.commit(tier == Tier::Disk, self.state.client.id);
        match done {
            Ok(()) if !is_clean && self.instance.feed.flows() => {
                self.state.written_offset = self.instance.feed.offset();
            }
            Ok(()) => {}
            Err(Error::WouldStall) => return false,
            Err(error) => {
                tracing::error!(%error, "a commit failed");
                output.truncate(self.batch.output_start);
                let reply = dispatch::error_reply(&error);
                for _ in 0..self.batch.requests {
                    self.answer(&reply, output);
                }
            }
        }
        self.batch = Batch { requests: 0, output_start: output.len() };
        true
    }

    /// Writes a reply, unless the client wants none. A confirmation of a subscription is no reply.
    pub(super) fn answer(&mut self, reply: &Reply, output: &mut BytesMut) {
        if std::mem::take(&mut self.state.pushes_first) {
            self.move_pushes(output, usize::MAX);
        }
        let mode = self.state.reply_mode;
        if mode == ReplyMode::On || matches!(reply, Reply::Several(_) | Reply::Push(_)) {
            resp::write(reply, self.state.protocol, output);
        }
        self.state.reply_mode = match mode {
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
            mode => mode,
        };
    }
}

impl SessionState {
    /// Gives up all that brings messages: subscriptions, tracking, MONITOR.
    pub(super) fn hear_nothing(&mut self, instance: &Instance) {
        self.leave_channels(&instance.pubsub);
        self.stop_tracking(&instance.tracking);
        self.stop_monitoring(&instance.monitors);
    }
}

impl Session {
    /// Gives up all that others could notice of this session: what it watches, hears, has tracked.
    /// Who is told that it ends (QUIT) must find it gone.
    pub fn leave(&mut self) {
        self.tx.abandon();
        self.state.unwatch(&self.instance.watch);
        self.state.hear_nothing(&self.instance);
        self.state.stop_replicating(&self.instance);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.leave();
    }
}
