//! Bits against a plain vector of bytes looked at one bit at a time.

use proptest::prelude::*;

use super::*;
use crate::keyspace::{Encoding, Kind};
use crate::types::string::overwrite;
use crate::types::trial::Trial;

fn with<R>(trial: &Trial, mut look: impl FnMut(&StringValue, &mut Tx) -> Result<R>) -> R {
    trial
        .on("key", |tx, key| match tx.read::<StringValue>(key)? {
            Some(value) => look(&value, tx),
            None => look(&StringValue::create(), tx),
        })
        .unwrap()
}

fn edit<R>(trial: &Trial, mut change: impl FnMut(&mut StringValue, &mut Tx) -> Result<R>) -> R {
    trial.on("key", |tx, key| tx.edit::<StringValue, _>(key, &mut change)).unwrap()
}

fn model_bit(model: &[u8], offset: u64) -> bool {
    model.get((offset / 8) as usize).is_some_and(|byte| byte & (0x80 >> (offset % 8)) != 0)
}

/// Strings with long dull stretches, inline and in chunks.
fn bitmap() -> impl Strategy<Value = Vec<u8>> {
    let stretch = (
        prop_oneof![Just(0_u8), Just(0xff), any::<u8>()],
        prop_oneof![1_usize..4, 1_usize..6000, 30_000..90_000_usize],
    );
    proptest::collection::vec(stretch, 0..5)
        .prop_map(|stretches| stretches.iter().flat_map(|(byte, count)| std::iter::repeat_n(*byte, *count)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counting_and_searching_see_every_bit_of_the_range(model in bitmap(), cold: bool, from: u64, to: u64, wanted: bool) {
        let trial = Trial { cold, ..Trial::new() };
        trial.on("key", |tx, key| overwrite(tx, key, &model, Encoding::ByContent, None)).unwrap();
        let total = model.len() as u64 * 8;
        let (from, to) = (from % (total + 1), to % (total + 1));
        let ones = (from..to).filter(|at| model_bit(&model, *at)).count() as u64;
        prop_assert_eq!(with(&trial, |value, tx| count(value, tx, from..to)), ones);
        let first = (from..to).find(|at| model_bit(&model, *at) == wanted);
        prop_assert_eq!(with(&trial, |value, tx| position(value, tx, wanted, from..to)), first);
    }

    #[test]
    fn a_field_reads_back_as_written_and_leaves_its_neighbours(
        model in bitmap(), offset in 0_u64..300_000, bits in 1_u32..=64, signed: bool, number: i64,
    ) {
        let trial = Trial::new();
        trial.on("key", |tx, key| overwrite(tx, key, &model, Encoding::ByContent, None)).unwrap();
        let field = Field { signed, bits: if signed { bits } else { bits.min(63) } };
        let number = field.of_value(number, Overflow::Wrap).unwrap();
        let end = offset + u64::from(field.bits);
        edit(&trial, |value, tx| {
            value.grow(tx, end.div_ceil(8), u64::MAX)?;
            field.write(value, tx, offset, number)
        });
        prop_assert_eq!(with(&trial, |value, tx| field.read(value, tx, offset)), number);
        for at in (offset.saturating_sub(70)..offset).chain(end..end + 70) {
            prop_assert_eq!(with(&trial, |value, tx| bit(value, tx, at)), model_bit(&model, at), "bit {}", at);
        }
    }
}

#[test]
fn setting_a_bit_tells_the_old_one() {
    let trial = Trial::new();
    let limit = 512 << 20;
    assert!(!edit(&trial, |value, tx| set_bit(value, tx, 7, true, limit)));
    assert!(edit(&trial, |value, tx| set_bit(value, tx, 7, true, limit)));
    assert!(!edit(&trial, |value, tx| set_bit(value, tx, 4_294_967_295, true, limit)));
    assert!(edit(&trial, |value, tx| set_bit(value, tx, 4_294_967_295, false, limit)));
    assert_eq!(with(&trial, |value, tx| count(value, tx, 0..1 << 32)), 1);
    assert_eq!(with(&trial, |value, tx| position(value, tx, true, 8..1 << 32)), None);
    assert_eq!(with(&trial, |value, tx| position(value, tx, false, 7..1 << 32)), Some(8));
}

#[test]
fn numbers_that_do_not_fit_wrap_saturate_or_fail() {
    let i8 = Field { signed: true, bits: 8 };
    let u8 = Field { signed: false, bits: 8 };
    for (field, old, increment, wrapped, saturated) in [
        (i8, 127, 1, -128, 127),
        (i8, -128, -1, 127, -128),
        (u8, 255, 1, 0, 255),
        (u8, 0, -1, 255, 0),
        (Field { signed: true, bits: 64 }, i64::MAX, 1, i64::MIN, i64::MAX),
        (Field { signed: true, bits: 64 }, i64::MIN, -1, i64::MAX, i64::MIN),
        (Field { signed: false, bits: 63 }, i64::MAX, 1, 0, i64::MAX),
    ] {
        assert_eq!(field.sum(old, increment, Overflow::Wrap), Some(wrapped));
        assert_eq!(field.sum(old, increment, Overflow::Saturate), Some(saturated));
        assert_eq!(field.sum(old, increment, Overflow::Fail), None);
    }
    assert_eq!(u8.of_value(-1, Overflow::Saturate), Some(255));
    assert_eq!(u8.of_value(257, Overflow::Wrap), Some(1));
    assert_eq!(i8.of_value(-129, Overflow::Saturate), Some(-128));
    assert_eq!(i8.sum(100, 27, Overflow::Fail), Some(127));
}

#[test]
fn logic_pads_the_shorter_with_zeros() {
    let trial = Trial::new();
    let sources = || [&b"\xf0\x0f\xff"[..], b"\xff"].map(|bytes| Some(StringValue::new(Encoding::Raw, bytes.into())));
    for (logic, expected) in [
        (Logic::And, b"\xf0\0\0"),
        (Logic::Or, b"\xff\x0f\xff"),
        (Logic::Xor, b"\x0f\x0f\xff"),
        (Logic::Not, b"\x0f\xf0\0"),
    ] {
        let mut out = [0xaa; 3];
        let sources = sources();
        let taken = if logic == Logic::Not { &sources[..1] } else { &sources[..] };
        trial.run(|tx| combine(logic, taken, tx, 0..3, &mut out)).unwrap();
        assert_eq!(&out, expected, "{logic:?}");
    }
    let mut out = [0xaa; 2];
    trial.run(|tx| combine(Logic::Not, &[None], tx, 0..2, &mut out)).unwrap();
    assert_eq!(out, [0xff; 2]);
}
