//! When two replies count as the same: what Redis leaves open (the order of a
//! set's members, of a hash's fields, of keys) is put in order before replies
//! are compared; everything else must be equal to the byte.

use super::notation::render;
use super::resp::Reply;

/// What a command leaves open about its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing: the reply is fixed.
    Exact,
    /// The elements come in any order.
    Any,
    /// A flat list of pairs whose pairs come in any order.
    Pairs,
    /// A cursor, which is the server's own, and elements in any order.
    Cursor,
    /// A cursor and pairs in any order.
    CursorPairs,
}

/// How a script ends whose reply is that of HGETALL.
const HGETALL_CALL: &[u8] = b"return redis.call('HGETALL', KEYS[2])";

/// What the reply of a command leaves open. Sorted sets, lists and streams have an order; hashes and sets have none.
pub fn order_of<A: AsRef<[u8]>>(arguments: &[A]) -> Order {
    let name = arguments.first().map(|name| name.as_ref().to_ascii_uppercase()).unwrap_or_default();
    match name.as_slice() {
        b"KEYS" | b"SMEMBERS" | b"SINTER" | b"SUNION" | b"SDIFF" | b"HKEYS" | b"HVALS" => Order::Any,
        b"HGETALL" | b"CONFIG" => Order::Pairs,
        b"SCAN" => Order::Cursor,
        b"SSCAN" => Order::Cursor,
        b"HSCAN" | b"ZSCAN" => Order::CursorPairs,
        b"EVAL" | b"EVAL_RO" if arguments.iter().any(|word| word.as_ref().ends_with(HGETALL_CALL)) => Order::Pairs,
        _ => Order::Exact,
    }
}

/// The reply with everything in order that its command leaves open.
pub fn normalise(reply: Reply, order: Order) -> Reply {
    match (order, reply) {
        (Order::Exact, reply) => reply,
        (_, Reply::Map(mut pairs)) => {
            pairs.sort_by_cached_key(|(key, value)| (render(key), render(value)));
            Reply::Map(pairs)
        }
        (Order::Any, Reply::Array(elements)) => Reply::Array(sorted(elements)),
        (_, Reply::Set(elements)) => Reply::Set(sorted(elements)),
        (Order::Pairs, Reply::Array(elements)) => Reply::Array(sorted_pairs(elements)),
        (Order::Cursor | Order::CursorPairs, Reply::Array(elements)) => scanned(elements, order),
        (_, reply) => reply,
    }
}

fn scanned(mut elements: Vec<Reply>, order: Order) -> Reply {
    if let [cursor, Reply::Array(found)] = elements.as_mut_slice() {
        let found_now = std::mem::take(found);
        *found = if order == Order::CursorPairs { sorted_pairs(found_now) } else { sorted(found_now) };
        // Two servers agree on the end of a scan, not on the way there.
        if cursor.bytes() != Some(b"0") {
            *cursor = Reply::bulk("<cursor>");
        }
    }
    Reply::Array(elements)
}

fn sorted(mut elements: Vec<Reply>) -> Vec<Reply> {
    elements.sort_by_cached_key(render);
    elements
}

fn sorted_pairs(elements: Vec<Reply>) -> Vec<Reply> {
    if !elements.len().is_multiple_of(2) {
        return elements;
    }
    let mut pairs: Vec<Vec<Reply>> = elements.chunks(2).map(<[Reply]>::to_vec).collect();
    pairs.sort_by_cached_key(|pair| pair.iter().map(render).collect::<Vec<_>>());
    pairs.concat()
}

/// Whether `text` matches `pattern`, where `*` stands for anything and `#` for digits.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return text.is_empty();
    };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '*' => (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| matches(rest, &text[at..])),
        '#' => {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            (1..=digits).any(|count| matches(rest, &text[count..]))
        }
        _ => text.starts_with(first) && matches(rest, &text[first.len_utf8()..]),
    }
}
