//! The library `cjson`, as lua-cjson 2.1.0 behaves in Redis: its texts, its liberties with numbers,
//! its settings. Settings hold for one run of a script, so that none finds those of another.
//!
//! - here: the table, and the settings. `encode.rs`, `decode.rs`: the two ways.

mod decode;
mod encode;

use super::api::set_natives;
use super::lua::{Kind, Native, Raise, Raised, Stack};

/// No script gets deeper, whatever it sets: our own stack is finite.
const DEEPEST: u32 = 2000;
/// Instances that `cjson.new` makes in one run.
const INSTANCES_MAX: usize = 1000;

/// What becomes of NaN and the infinities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InvalidNumbers {
    Refuse,
    Accept,
    Null,
}

/// The settings of one instance of the library.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Sparse arrays become objects instead of errors.
    sparse_convert: bool,
    /// An array is sparse if its length is more than so many times its elements; 0: never.
    sparse_ratio: u32,
    /// Up to this length no array is sparse.
    sparse_safe: u32,
    encode_max_depth: u32,
    decode_max_depth: u32,
    encode_invalid_numbers: InvalidNumbers,
    decode_invalid_numbers: bool,
    keep_buffer: bool,
    precision: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            encode_invalid_numbers: InvalidNumbers::Refuse,
            decode_invalid_numbers: true,
            keep_buffer: true,
            precision: 14,
        }
    }
}

const FUNCTIONS: &[(&str, Native)] = &[
    ("encode", encode::encode),
    ("decode", decode::decode),
    ("encode_sparse_array", encode_sparse_array),
    ("encode_max_depth", encode_max_depth),
    ("decode_max_depth", decode_max_depth),
    ("encode_number_precision", encode_number_precision),
    ("encode_keep_buffer", encode_keep_buffer),
    ("encode_invalid_numbers", encode_invalid_numbers),
    ("decode_invalid_numbers", decode_invalid_numbers),
];

/// Pushes the library.
pub(super) fn push(stack: &mut Stack<'_>) {
    push_instance(stack, 0);
}

/// Pushes an instance, whose functions keep its number.
fn push_instance(stack: &mut Stack<'_>, number: usize) {
    stack.push_table(0, 16);
    for (name, native) in FUNCTIONS {
        stack.push_number(number as f64);
        stack.push_native_with(*native);
        stack.set_field(-2, name);
    }
    set_natives(stack, &[("new", new)]);
    stack.push_null();
    stack.set_field(-2, "null");
    stack.push_bytes(b"cjson");
    stack.set_field(-2, "_NAME");
    stack.push_bytes(b"2.1.0");
    stack.set_field(-2, "_VERSION");
}

/// `cjson.new`: an instance with settings of its own.
fn new(stack: &mut Stack<'_>) -> Raised<i32> {
    let number = {
        let mut instances = stack.shared.json.borrow_mut();
        if instances.len() >= INSTANCES_MAX {
            return Err(Raise::message("too many instances of cjson"));
        }
        if instances.is_empty() {
            instances.push(Settings::default());
        }
        instances.push(Settings::default());
        instances.len() - 1
    };
    push_instance(stack, number);
    Ok(1)
}

/// The number of the running function's instance.
fn instance(stack: &mut Stack<'_>) -> usize {
    stack.push_own();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of ours")]
    let number = stack.number(-1).unwrap_or(0.0) as usize;
    stack.pop(1);
    number
}

fn settings(stack: &mut Stack<'_>) -> Settings {
    let number = instance(stack);
    stack.shared.json.borrow().get(number).copied().unwrap_or_default()
}

/// Changes the settings of the running function's instance.
fn set(stack: &mut Stack<'_>, change: impl FnOnce(&mut Settings)) {
    let number = instance(stack);
    let mut instances = stack.shared.json.borrow_mut();
    while instances.len() <= number {
        instances.push(Settings::default());
    }
    change(&mut instances[number]);
}

fn at_most(stack: &Stack<'_>, count: i32) -> Raised<()> {
    if stack.top() <= count { Ok(()) } else { Err(Raise::argument(count + 1, "found too many arguments")) }
}

fn is_given(stack: &Stack<'_>, at: i32) -> bool {
    !matches!(stack.kind(at), Kind::None | Kind::Nil)
}

/// An integer within bounds, if it is given.
fn integer(stack: &Stack<'_>, at: i32, least: u32, most: u32) -> Raised<Option<u32>> {
    if !is_given(stack, at) {
        return Ok(None);
    }
    let number = stack.number_argument(at)?.trunc();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds")]
    match number >= f64::from(least) && number <= f64::from(most) {
        true => Ok(Some(number as u32)),
        false => Err(Raise::argument(at, format!("expected integer between {least} and {most}"))),
    }
}

/// One of some words, or a boolean for the first two, if it is given.
fn choice(stack: &mut Stack<'_>, at: i32, words: &[&str]) -> Raised<Option<usize>> {
    if !is_given(stack, at) {
        return Ok(None);
    }
    if stack.kind(at) == Kind::Boolean {
        return Ok(Some(usize::from(stack.boolean(at))));
    }
    let given = String::from_utf8_lossy(stack.text_argument(at)?).into_owned();
    match words.iter().position(|word| *word == given) {
        Some(place) => Ok(Some(place)),
        None => Err(Raise::argument(at, format!("invalid option '{given}'"))),
    }
}

const SWITCH: &[&str] = &["off", "on"];

fn encode_sparse_array(stack: &mut Stack<'_>) -> Raised<i32> {
    at_most(stack, 3)?;
    let convert = choice(stack, 1, SWITCH)?;
    let (ratio, safe) = (integer(stack, 2, 0, i32::MAX as u32)?, integer(stack, 3, 0, i32::MAX as u32)?);
    set(stack, |settings| {
        settings.sparse_convert = convert.map_or(settings.sparse_convert, |choice| choice == 1);
        settings.sparse_ratio = ratio.unwrap_or(settings.sparse_ratio);
        settings.sparse_safe = safe.unwrap_or(settings.sparse_safe);
    });
    let settings = settings(stack);
    stack.push_boolean(settings.sparse_convert);
    stack.push_number(settings.sparse_ratio.into());
    stack.push_number(settings.sparse_safe.into());
    Ok(3)
}

fn encode_max_depth(stack: &mut Stack<'_>) -> Raised<i32> {
    at_most(stack, 1)?;
    if let Some(depth) = integer(stack, 1, 1, i32::MAX as u32)? {
        set(stack, |settings| settings.encode_max_depth = depth);
    }
    let depth = settings(stack).encode_max_depth;
    stack.push_number(depth.into());
    Ok(1)
}

fn decode_max_depth(stack: &mut Stack<'_>) -> Raised<i32> {
    at_most(stack, 1)?;
    if let Some(depth) = integer(stack, 1, 1, i32::MAX as u32)? {
        set(stack, |settings| settings.decode_max_depth = depth);
    }
    let depth = settings(stack).decode_max_depth;
    stack.push_number(depth.into());
    Ok(1)
}

fn encode_number_precision(stack: &mut Stack<'_>) -> Raised<i32> {
    at_most(stack, 1)?;
    if let Some(digits) = integer(stack, 1, 1, 14)? {
        set(stack, |settings| settings.precision = u8::try_from(digits).unwrap_or(14));
    }
    let digits = settings(stack).precision;
    stack.push_number(digits.into());
    Ok(1)
}

fn encode_keep_buffer(stack: &mut Stack<'_>) -> Raised<i32> {
    at_most(stack, 1)?;
    if let Some(choice) = choice(stack, 1, SWITCH)? {
        set(stack, |settings| settings.keep_buffer = choice == 1);
    }
    let keep = settings(stack).keep_buffer;
    stack.push_boolean(keep);
    Ok(1)
}

fn encode_invalid_numbers(stack: &mut Stack<'_>) -> Raised<i32> {
    at_most(stack, 1)?;
    if let Some(choice) = choice(stack, 1, &["off", "on", "null"])? {
        let wanted = [InvalidNumbers::Refuse, InvalidNumbers::Accept, InvalidNumbers::Null];
        set(stack, |settings| settings.encode_invalid_numbers = wanted[choice.min(2)]);
    }
    match settings(stack).encode_invalid_numbers {
        InvalidNumbers::Null => stack.push_bytes(b"null"),
        other => stack.push_boolean(other == InvalidNumbers::Accept),
    }
    Ok(1)
}

fn decode_invalid_numbers(stack: &mut Stack<'_>) -> Raised<i32> {
    at_most(stack, 1)?;
    if let Some(choice) = choice(stack, 1, SWITCH)? {
        set(stack, |settings| settings.decode_invalid_numbers = choice == 1);
    }
    let accept = settings(stack).decode_invalid_numbers;
    stack.push_boolean(accept);
    Ok(1)
}
