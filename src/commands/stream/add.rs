//! Writing: XADD, XTRIM, XDEL, XSETID.

use super::ids::{self, NewId};
use crate::base::number::format_u64;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Key, Tx};
use crate::types::stream::{Id, Keep, NODE_BYTES_MAX, NodeLimits, Stream, Trim, payload_bytes};

/// Nodes that an approximate trim looks through when it is given no limit.
const TRIM_NODES: u64 = 100;
/// What such a trim may take away: at least, where nodes have no size, and at most.
const TRIM_ENTRIES: (u64, u64) = (10_000, 1_000_000);

/// What stands in front of the fields of XADD, and behind the key of XTRIM.
#[derive(Default)]
struct Options {
    no_create: bool,
    keep: Option<Keep>,
    approximate: bool,
    limit: Option<u64>,
}

impl Options {
    /// Takes one option off the arguments; `None` when there stands something else.
    fn accept(&mut self, args: &mut Args<'_>) -> Result<Option<()>> {
        if args.remaining() < 2 {
            return Ok(None);
        }
        if args.accept("MAXLEN") {
            self.strategy(args)?;
            let length = args.integer()?;
            let length = u64::try_from(length).map_err(|_| Error::client("ERR The MAXLEN argument must be >= 0."))?;
            self.keep = Some(Keep::Length(length));
        } else if args.accept("MINID") {
            self.strategy(args)?;
            self.keep = Some(Keep::From(ids::exact(args.next()?)?));
        } else if args.accept("LIMIT") {
            let limit = args.integer()?;
            let limit = u64::try_from(limit).map_err(|_| Error::client("ERR The LIMIT argument must be >= 0."))?;
            self.limit = Some(limit);
        } else {
            return Ok(None);
        }
        Ok(Some(()))
    }

    /// The sign between the name of a strategy and its argument.
    fn strategy(&mut self, args: &mut Args<'_>) -> Result<()> {
        if self.keep.is_some() {
            return Err(Error::client(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        self.approximate = false;
        if args.remaining() >= 2 {
            self.approximate = args.accept("~");
            if !self.approximate {
                args.accept("=");
            }
        }
        Ok(())
    }

    /// The trim that is asked for, if any is.
    fn trim(&self, context: &Context<'_>) -> Result<Option<Trim>> {
        if self.limit.is_some_and(|limit| limit > 0) && self.keep.is_none() {
            return Err(Error::client("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"));
        }
        if self.limit.is_some() && !self.approximate {
            return Err(Error::client("ERR syntax error, LIMIT cannot be used without the special ~ option"));
        }
        let Some(keep) = self.keep else { return Ok(None) };
        let limit = self.limit.unwrap_or_else(|| match TRIM_NODES.saturating_mul(node_limits(context).entries) {
            0 => TRIM_ENTRIES.0,
            entries => entries.min(TRIM_ENTRIES.1),
        });
        Ok(Some(Trim { keep, approximate: self.approximate, limit }))
    }
}

/// Where Redis' nodes end, as configured.
fn node_limits(context: &Context<'_>) -> NodeLimits {
    NodeLimits {
        bytes: context.settings.stream_node_max_bytes as u64,
        entries: context.settings.stream_node_max_entries,
    }
}

fn trim(stream: &mut Stream, tx: &mut Tx, key: &Key, trim: Trim) -> Result<u64> {
    let gone = stream.trim(tx, trim)?;
    if gone > 0 {
        tx.notify(Class::STREAM, "xtrim", key);
    }
    Ok(gone)
}

pub(super) fn xadd(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let mut options = Options::default();
    let new_id = loop {
        if args.peek() == Some(&b"*"[..]) {
            args.next()?;
            break NewId::Automatic;
        }
        if options.accept(args)?.is_some() {
            continue;
        }
        if args.accept("NOMKSTREAM") {
            options.no_create = true;
            continue;
        }
        let arity = || ClientError::Arity(context.command_name().to_owned());
        break ids::new(args.next_if_any().ok_or_else(arity)?)?;
    };
    let wanted_trim = options.trim(context)?;
    let pairs = args.rest();
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(ClientError::Arity(context.command_name().to_owned()).into());
    }
    if new_id == NewId::Given(Id::MIN) {
        return Err(Error::client("ERR The ID specified in XADD must be greater than 0-0"));
    }
    context.weigh(payload_bytes(pairs))?;
    let limits = node_limits(context);
    let add = |stream: &mut Stream, tx: &mut Tx, key: &Key| {
        let id = id_to_add(stream, new_id, tx.now_ms())?;
        if payload_bytes(pairs) > NODE_BYTES_MAX {
            return Err(Error::client("ERR Elements are too large to be stored"));
        }
        stream.add(tx, id, pairs, limits)?;
        tx.notify(Class::STREAM, "xadd", key);
        if let Some(wanted) = wanted_trim {
            trim(stream, tx, key, wanted)?;
        }
        Ok((id, kept_by(stream, wanted_trim)))
    };
    let id_at = args.all().len() - pairs.len() - 1;
    let added = if options.no_create { context.edit_existing(key, add)? } else { Some(context.edit(key, add)?) };
    let Some((id, kept)) = added else { return Ok(Outcome::nil()) };
    if context.tx.wants_effects() {
        let id = id.text();
        let mut words = args.all().to_vec();
        if let Some(word) = words.get_mut(id_at) {
            *word = &id;
        }
        say_exactly(&mut words, id_at, kept.as_deref());
        context.replicate_as(&words);
    }
    Ok(ids::reply(id).into())
}

/// What an approximate trim has left, as an exact one names it.
fn kept_by(stream: &Stream, wanted: Option<Trim>) -> Option<Vec<u8>> {
    let trim = wanted.filter(|trim| trim.approximate)?;
    Some(match trim.keep {
        Keep::Length(_) => format_u64(stream.len()).to_vec(),
        Keep::From(_) => stream.first_id().text().to_vec(),
    })
}

/// Puts exact numbers in place of approximate ones, in front of the id or up to the end.
fn say_exactly<'a>(words: &mut [&'a [u8]], until: usize, kept: Option<&'a [u8]>) {
    let Some(kept) = kept else { return };
    let options = words.get_mut(2..until).unwrap_or_default();
    if let Some(at) = options.iter().rposition(|word| *word == b"~") {
        if let Some(sign) = options.get_mut(at) {
            *sign = b"=";
        }
        if let Some(threshold) = options.get_mut(at + 1) {
            *threshold = kept;
        }
    }
}

/// The id that the next entry gets.
fn id_to_add(stream: &Stream, wanted: NewId, now_ms: u64) -> Result<Id> {
    let last = stream.last_id();
    let exhausted = || Error::client("ERR The stream has exhausted the last possible ID, unable to add more items");
    if last == Id::MAX {
        return Err(exhausted());
    }
    let id = match wanted {
        NewId::Automatic => stream.next_id(now_ms).ok_or_else(exhausted)?,
        NewId::Given(id) => id,
        NewId::Within(ms) if ms == last.ms => Id { ms, seq: last.seq.checked_add(1).unwrap_or(0) },
        NewId::Within(ms) => Id { ms, seq: 0 },
    };
    if id <= last {
        return Err(Error::client("ERR The ID specified in XADD is equal or smaller than the target stream top item"));
    }
    Ok(id)
}

pub(super) fn xtrim(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let mut options = Options::default();
    while !args.is_empty() {
        options.accept(args)?.ok_or(ClientError::Syntax)?;
    }
    let wanted = options.trim(context)?;
    let wanted =
        wanted.ok_or_else(|| Error::client("ERR syntax error, XTRIM must be called with a trimming strategy"))?;
    let trimmed = context.edit_existing(key, |stream: &mut Stream, tx, key| {
        let gone = trim(stream, tx, key, wanted)?;
        Ok((gone, kept_by(stream, Some(wanted))))
    })?;
    let (gone, kept) = trimmed.unwrap_or_default();
    if gone > 0 && kept.is_some() {
        let mut words = args.all().to_vec();
        let until = words.len();
        say_exactly(&mut words, until, kept.as_deref());
        context.replicate_as(&words);
    }
    Ok(Outcome::integer(gone as i64))
}

pub(super) fn xdel(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let texts = args.rest();
    context.weigh_elements(texts.len() as u64)?;
    let gone = context.edit_existing(key, |stream: &mut Stream, tx, key| {
        let ids: Vec<Id> = texts.iter().map(|text| ids::exact(text)).collect::<Result<_>>()?;
        let gone = stream.delete(tx, &ids)?;
        if gone > 0 {
            tx.notify(Class::STREAM, "xdel", key);
        }
        Ok(gone)
    })?;
    Ok(Outcome::integer(gone.unwrap_or(0) as i64))
}

pub(super) fn xsetid(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let last = ids::exact(args.next()?)?;
    let (mut added, mut max_deleted) = (None, Id::MIN);
    while !args.is_empty() {
        let has_argument = args.remaining() >= 2;
        if has_argument && args.accept("ENTRIESADDED") {
            let count = args.integer()?;
            let count = u64::try_from(count).map_err(|_| Error::client("ERR entries_added must be positive"))?;
            added = Some(count);
        } else if has_argument && args.accept("MAXDELETEDID") {
            max_deleted = ids::exact(args.next()?)?;
            if last < max_deleted {
                return Err(Error::client(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(ClientError::Syntax.into());
        }
    }
    let max_deleted = Some(max_deleted).filter(|id| !id.is_zero());
    let set = super::groups::quietly(context, key, |stream, tx, key| {
        may_set_id(stream, tx, last, added)?;
        stream.set_last_id(last, added, max_deleted);
        tx.notify(Class::STREAM, "xsetid", key);
        Ok(())
    })?;
    set.ok_or(ClientError::NoSuchKey)?;
    Ok(Outcome::ok())
}

/// What XSETID says must not contradict what is there.
fn may_set_id(stream: &Stream, tx: &mut Tx, last: Id, added: Option<u64>) -> Result<()> {
    if last < stream.max_deleted_id() {
        return Err(Error::client("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"));
    }
    if stream.last_entry(tx)?.is_some_and(|top| last < top.id) {
        return Err(Error::client("ERR The ID specified in XSETID is smaller than the target stream top item"));
    }
    if added.is_some_and(|added| added < stream.len()) {
        return Err(Error::client(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    Ok(())
}
