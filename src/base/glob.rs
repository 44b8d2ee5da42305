//! Glob patterns as Redis matches them, over bytes: KEYS, SCAN MATCH, PSUBSCRIBE,
//! CONFIG GET, ACL. Pure, allocation-free, and bounded: at most
//! pattern length × text length steps, whatever an attacker sends.
//!
//! | pattern | stands for |
//! | --- | --- |
//! | `*` | any bytes, also none |
//! | `?` | one byte |
//! | `[ab0-9]`, `[^a]` | one byte of these, or none of these |
//! | `\x` | the byte `x` itself |
//!
//! The corners are Redis' own: a class that is never closed ends with the pattern,
//! `[a-]` runs from `]` to `a`, an escape in a class ignores `nocase`, ranges
//! compare bytes as signed numbers, as Redis does on x86, and the empty text
//! matches nothing but the empty pattern and a lone `*`.

use std::borrow::Cow;

/// A pattern with more runs of `*` than this matches nothing, since Redis gives up at that depth
/// (`util.c` of 7.0.15). Here it would cost no recursion; the replies are to be the same.
const STARS_MAX: usize = 1000;

fn runs_of_stars(pattern: &[u8]) -> usize {
    pattern.chunk_by(|one, other| one == other).filter(|run| run.first() == Some(&b'*')).count()
}

/// Whether the whole of `text` matches `pattern`; `nocase` folds ASCII letters.
///
/// When an element fails after a `*`, only the latest `*` can mend it by taking
/// one byte more: what an earlier one could reach, the latest reaches as well. So one
/// point of return is enough and there is no recursion to exhaust.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return matches!(pattern, b"" | b"*");
    }
    if pattern.len() > STARS_MAX && runs_of_stars(pattern) > STARS_MAX {
        return false;
    }
    let (mut pattern, mut text) = (pattern, text);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            if rest.is_empty() {
                return true;
            }
            pattern = rest;
            retry = Some((rest, text));
        } else if let Some(after) = match_one(pattern, text, nocase) {
            (pattern, text) = after;
        } else if pattern.is_empty() && text.is_empty() {
            return true;
        } else {
            match retry {
                Some((after_star, [_, later @ ..])) => {
                    (pattern, text) = (after_star, later);
                    retry = Some((pattern, text));
                }
                _ => return false,
            }
        }
    }
}

/// Matches the first element of `pattern` (not `*`) with the first byte of `text`,
/// and returns what is left of both.
fn match_one<'p, 't>(pattern: &'p [u8], text: &'t [u8], nocase: bool) -> Option<(&'p [u8], &'t [u8])> {
    let (byte, text_rest) = text.split_first()?;
    let (matched, pattern_rest) = match pattern {
        [] => return None,
        [b'?', rest @ ..] => (true, rest),
        [b'[', class @ ..] => match_class(class, *byte, nocase),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (same(*literal, *byte, nocase), rest),
    };
    matched.then_some((pattern_rest, text_rest))
}

/// Matches `byte` with the class that begins after its `[`; returns the verdict
/// and what follows the class.
fn match_class(class: &[u8], byte: u8, nocase: bool) -> (bool, &[u8]) {
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        match rest {
            [b'\\', literal, after @ ..] => {
                found |= *literal == byte;
                rest = after;
            }
            [b']', after @ ..] => return (found != negated, after),
            [] => return (found != negated, rest),
            [start, b'-', end, after @ ..] => {
                found |= in_range(*start, *end, byte, nocase);
                rest = after;
            }
            [literal, after @ ..] => {
                found |= same(*literal, byte, nocase);
                rest = after;
            }
        }
    }
}

/// Ends are put in order before case is folded, so `[Z-a]` is empty under `nocase`.
fn in_range(start: u8, end: u8, byte: u8, nocase: bool) -> bool {
    let signed = |byte: u8| i8::from_ne_bytes([byte]);
    let (low, high) = if signed(start) <= signed(end) { (start, end) } else { (end, start) };
    let fold = |byte: u8| signed(if nocase { byte.to_ascii_lowercase() } else { byte });
    (fold(low)..=fold(high)).contains(&fold(byte))
}

fn same(left: u8, right: u8, nocase: bool) -> bool {
    left == right || (nocase && left.eq_ignore_ascii_case(&right))
}

/// The bytes every match of `pattern` (case-sensitive) begins with, so that a scan
/// need not look outside that range. Borrowed unless the prefix holds escapes.
pub fn literal_prefix(pattern: &[u8]) -> Cow<'_, [u8]> {
    let plain = plain_length(pattern);
    if pattern.get(plain) == Some(&b'\\') {
        return Cow::Owned(literals(pattern).0);
    }
    Cow::Borrowed(&pattern[..plain])
}

/// The one text that `pattern` (case-sensitive) matches, if it has no wildcard.
pub fn literal(pattern: &[u8]) -> Option<Cow<'_, [u8]>> {
    if plain_length(pattern) == pattern.len() {
        return Some(Cow::Borrowed(pattern));
    }
    let (text, whole) = literals(pattern);
    whole.then_some(Cow::Owned(text))
}

/// How many bytes stand before the first that is special.
fn plain_length(pattern: &[u8]) -> usize {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
    pattern.iter().position(special).unwrap_or(pattern.len())
}

/// The literal bytes before the first wildcard, unescaped, and whether that is all.
fn literals(mut pattern: &[u8]) -> (Vec<u8>, bool) {
    let mut text = Vec::with_capacity(pattern.len());
    loop {
        match pattern {
            [] => return (text, true),
            [b'*' | b'?' | b'[', ..] => return (text, false),
            [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
                text.push(*literal);
                pattern = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests;
