//! The library `struct`: values to packed bytes and back, by a format as in Roberto Ierusalimschy's
//! `struct` 0.2.
//!
//! | letter | value |
//! | --- | --- |
//! | `>` `<` | big endian, little endian from here on |
//! | `!`n | alignment up to n bytes (8 without n) |
//! | `b` `h` `l` `i`n | signed integers of 1, 2, 8 and n (else 4) bytes; capitals: unsigned |
//! | `T` | a size, 8 bytes |
//! | `f` `d` | floating point of 4 and 8 bytes |
//! | `s` `c`n | a string with a zero at its end, n bytes of a string |
//! | `x` | a byte of padding |

use super::api::set_natives;
use super::lua::{Kind, Raise, Raised, Stack};

/// The largest integer, in bytes.
const MAX_INTEGER: usize = 32;
/// `!` without a number.
const MAX_ALIGNMENT: usize = 8;

/// Pushes the library.
pub(super) fn push(stack: &mut Stack<'_>) {
    stack.push_table(0, 3);
    set_natives(stack, &[("pack", pack), ("unpack", unpack), ("size", size)]);
}

/// One item of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Signed(usize),
    Unsigned(usize),
    Float,
    Double,
    /// Up to a zero byte.
    Text,
    /// This many bytes; 0: as many as were told before, or all.
    Bytes(usize),
    Padding,
}

impl Item {
    /// The bytes it takes; strings but `c`n have no fixed size.
    fn size(self) -> usize {
        match self {
            Self::Signed(size) | Self::Unsigned(size) | Self::Bytes(size) => size,
            Self::Float => 4,
            Self::Double => 8,
            Self::Padding => 1,
            Self::Text => 0,
        }
    }

    /// What its place is a multiple of, if alignment is asked for.
    fn alignment(self) -> usize {
        match self {
            Self::Text | Self::Bytes(_) | Self::Padding => 1,
            other => other.size(),
        }
    }
}

/// Reads a format item by item.
struct Format<'a> {
    rest: &'a [u8],
    little: bool,
    alignment: usize,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { rest: text, little: cfg!(target_endian = "little"), alignment: 1 }
    }

    /// The number that comes next, or `default`.
    fn number(&mut self, default: usize) -> Raised<usize> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let fold =
            number.iter().try_fold(0_i32, |sum, digit| sum.checked_mul(10)?.checked_add(i32::from(digit - b'0')));
        let value = fold.and_then(|value| usize::try_from(value).ok());
        value.ok_or_else(|| Raise::message("integral size overflow"))
    }

    fn integer_size(&mut self) -> Raised<usize> {
        let size = self.number(4)?;
        if size > MAX_INTEGER {
            return Err(Raise::message(format!("integral size {size} is larger than limit of {MAX_INTEGER}")));
        }
        Ok(size)
    }

    /// The next item; orders about what follows are heeded on the way.
    fn next(&mut self) -> Raised<Option<Item>> {
        while let Some((letter, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Ok(Some(match letter {
                b'b' => Item::Signed(1),
                b'B' => Item::Unsigned(1),
                b'h' => Item::Signed(2),
                b'H' => Item::Unsigned(2),
                b'l' => Item::Signed(8),
                b'L' | b'T' => Item::Unsigned(8),
                b'i' => Item::Signed(self.integer_size()?),
                b'I' => Item::Unsigned(self.integer_size()?),
                b'f' => Item::Float,
                b'd' => Item::Double,
                b's' => Item::Text,
                b'c' => Item::Bytes(self.number(1)?),
                b'x' => Item::Padding,
                b' ' => continue,
                b'>' => {
                    self.little = false;
                    continue;
                }
                b'<' => {
                    self.little = true;
                    continue;
                }
                b'!' => {
                    self.alignment = self.number(MAX_ALIGNMENT)?;
                    if !self.alignment.is_power_of_two() {
                        return Err(Raise::message(format!("alignment {} is not a power of 2", self.alignment)));
                    }
                    continue;
                }
                other => {
                    return Err(Raise::argument(1, format!("invalid format option '{}'", char::from(*other))));
                }
            }));
        }
        Ok(None)
    }

    /// Bytes of padding before an item at this place.
    fn padding(&self, item: Item, at: usize) -> usize {
        let alignment = item.alignment().min(self.alignment);
        if alignment > 1 && alignment.is_power_of_two() { at.wrapping_neg() & (alignment - 1) } else { 0 }
    }
}

fn format_argument(stack: &mut Stack<'_>) -> Raised<Vec<u8>> {
    let text = stack.text_argument(1)?;
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    Ok(text[..end].to_vec())
}

/// A number that an argument must be; Redis says `nil` even where there is none.
fn number(stack: &mut Stack<'_>, at: i32) -> Raised<f64> {
    if stack.kind(at) == Kind::None {
        return Err(Raise::argument(at, "number expected, got nil"));
    }
    stack.number_argument(at)
}

fn pack(stack: &mut Stack<'_>) -> Raised<i32> {
    let text = format_argument(stack)?;
    let mut format = Format::new(&text);
    let mut packed = Vec::new();
    let mut at = 2;
    while let Some(item) = format.next()? {
        let padding = format.padding(item, packed.len());
        packed.resize(packed.len() + padding, 0);
        match item {
            Item::Padding => {
                packed.push(0);
                continue;
            }
            Item::Signed(size) | Item::Unsigned(size) => {
                let value = wrapped(number(stack, at)?);
                let mut bytes = [0; MAX_INTEGER];
                // As the C library: what is beyond 64 bits is zero.
                bytes[..8].copy_from_slice(&value.to_le_bytes());
                put(&mut packed, &bytes[..size], format.little);
            }
            #[expect(clippy::cast_possible_truncation, reason = "f is a float of C")]
            Item::Float => put(&mut packed, &(number(stack, at)? as f32).to_le_bytes(), format.little),
            Item::Double => put(&mut packed, &number(stack, at)?.to_le_bytes(), format.little),
            Item::Text => {
                packed.extend_from_slice(stack.text_argument(at)?);
                packed.push(0);
            }
            Item::Bytes(size) => {
                let bytes = stack.text_argument(at)?;
                let taken = if size == 0 { Some(bytes) } else { bytes.get(..size) };
                let taken = taken.ok_or_else(|| Raise::argument(at + 1, "string too short"))?;
                packed.extend_from_slice(taken);
            }
        }
        at += 1;
    }
    stack.push_bytes(&packed);
    Ok(1)
}

/// As C casts: negative numbers as signed, others as unsigned.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as C casts")]
fn wrapped(number: f64) -> u64 {
    if number < 0.0 { (number as i64).cast_unsigned() } else { number as u64 }
}

fn put(packed: &mut Vec<u8>, little: &[u8], is_little: bool) {
    if is_little { packed.extend_from_slice(little) } else { packed.extend(little.iter().rev()) }
}

fn unpack(stack: &mut Stack<'_>) -> Raised<i32> {
    let text = format_argument(stack)?;
    let data = stack.text_argument(2)?.to_vec();
    let mut at = start_argument(stack)?;
    stack.set_top(0);
    let mut format = Format::new(&text);
    let mut results = 0;
    while let Some(item) = format.next()? {
        at = at.saturating_add(format.padding(item, at));
        if !stack.has_room(4) {
            return Err(Raise::message("too many results"));
        }
        let short = || Raise::argument(2, "data string too short");
        let rest = data.get(at..).ok_or_else(short)?;
        let bytes = rest.get(..item.size()).ok_or_else(short)?;
        at += item.size();
        match item {
            Item::Padding => continue,
            Item::Signed(size) => push_integer(stack, bytes, size, format.little, true),
            Item::Unsigned(size) => push_integer(stack, bytes, size, format.little, false),
            Item::Float => stack.push_number(f64::from(f32::from_le_bytes(ordered(bytes, format.little)))),
            Item::Double => stack.push_number(f64::from_le_bytes(ordered(bytes, format.little))),
            Item::Text => {
                let end = rest.iter().position(|byte| *byte == 0);
                let end = end.ok_or_else(|| Raise::message("unfinished string in data"))?;
                stack.push_bytes(&rest[..end]);
                at += end + 1;
            }
            Item::Bytes(0) => {
                let size = if results == 0 { None } else { stack.number(-1) };
                let size = size.ok_or_else(|| Raise::message("format 'c0' needs a previous size"))?;
                stack.pop(1);
                results -= 1;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating is meant")]
                let bytes = rest.get(..size as usize).ok_or_else(short)?;
                stack.push_bytes(bytes);
                at += bytes.len();
            }
            Item::Bytes(_) => stack.push_bytes(bytes),
        }
        results += 1;
    }
    stack.push_number(at as f64 + 1.0);
    Ok(results + 1)
}

/// Where to begin, from 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be at least 1")]
fn start_argument(stack: &Stack<'_>) -> Raised<usize> {
    if stack.top() < 3 || stack.kind(3) == Kind::Nil {
        return Ok(0);
    }
    let start = stack.number_argument(3)?;
    // A negative start is a huge one to C, and so beyond any data.
    match start {
        0.0..1.0 => Err(Raise::argument(3, "offset must be 1 or greater")),
        1.0.. => Ok(start as usize - 1),
        _ => Ok(usize::MAX),
    }
}

/// The bytes in little-endian order.
fn ordered<const N: usize>(bytes: &[u8], is_little: bool) -> [u8; N] {
    let mut ordered = [0; N];
    ordered.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    if !is_little {
        ordered.reverse();
    }
    ordered
}

#[expect(clippy::cast_precision_loss, reason = "a number of Lua is a double")]
fn push_integer(stack: &mut Stack<'_>, bytes: &[u8], size: usize, is_little: bool, signed: bool) {
    let mut little = bytes.to_vec();
    if !is_little {
        little.reverse();
    }
    little.resize(MAX_INTEGER, 0);
    let value = u64::from_le_bytes(ordered(&little, true));
    if !signed {
        stack.push_number(value as f64);
        return;
    }
    let unused = u32::try_from(64 - 8 * size.clamp(1, 8)).unwrap_or(0);
    stack.push_number(((value << unused).cast_signed() >> unused) as f64);
}

fn size(stack: &mut Stack<'_>) -> Raised<i32> {
    let text = format_argument(stack)?;
    let mut format = Format::new(&text);
    let mut total = 0_usize;
    while let Some(item) = format.next()? {
        match item {
            Item::Text => return Err(Raise::argument(1, "option 's' has no fixed size")),
            Item::Bytes(0) => return Err(Raise::argument(1, "option 'c0' has no fixed size")),
            _ => total = total.saturating_add(format.padding(item, total)).saturating_add(item.size()),
        }
    }
    stack.push_number(total as f64);
    Ok(1)
}
