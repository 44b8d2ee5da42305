//! Any bytes of a connection, fed to the request parser whole and in pieces:
//! both must see the same requests and the same error, consume within bounds,
//! and give requests that survive being encoded and parsed again.

#![no_main]

use ferrock_fuzz::resp::{Limits, Parsed, ProtocolError, RequestParser, encode_command};
use libfuzzer_sys::fuzz_target;

type Request = Vec<Vec<u8>>;

/// What the connection saw.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    requests: Vec<Request>,
    error: Option<ProtocolError>,
}

fuzz_target!(|input: &[u8]| {
    let Some(([setting, pieces], bytes)) = input.split_first_chunk::<2>() else {
        return;
    };
    let limits =
        Limits { max_bulk_bytes: if setting & 1 == 0 { 64 } else { 1 << 40 }, authenticated: setting & 2 == 0 };
    let whole = feed([bytes], limits);
    assert_eq!(feed(bytes.chunks(usize::from(*pieces).max(1)), limits), whole);
    assert_eq!(feed(uneven_pieces(bytes, *pieces), limits), whole);
    check_round_trip(&whole.requests);
});

/// Feeds a parser as a connection would, checking its bounds on the way.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Seen {
    let mut parser = RequestParser::default();
    let mut buffer = Vec::new();
    let mut seen = Seen::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let (consumed, more) = match parser.parse(&buffer, limits) {
                Err(error) => {
                    seen.error = Some(error);
                    return seen;
                }
                Ok(Parsed::Incomplete { consumed, missing }) => {
                    assert!(missing > 0);
                    (consumed, false)
                }
                Ok(Parsed::Request { consumed }) => {
                    assert!(consumed > 0);
                    let request = parser.arguments(&buffer).map(<[u8]>::to_vec).collect();
                    seen.requests.push(request);
                    (consumed, true)
                }
            };
            assert!(consumed <= buffer.len());
            buffer.drain(..consumed);
            if !more {
                break;
            }
        }
    }
    // Arguments parsed so far are a part of what has arrived.
    assert!(!parser.is_midway() || parser.argument_count() <= buffer.len());
    seen
}

/// Cuts `bytes` into pieces of 1 to 16 bytes whose sizes follow from `seed`.
fn uneven_pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut random = fastrand::Rng::with_seed(u64::from(seed));
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(random.usize(1..=16).min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

fn check_round_trip(requests: &[Request]) {
    let encoded: Vec<u8> = requests.iter().flat_map(|request| encode_command(request)).collect();
    let seen = feed([&encoded[..]], Limits { max_bulk_bytes: usize::MAX, authenticated: true });
    assert_eq!((seen.requests.as_slice(), seen.error), (requests, None));
}
