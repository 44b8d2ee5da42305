//! The codec against itself, against payloads of redis-server 7.0.15, against layouts that older
//! servers wrote, and against damage.

use bytes::{BufMut, Bytes};
use proptest::collection::vec;
use proptest::prelude::*;

use super::packed::{Element, Layout, ListpackWriter, Packed};
use super::{PayloadReader, PayloadWriter, RdbError, Reader, Writer};
use crate::base::crc::crc64;
use crate::encoding::piece::{Consumer, Group, Head, Pending, Piece, StreamId, StreamState};
use crate::encoding::record::Type;

fn text(text: &(impl AsRef<[u8]> + ?Sized)) -> Bytes {
    Bytes::copy_from_slice(text.as_ref())
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The pieces of a payload, its head and end apart.
fn opened(payload: &[u8]) -> (Head, Vec<Piece>) {
    let mut reader = PayloadReader::open(payload).unwrap();
    let Some(Piece::Key(head)) = reader.next().unwrap() else { panic!("no head") };
    let mut pieces = Vec::new();
    loop {
        match reader.next().unwrap().unwrap() {
            Piece::End => break,
            piece => pieces.push(piece),
        }
    }
    assert_eq!(reader.next().unwrap(), None);
    (head, pieces)
}

/// A value of this type byte with a right footer.
fn sealed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut payload = vec![kind];
    payload.extend_from_slice(body);
    payload.extend_from_slice(&[10, 0]);
    payload.extend_from_slice(&crc64(&payload).to_le_bytes());
    payload
}

fn items(words: &[&str]) -> Vec<Piece> {
    words.iter().map(|word| Piece::Item(text(word))).collect()
}

fn members(words: &[&str]) -> Vec<Piece> {
    words.iter().map(|word| Piece::Member(text(word))).collect()
}

fn field(name: &str, value: &str, expire_at_ms: Option<u64>) -> Piece {
    Piece::Field { name: text(name), value: text(value), expire_at_ms }
}

fn scored(member: &str, score: f64) -> Piece {
    Piece::Scored { member: text(member), score }
}

/// DUMP of redis-server 7.0.15.
const PAYLOADS: &[(&str, &str)] = &[
    ("int8", "00c0f90a005e26d130d7a242ab"),
    ("int16", "00c1e8030a0089d1478ebac4b764"),
    ("int32", "00c26079feff0a00a1ca8470cc216d9d"),
    ("text", "000568656c6c6f0a006372df766534200a"),
    ("lzf", "00c31243e8016161e0ff00e0ff00e0ff00e0c3000161610a0086c212db54819e3c"),
    ("empty", "00000a005d9b5c400f7fa2da"),
    (
        "list",
        "120102c32e406e196e0000000800816102dfff02c12c02f270110104f400f2052a0120180309e04678e03c000748cfff02d00002ff0a00e478c4530cec3cfc",
    ),
    ("bignode", "1202020d0d0000000200816102816202ff020a0a0000000100816302ff0a00a60192a8f736b5c0"),
    ("plain", "1203020a0a0000000100816102ff01c3091e016262e01100016262020a0a0000000100816302ff0a0072395127091a5cb4"),
    ("intset16", "0b0e0200000003000000ffff020003000a00c87a922a3d7de78c"),
    ("intset32", "0b10040000000200000001000000701101000a002735436efd6656c4"),
    ("intset64", "0b180800000002000000010000000000000000f2052a010000000a0054f5a26ae707b5fc"),
    ("set", "020101610a006296e97e44d21a6d"),
    ("hash", "1012120000000400816602817602816e020c01ff0a0001369481d35b8974"),
    ("hashtable", "04010166c3094041017676e034000176760a003d71be523786cf45"),
    ("zset", "111d1d0000000600816202842d696e660581610283312e35048163020301ff0a002970c58fcde6fc31"),
    ("skiplist", "05020162000000000000f07fc3094041016161e03400016161000000000000f83f0a002fc3ed034dfd4d50"),
    (
        "stream",
        "13011000000000000000050000000000000001c3393e123e000000190002010101020181610281620200200900002001401102050103600902030104200b401901dfff202b088163028178020601ff0207000501050203010167050181ffffffffffffffff0100000000000000050000000000000001b253d714a2010000010105616c696365b253d714a201000001000000000000000500000000000000010a0062b1d4b280ad1c4b",
    ),
];

fn payload_of_redis(name: &str) -> (Head, Vec<Piece>) {
    let (_, digits) = PAYLOADS.iter().find(|(found, _)| *found == name).unwrap();
    opened(&hex(digits))
}

#[test]
fn strings_of_redis_are_read() {
    let long = "a".repeat(1000);
    for (name, value) in
        [("int8", "-7"), ("int16", "1000"), ("int32", "-100000"), ("text", "hello"), ("lzf", long.as_str())]
    {
        let (head, pieces) = payload_of_redis(name);
        assert_eq!((head.kind, head.count), (Type::String, value.len() as u64), "{name}");
        assert_eq!(pieces, [Piece::Bytes(text(value))], "{name}");
    }
    assert_eq!(payload_of_redis("empty").1, []);
}

#[test]
fn lists_of_redis_are_read() {
    let words = ["a", "-1", "300", "70000", "5000000000", &"x".repeat(70), "4095", "-4096"];
    assert_eq!(payload_of_redis("list").1, items(&words));
    assert_eq!(payload_of_redis("bignode").1, items(&["a", "b", "c"]));
    assert_eq!(payload_of_redis("plain").1, items(&["a", &"b".repeat(30), "c"]));
}

#[test]
fn sets_of_redis_are_read() {
    assert_eq!(payload_of_redis("intset16").1, members(&["-1", "2", "3"]));
    assert_eq!(payload_of_redis("intset32").1, members(&["1", "70000"]));
    assert_eq!(payload_of_redis("intset64").1, members(&["1", "5000000000"]));
    assert_eq!(payload_of_redis("set").1, members(&["a"]));
}

#[test]
fn hashes_and_sorted_sets_of_redis_are_read() {
    let (head, pieces) = payload_of_redis("hash");
    assert_eq!(head.count, 2);
    assert_eq!(pieces, [field("f", "v", None), field("n", "12", None)]);
    assert_eq!(payload_of_redis("hashtable").1, [field("f", &"v".repeat(65), None)]);
    let scores = [scored("b", f64::NEG_INFINITY), scored("a", 1.5), scored("c", 3.0)];
    assert_eq!(payload_of_redis("zset").1, scores);
    assert_eq!(payload_of_redis("skiplist").1, [scored("b", f64::INFINITY), scored(&"a".repeat(65), 1.5)]);
}

/// XADD of 5-1, 5-2 and 7-0, XDEL of 5-2, and one entry read by alice of group g.
#[test]
fn streams_of_redis_are_read() {
    let id = |ms, seq| StreamId { ms, seq };
    let (_, pieces) = payload_of_redis("stream");
    let pair = |name: &str, value: &str| (text(name), text(value));
    let [one, two, Piece::State(state), Piece::Group(group)] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!(*one, Piece::Entry { id: id(5, 1), fields: vec![pair("a", "1"), pair("b", "2")] });
    assert_eq!(*two, Piece::Entry { id: id(7, 0), fields: vec![pair("c", "x")] });
    let expected = StreamState { last_id: id(7, 0), max_deleted_id: id(5, 2), entries_added: 3, groups: 1 };
    assert_eq!(*state, expected);
    assert_eq!((&group.name[..], group.last_id, group.entries_read), (&b"g"[..], id(5, 1), None));
    assert_eq!(&group.consumers[0].name[..], b"alice");
    let pending = &group.pending[..];
    assert!(matches!(pending, [Pending { id: StreamId { ms: 5, seq: 1 }, consumer: 0, deliveries: 1, .. }]));
}

/// Layouts that servers before 7.0 wrote, byte by byte.
#[test]
fn layouts_of_older_servers_are_read() {
    // Entries: "ab", -1 (8 bits), 3 (in the encoding itself), 300 (16 bits), 70000 (24), 2^31 (64).
    let entries = hex(concat!("00026162", "04feff", "03f4", "02c02c01", "04f0701101", "05e00000008000000000"));
    let mut ziplist = Vec::new();
    ziplist.put_u32_le(10 + entries.len() as u32 + 1);
    ziplist.put_u32_le(10);
    ziplist.put_u16_le(6);
    ziplist.extend_from_slice(&entries);
    ziplist.push(0xff);
    let body = prefixed(&ziplist);
    let words = ["ab", "-1", "3", "300", "70000", "2147483648"];
    assert_eq!(opened(&sealed(10, &body)).1, items(&words));
    assert_eq!(opened(&sealed(14, &[&[2], &body[..], &body[..]].concat())).1, items(&[words, words].concat()));
    let pairs = [field("ab", "-1", None), field("3", "300", None), field("70000", "2147483648", None)];
    assert_eq!(opened(&sealed(13, &body)).1, pairs);
    assert_eq!(
        opened(&sealed(12, &body)).1,
        [scored("ab", -1.0), scored("3", 300.0), scored("70000", 2_147_483_648.0)]
    );
    // Two pairs, the second value with two spare bytes behind it.
    let zipmap = b"\x02\x01a\x02\x00bc\x01d\x01\x02e..\xff";
    assert_eq!(opened(&sealed(9, &prefixed(zipmap))).1, [field("a", "bc", None), field("d", "e", None)]);
    let zset = b"\x03\x01a\x031.5\x01b\xfe\x01c\xff";
    assert_eq!(
        opened(&sealed(3, zset)).1,
        [scored("a", 1.5), scored("b", f64::INFINITY), scored("c", f64::NEG_INFINITY)]
    );
}

/// What 7.2 and 7.4 brought.
#[test]
fn layouts_of_newer_servers_are_read() {
    let mut list = ListpackWriter::new();
    ["f", "v", "0", "g", "w", "4102444800000"].iter().for_each(|word| list.push(word.as_bytes()));
    let list = prefixed(&list.finish());
    let timed = [field("f", "v", None), field("g", "w", Some(4_102_444_800_000))];
    let earliest = 4_102_444_800_000_u64.to_le_bytes();
    assert_eq!(opened(&sealed(25, &[&earliest, &list[..]].concat())).1, timed);
    assert_eq!(opened(&sealed(23, &list)).1, timed);
    assert_eq!(opened(&sealed(20, &list)).1, members(&["f", "v", "0", "g", "w", "4102444800000"]));
    let (head, pieces) = opened(&sealed(24, &[&earliest, &b"\x02\x00\x01f\x01v\x01\x01g\x01w"[..]].concat()));
    assert!(head.timed);
    assert_eq!(pieces, timed);
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 64);
    [&[bytes.len() as u8], bytes].concat()
}

#[test]
fn module_values_are_refused_by_name() {
    // ReJSON-RL of version 3: nine letters of six bits, ten bits of version.
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = |byte| letters.iter().position(|letter| *letter == byte).unwrap() as u64;
    let id = b"ReJSON-RL".iter().fold(0, |id, byte| id << 6 | place(*byte)) << 10 | 3;
    let body = [&[0x81][..], &id.to_be_bytes()].concat();
    let payload = sealed(7, &body);
    let refused = PayloadReader::open(&payload).unwrap().next();
    assert!(matches!(&refused, Err(RdbError::Module { name, .. }) if name == "ReJSON-RL"), "{refused:?}");
}

#[test]
fn footers_are_held_to() {
    let mut payload = sealed(0, b"\x01a");
    assert!(PayloadReader::open(&payload).is_ok());
    payload[1] ^= 1;
    assert!(PayloadReader::open(&payload).is_err());
    assert!(PayloadReader::open(b"").is_err());
    let mut newer = vec![0, 1, b'a', 13, 0];
    newer.extend_from_slice(&crc64(&newer).to_le_bytes());
    assert!(PayloadReader::open(&newer).is_err());
}

/// A file claims a string of an exabyte, and memory is not asked for it.
#[test]
fn lengths_are_not_believed() {
    for body in ["810fffffffffffffff61", "80ffffffff61", "c3810fffffffffffffff810fffffffffffffff61"] {
        for kind in 0..=25 {
            let payload = sealed(kind, &hex(body));
            let mut reader = PayloadReader::open(&payload).unwrap();
            while let Ok(Some(piece)) = reader.next() {
                assert_ne!(piece, Piece::End, "{kind} {body}");
            }
        }
    }
}

#[test]
fn files_say_what_is_wrong_with_them() {
    let mut writer = Writer::new(Vec::new(), true);
    writer.begin(&[("redis-ver", "7.2.4".into())]).unwrap();
    for piece in [Piece::Database(3), Piece::Key(Head::of(Type::Set, 1)), Piece::Member(text("a")), Piece::End] {
        writer.piece(&piece).unwrap();
    }
    let file = writer.finish().unwrap();
    assert_eq!(&file[..9], b"REDIS0010");
    assert_eq!(all(&file).unwrap().len(), 4);
    let mut damaged = file.clone();
    damaged[15] ^= 0x20;
    assert!(matches!(all(&damaged), Err(RdbError::Checksum { .. })), "{:?}", all(&damaged));
    assert!(matches!(all(&file[..file.len() - 1]), Err(RdbError::Short { .. })));
    assert!(matches!(all(b"REDIS0099"), Err(RdbError::Version(version)) if version == "0099"));
    assert!(matches!(all(b"FERRO0010"), Err(RdbError::Magic)));
    // No checksum before version 5, and 0 for none.
    assert_eq!(all(b"REDIS0001\xfe\x00\xfd\x01\x00\x00\x00\x00\x01k\x01v\xff").unwrap().len(), 4);
    assert_eq!(all(b"REDIS0009\xff\0\0\0\0\0\0\0\0").unwrap(), []);
}

#[test]
fn a_value_must_have_what_its_key_announced() {
    let pieces = [Piece::Member(text("a")), Piece::Member(text("b"))];
    for count in [1, 3] {
        let mut writer = PayloadWriter::begin(&Head::of(Type::Set, count)).unwrap();
        let written = pieces.iter().try_for_each(|piece| writer.piece(piece));
        assert!(written.and_then(|()| writer.seal().map(drop)).is_err(), "{count}");
    }
    let mut writer = PayloadWriter::begin(&Head::of(Type::List, 1)).unwrap();
    assert!(writer.piece(&pieces[0]).is_err());
}

fn all(file: &[u8]) -> Result<Vec<Piece>, RdbError> {
    let mut reader = Reader::open(file)?;
    let mut pieces = Vec::new();
    while let Some(piece) = reader.next()? {
        pieces.push(piece);
    }
    Ok(pieces)
}

// ---- generated values -----------------------------------------------------------

fn word() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..12).prop_map(Bytes::from),
        any::<i64>().prop_map(|number| text(&number.to_string())),
        (-5000..70_000_i64).prop_map(|number| text(&number.to_string())),
        (0..5000_usize).prop_map(|length| Bytes::from(vec![b'x'; length])),
    ]
}

fn id() -> impl Strategy<Value = StreamId> {
    (any::<u64>(), any::<u64>()).prop_map(|(ms, seq)| StreamId { ms, seq })
}

fn value() -> impl Strategy<Value = (Head, Vec<Piece>)> {
    let counted = |kind, piece: BoxedStrategy<Piece>| {
        vec(piece, 1..150).prop_map(move |pieces| (Head::of(kind, pieces.len() as u64), pieces)).boxed()
    };
    let plain = (word(), word()).prop_map(|(name, value)| Piece::Field { name, value, expire_at_ms: None });
    let timed = (word(), word(), proptest::option::of(1..u64::MAX / 2))
        .prop_map(|(name, value, expire_at_ms)| Piece::Field { name, value, expire_at_ms });
    let score = any::<f64>().prop_filter("a number", |score| !score.is_nan());
    prop_oneof![
        word().prop_map(|bytes| {
            let head = Head::of(Type::String, bytes.len() as u64);
            (head, if bytes.is_empty() { vec![] } else { vec![Piece::Bytes(bytes)] })
        }),
        counted(Type::List, word().prop_map(Piece::Item).boxed()),
        counted(Type::Set, word().prop_map(Piece::Member).boxed()),
        counted(Type::Hash, plain.boxed()),
        counted(Type::Hash, timed.boxed()).prop_map(|(head, pieces)| (Head { timed: true, ..head }, pieces)),
        counted(Type::SortedSet, (word(), score).prop_map(|(member, score)| Piece::Scored { member, score }).boxed()),
        stream(),
    ]
}

fn stream() -> impl Strategy<Value = (Head, Vec<Piece>)> {
    let pairs = prop_oneof![
        vec((word(), word()), 1..4),
        (word(), word()).prop_map(|(one, other)| vec![(text("name"), one), (text("value"), other)]),
    ];
    let entries = proptest::collection::btree_map(id(), pairs, 0..260);
    (entries, vec(group(), 0..3), id(), any::<u64>()).prop_map(|(entries, groups, max_deleted_id, entries_added)| {
        let count = entries.len() as u64;
        let last_id = StreamId { ms: u64::MAX, seq: u64::MAX };
        let mut pieces: Vec<Piece> = entries.into_iter().map(|(id, fields)| Piece::Entry { id, fields }).collect();
        let state = StreamState { last_id, max_deleted_id, entries_added, groups: groups.len() as u64 };
        pieces.push(Piece::State(state));
        pieces.extend(groups.into_iter().map(Piece::Group));
        (Head::of(Type::Stream, count), pieces)
    })
}

fn group() -> impl Strategy<Value = Group> {
    let consumers = vec((word(), any::<u32>()), 1..4).prop_map(|consumers| {
        let consumer = |(name, seen)| Consumer { name, seen_ms: u64::from(seen), active_ms: Some(u64::from(seen)) };
        consumers.into_iter().map(consumer).collect::<Vec<_>>()
    });
    let pending = proptest::collection::btree_map(id(), (any::<u32>(), any::<u64>(), any::<u64>()), 0..20);
    (word(), id(), proptest::option::of(0..u64::MAX), consumers, pending).prop_map(
        |(name, last_id, entries_read, consumers, pending)| {
            let pending = pending.into_iter().map(|(id, (consumer, delivered_ms, deliveries))| Pending {
                id,
                consumer: consumer % consumers.len() as u32,
                delivered_ms,
                deliveries,
            });
            let pending = pending.collect();
            Group { name, last_id, entries_read, consumers, pending }
        },
    )
}

/// What is read does not say how many entries a stream has.
fn as_read(head: &Head) -> Head {
    let count = if head.kind == Type::Stream { 0 } else { head.count };
    Head { count, ..head.clone() }
}

fn payload((head, pieces): &(Head, Vec<Piece>)) -> Vec<u8> {
    let mut writer = PayloadWriter::begin(head).unwrap();
    pieces.iter().for_each(|piece| writer.piece(piece).unwrap());
    writer.seal().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn payloads_hold_what_was_written(value in value()) {
        let (head, pieces) = opened(&payload(&value));
        prop_assert_eq!(head, as_read(&value.0));
        prop_assert_eq!(pieces, value.1);
    }

    #[test]
    fn files_hold_what_was_written(
        values in vec((word(), proptest::option::of(0..u64::MAX / 2), proptest::option::of(any::<u8>()), value()), 0..6),
        compress: bool,
    ) {
        let mut expected = vec![Piece::Library(text("#!lua name=x")), Piece::Database(70_000)];
        for (name, expire_at_ms, frequency, (head, pieces)) in values {
            expected.push(Piece::Key(Head { name, expire_at_ms, frequency, ..head }));
            expected.extend(pieces);
            expected.push(Piece::End);
        }
        let mut writer = Writer::new(Vec::new(), compress);
        writer.begin(&[]).unwrap();
        expected.iter().for_each(|piece| writer.piece(piece).unwrap());
        let file = writer.finish().unwrap();
        for piece in &mut expected {
            if let Piece::Key(head) = piece {
                *head = as_read(head);
            }
        }
        prop_assert_eq!(all(&file).unwrap(), expected);
    }

    /// Bytes changed, taken out or doubled: an error or other pieces, never a panic.
    #[test]
    fn damage_never_panics(
        value in value(),
        places in vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut payload = payload(&value);
        payload.truncate(payload.len() - 10);
        for (place, byte, how) in places {
            let at = place.index(payload.len());
            match how {
                0 => payload[at] = byte,
                1 if payload.len() > 1 => { payload.remove(at); }
                _ => payload.insert(at, byte),
            }
        }
        let payload = sealed(payload[0], &payload[1..]);
        let mut reader = PayloadReader::open(&payload).unwrap();
        while let Ok(Some(_)) = reader.next() {}
        let mut file = b"REDIS0011".to_vec();
        file.extend_from_slice(&payload);
        let _ = all(&file);
    }

    #[test]
    fn any_bytes_are_read_or_refused(kind in 0..=25_u8, bytes: Vec<u8>) {
        let payload = sealed(kind, &bytes);
        let mut reader = PayloadReader::open(&payload).unwrap();
        while let Ok(Some(_)) = reader.next() {}
        for layout in [Layout::Ziplist, Layout::Listpack, Layout::Intset, Layout::Zipmap] {
            if let Ok(mut packed) = Packed::open(bytes.clone().into(), layout) {
                while let Ok(Some(_)) = packed.next() {}
            }
        }
    }

    #[test]
    fn listpacks_hold_what_was_pushed(words in vec(word(), 0..40)) {
        let mut writer = ListpackWriter::new();
        words.iter().for_each(|word| writer.push(word));
        let mut packed = Packed::open(writer.finish().into(), Layout::Listpack).unwrap();
        let mut read = Vec::new();
        while let Some(element) = packed.next().unwrap() {
            read.push(Element::into_bytes(element));
        }
        prop_assert_eq!(read, words);
    }
}
