//! Pieces as the commands that make them, in the protocol's own words: for `redis-cli --pipe`,
//! and for every server that knows the commands.

use std::io::{self, Write};

use bytes::Bytes;

use crate::base::number::{format_double, format_u64};
use crate::encoding::piece::{Group, Head, Piece, StreamId, StreamState};
use crate::keyspace::Type;

/// Elements that one command gives, as Redis does when it rewrites its own log.
const ELEMENTS: usize = 64;

/// Writes commands.
pub struct ScriptWriter<W> {
    to: W,
    /// Whether a key's own commands are to find nothing in its place.
    replace: bool,
    head: Head,
    gathered: Vec<Bytes>,
    deadlines: Vec<(Bytes, u64)>,
    /// Bytes of the string that are still to come.
    left: u64,
    is_bare: bool,
}

impl<W: Write> ScriptWriter<W> {
    /// A writer that has written nothing. With `replace` every key is deleted before it is made.
    pub fn new(to: W, replace: bool) -> Self {
        Self {
            to,
            replace,
            head: Head::of(Type::String, 0),
            gathered: Vec::new(),
            deadlines: Vec::new(),
            left: 0,
            is_bare: true,
        }
    }

    /// The next piece.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn piece(&mut self, piece: Piece) -> io::Result<()> {
        match piece {
            Piece::Database(db) => self.command(&[b"SELECT", &format_u64(db.into())]),
            Piece::Library(code) if self.replace => self.command(&[b"FUNCTION", b"LOAD", b"REPLACE", &code]),
            Piece::Library(code) => self.command(&[b"FUNCTION", b"LOAD", &code]),
            Piece::Key(head) => self.begin(head),
            Piece::Bytes(bytes) => {
                self.to.write_all(&bytes)?;
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Ok(())
            }
            Piece::Item(item) => self.gather([item]),
            Piece::Member(member) => self.gather([member]),
            Piece::Field { name, value, expire_at_ms } => {
                self.deadlines.extend(expire_at_ms.map(|deadline_ms| (name.clone(), deadline_ms)));
                self.gather([name, value])
            }
            Piece::Scored { member, score } => self.gather([Bytes::copy_from_slice(&format_double(score)), member]),
            Piece::Entry { id, fields } => self.entry(id, &fields),
            Piece::State(state) => self.state(&state),
            Piece::Group(group) => self.group(&group),
            Piece::End => self.end(),
        }
    }

    /// The rest, and where it was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }

    fn begin(&mut self, head: Head) -> io::Result<()> {
        if self.replace && head.kind != Type::String {
            self.command(&[b"DEL", &head.name])?;
        }
        if head.kind == Type::String {
            self.count(3)?;
            self.word(b"SET")?;
            self.word(&head.name)?;
            write!(self.to, "${}\r\n", head.count)?;
        }
        self.left = head.count;
        self.is_bare = true;
        self.head = head;
        Ok(())
    }

    fn gather<const N: usize>(&mut self, words: [Bytes; N]) -> io::Result<()> {
        self.gathered.extend(words);
        if self.gathered.len() >= ELEMENTS * N { self.give() } else { Ok(()) }
    }

    /// Writes the command that adds what was gathered.
    fn give(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let name: &[u8] = match self.head.kind {
            Type::List => b"RPUSH",
            Type::Set => b"SADD",
            Type::SortedSet => b"ZADD",
            _ => b"HSET",
        };
        let gathered = std::mem::take(&mut self.gathered);
        self.count(2 + gathered.len())?;
        self.word(name)?;
        self.name()?;
        gathered.iter().try_for_each(|word| self.word(word))
    }

    fn end(&mut self) -> io::Result<()> {
        if self.head.kind == Type::String {
            self.to.write_all(b"\r\n")?;
        }
        self.give()?;
        for (field, deadline_ms) in std::mem::take(&mut self.deadlines) {
            let key = self.head.name.clone();
            self.command(&[b"HPEXPIREAT", &key, &format_u64(deadline_ms), b"FIELDS", b"1", &field])?;
        }
        if let Some(deadline_ms) = self.head.expire_at_ms {
            let key = self.head.name.clone();
            self.command(&[b"PEXPIREAT", &key, &format_u64(deadline_ms)])?;
        }
        Ok(())
    }

    fn entry(&mut self, id: StreamId, fields: &[(Bytes, Bytes)]) -> io::Result<()> {
        self.is_bare = false;
        self.count(3 + 2 * fields.len())?;
        self.word(b"XADD")?;
        self.name()?;
        self.word(shown(id).as_bytes())?;
        for (name, value) in fields {
            self.word(name)?;
            self.word(value)?;
        }
        Ok(())
    }

    fn state(&mut self, state: &StreamState) -> io::Result<()> {
        let key = self.head.name.clone();
        if self.is_bare {
            // An entry that does not stay makes a stream without any. No entry has the id 0-0.
            let id = state.last_id.max(StreamId { ms: 0, seq: 1 });
            self.command(&[b"XADD", &key, b"MAXLEN", b"0", shown(id).as_bytes(), b"x", b"y"])?;
        }
        self.command(&[
            b"XSETID",
            &key,
            shown(state.last_id).as_bytes(),
            b"ENTRIESADDED",
            &format_u64(state.entries_added),
            b"MAXDELETEDID",
            shown(state.max_deleted_id).as_bytes(),
        ])
    }

    fn group(&mut self, group: &Group) -> io::Result<()> {
        let key = self.head.name.clone();
        let read = group.entries_read.map_or_else(|| "-1".to_owned(), |count| count.to_string());
        let last = shown(group.last_id);
        let create: [&[u8]; 7] =
            [b"XGROUP", b"CREATE", &key, &group.name, last.as_bytes(), b"ENTRIESREAD", read.as_bytes()];
        self.command(&create)?;
        for consumer in &group.consumers {
            self.command(&[b"XGROUP", b"CREATECONSUMER", &key, &group.name, &consumer.name])?;
        }
        for entry in &group.pending {
            let Some(consumer) = group.consumers.get(entry.consumer as usize) else { continue };
            self.command(&[
                b"XCLAIM",
                &key,
                &group.name,
                &consumer.name,
                b"0",
                shown(entry.id).as_bytes(),
                b"TIME",
                &format_u64(entry.delivered_ms),
                b"RETRYCOUNT",
                &format_u64(entry.deliveries),
                b"JUSTID",
                b"FORCE",
            ])?;
        }
        Ok(())
    }

    fn command(&mut self, words: &[&[u8]]) -> io::Result<()> {
        self.count(words.len())?;
        words.iter().try_for_each(|word| self.word(word))
    }

    fn count(&mut self, words: usize) -> io::Result<()> {
        write!(self.to, "*{words}\r\n")
    }

    fn word(&mut self, word: &[u8]) -> io::Result<()> {
        write!(self.to, "${}\r\n", word.len())?;
        self.to.write_all(word)?;
        self.to.write_all(b"\r\n")
    }

    fn name(&mut self) -> io::Result<()> {
        let name = self.head.name.clone();
        self.word(&name)
    }
}

fn shown(id: StreamId) -> String {
    format!("{}-{}", id.ms, id.seq)
}
