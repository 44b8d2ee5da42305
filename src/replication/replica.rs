//! One replica: where it can be reached, how far it has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// How far a replica has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Its copy of everything is being made.
    Waiting,
    /// It is being sent.
    Receiving,
    /// It follows the stream.
    Online,
}

impl State {
    /// As INFO calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "wait_bgsave",
            Self::Receiving => "send_bulk",
            Self::Online => "online",
        }
    }
}

/// A replica, as others see it.
pub struct Replica<R> {
    pub to: Arc<R>,
    /// What it says of itself: its address if not that of the connection, and the port it listens on.
    pub ip: Option<String>,
    pub port: u16,
    /// It is one that acknowledges (not a tool that only listens).
    speaks: AtomicBool,
    state: AtomicU8,
    acknowledged: AtomicU64,
    acknowledged_ms: AtomicU64,
}

impl<R> Replica<R> {
    pub fn new(to: Arc<R>, ip: Option<String>, port: u16, now_ms: u64) -> Self {
        Self {
            to,
            ip,
            port,
            speaks: AtomicBool::new(false),
            state: AtomicU8::new(State::Waiting as u8),
            acknowledged: AtomicU64::new(0),
            acknowledged_ms: AtomicU64::new(now_ms),
        }
    }

    /// How far it has come.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Waiting,
            1 => State::Receiving,
            _ => State::Online,
        }
    }

    /// It has come further.
    pub fn enter(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// It has everything up to this offset of the stream.
    pub fn acknowledge(&self, offset: u64, now_ms: u64) {
        self.speaks.store(true, Ordering::Relaxed);
        self.acknowledged.fetch_max(offset, Ordering::AcqRel);
        self.acknowledged_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The offset up to which it has everything.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Whether it has ever acknowledged anything.
    pub fn speaks(&self) -> bool {
        self.speaks.load(Ordering::Relaxed)
    }

    /// When it was heard of last, milliseconds since the epoch.
    pub fn acknowledged_ms(&self) -> u64 {
        self.acknowledged_ms.load(Ordering::Relaxed)
    }
}
