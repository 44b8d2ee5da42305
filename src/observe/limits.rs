//! How much output a client may let gather before it is closed (`client-output-buffer-limit`): at
//! once above the hard limit, after a while above the soft one. Kept as atomics that all clients
//! share, because whoever queues something for a client has to look.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ClientKind;
use crate::config::OutputLimits;

/// The limits of one kind of clients; 0 is none.
#[derive(Default)]
struct Limit {
    hard_bytes: AtomicU64,
    soft_bytes: AtomicU64,
    soft_seconds: AtomicU64,
}

fn reached(limit: &AtomicU64, waiting: usize) -> bool {
    let most = limit.load(Ordering::Relaxed);
    most != 0 && waiting as u64 >= most
}

/// The limits of all kinds.
#[derive(Default)]
pub(super) struct Limits {
    normal: Limit,
    pubsub: Limit,
    replica: Limit,
}

/// What a look at a client's output found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Within,
    /// Above the soft limit since then, and not yet for too long.
    OverSoftSince(u64),
    /// The client is to be closed.
    Exceeded,
}

impl Limits {
    pub fn set(&self, limits: &OutputLimits) {
        let pairs = [(&self.normal, limits.normal), (&self.pubsub, limits.pubsub), (&self.replica, limits.replica)];
        for (limit, setting) in pairs {
            limit.hard_bytes.store(setting.hard, Ordering::Relaxed);
            limit.soft_bytes.store(setting.soft, Ordering::Relaxed);
            limit.soft_seconds.store(setting.soft_seconds, Ordering::Relaxed);
        }
    }

    fn of(&self, kind: ClientKind) -> &Limit {
        match kind {
            ClientKind::Normal => &self.normal,
            ClientKind::PubSub => &self.pubsub,
            ClientKind::Replica => &self.replica,
        }
    }

    /// Whether so much is worth a closer look.
    pub fn are_reached_by(&self, kind: ClientKind, waiting: usize) -> bool {
        let limit = self.of(kind);
        reached(&limit.hard_bytes, waiting) || reached(&limit.soft_bytes, waiting)
    }

    /// Holds what is waiting against the limits; `since_ms` is when it passed the soft one, 0 if it had not.
    pub fn judge(&self, kind: ClientKind, waiting: usize, since_ms: u64, now_ms: u64) -> Verdict {
        let limit = self.of(kind);
        if reached(&limit.hard_bytes, waiting) {
            return Verdict::Exceeded;
        }
        if !reached(&limit.soft_bytes, waiting) {
            return Verdict::Within;
        }
        let since_ms = if since_ms == 0 { now_ms } else { since_ms };
        let most_ms = limit.soft_seconds.load(Ordering::Relaxed).saturating_mul(1000);
        if now_ms.saturating_sub(since_ms) > most_ms { Verdict::Exceeded } else { Verdict::OverSoftSince(since_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OutputLimit;

    #[test]
    fn the_soft_limit_grants_time_and_the_hard_one_none() {
        let limits = Limits::default();
        let pubsub = OutputLimit { hard: 1000, soft: 100, soft_seconds: 2 };
        limits.set(&OutputLimits { pubsub, ..OutputLimits::default() });
        let judge = |waiting, since_ms, now_ms| limits.judge(ClientKind::PubSub, waiting, since_ms, now_ms);
        assert_eq!(judge(99, 7, 10_000), Verdict::Within);
        assert_eq!(judge(100, 0, 10_000), Verdict::OverSoftSince(10_000));
        assert_eq!(judge(100, 10_000, 12_000), Verdict::OverSoftSince(10_000));
        assert_eq!(judge(100, 10_000, 12_001), Verdict::Exceeded);
        assert_eq!(judge(1000, 0, 10_000), Verdict::Exceeded);
        assert_eq!(limits.judge(ClientKind::Normal, usize::MAX, 0, 10_000), Verdict::Within);
    }
}
