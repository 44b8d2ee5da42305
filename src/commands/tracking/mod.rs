//! Client-side caching: CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO, and what a session does
//! for it. Who is told of which key is in `table.rs`.

mod table;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use bytes::Bytes;

pub use table::TrackingTable;

use super::command::{Command, Flags, Group, flags};
use super::context::Context;
use super::grammar::{integer, one_of, text, token};
use super::outcome::Outcome;
use super::request::Args;
use super::session::SessionState;
use super::table::Entry;
use crate::base::{ClientError, Error, Result};
use crate::keyspace::Tx;
use crate::observe::Tracking;
use crate::resp::Reply;

pub(super) const CACHING: Command = Command {
    name: "CACHING",
    summary: "Decides whether the keys of the next command are tracked.",
    since: "6.0.0",
    complexity: "O(1)",
    flags: flags!(NOSCRIPT | LOADING | STALE),
    args: &[one_of("mode", &[token("yes", "YES"), token("no", "NO")])],
    run: caching,
    ..Command::of(Group::Connection)
};

pub(super) const GETREDIR: Command = Command {
    name: "GETREDIR",
    summary: "Tells which connection gets the invalidation messages of this one.",
    since: "6.0.0",
    complexity: "O(1)",
    flags: flags!(NOSCRIPT | LOADING | STALE),
    run: getredir,
    ..Command::of(Group::Connection)
};

pub(super) const TRACKING: Command = Command {
    name: "TRACKING",
    summary: "Switches the tracking of keys for client-side caching on or off.",
    since: "6.0.0",
    complexity: "O(1)",
    flags: flags!(NOSCRIPT | LOADING | STALE | SETTLED),
    args: &[
        one_of("status", &[token("on", "ON"), token("off", "OFF")]),
        integer("client-id").after("REDIRECT").optional(),
        text("prefix").after("PREFIX").many_with_token().optional(),
        token("bcast", "BCAST").optional(),
        token("optin", "OPTIN").optional(),
        token("optout", "OPTOUT").optional(),
        token("noloop", "NOLOOP").optional(),
    ],
    run: tracking,
    ..Command::of(Group::Connection)
};

pub(super) const TRACKINGINFO: Command = Command {
    name: "TRACKINGINFO",
    summary: "Describes how the keys of this connection are tracked.",
    since: "6.2.0",
    complexity: "O(1)",
    flags: flags!(NOSCRIPT | LOADING | STALE),
    run: trackinginfo,
    ..Command::of(Group::Connection)
};

/// What only the session itself has to know of its tracking; the rest is in its `Client`.
#[derive(Debug, Default)]
pub struct Tracked {
    /// Keys are tracked at all, by reading them.
    by_reading: bool,
    prefixes: BTreeSet<Bytes>,
    /// CLIENT CACHING came just before.
    caching: bool,
}

impl SessionState {
    /// A command is about to run: the keys it reads are to be remembered.
    pub(super) fn note_reads(&self, table: &TrackingTable, found: Entry, args: &[&[u8]]) {
        if self.tracks_reads_of(found) {
            found.for_each_key(args, |key, _| table.remember(self.client.id, key));
        }
    }

    /// The same inside a transaction that holds the locks of its keys: they are remembered in its
    /// commit, so that it tells the client nothing of what it did before they were read.
    pub(super) fn note_looks(&self, tx: &mut Tx, found: Entry, args: &[&[u8]]) {
        if self.tracks_reads_of(found) {
            found.for_each_key(args, |key, _| tx.look(key));
        }
    }

    fn tracks_reads_of(&self, found: Entry) -> bool {
        if !self.tracked.by_reading || !found.command.flags.contains(Flags::READONLY) {
            return false;
        }
        let how = self.client.tracking();
        let chosen = self.tracked.caching;
        !(how.contains(Tracking::OPT_IN) && !chosen || how.contains(Tracking::OPT_OUT) && chosen)
    }

    /// A command was run: what CLIENT CACHING said was about this one, or about a transaction that goes on.
    pub(super) fn end_caching(&mut self, found: Entry) {
        let of_client = found.name.starts_with("client|");
        if self.tracked.caching && self.multi.is_none() && !of_client {
            self.tracked.caching = false;
        }
    }

    /// Whether pushes come of this client's own commands: then they follow their replies one by one.
    pub(super) fn hears_itself(&self) -> bool {
        !self.subscriptions.is_empty() || self.client.tracking.load(Ordering::Relaxed) != 0
    }

    /// Ends tracking.
    pub(super) fn stop_tracking(&mut self, table: &TrackingTable) {
        if self.client.tracking().contains(Tracking::ON) {
            table.leave(self.client.id, &self.tracked.prefixes);
            self.tracked = Tracked::default();
            self.client.tracking.store(0, Ordering::Relaxed);
            self.client.redirect.store(0, Ordering::Relaxed);
        }
    }
}

/// Whether this command makes somebody the first to have keys tracked, which takes the exclusive lock.
pub(super) fn begins(found: Entry, table: &TrackingTable) -> bool {
    found.command.name == TRACKING.name && !table.in_use()
}

/// What CLIENT TRACKING was given.
#[derive(Default)]
struct Wish {
    how: Tracking,
    redirect: u64,
    prefixes: Vec<Bytes>,
}

fn tracking(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let switch = args.next()?.to_ascii_lowercase();
    let wish = wish(context, args)?;
    match switch.as_slice() {
        b"on" => {
            check(context.session, &wish)?;
            start(context, wish)?;
        }
        b"off" => context.session.stop_tracking(&context.instance.tracking),
        _ => return Err(ClientError::Syntax.into()),
    }
    Ok(Outcome::ok())
}

fn wish(context: &Context<'_>, args: &mut Args<'_>) -> Result<Wish> {
    let mut wish = Wish::default();
    while let Some(word) = args.next_if_any() {
        match word.to_ascii_uppercase().as_slice() {
            b"REDIRECT" if !args.is_empty() => {
                if wish.redirect != 0 {
                    return Err(Error::client("ERR A client can only redirect to a single other client"));
                }
                let id = u64::try_from(args.integer()?).ok();
                let there = id.filter(|id| context.instance.observe.clients.get(*id).is_some());
                wish.redirect =
                    there.ok_or_else(|| Error::client("ERR The client ID you want redirect to does not exist"))?;
            }
            b"PREFIX" if !args.is_empty() => wish.prefixes.push(Bytes::copy_from_slice(args.next()?)),
            b"BCAST" => wish.how |= Tracking::BROADCAST,
            b"OPTIN" => wish.how |= Tracking::OPT_IN,
            b"OPTOUT" => wish.how |= Tracking::OPT_OUT,
            b"NOLOOP" => wish.how |= Tracking::NO_LOOP,
            _ => return Err(ClientError::Syntax.into()),
        }
    }
    Ok(wish)
}

/// Which wishes do not go together, with each other or with what this connection has already.
fn check(state: &SessionState, wish: &Wish) -> Result<()> {
    let now = state.client.tracking();
    let broadcast = wish.how.contains(Tracking::BROADCAST);
    let switches = |from: Tracking, to: Tracking| now.contains(from) && wish.how.contains(to);
    let refusal = if !broadcast && !wish.prefixes.is_empty() {
        "ERR PREFIX option requires BCAST mode to be enabled"
    } else if now.contains(Tracking::ON) && now.contains(Tracking::BROADCAST) != broadcast {
        "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
    } else if broadcast && wish.how.intersects(Tracking::OPT_IN | Tracking::OPT_OUT) {
        "ERR OPTIN and OPTOUT are not compatible with BCAST"
    } else if wish.how.contains(Tracking::OPT_IN | Tracking::OPT_OUT) {
        "ERR You can't specify both OPTIN mode and OPTOUT mode"
    } else if switches(Tracking::OPT_IN, Tracking::OPT_OUT) || switches(Tracking::OPT_OUT, Tracking::OPT_IN) {
        "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
    } else {
        return if broadcast { check_prefixes(state, &wish.prefixes) } else { Ok(()) };
    };
    Err(Error::client(refusal))
}

fn check_prefixes(state: &SessionState, prefixes: &[Bytes]) -> Result<()> {
    let overlap = |one: &Bytes, other: &Bytes| one.starts_with(other) || other.starts_with(one);
    let refuse = |one: &Bytes, kind: &str, other: &Bytes| {
        let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
        Err(Error::client(format!(
            "ERR Prefix '{one}' overlaps with {kind} prefix '{other}'. Prefixes for a single client must not overlap."
        )))
    };
    for (place, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = state.tracked.prefixes.iter().find(|other| overlap(prefix, other)) {
            return refuse(prefix, "an existing", other);
        }
        if let Some(other) = prefixes.iter().skip(place + 1).find(|other| overlap(prefix, other)) {
            return refuse(prefix, "another provided", other);
        }
    }
    Ok(())
}

fn start(context: &mut Context<'_>, wish: Wish) -> Result<()> {
    let table = &context.instance.tracking;
    let state = &mut *context.session;
    if !table.enter(&state.client, context.tx.locks().is_exclusive()) {
        // The last other client left just now: to be run again, under the exclusive lock.
        return Err(Error::NotInMemory);
    }
    let broadcast = wish.how.contains(Tracking::BROADCAST);
    state.client.redirect.store(wish.redirect, Ordering::Relaxed);
    state.client.tracking.store((wish.how | Tracking::ON).bits(), Ordering::Relaxed);
    state.tracked.by_reading = !broadcast;
    if broadcast {
        let everything = wish.prefixes.is_empty() && state.tracked.prefixes.is_empty();
        for prefix in wish.prefixes.into_iter().chain(everything.then(Bytes::new)) {
            table.add_prefix(state.client.id, prefix.clone());
            state.tracked.prefixes.insert(prefix);
        }
    }
    Ok(())
}

fn caching(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let how = context.session.client.tracking();
    if !how.contains(Tracking::ON) {
        return Err(Error::client(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    }
    match args.next()?.to_ascii_lowercase().as_slice() {
        b"yes" if !how.contains(Tracking::OPT_IN) => {
            return Err(Error::client("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."));
        }
        b"no" if !how.contains(Tracking::OPT_OUT) => {
            return Err(Error::client("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."));
        }
        b"yes" | b"no" => context.session.tracked.caching = true,
        _ => return Err(ClientError::Syntax.into()),
    }
    Ok(Outcome::ok())
}

fn getredir(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    Ok(Outcome::integer(context.session.client.redirection()))
}

fn trackinginfo(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let client = &context.session.client;
    let tracked = &context.session.tracked;
    let how = client.tracking();
    let words = [
        (how.contains(Tracking::ON), "on"),
        (!how.contains(Tracking::ON), "off"),
        (how.contains(Tracking::BROADCAST), "bcast"),
        (how.contains(Tracking::OPT_IN), "optin"),
        (how.contains(Tracking::OPT_IN) && tracked.caching, "caching-yes"),
        (how.contains(Tracking::OPT_OUT), "optout"),
        (how.contains(Tracking::OPT_OUT) && tracked.caching, "caching-no"),
        (how.contains(Tracking::NO_LOOP), "noloop"),
        (how.contains(Tracking::BROKEN_REDIRECT), "broken_redirect"),
    ];
    let flags = words.iter().filter(|(set, _)| *set).map(|(_, word)| Reply::Static(word));
    Ok(Reply::named([
        ("flags", Reply::Set(flags.collect())),
        ("redirect", Reply::Integer(client.redirection())),
        ("prefixes", Reply::Bulks(tracked.prefixes.iter().cloned().collect())),
    ])
    .into())
}
