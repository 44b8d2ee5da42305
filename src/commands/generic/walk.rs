//! Walks over all keys: SCAN, KEYS, RANDOMKEY. A pattern that begins literally reads only the
//! keys that begin so.

use bytes::Bytes;

use crate::base::number::{parse_i64, parse_u64_lenient};
use crate::base::{ClientError, Result, glob};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Record;
use crate::resp::Reply;

/// Keys that a SCAN looks at unless told otherwise.
const DEFAULT_COUNT: usize = 10;
/// Keys that one SCAN looks at however many are asked for; the client goes on from there.
const MAX_COUNT: i64 = 1 << 20;

pub(super) fn scan(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let position = cursor(args.next()?)?;
    let mut pattern: Option<&[u8]> = None;
    let mut count = DEFAULT_COUNT;
    let mut kind: Option<&[u8]> = None;
    while !args.is_empty() {
        if args.accept("MATCH") {
            pattern = Some(args.next()?);
        } else if args.accept("COUNT") {
            let number = parse_i64(args.next()?).ok_or(ClientError::NotInteger)?;
            if number < 1 {
                return Err(ClientError::Syntax.into());
            }
            count = number.min(MAX_COUNT) as usize;
        } else if args.accept("TYPE") {
            kind = Some(args.next()?);
        } else {
            return Err(ClientError::Syntax.into());
        }
    }
    let prefix = pattern.map(glob::literal_prefix).unwrap_or_default();
    let keep = |key: &[u8], record: &Record| {
        pattern.is_none_or(|pattern| glob::matches(pattern, key, false))
            && kind.is_none_or(|kind| record.kind.name().as_bytes().eq_ignore_ascii_case(kind))
    };
    let page = context.tx.scan_keys(context.session.db, position, &prefix, count, keep)?;
    let cursor = Reply::bulk(page.cursor.to_string());
    Ok(Reply::array([cursor, Reply::Bulks(page.keys)]).into())
}

/// A cursor as `strtoul` reads it: a negative number is a large one, no digits are 0.
fn cursor(word: &[u8]) -> Result<u64> {
    if word.is_empty() {
        return Ok(0);
    }
    let wrapped = || parse_i64(word).map(i64::cast_unsigned);
    Ok(parse_u64_lenient(word).or_else(wrapped).ok_or(ClientError::InvalidCursor)?)
}

pub(super) fn keys(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let pattern = args.next()?;
    let prefix = glob::literal_prefix(pattern);
    let mut walk = context.tx.walk(context.session.db, &prefix, None)?;
    let mut found: Vec<Bytes> = Vec::new();
    while let Some((key, _)) = walk.next()? {
        if glob::matches(pattern, &key, false) {
            found.push(key);
        }
    }
    Ok(Reply::Bulks(found).into())
}

pub(super) fn randomkey(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let key = context.tx.random_key(context.session.db)?;
    Ok(Outcome::optional(key))
}
