//! The library `bit`: operations on 32-bit integers, with the semantics of LuaJIT's `bit`.

use super::api::set_natives;
use super::lua::{Native, Raised, Stack};

const FUNCTIONS: &[(&str, Native)] = &[
    ("tobit", tobit),
    ("bnot", bnot),
    ("band", band),
    ("bor", bor),
    ("bxor", bxor),
    ("lshift", lshift),
    ("rshift", rshift),
    ("arshift", arshift),
    ("rol", rol),
    ("ror", ror),
    ("bswap", bswap),
    ("tohex", tohex),
];

/// Pushes the library.
pub(super) fn push(stack: &mut Stack<'_>) {
    stack.push_table(0, FUNCTIONS.len());
    set_natives(stack, FUNCTIONS);
}

/// Added to a number, this leaves its lowest 32 bits, rounded, in the lowest bits of the sum.
const SHIFT_OUT: f64 = 6_755_399_441_055_744.0;

/// An argument's bits: those of its value modulo 2^32, rounded to an integer.
#[expect(clippy::cast_possible_truncation, reason = "the lowest 32 bits are wanted")]
fn bits(stack: &Stack<'_>, at: i32) -> Raised<u32> {
    let number = stack.number_argument(at)?;
    Ok((number + SHIFT_OUT).to_bits() as u32)
}

fn push_bits(stack: &mut Stack<'_>, bits: u32) -> Raised<i32> {
    stack.push_number(f64::from(bits.cast_signed()));
    Ok(1)
}

fn tobit(stack: &mut Stack<'_>) -> Raised<i32> {
    let value = bits(stack, 1)?;
    push_bits(stack, value)
}

fn bnot(stack: &mut Stack<'_>) -> Raised<i32> {
    let value = bits(stack, 1)?;
    push_bits(stack, !value)
}

/// All arguments, joined from left to right.
fn join(stack: &mut Stack<'_>, join: fn(u32, u32) -> u32) -> Raised<i32> {
    let mut joined = bits(stack, 1)?;
    for at in 2..=stack.top() {
        joined = join(joined, bits(stack, at)?);
    }
    push_bits(stack, joined)
}

fn band(stack: &mut Stack<'_>) -> Raised<i32> {
    join(stack, |one, other| one & other)
}

fn bor(stack: &mut Stack<'_>) -> Raised<i32> {
    join(stack, |one, other| one | other)
}

fn bxor(stack: &mut Stack<'_>) -> Raised<i32> {
    join(stack, |one, other| one ^ other)
}

/// A value and by how much it is moved, of which the lowest five bits count.
fn shift(stack: &mut Stack<'_>, shift: fn(u32, u32) -> u32) -> Raised<i32> {
    let (value, by) = (bits(stack, 1)?, bits(stack, 2)?);
    push_bits(stack, shift(value, by & 31))
}

fn lshift(stack: &mut Stack<'_>) -> Raised<i32> {
    shift(stack, |value, by| value << by)
}

fn rshift(stack: &mut Stack<'_>) -> Raised<i32> {
    shift(stack, |value, by| value >> by)
}

fn arshift(stack: &mut Stack<'_>) -> Raised<i32> {
    shift(stack, |value, by| (value.cast_signed() >> by).cast_unsigned())
}

fn rol(stack: &mut Stack<'_>) -> Raised<i32> {
    shift(stack, u32::rotate_left)
}

fn ror(stack: &mut Stack<'_>) -> Raised<i32> {
    shift(stack, u32::rotate_right)
}

fn bswap(stack: &mut Stack<'_>) -> Raised<i32> {
    let value = bits(stack, 1)?;
    push_bits(stack, value.swap_bytes())
}

/// As many digits as asked for, 8 at the most; in capitals if the number is negative.
fn tohex(stack: &mut Stack<'_>) -> Raised<i32> {
    let value = bits(stack, 1)?;
    let wanted = if stack.top() < 2 { 8 } else { bits(stack, 2)?.cast_signed() };
    let digits = usize::try_from(wanted.unsigned_abs()).unwrap_or(8).min(8);
    let text = if wanted < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    stack.push_bytes(&text.as_bytes()[8 - digits..]);
    Ok(1)
}
