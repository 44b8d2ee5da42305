//! A raw client: it sends arguments, reads replies as exact trees in RESP2 and
//! RESP3, and keeps push messages apart. A client crate would hide what these
//! tests are about: whether a null is an array, a count a double, a list a set.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a reply may take before a test fails instead of hanging.
const REPLY_LIMIT: Duration = Duration::from_secs(60);
const DEPTH_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Resp2,
    Resp3,
}

/// A reply as it stood on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    /// The digits as they were sent.
    Double(Vec<u8>),
    Boolean(bool),
    BigNumber(Vec<u8>),
    /// Format (`txt`, `mkd`) and text.
    Verbatim(Vec<u8>, Vec<u8>),
}

impl Reply {
    pub fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(text.as_ref().to_vec())
    }

    pub fn ok() -> Self {
        Self::Simple(b"OK".to_vec())
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    pub fn error_starts_with(&self, code: &str) -> bool {
        matches!(self, Self::Error(text) if text.starts_with(code.as_bytes()))
    }

    /// The bytes of a string of any kind.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::Verbatim(_, bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn integer(&self) -> Option<i64> {
        if let Self::Integer(value) = self { Some(*value) } else { None }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::NullBulk | Self::NullArray)
    }

    /// The elements of an array, set or push.
    pub fn elements(&self) -> Option<&[Reply]> {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => Some(elements),
            _ => None,
        }
    }
}

pub struct Connection {
    reader: BufReader<TcpStream>,
    protocol: Protocol,
    /// Push messages that arrived while a reply was awaited.
    pub pushes: VecDeque<Reply>,
}

impl Connection {
    pub fn open(address: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        stream.set_write_timeout(Some(REPLY_LIMIT))?;
        let mut connection = Self { reader: BufReader::new(stream), protocol, pushes: VecDeque::new() };
        if protocol == Protocol::Resp3 {
            let hello = connection.call(&["HELLO", "3"])?;
            if hello.is_error() {
                return Err(invalid(format!("HELLO 3: {hello:?}")));
            }
        }
        Ok(connection)
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn set_reply_limit(&mut self, limit: Duration) -> io::Result<()> {
        self.reader.get_ref().set_read_timeout(Some(limit))
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<()> {
        self.send_raw(&encode(arguments))
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Sends one command and reads its reply; push messages are put aside.
    pub fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<Reply> {
        self.send(arguments)?;
        self.read()
    }

    /// The same for commands that must not fail in this test.
    ///
    /// # Panics
    /// On an I/O error.
    pub fn must<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Reply {
        self.call(arguments).unwrap_or_else(|error| {
            let words: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word.as_ref())).collect();
            panic!("{}: {error}", words.join(" "))
        })
    }

    /// Sends all commands at once and reads as many replies.
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> io::Result<Vec<Reply>> {
        let bytes: Vec<u8> = commands.iter().flat_map(|arguments| encode(arguments)).collect();
        self.send_raw(&bytes)?;
        commands.iter().map(|_| self.read()).collect()
    }

    /// The next reply that is no push message.
    pub fn read(&mut self) -> io::Result<Reply> {
        loop {
            match self.read_any()? {
                push @ Reply::Push(_) => self.pushes.push_back(push),
                reply => return Ok(reply),
            }
        }
    }

    /// The next message of any kind, those put aside first.
    pub fn read_message(&mut self) -> io::Result<Reply> {
        match self.pushes.pop_front() {
            Some(push) => Ok(push),
            None => self.read_any(),
        }
    }

    /// Whether nothing comes within `limit`.
    pub fn silent_for(&mut self, limit: Duration) -> io::Result<bool> {
        if !self.reader.buffer().is_empty() || !self.pushes.is_empty() {
            return Ok(false);
        }
        self.reader.get_ref().set_read_timeout(Some(limit))?;
        let outcome = self.reader.fill_buf().map(<[u8]>::len);
        self.reader.get_ref().set_read_timeout(Some(REPLY_LIMIT))?;
        match outcome {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(true),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the server has closed the connection, waiting for it up to the reply limit.
    pub fn closed(&mut self) -> bool {
        match self.reader.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn read_any(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.reader, 0)
    }
}

/// A command as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn read_reply(reader: &mut impl BufRead, depth: usize) -> io::Result<Reply> {
    if depth > DEPTH_MAX {
        return Err(invalid("a reply nested too deeply".into()));
    }
    let line = read_line(reader)?;
    let (kind, rest) = line.split_first().ok_or_else(|| invalid("an empty line".into()))?;
    let rest = rest.to_vec();
    Ok(match kind {
        b'+' => Reply::Simple(rest),
        b'-' => Reply::Error(rest),
        b':' => Reply::Integer(number(&rest)?),
        b'$' if rest == b"-1" => Reply::NullBulk,
        b'$' => Reply::Bulk(read_bulk(reader, number(&rest)?)?),
        b'*' if rest == b"-1" => Reply::NullArray,
        b'*' => Reply::Array(read_many(reader, number(&rest)?, depth)?),
        b'~' => Reply::Set(read_many(reader, number(&rest)?, depth)?),
        b'>' => Reply::Push(read_many(reader, number(&rest)?, depth)?),
        b'%' => Reply::Map(read_pairs(reader, number(&rest)?, depth)?),
        b'|' => {
            // Attributes accompany a reply; no reply of these tests depends on one.
            read_pairs(reader, number(&rest)?, depth)?;
            read_reply(reader, depth)?
        }
        b',' => Reply::Double(rest),
        b'#' => Reply::Boolean(rest == b"t"),
        b'(' => Reply::BigNumber(rest),
        b'_' => Reply::Null,
        b'=' => {
            let text = read_bulk(reader, number(&rest)?)?;
            if text.len() < 4 || text[3] != b':' {
                return Err(invalid(format!("a verbatim string without format: {text:?}")));
            }
            Reply::Verbatim(text[..3].to_vec(), text[4..].to_vec())
        }
        _ => {
            return Err(invalid(format!("no reply: {:?}", String::from_utf8_lossy(&line))));
        }
    })
}

fn read_many(reader: &mut impl BufRead, count: i64, depth: usize) -> io::Result<Vec<Reply>> {
    (0..count).map(|_| read_reply(reader, depth + 1)).collect()
}

fn read_pairs(reader: &mut impl BufRead, count: i64, depth: usize) -> io::Result<Vec<(Reply, Reply)>> {
    (0..count).map(|_| Ok((read_reply(reader, depth + 1)?, read_reply(reader, depth + 1)?))).collect()
}

fn read_bulk(reader: &mut impl BufRead, length: i64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| invalid(format!("a length of {length}")))?;
    let mut bytes = vec![0; length + 2];
    reader.read_exact(&mut bytes)?;
    if bytes.split_off(length) != b"\r\n" {
        return Err(invalid("a string that does not end where its length says".into()));
    }
    Ok(bytes)
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
    }
    if !line.ends_with(b"\r\n") {
        return Err(invalid(format!("a line without an end: {:?}", String::from_utf8_lossy(&line))));
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

fn number(digits: &[u8]) -> io::Result<i64> {
    let value = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
    value.ok_or_else(|| invalid(format!("no number: {:?}", String::from_utf8_lossy(digits))))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message)
}
