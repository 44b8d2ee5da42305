//! FUNCTION: libraries come, go, are listed, dumped and restored. All libraries are one fact about the
//! database: a change makes a new [`Libraries`] under the exclusive lock, and it is true for others
//! with the commit.

use std::sync::Arc;

use bytes::Bytes;

use super::SCRIPTING;
use super::eval::{LIBRARIES, libraries, memory_limit};
use super::payload;
use super::script::kill_running;
use crate::base::{Error, Result, clock};
use crate::commands::command::{Command, Group, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{one_of, text, token};
use crate::commands::instance::Instance;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::usage::help;
use crate::encoding::key::system;
use crate::resp::{Protocol, Reply};
use crate::scripting::running::Kind;
use crate::scripting::{
    Called, Function, Halt, Host, Libraries, Library, LoadError, LogLevel, RunningScripts, read_metadata,
};
use crate::storage::{Tier, View};

/// The subcommands of FUNCTION.
pub(super) static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "DELETE",
        summary: "Deletes a library and its functions.",
        since: "7.0.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | WRITE | EXCLUSIVE),
        categories: SCRIPTING,
        args: &[text("library-name")],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: delete,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "DUMP",
        summary: "Returns all libraries in one payload.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(NOSCRIPT),
        categories: SCRIPTING,
        run: dump,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "FLUSH",
        summary: "Deletes all libraries.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(NOSCRIPT | WRITE | EXCLUSIVE),
        categories: SCRIPTING,
        args: &[one_of("flush_type", &[token("async", "ASYNC"), token("sync", "SYNC")]).optional()],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: flush,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of FUNCTION.",
        since: "7.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        categories: SCRIPTING,
        run: help,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "KILL",
        summary: "Ends running functions that have not written.",
        since: "7.0.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | ALLOW_BUSY),
        categories: SCRIPTING,
        tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
        run: kill,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "LIST",
        summary: "Lists libraries and their functions.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(NOSCRIPT),
        categories: SCRIPTING,
        args: &[text("library-name-pattern").after("LIBRARYNAME").optional(), token("withcode", "WITHCODE").optional()],
        tips: &["nondeterministic_output_order"],
        run: list,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "LOAD",
        summary: "Creates a library from its code.",
        since: "7.0.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | WRITE | DENY_OOM | EXCLUSIVE),
        categories: SCRIPTING,
        args: &[token("replace", "REPLACE").optional(), text("function-code")],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: load,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "RESTORE",
        summary: "Creates libraries from a payload of FUNCTION DUMP.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(NOSCRIPT | WRITE | DENY_OOM | EXCLUSIVE),
        categories: SCRIPTING,
        args: &[
            text("serialized-value"),
            one_of("policy", &[token("flush", "FLUSH"), token("append", "APPEND"), token("replace", "REPLACE")])
                .optional(),
        ],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: restore,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "STATS",
        summary: "Tells of the function that runs, and counts libraries.",
        since: "7.0.0",
        complexity: "O(1)",
        flags: flags!(NOSCRIPT | ALLOW_BUSY),
        categories: SCRIPTING,
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        run: stats,
        ..Command::of(Group::Scripting)
    },
];

/// How long the code of a library may take to register its functions.
const LOADING_US: u64 = 500_000;
/// The same on a network thread, before it goes elsewhere.
const LOADING_HERE_US: u64 = 1000;

/// Stands behind the code of a library while it is loaded, when there is nothing to call.
struct Loader<'a> {
    started_us: u64,
    may_wait: bool,
    running: &'a RunningScripts,
}

impl<'a> Loader<'a> {
    fn new(may_wait: bool, running: &'a RunningScripts) -> Self {
        Self { started_us: clock::monotonic_us(), may_wait, running }
    }
}

impl Host for Loader<'_> {
    fn call(&mut self, _: &[&[u8]], _: Protocol) -> Result<Called, Halt> {
        Ok(Reply::error("ERR redis.call is not available while a library is loaded").into())
    }

    fn may_run(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn log(&mut self, _: LogLevel, text: &[u8]) {
        tracing::info!("function library: {}", String::from_utf8_lossy(text));
    }

    fn set_replication(&mut self, _: bool) {}

    fn tick(&mut self) -> Result<(), Halt> {
        let took_us = clock::monotonic_us().saturating_sub(self.started_us);
        match self.may_wait {
            false if took_us > LOADING_HERE_US => Err(Halt::Again(Error::NotInMemory)),
            true if took_us > LOADING_US || self.running.is_stopping() => Err(Halt::Killed("FUNCTION LOAD timeout")),
            _ => Ok(()),
        }
    }
}

/// The library that some code makes.
fn make_library(context: &Context<'_>, name: String, code: &[u8]) -> Result<Library> {
    let scripts = &context.instance.scripts;
    let mut loader = Loader::new(context.tx.tier() == Tier::Disk, &scripts.running);
    let made = scripts.load(name, Bytes::copy_from_slice(code), memory_limit(context), &mut loader);
    made.map_err(|refused| match refused {
        LoadError::Refused(text) => Error::client(format!("ERR {text}")),
        LoadError::Halted(Halt::Again(error)) => error,
        LoadError::Halted(Halt::Killed(text)) => Error::client(format!("ERR Error registering functions: ERR {text}")),
    })
}

/// The `system` entry of a library.
fn entry_key(name: &str) -> Bytes {
    [system::FUNCTION_LIBRARY, name.as_bytes()].concat().into()
}

/// Replaces the libraries: those that went and came tell what changes on disk.
fn change(context: &mut Context<'_>, before: &Libraries, after: Libraries) {
    let gone = before.all().filter(|library| after.get(&library.name).is_none());
    let came = after.all().filter(|library| before.get(&library.name).is_none_or(|old| !Arc::ptr_eq(old, library)));
    let entries: Vec<(Bytes, Option<Bytes>)> = gone
        .map(|library| (entry_key(&library.name), None))
        .chain(came.map(|library| (entry_key(&library.name), Some(library.code.clone()))))
        .collect();
    context.tx.put_fact(LIBRARIES, entries, Arc::new(after));
}

fn refused(text: impl std::fmt::Display) -> Error {
    Error::client(format!("ERR {text}"))
}

fn load(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let mut replaces = false;
    while args.remaining() > 1 {
        if args.accept("REPLACE") {
            replaces = true;
        } else {
            return Err(refused(format!("Unknown option given: {}", String::from_utf8_lossy(args.next()?))));
        }
    }
    let code = args.next()?;
    let metadata = read_metadata(code).map_err(refused)?;
    let before = libraries(context);
    if !replaces && before.get(&metadata.name).is_some() {
        return Err(refused(format!("Library '{}' already exists", metadata.name)));
    }
    let library = make_library(context, metadata.name.clone(), code)?;
    let after = before.with(Arc::new(library)).map_err(function_exists)?;
    change(context, &before, after);
    Ok(Outcome::bulk(metadata.name))
}

fn function_exists(name: String) -> Error {
    refused(format!("Function {name} already exists"))
}

fn delete(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let name = String::from_utf8_lossy(args.next()?).into_owned();
    let before = libraries(context);
    if before.get(&name).is_none() {
        return Err(refused("Library not found"));
    }
    let after = before.without(&name);
    change(context, &before, after);
    Ok(Outcome::ok())
}

fn flush(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    if args.remaining() > 1 {
        return Err(wrong_number(args));
    }
    if !(args.is_empty() || args.accept("ASYNC") || args.accept("SYNC")) {
        return Err(refused("FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    let before = libraries(context);
    change(context, &before, Libraries::default());
    Ok(Outcome::ok())
}

/// Too many arguments, in the words of a container.
fn wrong_number(args: &Args<'_>) -> Error {
    let word = String::from_utf8_lossy(args.all().get(1).copied().unwrap_or_default()).into_owned();
    refused(format!("unknown subcommand or wrong number of arguments for '{word}'. Try FUNCTION HELP."))
}

fn kill(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    kill_running(context, false)
}

fn list(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (mut pattern, mut with_code) = (None, false);
    while let Some(word) = args.peek() {
        if !with_code && args.accept("WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && args.accept("LIBRARYNAME") {
            pattern = Some(args.next().map_err(|_| refused("library name argument was not given"))?);
        } else {
            return Err(refused(format!("Unknown argument {}", String::from_utf8_lossy(word))));
        }
    }
    let libraries = libraries(context);
    let shown = libraries.matching(pattern.unwrap_or(b"*")).map(|library| describe(library, with_code));
    Ok(Reply::array(shown).into())
}

fn describe(library: &Library, with_code: bool) -> Reply {
    let mut fields = vec![
        ("library_name", Reply::copy(&library.name)),
        ("engine", Reply::Static("LUA")),
        ("functions", Reply::array(library.functions.iter().map(describe_function))),
    ];
    if with_code {
        fields.push(("library_code", Reply::bulk(library.code.clone())));
    }
    Reply::named(fields)
}

fn describe_function(function: &Function) -> Reply {
    Reply::named([
        ("name", Reply::copy(&function.name)),
        ("description", Reply::optional(function.description.clone())),
        ("flags", Reply::Set(function.flags.names().map(Reply::simple).collect())),
    ])
}

fn dump(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let libraries = libraries(context);
    Ok(Outcome::bulk(payload::write(libraries.all().map(|library| &library.code[..]))))
}

/// What FUNCTION RESTORE does with libraries that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Flush,
    Append,
    Replace,
}

fn restore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let data = args.next()?;
    if args.remaining() > 1 {
        return Err(wrong_number(args));
    }
    let policy = match () {
        () if args.is_empty() || args.accept("APPEND") => Policy::Append,
        () if args.accept("FLUSH") => Policy::Flush,
        () if args.accept("REPLACE") => Policy::Replace,
        () => return Err(refused("Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")),
    };
    let codes = payload::read(data).map_err(refused)?;
    let before = libraries(context);
    let mut after = if policy == Policy::Flush { Libraries::default() } else { (*before).clone() };
    for code in codes {
        let metadata = read_metadata(&code).map_err(refused)?;
        if policy != Policy::Replace && after.get(&metadata.name).is_some() {
            return Err(refused(format!("Library {} already exists", metadata.name)));
        }
        let library = make_library(context, metadata.name, &code)?;
        after = after.with(Arc::new(library)).map_err(function_exists)?;
    }
    change(context, &before, after);
    Ok(Outcome::ok())
}

fn stats(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let running = context.instance.scripts.running.oldest().map(|running| {
        let name = match &running.kind {
            Kind::Function(name) => name.clone(),
            Kind::Script => String::new(),
        };
        let duration_ms = i64::try_from(running.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        Reply::named([
            ("name", Reply::copy(name)),
            ("command", Reply::Bulks(running.command.clone())),
            ("duration_ms", Reply::Integer(duration_ms)),
        ])
    });
    let libraries = libraries(context);
    let counts = Reply::named([
        ("libraries_count", Reply::count(libraries.len())),
        ("functions_count", Reply::count(libraries.function_count())),
    ]);
    Ok(Reply::named([("running_script", running.unwrap_or(Reply::Nil)), ("engines", Reply::named([("LUA", counts)]))])
        .into())
}

/// Loads the libraries that the database holds, when the server starts. One that does not load any
/// more stays on disk and is told of.
///
/// # Errors
/// When the engine fails.
pub fn restore_libraries(instance: &Instance) -> Result<()> {
    let scripts = &instance.scripts;
    let memory_bytes = usize::try_from(instance.config.load().lua_memory_limit).unwrap_or(usize::MAX);
    let mut all = Libraries::default();
    for (name, code) in instance.store.facts(system::FUNCTION_LIBRARY, &View::latest(Tier::Disk))? {
        let name = String::from_utf8_lossy(&name).into_owned();
        let mut loader = Loader::new(true, &scripts.running);
        let loaded = match scripts.load(name.clone(), code, memory_bytes, &mut loader) {
            Ok(library) => {
                all.with(Arc::new(library)).map_err(|function| format!("it has {function} in common with another"))
            }
            Err(why) => Err(format!("{why:?}")),
        };
        match loaded {
            Ok(more) => all = more,
            Err(why) => tracing::error!(library = name, "a function library was not loaded: {why}"),
        }
    }
    scripts.publish(Arc::new(all));
    Ok(())
}
