//! The library `cmsgpack`: MessagePack, with the choices of Redis' one (tables are arrays if their
//! keys are 1 to n, numbers are integers if whole, and floats if that loses nothing).

use super::api::set_natives;
use super::lua::{Kind, Raise, Raised, Stack};

/// Tables deeper than this are packed as nil.
const MAX_PACK_DEPTH: u32 = 16;
/// The same for input, whose depth is somebody else's choice.
const MAX_UNPACK_DEPTH: u32 = 1000;

const NAMES: &[(&str, &str)] = &[
    ("_NAME", "cmsgpack"),
    ("_VERSION", "lua-cmsgpack 0.4.0"),
    ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
    ("_DESCRIPTION", "MessagePack C implementation for Lua"),
];

/// Pushes the library.
pub(super) fn push(stack: &mut Stack<'_>) {
    stack.push_table(0, 8);
    set_natives(
        stack,
        &[("pack", pack), ("unpack", unpack), ("unpack_one", unpack_one), ("unpack_limit", unpack_limit)],
    );
    for (name, text) in NAMES {
        stack.push_bytes(text.as_bytes());
        stack.set_field(-2, name);
    }
}

fn pack(stack: &mut Stack<'_>) -> Raised<i32> {
    let count = stack.top();
    if count == 0 {
        return Err(Raise::argument(0, "MessagePack pack needs input."));
    }
    let mut packed = Vec::new();
    for at in 1..=count {
        stack.push_copy(at);
        pack_top(stack, &mut packed, 0);
    }
    stack.push_bytes(&packed);
    Ok(1)
}

/// Packs the value on top, which is taken off.
fn pack_top(stack: &mut Stack<'_>, packed: &mut Vec<u8>, depth: u32) {
    match stack.kind(-1) {
        Kind::String => {
            let text = stack.string(-1).unwrap_or_default();
            pack_length(packed, text.len(), &[(0xa0, 31)], &[0xd9, 0xda, 0xdb]);
            packed.extend_from_slice(text);
        }
        Kind::Boolean => packed.push(if stack.boolean(-1) { 0xc3 } else { 0xc2 }),
        Kind::Number => pack_number(packed, stack.number(-1).unwrap_or(0.0)),
        Kind::Table if depth < MAX_PACK_DEPTH && stack.has_room(8) => match array_length(stack) {
            Some(length) => pack_array(stack, packed, length, depth),
            None => pack_map(stack, packed, depth),
        },
        _ => packed.push(0xc0),
    }
    stack.pop(1);
}

/// A length in its shortest form: inside the tag, or behind one of 8 (if there is one), 16, 32 bits.
fn pack_length(packed: &mut Vec<u8>, length: usize, short: &[(u8, usize)], tags: &[u8]) {
    if let Some((tag, most)) = short.first()
        && length <= *most
    {
        packed.push(tag | length.to_be_bytes()[7]);
        return;
    }
    let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    match *tags {
        [tag, _, _] if length <= 0xff => packed.extend([tag, bytes[3]]),
        [.., tag, _] if length <= 0xffff => packed.extend([tag, bytes[2], bytes[3]]),
        [.., tag] => {
            packed.push(tag);
            packed.extend(bytes);
        }
        [] => {}
    }
}

fn pack_number(packed: &mut Vec<u8>, number: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "compared afterwards")]
    let (whole, single) = (number as i64, number as f32);
    #[expect(clippy::cast_precision_loss, reason = "what is compared")]
    if whole as f64 == number && whole != i64::MAX {
        pack_integer(packed, whole);
    } else if f64::from(single) == number {
        packed.push(0xca);
        packed.extend(single.to_be_bytes());
    } else {
        packed.push(0xcb);
        packed.extend(number.to_be_bytes());
    }
}

fn pack_integer(packed: &mut Vec<u8>, number: i64) {
    let bytes = number.to_be_bytes();
    let (tag, size) = match number {
        -32..=0x7f => return packed.push(bytes[7]),
        0x80..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -0x80..=-33 => (0xd0, 1),
        -0x8000..=-0x81 => (0xd1, 2),
        -0x8000_0000..=-0x8001 => (0xd2, 4),
        _ => (0xd3, 8),
    };
    packed.push(tag);
    packed.extend_from_slice(&bytes[8 - size..]);
}

/// The length of the table on top if its keys are 1 to n.
fn array_length(stack: &mut Stack<'_>) -> Option<usize> {
    let (mut count, mut most) = (0_usize, 0.0_f64);
    stack.push_nil();
    while stack.next(-2) {
        stack.pop(1);
        let key = if stack.kind(-1) == Kind::Number { stack.number(-1) } else { None };
        match key {
            Some(key) if key >= 1.0 && key.fract() == 0.0 => {
                count += 1;
                most = most.max(key);
            }
            _ => {
                stack.pop(1);
                return None;
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    (count as f64 == most).then_some(count)
}

fn pack_array(stack: &mut Stack<'_>, packed: &mut Vec<u8>, length: usize, depth: u32) {
    pack_length(packed, length, &[(0x90, 15)], &[0xdc, 0xdd]);
    for index in 1..=i32::try_from(length).unwrap_or(i32::MAX) {
        stack.push_element(-1, index);
        pack_top(stack, packed, depth + 1);
    }
}

fn pack_map(stack: &mut Stack<'_>, packed: &mut Vec<u8>, depth: u32) {
    let mut count = 0;
    stack.push_nil();
    while stack.next(-2) {
        stack.pop(1);
        count += 1;
    }
    pack_length(packed, count, &[(0x80, 15)], &[0xde, 0xdf]);
    stack.push_nil();
    while stack.next(-2) {
        stack.push_copy(-2);
        pack_top(stack, packed, depth + 1);
        pack_top(stack, packed, depth + 1);
    }
}

/// Packed bytes that are read.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Raised<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| Raise::message("Missing bytes in input."))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian number of up to eight bytes.
    fn unsigned(&mut self, size: usize) -> Raised<u64> {
        Ok(self.take(size)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, size: usize) -> Raised<i64> {
        let unused = u32::try_from(64 - 8 * size).unwrap_or(0);
        Ok((self.unsigned(size)? << unused).cast_signed() >> unused)
    }

    fn length(&mut self, size: usize) -> Raised<usize> {
        Ok(usize::try_from(self.unsigned(size)?).unwrap_or(usize::MAX))
    }
}

/// Pushes the next value.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a number of Lua is a double")]
fn push_next(stack: &mut Stack<'_>, input: &mut Input<'_>, depth: u32) -> Raised<()> {
    if depth > MAX_UNPACK_DEPTH || !stack.has_room(8) {
        return Err(Raise::message("Bad data format in input."));
    }
    let tag = input.take(1)?[0];
    match tag {
        0x00..=0x7f => stack.push_number(f64::from(tag)),
        0xe0..=0xff => stack.push_number(f64::from(tag.cast_signed())),
        0xcc..=0xce => stack.push_number(input.unsigned(1 << (tag - 0xcc))? as f64),
        // Redis pushes these as signed integers.
        0xcf => stack.push_number(input.unsigned(8)?.cast_signed() as f64),
        0xd0..=0xd3 => stack.push_number(input.signed(1 << (tag - 0xd0))? as f64),
        0xc0 => stack.push_nil(),
        0xc2 | 0xc3 => stack.push_boolean(tag == 0xc3),
        0xca => stack.push_number(f64::from(f32::from_bits(input.unsigned(4)? as u32))),
        0xcb => stack.push_number(f64::from_bits(input.unsigned(8)?)),
        0xa0..=0xbf => stack.push_bytes(input.take(usize::from(tag & 31))?),
        0xd9..=0xdb => {
            let length = input.length(1 << (tag - 0xd9))?;
            stack.push_bytes(input.take(length)?);
        }
        0x90..=0x9f => push_array(stack, input, usize::from(tag & 15), depth)?,
        0xdc | 0xdd => {
            let length = input.length(if tag == 0xdc { 2 } else { 4 })?;
            push_array(stack, input, length, depth)?;
        }
        0x80..=0x8f => push_map(stack, input, usize::from(tag & 15), depth)?,
        0xde | 0xdf => {
            let length = input.length(if tag == 0xde { 2 } else { 4 })?;
            push_map(stack, input, length, depth)?;
        }
        _ => return Err(Raise::message("Bad data format in input.")),
    }
    Ok(())
}

fn push_array(stack: &mut Stack<'_>, input: &mut Input<'_>, length: usize, depth: u32) -> Raised<()> {
    // Each element takes a byte at least, so a length that lies costs nothing.
    stack.push_table(length.min(input.rest.len()), 0);
    for index in 1..=i32::try_from(length).unwrap_or(i32::MAX) {
        push_next(stack, input, depth + 1)?;
        stack.set_element(-2, index);
    }
    Ok(())
}

fn push_map(stack: &mut Stack<'_>, input: &mut Input<'_>, length: usize, depth: u32) -> Raised<()> {
    stack.push_table(0, length.min(input.rest.len() / 2));
    for _ in 0..length {
        push_next(stack, input, depth + 1)?;
        push_next(stack, input, depth + 1)?;
        match stack.kind(-2) {
            Kind::Nil => return Err(Raise::message("table index is nil")),
            Kind::Number if stack.number(-2).is_some_and(f64::is_nan) => {
                return Err(Raise::message("table index is NaN"));
            }
            _ => stack.raw_set(-3),
        }
    }
    Ok(())
}

fn unpack(stack: &mut Stack<'_>) -> Raised<i32> {
    unpack_some(stack, 0, 0)
}

fn unpack_one(stack: &mut Stack<'_>) -> Raised<i32> {
    let offset = offset_argument(stack, 2)?;
    unpack_some(stack, 1, offset)
}

fn unpack_limit(stack: &mut Stack<'_>) -> Raised<i32> {
    let limit = integer_argument(stack, 2)?;
    let offset = offset_argument(stack, 3)?;
    unpack_some(stack, limit, offset)
}

#[expect(clippy::cast_possible_truncation, reason = "an int of C")]
fn integer_argument(stack: &Stack<'_>, at: i32) -> Raised<i64> {
    Ok(stack.number_argument(at)? as i64)
}

fn offset_argument(stack: &Stack<'_>, at: i32) -> Raised<i64> {
    if matches!(stack.kind(at), Kind::None | Kind::Nil) { Ok(0) } else { integer_argument(stack, at) }
}

/// Pushes up to `limit` values (0: all), with the offset of what is left in front if limited.
fn unpack_some(stack: &mut Stack<'_>, limit: i64, offset: i64) -> Raised<i32> {
    let data = stack.text_argument(1)?.to_vec();
    let length = data.len();
    if offset < 0 || limit < 0 {
        return Err(Raise::message(format!(
            "Invalid request to unpack with offset of {offset} and limit of {length}."
        )));
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = data
        .get(start..)
        .ok_or_else(|| Raise::message(format!("Start offset {offset} greater than input length {length}.")))?;
    let mut input = Input { rest };
    let mut count = 0;
    stack.set_top(0);
    while !input.rest.is_empty() && (limit == 0 || i64::from(count) < limit) {
        push_next(stack, &mut input, 0)?;
        count += 1;
    }
    if limit == 0 {
        return Ok(count);
    }
    let left = length - input.rest.len();
    stack.push_integer(if input.rest.is_empty() { -1 } else { i64::try_from(left).unwrap_or(-1) });
    stack.insert(1);
    Ok(count + 1)
}
