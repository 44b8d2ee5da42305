//! The registry of connected clients: what CLIENT LIST shows and CLIENT KILL reaches. The server
//! enters and removes connections; commands read and mark them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

/// What a connection is used for, as CLIENT KILL TYPE and the output limits tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    Normal,
    PubSub,
    Replica,
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
    /// Bytes held for input and output.
    pub input_bytes: AtomicUsize,
    pub output_bytes: AtomicUsize,
    pub no_evict: AtomicBool,
    pub no_touch: AtomicBool,
    /// Waiting in a blocking command.
    pub blocked: AtomicBool,
    closing: AtomicBool,
    close_after_reply: AtomicBool,
    /// Rung when the connection's task should look up (kill, unblock, messages).
    pub bell: Notify,
    /// CLIENT UNBLOCK: 0 none, 1 as a timeout, 2 as an error.
    pub unblock: AtomicU32,
}

impl Client {
    /// The connection is to be closed at once (CLIENT KILL, shutdown).
    pub fn kill(&self) {
        self.closing.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Whether it is to be closed at once.
    pub fn is_killed(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The connection is to be closed once its output is sent.
    pub fn close_after_reply(&self) {
        self.close_after_reply.store(true, Ordering::Release);
    }

    /// Whether it closes once its output is sent.
    pub fn closes_after_reply(&self) -> bool {
        self.close_after_reply.load(Ordering::Acquire)
    }

    /// What it is used for.
    pub fn kind(&self) -> ClientKind {
        let subscribed = self.channels.load(Ordering::Relaxed)
            + self.patterns.load(Ordering::Relaxed)
            + self.shard_channels.load(Ordering::Relaxed);
        if subscribed > 0 { ClientKind::PubSub } else { ClientKind::Normal }
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
            input_bytes: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            close_after_reply: AtomicBool::new(false),
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
