//! What the server sends that is no reply, under load: thousands of subscribers, readers that do
//! not read, subscriptions given up while messages come, caches that must not stay stale. What a
//! single conversation shows is in `tests/golden/{pubsub,notifications,tracking,monitor}.txt`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::{Connection, Protocol, Reply, Server, Target, dial};

fn server(parameters: &[(&str, &str)]) -> Server {
    Server::start_with(Target::from_environment(), parameters)
}

fn info(client: &mut Connection, field: &str) -> i64 {
    let text = client.must(&["INFO"]);
    let text = String::from_utf8_lossy(text.bytes().expect("INFO is text")).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("INFO has no number {field}"))
}

/// Waits until something holds.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within ten seconds");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_subscriber_gets_every_message_in_order() {
    let count = dial("FERROCK_SUBSCRIBERS", 2000) as usize;
    let server = server(&[]);
    let mut subscribers: Vec<Connection> = (0..count)
        .map(|number| {
            let protocol = if number % 2 == 0 { Protocol::Resp2 } else { Protocol::Resp3 };
            let mut subscriber = server.connect(protocol);
            subscriber.send(&["SUBSCRIBE", "news"]).expect("sent");
            subscriber.read_message().expect("a confirmation");
            subscriber
        })
        .collect();
    let mut publisher = server.connect(Protocol::Resp2);
    for number in 0..20 {
        assert_eq!(publisher.must(&["PUBLISH", "news", &number.to_string()]), Reply::Integer(count as i64));
    }
    for subscriber in &mut subscribers {
        for number in 0..20 {
            let message = subscriber.read_message().expect("a message");
            let payload = message.elements().and_then(|words| words.get(2)?.bytes());
            assert_eq!(payload, Some(number.to_string().as_bytes()));
        }
    }
    drop(subscribers);
    wait_until("subscriptions end with their connections", || {
        publisher.must(&["PUBSUB", "NUMSUB", "news"]).elements().and_then(|counts| counts.get(1)?.integer()) == Some(0)
    });
}

#[test]
fn who_does_not_read_is_closed_and_slows_nobody() {
    let server = server(&[]);
    let mut publisher = server.connect(Protocol::Resp2);
    publisher.must(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 8mb 0 0"]);
    let mut deaf = server.connect(Protocol::Resp2);
    deaf.send(&["SUBSCRIBE", "news"]).expect("sent");
    deaf.read_message().expect("a confirmation");
    let mut reader = server.connect(Protocol::Resp2);
    reader.send(&["SUBSCRIBE", "news"]).expect("sent");
    reader.read_message().expect("a confirmation");
    let payload = "x".repeat(256 << 10);
    let mut slowest = Duration::ZERO;
    for _ in 0..80 {
        let began = Instant::now();
        publisher.must(&["PUBLISH", "news", &payload]);
        slowest = slowest.max(began.elapsed());
        let message = reader.read_message().expect("a message");
        assert_eq!(message.elements().and_then(|words| words.get(2)?.bytes()).map(<[u8]>::len), Some(payload.len()));
    }
    assert!(slowest < Duration::from_secs(1), "a publisher waited {slowest:?} for a reader");
    wait_until("the deaf subscriber is closed", || publisher.must(&["PUBLISH", "news", ""]) == Reply::Integer(1));
}

#[test]
fn above_the_soft_limit_a_subscriber_has_its_time_and_no_more() {
    let server = server(&[]);
    let mut publisher = server.connect(Protocol::Resp2);
    publisher.must(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 1mb 2"]);
    let mut deaf = server.connect(Protocol::Resp2);
    deaf.send(&["SUBSCRIBE", "news"]).expect("sent");
    deaf.read_message().expect("a confirmation");
    let payload = "x".repeat(1 << 20);
    for _ in 0..16 {
        publisher.must(&["PUBLISH", "news", &payload]);
    }
    let over = Instant::now();
    std::thread::sleep(Duration::from_millis(1000));
    assert_eq!(publisher.must(&["PUBSUB", "NUMSUB", "news"]).elements().map(<[Reply]>::len), Some(2));
    assert_eq!(info(&mut publisher, "pubsub_channels"), 1, "closed before its time");
    wait_until("the deaf subscriber is closed without further messages", || {
        info(&mut publisher, "pubsub_channels") == 0
    });
    assert!(over.elapsed() > Duration::from_millis(1900), "closed after {:?}", over.elapsed());
}

/// A RESP2 client takes a message that comes after the last confirmation for a reply.
#[test]
fn nothing_comes_after_the_last_subscription_was_given_up() {
    let server = server(&[]);
    let running = Arc::new(AtomicBool::new(true));
    let publisher = {
        let (mut publisher, running) = (server.connect(Protocol::Resp2), running.clone());
        std::thread::spawn(move || {
            let burst: Vec<Vec<&str>> = (0..20).map(|_| vec!["PUBLISH", "news", "hello"]).collect();
            while running.load(Ordering::Relaxed) {
                publisher.pipeline(&burst).expect("published");
            }
        })
    };
    let mut client = server.connect(Protocol::Resp2);
    let mut messages = 0;
    // Whether a message comes between is up to the threads: go on until one has.
    let mut round = 0;
    while round < 300 || (messages == 0 && round < 20_000) {
        client.send(&["SUBSCRIBE", "news"]).expect("sent");
        client.send(&[["UNSUBSCRIBE", "PUNSUBSCRIBE", "RESET"][round % 3]]).expect("sent");
        if round % 3 == 1 {
            client.send(&["UNSUBSCRIBE", "news"]).expect("sent");
        }
        client.send(&["PING", "it is me"]).expect("sent");
        loop {
            match client.read_message().expect("a message or a reply") {
                Reply::Bulk(text) => break assert_eq!(text, b"it is me"),
                Reply::Array(words) if words.first() == Some(&Reply::bulk("message")) => messages += 1,
                Reply::Array(_) => {}
                Reply::Simple(text) => assert_eq!(text, b"RESET"),
                other => panic!("neither message nor reply: {other:?}"),
            }
        }
        assert_eq!(client.must(&["ECHO", "reply"]), Reply::bulk("reply"), "a message came late");
        round += 1;
    }
    running.store(false, Ordering::Relaxed);
    publisher.join().expect("the publisher ends");
    assert!(messages > 0, "no message came between, so nothing was tried");
}

/// Who has read the answer to QUIT may count on being gone.
#[test]
fn nobody_is_reached_after_quit() {
    let server = server(&[]);
    // Load, so that connections are served by several threads, which are interrupted anywhere.
    let running = Arc::new(AtomicBool::new(true));
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, running) = (server.connect(Protocol::Resp2), running.clone());
            std::thread::spawn(move || {
                let burst: Vec<Vec<&str>> = (0..200).map(|_| vec!["SET", "elsewhere", "hello"]).collect();
                while running.load(Ordering::Relaxed) {
                    client.pipeline(&burst).expect("answered");
                }
            })
        })
        .collect();
    let mut other = server.connect(Protocol::Resp2);
    let mut reader = server.connect(Protocol::Resp2);
    for round in 0..500 {
        let mut leaver = server.connect(Protocol::Resp2);
        let Reply::Integer(id) = leaver.must(&["CLIENT", "ID"]) else { panic!("CLIENT ID is a number") };
        leaver.send(&["SUBSCRIBE", "__redis__:invalidate"]).expect("sent");
        leaver.read_message().expect("a confirmation");
        reader.must(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id.to_string()]);
        reader.must(&["GET", "key"]);
        leaver.send(&["QUIT"]).expect("sent");
        assert_eq!(leaver.read_message().expect("an answer"), Reply::ok());

        let receivers = other.must(&["PUBLISH", "__redis__:invalidate", "hello"]);
        assert_eq!(receivers, Reply::Integer(0), "round {round}: a message for who has left");
        other.must(&["SET", "key", "value"]);
        let info = reader.must(&["CLIENT", "TRACKINGINFO"]);
        let flags = info.elements().and_then(|fields| fields.get(1)?.elements()).expect("flags");
        assert!(
            flags.contains(&Reply::bulk("broken_redirect")),
            "round {round}: redirected to who has left: {flags:?}"
        );
        reader.must(&["CLIENT", "TRACKING", "OFF"]);
    }
    running.store(false, Ordering::Relaxed);
    for client in busy {
        client.join().expect("the load ends");
    }
}

/// A copy that a client still believes in must be the truth once all is quiet.
#[test]
fn no_cache_stays_stale() {
    let server = server(&[]);
    let mut reader = server.connect(Protocol::Resp3);
    for round in 0..20 {
        let running = Arc::new(AtomicBool::new(true));
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let (mut writer, running) = (server.connect(Protocol::Resp2), running.clone());
                std::thread::spawn(move || {
                    while running.load(Ordering::Relaxed) {
                        writer.must(&["INCR", "counter"]);
                    }
                })
            })
            .collect();
        // The first to have its keys tracked, while writes are under way.
        assert_eq!(reader.must(&["CLIENT", "TRACKING", "ON"]), Reply::ok());
        let mut cached = None;
        let mut asked = false;
        let until = Instant::now() + Duration::from_millis(50);
        loop {
            if cached.is_none() && !asked {
                reader.send(&["GET", "counter"]).expect("sent");
                asked = true;
            }
            let stopped = Instant::now() > until;
            running.store(!stopped, Ordering::Relaxed);
            let patience = Duration::from_millis(if stopped { 100 } else { 1 });
            if cached.is_some() && reader.silent_for(patience).expect("silence") {
                if stopped {
                    break;
                }
                continue;
            }
            match reader.read_message().expect("a value or an invalidation") {
                Reply::Push(_) => cached = None,
                Reply::Bulk(value) => (cached, asked) = (Some(value), false),
                Reply::Null => asked = false,
                other => panic!("neither a value nor an invalidation: {other:?}"),
            }
        }
        for writer in writers {
            writer.join().expect("the writer ends");
        }
        let truth = server.connect(Protocol::Resp2).must(&["GET", "counter"]);
        assert_eq!(truth.bytes(), cached.as_deref(), "round {round}: the copy is stale and nobody said so");
        assert_eq!(reader.must(&["CLIENT", "TRACKING", "OFF"]), Reply::ok());
    }
}

#[test]
fn clients_that_hold_too_much_are_closed_and_counted() {
    let server = server(&[]);
    let mut keeper = server.connect(Protocol::Resp2);
    keeper.must(&["CLIENT", "NO-EVICT", "on"]);
    keeper.must(&["CONFIG", "SET", "maxmemory-clients", "3mb"]);
    let part = "x".repeat(200 << 10);

    let mut uploader = server.connect(Protocol::Resp2);
    let _ = uploader.send_raw(b"*2\r\n$3\r\nGET\r\n$8000000\r\n");
    for _ in 0..30 {
        if uploader.send_raw(part.as_bytes()).is_err() {
            break;
        }
    }
    assert!(uploader.closed(), "an argument that is too large for all clients together");

    let mut queuer = server.connect(Protocol::Resp2);
    queuer.must(&["MULTI"]);
    wait_until("what is queued since MULTI counts", || queuer.call(&["SET", "key", &part]).is_err());

    let mut small = server.connect(Protocol::Resp2);
    small.must(&["PING"]);
    assert_eq!(info(&mut keeper, "evicted_clients"), 2);
    keeper.must(&["CONFIG", "SET", "maxmemory-clients", "0"]);
}
