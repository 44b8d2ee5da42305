//! Any bytes to the decoders of what is stored: records, packed collections, keys and
//! compressed strings. What they take they must give back, byte for byte.

#![no_main]

use ferrock_fuzz::encoding::record::{Body, Record};
use ferrock_fuzz::encoding::{key, lzf, varint};
use ferrock_fuzz::packed::Packed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let stored = bytes::Bytes::copy_from_slice(input);
    if let Ok(record) = Record::decode(&stored) {
        assert_eq!(record.encode(), stored);
        record.element_deadline_ms();
        record.object();
        if let Body::Inline(body) = record.body {
            (1..=3).for_each(|width| packed(&body, width));
        }
    }
    (1..=3).for_each(|width| packed(&stored, width));
    if let Some((keyspace, name)) = key::split_record_key(input) {
        assert_eq!(key::split_record_key(&key::record_key(keyspace, name)), Some((keyspace, name)));
    }
    if let Some((keyspace, deadline_ms, what, name)) = key::split_expiry_key(input) {
        assert_eq!(key::expiry_key(keyspace, deadline_ms, what, name), input);
    }
    key::split_part_key(input);
    let mut rest = input;
    while varint::take_prefixed(&mut rest).is_some() {}
    let _ = lzf::decompress(input, input.len().saturating_mul(4));
});

fn packed(bytes: &bytes::Bytes, width: usize) {
    let Ok(mut packed) = Packed::open(bytes.clone(), width) else { return };
    assert_eq!(packed.items().count(), packed.len());
    let Some(first) = packed.at(0) else { return };
    let name = packed.string(&first, 0).to_vec();
    assert_eq!(packed.find(&name).map(|spot| spot.index), Some(0));
    packed.replace(&first, 0, b"another");
    assert!(Packed::open(packed.into_bytes(), width).is_ok());
}
