//! One connection to the web: how many there may be, how long it may take over a request and over
//! reading the answer, how long its headers may be.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use super::Shared;
use super::answer;
use crate::server::listen::rest_after;

/// How long the head of a request may take to come, the silence before it included.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// How long a client may refuse to take anything of an answer.
const STALL_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's head, and how many headers it may have.
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

/// What those are told who find no place.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Accepts connections until the listener is closed.
pub(super) async fn accept(listener: Arc<TcpListener>, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match shared.places.clone().try_acquire_owned() {
                Ok(place) => {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        serve(stream, peer.ip(), shared).await;
                        drop(place);
                    });
                }
                Err(_) => turn_away(stream),
            },
            Err(error) => rest_after(&error).await,
        }
    }
}

/// Says that there is no place. Does not wait: what does not fit into the kernel's buffer is lost.
fn turn_away(stream: TcpStream) {
    // The runtime does not know yet whether it can be written to, and would say no.
    if let Ok(mut stream) = stream.into_std() {
        let _ = io::Write::write(&mut stream, FULL);
    }
}

async fn serve(stream: TcpStream, peer: std::net::IpAddr, shared: Arc<Shared>) {
    let service = service_fn(|request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer::answer(&shared, peer, &request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_LIMIT)
        .max_header_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(Patient { stream, stalled: None }), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "a connection to the metrics port ended early");
    }
}

/// A stream that breaks when the other side takes nothing for [`STALL_LIMIT`].
struct Patient {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn unless_stalled<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_LIMIT)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_stalled(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.unless_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
