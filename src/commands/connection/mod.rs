//! The connection family: who the client is, what it speaks, which database it works on.
//! CLIENT is in `client.rs`.

mod client;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) use client::describe;

use super::command::{Command, Group, flags};
use super::context::Context;
use super::grammar::{block, integer, text};
use super::outcome::Outcome;
use super::permission;
use super::request::Args;
use super::session::{ReplyMode, SessionState};
use crate::acl::User;
use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result};
use crate::resp::{Protocol, Reply};

/// What clients and frameworks switch features by.
pub const REDIS_VERSION: &str = "7.2.4";

pub static COMMANDS: &[Command] = &[
    Command {
        name: "AUTH",
        summary: "Logs the connection in with a password, or a user name and password.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY),
        args: &[text("username").optional().since("6.0.0"), text("password")],
        run: auth,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "CLIENT",
        summary: "Holds the subcommands about client connections.",
        since: "2.4.0",
        subcommands: client::SUBCOMMANDS,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "ECHO",
        summary: "Sends the message back.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE | FAST),
        args: &[text("message")],
        run: echo,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "HELLO",
        summary: "Agrees on the protocol version, and can log in and name the connection.",
        since: "6.0.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY),
        args: &[block(
            "arguments",
            &[
                integer("protover"),
                block("username_password", &[text("username"), text("password")]).after("AUTH").optional(),
                text("clientname").after("SETNAME").optional(),
            ],
        )
        .optional()],
        run: hello,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "PING",
        summary: "Answers PONG, or the message given.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(FAST | LISTENING),
        args: &[text("message").optional()],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: ping,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "QUIT",
        summary: "Closes the connection after the replies that are due.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY | LISTENING),
        arity: Some(-1),
        deprecated: Some(("7.2.0", "closing the connection")),
        run: quit,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "RESET",
        summary: "Puts the connection back to how it began.",
        since: "6.2.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY | SETTLED | LISTENING),
        run: reset,
        ..Command::of(Group::Connection)
    },
    Command {
        name: "SELECT",
        summary: "Switches the connection to another database.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE | FAST),
        args: &[integer("index")],
        run: select,
        ..Command::of(Group::Connection)
    },
];

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

fn auth(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let first = args.next()?;
    let second = args.next_if_any();
    args.finish()?;
    let (user, password) = match second {
        Some(password) => (first, password),
        None => {
            if context.instance.acl.default_user().rules().needs_no_password() {
                return Err(Error::client(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
                ));
            }
            (&b"default"[..], first)
        }
    };
    log_in(context, word_of(args), user, password)?;
    Ok(Outcome::ok())
}

/// `word` is the command as the client spelled it, for the log of refusals.
fn log_in(context: &mut Context<'_>, word: &[u8], name: &[u8], password: &[u8]) -> Result<()> {
    let Some(user) = context.instance.acl.log_in(name, password) else {
        permission::note_failed_login(context.instance, context.session, context.entry, word, name);
        return Err(Error::client(WRONG_PASSWORD));
    };
    context.session.become_user(user, true);
    Ok(())
}

/// The command as the client spelled it.
fn word_of<'a>(args: &Args<'a>) -> &'a [u8] {
    args.all().first().copied().unwrap_or_default()
}

fn echo(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    Ok(Reply::copy(args.next()?).into())
}

fn ping(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let message = args.next_if_any();
    if !args.is_empty() {
        return Err(ClientError::Arity(context.command_name().into()).into());
    }
    if context.session.only_listens() {
        let message = message.map_or(Reply::Static(""), Reply::copy);
        return Ok(Reply::array([Reply::Static("pong"), message]).into());
    }
    Ok(message.map_or_else(|| Reply::simple("PONG"), Reply::copy).into())
}

fn quit(_: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    Ok(Outcome::Close(Reply::Ok))
}

fn select(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let db = args.integer()?;
    let db = u32::try_from(db).ok().filter(|db| *db < context.instance.store.database_count());
    context.session.select(db.ok_or(ClientError::DbIndexOutOfRange)?);
    Ok(Outcome::ok())
}

fn reset(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let state = &mut *context.session;
    state.reset_transaction(&context.instance.watch);
    state.hear_nothing(context.instance);
    state.select(0);
    state.speak(Protocol::Resp2);
    // A SKIP before it holds for its own reply still.
    if state.reply_mode != ReplyMode::Skip {
        state.reply_mode = ReplyMode::On;
    }
    state.client.no_evict.store(false, Ordering::Relaxed);
    state.client.no_touch.store(false, Ordering::Relaxed);
    let user = context.instance.acl.default_user().clone();
    let authenticated = user.is_open();
    state.become_user(user, authenticated);
    *state.client.name.write() = bytes::Bytes::new();
    Ok(Reply::simple("RESET").into())
}

fn hello(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let protocol = match args.next_if_any() {
        None => None,
        Some(version) => Some(protocol(version)?),
    };
    let mut login = None;
    let mut name = None;
    while let Some(option) = args.next_if_any() {
        if option.eq_ignore_ascii_case(b"AUTH") && args.remaining() >= 2 {
            login = Some((args.next()?, args.next()?));
        } else if option.eq_ignore_ascii_case(b"SETNAME") && !args.is_empty() {
            name = Some(client::checked_name(args.next()?, "Client names")?);
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(Error::client(format!("ERR Syntax error in HELLO option '{option}'")));
        }
    }
    if let Some((user, password)) = login {
        log_in(context, word_of(args), user, password)?;
    }
    if !context.session.authenticated {
        return Err(Error::client(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        *context.session.client.name.write() = name;
    }
    if let Some(protocol) = protocol {
        context.session.speak(protocol);
    }
    Ok(greeting(context.session).into())
}

fn protocol(version: &[u8]) -> Result<Protocol> {
    let Some(number) = parse_i64(version) else {
        return Err(Error::client("ERR Protocol version is not an integer or out of range"));
    };
    Protocol::of_version(number).ok_or_else(|| Error::client("NOPROTO unsupported protocol version"))
}

fn greeting(session: &SessionState) -> Reply {
    Reply::named([
        ("server", Reply::Static("redis")),
        ("version", Reply::Static(REDIS_VERSION)),
        ("proto", Reply::Integer(session.protocol.version())),
        ("id", Reply::Integer(session.client.id as i64)),
        ("mode", Reply::Static("standalone")),
        ("role", Reply::Static("master")),
        ("modules", Reply::Array(Vec::new())),
    ])
}

impl SessionState {
    /// Has another user's permissions from now on.
    fn become_user(&mut self, user: Arc<User>, authenticated: bool) {
        *self.client.user.write() = user.name().clone();
        self.authenticated = authenticated;
        self.user = user;
        // Deleted in this moment: whoever did it may have looked for its connections before.
        if self.user.is_gone() {
            self.client.kill();
        }
    }

    /// Works on another database from now on.
    pub(in crate::commands) fn select(&mut self, db: u32) {
        self.db = db;
        self.client.db.store(db, Ordering::Relaxed);
    }

    /// Speaks another protocol from now on, the reply under way included.
    fn speak(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        let version = protocol.version().unsigned_abs() as u32;
        self.client.protocol.store(version, Ordering::Relaxed);
    }
}
