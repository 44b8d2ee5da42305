//! SET and its kin: whole values, the conditions they are set on, and their deadlines.

use super::{read, whole};
use crate::base::number::{format_u64, parse_i64};
use crate::base::{ClientError, Result};
use crate::commands::context::Context;
use crate::commands::grammar::Access;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Encoding, Key, Record};
use crate::resp::Reply;
use crate::types::string::overwrite;

// ---- options ----------------------------------------------------------------------

/// What SET does with its key: with GET it also returns the old value.
pub(super) fn set_access(args: &[&[u8]]) -> Access {
    let returns_old = args.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"GET"));
    if returns_old { Access::Update } else { Access::Overwrite }
}

/// When a value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Absent,
    Present,
}

/// A deadline as a client gives it.
#[derive(Debug, Clone, Copy)]
struct Deadline<'a> {
    amount: &'a [u8],
    unit: Unit,
}

/// Of what a deadline's amount is: seconds or milliseconds, from now or since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

impl Unit {
    fn named(word: &[u8]) -> Option<Self> {
        match word.len() {
            2 if word.eq_ignore_ascii_case(b"EX") => Some(Self::Seconds),
            2 if word.eq_ignore_ascii_case(b"PX") => Some(Self::Milliseconds),
            4 if word.eq_ignore_ascii_case(b"EXAT") => Some(Self::UnixSeconds),
            4 if word.eq_ignore_ascii_case(b"PXAT") => Some(Self::UnixMilliseconds),
            _ => None,
        }
    }
}

impl Deadline<'_> {
    /// Milliseconds since the epoch.
    fn at_ms(self, context: &Context<'_>) -> Result<u64> {
        let amount = parse_i64(self.amount).ok_or(ClientError::NotInteger)?;
        let in_ms = match self.unit {
            Unit::Seconds | Unit::UnixSeconds => amount.checked_mul(1000),
            Unit::Milliseconds | Unit::UnixMilliseconds => Some(amount),
        };
        let now_ms = match self.unit {
            Unit::Seconds | Unit::Milliseconds => context.tx.now_ms().cast_signed(),
            Unit::UnixSeconds | Unit::UnixMilliseconds => 0,
        };
        let at_ms = in_ms.filter(|_| amount > 0).and_then(|in_ms| in_ms.checked_add(now_ms));
        match at_ms {
            Some(at_ms) => Ok(at_ms.cast_unsigned()),
            None => Err(ClientError::InvalidExpire(context.command_name().to_owned()).into()),
        }
    }
}

/// What becomes of the key's deadline.
#[derive(Debug, Clone, Copy, Default)]
enum Lifetime<'a> {
    /// SET takes it away, GETEX leaves it.
    #[default]
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    Until(Deadline<'a>),
}

impl<'a> Lifetime<'a> {
    /// Takes the word in if it speaks of the deadline and agrees with what was said before.
    fn accept(&mut self, word: &[u8], args: &mut Args<'a>) -> Result<bool> {
        let Some(unit) = Unit::named(word) else { return Ok(false) };
        match self {
            Self::Unsaid => {}
            Self::Until(said) if said.unit == unit => {}
            _ => return Ok(false),
        }
        *self = Self::Until(Deadline { amount: args.next()?, unit });
        Ok(true)
    }
}

/// The options of SET.
#[derive(Debug, Default)]
struct SetOptions<'a> {
    condition: Option<Condition>,
    returns_old: bool,
    lifetime: Lifetime<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(args: &mut Args<'a>) -> Result<Self> {
        let mut options = Self::default();
        while let Some(word) = args.next_if_any() {
            if word.eq_ignore_ascii_case(b"NX") && options.condition != Some(Condition::Present) {
                options.condition = Some(Condition::Absent);
            } else if word.eq_ignore_ascii_case(b"XX") && options.condition != Some(Condition::Absent) {
                options.condition = Some(Condition::Present);
            } else if word.eq_ignore_ascii_case(b"GET") {
                options.returns_old = true;
            } else if word.eq_ignore_ascii_case(b"KEEPTTL")
                && matches!(options.lifetime, Lifetime::Unsaid | Lifetime::Keep)
            {
                options.lifetime = Lifetime::Keep;
            } else if !options.lifetime.accept(word, args)? {
                return Err(ClientError::Syntax.into());
            }
        }
        Ok(options)
    }

    /// Whether what the key held decides anything.
    fn looks_first(&self) -> bool {
        self.condition.is_some() || self.returns_old || matches!(self.lifetime, Lifetime::Keep)
    }
}

// ---- setting ------------------------------------------------------------------------

pub(super) fn set(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let value = args.next()?;
    if args.is_empty() {
        store(context, &key, value, None)?;
        return Ok(Outcome::ok());
    }
    let options = SetOptions::parse(args)?;
    let expire_at_ms = match options.lifetime {
        Lifetime::Until(deadline) => Some(deadline.at_ms(context)?),
        _ => None,
    };
    if options.looks_first() {
        return set_after_a_look(context, &key, value, &options, expire_at_ms);
    }
    store_until(context, &key, value, expire_at_ms)?;
    Ok(Outcome::ok())
}

fn set_after_a_look(
    context: &mut Context<'_>,
    key: &Key,
    value: &[u8],
    options: &SetOptions<'_>,
    expire_at_ms: Option<u64>,
) -> Result<Outcome> {
    let record = if options.returns_old { context.read_record(key)? } else { context.tx.record(key)? };
    let kept_ms = record.as_ref().and_then(|record| record.expire_at_ms);
    let found = record.is_some();
    let old = match record {
        Some(record) if options.returns_old => Some(whole(context, key, record)?),
        _ => None,
    };
    let holds = match options.condition {
        None => true,
        Some(Condition::Absent) => !found,
        Some(Condition::Present) => found,
    };
    if holds && matches!(options.lifetime, Lifetime::Keep) {
        store(context, key, value, kept_ms)?;
        context.replicate_as(&[b"SET", key.user_key(), value, b"KEEPTTL"]);
    } else if holds {
        store_until(context, key, value, expire_at_ms)?;
        if options.returns_old && expire_at_ms.is_none() {
            // Nobody wants the old value of a copy.
            context.replicate_as(&[b"SET", key.user_key(), value]);
        }
    }
    if options.returns_old {
        return Ok(Outcome::optional(old));
    }
    Ok(if holds { Outcome::ok() } else { Outcome::nil() })
}

/// Sets a value with a new deadline or none, and tells both.
fn store_until(context: &mut Context<'_>, key: &Key, value: &[u8], expire_at_ms: Option<u64>) -> Result<()> {
    store(context, key, value, expire_at_ms)?;
    let Some(at_ms) = expire_at_ms else { return Ok(()) };
    context.tx.notify(Class::GENERIC, "expire", key);
    if at_ms <= context.tx.now_ms() {
        context.tx.notify(Class::EXPIRED, "expired", key);
        context.replicate_as(&[b"DEL", key.user_key()]);
    } else {
        context.replicate_as(&[b"SET", key.user_key(), value, b"PXAT", &format_u64(at_ms)]);
    }
    Ok(())
}

/// Sets a value. What was there before is looked at only if somebody wants to hear of it.
fn store(context: &mut Context<'_>, key: &Key, value: &[u8], expire_at_ms: Option<u64>) -> Result<()> {
    let heard = context.tx.wants(Class::NEW | Class::EXPIRED);
    let is_new = heard && context.tx.record(key)?.is_none();
    if expire_at_ms.is_some_and(|at_ms| at_ms <= context.tx.now_ms()) {
        // Born lapsed: nobody could ever see it.
        context.tx.delete_record(key)?;
        context.tx.touch(key);
    } else {
        overwrite(context.tx, key, value, Encoding::ByContent, expire_at_ms)?;
    }
    if is_new {
        context.tx.notify(Class::NEW, "new", key);
    }
    context.tx.notify(Class::STRING, "set", key);
    Ok(())
}

pub(super) fn setnx(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let value = args.next()?;
    let is_new = context.tx.record(&key)?.is_none();
    if is_new {
        store(context, &key, value, None)?;
    }
    Ok(Outcome::flag(is_new))
}

pub(super) fn setex(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    set_for(context, args, Unit::Seconds)
}

pub(super) fn psetex(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    set_for(context, args, Unit::Milliseconds)
}

fn set_for(context: &mut Context<'_>, args: &mut Args<'_>, unit: Unit) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let deadline = Deadline { amount: args.next()?, unit };
    let value = args.next()?;
    let expire_at_ms = deadline.at_ms(context)?;
    store_until(context, &key, value, Some(expire_at_ms))?;
    Ok(Outcome::ok())
}

pub(super) fn getset(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let value = args.next()?;
    let old = read(context, &key)?;
    store(context, &key, value, None)?;
    context.replicate_as(&[b"SET", key.user_key(), value]);
    Ok(Outcome::optional(old))
}

pub(super) fn mset(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    for (key, value) in pairs(context, args)? {
        let key = context.key(key);
        store(context, &key, value, None)?;
    }
    Ok(Outcome::ok())
}

pub(super) fn msetnx(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let pairs = pairs(context, args)?;
    let keys: Vec<Key> = pairs.clone().map(|(key, _)| context.key(key)).collect();
    context.tx.preload(&keys)?;
    for key in &keys {
        if context.tx.record(key)?.is_some() {
            return Ok(Outcome::flag(false));
        }
    }
    for (key, (_, value)) in keys.iter().zip(pairs) {
        store(context, key, value, None)?;
    }
    Ok(Outcome::flag(true))
}

/// Keys and values in turn, all that are left.
fn pairs<'a>(
    context: &Context<'_>,
    args: &mut Args<'a>,
) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a>> {
    let (pairs, rest) = args.rest().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ClientError::Arity(context.command_name().to_owned()).into());
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)))
}

// ---- GETEX --------------------------------------------------------------------------

pub(super) fn getex(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let lifetime = getex_lifetime(args)?;
    let Some(record) = context.read_record(&key)? else { return Ok(Outcome::nil()) };
    let value = whole(context, &key, record.clone())?;
    match lifetime {
        Lifetime::Until(deadline) => {
            let at_ms = deadline.at_ms(context)?;
            set_deadline(context, &key, &record, at_ms)?;
        }
        Lifetime::Persist if record.expire_at_ms.is_some() => {
            context.tx.put_record(&key, &Record { expire_at_ms: None, ..record })?;
            context.tx.touch(&key);
            context.tx.notify(Class::GENERIC, "persist", &key);
            context.replicate_as(&[b"PERSIST", key.user_key()]);
        }
        _ => {}
    }
    Ok(Reply::Bulk(value).into())
}

fn getex_lifetime<'a>(args: &mut Args<'a>) -> Result<Lifetime<'a>> {
    let mut lifetime = Lifetime::default();
    while let Some(word) = args.next_if_any() {
        if word.eq_ignore_ascii_case(b"PERSIST") && matches!(lifetime, Lifetime::Unsaid | Lifetime::Persist) {
            lifetime = Lifetime::Persist;
        } else if !lifetime.accept(word, args)? {
            return Err(ClientError::Syntax.into());
        }
    }
    Ok(lifetime)
}

/// Gives a key a deadline; one that has come already deletes it.
fn set_deadline(context: &mut Context<'_>, key: &Key, record: &Record, at_ms: u64) -> Result<()> {
    let event = if at_ms <= context.tx.now_ms() {
        context.tx.delete_record(key)?;
        context.replicate_as(&[b"DEL", key.user_key()]);
        "del"
    } else {
        context.replicate_as(&[b"PEXPIREAT", key.user_key(), &format_u64(at_ms)]);
        context.tx.put_record(key, &Record { expire_at_ms: Some(at_ms), ..record.clone() })?;
        "expire"
    };
    context.tx.touch(key);
    context.tx.notify(Class::GENERIC, event, key);
    Ok(())
}
