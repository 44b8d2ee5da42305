//! One sorted set by its members: ZADD, ZINCRBY, ZREM, ZSCORE, ZRANK, ZRANDMEMBER, ZSCAN …

use bytes::Bytes;

use super::limits;
use crate::base::number::{format_double, parse_double};
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::element_scan::{self, ElementScan};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Class;
use crate::resp::Reply;
use crate::types::zset::{Rules, Written, ZSet};

/// Members with repetitions that one ZRANDMEMBER may ask for.
const MOST_REPEATED: u64 = 10_000_000;

pub(super) fn zadd(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let mut rules = Rules::default();
    let mut counts_changes = false;
    loop {
        if args.accept("NX") {
            rules.new_only = true;
        } else if args.accept("XX") {
            rules.present_only = true;
        } else if args.accept("GT") {
            rules.greater = true;
        } else if args.accept("LT") {
            rules.less = true;
        } else if args.accept("CH") {
            counts_changes = true;
        } else if args.accept("INCR") {
            rules.increment = true;
        } else {
            break;
        }
    }
    let pairs = args.rest();
    check(rules, pairs.len())?;
    write(context, key, pairs, rules, counts_changes)
}

pub(super) fn zincrby(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    write(context, key, args.rest(), Rules { increment: true, ..Rules::default() }, false)
}

/// Whether the options go together.
fn check(rules: Rules, words: usize) -> Result<()> {
    if words == 0 || !words.is_multiple_of(2) {
        return Err(ClientError::Syntax.into());
    }
    if rules.new_only && rules.present_only {
        return Err(Error::client("ERR XX and NX options at the same time are not compatible"));
    }
    let exclusive = [rules.greater, rules.less, rules.new_only];
    if exclusive.into_iter().filter(|given| *given).count() > 1 {
        return Err(Error::client("ERR GT, LT, and/or NX options at the same time are not compatible"));
    }
    if rules.increment && words > 2 {
        return Err(Error::client("ERR INCR option supports a single increment-element pair"));
    }
    Ok(())
}

fn write(
    context: &mut Context<'_>,
    key: &[u8],
    pairs: &[&[u8]],
    rules: Rules,
    counts_changes: bool,
) -> Result<Outcome> {
    let (pairs, _) = pairs.as_chunks::<2>();
    let mut elements = Vec::with_capacity(pairs.len());
    for [score, member] in pairs {
        elements.push((parse_double(score).ok_or(ClientError::NotFloat)?, *member));
    }
    let written = put(context, key, &elements, rules)?;
    if rules.increment {
        let score = written.first().and_then(|written| match written {
            Written::Nothing => None,
            Written::Same(score) | Written::Added(score) | Written::Updated(score) => Some(*score),
        });
        return Ok(Reply::optional_double(score).into());
    }
    Ok(Outcome::count(written.iter().filter(|written| is_counted(written, counts_changes)).count()))
}

/// Whether ZADD and GEOADD count an element in their reply.
fn is_counted(written: &Written, counts_changes: bool) -> bool {
    matches!(written, Written::Added(_)) || (counts_changes && matches!(written, Written::Updated(_)))
}

/// Writes elements to a key and tells of it: what ZADD, ZINCRBY and GEOADD share.
fn put(context: &mut Context<'_>, key: &[u8], elements: &[(f64, &[u8])], rules: Rules) -> Result<Vec<Written>> {
    context.weigh_elements(elements.len() as u64)?;
    let limits = limits(context);
    let change = |set: &mut ZSet, tx: &mut crate::keyspace::Tx, key: &crate::keyspace::Key| {
        let written = set.write(tx, elements, rules, limits)?;
        if written.iter().any(|written| is_counted(written, true)) {
            tx.notify(Class::SORTED_SET, if rules.increment { "zincr" } else { "zadd" }, key);
        }
        Ok(written)
    };
    if rules.present_only {
        let written = context.edit_existing(key, change)?;
        return Ok(written.unwrap_or_else(|| vec![Written::Nothing; elements.len()]));
    }
    context.edit(key, change)
}

/// GEOADD's door to the same: how many elements it counts.
pub(in crate::commands) fn add(
    context: &mut Context<'_>,
    key: &[u8],
    elements: &[(f64, &[u8])],
    rules: Rules,
    counts_changes: bool,
) -> Result<usize> {
    check(rules, 2 * elements.len())?;
    let written = put(context, key, elements, rules)?;
    Ok(written.iter().filter(|written| is_counted(written, counts_changes)).count())
}

pub(super) fn zrem(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let members = args.rest();
    context.weigh_elements(members.len() as u64)?;
    let removed = context.edit_existing::<ZSet, _>(key, |set, tx, key| {
        let removed = set.remove(tx, members)?;
        if removed > 0 {
            tx.notify(Class::SORTED_SET, "zrem", key);
        }
        Ok(removed)
    })?;
    Ok(Outcome::integer(removed.unwrap_or(0) as i64))
}

pub(super) fn zcard(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let set = context.read::<ZSet>(args.key()?)?;
    Ok(Outcome::integer(set.map_or(0, |set| set.len() as i64)))
}

pub(super) fn zscore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, member) = (args.key()?, args.next()?);
    let Some(set) = context.read::<ZSet>(key)? else { return Ok(Outcome::nil()) };
    Ok(Reply::optional_double(set.score(context.tx, member)?).into())
}

pub(super) fn zmscore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let members = args.rest();
    context.weigh_elements(members.len() as u64)?;
    let scores = match context.read::<ZSet>(key)? {
        None => vec![None; members.len()],
        Some(set) => set.scores(context.tx, members)?,
    };
    Ok(Reply::array(scores.into_iter().map(Reply::optional_double)).into())
}

pub(super) fn zrank(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    rank(context, args, false)
}

pub(super) fn zrevrank(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    rank(context, args, true)
}

fn rank(context: &mut Context<'_>, args: &mut Args<'_>, reverse: bool) -> Result<Outcome> {
    let (key, member) = (args.key()?, args.next()?);
    if args.remaining() > 1 {
        return Err(ClientError::Arity(context.command_name().to_owned()).into());
    }
    let with_score = !args.is_empty();
    if with_score && !args.accept("WITHSCORE") {
        return Err(ClientError::Syntax.into());
    }
    let nothing = if with_score { Reply::NilArray } else { Reply::Nil };
    let Some(set) = context.read::<ZSet>(key)? else { return Ok(nothing.into()) };
    let Some((rank, score)) = set.rank(context.tx, member)? else { return Ok(nothing.into()) };
    let rank = if reverse { set.len().saturating_sub(rank.saturating_add(1)) } else { rank };
    let rank = Reply::Integer(rank as i64);
    Ok(if with_score { Reply::Array(vec![rank, Reply::Double(score)]) } else { rank }.into())
}

pub(super) fn zrandmember(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    if args.is_empty() {
        let Some(set) = context.read::<ZSet>(key)? else { return Ok(Outcome::nil()) };
        let drawn = set.sample(context.tx, 1)?;
        return Ok(Outcome::optional(drawn.into_iter().next().map(|(member, _)| member)));
    }
    let count = args.integer()?;
    if count == i64::MIN {
        let text = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
        return Err(Error::client(text));
    }
    let with_scores = !args.is_empty();
    if with_scores && !(args.accept("WITHSCORES") && args.is_empty()) {
        return Err(ClientError::Syntax.into());
    }
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(ClientError::OutOfRange.into());
    }
    let Some(set) = context.read::<ZSet>(key)? else { return Ok(Reply::EMPTY.into()) };
    context.weigh_elements(element_scan::drawing(count, set.len()))?;
    let chosen = if count >= 0 {
        set.sample(context.tx, count.unsigned_abs())?
    } else if count.unsigned_abs() <= MOST_REPEATED {
        set.draws(context.tx, count.unsigned_abs())?
    } else {
        return Err(ClientError::OutOfRange.into());
    };
    Ok(super::elements(chosen, with_scores).into())
}

pub(super) fn zscan(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let cursor = element_scan::cursor(args)?;
    let Some(set) = context.read::<ZSet>(key)? else { return Ok(element_scan::nothing()) };
    let scan = ElementScan::parse(args, false)?;
    context.weigh_elements(set.len().min(scan.count as u64))?;
    let (cursor, elements) = set.page(context.tx, cursor, scan.count)?;
    let mut shown: Vec<Bytes> = Vec::with_capacity(2 * elements.len());
    for (member, score) in elements {
        if scan.wants(&member) {
            shown.push(member);
            shown.push(Bytes::copy_from_slice(&format_double(score)));
        }
    }
    Ok(element_scan::page(cursor, shown))
}
