//! Strings against a plain vector of bytes, warm and cold, inline and in chunks.

use proptest::prelude::*;

use super::*;
use crate::base::Error;
use crate::types::encoding_name;
use crate::types::trial::Trial;

const LIMIT: u64 = 512 << 20;

fn set(trial: &Trial, value: &[u8]) {
    trial.on("key", |tx, key| overwrite(tx, key, value, Encoding::ByContent, None)).unwrap();
}

fn edit<R>(trial: &Trial, mut change: impl FnMut(&mut StringValue, &mut Tx) -> Result<R>) -> Result<R> {
    trial.on("key", |tx, key| tx.edit::<StringValue, _>(key, &mut change))
}

fn read<R>(trial: &Trial, mut look: impl FnMut(&StringValue, &mut Tx) -> Result<R>) -> R {
    trial
        .on("key", |tx, key| match tx.read::<StringValue>(key)? {
            Some(value) => look(&value, tx),
            None => look(&StringValue::create(), tx),
        })
        .unwrap()
}

fn whole(trial: &Trial) -> Vec<u8> {
    read(trial, |value, tx| Ok(value.bytes(tx)?.to_vec()))
}

fn is_chunked(trial: &Trial) -> bool {
    read(trial, |value, _| Ok(value.is_chunked()))
}

#[test]
fn a_whole_value_is_inline_up_to_its_limit_and_in_chunks_beyond() {
    let trial = Trial::new();
    set(&trial, &vec![7; INLINE_BYTES]);
    assert!(!is_chunked(&trial));
    set(&trial, &vec![7; INLINE_BYTES + 1]);
    assert!(is_chunked(&trial));
    assert_eq!(trial.parts(), INLINE_BYTES / CHUNK_BYTES + 1);
    assert_eq!(whole(&trial), vec![7; INLINE_BYTES + 1]);
    set(&trial, b"small");
    assert_eq!(whole(&trial), b"small");
}

#[test]
fn an_overwritten_object_is_handed_to_the_reclaimer() {
    let trial = Trial::new();
    set(&trial, &vec![7; INLINE_BYTES + 1]);
    assert_eq!(trial.store.reclaim_backlog(10).unwrap(), 0);
    set(&trial, b"small");
    assert_eq!(trial.store.reclaim_backlog(10).unwrap(), 1);
    while trial.store.reclaim_step().unwrap() {}
    assert_eq!(trial.parts(), 0);
}

#[test]
fn a_change_in_place_moves_a_value_into_chunks_when_it_outgrows_one() {
    let trial = Trial::new();
    set(&trial, &vec![1; CHUNK_BYTES - 1]);
    assert_eq!(edit(&trial, |value, tx| value.append(tx, b"a", LIMIT)).unwrap(), CHUNK_BYTES as u64);
    assert!(!is_chunked(&trial));
    assert_eq!(edit(&trial, |value, tx| value.append(tx, b"b", LIMIT)).unwrap(), CHUNK_BYTES as u64 + 1);
    assert!(is_chunked(&trial));
    assert_eq!(trial.parts(), 2);
    assert_eq!(whole(&trial)[CHUNK_BYTES - 1..], *b"ab");
}

#[test]
fn a_bit_far_away_costs_one_chunk() {
    let trial = Trial::new();
    let old = edit(&trial, |value, tx| value.edit_byte(tx, (1 << 29) - 1, LIMIT, |byte| byte | 1)).unwrap();
    assert_eq!(old, 0);
    assert_eq!(trial.parts(), 1);
    assert_eq!(read(&trial, |value, _| Ok(value.len())), 1 << 29);
    let mut around = [9; 4];
    read(&trial, |value, tx| value.read_into(tx, (1 << 29) - 3, &mut around));
    assert_eq!(around, [0, 0, 1, 0]);
    assert_eq!(edit(&trial, |value, tx| value.edit_byte(tx, (1 << 29) - 1, LIMIT, |byte| byte)).unwrap(), 1);
}

#[test]
fn growing_writes_no_chunk() {
    let trial = Trial::new();
    edit(&trial, |value, tx| value.grow(tx, 1 << 20, LIMIT)).unwrap();
    assert_eq!((trial.parts(), read(&trial, |value, _| Ok(value.len()))), (0, 1 << 20));
}

#[test]
fn nothing_grows_beyond_the_limit() {
    let trial = Trial::new();
    set(&trial, b"0123456789");
    let refused = |result: Result<u64>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Client(ClientError::StringTooLong)), "{error:?}");
    };
    refused(edit(&trial, |value, tx| value.append(tx, b"x", 10)));
    refused(edit(&trial, |value, tx| value.write(tx, 10, b"x", 10)));
    refused(edit(&trial, |value, tx| value.write(tx, u64::MAX, b"x", u64::MAX)));
    refused(edit(&trial, |value, tx| value.write(tx, MAX_LENGTH, b"x", u64::MAX)));
    assert_eq!(edit(&trial, |value, tx| value.write(tx, 9, b"x", 10)).unwrap(), 10);
    assert_eq!(whole(&trial), b"012345678x");
}

#[test]
fn a_window_at_a_time_makes_the_whole() {
    let trial = Trial::new();
    for length in [5, INLINE_BYTES as u64, 3 * WINDOW_BYTES as u64 + 77] {
        let fill = |_: &mut Tx, range: Range<u64>, out: &mut [u8]| {
            out.iter_mut().zip(range).for_each(|(byte, at)| *byte = at as u8);
            Ok(())
        };
        trial.on("key", |tx, key| overwrite_in_windows(tx, key, length, fill)).unwrap();
        assert!(whole(&trial).iter().zip(0_u64..).all(|(byte, at)| *byte == at as u8));
        assert_eq!(read(&trial, |value, _| Ok(value.len())), length);
    }
}

#[test]
fn a_damaged_length_is_corruption_not_a_panic() {
    for meta in [&b""[..], b"1234567", b"\xff\xff\xff\xff\xff\xff\xff\xff"] {
        let body = Body::Large { id: crate::encoding::key::ObjectId(1), meta: Bytes::copy_from_slice(meta) };
        assert!(StringValue::load(Encoding::Raw, body).is_err());
    }
}

#[test]
fn encodings_are_told_by_content_until_changed_in_place() {
    let name = |value: &str, encoding| {
        let body = Body::Inline(Bytes::copy_from_slice(value.as_bytes()));
        encoding_name(&Record { kind: Type::String, encoding, expire_at_ms: None, body })
    };
    assert_eq!(name("12", Encoding::ByContent), "int");
    assert_eq!(name("-9223372036854775808", Encoding::ByContent), "int");
    assert_eq!(name("9223372036854775808", Encoding::ByContent), "embstr");
    assert_eq!(name("012", Encoding::ByContent), "embstr");
    assert_eq!(name(&"x".repeat(44), Encoding::ByContent), "embstr");
    assert_eq!(name(&"x".repeat(45), Encoding::ByContent), "raw");
    assert_eq!(name("12", Encoding::Raw), "raw");
}

/// One step of a random life.
#[derive(Debug, Clone)]
enum Step {
    Set(Vec<u8>),
    Append(Vec<u8>),
    Write(u64, Vec<u8>),
    Byte(u64, u8),
    Grow(u64),
    Range(u64, u64),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    (prop_oneof![0_usize..20, 4000_usize..4200, 0_usize..20_000, 65_530_usize..65_545], any::<u8>(), any::<bool>())
        .prop_map(|(length, seed, zero)| {
            (0..length).map(|at| if zero { 0 } else { (at as u8).wrapping_mul(31) ^ seed }).collect()
        })
}

fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..10, 4090_u64..4100, 0_u64..100_000]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        bytes().prop_map(Step::Set),
        bytes().prop_map(Step::Append),
        (offset(), bytes()).prop_map(|(at, bytes)| Step::Write(at, bytes)),
        (offset(), any::<u8>()).prop_map(|(at, byte)| Step::Byte(at, byte)),
        offset().prop_map(Step::Grow),
        (offset(), offset()).prop_map(|(from, to)| Step::Range(from, to)),
    ]
}

fn padded(model: &mut Vec<u8>, length: usize) {
    if model.len() < length {
        model.resize(length, 0);
    }
}

fn take(trial: &Trial, model: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Set(bytes) => {
            set(trial, bytes);
            model.clone_from(bytes);
        }
        Step::Append(bytes) => {
            model.extend_from_slice(bytes);
            let length = edit(trial, |value, tx| value.append(tx, bytes, LIMIT)).unwrap();
            assert_eq!(length, model.len() as u64);
        }
        Step::Write(at, bytes) => {
            if !bytes.is_empty() {
                let (from, to) = (*at as usize, *at as usize + bytes.len());
                padded(model, to);
                model[from..to].copy_from_slice(bytes);
            }
            let length = edit(trial, |value, tx| value.write(tx, *at, bytes, LIMIT)).unwrap();
            assert_eq!(length, model.len() as u64);
        }
        Step::Byte(at, byte) => {
            padded(model, *at as usize + 1);
            let old = edit(trial, |value, tx| value.edit_byte(tx, *at, LIMIT, |_| *byte)).unwrap();
            assert_eq!(old, std::mem::replace(&mut model[*at as usize], *byte));
        }
        Step::Grow(length) => {
            padded(model, *length as usize);
            edit(trial, |value, tx| value.grow(tx, *length, LIMIT)).unwrap();
        }
        Step::Range(from, to) => {
            let expected = model.get(*from as usize..(*to as usize).min(model.len())).unwrap_or_default();
            assert_eq!(read(trial, |value, tx| value.range(tx, *from..*to)), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_string_is_what_a_vector_of_bytes_would_be(cold: bool, steps in proptest::collection::vec(step(), 1..20)) {
        let trial = Trial { cold, ..Trial::new() };
        let mut model = Vec::new();
        for step in &steps {
            take(&trial, &mut model, step);
            prop_assert_eq!(whole(&trial), model.clone());
        }
    }
}
