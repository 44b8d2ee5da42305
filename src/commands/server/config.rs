//! CONFIG: the parameters of the running server.

use crate::acl::Acl;
use crate::base::quoting::quote;
use crate::base::{ClientError, Error, Result};
use crate::commands::command::{Command, Group, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{block, text};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::usage::help;
use crate::resp::Reply;

/// The subcommands of CONFIG.
pub(super) static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "GET",
        summary: "Shows the parameters whose names match.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[text("parameter").many()],
        run: get,
        ..Command::of(Group::Server)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of CONFIG.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        run: help,
        ..Command::of(Group::Server)
    },
    Command {
        name: "RESETSTAT",
        summary: "Sets the statistics of INFO back to zero.",
        since: "2.0.0",
        complexity: "O(1)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        run: resetstat,
        ..Command::of(Group::Server)
    },
    Command {
        name: "REWRITE",
        summary: "Writes the running configuration back to its file, comments kept.",
        since: "2.8.0",
        complexity: "O(1)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        run: rewrite,
        ..Command::of(Group::Server)
    },
    Command {
        name: "SET",
        summary: "Changes parameters of the running server, all or none.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[block("parameter_value", &[text("parameter"), text("value")]).many()],
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: set,
        ..Command::of(Group::Server)
    },
];

fn get(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let patterns = args.rest();
    let found = context.instance.config.get(patterns);
    // A name asked for literally is shown as it was spelled.
    let spelled = |name: &'static str| {
        let literal = patterns.iter().find(|pattern| pattern.eq_ignore_ascii_case(name.as_bytes()));
        literal.map_or(Reply::Static(name), Reply::copy)
    };
    let pairs = found.into_iter().map(|(name, value)| (spelled(name), Reply::bulk(value)));
    Ok(Reply::Map(pairs.collect()).into())
}

fn set(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let words = args.rest();
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ClientError::Syntax.into());
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    let allowed = context.settings.enable_protected_configs.allows(context.session.client.local);
    let changed = context.instance.config.set(&pairs, allowed, &mut |changes| context.instance.apply(changes));
    changed.map_err(|error| Error::client(error.to_string()))?;
    context.instance.observe.clients.limit_output(&context.instance.config.load().client_output_buffer_limit);
    Ok(Outcome::ok())
}

fn resetstat(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    context.instance.observe.reset();
    context.instance.store.counters.reset();
    Ok(Outcome::ok())
}

fn rewrite(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let users = context.settings.aclfile.is_empty().then(|| users_to_keep(context));
    let written = context.instance.config.rewrite(users.as_deref());
    written.map_err(|error| Error::client(error.to_string()))?;
    Ok(Outcome::ok())
}

/// The users as lines of the configuration, words quoted where they must be. None while there
/// is only the default user as `requirepass` alone makes it.
fn users_to_keep(context: &Context<'_>) -> Vec<String> {
    let acl = &context.instance.acl;
    let plain = Acl::new(acl.catalogue());
    plain.set_default_password(&context.settings.requirepass);
    let lines = acl.lines();
    if lines == plain.lines() {
        return Vec::new();
    }
    let word =
        |word: &[u8]| match word.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\')) {
            true => String::from_utf8_lossy(word).into_owned(),
            false => quote(word),
        };
    let words = |line: &Vec<u8>| line.split(|byte| *byte == b' ').map(word).collect::<Vec<_>>().join(" ");
    lines.iter().map(words).collect()
}
