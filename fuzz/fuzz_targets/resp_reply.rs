//! Any bytes to the reply reader: what it accepts must be written and read
//! back to the same bytes in RESP3, and be writable in RESP2.

#![no_main]

use ferrock_fuzz::resp::{Protocol, Reply, parse_reply, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(Some((reply, len))) = parse_reply(input) else {
        return;
    };
    assert!(0 < len && len <= input.len());
    let first = written(&reply, Protocol::Resp3);
    let Ok(Some((again, len))) = parse_reply(&first) else {
        panic!("unreadable: {}", first.escape_ascii());
    };
    assert_eq!(len, first.len());
    // Bytes, not values, are compared: NaN is no equal of itself.
    assert_eq!(written(&again, Protocol::Resp3), first);
    let downgraded = written(&reply, Protocol::Resp2);
    let (_, len) = parse_reply(&downgraded).unwrap().unwrap();
    assert_eq!(len, downgraded.len());
});

fn written(reply: &Reply, protocol: Protocol) -> Vec<u8> {
    let mut out = Vec::new();
    write(reply, protocol, &mut out);
    out
}
