//! Tests of `request.rs`, beside it.

use proptest::prelude::*;

use super::*;

/// What a connection saw: requests in order, then perhaps the end of it.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    requests: Vec<Vec<Vec<u8>>>,
    error: Option<ProtocolError>,
}

/// A connection's read buffer in front of a parser, fed in pieces.
struct Feed {
    parser: RequestParser,
    limits: Limits,
    buffer: Vec<u8>,
    seen: Seen,
}

impl Feed {
    fn new(limits: Limits) -> Self {
        let (parser, buffer, seen) = Default::default();
        Self { parser, limits, buffer, seen }
    }

    fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
        while self.seen.error.is_none() {
            match self.parser.parse(&self.buffer, self.limits) {
                Err(error) => self.seen.error = Some(error),
                Ok(Parsed::Incomplete { consumed, missing }) => {
                    assert!(missing > 0 && consumed <= self.buffer.len());
                    self.buffer.drain(..consumed);
                    return;
                }
                Ok(Parsed::Request { consumed }) => {
                    assert!(0 < consumed && consumed <= self.buffer.len());
                    let arguments = self.parser.arguments(&self.buffer);
                    assert_eq!(arguments.len(), self.parser.argument_count());
                    self.seen.requests.push(arguments.map(<[u8]>::to_vec).collect());
                    self.buffer.drain(..consumed);
                }
            }
        }
    }
}

fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Seen {
    let mut feed = Feed::new(limits);
    pieces.into_iter().for_each(|piece| feed.push(piece));
    feed.seen
}

fn whole(bytes: &[u8]) -> Seen {
    feed([bytes], Limits::default())
}

fn requests(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let seen = whole(bytes);
    assert_eq!(seen.error, None, "{}", bytes.escape_ascii());
    seen.requests
}

const UNAUTHENTICATED: Limits = Limits { max_bulk_bytes: DEFAULT_MAX_BULK_BYTES, authenticated: false };

/// Bytes of a connection and the requests in them.
type Case = (&'static [u8], &'static [&'static [&'static [u8]]]);

/// Checked against redis-server 7.0.15 by hand.
const ACCEPTED: &[Case] = &[
    (b"*1\r\n$4\r\nPING\r\n", &[&[b"PING"]]),
    (b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", &[&[b"GET", b""]]),
    (b"*3\r\n$3\r\nSET\r\n$4\r\n\r\n$1\r\n$11\r\n*1\r\n$1\r\nx\r\n\r\n", &[&[b"SET", b"\r\n$1", b"*1\r\n$1\r\nx\r\n"]]),
    (b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\na\r\n", &[&[b"PING"], &[b"ECHO", b"a"]]),
    // Requests without arguments are skipped.
    (b"*0\r\n*-1\r\n*-7\r\n\r\n\n \r\n*1\r\n$4\r\nPING\r\n", &[&[b"PING"]]),
    (b"*-9223372036854775808\r\nPING\r\n*0\r\n", &[&[b"PING"]]),
    // Any byte ends a length after its `\r`, any two end an argument.
    (b"*1\rX$4\rXPINGXXPING\r\n", &[&[b"PING"], &[b"PING"]]),
    // Inline commands.
    (b"PING\r\n", &[&[b"PING"]]),
    (b"PING\n", &[&[b"PING"]]),
    (b"PING\r\r\n", &[&[b"PING"]]),
    (b"  SET key\t 'a b' \"\\x00\\n\"\r\nGET k\r\n", &[&[b"SET", b"key", b"a b", b"\0\n"], &[b"GET", b"k"]]),
    (b"ECHO a\rb\n*1\r\n$1\r\na\r\n\"\"\r\n", &[&[b"ECHO", b"a", b"b"], &[b"a"], &[b""]]),
];

/// Texts that redis-server 7.0.15 sent for these bytes, then closing.
const REFUSED: &[(&[u8], &str)] = &[
    (b"*-0\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*+1\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*01\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"* 1\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*1x\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*abc\rZ", "ERR Protocol error: invalid multibulk length"),
    (b"*2147483648\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*9223372036854775808\r\n", "ERR Protocol error: invalid multibulk length"),
    (b"*1\r\n4\r\n", "ERR Protocol error: expected '$', got '4'"),
    (b"*1\r\nPING\r\n", "ERR Protocol error: expected '$', got 'P'"),
    (b"*2\r\n$1\r\na\r\n*1\r\n", "ERR Protocol error: expected '$', got '*'"),
    (b"*1\r\n$\r\n", "ERR Protocol error: invalid bulk length"),
    (b"*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length"),
    (b"*1\r\n$abc\r\n", "ERR Protocol error: invalid bulk length"),
    (b"*1\r\n$04\r\n", "ERR Protocol error: invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "ERR Protocol error: invalid bulk length"),
    (b"*1\r\n$18446744073709551616\r\n", "ERR Protocol error: invalid bulk length"),
    (b"ECHO \"abc\r\n", "ERR Protocol error: unbalanced quotes in request"),
    (b"ECHO 'a'b\r\n", "ERR Protocol error: unbalanced quotes in request"),
];

#[test]
fn requests_are_found() {
    for (bytes, expected) in ACCEPTED {
        assert_eq!(requests(bytes), *expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn broken_requests_are_refused_in_redis_words() {
    for (bytes, text) in REFUSED {
        let seen = whole(bytes);
        let error = seen.error.unwrap_or_else(|| panic!("{} passed", bytes.escape_ascii()));
        assert_eq!(error.to_string(), *text, "{}", bytes.escape_ascii());
    }
}

#[test]
fn requests_before_a_broken_one_count() {
    let seen = whole(b"*1\r\n$4\r\nPING\r\nPING\r\n*x\r\n");
    assert_eq!(seen.requests.len(), 2);
    assert_eq!(seen.error, Some(ProtocolError::InvalidCount));
}

#[test]
fn every_split_gives_the_same() {
    let corpus = ACCEPTED.iter().map(|case| case.0).chain(REFUSED.iter().map(|case| case.0));
    for bytes in corpus {
        let expected = whole(bytes);
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            assert_eq!(feed([first, second], Limits::default()), expected, "{at}");
        }
        assert_eq!(feed(bytes.chunks(1), Limits::default()), expected);
    }
}

#[test]
fn a_wrong_marker_that_is_no_character_is_escaped() {
    let error = whole(b"*1\r\n\xff\r\n").error.unwrap();
    assert_eq!(error.to_string(), r"ERR Protocol error: expected '$', got '\xff'");
}

#[test]
fn lines_have_a_limit() {
    let cases: [(&[u8], ProtocolError); 3] = [
        (b"", ProtocolError::InlineTooBig),
        (b"*", ProtocolError::CountTooBig),
        (b"*1\r\n$", ProtocolError::BulkLenTooBig),
    ];
    for (start, error) in cases {
        // The marker `*` or `$` counts as part of the line.
        let in_line = start.rsplit(|byte| *byte == b'\n').next().unwrap().len();
        let mut bytes = [start, &vec![b'1'; MAX_LINE_BYTES - in_line]].concat();
        assert_eq!(whole(&bytes), Seen::default(), "at the limit");
        bytes.push(b'1');
        assert_eq!(whole(&bytes).error, Some(error), "beyond the limit");
        assert_eq!(feed(bytes.chunks(1000), Limits::default()).error, Some(error));
    }
}

#[test]
fn an_inline_command_may_fill_its_limit() {
    let mut bytes = vec![b'a'; MAX_LINE_BYTES];
    bytes.push(b'\n');
    assert_eq!(requests(&bytes), [[&bytes[..MAX_LINE_BYTES]]]);
}

#[test]
fn counts_and_lengths_have_limits() {
    let open = Seen::default();
    assert_eq!(whole(b"*1048576\r\n"), open);
    assert_eq!(whole(b"*1048577\r\n").error, Some(ProtocolError::InvalidCount));
    assert_eq!(whole(b"*1\r\n$536870912\r\n"), open);

    let limits = Limits { max_bulk_bytes: 5, authenticated: true };
    assert_eq!(feed([&b"*1\r\n$5\r\n"[..]], limits), open);
    assert_eq!(feed([&b"*1\r\n$6\r\n"[..]], limits).error, Some(ProtocolError::InvalidBulkLen));
    let limits = Limits { max_bulk_bytes: usize::MAX, authenticated: true };
    assert_eq!(feed([&b"*1\r\n$9223372036854775807\r\nab"[..]], limits), open);
}

#[test]
fn strangers_may_send_little() {
    let refused: [(&[u8], ProtocolError); 4] = [
        (b"*11\r\n", ProtocolError::UnauthenticatedCount),
        (b"*1\r\n$16385\r\n", ProtocolError::UnauthenticatedBulkLen),
        // Beyond the general limit it is the general error.
        (b"*2147483648\r\n", ProtocolError::InvalidCount),
        (b"*1\r\n$536870913\r\n", ProtocolError::InvalidBulkLen),
    ];
    for (bytes, error) in refused {
        assert_eq!(feed([bytes], UNAUTHENTICATED).error, Some(error));
    }
    for bytes in [&b"*10\r\n"[..], b"*1\r\n$16384\r\n"] {
        assert_eq!(feed([bytes], UNAUTHENTICATED), Seen::default());
    }
    assert_eq!(ProtocolError::UnauthenticatedCount.to_string(), "ERR Protocol error: unauthenticated multibulk length");
    assert_eq!(ProtocolError::UnauthenticatedBulkLen.to_string(), "ERR Protocol error: unauthenticated bulk length");
}

#[test]
fn an_unfinished_argument_tells_what_it_lacks() {
    let mut parser = RequestParser::default();
    let received = b"\r\n*2\r\n$3\r\nSET\r\n$100000\r\nabc";
    let parsed = parser.parse(received, Limits::default());
    assert_eq!(parsed, Ok(Parsed::Incomplete { consumed: 0, missing: 100_000 - 3 + 2 }));
    assert!(parser.is_midway());

    let mut parser = RequestParser::default();
    let parsed = parser.parse(b"\r\n*0\r\n*2\r", Limits::default());
    assert_eq!(parsed, Ok(Parsed::Incomplete { consumed: 6, missing: 1 }));
}

#[test]
fn announced_sizes_reserve_nothing() {
    let mut parser = RequestParser::default();
    parser.parse(b"*1048576\r\n$536870912\r\n", Limits::default()).unwrap();
    assert_eq!((parser.spans.capacity(), parser.text.capacity()), (0, 0));
}

#[test]
fn a_large_request_leaves_little_behind() {
    let large = [&b"*5000\r\n"[..], &b"$1\r\na\r\n".repeat(5000)].concat();
    let inline = [&vec![b'a'; 60_000][..], b"\n"].concat();
    let mut parser = RequestParser::default();
    for bytes in [large, inline, b"PING\n".to_vec()] {
        let parsed = parser.parse(&bytes, Limits::default()).unwrap();
        assert_eq!(parsed, Parsed::Request { consumed: bytes.len() });
    }
    assert!(parser.spans.capacity() <= KEPT_CAPACITY && parser.text.capacity() <= KEPT_CAPACITY);
}

#[test]
fn a_request_that_was_not_consumed_is_found_again() {
    let mut parser = RequestParser::default();
    for received in [&b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"[..], b"\r\nGET k\r\nGET k\r\n"] {
        let first = parser.parse(received, Limits::default());
        assert_eq!(parser.parse(received, Limits::default()), first);
        assert_eq!(parser.arguments(received).collect::<Vec<_>>(), [&b"GET"[..], b"k"]);
    }
}

#[test]
fn a_shrunken_buffer_is_no_panic() {
    let mut parser = RequestParser::default();
    parser.parse(b"*2\r\n$3\r\nGET\r\n$1000\r\n", Limits::default()).unwrap();
    assert!(parser.parse(b"", Limits::default()).is_ok());
    assert_eq!(parser.arguments(b"").collect::<Vec<_>>(), [b""]);
}

/// Bytes that are often nearly requests.
fn nearly_requests() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"*".to_vec()),
        Just(b"$".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"'a' ".to_vec()),
        Just(b"*2\r\n$3\r\nGET\r\n".to_vec()),
        Just(b"$1\r\nk\r\n".to_vec()),
        (-2_i64..20).prop_map(|number| number.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same(
        bytes in prop_oneof![nearly_requests(), any::<Vec<u8>>()],
        piece in 1_usize..20,
        authenticated: bool,
    ) {
        let limits = Limits { max_bulk_bytes: 64, authenticated };
        let expected = feed([&bytes[..]], limits);
        prop_assert_eq!(feed(bytes.chunks(piece), limits), expected);
    }

    #[test]
    fn an_encoded_command_is_found_again(
        commands in proptest::collection::vec(
            proptest::collection::vec(any::<Vec<u8>>(), 1..5), 0..5),
    ) {
        let bytes = commands.iter().flat_map(|command| crate::resp::encode_command(command));
        prop_assert_eq!(requests(&bytes.collect::<Vec<_>>()), commands);
    }
}
