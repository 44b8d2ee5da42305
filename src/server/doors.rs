//! The doors: which addresses are listened on, now. Settings say which there shall be; what is
//! missing is opened first, and only then is closed what there shall not be, so that a change
//! that fails changes nothing. Sockets that systemd handed over stay open.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use listenfd::ListenFd;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::listen::{self, Door};
use super::start::StartError;
use super::tls;
use crate::config::{Changes, Settings, Unapplied};

/// The parameters that say where to listen.
const PARAMETERS: &[&str] = &["bind", "port", "tls-port"];

/// An address with what is spoken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    address: SocketAddr,
    tls: bool,
}

/// A listener and the task that accepts from it.
struct Opened {
    listener: Arc<tokio::net::TcpListener>,
    task: JoinHandle<()>,
}

impl Opened {
    /// Stops listening at once, so that the address is free for another listener.
    fn close(self) {
        let _ = SockRef::from(&*self.listener).shutdown(std::net::Shutdown::Both);
        self.task.abort();
    }
}

/// All doors of a server.
pub(super) struct Doors {
    door: Door,
    runtime: Handle,
    open: Mutex<BTreeMap<Place, Opened>>,
    /// Unix sockets, and what systemd handed over: they stay as they are.
    fixed: Mutex<Vec<JoinHandle<()>>>,
    /// Whether systemd says where to listen, and the settings do not.
    inherited: bool,
}

impl Doors {
    /// Opens what the settings name, or takes over what systemd has opened. To be called on the
    /// runtime.
    ///
    /// # Errors
    /// When a required address cannot be listened on, or TLS cannot be spoken.
    pub fn open(settings: &Settings, door: Door) -> Result<Self, StartError> {
        door.tls.replace(tls::configure(settings).map_err(StartError::Tls)?);
        let fixed = inherit(settings, &door)?;
        let doors = Self {
            door,
            runtime: Handle::current(),
            open: Mutex::default(),
            inherited: !fixed.is_empty(),
            fixed: Mutex::new(fixed),
        };
        if !doors.inherited {
            doors.move_to(settings)?;
            doors.open_unix(settings)?;
        }
        Ok(doors)
    }

    fn open_unix(&self, settings: &Settings) -> Result<(), StartError> {
        if settings.unixsocket.is_empty() {
            return Ok(());
        }
        let path = settings.unixsocket.as_str();
        let listener = listen::bind_unix(path, Some(settings.unixsocketperm.0).filter(|mode| *mode != 0));
        let listener = listener.map_err(|source| StartError::Listen { address: path.to_owned(), source })?;
        self.fixed.lock().push(tokio::spawn(listen::accept_unix(listener, path.into(), self.door.clone())));
        Ok(())
    }

    /// Opens what these settings want and is not open, closes what they do not.
    fn move_to(&self, settings: &Settings) -> Result<(), StartError> {
        let _on_runtime = self.runtime.enter();
        let mut open = self.open.lock();
        let wanted = places(settings);
        let mut new = BTreeMap::new();
        for (place, required) in &wanted {
            if open.contains_key(place) || new.contains_key(place) {
                continue;
            }
            match listen::bind_tcp(place.address, settings.tcp_backlog) {
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
            let task = tokio::spawn(listen::accept_tcp(listener.clone(), place.tls, self.door.clone()));
            open.insert(place, Opened { listener, task });
        }
        Ok(())
    }

    /// Makes changed parameters true.
    ///
    /// # Errors
    /// The parameter that could not be applied; nothing has changed then.
    pub fn apply(&self, changes: &Changes<'_>) -> Result<(), Unapplied> {
        if changes.touch(tls::PARAMETERS) || changes.touch(&["tls-port"]) {
            let parameter = changes.names.iter().find(|name| name.starts_with("tls-")).copied().unwrap_or("tls-port");
            let why = |error| format!("Unable to update TLS configuration: {error}");
            let config = tls::configure(changes.after).map_err(|error| Unapplied { parameter, why: why(error) })?;
            self.door.tls.replace(config);
        }
        if changes.touch(PARAMETERS) && !self.inherited {
            let parameter = PARAMETERS.iter().find(|name| changes.touch(&[name])).copied().unwrap_or("port");
            let why = |error| format!("Unable to listen on this port: {error}");
            self.move_to(changes.after).map_err(|error| Unapplied { parameter, why: why(error) })?;
        }
        Ok(())
    }

    /// Reads certificates and keys again.
    ///
    /// # Errors
    /// When they are wrong; handshakes then go on with the old ones.
    pub fn reload_certificates(&self, settings: &Settings) -> Result<(), tls::TlsError> {
        self.door.tls.replace(tls::configure(settings)?);
        Ok(())
    }

    /// Lets nobody in any more.
    pub fn close(&self) {
        std::mem::take(&mut *self.open.lock()).into_values().for_each(Opened::close);
        self.fixed.lock().drain(..).for_each(|task| task.abort());
    }
}

/// Sockets that systemd opened and handed over: by `tls-port` those of TLS are told.
fn inherit(settings: &Settings, door: &Door) -> Result<Vec<JoinHandle<()>>, StartError> {
    let failed = |source| StartError::Listen { address: "a socket of systemd".into(), source };
    let mut handed = ListenFd::from_env();
    let mut tasks = Vec::new();
    for index in 0..handed.len() {
        // A socket of another kind is an error of this try and not of the next.
        if let Ok(Some(listener)) = handed.take_unix_listener(index) {
            listener.set_nonblocking(true).map_err(failed)?;
            let path: Arc<str> = unix_path(&listener).into();
            let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
            tasks.push(tokio::spawn(listen::accept_unix(listener, path, door.clone())));
        } else if let Some(listener) = handed.take_tcp_listener(index).map_err(failed)? {
            listener.set_nonblocking(true).map_err(failed)?;
            let tls = settings.tls_port != 0 && listener.local_addr().map_err(failed)?.port() == settings.tls_port;
            let listener = Arc::new(tokio::net::TcpListener::from_std(listener).map_err(failed)?);
            tasks.push(tokio::spawn(listen::accept_tcp(listener, tls, door.clone())));
        }
    }
    Ok(tasks)
}

fn unix_path(listener: &std::os::unix::net::UnixListener) -> String {
    let address = listener.local_addr().ok();
    let path = address.as_ref().and_then(|address| address.as_pathname());
    path.map_or_else(String::new, |path| path.display().to_string())
}

/// Where the settings want to be listened, and whether it is required.
fn places(settings: &Settings) -> Vec<(Place, bool)> {
    let mut found = Vec::new();
    for (port, tls) in [(settings.port, false), (settings.tls_port, true)] {
        if port != 0 {
            let places = addresses(settings, port).into_iter();
            found.extend(places.map(|(address, required)| (Place { address, tls }, required)));
        }
    }
    found
}

/// The addresses of `bind`; those with `-` in front may be missing on this machine.
fn addresses(settings: &Settings, port: u16) -> Vec<(SocketAddr, bool)> {
    let mut found = Vec::new();
    for word in &settings.bind.0 {
        let (name, required) = word.strip_prefix('-').map_or((word.as_str(), true), |rest| (rest, false));
        let ip: Option<IpAddr> = match name {
            "*" => Some(IpAddr::from([0, 0, 0, 0])),
            "::*" => Some(IpAddr::from([0u16; 8])),
            name => name.parse().ok(),
        };
        match ip {
            Some(ip) => found.push((SocketAddr::new(ip, port), required)),
            None => {
                let resolved: io::Result<_> = (name, port).to_socket_addrs();
                found.extend(resolved.into_iter().flatten().map(|address| (address, required)));
            }
        }
    }
    found
}
