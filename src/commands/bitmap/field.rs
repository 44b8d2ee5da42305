//! BITFIELD and BITFIELD_RO: integers of any width at any bit offset, several in one call.
//! All arguments are read before anything is done.

use super::checked_offset;
use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::grammar::Access;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Kind, Tx};
use crate::resp::Reply;
use crate::types::bitmap::{Field, Overflow};
use crate::types::string::StringValue;

/// What BITFIELD does with its key: nothing but reading when every operation is a GET.
pub(super) fn bitfield_access(args: &[&[u8]]) -> Access {
    let operations = args.get(2..).unwrap_or_default();
    let only_gets =
        operations.chunks(3).all(|operation| operation.first().is_some_and(|word| word.eq_ignore_ascii_case(b"GET")));
    if only_gets { Access::Read } else { Access::Update }
}

/// What is done to a field.
#[derive(Debug, Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Increment(i64, Overflow),
}

#[derive(Debug, Clone, Copy)]
struct Operation {
    field: Field,
    offset: u64,
    action: Action,
}

impl Operation {
    fn writes(self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// The first bit behind the field.
    fn end(self) -> u64 {
        self.offset + u64::from(self.field.bits)
    }
}

fn parse(context: &Context<'_>, args: &mut Args<'_>) -> Result<Vec<Operation>> {
    let mut overflow = Overflow::default();
    let mut operations = Vec::new();
    while let Some(word) = args.next_if_any() {
        let left = args.remaining();
        if word.eq_ignore_ascii_case(b"GET") && left >= 2 {
            let (field, offset) = place(context, args)?;
            operations.push(Operation { field, offset, action: Action::Get });
        } else if word.eq_ignore_ascii_case(b"SET") && left >= 3 {
            let (field, offset) = place(context, args)?;
            operations.push(Operation { field, offset, action: Action::Set(args.integer()?, overflow) });
        } else if word.eq_ignore_ascii_case(b"INCRBY") && left >= 3 {
            let (field, offset) = place(context, args)?;
            operations.push(Operation { field, offset, action: Action::Increment(args.integer()?, overflow) });
        } else if word.eq_ignore_ascii_case(b"OVERFLOW") && left >= 1 {
            overflow = parse_overflow(args.next()?)?;
        } else {
            return Err(ClientError::Syntax.into());
        }
    }
    Ok(operations)
}

fn parse_overflow(word: &[u8]) -> Result<Overflow> {
    let known = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
    let found = known.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, overflow)| *overflow).ok_or_else(|| Error::client("ERR Invalid OVERFLOW type specified"))
}

/// A field's type and its offset in bits; `#2` is the third field of its width.
fn place(context: &Context<'_>, args: &mut Args<'_>) -> Result<(Field, u64)> {
    let field = parse_field(args.next()?).ok_or_else(|| {
        Error::client(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        )
    })?;
    let offset = match args.next()? {
        [b'#', number @ ..] => parse_i64(number).and_then(|number| number.checked_mul(i64::from(field.bits))),
        number => parse_i64(number),
    };
    Ok((field, checked_offset(context, offset)?))
}

fn parse_field(text: &[u8]) -> Option<Field> {
    let (signed, width, widest) = match text {
        [b'i', width @ ..] => (true, width, 64),
        [b'u', width @ ..] => (false, width, 63),
        _ => return None,
    };
    let bits = parse_i64(width).filter(|bits| (1..=widest).contains(bits))?;
    Some(Field { signed, bits: bits as u32 })
}

pub(super) fn bitfield(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let user_key = args.key()?;
    let operations = parse(context, args)?;
    if !operations.iter().any(|operation| operation.writes()) {
        return read_all(context, user_key, &operations);
    }
    let key = context.key(user_key);
    let limit = context.settings.proto_max_bulk_len;
    let (replies, changed) = context.tx.edit::<StringValue, _>(&key, |value, tx| run(value, tx, &operations, limit))?;
    if changed {
        context.tx.notify(Class::STRING, "setbit", &key);
    }
    Ok(Reply::Array(replies).into())
}

pub(super) fn bitfield_ro(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let user_key = args.key()?;
    let operations = parse(context, args)?;
    if operations.iter().any(|operation| operation.writes()) {
        return Err(Error::client("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read_all(context, user_key, &operations)
}

fn read_all(context: &mut Context<'_>, user_key: &[u8], operations: &[Operation]) -> Result<Outcome> {
    let value = context.read::<StringValue>(user_key)?.unwrap_or_else(StringValue::create);
    let mut numbers = Vec::with_capacity(operations.len());
    for operation in operations {
        numbers.push(operation.field.read(&value, context.tx, operation.offset)?);
    }
    Ok(Reply::Integers(numbers).into())
}

/// Runs operations some of which write. The value first grows to hold all that they may write.
fn run(value: &mut StringValue, tx: &mut Tx, operations: &[Operation], limit_bytes: u64) -> Result<(Vec<Reply>, bool)> {
    let length = value.len();
    let end = operations.iter().filter(|operation| operation.writes()).map(|operation| operation.end()).max();
    // A field that begins within the limit may end a few bytes behind it.
    value.grow(tx, end.unwrap_or(0).div_ceil(8), limit_bytes.saturating_add(8))?;
    value.mark_raw();
    let grew = value.len() != length;
    let mut changed = false;
    let mut replies = Vec::with_capacity(operations.len());
    for Operation { field, offset, action } in operations.iter().copied() {
        let old = field.read(value, tx, offset)?;
        let (new, reply) = match action {
            Action::Get => (Some(old), old),
            Action::Set(number, overflow) => (field.of_value(number, overflow), old),
            Action::Increment(by, overflow) => {
                let sum = field.sum(old, by, overflow);
                (sum, sum.unwrap_or(old))
            }
        };
        let Some(new) = new else {
            replies.push(Reply::Nil);
            continue;
        };
        if new != old {
            field.write(value, tx, offset, new)?;
        }
        changed |= new != old || (grew && !matches!(action, Action::Get));
        replies.push(Reply::Integer(reply));
    }
    Ok((replies, changed))
}
