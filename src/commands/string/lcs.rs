//! LCS: the longest common subsequence of two strings, by the table of its lengths over all
//! pairs of prefixes; walked backwards it gives the text and the ranges that match.

use bytes::Bytes;

use super::whole;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Type;
use crate::resp::Reply;

/// Bytes of a table's cell.
const CELL_BYTES: u64 = size_of::<u32>() as u64;

#[derive(Debug, Default)]
struct Options {
    only_length: bool,
    indexes: bool,
    with_match_length: bool,
    least_match_length: u32,
}

impl Options {
    fn parse(args: &mut Args<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !args.is_empty() {
            if args.accept("IDX") {
                options.indexes = true;
            } else if args.accept("LEN") {
                options.only_length = true;
            } else if args.accept("WITHMATCHLEN") {
                options.with_match_length = true;
            } else if args.accept("MINMATCHLEN") {
                // Longer than any match is as good as the longest there can be.
                options.least_match_length = u32::try_from(args.integer()?.max(0)).unwrap_or(u32::MAX);
            } else {
                return Err(ClientError::Syntax.into());
            }
        }
        if options.only_length && options.indexes {
            return Err(Error::client("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

pub(super) fn lcs(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (one, other) = (args.key()?, args.key()?);
    let texts = [text(context, one)?, text(context, other)?];
    let [Some(one), Some(other)] = texts else {
        return Err(Error::client("ERR The specified keys must contain string values"));
    };
    let options = Options::parse(args)?;
    let cells = cells(&one, &other, context.settings.proto_max_bulk_len)?;
    context.weigh(cells)?;
    let table = Table::fill(&one, &other)?;
    if options.only_length {
        return Ok(Outcome::integer(table.length(one.len(), other.len())));
    }
    let walk = table.walk(&one, &other);
    if !options.indexes {
        return Ok(Outcome::bulk(walk.text));
    }
    let long_enough = |found: &&Match| found.length >= options.least_match_length;
    let matches = walk.matches.iter().filter(long_enough).map(|found| found.reply(options.with_match_length));
    Ok(Reply::named([
        ("matches", Reply::array(matches)),
        ("len", Reply::Integer(table.length(one.len(), other.len()).into())),
    ])
    .into())
}

/// A key's text, empty if it is not there; `None` if it holds something else.
fn text(context: &mut Context<'_>, key: &[u8]) -> Result<Option<Bytes>> {
    let key = context.key(key);
    match context.read_record(&key)? {
        None => Ok(Some(Bytes::new())),
        Some(record) if record.kind == Type::String => whole(context, &key, record).map(Some),
        Some(_) => Ok(None),
    }
}

/// How many cells the table has, within the limit on its bytes.
fn cells(one: &[u8], other: &[u8], limit_bytes: u64) -> Result<u64> {
    let cells = (one.len() as u64 + 1).checked_mul(other.len() as u64 + 1);
    match cells.filter(|cells| cells.checked_mul(CELL_BYTES).is_some_and(|bytes| bytes <= limit_bytes)) {
        Some(cells) => Ok(cells),
        None => Err(Error::client("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")),
    }
}

/// Lengths of the longest common subsequences of all pairs of prefixes, row by row.
struct Table {
    lengths: Vec<u32>,
    width: usize,
}

impl Table {
    fn fill(one: &[u8], other: &[u8]) -> Result<Self> {
        let width = other.len() + 1;
        let mut lengths = Vec::new();
        lengths
            .try_reserve_exact((one.len() + 1) * width)
            .map_err(|_| Error::client("ERR Insufficient memory, failed allocating transient memory for LCS"))?;
        lengths.resize((one.len() + 1) * width, 0);
        for (row, byte) in one.iter().enumerate() {
            let (above, below) = lengths.split_at_mut((row + 1) * width);
            let above = &above[row * width..];
            let below = &mut below[..width];
            for (column, another) in other.iter().enumerate() {
                below[column + 1] =
                    if byte == another { above[column] + 1 } else { above[column + 1].max(below[column]) };
            }
        }
        Ok(Self { lengths, width })
    }

    /// The length for the first `one` bytes and the first `other` bytes.
    fn length(&self, one: usize, other: usize) -> u32 {
        self.lengths[one * self.width + other]
    }

    /// The text itself and its matches, last one first.
    fn walk(&self, one: &[u8], other: &[u8]) -> Walk {
        let (mut i, mut j) = (one.len(), other.len());
        let mut text = vec![0; self.length(i, j) as usize];
        let mut left = text.len();
        let mut matches = Vec::new();
        let mut current: Option<Match> = None;
        while i > 0 && j > 0 && left > 0 {
            if one[i - 1] == other[j - 1] {
                (i, j, left) = (i - 1, j - 1, left - 1);
                text[left] = one[i];
                current = Some(match current.take() {
                    Some(run) if run.touches(i, j) => run.extended(),
                    run => {
                        matches.extend(run);
                        Match { one: i as u32, other: j as u32, length: 1 }
                    }
                });
            } else {
                if self.length(i - 1, j) > self.length(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
                matches.extend(current.take());
            }
        }
        matches.extend(current);
        Walk { text, matches }
    }
}

struct Walk {
    text: Vec<u8>,
    matches: Vec<Match>,
}

/// A run of bytes that both strings share, by where it starts in each.
#[derive(Debug, Clone, Copy)]
struct Match {
    one: u32,
    other: u32,
    length: u32,
}

impl Match {
    /// Whether it continues right behind these positions.
    fn touches(self, one: usize, other: usize) -> bool {
        self.one as usize == one + 1 && self.other as usize == other + 1
    }

    /// With the byte before it.
    fn extended(self) -> Self {
        Self { one: self.one - 1, other: self.other - 1, length: self.length + 1 }
    }

    fn reply(self, with_length: bool) -> Reply {
        let range = |start: u32| {
            let last = i64::from(start) + i64::from(self.length) - 1;
            Reply::Array(vec![Reply::Integer(start.into()), Reply::Integer(last)])
        };
        let mut parts = vec![range(self.one), range(self.other)];
        if with_length {
            parts.push(Reply::Integer(self.length.into()));
        }
        Reply::Array(parts)
    }
}
