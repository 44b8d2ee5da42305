//! SIGHUP: the configuration is read again, from its file and the command line. What may change
//! while the server runs changes, all of it or nothing; certificates and the file of users are
//! read again in any case.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::doors::Doors;
use super::supervisor;
use crate::commands::Instance;

/// Reloads on every SIGHUP.
pub(super) async fn on_hangup(instance: Arc<Instance>, doors: Arc<Doors>) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::warn!(%error, "SIGHUP will end the server: it cannot be caught");
            return;
        }
    };
    while hangups.recv().await.is_some() {
        supervisor::reloading();
        let (instance, doors) = (instance.clone(), doors.clone());
        // Files are read: not on a network thread.
        let reloaded = tokio::task::spawn_blocking(move || reload(&instance, &doors)).await;
        if let Err(error) = reloaded {
            tracing::error!(%error, "the reload broke");
        }
        supervisor::ready();
    }
}

fn reload(instance: &Instance, doors: &Doors) {
    match instance.config.reload(&mut |changes| instance.apply(changes)) {
        Ok(reloaded) => {
            tracing::info!(changed = ?reloaded.changed, "configuration read again");
            if !reloaded.at_restart.is_empty() {
                tracing::warn!(parameters = ?reloaded.at_restart, "changed in the file, but only by a restart");
            }
        }
        Err(error) => tracing::error!(%error, "the configuration stays as it was"),
    }
    if let Err(error) = doors.reload_certificates(&instance.config.load()) {
        tracing::error!(%error, "certificates stay as they were");
    }
    match instance.reload_users() {
        Ok(false) => {}
        Ok(true) => tracing::info!("users read again"),
        Err(why) => tracing::error!(%why, "users stay as they were"),
    }
}
