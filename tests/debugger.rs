//! The debugger of scripts: the same conversation as with redis-server, line for line, and what a script that
//! stands still does to others, which in Ferrock is nothing.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Connection, Protocol, Reply, Server, Target};

/// So many scripts may be debugged at a time.
const SESSIONS_MAX: usize = 16;
/// How long something may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(30);

const SCRIPT: &str = "local a = 1
local b = {1, 2, \"x\\n\\1\", {k = 'v'}}
redis.call('SET', KEYS[1], ARGV[1])
local function f(x)
  local y = x + 0.5
  redis.debug('hi', y, b, nil, true)
  redis.breakpoint()
  return redis.call('GET', KEYS[1])
end
local r = f(a)
return {r, redis.pcall('LPUSH', KEYS[1], 'z')}
";

/// The lines that come next.
fn lines(connection: &mut Connection) -> Vec<String> {
    match connection.read().expect("a reply") {
        Reply::Array(lines) => lines
            .iter()
            .map(|line| match line {
                Reply::Simple(text) => String::from_utf8_lossy(text).into_owned(),
                other => panic!("a line, not {other:?}"),
            })
            .collect(),
        other => panic!("lines, not {other:?}"),
    }
}

/// Begins to debug a script and reads where it stops.
fn begin(connection: &mut Connection, mode: &str, words: &[&str]) -> Vec<String> {
    assert_eq!(connection.must(&["SCRIPT", "DEBUG", mode]), Reply::ok());
    connection.send(&[&["EVAL"], words].concat()).expect("sent");
    lines(connection)
}

fn ask(connection: &mut Connection, words: &str) -> Vec<String> {
    connection.send(&words.split('|').collect::<Vec<_>>()).expect("sent");
    lines(connection)
}

/// A conversation: `> command` with `|` between words, and the lines that answer it.
fn play(connection: &mut Connection, conversation: &str) {
    let mut rest = conversation.lines().peekable();
    while let Some(line) = rest.next() {
        let command = line.strip_prefix("> ").expect("a command");
        let expected: Vec<&str> = std::iter::from_fn(|| rest.next_if(|line| !line.starts_with("> "))).collect();
        assert_eq!(ask(connection, command), expected, "after {command:?}");
    }
}

fn stopped(line: u32, source: &str) -> Vec<String> {
    vec![format!("* Stopped at {line}, stop reason = step over"), format!("-> {line:<3} {source}")]
}

fn error_of(reply: Reply) -> String {
    match reply {
        Reply::Error(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("an error, not {other:?}"),
    }
}

/// Waits until something is as it should be.
fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_script_is_walked_through() {
    let server = Server::start();
    let mut client = server.connect(Protocol::Resp2);
    assert_eq!(begin(&mut client, "YES", &[SCRIPT, "1", "k", "v"]), stopped(1, "local a = 1"));
    play(&mut client, include_str!("debugger/walk.txt"));
    assert_eq!(ask(&mut client, "S").last().map(String::as_str), Some("<endsession>"));
    let wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
    let expected = Reply::Array(vec![Reply::bulk("v"), Reply::Error(wrong_type.into())]);
    assert_eq!(client.read().expect("the script's reply"), expected);
    assert!(client.closed());
    assert!(server.connect(Protocol::Resp2).must(&["GET", "k"]).is_null(), "what it wrote is gone");
}

#[test]
fn replies_are_shown_in_the_protocol_of_the_script() {
    let server = Server::start();
    let mut client = server.connect(Protocol::Resp3);
    client.must(&["HSET", "h", "a", "1"]);
    client.must(&["ZADD", "z", "1.5", "a"]);
    let script = "redis.setresp(3)
local h = redis.call('HGETALL', 'h')
local z = redis.call('ZSCORE', 'z', 'a')
local n = redis.call('GET', 'none')
redis.call('DEL', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
redis.call('SET', 'long', string.rep('x', 300))
return redis.call('NOPE')";
    begin(&mut client, "yes", &[script, "0"]);
    ask(&mut client, "next");
    assert_eq!(ask(&mut client, "n")[..2], ["<redis> HGETALL h", r#"<reply> {"a" => "1"}"#]);
    assert_eq!(ask(&mut client, "s")[..2], ["<redis> ZSCORE z a", "<reply> (double) 1.5"]);
    assert_eq!(ask(&mut client, "s")[..2], ["<redis> GET none", "<reply> (null)"]);
    assert_eq!(ask(&mut client, "s")[..2], ["<redis> DEL 1 2 3 4 5 6 7 8 9 ... (2 more)", "<reply> 0"]);
    ask(&mut client, "s");
    let trimmed = format!("<reply> \"{} ...", "x".repeat(256 - 9));
    let hint = "<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.";
    assert_eq!(ask(&mut client, "r|get|long"), ["<redis> get long", &trimmed, hint]);
    assert_eq!(ask(&mut client, "maxlen|0"), ["<value> replies are unlimited."]);
    let whole = format!("<reply> \"{}\"", "x".repeat(300));
    assert_eq!(ask(&mut client, "r|get|long"), ["<redis> get long", &whole]);
    let ends = ["<redis> NOPE", "<error> Unknown Redis command called from script", "<endsession>"];
    assert_eq!(ask(&mut client, "s"), ends);
    let error = error_of(client.read().expect("the script's reply"));
    assert!(error.starts_with("ERR Unknown Redis command called from script script: "), "{error}");
    assert!(error.ends_with(", on @user_script:7."), "{error}");
}

#[test]
fn what_is_written_in_sync_stays_even_if_the_script_is_aborted() {
    let server = Server::start();
    let script = "redis.call('SET', KEYS[1], 1)\npcall(function()\n return 1 end)\nreturn 2";
    let mut client = server.connect(Protocol::Resp2);
    begin(&mut client, "SYNC", &[script, "1", "k"]);
    ask(&mut client, "s");
    assert_eq!(ask(&mut client, "r|APPEND|k|2"), ["<redis> APPEND k 2", "<reply> 2"]);
    ask(&mut client, "s");
    assert_eq!(ask(&mut client, "abort"), ["<endsession>"]);
    let error = error_of(client.read().expect("the script's reply"));
    assert!(error.starts_with("ERR script aborted for user request script: "), "{error}");
    assert!(error.ends_with(", on @user_script:3."), "{error}");
    assert_eq!(server.connect(Protocol::Resp2).must(&["GET", "k"]), Reply::bulk("12"));
}

#[test]
fn what_cannot_be_run_or_understood_ends_the_session() {
    let server = Server::start();
    for (words, error) in [
        (["return return", "0"], "ERR Error compiling script (new function): user_script:1: "),
        (["return 1", "x"], "ERR value is not an integer or out of range"),
    ] {
        let mut client = server.connect(Protocol::Resp2);
        assert_eq!(begin(&mut client, "YES", &words), ["<endsession>"]);
        let found = error_of(client.read().expect("the reply"));
        assert!(found.starts_with(error), "{found}");
        assert!(client.closed());
    }
    for bytes in ["s\r\n", "*1\r\n$0\r\n\r\n", "*1025\r\n", "*1\r\n$1\r\nabc\r\n"] {
        let mut client = server.connect(Protocol::Resp2);
        begin(&mut client, "YES", &["return 1", "0"]);
        client.send_raw(bytes.as_bytes()).expect("sent");
        assert_eq!(lines(&mut client), ["<endsession>"]);
        let found = error_of(client.read().expect("the reply"));
        assert!(found.starts_with("ERR protocol error script: "), "{found}");
    }
    let mut client = server.connect(Protocol::Resp2);
    assert_eq!(begin(&mut client, "YES", &["", "0"]), stopped(1, "<out of range source code line>"));
    client.send_raw(b"xx*2\r\n$1\r\nP\r\n$1").expect("sent");
    assert!(client.silent_for(Duration::from_millis(50)).unwrap());
    client.send_raw(b"\r\na\r\n").expect("sent");
    assert_eq!(lines(&mut client), ["No such variable."]);
}

#[test]
fn a_script_that_runs_for_long_is_stopped() {
    let server = Server::start_with(Target::from_environment(), &[("busy-reply-threshold", "100")]);
    let mut client = server.connect(Protocol::Resp2);
    begin(&mut client, "YES", &["local a = 1\nwhile true do end", "0"]);
    let stop = ["* Stopped at 2, stop reason = timeout reached, infinite loop?", "-> 2   while true do end"];
    assert_eq!(ask(&mut client, "c"), stop);
    assert_eq!(ask(&mut client, "continue"), stop);
    assert_eq!(ask(&mut client, "a"), ["<endsession>"]);
}

#[test]
fn debugging_is_asked_for_outside_of_pipelines_and_only_for_eval() {
    let server = Server::start();
    let mut client = server.connect(Protocol::Resp2);
    let refusal = Reply::Error(b"ERR SCRIPT DEBUG must be called outside a pipeline".to_vec());
    client.must(&["MULTI"]);
    client.must(&["SCRIPT", "DEBUG", "YES"]);
    assert_eq!(client.must(&["EXEC"]), Reply::Array(vec![refusal.clone()]));
    let both = client.pipeline(&[vec!["PING"], vec!["SCRIPT", "DEBUG", "YES"]]).expect("answers");
    assert_eq!(both[1], refusal);
    client.must(&["SCRIPT", "DEBUG", "YES"]);
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    assert_eq!(error_of(client.must(&["EVALSHA", sha, "0"])), "ERR Please use EVAL instead of EVALSHA for debugging");
    assert_eq!(error_of(client.must(&["SCRIPT", "DEBUG", "maybe"])), "ERR Use SCRIPT DEBUG YES/SYNC/NO");
    client.must(&["SCRIPT", "DEBUG", "NO"]);
    assert!(client.must(&["EVAL", "redis.debug(1) return redis.breakpoint()", "0"]).is_null());
}

#[test]
fn redis_cli_debugs() {
    let server = Server::start();
    let file = server.data().join("script.lua");
    std::fs::write(&file, "local a = 1\nreturn {a, KEYS[1]}\n").expect("written");
    let mut cli = Command::new("redis-cli")
        .args(["-p", &server.port().to_string(), "--ldb", "--eval"])
        .arg(&file)
        .args(["key", ",", "argument"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli runs");
    cli.stdin.take().expect("a pipe").write_all(b"s\nprint a\nc\n").expect("written");
    let output = cli.wait_with_output().expect("redis-cli ends");
    let text = String::from_utf8_lossy(&output.stdout);
    for line in ["* Stopped at 2, stop reason = step over", "<value> 1", "2) \"key\"", "dataset changes rolled back"] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}

#[test]
fn others_go_on_while_a_script_stands_still() {
    let server = Server::start_with(Target::Ferrock, &[("busy-reply-threshold", "50")]);
    let (mut client, mut other) = (server.connect(Protocol::Resp2), server.connect(Protocol::Resp2));
    other.must(&["SET", "k", "before"]);
    begin(&mut client, "SYNC", &["redis.call('SET', KEYS[1], 'script')\nreturn redis.call('GET', 'seen')", "1", "k"]);
    ask(&mut client, "s");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(other.must(&["GET", "k"]), Reply::bulk("before"));
    assert_eq!(error_of(other.must(&["SCRIPT", "KILL"])), "NOTBUSY No scripts in execution right now.");
    assert_eq!(other.must(&["SET", "seen", "1"]), Reply::ok());
    assert_eq!(other.must(&["EVAL", "return redis.breakpoint()", "0"]), Reply::NullBulk, "not in its debugger");
    assert_eq!(
        ask(&mut client, "r|GET|seen"),
        ["<redis> GET seen", "<reply> NULL"],
        "it sees the data of its beginning"
    );
    ask(&mut client, "c");
    let error = error_of(client.read().expect("the reply"));
    assert_eq!(error, "ERR The writes of the script were not kept: meanwhile others have changed what it used");
    assert_eq!(other.must(&["GET", "k"]), Reply::bulk("before"));
}

#[test]
fn what_is_kept_is_told_to_those_who_wait_and_watch() {
    let server = Server::start_with(Target::Ferrock, &[]);
    let (mut client, mut other) = (server.connect(Protocol::Resp2), server.connect(Protocol::Resp2));
    let mut waiting = server.connect(Protocol::Resp2);
    begin(&mut client, "SYNC", &["redis.call('SET', 'w', 1)\nreturn redis.call('LPUSH', 'l', 1)", "0"]);
    ask(&mut client, "s");
    other.must(&["WATCH", "w"]);
    waiting.send(&["BLPOP", "l", "0"]).expect("sent");
    await_that("it blocks", || {
        let clients = other.must(&["INFO", "clients"]);
        String::from_utf8_lossy(clients.bytes().unwrap_or_default()).contains("blocked_clients:1")
    });
    ask(&mut client, "c");
    assert_eq!(client.read().expect("the reply"), Reply::Integer(1));
    assert_eq!(waiting.read().expect("served"), Reply::Array(vec![Reply::bulk("l"), Reply::bulk("1")]));
    other.must(&["MULTI"]);
    assert!(other.must(&["EXEC"]).is_null(), "the watched key was written");
}

#[test]
fn who_hangs_up_or_is_killed_leaves_nothing() {
    let server = Server::start_with(Target::Ferrock, &[]);
    let mut other = server.connect(Protocol::Resp2);
    let script = "redis.call('SET', 'k', 1)\nreturn 1";
    let open = || {
        let mut client = server.connect(Protocol::Resp2);
        let id = client.must(&["CLIENT", "ID"]).integer().expect("an id");
        begin(&mut client, "SYNC", &[script, "0"]);
        ask(&mut client, "s");
        (client, id)
    };
    let mut sessions: Vec<(Connection, i64)> = (0..SESSIONS_MAX).map(|_| open()).collect();
    other.must(&["SCRIPT", "DEBUG", "YES"]);
    assert_eq!(error_of(other.must(&["EVAL", script, "0"])), "ERR Too many scripts are being debugged");
    other.must(&["SCRIPT", "DEBUG", "NO"]);
    // One is killed while it stands still, one while it goes round in code of its client's; the others hang up.
    for endless in [false, true] {
        let (mut client, id) = sessions.pop().expect("a session");
        if endless {
            client.send(&["e", "while true do end"]).expect("sent");
        }
        assert_eq!(other.must(&["CLIENT", "KILL", "ID", &id.to_string()]), Reply::Integer(1));
        assert!(client.closed());
    }
    sessions[0].0.send(&["e", "while true do end"]).expect("sent");
    drop(sessions);
    await_that("all of them are gone", || {
        let list = other.must(&["CLIENT", "LIST"]);
        list.bytes().unwrap_or_default().iter().filter(|byte| **byte == b'\n').count() == 1
    });
    drop((0..SESSIONS_MAX).map(|_| open()).collect::<Vec<_>>());
    assert!(other.must(&["GET", "k"]).is_null());
}

#[test]
fn a_server_stops_beside_open_sessions() {
    let mut server = Server::start_with(Target::Ferrock, &[]);
    let (mut still, mut endless) = (server.connect(Protocol::Resp2), server.connect(Protocol::Resp2));
    begin(&mut still, "SYNC", &["redis.call('SET', 'k', 1)\nreturn 1", "0"]);
    ask(&mut still, "s");
    begin(&mut endless, "YES", &["while true do end", "0"]);
    endless.send(&["c"]).expect("sent");
    assert_eq!(server.terminate(), Some(0), "exit code after SIGTERM\n{}", server.log());
    server.restart();
    assert!(server.connect(Protocol::Resp2).must(&["GET", "k"]).is_null());
}

#[test]
fn a_script_that_talks_on_and_on_is_cut_short() {
    let server = Server::start_with(Target::Ferrock, &[]);
    let mut client = server.connect(Protocol::Resp2);
    begin(&mut client, "YES", &["for i = 1, 200000 do redis.debug('0123456789') end return 1", "0"]);
    let said = ask(&mut client, "c");
    let bytes: usize = said.iter().map(String::len).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes");
    assert!(said[0].starts_with("<hint> ") && said.last().is_some_and(|last| last == "<endsession>"));
}
