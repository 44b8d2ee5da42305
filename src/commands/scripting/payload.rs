//! The payload of FUNCTION DUMP and RESTORE: Redis' own, so that libraries move between servers.
//!
//! ```text
//! (0xF5 · code as an RDB string)* · RDB version u16 LE · CRC-64 of all before u64 LE
//! ```
//!
//! An RDB string is a length and as many bytes, or LZF: both lengths and the compressed bytes.

use crate::base::crc::crc64;
use crate::encoding::lzf;

/// What begins a library.
const FUNCTION: u8 = 0xF5;
/// What Redis 7.0 wrote, which later ones read.
const RDB_VERSION: u16 = 10;
/// The newest that is read: that of Redis 7.4.
const RDB_VERSION_MAX: u16 = 12;
const LZF: u8 = 0xC3;
/// The most that a compressed library may become.
const CODE_BYTES_MAX: usize = 512 << 20;

/// Writes libraries.
pub(super) fn write<'a>(codes: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for code in codes {
        out.push(FUNCTION);
        match lzf::compress(code) {
            Some(compressed) => {
                out.push(LZF);
                put_length(&mut out, compressed.len());
                put_length(&mut out, code.len());
                out.extend_from_slice(&compressed);
            }
            None => {
                put_length(&mut out, code.len());
                out.extend_from_slice(code);
            }
        }
    }
    out.extend_from_slice(&RDB_VERSION.to_le_bytes());
    out.extend_from_slice(&crc64(&out).to_le_bytes());
    out
}

/// 6 bits, 14 bits, or 32 or 64 behind a mark.
fn put_length(out: &mut Vec<u8>, length: usize) {
    let bytes = length.to_be_bytes();
    match length {
        0..0x40 => out.push(bytes[7]),
        0x40..0x4000 => out.extend_from_slice(&[0x40 | bytes[6], bytes[7]]),
        0x4000..=0xFFFF_FFFF => {
            out.push(0x80);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&bytes);
        }
    }
}

const WRONG: &str = "DUMP payload version or checksum are wrong";
const DAMAGED: &str = "Failed loading functions from payload";

/// The code of each library.
///
/// # Errors
/// Redis' texts, without `ERR`.
pub(super) fn read(payload: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let (checked, crc) = payload.split_last_chunk::<8>().ok_or(WRONG)?;
    let (mut rest, version) = checked.split_last_chunk::<2>().ok_or(WRONG)?;
    // A checksum of zero says that there is none.
    let crc = u64::from_le_bytes(*crc);
    if u16::from_le_bytes(*version) > RDB_VERSION_MAX || (crc != 0 && crc != crc64(checked)) {
        return Err(WRONG);
    }
    let mut codes = Vec::new();
    while let Some((mark, behind)) = rest.split_first() {
        if *mark != FUNCTION {
            return Err("given type is not a function");
        }
        rest = behind;
        codes.push(take_string(&mut rest).ok_or(DAMAGED)?);
    }
    Ok(codes)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    Some(taken)
}

fn take_number(rest: &mut &[u8], size: usize) -> Option<u64> {
    Some(take(rest, size)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let first = *take(rest, 1)?.first()?;
    let length = match first {
        0..0x40 => u64::from(first),
        0x40..0x80 => u64::from(first & 0x3F) << 8 | take_number(rest, 1)?,
        0x80 => take_number(rest, 4)?,
        0x81 => take_number(rest, 8)?,
        _ => return None,
    };
    usize::try_from(length).ok()
}

fn take_string(rest: &mut &[u8]) -> Option<Vec<u8>> {
    if rest.first() != Some(&LZF) {
        let length = take_length(rest)?;
        return Some(take(rest, length)?.to_vec());
    }
    take(rest, 1)?;
    let (compressed, length) = (take_length(rest)?, take_length(rest)?);
    let bytes = take(rest, compressed)?;
    if length > CODE_BYTES_MAX { None } else { lzf::decompress(bytes, length).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_come_back() {
        let long = b"#!lua name=long\n".repeat(2000);
        let codes = [&b"short"[..], &[b'x'; 100], &long];
        let payload = write(codes.into_iter());
        assert_eq!(read(&payload).unwrap(), codes.map(<[u8]>::to_vec));
    }

    #[test]
    fn the_bytes_are_those_of_redis() {
        // As redis-server 7.0.15 dumps a library too short to be compressed.
        assert_eq!(&write([&b"abc"[..]].into_iter())[..7], b"\xf5\x03abc\x0a\x00");
    }

    #[test]
    fn damage_is_noticed() {
        let payload = write([&b"some code of a library"[..]].into_iter());
        for at in 0..payload.len() {
            let mut damaged = payload.clone();
            damaged[at] ^= 0x41;
            assert!(read(&damaged).is_err(), "byte {at}");
        }
        for length in 0..payload.len() {
            assert!(read(&payload[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        for body in
            [&b"\xf5\x05abc"[..], b"\xf5", b"\xf5\xc3\x03\x90abc", b"\xf5\x81\xff\xff\xff\xff\xff\xff\xff\xff", b"\x01"]
        {
            let mut payload = body.to_vec();
            payload.extend_from_slice(&RDB_VERSION.to_le_bytes());
            payload.extend_from_slice(&crc64(&payload).to_le_bytes());
            assert!(read(&payload).is_err(), "{}", body.escape_ascii());
        }
    }
}
