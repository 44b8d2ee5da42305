//! From the words of a request to its reply: the gates in front of every command, the locks
//! of its keys, the run itself and running it again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};

use super::command::{Flags, Group, flags};
use super::context::{Context, Within};
use super::instance::Instance;
use super::monitor::Source;
use super::outcome::Outcome;
use super::permission;
use super::request::Args;
use super::session::{Next, Session};
use super::table::Entry;
use super::transactions::Multi;
use super::waiters::Waiting;
use super::{inside, scripting, secrets, tracking, transactions};
use crate::acl::Place;
use crate::base::{ClientError, Error, Result, clock};
use crate::config::Settings;
use crate::keyspace::{DatabaseIndex, Stripe, Stripes, Wanted, sorted};
use crate::observe::CommandEnd;
use crate::resp::Reply;
use crate::storage::Tier;

/// Optimistic runs of a lock-free reader before it takes its locks.
const OPTIMISTIC_RUNS: u32 = 3;

/// Why no further request is run now.
#[derive(Debug)]
pub(super) enum Stop {
    /// This request is still to be run.
    Before(Next),
    /// This request is done.
    After(Next),
}

/// Runs one request and writes its reply.
pub(super) fn dispatch(
    session: &mut Session,
    args: &[&[u8]],
    output: &mut BytesMut,
    tier: Tier,
    settings: &Arc<Settings>,
) -> Result<(), Stop> {
    let found = match session.instance.names.resolve(args) {
        Ok(found) => found,
        Err(error) => {
            session.instance.observe.note_error(&error);
            transactions::refuse(&mut session.state);
            session.batch.requests += 1;
            session.answer(&error_reply(&error), output);
            return Ok(());
        }
    };
    let command = found.command;
    if let Err(error) = gate(session, found, args, settings) {
        session.instance.observe.note_rejected(found.index, &error);
        let reply = if command.name == "EXEC" {
            session.state.reset_transaction(&session.instance.watch);
            let text = error.to_string();
            let why = text.strip_prefix("ERR ").unwrap_or(&text);
            Reply::error(format!("EXECABORT Transaction discarded because of: {why}"))
        } else {
            transactions::refuse(&mut session.state);
            error_reply(&error)
        };
        session.batch.requests += 1;
        session.answer(&reply, output);
        return Ok(());
    }
    if let Some(until_ms) = paused_until(session, found, args) {
        return Err(Stop::Before(Next::Pause { until_ms }));
    }
    if session.state.multi.is_some() && !transactions::runs_at_once(command) {
        transactions::queue(&mut session.state, found, args);
        session.batch.requests += 1;
        session.answer(&Reply::simple("QUEUED"), output);
        return Ok(());
    }
    loop {
        match execute(session, found, args, output, tier, settings)? {
            Outcome::Reply(reply) => {
                session.batch.requests += 1;
                note_run(session, found, args);
                session.answer(&reply, output);
                return Ok(());
            }
            Outcome::Close(reply) => {
                session.batch.requests += 1;
                note_run(session, found, args);
                session.answer(&reply, output);
                return Err(Stop::After(Next::Close));
            }
            Outcome::FullSync(reply, sync) => {
                session.batch.requests += 1;
                note_run(session, found, args);
                session.answer(&reply, output);
                return Err(Stop::After(Next::FullSync(sync)));
            }
            Outcome::Debug(wire) => return Err(Stop::Before(Next::Debug(wire))),
            Outcome::Wait(wait) => {
                show(session, found, args);
                if !session.begins_to_wait(wait, found) {
                    let until_ms = session.waiting.as_ref().and_then(|waiting| waiting.wait().until_ms);
                    return Err(Stop::Before(Next::Block { until_ms }));
                }
                let resumed = session.waiting.as_ref().and_then(|waiting| waiting.wait().resume.clone());
                if let Some(args) = resumed {
                    let args: Vec<&[u8]> = args.iter().map(|arg| &arg[..]).collect();
                    return dispatch(session, &args, output, tier, settings);
                }
            }
        }
    }
}

/// Until when this command must wait because clients are paused.
fn paused_until(session: &Session, found: Entry, args: &[&[u8]]) -> Option<u64> {
    let (clients, now_ms) = (&session.instance.observe.clients, session.now_us / 1000);
    let until_ms = clients.paused_until(true, now_ms)?;
    if found.command.flags.contains(Flags::ALLOW_BUSY) {
        return None;
    }
    // What is queued waits with its EXEC.
    let queues = session.state.multi.is_some() && !transactions::runs_at_once(found.command);
    let all = clients.paused_until(false, now_ms).is_some();
    (all || (!queues && may_write(session, found, args))).then_some(until_ms)
}

/// Whether a pause of writes is a pause of this.
fn may_write(session: &Session, found: Entry, args: &[&[u8]]) -> bool {
    if found.command.name == "EXEC" {
        return session.state.multi.as_ref().is_some_and(|multi| multi.may_write(&session.instance));
    }
    writes(&session.instance, found, args)
}

/// Whether a command other than EXEC may write. A script that says it does not is believed: it is held to it.
pub(super) fn writes(instance: &Instance, found: Entry, args: &[&[u8]]) -> bool {
    found.command.flags.intersects(flags!(WRITE | MAY_REPLICATE))
        && !scripting::declared_flags(instance, found, args).is_some_and(|flags| flags.no_writes)
}

/// A command was run to its end: who watches is shown it, and what held for it alone is over.
fn note_run(session: &mut Session, found: Entry, args: &[&[u8]]) {
    show(session, found, args);
    session.state.end_caching(found);
    if found.command.group == Group::Transactions {
        session.state.show_transaction();
    }
}

/// Shows a command to those who watch. One that waits was shown when it began to.
fn show(session: &Session, found: Entry, args: &[&[u8]]) {
    if session.waiting.is_none() {
        let source = Source::Client(&session.state.client);
        session.instance.monitors.show(session.now_us, session.state.db, source, found, args);
    }
}

/// What every command has to pass before it is run or queued.
fn gate(session: &Session, found: Entry, args: &[&[u8]], settings: &Settings) -> Result<()> {
    let command = found.command;
    if !found.accepts(args.len()) {
        return Err(ClientError::Arity(found.name.to_string()).into());
    }
    if command.flags.contains(Flags::PROTECTED) && !settings.enable_debug_command.allows(session.state.client.local) {
        return Err(Error::client(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
        ));
    }
    if session.state.must_log_in(&session.instance) && !command.flags.contains(Flags::NO_AUTH) {
        return Err(Error::client("NOAUTH Authentication required."));
    }
    if session.state.multi.is_some() && command.flags.contains(Flags::NO_MULTI) {
        return Err(Error::client("ERR Command not allowed inside a transaction"));
    }
    if let Err(denial) = session.state.may_run(found, args) {
        let place = if session.state.multi.is_some() { Place::Multi } else { Place::Toplevel };
        permission::note_denial(&session.instance, &session.state, found, args, denial, place);
        return Err(Error::client(denial.reply(&found.name)));
    }
    let queued = session.state.multi.as_ref().filter(|_| command.name == "EXEC");
    session.instance.writes_allowed(queued.map_or(command.flags, Multi::flags), settings)?;
    if session.state.only_listens() && !command.flags.contains(Flags::LISTENING) {
        return Err(Error::client(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            found.name
        )));
    }
    let client = &session.state.client;
    if (client.monitoring.load(Ordering::Relaxed) || client.replicating.load(Ordering::Relaxed))
        && command.flags.intersects(flags!(READONLY | WRITE | MAY_REPLICATE))
    {
        return Err(Error::client("ERR Replica can't interact with the keyspace"));
    }
    Ok(())
}

/// Takes the locks, runs the handler, runs it again where it must be.
fn execute(
    session: &mut Session,
    found: Entry,
    args: &[&[u8]],
    output: &mut BytesMut,
    tier: Tier,
    settings: &Arc<Settings>,
) -> Result<Outcome, Stop> {
    let command = found.command;
    if tier == Tier::Memory && command.flags.contains(Flags::LONG) {
        return Err(offload(session, output, tier));
    }
    if session.batch.requests > 0 && command.flags.contains(Flags::SETTLED) && !session.commit(output, tier) {
        return Err(Stop::Before(Next::Offload));
    }
    let wanted = wanted_locks(session, found, args);
    if let Some(wanted) = &wanted
        && let Err(busy) = lock(session, wanted, output, tier, settings)?
    {
        return Ok(refused(session, found, &busy));
    }
    session.state.note_reads(&session.instance.tracking, found, args);
    let started_us = session.now_us;
    session.state.has_unsent = !output.is_empty();
    let mut runs = 0;
    let outcome = loop {
        session.tx.start(tier, session.now_us / 1000);
        let savepoint = session.tx.savepoint();
        let result = run(session, found, args, settings);
        runs += 1;
        match result {
            Ok(outcome) if session.tx.reads_are_consistent() => {
                if session.tx.wants_effects() {
                    session.tx.join_effects(savepoint);
                }
                break outcome;
            }
            Err(Error::Undeclared) => {
                session.tx.rollback(savepoint);
                let wanted = more_locks(session, found, args);
                if let Err(busy) = lock(session, &wanted, output, tier, settings)? {
                    break refused(session, found, &busy);
                }
            }
            Err(error) if error.is_rerun() => {
                session.tx.rollback(savepoint);
                return Err(match runs_scripts(session, found) {
                    true => offload_script(session, output, tier),
                    false => offload(session, output, tier),
                });
            }
            Err(error) if session.tx.reads_are_consistent() => {
                session.tx.rollback(savepoint);
                break match session.waits_on(found, &error) {
                    Some(wait) => Outcome::Wait(wait),
                    None => Outcome::Reply(error_reply(&error)),
                };
            }
            // What was read does not belong together: neither the reply counts nor the complaint.
            Ok(_) | Err(_) => {
                session.tx.rollback(savepoint);
                if runs >= OPTIMISTIC_RUNS {
                    let wanted = more_locks(session, found, args);
                    if let Err(busy) = lock(session, &wanted, output, tier, settings)? {
                        break refused(session, found, &busy);
                    }
                }
            }
        }
    };
    expire_what_reads_found(session, tier);
    session.now_us = clock::now_us();
    if let Outcome::Reply(reply) | Outcome::Close(reply) | Outcome::FullSync(reply, _) = &outcome {
        let duration_us = session.now_us.saturating_sub(started_us);
        note_end(session, found, args, settings, reply, duration_us);
    }
    Ok(outcome)
}

/// Statistics, slow log and latency hear of a command that has its reply.
fn note_end(session: &Session, found: Entry, args: &[&[u8]], settings: &Settings, reply: &Reply, duration_us: u64) {
    let flags = found.command.flags;
    let end = CommandEnd {
        command: found.index,
        started_us: session.now_us.saturating_sub(duration_us),
        duration_us,
        failed: reply.is_error(),
        loggable: !flags.contains(Flags::SKIP_SLOWLOG),
        fast: flags.contains(Flags::FAST),
    };
    let words = || secrets::shown(found, args);
    // CONFIG SET is judged by what it has just set, as in Redis.
    let own = flags.contains(Flags::ADMIN).then(|| session.instance.config.snapshot());
    let settings = own.as_deref().unwrap_or(settings);
    session.instance.observe.ended(&end, &session.state.client, words, settings);
    sample_keys(&session.instance, session.state.db, found, args);
    if let Reply::Error(text) = reply {
        session.instance.observe.note_error_text(text);
    }
}

/// Keys of one command noted as hot, at most.
const SAMPLED_KEYS: usize = 16;

/// The keys of a command that has run, if it is in the sample that hot keys are told from.
pub(super) fn sample_keys(instance: &Instance, db: DatabaseIndex, found: Entry, args: &[&[u8]]) {
    let hot_keys = &instance.observe.hot_keys;
    let Some(weight) = hot_keys.is_due() else { return };
    let mut left = SAMPLED_KEYS;
    found.for_each_key(args, |key, _| {
        if left > 0 {
            left -= 1;
            hot_keys.note(weight, db, key, found.index);
        }
    });
}

/// A blocking command ended without having been served.
pub(super) fn note_given_up(session: &Session, found: Entry, reply: &Reply) {
    note_end(session, found, &[found.name.as_bytes()], &session.instance.config.snapshot(), reply, 0);
}

/// One run of the handler.
fn run(session: &mut Session, found: Entry, args: &[&[u8]], settings: &Arc<Settings>) -> Result<Outcome> {
    let (savepoint, db) = (session.tx.savepoint(), session.state.db);
    session.tx.begin_effects();
    let mut context = Context {
        tx: &mut session.tx,
        session: &mut session.state,
        instance: &session.instance,
        settings,
        entry: found,
        within: Within::Client,
        called_for: session.waiting.as_ref().map_or(&[], Waiting::answered),
    };
    context.count_uses();
    let outcome = (found.command.run)(&mut context, &mut Args::new(args, found.words))?;
    inside::tell_effect(&mut session.tx, db, found, args, savepoint);
    Ok(outcome)
}

/// Commits what was gathered, and asks to be run again on the I/O pool.
fn offload(session: &mut Session, output: &mut BytesMut, tier: Tier) -> Stop {
    session.commit(output, tier);
    Stop::Before(Next::Offload)
}

/// The same where scripts may run for long.
fn offload_script(session: &mut Session, output: &mut BytesMut, tier: Tier) -> Stop {
    session.commit(output, tier);
    Stop::Before(Next::OffloadScript)
}

/// Whether this runs Lua.
fn runs_scripts(session: &Session, found: Entry) -> bool {
    let queued = || session.state.multi.as_ref().is_some_and(transactions::Multi::runs_scripts);
    found.command.group == Group::Scripting || (found.command.name == "EXEC" && queued())
}

/// The locks to try next for what could not be run under those held: those of the keys that
/// the arguments name, or else all.
fn more_locks(session: &mut Session, found: Entry, args: &[&[u8]]) -> Wanted {
    let named = Wanted::Some(sorted(stripes(found, args)));
    let all = found.reads_other_keys() || session.tx.locks().holds_all(&named);
    if all { Wanted::All } else { named }
}

/// Takes locks beyond those held. Never waits while holding others: on contention what was
/// gathered is committed first. The inner error says that a script is in the way that has run for
/// too long to be waited for.
fn lock(
    session: &mut Session,
    wanted: &Wanted,
    output: &mut BytesMut,
    tier: Tier,
    settings: &Settings,
) -> Result<Result<()>, Stop> {
    if session.tx.locks().try_extend(wanted) {
        return Ok(Ok(()));
    }
    if !session.commit(output, tier) {
        return Err(Stop::Before(Next::Offload));
    }
    if session.tx.locks().try_extend(wanted) {
        return Ok(Ok(()));
    }
    match session.instance.busy_with(wanted, settings) {
        Some(script) => Ok(Err(Error::client(script.kind.busy()))),
        None => Err(Stop::Before(Next::Lock(wanted.clone()))),
    }
}

/// The outcome of a command that a running script keeps from being run.
fn refused(session: &mut Session, found: Entry, busy: &Error) -> Outcome {
    session.instance.observe.stats.rejected(found.index);
    if found.command.name != "EXEC" {
        return Outcome::Reply(error_reply(busy));
    }
    session.state.reset_transaction(&session.instance.watch);
    Reply::error(format!("EXECABORT Transaction discarded because of: {busy}")).into()
}

/// The locks a request needs before it runs; `None` for plain readers.
fn wanted_locks(session: &Session, found: Entry, args: &[&[u8]]) -> Option<Wanted> {
    let flags = found.command.flags;
    if flags.contains(Flags::EXCLUSIVE) || tracking::begins(found, &session.instance.tracking) {
        return Some(Wanted::All);
    }
    // Who registers interest in keys looks at them afterwards under their locks: a writer that
    // began before the registration, and so tells nobody, has then ended.
    let registers = found.command.name == "WATCH" || (session.waiting.is_some() && flags.contains(Flags::BLOCKING));
    if flags.contains(Flags::WRITE) || registers {
        return Some(Wanted::Some(sorted(stripes(found, args))));
    }
    if found.command.name == "EXEC" {
        return session.state.multi.as_ref().map(|multi| multi.wanted(&session.state, &session.instance.tracking));
    }
    None
}

fn stripes(found: Entry, args: &[&[u8]]) -> Stripes {
    let mut stripes = Stripes::new();
    found.for_each_key(args, |key, _| stripes.push(Stripe::of(key)));
    stripes
}

/// Keys that a reader found past their deadline are deleted now if their locks are free; the
/// expiry task finds them otherwise.
fn expire_what_reads_found(session: &mut Session, tier: Tier) {
    if !session.tx.has_lapsed() {
        return;
    }
    let lapsed = session.tx.take_lapsed();
    if session.instance.observe.clients.paused_until(true, session.now_us / 1000).is_some() {
        return;
    }
    for (db, user_key) in lapsed {
        let stripe = Wanted::Some(std::iter::once(Stripe::of(&user_key)).collect());
        if !session.tx.locks().try_extend(&stripe) {
            continue;
        }
        session.tx.start(tier, session.now_us / 1000);
        let savepoint = session.tx.savepoint();
        let key = session.tx.key(db, &user_key);
        if session.tx.record(&key).is_err() {
            session.tx.rollback(savepoint);
        }
    }
}

/// The reply that an error becomes.
pub(super) fn error_reply(error: &Error) -> Reply {
    match error {
        Error::Client(client) => Reply::error(client.to_string()),
        Error::Storage(_) | Error::Io { .. } | Error::InUse { .. } => {
            Reply::error(format!("MISCONF Ferrock cannot write to its disk: {error}"))
        }
        Error::Corruption { .. } | Error::Damaged { .. } => Reply::error(format!("ERR damaged data: {error}")),
        Error::NotInMemory | Error::WouldStall | Error::Undeclared => Reply::error("ERR internal: not run"),
    }
}

/// Owned copies of a request's words.
pub(super) fn owned(args: &[&[u8]]) -> Vec<Bytes> {
    args.iter().map(|arg| Bytes::copy_from_slice(arg)).collect()
}
