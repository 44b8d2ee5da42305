//! DUMP and RESTORE: a value as bytes that any Redis of the time understands, and back.

use crate::base::number::{format_u64, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::encoding::rdb::{PayloadReader, PayloadWriter};
use crate::keyspace::{Class, Key, Record, Tx, Use};
use crate::transfer::{Builder, Head, Limits, Piece, TransferError, export};

pub(super) fn dump(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let Some(record) = context.read_record(&key)? else { return Ok(Outcome::nil()) };
    if record.object().is_some() {
        // How much lies behind it is not known yet, and it is all going to be read.
        context.weigh(u64::MAX)?;
    }
    Ok(payload(context.tx, &key, record)?.map_or_else(Outcome::nil, Outcome::bulk))
}

/// The payload of a value; `None` if all of it has lapsed.
pub(super) fn payload(tx: &mut Tx, key: &Key, record: Record) -> Result<Option<Vec<u8>>> {
    let mut writer = None;
    let shown = export(tx, key, record, &mut |piece| match (piece, &mut writer) {
        (Piece::Key(head), _) => {
            writer = Some(PayloadWriter::begin(&head)?);
            Ok(())
        }
        (Piece::End, _) | (_, None) => Ok(()),
        (piece, Some(writer)) => writer.piece(&piece).map_err(TransferError::from),
    });
    shown.map_err(failure)?;
    match writer {
        None => Ok(None),
        Some(writer) => writer.seal().map(Some).map_err(|error| failure(error.into())),
    }
}

/// What went wrong while a payload was written, which memory cannot refuse.
fn failure(error: TransferError) -> Error {
    match error {
        TransferError::Store(error) => error,
        error => Error::Storage(error.to_string()),
    }
}

/// The words of RESTORE behind the payload.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    use_of_late: Option<Use>,
}

impl Options {
    fn parse(args: &mut Args<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !args.is_empty() {
            if args.accept("REPLACE") {
                options.replace = true;
            } else if args.accept("ABSTTL") {
                options.absolute = true;
            } else if args.remaining() > 1 && options.use_of_late.is_none() && args.accept("IDLETIME") {
                let seconds = u64::try_from(args.integer()?)
                    .map_err(|_| Error::client("ERR Invalid IDLETIME value, must be >= 0"))?;
                options.use_of_late = Some(Use::Idle { seconds });
            } else if args.remaining() > 1 && options.use_of_late.is_none() && args.accept("FREQ") {
                let count = u8::try_from(args.integer()?)
                    .map_err(|_| Error::client("ERR Invalid FREQ value, must be >= 0 and <= 255"))?;
                options.use_of_late = Some(Use::Frequency { count });
            } else {
                return Err(ClientError::Syntax.into());
            }
        }
        Ok(options)
    }
}

pub(super) fn restore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let ttl = args.next()?;
    let payload = args.next()?;
    let options = Options::parse(args)?;
    context.weigh(payload.len() as u64)?;
    let was_there = context.tx.record(&key)?.is_some();
    if was_there && !options.replace {
        return Err(Error::client("BUSYKEY Target key name already exists."));
    }
    let ttl = parse_i64(ttl).ok_or(ClientError::NotInteger)?;
    let ttl = u64::try_from(ttl).map_err(|_| Error::client("ERR Invalid TTL value, must be >= 0"))?;
    let expire_at_ms = match ttl {
        0 => None,
        moment if options.absolute => Some(moment),
        left => Some(context.tx.now_ms().saturating_add(left)),
    };
    let limits = Limits::of(context.settings);
    let tx = &mut *context.tx;
    if was_there {
        tx.delete_record(&key)?;
    }
    build(tx, &key, payload, expire_at_ms, limits)?;
    if expire_at_ms.is_some_and(|deadline_ms| deadline_ms <= tx.now_ms()) {
        tx.delete_record(&key)?;
        if was_there {
            tx.touch(&key);
            tx.notify(Class::GENERIC, "del", &key);
        }
        context.replicate_as(&[b"DEL", key.user_key()]);
        return Ok(Outcome::ok());
    }
    if let Some(use_of_late) = options.use_of_late {
        tx.note_use(&key, use_of_late);
    }
    tx.touch(&key);
    tx.notify(Class::GENERIC, "restore", &key);
    if let Some(deadline_ms) = expire_at_ms.filter(|_| !options.absolute) {
        let deadline = format_u64(deadline_ms);
        let mut words = args.all().to_vec();
        if let Some(ttl) = words.get_mut(2) {
            *ttl = &deadline;
        }
        words.push(b"ABSTTL");
        context.replicate_as(&words);
    }
    Ok(Outcome::ok())
}

/// Makes the value of a payload.
fn build(tx: &mut Tx, key: &Key, payload: &[u8], expire_at_ms: Option<u64>, limits: Limits) -> Result<()> {
    let mut reader =
        PayloadReader::open(payload).map_err(|_| Error::client("ERR DUMP payload version or checksum are wrong"))?;
    let mut builder = None;
    while let Some(piece) = reader.next().map_err(|error| bad_data(&error))? {
        match (piece, &mut builder) {
            // The deadline comes last: a value must not lapse while it is being made.
            (Piece::Key(head), _) => builder = Some(Builder::new(Head { expire_at_ms: None, ..head }, limits)),
            (Piece::End, _) | (_, None) => {}
            (piece, Some(builder)) => {
                builder.gather(piece);
                if builder.is_full() {
                    builder.write(tx, key)?;
                }
            }
        }
    }
    let is_there = match builder {
        Some(builder) => builder.finish(tx, key)?,
        None => false,
    };
    match tx.record(key)? {
        Some(record) if is_there => {
            if expire_at_ms.is_some() {
                tx.put_record(key, &Record { expire_at_ms, ..record })?;
            }
            Ok(())
        }
        _ => Err(bad_data(&"a value without elements")),
    }
}

fn bad_data(why: &dyn std::fmt::Display) -> Error {
    tracing::debug!(%why, "a payload for RESTORE was refused");
    Error::client("ERR Bad data format")
}
