//! DEBUG: the switches and peeks that Redis' own tests use. Off unless `enable-debug-command` says
//! otherwise.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::digest;
use crate::base::number::parse_double;
use crate::base::{ClientError, Error, Result, glob};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::resp::{Attributed, Reply, VerbatimFormat};
use crate::types;

/// The longest DEBUG SLEEP, in seconds.
const LONGEST_SLEEP: f64 = 3600.0;

/// What Redis' own DEBUG PROTOCOL DOUBLE answers.
#[expect(clippy::approx_constant, reason = "not meant to be pi")]
const SAMPLE_DOUBLE: f64 = 3.141;

const RELOAD_OPTIONS: &str = "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.";

pub(super) fn debug(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let name = args.next()?.to_ascii_uppercase();
    match name.as_slice() {
        b"SLEEP" => sleep(args),
        b"SET-ACTIVE-EXPIRE" => {
            context.instance.active_expiry.store(args.integer()? != 0, Ordering::Relaxed);
            Ok(Outcome::ok())
        }
        b"SET-DISABLE-DENY-SCRIPTS" => {
            context.instance.scripts_run_all.store(args.integer()? != 0, Ordering::Relaxed);
            Ok(Outcome::ok())
        }
        b"OBJECT" => object(context, args),
        b"DIGEST" => digest::whole(context),
        b"DIGEST-VALUE" => digest::values(context, args),
        b"STRINGMATCH-LEN" => {
            let length = args.integer()?;
            let pattern = args.next()?;
            let text = vec![b'a'; usize::try_from(length).unwrap_or(0).min(1 << 20)];
            Ok(Outcome::flag(glob::matches(pattern, &text, false)))
        }
        b"PROTOCOL" => protocol(args),
        b"ERROR" => Err(Error::client(String::from_utf8_lossy(args.next()?).into_owned())),
        b"LOG" => {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(args.next()?));
            Ok(Outcome::ok())
        }
        b"RELOAD" => {
            while let Some(option) = args.next_if_any() {
                if ![&b"MERGE"[..], b"NOFLUSH", b"NOSAVE"].iter().any(|known| known.eq_ignore_ascii_case(option)) {
                    return Err(Error::client(RELOAD_OPTIONS));
                }
            }
            reload(context)
        }
        b"LOADAOF" => reload(context),
        // Another server's internals: accepted, without an effect.
        b"JMAP"
        | b"CHANGE-REPL-ID"
        | b"QUICKLIST-PACKED-THRESHOLD"
        | b"LISTPACK"
        | b"QUICKLIST"
        | b"REPLYBUFFER"
        | b"PAUSE-CRON"
        | b"REPLICATE"
        | b"DICT-RESIZING" => Ok(Outcome::ok()),
        _ => Err(Error::client(format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
            String::from_utf8_lossy(&name)
        ))),
    }
}

/// Has everything that was written go to its files, and forgets what of it is in the record cache: what is
/// served next was read from there.
fn reload(context: &mut Context<'_>) -> Result<Outcome> {
    context.instance.store.engine().flush()?;
    context.instance.store.cache().clear();
    Ok(Outcome::ok())
}

/// Runs on the I/O pool, where waiting holds up nobody else.
fn sleep(args: &mut Args<'_>) -> Result<Outcome> {
    let seconds = parse_double(args.next()?).ok_or(ClientError::NotFloat)?;
    std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_SLEEP)));
    Ok(Outcome::ok())
}

fn object(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let record = context.tx.stored_record(&key)?.ok_or(ClientError::NoSuchKey)?;
    Ok(Reply::simple(format!(
        "Value at:0x0 refcount:1 encoding:{} serializedlength:{} lru:0 lru_seconds_idle:0",
        types::encoding_name(&record),
        record.encode().len()
    ))
    .into())
}

/// One reply of each type of the protocol, for client libraries to be tested with.
fn protocol(args: &mut Args<'_>) -> Result<Outcome> {
    let numbers = || (0..3).map(Reply::Integer);
    let reply = match args.next()?.to_ascii_lowercase().as_slice() {
        b"string" => Reply::Static("Hello World"),
        b"integer" => Reply::Integer(12345),
        b"double" => Reply::Double(SAMPLE_DOUBLE),
        b"null" => Reply::Nil,
        b"array" => Reply::array(numbers()),
        b"set" => Reply::Set(numbers().collect()),
        b"map" => Reply::Map((0..3).map(|number| (Reply::Integer(number), Reply::Boolean(number == 1))).collect()),
        b"push" => Reply::Push(vec![Reply::Static("server-cpu-usage"), Reply::Integer(42)]),
        b"verbatim" => Reply::Verbatim { format: VerbatimFormat::Text, text: "This is a verbatim\nstring".into() },
        b"true" => Reply::Boolean(true),
        b"false" => Reply::Boolean(false),
        b"attrib" => {
            let popularity = Reply::Array(vec![Reply::Static("key:123"), Reply::Integer(90)]);
            Reply::Attributed(Box::new(Attributed {
                attributes: vec![(Reply::Static("key-popularity"), popularity)],
                reply: Reply::Static("Some real reply following the attribute"),
            }))
        }
        b"bignum" => Reply::BigNumber("1234567999999999999999999999999999999".into()),
        _ => {
            return Err(Error::client(
                "ERR Wrong protocol type name. Please use one of the following: string|integer|double|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    };
    Ok(reply.into())
}
