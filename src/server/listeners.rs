//! TCP listeners that follow the settings: what is missing is opened first, and only then is closed
//! what there shall not be, so that a change that fails changes nothing. `doors.rs` has those of
//! clients, `web/` those of metrics.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::listen;
use super::start::StartError;
use crate::config::Addresses;

/// An address with what is spoken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub address: SocketAddr,
    pub tls: bool,
}

/// A place that is wanted, and whether it is an error if it cannot be had.
pub(super) type Wanted = (Place, bool);

/// A listener and the task that accepts from it.
struct Opened {
    listener: Arc<TcpListener>,
    task: JoinHandle<()>,
}

impl Opened {
    /// Stops listening at once, so that the address is free for another listener.
    fn close(self) {
        // First, or it would take the end of its socket for a failure and say so.
        self.task.abort();
        let _ = SockRef::from(&*self.listener).shutdown(std::net::Shutdown::Both);
    }
}

/// The listeners of one kind of service.
pub(super) struct Listeners {
    runtime: Handle,
    open: Mutex<BTreeMap<Place, Opened>>,
}

impl Listeners {
    /// None yet. To be called on the runtime that is to accept.
    pub fn new() -> Self {
        Self { runtime: Handle::current(), open: Mutex::default() }
    }

    /// Opens what is wanted and not open, closes what is not wanted. `accept` makes a task of a new
    /// listener, on the runtime.
    ///
    /// # Errors
    /// When a required address cannot be listened on; nothing has changed then.
    pub fn follow(
        &self,
        wanted: &[Wanted],
        backlog: u32,
        accept: impl Fn(Arc<TcpListener>, Place) -> JoinHandle<()>,
    ) -> Result<(), StartError> {
        let _on_runtime = self.runtime.enter();
        let mut open = self.open.lock();
        let mut new = BTreeMap::new();
        for (place, required) in wanted {
            if open.contains_key(place) || new.contains_key(place) {
                continue;
            }
            match listen::bind_tcp(place.address, backlog) {
                Ok(listener) => {
                    new.insert(*place, Arc::new(listener));
                }
                Err(source) if *required => {
                    return Err(StartError::Listen { address: place.address.to_string(), source });
                }
                Err(error) => tracing::debug!(address = %place.address, %error, "an optional address is not available"),
            }
        }
        let unwanted: Vec<Place> =
            open.keys().filter(|place| !wanted.iter().any(|(kept, _)| kept == *place)).copied().collect();
        unwanted.iter().filter_map(|place| open.remove(place)).for_each(Opened::close);
        for (place, listener) in new {
            let task = accept(listener.clone(), place);
            open.insert(place, Opened { listener, task });
        }
        Ok(())
    }

    /// Closes all.
    pub fn close(&self) {
        std::mem::take(&mut *self.open.lock()).into_values().for_each(Opened::close);
    }
}

/// The addresses that a `bind` parameter names; those with `-` in front may be missing on this machine.
pub(super) fn places(bind: &Addresses, port: u16, tls: bool) -> Vec<Wanted> {
    let mut found = Vec::new();
    let mut add = |address, required| found.push((Place { address, tls }, required));
    for word in &bind.0 {
        let (name, required) = word.strip_prefix('-').map_or((word.as_str(), true), |rest| (rest, false));
        let ip: Option<IpAddr> = match name {
            "*" => Some(IpAddr::from([0, 0, 0, 0])),
            "::*" => Some(IpAddr::from([0u16; 8])),
            name => name.parse().ok(),
        };
        match ip {
            Some(ip) => add(SocketAddr::new(ip, port), required),
            None => {
                let resolved: io::Result<_> = (name, port).to_socket_addrs();
                resolved.into_iter().flatten().for_each(|address| add(address, required));
            }
        }
    }
    found
}
