//! Puts replies on the wire, last stop of a request's flow: the one place that
//! knows how RESP2 and RESP3 spell each shape of a [`Reply`]. Writes into any
//! [`Output`] in memory; never touches a socket, allocates nothing of its own.

use bytes::{Bytes, BytesMut};

use super::{Protocol, Reply};
use crate::base::number::format_double;

/// Where written bytes go.
pub trait Output {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Appends bytes that may be kept by reference instead of copied, which
    /// pays for large values.
    fn put_shared(&mut self, bytes: &Bytes) {
        self.put(bytes);
    }

    /// Announces that about this many bytes follow.
    fn reserve(&mut self, _bytes: usize) {}
}

impl Output for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn reserve(&mut self, bytes: usize) {
        Vec::reserve(self, bytes);
    }
}

impl Output for BytesMut {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn reserve(&mut self, bytes: usize) {
        BytesMut::reserve(self, bytes);
    }
}

/// Appends a reply in the given protocol.
#[inline]
pub fn write(reply: &Reply, protocol: Protocol, out: &mut impl Output) {
    Writer { protocol, out }.reply(reply);
}

/// Appends a request as clients send it: an array of bulk strings.
pub fn write_command<A: AsRef<[u8]>>(arguments: &[A], out: &mut impl Output) {
    let mut writer = Writer { protocol: Protocol::Resp2, out };
    writer.length(b'*', arguments.len());
    for argument in arguments {
        writer.bulk(argument.as_ref());
    }
}

/// A request as clients send it.
pub fn encode_command<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let bytes = arguments.iter().map(|argument| argument.as_ref().len() + 16).sum();
    let mut out = Vec::with_capacity(bytes);
    write_command(arguments, &mut out);
    out
}

/// The longest header: a marker, an i64, a line end.
const HEADER_BYTES: usize = 1 + 20 + 2;

struct Writer<'a, O> {
    protocol: Protocol,
    out: &'a mut O,
}

impl<O: Output> Writer<'_, O> {
    fn reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Ok => self.out.put(b"+OK\r\n"),
            Reply::Simple(text) => self.line(b'+', text),
            Reply::Error(text) => self.line(b'-', text),
            Reply::Integer(number) => self.header(b':', *number),
            Reply::Bulk(bytes) => self.shared_bulk(bytes),
            Reply::Static(text) => self.bulk(text.as_bytes()),
            Reply::Nil => self.nil(b"$-1\r\n"),
            Reply::NilArray => self.nil(b"*-1\r\n"),
            Reply::Double(number) => self.double(*number),
            Reply::Digits(digits) => self.digits(digits),
            Reply::Boolean(truth) => self.boolean(*truth),
            Reply::BigNumber(digits) => self.big_number(digits),
            Reply::Verbatim { format, text } => self.verbatim(format.code(), text),
            _ => self.aggregate(reply),
        }
    }

    fn aggregate(&mut self, reply: &Reply) {
        match reply {
            Reply::Array(elements) => self.elements(b'*', elements),
            Reply::Bulks(bulks) => self.bulks(b'*', bulks),
            Reply::OptionalBulks(bulks) => self.optional_bulks(bulks),
            Reply::Integers(numbers) => self.integers(numbers),
            Reply::Map(entries) => self.entries(b'%', entries),
            Reply::Fields(fields) => self.fields(fields),
            Reply::Pairs(pairs) => self.pairs(pairs),
            Reply::Scored(members) => self.scored(members),
            Reply::Set(elements) => self.elements(b'~', elements),
            Reply::Members(members) => self.bulks(b'~', members),
            Reply::Push(elements) => self.elements(b'>', elements),
            Reply::Attributed(attributed) => {
                if self.is_resp3() {
                    self.entries(b'|', &attributed.attributes);
                }
                self.reply(&attributed.reply);
            }
            Reply::Several(replies) => replies.iter().for_each(|reply| self.reply(reply)),
            // Nothing for Silent; all other shapes are written by `reply`.
            _ => {}
        }
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// A marker, a number and the line end, in one piece.
    #[inline]
    fn header(&mut self, marker: u8, number: i64) {
        let mut header = [marker; HEADER_BYTES];
        let len = match number {
            0..=9 => {
                header[1] = b'0' + number as u8;
                2
            }
            _ => {
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(number).as_bytes();
                header[1..=digits.len()].copy_from_slice(digits);
                1 + digits.len()
            }
        };
        header[len] = b'\r';
        header[len + 1] = b'\n';
        self.out.put(&header[..len + 2]);
    }

    #[inline]
    fn length(&mut self, marker: u8, length: usize) {
        // Nothing in memory is longer than i64 can tell.
        self.header(marker, length as i64);
    }

    /// The header of an aggregate type that RESP2 knows as an array only.
    #[inline]
    fn aggregate_header(&mut self, marker: u8, length: usize) {
        self.length(if self.is_resp3() { marker } else { b'*' }, length);
    }

    /// A line of text; line breaks, which would end it early, become spaces.
    fn line(&mut self, marker: u8, text: &str) {
        self.out.reserve(text.len() + 3);
        self.out.put(&[marker]);
        for (index, piece) in text.as_bytes().split(|byte| matches!(byte, b'\r' | b'\n')).enumerate() {
            if index > 0 {
                self.out.put(b" ");
            }
            self.out.put(piece);
        }
        self.out.put(b"\r\n");
    }

    #[inline]
    fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + HEADER_BYTES + 2);
        self.length(b'$', bytes.len());
        self.out.put(bytes);
        self.out.put(b"\r\n");
    }

    #[inline]
    fn shared_bulk(&mut self, bytes: &Bytes) {
        self.length(b'$', bytes.len());
        self.out.put_shared(bytes);
        self.out.put(b"\r\n");
    }

    #[inline]
    fn nil(&mut self, resp2: &[u8]) {
        self.out.put(if self.is_resp3() { b"_\r\n" } else { resp2 });
    }

    fn double(&mut self, number: f64) {
        self.digits(&format_double(number));
    }

    fn digits(&mut self, digits: &[u8]) {
        if self.is_resp3() {
            self.out.put(b",");
            self.out.put(digits);
            self.out.put(b"\r\n");
        } else {
            self.bulk(digits);
        }
    }

    fn boolean(&mut self, truth: bool) {
        self.out.put(match (self.protocol, truth) {
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
        });
    }

    fn big_number(&mut self, digits: &str) {
        if self.is_resp3() {
            self.line(b'(', digits);
        } else {
            self.bulk(digits.as_bytes());
        }
    }

    fn verbatim(&mut self, code: &str, text: &Bytes) {
        if !self.is_resp3() {
            return self.shared_bulk(text);
        }
        self.length(b'=', code.len() + 1 + text.len());
        self.out.put(code.as_bytes());
        self.out.put(b":");
        self.out.put_shared(text);
        self.out.put(b"\r\n");
    }

    fn elements(&mut self, marker: u8, elements: &[Reply]) {
        self.aggregate_header(marker, elements.len());
        for element in elements {
            self.reply(element);
        }
    }

    fn bulks(&mut self, marker: u8, bulks: &[Bytes]) {
        self.aggregate_header(marker, bulks.len());
        for bulk in bulks {
            self.shared_bulk(bulk);
        }
    }

    fn optional_bulks(&mut self, bulks: &[Option<Bytes>]) {
        self.length(b'*', bulks.len());
        for bulk in bulks {
            match bulk {
                Some(bytes) => self.shared_bulk(bytes),
                None => self.nil(b"$-1\r\n"),
            }
        }
    }

    fn integers(&mut self, numbers: &[i64]) {
        self.length(b'*', numbers.len());
        for number in numbers {
            self.header(b':', *number);
        }
    }

    /// The header of a map, whose RESP2 form counts keys and values alike.
    fn map_header(&mut self, marker: u8, entries: usize) {
        if self.is_resp3() {
            self.length(marker, entries);
        } else {
            self.length(b'*', entries * 2);
        }
    }

    fn entries(&mut self, marker: u8, entries: &[(Reply, Reply)]) {
        self.map_header(marker, entries.len());
        for (key, value) in entries {
            self.reply(key);
            self.reply(value);
        }
    }

    fn fields(&mut self, fields: &[(Bytes, Bytes)]) {
        self.map_header(b'%', fields.len());
        for (field, value) in fields {
            self.shared_bulk(field);
            self.shared_bulk(value);
        }
    }

    /// Opens one pair of an array of pairs, which RESP2 knows as one flat array.
    fn pair_header(&mut self) {
        if self.is_resp3() {
            self.out.put(b"*2\r\n");
        }
    }

    fn pairs(&mut self, pairs: &[(Reply, Reply)]) {
        self.map_header(b'*', pairs.len());
        for (first, second) in pairs {
            self.pair_header();
            self.reply(first);
            self.reply(second);
        }
    }

    fn scored(&mut self, members: &[(Bytes, f64)]) {
        self.map_header(b'*', members.len());
        for (member, score) in members {
            self.pair_header();
            self.shared_bulk(member);
            self.double(*score);
        }
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
