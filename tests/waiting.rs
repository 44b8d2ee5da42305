//! Blocked clients under load: readers that wait for what writers bring all the time, so that they are called
//! at every moment of their own way into the queue. What a single conversation shows is in
//! `tests/golden/blocking.txt`.

mod support;

use std::time::Duration;

use support::{Protocol, Reply, Server, Target};

const WRITERS: usize = 3;
const READERS: usize = 2;
const ENTRIES: usize = 1500;

/// The id of the last entry of XREAD's reply in RESP2, and how many entries there are.
fn last_id(reply: &Reply) -> Option<(Vec<u8>, usize)> {
    let entries = reply.elements()?.first()?.elements()?.get(1)?.elements()?;
    let id = entries.last()?.elements()?.first()?.bytes()?;
    Some((id.to_vec(), entries.len()))
}

/// Once a reader stood in the queue and waited for the stream's lock at the same time, the lock that came
/// with its call was the one it waited for: neither it nor anybody else went on.
#[test]
fn readers_of_a_busy_stream_get_every_entry() {
    let server = Server::start_with(Target::from_environment(), &[]);
    let script =
        "for i = 1, 3 do redis.call('INCR', KEYS[2]) end return redis.call('XADD', KEYS[1], '*', 'n', ARGV[1])";
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut writer = server.connect(Protocol::Resp2);
                for number in 0..ENTRIES {
                    let reply = writer.must(&["EVAL", script, "2", "stream", "counter", &number.to_string()]);
                    assert!(reply.bytes().is_some(), "{reply:?}");
                }
            });
        }
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut reader = server.connect(Protocol::Resp2);
                reader.set_reply_limit(Duration::from_secs(30)).expect("a limit");
                let (mut id, mut seen) = (b"0".to_vec(), 0);
                while seen < WRITERS * ENTRIES {
                    let words = [b"XREAD".as_slice(), b"COUNT", b"2", b"BLOCK", b"0", b"STREAMS", b"stream", &id];
                    let (last, count) = last_id(&reader.must(&words)).expect("entries");
                    assert!(count > 0);
                    seen += count;
                    id = last;
                }
                assert_eq!(seen, WRITERS * ENTRIES);
            });
        }
    });
}
