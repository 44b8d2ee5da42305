//! Random conversations: commands that change what a session is (MULTI, SUBSCRIBE, HELLO, AUTH, CLIENT REPLY,
//! MONITOR, RESET, blocking ones) mixed with others, in random pipelines on several connections at once.
//! A small model knows how many replies each request must get; markers (PING with a number) among them must
//! be answered in their place. So a lost, doubled or misplaced reply is seen at the next marker, and a panic
//! as a connection that ends.
//!
//! `FERROCK_SESSIONS_REQUESTS` requests in all (default 20,000), `FERROCK_SESSIONS_SEED` (default 1).
//! What is left out is what Redis itself answers with more or less than one reply inside EXEC.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use fastrand::Rng;
use support::quoting::join;
use support::resp::encode;
use support::{Connection, Protocol, Reply, Server, Target, dial};

const CONNECTIONS: u64 = 6;
/// Requests of a conversation, which ends with RESET.
const CONVERSATION: usize = 80;
/// Requests sent before replies are read, at the most.
const PIPELINE: usize = 30;
const MARKER_ONE_IN: usize = 4;

type Request = Vec<Vec<u8>>;

/// What must come back for a request.
#[derive(Debug, Clone, PartialEq)]
enum Expected {
    Any,
    Exactly(Reply),
    /// Word of a subscription begun or ended.
    Confirmation,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Replies {
    On,
    Off,
    SkipNext,
}

/// What the session is, as far as it matters for the number and form of replies.
#[derive(Debug)]
struct Model {
    resp3: bool,
    multi: bool,
    monitoring: bool,
    replies: Replies,
    /// By kind: channels, patterns, shard channels.
    subscribed: [BTreeSet<u8>; 3],
}

impl Model {
    fn new() -> Self {
        Self { resp3: false, multi: false, monitoring: false, replies: Replies::On, subscribed: Default::default() }
    }

    /// A RESP2 client that has subscribed may only listen.
    fn only_listens(&self) -> bool {
        !self.resp3 && self.subscribed.iter().any(|names| !names.is_empty())
    }

    /// The replies of a request that gets one, by the mode of the moment.
    fn one(&mut self, expected: Expected) -> Vec<Expected> {
        match self.replies {
            Replies::On => vec![expected],
            Replies::Off => Vec::new(),
            Replies::SkipNext => {
                self.replies = Replies::On;
                Vec::new()
            }
        }
    }
}

fn words(text: &str) -> Request {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

const PLAIN: &[&str] = &[
    "SET s0 v",
    "GET s0",
    "INCR s1",
    "GET l0",
    "DEL l0 s0",
    "RPUSH l0 a b",
    "LPUSH l1 c",
    "LPOP l0",
    "XADD x0 * f v",
    "ZADD z0 1 m",
    "MGET s0 s1 s2",
    "PUBLISH c0 hello",
    "PUBLISH c1 hi",
    "SPUBLISH c2 shard",
    "nosuchcommand a b",
    "GET",
    "TTL s0",
    "EXPIRE s0 1",
    "KEYS *",
    "DBSIZE",
    "SCAN 0",
    "TYPE l0",
    "ECHO x",
    "CLIENT GETNAME",
    "CLIENT SETNAME me",
    "CLIENT ID",
    "CLIENT LIST",
    "OBJECT ENCODING s0",
    "COMMAND COUNT",
    "CONFIG GET maxmemory",
    "HSET h0 f v",
    "HGETALL h0",
    "SADD e0 a b",
    "SMEMBERS e0",
    "TIME",
    "LASTSAVE",
    "MEMORY USAGE s0",
    "UNWATCH",
    "FLUSHALL",
    "SWAPDB 0 1",
    "SELECT 1",
    "SELECT 0",
    "SELECT 99",
    "ACL WHOAMI",
    "CLIENT NO-EVICT on",
    "CLIENT INFO",
    "INFO clients",
    "SLOWLOG GET 1",
    "OBJECT HELP",
    "APPEND s2 xxxxxxxx",
    "GETDEL s2",
    "COPY l0 l1",
    "RENAME l1 l0",
    "WAIT 0 1",
    "CLIENT PAUSE 3 WRITE",
    "CLIENT UNPAUSE",
    "CLIENT UNBLOCK 5",
    "CLIENT UNBLOCK 7 ERROR",
    "BLPOP l0 0.005",
    "BLPOP l0 l1 0.002",
    "BRPOP l1 0.003",
    "BLMOVE l0 l1 LEFT RIGHT 0.002",
    "BZPOPMIN z0 0.004",
    "BLMPOP 0.003 2 l0 l1 LEFT",
    "XREAD BLOCK 3 STREAMS x0 $",
    "XREAD COUNT 2 STREAMS x0 0",
    "BLPOP s0 0.003",
    "BLPOP l0 x",
    "CLIENT TRACKING on",
    "CLIENT TRACKING off",
    "CLIENT TRACKING on BCAST",
    "CLIENT CACHING yes",
    "CLIENT TRACKINGINFO",
    "SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
    "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
    "FUNCTION LIST",
    "FCALL nothing 0",
    "PUBSUB CHANNELS",
    "PUBSUB NUMSUB c0",
    "ACL LOG",
    "ASKING",
    "CLUSTER INFO",
    "OBJECT FREQ s0",
    "SORT l0 ALPHA",
    "SINTERCARD 1 e0",
    "HINCRBY h0 f 1",
    "SETRANGE s0 5 x",
    "BITCOUNT s0",
];

const SCRIPTS: &[&str] = &[
    "return redis.call('GET', KEYS[1])",
    "redis.call('RPUSH', KEYS[1], 'x') return redis.call('LLEN', KEYS[1])",
    "for i = 1, 300000 do end return 1",
    "redis.call('SET', 's' .. math.random(0, 2), 1) return {1, 'two', false}",
    "return redis.call('PUBLISH', 'c0', 'of a script')",
    "error('enough')",
    "return redis.call('BLPOP', KEYS[1], 0)",
    "redis.call('SELECT', 1) return redis.pcall('nosuchcommand')",
];

/// Draws a request and what comes back for it, moving the model on.
fn draw(rng: &mut Rng, model: &mut Model, marker: &mut u64) -> (Request, Vec<Expected>) {
    if rng.usize(0..MARKER_ONE_IN) == 0 {
        return ping(model, marker);
    }
    match rng.usize(0..24) {
        0 => multi(rng, model),
        1 => exec(rng, model),
        2 | 3 if !model.multi => subscribe(rng, model),
        4 if !model.multi => unsubscribe(rng, model),
        5 if !model.multi => client_reply(rng, model),
        6 if !model.multi => hello(rng, model),
        7 if !model.multi && rng.bool() => monitor(model),
        8 => (words("RESET"), reset(model)),
        9 => {
            let call = ["AUTH wrong", "AUTH other word", "AUTH other wrong", "AUTH default nothing"];
            (words(call[rng.usize(0..call.len())]), model.one(Expected::Any))
        }
        10 => {
            let script = SCRIPTS[rng.usize(0..SCRIPTS.len())];
            let call = ["EVAL", script, "1", "l0"].map(|word| word.as_bytes().to_vec());
            (call.to_vec(), model.one(Expected::Any))
        }
        11 => (words("WATCH s0 l0"), model.one(Expected::Any)),
        _ => (words(PLAIN[rng.usize(0..PLAIN.len())]), model.one(Expected::Any)),
    }
}

fn ping(model: &mut Model, marker: &mut u64) -> (Request, Vec<Expected>) {
    *marker += 1;
    let text = format!("marker-{marker}");
    let reply = match () {
        () if model.multi => Reply::Simple(b"QUEUED".to_vec()),
        () if model.only_listens() => Reply::Array(vec![Reply::bulk("pong"), Reply::bulk(&text)]),
        () => Reply::bulk(&text),
    };
    (words(&format!("PING {text}")), model.one(Expected::Exactly(reply)))
}

fn multi(rng: &mut Rng, model: &mut Model) -> (Request, Vec<Expected>) {
    let is_refused = model.only_listens() || rng.usize(0..10) == 0;
    if is_refused && !model.only_listens() {
        return (words("MULTI extra"), model.one(Expected::Any));
    }
    model.multi |= !is_refused;
    (words("MULTI"), model.one(Expected::Any))
}

fn exec(rng: &mut Rng, model: &mut Model) -> (Request, Vec<Expected>) {
    let call = if rng.usize(0..5) == 0 { "DISCARD" } else { "EXEC" };
    model.multi = model.multi && model.only_listens();
    (words(call), model.one(Expected::Any))
}

const KINDS: [&str; 3] = ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"];

fn subscribe(rng: &mut Rng, model: &mut Model) -> (Request, Vec<Expected>) {
    let kind = rng.usize(0..KINDS.len());
    let names: Vec<u8> = (0..rng.usize(1..4)).map(|_| rng.u8(0..3)).collect();
    let mut call = words(KINDS[kind]);
    call.extend(names.iter().map(|name| format!("c{name}").into_bytes()));
    model.subscribed[kind].extend(&names);
    (call, confirmations(model, names.len()))
}

fn unsubscribe(rng: &mut Rng, model: &mut Model) -> (Request, Vec<Expected>) {
    let kind = rng.usize(0..KINDS.len());
    let mut call = words(&KINDS[kind].replace("SUB", "UNSUB"));
    let names: Vec<u8> = (0..rng.usize(0..3)).map(|_| rng.u8(0..3)).collect();
    call.extend(names.iter().map(|name| format!("c{name}").into_bytes()));
    let held = &mut model.subscribed[kind];
    let count = if names.is_empty() { held.len().max(1) } else { names.len() };
    held.retain(|name| !names.is_empty() && !names.contains(name));
    (call, confirmations(model, count))
}

/// A confirmation is no reply to CLIENT REPLY, but the command uses up what SKIP skips.
fn confirmations(model: &mut Model, count: usize) -> Vec<Expected> {
    model.one(Expected::Any);
    vec![Expected::Confirmation; count]
}

fn client_reply(rng: &mut Rng, model: &mut Model) -> (Request, Vec<Expected>) {
    if model.only_listens() {
        return (words("CLIENT REPLY OFF"), model.one(Expected::Any));
    }
    match rng.usize(0..4) {
        0 => {
            model.replies = Replies::Off;
            (words("CLIENT REPLY OFF"), Vec::new())
        }
        1 => {
            if model.replies != Replies::Off {
                model.replies = Replies::SkipNext;
            }
            (words("CLIENT REPLY SKIP"), Vec::new())
        }
        _ => {
            model.replies = Replies::On;
            (words("CLIENT REPLY ON"), vec![Expected::Exactly(Reply::ok())])
        }
    }
}

fn hello(rng: &mut Rng, model: &mut Model) -> (Request, Vec<Expected>) {
    let (call, protocol) = [
        ("HELLO 2", Some(false)),
        ("HELLO 3", Some(true)),
        ("HELLO 3 SETNAME me", Some(true)),
        ("HELLO 3 AUTH other word", Some(true)),
        ("HELLO 2 AUTH other wrong", None),
        ("HELLO 4", None),
        ("HELLO x", None),
        ("HELLO", None),
    ][rng.usize(0..8)];
    if !model.only_listens() {
        model.resp3 = protocol.unwrap_or(model.resp3);
    }
    (words(call), model.one(Expected::Any))
}

/// Who watches already gets no second reply.
fn monitor(model: &mut Model) -> (Request, Vec<Expected>) {
    if model.only_listens() {
        return (words("MONITOR"), model.one(Expected::Any));
    }
    let again = std::mem::replace(&mut model.monitoring, true);
    let replies = model.one(Expected::Any);
    (words("MONITOR"), if again { Vec::new() } else { replies })
}

/// RESET ends what CLIENT REPLY OFF began, but is skipped itself where SKIP says so.
fn reset(model: &mut Model) -> Vec<Expected> {
    let is_skipped = model.replies == Replies::SkipNext;
    *model = Model::new();
    if is_skipped { Vec::new() } else { vec![Expected::Exactly(Reply::Simple(b"RESET".to_vec()))] }
}

/// Whether this is what others have sent, and no reply.
fn is_message(reply: &Reply) -> bool {
    match reply {
        Reply::Simple(line) => line.first().is_some_and(u8::is_ascii_digit) && line.contains(&b'['),
        Reply::Array(parts) | Reply::Push(parts) => {
            let kind = parts.first().and_then(Reply::bytes).unwrap_or_default();
            matches!(kind, b"message" | b"pmessage" | b"smessage" | b"invalidate")
        }
        _ => false,
    }
}

fn fits(expected: &Expected, reply: &Reply) -> bool {
    match expected {
        Expected::Any => !matches!(reply, Reply::Push(_)),
        Expected::Exactly(wanted) => reply == wanted,
        Expected::Confirmation => match reply {
            Reply::Array(parts) | Reply::Push(parts) => {
                parts.len() == 3 && parts[0].bytes().is_some_and(|kind| kind.ends_with(b"subscribe"))
            }
            _ => false,
        },
    }
}

/// Sends requests in pieces that know nothing of where one ends.
fn send(connection: &mut Connection, rng: &mut Rng, requests: &[Request]) -> std::io::Result<()> {
    let bytes: Vec<u8> = requests.iter().flat_map(|request| encode(request)).collect();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rng.usize(1..=rest.len()));
        connection.send_raw(piece)?;
        rest = after;
        if rng.usize(0..8) == 0 {
            std::thread::yield_now();
        }
    }
    Ok(())
}

/// One conversation, up to a RESET and a marker behind it. Gives what went wrong.
fn converse(connection: &mut Connection, rng: &mut Rng, marker: &mut u64) -> Result<(), String> {
    let mut model = Model::new();
    let mut asked: Vec<(Request, Vec<Expected>)> = Vec::new();
    for _ in 0..CONVERSATION {
        asked.push(draw(rng, &mut model, marker));
    }
    asked.push((words("RESET"), reset(&mut model)));
    asked.push(ping(&mut model, marker));
    let mut done = 0;
    while done < asked.len() {
        let until = asked.len().min(done + rng.usize(1..=PIPELINE));
        let requests: Vec<Request> = asked[done..until].iter().map(|(request, _)| request.clone()).collect();
        send(connection, rng, &requests).map_err(|error| format!("sending: {error}\n{}", shown(&asked[..until])))?;
        for at in done..until {
            for expected in &asked[at].1 {
                let reply = loop {
                    match connection.read_message() {
                        Ok(message) if is_message(&message) => {}
                        Ok(reply) => break Ok(reply),
                        Err(error) => break Err(error),
                    }
                };
                let reply =
                    reply.map_err(|error| format!("{error}, expecting {expected:?}\n{}", shown(&asked[..=at])))?;
                if !fits(expected, &reply) {
                    return Err(format!("{reply:?}, expecting {expected:?}\n{}", shown(&asked[..=at])));
                }
            }
        }
        done = until;
    }
    Ok(())
}

fn shown(asked: &[(Request, Vec<Expected>)]) -> String {
    asked.iter().fold(String::new(), |mut text, (request, expected)| {
        let _ = writeln!(text, "    {}   ({} replies)", join(request), expected.len());
        text
    })
}

#[test]
fn every_request_gets_its_replies_whatever_the_session_is() {
    let server = Server::start_with(Target::from_environment(), &[]);
    server.connect(Protocol::Resp2).must(&["ACL", "SETUSER", "other", "on", ">word", "~*", "&*", "+@all"]);
    let (seed, requests) = (dial("FERROCK_SESSIONS_SEED", 1), dial("FERROCK_SESSIONS_REQUESTS", 20_000));
    let conversations = requests.div_ceil(CONVERSATION as u64 * CONNECTIONS);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let play = |number: u64| {
            let mut rng = Rng::with_seed(seed.wrapping_mul(CONNECTIONS) + number);
            let mut marker = number << 32;
            for turn in 0..conversations {
                // Some conversations go on where the one before has left the connection.
                let mut connection = server.connect(Protocol::Resp2);
                for _ in 0..rng.usize(1..4) {
                    converse(&mut connection, &mut rng, &mut marker)
                        .map_err(|why| format!("seed {seed}, connection {number}, conversation {turn}: {why}"))?;
                }
            }
            Ok(())
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || play(number))).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic").err()).collect()
    });
    assert!(failures.is_empty(), "{}\nserver log:\n{}", failures.join("\n"), server.log());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
