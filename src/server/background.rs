//! Background tasks: deadlines, space, key counts, idle clients, free disk, save points. Each is a loop
//! that sleeps until there is something to do, and does it where waiting is allowed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::{Result, clock};
use crate::commands::{self, Instance};
use crate::config::Settings;
use crate::observe::ClientKind;
use crate::replication::State;

/// How often deadlines are looked at. Events must fire within a second.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);
/// Keys that one expiry step deletes before others get the thread.
const KEYS_PER_EXPIRY_STEP: usize = 4096;
/// How often clients and the disk are looked at.
const CARE_INTERVAL: Duration = Duration::from_secs(1);
/// A connection that has been idle for so long gives its buffers back.
const REST_AFTER_MS: u64 = 2000;
/// Keys beyond `tracking-table-max-keys` that are let go in one step.
const UNTRACKED_PER_STEP: usize = 1024;
/// How often the memory of clients is looked at where it is limited.
const EVICTION_INTERVAL: Duration = Duration::from_millis(100);
/// After a failure a task rests this long.
const REST: Duration = Duration::from_secs(1);

/// Runs a step that waits, away from the network threads.
async fn step<T: Send + 'static>(what: &'static str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::error!(%error, "{what} failed");
            tokio::time::sleep(REST).await;
            None
        }
        Err(error) => {
            tracing::error!(%error, "{what} broke");
            tokio::time::sleep(REST).await;
            None
        }
    }
}

/// Deletes keys whose deadline has come.
pub(super) async fn expire(instance: Arc<Instance>) {
    loop {
        let now_ms = clock::now_ms();
        let may_delete = instance.active_expiry.load(Ordering::Relaxed)
            && instance.observe.clients.paused_until(true, now_ms).is_none();
        let due = may_delete && instance.store.next_deadline_ms() <= now_ms;
        let store = instance.store.clone();
        let more = due
            && step("expiry", move || {
                store.expire_due(now_ms, KEYS_PER_EXPIRY_STEP, crate::types::hash::expire_fields)
            })
            .await
            .unwrap_or(false);
        if !more {
            tokio::time::sleep(EXPIRY_INTERVAL).await;
        }
    }
}

/// Gives back the space of what was deleted.
pub(super) async fn reclaim(instance: Arc<Instance>) {
    loop {
        let store = instance.store.clone();
        let more = step("reclaiming", move || store.reclaim_step()).await.unwrap_or(true);
        if !more {
            instance.store.something_to_reclaim().await;
        }
    }
}

/// Counts keys where nobody knows how many there are.
pub(super) async fn count_keys(instance: Arc<Instance>) {
    loop {
        for db in 0..instance.store.database_count() {
            if instance.store.needs_count(db) {
                let store = instance.store.clone();
                step("counting keys", move || store.recount(db)).await;
            }
        }
        tokio::time::sleep(CARE_INTERVAL * 5).await;
    }
}

/// Closes idle clients, and refuses writes before the disk is full.
pub(super) async fn care(instance: Arc<Instance>) {
    let mut refused = false;
    loop {
        tokio::time::sleep(CARE_INTERVAL).await;
        let observe = &instance.observe;
        let elapsed_us = observe.rates.sample(&observe.stats, clock::monotonic_us());
        observe.hot_keys.cool(elapsed_us as f64 / 1e6, observe.rates.operations_per_second());
        let settings = instance.config.snapshot();
        look_after_clients(&instance, &settings);
        let why = shortage(&settings);
        if why.is_some() != refused {
            refused = why.is_some();
            match &why {
                Some(why) => tracing::warn!("writes are refused: {why}"),
                None => tracing::info!("writes are accepted again"),
            }
            instance.observe.refuse_writes(why);
        }
    }
}

/// Begins a snapshot when a save point is reached.
pub(super) async fn save_points(instance: Arc<Instance>) {
    loop {
        tokio::time::sleep(CARE_INTERVAL).await;
        if !instance.config.load().save.0.is_empty() {
            let instance = instance.clone();
            step("the snapshot of a save point", move || commands::save_if_due(&instance)).await;
        }
    }
}

/// Closes clients while all together hold more memory than they may.
pub(super) async fn evict_clients(instance: Arc<Instance>) {
    loop {
        let most = instance.client_memory_bytes(&instance.config.load());
        if let Some(most) = most {
            instance.observe.clients.evict_beyond(most);
        }
        tokio::time::sleep(if most.is_some() { EVICTION_INTERVAL } else { CARE_INTERVAL }).await;
    }
}

/// Gives replicas a sign of life now and then, and closes those who give none.
pub(super) async fn care_for_replicas(instance: Arc<Instance>) {
    let mut quiet_for = Duration::ZERO;
    loop {
        tokio::time::sleep(CARE_INTERVAL).await;
        let settings = instance.config.snapshot();
        quiet_for += CARE_INTERVAL;
        if quiet_for >= Duration::from_secs(settings.repl_ping_replica_period) {
            quiet_for = Duration::ZERO;
            instance.feed.append(|stretch| stretch.command(None, &["PING"]));
        }
        let now_ms = clock::now_ms();
        for replica in instance.feed.replicas() {
            let silent_ms = now_ms.saturating_sub(replica.acknowledged_ms());
            if replica.speaks() && replica.state() == State::Online && silent_ms > settings.repl_timeout * 1000 {
                tracing::warn!(client = replica.to.id, "a replica gave no sign of life for `repl-timeout`: closing");
                replica.to.kill();
            }
        }
    }
}

/// Closes clients that are idle or leave too much unread, has those at rest give their buffers back,
/// and keeps what is remembered for their caches within its limit.
fn look_after_clients(instance: &Instance, settings: &Settings) {
    let now_ms = clock::now_ms();
    let timeout_ms = u64::from(settings.timeout) * 1000;
    let clients = &instance.observe.clients;
    for client in clients.all() {
        let idle_ms = now_ms.saturating_sub(client.last_active_ms.load(Ordering::Relaxed));
        let exempt = client.waits() || client.kind() != ClientKind::Normal;
        if timeout_ms > 0 && idle_ms > timeout_ms && !exempt {
            client.kill();
        }
        if idle_ms >= REST_AFTER_MS && client.input_capacity.load(Ordering::Relaxed) > 0 {
            client.ask_to_rest();
        }
        client.check_output();
    }
    let most_keys = settings.tracking_table_max_keys;
    while instance.tracking.shrink(most_keys, UNTRACKED_PER_STEP, clients) {}
}

/// Why writes must wait for space, if they must.
fn shortage(settings: &Settings) -> Option<String> {
    let found = rustix::fs::statvfs(settings.dir.path()).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    (free < settings.min_free_disk).then(|| {
        format!(
            "only {free} bytes are free on the disk of 'dir', less than 'min-free-disk' ({}); free some space",
            settings.min_free_disk
        )
    })
}
