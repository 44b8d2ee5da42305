//! SCRIPT: the scripts that the server knows, and those that run.

use std::time::Duration;

use super::SCRIPTING;
use super::debug::set_mode;
use super::eval::add_script;
use crate::base::{Error, Result};
use crate::commands::command::{Command, Group, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{one_of, text, token};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::usage::help;
use crate::resp::Reply;
use crate::scripting::Sha;

/// The subcommands of SCRIPT.
pub(super) static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "DEBUG",
        summary: "Sets whether the next script is debugged, and whether what it writes is kept.",
        since: "3.2.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT),
        categories: SCRIPTING,
        args: &[one_of("mode", &[token("yes", "YES"), token("sync", "SYNC"), token("no", "NO")])],
        run: set_mode,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "EXISTS",
        summary: "Says which scripts the server knows.",
        since: "2.6.0",
        complexity: "O(N)",
        flags: flags!(NOSCRIPT),
        categories: SCRIPTING,
        args: &[text("sha1").many()],
        tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
        run: exists,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "FLUSH",
        summary: "Forgets all scripts.",
        since: "2.6.0",
        complexity: "O(N)",
        flags: flags!(NOSCRIPT),
        categories: SCRIPTING,
        args: &[one_of("flush_type", &[token("async", "ASYNC"), token("sync", "SYNC")]).optional().since("6.2.0")],
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: flush,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of SCRIPT.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        categories: SCRIPTING,
        run: help,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "KILL",
        summary: "Ends running scripts that have not written.",
        since: "2.6.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | ALLOW_BUSY),
        categories: SCRIPTING,
        tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
        run: kill,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "LOAD",
        summary: "Remembers a script and returns its SHA-1.",
        since: "2.6.0",
        complexity: "O(N)",
        flags: flags!(NOSCRIPT | STALE),
        categories: SCRIPTING,
        args: &[text("script")],
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: load,
        ..Command::of(Group::Scripting)
    },
];

fn exists(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let cache = &context.instance.scripts.cache;
    let known = |digits: &&[u8]| Sha::parse(digits).is_some_and(|sha| cache.get(&sha).is_some());
    Ok(Reply::Integers(args.rest().iter().map(|digits| i64::from(known(digits))).collect()).into())
}

fn flush(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let _ = args.accept("ASYNC") || args.accept("SYNC");
    if !args.is_empty() {
        return Err(Error::client("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    context.instance.scripts.cache.flush();
    Ok(Outcome::ok())
}

fn load(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let body = args.next()?;
    let sha = Sha::of(body);
    match context.instance.scripts.cache.get(&sha) {
        // SCRIPT LOAD keeps it for good, where EVAL did not.
        Some(script) => context.instance.scripts.cache.add(script, false),
        None => drop(add_script(context, sha, body, false)?),
    }
    Ok(Outcome::bulk(sha.hex()))
}

fn kill(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    kill_running(context, true)
}

/// SCRIPT KILL and FUNCTION KILL.
pub(super) fn kill_running(context: &Context<'_>, scripts: bool) -> Result<Outcome> {
    let threshold = Duration::from_millis(context.settings.busy_reply_threshold);
    let killed = context.instance.scripts.running.kill(scripts, threshold);
    killed.map_err(|refused| Error::client(refused.0))?;
    Ok(Outcome::ok())
}
