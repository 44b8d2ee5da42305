//! The pub/sub family. Subscriptions live in the session and in the hub
//! (`pubsub/`); a published message travels with the transaction, so that it is said once, after
//! the writes before it are true and however often its command was run.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::command::{Category, Command, Group, flags};
use super::context::Context;
use super::grammar::{Access, key, pattern, text};
use super::outcome::Outcome;
use super::request::Args;
use super::session::SessionState;
use super::usage::help;
use crate::base::{Error, Result};
use crate::keyspace::Message;
use crate::observe::Client;
use crate::pubsub::{Hub, Kind, Subscriber};
use crate::resp::{Protocol, Push, Reply};

pub static COMMANDS: &[Command] = &[
    Command {
        name: "PSUBSCRIBE",
        summary: "Subscribes to all channels that match a pattern.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE | SETTLED | LISTENING),
        args: &[pattern("pattern").many()],
        run: psubscribe,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "PUBLISH",
        summary: "Sends a message to all who have subscribed to a channel.",
        since: "2.0.0",
        complexity: "O(N+M)",
        flags: flags!(PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE),
        args: &[text("channel"), text("message")],
        run: publish,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "PUBSUB",
        summary: "Holds the subcommands about channels and their subscribers.",
        since: "2.8.0",
        subcommands: SUBCOMMANDS,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "PUNSUBSCRIBE",
        summary: "Gives up subscriptions to patterns, or all of them.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE | SETTLED | LISTENING),
        args: &[pattern("pattern").many().optional()],
        run: punsubscribe,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "SPUBLISH",
        summary: "Sends a message to all who have subscribed to a shard channel.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE),
        args: &[key("shardchannel", Access::Channel), text("message")],
        run: spublish,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "SSUBSCRIBE",
        summary: "Subscribes to shard channels.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE | SETTLED | LISTENING),
        args: &[key("shardchannel", Access::Channel).many()],
        run: ssubscribe,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "SUBSCRIBE",
        summary: "Subscribes to channels.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE | SETTLED | LISTENING),
        args: &[text("channel").many()],
        run: subscribe,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "SUNSUBSCRIBE",
        summary: "Gives up subscriptions to shard channels, or all of them.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE | SETTLED | LISTENING),
        args: &[key("shardchannel", Access::Channel).many().optional()],
        run: sunsubscribe,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "UNSUBSCRIBE",
        summary: "Gives up subscriptions to channels, or all of them.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | NOSCRIPT | LOADING | STALE | SETTLED | LISTENING),
        args: &[text("channel").many().optional()],
        run: unsubscribe,
        ..Command::of(Group::PubSub)
    },
];

static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "CHANNELS",
        summary: "Lists the channels that have subscribers.",
        since: "2.8.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | LOADING | STALE),
        args: &[pattern("pattern").optional()],
        run: channels,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of PUBSUB.",
        since: "6.2.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        categories: Some(Category::empty()),
        run: help,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "NUMPAT",
        summary: "Counts the patterns that have subscribers.",
        since: "2.8.0",
        complexity: "O(1)",
        flags: flags!(PUBSUB | LOADING | STALE),
        run: numpat,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "NUMSUB",
        summary: "Counts the subscribers of channels.",
        since: "2.8.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | LOADING | STALE),
        args: &[text("channel").many().optional()],
        run: numsub,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "SHARDCHANNELS",
        summary: "Lists the shard channels that have subscribers.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | LOADING | STALE),
        args: &[pattern("pattern").optional()],
        run: shardchannels,
        ..Command::of(Group::PubSub)
    },
    Command {
        name: "SHARDNUMSUB",
        summary: "Counts the subscribers of shard channels.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(PUBSUB | LOADING | STALE),
        args: &[text("shardchannel").many().optional()],
        run: shardnumsub,
        ..Command::of(Group::PubSub)
    },
];

impl Subscriber for Client {
    fn deliver(&self, message: &Push) {
        self.push(message.clone());
    }
}

impl SessionState {
    /// Whether most commands are refused: a RESP2 client could not tell their replies from messages.
    pub(super) fn only_listens(&self) -> bool {
        self.protocol == Protocol::Resp2 && !self.subscriptions.is_empty()
    }

    /// Gives all subscriptions up.
    pub(super) fn leave_channels(&mut self, hub: &Hub<Client>) {
        if !self.subscriptions.is_empty() {
            self.subscriptions.leave_all(hub, &self.client);
            self.show_subscriptions();
            self.pushes_first = true;
        }
    }

    /// Lets others see how many there are.
    fn show_subscriptions(&self) {
        let client = &self.client;
        for (kind, shown) in Kind::ALL.into_iter().zip([&client.channels, &client.patterns, &client.shard_channels]) {
            shown.store(self.subscriptions.count(kind), Ordering::Relaxed);
        }
    }

    /// What a confirmation tells: shard channels are counted apart from all others.
    fn subscription_count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.subscriptions.count(Kind::Shard),
            _ => self.subscriptions.count(Kind::Channel) + self.subscriptions.count(Kind::Pattern),
        }
    }
}

fn subscribe(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    enter(context, args, Kind::Channel, "subscribe")
}

fn psubscribe(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    enter(context, args, Kind::Pattern, "psubscribe")
}

fn ssubscribe(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    enter(context, args, Kind::Shard, "ssubscribe")
}

fn unsubscribe(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    leave(context, args, Kind::Channel, "unsubscribe")
}

fn punsubscribe(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    leave(context, args, Kind::Pattern, "punsubscribe")
}

fn sunsubscribe(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    leave(context, args, Kind::Shard, "sunsubscribe")
}

/// Subscribes; each name has a confirmation of its own.
fn enter(context: &mut Context<'_>, args: &mut Args<'_>, kind: Kind, word: &'static str) -> Result<Outcome> {
    let state = &mut *context.session;
    let mut confirmations = Vec::with_capacity(args.remaining());
    for name in args.rest() {
        let name = Bytes::copy_from_slice(name);
        state.subscriptions.enter(&context.instance.pubsub, &state.client, kind, &name);
        confirmations.push(confirmation(word, Reply::Bulk(name), state.subscription_count(kind)));
    }
    state.show_subscriptions();
    Ok(Reply::Several(confirmations).into())
}

/// Gives up the subscriptions named, or all of the kind. What came of them is sent before they are confirmed.
fn leave(context: &mut Context<'_>, args: &mut Args<'_>, kind: Kind, word: &'static str) -> Result<Outcome> {
    let state = &mut *context.session;
    let mut names: Vec<Bytes> = args.rest().iter().map(|name| Bytes::copy_from_slice(name)).collect();
    if names.is_empty() {
        names = state.subscriptions.names(kind);
    }
    let mut confirmations = Vec::with_capacity(names.len().max(1));
    for name in names {
        state.subscriptions.leave(&context.instance.pubsub, &state.client, kind, &name);
        confirmations.push(confirmation(word, Reply::Bulk(name), state.subscription_count(kind)));
    }
    if confirmations.is_empty() {
        confirmations.push(confirmation(word, Reply::Nil, state.subscription_count(kind)));
    }
    state.show_subscriptions();
    state.pushes_first = true;
    Ok(Reply::Several(confirmations).into())
}

fn confirmation(word: &'static str, name: Reply, count: usize) -> Reply {
    Reply::Push(vec![Reply::Static(word), name, Reply::count(count)])
}

fn publish(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    send(context, args, Kind::Channel)
}

fn spublish(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    send(context, args, Kind::Shard)
}

fn send(context: &mut Context<'_>, args: &mut Args<'_>, kind: Kind) -> Result<Outcome> {
    let channel = Bytes::copy_from_slice(args.next()?);
    let payload = Bytes::copy_from_slice(args.next()?);
    let receivers = context.instance.pubsub.receivers(kind, &channel);
    context.replicate_as(args.all());
    if receivers > 0 {
        context.tx.publish_message(Message { channel, payload, sharded: kind == Kind::Shard });
    }
    Ok(Outcome::count(receivers))
}

fn channels(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    names(context, args, Kind::Channel)
}

fn shardchannels(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    names(context, args, Kind::Shard)
}

fn names(context: &mut Context<'_>, args: &mut Args<'_>, kind: Kind) -> Result<Outcome> {
    let pattern = args.next_if_any();
    if !args.is_empty() {
        let word = String::from_utf8_lossy(args.all().get(1).copied().unwrap_or_default());
        return Err(Error::client(format!(
            "ERR unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB HELP."
        )));
    }
    Ok(Reply::Bulks(context.instance.pubsub.names(kind, pattern)).into())
}

fn numpat(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    Ok(Outcome::count(context.instance.pubsub.count(Kind::Pattern)))
}

fn numsub(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    audience_sizes(context, args, Kind::Channel)
}

fn shardnumsub(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    audience_sizes(context, args, Kind::Shard)
}

fn audience_sizes(context: &mut Context<'_>, args: &mut Args<'_>, kind: Kind) -> Result<Outcome> {
    let size = |name: &&[u8]| Reply::count(context.instance.pubsub.subscribers(kind, name));
    Ok(Reply::array(args.rest().iter().flat_map(|name| [Reply::copy(name), size(name)])).into())
}
