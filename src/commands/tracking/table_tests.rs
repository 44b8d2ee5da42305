//! Tests of the tracking table: who is told of what.

use super::*;
use crate::keyspace::{Look, Touched};

const HERE: u64 = 0;

struct Room {
    table: TrackingTable,
    clients: Clients,
}

impl Room {
    fn new() -> Self {
        Self { table: TrackingTable::default(), clients: Clients::default() }
    }

    /// A client that speaks RESP3 and has its keys tracked.
    fn client(&self, how: Tracking) -> Arc<Client> {
        let client = self.clients.enter("a:1".into(), "a:2".into(), true, 0, 0);
        client.protocol.store(3, Ordering::Relaxed);
        client.tracking.store((Tracking::ON | how).bits(), Ordering::Relaxed);
        assert!(self.table.enter(&client, true));
        client
    }

    fn touch(&self, keys: &[&'static str], origin: u64) {
        let touched = keys.iter().map(|key| Touched { db: 0, key: Bytes::from_static(key.as_bytes()), quiet: false });
        let commit = Commit { touched: touched.collect(), ..Commit::default() };
        self.table.committed(&commit, origin, &self.clients);
    }
}

/// What has been sent to a client, without the protocol around it.
fn heard(client: &Client) -> Vec<String> {
    let mut heard = Vec::new();
    client.outbox.take(usize::MAX, |push| {
        let mut bytes = Vec::new();
        push.write(Protocol::Resp3, &mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let words = text.split("\r\n").filter(|word| !word.is_empty() && !word.starts_with(['>', '*', '$']));
        heard.push(words.collect::<Vec<_>>().join(" "));
    });
    heard
}

#[test]
fn the_first_enters_under_the_exclusive_lock_only() {
    let room = Room::new();
    let client = room.clients.enter("a:1".into(), "a:2".into(), true, 0, 0);
    assert!(!room.table.enter(&client, false));
    assert!(!room.table.in_use());
    assert!(room.table.enter(&client, true));
    let other = room.clients.enter("a:3".into(), "a:4".into(), true, 0, 0);
    assert!(room.table.enter(&other, false));
    room.table.remember(client.id, b"a");
    room.table.leave(client.id, &BTreeSet::new());
    assert_eq!(room.table.figures().keys, 1);
    room.table.leave(other.id, &BTreeSet::new());
    assert_eq!(room.table.figures().keys, 0, "nobody is left to be told");
    assert!(!room.table.in_use());
}

#[test]
fn a_reader_is_told_once_of_each_change() {
    let room = Room::new();
    let reader = room.client(Tracking::empty());
    room.table.remember(reader.id, b"a");
    room.table.remember(reader.id, b"a");
    assert_eq!(room.table.figures(), TrackingFigures { clients: 1, keys: 1, items: 1, prefixes: 0 });
    room.touch(&["a", "b"], HERE);
    room.touch(&["a"], HERE);
    assert_eq!(heard(&reader), ["invalidate a"]);
    assert_eq!(room.table.figures(), TrackingFigures { clients: 1, keys: 0, items: 0, prefixes: 0 });
}

#[test]
fn a_transaction_is_news_only_to_what_was_read_before() {
    let room = Room::new();
    let reader = room.client(Tracking::empty());
    let touched = |key: &'static str| Touched { db: 0, key: Bytes::from_static(key.as_bytes()), quiet: false };
    let look = |key: &'static str, after| Look { key: Bytes::from_static(key.as_bytes()), after };
    let commit = Commit {
        touched: vec![touched("a"), touched("b")],
        looks: vec![look("a", 1), look("b", 1)],
        ..Commit::default()
    };
    room.table.committed(&commit, reader.id, &room.clients);
    assert_eq!(heard(&reader), ["invalidate b"]);
    room.touch(&["a"], HERE);
    assert_eq!(heard(&reader), ["invalidate a"]);
}

#[test]
fn own_changes_are_told_unless_unwanted() {
    let room = Room::new();
    let echo = room.client(Tracking::empty());
    let quiet = room.client(Tracking::NO_LOOP);
    room.table.remember(echo.id, b"a");
    room.table.remember(quiet.id, b"b");
    room.touch(&["a"], echo.id);
    room.touch(&["b"], quiet.id);
    assert_eq!(heard(&echo), ["invalidate a"]);
    assert!(heard(&quiet).is_empty());
}

#[test]
fn broadcasts_gather_the_keys_of_a_prefix() {
    let room = Room::new();
    let listener = room.client(Tracking::BROADCAST);
    room.table.add_prefix(listener.id, Bytes::from_static(b"a:"));
    room.touch(&["a:2", "b:1", "a:1", "a:2"], HERE);
    assert_eq!(heard(&listener), ["invalidate a:1 a:2"]);
    room.table.leave(listener.id, &BTreeSet::from([Bytes::from_static(b"a:")]));
    assert_eq!(room.table.figures().prefixes, 0);
}

#[test]
fn a_flush_is_told_to_all_and_forgets_all() {
    let room = Room::new();
    let reader = room.client(Tracking::empty());
    room.table.remember(reader.id, b"a");
    let commit = Commit { replaced: vec![0], ..Commit::default() };
    room.table.committed(&commit, HERE, &room.clients);
    assert_eq!(heard(&reader), ["invalidate _"]);
    assert_eq!(room.table.figures().keys, 0);
}

#[test]
fn a_lost_redirection_is_told_to_the_client_itself() {
    let room = Room::new();
    let reader = room.client(Tracking::empty());
    reader.redirect.store(999, Ordering::Relaxed);
    room.table.remember(reader.id, b"a");
    room.touch(&["a"], HERE);
    assert_eq!(heard(&reader), ["tracking-redir-broken :999"]);
    assert!(reader.tracking().contains(Tracking::BROKEN_REDIRECT));
}

#[test]
fn beyond_the_limit_keys_are_let_go_and_told() {
    let room = Room::new();
    let reader = room.client(Tracking::empty());
    for key in ["a", "b", "c", "d"] {
        room.table.remember(reader.id, key.as_bytes());
    }
    assert!(!room.table.exceeds(0));
    assert!(room.table.shrink(1, 2, &room.clients), "one more is to go");
    assert!(!room.table.shrink(1, 2, &room.clients));
    assert_eq!(heard(&reader).len(), 3);
}

#[test]
fn several_who_let_keys_go_at_once_let_no_more_go() {
    for round in 0..200 {
        let room = Room::new();
        let reader = room.client(Tracking::empty());
        for key in 0..50 {
            room.table.remember(reader.id, format!("key:{key}").as_bytes());
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| while room.table.exceeds(1) && room.table.shrink(1, 100, &room.clients) {});
            }
        });
        assert_eq!(heard(&reader).len(), 49, "round {round}");
    }
}
