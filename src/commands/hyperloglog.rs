//! The commands on HyperLogLogs. Arguments in, reply out: the bytes are `types/hyperloglog`'s
//! affair, and they live in strings.

use crate::base::{Error, Result, random};
use crate::commands::command::{Command, Group, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{Access, key, text};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Encoding, Key, Tx, Wanted};
use crate::resp::Reply;
use crate::types::hyperloglog::{HyperLogLog, Layout, REGISTERS, Registers, cardinality};
use crate::types::string::StringValue;

pub static COMMANDS: &[Command] = &[
    Command {
        name: "PFADD",
        summary: "Adds elements to a HyperLogLog, creating it if missing.",
        since: "2.8.9",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Insert), text("element").many().optional()],
        run: pfadd,
        ..Command::of(Group::HyperLogLog)
    },
    Command {
        name: "PFCOUNT",
        summary: "Estimates how many distinct elements HyperLogLogs have seen together.",
        since: "2.8.9",
        complexity: "O(N)",
        flags: flags!(READONLY | MAY_REPLICATE),
        args: &[key("key", Access::Refresh).many()],
        run: pfcount,
        ..Command::of(Group::HyperLogLog)
    },
    Command {
        name: "PFDEBUG",
        summary: "Looks into the registers of a HyperLogLog, for tests.",
        since: "2.8.9",
        flags: flags!(WRITE | DENY_OOM | ADMIN | SYSTEM),
        args: &[text("subcommand"), key("key", Access::Refresh)],
        run: pfdebug,
        ..Command::of(Group::HyperLogLog)
    },
    Command {
        name: "PFMERGE",
        summary: "Joins HyperLogLogs into one.",
        since: "2.8.9",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("destkey", Access::Merge), key("sourcekey", Access::Read).many().optional()],
        run: pfmerge,
        ..Command::of(Group::HyperLogLog)
    },
    Command {
        name: "PFSELFTEST",
        summary: "Tests the HyperLogLog code against itself.",
        since: "2.8.9",
        flags: flags!(ADMIN | SYSTEM | LONG),
        run: pfselftest,
        ..Command::of(Group::HyperLogLog)
    },
];

/// The most bytes a HyperLogLog works on: its registers laid out.
const REGISTER_BYTES: u64 = REGISTERS as u64;

// ---- reading and changing one -----------------------------------------------------------

/// The HyperLogLog behind a key that is read.
fn read(context: &mut Context<'_>, user_key: &[u8]) -> Result<Option<HyperLogLog>> {
    match context.read::<StringValue>(user_key)? {
        Some(value) => Ok(Some(HyperLogLog::parse(&value.bytes(context.tx)?)?)),
        None => Ok(None),
    }
}

/// Changes the HyperLogLog behind a key that is there.
fn edit<R>(tx: &mut Tx, key: &Key, change: impl FnOnce(&mut HyperLogLog) -> Result<R>) -> Result<Option<R>> {
    tx.edit_existing::<StringValue, _>(key, |value, tx| {
        let old = value.bytes(tx)?;
        let mut sketch = HyperLogLog::parse(&old)?;
        let result = change(&mut sketch)?;
        sketch.store(value, tx, &old)?;
        Ok(result)
    })
}

/// Stores a HyperLogLog where there was none.
fn create(tx: &mut Tx, key: &Key, sketch: HyperLogLog) -> Result<()> {
    tx.replace(key, StringValue::new(Encoding::Raw, sketch.into_bytes().into()))?;
    tx.touch(key);
    tx.notify(Class::NEW, "new", key);
    Ok(())
}

fn pfadd(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let elements = args.rest();
    let limit = context.settings.hll_sparse_max_bytes;
    let changed = match edit(context.tx, &key, |sketch| add(sketch, elements, limit))? {
        Some(changed) => changed,
        None => {
            let mut sketch = HyperLogLog::new();
            add(&mut sketch, elements, limit)?;
            sketch.invalidate();
            create(context.tx, &key, sketch)?;
            true
        }
    };
    if changed {
        context.tx.notify(Class::STRING, "pfadd", &key);
    }
    Ok(Outcome::flag(changed))
}

/// Adds elements and says whether that changed anything.
fn add(sketch: &mut HyperLogLog, elements: &[&[u8]], limit: usize) -> Result<bool> {
    let mut changed = false;
    for element in elements {
        changed |= sketch.add(element, limit)?;
    }
    if changed {
        sketch.invalidate();
    }
    Ok(changed)
}

// ---- counting and merging -----------------------------------------------------------------

fn pfcount(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let keys = args.rest();
    if let [user_key] = keys {
        return count_one(context, user_key);
    }
    context.weigh(REGISTER_BYTES * keys.len() as u64)?;
    let mut merged = Box::new([0; REGISTERS]);
    for user_key in keys {
        if let Some(sketch) = read(context, user_key)? {
            sketch.merge_into(&mut merged)?;
        }
    }
    Ok(Outcome::integer(cardinality(&merged).cast_signed()))
}

/// Counts a single one, and keeps the count in it for the next time.
fn count_one(context: &mut Context<'_>, user_key: &[u8]) -> Result<Outcome> {
    let Some(sketch) = read(context, user_key)? else { return Ok(Outcome::integer(0)) };
    if let Some(count) = sketch.cached_count() {
        return Ok(Outcome::integer(count.cast_signed()));
    }
    let key = context.key(user_key);
    if !may_keep(context, &key) {
        return Ok(Outcome::integer(sketch.count()?.cast_signed()));
    }
    // Read again: it may have changed before its lock was had.
    let count = edit(context.tx, &key, |sketch| {
        let count = sketch.count()?;
        sketch.cache_count(count);
        Ok(count)
    })?;
    Ok(Outcome::integer(count.unwrap_or(0).cast_signed()))
}

/// Whether a reader may write the count into its key: if nobody holds the lock, and writes are
/// allowed at all. Otherwise the next reader counts again.
fn may_keep(context: &mut Context<'_>, key: &Key) -> bool {
    let wanted = Wanted::Some(std::iter::once(key.stripe()).collect());
    context.instance.writes_allowed(flags!(WRITE | DENY_OOM), context.settings).is_ok()
        && context.tx.locks().try_extend(&wanted)
}

fn pfmerge(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let target = context.key(args.key()?);
    let limit = context.settings.hll_sparse_max_bytes;
    let sources = args.rest();
    context.weigh(REGISTER_BYTES * sources.len() as u64)?;
    let mut merged = Box::new([0; REGISTERS]);
    let mut layout = Layout::Sparse;
    for source in std::iter::once(&target.user_key()).chain(sources) {
        if let Some(sketch) = read(context, source)? {
            sketch.merge_into(&mut merged)?;
            if sketch.layout() == Layout::Dense {
                layout = Layout::Dense;
            }
        }
    }
    let merged_into = edit(context.tx, &target, |sketch| raise_all(sketch, &merged, layout, limit))?;
    if merged_into.is_none() {
        let mut sketch = HyperLogLog::new();
        raise_all(&mut sketch, &merged, layout, limit)?;
        create(context.tx, &target, sketch)?;
    }
    context.tx.notify(Class::STRING, "pfadd", &target);
    Ok(Outcome::ok())
}

/// Raises a HyperLogLog to merged registers; dense if one of those merged was.
fn raise_all(sketch: &mut HyperLogLog, merged: &Registers, layout: Layout, limit: usize) -> Result<()> {
    if layout == Layout::Dense {
        sketch.make_dense()?;
    }
    for (register, count) in merged.iter().enumerate().filter(|(_, count)| **count > 0) {
        sketch.raise(register, *count, limit)?;
    }
    sketch.invalidate();
    Ok(())
}

// ---- looking inside -------------------------------------------------------------------------

fn pfdebug(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let word = args.next()?;
    let key = context.key(args.key()?);
    let Some(sketch) = context.tx.read::<StringValue>(&key)? else {
        return Err(Error::client("ERR The specified key does not exist"));
    };
    let sketch = HyperLogLog::parse(&sketch.bytes(context.tx)?)?;
    match word.to_ascii_lowercase().as_slice() {
        b"getreg" => {
            edit(context.tx, &key, HyperLogLog::make_dense)?;
            let registers = sketch.registers()?.iter().map(|count| i64::from(*count)).collect();
            Ok(Reply::Integers(registers).into())
        }
        b"decode" => match sketch.runs_as_text()? {
            Some(runs) => Ok(Outcome::bulk(runs)),
            None => Err(Error::client("ERR HLL encoding is not sparse")),
        },
        b"encoding" => {
            let name = if sketch.layout() == Layout::Dense { "dense" } else { "sparse" };
            Ok(Reply::simple(name).into())
        }
        b"todense" => {
            let converted = edit(context.tx, &key, HyperLogLog::make_dense)?;
            Ok(Outcome::flag(converted.unwrap_or(false)))
        }
        _ => {
            let word = String::from_utf8_lossy(word);
            Err(Error::client(format!("ERR Unknown PFDEBUG subcommand '{word}'")))
        }
    }
}

/// Elements that the test counts; checked at every power of ten.
const SELFTEST_ELEMENTS: u64 = 1_000_000;

fn pfselftest(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let limit = context.settings.hll_sparse_max_bytes;
    let seed = random::number();
    let mut sketch = HyperLogLog::new();
    let mut dense = HyperLogLog::new();
    dense.make_dense()?;
    let mut checkpoint = 1;
    for number in 1..=SELFTEST_ELEMENTS {
        let element = (number ^ seed).to_le_bytes();
        sketch.add(&element, limit)?;
        dense.add(&element, limit)?;
        if number == checkpoint {
            check(&sketch, &dense, number, limit)?;
            checkpoint *= 10;
        }
    }
    Ok(Outcome::ok())
}

/// Both layouts agree, the sparse one is kept as long as it should, and the count is about right.
fn check(sketch: &HyperLogLog, dense: &HyperLogLog, expected: u64, limit: usize) -> Result<()> {
    let failed = |why: String| Err(Error::client(format!("ERR TESTFAILED {why}")));
    if sketch.layout() != Layout::Sparse && expected < limit as u64 / 2 {
        return failed("sparse encoding not used".into());
    }
    let count = dense.count()?;
    if sketch.registers()? != dense.registers()? {
        return failed("dense/sparse disagree".into());
    }
    // Six standard errors; with ten elements a collision is likely enough to be let pass.
    let standard_error = 1.04 / (REGISTERS as f64).sqrt();
    let most = if expected == 10 { 1 } else { (standard_error * 6.0 * expected as f64).ceil() as u64 };
    if count.abs_diff(expected) > most {
        return failed(format!("Too big error. card:{expected} abserr:{}", count.abs_diff(expected)));
    }
    Ok(())
}
