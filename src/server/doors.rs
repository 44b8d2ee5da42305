//! The doors: which addresses are listened on for clients, now. Settings say which there shall be
//! (`listeners.rs`); Unix sockets, and those that systemd handed over, stay open.

use std::sync::Arc;

use listenfd::ListenFd;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::listen::{self, Door};
use super::listeners::{Listeners, Wanted, places};
use super::start::StartError;
use super::tls;
use crate::config::{Changes, Settings, Unapplied};

/// The parameters that say where to listen.
const PARAMETERS: &[&str] = &["bind", "port", "tls-port"];

/// All doors of a server.
pub(super) struct Doors {
    door: Door,
    listeners: Listeners,
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
        let doors = Self { door, listeners: Listeners::new(), inherited: !fixed.is_empty(), fixed: Mutex::new(fixed) };
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
        self.listeners.follow(&wanted(settings), settings.tcp_backlog, |listener, place| {
            tokio::spawn(listen::accept_tcp(listener, place.tls, self.door.clone()))
        })
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
        self.listeners.close();
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
fn wanted(settings: &Settings) -> Vec<Wanted> {
    let ports = [(settings.port, false), (settings.tls_port, true)];
    let open = ports.into_iter().filter(|(port, _)| *port != 0);
    open.flat_map(|(port, tls)| places(&settings.bind, port, tls)).collect()
}
