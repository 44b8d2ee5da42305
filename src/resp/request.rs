//! Finds requests in the bytes that a connection has received, without copying
//! them: arguments are places in the read buffer. First stop of a request's
//! flow; it never reads a socket and knows no command.
//!
//! The parser is incremental. It keeps what it has found of an unfinished
//! request (arguments so far, the length of the one being received), so bytes
//! are looked at once however finely the network slices them. Announced counts
//! and lengths reserve nothing: memory grows with what really arrived.
//!
//! Inline commands (what telnet users type) are the exception: their quotes are
//! undone into a buffer of the parser's own.
//!
//! Like Redis, it takes any two bytes for the end of an argument and any byte
//! after `\r` for the end of a length.

use memchr::memchr;

use super::error::ProtocolError;
use crate::base::number::parse_i64;
use crate::base::quoting::split_arguments;

/// The longest line of an inline command, and of a count or length.
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// The most arguments of a request.
pub const MAX_ARGUMENTS: usize = 1024 * 1024;
/// The default of `proto-max-bulk-len`: the longest argument.
pub const DEFAULT_MAX_BULK_BYTES: usize = 512 * 1024 * 1024;
/// The most arguments before authentication.
const MAX_UNAUTHENTICATED_ARGUMENTS: usize = 10;
/// The longest argument before authentication.
const MAX_UNAUTHENTICATED_BULK_BYTES: usize = 16 * 1024;
/// Places and bytes of inline text kept allocated between requests.
const KEPT_CAPACITY: usize = 1024;

const _: () = assert!(MAX_UNAUTHENTICATED_ARGUMENTS < MAX_ARGUMENTS);
const _: () = assert!(MAX_UNAUTHENTICATED_BULK_BYTES < DEFAULT_MAX_BULK_BYTES);

/// What a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest argument (`proto-max-bulk-len`).
    pub max_bulk_bytes: usize,
    /// Whether the client has authenticated, or need not.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bulk_bytes: DEFAULT_MAX_BULK_BYTES, authenticated: true }
    }
}

/// How far [`RequestParser::parse`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A whole request: its arguments are at hand until the next call.
    Request {
        /// Bytes from the start of the buffer that are done with once the
        /// arguments are.
        consumed: usize,
    },
    /// The buffer ends before the request does.
    Incomplete {
        /// Bytes from the start of the buffer to drop now (empty requests).
        consumed: usize,
        /// Bytes that must at least arrive before another call finds anything
        /// new; 1 while a line is unfinished. The client's claim: reserve in
        /// bounded steps.
        missing: usize,
    },
}

/// Where an argument lies in the buffer it was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Offset of its first byte.
    pub start: usize,
    /// Its length in bytes.
    pub len: usize,
}

impl Span {
    /// The bytes in `buffer`; empty for a buffer that is not the right one.
    #[inline]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start..self.start + self.len).unwrap_or_default()
    }
}

/// An incremental parser of one connection's requests.
///
/// ```
/// use ferrock::resp::{Limits, Parsed, RequestParser};
///
/// let mut parser = RequestParser::default();
/// let received = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n";
/// let parsed = parser.parse(received, Limits::default()).unwrap();
/// assert_eq!(parsed, Parsed::Request { consumed: 20 });
/// let arguments: Vec<&[u8]> = parser.arguments(received).collect();
/// assert_eq!(arguments, [&b"GET"[..], b"k"]);
/// ```
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Arguments found so far: places in the buffer, or in `text` if `inline`.
    spans: Vec<Span>,
    /// Offset in the buffer of the first byte not yet parsed.
    position: usize,
    /// Bytes after `position` that are known to hold no line end.
    scanned: usize,
    /// Arguments of the open request still to come.
    remaining: usize,
    /// The length of the argument being received, once its line is read.
    body: Option<usize>,
    /// Whether the request is an inline command.
    inline: bool,
    /// The unescaped arguments of an inline command.
    text: Vec<u8>,
    /// Whether the last call gave a request, which the next one forgets.
    finished: bool,
}

/// What the first line of a request announced.
enum Opening {
    Arguments,
    Inline,
    Unfinished,
}

impl RequestParser {
    /// Looks for a request at the start of `buffer`.
    ///
    /// `buffer` holds the connection's bytes that were not consumed: after
    /// [`Parsed::Incomplete`] the same bytes (less `consumed`) and more, after
    /// [`Parsed::Request`] what follows them, or the same bytes again to have
    /// the request once more (a command that is run again elsewhere).
    ///
    /// # Errors
    /// The connection cannot go on: no later call recovers.
    #[inline]
    pub fn parse(&mut self, buffer: &[u8], limits: Limits) -> Result<Parsed, ProtocolError> {
        if self.finished {
            self.forget();
        }
        if self.remaining == 0 {
            match self.open(buffer, limits)? {
                Opening::Arguments => {}
                Opening::Inline => return Ok(self.finish()),
                Opening::Unfinished => return Ok(self.drop_empty_requests()),
            }
        }
        self.read_arguments(buffer, limits)
    }

    /// The arguments of the request just parsed, given the same buffer.
    #[inline]
    pub fn arguments<'a>(&'a self, buffer: &'a [u8]) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + 'a {
        let source = if self.inline { &self.text } else { buffer };
        self.spans.iter().map(move |span| span.of(source))
    }

    /// How many arguments were found so far, the command's name included.
    pub fn argument_count(&self) -> usize {
        self.spans.len()
    }

    /// Whether a request is begun but not complete.
    pub fn is_midway(&self) -> bool {
        self.remaining > 0
    }

    fn forget(&mut self) {
        self.spans.clear();
        self.position = 0;
        self.finished = false;
        if self.spans.capacity() > KEPT_CAPACITY {
            self.spans.shrink_to(KEPT_CAPACITY);
        }
        if self.inline {
            self.inline = false;
            self.text.clear();
            self.text.shrink_to(KEPT_CAPACITY);
        }
    }

    fn finish(&mut self) -> Parsed {
        self.finished = true;
        Parsed::Request { consumed: self.position }
    }

    fn drop_empty_requests(&mut self) -> Parsed {
        let consumed = std::mem::take(&mut self.position);
        Parsed::Incomplete { consumed, missing: 1 }
    }

    /// Reads the first line of a request, skipping requests without arguments.
    fn open(&mut self, buffer: &[u8], limits: Limits) -> Result<Opening, ProtocolError> {
        loop {
            match buffer.get(self.position) {
                None => return Ok(Opening::Unfinished),
                Some(b'*') => match self.read_count(buffer, limits)? {
                    None => return Ok(Opening::Unfinished),
                    Some(0) => {}
                    Some(count) => {
                        self.remaining = count;
                        return Ok(Opening::Arguments);
                    }
                },
                Some(_) => match self.read_inline(buffer)? {
                    None => return Ok(Opening::Unfinished),
                    Some(0) => {}
                    Some(_) => return Ok(Opening::Inline),
                },
            }
        }
    }

    /// Reads `*<count>`; counts below one are empty requests.
    #[inline]
    fn read_count(&mut self, buffer: &[u8], limits: Limits) -> Result<Option<usize>, ProtocolError> {
        let Some(count) = self.read_length(buffer, ProtocolError::CountTooBig)? else {
            return Ok(None);
        };
        let count = count.map(|count| usize::try_from(count).unwrap_or(0));
        match count.filter(|count| *count <= MAX_ARGUMENTS) {
            None => Err(ProtocolError::InvalidCount),
            Some(count) if count > MAX_UNAUTHENTICATED_ARGUMENTS && !limits.authenticated => {
                Err(ProtocolError::UnauthenticatedCount)
            }
            Some(count) => Ok(Some(count)),
        }
    }

    /// Reads the arguments that are still to come, as far as they are there.
    #[inline]
    fn read_arguments(&mut self, buffer: &[u8], limits: Limits) -> Result<Parsed, ProtocolError> {
        while self.remaining > 0 {
            let len = match self.body {
                Some(len) => len,
                None => match self.read_bulk_len(buffer, limits)? {
                    Some(len) => len,
                    None => {
                        return Ok(Parsed::Incomplete { consumed: 0, missing: 1 });
                    }
                },
            };
            let end = self.position.saturating_add(len).saturating_add(2);
            if buffer.len() < end {
                self.body = Some(len);
                return Ok(Parsed::Incomplete { consumed: 0, missing: end - buffer.len() });
            }
            self.spans.push(Span { start: self.position, len });
            self.position = end;
            self.body = None;
            self.remaining -= 1;
        }
        Ok(self.finish())
    }

    /// Reads `$<length>`.
    #[inline]
    fn read_bulk_len(&mut self, buffer: &[u8], limits: Limits) -> Result<Option<usize>, ProtocolError> {
        let marker = buffer.get(self.position).copied();
        let Some(len) = self.read_length(buffer, ProtocolError::BulkLenTooBig)? else {
            return Ok(None);
        };
        // As in Redis, a wrong marker shows only once its line has ended.
        if let Some(marker) = marker.filter(|marker| *marker != b'$') {
            return Err(ProtocolError::ExpectedBulk(marker));
        }
        let len = len.and_then(|len| usize::try_from(len).ok());
        match len.filter(|len| *len <= limits.max_bulk_bytes) {
            None => Err(ProtocolError::InvalidBulkLen),
            Some(len) if len > MAX_UNAUTHENTICATED_BULK_BYTES && !limits.authenticated => {
                Err(ProtocolError::UnauthenticatedBulkLen)
            }
            Some(len) => Ok(Some(len)),
        }
    }

    /// Reads the line at `position` behind its marker: none if it is not all
    /// there, `Some(None)` if it is no number.
    #[inline]
    fn read_length(&mut self, buffer: &[u8], too_big: ProtocolError) -> Result<Option<Option<i64>>, ProtocolError> {
        let line = buffer.get(self.position + 1..).unwrap_or_default();
        if let Some((length, read)) = short_length(line) {
            self.position += 1 + read;
            self.scanned = 0;
            return Ok(Some(Some(length)));
        }
        self.read_long_length(buffer, too_big)
    }

    /// [`Self::read_length`] for lines that are unfinished, long or wrong.
    #[cold]
    fn read_long_length(
        &mut self,
        buffer: &[u8],
        too_big: ProtocolError,
    ) -> Result<Option<Option<i64>>, ProtocolError> {
        let Some(line) = self.find_line(buffer, b'\r', too_big)? else {
            return Ok(None);
        };
        if buffer.len() < self.position + line.len() + 2 {
            // The byte after `\r` is still to come; look at `\r` again then.
            self.scanned = line.len();
            return Ok(None);
        }
        self.position += line.len() + 2;
        Ok(Some(parse_i64(line.get(1..).unwrap_or_default())))
    }

    /// Reads an inline command and returns how many arguments it has.
    fn read_inline(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.find_line(buffer, b'\n', ProtocolError::InlineTooBig)? else {
            return Ok(None);
        };
        let arguments = split_arguments(line).map_err(|_| ProtocolError::UnbalancedQuotes)?;
        for argument in &arguments {
            self.spans.push(Span { start: self.text.len(), len: argument.len() });
            self.text.extend_from_slice(argument);
        }
        self.inline = !arguments.is_empty();
        self.position += line.len() + 1;
        Ok(Some(arguments.len()))
    }

    /// The line at `position` up to `end`, which is excluded; none if it has
    /// not arrived yet, an error if it is too long to ever be accepted.
    fn find_line<'a>(
        &mut self,
        buffer: &'a [u8],
        end: u8,
        too_big: ProtocolError,
    ) -> Result<Option<&'a [u8]>, ProtocolError> {
        let rest = buffer.get(self.position..).unwrap_or_default();
        let window = rest.get(..=MAX_LINE_BYTES).unwrap_or(rest);
        let fresh = window.get(self.scanned..).unwrap_or_default();
        if let Some(found) = memchr(end, fresh) {
            let len = self.scanned + found;
            self.scanned = 0;
            return Ok(window.get(..len));
        }
        self.scanned = window.len();
        if window.len() > MAX_LINE_BYTES { Err(too_big) } else { Ok(None) }
    }
}

/// The common length line: one to nine digits, `\r` and one more byte. Returns
/// the number and the bytes of the line.
#[inline]
fn short_length(line: &[u8]) -> Option<(i64, usize)> {
    let mut length = 0;
    for (index, byte) in line.iter().take(10).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            length = length * 10 + i64::from(digit);
            continue;
        }
        let padded = index > 1 && line.first() == Some(&b'0');
        let whole = *byte == b'\r' && index > 0 && index + 1 < line.len() && !padded;
        return whole.then_some((length, index + 2));
    }
    None
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
