//! A real redis-server becomes a replica of Ferrock while clients write with everything that is told to
//! replicas in other words than their own: in the end both hold the same. And redis-cli takes its copies.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Connection, Protocol, Reply, Server, Target, dial};

/// How long anything may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(30);
const WRITERS: u64 = 4;

fn start(target: Target) -> Server {
    Server::start_with(target, &[("enable-debug-command", "yes"), ("appendfsync", "no")])
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn info(connection: &mut Connection, field: &str) -> String {
    let reply = connection.must(&["INFO", "replication"]);
    let text = String::from_utf8_lossy(reply.bytes().expect("a text")).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_default().to_owned()
}

fn follow(replica: &mut Connection, master: &Server) {
    replica.must(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    eventually("the link is up", || info(replica, "master_link_status") == "up");
}

/// The replica has everything that was written so far.
fn caught_up(master: &mut Connection, replica: &mut Connection) {
    let offset = |text: String| text.parse::<u64>().unwrap_or_default();
    eventually("the replica has it all", || {
        offset(info(replica, "master_repl_offset")) >= offset(info(master, "master_repl_offset"))
    });
}

/// A command of the load; each is one that says something else to replicas, or has company.
fn write(connection: &mut Connection, random: &mut fastrand::Rng, writer: u64) {
    let key = |kind: &str, random: &mut fastrand::Rng| format!("{kind}:{}", random.u8(0..12));
    let (string, list, set) = (key("s", random), key("l", random), key("m", random));
    let (hash, zset, stream) = (key("h", random), key("z", random), key("x", random));
    let number = random.u32(..1000).to_string();
    let group = format!("g{writer}");
    let words: Vec<&str> = match random.u8(0..40) {
        0 => vec!["SET", &string, &number, "PX", "40"],
        1 => vec!["SET", &string, &number, "GET"],
        2 => vec!["GETEX", &string, "EX", "100"],
        3 => vec!["GETEX", &string, "PERSIST"],
        4 => vec!["GETDEL", &string],
        5 => vec!["INCRBYFLOAT", &string, "0.1"],
        6 => vec!["PEXPIRE", &list, "30"],
        7 => vec!["EXPIRE", &set, "1000", "NX"],
        8 => vec!["SPOP", &set],
        9 => vec!["SPOP", &set, "5"],
        10..=13 => vec!["SADD", &set, &number, "a", "b", "c"],
        14..=16 => vec!["RPUSH", &list, &number, "x"],
        17 => vec!["LMPOP", "1", &list, "LEFT", "COUNT", "3"],
        18 => vec!["BLPOP", &list, "0.01"],
        19 => vec!["BLMOVE", &list, "l:to", "LEFT", "RIGHT", "0.01"],
        20..=22 => vec!["ZADD", &zset, &number, &number, "1", "one"],
        23 => vec!["BZPOPMIN", &zset, "0.01"],
        24 => vec!["ZMPOP", "1", &zset, "MAX", "COUNT", "2"],
        25 => vec!["HINCRBYFLOAT", &hash, "f", "0.1"],
        26 => vec!["HSET", &hash, &number, "v"],
        27..=28 => vec!["XADD", &stream, "MAXLEN", "~", "100", "*", "f", &number],
        29 => vec!["XGROUP", "CREATE", &stream, &group, "0", "MKSTREAM"],
        30 => vec!["XREADGROUP", "GROUP", &group, "me", "COUNT", "3", "STREAMS", &stream, ">"],
        31 => vec!["XAUTOCLAIM", &stream, &group, "you", "0", "0", "COUNT", "2"],
        32 => vec!["SORT", &set, "ALPHA", "STORE", "l:sorted"],
        33 => vec!["EVAL", "redis.call('INCR', KEYS[1]) redis.call('SPOP', KEYS[2])", "2", "s:script", &set],
        34 => vec!["COPY", &zset, "z:copy", "REPLACE"],
        35 => vec!["PFADD", "hll", &number],
        36 => vec!["GEOADD", "geo", "13.3", "38.1", &number],
        37 => vec!["SELECT", if random.bool() { "0" } else { "3" }],
        38 => vec!["RENAME", &zset, "z:renamed"],
        _ => {
            for words in [vec!["MULTI"], vec!["INCR", "s:multi"], vec!["SPOP", &set], vec!["GET", &string]] {
                let _ = connection.call(&words);
            }
            vec!["EXEC"]
        }
    };
    // Some fail, by the type of a key or for want of a group: those must leave nothing over there.
    connection.call(&words).expect("a reply");
}

#[test]
fn a_redis_server_follows_a_mixed_load_to_the_last_key() {
    let (master, replica) = (start(Target::from_environment()), start(Target::Redis));
    let (mut here, mut there) = (master.connect(Protocol::Resp2), replica.connect(Protocol::Resp2));
    let steps = dial("FERROCK_REPLICATION_STEPS", 1500);
    let library = "#!lua name=lib\nredis.register_function('f', function(k) return redis.call('INCR', k[1]) end)";
    here.must(&["FUNCTION", "LOAD", library]);
    let writers: Vec<_> = (1..=WRITERS)
        .map(|writer| {
            let mut connection = master.connect(Protocol::Resp2);
            thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(writer);
                (0..steps).for_each(|_| write(&mut connection, &mut random, writer));
            })
        })
        .collect();
    // It joins in the middle of the load.
    follow(&mut there, &master);
    writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
    here.must(&["FCALL", "f", "1", "by-function"]);
    // What lapses does so on the master, and the replica hears of it.
    thread::sleep(Duration::from_millis(300));
    caught_up(&mut here, &mut there);
    for db in ["0", "3"] {
        here.must(&["SELECT", db]);
        there.must(&["SELECT", db]);
        assert_same(&mut here, &mut there);
    }
    assert_eq!(there.must(&["FUNCTION", "LIST"]), here.must(&["FUNCTION", "LIST"]));
}

fn sorted_keys(connection: &mut Connection) -> Vec<String> {
    let reply = connection.must(&["KEYS", "*"]);
    let keys = reply.elements().expect("an array").iter().filter_map(Reply::bytes);
    let mut keys: Vec<String> = keys.map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    keys.sort_unstable();
    keys
}

fn assert_same(here: &mut Connection, there: &mut Connection) {
    let keys = sorted_keys(here);
    assert_eq!(keys, sorted_keys(there));
    assert!(keys.len() > 10, "the load leaves something: {keys:?}");
    for key in &keys {
        for words in [
            vec!["TYPE", key],
            vec!["DEBUG", "DIGEST-VALUE", key],
            vec!["PEXPIRETIME", key],
            vec!["XRANGE", key, "-", "+"],
            vec!["XINFO", "GROUPS", key],
        ] {
            let (one, other) = (here.call(&words).expect("a reply"), there.call(&words).expect("a reply"));
            let same = one == other || (one.is_error() && other.is_error());
            assert!(same, "{words:?}: {one:?} here, {other:?} there");
        }
        for group in 1..=WRITERS {
            let words = ["XPENDING", key, &format!("g{group}"), "-", "+", "1000"];
            let pending = |connection: &mut Connection| match connection.call(&words).expect("a reply") {
                Reply::Array(entries) => entries.iter().map(without_idle).collect::<Vec<_>>(),
                _ => Vec::new(),
            };
            assert_eq!(pending(here), pending(there), "{words:?}");
        }
    }
}

/// An entry of XPENDING without its age.
fn without_idle(entry: &Reply) -> Vec<Reply> {
    let parts = entry.elements().expect("an entry").iter().enumerate();
    parts.filter(|(at, _)| *at != 2).map(|(_, part)| part.clone()).collect()
}

#[test]
fn wait_counts_replicas_and_the_server_tells_of_them() {
    let (master, replica) = (start(Target::from_environment()), start(Target::Redis));
    let (mut here, mut there) = (master.connect(Protocol::Resp2), replica.connect(Protocol::Resp2));
    assert_eq!(here.must(&["WAIT", "1", "20"]).integer(), Some(0));
    follow(&mut there, &master);
    here.must(&["SET", "k", "v"]);
    assert_eq!(here.must(&["WAIT", "1", "20000"]).integer(), Some(1));
    assert_eq!(there.must(&["GET", "k"]), Reply::bulk("v"));
    assert_eq!(here.must(&["WAIT", "2", "50"]).integer(), Some(1), "there is one only");
    let line = info(&mut here, "slave0");
    assert!(line.contains(&format!("port={},state=online", replica.port())), "{line}");
    assert_eq!(here.must(&["CLIENT", "KILL", "TYPE", "replica"]).integer(), Some(1));
    eventually("it comes back by itself", || info(&mut here, "slave0").contains("state=online"));
    drop(replica);
    eventually("it is forgotten", || info(&mut here, "connected_slaves") == "0");
}

fn redis_cli(master: &Server, words: &[&str]) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &master.port().to_string()]).args(words).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn redis_cli_takes_an_rdb_file_that_redis_loads() {
    let master = start(Target::from_environment());
    let mut here = master.connect(Protocol::Resp2);
    for number in 0..3000 {
        here.must(&["RPUSH", &format!("list:{}", number % 7), &number.to_string()]);
    }
    here.must(&["SET", "lasting", "v", "EX", "1000"]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("copy.rdb");
    let done = redis_cli(&master, &["--rdb", file.to_str().expect("a path")]).stdout(Stdio::null()).status();
    assert!(done.expect("redis-cli runs").success());
    assert_checks(&file);
    // SYNC by hand gets the length beforehand, and the stream behind it.
    let mut raw = BufReader::new(TcpStream::connect(master.address()).expect("connected"));
    raw.get_mut().set_read_timeout(Some(PATIENCE)).expect("a limit");
    raw.get_mut().write_all(b"SYNC\r\n").expect("sent");
    let mut line = String::new();
    while line.trim().is_empty() {
        line.clear();
        raw.read_line(&mut line).expect("a length");
    }
    let length = line.trim().strip_prefix('$').and_then(|length| length.parse().ok());
    let mut copy = vec![0; length.expect("a length")];
    raw.read_exact(&mut copy).expect("a copy");
    assert!(copy.starts_with(b"REDIS0010"));
    here.must(&["SET", "k", "v", "PX", "100000"]);
    let mut stream =
        vec![0; "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$4\r\nPXAT".len()];
    raw.read_exact(&mut stream).expect("a stream");
    let stream = String::from_utf8_lossy(&stream).into_owned();
    assert!(stream.starts_with("*2\r\n$6\r\nSELECT\r\n") && stream.ends_with("PXAT"), "{stream}");
}

fn assert_checks(file: &Path) {
    let checked = Command::new("redis-check-rdb").arg(file).output().expect("redis-check-rdb runs");
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && text.contains("8 keys read"), "{text}");
}
