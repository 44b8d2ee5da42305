//! What a client may ask a debugger for while the script stands still.

use super::show::show_value;
use super::{BREAKPOINTS_MAX, Debugger, SOURCE};
use crate::base::number::parse_i64;
use crate::scripting::host::Halt;
use crate::scripting::lua::{Kind, Stack};

/// Lines listed before and after the current one.
const LIST_LINES: i64 = 5;
const UNKNOWN: &str = "<error> Unknown Redis Lua debugger command or wrong number of arguments.";
const ABORTED: &str = "script aborted for user request";

/// Ours, but for what is asked for.
const HELP: &[&str] = &[
    "Lua debugger: commands and their first letters",
    "step, next           Run this line, stop at the one that follows.",
    "continue             Run on to a breakpoint or the end.",
    "list [line] [count]  Show the source around a line, or around the current one.",
    "whole                Show all of the source.",
    "print [name]         Show the local variables, or one; KEYS and ARGV, too.",
    "break                Show the breakpoints.",
    "break line           Set one. -line takes it away, 0 takes all.",
    "trace                Show who called whom.",
    "eval code            Run some Lua, which does not see the local variables.",
    "redis command        Run a command.",
    "maxlen [bytes]       Say where values and replies are cut off; 0 for nowhere.",
    "abort                End the script here. With SYNC, what it wrote stays.",
    "help                 Show this.",
    "In the script, redis.breakpoint() stops at the next line, redis.debug(...) shows values.",
];

/// Serves the client until the script is to go on.
///
/// # Errors
/// When the script is to end.
pub(super) fn serve(stack: &mut Stack<'_>) -> Result<(), Halt> {
    loop {
        let shared = stack.shared;
        let Some(words) = shared.debug(Debugger::next_command) else { return Ok(()) };
        let words = words?;
        let Some((verb, args)) = words.split_first() else { continue };
        match verb.to_ascii_lowercase().as_slice() {
            b"s" | b"step" | b"n" | b"next" => {
                shared.debug(|debugger| debugger.steps = true);
                return Ok(());
            }
            b"c" | b"continue" => return Ok(()),
            b"a" | b"abort" => return Err(Halt::Killed(ABORTED)),
            b"e" | b"eval" => eval(stack, args)?,
            b"r" | b"redis" if !args.is_empty() => redis(stack, args)?,
            b"p" | b"print" => print(stack, args),
            b"t" | b"trace" => trace(stack),
            verb => {
                shared.debug(|debugger| debugger.answer(verb, args));
            }
        }
        shared.debug(Debugger::send);
    }
}

impl Debugger {
    /// What needs nothing of Lua's.
    fn answer(&mut self, verb: &[u8], args: &[Vec<u8>]) {
        match verb {
            b"l" | b"list" => {
                let line = args.first().map_or(0, |line| number(line));
                let around = if line > 0 { line } else { i64::try_from(self.line).unwrap_or_default() };
                self.list(around, args.get(1).map_or(LIST_LINES, |count| number(count)));
            }
            b"w" | b"whole" => self.list(1, i64::MAX),
            b"b" | b"break" if args.is_empty() => self.show_breakpoints(),
            b"b" | b"break" => args.iter().for_each(|line| self.change_breakpoint(line)),
            b"m" | b"maxlen" => self.maxlen(args),
            b"h" | b"help" => HELP.iter().for_each(|line| self.log.add(line.as_bytes().to_vec())),
            _ => self.log.add(UNKNOWN.into()),
        }
    }

    fn list(&mut self, around: i64, count: i64) {
        let (first, last) = (around.saturating_sub(count).max(1), around.saturating_add(count));
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let last = usize::try_from(last).unwrap_or_default().min(self.source.len());
        (first..=last).for_each(|line| self.list_line(line));
    }

    fn show_breakpoints(&mut self) {
        if self.breakpoints.is_empty() {
            return self.log.add(b"No breakpoints set. Use 'b <line>' to add one.".to_vec());
        }
        self.log.add(format!("{} breakpoints set:", self.breakpoints.len()).into_bytes());
        for line in self.breakpoints.clone() {
            self.list_line(line);
        }
    }

    fn change_breakpoint(&mut self, line: &[u8]) {
        let Some(number) = parse_i64(line) else {
            return self.log.add([b"Invalid argument:'", line, b"'"].concat());
        };
        let line = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
        let said = match number {
            0 => {
                self.breakpoints.clear();
                "All breakpoints removed."
            }
            ..0 if self.breakpoints.contains(&line) => {
                self.breakpoints.retain(|other| *other != line);
                "Breakpoint removed."
            }
            ..0 => "No breakpoint in the specified line.",
            _ if self.breakpoints.len() >= BREAKPOINTS_MAX => "Too many breakpoints set.",
            _ if line > self.source.len() || self.breakpoints.contains(&line) => "Wrong line number.",
            _ => {
                self.breakpoints.push(line);
                return self.list(number, 1);
            }
        };
        self.log.add(said.into());
    }

    fn maxlen(&mut self, args: &[Vec<u8>]) {
        if let [bytes] = args {
            // A length below zero is the least there is, as in Redis.
            let bytes = number(bytes);
            self.log.trim_to(if bytes == 0 { 0 } else { usize::try_from(bytes).unwrap_or(1) });
        }
        self.log.add(match self.log.trims_to() {
            0 => b"<value> replies are unlimited.".to_vec(),
            bytes => format!("<value> replies are truncated at {bytes} bytes.").into_bytes(),
        });
    }
}

/// The number that a word begins with; 0 without one.
fn number(word: &[u8]) -> i64 {
    let digits = |rest: &[u8]| rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = match word {
        [b'-', rest @ ..] => 1 + digits(rest),
        word => digits(word),
    };
    word.get(..end).and_then(parse_i64).map_or(0, |number| number.clamp(i32::MIN.into(), i32::MAX.into()))
}

/// Adds a line that ends with the value on top, which is taken off.
fn show_top(stack: &mut Stack<'_>, prefix: &[u8]) {
    let shared = stack.shared;
    let room = shared.debug(|debugger| debugger.log.room()).unwrap_or_default();
    let mut line = prefix.to_vec();
    show_value(stack, -1, room, &mut line);
    stack.pop(1);
    shared.debug(|debugger| debugger.log.add_trimmed(line));
}

fn say(stack: &Stack<'_>, line: impl Into<Vec<u8>>) {
    let line = line.into();
    stack.shared.debug(|debugger| debugger.log.add(line));
}

fn print(stack: &mut Stack<'_>, args: &[Vec<u8>]) {
    match args {
        [name] => print_one(stack, name),
        _ => print_all(stack),
    }
}

/// The nearest local variable of a name, in this function or a caller.
fn print_one(stack: &mut Stack<'_>, name: &[u8]) {
    for level in 0.. {
        if stack.frame(level).is_none() {
            break;
        }
        for variable in 1.. {
            match stack.push_local(level, variable) {
                Some(found) if found == name => return show_top(stack, b"<value> "),
                Some(_) => stack.pop(1),
                None => break,
            }
        }
    }
    let globals = stack.shared.debug(|debugger| debugger.globals).flatten();
    match (name, globals) {
        (b"KEYS" | b"ARGV", Some(globals)) => {
            stack.push_kept(globals);
            stack.push_field(-1, if name == b"KEYS" { "KEYS" } else { "ARGV" });
            stack.remove(-2);
            show_top(stack, b"<value> ");
        }
        _ => say(stack, "No such variable."),
    }
}

fn print_all(stack: &mut Stack<'_>) {
    let mut has_any = false;
    for variable in 1.. {
        match stack.push_local(0, variable) {
            Some(name) if !name.starts_with(b"(*temporary)") => {
                has_any = true;
                show_top(stack, &[b"<value> ", &name[..], b" = "].concat());
            }
            Some(_) => stack.pop(1),
            None => break,
        }
    }
    if !has_any {
        say(stack, "No local variables in the current context.");
    }
}

fn trace(stack: &mut Stack<'_>) {
    for level in 0.. {
        let Some(frame) = stack.frame(level) else { break };
        if frame.source.contains(SOURCE) {
            let how = if level == 0 { "In" } else { "From" };
            say(stack, format!("{how} {}:", frame.name.as_deref().unwrap_or("top level")));
            stack.shared.debug(|debugger| debugger.list_line(frame.line));
        }
    }
}

/// Runs code, as an expression if it is one.
fn eval(stack: &mut Stack<'_>, args: &[Vec<u8>]) -> Result<(), Halt> {
    let code = args.join(&b' ');
    if stack.evaluate(&code) {
        show_top(stack, b"<retval> ");
        return Ok(());
    }
    if let Some(halt) = stack.shared.take_halt() {
        return Err(halt);
    }
    if stack.kind(-1) == Kind::Table {
        stack.push_field(-1, "err");
        stack.remove(-2);
    }
    let line = [b"<error> ", stack.text(-1).unwrap_or(b"(null)")].concat();
    stack.pop(1);
    say(stack, line);
    Ok(())
}

/// Runs a command as the script would, with its reply shown.
fn redis(stack: &mut Stack<'_>, words: &[Vec<u8>]) -> Result<(), Halt> {
    let shared = stack.shared;
    let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
    let protocol = shared.protocol.get();
    shared.debug(|debugger| {
        debugger.steps = true;
        debugger.note_command(&words);
    });
    if let Some(called) = shared.with_host(|host| host.call(&words, protocol)) {
        let called = called?;
        shared.debug(|debugger| debugger.note_reply(&called, protocol));
    }
    shared.debug(|debugger| debugger.steps = false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        assert_eq!(
            [&b"12"[..], b"-3x", b"x", b"", b"-", b"99999999999"].map(number),
            [12, -3, 0, 0, 0, i32::MAX.into()]
        );
    }
}
