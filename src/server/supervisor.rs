//! What systemd is told of the server (`Type=notify-reload`): ready, reloading, stopping, and
//! that it is alive. Without systemd nobody listens and nothing is sent.

use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;

/// The database is being opened: what a crash left in the log is replayed.
pub(super) fn opening(directory: &Path) {
    let status = format!("opening the database in {}", directory.display());
    tell(&[NotifyState::Status(&status)]);
}

/// Clients may connect.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is being read again; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reading the configuration again")]),
        Err(error) => tracing::warn!(%error, "systemd cannot be told of the reload"),
    }
}

/// The server stops.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("making the last writes safe")]);
}

/// Tells systemd's watchdog, twice in its time, that the network threads still run.
pub(super) async fn keep_alive() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let interval = (limit / 2).max(Duration::from_millis(10));
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(interval).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
