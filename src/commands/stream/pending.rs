//! What was delivered and not acknowledged: XACK, XPENDING, XCLAIM, XAUTOCLAIM.

use super::effects::{self, Place};
use super::ids;
use super::read::consumer_of;
use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Tx;
use crate::resp::Reply;
use crate::types::stream::{ConsumerIndex, Entry, Group, Id, Pending, Stream};

/// What XAUTOCLAIM claims unless it is told otherwise.
const AUTOCLAIM_COUNT: i64 = 100;
/// So many times as many entries it looks at.
const AUTOCLAIM_ATTEMPTS: i64 = 10;
/// The most it may be told, as in Redis.
const AUTOCLAIM_COUNT_MAX: i64 = i64::MAX / 16 / AUTOCLAIM_ATTEMPTS;

/// A stream and one of its groups.
fn group_of(context: &mut Context<'_>, key: &[u8], name: &[u8]) -> Result<Option<(Stream, Group)>> {
    let Some(stream) = context.read::<Stream>(key)? else { return Ok(None) };
    let group = stream.group(context.tx, name)?;
    Ok(group.map(|group| (stream, group)))
}

fn idle_ms(pending: &Pending, now_ms: u64) -> u64 {
    now_ms.saturating_sub(pending.delivered_ms)
}

/// An integer with its own error.
fn integer_or(text: &[u8], error: &'static str) -> Result<i64> {
    parse_i64(text).ok_or_else(|| Error::client(error))
}

pub(super) fn xack(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, name) = (args.key()?, args.next()?);
    let Some((_, mut group)) = group_of(context, key, name)? else { return Ok(Outcome::count(0)) };
    let texts = args.rest();
    context.weigh_elements(texts.len() as u64)?;
    let ids: Vec<Id> = texts.iter().map(|text| ids::exact(text)).collect::<Result<_>>()?;
    let mut acknowledged = 0;
    for id in ids {
        if let Some(pending) = group.pending_of(context.tx, id)? {
            group.release(context.tx, pending)?;
            acknowledged += 1;
        }
    }
    group.save(context.tx)?;
    Ok(Outcome::count(acknowledged))
}

// ---- XPENDING ----------------------------------------------------------------------------

/// The part of what is pending that XPENDING lists.
struct Listed<'a> {
    idle_ms: u64,
    from: Id,
    to: Id,
    count: u64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Listed<'a> {
    fn parse(args: &mut Args<'a>) -> Result<Option<Self>> {
        let words = args.remaining();
        if words == 0 {
            return Ok(None);
        }
        if !(3..=6).contains(&words) {
            return Err(ClientError::Syntax.into());
        }
        let mut idle_ms = 0;
        if args.accept("IDLE") {
            idle_ms = args.integer()?.max(0).cast_unsigned();
            if words < 5 {
                return Err(ClientError::Syntax.into());
            }
        }
        let (from, to) = (args.next()?, args.next()?);
        let count = args.integer()?.max(0).cast_unsigned();
        let (from, to) = (ids::start(from)?, ids::end(to)?);
        // What stands behind the consumer is not looked at, as in Redis.
        Ok(Some(Self { idle_ms, from, to, count, consumer: args.next_if_any() }))
    }
}

pub(super) fn xpending(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, name) = (args.key()?, args.next()?);
    let listed = Listed::parse(args)?;
    let found = group_of(context, key, name)?;
    let (_, mut group) = found.ok_or_else(|| ids::no_group(key, name, ""))?;
    match listed {
        None => summary(context, &group),
        Some(listed) => list(context, &mut group, &listed),
    }
}

fn summary(context: &mut Context<'_>, group: &Group) -> Result<Outcome> {
    let first = group.walk_pending(context.tx, Id::MIN, Id::MAX)?.next()?;
    let last = group.last_pending(context.tx)?;
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(Reply::Array(vec![Reply::Integer(0), Reply::Nil, Reply::Nil, Reply::NilArray]).into());
    };
    let consumers = group.all_consumers(context.tx)?.into_iter().filter(|consumer| consumer.pending > 0);
    let consumers =
        consumers.map(|consumer| Reply::Array(vec![consumer.name.into(), Reply::bulk(consumer.pending.to_string())]));
    let pending = Reply::Integer(group.pending as i64);
    Ok(Reply::Array(vec![pending, ids::reply(first.id), ids::reply(last.id), Reply::array(consumers)]).into())
}

fn list(context: &mut Context<'_>, group: &mut Group, listed: &Listed<'_>) -> Result<Outcome> {
    let consumer = match listed.consumer {
        None => None,
        Some(name) => {
            let Some(index) = group.find_consumer(context.tx, name)? else { return Ok(Reply::EMPTY.into()) };
            group.consumer(index).cloned()
        }
    };
    let most = if listed.idle_ms > 0 { u64::MAX } else { listed.count };
    let all = consumer.as_ref().map_or(group.pending, |consumer| consumer.pending);
    context.weigh_elements(all.min(most))?;
    let mut walk = match &consumer {
        Some(consumer) => group.walk_owned(context.tx, consumer, listed.from, listed.to)?,
        None => group.walk_pending(context.tx, listed.from, listed.to)?,
    };
    let now_ms = context.tx.now_ms();
    let mut replies = Vec::new();
    while (replies.len() as u64) < listed.count {
        let pending = match &consumer {
            None => walk.next()?,
            Some(_) => match walk.next_id()? {
                None => None,
                Some(id) => group.pending_of(context.tx, id)?,
            },
        };
        let Some(pending) = pending else { break };
        let idle = idle_ms(&pending, now_ms);
        if idle >= listed.idle_ms {
            let name = group.name_of(context.tx, pending.consumer)?;
            replies.push(Reply::Array(vec![
                ids::reply(pending.id),
                name.into(),
                Reply::Integer(idle as i64),
                Reply::Integer(pending.deliveries as i64),
            ]));
        }
    }
    Ok(Reply::Array(replies).into())
}

// ---- XCLAIM ------------------------------------------------------------------------------

/// How XCLAIM changes what it claims.
struct Claim {
    delivered_ms: u64,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: Id,
}

impl Claim {
    fn parse(now_ms: u64, args: &mut Args<'_>) -> Result<Self> {
        let mut claim = Self { delivered_ms: now_ms, deliveries: None, force: false, just_id: false, last_id: Id::MIN };
        while let Some(option) = args.peek() {
            let has_argument = args.remaining() >= 2;
            if args.accept("FORCE") {
                claim.force = true;
            } else if args.accept("JUSTID") {
                claim.just_id = true;
            } else if has_argument && args.accept("IDLE") {
                let idle = integer_or(args.next()?, "ERR Invalid IDLE option argument for XCLAIM")?;
                claim.delivered_ms = sane(i64::try_from(now_ms).ok().and_then(|now| now.checked_sub(idle)), now_ms);
            } else if has_argument && args.accept("TIME") {
                let at = integer_or(args.next()?, "ERR Invalid TIME option argument for XCLAIM")?;
                claim.delivered_ms = sane(Some(at), now_ms);
            } else if has_argument && args.accept("RETRYCOUNT") {
                let count = integer_or(args.next()?, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                claim.deliveries = u64::try_from(count).ok();
            } else if has_argument && args.accept("LASTID") {
                claim.last_id = ids::exact(args.next()?)?;
            } else {
                let option = ids::shown(option);
                return Err(Error::client(format!("ERR Unrecognized XCLAIM option '{option}'")));
            }
        }
        Ok(claim)
    }
}

/// A time of delivery that a client worked out, perhaps by another clock: now, if it cannot be.
fn sane(at_ms: Option<i64>, now_ms: u64) -> u64 {
    at_ms.and_then(|at| u64::try_from(at).ok()).filter(|at| *at <= now_ms).unwrap_or(now_ms)
}

/// A least idle time; negative ones mean none.
fn min_idle(text: &[u8], error: &'static str) -> Result<u64> {
    Ok(integer_or(text, error)?.max(0).cast_unsigned())
}

pub(super) fn xclaim(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, name, consumer) = (args.key()?, args.next()?, args.next()?);
    let found = group_of(context, key, name)?;
    let (stream, mut group) = found.ok_or_else(|| ids::no_group(key, name, ""))?;
    let min_idle_ms = min_idle(args.next()?, "ERR Invalid min-idle-time argument for XCLAIM")?;
    let mut claimed = Vec::new();
    while let Some(id) = args.peek().and_then(|text| Id::parse(text, 0)) {
        claimed.push(id);
        args.next()?;
    }
    context.weigh_elements(claimed.len() as u64)?;
    let now_ms = context.tx.now_ms();
    let claim = Claim::parse(now_ms, args)?;
    context.replicate_no_more();
    if claim.last_id > group.last_id {
        group.set_last_id(claim.last_id, group.entries_read);
        effects::position(context, key, &group);
    }
    let to = consumer_of(context, key, &mut group, consumer)?;
    let mut replies = Vec::new();
    let place = Place { key, group: name, consumer };
    for id in claimed {
        let pending = group.pending_of(context.tx, id)?;
        let Some(entry) = stream.entry(context.tx, id)? else {
            if let Some(pending) = &pending {
                effects::pending(context, place, pending, group.last_id);
            }
            drop_deleted(context.tx, &mut group, pending)?;
            continue;
        };
        let fresh = Pending { id, consumer: 0, delivered_ms: now_ms, deliveries: 1 };
        let Some(found) = pending.or_else(|| claim.force.then_some(fresh)) else { continue };
        if pending.is_some() && idle_ms(&found, now_ms) < min_idle_ms {
            continue;
        }
        let counted = found.deliveries.saturating_add(u64::from(!claim.just_id));
        let deliveries = claim.deliveries.unwrap_or(counted);
        let after = Pending { delivered_ms: claim.delivered_ms, deliveries, ..found };
        take(context.tx, &mut group, pending, after, to)?;
        effects::pending(context, place, &after, group.last_id);
        replies.push(claimed_reply(&entry, claim.just_id)?);
    }
    group.save(context.tx)?;
    Ok(Reply::Array(replies).into())
}

/// What is pending of an entry that is no longer there cannot be claimed: it goes.
fn drop_deleted(tx: &mut Tx, group: &mut Group, pending: Option<Pending>) -> Result<()> {
    match pending {
        Some(pending) => group.release(tx, pending),
        None => Ok(()),
    }
}

fn take(tx: &mut Tx, group: &mut Group, before: Option<Pending>, after: Pending, to: ConsumerIndex) -> Result<()> {
    group.give(tx, before, after, to)?;
    group.note_active(to, tx.now_ms());
    Ok(())
}

fn claimed_reply(entry: &Entry, just_id: bool) -> Result<Reply> {
    if just_id { Ok(ids::reply(entry.id)) } else { ids::entry_reply(entry) }
}

// ---- XAUTOCLAIM --------------------------------------------------------------------------

pub(super) fn xautoclaim(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, name, consumer) = (args.key()?, args.next()?, args.next()?);
    let min_idle_ms = min_idle(args.next()?, "ERR Invalid min-idle-time argument for XAUTOCLAIM")?;
    let start = ids::start(args.next()?)?;
    let (mut count, mut just_id) = (AUTOCLAIM_COUNT, false);
    while !args.is_empty() {
        if args.remaining() >= 2 && args.accept("COUNT") {
            count = parse_i64(args.next()?)
                .filter(|count| (1..=AUTOCLAIM_COUNT_MAX).contains(count))
                .ok_or_else(|| Error::client("ERR COUNT must be > 0"))?;
        } else if args.accept("JUSTID") {
            just_id = true;
        } else {
            return Err(ClientError::Syntax.into());
        }
    }
    let found = group_of(context, key, name)?;
    let (stream, mut group) = found.ok_or_else(|| ids::no_group(key, name, ""))?;
    context.replicate_no_more();
    let place = Place { key, group: name, consumer };
    let to = consumer_of(context, key, &mut group, consumer)?;
    let mut attempts = count.saturating_mul(AUTOCLAIM_ATTEMPTS).cast_unsigned();
    context.weigh_elements(group.pending.min(attempts))?;
    let now_ms = context.tx.now_ms();
    let (mut claimed, mut deleted) = (Vec::new(), Vec::new());
    let mut walk = group.walk_pending(context.tx, start, Id::MAX)?;
    let next = loop {
        let Some(pending) = walk.next()? else { break Id::MIN };
        if attempts == 0 || claimed.len() + deleted.len() >= count as usize {
            break pending.id;
        }
        attempts -= 1;
        let Some(entry) = stream.entry(context.tx, pending.id)? else {
            effects::pending(context, place, &pending, group.last_id);
            group.release(context.tx, pending)?;
            deleted.push(ids::reply(pending.id));
            continue;
        };
        if idle_ms(&pending, now_ms) < min_idle_ms {
            continue;
        }
        let deliveries = pending.deliveries.saturating_add(u64::from(!just_id));
        let after = Pending { delivered_ms: now_ms, deliveries, ..pending };
        take(context.tx, &mut group, Some(pending), after, to)?;
        effects::pending(context, place, &after, group.last_id);
        claimed.push(claimed_reply(&entry, just_id)?);
    };
    group.save(context.tx)?;
    Ok(Reply::Array(vec![ids::reply(next), Reply::Array(claimed), Reply::Array(deleted)]).into())
}
