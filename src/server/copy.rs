//! The copy of everything that a replica begins with, on its way out. It is made on a thread of its own
//! and comes here in pieces, so that neither the data nor a slow replica decides about memory.
//! A replica that must know the length beforehand waits for a file to be made, and hears a newline
//! every second.

use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::connection::{End, Stream, killed};
use crate::base::random;
use crate::commands::{FullSync, Instance};
use crate::observe::Client;
use crate::replication::State;
use crate::transfer::{Copy, TransferError};

/// Pieces that wait for the network.
const PIECES: usize = 8;
/// What is read of a file at once.
const PIECE_BYTES: usize = 64 << 10;
/// How often who waits for the first byte gets a sign of life.
const SIGN_INTERVAL: Duration = Duration::from_secs(1);
/// Hexadecimal digits of the mark behind a copy without a length.
const MARK_DIGITS: usize = 40;

/// Sends the copy. The stream may follow.
pub(super) async fn send<S: Stream>(
    stream: &mut S,
    sync: FullSync,
    client: &Client,
    instance: &Instance,
) -> Result<(), End> {
    let FullSync { copy, marked, replica } = sync;
    let mark = if marked { Some(random::secret_hex(MARK_DIGITS).map_err(End::Broken)?) } else { None };
    let folder = instance.config.snapshot().dir.path().to_path_buf();
    let pieces = make(copy, mark, folder).map_err(End::Broken)?;
    tokio::select! {
        biased;
        () = killed(client) => return Err(End::Server),
        sent = forward(stream, pieces, instance, || {
            if let Some(replica) = &replica {
                replica.enter(State::Receiving);
            }
        }) => sent?,
    }
    let Some(replica) = replica else { return Err(End::Server) };
    if !marked {
        // With a mark it says itself when it has found it: what comes before could be taken for the copy.
        replica.enter(State::Online);
        client.outbox.hold(false);
    }
    tracing::info!(client = client.id, "a replica has its copy of everything");
    Ok(())
}

async fn forward<S: Stream>(
    stream: &mut S,
    mut pieces: mpsc::Receiver<io::Result<Bytes>>,
    instance: &Instance,
    begins: impl FnOnce(),
) -> Result<(), End> {
    let mut begins = Some(begins);
    loop {
        let piece = tokio::select! {
            biased;
            piece = pieces.recv() => piece,
            () = tokio::time::sleep(SIGN_INTERVAL), if begins.is_some() => Some(Ok(Bytes::from_static(b"\n"))),
        };
        let piece = match piece {
            None => break,
            Some(Ok(piece)) => piece,
            Some(Err(error)) => {
                tracing::error!(%error, "the copy for a replica failed: closing");
                return Err(End::Server);
            }
        };
        if &piece[..] != b"\n"
            && let Some(begins) = begins.take()
        {
            begins();
        }
        instance.observe.stats.output_bytes.add(piece.len() as u64);
        stream.write_all(&piece).await.map_err(End::Broken)?;
        stream.flush().await.map_err(End::Broken)?;
    }
    Ok(())
}

/// Begins to make the copy.
fn make(copy: Copy, mark: Option<String>, folder: PathBuf) -> io::Result<mpsc::Receiver<io::Result<Bytes>>> {
    let (sender, pieces) = mpsc::channel(PIECES);
    std::thread::Builder::new().name("ferrock-copy".into()).spawn(move || {
        let mut out = Pieces(sender.clone());
        let made = match mark {
            Some(mark) => with_mark(copy, &mark, &mut out),
            None => with_length(copy, &folder, &mut out),
        };
        if let Err(error) = made {
            let error = match error {
                TransferError::Io(error) => error,
                error => io::Error::other(error),
            };
            // Whoever does not listen any more has gone.
            let _ = sender.blocking_send(Err(error));
        }
    })?;
    Ok(pieces)
}

fn with_mark(copy: Copy, mark: &str, out: &mut Pieces) -> Result<(), TransferError> {
    write!(out, "$EOF:{mark}\r\n")?;
    copy.write(&mut *out)?;
    out.write_all(mark.as_bytes())?;
    Ok(())
}

fn with_length(copy: Copy, folder: &Path, out: &mut Pieces) -> Result<(), TransferError> {
    let mut file = tempfile::tempfile_in(folder)?;
    copy.write(&file)?;
    let length = file.stream_position()?;
    file.rewind()?;
    write!(out, "${length}\r\n")?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            read => out.write_all(piece.get(..read).unwrap_or_default())?,
        }
    }
}

/// Sends on what is written, piece by piece, and waits where the network is slow.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
