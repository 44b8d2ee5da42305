//! A connection whose script is debugged. The session runs on a thread of its own, which waits for its client as
//! long as that likes; this task carries the bytes between them, and hangs up for either.

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};

use super::connection::{Conversation, End, Stream, killed, write};
use crate::base::clock;
use crate::commands::{Instance, Next};
use crate::observe::Client;
use crate::scripting::Wire;
use crate::storage::Tier;

/// What is read of the client at once.
const PIECE_BYTES: usize = 4 << 10;

/// Serves a client until its script has ended. If the client goes, so does the script.
pub(super) async fn serve<S: Stream>(
    stream: &mut S,
    talk: Conversation,
    mut wire: Wire,
    client: &Client,
    instance: &Instance,
) -> Result<(Conversation, Next), End> {
    let mut ended = start(talk).map_err(End::Broken)?;
    let carried = tokio::select! {
        biased;
        () = killed(client) => Err(End::Server),
        carried = carry(stream, &mut wire, &mut ended, client, instance) => carried,
    };
    drop(wire);
    match carried {
        Ok(ended) => ended.ok_or(End::Server),
        Err(end) => {
            // Nobody else may take this client's place before its script has let go of everything.
            let _ = ended.await;
            Err(end)
        }
    }
}

type Ended = (Conversation, Next);

fn start(mut talk: Conversation) -> std::io::Result<oneshot::Receiver<Ended>> {
    let (tell, ended) = oneshot::channel();
    std::thread::Builder::new().name("ferrock-debug".into()).spawn(move || {
        let next = talk.run(Tier::Disk);
        talk.end_debugging();
        // Whoever does not listen any more has gone.
        let _ = tell.send((talk, next));
    })?;
    Ok(ended)
}

/// Carries bytes until the script has ended; `None` if its thread broke.
async fn carry<S: Stream>(
    stream: &mut S,
    wire: &mut Wire,
    ended: &mut oneshot::Receiver<Ended>,
    client: &Client,
    instance: &Instance,
) -> Result<Option<Ended>, End> {
    let mut piece = BytesMut::with_capacity(PIECE_BYTES);
    loop {
        tokio::select! {
            biased;
            Some(bytes) = wire.output.recv() => say(stream, &bytes, instance).await?,
            ended = &mut *ended => {
                while let Ok(bytes) = wire.output.try_recv() {
                    say(stream, &bytes, instance).await?;
                }
                return Ok(ended.ok());
            }
            received = listen(stream, &wire.input, &mut piece) => {
                let (permit, received) = received?;
                instance.observe.stats.input_bytes.add(received as u64);
                client.last_active_ms.store(clock::now_ms(), std::sync::atomic::Ordering::Relaxed);
                permit.send(piece.split().freeze());
            }
        }
    }
}

async fn say<S: Stream>(stream: &mut S, bytes: &[u8], instance: &Instance) -> Result<(), End> {
    instance.observe.stats.output_bytes.add(bytes.len() as u64);
    write(stream, bytes).await.map_err(End::Broken)
}

/// Reads something when there is room for it on the wire.
async fn listen<'w, S: Stream>(
    stream: &mut S,
    input: &'w mpsc::Sender<bytes::Bytes>,
    piece: &mut BytesMut,
) -> Result<(mpsc::Permit<'w, bytes::Bytes>, usize), End> {
    let Ok(permit) = input.reserve().await else {
        // The script has ended, which is heard of elsewhere.
        return std::future::pending().await;
    };
    piece.reserve(PIECE_BYTES);
    match stream.read_buf(piece).await {
        Ok(0) => Err(End::Client),
        Ok(received) => Ok((permit, received)),
        Err(error) => Err(End::Broken(error)),
    }
}
