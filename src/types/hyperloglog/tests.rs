//! HyperLogLogs: the two layouts agree, damage is told, known elements give known bytes.
//! Byte for byte against a real server they are compared by the differential tests.

use proptest::prelude::*;

use super::*;
use crate::types::trial::Trial;

const SPARSE_MAX: usize = 3000;

fn of(elements: impl IntoIterator<Item = u64>, sparse_max: usize) -> HyperLogLog {
    let mut sketch = HyperLogLog::new();
    for element in elements {
        sketch.add(&element.to_le_bytes(), sparse_max).unwrap();
    }
    sketch
}

#[test]
fn a_new_one_has_redis_bytes_and_a_valid_count_of_zero() {
    let sketch = HyperLogLog::new();
    assert_eq!(sketch.as_bytes(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert_eq!(sketch.cached_count(), Some(0));
    assert_eq!(sketch.count().unwrap(), 0);
}

#[test]
fn known_elements_leave_the_bytes_that_redis_7_leaves() {
    let mut sketch = HyperLogLog::new();
    for element in ["a", "b", "c", "foo", "bar"] {
        assert!(sketch.add(element.as_bytes(), SPARSE_MAX).unwrap());
    }
    assert!(!sketch.add(b"a", SPARSE_MAX).unwrap());
    assert_eq!(sketch.cached_count(), None);
    // GET of a key after PFADD a b c foo bar in redis-server 7.0.15.
    let expected = r"HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\\\xb3\x90D>\x80F!\x80J\x8e\x84K\xfb\x80BZ";
    assert_eq!(sketch.as_bytes().escape_ascii().to_string(), expected);
    assert_eq!(sketch.count().unwrap(), 5);
}

#[test]
fn a_long_or_high_one_becomes_dense() {
    let sketch = of(0..100, 64);
    assert_eq!(sketch.layout(), Layout::Dense);
    assert_eq!(sketch.as_bytes().len(), DENSE_BYTES);
    let mut sketch = HyperLogLog::new();
    assert!(sketch.raise(7, 32, SPARSE_MAX).unwrap());
    assert_eq!(sketch.layout(), Layout::Sparse);
    assert!(sketch.raise(8, 33, SPARSE_MAX).unwrap());
    assert_eq!(sketch.layout(), Layout::Dense);
    let registers = sketch.registers().unwrap();
    assert_eq!(registers[6..10], [0, 32, 33, 0]);
}

#[test]
fn counts_are_within_a_few_standard_errors() {
    for many in [1_u64, 10, 100, 1_000, 10_000, 200_000] {
        let count = of(0..many, SPARSE_MAX).count().unwrap();
        let most = (6.0 * 1.04 / 128.0 * many as f64).ceil() as u64;
        assert!(count.abs_diff(many) <= most, "{count} for {many}");
    }
}

#[test]
fn what_is_no_hyperloglog_is_refused_and_damage_is_told() {
    for bytes in [&b""[..], b"HYLL", b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0\x7f\xff", b"HYLL\0\0\0\0\0\0\0\0\0\0\0\0\x7f\xff"]
    {
        assert!(HyperLogLog::parse(bytes).is_err(), "{}", bytes.escape_ascii());
    }
    let head = &HyperLogLog::new().as_bytes()[..HEADER_BYTES].to_vec();
    for body in [&b""[..], b"\x7f", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xff\x7f\xff"] {
        let mut sketch = HyperLogLog::parse(&[head, body].concat()).unwrap();
        assert!(sketch.count().is_err(), "{}", body.escape_ascii());
        assert!(sketch.make_dense().is_err());
        let _ = sketch.add(b"element", SPARSE_MAX);
    }
}

#[test]
fn a_dense_one_that_stays_dense_writes_the_chunks_that_differ() {
    let trial = Trial::new();
    let raise = |register: usize, count: u8| {
        trial
            .on("key", |tx, key| {
                tx.edit::<StringValue, _>(key, |value, tx| {
                    let old = value.bytes(tx)?;
                    let mut sketch = if old.is_empty() { HyperLogLog::new() } else { HyperLogLog::parse(&old)? };
                    sketch.raise(register, count, SPARSE_MAX)?;
                    sketch.store(value, tx, &old)
                })
            })
            .unwrap();
    };
    let registers = || {
        let bytes = trial.on("key", |tx, key| tx.read::<StringValue>(key)?.unwrap().bytes(tx)).unwrap();
        HyperLogLog::parse(&bytes).unwrap().registers().unwrap()
    };
    raise(5, 7);
    assert_eq!((registers()[5], trial.parts()), (7, 0));
    raise(6, 40);
    raise(REGISTERS - 1, 3);
    assert_eq!((registers()[5], registers()[6], registers()[REGISTERS - 1]), (7, 40, 3));
    assert!(trial.parts() > 0, "a dense one changed in place is in chunks");
}

proptest! {
    #[test]
    fn both_layouts_hold_the_same_registers(
        raises in proptest::collection::vec((0_usize..REGISTERS, 1_u8..=32), 0..600), near: bool,
    ) {
        let mut sparse = HyperLogLog::new();
        let mut dense = HyperLogLog::new();
        dense.make_dense().unwrap();
        let mut model = Box::new([0_u8; REGISTERS]);
        for (register, count) in raises {
            let register = if near { register % 300 } else { register };
            let raised = count > model[register];
            model[register] = model[register].max(count);
            prop_assert_eq!(sparse.raise(register, count, usize::MAX).unwrap(), raised);
            prop_assert_eq!(dense.raise(register, count, usize::MAX).unwrap(), raised);
        }
        prop_assert_eq!(sparse.layout(), Layout::Sparse);
        prop_assert_eq!(&sparse.registers().unwrap()[..], &model[..]);
        prop_assert_eq!(&dense.registers().unwrap()[..], &model[..]);
        sparse.make_dense().unwrap();
        sparse.invalidate();
        dense.invalidate();
        prop_assert_eq!(sparse, dense);
    }

    #[test]
    fn any_string_is_refused_or_worked_with(body in proptest::collection::vec(any::<u8>(), 0..200), register in 0..REGISTERS) {
        let head = HyperLogLog::new().as_bytes()[..HEADER_BYTES].to_vec();
        let mut sketch = HyperLogLog::parse(&[head, body].concat()).unwrap();
        let _ = sketch.count();
        let _ = sketch.runs_as_text();
        let _ = sketch.raise(register, 5, SPARSE_MAX);
        let _ = sketch.make_dense();
    }
}
