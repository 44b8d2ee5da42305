//! The registry of connected clients: what CLIENT LIST shows and CLIENT KILL reaches. The server
//! enters and removes connections; commands read and mark them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use bitflags::bitflags;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::limits::{Limits, Verdict};
use super::outbox::Outbox;
use crate::base::clock;
use crate::config::OutputLimits;
use crate::resp::{Protocol, Push};

/// What a connection is used for, as CLIENT KILL TYPE and the output limits tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    Normal,
    PubSub,
    Replica,
}

/// Whether a connection has its buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Rest {
    Awake,
    /// It has been idle and is asked to give them back.
    Asked,
    Resting,
}

bitflags! {
    /// How a client has its keys tracked (CLIENT TRACKING).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Tracking: u32 {
        const ON = 1;
        /// Told of every key with one of its prefixes, read or not.
        const BROADCAST = 1 << 1;
        /// Keys are remembered only where CLIENT CACHING YES went before.
        const OPT_IN = 1 << 2;
        /// Keys are remembered unless CLIENT CACHING NO went before.
        const OPT_OUT = 1 << 3;
        /// Not told of what it changed itself.
        const NO_LOOP = 1 << 4;
        /// The client that its invalidations go to is gone.
        const BROKEN_REDIRECT = 1 << 5;
    }
}

/// One connection, as others see it. Its own task keeps the numbers fresh.
pub struct Client {
    /// Never reused while the server runs.
    pub id: u64,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// `ip:port`, or the Unix socket's path and `:0`.
    pub address: String,
    pub local_address: String,
    /// Connected over loopback or a Unix socket.
    pub local: bool,
    pub file_descriptor: i32,
    pub name: RwLock<Bytes>,
    pub library_name: RwLock<Bytes>,
    pub library_version: RwLock<Bytes>,
    pub user: RwLock<Bytes>,
    /// The last command's index in the table; `u32::MAX` before the first.
    pub last_command: AtomicU32,
    pub last_active_ms: AtomicU64,
    pub db: AtomicU32,
    /// RESP version.
    pub protocol: AtomicU32,
    /// Channels and patterns subscribed.
    pub channels: AtomicUsize,
    pub patterns: AtomicUsize,
    pub shard_channels: AtomicUsize,
    /// Commands queued since MULTI; -1 outside.
    pub queued: std::sync::atomic::AtomicI64,
    pub watching: AtomicUsize,
    /// The input buffer, and how much of it is filled.
    pub input_capacity: AtomicUsize,
    pub input_bytes: AtomicUsize,
    /// The output buffer, and the replies in it that have not gone out.
    pub output_capacity: AtomicUsize,
    pub output_bytes: AtomicUsize,
    /// Bytes of the commands queued since MULTI.
    pub queued_bytes: AtomicUsize,
    /// What others send it.
    pub outbox: Outbox,
    limits: Arc<Limits>,
    /// Since when more is waiting than the soft limit, milliseconds since the epoch; 0 if it is not.
    over_soft_since_ms: AtomicU64,
    pub no_evict: AtomicBool,
    pub no_touch: AtomicBool,
    /// Waiting in a blocking command.
    pub blocked: AtomicBool,
    /// Its command waits for the end of CLIENT PAUSE.
    pub paused: AtomicBool,
    /// It gets the replication stream.
    pub replicating: AtomicBool,
    /// It is shown every command (MONITOR).
    pub monitoring: AtomicBool,
    /// CLIENT TRACKING: bits of [`Tracking`], and who gets its invalidations (0: itself).
    pub tracking: AtomicU32,
    pub redirect: AtomicU64,
    closing: AtomicBool,
    close_after_reply: AtomicBool,
    rest: AtomicU8,
    /// Rung when the connection's task should look up (kill, unblock, messages).
    pub bell: Notify,
    /// CLIENT UNBLOCK: 0 none, 1 as a timeout, 2 as an error.
    pub unblock: AtomicU32,
}

impl Client {
    /// Whether a command of it waits: for keys or for the end of a pause.
    pub fn waits(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) || self.paused.load(Ordering::Relaxed)
    }

    /// The connection is to be closed at once (CLIENT KILL, shutdown).
    pub fn kill(&self) {
        self.closing.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Whether it is to be closed at once.
    pub fn is_killed(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether the connection should look up: to close, to send what others have put into its
    /// outbox, or to give its buffers back.
    pub fn is_called(&self) -> bool {
        self.is_killed() || !self.outbox.is_empty() || self.rest.load(Ordering::Acquire) == Rest::Asked as u8
    }

    /// Asks an idle connection to give its buffers back.
    pub fn ask_to_rest(&self) {
        let (awake, asked) = (Rest::Awake as u8, Rest::Asked as u8);
        if self.rest.compare_exchange(awake, asked, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.bell.notify_one();
        }
    }

    /// Rests if it was asked to; says whether it was.
    pub fn rests_if_asked(&self) -> bool {
        let (asked, resting) = (Rest::Asked as u8, Rest::Resting as u8);
        self.rest.compare_exchange(asked, resting, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether it does with the least of buffers.
    pub fn is_resting(&self) -> bool {
        self.rest.load(Ordering::Acquire) == Rest::Resting as u8
    }

    /// The client has sent something.
    pub fn wake_up(&self) {
        self.rest.store(Rest::Awake as u8, Ordering::Release);
    }

    /// So many bytes of replies begin to go out.
    pub fn begin_output(&self, bytes: usize) {
        self.output_bytes.store(bytes, Ordering::Relaxed);
        if self.limits.are_reached_by(self.kind(), bytes) {
            self.check_output();
        }
    }

    /// They have gone out.
    pub fn end_output(&self) {
        self.output_bytes.store(0, Ordering::Relaxed);
    }

    /// The connection is to be closed once its output is sent.
    pub fn close_after_reply(&self) {
        self.close_after_reply.store(true, Ordering::Release);
    }

    /// Whether it closes once its output is sent.
    pub fn closes_after_reply(&self) -> bool {
        self.close_after_reply.load(Ordering::Acquire)
    }

    /// Queues what is no reply and wakes the connection to send it. A client that lets more gather
    /// than it may is closed.
    pub fn push(&self, push: Push) {
        let queued = self.outbox.put(push);
        let waiting = queued + self.output_bytes.load(Ordering::Relaxed);
        let was_over = self.over_soft_since_ms.load(Ordering::Relaxed) != 0;
        if was_over || self.limits.are_reached_by(self.kind(), waiting) {
            self.check_output();
        }
        self.bell.notify_one();
    }

    /// How its keys are tracked.
    pub fn tracking(&self) -> Tracking {
        Tracking::from_bits_truncate(self.tracking.load(Ordering::Relaxed))
    }

    /// Where its invalidations go, as CLIENT LIST shows it: -1 while nothing is tracked, 0 to itself.
    pub fn redirection(&self) -> i64 {
        if self.tracking().contains(Tracking::ON) { self.redirect.load(Ordering::Relaxed).cast_signed() } else { -1 }
    }

    /// The protocol of the moment.
    pub fn speaks(&self) -> Protocol {
        Protocol::of_version(self.protocol.load(Ordering::Relaxed).into()).unwrap_or_default()
    }

    /// The client that this one's invalidations go to is gone.
    pub fn break_redirect(&self) {
        self.tracking.fetch_or(Tracking::BROKEN_REDIRECT.bits(), Ordering::Relaxed);
    }

    /// Closes the client if it has let more output gather than it may.
    pub fn check_output(&self) {
        let waiting = self.waiting_bytes();
        let since_ms = self.over_soft_since_ms.load(Ordering::Relaxed);
        match self.limits.judge(self.kind(), waiting, since_ms, clock::now_ms()) {
            Verdict::Within => self.over_soft_since_ms.store(0, Ordering::Relaxed),
            Verdict::OverSoftSince(since_ms) => self.over_soft_since_ms.store(since_ms, Ordering::Relaxed),
            Verdict::Exceeded if self.is_killed() => {}
            Verdict::Exceeded => {
                tracing::warn!(client = self.id, waiting, "more output is waiting than the client may leave: closing");
                self.kill();
            }
        }
    }

    /// Bytes that wait to be sent.
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.bytes() + self.output_bytes.load(Ordering::Relaxed)
    }

    /// All memory held for this client, as `tot-mem` of CLIENT LIST and `maxmemory-clients` count it.
    pub fn memory_bytes(&self) -> usize {
        let buffers = self.input_capacity.load(Ordering::Relaxed) + self.output_capacity.load(Ordering::Relaxed);
        buffers + self.outbox.bytes() + self.queued_bytes.load(Ordering::Relaxed) + size_of::<Self>()
    }

    /// What it is used for.
    pub fn kind(&self) -> ClientKind {
        let subscribed = self.channels.load(Ordering::Relaxed)
            + self.patterns.load(Ordering::Relaxed)
            + self.shard_channels.load(Ordering::Relaxed);
        match subscribed {
            _ if self.replicating.load(Ordering::Relaxed) => ClientKind::Replica,
            0 => ClientKind::Normal,
            _ => ClientKind::PubSub,
        }
    }
}

/// A pause of clients (CLIENT PAUSE).
#[derive(Debug, Clone, Copy, Default)]
pub struct Pause {
    /// Milliseconds since the epoch; 0 when there is none.
    pub until_ms: u64,
    /// Only writes wait.
    pub writes_only: bool,
}

/// All connected clients.
#[derive(Default)]
pub struct Clients {
    connected: Mutex<BTreeMap<u64, Arc<Client>>>,
    last_id: AtomicU64,
    count: AtomicUsize,
    pause_until_ms: AtomicU64,
    pause_writes_only: AtomicBool,
    /// Rung when a pause ends early.
    pub unpaused: Notify,
    limits: Arc<Limits>,
    /// Clients closed because all together held too much.
    pub evicted: AtomicU64,
}

impl Clients {
    /// Registers a connection.
    pub fn enter(
        &self,
        address: String,
        local_address: String,
        local: bool,
        file_descriptor: i32,
        now_ms: u64,
    ) -> Arc<Client> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client {
            id,
            created_ms: now_ms,
            address,
            local_address,
            local,
            file_descriptor,
            name: RwLock::default(),
            library_name: RwLock::default(),
            library_version: RwLock::default(),
            user: RwLock::new(Bytes::from_static(b"default")),
            last_command: AtomicU32::new(u32::MAX),
            last_active_ms: AtomicU64::new(now_ms),
            db: AtomicU32::new(0),
            protocol: AtomicU32::new(2),
            channels: AtomicUsize::new(0),
            patterns: AtomicUsize::new(0),
            shard_channels: AtomicUsize::new(0),
            queued: std::sync::atomic::AtomicI64::new(-1),
            watching: AtomicUsize::new(0),
            input_capacity: AtomicUsize::new(0),
            input_bytes: AtomicUsize::new(0),
            output_capacity: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            outbox: Outbox::default(),
            limits: self.limits.clone(),
            over_soft_since_ms: AtomicU64::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            replicating: AtomicBool::new(false),
            monitoring: AtomicBool::new(false),
            tracking: AtomicU32::new(0),
            redirect: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            close_after_reply: AtomicBool::new(false),
            rest: AtomicU8::new(Rest::Awake as u8),
            bell: Notify::new(),
            unblock: AtomicU32::new(0),
        });
        self.connected.lock().insert(id, client.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        client
    }

    /// A connection is gone.
    pub fn leave(&self, client: &Client) {
        if self.connected.lock().remove(&client.id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Closes those who hold most until all together hold no more than so many bytes. Who asked not
    /// to be (CLIENT NO-EVICT) is left alone, and not counted.
    pub fn evict_beyond(&self, most_bytes: usize) {
        let candidates = self.all().into_iter().filter(|client| !client.no_evict.load(Ordering::Relaxed));
        let mut held: Vec<(usize, Arc<Client>)> =
            candidates.filter(|client| !client.is_killed()).map(|client| (client.memory_bytes(), client)).collect();
        let mut total: usize = held.iter().map(|(bytes, _)| bytes).sum();
        held.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (bytes, client) in held {
            if total <= most_bytes {
                break;
            }
            self.evict(&client);
            total -= bytes;
        }
    }

    /// Closes a client that holds more by itself than all may together; says whether it did.
    pub fn evict_if_beyond(&self, client: &Client, most_bytes: usize) -> bool {
        let beyond = !client.no_evict.load(Ordering::Relaxed) && client.memory_bytes() > most_bytes;
        if beyond {
            self.evict(client);
        }
        beyond
    }

    fn evict(&self, client: &Client) {
        tracing::info!(client = client.id, bytes = client.memory_bytes(), "clients hold too much memory: closing one");
        client.kill();
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets how much output clients may let gather.
    pub fn limit_output(&self, limits: &OutputLimits) {
        self.limits.set(limits);
    }

    /// How many are connected.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.connected.lock().values().cloned().collect()
    }

    /// One of them.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.connected.lock().get(&id).cloned()
    }

    /// Pauses clients; a longer pause that is under way goes on.
    pub fn pause(&self, pause: Pause) {
        self.pause_writes_only.store(pause.writes_only, Ordering::Relaxed);
        self.pause_until_ms.fetch_max(pause.until_ms, Ordering::Release);
    }

    /// Ends a pause.
    pub fn unpause(&self) {
        self.pause_until_ms.store(0, Ordering::Release);
        self.unpaused.notify_waiters();
    }

    /// Until when a command must wait because clients are paused.
    pub fn paused_until(&self, writes: bool, now_ms: u64) -> Option<u64> {
        let until_ms = self.pause_until_ms.load(Ordering::Relaxed);
        if until_ms <= now_ms || (self.pause_writes_only.load(Ordering::Relaxed) && !writes) {
            return None;
        }
        Some(until_ms)
    }
}
