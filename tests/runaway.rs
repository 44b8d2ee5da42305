//! Scripts that run for long: other clients go on, those who need the script's keys are told BUSY,
//! SCRIPT KILL ends it, two at a time use both processors.

mod support;

use std::time::{Duration, Instant};

use support::{Connection, Protocol, Reply, Server, Target};

const SPIN: &str = "redis.call('GET', KEYS[1]) while true do end";
const SPIN_AFTER_WRITE: &str = "redis.call('SET', KEYS[1], 1) while true do end";
/// So long a GET may take beside a spinning script, on a machine that others use too.
const P99_MS: u128 = 50;
const GETS: usize = 2000;

fn server() -> Server {
    Server::start_with(Target::Ferrock, &[("busy-reply-threshold", "100")])
}

/// Sends a script and waits until it has run for longer than the threshold.
fn start(connection: &mut Connection, words: &[&str]) {
    connection.send(words).expect("the server takes the script");
    std::thread::sleep(Duration::from_millis(400));
}

fn error_of(reply: Reply) -> String {
    match reply {
        Reply::Error(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("an error, not {other:?}"),
    }
}

#[test]
fn others_go_on_and_those_who_need_its_keys_are_told() {
    let server = server();
    let (mut spinning, mut other) = (server.connect(Protocol::Resp2), server.connect(Protocol::Resp2));
    other.must(&["SET", "mine", "1"]);
    start(&mut spinning, &["EVAL", SPIN, "1", "its"]);
    assert_eq!(other.must(&["PING"]), Reply::Simple(b"PONG".to_vec()));
    assert_eq!(other.must(&["SET", "mine", "2"]), Reply::ok());
    let mut took: Vec<Duration> = (0..GETS)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(other.must(&["GET", "mine"]), Reply::bulk("2"));
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let p99 = took[GETS * 99 / 100];
    println!("GET beside a spinning script: median {:?}, p99 {p99:?}", took[GETS / 2]);
    assert!(p99.as_millis() < P99_MS, "p99 of GET is {p99:?}");
    let busy = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    assert_eq!(error_of(other.call(&["SET", "its", "1"]).unwrap()), busy);
    assert_eq!(error_of(other.call(&["FLUSHALL"]).unwrap()), busy);
    assert!(other.must(&["GET", "its"]).is_null());
    assert_eq!(error_of(other.call(&["FUNCTION", "KILL"]).unwrap()), busy);
    assert_eq!(other.must(&["SCRIPT", "KILL"]), Reply::ok());
    let killed = error_of(spinning.read().unwrap());
    assert!(killed.starts_with("ERR Script killed by user with SCRIPT KILL... script: "), "{killed}");
    assert_eq!(other.must(&["SET", "its", "1"]), Reply::ok());
    assert_eq!(error_of(other.call(&["SCRIPT", "KILL"]).unwrap()), "NOTBUSY No scripts in execution right now.");
    assert_eq!(spinning.must(&["PING"]), Reply::Simple(b"PONG".to_vec()));
}

#[test]
fn who_waits_behind_a_script_for_everything_holds_up_nobody() {
    // Nobody is told BUSY while this lasts.
    let server = Server::start_with(Target::Ferrock, &[("busy-reply-threshold", "60000")]);
    let (mut spinning, mut other) = (server.connect(Protocol::Resp2), server.connect(Protocol::Resp2));
    start(&mut spinning, &["EVAL", SPIN, "1", "its"]);
    let mut flushing = server.connect(Protocol::Resp2);
    flushing.send(&["FLUSHALL"]).expect("sent");
    let mut several = server.connect(Protocol::Resp2);
    several.send(&["MSET", "a", "1", "its", "1", "b", "1"]).expect("sent");
    for number in 0..300 {
        assert_eq!(other.must(&["SET", &format!("key:{number}"), "1"]), Reply::ok());
    }
    assert_eq!(other.must(&["SCRIPT", "KILL"]), Reply::ok());
    assert!(error_of(spinning.read().unwrap()).contains("killed by user"));
    assert_eq!((flushing.read().unwrap(), several.read().unwrap()), (Reply::ok(), Reply::ok()));
}

#[test]
fn a_kill_is_not_swallowed() {
    let server = server();
    let (mut spinning, mut other) = (server.connect(Protocol::Resp2), server.connect(Protocol::Resp2));
    for script in [
        "local f = function() while 1 do redis.call('PING') end end while 1 do pcall(f) end",
        "while 1 do coroutine.wrap(function() pcall(function() while 1 do end end) end)() end",
    ] {
        start(&mut spinning, &["EVAL", script, "0"]);
        assert_eq!(other.must(&["SCRIPT", "KILL"]), Reply::ok());
        assert!(error_of(spinning.read().unwrap()).contains("killed by user"));
    }
}

#[test]
fn a_script_that_wrote_ends_with_the_server_only_and_leaves_nothing() {
    let mut server = server();
    let (mut spinning, mut other) = (server.connect(Protocol::Resp2), server.connect(Protocol::Resp2));
    start(&mut spinning, &["EVAL", SPIN_AFTER_WRITE, "1", "its"]);
    assert!(error_of(other.call(&["SCRIPT", "KILL"]).unwrap()).starts_with("UNKILLABLE "));
    assert!(other.must(&["GET", "its"]).is_null());
    assert_eq!(server.terminate(), Some(0), "exit code after SIGTERM\n{}", server.log());
    server.restart();
    assert!(server.connect(Protocol::Resp2).must(&["GET", "its"]).is_null());
}

#[test]
fn a_function_is_killed_as_one() {
    let server = server();
    let (mut spinning, mut other) = (server.connect(Protocol::Resp2), server.connect(Protocol::Resp2));
    other.must(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=lib\nredis.register_function('spin', function() while true do end end)",
    ]);
    start(&mut spinning, &["FCALL", "spin", "1", "its"]);
    let busy = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    assert_eq!(error_of(other.call(&["SCRIPT", "KILL"]).unwrap()), busy);
    assert_eq!(error_of(other.call(&["INCR", "its"]).unwrap()), busy);
    let stats = format!("{:?}", other.must(&["FUNCTION", "STATS"]));
    let shown = format!("{:?}", Reply::bulk("spin"));
    assert!(stats.contains(&shown), "{stats}");
    assert_eq!(other.must(&["FUNCTION", "KILL"]), Reply::ok());
    assert!(error_of(spinning.read().unwrap()).contains("killed by user"));
}

#[test]
fn scripts_on_different_keys_run_at_the_same_time() {
    let server = server();
    let [mut spinning, mut working, mut other] = [(); 3].map(|()| server.connect(Protocol::Resp2));
    start(&mut spinning, &["EVAL", "while true do end", "1", "key:0"]);
    let work = "local n = 0 for i = 1, 1e5 do n = n + i end redis.call('SET', KEYS[1], n) return n";
    for _ in 0..3 {
        assert!(working.must(&["EVAL", work, "1", "key:1"]).integer().is_some());
    }
    assert_eq!(other.must(&["SCRIPT", "KILL"]), Reply::ok());
    assert!(error_of(spinning.read().unwrap()).contains("killed by user"));
}

/// Libraries are part of the database.
#[test]
fn libraries_survive_a_restart() {
    let mut server = server();
    let mut connection = server.connect(Protocol::Resp2);
    connection.must(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=one\nredis.register_function('f', function() return 'kept' end)",
    ]);
    connection.must(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=two\nredis.register_function('g', function() return 'gone' end)",
    ]);
    connection.must(&["FUNCTION", "DELETE", "two"]);
    let payload = connection.must(&["FUNCTION", "DUMP"]);
    assert_eq!(server.terminate(), Some(0), "exit code after SIGTERM\n{}", server.log());
    server.restart();
    let mut connection = server.connect(Protocol::Resp2);
    assert_eq!(connection.must(&["FCALL", "f", "0"]), Reply::bulk("kept"));
    assert!(connection.call(&["FCALL", "g", "0"]).unwrap().is_error());
    assert_eq!(connection.must(&["FUNCTION", "DUMP"]), payload);
}
