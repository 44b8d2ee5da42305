//! One connection: reads into its input, lets the session answer into its output, does the
//! waiting that the session asks for, writes. What would wait runs on the I/O pool, with
//! the whole conversation moved there and back, so that this thread serves others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::base::clock;
use crate::commands::{GiveUp, Instance, Next, Session};
use crate::observe::Client;
use crate::storage::Tier;
use crate::storage::pool::Pool;

/// What a connection's input buffer starts with, and shrinks back to.
const INPUT_BYTES: usize = 16 << 10;
/// The most that is reserved at once for an announced argument that has not arrived.
const INPUT_STEP_BYTES: usize = 1 << 20;
/// An idle connection keeps no more output space than this.
const KEPT_OUTPUT_BYTES: usize = 64 << 10;

/// A connection's stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// What moves to the I/O pool and back.
struct Conversation {
    session: Session,
    input: BytesMut,
    output: BytesMut,
}

impl Conversation {
    fn run(&mut self, tier: Tier) -> Next {
        self.session.run(&mut self.input, &mut self.output, tier)
    }
}

/// How a connection ended; only for the log.
enum End {
    Client,
    Server,
    Broken(std::io::Error),
}

/// Serves a connection until either side ends it.
pub(super) async fn serve<S: Stream>(mut stream: S, client: Arc<Client>, instance: Arc<Instance>, pool: Arc<Pool>) {
    let talk = Conversation {
        session: Session::new(instance.clone(), client.clone()),
        input: BytesMut::with_capacity(INPUT_BYTES),
        output: BytesMut::new(),
    };
    match converse(&mut stream, talk, &client, &instance, &pool).await {
        Err(End::Broken(error)) => tracing::debug!(client = client.id, %error, "connection broken"),
        Err(End::Server) => {
            let _ = stream.shutdown().await;
        }
        Err(End::Client) | Ok(()) => {}
    }
    instance.observe.clients.leave(&client);
}

async fn converse<S: Stream>(
    stream: &mut S,
    mut talk: Conversation,
    client: &Arc<Client>,
    instance: &Arc<Instance>,
    pool: &Arc<Pool>,
) -> Result<(), End> {
    let mut tier = Tier::Memory;
    loop {
        let next = if tier == Tier::Memory {
            talk.run(Tier::Memory)
        } else {
            let back;
            (talk, back) = on_pool(pool, talk).await?;
            back
        };
        let ran_in = std::mem::replace(&mut tier, Tier::Memory);
        match next {
            Next::Read { missing } => {
                send(stream, &mut talk, client, instance).await?;
                receive(stream, &mut talk, missing, client, instance).await?;
            }
            Next::Send => send(stream, &mut talk, client, instance).await?,
            Next::Offload => tier = Tier::Disk,
            Next::Lock(wanted) => {
                let locks = instance.store.locks().clone().acquire(wanted).await;
                talk.session.adopt(locks);
                // What had to go to the disk still has to: in memory it would only give these
                // locks back, and clients that fight for one key would all do so for ever.
                tier = ran_in;
            }
            Next::Pause { until_ms } => {
                send(stream, &mut talk, client, instance).await?;
                pause(until_ms, client, instance).await;
            }
            Next::Block { until_ms } => {
                send(stream, &mut talk, client, instance).await?;
                match wait(stream, &mut talk, until_ms, client).await? {
                    None => talk.session.answer_call(),
                    Some(why) => talk.session.give_up(why, &mut talk.input, &mut talk.output),
                }
            }
            Next::Close => {
                send(stream, &mut talk, client, instance).await?;
                return Err(End::Server);
            }
        }
        if client.is_killed() {
            return Err(End::Server);
        }
    }
}

/// Runs the session where waiting is allowed.
async fn on_pool(pool: &Arc<Pool>, mut talk: Conversation) -> Result<(Conversation, Next), End> {
    let ran = pool.run(move || {
        let next = talk.run(Tier::Disk);
        (talk, next)
    });
    ran.await.map_err(|error| {
        tracing::error!(%error, "a command could not be run on the I/O pool");
        End::Server
    })
}

/// Sends what the session answered. In `appendfsync always` its writes are made safe first.
async fn send<S: Stream>(
    stream: &mut S,
    talk: &mut Conversation,
    client: &Client,
    instance: &Instance,
) -> Result<(), End> {
    if talk.output.is_empty() {
        return if client.closes_after_reply() { Err(End::Server) } else { Ok(()) };
    }
    if talk.session.take_unsynced()
        && let Err(error) = instance.synced().await
    {
        tracing::error!(%error, "acknowledged writes could not be made safe: closing");
        return Err(End::Server);
    }
    instance.observe.stats.output_bytes.add(talk.output.len() as u64);
    tokio::select! {
        biased;
        sent = stream.write_all(&talk.output) => sent.map_err(End::Broken)?,
        () = killed(client) => return Err(End::Server),
    }
    talk.output.clear();
    if talk.output.capacity() > KEPT_OUTPUT_BYTES {
        talk.output = BytesMut::new();
    }
    if client.closes_after_reply() { Err(End::Server) } else { Ok(()) }
}

/// Reads more of the client's requests.
async fn receive<S: Stream>(
    stream: &mut S,
    talk: &mut Conversation,
    missing: usize,
    client: &Client,
    instance: &Instance,
) -> Result<(), End> {
    if talk.input.is_empty() && talk.input.capacity() > INPUT_STEP_BYTES {
        talk.input = BytesMut::with_capacity(INPUT_BYTES);
    }
    talk.input.reserve(missing.clamp(INPUT_BYTES / 2, INPUT_STEP_BYTES));
    let received = tokio::select! {
        biased;
        received = stream.read_buf(&mut talk.input) => received.map_err(End::Broken)?,
        () = killed(client) => return Err(End::Server),
    };
    if received == 0 {
        return Err(End::Client);
    }
    instance.observe.stats.input_bytes.add(received as u64);
    client.input_bytes.store(talk.input.capacity(), Ordering::Relaxed);
    if talk.input.remaining() as u64 > instance.config.load().client_query_buffer_limit {
        tracing::warn!(client = client.id, "query buffer limit exceeded: closing");
        return Err(End::Server);
    }
    Ok(())
}

/// Waits until the session's blocking command is called (`None`) or gives up. What the client
/// sends meanwhile is kept for later; that it hangs up is noticed.
async fn wait<S: Stream>(
    stream: &mut S,
    talk: &mut Conversation,
    until_ms: Option<u64>,
    client: &Client,
) -> Result<Option<GiveUp>, End> {
    let left = until_ms.map(|until_ms| Duration::from_millis(until_ms.saturating_sub(clock::now_ms())));
    let mut time = std::pin::pin!(async {
        match left {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    });
    loop {
        if client.is_killed() {
            return Err(End::Server);
        }
        if let Some(why) = GiveUp::asked(client) {
            return Ok(Some(why));
        }
        if talk.session.is_called() {
            return Ok(None);
        }
        let has_room = talk.input.len() < INPUT_STEP_BYTES;
        if has_room {
            talk.input.reserve(INPUT_BYTES / 2);
        }
        tokio::select! {
            biased;
            () = client.bell.notified() => {}
            () = &mut time => return Ok(Some(GiveUp::Timeout)),
            received = stream.read_buf(&mut talk.input), if has_room => {
                if received.map_err(End::Broken)? == 0 {
                    return Err(End::Client);
                }
            }
        }
    }
}

/// Resolves when the client is to be closed at once.
async fn killed(client: &Client) {
    while !client.is_killed() {
        client.bell.notified().await;
    }
}

/// Waits for the end of a pause.
async fn pause(until_ms: u64, client: &Client, instance: &Instance) {
    let left = Duration::from_millis(until_ms.saturating_sub(clock::now_ms()));
    tokio::select! {
        () = tokio::time::sleep(left) => {}
        () = instance.observe.clients.unpaused.notified() => {}
        () = killed(client) => {}
    }
}
