//! Listeners: TCP addresses and a Unix socket, and who may connect.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::connection::{self, Conversation, Stream};
use super::crew::{Crew, Seat};
use super::notices;
use super::tls::Terminator;
use crate::base::clock;
use crate::commands::Instance;
use crate::config::Settings;
use crate::storage::pool::Pool;

/// What an accepted connection needs.
#[derive(Clone)]
pub(super) struct Door {
    pub instance: Arc<Instance>,
    pub pool: Arc<Pool>,
    pub tls: Arc<Terminator>,
    pub crew: Arc<Crew>,
}

/// Binds one TCP address.
pub(super) fn bind_tcp(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Binds the Unix socket, replacing one that an earlier run left behind.
pub(super) fn bind_unix(path: &str, mode: Option<u32>) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    if let Some(mode) = mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(listener)
}

/// Accepts TCP connections until the listener is closed.
pub(super) async fn accept_tcp(listener: Arc<TcpListener>, tls: bool, door: Door) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (Ok(stream), mine) = (stream.into_std(), door.clone()) else { continue };
                door.crew.serve(move |seat| async move {
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        admit_tcp(stream, peer, tls, mine, seat).await;
                    }
                });
            }
            Err(error) => rest_after(&error).await,
        }
    }
}

/// Accepts Unix connections for ever.
pub(super) async fn accept_unix(listener: UnixListener, path: Arc<str>, door: Door) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (Ok(stream), path, mine) = (stream.into_std(), path.clone(), door.clone()) else { continue };
                door.crew.serve(move |seat| async move {
                    if let Ok(stream) = UnixStream::from_std(stream) {
                        admit_unix(stream, path, mine, seat).await;
                    }
                });
            }
            Err(error) => rest_after(&error).await,
        }
    }
}

/// Accepting failed, most likely for want of file descriptors: try again in a while.
pub(super) async fn rest_after(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

async fn admit_tcp(mut stream: TcpStream, peer: SocketAddr, tls: bool, door: Door, seat: Seat) {
    let settings = door.instance.config.snapshot();
    let local = peer.ip().to_canonical().is_loopback();
    let refusal = refusal(&door.instance, &settings, local);
    // Whoever is refused on a TLS port is not worth a handshake to say why.
    if let Some(refusal) = refusal {
        if !tls {
            let _ = stream.write_all(refusal.as_bytes()).await;
        }
        return;
    }
    let _ = stream.set_nodelay(true);
    keep_alive(&stream, settings.tcp_keepalive);
    let here = stream.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
    let descriptor = stream.as_raw_fd();
    let clients = &door.instance.observe.clients;
    let begin = || {
        let client = clients.enter(peer.to_string(), here, local, descriptor, clock::now_ms());
        Conversation::begin(client, door.instance.clone())
    };
    if !tls {
        let talk = begin();
        go_on(stream, talk, door, seat).await;
        return;
    }
    match door.tls.accept(stream).await {
        // What has been encrypted stays on its thread.
        Ok(stream) => drop(connection::serve(stream, begin(), None, &door.pool).await),
        Err(error) => tracing::debug!(%peer, %error, "no TLS with a client"),
    }
}

async fn admit_unix(mut stream: UnixStream, path: Arc<str>, door: Door, seat: Seat) {
    let settings = door.instance.config.snapshot();
    if let Some(refusal) = refusal(&door.instance, &settings, true) {
        let _ = stream.write_all(refusal.as_bytes()).await;
        return;
    }
    let address = format!("{path}:0");
    let descriptor = stream.as_raw_fd();
    let client = door.instance.observe.clients.enter(address.clone(), address, true, descriptor, clock::now_ms());
    let talk = Conversation::begin(client, door.instance.clone());
    go_on(stream, talk, door, seat).await;
}

/// A stream that can be served by one thread and then by another.
trait Movable: Stream + Sized {
    type Apart: Send + 'static;
    fn leave(self) -> io::Result<Self::Apart>;
    fn arrive(apart: Self::Apart) -> io::Result<Self>;
}

impl Movable for TcpStream {
    type Apart = std::net::TcpStream;

    fn leave(self) -> io::Result<Self::Apart> {
        self.into_std()
    }

    fn arrive(apart: Self::Apart) -> io::Result<Self> {
        Self::from_std(apart)
    }
}

impl Movable for UnixStream {
    type Apart = std::os::unix::net::UnixStream;

    fn leave(self) -> io::Result<Self::Apart> {
        self.into_std()
    }

    fn arrive(apart: Self::Apart) -> io::Result<Self> {
        Self::from_std(apart)
    }
}

/// Serves a connection on this thread, and then on another if it is to go there.
fn go_on<S: Movable>(
    stream: S,
    talk: Conversation,
    door: Door,
    seat: Seat,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let Some((stream, talk)) = connection::serve(stream, talk, Some(&seat), &door.pool).await else { return };
        drop(seat);
        let apart = match stream.leave() {
            Ok(apart) => apart,
            Err(error) => return tracing::warn!(%error, "a connection broke on its way to another thread"),
        };
        let crew = door.crew.clone();
        crew.serve(move |seat| async move {
            match S::arrive(apart) {
                Ok(stream) => go_on(stream, talk, door, seat).await,
                Err(error) => tracing::warn!(%error, "a connection broke on its way to another thread"),
            }
        });
    })
}

/// Why a connection is not let in.
fn refusal(instance: &Instance, settings: &Settings, local: bool) -> Option<&'static str> {
    instance.observe.stats.connections.add(1);
    let refused = if instance.observe.clients.len() >= settings.maxclients as usize {
        Some(notices::TOO_MANY_CLIENTS)
    } else if settings.protected_mode && instance.acl.default_user().rules().needs_no_password() && !local {
        Some(notices::PROTECTED)
    } else {
        None
    };
    if refused.is_some() {
        instance.observe.stats.rejected_connections.add(1);
    }
    refused
}

fn keep_alive(stream: &TcpStream, seconds: u32) {
    if seconds > 0 {
        let time = std::time::Duration::from_secs(u64::from(seconds));
        let interval = (time / 3).max(std::time::Duration::from_secs(1));
        let probes = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(3);
        let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
    }
}
