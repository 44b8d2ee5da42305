//! How a debugger shows values of Lua and replies of commands: on one line, in Redis' notation. Written as
//! far as `room` bytes and then left off.

use bytes::BytesMut;
use memchr::memmem;

use crate::base::number::parse_i64;
use crate::base::quoting::quote_into;
use crate::resp::{self, Protocol, Reply};
use crate::scripting::lua::{Kind, Stack, format_number};

/// How deep tables are shown.
const DEPTH_MAX: u32 = 10;
/// Digits of C's `%g`.
const NUMBER_DIGITS: u8 = 6;
/// Slots that one level needs.
const SLOTS: i32 = 6;

/// Shows the value at a position.
pub(super) fn show_value(stack: &mut Stack<'_>, at: i32, room: usize, out: &mut Vec<u8>) {
    stack.push_copy(at);
    show_top(stack, 0, room, out);
    stack.pop(1);
}

fn show_top(stack: &mut Stack<'_>, depth: u32, room: usize, out: &mut Vec<u8>) {
    if out.len() > room {
        return;
    }
    if depth == DEPTH_MAX {
        out.extend_from_slice(b"<max recursion level reached! Nested table?>");
        return;
    }
    match stack.kind(-1) {
        Kind::String => quote_into(out, within(stack.string(-1).unwrap_or_default(), room)),
        Kind::Boolean => out.extend_from_slice(if stack.boolean(-1) { b"true" } else { b"false" }),
        Kind::Number => out.extend(format_number(stack.number(-1).unwrap_or_default(), NUMBER_DIGITS)),
        Kind::Nil | Kind::None => out.extend_from_slice(b"nil"),
        Kind::Table => show_table(stack, depth + 1, room, out),
        Kind::Function => show_address(stack, "function", out),
        Kind::Thread => show_address(stack, "thread", out),
        Kind::Userdata => show_address(stack, "userdata", out),
        Kind::Null => show_address(stack, "light-userdata", out),
    }
}

fn show_address(stack: &Stack<'_>, what: &str, out: &mut Vec<u8>) {
    let address = match stack.address(-1) {
        0 => "(nil)".to_owned(),
        address => format!("{address:#x}"),
    };
    out.extend_from_slice(format!("\"{what}@{address}\"").as_bytes());
}

/// The table on top: without keys if these are 1, 2, 3 … in this order.
fn show_table(stack: &mut Stack<'_>, depth: u32, room: usize, out: &mut Vec<u8>) {
    if !stack.has_room(SLOTS) {
        return;
    }
    stack.push_behind(-1);
    let keyed = !is_sequence(stack);
    out.push(b'{');
    let mut is_first = true;
    stack.push_nil();
    while stack.next(-2) {
        if !std::mem::take(&mut is_first) {
            out.extend_from_slice(b"; ");
        }
        if keyed {
            out.push(b'[');
            stack.push_copy(-2);
            show_top(stack, depth, room, out);
            stack.pop(1);
            out.extend_from_slice(b"]=");
        }
        show_top(stack, depth, room, out);
        stack.pop(1);
        if out.len() > room {
            stack.pop(1);
            break;
        }
    }
    out.push(b'}');
    stack.pop(1);
}

fn is_sequence(stack: &mut Stack<'_>) -> bool {
    let mut expected = 1.0;
    stack.push_nil();
    while stack.next(-2) {
        stack.pop(1);
        if stack.kind(-1) != Kind::Number || stack.number(-1) != Some(expected) {
            stack.pop(1);
            return false;
        }
        expected += 1.0;
    }
    true
}

fn within(bytes: &[u8], room: usize) -> &[u8] {
    bytes.get(..room).unwrap_or(bytes)
}

/// Shows a reply as it goes over the wire.
pub(super) fn show_reply(reply: &Reply, protocol: Protocol, room: usize, out: &mut Vec<u8>) {
    let mut wire = BytesMut::new();
    resp::write(reply, protocol, &mut wire);
    let mut rest = &wire[..];
    show_next(&mut rest, room, out);
}

/// The reply at the front of `rest`, which is taken off.
fn show_next(rest: &mut &[u8], room: usize, out: &mut Vec<u8>) {
    let end = memmem::find(rest, b"\r\n").unwrap_or(rest.len());
    let (line, behind) = rest.split_at(end);
    *rest = behind.get(2..).unwrap_or_default();
    let Some((kind, text)) = line.split_first().filter(|_| out.len() <= room) else { return };
    let count = || parse_i64(text).and_then(|count| usize::try_from(count).ok());
    match kind {
        b'+' | b'-' => quote_into(out, within(line, room)),
        b':' | b'(' => out.extend_from_slice(text),
        b',' => out.extend_from_slice(&[b"(double) ", text].concat()),
        b'#' => out.extend_from_slice(if text == b"t" { b"#true" } else { b"#false" }),
        b'_' => out.extend_from_slice(b"(null)"),
        b'$' | b'=' => show_string(count(), rest, room, out),
        b'~' => show_several(count(), (b"~(", b")"), rest, room, out),
        b'%' => show_map(count(), rest, room, out),
        _ => show_several(count(), (b"[", b"]"), rest, room, out),
    }
}

fn show_string(length: Option<usize>, rest: &mut &[u8], room: usize, out: &mut Vec<u8>) {
    match length.and_then(|length| rest.split_at_checked(length)) {
        Some((text, behind)) => {
            quote_into(out, within(text, room));
            *rest = behind.get(2..).unwrap_or_default();
        }
        None => out.extend_from_slice(b"NULL"),
    }
}

fn show_several(count: Option<usize>, frame: (&[u8], &[u8]), rest: &mut &[u8], room: usize, out: &mut Vec<u8>) {
    let Some(count) = count else { return out.extend_from_slice(b"NULL") };
    out.extend_from_slice(frame.0);
    for place in 0..count {
        if out.len() > room {
            break;
        }
        out.extend_from_slice(if place > 0 { b"," } else { b"" });
        show_next(rest, room, out);
    }
    out.extend_from_slice(frame.1);
}

fn show_map(count: Option<usize>, rest: &mut &[u8], room: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for place in 0..count.unwrap_or_default() {
        if out.len() > room {
            break;
        }
        out.extend_from_slice(if place > 0 { b"," } else { b"" });
        show_next(rest, room, out);
        out.extend_from_slice(b" => ");
        show_next(rest, room, out);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(reply: &Reply, protocol: Protocol, room: usize) -> String {
        let mut out = Vec::new();
        show_reply(reply, protocol, room, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn replies_are_shown_in_redis_notation() {
        let map = Reply::Map(vec![(Reply::copy(b"a\n"), Reply::Integer(1)), (Reply::Nil, Reply::Double(1.5))]);
        assert_eq!(shown(&map, Protocol::Resp3, 99), r#"{"a\n" => 1,(null) => (double) 1.5}"#);
        assert_eq!(shown(&map, Protocol::Resp2, 99), r#"["a\n",1,NULL,"1.5"]"#);
        let nested = Reply::Array(vec![Reply::Set(vec![Reply::Boolean(true)]), Reply::Ok, Reply::Array(vec![])]);
        assert_eq!(shown(&nested, Protocol::Resp3, 99), r#"[~(#true),"+OK",[]]"#);
        assert_eq!(shown(&Reply::error("ERR no"), Protocol::Resp2, 99), r#""-ERR no""#);
        assert_eq!(shown(&Reply::NilArray, Protocol::Resp2, 99), "NULL");
    }

    #[test]
    fn what_has_no_room_is_left_off() {
        let many = Reply::Integers(vec![7; 1 << 20]);
        assert!(shown(&many, Protocol::Resp2, 100).len() < 110);
        assert!(shown(&Reply::bulk(vec![1; 1 << 20]), Protocol::Resp2, 100).len() < 410);
    }
}
