//! EVAL on a connection that has said SCRIPT DEBUG: the script runs on a thread of its own, line by line as its
//! client wants, over a [`Draft`]. It holds up nobody; in the end its writes are thrown away (YES) or kept if
//! nobody has changed what it used (SYNC).
//!
//! EVAL runs twice here. First on the network thread, under all locks, which opens the session and asks for the
//! thread; then there, with the [`Session`] it finds.

use bytes::Bytes;

use super::eval::{self, Call};
use super::host::ScriptHost;
use crate::base::{Error, Result};
use crate::commands::context::Context;
use crate::commands::dispatch::error_reply;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Draft, Used, Wanted};
use crate::resp::Reply;
use crate::scripting::{Answer, Console, DEFAULT_LIMIT, Debugger, Halt};
use crate::storage::Tier;

/// What becomes of the writes of a script that is debugged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// SCRIPT DEBUG YES.
    Discard,
    /// SCRIPT DEBUG SYNC.
    Keep,
}

/// A session that was opened and waits for its thread.
pub struct Session {
    console: Console,
    draft: Draft,
}

/// What a connection has said of debugging, and how far it has come.
#[derive(Default)]
pub struct Debugging {
    pub mode: Option<Mode>,
    session: Option<Box<Session>>,
}

impl Debugging {
    /// The session that was opened is not to be, or is over.
    pub fn forget(&mut self) {
        self.session = None;
    }
}

const INSIDE: &str = "ERR A script cannot be debugged inside a transaction";
const TOO_MANY: &str = "ERR Too many scripts are being debugged";
const CONFLICT: &str = "ERR The writes of the script were not kept: meanwhile others have changed what it used";

/// SCRIPT DEBUG.
pub(super) fn set_mode(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    if context.in_transaction() || context.session.has_unsent {
        return Err(Error::client("ERR SCRIPT DEBUG must be called outside a pipeline"));
    }
    let mode = if args.accept("NO") {
        None
    } else if args.accept("YES") {
        Some(Mode::Discard)
    } else if args.accept("SYNC") {
        Some(Mode::Keep)
    } else {
        return Err(Error::client("ERR Use SCRIPT DEBUG YES/SYNC/NO"));
    };
    context.session.debugging.mode = mode;
    Ok(Outcome::ok())
}

/// EVAL and EVAL_RO.
pub(super) fn eval(context: &mut Context<'_>, args: &mut Args<'_>, mode: Mode) -> Result<Outcome> {
    if context.in_transaction() {
        return Err(Error::client(INSIDE));
    }
    match context.session.debugging.session.take() {
        None => open(context),
        // Elsewhere nobody is at the other end of the wire.
        Some(_) if context.tx.tier() != Tier::Disk => open(context),
        Some(session) => Ok(Outcome::Close(run(context, args, mode, *session))),
    }
}

/// Opens a session.
fn open(context: &mut Context<'_>) -> Result<Outcome> {
    if !context.tx.is_clean() || context.tx.tier() == Tier::Memory {
        // What the pipeline has gathered so far is part of what the script is to see: it is committed first. And
        // freezing has RocksDB given all that it lacks, which a network thread must not wait for.
        return Err(Error::NotInMemory);
    }
    if !context.tx.locks().try_extend(&Wanted::All) {
        return Err(Error::Undeclared);
    }
    let (console, wire) = context.instance.scripts.debugged.open().ok_or_else(|| Error::client(TOO_MANY))?;
    let draft = Draft::begin(&context.instance.store, context.tx.now_ms());
    context.session.debugging.session = Some(Box::new(Session { console, draft }));
    tracing::info!(client = context.session.client.id, "a script is being debugged");
    Ok(Outcome::Debug(wire))
}

/// Runs the script to its end, which the client hears of before it gets the reply.
fn run(context: &mut Context<'_>, args: &mut Args<'_>, mode: Mode, session: Session) -> Reply {
    let Session { console, mut draft } = session;
    let body = args.peek().map(Bytes::copy_from_slice).unwrap_or_default();
    let limit = match context.settings.busy_reply_threshold {
        0 => DEFAULT_LIMIT,
        threshold => std::time::Duration::from_millis(threshold),
    };
    let running = console.running().clone();
    let mut debugger = Some(Debugger::new(console, &body, limit));
    let mut inner = Context { tx: &mut draft.tx, session: context.session, ..*context };
    let called = call(&mut inner, args, &mut debugger);
    if let Some(debugger) = debugger {
        debugger.end();
    }
    let (reply, used) = match called {
        Ok(called) => called,
        Err(error) => return error_reply(&error),
    };
    if mode == Mode::Discard || running.is_killed() || !draft.tx.has_written() {
        return reply;
    }
    match draft.settle(&used) {
        Some(tx) => {
            *context.tx = tx;
            reply
        }
        None => Reply::error(CONFLICT),
    }
}

/// One run of the script over the draft: its reply, and what it has used.
fn call(context: &mut Context<'_>, args: &mut Args<'_>, debugger: &mut Option<Debugger>) -> Result<(Reply, Used)> {
    let Call { script, words } = eval::read_call(context, args)?;
    let rights = eval::rights(context, script.flags)?;
    let Some(given) = debugger.take() else { return Err(Error::client("ERR no debugger")) };
    let (db, protocol) = (context.session.db, context.session.protocol);
    let (scripts, memory_bytes) = (context.instance.scripts.clone(), eval::memory_limit(context));
    let mut host = ScriptHost::of_draft(context, rights, given.running().clone(), args.all());
    let (ran, given) = scripts.debug(&script, words, memory_bytes, &mut host, given);
    *debugger = given;
    let used = host.used();
    let notes = host.end();
    context.session.select(db);
    context.session.protocol = protocol;
    let answer = match ran {
        Ok(answer) => answer,
        Err(Halt::Killed(text)) => Answer { reply: Reply::error(format!("ERR {text}")), counted: false },
        Err(Halt::Again(error)) => return Err(Error::client(format!("ERR This script cannot be debugged: {error}"))),
    };
    notes?.tell(context, args.all(), answer.counted);
    Ok((answer.reply, used))
}
