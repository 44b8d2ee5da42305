//! Tests of `parse.rs`, beside it.

use proptest::prelude::*;

use super::*;
use crate::resp::{Protocol, write};

fn read(bytes: &[u8]) -> Reply {
    let (reply, len) = parse_reply(bytes).unwrap().unwrap();
    assert_eq!(len, bytes.len(), "{}", bytes.escape_ascii());
    reply
}

fn bulk(text: &'static str) -> Reply {
    Reply::Bulk(Bytes::from_static(text.as_bytes()))
}

#[test]
fn every_type_is_read() {
    let cases: Vec<(&[u8], Reply)> = vec![
        (b"+OK\r\n", Reply::Ok),
        (b"+PONG\r\n", Reply::simple("PONG")),
        (b"-ERR no\r\n", Reply::error("ERR no")),
        (b"!6\r\nERR no\r\n", Reply::error("ERR no")),
        (b":-12\r\n", Reply::Integer(-12)),
        (b"$4\r\na\r\nb\r\n", bulk("a\r\nb")),
        (b"$-1\r\n", Reply::Nil),
        (b"*-1\r\n", Reply::NilArray),
        (b"_\r\n", Reply::Nil),
        (b"#t\r\n", Reply::Boolean(true)),
        (b"#f\r\n", Reply::Boolean(false)),
        (b",1.5\r\n", Reply::Double(1.5)),
        (b",-inf\r\n", Reply::Double(f64::NEG_INFINITY)),
        (b"(-12345678901234567890\r\n", Reply::BigNumber("-12345678901234567890".into())),
        (b"=8\r\ntxt:text\r\n", Reply::verbatim("text")),
        (b"*2\r\n:1\r\n*0\r\n", Reply::array([Reply::Integer(1), Reply::EMPTY])),
        (b"~1\r\n:1\r\n", Reply::Set(vec![Reply::Integer(1)])),
        (b">1\r\n$1\r\na\r\n", Reply::Push(vec![bulk("a")])),
        (b"%1\r\n+a\r\n:1\r\n", Reply::Map(vec![(Reply::simple("a"), Reply::Integer(1))])),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read(bytes), expected, "{}", bytes.escape_ascii());
    }
    assert!(matches!(read(b",nan\r\n"), Reply::Double(number) if number.is_nan()));
    let Reply::Attributed(attributed) = read(b"|1\r\n+a\r\n:1\r\n+OK\r\n") else { panic!("no attributes") };
    assert_eq!(attributed.reply, Reply::Ok);
    assert_eq!(attributed.attributes.len(), 1);
}

#[test]
fn an_unfinished_reply_is_none() {
    for bytes in [&b"*2\r\n$4\r\na\r\nb\r\n%1\r\n:1\r\n=5\r\ntxt:a\r\n"[..], b"+OK\r\n"] {
        for end in 0..bytes.len() {
            assert_eq!(parse_reply(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(read(bytes), parse_reply(&[bytes, b"+more"].concat()).unwrap().unwrap().0);
    }
}

#[test]
fn what_is_no_reply_is_refused() {
    let cases: &[(&[u8], ReplyError)] = &[
        (b"PING\r\n", ReplyError::UnknownType(b'P')),
        (b"\r\n", ReplyError::Malformed(b'\r')),
        (b"+a\n", ReplyError::Malformed(b'+')),
        (b":x\r\n", ReplyError::Malformed(b':')),
        (b"$-2\r\n", ReplyError::Malformed(b'$')),
        (b"$1\r\nabc", ReplyError::Malformed(b'$')),
        (b"*-2\r\n", ReplyError::Malformed(b'*')),
        (b"%-1\r\n", ReplyError::Malformed(b'%')),
        (b"#x\r\n", ReplyError::Malformed(b'#')),
        (b"_x\r\n", ReplyError::Malformed(b'_')),
        (b",x\r\n", ReplyError::Malformed(b',')),
        (b"(1a\r\n", ReplyError::Malformed(b'(')),
        (b"=2\r\nab\r\n", ReplyError::Malformed(b'=')),
    ];
    for (bytes, error) in cases {
        assert_eq!(parse_reply(bytes), Err(*error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn depth_has_a_limit() {
    let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
    assert!(parse_reply(&nested(MAX_DEPTH - 1)).unwrap().is_some());
    assert_eq!(parse_reply(&nested(MAX_DEPTH)), Err(ReplyError::TooDeep));
    assert_eq!(parse_reply(&b"|1\r\n+a\r\n+a\r\n".repeat(100_000)), Err(ReplyError::TooDeep));
}

fn replies() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Reply::Integer),
        any::<Vec<u8>>().prop_map(Reply::bulk),
        "[ -~]{0,12}".prop_map(|text| Reply::simple(format!("A{text}"))),
        "[ -~]{0,12}".prop_map(Reply::error),
        any::<bool>().prop_map(Reply::Boolean),
        proptest::num::f64::NORMAL.prop_map(Reply::Double),
        Just(Reply::Nil),
        any::<Vec<u8>>().prop_map(Reply::verbatim),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Reply::Array),
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Reply::Set),
            proptest::collection::vec((inner.clone(), inner), 0..4).prop_map(Reply::Map),
        ]
    })
}

proptest! {
    #[test]
    fn a_written_reply_reads_back(reply in replies()) {
        let mut bytes = Vec::new();
        write(&reply, Protocol::Resp3, &mut bytes);
        prop_assert_eq!(parse_reply(&bytes), Ok(Some((reply, bytes.len()))));
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        kind in proptest::sample::select(b"+-:$*_#,(!=%~>|".to_vec()),
        bytes: Vec<u8>,
    ) {
        if let Ok(Some((_, len))) = parse_reply(&[&[kind][..], &bytes].concat()) {
            prop_assert!(len <= bytes.len() + 1);
        }
    }
}
