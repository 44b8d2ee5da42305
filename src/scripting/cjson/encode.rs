//! Lua's values to JSON.

use super::{DEEPEST, InvalidNumbers, Settings, settings};
use crate::scripting::lua::{Kind, Raise, Raised, Stack, format_number};

pub(super) fn encode(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.top() != 1 {
        return Err(Raise::argument(1, "expected 1 argument"));
    }
    let mut encoder = Encoder { settings: settings(stack), out: Vec::new() };
    encoder.value(stack, 0)?;
    stack.push_bytes(&encoder.out);
    Ok(1)
}

struct Encoder {
    settings: Settings,
    out: Vec<u8>,
}

impl Encoder {
    /// The value on top, which stays there.
    fn value(&mut self, stack: &mut Stack<'_>, depth: u32) -> Raised<()> {
        match stack.kind(-1) {
            Kind::String => self.string(stack.string(-1).unwrap_or_default()),
            Kind::Number => return self.number(stack.number(-1).unwrap_or(0.0)),
            Kind::Boolean if stack.boolean(-1) => self.out.extend_from_slice(b"true"),
            Kind::Boolean => self.out.extend_from_slice(b"false"),
            Kind::Nil | Kind::Null => self.out.extend_from_slice(b"null"),
            Kind::Table => return self.table(stack, depth + 1),
            other => return Err(refused(other, "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, stack: &mut Stack<'_>, depth: u32) -> Raised<()> {
        if depth > self.settings.encode_max_depth.min(DEEPEST) || !stack.has_room(8) {
            return Err(Raise::message(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        match self.array_length(stack)? {
            Some(length) if length > 0 => self.array(stack, length, depth),
            _ => self.object(stack, depth),
        }
    }

    /// The length of the table on top if it is an array.
    fn array_length(&self, stack: &mut Stack<'_>) -> Raised<Option<u32>> {
        let (mut items, mut most) = (0_u32, 0_u32);
        stack.push_nil();
        while stack.next(-2) {
            stack.pop(1);
            let key = if stack.kind(-1) == Kind::Number { stack.number(-1) } else { None };
            let place = key.filter(|key| key.fract() == 0.0 && (1.0..=f64::from(i32::MAX)).contains(key));
            let Some(place) = place else {
                stack.pop(1);
                return Ok(None);
            };
            items += 1;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
            let place = place as u32;
            most = most.max(place);
        }
        let Settings { sparse_ratio, sparse_safe, sparse_convert, .. } = self.settings;
        let sparse = sparse_ratio > 0 && u64::from(most) > u64::from(items) * u64::from(sparse_ratio);
        match sparse && most > sparse_safe {
            false => Ok(Some(most)),
            true if sparse_convert => Ok(None),
            true => Err(refused(Kind::Table, "excessively sparse array")),
        }
    }

    fn array(&mut self, stack: &mut Stack<'_>, length: u32, depth: u32) -> Raised<()> {
        self.out.push(b'[');
        for index in 1..=i32::try_from(length).unwrap_or(i32::MAX) {
            if index > 1 {
                self.out.push(b',');
            }
            stack.push_element(-1, index);
            self.value(stack, depth)?;
            stack.pop(1);
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, stack: &mut Stack<'_>, depth: u32) -> Raised<()> {
        self.out.push(b'{');
        let mut first = true;
        stack.push_nil();
        while stack.next(-2) {
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            match stack.kind(-2) {
                Kind::String => self.string(stack.string(-2).unwrap_or_default()),
                Kind::Number => {
                    self.out.push(b'"');
                    self.number(stack.number(-2).unwrap_or(0.0))?;
                    self.out.push(b'"');
                }
                other => return Err(refused(other, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.value(stack, depth)?;
            stack.pop(1);
        }
        self.out.push(b'}');
        Ok(())
    }

    fn number(&mut self, number: f64) -> Raised<()> {
        if !number.is_finite() {
            match self.settings.encode_invalid_numbers {
                InvalidNumbers::Refuse => return Err(refused(Kind::Number, "must not be NaN or Inf")),
                InvalidNumbers::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                InvalidNumbers::Accept => {}
            }
        }
        self.out.extend_from_slice(&format_number(number, self.settings.precision));
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        for byte in text {
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'/' => self.out.extend_from_slice(b"\\/"),
                0x08 => self.out.extend_from_slice(b"\\b"),
                0x0c => self.out.extend_from_slice(b"\\f"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                0..=0x1f | 0x7f => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => self.out.push(*byte),
            }
        }
        self.out.push(b'"');
    }
}

fn refused(kind: Kind, why: &str) -> Raise {
    Raise::message(format!("Cannot serialise {}: {why}", kind.name()))
}
