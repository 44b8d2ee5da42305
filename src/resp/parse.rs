//! Reads replies, the other end of the wire: for tests, tools and a replica
//! talking to its master. Takes both protocols, whole replies only: a caller
//! that gets `None` asks again with more bytes. No part of a request's flow.
//!
//! Aggregates come back in their general shape (`Array`, `Map`, `Set`, `Push`),
//! never as one of the flat ones that commands build.

use bytes::Bytes;
use memchr::memchr;

use super::error::ReplyError;
use super::{Attributed, Reply, VerbatimFormat};
use crate::base::number::{parse_double, parse_i64};

/// How deep aggregates may nest.
pub const MAX_DEPTH: usize = 128;

/// Reads one reply at the start of `bytes`: the reply and the bytes it took, or
/// none if it is not all there.
///
/// # Errors
/// The bytes are no reply, or one nested beyond [`MAX_DEPTH`].
pub fn parse_reply(bytes: &[u8]) -> Result<Option<(Reply, usize)>, ReplyError> {
    let mut reader = Reader { rest: bytes };
    match reader.reply(MAX_DEPTH) {
        Ok(reply) => Ok(Some((reply, bytes.len() - reader.rest.len()))),
        Err(Stop::Unfinished) => Ok(None),
        Err(Stop::Wrong(error)) => Err(error),
    }
}

/// Why reading stopped before the end of a reply.
enum Stop {
    Unfinished,
    Wrong(ReplyError),
}

impl From<ReplyError> for Stop {
    fn from(error: ReplyError) -> Self {
        Self::Wrong(error)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn reply(&mut self, depth: usize) -> Result<Reply, Stop> {
        let deeper = depth.checked_sub(1).ok_or(ReplyError::TooDeep)?;
        let line = self.line()?;
        let (kind, text) = line.split_first().ok_or(ReplyError::Malformed(b'\r'))?;
        match kind {
            b'+' if text == b"OK" => Ok(Reply::Ok),
            b'+' => Ok(Reply::Simple(owned_text(text).into())),
            b'-' => Ok(Reply::Error(owned_text(text).into())),
            b':' => Ok(Reply::Integer(parse_i64(text).ok_or(ReplyError::Malformed(*kind))?)),
            b'_' if text.is_empty() => Ok(Reply::Nil),
            b'#' => Ok(Reply::Boolean(truth(text)?)),
            b',' => Ok(Reply::Double(double(text)?)),
            b'(' => Ok(Reply::BigNumber(big_number(text)?)),
            b'$' if text == b"-1" => Ok(Reply::Nil),
            b'$' => Ok(Reply::Bulk(Bytes::copy_from_slice(self.blob(*kind, text)?))),
            b'!' => Ok(Reply::Error(owned_text(self.blob(*kind, text)?).into())),
            b'=' => Ok(verbatim(self.blob(*kind, text)?)?),
            b'*' if text == b"-1" => Ok(Reply::NilArray),
            b'*' => Ok(Reply::Array(self.elements(*kind, text, deeper)?)),
            b'~' => Ok(Reply::Set(self.elements(*kind, text, deeper)?)),
            b'>' => Ok(Reply::Push(self.elements(*kind, text, deeper)?)),
            b'%' => Ok(Reply::Map(self.entries(*kind, text, deeper)?)),
            b'|' => {
                let attributes = self.entries(*kind, text, deeper)?;
                let reply = self.reply(deeper)?;
                Ok(Reply::Attributed(Box::new(Attributed { attributes, reply })))
            }
            b'_' => Err(ReplyError::Malformed(*kind).into()),
            other => Err(ReplyError::UnknownType(*other).into()),
        }
    }

    /// Takes the next line, without its end.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let end = memchr(b'\n', self.rest).ok_or(Stop::Unfinished)?;
        let line = self.take(end + 1)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(line),
            None => Err(ReplyError::Malformed(line.first().copied().unwrap_or(b'\n')).into()),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Stop::Unfinished)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Takes the bytes whose announced length is `text`.
    fn blob(&mut self, kind: u8, text: &[u8]) -> Result<&'a [u8], Stop> {
        let len = length(kind, text)?;
        let blob = self.take(len)?;
        match self.take(2)? {
            b"\r\n" => Ok(blob),
            _ => Err(ReplyError::Malformed(kind).into()),
        }
    }

    /// Reads as many replies as `text` announces, reserving for none of them.
    fn elements(&mut self, kind: u8, text: &[u8], depth: usize) -> Result<Vec<Reply>, Stop> {
        (0..length(kind, text)?).map(|_| self.reply(depth)).collect()
    }

    fn entries(&mut self, kind: u8, text: &[u8], depth: usize) -> Result<Vec<(Reply, Reply)>, Stop> {
        (0..length(kind, text)?).map(|_| Ok((self.reply(depth)?, self.reply(depth)?))).collect()
    }
}

fn length(kind: u8, text: &[u8]) -> Result<usize, ReplyError> {
    parse_i64(text).and_then(|length| usize::try_from(length).ok()).ok_or(ReplyError::Malformed(kind))
}

fn truth(text: &[u8]) -> Result<bool, ReplyError> {
    match text {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(ReplyError::Malformed(b'#')),
    }
}

fn double(text: &[u8]) -> Result<f64, ReplyError> {
    match text {
        b"nan" | b"-nan" => Ok(f64::NAN),
        _ => parse_double(text).ok_or(ReplyError::Malformed(b',')),
    }
}

fn big_number(text: &[u8]) -> Result<std::borrow::Cow<'static, str>, ReplyError> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReplyError::Malformed(b'('));
    }
    Ok(owned_text(text).into())
}

fn verbatim(blob: &[u8]) -> Result<Reply, ReplyError> {
    let (code, text) = blob.split_at_checked(4).ok_or(ReplyError::Malformed(b'='))?;
    let format = match code {
        b"txt:" => VerbatimFormat::Text,
        b"mkd:" => VerbatimFormat::Markdown,
        _ => return Err(ReplyError::Malformed(b'=')),
    };
    Ok(Reply::Verbatim { format, text: Bytes::copy_from_slice(text) })
}

/// Text of a status or an error, which ought to be ASCII.
fn owned_text(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
