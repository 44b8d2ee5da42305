//! MIGRATE: keys to another server, by DUMP here and RESTORE there. They are locked meanwhile, and
//! deleted here once the other server has said that it has them.

use std::time::Duration;

use bytes::BytesMut;

use super::dump::payload;
use super::whole::delete;
use crate::base::number::{format_u64, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::grammar::Access;
use crate::commands::instance::{Endpoint, ExchangeError};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Key;
use crate::resp::Reply;

/// What a timeout of 0 or less stands for.
const DEFAULT_TIMEOUT_MS: i64 = 1000;

/// Where the first key stands, among the arguments with the name.
const FIRST_KEY: usize = 3;
const FIRST_OPTION: usize = 6;

/// The keys of a call: the third argument, or what stands behind KEYS where that is empty.
pub(super) fn find_keys(args: &[&[u8]]) -> Option<Vec<(usize, Access)>> {
    if !args.get(FIRST_KEY)?.is_empty() {
        return Some(vec![(FIRST_KEY, Access::Take)]);
    }
    let mut at = FIRST_OPTION;
    loop {
        // A password may be the word KEYS.
        at += match args.get(at)?.to_ascii_uppercase().as_slice() {
            b"KEYS" => break,
            b"AUTH" => 2,
            b"AUTH2" => 3,
            _ => 1,
        };
    }
    Some((at + 1..args.len()).map(|position| (position, Access::Take)).collect())
}

/// What a call asks for.
struct Request<'a> {
    endpoint: Endpoint<'a>,
    db: i64,
    copy: bool,
    replace: bool,
    /// The words of AUTH, if the other server wants any.
    credentials: Vec<&'a [u8]>,
    keys: Vec<&'a [u8]>,
}

impl<'a> Request<'a> {
    fn parse(args: &mut Args<'a>) -> Result<Self> {
        let host = std::str::from_utf8(args.next()?).map_err(|_| ClientError::Syntax)?;
        let port = args.next()?;
        let key = args.next()?;
        let (db, timeout) = (args.next()?, args.next()?);
        let (mut copy, mut replace, mut credentials, mut keys) = (false, false, Vec::new(), vec![key]);
        while !args.is_empty() {
            if args.accept("COPY") {
                copy = true;
            } else if args.accept("REPLACE") {
                replace = true;
            } else if args.accept("AUTH") {
                credentials = args.take(1)?.to_vec();
            } else if args.accept("AUTH2") {
                credentials = args.take(2)?.to_vec();
            } else if args.accept("KEYS") {
                if !key.is_empty() {
                    return Err(Error::client(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                keys = args.rest().to_vec();
            } else {
                return Err(ClientError::Syntax.into());
            }
        }
        let timeout_ms = parse_i64(timeout).ok_or(ClientError::NotInteger)?;
        let db = parse_i64(db).ok_or(ClientError::NotInteger)?;
        let timeout_ms = if timeout_ms <= 0 { DEFAULT_TIMEOUT_MS } else { timeout_ms };
        let port = parse_i64(port).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        let timeout = Duration::from_millis(timeout_ms.unsigned_abs());
        Ok(Self { endpoint: Endpoint { host, port, timeout }, db, copy, replace, credentials, keys })
    }
}

/// Runs on the I/O pool: it waits for another server.
pub(super) fn migrate(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let request = Request::parse(args)?;
    context.weigh(u64::MAX)?;
    let mut output = BytesMut::new();
    let mut greetings = 1;
    if !request.credentials.is_empty() {
        put_command(&mut output, &[&[&b"AUTH"[..]], &request.credentials[..]].concat());
        greetings += 1;
    }
    put_command(&mut output, &[b"SELECT", request.db.to_string().as_bytes()]);
    let mut sent = Vec::new();
    for name in &request.keys {
        let key = context.key(name);
        if put_restore(context, &key, request.replace, &mut output)? {
            sent.push(key);
        }
    }
    if sent.is_empty() {
        return Ok(Reply::simple("NOKEY").into());
    }
    let control = context.instance.control.clone();
    let replies = control.exchange(&request.endpoint, &output, greetings + sent.len()).map_err(failure)?;
    let (greeted, restored) = replies.split_at_checked(greetings).unwrap_or_default();
    if let Some(Reply::Error(text)) = greeted.iter().find(|reply| reply.is_error()) {
        return Err(refused(text));
    }
    let mut first_refusal = None;
    let mut gone = Vec::new();
    for (key, reply) in sent.iter().zip(restored) {
        match reply {
            Reply::Error(text) => {
                first_refusal.get_or_insert_with(|| refused(text));
            }
            _ if request.copy => {}
            _ => {
                delete(context.tx, key)?;
                gone.push(key.user_key());
            }
        }
    }
    if !gone.is_empty() {
        let words: Vec<&[u8]> = [&b"DEL"[..]].into_iter().chain(gone).collect();
        context.replicate_as(&words);
    }
    match first_refusal {
        // Not an error to the transaction: the other keys are gone, and that must hold.
        Some(error) => Ok(Reply::error(error.to_string()).into()),
        None => Ok(Outcome::ok()),
    }
}

/// Adds the command that makes a key over there; false if the key is not here.
fn put_restore(context: &mut Context<'_>, key: &Key, replace: bool, output: &mut BytesMut) -> Result<bool> {
    let Some(record) = context.tx.record(key)? else { return Ok(false) };
    let left_ms = record.expire_at_ms.map_or(0, |deadline_ms| deadline_ms.saturating_sub(context.tx.now_ms()).max(1));
    let Some(payload) = payload(context.tx, key, record)? else { return Ok(false) };
    let ttl = format_u64(left_ms);
    let mut words: Vec<&[u8]> = vec![b"RESTORE", key.user_key(), &ttl, &payload];
    if replace {
        words.push(b"REPLACE");
    }
    put_command(output, &words);
    Ok(true)
}

fn put_command(output: &mut BytesMut, words: &[&[u8]]) {
    output.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        output.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        output.extend_from_slice(word);
        output.extend_from_slice(b"\r\n");
    }
}

fn refused(text: &str) -> Error {
    Error::client(format!("ERR Target instance replied with error: {text}"))
}

fn failure(error: ExchangeError) -> Error {
    Error::client(match error {
        ExchangeError::Connect => "IOERR error or timeout connecting to the client",
        ExchangeError::Write => "IOERR error or timeout writing to target instance",
        ExchangeError::Read | ExchangeError::Closed => "IOERR error or timeout reading from target instance",
    })
}
