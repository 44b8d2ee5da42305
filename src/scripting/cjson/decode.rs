//! JSON to Lua's values.

use super::{DEEPEST, Settings, settings};
use crate::scripting::lua::{Raise, Raised, Stack, read_number};

pub(super) fn decode(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.top() != 1 {
        return Err(Raise::argument(1, "expected 1 argument"));
    }
    let text = stack.text_argument(1)?.to_vec();
    if matches!(text[..], [0, _, ..] | [_, 0, ..]) {
        return Err(Raise::message("JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut decoder = Decoder { settings: settings(stack), text: &text, at: 0, depth: 0 };
    let first = decoder.next_token();
    decoder.push_value(stack, first)?;
    match decoder.next_token() {
        Found { token: Token::End, .. } => Ok(1),
        other => Err(other.unlike("the end")),
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// Not a token; what is wrong with it.
    Bad(&'static str),
}

/// A token and where it begins.
#[derive(Debug)]
struct Found {
    token: Token,
    at: usize,
}

impl Found {
    fn unlike(&self, expected: &str) -> Raise {
        let found = match &self.token {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Bad(what) => what,
        };
        Raise::message(format!("Expected {expected} but found {found} at character {}", self.at + 1))
    }
}

struct Decoder<'a> {
    settings: Settings,
    text: &'a [u8],
    at: usize,
    depth: u32,
}

impl Decoder<'_> {
    /// The byte at a distance; 0 at the end, as in C.
    fn byte(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next_token(&mut self) -> Found {
        while matches!(self.byte(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let single = match self.byte(0) {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            0 => return Found { token: Token::End, at },
            b'"' => {
                self.at += 1;
                return self.string(at);
            }
            _ => return Found { token: self.word(), at },
        };
        self.at += 1;
        Found { token: single, at }
    }

    /// A number or one of the three words.
    fn word(&mut self) -> Token {
        let invalid = self.is_invalid_number();
        if self.byte(0) == b'-' || self.byte(0).is_ascii_digit() {
            return if invalid && !self.settings.decode_invalid_numbers {
                Token::Bad("invalid number")
            } else {
                self.number()
            };
        }
        for (word, token) in [("true", Token::Boolean(true)), ("false", Token::Boolean(false)), ("null", Token::Null)] {
            if self.rest().starts_with(word.as_bytes()) {
                self.at += word.len();
                return token;
            }
        }
        if invalid && self.settings.decode_invalid_numbers { self.number() } else { Token::Bad("invalid token") }
    }

    fn number(&mut self) -> Token {
        match read_number(self.rest()) {
            Some((number, length)) => {
                self.at += length;
                Token::Number(number)
            }
            None => Token::Bad("invalid number"),
        }
    }

    /// Whether this is a number that JSON does not know: with a plus, a leading zero, hexadecimal,
    /// an infinity, NaN.
    fn is_invalid_number(&self) -> bool {
        if self.byte(0) == b'+' {
            return true;
        }
        let sign = usize::from(self.byte(0) == b'-');
        if self.byte(sign) == b'0' {
            let second = self.byte(sign + 1);
            return second.eq_ignore_ascii_case(&b'x') || second.is_ascii_digit();
        }
        let word = self.rest().get(sign..sign + 3).unwrap_or_default();
        word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
    }

    /// A string whose opening quote has been read; `start` is where that is.
    fn string(&mut self, start: usize) -> Found {
        let mut text = Vec::new();
        loop {
            match self.byte(0) {
                b'"' => {
                    self.at += 1;
                    return Found { token: Token::String(text), at: start };
                }
                0 => return Found { token: Token::Bad("unexpected end of string"), at: self.at },
                b'\\' => {
                    if let Err(what) = self.escape(&mut text) {
                        return Found { token: Token::Bad(what), at: self.at };
                    }
                }
                byte => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), &'static str> {
        let byte = match self.byte(1) {
            b'"' => b'"',
            b'\\' => b'\\',
            b'/' => b'/',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (char, length) = self.code_point().ok_or("invalid unicode escape code")?;
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += length;
                return Ok(());
            }
            _ => return Err("invalid escape code"),
        };
        text.push(byte);
        self.at += 2;
        Ok(())
    }

    /// The character of `\uXXXX`, or of two of them that make a pair, and their length.
    fn code_point(&self) -> Option<(char, usize)> {
        let unit = |ahead: usize| {
            let digits = self.rest().get(ahead..ahead + 6)?.strip_prefix(b"\\u")?;
            digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
        };
        let first: u32 = unit(0)?;
        if !(0xD800..0xE000).contains(&first) {
            return Some((char::from_u32(first)?, 6));
        }
        let second = unit(6)?;
        let is_pair = first < 0xDC00 && (0xDC00..0xE000).contains(&second);
        let joined = 0x1_0000 + ((first & 0x3FF) << 10 | second & 0x3FF);
        Some((char::from_u32(joined).filter(|_| is_pair)?, 12))
    }

    fn push_value(&mut self, stack: &mut Stack<'_>, found: Found) -> Raised<()> {
        match found.token {
            Token::String(text) => stack.push_bytes(&text),
            Token::Number(number) => stack.push_number(number),
            Token::Boolean(value) => stack.push_boolean(value),
            Token::Null => stack.push_null(),
            Token::ObjectBegin => return self.push_object(stack),
            Token::ArrayBegin => return self.push_array(stack),
            _ => return Err(found.unlike("value")),
        }
        Ok(())
    }

    fn descend(&mut self, stack: &mut Stack<'_>) -> Raised<()> {
        self.depth += 1;
        if self.depth > self.settings.decode_max_depth.min(DEEPEST) || !stack.has_room(8) {
            return Err(Raise::message(format!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.at
            )));
        }
        Ok(())
    }

    fn push_object(&mut self, stack: &mut Stack<'_>) -> Raised<()> {
        self.descend(stack)?;
        stack.push_table(0, 0);
        let mut found = self.next_token();
        if found.token == Token::ObjectEnd {
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let Token::String(key) = &found.token else { return Err(found.unlike("object key string")) };
            stack.push_bytes(key);
            let colon = self.next_token();
            if colon.token != Token::Colon {
                return Err(colon.unlike("colon"));
            }
            let value = self.next_token();
            self.push_value(stack, value)?;
            stack.raw_set(-3);
            let end = self.next_token();
            match end.token {
                Token::ObjectEnd => break,
                Token::Comma => found = self.next_token(),
                _ => return Err(end.unlike("comma or object end")),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn push_array(&mut self, stack: &mut Stack<'_>) -> Raised<()> {
        self.descend(stack)?;
        stack.push_table(0, 0);
        let mut found = self.next_token();
        if found.token == Token::ArrayEnd {
            self.depth -= 1;
            return Ok(());
        }
        for index in 1.. {
            self.push_value(stack, found)?;
            stack.set_element(-2, index);
            let end = self.next_token();
            match end.token {
                Token::ArrayEnd => break,
                Token::Comma => found = self.next_token(),
                _ => return Err(end.unlike("comma or array end")),
            }
        }
        self.depth -= 1;
        Ok(())
    }
}
