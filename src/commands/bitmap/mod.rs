//! The commands on strings as bits; `field.rs`: BITFIELD.
//!
//! Arguments in, reply out: what indexes mean is decided here, the bits are looked at by
//! `types/bitmap.rs`, chunk by chunk.

mod field;

use std::ops::Range;

use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result};
use crate::commands::command::{Command, Group, Keys, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{Access, Arg, block, integer, key, one_of, text, token};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Key};
use crate::types::bitmap::{self, Logic};
use crate::types::string::{StringValue, overwrite_in_windows};

pub static COMMANDS: &[Command] = &[
    Command {
        name: "BITCOUNT",
        summary: "Counts the bits set to one in a string or a part of it.",
        since: "2.6.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            block("index", &[integer("start"), integer("end"), INDEX_UNIT.optional().since("7.0.0")]).optional(),
        ],
        run: bitcount,
        ..Command::of(Group::Bitmap)
    },
    Command {
        name: "BITFIELD",
        summary: "Reads and writes integers of any width at any bit offset of a string.",
        since: "3.2.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM),
        keys: Keys::Varying(field::bitfield_access),
        args: &[
            key("key", Access::Varies),
            one_of(
                "operation",
                &[
                    ENCODING_OFFSET,
                    block(
                        "write",
                        &[
                            one_of(
                                "wrap_sat_fail",
                                &[token("wrap", "WRAP"), token("sat", "SAT"), token("fail", "FAIL")],
                            )
                            .after("OVERFLOW")
                            .optional(),
                            one_of(
                                "write_operation",
                                &[
                                    block(
                                        "encoding_offset_value",
                                        &[text("encoding"), integer("offset"), integer("value")],
                                    )
                                    .after("SET"),
                                    block(
                                        "encoding_offset_increment",
                                        &[text("encoding"), integer("offset"), integer("increment")],
                                    )
                                    .after("INCRBY"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
            .many()
            .optional(),
        ],
        run: field::bitfield,
        ..Command::of(Group::Bitmap)
    },
    Command {
        name: "BITFIELD_RO",
        summary: "Reads integers of any width at any bit offset of a string.",
        since: "6.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), ENCODING_OFFSET.many_with_token().optional()],
        run: field::bitfield_ro,
        ..Command::of(Group::Bitmap)
    },
    Command {
        name: "BITOP",
        summary: "Combines strings bit by bit and stores the outcome.",
        since: "2.6.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            one_of("operation", &[token("and", "AND"), token("or", "OR"), token("xor", "XOR"), token("not", "NOT")]),
            key("destkey", Access::Overwrite),
            key("key", Access::Read).many(),
        ],
        run: bitop,
        ..Command::of(Group::Bitmap)
    },
    Command {
        name: "BITPOS",
        summary: "Finds the first bit with a given value in a string or a part of it.",
        since: "2.8.7",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            integer("bit"),
            block(
                "index",
                &[
                    integer("start"),
                    block("end_index", &[integer("end"), INDEX_UNIT.optional().since("7.0.0")]).optional(),
                ],
            )
            .optional(),
        ],
        run: bitpos,
        ..Command::of(Group::Bitmap)
    },
    Command {
        name: "GETBIT",
        summary: "Returns one bit of a string.",
        since: "2.2.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), integer("offset")],
        run: getbit,
        ..Command::of(Group::Bitmap)
    },
    Command {
        name: "SETBIT",
        summary: "Sets one bit of a string and returns the old one.",
        since: "2.2.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("key", Access::Update), integer("offset"), integer("value")],
        run: setbit,
        ..Command::of(Group::Bitmap)
    },
];

const INDEX_UNIT: Arg = one_of("index_unit", &[token("byte", "BYTE"), token("bit", "BIT")]);

const ENCODING_OFFSET: Arg = block("encoding_offset", &[text("encoding"), integer("offset")]).after("GET");

// ---- single bits ----------------------------------------------------------------

fn getbit(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let offset = bit_offset(context, args.next()?)?;
    let bit = match context.read::<StringValue>(key)? {
        Some(value) => bitmap::bit(&value, context.tx, offset)?,
        None => false,
    };
    Ok(Outcome::flag(bit))
}

fn setbit(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let offset = bit_offset(context, args.next()?)?;
    let on = match parse_i64(args.next()?) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(Error::client("ERR bit is not an integer or out of range")),
    };
    let limit = context.settings.proto_max_bulk_len;
    let (old, grew) = context.tx.edit::<StringValue, _>(&key, |value, tx| {
        let length = value.len();
        let old = bitmap::set_bit(value, tx, offset, on, limit)?;
        Ok((old, value.len() != length))
    })?;
    if grew || old != on {
        context.tx.notify(Class::STRING, "setbit", &key);
    }
    Ok(Outcome::flag(old))
}

/// A bit's offset, within the longest string there may be.
fn bit_offset(context: &Context<'_>, text: &[u8]) -> Result<u64> {
    checked_offset(context, parse_i64(text))
}

/// An offset in bits, within the longest string there may be.
fn checked_offset(context: &Context<'_>, offset: Option<i64>) -> Result<u64> {
    let limit = context.settings.proto_max_bulk_len;
    offset
        .and_then(|offset| u64::try_from(offset).ok())
        .filter(|offset| offset / 8 < limit)
        .ok_or_else(|| Error::client("ERR bit offset is not an integer or out of range"))
}

// ---- counting and searching --------------------------------------------------------

/// What indexes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    fn parse(word: &[u8]) -> Result<Self> {
        if word.eq_ignore_ascii_case(b"BIT") {
            Ok(Self::Bit)
        } else if word.eq_ignore_ascii_case(b"BYTE") {
            Ok(Self::Byte)
        } else {
            Err(ClientError::Syntax.into())
        }
    }

    fn bits(self) -> i64 {
        if self == Self::Bit { 1 } else { 8 }
    }

    /// The bits between two inclusive indexes, counted from the end where negative; `None` for none.
    fn range(self, start: i64, end: i64, length_bytes: u64) -> Option<Range<u64>> {
        let bits = self.bits();
        let length = length_bytes.cast_signed() * (8 / bits);
        let from_start = |index: i64| if index < 0 { (length + index).max(0) } else { index };
        let (start, end) = (from_start(start), from_start(end).min(length - 1));
        (start <= end).then(|| (start * bits).cast_unsigned()..((end + 1) * bits).cast_unsigned())
    }
}

fn bitcount(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let Some(value) = context.read::<StringValue>(key)? else { return Ok(Outcome::integer(0)) };
    let range = if args.is_empty() { Some(0..value.len() * 8) } else { count_range(args, value.len())? };
    let Some(range) = range else { return Ok(Outcome::integer(0)) };
    context.weigh((range.end - range.start) / 8)?;
    Ok(Outcome::integer(bitmap::count(&value, context.tx, range)?.cast_signed()))
}

fn count_range(args: &mut Args<'_>, length_bytes: u64) -> Result<Option<Range<u64>>> {
    if !matches!(args.remaining(), 2 | 3) {
        return Err(ClientError::Syntax.into());
    }
    let (start, end) = (args.integer()?, args.integer()?);
    if start < 0 && end < 0 && start > end {
        return Ok(None);
    }
    let unit = args.next_if_any().map_or(Ok(Unit::Byte), Unit::parse)?;
    Ok(unit.range(start, end, length_bytes))
}

fn bitpos(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let wanted = match args.integer()? {
        0 => false,
        1 => true,
        _ => return Err(Error::client("ERR The bit argument must be 1 or 0.")),
    };
    let Some(value) = context.read::<StringValue>(key)? else {
        return Ok(Outcome::integer(if wanted { -1 } else { 0 }));
    };
    let has_end = args.remaining() >= 2;
    let Some(range) = search_range(args, value.len())? else { return Ok(Outcome::integer(-1)) };
    context.weigh((range.end - range.start) / 8)?;
    let found = match bitmap::position(&value, context.tx, wanted, range.clone())? {
        Some(position) => position.cast_signed(),
        // Without an end the string counts as followed by zeros.
        None if !wanted && !has_end => range.end.cast_signed(),
        None => -1,
    };
    Ok(Outcome::integer(found))
}

fn search_range(args: &mut Args<'_>, length_bytes: u64) -> Result<Option<Range<u64>>> {
    match args.remaining() {
        0 => return Ok(Unit::Byte.range(0, -1, length_bytes)),
        1..=3 => {}
        _ => return Err(ClientError::Syntax.into()),
    }
    let start = args.integer()?;
    let [end, unit] = [args.next_if_any(), args.next_if_any()];
    let unit = unit.map_or(Ok(Unit::Byte), Unit::parse)?;
    let end = match end {
        Some(text) => parse_i64(text).ok_or(ClientError::NotInteger)?,
        None => -1,
    };
    Ok(unit.range(start, end, length_bytes))
}

// ---- logic ------------------------------------------------------------------------------

fn bitop(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let logic = logic(args.next()?)?;
    let target = context.key(args.key()?);
    let sources = args.rest();
    if logic == Logic::Not && sources.len() != 1 {
        return Err(Error::client("ERR BITOP NOT must be called with a single source key."));
    }
    let keys: Vec<Key> = sources.iter().map(|source| context.key(source)).collect();
    context.tx.preload(&keys)?;
    let mut values = Vec::with_capacity(sources.len());
    for source in sources {
        values.push(context.read::<StringValue>(source)?);
    }
    let length = values.iter().flatten().map(StringValue::len).max().unwrap_or(0);
    if length == 0 {
        delete(context, &target)?;
        return Ok(Outcome::integer(0));
    }
    context.weigh(length.saturating_mul(values.len() as u64))?;
    let is_new = context.tx.wants(Class::NEW) && context.tx.record(&target)?.is_none();
    overwrite_in_windows(context.tx, &target, length, |tx, window, out| {
        bitmap::combine(logic, &values, tx, window, out)
    })?;
    if is_new {
        context.tx.notify(Class::NEW, "new", &target);
    }
    context.tx.notify(Class::STRING, "set", &target);
    Ok(Outcome::integer(length.cast_signed()))
}

fn logic(word: &[u8]) -> Result<Logic> {
    let known = [("AND", Logic::And), ("OR", Logic::Or), ("XOR", Logic::Xor), ("NOT", Logic::Not)];
    let found = known.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    Ok(found.map(|(_, logic)| *logic).ok_or(ClientError::Syntax)?)
}

fn delete(context: &mut Context<'_>, key: &Key) -> Result<()> {
    if context.tx.record(key)?.is_some() {
        context.tx.delete_record(key)?;
        context.tx.touch(key);
        context.tx.notify(Class::GENERIC, "del", key);
    }
    Ok(())
}
