//! Golden scripts: what a client sends and what it gets, to the byte, in RESP2
//! and RESP3. The expectations in `tests/golden/*.txt` were written by a real
//! redis-server 7.0.15 (`FERROCK_GOLDEN_WRITE=redis-server`), not by hand; what
//! Ferrock means to do otherwise is marked in the script with its reason.
//! `docs/testing.md` describes the notation.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::compare::{Order, matches, normalise, order_of};
use support::notation::render;
use support::quoting::{quote, split};
use support::{Connection, Protocol, Server, Target};

const MISMATCHES_MAX: usize = 25;
/// How long "nothing comes" is watched.
const SILENCE: Duration = Duration::from_millis(150);
/// How long a reply may take in a script, and how often it may fail to come.
const REPLY_LIMIT: Duration = Duration::from_secs(5);
const LATE_REPLIES_MAX: usize = 3;
const LATE: &str = "no reply: ";

/// One test a script; `every_script_is_run` holds the list against the folder.
macro_rules! scripts {
    ($($name:ident),* $(,)?) => {
        const SCRIPTS: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            run_or_write(stringify!($name), &Target::from_environment());
        })*
    };
}

scripts! {
    commands, connection, server, generic, expire, scan, strings, strings_limits, hashes, protocol, multi,
    differences, bitmaps, sets, acl, streams, pubsub, notifications, tracking, monitor, lists, dump, zsets, geo,
    doubles, blocking, scripting, functions, hyperloglogs, hash_field_expiry,
}

#[test]
fn every_script_is_run() {
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .expect("tests/golden is readable")
        .map(|entry| entry.expect("tests/golden is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    found.sort();
    let mut listed = SCRIPTS.to_vec();
    listed.sort_unstable();
    assert_eq!(found, listed, "scripts in tests/golden and the list in tests/golden.rs differ");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn run_or_write(name: &str, target: &Target) {
    let path = folder().join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let script = Script::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    match std::env::var("FERROCK_GOLDEN_WRITE").as_deref() {
        Ok("redis-server") => {
            let second = play(&script, &Target::Redis, Protocol::Resp2);
            let third = play(&script, &Target::Redis, Protocol::Resp3);
            std::fs::write(&path, script.with_replies(&second, &third)).expect("the script is writable");
        }
        Ok(other) => panic!("FERROCK_GOLDEN_WRITE takes `redis-server`, not {other}"),
        Err(_) => {
            for protocol in [Protocol::Resp2, Protocol::Resp3] {
                let got = play(&script, target, protocol);
                script.check(name, protocol, &got);
            }
        }
    }
}

// ------------------------------------------------------------------- script

/// A script as parsed: its lines, in order, so that writing keeps what it does not change.
struct Script {
    parameters: Vec<(String, String)>,
    /// Set when the whole script is about something redis-server 7.0.15 has not.
    newer: bool,
    parts: Vec<Part>,
}

enum Part {
    /// Comments and blank lines.
    Prose(String),
    Step(Step),
}

struct Step {
    line: usize,
    text: String,
    client: String,
    action: Action,
    compare: Compare,
    /// Not in redis-server 7.0.15, or different there, on purpose.
    newer: bool,
    expected: Vec<String>,
}

enum Action {
    /// Send a command and read its reply.
    Call(Vec<Vec<u8>>),
    /// Send a command; a later `<` reads its reply.
    Send(Vec<Vec<u8>>),
    /// Send bytes as they are.
    Raw(Vec<u8>),
    /// Read the next message.
    Read,
    Sleep(Duration),
}

#[derive(Clone, Copy, PartialEq)]
enum Compare {
    Reply(Order),
    /// The expectation is a pattern: `*` anything, `#` digits.
    Pattern,
    /// Anything but an error.
    Anything,
}

impl Script {
    fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self { parameters: Vec::new(), newer: false, parts: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            let at = |message: String| format!("line {}: {message}", index + 1);
            if let Some(header) = line.strip_prefix("#! ") {
                script.header(header).map_err(at)?;
            }
            if line.is_empty() || line.starts_with('#') && !line.starts_with("#t") && !line.starts_with("#f") {
                script.parts.push(Part::Prose(line.to_owned()));
            } else if let Some(step) = Step::parse(index + 1, line).map_err(at)? {
                script.parts.push(Part::Step(step));
            } else if let Some(Part::Step(step)) = script.parts.last_mut() {
                step.expected.push(line.to_owned());
            } else {
                return Err(at(format!("a reply without a command: {line}")));
            }
        }
        Ok(script)
    }

    /// `#! since 7.4: reason` or `#! --parameter value`.
    fn header(&mut self, header: &str) -> Result<(), String> {
        if header.starts_with("since ") {
            self.newer = true;
            return Ok(());
        }
        let (name, value) = header.strip_prefix("--").and_then(|rest| rest.split_once(' ')).ok_or("no header")?;
        self.parameters.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.parts.iter().filter_map(|part| if let Part::Step(step) = part { Some(step) } else { None })
    }

    /// # Panics
    /// When a reply is not the expected one; the message names each such line.
    fn check(&self, name: &str, protocol: Protocol, got: &[Option<String>]) {
        let mut report = String::new();
        let mut mismatches = 0;
        for (step, got) in self.steps().zip(got) {
            let Some(got) = got else { continue };
            let expected = step.expected_in(protocol);
            if expected.is_some_and(|expected| step.agrees(expected, got)) {
                continue;
            }
            mismatches += 1;
            if mismatches <= MISMATCHES_MAX {
                let expected = expected.unwrap_or("(no expectation in the script)");
                let _ = writeln!(
                    report,
                    "{name}.txt:{}: {}\n  expected {expected}\n  got      {got}",
                    step.line, step.text
                );
            }
        }
        assert!(mismatches == 0, "{mismatches} of {} replies differ in {protocol:?}\n{report}", got.len());
    }

    /// The script with the replies of the reference as its expectations.
    fn with_replies(&self, second: &[Option<String>], third: &[Option<String>]) -> String {
        let mut text = String::new();
        let mut replies = second.iter().zip(third);
        for part in &self.parts {
            match part {
                Part::Prose(line) => writeln!(text, "{line}").expect("writing to a string"),
                Part::Step(step) => {
                    let (second, third) = replies.next().expect("a reply for each step");
                    writeln!(text, "{}", step.text).expect("writing to a string");
                    for line in step.renewed(second.as_deref(), third.as_deref()) {
                        writeln!(text, "{line}").expect("writing to a string");
                    }
                }
            }
        }
        text
    }
}

impl Step {
    /// `None` when the line is an expectation.
    fn parse(line: usize, text: &str) -> Result<Option<Self>, String> {
        let mut step = Self {
            line,
            text: text.to_owned(),
            client: String::new(),
            action: Action::Read,
            compare: Compare::Reply(Order::Exact),
            newer: false,
            expected: Vec::new(),
        };
        if let Some(duration) = text.strip_prefix("sleep ") {
            let milliseconds = duration.strip_suffix("ms").and_then(|digits| digits.parse().ok());
            step.action = Action::Sleep(Duration::from_millis(milliseconds.ok_or("sleep takes milliseconds: 50ms")?));
            return Ok(Some(step));
        }
        let name_end = text.find(|char: char| !char.is_ascii_lowercase()).unwrap_or(text.len());
        let (client, rest) = text.split_at(name_end);
        step.client = client.to_owned();
        if rest == "<" || rest.starts_with("<{") {
            step.flags(&rest[1..])?;
            return Ok(Some(step));
        }
        let (sends, rest) = match rest.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let Some(rest) = rest.strip_prefix('>') else {
            return Ok(None);
        };
        let (waits, rest) = match rest.strip_prefix('&') {
            Some(rest) => (false, rest),
            None => (true, rest),
        };
        if !rest.starts_with(' ') && !rest.starts_with('{') {
            return Ok(None);
        }
        let rest = step.flags(rest)?;
        let words = split(rest)?;
        step.action = match (sends, waits) {
            (true, _) => Action::Raw(words.concat()),
            (false, false) => Action::Send(words),
            (false, true) => {
                if step.compare == Compare::Reply(Order::Exact) {
                    step.compare = Compare::Reply(order_of(&words));
                }
                Action::Call(words)
            }
        };
        Ok(Some(step))
    }

    /// Reads `{flag; flag: reason}` and returns what follows it.
    fn flags<'a>(&mut self, rest: &'a str) -> Result<&'a str, String> {
        let Some(body) = rest.strip_prefix('{') else {
            return Ok(rest);
        };
        let (flags, rest) = body.split_once('}').ok_or("flags without a closing }")?;
        for flag in flags.split(';').map(str::trim) {
            match flag {
                "unordered" => self.compare = Compare::Reply(Order::Any),
                "pairs" => self.compare = Compare::Reply(Order::Pairs),
                "pattern" => self.compare = Compare::Pattern,
                "any" => self.compare = Compare::Anything,
                _ if flag.starts_with("7.2: ") || flag.starts_with("7.4: ") || flag.starts_with("ferrock: ") => {
                    self.newer = true;
                }
                _ => return Err(format!("an unknown flag: {flag}")),
            }
        }
        Ok(rest)
    }

    fn reads(&self) -> bool {
        matches!(self.action, Action::Call(_) | Action::Read)
    }

    fn expected_in(&self, protocol: Protocol) -> Option<&str> {
        let prefix = if protocol == Protocol::Resp2 { "resp2 " } else { "resp3 " };
        let own = self.expected.iter().find_map(|line| line.strip_prefix(prefix));
        let shared = || self.expected.iter().find(|line| !line.starts_with("resp2 ") && !line.starts_with("resp3 "));
        own.or_else(|| shared().map(String::as_str))
    }

    fn agrees(&self, expected: &str, got: &str) -> bool {
        match self.compare {
            Compare::Reply(_) => expected == got,
            Compare::Pattern => matches(expected, got),
            Compare::Anything => !got.starts_with('-'),
        }
    }

    /// The expectation lines after a run of the reference.
    fn renewed(&self, second: Option<&str>, third: Option<&str>) -> Vec<String> {
        let (Some(second), Some(third)) = (second, third) else {
            return self.expected.clone();
        };
        let kept = |protocol, got| self.expected_in(protocol).is_some_and(|expected| self.agrees(expected, got));
        match self.compare {
            Compare::Anything => vec!["?".into()],
            Compare::Pattern if kept(Protocol::Resp2, second) && kept(Protocol::Resp3, third) => self.expected.clone(),
            _ if second == third => vec![second.to_owned()],
            _ => vec![format!("resp2 {second}"), format!("resp3 {third}")],
        }
    }
}

// --------------------------------------------------------------------- play

/// Runs a script on a fresh server; one entry a step, `None` where nothing is to be compared.
fn play(script: &Script, target: &Target, protocol: Protocol) -> Vec<Option<String>> {
    if script.newer && *target == Target::Redis {
        return script.steps().map(|_| None).collect();
    }
    let parameters: Vec<_> = script.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let server = Server::start_with(target.clone(), &parameters);
    let mut clients = BTreeMap::new();
    let mut late = 0;
    let steps = script.steps();
    steps
        .map(|step| {
            if step.newer && *target == Target::Redis {
                return None;
            }
            if late >= LATE_REPLIES_MAX {
                return Some("not played: too many replies did not come".into());
            }
            let client = clients.entry(step.client.clone()).or_insert_with(|| {
                let mut client = server.connect(protocol);
                client.set_reply_limit(REPLY_LIMIT).expect("a timeout can be set");
                client
            });
            let got = act(client, step, protocol);
            late += usize::from(got.starts_with(LATE));
            step.reads().then_some(got)
        })
        .collect()
}

fn act(client: &mut Connection, step: &Step, protocol: Protocol) -> String {
    let sent = match &step.action {
        Action::Call(words) | Action::Send(words) => client.send(words),
        Action::Raw(bytes) => client.send_raw(bytes),
        Action::Sleep(duration) => {
            std::thread::sleep(*duration);
            Ok(())
        }
        Action::Read => {
            let silence_expected = step.expected_in(protocol).is_none_or(|expected| expected == "silent");
            if silence_expected && client.silent_for(SILENCE).unwrap_or(false) {
                return "silent".into();
            }
            return client.read_message().map_or_else(|error| closed(&error), |reply| rendered(step, reply));
        }
    };
    if let Err(error) = sent {
        return closed(&error);
    }
    if !matches!(step.action, Action::Call(_)) {
        return String::new();
    }
    client.read().map_or_else(|error| closed(&error), |reply| rendered(step, reply))
}

fn rendered(step: &Step, reply: support::Reply) -> String {
    match step.compare {
        Compare::Reply(order) => render(&normalise(reply, order)),
        Compare::Pattern | Compare::Anything => render(&reply),
    }
}

fn closed(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
            "closed".into()
        }
        _ => format!("{LATE}{}", quote(error.to_string().as_bytes())),
    }
}
