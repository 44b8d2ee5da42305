//! EVAL, EVALSHA, FCALL and their read-only forms: from the words of the call to a run of a
//! script, and its answer back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::debug;
use super::host::{Rights, ScriptHost};
use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result, clock};
use crate::commands::command::{Flags, flags};
use crate::commands::context::Context;
use crate::commands::instance::Instance;
use crate::commands::monitor::Source;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::table::Entry;
use crate::resp::Reply;
use crate::scripting::running::Kind;
use crate::scripting::{Answer, Halt, Libraries, Script, ScriptFlags, Sha, Words};
use crate::storage::Tier;

/// Digits of a script's name.
const SHA_DIGITS: usize = 40;

/// What a transaction changes of function libraries.
pub(super) const LIBRARIES: &str = "function libraries";

pub(super) fn eval(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    match context.session.debugging.mode {
        None => shown(context, args, call_eval),
        Some(mode) => debug::eval(context, args, mode),
    }
}

pub(super) fn evalsha(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    shown(context, args, call_evalsha)
}

pub(super) fn fcall(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    shown(context, args, call_fcall)
}

/// A call that is refused before a script is found for it is shown to who watches, as any is.
fn shown(
    context: &mut Context<'_>,
    args: &mut Args<'_>,
    call: impl FnOnce(&mut Context<'_>, &mut Args<'_>) -> Result<Outcome>,
) -> Result<Outcome> {
    let called = call(context, args);
    if let Err(Error::Client(_)) = &called {
        let (monitors, source) = (&context.instance.monitors, Source::Client(&context.session.client));
        monitors.show_script(clock::now_us(), context.session.db, source, context.entry, args.all());
    }
    called
}

fn call_eval(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let Call { script, words } = read_call(context, args)?;
    run_script(context, &script, words, args)
}

/// What EVAL is to run.
pub(super) struct Call<'a> {
    pub script: Arc<Script>,
    pub words: Words<'a>,
}

/// Reads the arguments of EVAL; a script that is new is compiled and remembered.
pub(super) fn read_call<'a>(context: &Context<'_>, args: &mut Args<'a>) -> Result<Call<'a>> {
    let body = args.next()?;
    let words = read_words(args, ClientError::NotInteger.into())?;
    let sha = Sha::of(body);
    let script = match context.instance.scripts.cache.get(&sha) {
        Some(script) => script,
        None => add_script(context, sha, body, true)?,
    };
    Ok(Call { script, words })
}

fn call_evalsha(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let none = || Error::client("NOSCRIPT No matching script. Please use EVAL.");
    let name = args.next()?;
    // What has not the length of a name is refused before the other arguments are looked at.
    if name.len() != SHA_DIGITS {
        return Err(none());
    }
    if context.session.debugging.mode.is_some() {
        return Err(Error::client("ERR Please use EVAL instead of EVALSHA for debugging"));
    }
    let words = read_words(args, ClientError::NotInteger.into())?;
    let script = Sha::parse(name).and_then(|sha| context.instance.scripts.cache.get(&sha)).ok_or_else(none)?;
    run_script(context, &script, words, args)
}

fn call_fcall(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let name = String::from_utf8_lossy(args.next()?).into_owned();
    let libraries = libraries(context);
    let found = libraries.function(&name).map(|(library, place)| (library.clone(), place));
    let (library, place) = found.ok_or_else(|| Error::client("ERR Function not found"))?;
    let words = read_words(args, Error::client("ERR Bad number of keys provided"))?;
    let function = library.functions.get(place).ok_or_else(|| Error::client("ERR Function not found"))?;
    let rights = rights(context, Some(function.flags))?;
    let kind = Kind::Function(function.name.clone());
    let (scripts, memory_bytes) = (context.instance.scripts.clone(), memory_limit(context));
    run(context, args, rights, &kind, |host| scripts.call((&library, place), words, memory_bytes, host))
}

/// What the script or function that a request calls declares of itself; `None` if it is not known, or
/// declares nothing.
pub(in crate::commands) fn declared_flags(instance: &Instance, entry: Entry, args: &[&[u8]]) -> Option<ScriptFlags> {
    let what = args.get(1)?;
    match entry.command.name {
        "EVAL" | "EVAL_RO" => Script::new(Sha::of(what), Bytes::copy_from_slice(what)).ok()?.flags,
        "EVALSHA" | "EVALSHA_RO" => instance.scripts.cache.get(&Sha::parse(what)?)?.flags,
        "FCALL" | "FCALL_RO" => {
            let libraries = instance.scripts.libraries();
            let (library, place) = libraries.function(&String::from_utf8_lossy(what))?;
            library.functions.get(place).map(|function| function.flags)
        }
        _ => None,
    }
}

/// The libraries as this transaction sees them.
pub(super) fn libraries(context: &Context<'_>) -> Arc<Libraries> {
    context.tx.fact(LIBRARIES).unwrap_or_else(|| context.instance.scripts.libraries())
}

/// Compiles a script and remembers it.
pub(super) fn add_script(context: &Context<'_>, sha: Sha, body: &[u8], evaluated: bool) -> Result<Arc<Script>> {
    let script = Script::new(sha, Bytes::copy_from_slice(body)).map_err(|text| Error::client(format!("ERR {text}")))?;
    let scripts = &context.instance.scripts;
    let refused = |text| Error::client(format!("ERR Error compiling script (new function): {text}"));
    scripts.check(&script).map_err(refused)?;
    let script = Arc::new(script);
    scripts.cache.add(script.clone(), evaluated);
    Ok(script)
}

/// The keys and the other arguments.
fn read_words<'a>(args: &mut Args<'a>, not_a_number: Error) -> Result<Words<'a>> {
    let count = parse_i64(args.next()?).ok_or(not_a_number)?;
    if count < 0 {
        return Err(Error::client("ERR Number of keys can't be negative"));
    }
    match usize::try_from(count) {
        Ok(count) if count <= args.remaining() => Ok(Words { keys: args.take(count)?, args: args.rest() }),
        _ => Err(Error::client("ERR Number of keys can't be greater than number of args")),
    }
}

/// What a script may do, by its own flags and the command that calls it.
pub(super) fn rights(context: &Context<'_>, flags: Option<ScriptFlags>) -> Result<Rights> {
    let reads_only = context.entry.command.flags.contains(Flags::READONLY);
    match flags {
        Some(flags) if reads_only && !flags.no_writes => {
            Err(Error::client("ERR Can not execute a script with write flag using *_ro command."))
        }
        Some(flags) => {
            if !flags.no_writes {
                context.instance.writes_allowed(flags!(WRITE | DENY_OOM), context.settings)?;
            }
            Ok(Rights { writes: !flags.no_writes })
        }
        None => Ok(Rights { writes: !reads_only }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits")]
pub(super) fn memory_limit(context: &Context<'_>) -> usize {
    context.settings.lua_memory_limit as usize
}

fn run_script(context: &mut Context<'_>, script: &Arc<Script>, words: Words<'_>, args: &Args<'_>) -> Result<Outcome> {
    let rights = rights(context, script.flags)?;
    if context.tx.tier() == Tier::Memory && script.slow.load(Ordering::Relaxed) {
        return Err(Error::NotInMemory);
    }
    let (scripts, memory_bytes) = (context.instance.scripts.clone(), memory_limit(context));
    let started_us = crate::base::clock::monotonic_us();
    let outcome = run(context, args, rights, &Kind::Script, |host| scripts.run(script, words, memory_bytes, host));
    let took_us = crate::base::clock::monotonic_us().saturating_sub(started_us);
    script.slow.store(took_us > SLOW_US, Ordering::Relaxed);
    outcome
}

/// A script that took longer is not tried on a network thread the next time.
const SLOW_US: u64 = 800;

/// Runs a script or function with a host that the transaction stands behind.
fn run(
    context: &mut Context<'_>,
    args: &Args<'_>,
    rights: Rights,
    kind: &Kind,
    work: impl FnOnce(&mut ScriptHost<'_, '_>) -> Result<Answer, Halt>,
) -> Result<Outcome> {
    let (db, protocol) = (context.session.db, context.session.protocol);
    let instance = context.instance.clone();
    let place = (context.tx.tier() == Tier::Disk)
        .then(|| instance.scripts.running.enter(kind.clone(), crate::commands::dispatch::owned(args.all())));
    let running = place.as_ref().map(|place| place.running.clone());
    let mut host = ScriptHost::new(context, rights, running, args.all());
    let result = host.begin().map_err(Halt::Again).and_then(|()| work(&mut host));
    let notes = host.end();
    context.session.select(db);
    context.session.protocol = protocol;
    let notes = notes?;
    let answer = match result {
        Ok(answer) => answer,
        Err(Halt::Again(error)) => return Err(error),
        Err(Halt::Killed(text)) => Answer { reply: Reply::error(format!("ERR {text}")), counted: false },
    };
    if context.tx.reads_are_consistent() {
        notes.tell(context, args.all(), answer.counted);
    }
    Ok(answer.reply.into())
}
