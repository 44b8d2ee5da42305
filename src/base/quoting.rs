//! Arguments on one line, as Redis splits and quotes them: inline commands,
//! lines of `redis.conf`, CONFIG REWRITE, MONITOR and DEBUG. Pure, and the
//! two halves agree: splitting a quoted text gives the text back.

/// A quote was left open, or its closing was followed by more than white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unbalanced quotes")]
pub struct UnbalancedQuotes;

/// Splits a line into arguments at white space. `"…"` knows the escapes of C and
/// `\xHH`, `'…'` only `\'`; quotes may begin inside a word, and their end must end
/// the argument. A NUL byte ends the line, as it does in Redis.
pub fn split_arguments(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
    let end = memchr::memchr(0, line).unwrap_or(line.len());
    let mut rest = &line[..end];
    let mut arguments = Vec::new();
    loop {
        rest = skip_blanks(rest);
        if rest.is_empty() {
            return Ok(arguments);
        }
        let (argument, after) = take_argument(rest)?;
        arguments.push(argument);
        rest = after;
    }
}

/// Takes one argument off the front of a line that starts with it.
fn take_argument(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    let mut argument = Vec::new();
    loop {
        match rest {
            [b'"', quoted @ ..] => {
                let after = take_double_quoted(quoted, &mut argument)?;
                return Ok((argument, after));
            }
            [b'\'', quoted @ ..] => {
                let after = take_single_quoted(quoted, &mut argument)?;
                return Ok((argument, after));
            }
            // Vertical tabs and form feeds separate arguments only when they
            // stand before one: an old inconsistency that clients may rely on.
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok((argument, rest)),
            [byte, after @ ..] => {
                argument.push(*byte);
                rest = after;
            }
        }
    }
}

/// Takes what stands before the closing `"`, and that.
fn take_double_quoted<'a>(mut rest: &'a [u8], argument: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        match rest {
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                argument.push(hex_value(*high) << 4 | hex_value(*low));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                argument.push(unescape(*escaped));
                rest = after;
            }
            [b'"', after @ ..] => return closed(after),
            [byte, after @ ..] => {
                argument.push(*byte);
                rest = after;
            }
            [] => return Err(UnbalancedQuotes),
        }
    }
}

/// Takes what stands before the closing `'`, and that.
fn take_single_quoted<'a>(mut rest: &'a [u8], argument: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        match rest {
            [b'\\', b'\'', after @ ..] => {
                argument.push(b'\'');
                rest = after;
            }
            [b'\'', after @ ..] => return closed(after),
            [byte, after @ ..] => {
                argument.push(*byte);
                rest = after;
            }
            [] => return Err(UnbalancedQuotes),
        }
    }
}

fn closed(after: &[u8]) -> Result<&[u8], UnbalancedQuotes> {
    match after.first() {
        Some(byte) if !is_blank(*byte) => Err(UnbalancedQuotes),
        _ => Ok(after),
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn skip_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| is_blank(**byte)).count();
    &line[blanks..]
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Appends `text` in double quotes, with everything escaped that is not printable ASCII.
pub fn quote_into(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(*byte),
            other => {
                let digits = [HEX[usize::from(other >> 4)], HEX[usize::from(other & 15)]];
                out.extend([b'\\', b'x', digits[0], digits[1]]);
            }
        }
    }
    out.push(b'"');
}

/// `text` in double quotes: what [`quote_into`] appends, which is ASCII.
pub fn quote(text: &[u8]) -> String {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    quote_into(&mut quoted, text);
    String::from_utf8_lossy(&quoted).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &str) -> Option<Vec<String>> {
        let arguments = split_arguments(line.as_bytes()).ok()?;
        Some(arguments.iter().map(|argument| argument.escape_ascii().to_string()).collect())
    }

    #[test]
    fn lines_split_as_redis_splits_them() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("", Some(&[])),
            (" \t\r\n\x0b\x0c", Some(&[])),
            ("set key value", Some(&["set", "key", "value"])),
            ("  set   key\r\n", Some(&["set", "key"])),
            (r#"a "b c" 'd e'"#, Some(&["a", "b c", "d e"])),
            (r#""" ''"#, Some(&["", ""])),
            (r#""\x41\x4g\n\r\t\b\a\q\"""#, Some(&[r#"Ax4g\n\r\t\x08\x07q\""#])),
            (r"'\n\''", Some(&[r"\\n\'"])),
            (r#"foo"bar" x"#, Some(&["foobar", "x"])),
            (r"foo\x41", Some(&[r"foo\\x41"])),
            ("a\x0bb \x0bc", Some(&[r"a\x0bb", "c"])),
            ("a\0b c", Some(&["a"])),
            (r#""a"b"#, None),
            (r"'a'b", None),
            (r#""a""b""#, None),
            (r#"a "b"#, None),
            (r#"a "b\"#, None),
            (r#"a ""#, None),
            ("a 'b", None),
            ("\"a\0\"", None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            assert_eq!(split(line), expected, "{line:?}");
        }
    }

    #[test]
    fn quoting_escapes_what_does_not_print() {
        assert_eq!(quote(b"a\"b\\c\n\r\t\x07\x08\x00\x7f\xff~ "), r#""a\"b\\c\n\r\t\a\b\x00\x7f\xff~ ""#);
        assert_eq!(quote(b""), r#""""#);
    }

    proptest! {
        #[test]
        fn a_quoted_text_splits_into_itself(texts in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let line = texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split_arguments(line.as_bytes()), Ok(texts));
        }

        #[test]
        fn any_line_splits_or_is_refused(line: Vec<u8>) {
            let _ = split_arguments(&line);
        }
    }
}
