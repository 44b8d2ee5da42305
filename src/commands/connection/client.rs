//! CLIENT: what the server knows of connections, and how to end or hold them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result, clock};
use crate::commands::blocking::GiveUp;
use crate::commands::command::{Command, Group, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{Arg, integer, one_of, text, token};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::session::ReplyMode;
use crate::commands::table::TABLE;
use crate::commands::tracking;
use crate::commands::usage::help;
use crate::observe::{Client, ClientKind, Pause, Tracking};
use crate::resp::Reply;

/// The subcommands of CLIENT.
pub(super) static SUBCOMMANDS: &[Command] = &[
    tracking::CACHING,
    tracking::GETREDIR,
    tracking::TRACKING,
    tracking::TRACKINGINFO,
    Command {
        name: "GETNAME",
        summary: "Tells the name this connection was given.",
        since: "2.6.9",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE),
        run: getname,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of CLIENT.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        run: help,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "ID",
        summary: "Tells the number of this connection.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE),
        run: id,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "INFO",
        summary: "Describes this connection in one line.",
        since: "6.2.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE),
        tips: &["nondeterministic_output"],
        run: info,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "KILL",
        summary: "Closes the connections that match all given filters.",
        since: "2.4.0",
        complexity: "O(N)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[one_of(
            "filter",
            &[
                text("ip:port"),
                one_of(
                    "new-format",
                    &[
                        integer("client-id").after("ID").since("2.8.12"),
                        one_of(
                            "client-type",
                            &[
                                token("normal", "NORMAL"),
                                token("master", "MASTER").since("3.2.0"),
                                token("slave", "SLAVE"),
                                token("replica", "REPLICA").since("5.0.0"),
                                token("pubsub", "PUBSUB"),
                            ],
                        )
                        .after("TYPE")
                        .since("2.8.12"),
                        text("username").after("USER").since("6.0.0"),
                        text("ip:port").after("ADDR"),
                        text("ip:port").after("LADDR").since("6.2.0"),
                        one_of("skipme", &[token("yes", "YES"), token("no", "NO")]).after("SKIPME"),
                        integer("maxage").after("MAXAGE").since("7.4.0"),
                    ],
                )
                .many(),
            ],
        )],
        run: kill,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "LIST",
        summary: "Describes the open connections, one line each.",
        since: "2.4.0",
        complexity: "O(N)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[
            one_of(
                "client-type",
                &[
                    token("normal", "NORMAL"),
                    token("master", "MASTER"),
                    token("replica", "REPLICA"),
                    token("pubsub", "PUBSUB"),
                ],
            )
            .after("TYPE")
            .optional()
            .since("5.0.0"),
            integer("client-id").after("ID").many().optional().since("6.2.0"),
        ],
        tips: &["nondeterministic_output"],
        run: list,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "NO-EVICT",
        summary: "Exempts this connection from being closed when client buffers use too much memory.",
        since: "7.0.0",
        complexity: "O(1)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[ENABLED],
        run: no_evict,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "NO-TOUCH",
        summary: "Keeps this connection's reads from counting as use of the keys.",
        since: "7.2.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE),
        args: &[ENABLED],
        run: no_touch,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "PAUSE",
        summary: "Holds back the commands of all clients for a while.",
        since: "3.0.0",
        complexity: "O(1)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[
            integer("timeout"),
            one_of("mode", &[token("write", "WRITE"), token("all", "ALL")]).optional().since("6.2.0"),
        ],
        run: pause,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "REPLY",
        summary: "Switches the replies to this connection on or off.",
        since: "3.2.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE),
        args: &[one_of("on_off_skip", &[token("on", "ON"), token("off", "OFF"), token("skip", "SKIP")])],
        run: reply,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "SETINFO",
        summary: "Records the name or version of the client library behind this connection.",
        since: "7.2.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE),
        args: &[one_of("attr", &[text("libname").after("LIB-NAME"), text("libver").after("LIB-VER")])],
        run: setinfo,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "SETNAME",
        summary: "Gives this connection a name.",
        since: "2.6.9",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE),
        args: &[text("connection-name")],
        run: setname,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "UNBLOCK",
        summary: "Ends the waiting of another client's blocking command.",
        since: "5.0.0",
        complexity: "O(log(N))",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[
            integer("client-id"),
            one_of("timeout_error", &[token("timeout", "TIMEOUT"), token("error", "ERROR")]).optional(),
        ],
        run: unblock,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "UNPAUSE",
        summary: "Lets the commands held back by CLIENT PAUSE go on.",
        since: "6.2.0",
        complexity: "O(N)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        run: unpause,
        ..Command::of(Group::Connection)
    },
];

const ENABLED: Arg = one_of("enabled", &[token("on", "ON"), token("off", "OFF")]);

fn id(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    Ok(Reply::Integer(context.session.client.id as i64).into())
}

fn getname(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let name = context.session.client.name.read().clone();
    Ok(Outcome::optional(Some(name).filter(|name| !name.is_empty())))
}

fn setname(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    *context.session.client.name.write() = checked_name(args.next()?, "Client names")?;
    Ok(Outcome::ok())
}

/// A name that CLIENT LIST can show in its line.
pub(super) fn checked_name(name: &[u8], what: &str) -> Result<Bytes> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(Bytes::copy_from_slice(name));
    }
    Err(Error::client(format!("ERR {what} cannot contain spaces, newlines or special characters.")))
}

fn setinfo(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let attribute = args.next()?;
    let value = args.next()?;
    let client = &context.session.client;
    if attribute.eq_ignore_ascii_case(b"lib-name") {
        *client.library_name.write() = checked_name(value, "lib-name")?;
    } else if attribute.eq_ignore_ascii_case(b"lib-ver") {
        *client.library_version.write() = checked_name(value, "lib-ver")?;
    } else {
        let shown = String::from_utf8_lossy(attribute);
        return Err(Error::client(format!("ERR Unrecognized option '{shown}'")));
    }
    Ok(Outcome::ok())
}

fn info(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    context.session.show(context.entry.index);
    let line = describe(&context.session.client, clock::now_ms());
    Ok(Reply::verbatim(line + "\n").into())
}

fn list(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    context.session.show(context.entry.index);
    let clients = &context.instance.observe.clients;
    let chosen = match args.next_if_any() {
        None => clients.all(),
        Some(word) if word.eq_ignore_ascii_case(b"TYPE") && args.remaining() == 1 => {
            let kind = kind(args.next()?)?;
            clients.all().into_iter().filter(|client| Some(client.kind()) == kind).collect()
        }
        Some(word) if word.eq_ignore_ascii_case(b"ID") && !args.is_empty() => {
            let mut chosen = Vec::new();
            for word in args.rest() {
                let id = parse_i64(word).ok_or_else(|| Error::client("ERR Invalid client ID"))?;
                chosen.extend(u64::try_from(id).ok().and_then(|id| clients.get(id)));
            }
            chosen
        }
        Some(_) => return Err(ClientError::Syntax.into()),
    };
    let now_ms = clock::now_ms();
    // Who is to be closed is gone for everybody else.
    let chosen = chosen.iter().filter(|client| !client.is_killed());
    let lines: String = chosen.map(|client| describe(client, now_ms) + "\n").collect();
    Ok(Reply::verbatim(lines).into())
}

/// A client type by its word; `None` for masters, of which there are none.
fn kind(word: &[u8]) -> Result<Option<ClientKind>> {
    match word.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(Some(ClientKind::Normal)),
        b"pubsub" => Ok(Some(ClientKind::PubSub)),
        b"replica" | b"slave" => Ok(Some(ClientKind::Replica)),
        b"master" => Ok(None),
        _ => Err(Error::client(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(word)))),
    }
}

/// The least and the most that `rbs` of CLIENT LIST tells: the size of Redis' fixed reply buffer.
const REPLY_BUFFER_BYTES: (usize, usize) = (1 << 10, 16 << 10);
/// The most that `argv-mem` tells: arguments lie in the query buffer and cost nothing apart.
const ARGUMENT_BYTES: usize = 16 << 10;

/// One line of CLIENT LIST.
pub(in crate::commands) fn describe(client: &Client, now_ms: u64) -> String {
    let seconds_since = |then_ms: u64| now_ms.saturating_sub(then_ms) / 1000;
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let command = TABLE.entries().get(client.last_command.load(Ordering::Relaxed) as usize);
    let queued = client.queued.load(Ordering::Relaxed);
    let load = |number: &std::sync::atomic::AtomicUsize| number.load(Ordering::Relaxed);
    let query = load(&client.input_bytes);
    let reply_buffer = load(&client.output_capacity).clamp(REPLY_BUFFER_BYTES.0, REPLY_BUFFER_BYTES.1);
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} qbuf={} \
         qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={} oll={} omem={} tot-mem={} events=r cmd={} user={} \
         redir={} resp={} lib-name={} lib-ver={}",
        client.id,
        client.address,
        client.local_address,
        client.file_descriptor,
        text(&client.name.read()),
        seconds_since(client.created_ms),
        seconds_since(client.last_active_ms.load(Ordering::Relaxed)),
        flag_letters(client, queued >= 0),
        client.db.load(Ordering::Relaxed),
        load(&client.channels),
        load(&client.patterns),
        load(&client.shard_channels),
        queued,
        query,
        load(&client.input_capacity).saturating_sub(query),
        query.min(ARGUMENT_BYTES),
        load(&client.queued_bytes),
        reply_buffer,
        reply_buffer,
        load(&client.output_bytes),
        client.outbox.len(),
        client.outbox.bytes(),
        client.memory_bytes(),
        command.map_or("NULL", |entry| &entry.name),
        text(&client.user.read()),
        client.redirection(),
        client.protocol.load(Ordering::Relaxed),
        text(&client.library_name.read()),
        text(&client.library_version.read()),
    )
}

fn flag_letters(client: &Client, in_multi: bool) -> String {
    let tracking = client.tracking();
    let flags = [
        (client.monitoring.load(Ordering::Relaxed), 'O'),
        (client.kind() == ClientKind::Replica, 'S'),
        (client.kind() == ClientKind::PubSub, 'P'),
        (in_multi, 'x'),
        (client.waits(), 'b'),
        (tracking.contains(Tracking::ON), 't'),
        (tracking.contains(Tracking::BROKEN_REDIRECT), 'R'),
        (tracking.contains(Tracking::BROADCAST), 'B'),
        (client.closes_after_reply(), 'c'),
        (client.local_address.ends_with(":0"), 'U'),
        (client.no_evict.load(Ordering::Relaxed), 'e'),
        (client.no_touch.load(Ordering::Relaxed), 'T'),
    ];
    let letters: String = flags.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect();
    if letters.is_empty() { "N".into() } else { letters }
}

/// Which clients CLIENT KILL is about.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    kind: Option<Option<ClientKind>>,
    least_age_seconds: Option<u64>,
    keep_self: bool,
}

impl Filter<'_> {
    fn matches(&self, client: &Client, own_id: u64, now_ms: u64) -> bool {
        let age_seconds = now_ms.saturating_sub(client.created_ms) / 1000;
        self.id.is_none_or(|id| client.id == id)
            && self.address.is_none_or(|address| client.address.as_bytes() == address)
            && self.local_address.is_none_or(|address| client.local_address.as_bytes() == address)
            && self.user.is_none_or(|user| *client.user.read() == user)
            && self.kind.is_none_or(|kind| kind == Some(client.kind()))
            && self.least_age_seconds.is_none_or(|least| age_seconds >= least)
            && !(self.keep_self && client.id == own_id)
    }
}

fn kill(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    if args.remaining() == 1 {
        let filter = Filter { address: Some(args.next()?), ..Filter::default() };
        return match kill_matching(context, &filter) {
            0 => Err(Error::client("ERR No such client")),
            _ => Ok(Outcome::ok()),
        };
    }
    let filter = kill_filter(context, args)?;
    Ok(Outcome::count(kill_matching(context, &filter)))
}

fn kill_filter<'a>(context: &Context<'_>, args: &mut Args<'a>) -> Result<Filter<'a>> {
    let mut filter = Filter { keep_self: true, ..Filter::default() };
    while !args.is_empty() {
        let option = args.next()?.to_ascii_uppercase();
        let value = args.next()?;
        match option.as_slice() {
            b"ID" => {
                let id = parse_i64(value).filter(|id| *id > 0);
                let id = id.ok_or_else(|| Error::client("ERR client-id should be greater than 0"))?;
                filter.id = Some(id.unsigned_abs());
            }
            b"ADDR" => filter.address = Some(value),
            b"LADDR" => filter.local_address = Some(value),
            b"TYPE" => filter.kind = Some(kind(value)?),
            b"USER" => {
                if context.instance.acl.get(value).is_none() {
                    let shown = String::from_utf8_lossy(value);
                    return Err(Error::client(format!("ERR No such user '{shown}'")));
                }
                filter.user = Some(value);
            }
            b"SKIPME" => {
                filter.keep_self = match value.to_ascii_lowercase().as_slice() {
                    b"yes" => true,
                    b"no" => false,
                    _ => return Err(ClientError::Syntax.into()),
                }
            }
            b"MAXAGE" => {
                let age = parse_i64(value).filter(|age| *age > 0);
                let age = age.ok_or_else(|| Error::client("ERR maxage is not an integer or out of range"))?;
                filter.least_age_seconds = Some(age.unsigned_abs());
            }
            _ => return Err(ClientError::Syntax.into()),
        }
    }
    Ok(filter)
}

/// Kills all that match; this connection itself is closed after its reply.
fn kill_matching(context: &Context<'_>, filter: &Filter<'_>) -> usize {
    let own_id = context.session.client.id;
    let now_ms = clock::now_ms();
    let all = context.instance.observe.clients.all();
    let matching: Vec<&Arc<Client>> = all.iter().filter(|client| filter.matches(client, own_id, now_ms)).collect();
    for client in &matching {
        if client.id == own_id { client.close_after_reply() } else { client.kill() }
    }
    matching.len()
}

fn on_or_off(args: &mut Args<'_>) -> Result<bool> {
    match args.next()?.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(ClientError::Syntax.into()),
    }
}

fn no_evict(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    context.session.client.no_evict.store(on_or_off(args)?, Ordering::Relaxed);
    Ok(Outcome::ok())
}

fn no_touch(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    context.session.client.no_touch.store(on_or_off(args)?, Ordering::Relaxed);
    Ok(Outcome::ok())
}

fn pause(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let time = args.next()?;
    let writes_only = match args.next_if_any() {
        None => false,
        Some(mode) if mode.eq_ignore_ascii_case(b"WRITE") => true,
        Some(mode) if mode.eq_ignore_ascii_case(b"ALL") => false,
        Some(_) => return Err(Error::client("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let time = parse_i64(time).ok_or_else(|| Error::client("ERR timeout is not an integer or out of range"))?;
    let time = u64::try_from(time).map_err(|_| Error::client("ERR timeout is negative"))?;
    let until_ms = clock::now_ms().checked_add(time);
    let until_ms = until_ms.ok_or_else(|| Error::client("ERR timeout is out of range"))?;
    context.instance.observe.clients.pause(Pause { until_ms, writes_only });
    Ok(Outcome::ok())
}

fn unblock(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let id = args.integer()?;
    let how = match args.next_if_any() {
        None => GiveUp::Timeout,
        Some(word) if word.eq_ignore_ascii_case(b"TIMEOUT") => GiveUp::Timeout,
        Some(word) if word.eq_ignore_ascii_case(b"ERROR") => GiveUp::Unblocked,
        Some(_) => return Err(Error::client("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let client = u64::try_from(id).ok().and_then(|id| context.instance.observe.clients.get(id));
    let Some(client) = client.filter(|client| client.blocked.load(Ordering::Acquire)) else {
        return Ok(Outcome::flag(false));
    };
    how.ask(&client);
    Ok(Outcome::flag(true))
}

fn unpause(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    context.instance.observe.clients.unpause();
    Ok(Outcome::ok())
}

fn reply(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    match args.next()?.to_ascii_lowercase().as_slice() {
        b"on" => {
            context.session.reply_mode = ReplyMode::On;
            Ok(Outcome::ok())
        }
        b"off" => {
            context.session.reply_mode = ReplyMode::Off;
            Ok(Reply::Silent.into())
        }
        b"skip" => {
            if context.session.reply_mode != ReplyMode::Off {
                context.session.reply_mode = ReplyMode::SkipNext;
            }
            Ok(Reply::Silent.into())
        }
        _ => Err(ClientError::Syntax.into()),
    }
}

impl crate::commands::session::SessionState {
    /// Lets others see what only this session knows.
    pub(in crate::commands) fn show(&self, command: usize) {
        self.client.last_command.store(command as u32, Ordering::Relaxed);
        self.show_transaction();
    }
}
