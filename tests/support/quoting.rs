//! Command lines as redis-cli reads and writes them: words parted by spaces,
//! `"…"` with escapes (`\n \r \t \a \b \" \\ \xHH`), `'…'` with `\'`.

/// The words of a line, or what is wrong with it.
pub fn split(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.as_bytes()[0] {
            b'"' => quoted(&rest[1..], line)?,
            b'\'' => apostrophed(&rest[1..], line)?,
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest.as_bytes()[..end].to_vec(), &rest[end..])
            }
        };
        if !after.is_empty() && !after.starts_with(char::is_whitespace) {
            return Err(format!("a quote closes inside a word: {line}"));
        }
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

/// Reads up to the closing `"`; returns the bytes and what follows it.
fn quoted<'a>(body: &'a str, line: &str) -> Result<(Vec<u8>, &'a str), String> {
    let bytes = body.as_bytes();
    let mut word = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Ok((word, &body[at + 1..])),
            b'\\' => at += escape(&bytes[at + 1..], &mut word).ok_or_else(|| format!("a bad escape: {line}"))?,
            byte => word.push(byte),
        }
        at += 1;
    }
    Err(format!("an open quote: {line}"))
}

/// Decodes what follows a backslash; returns how many bytes it took.
fn escape(bytes: &[u8], word: &mut Vec<u8>) -> Option<usize> {
    let byte = *bytes.first()?;
    if byte == b'x' {
        let digits = std::str::from_utf8(bytes.get(1..3)?).ok()?;
        word.push(u8::from_str_radix(digits, 16).ok()?);
        return Some(3);
    }
    word.push(match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        other => other,
    });
    Some(1)
}

fn apostrophed<'a>(body: &'a str, line: &str) -> Result<(Vec<u8>, &'a str), String> {
    let bytes = body.as_bytes();
    let mut word = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\'' => return Ok((word, &body[at + 1..])),
            b'\\' if bytes.get(at + 1) == Some(&b'\'') => {
                word.push(b'\'');
                at += 1;
            }
            byte => word.push(byte),
        }
        at += 1;
    }
    Err(format!("an open quote: {line}"))
}

/// Bytes in double quotes, so that `split` reads them back.
pub fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x20..=0x7e => text.push(byte as char),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

/// A command as a line that redis-cli would read; plain words stay unquoted.
pub fn join<A: AsRef<[u8]>>(arguments: &[A]) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\".contains(byte);
    let words = arguments.iter().map(|argument| {
        let argument = argument.as_ref();
        if !argument.is_empty() && argument.iter().all(plain) {
            String::from_utf8_lossy(argument).into_owned()
        } else {
            quote(argument)
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
