//! kill -9 at random moments under a mixed write load, then a restart: what was
//! acknowledged is there, and what is there was asked for. Acknowledged means at
//! least handed to the kernel, so a killed process loses nothing in any
//! `appendfsync` mode; a power cut is another test's subject.
//!
//! `FERROCK_CRASH_ROUNDS` kills per mode (default 3), `FERROCK_CRASH_SEED` (default 1).
//! `FERROCK_TEST_SERVER=redis-server` proves the test on the reference.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;
use support::{Connection, Protocol, Reply, Server, Target, dial};

const WRITERS: usize = 4;
/// Commands a writer sends before it reads the replies; 1 in turn with this.
const PIPELINE: usize = 16;
const KEYS_A_WRITER: u64 = 200;
/// A string longer than a chunk, so that a write of several records is in the load.
const LONG_VALUE_BYTES: usize = 20_000;
const ROUND_MS: std::ops::Range<u64> = 200..1200;
const RESTART_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn always_loses_no_acknowledged_write() {
    survive("always");
}

#[test]
fn everysec_loses_no_acknowledged_write() {
    survive("everysec");
}

#[test]
fn no_loses_no_acknowledged_write() {
    survive("no");
}

/// A directory that was closed by SIGTERM opens with everything, too.
#[test]
fn a_clean_stop_keeps_everything() {
    let mut server = Server::start();
    let mut connection = server.connect(Protocol::Resp2);
    for number in 0..1000 {
        connection.must(&["SET", &format!("key:{number}"), &number.to_string()]);
    }
    drop(connection);
    assert_eq!(server.terminate(), Some(0), "exit code after SIGTERM\n{}", server.log());
    server.restart();
    let mut connection = server.connect(Protocol::Resp2);
    assert_eq!(connection.must(&["DBSIZE"]), Reply::Integer(1000));
    assert_eq!(connection.must(&["GET", "key:999"]), Reply::bulk("999"));
}

fn survive(appendfsync: &str) {
    let rounds = dial("FERROCK_CRASH_ROUNDS", 3);
    let seed = dial("FERROCK_CRASH_SEED", 1);
    let mut rng = Rng::with_seed(seed);
    let mut server = Server::start_with(Target::from_environment(), &[("appendfsync", appendfsync)]);
    let mut models: Vec<Model> = (0..WRITERS).map(Model::new).collect();
    for round in 0..rounds {
        let writers = start_writers(server.address(), &mut models, &mut rng);
        std::thread::sleep(Duration::from_millis(rng.u64(ROUND_MS)));
        server.kill();
        models = writers.into_iter().map(|writer| writer.join().expect("a writer does not panic")).collect();
        assert_whole(&server);
        let began = Instant::now();
        server.restart();
        assert!(began.elapsed() < RESTART_LIMIT, "the restart took {:?}", began.elapsed());
        let mut connection = server.connect(Protocol::Resp2);
        for model in &mut models {
            let lost = model.verify(&mut connection);
            let shown: Vec<&String> = lost.iter().take(10).collect();
            assert!(
                lost.is_empty(),
                "appendfsync {appendfsync}, seed {seed}, round {round}: {} keys wrong, {} writes acknowledged: {shown:#?}\n{}",
                lost.len(),
                model.acknowledged,
                server.log()
            );
        }
        verify_shared(&mut connection, &models);
        assert_whole_scan(&mut connection);
    }
    let acknowledged: u64 = models.iter().map(|model| model.acknowledged).sum();
    assert!(acknowledged > 0, "no write was acknowledged: the load did not run");
    println!("appendfsync {appendfsync}: {rounds} kills, {acknowledged} acknowledged writes, none missing");
}

/// `ferrock check` finds nothing in what the kill left. It looks at a copy, so that the server itself
/// recovers from what the kill left, not from what the check closed in good order.
fn assert_whole(server: &Server) {
    if *server.target() != Target::Ferrock {
        return;
    }
    let copy = tempfile::tempdir().expect("a temporary directory");
    let copied = Command::new("cp").arg("-a").arg(server.data()).arg(copy.path().join("data")).status();
    assert!(copied.expect("cp runs").success(), "the directory could not be copied");
    let checked =
        Command::new(env!("CARGO_BIN_EXE_ferrock")).args(["check", "--dir"]).arg(copy.path().join("data")).output();
    let checked = checked.expect("ferrock runs");
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success(), "ferrock check: {}", String::from_utf8_lossy(&said));
}

fn start_writers(address: SocketAddr, models: &mut Vec<Model>, rng: &mut Rng) -> Vec<JoinHandle<Model>> {
    let ready = Arc::new(AtomicBool::new(false));
    let writers = models.drain(..).map(|mut model| {
        let (mut rng, ready) = (rng.fork(), Arc::clone(&ready));
        std::thread::spawn(move || {
            while !ready.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            // The end of a connection is the end of the round: the server was killed.
            let _ = model.write_until_killed(address, &mut rng);
            model
        })
    });
    let writers: Vec<_> = writers.collect();
    ready.store(true, Ordering::Release);
    writers
}

// -------------------------------------------------------------------- model

/// What a key of one writer may hold: after acknowledged writes one value, and
/// for each write that was sent without an answer one more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Missing,
    Text(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
}

#[derive(Clone, Debug)]
enum Write {
    Set(u64, Vec<u8>),
    Append(u64, Vec<u8>),
    Delete(u64),
    HashSet(u64, Vec<(Vec<u8>, Vec<u8>)>),
    HashDelete(u64, Vec<u8>),
    Rename(u64, u64),
    /// One command, two keys: both or neither.
    SetTwo(u64, u64, Vec<u8>),
    /// A counter all writers share.
    Count,
}

struct Model {
    writer: usize,
    /// What acknowledged writes made; a key not named is missing.
    known: BTreeMap<u64, Value>,
    /// Sent and not answered when the server died, in order.
    unanswered: Vec<Write>,
    acknowledged: u64,
    /// Acknowledged increments of the shared counter, and those without an answer.
    counted: u64,
    counted_perhaps: u64,
    sequence: u64,
}

impl Model {
    fn new(writer: usize) -> Self {
        Self {
            writer,
            known: BTreeMap::new(),
            unanswered: Vec::new(),
            acknowledged: 0,
            counted: 0,
            counted_perhaps: 0,
            sequence: 0,
        }
    }

    fn key(&self, number: u64) -> String {
        format!("writer:{}:{number}", self.writer)
    }

    fn write_until_killed(&mut self, address: SocketAddr, rng: &mut Rng) -> std::io::Result<()> {
        let mut connection = Connection::open(address, Protocol::Resp2)?;
        loop {
            let count = if rng.bool() { 1 } else { rng.usize(2..=PIPELINE) };
            let writes: Vec<Write> = (0..count).map(|_| self.draw(rng)).collect();
            self.unanswered = writes.clone();
            let bytes: Vec<u8> = writes.iter().flat_map(|write| support::resp::encode(&self.command(write))).collect();
            connection.send_raw(&bytes)?;
            for write in writes {
                let reply = connection.read()?;
                self.unanswered.remove(0);
                let refused = reply.is_error() && !reply.error_starts_with("ERR no such key");
                assert!(!refused, "a write was refused: {reply:?}");
                apply(&mut self.known, &write);
                self.counted += u64::from(matches!(write, Write::Count));
                self.acknowledged += 1;
            }
        }
    }

    fn draw(&mut self, rng: &mut Rng) -> Write {
        self.sequence += 1;
        let text = format!("{}-{}", self.writer, self.sequence).into_bytes();
        // Strings live on even numbers, hashes on odd ones.
        let string = rng.u64(0..KEYS_A_WRITER / 2) * 2;
        let hash = string + 1;
        let field = |rng: &mut Rng| format!("field:{}", rng.u64(0..30)).into_bytes();
        match rng.usize(0..16) {
            0..=3 => Write::Set(string, text),
            4 => Write::Set(string, [text, vec![b'.'; LONG_VALUE_BYTES]].concat()),
            5 | 6 => Write::Append(string, text),
            7 => Write::Delete(if rng.bool() { string } else { hash }),
            8..=10 => {
                let count = rng.usize(1..=4);
                Write::HashSet(hash, (0..count).map(|_| (field(rng), text.clone())).collect())
            }
            11 => Write::HashDelete(hash, field(rng)),
            12 => Write::Rename(string, rng.u64(0..KEYS_A_WRITER / 2) * 2),
            13 | 14 => Write::SetTwo(string, (string + 2) % KEYS_A_WRITER, text),
            _ => Write::Count,
        }
    }

    fn command(&self, write: &Write) -> Vec<Vec<u8>> {
        let word = |text: &str| text.as_bytes().to_vec();
        let key = |number: &u64| self.key(*number).into_bytes();
        match write {
            Write::Set(number, value) => vec![word("SET"), key(number), value.clone()],
            Write::Append(number, value) => vec![word("APPEND"), key(number), value.clone()],
            Write::Delete(number) => vec![word("DEL"), key(number)],
            Write::HashSet(number, pairs) => {
                let pairs = pairs.iter().flat_map(|(field, value)| [field.clone(), value.clone()]);
                [word("HSET"), key(number)].into_iter().chain(pairs).collect()
            }
            Write::HashDelete(number, field) => vec![word("HDEL"), key(number), field.clone()],
            Write::Rename(from, to) => vec![word("RENAME"), key(from), key(to)],
            Write::SetTwo(one, two, value) => {
                vec![word("MSET"), key(one), value.clone(), key(two), value.clone()]
            }
            Write::Count => vec![word("INCR"), word("shared:counter")],
        }
    }

    /// The states the writer's keys may be in: the unanswered writes are carried
    /// out in order on one connection, so some first part of them has happened.
    fn possible(&self) -> Vec<BTreeMap<u64, Value>> {
        let mut states = vec![self.known.clone()];
        let mut state = self.known.clone();
        for write in &self.unanswered {
            apply(&mut state, write);
            states.push(state.clone());
        }
        states
    }

    /// Compares with the server, settles on what it holds, and names what is wrong.
    fn verify(&mut self, connection: &mut Connection) -> Vec<String> {
        let found = self.read_all(connection);
        let states = self.possible();
        if states.iter().any(|state| visible(state) == found) {
            let counts = self.unanswered.iter().filter(|write| matches!(write, Write::Count));
            self.counted_perhaps += counts.count() as u64;
            self.known = found;
            self.unanswered.clear();
            return Vec::new();
        }
        let nearest = visible(states.last().expect("there is always one state"));
        let keys: BTreeSet<&u64> = nearest.keys().chain(found.keys()).collect();
        let wrong = keys.into_iter().filter(|key| nearest.get(key) != found.get(key));
        wrong
            .map(|key| {
                format!("{}: expected {} found {}", self.key(*key), shown(nearest.get(key)), shown(found.get(key)))
            })
            .collect()
    }

    fn read_all(&self, connection: &mut Connection) -> BTreeMap<u64, Value> {
        let mut found = BTreeMap::new();
        for number in 0..KEYS_A_WRITER {
            let key = self.key(number);
            let value = if number % 2 == 0 {
                match connection.must(&["GET", &key]) {
                    Reply::Bulk(text) => Value::Text(text),
                    Reply::NullBulk => Value::Missing,
                    other => panic!("GET {key}: {other:?}"),
                }
            } else {
                hash_value(&connection.must(&["HGETALL", &key]))
            };
            if value != Value::Missing {
                found.insert(number, value);
            }
        }
        found
    }
}

fn hash_value(reply: &Reply) -> Value {
    let elements = reply.elements().unwrap_or_else(|| panic!("HGETALL: {reply:?}"));
    let bytes = |reply: &Reply| reply.bytes().expect("a hash holds strings").to_vec();
    let pairs: BTreeMap<_, _> = elements.chunks(2).map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect();
    if pairs.is_empty() { Value::Missing } else { Value::Hash(pairs) }
}

fn visible(state: &BTreeMap<u64, Value>) -> BTreeMap<u64, Value> {
    state.iter().filter(|(_, value)| **value != Value::Missing).map(|(key, value)| (*key, value.clone())).collect()
}

fn apply(state: &mut BTreeMap<u64, Value>, write: &Write) {
    match write {
        Write::Set(key, value) => {
            state.insert(*key, Value::Text(value.clone()));
        }
        Write::Append(key, value) => match state.entry(*key).or_insert(Value::Missing) {
            Value::Text(text) => text.extend_from_slice(value),
            missing => *missing = Value::Text(value.clone()),
        },
        Write::Delete(key) => {
            state.remove(key);
        }
        Write::HashSet(key, pairs) => {
            let entry = state.entry(*key).or_insert(Value::Missing);
            if !matches!(entry, Value::Hash(_)) {
                *entry = Value::Hash(BTreeMap::new());
            }
            if let Value::Hash(fields) = entry {
                fields.extend(pairs.iter().cloned());
            }
        }
        Write::HashDelete(key, field) => {
            if let Some(Value::Hash(fields)) = state.get_mut(key) {
                fields.remove(field);
                if fields.is_empty() {
                    state.remove(key);
                }
            }
        }
        // Without its source a rename is an error and changes nothing.
        Write::Rename(from, to) => {
            if let Some(value) = state.remove(from) {
                state.insert(*to, value);
            }
        }
        Write::SetTwo(one, two, value) => {
            state.insert(*one, Value::Text(value.clone()));
            state.insert(*two, Value::Text(value.clone()));
        }
        Write::Count => {}
    }
}

fn shown(value: Option<&Value>) -> String {
    let text = format!("{value:?}");
    text.chars().take(160).collect()
}

/// The counter of all writers holds every acknowledged increment and no more than were sent.
fn verify_shared(connection: &mut Connection, models: &[Model]) {
    let reply = connection.must(&["GET", "shared:counter"]);
    let text = reply.bytes().map_or("0".into(), |bytes| String::from_utf8_lossy(bytes).into_owned());
    let counter: u64 = text.parse().expect("a counter");
    let least: u64 = models.iter().map(|model| model.counted).sum();
    let most = least + models.iter().map(|model| model.counted_perhaps).sum::<u64>();
    assert!((least..=most).contains(&counter), "the counter is {counter}, not within {least}..={most}");
}

/// DBSIZE and a whole SCAN tell the same number of keys after recovery.
fn assert_whole_scan(connection: &mut Connection) {
    let mut keys = BTreeSet::new();
    let mut cursor = b"0".to_vec();
    loop {
        let reply = connection.must(&[b"SCAN".as_slice(), &cursor, b"COUNT", b"500"]);
        let [next, found] = reply.elements().expect("SCAN answers two elements") else { panic!("{reply:?}") };
        cursor = next.bytes().expect("a cursor").to_vec();
        keys.extend(found.elements().expect("keys").iter().filter_map(|key| key.bytes().map(<[u8]>::to_vec)));
        if cursor == b"0" {
            break;
        }
    }
    let counted = connection.must(&["DBSIZE"]).integer();
    assert_eq!(counted, Some(keys.len() as i64), "DBSIZE and SCAN disagree after recovery");
}
