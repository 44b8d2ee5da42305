//! Between replies and Lua's values, both ways, as Redis defines it: by the protocol that the
//! script has chosen (`redis.setresp`), whatever the client speaks.

use std::borrow::Cow;

use bytes::Bytes;

use super::lua::{Kind, Stack};
use crate::base::number::format_double;
use crate::resp::{Protocol, Reply, VerbatimFormat};

/// How deep a script's result may be nested.
const MAX_DEPTH: u32 = 1000;
/// Slots that one level of a conversion needs.
const SLOTS: i32 = 8;

/// What a script answers.
#[derive(Debug)]
pub struct Answer {
    pub reply: Reply,
    /// It is an error that the statistics of errors know of already.
    pub counted: bool,
}

/// Pushes a reply as a value.
pub(super) fn push_reply(stack: &mut Stack<'_>, reply: &Reply, protocol: Protocol) {
    if !stack.has_room(SLOTS) {
        return;
    }
    let is_resp3 = protocol == Protocol::Resp3;
    match reply {
        Reply::Ok => push_named(stack, "ok", b"OK"),
        Reply::Simple(text) => push_named(stack, "ok", text.as_bytes()),
        Reply::Error(text) => push_named(stack, "err", text.as_bytes()),
        Reply::Integer(number) => stack.push_integer(*number),
        Reply::Bulk(bytes) => stack.push_bytes(bytes),
        Reply::Static(text) => stack.push_bytes(text.as_bytes()),
        Reply::Nil | Reply::NilArray if is_resp3 => stack.push_nil(),
        Reply::Nil | Reply::NilArray => stack.push_boolean(false),
        Reply::Double(number) if is_resp3 => {
            stack.push_table(0, 1);
            stack.push_number(*number);
            stack.set_field(-2, "double");
        }
        Reply::Double(number) => stack.push_bytes(format_double(*number).as_bytes()),
        Reply::Boolean(value) if is_resp3 => stack.push_boolean(*value),
        Reply::Boolean(value) => stack.push_integer(i64::from(*value)),
        Reply::BigNumber(digits) if is_resp3 => push_named(stack, "big_number", digits.as_bytes()),
        Reply::BigNumber(digits) => stack.push_bytes(digits.as_bytes()),
        Reply::Verbatim { format, text } if is_resp3 => {
            stack.push_table(0, 1);
            stack.push_table(0, 2);
            stack.push_bytes(text);
            stack.set_field(-2, "string");
            stack.push_bytes(format.code().as_bytes());
            stack.set_field(-2, "format");
            stack.set_field(-2, "verbatim_string");
        }
        Reply::Verbatim { text, .. } => stack.push_bytes(text),
        Reply::Attributed(attributed) => push_reply(stack, &attributed.reply, protocol),
        Reply::Silent => stack.push_nil(),
        _ => push_many(stack, reply, protocol),
    }
}

fn push_named(stack: &mut Stack<'_>, name: &str, value: &[u8]) {
    stack.push_table(0, 1);
    stack.push_bytes(value);
    stack.set_field(-2, name);
}

/// The replies that hold others.
fn push_many(stack: &mut Stack<'_>, reply: &Reply, protocol: Protocol) {
    let is_resp3 = protocol == Protocol::Resp3;
    let bulk = |stack: &mut Stack<'_>, bytes: &Bytes| stack.push_bytes(bytes);
    match reply {
        Reply::Array(items) | Reply::Push(items) | Reply::Several(items) => {
            push_sequence(stack, items, |stack, item| push_reply(stack, item, protocol));
        }
        Reply::Bulks(items) => push_sequence(stack, items, bulk),
        Reply::OptionalBulks(items) => push_sequence(stack, items, |stack, item| match item {
            Some(bytes) => stack.push_bytes(bytes),
            None if is_resp3 => stack.push_nil(),
            None => stack.push_boolean(false),
        }),
        Reply::Integers(items) => push_sequence(stack, items, |stack, item| stack.push_integer(*item)),
        Reply::Map(pairs) if is_resp3 => push_map(stack, pairs, |stack, one| push_reply(stack, one, protocol)),
        Reply::Map(pairs) => push_flat(stack, pairs, |stack, one| push_reply(stack, one, protocol)),
        Reply::Fields(pairs) if is_resp3 => push_map(stack, pairs, bulk),
        Reply::Fields(pairs) => push_flat(stack, pairs, bulk),
        Reply::Pairs(pairs) if is_resp3 => push_sequence(stack, pairs, |stack, (one, other)| {
            stack.push_table(2, 0);
            push_reply(stack, one, protocol);
            stack.set_element(-2, 1);
            push_reply(stack, other, protocol);
            stack.set_element(-2, 2);
        }),
        Reply::Pairs(pairs) => push_flat(stack, pairs, |stack, one| push_reply(stack, one, protocol)),
        Reply::Scored(members) => push_scored(stack, members, protocol),
        Reply::Set(items) if is_resp3 => push_set(stack, items, |stack, one| push_reply(stack, one, protocol)),
        Reply::Set(items) => push_sequence(stack, items, |stack, item| push_reply(stack, item, protocol)),
        Reply::Members(items) if is_resp3 => push_set(stack, items, bulk),
        Reply::Members(items) => push_sequence(stack, items, bulk),
        _ => stack.push_nil(),
    }
}

fn push_sequence<T>(stack: &mut Stack<'_>, items: &[T], push: impl Fn(&mut Stack<'_>, &T)) {
    stack.push_table(items.len(), 0);
    for (index, item) in (1..).zip(items) {
        push(stack, item);
        stack.set_element(-2, index);
    }
}

fn push_flat<T>(stack: &mut Stack<'_>, pairs: &[(T, T)], push: impl Fn(&mut Stack<'_>, &T)) {
    stack.push_table(pairs.len() * 2, 0);
    for (index, item) in (1..).zip(pairs.iter().flat_map(|(one, other)| [one, other])) {
        push(stack, item);
        stack.set_element(-2, index);
    }
}

/// `{map = {key = value}}`.
fn push_map<T>(stack: &mut Stack<'_>, pairs: &[(T, T)], push: impl Fn(&mut Stack<'_>, &T)) {
    stack.push_table(0, 1);
    stack.push_table(0, pairs.len());
    for (key, value) in pairs {
        push(stack, key);
        push(stack, value);
        set_entry(stack);
    }
    stack.set_field(-2, "map");
}

/// `{set = {member = true}}`.
fn push_set<T>(stack: &mut Stack<'_>, items: &[T], push: impl Fn(&mut Stack<'_>, &T)) {
    stack.push_table(0, 1);
    stack.push_table(0, items.len());
    for item in items {
        push(stack, item);
        stack.push_boolean(true);
        set_entry(stack);
    }
    stack.set_field(-2, "set");
}

/// Sets an entry of the table below the key and the value on top; nil is no key.
fn set_entry(stack: &mut Stack<'_>) {
    if stack.kind(-2) == Kind::Nil { stack.pop(2) } else { stack.raw_set(-3) }
}

fn push_scored(stack: &mut Stack<'_>, members: &[(Bytes, f64)], protocol: Protocol) {
    let is_resp3 = protocol == Protocol::Resp3;
    stack.push_table(members.len() * if is_resp3 { 1 } else { 2 }, 0);
    for (index, (member, score)) in (1..).zip(members) {
        if is_resp3 {
            stack.push_table(2, 0);
            stack.push_bytes(member);
            stack.set_element(-2, 1);
            push_reply(stack, &Reply::Double(*score), protocol);
            stack.set_element(-2, 2);
            stack.set_element(-2, index);
        } else {
            stack.push_bytes(member);
            stack.set_element(-2, index * 2 - 1);
            push_reply(stack, &Reply::Double(*score), protocol);
            stack.set_element(-2, index * 2);
        }
    }
}

/// What the value on top, which is taken off, is to a client.
pub(super) fn pop_answer(stack: &mut Stack<'_>) -> Answer {
    let protocol = stack.shared.protocol.get();
    let counted = stack.kind(-1) == Kind::Table && {
        stack.push_field(-1, "ignore_error_stats_update");
        let counted = stack.boolean(-1);
        stack.pop(1);
        counted
    };
    Answer { reply: pop_reply(stack, protocol, 0), counted }
}

fn pop_reply(stack: &mut Stack<'_>, protocol: Protocol, depth: u32) -> Reply {
    let reply = match stack.kind(-1) {
        Kind::String => Reply::copy(stack.string(-1).unwrap_or_default()),
        Kind::Number => Reply::Integer(truncated(stack.number(-1).unwrap_or(0.0))),
        Kind::Boolean if protocol == Protocol::Resp3 => Reply::Boolean(stack.boolean(-1)),
        Kind::Boolean if stack.boolean(-1) => Reply::Integer(1),
        Kind::Table if depth >= MAX_DEPTH || !stack.has_room(SLOTS) => Reply::error("ERR reached lua stack limit"),
        Kind::Table => table_reply(stack, protocol, depth),
        _ => Reply::Nil,
    };
    stack.pop(1);
    reply
}

/// As C casts a double to a 64-bit integer on x86.
#[expect(clippy::cast_possible_truncation, reason = "the fraction is cut off, as Redis does")]
fn truncated(number: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    if fits { number as i64 } else { i64::MIN }
}

/// A table: one of the named forms, or a sequence.
fn table_reply(stack: &mut Stack<'_>, protocol: Protocol, depth: u32) -> Reply {
    if let Some(text) = string_field(stack, "err") {
        return Reply::error(lossy(&text));
    }
    if let Some(text) = string_field(stack, "ok") {
        return Reply::simple(lossy(&text));
    }
    if let Some(number) = field(stack, "double", Kind::Number, |stack| stack.number(-1).unwrap_or(0.0)) {
        return Reply::Double(number);
    }
    let map = field(stack, "map", Kind::Table, |stack| {
        entries(stack, |stack| {
            let value = pop_reply(stack, protocol, depth + 1);
            stack.push_copy(-1);
            (pop_reply(stack, protocol, depth + 1), value)
        })
    });
    if let Some(pairs) = map {
        return Reply::Map(pairs);
    }
    let set = field(stack, "set", Kind::Table, |stack| {
        entries(stack, |stack| {
            stack.pop(1);
            stack.push_copy(-1);
            pop_reply(stack, protocol, depth + 1)
        })
    });
    if let Some(items) = set {
        return Reply::Set(items);
    }
    if let Some(digits) = string_field(stack, "big_number") {
        return Reply::BigNumber(lossy(&digits).replace(['\r', '\n'], " ").into());
    }
    let verbatim = field(stack, "verbatim_string", Kind::Table, |stack| {
        Some((string_field(stack, "format")?, string_field(stack, "string")?))
    });
    if let Some(Some((format, text))) = verbatim {
        let format = if format == "mkd" { VerbatimFormat::Markdown } else { VerbatimFormat::Text };
        return Reply::Verbatim { format, text };
    }
    Reply::Array(sequence(stack, protocol, depth))
}

fn lossy(bytes: &[u8]) -> Cow<'static, str> {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// A field of the table on top, if it is of a kind.
fn field<R>(stack: &mut Stack<'_>, name: &str, kind: Kind, read: impl FnOnce(&mut Stack<'_>) -> R) -> Option<R> {
    stack.push_field(-1, name);
    let found = (stack.kind(-1) == kind).then(|| read(stack));
    stack.pop(1);
    found
}

fn string_field(stack: &mut Stack<'_>, name: &str) -> Option<Bytes> {
    field(stack, name, Kind::String, |stack| Bytes::copy_from_slice(stack.string(-1).unwrap_or_default()))
}

/// Every entry of the table on top. `read` finds the value on top and the key below it, and
/// takes off the value.
fn entries<R>(stack: &mut Stack<'_>, mut read: impl FnMut(&mut Stack<'_>) -> R) -> Vec<R> {
    let mut found = Vec::new();
    stack.push_nil();
    while stack.next(-2) {
        found.push(read(stack));
    }
    found
}

/// The elements up to the first nil.
fn sequence(stack: &mut Stack<'_>, protocol: Protocol, depth: u32) -> Vec<Reply> {
    let mut items = Vec::with_capacity(stack.length(-1).min(1 << 16));
    for index in 1.. {
        stack.push_element(-1, index);
        if stack.kind(-1) == Kind::Nil {
            stack.pop(1);
            break;
        }
        items.push(pop_reply(stack, protocol, depth + 1));
    }
    items
}
