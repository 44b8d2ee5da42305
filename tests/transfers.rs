//! Serializability: many clients move amounts between shared accounts, by MULTI under WATCH, by
//! scripts that declare their keys and by scripts that do not; others sum all accounts by MULTI and
//! by script. Whatever order things happen in, the total never wavers and nobody is overdrawn.
//!
//! `FERROCK_TRANSFERS_MS` how long (default 3000). `FERROCK_TEST_SERVER=redis-server` proves the test
//! on the reference.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use support::{Connection, Protocol, Reply, Server, Target, dial};

const ACCOUNTS: usize = 12;
const START_AMOUNT: i64 = 100;
const MOVERS: u64 = 6;
const READERS: u64 = 3;

/// Moves what is there, at most the amount, from the first key to the second.
const DECLARED: &str = "local have = tonumber(redis.call('GET', KEYS[1]))
local amount = math.min(have, tonumber(ARGV[1]))
redis.call('DECRBY', KEYS[1], amount)
redis.call('INCRBY', KEYS[2], amount)
return amount";

/// The same with keys that are built from arguments.
const UNDECLARED: &str = "local from, to = ARGV[1], ARGV[2]
local have = tonumber(redis.call('GET', from))
local amount = math.min(have, tonumber(ARGV[3]))
redis.call('SET', to, redis.call('GET', to) + amount)
redis.call('SET', from, redis.call('GET', from) - amount)
return amount";

/// Sums all accounts.
const SUM: &str = "local sum = 0 for _, key in ipairs(KEYS) do sum = sum + redis.call('GET', key) end return sum";
const SUM_UNDECLARED: &str =
    "local sum = 0 for i = 0, ARGV[1] - 1 do sum = sum + redis.call('GET', ARGV[2] .. i) end return sum";

/// Groups of accounts where they are to be cold: with their long names more than the record cache holds.
const COLD_GROUPS: usize = 5000;
/// The memory of a server that cannot keep them.
const LITTLE_MEMORY: &str = "32mb";

/// What the names of a group's accounts begin with.
fn group(number: usize) -> String {
    format!("account:{}:{number}:", "x".repeat(400))
}

fn account(group: &str, number: usize) -> String {
    format!("{group}{number}")
}

fn connect(address: SocketAddr) -> Connection {
    Connection::open(address, Protocol::Resp2).expect("the server accepts connections")
}

#[test]
fn the_total_never_wavers() {
    let server = Server::start();
    open_accounts(&server, 1);
    move_and_sum(&server, 1);
}

#[test]
fn the_total_never_wavers_on_cold_data() {
    let mut server = Server::start_with(Target::from_environment(), &[("maxmemory", LITTLE_MEMORY)]);
    open_accounts(&server, COLD_GROUPS);
    server.terminate();
    server.restart();
    move_and_sum(&server, COLD_GROUPS);
}

fn open_accounts(server: &Server, groups: usize) {
    let mut connection = server.connect(Protocol::Resp2);
    let start = START_AMOUNT.to_string();
    for number in 0..groups {
        let group = group(number);
        let names: Vec<String> = (0..ACCOUNTS).map(|number| account(&group, number)).collect();
        let words = names.iter().flat_map(|name| [name.as_str(), &start]);
        connection.must(&std::iter::once("MSET").chain(words).collect::<Vec<_>>());
    }
}

fn move_and_sum(server: &Server, groups: usize) {
    let mut connection = server.connect(Protocol::Resp2);
    let stop = Arc::new(AtomicBool::new(false));
    let moved = Arc::new(AtomicU64::new(0));
    let address = server.address();
    let movers = (0..MOVERS).map(|seed| {
        let (stop, moved) = (stop.clone(), moved.clone());
        std::thread::spawn(move || {
            let mut connection = connect(address);
            let mut rng = Rng::with_seed(seed);
            while !stop.load(Ordering::Relaxed) {
                let group = group(rng.usize(0..groups));
                moved.fetch_add(u64::from(transfer(&mut connection, &group, &mut rng)), Ordering::Relaxed);
            }
        })
    });
    let readers = (0..READERS).map(|seed| {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let mut connection = connect(address);
            let mut rng = Rng::with_seed(100 + seed);
            let mut sums = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let (sum, how) = total(&mut connection, &group(rng.usize(0..groups)), &mut rng);
                assert_eq!(sum, ACCOUNTS as i64 * START_AMOUNT, "the sum by {how} after {sums} right ones");
                sums += 1;
            }
            sums
        })
    });
    let movers: Vec<_> = movers.collect();
    let readers: Vec<_> = readers.collect();
    std::thread::sleep(Duration::from_millis(dial("FERROCK_TRANSFERS_MS", 3000)));
    stop.store(true, Ordering::Relaxed);
    movers.into_iter().for_each(|mover| mover.join().expect("a mover ends well"));
    let sums: u64 = readers.into_iter().map(|reader| reader.join().expect("a reader ends well")).sum();
    let moved = moved.load(Ordering::Relaxed);
    println!("{moved} transfers, {sums} sums");
    assert!(moved > 100 && sums > 10, "too little happened: {moved} transfers, {sums} sums");
    for number in 0..groups {
        let group = group(number);
        let names: Vec<String> = (0..ACCOUNTS).map(|number| account(&group, number)).collect();
        let words = names.iter().map(String::as_str);
        let replies = connection.must(&std::iter::once("MGET").chain(words).collect::<Vec<_>>());
        let amounts: Vec<i64> = replies.elements().unwrap_or_default().iter().map(amount).collect();
        assert_eq!(amounts.iter().sum::<i64>(), ACCOUNTS as i64 * START_AMOUNT, "{amounts:?}");
        assert!(amounts.iter().all(|amount| *amount >= 0), "somebody is overdrawn: {amounts:?}");
    }
}

fn amount(reply: &Reply) -> i64 {
    let bytes = reply.bytes().unwrap_or_else(|| panic!("an amount, not {reply:?}"));
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("a number: {reply:?}"))
}

/// One transfer in one of three ways; false if others were faster.
fn transfer(connection: &mut Connection, group: &str, rng: &mut Rng) -> bool {
    let from = rng.usize(0..ACCOUNTS);
    let to = (from + rng.usize(1..ACCOUNTS)) % ACCOUNTS;
    let (from, to) = (account(group, from), account(group, to));
    let most = rng.i64(1..40).to_string();
    match rng.usize(0..3) {
        0 => {
            connection.must(&["EVAL", DECLARED, "2", &from, &to, &most]);
            true
        }
        1 => {
            connection.must(&["EVAL", UNDECLARED, "0", &from, &to, &most]);
            true
        }
        _ => transfer_by_watch(connection, &from, &to, rng.i64(1..40)),
    }
}

fn transfer_by_watch(connection: &mut Connection, from: &str, to: &str, most: i64) -> bool {
    connection.must(&["WATCH", from]);
    let moved = most.min(amount(&connection.must(&["GET", from])));
    connection.must(&["MULTI"]);
    connection.must(&["DECRBY", from, &moved.to_string()]);
    connection.must(&["INCRBY", to, &moved.to_string()]);
    !connection.must(&["EXEC"]).is_null()
}

/// The sum of all accounts, and how it was found.
fn total(connection: &mut Connection, group: &str, rng: &mut Rng) -> (i64, &'static str) {
    let keys: Vec<String> = (0..ACCOUNTS).map(|number| account(group, number)).collect();
    let with_keys = |command: &[&str]| -> Vec<String> {
        command.iter().map(|word| (*word).to_owned()).chain(keys.iter().cloned()).collect()
    };
    let count = ACCOUNTS.to_string();
    let mut ask = |words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        connection.must(&words)
    };
    match rng.usize(0..5) {
        0 => {
            ask(&["MULTI".to_owned()]);
            keys.iter().for_each(|key| drop(ask(&["GET".to_owned(), key.clone()])));
            let replies = ask(&["EXEC".to_owned()]);
            (replies.elements().unwrap_or_default().iter().map(amount).sum(), "MULTI")
        }
        1 => (ask(&with_keys(&["EVAL", SUM, &count])).integer().unwrap_or(-1), "EVAL"),
        2 => (ask(&with_keys(&["EVAL_RO", SUM, &count])).integer().unwrap_or(-1), "EVAL_RO"),
        3 => {
            let words = ["EVAL_RO", SUM_UNDECLARED, "0", &count, group].map(str::to_owned);
            (ask(&words).integer().unwrap_or(-1), "EVAL_RO of undeclared keys")
        }
        _ => {
            let replies = ask(&with_keys(&["MGET"]));
            (replies.elements().unwrap_or_default().iter().map(amount).sum(), "MGET")
        }
    }
}
