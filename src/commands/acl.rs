//! ACL: users, what they may do, and what was refused.

use bytes::Bytes;

use super::command::{Command, Group, flags};
use super::context::Context;
use super::grammar::{integer, one_of, text, token};
use super::instance::Instance;
use super::outcome::Outcome;
use super::permission;
use super::request::Args;
use super::session::SessionState;
use super::usage::help;
use crate::acl::{LogEntry, Rules, Selector, Stays, User, join_selectors};
use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result, clock, random};
use crate::config::AclPubsubDefault;
use crate::pubsub::Kind;
use crate::resp::Reply;

pub static COMMANDS: &[Command] = &[Command {
    name: "ACL",
    summary: "Holds the subcommands about users and permissions.",
    since: "6.0.0",
    subcommands: SUBCOMMANDS,
    ..Command::of(Group::Server)
}];

static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "CAT",
        summary: "Lists the categories, or the commands of one.",
        since: "6.0.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE),
        args: &[text("category").optional()],
        arity: Some(-2),
        run: cat,
        ..Command::of(Group::Server)
    },
    Command {
        name: "DELUSER",
        summary: "Deletes users and closes their connections.",
        since: "6.0.0",
        complexity: "O(1) a user",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[text("username").many()],
        run: deluser,
        ..Command::of(Group::Server)
    },
    Command {
        name: "DRYRUN",
        summary: "Tells whether a user may run a command, without running it.",
        since: "7.0.0",
        complexity: "O(1)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[text("username"), text("command"), text("arg").many().optional()],
        run: dryrun,
        ..Command::of(Group::Server)
    },
    Command {
        name: "GENPASS",
        summary: "Makes a password that nobody can guess.",
        since: "6.0.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE),
        args: &[integer("bits").optional()],
        arity: Some(-2),
        run: genpass,
        ..Command::of(Group::Server)
    },
    Command {
        name: "GETUSER",
        summary: "Shows the rules of a user, part by part.",
        since: "6.0.0",
        complexity: "O(N) in the user's rules",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[text("username")],
        run: getuser,
        ..Command::of(Group::Server)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of ACL.",
        since: "6.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        run: help,
        ..Command::of(Group::Server)
    },
    Command {
        name: "LIST",
        summary: "Shows the rules of all users, a line each, as files have them.",
        since: "6.0.0",
        complexity: "O(N) in the users",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        run: list,
        ..Command::of(Group::Server)
    },
    Command {
        name: "LOAD",
        summary: "Reads the file of users again, and takes all of it or nothing.",
        since: "6.0.0",
        complexity: "O(N) in the users",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        run: load,
        ..Command::of(Group::Server)
    },
    Command {
        name: "LOG",
        summary: "Shows the latest refusals, or forgets them.",
        since: "6.0.0",
        complexity: "O(N) in the entries shown",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[one_of("operation", &[integer("count"), token("reset", "RESET")]).optional()],
        arity: Some(-2),
        run: log,
        ..Command::of(Group::Server)
    },
    Command {
        name: "SAVE",
        summary: "Writes all users to the file of users.",
        since: "6.0.0",
        complexity: "O(N) in the users",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        run: save,
        ..Command::of(Group::Server)
    },
    Command {
        name: "SETUSER",
        summary: "Makes a user, or changes its rules one after the other.",
        since: "6.0.0",
        complexity: "O(N) in the rules",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[text("username"), text("rule").many().optional()],
        run: setuser,
        ..Command::of(Group::Server)
    },
    Command {
        name: "USERS",
        summary: "Lists the names of all users.",
        since: "6.0.0",
        complexity: "O(N) in the users",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        run: users,
        ..Command::of(Group::Server)
    },
    Command {
        name: "WHOAMI",
        summary: "Tells the user of this connection.",
        since: "6.0.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | LOADING | STALE),
        run: whoami,
        ..Command::of(Group::Server)
    },
];

/// Bits of a password unless GENPASS is told.
const PASSWORD_BITS: i64 = 256;
/// The most bits that GENPASS makes.
const MOST_PASSWORD_BITS: i64 = 4096;
/// Entries that ACL LOG shows unless it is told.
const LOG_ENTRIES: usize = 10;

const NO_FILE: &str = "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.";

/// What Redis says of subcommands with too many words.
fn too_many(args: &Args<'_>) -> Error {
    let word = String::from_utf8_lossy(args.all().get(1).copied().unwrap_or_default()).into_owned();
    Error::client(format!("ERR unknown subcommand or wrong number of arguments for '{word}'. Try ACL HELP."))
}

fn whoami(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    Ok(Outcome::bulk(context.session.user.name().clone()))
}

fn users(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let names = context.instance.acl.all().into_iter().map(|user| user.name().clone());
    Ok(Reply::Bulks(names.collect()).into())
}

fn list(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let lines = context.instance.acl.lines().into_iter().map(|line| [b"user ".as_slice(), &line].concat().into());
    Ok(Reply::Bulks(lines.collect()).into())
}

fn cat(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let catalogue = context.instance.acl.catalogue();
    let Some(name) = args.next_if_any() else {
        return Ok(Reply::array(catalogue.category_names().map(Reply::Static)).into());
    };
    if !args.is_empty() {
        return Err(too_many(args));
    }
    let shown = || String::from_utf8_lossy(name).into_owned();
    let category =
        catalogue.category(name).ok_or_else(|| Error::client(format!("ERR Unknown category '{}'", shown())))?;
    Ok(Reply::array(catalogue.members(category).map(|(_, known)| Reply::Static(known.name))).into())
}

fn genpass(_: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let bits = match args.next_if_any() {
        None => PASSWORD_BITS,
        Some(_) if !args.is_empty() => return Err(too_many(args)),
        Some(word) => parse_i64(word).ok_or(ClientError::NotInteger)?,
    };
    if !(1..=MOST_PASSWORD_BITS).contains(&bits) {
        return Err(Error::client(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {MOST_PASSWORD_BITS}"
        )));
    }
    let digits = bits.unsigned_abs().div_ceil(4) as usize;
    let password = random::secret_hex(digits);
    Ok(Outcome::bulk(password.map_err(|error| Error::client(format!("ERR no randomness: {error}")))?))
}

fn getuser(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let Some(user) = context.instance.acl.get(args.next()?) else { return Ok(Outcome::nil()) };
    Ok(described(&user.rules()).into())
}

fn described(rules: &Rules) -> Reply {
    let flags = rules.flags().into_iter().map(Reply::Static).collect();
    let passwords = rules.password_digests().into_iter().map(Reply::bulk);
    let mut fields =
        vec![(Reply::Static("flags"), Reply::Set(flags)), (Reply::Static("passwords"), Reply::array(passwords))];
    fields.extend(described_selector(rules.own_selector()));
    let more = rules.more_selectors().iter().map(|selector| Reply::Map(described_selector(selector)));
    fields.push((Reply::Static("selectors"), Reply::array(more)));
    Reply::Map(fields)
}

fn described_selector(selector: &Selector) -> Vec<(Reply, Reply)> {
    vec![
        (Reply::Static("commands"), Reply::bulk(selector.describe_commands())),
        (Reply::Static("keys"), Reply::bulk(selector.describe_keys())),
        (Reply::Static("channels"), Reply::bulk(selector.describe_channels())),
    ]
}

impl Instance {
    /// Whether new users may use all channels.
    fn opens_channels(&self) -> bool {
        self.config.load().acl_pubsub_default == AclPubsubDefault::Allchannels
    }

    /// Reads the file of users again, if there is one; tells whether. Who stands in it unchanged
    /// keeps its connections. Files are read, so not on a network thread.
    ///
    /// # Errors
    /// What is wrong with the file; nothing has changed then.
    pub fn reload_users(&self) -> std::result::Result<bool, String> {
        let settings = self.config.load();
        if settings.aclfile.is_empty() {
            return Ok(false);
        }
        let path = settings.dir.path().join(&settings.aclfile);
        let (shown, password) = (&settings.aclfile, &settings.requirepass);
        let gone = self.acl.load(&path, shown, self.opens_channels(), password, Stays::Unchanged)?;
        self.disconnect(&gone, None);
        Ok(true)
    }

    /// Closes the connections of users who are no more. `own` is the session that asked for it,
    /// which gets its reply first.
    pub(super) fn disconnect(&self, gone: &[std::sync::Arc<User>], own: Option<&SessionState>) {
        let closes_own = own.is_some_and(|own| own.user.is_gone());
        for client in self.observe.clients.all() {
            let is_own = own.is_some_and(|own| own.client.id == client.id);
            let named = !is_own && gone.iter().any(|user| *user.name() == *client.user.read());
            if named {
                client.kill();
            } else if is_own && closes_own {
                client.close_after_reply();
            }
        }
    }
}

/// Closes the connections of a user that listen to what it may not listen to any more.
fn disconnect_listeners(instance: &Instance, own: &SessionState, user: &User) {
    let rules = user.rules();
    if !rules.weighs_channels() {
        return;
    }
    instance.pubsub.for_each(|kind, name, client| {
        if *client.user.read() == *user.name() && !rules.allows_channel(name, kind == Kind::Pattern) {
            if client.id == own.client.id { client.close_after_reply() } else { client.kill() }
        }
    });
}

fn setuser(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let name = args.next()?;
    if name.iter().any(|byte| matches!(byte, 0 | b' ' | b'\t'..=b'\r')) {
        return Err(Error::client("ERR Usernames can't contain spaces or null characters"));
    }
    let modifiers = join_selectors(args.rest()).map_err(|word| {
        let word = String::from_utf8_lossy(word);
        Error::client(format!("ERR Unmatched parenthesis in acl selector starting at '{word}'."))
    })?;
    let instance = context.instance;
    let changed = instance.acl.set(name, &modifiers, instance.opens_channels());
    let user = changed.map_err(|refused| {
        let modifier = String::from_utf8_lossy(&refused.modifier);
        Error::client(format!("ERR Error in ACL SETUSER modifier '{modifier}': {}", refused.why))
    })?;
    disconnect_listeners(instance, context.session, &user);
    Ok(Outcome::ok())
}

fn deluser(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let names = args.rest();
    if names.contains(&crate::acl::DEFAULT_USER) {
        return Err(Error::client("ERR The 'default' user cannot be removed"));
    }
    let gone: Vec<_> = names.iter().filter_map(|name| context.instance.acl.delete(name)).collect();
    context.instance.disconnect(&gone, Some(context.session));
    Ok(Outcome::count(gone.len()))
}

fn dryrun(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let name = args.next()?;
    let call = args.rest();
    let shown = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let user = context.instance.acl.get(name);
    let user = user.ok_or_else(|| Error::client(format!("ERR User '{}' not found", shown(name))))?;
    let word = shown(call.first().copied().unwrap_or_default());
    let entry = context.instance.names.resolve(call);
    let entry = entry.map_err(|_| Error::client(format!("ERR Command '{word}' not found")))?;
    if !entry.accepts(call.len()) {
        return Err(ClientError::Arity(entry.name.to_string()).into());
    }
    match permission::check(&user.rules(), entry, call) {
        Ok(()) => Ok(Outcome::ok()),
        Err(denial) => Ok(Outcome::bulk(denial.dry_run(&entry.name, call))),
    }
}

/// The file of users as it is named and where it lies; relative names start at `dir`.
fn file(context: &Context<'_>) -> Result<(String, std::path::PathBuf)> {
    let settings = context.settings;
    if settings.aclfile.is_empty() {
        return Err(Error::client(NO_FILE));
    }
    // Files are read and synced on the I/O pool.
    context.weigh(u64::MAX)?;
    Ok((settings.aclfile.clone(), settings.dir.path().join(&settings.aclfile)))
}

fn load(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let (shown, path) = file(context)?;
    let instance = context.instance;
    let password = &context.settings.requirepass;
    let loaded = instance.acl.load(&path, &shown, instance.opens_channels(), password, Stays::Nobody);
    let gone = loaded.map_err(|why| Error::client(format!("ERR {why}")))?;
    instance.disconnect(&gone, Some(context.session));
    Ok(Outcome::ok())
}

fn save(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let (_, path) = file(context)?;
    if let Err(error) = context.instance.acl.save(&path) {
        tracing::error!(path = %path.display(), %error, "the file of users could not be written");
        return Err(Error::client(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        ));
    }
    Ok(Outcome::ok())
}

fn log(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let log = &context.instance.acl.log;
    let word = args.next_if_any();
    if !args.is_empty() {
        return Err(too_many(args));
    }
    let most = match word {
        None => LOG_ENTRIES,
        Some(word) if word.eq_ignore_ascii_case(b"RESET") => {
            log.clear();
            return Ok(Outcome::ok());
        }
        Some(word) => {
            let count = parse_i64(word).ok_or(ClientError::NotInteger)?;
            usize::try_from(count).unwrap_or(0)
        }
    };
    let now_ms = clock::now_ms();
    Ok(Reply::array(log.latest(most).into_iter().map(|entry| logged(entry, now_ms))).into())
}

fn logged(entry: LogEntry, now_ms: u64) -> Reply {
    let number = |number: u64| Reply::Integer(number.cast_signed());
    let refusal = entry.refusal;
    Reply::named([
        ("count", number(entry.count)),
        ("reason", Reply::Static(refusal.reason.word())),
        ("context", Reply::Static(refusal.place.word())),
        ("object", Reply::bulk(refusal.object)),
        ("username", Reply::bulk(refusal.user)),
        ("age-seconds", Reply::Double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0)),
        ("client-info", Reply::bulk(Bytes::from(refusal.client))),
        ("entry-id", number(entry.id)),
        ("timestamp-created", number(entry.created_ms)),
        ("timestamp-last-updated", number(entry.updated_ms)),
    ])
}
