//! The connecting side of MIGRATE: requests to another server and its replies, over connections
//! that are kept for a while. Called on the I/O pool, where waiting is allowed.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;

use crate::commands::{Endpoint, ExchangeError};
use crate::resp::{Reply, parse_reply};

/// Connections that are kept at most, and for how long without use.
const MOST_LINKS: usize = 64;
const KEPT: Duration = Duration::from_secs(10);

/// A connection that was used before.
struct Link {
    to: (String, u16),
    stream: TcpStream,
    used: Instant,
}

/// Connections to other servers.
#[derive(Default)]
pub(super) struct Links {
    links: Mutex<Vec<Link>>,
}

impl Links {
    /// How many are kept now.
    pub fn count(&self) -> usize {
        let mut links = self.links.lock();
        links.retain(|link| link.used.elapsed() < KEPT);
        links.len()
    }

    /// Sends requests and waits for as many replies. A kept connection that turns out to be closed
    /// is replaced by a new one, as long as nothing was answered.
    pub fn exchange(&self, to: &Endpoint<'_>, requests: &[u8], replies: usize) -> Result<Vec<Reply>, ExchangeError> {
        let address = (to.host.to_owned(), to.port);
        let kept = self.take(&address);
        let was_kept = kept.is_some();
        let stream = match kept {
            Some(stream) => stream,
            None => connect(to)?,
        };
        let done = talk(&stream, to.timeout, requests, replies);
        let (stream, done) = match done {
            Err(ExchangeError::Closed) if was_kept => {
                let fresh = connect(to)?;
                let done = talk(&fresh, to.timeout, requests, replies);
                (fresh, done)
            }
            done => (stream, done),
        };
        if done.is_ok() {
            let mut links = self.links.lock();
            if links.len() < MOST_LINKS {
                links.push(Link { to: address, stream, used: Instant::now() });
            }
        }
        done
    }

    fn take(&self, address: &(String, u16)) -> Option<TcpStream> {
        let mut links = self.links.lock();
        links.retain(|link| link.used.elapsed() < KEPT);
        let place = links.iter().position(|link| link.to == *address)?;
        Some(links.swap_remove(place).stream)
    }
}

fn connect(to: &Endpoint<'_>) -> Result<TcpStream, ExchangeError> {
    let mut addresses = (to.host, to.port).to_socket_addrs().map_err(|_| ExchangeError::Connect)?;
    let address = addresses.next().ok_or(ExchangeError::Connect)?;
    let stream = TcpStream::connect_timeout(&address, to.timeout).map_err(|_| ExchangeError::Connect)?;
    // Without it requests are only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn talk(
    mut stream: &TcpStream,
    timeout: Duration,
    requests: &[u8],
    replies: usize,
) -> Result<Vec<Reply>, ExchangeError> {
    let limits = stream.set_write_timeout(Some(timeout)).and_then(|()| stream.set_read_timeout(Some(timeout)));
    limits.and_then(|()| stream.write_all(requests)).map_err(|_| ExchangeError::Write)?;
    let mut input = BytesMut::with_capacity(16 << 10);
    let mut read = Vec::with_capacity(replies);
    let mut chunk = [0; 16 << 10];
    while read.len() < replies {
        match parse_reply(&input) {
            Ok(Some((reply, length))) => {
                input.advance(length);
                read.push(reply);
                continue;
            }
            Ok(None) => {}
            Err(_) => return Err(ExchangeError::Read),
        }
        match stream.read(&mut chunk) {
            Ok(0) if read.is_empty() && input.is_empty() => return Err(ExchangeError::Closed),
            Ok(0) | Err(_) => return Err(ExchangeError::Read),
            Ok(count) => input.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    }
    Ok(read)
}
