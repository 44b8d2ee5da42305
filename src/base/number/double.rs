//! Doubles as Redis reads and prints them. Reading follows C's `strtod`: decimal and
//! hexadecimal, `inf`, `infinity`, `nan`, whatever the case. Printing follows
//! Redis 7.2 (7.0 printed 17 digits): integers plain up to 2^62, else the shortest
//! digits that read back as the same value, laid out as its fpconv lays them out.

use super::{NumberText, format_i64, is_space};

/// Up to this magnitude Redis prints an integral double as an integer: 2^62.
const MAX_PLAIN_INTEGER: f64 = 4_611_686_018_427_387_904.0;

/// A number read, and whether it was too large for a double or so small that it
/// became zero.
struct Reading {
    value: f64,
    out_of_range: bool,
}

/// A double as scores and increments are read: the whole text, no white space
/// before it, in range. `None` also for NaN.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let reading = read(text)?;
    (!reading.out_of_range && !reading.value.is_nan()).then_some(reading.value)
}

/// A double as the ends of score ranges are read, which is less strict: white space
/// may lead, an empty text is 0, what is out of range becomes infinity or
/// zero, and a NUL byte ends the text. `None` also for NaN.
pub fn parse_double_lenient(text: &[u8]) -> Option<f64> {
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    let text = &text[..end];
    if text.is_empty() {
        return Some(0.0);
    }
    let start = text.iter().position(|byte| !is_space(*byte))?;
    let value = read(&text[start..])?.value;
    (!value.is_nan()).then_some(value)
}

/// `strtod` without its white space, over the whole text.
fn read(text: &[u8]) -> Option<Reading> {
    let (negative, magnitude) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut reading = match magnitude {
        [b'0', b'x' | b'X', digits @ ..] => read_hexadecimal(digits)?,
        [b'0'..=b'9' | b'.', ..] => read_decimal(magnitude)?,
        _ => Reading { value: read_word(magnitude)?, out_of_range: false },
    };
    if negative {
        reading.value = -reading.value;
    }
    Some(reading)
}

fn read_word(word: &[u8]) -> Option<f64> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    match () {
        () if is("inf") || is("infinity") => Some(f64::INFINITY),
        () if is("nan") => Some(f64::NAN),
        () => None,
    }
}

/// Digits, a point, an exponent: the grammar that `f64::from_str` shares with C, and
/// rounds as correctly.
fn read_decimal(text: &[u8]) -> Option<Reading> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mut mantissa = text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let vanished = value == 0.0 && mantissa.any(|byte| matches!(byte, b'1'..=b'9'));
    Some(Reading { value, out_of_range: vanished || value.is_infinite() })
}

/// What follows `0x`: hexadecimal digits with a point, then perhaps `p` and a
/// decimal exponent of two.
fn read_hexadecimal(text: &[u8]) -> Option<Reading> {
    let power_at = text.iter().position(|byte| matches!(byte, b'p' | b'P'));
    let (digits, power) = match power_at {
        Some(at) => (&text[..at], read_power(&text[at + 1..])?),
        None => (text, 0),
    };
    let mut mantissa = Mantissa::default();
    for byte in digits {
        mantissa.push(*byte)?;
    }
    mantissa.has_digits.then(|| mantissa.scaled(power))
}

/// A decimal exponent, cut off where no text is long enough to make up for it.
fn read_power(text: &[u8]) -> Option<i64> {
    const ENOUGH: i64 = 1 << 40;
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits
        .iter()
        .try_fold(0, |sum: i64, byte| byte.is_ascii_digit().then(|| (sum * 10 + i64::from(byte - b'0')).min(ENOUGH)))?;
    Some(if negative { -magnitude } else { magnitude })
}

/// The digits of a hexadecimal number: `bits × 2^exponent`, and a little more if
/// digits that are not zero no longer fitted in.
#[derive(Default)]
struct Mantissa {
    bits: u64,
    exponent: i64,
    has_remainder: bool,
    has_digits: bool,
    has_point: bool,
}

impl Mantissa {
    fn push(&mut self, byte: u8) -> Option<()> {
        if byte == b'.' {
            let first = !std::mem::replace(&mut self.has_point, true);
            return first.then_some(());
        }
        let digit = char::from(byte).to_digit(16)?;
        self.has_digits = true;
        if self.bits >> 60 == 0 {
            self.bits = self.bits << 4 | u64::from(digit);
            self.exponent -= if self.has_point { 4 } else { 0 };
        } else {
            self.has_remainder |= digit != 0;
            self.exponent += if self.has_point { 0 } else { 4 };
        }
        Some(())
    }

    /// The nearest double, ties to even, of this times two to the `power`.
    fn scaled(&self, power: i64) -> Reading {
        if self.bits == 0 {
            return Reading { value: 0.0, out_of_range: false };
        }
        let shift = self.bits.leading_zeros();
        let bits = u128::from(self.bits << shift);
        // The value is 1.… × 2^leading; below 2^-1022 doubles keep fewer bits.
        let leading = self.exponent + power - i64::from(shift) + 63;
        if leading > 1_023 {
            return Reading { value: f64::INFINITY, out_of_range: true };
        }
        let dropped = 11 + (-1_022 - leading).max(0);
        if dropped > 64 {
            return Reading { value: 0.0, out_of_range: true };
        }
        let half = 1_u128 << (dropped - 1);
        let (kept, rest) = (bits >> dropped, bits & (2 * half - 1));
        let up = rest > half || (rest == half && (self.has_remainder || kept & 1 == 1));
        let rounded = kept as u64 + u64::from(up);
        // A carry out of the fraction runs into the exponent, as it should. Normal
        // numbers bring their leading bit along, which counts as one exponent.
        let exponent = (leading.max(-1_022) + 1_022) as u64;
        let value = f64::from_bits((exponent << 52) + rounded);
        Reading { value, out_of_range: value.is_infinite() || value == 0.0 }
    }
}

/// The text of a double in replies, as Redis 7.2 prints it.
pub fn format_double(value: f64) -> NumberText {
    if value.is_nan() {
        NumberText::of("nan")
    } else if value.is_infinite() {
        NumberText::of(if value < 0.0 { "-inf" } else { "inf" })
    } else if value == 0.0 {
        NumberText::of(if value.is_sign_negative() { "-0" } else { "0" })
    } else if value.abs() <= MAX_PLAIN_INTEGER && value.fract() == 0.0 {
        format_i64(value as i64)
    } else {
        format_shortest(value)
    }
}

/// The shortest digits of a finite value: plain as long as few zeros are needed to
/// place the point, else with an exponent.
fn format_shortest(value: f64) -> NumberText {
    let (digits, exponent) = shortest_digits(value.abs());
    let digits = digits.as_bytes();
    let count = digits.len() as i32;
    // Where the point stands in the digits, and the power of the first of them.
    let point = count + exponent;
    let magnitude = (point - 1).abs();
    let mut text = NumberText::empty();
    if value < 0.0 {
        text.push(b"-");
    }
    if exponent >= 0 && magnitude < count + 7 {
        text.push(digits);
        text.push_zeros(exponent as usize);
    } else if exponent < 0 && (exponent > -7 || magnitude < 4) {
        push_with_point(&mut text, digits, point);
    } else {
        push_with_exponent(&mut text, digits, point - 1);
    }
    text
}

fn push_with_point(text: &mut NumberText, digits: &[u8], point: i32) {
    if point <= 0 {
        text.push(b"0.");
        text.push_zeros(point.unsigned_abs() as usize);
        text.push(digits);
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        text.push(whole);
        text.push(b".");
        text.push(fraction);
    }
}

fn push_with_exponent(text: &mut NumberText, digits: &[u8], power: i32) {
    let (first, fraction) = digits.split_at(1);
    text.push(first);
    if !fraction.is_empty() {
        text.push(b".");
        text.push(fraction);
    }
    text.push(if power < 0 { b"e-" } else { b"e+" });
    text.push(&format_i64(power.abs().into()));
}

/// The shortest decimal `digits × 10^exponent` that reads back as `value`, which is
/// finite and above zero: no zeros lead or trail the digits.
fn shortest_digits(value: f64) -> (NumberText, i32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut exponent = exponent.parse().unwrap_or(0) - fraction.len() as i32;

    let mut digits = NumberText::empty();
    if fraction.is_empty() {
        let significant = whole.trim_end_matches('0');
        exponent += (whole.len() - significant.len()) as i32;
        digits.push(significant.as_bytes());
    } else if whole == "0" {
        digits.push(fraction.trim_start_matches('0').as_bytes());
    } else {
        digits.push(whole.as_bytes());
        digits.push(fraction.as_bytes());
    }
    (digits, exponent)
}

#[cfg(test)]
mod tests;
