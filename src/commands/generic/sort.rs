//! SORT and SORT_RO: the elements of a list, set or sorted set in order, by themselves or by
//! what other keys hold; and what other keys hold in their place.
//!
//! Patterns reach keys that the arguments do not name. They are read without locks, like
//! those of any reader: whoever changes one meanwhile lets the command run again, and if that
//! happens too often it runs alone (`Facts::reads_other_keys`).

use std::cmp::Ordering;

use bytes::Bytes;

use crate::base::number::{parse_double, parse_double_lenient};
use crate::base::{ClientError, Error, Result};
use crate::commands::command::Keys;
use crate::commands::context::{Context, Within};
use crate::commands::grammar::{Access, Begin, Find, KeySpec};
use crate::commands::list;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Key, Kind, Type};
use crate::resp::Reply;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::string::StringValue;
use crate::types::zset::ZSet;

/// Keys of a pattern that are brought into memory together.
const PRELOADED: usize = 256;

const OTHERS: KeySpec = KeySpec { begin: Begin::Unknown, find: Find::Unknown, access: Access::Read, incomplete: false };

/// Where the keys of SORT are, as far as the arguments tell.
pub(super) const KEYS: Keys = Keys::Given(
    &[
        FIRST,
        OTHERS,
        KeySpec { begin: Begin::Unknown, find: Find::Unknown, access: Access::Overwrite, incomplete: false },
    ],
    |args| {
        let mut keys = vec![(1, Access::Read)];
        keys.extend(destination(args).map(|position| (position, Access::Overwrite)));
        Some(keys)
    },
);

/// The same for SORT_RO.
pub(super) const READ_ONLY_KEYS: Keys = Keys::Given(&[FIRST, OTHERS], |_| Some(vec![(1, Access::Read)]));

const FIRST: KeySpec = KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: 0, step: 1, limit: 0 },
    access: Access::Read,
    incomplete: false,
};

/// Where the destination stands: the last one counts.
fn destination(args: &[&[u8]]) -> Option<usize> {
    let mut found = None;
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if is(b"STORE") && at + 1 < args.len() {
            found = Some(at + 1);
        }
        at += match () {
            () if is(b"LIMIT") => 3,
            () if is(b"GET") || is(b"BY") || is(b"STORE") => 2,
            () => 1,
        };
    }
    found
}

/// What is asked for.
struct Request<'a> {
    key: &'a [u8],
    by: Option<Pattern<'a>>,
    /// In the order of the source, unsorted.
    unsorted: bool,
    get: Vec<Pattern<'a>>,
    offset: i64,
    count: i64,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Reads the options. Patterns reach any key, so they are for users who may do so.
    fn parse(context: &Context<'_>, args: &mut Args<'a>, may_store: bool) -> Result<Self> {
        let words = args.all();
        let may_reach = || context.session.may_read_any_key(context.entry, words);
        let mut request = Self {
            key: args.key()?,
            by: None,
            unsorted: false,
            get: Vec::new(),
            offset: 0,
            count: -1,
            descending: false,
            alpha: false,
            store: None,
        };
        while !args.is_empty() {
            let behind = args.remaining() - 1;
            if args.accept("ASC") {
                request.descending = false;
            } else if args.accept("DESC") {
                request.descending = true;
            } else if args.accept("ALPHA") {
                request.alpha = true;
            } else if behind >= 2 && args.accept("LIMIT") {
                (request.offset, request.count) = (args.integer()?, args.integer()?);
            } else if may_store && behind >= 1 && args.accept("STORE") {
                request.store = Some(args.next()?);
            } else if behind >= 1 && args.accept("BY") {
                let pattern = args.next()?;
                request.unsorted = !pattern.contains(&b'*');
                if !request.unsorted && !may_reach() {
                    return Err(denied("BY"));
                }
                request.by = (!request.unsorted).then(|| Pattern::of(pattern));
            } else if behind >= 1 && args.accept("GET") {
                if !may_reach() {
                    return Err(denied("GET"));
                }
                request.get.push(Pattern::of(args.next()?));
            } else {
                return Err(ClientError::Syntax.into());
            }
        }
        Ok(request)
    }

    /// The part of `len` elements that LIMIT leaves.
    fn limits(&self, len: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset.max(0)).unwrap_or(len).min(len);
        let count = usize::try_from(self.count).unwrap_or(len);
        start..start.saturating_add(count).min(len)
    }
}

fn denied(option: &str) -> Error {
    Error::client(format!("ERR {option} option of SORT denied due to insufficient ACL permissions."))
}

/// Where a value is found, given an element: `#`, `name_*` or `name_*->field`.
enum Pattern<'a> {
    Element,
    /// A pattern without a place for the element finds nothing.
    Nothing,
    Key {
        before: &'a [u8],
        behind: &'a [u8],
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    fn of(pattern: &'a [u8]) -> Self {
        if pattern == b"#" {
            return Self::Element;
        }
        let Some(star) = pattern.iter().position(|byte| *byte == b'*') else { return Self::Nothing };
        let (before, rest) = (&pattern[..star], &pattern[star + 1..]);
        let arrow = rest.windows(2).position(|pair| pair == b"->").filter(|arrow| arrow + 2 < rest.len());
        match arrow {
            Some(arrow) => Self::Key { before, behind: &rest[..arrow], field: Some(&rest[arrow + 2..]) },
            None => Self::Key { before, behind: rest, field: None },
        }
    }

    /// The key that holds the value for an element.
    fn key(&self, context: &Context<'_>, element: &[u8]) -> Option<Key> {
        let Self::Key { before, behind, .. } = self else { return None };
        Some(context.key(&[before, element, behind].concat()))
    }

    /// The values for elements.
    fn values(&self, context: &mut Context<'_>, elements: &[Bytes]) -> Result<Vec<Option<Bytes>>> {
        let mut values = Vec::with_capacity(elements.len());
        for page in elements.chunks(PRELOADED) {
            let keys: Vec<Key> = page.iter().filter_map(|element| self.key(context, element)).collect();
            context.tx.preload(&keys)?;
            for element in page {
                values.push(self.value(context, element)?);
            }
        }
        Ok(values)
    }

    fn value(&self, context: &mut Context<'_>, element: &Bytes) -> Result<Option<Bytes>> {
        let field = match self {
            Self::Element => return Ok(Some(element.clone())),
            Self::Nothing => return Ok(None),
            Self::Key { field, .. } => field,
        };
        let Some(key) = self.key(context, element) else { return Ok(None) };
        let kind = context.tx.record(&key)?.map(|record| record.kind);
        match (kind, field) {
            (Some(Type::String), None) => match context.tx.read::<StringValue>(&key)? {
                Some(value) => value.bytes(context.tx).map(Some),
                None => Ok(None),
            },
            (Some(Type::Hash), Some(field)) => match Hash::read(context.tx, &key)? {
                Some(hash) => hash.get(context.tx, field),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }
}

pub(super) fn sort(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let request = Request::parse(context, args, true)?;
    run(context, request)
}

pub(super) fn sort_ro(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let request = Request::parse(context, args, false)?;
    run(context, request)
}

fn run(context: &mut Context<'_>, mut request: Request<'_>) -> Result<Outcome> {
    let elements = sorted(context, &mut request)?;
    let mut columns = Vec::with_capacity(request.get.len());
    for pattern in &request.get {
        columns.push(pattern.values(context, &elements)?);
    }
    let rows =
        || (0..elements.len()).flat_map(|row| columns.iter().map(move |column| column.get(row).cloned().flatten()));
    match request.store {
        Some(destination) if columns.is_empty() => store(context, destination, &elements),
        Some(destination) => store(context, destination, &rows().map(Option::unwrap_or_default).collect::<Vec<_>>()),
        None if columns.is_empty() => Ok(Reply::Bulks(elements).into()),
        None => Ok(Reply::OptionalBulks(rows().collect()).into()),
    }
}

/// The elements of the reply, in order.
fn sorted(context: &mut Context<'_>, request: &mut Request<'_>) -> Result<Vec<Bytes>> {
    let mut elements = elements(context, request)?;
    if !request.unsorted {
        elements = by_weight(context, request, elements)?;
    }
    let limits = request.limits(elements.len());
    elements.truncate(limits.end);
    Ok(elements.split_off(limits.start))
}

/// The elements of the source. Unsorted ones come as they stand there, from the end if descending.
fn elements(context: &mut Context<'_>, request: &mut Request<'_>) -> Result<Vec<Bytes>> {
    let key = context.key(request.key);
    let Some(record) = context.read_record(&key)? else { return Ok(Vec::new()) };
    let each = 1 + u64::from(request.by.is_some()) + request.get.len() as u64;
    let mut elements = match record.kind {
        List::TYPE => {
            let Some(list) = context.tx.read::<List>(&key)? else { return Ok(Vec::new()) };
            context.weigh_elements(list.len().saturating_mul(each))?;
            list.range(context.tx, 0..list.len())?
        }
        Set::TYPE => {
            let Some(set) = context.tx.read::<Set>(&key)? else { return Ok(Vec::new()) };
            context.weigh_elements(set.len().saturating_mul(each))?;
            if request.unsorted && (request.store.is_some() || context.within == Within::Script) {
                // What is stored, or comes of a script, does not depend on the order of a set.
                (request.unsorted, request.alpha, request.by) = (false, true, None);
            }
            set.all(context.tx)?
        }
        ZSet::TYPE => {
            let Some(set) = context.tx.read::<ZSet>(&key)? else { return Ok(Vec::new()) };
            context.weigh_elements(set.len().saturating_mul(each))?;
            set.all(context.tx)?.into_iter().map(|(member, _)| member).collect()
        }
        _ => return Err(ClientError::WrongType.into()),
    };
    if request.unsorted && request.descending && record.kind != Type::Set {
        elements.reverse();
    }
    Ok(elements)
}

/// Sorts by the elements themselves or what a pattern finds for them.
fn by_weight(context: &mut Context<'_>, request: &Request<'_>, elements: Vec<Bytes>) -> Result<Vec<Bytes>> {
    let weights = match &request.by {
        None => None,
        Some(pattern) => Some(pattern.values(context, &elements)?),
    };
    let turn = |order: Ordering| if request.descending { order.reverse() } else { order };
    if request.alpha {
        // What is stored is compared whole; else Redis compares as strcoll does, up to the first NUL.
        let compared: fn(&[u8]) -> &[u8] = if request.store.is_some() { |text| text } else { up_to_nul };
        let Some(weights) = weights else {
            let mut elements = elements;
            elements.sort_by(|one, other| turn(compared(one).cmp(compared(other))));
            return Ok(elements);
        };
        let mut weighed: Vec<(Option<Bytes>, Bytes)> = weights.into_iter().zip(elements).collect();
        weighed.sort_by(|one, other| turn(one.0.as_deref().map(compared).cmp(&other.0.as_deref().map(compared))));
        return Ok(weighed.into_iter().map(|(_, element)| element).collect());
    }
    let mut weighed = Vec::with_capacity(elements.len());
    for (index, element) in elements.into_iter().enumerate() {
        let weight = match &weights {
            None => number(&element)?,
            Some(weights) => weights.get(index).and_then(Option::as_deref).map_or(Ok(0.0), number)?,
        };
        weighed.push((weight, element));
    }
    weighed.sort_by(|one, other| {
        turn(one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal).then_with(|| one.1.cmp(&other.1)))
    });
    Ok(weighed.into_iter().map(|(_, element)| element).collect())
}

fn up_to_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A weight, as `strtod` reads it: nothing is zero, and white space may lead.
fn number(text: &[u8]) -> Result<f64> {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r')).unwrap_or(0);
    let number = if text.is_empty() { parse_double_lenient(text) } else { parse_double(&text[start..]) };
    number.ok_or_else(|| Error::client("ERR One or more scores can't be converted into double"))
}

/// Makes the result a list; an empty one deletes the destination.
fn store(context: &mut Context<'_>, destination: &[u8], elements: &[Bytes]) -> Result<Outcome> {
    let key = context.key(destination);
    if elements.is_empty() {
        super::whole::delete(context.tx, &key)?;
        return Ok(Outcome::count(0));
    }
    let limits = list::limits(context);
    let borrowed: Vec<&[u8]> = elements.iter().map(|element| &element[..]).collect();
    let result = List::of(context.tx, &borrowed, limits)?;
    context.tx.replace(&key, result)?;
    context.tx.touch(&key);
    context.tx.notify(Class::LIST, "sortstore", &key);
    Ok(Outcome::count(elements.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_is_behind_store_but_not_behind_another_word() {
        let words = |line: &'static str| -> Vec<&'static [u8]> { line.split(' ').map(str::as_bytes).collect() };
        assert_eq!(destination(&words("SORT k STORE d")), Some(3));
        assert_eq!(destination(&words("SORT k GET store BY store")), None);
        assert_eq!(destination(&words("SORT k LIMIT store store STORE a store b")), Some(8));
        assert_eq!(destination(&words("SORT k STORE")), None);
        assert_eq!(destination(&words("SORT store d")), None);
    }

    #[test]
    fn numbers_are_read_as_strtod_does() {
        assert_eq!(number(b"").ok(), Some(0.0));
        assert_eq!(number(b" 1.5").ok(), Some(1.5));
        assert_eq!(number(b"-inf").ok(), Some(f64::NEG_INFINITY));
        for text in [&b"x"[..], b"1 ", b"nan", b"1e999", b" "] {
            assert!(number(text).is_err(), "{text:?}");
        }
    }
}
