//! The debugger of scripts (SCRIPT DEBUG). It stops a script before a line, tells its client, and does what
//! that asks for until the script is to go on. The conversation is that of Redis, whose clients it serves.
//!
//! - here: [`Debugger`], what a session knows, and when it stops. `verbs.rs`: what a client may ask for.
//! - `console.rs`: the line to the client. `request.rs`: what comes in. `log.rs`: what goes out.
//! - `show.rs`: values and replies on one line.
//!
//! It runs in the hook that Lua calls for each line (`lua/frames.rs`), on the thread of the script, and
//! knows nothing of sockets or of transactions.

mod console;
mod log;
mod request;
mod show;
mod verbs;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use console::{Console, Sessions, Wire};

use log::Log;

use super::host::{Called, Halt};
use super::lua::{Kept, Moment, Stack};
use super::running::Running;
use crate::resp::{Protocol, Reply};

/// Lines with a breakpoint, at most.
const BREAKPOINTS_MAX: usize = 64;
/// Words of a command that are shown.
const WORDS_SHOWN: usize = 10;
/// The sources whose lines count: those of scripts, not what they compile themselves.
const SOURCE: &str = "user_script";
/// A script that runs so long without a stop is stopped, where `busy-reply-threshold` sets no other time.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(5);

/// A session.
pub struct Debugger {
    console: Console,
    log: Log,
    /// What has come from the client and is no whole command yet.
    input: Vec<u8>,
    source: Vec<Bytes>,
    /// The table where KEYS and ARGV are.
    globals: Option<Kept>,
    breakpoints: Vec<usize>,
    /// It stops at the next line, and tells of commands until then.
    steps: bool,
    /// The script has called `redis.breakpoint`.
    called: bool,
    /// The line that runs.
    line: usize,
    goes_since: Instant,
    limit: Duration,
}

impl Debugger {
    /// For a script of this text, which may run for `limit` between two stops.
    pub fn new(console: Console, body: &Bytes, limit: Duration) -> Self {
        Self {
            console,
            log: Log::default(),
            input: Vec::new(),
            source: lines(body),
            globals: None,
            breakpoints: Vec::new(),
            steps: true,
            called: false,
            line: 0,
            goes_since: Instant::now(),
            limit,
        }
    }

    /// What others see of the script.
    pub fn running(&self) -> &Arc<Running> {
        self.console.running()
    }

    /// The script begins, with these globals.
    pub(super) fn begin(&mut self, globals: Kept) {
        self.globals = Some(globals);
        self.goes_since = Instant::now();
    }

    /// Tells the client that the session is over.
    pub fn end(mut self) {
        self.log.must(b"<endsession>".to_vec());
        self.send();
    }

    /// `redis.breakpoint`.
    pub(super) fn break_soon(&mut self) {
        self.called = true;
    }

    /// `redis.debug`: shows the values of a call's arguments.
    pub(super) fn say(&mut self, shown: &[u8]) {
        self.log.add([format!("<debug> line {}: ", self.line).as_bytes(), shown].concat());
    }

    /// A command is about to run.
    pub(super) fn note_command(&mut self, words: &[&[u8]]) {
        if !self.steps {
            return;
        }
        let mut line = b"<redis>".to_vec();
        for word in words.iter().take(WORDS_SHOWN) {
            line.push(b' ');
            line.extend_from_slice(word.get(..log::BYTES_MAX).unwrap_or(word));
        }
        if words.len() > WORDS_SHOWN {
            line.extend_from_slice(format!(" ... ({} more)", words.len() - WORDS_SHOWN - 1).as_bytes());
        }
        self.log.add(line);
    }

    /// A command has run, or was refused.
    pub(super) fn note_reply(&mut self, called: &Called, protocol: Protocol) {
        if !self.steps {
            return;
        }
        match &called.reply {
            Reply::Error(text) if called.refused => return self.note_error(text.strip_prefix("ERR ").unwrap_or(text)),
            Reply::Error(text) => self.note_error(&format!("-{text}")),
            _ => {}
        }
        let mut line = b"<reply> ".to_vec();
        show::show_reply(&called.reply, protocol, self.log.room(), &mut line);
        self.log.add_trimmed(line);
    }

    /// A call of the script's was wrong.
    pub(super) fn note_error(&mut self, text: &str) {
        if self.steps {
            self.log.add(format!("<error> {text}").into_bytes());
        }
    }

    /// The line as it is listed: with marks if it is the current one, and if it has a breakpoint.
    fn list_line(&mut self, number: usize) {
        let has_breakpoint = self.breakpoints.contains(&number);
        let mark = match (number == self.line, has_breakpoint) {
            (true, true) => "->#",
            (true, false) => "-> ",
            (false, true) => "  #",
            (false, false) => "   ",
        };
        let known = number.checked_sub(1).and_then(|place| self.source.get(place));
        let text = known.map_or(&b"<out of range source code line>"[..], |line| line);
        let line = [format!("{mark}{number:<3} ").as_bytes(), text].concat();
        self.log.add(line);
    }

    /// Why to stop at this moment, if there is a reason.
    fn reason(&mut self, moment: Moment) -> Option<&'static str> {
        let reason = if self.called {
            "redis.breakpoint() called"
        } else if self.breakpoints.contains(&self.line) {
            "break point"
        } else if self.steps {
            "step over"
        } else if moment == Moment::Tick && self.goes_since.elapsed() >= self.limit {
            return Some("timeout reached, infinite loop?");
        } else {
            return None;
        };
        (moment == Moment::Line).then_some(reason)
    }

    fn tell_stop(&mut self, reason: &str) {
        self.steps = false;
        self.called = false;
        self.log.must(format!("* Stopped at {}, stop reason = {reason}", self.line).into_bytes());
        self.list_line(self.line);
        self.send();
    }

    fn send(&mut self) {
        self.console.send(self.log.take());
    }

    /// Waits for a command.
    fn next_command(&mut self) -> Result<Vec<Vec<u8>>, Halt> {
        loop {
            if let Some(words) = request::take_command(&mut self.input).map_err(Halt::Killed)? {
                return Ok(words);
            }
            let piece = self.console.receive().ok_or(Halt::Killed("the client of the debugger has gone"))?;
            self.input.extend_from_slice(&piece);
        }
    }
}

/// The lines of a script, without empty ones at its end.
fn lines(body: &Bytes) -> Vec<Bytes> {
    let end = body.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let body = body.slice(..end);
    if body.is_empty() {
        return Vec::new();
    }
    let ends = memchr::memchr_iter(b'\n', &body).chain([end]);
    let mut start = 0;
    ends.map(|end| body.slice(std::mem::replace(&mut start, end + 1)..end)).collect()
}

/// The arguments of the native that runs, as `redis.debug` shows them.
pub(super) fn shown_arguments(stack: &mut Stack<'_>) -> Vec<u8> {
    let mut shown = Vec::new();
    for at in 1..=stack.top() {
        shown.extend_from_slice(if at > 1 { b", " } else { b"" });
        show::show_value(stack, at, log::BYTES_MAX, &mut shown);
    }
    shown
}

/// Lua is about to run a line, or has run for a while: stops if there is a reason, and serves the client
/// until the script is to go on.
///
/// # Errors
/// When the script is to end.
pub(super) fn watch(stack: &mut Stack<'_>, moment: Moment) -> Result<(), Halt> {
    let shared = stack.shared;
    if moment == Moment::Tick {
        shared.with_host(|host| host.tick()).unwrap_or(Ok(()))?;
    }
    let frame = stack.frame(0).unwrap_or_default();
    let Some(reason) = shared.debug(|debugger| {
        debugger.line = frame.line;
        if frame.source.contains(SOURCE) { debugger.reason(moment) } else { None }
    }) else {
        return Ok(());
    };
    let Some(reason) = reason else { return Ok(()) };
    shared.debug(|debugger| debugger.tell_stop(reason));
    verbs::serve(stack)?;
    shared.debug(|debugger| debugger.goes_since = Instant::now());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_the_lines_that_lua_counts() {
        let of = |text: &'static str| lines(&Bytes::from_static(text.as_bytes()));
        assert_eq!(of("a\n\nb\r\n\n"), [&b"a"[..], b"", b"b"]);
        assert_eq!(of("a"), [&b"a"[..]]);
        assert!(of("").is_empty() && of("\n\n").is_empty());
    }
}
