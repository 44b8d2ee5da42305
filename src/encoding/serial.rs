//! Small structures as bytes, by serde: the heads of dumps and whatever stands in family `system`
//! without a layout of its own. The one file that names bincode.
//!
//! Big endian, integers of fixed width, and never more than [`LIMIT_BYTES`], so that a length
//! in damaged bytes asks for no more memory than that.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of one structure.
pub const LIMIT_BYTES: usize = 16 << 20;

/// Bytes are no structure of this kind, or one is too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the structure that belongs here: {0}")]
pub struct Misshapen(String);

type Layout = bincode::config::Configuration<
    bincode::config::BigEndian,
    bincode::config::Fixint,
    bincode::config::Limit<LIMIT_BYTES>,
>;

fn layout() -> Layout {
    bincode::config::standard().with_big_endian().with_fixed_int_encoding().with_limit::<LIMIT_BYTES>()
}

/// The bytes of a structure.
///
/// # Errors
/// When it is too large, or has a part that serde cannot tell.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, Misshapen> {
    let bytes = bincode::serde::encode_to_vec(value, layout()).map_err(|error| Misshapen(error.to_string()))?;
    if bytes.len() > LIMIT_BYTES {
        return Err(Misshapen("it is too large".into()));
    }
    Ok(bytes)
}

/// The structure of bytes, all of them.
///
/// # Errors
/// When they are no such structure, or more than one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misshapen> {
    let decoded = bincode::serde::decode_from_slice(bytes, layout());
    match decoded.map_err(|error| Misshapen(error.to_string()))? {
        (value, consumed) if consumed == bytes.len() => Ok(value),
        _ => Err(Misshapen("bytes are left behind its end".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_documented_bytes() {
        let value = (7_u16, "ab".to_owned(), vec![1_u32]);
        let bytes = encode(&value).unwrap();
        assert_eq!(bytes, b"\0\x07\0\0\0\0\0\0\0\x02ab\0\0\0\0\0\0\0\x01\0\0\0\x01");
        assert_eq!(decode(&bytes), Ok(value));
    }

    #[test]
    fn claimed_lengths_and_left_bytes_are_refused() {
        assert!(decode::<Vec<u64>>(&[0xff; 24]).is_err());
        assert!(decode::<u16>(b"\0\x07\0").is_err());
        assert!(decode::<u16>(b"\0").is_err());
    }
}
