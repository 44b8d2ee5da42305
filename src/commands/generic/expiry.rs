//! Deadlines: EXPIRE and its kin, TTL and its kin, PERSIST.

use crate::base::number::{format_u64, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Record};
use crate::resp::Reply;

use super::whole::delete;

/// In which unit a command counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
}

/// From when a command counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Now,
    Epoch,
}

/// Under which conditions a deadline is set.
#[derive(Default)]
struct Conditions {
    only_without: bool,
    only_with: bool,
    only_later: bool,
    only_earlier: bool,
}

impl Conditions {
    fn parse(args: &mut Args<'_>) -> Result<Self> {
        let mut conditions = Self::default();
        while let Some(word) = args.next_if_any() {
            match word.to_ascii_uppercase().as_slice() {
                b"NX" => conditions.only_without = true,
                b"XX" => conditions.only_with = true,
                b"GT" => conditions.only_later = true,
                b"LT" => conditions.only_earlier = true,
                _ => {
                    let shown = String::from_utf8_lossy(word);
                    return Err(Error::client(format!("ERR Unsupported option {shown}")));
                }
            }
        }
        let compared = conditions.only_later || conditions.only_earlier;
        if conditions.only_without && (conditions.only_with || compared) {
            return Err(Error::client("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if conditions.only_later && conditions.only_earlier {
            return Err(Error::client("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether a deadline may be set where this one stands. None counts as infinitely late.
    fn allow(&self, current_ms: Option<u64>, deadline_ms: i64) -> bool {
        let Some(current) = current_ms else { return !self.only_with && !self.only_later };
        let current = i64::try_from(current).unwrap_or(i64::MAX);
        !(self.only_without
            || (self.only_later && deadline_ms <= current)
            || (self.only_earlier && deadline_ms >= current))
    }
}

pub(super) fn expire(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    set_deadline(context, args, Unit::Seconds, Origin::Now)
}

pub(super) fn expireat(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    set_deadline(context, args, Unit::Seconds, Origin::Epoch)
}

pub(super) fn pexpire(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    set_deadline(context, args, Unit::Milliseconds, Origin::Now)
}

pub(super) fn pexpireat(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    set_deadline(context, args, Unit::Milliseconds, Origin::Epoch)
}

fn set_deadline(context: &mut Context<'_>, args: &mut Args<'_>, unit: Unit, origin: Origin) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let given = args.next()?;
    let conditions = Conditions::parse(args)?;
    let number = parse_i64(given).ok_or(ClientError::NotInteger)?;
    let now_ms = i64::try_from(context.tx.now_ms()).unwrap_or(i64::MAX);
    let deadline_ms = milliseconds(number, unit, origin, now_ms)
        .ok_or_else(|| ClientError::InvalidExpire(context.command_name().into()))?;
    let Some(record) = context.tx.record(&key)? else { return Ok(Outcome::flag(false)) };
    if !conditions.allow(record.expire_at_ms, deadline_ms) {
        return Ok(Outcome::flag(false));
    }
    match u64::try_from(deadline_ms) {
        Ok(deadline) if deadline_ms > now_ms => {
            context.tx.put_record(&key, &Record { expire_at_ms: Some(deadline), ..record })?;
            context.tx.touch(&key);
            context.tx.notify(Class::GENERIC, "expire", &key);
            context.replicate_as(&[b"PEXPIREAT", key.user_key(), &format_u64(deadline)]);
        }
        _ => {
            delete(context.tx, &key)?;
            context.replicate_as(&[b"DEL", key.user_key()]);
        }
    }
    Ok(Outcome::flag(true))
}

/// The deadline in milliseconds since the epoch; `None` where that is no number.
fn milliseconds(number: i64, unit: Unit, origin: Origin, now_ms: i64) -> Option<i64> {
    let scaled = if unit == Unit::Seconds { number.checked_mul(1000)? } else { number };
    if origin == Origin::Now { scaled.checked_add(now_ms) } else { Some(scaled) }
}

pub(super) fn ttl(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    tell(context, args, Unit::Seconds, Origin::Now)
}

pub(super) fn pttl(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    tell(context, args, Unit::Milliseconds, Origin::Now)
}

pub(super) fn expiretime(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    tell(context, args, Unit::Seconds, Origin::Epoch)
}

pub(super) fn pexpiretime(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    tell(context, args, Unit::Milliseconds, Origin::Epoch)
}

/// -2 for no key, -1 for no deadline, else how long or when, seconds rounded to the nearest.
fn tell(context: &mut Context<'_>, args: &mut Args<'_>, unit: Unit, origin: Origin) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let answer = match context.tx.record(&key)? {
        None => -2,
        Some(Record { expire_at_ms: None, .. }) => -1,
        Some(Record { expire_at_ms: Some(deadline), .. }) => {
            let start = if origin == Origin::Now { context.tx.now_ms() } else { 0 };
            let left = i64::try_from(deadline.saturating_sub(start)).unwrap_or(i64::MAX);
            if unit == Unit::Seconds { left.saturating_add(500) / 1000 } else { left }
        }
    };
    Ok(Reply::Integer(answer).into())
}

pub(super) fn persist(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let Some(record) = context.tx.record(&key)?.filter(|record| record.expire_at_ms.is_some()) else {
        return Ok(Outcome::flag(false));
    };
    context.tx.put_record(&key, &Record { expire_at_ms: None, ..record })?;
    context.tx.touch(&key);
    context.tx.notify(Class::GENERIC, "persist", &key);
    Ok(Outcome::flag(true))
}
