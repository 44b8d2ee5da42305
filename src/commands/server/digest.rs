//! DEBUG DIGEST and DEBUG DIGEST-VALUE: fingerprints of values that do not depend on how they are
//! stored, the same as Redis'. Tests compare servers by them.
//!
//! What has an order is *mixed* in: the digest becomes the hash of what it was, combined with
//! the hash of the new. What has none is *added*: the hashes are combined, whatever their order.

use bytes::Bytes;
use sha1::{Digest as _, Sha1};

use crate::base::Result;
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Direction, Key, Record, Tx, Type};
use crate::resp::Reply;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::stream::{Id, Stream};
use crate::types::string::StringValue;
use crate::types::zset::ZSet;

/// Elements of a list that are read together.
const PAGE: u64 = 1024;

/// A fingerprint in the making.
#[derive(Clone, Copy, Default)]
pub(super) struct Digest([u8; 20]);

impl Digest {
    /// Something among others without an order.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let hash = Sha1::digest(bytes);
        self.0.iter_mut().zip(hash).for_each(|(own, new)| *own ^= new);
    }

    /// Something that comes next.
    pub(super) fn mix(&mut self, bytes: &[u8]) {
        self.add(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    /// Of several parts in order.
    fn of(parts: &[&[u8]]) -> Self {
        let mut digest = Self::default();
        parts.iter().for_each(|part| digest.mix(part));
        digest
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// DEBUG DIGEST: of everything.
pub(super) fn whole(context: &mut Context<'_>) -> Result<Outcome> {
    let mut all = Digest::default();
    for db in 0..context.instance.store.database_count() {
        let mut walk = context.tx.walk(db, b"", None)?;
        let mut is_empty = true;
        while let Some((name, record)) = walk.next()? {
            if is_empty {
                all.mix(&db.to_be_bytes());
                is_empty = false;
            }
            let key = context.tx.key(db, &name);
            let mut digest = Digest::default();
            digest.mix(&name);
            mix_value(context.tx, &key, &record, &mut digest)?;
            all.add(&digest.0);
        }
    }
    Ok(Reply::simple(all.to_string()).into())
}

/// DEBUG DIGEST-VALUE: of the values of keys; zeros for one that is not there.
pub(super) fn values(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let mut digests = Vec::new();
    for name in args.rest() {
        let key = context.key(name);
        let mut digest = Digest::default();
        if let Some(record) = context.tx.record(&key)? {
            mix_value(context.tx, &key, &record, &mut digest)?;
        }
        digests.push(Reply::simple(digest.to_string()));
    }
    Ok(Reply::Array(digests).into())
}

/// Redis' numbers for the types.
fn type_number(kind: Type) -> u32 {
    match kind {
        Type::String => 0,
        Type::List => 1,
        Type::Set => 2,
        Type::SortedSet => 3,
        Type::Hash => 4,
        Type::Stream => 6,
    }
}

fn mix_value(tx: &mut Tx, key: &Key, record: &Record, digest: &mut Digest) -> Result<()> {
    digest.mix(&type_number(record.kind).to_be_bytes());
    match record.kind {
        Type::String => {
            if let Some(value) = tx.read::<StringValue>(key)? {
                digest.mix(&value.bytes(tx)?);
            }
        }
        Type::List => {
            if let Some(list) = tx.read::<List>(key)? {
                mix_list(tx, &list, digest)?;
            }
        }
        Type::Set => {
            if let Some(set) = tx.read::<Set>(key)? {
                let mut walk = set.walk(tx)?;
                while let Some(member) = walk.next()? {
                    digest.add(&member);
                }
            }
        }
        Type::Hash => {
            if let Some(hash) = Hash::read(tx, key)? {
                add_fields(tx, &hash, digest)?;
            }
        }
        Type::SortedSet => {
            if let Some(set) = tx.read::<ZSet>(key)? {
                for (member, score) in set.all(tx)? {
                    digest.add(&Digest::of(&[&member, seventeen_digits(score).as_bytes()]).0);
                }
            }
        }
        Type::Stream => {
            if let Some(stream) = tx.read::<Stream>(key)? {
                mix_stream(tx, &stream, digest)?;
            }
        }
    }
    if record.expire_at_ms.is_some() {
        digest.add(b"!!expire!!");
    }
    Ok(())
}

fn mix_list(tx: &mut Tx, list: &List, digest: &mut Digest) -> Result<()> {
    let mut from = 0;
    while from < list.len() {
        let page: Vec<Bytes> = list.range(tx, from..from + PAGE)?;
        page.iter().for_each(|element| digest.mix(element));
        from += PAGE;
    }
    Ok(())
}

fn mix_stream(tx: &mut Tx, stream: &Stream, digest: &mut Digest) -> Result<()> {
    let mut walk = stream.walk(tx, Id::MIN, Id::MAX, Direction::Forward)?;
    while let Some(entry) = walk.next()? {
        digest.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
        entry.pairs()?.iter().for_each(|string| digest.mix(string));
    }
    Ok(())
}

/// A score as C prints it with `%.17g`.
fn seventeen_digits(score: f64) -> String {
    let text = format!("{score:.16e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let power: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    if (-4..17).contains(&power) {
        let decimals = usize::try_from(16 - power).unwrap_or(0);
        let plain = format!("{score:.decimals$}");
        return if decimals > 0 { trimmed(&plain) } else { plain };
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), power.abs())
}

fn add_fields(tx: &mut Tx, hash: &Hash, digest: &mut Digest) -> Result<()> {
    for (field, value) in hash.all(tx)? {
        let mut element = Digest::of(&[&field, &value]);
        if hash.deadline(tx, &field)?.flatten().is_some() {
            element.add(b"!!hexpire!!");
        }
        digest.add(&element.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_seventeen_digits() {
        let cases = [
            (0.0, "0"),
            (-2.5, "-2.5"),
            (0.1, "0.10000000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (1e-4, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (score, text) in cases {
            assert_eq!(seventeen_digits(score), text);
        }
    }

    #[test]
    fn a_mixed_digest_depends_on_the_order_and_an_added_one_does_not() {
        let digest = |parts: &[&[u8]], mixed: bool| {
            let mut digest = Digest::default();
            parts.iter().for_each(|part| if mixed { digest.mix(part) } else { digest.add(part) });
            digest.to_string()
        };
        assert_ne!(digest(&[b"a", b"b"], true), digest(&[b"b", b"a"], true));
        assert_eq!(digest(&[b"a", b"b"], false), digest(&[b"b", b"a"], false));
        assert_eq!(digest(&[b"abc"], false), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
