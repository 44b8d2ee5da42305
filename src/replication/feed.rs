//! The replication stream: commands as replicas are to run them, in the order of commits. A stretch
//! of it is encoded once and shared by all replicas. It is made only while there is one.
//!
//! Commits append while they hold the locks of their keys, so two that touch the same key come in
//! their order; others may come in either, and lead to the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::replica::{Replica, State};

/// Who takes the stream. Must not wait.
pub trait Receiver: Send + Sync {
    /// Queues a stretch of it.
    fn receive(&self, stretch: Bytes);
}

/// What INFO and ROLE say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedFigures {
    /// Bytes of the stream so far.
    pub offset: u64,
    pub full_syncs: u64,
}

/// The stream, and who gets it.
pub struct Feed<R> {
    id: String,
    /// Whether there is a replica.
    flows: AtomicBool,
    stream: Mutex<Stream<R>>,
}

struct Stream<R> {
    replicas: Vec<Arc<Replica<R>>>,
    /// The database that replicas have selected, once they were told.
    db: Option<u32>,
    offset: u64,
    full_syncs: u64,
}

/// What is appended in one go.
pub struct Stretch<'s> {
    bytes: Vec<u8>,
    db: &'s mut Option<u32>,
}

impl Stretch<'_> {
    /// A command, in the database it is meant for; `None` where that does not matter.
    pub fn command<W: AsRef<[u8]>>(&mut self, db: Option<u32>, words: &[W]) {
        if let Some(db) = db.filter(|db| *self.db != Some(*db)) {
            *self.db = Some(db);
            write(&mut self.bytes, &[&b"SELECT"[..], db.to_string().as_bytes()]);
        }
        write(&mut self.bytes, words);
    }
}

fn write<W: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[W]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

impl<R: Receiver> Feed<R> {
    /// A stream of its own name: 40 hexadecimal digits.
    pub fn new(id: String) -> Self {
        let stream = Stream { replicas: Vec::new(), db: None, offset: 0, full_syncs: 0 };
        Self { id, flows: AtomicBool::new(false), stream: Mutex::new(stream) }
    }

    /// The name of this history.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether anybody gets the stream. Becomes true only while the exclusive lock is held, so it
    /// stands still for whoever holds a lock.
    pub fn flows(&self) -> bool {
        self.flows.load(Ordering::Relaxed)
    }

    /// Appends to the stream, if anybody gets it.
    pub fn append(&self, fill: impl FnOnce(&mut Stretch<'_>)) {
        let mut stream = self.stream.lock();
        if stream.replicas.is_empty() {
            return;
        }
        let mut stretch = Stretch { bytes: Vec::new(), db: &mut stream.db };
        fill(&mut stretch);
        let bytes = Bytes::from(stretch.bytes);
        if bytes.is_empty() {
            return;
        }
        stream.offset += bytes.len() as u64;
        for replica in &stream.replicas {
            replica.to.receive(bytes.clone());
        }
    }

    /// A replica gets the stream from here on; the offset of here. Under the exclusive lock.
    pub fn join(&self, replica: Arc<Replica<R>>) -> u64 {
        let mut stream = self.stream.lock();
        stream.replicas.push(replica);
        stream.full_syncs += 1;
        // It knows of no database yet.
        stream.db = None;
        self.flows.store(true, Ordering::Relaxed);
        stream.offset
    }

    /// A replica is gone.
    pub fn leave(&self, replica: &Arc<Replica<R>>) {
        let mut stream = self.stream.lock();
        stream.replicas.retain(|other| !Arc::ptr_eq(other, replica));
        self.flows.store(!stream.replicas.is_empty(), Ordering::Relaxed);
    }

    /// All replicas.
    pub fn replicas(&self) -> Vec<Arc<Replica<R>>> {
        self.stream.lock().replicas.clone()
    }

    /// How many replicas have everything up to this offset.
    pub fn acknowledged(&self, offset: u64) -> usize {
        let stream = self.stream.lock();
        let online = stream.replicas.iter().filter(|replica| replica.state() == State::Online);
        online.filter(|replica| replica.acknowledged() >= offset).count()
    }

    /// How many replicas follow the stream and were heard of since then.
    pub fn following(&self, since_ms: u64) -> usize {
        let stream = self.stream.lock();
        let online = stream.replicas.iter().filter(|replica| replica.state() == State::Online);
        online.filter(|replica| replica.acknowledged_ms() >= since_ms).count()
    }

    /// Bytes of the stream so far.
    pub fn offset(&self) -> u64 {
        self.stream.lock().offset
    }

    /// What INFO and ROLE say.
    pub fn figures(&self) -> FeedFigures {
        let stream = self.stream.lock();
        FeedFigures { offset: stream.offset, full_syncs: stream.full_syncs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Sink(Mutex<Vec<u8>>);

    impl Receiver for Sink {
        fn receive(&self, stretch: Bytes) {
            self.0.lock().extend_from_slice(&stretch);
        }
    }

    fn joined(feed: &Feed<Sink>) -> Arc<Replica<Sink>> {
        let replica = Arc::new(Replica::new(Arc::<Sink>::default(), None, 0, 0));
        feed.join(replica.clone());
        replica
    }

    fn taken(replica: &Replica<Sink>) -> String {
        String::from_utf8(std::mem::take(&mut *replica.to.0.lock())).unwrap()
    }

    #[test]
    fn a_database_is_selected_when_it_changes_and_for_whoever_is_new() {
        let feed: Feed<Sink> = Feed::new("x".repeat(40));
        feed.append(|stretch| stretch.command(Some(0), &["LOST"]));
        assert!(!feed.flows());
        let first = joined(&feed);
        feed.append(|stretch| {
            stretch.command(None, &["PING"]);
            stretch.command(Some(3), &["DEL", "k"]);
            stretch.command(Some(3), &["DEL", "l"]);
        });
        let commands = "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n*2\r\n$3\r\nDEL\r\n$1\r\nl\r\n";
        assert_eq!(taken(&first), format!("*1\r\n$4\r\nPING\r\n{commands}"));
        let second = joined(&feed);
        feed.append(|stretch| stretch.command(Some(3), &["X"]));
        assert_eq!(taken(&second), "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$1\r\nX\r\n");
        assert_eq!(taken(&first), "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$1\r\nX\r\n");
    }

    #[test]
    fn only_who_is_online_and_has_it_all_counts() {
        let feed: Feed<Sink> = Feed::new(String::new());
        let replica = joined(&feed);
        feed.append(|stretch| stretch.command(None, &["PING"]));
        let offset = feed.offset();
        replica.acknowledge(offset, 1);
        assert_eq!(feed.acknowledged(offset), 0);
        replica.enter(State::Online);
        assert_eq!(feed.acknowledged(offset), 1);
        assert_eq!(feed.acknowledged(offset + 1), 0);
        assert_eq!((feed.following(1), feed.following(2)), (1, 0));
        feed.leave(&replica);
        assert!(!feed.flows());
        assert_eq!(feed.acknowledged(offset), 0);
    }
}
