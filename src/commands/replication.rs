//! What replicas ask for and say: SYNC, PSYNC, REPLCONF. The stream itself is `replication/`'s; what a
//! command tells to copies is said where it runs (`inside.rs`, [`Context::replicate_as`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::command::{Command, Group, flags};
use super::context::Context;
use super::grammar::{integer, text};
use super::instance::Instance;
use super::outcome::Outcome;
use super::request::Args;
use super::server::snapshot_file;
use super::session::SessionState;
use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result, clock, quoting};
use crate::observe::Client;
use crate::replication::{Receiver, Replica, State};
use crate::resp::{Push, Reply};
use crate::transfer::{Copy, Frozen, Parts};

pub static COMMANDS: &[Command] = &[
    Command {
        name: "PSYNC",
        summary: "Begins to replicate, where possible from where it was left.",
        since: "2.8.0",
        flags: flags!(ADMIN | NO_ASYNC_LOADING | NO_MULTI | NOSCRIPT | EXCLUSIVE | SETTLED),
        args: &[text("replicationid"), integer("offset").many()],
        run: psync,
        ..Command::of(Group::Server)
    },
    Command {
        name: "REPLCONF",
        summary: "Tells what a replica is, can and has.",
        since: "3.0.0",
        complexity: "O(1)",
        flags: flags!(ADMIN | ALLOW_BUSY | LOADING | NOSCRIPT | STALE | SYSTEM),
        args: &[text("option").many().optional()],
        run: replconf,
        ..Command::of(Group::Server)
    },
    Command {
        name: "REPLICAOF",
        summary: "Follows a master, or (NO ONE) none.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(ADMIN | NO_ASYNC_LOADING | NOSCRIPT | STALE),
        args: &[text("host"), text("port")],
        run: replicaof,
        ..Command::of(Group::Server)
    },
    Command {
        name: "SLAVEOF",
        summary: "Follows a master, or (NO ONE) none.",
        since: "1.0.0",
        deprecated: Some(("5.0.0", "REPLICAOF")),
        complexity: "O(1)",
        flags: flags!(ADMIN | NO_ASYNC_LOADING | NOSCRIPT | STALE),
        args: &[text("host"), text("port")],
        run: replicaof,
        ..Command::of(Group::Server)
    },
    Command {
        name: "SYNC",
        summary: "Begins to replicate.",
        since: "1.0.0",
        flags: flags!(ADMIN | NO_ASYNC_LOADING | NO_MULTI | NOSCRIPT | EXCLUSIVE | SETTLED),
        run: sync,
        ..Command::of(Group::Server)
    },
];

impl Receiver for Client {
    fn receive(&self, stretch: Bytes) {
        self.push(Push::raw(stretch));
    }
}

/// What a connection has said of itself (REPLCONF), and what it has become by SYNC.
#[derive(Default)]
pub struct Introduction {
    port: u16,
    ip: Option<String>,
    /// It can take a copy whose length is not known beforehand.
    takes_marked: bool,
    /// It wants the copy only, not the stream.
    copy_only: bool,
    /// It wants only these parts of the copy; `None` is all.
    parts: Option<Parts>,
    joined: Option<Arc<Replica<Client>>>,
}

/// The copy of everything that a replica begins with.
pub struct FullSync {
    pub copy: Copy,
    /// Behind a mark instead of a length.
    pub marked: bool,
    /// Gets the stream afterwards; `None` wants nothing but the copy.
    pub replica: Option<Arc<Replica<Client>>>,
}

impl std::fmt::Debug for FullSync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FullSync").field("marked", &self.marked).finish_non_exhaustive()
    }
}

fn sync(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    full_sync(context, |_, _| Reply::Silent)
}

fn psync(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    args.next()?;
    args.integer()?;
    full_sync(context, |id, offset| Reply::simple(format!("FULLRESYNC {id} {offset}")))
}

/// Under the exclusive lock: what is copied ends where the stream begins.
fn full_sync(context: &mut Context<'_>, reply: impl FnOnce(&str, u64) -> Reply) -> Result<Outcome> {
    let client = context.session.client.clone();
    if client.replicating.load(Ordering::Relaxed) {
        return Ok(Reply::Silent.into());
    }
    let said = &mut context.session.introduction;
    let store = &context.instance.store;
    let file = snapshot_file(context.settings);
    let copy = Copy {
        frozen: Frozen::under_locks(store),
        parts: said.parts.unwrap_or(Parts::All),
        compress: file.compress,
        facts: file.facts,
    };
    let feed = &context.instance.feed;
    let mut offset = feed.offset();
    let mut replica = None;
    client.replicating.store(true, Ordering::Relaxed);
    client.outbox.hold(true);
    if !said.copy_only {
        let joining = Arc::new(Replica::new(client, said.ip.clone(), said.port, clock::now_ms()));
        offset = feed.join(joining.clone());
        said.joined = Some(joining.clone());
        replica = Some(joining);
    }
    let sync = FullSync { copy, marked: said.takes_marked, replica };
    Ok(Outcome::FullSync(reply(feed.id(), offset), Box::new(sync)))
}

/// This server follows nobody, so NO ONE is all it can be told.
fn replicaof(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (host, port) = (args.next()?, args.next()?);
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(Outcome::ok());
    }
    parse_i64(port)
        .filter(|port| (1..=65535).contains(port))
        .ok_or_else(|| Error::client("ERR Invalid master port"))?;
    Err(Error::client(
        "ERR this version of Ferrock cannot follow a master; copy its data once: save an RDB file there and load it with 'ferrock restore'",
    ))
}

fn replconf(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    if !args.remaining().is_multiple_of(2) {
        return Err(ClientError::Syntax.into());
    }
    while let Some(option) = args.next_if_any() {
        let value = args.next()?;
        match option.to_ascii_lowercase().as_slice() {
            b"listening-port" => {
                let port = parse_i64(value).ok_or(ClientError::NotInteger)?;
                context.session.introduction.port = u16::try_from(port).map_err(|_| ClientError::OutOfRange)?;
            }
            b"ip-address" => {
                let ip = std::str::from_utf8(value).ok().filter(|ip| ip.len() <= LONGEST_ADDRESS);
                let ip = ip
                    .ok_or_else(|| Error::client("ERR REPLCONF ip-address provided by replica instance is too long"))?;
                context.session.introduction.ip = Some(ip.to_owned()).filter(|ip| !ip.is_empty());
            }
            b"capa" => {
                context.session.introduction.takes_marked |= value.eq_ignore_ascii_case(b"eof");
            }
            b"rdb-only" => {
                let number = parse_i64(value).filter(|number| matches!(number, 0 | 1));
                context.session.introduction.copy_only = number.ok_or(ClientError::OutOfRange)? == 1;
            }
            b"rdb-filter-only" => context.session.introduction.parts = Some(parts(value)?),
            b"ack" => {
                acknowledge(context, value);
                return Ok(Reply::Silent.into());
            }
            b"fack" => return Ok(Reply::Silent.into()),
            // Said by masters, to replicas.
            b"getack" => return Ok(Reply::Silent.into()),
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(Error::client(format!("ERR Unrecognized REPLCONF option: {option}")));
            }
        }
    }
    Ok(Outcome::ok())
}

/// Where a replica can be reached, as it says itself or else as it is seen.
pub(super) fn address_of(replica: &Replica<Client>) -> &str {
    let seen = &replica.to.address;
    replica.ip.as_deref().unwrap_or_else(|| seen.rsplit_once(':').map_or(seen, |(ip, _)| ip))
}

/// What clients of WAIT wait for: word of a replica. No database has this number.
pub(super) const ACKNOWLEDGEMENT: (u32, Bytes) = (u32::MAX, Bytes::new());

/// As many bytes as Redis takes.
const LONGEST_ADDRESS: usize = 255;

fn parts(text: &[u8]) -> Result<Parts> {
    let words = quoting::split_arguments(text).map_err(|_| Error::client("ERR Missing rdb-filter-only values"))?;
    let mut parts = Parts::Nothing;
    for word in words {
        match word.eq_ignore_ascii_case(b"functions") {
            true => parts = Parts::Libraries,
            false => {
                let shown = String::from_utf8_lossy(&word).into_owned();
                return Err(Error::client(format!("ERR Unsupported rdb-filter-only option: {shown}")));
            }
        }
    }
    Ok(parts)
}

/// A replica has everything up to here. The first word of it also says that it has read its copy to
/// the mark, so that the stream may follow.
fn acknowledge(context: &mut Context<'_>, offset: &[u8]) {
    let Some(replica) = &context.session.introduction.joined else { return };
    if replica.state() == State::Waiting {
        return;
    }
    let offset = parse_i64(offset).and_then(|offset| u64::try_from(offset).ok()).unwrap_or(0);
    replica.acknowledge(offset, clock::now_ms());
    replica.enter(State::Online);
    context.session.client.outbox.hold(false);
    context.session.client.bell.notify_one();
    context.instance.waiters.call_all(&ACKNOWLEDGEMENT);
}

impl SessionState {
    /// Is a replica no longer.
    pub(super) fn stop_replicating(&mut self, instance: &Instance) {
        if let Some(replica) = self.introduction.joined.take() {
            instance.feed.leave(&replica);
        }
    }
}
