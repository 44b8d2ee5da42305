//! The `redis` table: what scripts call, with Redis' texts for wrong arguments. Commands
//! themselves are the host's affair.

use std::borrow::Cow;

use sha1::{Digest, Sha1};
use smallvec::SmallVec;

use super::convert::push_reply;
use super::debugger::{self, Debugger};
use super::host::{Called, LogLevel};
use super::lua::{Kind, Native, Raise, Raised, Stack, format_number};
use super::{library, version};
use crate::resp::{Protocol, Reply};

/// What both scripts and functions may call.
const COMMON: &[(&str, Native)] = &[
    ("call", call),
    ("pcall", protected_call),
    ("log", log),
    ("sha1hex", sha1hex),
    ("error_reply", error_reply),
    ("status_reply", status_reply),
    ("setresp", setresp),
    ("set_repl", set_repl),
    ("acl_check_cmd", acl_check_cmd),
];

/// What only scripts of EVAL may.
const OF_SCRIPTS: &[(&str, Native)] =
    &[("replicate_commands", replicate_commands), ("breakpoint", breakpoint), ("debug", debug)];

const LOG_LEVELS: &[(&str, i64)] = &[("LOG_DEBUG", 0), ("LOG_VERBOSE", 1), ("LOG_NOTICE", 2), ("LOG_WARNING", 3)];

const REPLICATION_FLAGS: &[(&str, i64)] =
    &[("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)];

/// Digits of a number that becomes an argument of a command: all that a double has.
const ARGUMENT_DIGITS: u8 = 17;

/// Pushes the table as scripts of EVAL see it.
pub(super) fn push_for_scripts(stack: &mut Stack<'_>) {
    push_for_functions(stack);
    set_natives(stack, OF_SCRIPTS);
}

/// Pushes the table as running functions see it.
pub(super) fn push_for_functions(stack: &mut Stack<'_>) {
    stack.push_table(0, 32);
    set_natives(stack, COMMON);
    set_numbers(stack, REPLICATION_FLAGS);
    set_common(stack);
}

/// Pushes the table as a library sees it while it is loaded.
pub(super) fn push_for_loading(stack: &mut Stack<'_>) {
    stack.push_table(0, 8);
    set_natives(stack, &[("register_function", library::register_function), ("log", log)]);
    set_common(stack);
}

fn set_common(stack: &mut Stack<'_>) {
    set_numbers(stack, LOG_LEVELS);
    stack.push_bytes(version::TEXT.as_bytes());
    stack.set_field(-2, "REDIS_VERSION");
    stack.push_integer(version::NUMBER);
    stack.set_field(-2, "REDIS_VERSION_NUM");
}

/// Sets functions in the table on top.
pub(super) fn set_natives(stack: &mut Stack<'_>, natives: &[(&str, Native)]) {
    for (name, native) in natives {
        stack.push_native(*native);
        stack.set_field(-2, name);
    }
}

fn set_numbers(stack: &mut Stack<'_>, numbers: &[(&str, i64)]) {
    for (name, number) in numbers {
        stack.push_integer(*number);
        stack.set_field(-2, name);
    }
}

/// `redis.call`: an error of the command ends the script.
fn call(stack: &mut Stack<'_>) -> Raised<i32> {
    match run_command(stack) {
        Ok(false) => Ok(1),
        Ok(true) => Err(Raise::Top),
        Err(problem) => raise_table(stack, problem),
    }
}

/// `redis.pcall`: an error is a value.
fn protected_call(stack: &mut Stack<'_>) -> Raised<i32> {
    match run_command(stack) {
        Ok(_) => Ok(1),
        Err(Problem::Raise(raise)) => Err(raise),
        Err(Problem::Call(text)) => {
            push_error_table(stack, text, false);
            Ok(1)
        }
    }
}

/// Why a call came to nothing.
enum Problem {
    /// It made no sense; the text follows `ERR `.
    Call(&'static str),
    Raise(Raise),
}

/// Raises an error as a table, which is how Redis tells its own errors from Lua's.
fn raise_table(stack: &mut Stack<'_>, problem: Problem) -> Raised<i32> {
    match problem {
        Problem::Raise(raise) => Err(raise),
        Problem::Call(text) => {
            push_error_table(stack, text, false);
            Err(Raise::Top)
        }
    }
}

/// Pushes `{err = …}`. `counted`: the statistics know of it.
fn push_error_table(stack: &mut Stack<'_>, text: &str, counted: bool) {
    stack.shared.debug(|debugger| debugger.note_error(text));
    stack.push_table(0, 4);
    let text: Cow<'_, str> = format!("ERR {text}").into();
    stack.push_bytes(text.as_bytes());
    stack.set_field(-2, "err");
    if counted {
        stack.push_boolean(true);
        stack.set_field(-2, "ignore_error_stats_update");
    }
}

/// Runs the command that the arguments are and pushes its reply; true if that is an error.
fn run_command(stack: &mut Stack<'_>) -> Result<bool, Problem> {
    check_words(stack)?;
    let protocol = stack.shared.protocol.get();
    let shared = stack.shared;
    let call = |words: &[&[u8]], host: &mut dyn super::Host| {
        shared.debug(|debugger| debugger.note_command(words));
        host.call(words, protocol)
    };
    let called = with_words(stack, call).map_err(Problem::Raise)?;
    shared.debug(|debugger| debugger.note_reply(&called, protocol));
    // Thousands of arguments may leave no room for the reply.
    stack.set_top(0);
    Ok(push_called(stack, &called, protocol))
}

fn push_called(stack: &mut Stack<'_>, called: &Called, protocol: Protocol) -> bool {
    push_reply(stack, &called.reply, protocol);
    let failed = matches!(called.reply, Reply::Error(_));
    if failed && called.counted {
        stack.push_boolean(true);
        stack.set_field(-2, "ignore_error_stats_update");
    }
    failed
}

/// Makes strings of all arguments.
fn check_words(stack: &mut Stack<'_>) -> Result<(), Problem> {
    let count = stack.top();
    if count == 0 {
        return Err(Problem::Call("Please specify at least one argument for this redis lib call"));
    }
    for at in 1..=count {
        match stack.kind(at) {
            Kind::String => {}
            Kind::Number => {
                let text = argument_text(stack.number(at).unwrap_or(0.0));
                stack.push_bytes(&text);
                stack.replace(at);
            }
            _ => return Err(Problem::Call("Lua redis lib command arguments must be strings or integers")),
        }
    }
    Ok(())
}

/// A number as an argument: integers plain, whatever else with all digits.
fn argument_text(number: f64) -> SmallVec<[u8; 24]> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT && (number != 0.0 || number.is_sign_positive()) {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number within 53 bits")]
        let whole = number as i64;
        return SmallVec::from_slice(crate::base::number::format_i64(whole).as_bytes());
    }
    SmallVec::from_vec(format_number(number, ARGUMENT_DIGITS))
}

/// Hands the arguments, strings all of them, to the host.
fn with_words<R>(
    stack: &mut Stack<'_>,
    work: impl FnOnce(&[&[u8]], &mut dyn super::Host) -> Result<R, super::Halt>,
) -> Raised<R> {
    let count = stack.top();
    stack.with_host(|stack, host| {
        let words: SmallVec<[&[u8]; 8]> = (1..=count).map(|at| stack.string(at).unwrap_or_default()).collect();
        work(&words, host)
    })
}

fn acl_check_cmd(stack: &mut Stack<'_>) -> Raised<i32> {
    if let Err(problem) = check_words(stack) {
        return raise_table(stack, problem);
    }
    match with_words(stack, |words, host| Ok(host.may_run(words)))? {
        Some(may) => stack.push_boolean(may),
        None => return fail(stack, "Invalid command passed to redis.acl_check_cmd()"),
    }
    Ok(1)
}

/// Raises one of Redis' own errors.
fn fail(stack: &mut Stack<'_>, text: &'static str) -> Raised<i32> {
    raise_table(stack, Problem::Call(text))
}

fn log(stack: &mut Stack<'_>) -> Raised<i32> {
    let count = stack.top();
    if count < 2 {
        return fail(stack, "redis.log() requires two arguments or more.");
    }
    let Some(level) = stack.number(1).filter(|_| stack.kind(1) == Kind::Number) else {
        return fail(stack, "First argument must be a number (log level).");
    };
    let level = match level {
        0.0..1.0 => LogLevel::Debug,
        1.0..2.0 => LogLevel::Verbose,
        2.0..3.0 => LogLevel::Notice,
        3.0..4.0 => LogLevel::Warning,
        _ => return fail(stack, "Invalid debug level."),
    };
    let mut text = Vec::new();
    for at in 2..=count {
        if let Some(part) = stack.text(at) {
            text.extend_from_slice(if at > 2 { b" " } else { b"" });
            text.extend_from_slice(part);
        }
    }
    stack.with_host(|_, host| {
        host.log(level, &text);
        Ok(())
    })?;
    Ok(0)
}

fn sha1hex(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.top() != 1 {
        return fail(stack, "wrong number of arguments");
    }
    let hex = hexadecimal(&Sha1::digest(stack.text(1).unwrap_or_default()));
    stack.push_bytes(hex.as_bytes());
    Ok(1)
}

/// Lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The only argument, which must be a string; else an error table is pushed.
fn only_string(stack: &mut Stack<'_>) -> Option<Vec<u8>> {
    let text = if stack.top() == 1 { stack.string(1).map(<[u8]>::to_vec) } else { None };
    if text.is_none() {
        push_error_table(stack, "wrong number or type of arguments", false);
    }
    text
}

/// `redis.error_reply`: a text without a code gets `ERR`.
fn error_reply(stack: &mut Stack<'_>) -> Raised<i32> {
    let Some(text) = only_string(stack) else { return Ok(1) };
    let text = text.strip_prefix(b"-").unwrap_or(&text);
    let start = text.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(start, |last| last + 1);
    let text = &text[start..end];
    let with_code = if text.contains(&b' ') { text.to_vec() } else { [b"ERR ", text].concat() };
    stack.push_table(0, 1);
    stack.push_bytes(&with_code);
    stack.set_field(-2, "err");
    Ok(1)
}

fn status_reply(stack: &mut Stack<'_>) -> Raised<i32> {
    let Some(text) = only_string(stack) else { return Ok(1) };
    stack.push_table(0, 1);
    stack.push_bytes(&text);
    stack.set_field(-2, "ok");
    Ok(1)
}

fn setresp(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.top() != 1 {
        return fail(stack, "redis.setresp() requires one argument.");
    }
    let protocol = match stack.number(1) {
        Some(2.0..3.0) => Protocol::Resp2,
        Some(3.0..4.0) => Protocol::Resp3,
        _ => return fail(stack, "RESP version must be 2 or 3."),
    };
    stack.shared.protocol.set(protocol);
    Ok(0)
}

/// `redis.set_repl`: there is nothing to select from, so only its argument is looked at.
/// `redis.REPL_REPLICA`.
const REPL_REPLICA: u8 = 2;

fn set_repl(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.top() != 1 {
        return fail(stack, "redis.set_repl() requires two arguments.");
    }
    match stack.number(1) {
        None | Some(0.0..4.0) => {
            let flags = stack.number(1).unwrap_or_default() as u8;
            stack.with_host(|_, host| {
                host.set_replication(flags & REPL_REPLICA != 0);
                Ok(())
            })?;
            Ok(0)
        }
        Some(_) => fail(stack, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."),
    }
}

fn replicate_commands(stack: &mut Stack<'_>) -> Raised<i32> {
    stack.push_boolean(true);
    Ok(1)
}

/// `redis.breakpoint`: says whether there is a debugger that stops.
fn breakpoint(stack: &mut Stack<'_>) -> Raised<i32> {
    let stops = stack.shared.debug(Debugger::break_soon).is_some();
    stack.push_boolean(stops);
    Ok(1)
}

/// `redis.debug`: shows its arguments to who debugs.
fn debug(stack: &mut Stack<'_>) -> Raised<i32> {
    let shared = stack.shared;
    if shared.is_debugged() {
        let shown = debugger::shown_arguments(stack);
        shared.debug(|debugger| debugger.say(&shown));
    }
    Ok(0)
}
