//! One connection: reads into its input, lets the session answer into its output, does the
//! waiting that the session asks for, writes. What would wait runs on the I/O pool, with
//! the whole conversation moved there and back, so that this thread serves others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::copy;
use super::crew::Seat;
use super::debug;
use crate::base::clock;
use crate::commands::{GiveUp, Instance, Next, Session};
use crate::keyspace::{LockSet, Wanted};
use crate::observe::Client;
use crate::storage::Tier;
use crate::storage::pool::Pool;

/// What a connection's input buffer starts with, and shrinks back to.
const INPUT_BYTES: usize = 16 << 10;
/// The most that is reserved at once for an announced argument that has not arrived.
const INPUT_STEP_BYTES: usize = 1 << 20;
/// What remains of it while a connection rests.
const RESTING_INPUT_BYTES: usize = 64;
/// An idle connection keeps no more output space than this.
const KEPT_OUTPUT_BYTES: usize = 64 << 10;

/// A connection's stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// While somebody waits for locks, scripts are looked at no more and no less often than this.
const BUSY_LOOK_MIN: Duration = Duration::from_millis(5);
const BUSY_LOOK_MAX: Duration = Duration::from_millis(100);

/// A script that has run for so long is not waited for with locks in hand.
const SCRIPT_LONG: Duration = Duration::from_millis(20);

/// Scripts that run aside at a time, fewer than the threads that the runtime has for such work.
static SCRIPTS: Semaphore = Semaphore::const_new(256);

/// Where the session is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On this network thread.
    Here,
    /// On the I/O pool.
    Pool,
    /// On a thread for scripts.
    Aside,
}

/// What moves to the I/O pool and back, and to other network threads.
pub(super) struct Conversation {
    session: Session,
    input: BytesMut,
    output: BytesMut,
    /// Behind the session: what that gives up, it gives up as a client.
    client: Registered,
}

/// A client that is connected until this is dropped.
struct Registered {
    client: Arc<Client>,
    instance: Arc<Instance>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.instance.observe.clients.leave(&self.client);
    }
}

impl Conversation {
    /// Of a client that was registered.
    pub(super) fn begin(client: Arc<Client>, instance: Arc<Instance>) -> Self {
        Self {
            session: Session::new(instance.clone(), client.clone()),
            input: BytesMut::with_capacity(INPUT_BYTES),
            output: BytesMut::new(),
            client: Registered { client, instance },
        }
    }

    pub(super) fn run(&mut self, tier: Tier) -> Next {
        self.session.run(&mut self.input, &mut self.output, tier)
    }

    /// Nothing is left of a script that was debugged.
    pub(super) fn end_debugging(&mut self) {
        self.session.end_debugging();
    }
}

/// How a connection ended; only for the log.
pub(super) enum End {
    Client,
    Server,
    Broken(std::io::Error),
}

/// Serves a connection until either side ends it, or it is to go on elsewhere.
pub(super) async fn serve<S: Stream>(
    mut stream: S,
    talk: Conversation,
    seat: Option<&Seat>,
    pool: &Arc<Pool>,
) -> Option<(S, Conversation)> {
    let Registered { client, instance } = &talk.client;
    let (client, instance) = (client.clone(), instance.clone());
    match converse(&mut stream, talk, &client, &instance, pool, seat).await {
        Ok(talk) => return Some((stream, talk)),
        Err(End::Broken(error)) => tracing::debug!(client = client.id, %error, "connection broken"),
        Err(End::Server) => {
            let _ = stream.shutdown().await;
        }
        Err(End::Client) => {}
    }
    None
}

async fn converse<S: Stream>(
    stream: &mut S,
    mut talk: Conversation,
    client: &Arc<Client>,
    instance: &Arc<Instance>,
    pool: &Arc<Pool>,
    seat: Option<&Seat>,
) -> Result<Conversation, End> {
    let mut place = Place::Here;
    // The other end of this wire is to be a thread that the session runs on next.
    let mut debugged = None;
    // A command that came back from the pool for want of a lock has been tried in memory since.
    let mut looked_again = false;
    loop {
        let next;
        (talk, next) = match (debugged.take(), place) {
            (Some(wire), _) => debug::serve(stream, talk, wire, client, instance).await?,
            (None, Place::Here) => {
                let next = talk.run(Tier::Memory);
                (talk, next)
            }
            (None, Place::Pool) => on_pool(pool, talk).await?,
            (None, Place::Aside) => aside(talk).await?,
        };
        let ran_in = std::mem::replace(&mut place, Place::Here);
        looked_again &= matches!(next, Next::Offload | Next::Lock(_));
        match next {
            Next::Read { missing } => {
                send(stream, &mut talk, client, instance).await?;
                if seat.is_some_and(Seat::is_to_move) && !client.is_killed() {
                    return Ok(talk);
                }
                receive(stream, &mut talk, missing, client, instance).await?;
            }
            Next::Send => send(stream, &mut talk, client, instance).await?,
            Next::Offload => place = Place::Pool,
            Next::OffloadScript => place = Place::Aside,
            Next::Lock(wanted) => {
                let before = instance.store.locks().moment(&wanted);
                match wait_for_locks(&wanted, &talk.session, client, instance).await {
                    Waited::Locks(locks) => talk.session.adopt(locks),
                    Waited::Called => talk.session.answer_call(),
                    Waited::Busy => {}
                }
                // What had to go to the disk still has to: in memory it would only give these
                // locks back, and clients that fight for one key would all do so for ever. One look is
                // worth it if somebody has changed the key since, who may have brought along what was missing.
                let may_be_here = ran_in == Place::Pool && before != instance.store.locks().moment(&wanted);
                place = if may_be_here && !looked_again { Place::Here } else { ran_in };
                looked_again |= may_be_here;
            }
            Next::Pause { until_ms } => {
                send(stream, &mut talk, client, instance).await?;
                pause(until_ms, client, instance).await;
            }
            Next::Block { until_ms } => {
                send(stream, &mut talk, client, instance).await?;
                match wait(stream, &mut talk, until_ms, client, instance).await? {
                    None => talk.session.answer_call(),
                    Some(why) => talk.session.give_up(why, &mut talk.input, &mut talk.output),
                }
            }
            Next::Debug(wire) => {
                send(stream, &mut talk, client, instance).await?;
                debugged = Some(wire);
            }
            Next::FullSync(sync) => {
                send(stream, &mut talk, client, instance).await?;
                copy::send(stream, *sync, client, instance).await?;
            }
            Next::Close => {
                client.close_after_reply();
                talk.session.leave();
                send(stream, &mut talk, client, instance).await?;
                return Err(End::Server);
            }
        }
        if client.is_killed() {
            return Err(End::Server);
        }
    }
}

/// What ended the wait for locks.
enum Waited {
    Locks(LockSet),
    /// The session's blocking command was called.
    Called,
    /// A script is in the way that has run for too long.
    Busy,
}

/// Waits for locks. A session that is about to block stands in its queue already, and may be called
/// meanwhile: the very lock that it waits for then lies in the call.
async fn wait_for_locks(wanted: &Wanted, session: &Session, client: &Client, instance: &Instance) -> Waited {
    let called = async {
        while !session.is_called() {
            client.bell.notified().await;
        }
    };
    let busy = async {
        loop {
            let settings = instance.config.snapshot();
            let threshold = Duration::from_millis(settings.busy_reply_threshold);
            tokio::time::sleep(threshold.clamp(BUSY_LOOK_MIN, BUSY_LOOK_MAX)).await;
            if instance.busy_with(wanted, &settings).is_some() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = called => Waited::Called,
        locks = locks_holding_up_nobody(wanted, instance) => Waited::Locks(locks),
        () = busy => Waited::Busy,
    }
}

/// Waits for locks. Who waits for several holds those that it has, which must not last: behind a script
/// that has run for a while, it gives them back and waits for the script's end without any.
async fn locks_holding_up_nobody(wanted: &Wanted, instance: &Instance) -> LockSet {
    let is_behind_script = || instance.scripts.running.in_the_way(wanted, SCRIPT_LONG).is_some();
    let until_behind_script = async |wanted_now: bool| {
        while is_behind_script() != wanted_now {
            tokio::time::sleep(SCRIPT_LONG).await;
        }
    };
    if matches!(wanted, Wanted::Some(stripes) if stripes.len() == 1) {
        return instance.store.locks().clone().acquire(wanted.clone()).await;
    }
    loop {
        until_behind_script(false).await;
        tokio::select! {
            biased;
            locks = instance.store.locks().clone().acquire(wanted.clone()) => return locks,
            () = until_behind_script(true) => {}
        }
    }
}

/// Runs the session on a thread of its own: it runs a script, for as long as that likes.
async fn aside(mut talk: Conversation) -> Result<(Conversation, Next), End> {
    let Ok(_permit) = SCRIPTS.acquire().await else { return Err(End::Server) };
    let ran = tokio::task::spawn_blocking(move || {
        let next = talk.run(Tier::Disk);
        (talk, next)
    });
    ran.await.map_err(|error| {
        tracing::error!(%error, "a script could not be run");
        End::Server
    })
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
    client.output_capacity.store(talk.output.capacity(), Ordering::Relaxed);
    client.begin_output(talk.output.len());
    tokio::select! {
        biased;
        // First, because it is nearly always done at once and then nobody needs to listen for the other.
        sent = write(stream, &talk.output) => sent.map_err(End::Broken)?,
        () = killed(client) => return Err(End::Server),
    }
    client.end_output();
    talk.output.clear();
    if talk.output.capacity() > KEPT_OUTPUT_BYTES {
        talk.output = BytesMut::new();
    }
    if client.closes_after_reply() { Err(End::Server) } else { Ok(()) }
}

/// Writes all of it, and out of the buffers that TLS has of its own.
pub(super) async fn write<S: Stream>(stream: &mut S, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Reads more of the client's requests, or comes back without when there is something to send that
/// it did not ask for.
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
    let room = if client.is_resting() { RESTING_INPUT_BYTES } else { INPUT_BYTES / 2 };
    talk.input.reserve(missing.clamp(room, INPUT_STEP_BYTES));
    let received = tokio::select! {
        biased;
        received = stream.read_buf(&mut talk.input) => received.map_err(End::Broken)?,
        () = called(client) => return if client.is_killed() { Err(End::Server) } else { rest(talk, client) },
    };
    if received == 0 {
        return Err(End::Client);
    }
    instance.observe.stats.input_bytes.add(received as u64);
    client.wake_up();
    client.input_bytes.store(talk.input.len(), Ordering::Relaxed);
    client.input_capacity.store(talk.input.capacity().next_multiple_of(INPUT_BYTES), Ordering::Relaxed);
    let settings = instance.config.load();
    if let Some(most) = instance.client_memory_bytes(&settings)
        && instance.observe.clients.evict_if_beyond(client, most)
    {
        return Err(End::Server);
    }
    if talk.input.remaining() as u64 > settings.client_query_buffer_limit {
        tracing::warn!(client = client.id, "query buffer limit exceeded: closing");
        return Err(End::Server);
    }
    Ok(())
}

/// Waits until the session's blocking command is called (`None`) or gives up. What the client
/// sends meanwhile is kept for later, what others send it goes out; that it hangs up is noticed.
async fn wait<S: Stream>(
    stream: &mut S,
    talk: &mut Conversation,
    until_ms: Option<u64>,
    client: &Client,
    instance: &Instance,
) -> Result<Option<GiveUp>, End> {
    let left = until_ms.map(|until_ms| Duration::from_millis(until_ms.saturating_sub(clock::now_ms())));
    let mut time = std::pin::pin!(async {
        match left {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    });
    talk.session.rest();
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
        if !client.outbox.is_empty() {
            // A client that reads slowly must not be handed locks meanwhile.
            if talk.session.stir() {
                talk.session.take_pushes(&mut talk.output);
                send(stream, talk, client, instance).await?;
                talk.session.rest();
            }
            continue;
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

/// Gives an idle connection's buffers back, if that was what it was called for.
fn rest(talk: &mut Conversation, client: &Client) -> Result<(), End> {
    if client.rests_if_asked() && talk.input.is_empty() {
        talk.input = BytesMut::new();
        talk.output = BytesMut::new();
        client.input_capacity.store(0, Ordering::Relaxed);
        client.output_capacity.store(0, Ordering::Relaxed);
    }
    Ok(())
}

/// Resolves when the client is to be closed, others have sent it something, or it may rest.
async fn called(client: &Client) {
    while !client.is_called() {
        client.bell.notified().await;
    }
}

/// Resolves when the client is to be closed or others have sent it something.
async fn killed_or_sent_to(client: &Client) {
    while !client.is_killed() && client.outbox.is_empty() {
        client.bell.notified().await;
    }
}

/// Resolves when the client is to be closed at once.
pub(super) async fn killed(client: &Client) {
    while !client.is_killed() {
        client.bell.notified().await;
    }
}

/// Waits for the end of a pause, or until others have sent the client something.
async fn pause(until_ms: u64, client: &Client, instance: &Instance) {
    let now_ms = clock::now_ms();
    let left = Duration::from_millis(until_ms.saturating_sub(now_ms));
    // Listening begins before the second look, so that an end of the pause in between is not missed.
    let mut unpaused = std::pin::pin!(instance.observe.clients.unpaused.notified());
    unpaused.as_mut().enable();
    if instance.observe.clients.paused_until(true, now_ms).is_none() {
        return;
    }
    client.paused.store(true, Ordering::Relaxed);
    tokio::select! {
        () = tokio::time::sleep(left) => {}
        () = unpaused => {}
        () = killed_or_sent_to(client) => {}
    }
    client.paused.store(false, Ordering::Relaxed);
}
