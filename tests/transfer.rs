//! Data in and out, against a real redis-server in both directions: payloads of DUMP, RDB files,
//! an append-only log, commands, and Ferrock's own dump; then `ferrock check` and `repair` on
//! what came out. Contents are compared key by key: type, value, deadline.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ferrock::storage::budget::EngineBudget;
use ferrock::storage::{self, Change, CommitOptions, Durability, Family, KeyRange, OpenOptions, Tier, View};
use support::{Connection, Protocol, Reply, Server, Target, dial};

const BUDGET: EngineBudget = EngineBudget { block_cache_bytes: 8 << 20, write_buffer_bytes: 4 << 20 };

/// The commands that make each type, to see whether a server has the type.
const MAKERS: [(&str, &str); 6] =
    [("string", "set"), ("list", "rpush"), ("set", "sadd"), ("hash", "hset"), ("zset", "zadd"), ("stream", "xadd")];

// ---- making data --------------------------------------------------------------------

struct Filler {
    random: fastrand::Rng,
    commands: Vec<Vec<Vec<u8>>>,
}

impl Filler {
    fn call<A: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = A>) {
        self.commands.push(words.into_iter().map(|word| word.as_ref().to_vec()).collect());
    }

    /// A text of this length: of few letters, so that it compresses, or of any bytes.
    fn text(&mut self, length: usize) -> Vec<u8> {
        let few = self.random.bool();
        (0..length).map(|_| if few { b'a' + self.random.u8(0..3) } else { self.random.u8(..) }).collect()
    }

    fn word(&mut self) -> Vec<u8> {
        match self.random.u8(0..6) {
            0 => self.random.i64(..).to_string().into_bytes(),
            1 => self.random.i32(-5000..70_000).to_string().into_bytes(),
            2 => {
                let length = self.random.usize(0..200);
                self.text(length)
            }
            _ => {
                let length = self.random.usize(0..12);
                self.text(length)
            }
        }
    }

    fn strings(&mut self) {
        for (number, length) in
            [0, 1, 11, 20, 21, 44, 45, 1000, 4096, 65_536, 65_537, 262_144, 262_145, 700_001].into_iter().enumerate()
        {
            let value = self.text(length);
            self.call([b"SET", format!("string:{number}").as_bytes(), &value]);
        }
        for number in ["0", "-1", "127", "128", "-32769", "2147483648", "9223372036854775807", "007", "1.5"] {
            self.call(["SET", &format!("number:{number}"), number]);
        }
        self.call(["SETRANGE", "sparse", "600000", "end"]);
        let elements = (0..2000).map(|number| format!("e{number}"));
        self.call(["PFADD".to_owned(), "hll".to_owned()].into_iter().chain(elements));
    }

    /// A collection of a command that takes elements of `width` words, in sizes around every limit.
    fn collections(&mut self, command: &str, name: &str, mut element: impl FnMut(&mut Self) -> Vec<Vec<u8>>) {
        for size in [1, 3, 60, 128, 129, 513, 3000] {
            let key = format!("{name}:{size}");
            let mut words = Vec::new();
            for _ in 0..size {
                words.extend(element(self));
                if words.len() > 500 {
                    self.add(command, &key, &mut words);
                }
            }
            self.add(command, &key, &mut words);
        }
    }

    fn add(&mut self, command: &str, key: &str, words: &mut Vec<Vec<u8>>) {
        let head = [command.as_bytes().to_vec(), key.as_bytes().to_vec()];
        if !words.is_empty() {
            let words = std::mem::take(words);
            self.call(head.into_iter().chain(words));
        }
    }

    fn streams(&mut self) {
        for size in [1_u64, 99, 100, 101, 350] {
            let key = format!("stream:{size}");
            for number in 0..size {
                let id = format!("{}-{}", 1000 + number / 3, number % 3);
                let other = self.word();
                let value = self.word();
                let name: &[u8] = if number % 7 == 0 { &other } else { b"name" };
                self.call([b"XADD", key.as_bytes(), id.as_bytes(), name, &value, b"x", b"y"]);
            }
            self.call(["XDEL", &key, "1000-1"]);
            self.call(["XGROUP", "CREATE", &key, "group", "0"]);
            self.call(["XGROUP", "CREATE", &key, "idle", "$"]);
            for consumer in ["ann", "bob"] {
                let read = ["XREADGROUP", "GROUP", "group", consumer, "COUNT", "7", "STREAMS", &key, ">"];
                self.call(read);
            }
            self.call(["XACK", &key, "group", "1000-0"]);
        }
        self.call(["XADD", "stream:empty", "5-1", "a", "b"]);
        self.call(["XDEL", "stream:empty", "5-1"]);
    }

    fn everything(&mut self, kinds: &[&str]) {
        self.strings();
        if kinds.contains(&"list") {
            self.collections("RPUSH", "list", |filler| vec![filler.word()]);
            let long = self.text(20_000);
            self.call([b"RPUSH", b"list:long".as_slice(), &long, b"short"]);
        }
        if kinds.contains(&"set") {
            self.collections("SADD", "set", |filler| vec![filler.word()]);
            self.collections("SADD", "small", |filler| vec![filler.random.i16(..).to_string().into()]);
            self.collections("SADD", "medium", |filler| vec![filler.random.i32(..).to_string().into()]);
            self.collections("SADD", "large", |filler| vec![filler.random.i64(..).to_string().into()]);
        }
        if kinds.contains(&"hash") {
            self.collections("HSET", "hash", |filler| vec![filler.word(), filler.word()]);
        }
        if kinds.contains(&"zset") {
            self.collections("ZADD", "zset", |filler| {
                let score = match filler.random.u8(0..4) {
                    0 => "inf".to_owned(),
                    1 => filler.random.i32(..).to_string(),
                    _ => (filler.random.f64() * 1e6 - 5e5).to_string(),
                };
                vec![score.into_bytes(), filler.word()]
            });
        }
        if kinds.contains(&"stream") {
            self.streams();
        }
        for (number, key) in ["string:3", "set:60", "hash:60", "hash:3000", "string:9"].into_iter().enumerate() {
            self.call(["PEXPIREAT", key, &(4_102_444_800_000_u64 + number as u64).to_string()]);
        }
        self.call(["SELECT", "9"]);
        self.call(["SET", "elsewhere", "value"]);
        self.call(["SELECT", "0"]);
    }
}

/// The types that this server makes.
fn kinds(server: &Server) -> Vec<&'static str> {
    let mut client = server.connect(Protocol::Resp2);
    let mut known = |maker: &str| !client_knows(&mut client, maker).is_null();
    MAKERS.iter().filter(|(_, maker)| known(maker)).map(|(kind, _)| *kind).collect()
}

fn client_knows(client: &mut Connection, command: &str) -> Reply {
    match client.must(&["COMMAND", "INFO", command]) {
        Reply::Array(mut found) => found.pop().unwrap_or(Reply::Null),
        other => other,
    }
}

/// Fills a server with data of these types.
fn fill(server: &Server, kinds: &[&str]) {
    let seed = dial("FERROCK_TRANSFER_SEED", 1);
    let mut filler = Filler { random: fastrand::Rng::with_seed(seed), commands: Vec::new() };
    filler.everything(kinds);
    let mut client = server.connect(Protocol::Resp2);
    for commands in filler.commands.chunks(50) {
        let replies = client.pipeline(commands).expect("the server answers");
        for (reply, words) in replies.iter().zip(commands) {
            let command = words.iter().take(3).map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>();
            assert!(!reply.is_error(), "{command:?}: {reply:?}");
        }
    }
}

// ---- comparing ----------------------------------------------------------------------

/// Every key of every database: type, deadline and value.
type Contents = BTreeMap<(u32, Vec<u8>), (String, i64, String)>;

fn contents(server: &Server) -> Contents {
    let mut client = server.connect(Protocol::Resp2);
    let mut contents = Contents::new();
    for db in 0..16 {
        client.must(&["SELECT", &db.to_string()]);
        let keys = client.must(&["KEYS", "*"]);
        for key in keys.elements().expect("an array") {
            let key = key.bytes().expect("a key").to_vec();
            let kind = client.must(&[b"TYPE", &key[..]]);
            let kind = String::from_utf8_lossy(kind.bytes().expect("a type")).into_owned();
            let deadline = client.must(&[b"PEXPIRETIME", &key[..]]).integer().expect("a number");
            let value = value(&mut client, &kind, &key);
            contents.insert((db, key), (kind, deadline, value));
        }
    }
    contents
}

fn value(client: &mut Connection, kind: &str, key: &[u8]) -> String {
    let mut ask = |words: &[&[u8]]| client.must(words);
    match kind {
        "string" => format!("{:?}", ask(&[b"GET", key])),
        "list" => format!("{:?}", ask(&[b"LRANGE", key, b"0", b"-1"])),
        "set" => sorted(&ask(&[b"SMEMBERS", key]), 1),
        "hash" => sorted(&ask(&[b"HGETALL", key]), 2),
        "zset" => scored(&ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"])),
        "stream" => {
            let entries = ask(&[b"XRANGE", key, b"-", b"+"]);
            let groups = ask(&[b"XINFO", b"GROUPS", key]);
            let pending = ask(&[b"XPENDING", key, b"group", b"-", b"+", b"1000"]);
            let state = ask(&[b"XINFO", b"STREAM", key]);
            let fields = ["length", "last-generated-id", "max-deleted-entry-id", "entries-added", "groups"];
            let state = state.elements().expect("pairs").chunks(2);
            let state = state.filter(|pair| fields.iter().any(|name| pair[0].bytes() == Some(name.as_bytes())));
            format!("{entries:?} {groups:?} {} {:?}", pending_ids(&pending), state.collect::<Vec<_>>())
        }
        kind => panic!("a key of type {kind}"),
    }
}

/// Pending entries without their ages, which depend on the time they are asked for.
fn pending_ids(pending: &Reply) -> String {
    let Some(entries) = pending.elements() else { return format!("{pending:?}") };
    let entry = |entry: &Reply| entry.elements().map(|parts| format!("{:?} {:?} {:?}", parts[0], parts[1], parts[3]));
    format!("{:?}", entries.iter().map(entry).collect::<Vec<_>>())
}

/// Members with scores as numbers: redis-server 7.0 prints more digits than a double needs.
fn scored(reply: &Reply) -> String {
    let pair = |pair: &[Reply]| {
        let text = String::from_utf8_lossy(pair[1].bytes().expect("a score")).into_owned();
        (format!("{:?}", pair[0]), text.parse::<f64>().expect("a number"))
    };
    format!("{:?}", reply.elements().expect("an array").chunks(2).map(pair).collect::<Vec<_>>())
}

fn sorted(reply: &Reply, width: usize) -> String {
    let mut elements: Vec<String> =
        reply.elements().expect("an array").chunks(width).map(|chunk| format!("{chunk:?}")).collect();
    elements.sort();
    elements.join(" ")
}

#[track_caller]
fn assert_same(found: &Contents, expected: &Contents) {
    assert!(expected.len() > 50, "the data were not made: {} keys", expected.len());
    let names = |contents: &Contents| contents.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "the keys differ");
    for (key, value) in expected {
        let (db, name) = (key.0, key.1.escape_ascii());
        let shown = |text: &str| text.chars().take(400).collect::<String>();
        let found = &found[key];
        assert!(found == value, "database {db}, key {name}:\n{}\nis not\n{}", shown(&found.2), shown(&value.2));
    }
}

// ---- the command line ------------------------------------------------------------------

fn ferrock(words: &[&str]) -> Output {
    let done = Command::new(env!("CARGO_BIN_EXE_ferrock")).args(words).stdin(Stdio::null()).output();
    done.expect("ferrock runs")
}

#[track_caller]
fn must(words: &[&str]) -> String {
    let done = ferrock(words);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "ferrock {}: {said}{}", words.join(" "), String::from_utf8_lossy(&done.stdout));
    said
}

/// Restores a file into a new Ferrock, which is then found whole, and started.
#[track_caller]
fn restored(file: &Path) -> Server {
    let mut server = Server::start_with(Target::Ferrock, &[]);
    server.terminate();
    let data = server.data();
    must(&["restore", "--dir", text(&data), text(file)]);
    must(&["check", "--dir", text(&data)]);
    server.restart();
    server
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}

fn new_redis() -> Server {
    Server::start_with(Target::Redis, &[("appendonly", "no")])
}

fn new_ferrock() -> Server {
    Server::start_with(Target::Ferrock, &[])
}

// ---- the tests --------------------------------------------------------------------------

/// DUMP here, RESTORE there, and back again into a server that never saw the data.
#[test]
fn payloads_go_to_redis_and_back() {
    let (one, redis, other) = (new_ferrock(), new_redis(), new_ferrock());
    fill(&one, &kinds(&one));
    let expected = contents(&one);
    carry(&one, &redis, &expected);
    assert_same(&contents(&redis), &expected);
    carry(&redis, &other, &expected);
    assert_same(&contents(&other), &expected);
}

fn carry(from: &Server, to: &Server, keys: &Contents) {
    let (mut from, mut to) = (from.connect(Protocol::Resp2), to.connect(Protocol::Resp2));
    for ((db, key), (_, deadline, _)) in keys {
        for client in [&mut from, &mut to] {
            client.must(&["SELECT", &db.to_string()]);
        }
        let payload = from.must(&[b"DUMP", &key[..]]);
        let payload = payload.bytes().expect("a payload");
        let ttl = (*deadline).max(0).to_string();
        let reply = to.must(&[b"RESTORE", &key[..], ttl.as_bytes(), payload, b"ABSTTL"]);
        assert_eq!(reply, Reply::ok(), "{}", key.escape_ascii());
    }
}

/// What redis-server writes is loaded; what Ferrock writes is loaded by redis-server.
#[test]
fn rdb_files_go_both_ways() {
    let redis = new_redis();
    fill(&redis, &kinds(&new_ferrock()));
    let expected = contents(&redis);
    assert_eq!(redis.connect(Protocol::Resp2).must(&["SAVE"]), Reply::ok());
    let server = restored(&redis.data().join("dump.rdb"));
    assert_same(&contents(&server), &expected);
    assert_eq!(server.connect(Protocol::Resp2).must(&["SAVE"]), Reply::ok());
    assert_redis_loads(&server.data().join("dump.rdb"), &expected);
}

#[track_caller]
fn assert_redis_loads(file: &Path, expected: &Contents) {
    let checked = Command::new("redis-check-rdb").arg(file).output().expect("redis-check-rdb runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let mut redis = new_redis();
    redis.terminate();
    std::fs::copy(file, redis.data().join("dump.rdb")).expect("a copy");
    redis.restart();
    assert_same(&contents(&redis), expected);
}

/// An append-only log in several parts: a base, and what was written since.
#[test]
fn an_append_only_log_is_restored() {
    let redis = Server::start_with(Target::Redis, &[]);
    fill(&redis, &kinds(&new_ferrock()));
    let mut client = redis.connect(Protocol::Resp2);
    client.must(&["BGREWRITEAOF"]);
    while !info(&mut client, "persistence").contains("aof_rewrite_in_progress:0") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    client.must(&["SET", "since", "then"]);
    client.must(&["INCRBY", "counter", "41"]);
    client.must(&["DEL", "number:0"]);
    let pair = [vec!["MULTI"], vec!["INCR", "counter"], vec!["SADD", "set:1", "new"], vec!["EXEC"]];
    client.pipeline(&pair).expect("replies");
    let expected = contents(&redis);
    let server = restored(&redis.data().join("appendonlydir"));
    assert_same(&contents(&server), &expected);
}

fn info(client: &mut Connection, section: &str) -> String {
    let reply = client.must(&["INFO", section]);
    String::from_utf8_lossy(reply.bytes().expect("a text")).into_owned()
}

/// All formats of `ferrock dump`, read back; the RDB file and the commands by redis-server too.
#[test]
fn dumps_hold_everything() {
    let mut server = new_ferrock();
    fill(&server, &kinds(&server));
    let expected = contents(&server);
    server.terminate();
    let folder = tempfile::tempdir().expect("a folder");
    for format in ["ferrock", "rdb", "resp"] {
        let file = folder.path().join(format);
        must(&["dump", "--dir", text(&server.data()), "--format", format, text(&file)]);
        assert_same(&contents(&restored(&file)), &expected);
    }
    assert_redis_loads(&folder.path().join("rdb"), &expected);
    let redis = new_redis();
    let script = std::fs::read(folder.path().join("resp")).expect("the script");
    let mut client = redis.connect(Protocol::Resp2);
    client.send_raw(&script).expect("it is sent");
    client.send(&["ECHO", "that was all"]).expect("it is sent");
    loop {
        let reply = client.read().expect("a reply");
        assert!(!reply.is_error(), "{reply:?}");
        if reply == Reply::bulk("that was all") {
            break;
        }
    }
    assert_same(&contents(&redis), &expected);
}

const LIBRARY: &str = "#!lua name=answers\nredis.register_function('answer', function() return 42 end)";

/// The answer of the library's function, if the server has it.
fn answer(server: &Server) -> Reply {
    server.connect(Protocol::Resp2).call(&["FCALL", "answer", "0"]).expect("a reply")
}

#[test]
fn function_libraries_go_both_ways() {
    let redis = new_redis();
    redis.connect(Protocol::Resp2).must(&["FUNCTION", "LOAD", LIBRARY]);
    redis.connect(Protocol::Resp2).must(&["SAVE"]);
    let mut server = restored(&redis.data().join("dump.rdb"));
    assert_eq!(answer(&server), Reply::Integer(42));
    server.connect(Protocol::Resp2).must(&["SAVE"]);
    let mut redis = new_redis();
    let saved = server.data().join("dump.rdb");
    redis.terminate();
    std::fs::copy(&saved, redis.data().join("dump.rdb")).expect("it is copied");
    redis.restart();
    assert_eq!(answer(&redis), Reply::Integer(42), "of an RDB file that the server wrote");
    server.terminate();
    let folder = tempfile::tempdir().expect("a folder");
    for format in ["ferrock", "rdb", "resp"] {
        let file = folder.path().join(format);
        must(&["dump", "--dir", text(&server.data()), "--format", format, text(&file)]);
        assert_eq!(answer(&restored(&file)), Reply::Integer(42), "{format}");
    }
    let file = folder.path().join("ferrock");
    let into = folder.path().join("into");
    let restore = |how: &[&str]| ferrock(&[&["restore", "--dir", text(&into)], how, &[text(&file)]].concat());
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let first = restore(&[]);
    assert!(said(&first).contains("1 function libraries loaded"), "{}", said(&first));
    let again = restore(&[]);
    assert!(!again.status.success() && said(&again).contains("already exists"), "{}", said(&again));
    assert!(restore(&["--skip"]).status.success());
    assert!(restore(&["--replace"]).status.success());
    let filtered = restore(&["--match", "*"]);
    assert!(said(&filtered).contains("1 not meant"), "{}", said(&filtered));
}

#[test]
fn filters_leave_out_what_is_not_meant() {
    let mut server = new_ferrock();
    let mut client = server.connect(Protocol::Resp2);
    for (key, db) in [("a:1", 0), ("a:2", 1), ("b:1", 0)] {
        client.must(&["SELECT", &db.to_string()]);
        client.must(&["SET", key, "x"]);
        client.must(&["SADD", &format!("{key}:set"), "x"]);
    }
    server.terminate();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("some.dump");
    let words = ["--match", "a:*", "--type", "string", "--database", "0"];
    must(&[&["dump", "--dir", text(&server.data())], &words[..], &[text(&file)]].concat());
    let keys: Vec<_> = contents(&restored(&file)).into_keys().collect();
    assert_eq!(keys, [(0, b"a:1".to_vec())]);
    let all = folder.path().join("all.dump");
    must(&["dump", "--dir", text(&server.data()), text(&all)]);
    let into = folder.path().join("into");
    let said = must(&[&["restore", "--dir", text(&into)], &words[..], &[text(&all)]].concat());
    assert!(said.contains("1 keys restored") && said.contains("5 not meant"), "{said}");
}

/// A damaged block ends a restore; what stood before it is there, and the work can be finished.
#[test]
fn damage_is_refused_and_an_interrupted_restore_goes_on() {
    let mut server = new_ferrock();
    let mut client = server.connect(Protocol::Resp2);
    let mut random = fastrand::Rng::with_seed(7);
    for number in 0..60 {
        let noise: Vec<u8> = (0..100_000).map(|_| random.u8(..)).collect();
        client.must(&[b"SET", format!("{number:03}").as_bytes(), &noise]);
    }
    server.terminate();
    let folder = tempfile::tempdir().expect("a folder");
    let (good, bad, into) = (folder.path().join("good"), folder.path().join("bad"), folder.path().join("into"));
    must(&["dump", "--dir", text(&server.data()), text(&good)]);
    let mut bytes = std::fs::read(&good).expect("the dump");
    bytes[3_500_000] ^= 1;
    std::fs::write(&bad, &bytes).expect("a damaged dump");
    let refused = ferrock(&["restore", "--dir", text(&into), text(&bad)]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("31 keys restored") && said.contains("block 4 of the dump, at byte 31"), "{said}");
    must(&["check", "--dir", text(&into)]);
    let again = ferrock(&["restore", "--dir", text(&into), text(&good)]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("BUSYKEY"));
    let said = must(&["restore", "--dir", text(&into), "--skip", text(&good)]);
    assert!(said.contains("29 keys restored") && said.contains("31 left as they were"), "{said}");
    let said = must(&["restore", "--dir", text(&into), "--replace", text(&good)]);
    assert!(said.contains("60 of them in place of others"), "{said}");
}

/// What is taken out behind the server's back is found, and repaired as far as it can be.
#[test]
fn check_finds_damage_and_repair_mends_it() {
    let mut server = new_ferrock();
    let mut client = server.connect(Protocol::Resp2);
    for number in 0..3000 {
        client.must(&["HSET", "hash", &format!("field {number}"), "value"]);
    }
    client.must(&["SET", "text", "value", "PXAT", "4102444800000"]);
    client.must(&["SET", "broken", "value"]);
    server.terminate();
    let data = server.data();
    must(&["check", "--dir", text(&data)]);
    let engine = storage::open(&data, &OpenOptions::new(BUDGET)).expect("the database opens");
    let first = |family: Family| {
        let mut cursor = storage::Engine::cursor(&*engine, family, KeyRange::default(), &View::latest(Tier::Disk))
            .expect("a cursor");
        cursor.seek_to_first().expect("a key");
        let (key, _) = cursor.entry().expect("a key");
        bytes::Bytes::copy_from_slice(key)
    };
    let gone = |family| Change::Delete { family, key: first(family) };
    let broken = bytes::Bytes::from_static(b"\0\0\0\0\0\0broken");
    let orphan = bytes::Bytes::from_static(b"\0\0\0\0\0\0\x27\x0fpart");
    let changes = vec![
        gone(Family::Data),
        gone(Family::Objects),
        gone(Family::Expiry),
        Change::Put { family: Family::Keys, key: broken, value: "\u{7f}".into() },
        Change::Put { family: Family::Data, key: orphan, value: "lost".into() },
    ];
    let options = CommitOptions { may_wait: true, durability: Durability::Synced };
    storage::Engine::commit(&*engine, changes, options).expect("the damage is done");
    storage::Engine::close(&*engine).expect("it closes");
    drop(engine);
    let found = ferrock(&["check", "--dir", text(&data)]);
    let lines = String::from_utf8_lossy(&found.stdout).into_owned();
    assert_eq!(found.status.code(), Some(1), "{lines}");
    for what in ["2999 fields where the hash counts 3000", "not in the directory", "not in the index", "no key owns"] {
        assert!(lines.contains(what), "{what} is not in\n{lines}");
    }
    assert_eq!(lines.lines().count(), 5, "{lines}");
    let repaired = ferrock(&["repair", "--dir", text(&data)]);
    let lost = String::from_utf8_lossy(&repaired.stdout).into_owned();
    assert_eq!(repaired.status.code(), Some(1), "{lost}");
    assert!(lost.lines().count() == 1 && lost.contains("broken"), "{lost}");
    must(&["check", "--dir", text(&data)]);
    server.restart();
    let mut client = server.connect(Protocol::Resp2);
    assert_eq!(client.must(&["HLEN", "hash"]), Reply::Integer(2999));
    assert_eq!(client.must(&["GET", "text"]), Reply::bulk("value"));
    assert!(client.must(&["GET", "broken"]).is_null());
}
