//! The scripting family: EVAL and its kin, FCALL, SCRIPT, FUNCTION.
//!
//! - here: the entries. `eval.rs`: running scripts and functions. `host.rs`: what a script may do.
//!   `debug.rs`: scripts that are debugged.
//! - `script.rs`: SCRIPT. `function.rs`: FUNCTION, `payload.rs`: what it dumps and restores.

mod debug;
mod eval;
mod function;
mod host;
mod payload;
mod script;

use super::command::{Category, Command, Group, flags};
use super::grammar::{Access, Arg, integer, key, text};

pub use debug::Debugging;
pub(super) use eval::declared_flags;
pub use function::restore_libraries;

/// `numkeys key … arg …`, behind a script, its SHA-1 or a function's name.
macro_rules! call_arguments {
    ($what:expr, $access:ident) => {
        &[text($what), integer("numkeys"), key("key", Access::$access).many().optional(), text("arg").many().optional()]
    };
}

const SCRIPT_ARGUMENTS: &[Arg] = call_arguments!("script", Update);
const SHA_ARGUMENTS: &[Arg] = call_arguments!("sha1", Update);
const FUNCTION_ARGUMENTS: &[Arg] = call_arguments!("function", Update);
const READING_SCRIPT_ARGUMENTS: &[Arg] = call_arguments!("script", Read);
const READING_SHA_ARGUMENTS: &[Arg] = call_arguments!("sha1", Read);
const READING_FUNCTION_ARGUMENTS: &[Arg] = call_arguments!("function", Read);

const COMPLEXITY: &str = "That of the script";

pub static COMMANDS: &[Command] = &[
    Command {
        name: "EVAL",
        summary: "Runs a Lua script on the server.",
        since: "2.6.0",
        complexity: COMPLEXITY,
        flags: flags!(NOSCRIPT | SKIP_MONITOR | MAY_REPLICATE | NO_MANDATORY_KEYS | STALE),
        args: SCRIPT_ARGUMENTS,
        run: eval::eval,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "EVALSHA",
        summary: "Runs a script that the server knows, by its SHA-1.",
        since: "2.6.0",
        complexity: COMPLEXITY,
        flags: flags!(NOSCRIPT | SKIP_MONITOR | MAY_REPLICATE | NO_MANDATORY_KEYS | STALE),
        args: SHA_ARGUMENTS,
        run: eval::evalsha,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "EVALSHA_RO",
        summary: "Runs a script that the server knows and that may not write.",
        since: "7.0.0",
        complexity: COMPLEXITY,
        flags: flags!(NOSCRIPT | SKIP_MONITOR | NO_MANDATORY_KEYS | STALE | READONLY),
        args: READING_SHA_ARGUMENTS,
        run: eval::evalsha,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "EVAL_RO",
        summary: "Runs a Lua script that may not write.",
        since: "7.0.0",
        complexity: COMPLEXITY,
        flags: flags!(NOSCRIPT | SKIP_MONITOR | NO_MANDATORY_KEYS | STALE | READONLY),
        args: READING_SCRIPT_ARGUMENTS,
        run: eval::eval,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "FCALL",
        summary: "Calls a function of a library.",
        since: "7.0.0",
        complexity: "That of the function",
        flags: flags!(NOSCRIPT | SKIP_MONITOR | MAY_REPLICATE | NO_MANDATORY_KEYS | STALE),
        args: FUNCTION_ARGUMENTS,
        run: eval::fcall,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "FCALL_RO",
        summary: "Calls a function that may not write.",
        since: "7.0.0",
        complexity: "That of the function",
        flags: flags!(NOSCRIPT | SKIP_MONITOR | NO_MANDATORY_KEYS | STALE | READONLY),
        args: READING_FUNCTION_ARGUMENTS,
        run: eval::fcall,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "FUNCTION",
        summary: "Holds the subcommands about function libraries.",
        since: "7.0.0",
        subcommands: function::SUBCOMMANDS,
        ..Command::of(Group::Scripting)
    },
    Command {
        name: "SCRIPT",
        summary: "Holds the subcommands about scripts.",
        since: "2.6.0",
        subcommands: script::SUBCOMMANDS,
        ..Command::of(Group::Scripting)
    },
];

/// The category of the subcommands.
const SCRIPTING: Option<Category> = Some(Category::SCRIPTING);
