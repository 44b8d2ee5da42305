//! Tests of `write.rs`, beside it.

use super::*;
use crate::resp::{Attributed, VerbatimFormat, parse_reply};

fn written(reply: &Reply, protocol: Protocol) -> String {
    let mut out = Vec::new();
    write(reply, protocol, &mut out);
    let mut shared = BytesMut::new();
    write(reply, protocol, &mut shared);
    assert_eq!(out, shared);
    out.escape_ascii().to_string()
}

/// Checks a reply's RESP2 and RESP3 forms, line ends written as `|`.
fn check(reply: Reply, resp2: &str, resp3: &str) {
    for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
        assert_eq!(written(&reply, protocol).replace(r"\r\n", "|"), expected, "{reply:?}");
    }
}

fn check_same(reply: Reply, expected: &str) {
    check(reply, expected, expected);
}

fn bulks(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

fn entries() -> Vec<(Reply, Reply)> {
    vec![(Reply::Static("a"), Reply::Integer(1)), (Reply::Static("b"), Reply::Nil)]
}

#[test]
fn scalars() {
    check_same(Reply::Ok, "+OK|");
    check_same(Reply::simple("PONG"), "+PONG|");
    check_same(Reply::error("ERR syntax error"), "-ERR syntax error|");
    check_same(Reply::Bulk(Bytes::from_static(b"a\x00\xff")), r"$3|a\x00\xff|");
    check_same(Reply::Bulk(Bytes::new()), "$0||");
    check_same(Reply::Bulk(Bytes::from(vec![b'a'; 10])), "$10|aaaaaaaaaa|");
    check_same(Reply::Static("listpack"), "$8|listpack|");
    check(Reply::Nil, "$-1|", "_|");
    check(Reply::NilArray, "*-1|", "_|");
    check(Reply::Boolean(true), ":1|", "#t|");
    check(Reply::Boolean(false), ":0|", "#f|");
    check(Reply::BigNumber("-123456789012345678901".into()), "$22|-123456789012345678901|", "(-123456789012345678901|");
    check(Reply::verbatim("a\nb"), r"$3|a\nb|", r"=7|txt:a\nb|");
    let markdown = Reply::Verbatim { format: VerbatimFormat::Markdown, text: Bytes::new() };
    check(markdown, "$0||", "=4|mkd:|");
}

#[test]
fn integers() {
    for number in [0, 1, 9, 10, 11, 99, 100, 12_345, -1, -10, i64::MAX, i64::MIN] {
        check_same(Reply::Integer(number), &format!(":{number}|"));
    }
    check_same(Reply::Integers(vec![1, -2]), "*2|:1|:-2|");
    check_same(Reply::flag(true), ":1|");
    check_same(Reply::count(usize::MAX), ":9223372036854775807|");
}

#[test]
fn doubles_have_their_shortest_digits() {
    let cases = [
        (3.0, "3"),
        (0.1, "0.1"),
        (-1.5, "-1.5"),
        (-0.0, "-0"),
        (1e20, "1e+20"),
        (1e15, "1000000000000000"),
        (1e-7, "1e-7"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
        (17179869184.5, "17179869184.5"),
        (f64::MAX, "1.7976931348623157e+308"),
    ];
    for (number, text) in cases {
        check(Reply::Double(number), &format!("${}|{text}|", text.len()), &format!(",{text}|"));
    }
}

/// A line break would end the reply early and let a client's own text pose as
/// the next one.
#[test]
fn line_breaks_become_spaces() {
    check_same(Reply::error("ERR no\r\n+OK\r\n"), "-ERR no  +OK  |");
    check_same(Reply::simple("\na\r"), "+ a |");
    check(Reply::BigNumber("1\n2".into()), r"$3|1\n2|", "(1 2|");
}

#[test]
fn aggregates() {
    check_same(Reply::EMPTY, "*0|");
    check_same(Reply::array([Reply::Ok, Reply::array([Reply::Integer(1)])]), "*2|+OK|*1|:1|");
    check(Reply::array([Reply::Nil, Reply::NilArray]), "*2|$-1|*-1|", "*2|_|_|");
    check_same(Reply::from(bulks(&["a", ""])), "*2|$1|a|$0||");
    let optional = Reply::OptionalBulks(vec![Some(Bytes::from_static(b"a")), None]);
    check(optional, "*2|$1|a|$-1|", "*2|$1|a|_|");
    check(Reply::Set(vec![Reply::Integer(1)]), "*1|:1|", "~1|:1|");
    check(Reply::Members(bulks(&["a"])), "*1|$1|a|", "~1|$1|a|");
    check(Reply::Push(vec![Reply::Static("a"), Reply::Nil]), "*2|$1|a|$-1|", ">2|$1|a|_|");
}

#[test]
fn maps_and_pairs() {
    check(Reply::Map(entries()), "*4|$1|a|:1|$1|b|$-1|", "%2|$1|a|:1|$1|b|_|");
    check(Reply::named([("a", Reply::Ok)]), "*2|$1|a|+OK|", "%1|$1|a|+OK|");
    let fields = vec![(Bytes::from_static(b"f"), Bytes::from_static(b"v"))];
    check(Reply::Fields(fields), "*2|$1|f|$1|v|", "%1|$1|f|$1|v|");
    check(Reply::Pairs(entries()), "*4|$1|a|:1|$1|b|$-1|", "*2|*2|$1|a|:1|*2|$1|b|_|");
    let scored = vec![(Bytes::from_static(b"m"), 1.5)];
    check(Reply::Scored(scored), "*2|$1|m|$3|1.5|", "*1|*2|$1|m|,1.5|");
}

#[test]
fn several_none_and_attributed() {
    check_same(Reply::Several(vec![Reply::Ok, Reply::Silent, Reply::Integer(1)]), "+OK|:1|");
    check_same(Reply::Silent, "");
    let attributed = Attributed { attributes: entries(), reply: Reply::Ok };
    check(Reply::Attributed(Box::new(attributed)), "+OK|", "|2|$1|a|:1|$1|b|_|+OK|");
}

#[test]
fn commands() {
    assert_eq!(encode_command(&["SET", "k", ""]), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    let none: [&[u8]; 0] = [];
    assert_eq!(encode_command(&none), b"*0\r\n");
}

/// An output that keeps shared bytes apart, as a server with vectored writes may.
#[derive(Default)]
struct Pieces(Vec<Bytes>);

impl Output for Pieces {
    fn put(&mut self, bytes: &[u8]) {
        self.0.push(Bytes::copy_from_slice(bytes));
    }

    fn put_shared(&mut self, bytes: &Bytes) {
        self.0.push(bytes.clone());
    }
}

#[test]
fn shared_bytes_reach_the_output_uncopied() {
    let value = Bytes::from(vec![b'v'; 100]);
    let mut out = Pieces::default();
    write(&Reply::Bulks(vec![value.clone()]), Protocol::Resp3, &mut out);
    assert!(out.0.iter().any(|piece| piece.as_ptr() == value.as_ptr()));
    assert_eq!(out.0.concat(), [b"*1\r\n$100\r\n", &value[..], b"\r\n"].concat());
}

#[test]
fn what_is_written_reads_back() {
    let reply = Reply::array([
        Reply::Map(entries()),
        Reply::Set(vec![Reply::Double(1.5), Reply::Boolean(true)]),
        Reply::error("ERR no"),
        Reply::verbatim("text"),
    ]);
    let mut out = Vec::new();
    write(&reply, Protocol::Resp3, &mut out);
    let (read, len) = parse_reply(&out).unwrap().unwrap();
    assert_eq!(len, out.len());
    assert_eq!(written(&read, Protocol::Resp3), written(&reply, Protocol::Resp3));
}
