//! Reading what is new: XREAD, and XREADGROUP, which also reads again what a consumer has not
//! acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::effects::{self, Place};
use super::ids::{self, NO_COUNT};
use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result};
use crate::commands::blocking::{Wait, until_after_ms};
use crate::commands::context::{Context, Within};
use crate::commands::grammar::Access;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Direction, Tx};
use crate::resp::{Protocol, Reply};
use crate::types::stream::{ConsumerIndex, Group, Id, Pending, Stream};

/// What stands in front of the keys, and the keys with their ids.
struct Call<'a> {
    count: u64,
    /// Given: waits until then, or for ever.
    block: Option<Option<u64>>,
    group: Option<(&'a [u8], &'a [u8])>,
    no_ack: bool,
    keys: &'a [&'a [u8]],
    ids: &'a [&'a [u8]],
    /// Where the first id stands among all words of the request.
    ids_at: usize,
}

impl<'a> Call<'a> {
    fn parse(context: &Context<'_>, args: &mut Args<'a>, in_group: bool) -> Result<Self> {
        let none: &'a [&'a [u8]] = &[];
        let mut call =
            Self { count: NO_COUNT, block: None, group: None, no_ack: false, keys: none, ids: none, ids_at: 0 };
        while !args.is_empty() {
            let more = args.remaining() - 1;
            if more >= 1 && args.accept("BLOCK") {
                if context.within == Within::Script {
                    let name = String::from_utf8_lossy(args.all().first().copied().unwrap_or_default()).into_owned();
                    return Err(Error::client(format!(
                        "ERR {name} command is not allowed with BLOCK option from scripts"
                    )));
                }
                call.block = Some(until_after_ms(context.tx.now_ms(), args.next()?)?);
            } else if more >= 1 && args.accept("COUNT") {
                call.count = match parse_i64(args.next()?).ok_or(ClientError::NotInteger)? {
                    ..=0 => NO_COUNT,
                    count => count.cast_unsigned(),
                };
            } else if more >= 1 && args.accept("STREAMS") {
                call.streams(args)?;
            } else if more >= 2 && args.accept("GROUP") {
                refuse_outside_group(in_group, "GROUP")?;
                call.group = Some((args.next()?, args.next()?));
            } else if args.accept("NOACK") {
                refuse_outside_group(in_group, "NOACK")?;
                call.no_ack = true;
            } else {
                return Err(ClientError::Syntax.into());
            }
        }
        if call.keys.is_empty() {
            return Err(ClientError::Syntax.into());
        }
        if in_group && call.group.is_none() {
            return Err(Error::client("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(call)
    }

    fn streams(&mut self, args: &mut Args<'a>) -> Result<()> {
        let words = args.all().len();
        let streams = args.rest();
        if !streams.len().is_multiple_of(2) {
            return Err(Error::client(
                "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
            ));
        }
        (self.keys, self.ids) = streams.split_at(streams.len() / 2);
        self.ids_at = words - self.ids.len();
        Ok(())
    }

    /// What to do when there is nothing: wait, or answer so at once.
    fn nothing(&self, context: &Context<'_>, resume: Option<Arc<[Bytes]>>) -> Outcome {
        let Some(until_ms) = self.block else { return Reply::NilArray.into() };
        let db = context.session.db;
        let keys = self.keys.iter().map(|key| (db, Bytes::copy_from_slice(key))).collect();
        Outcome::Wait(Wait { keys, until_ms, on_timeout: Reply::NilArray, resume })
    }
}

fn refuse_outside_group(in_group: bool, option: &str) -> Result<()> {
    if in_group {
        return Ok(());
    }
    Err(Error::client(format!("ERR The {option} option is only supported by XREADGROUP. You called XREAD instead.")))
}

/// Where the keys stand in a request.
pub(super) fn find_keys(words: &[&[u8]]) -> Option<Vec<(usize, Access)>> {
    let mut at = 1;
    loop {
        let word = words.get(at)?.to_ascii_uppercase();
        at += match word.as_slice() {
            b"BLOCK" | b"COUNT" => 2,
            b"GROUP" => 3,
            b"NOACK" => 1,
            b"STREAMS" => break,
            _ => return None,
        };
    }
    let keys = (words.len() - at - 1) / 2;
    Some((at + 1..=at + keys).map(|position| (position, Access::Read)).collect())
}

/// Streams and what was read of each: a map in RESP3, pairs in RESP2.
fn served(context: &Context<'_>, streams: Vec<(&[u8], Vec<Reply>)>) -> Outcome {
    let streams = streams.into_iter().map(|(key, entries)| (Reply::copy(key), Reply::Array(entries)));
    let reply = if context.session.protocol == Protocol::Resp3 {
        Reply::Map(streams.collect())
    } else {
        Reply::array(streams.map(|(key, entries)| Reply::Array(vec![key, entries])))
    };
    reply.into()
}

// ---- XREAD -------------------------------------------------------------------------------

pub(super) fn xread(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let call = Call::parse(context, args, false)?;
    let mut after = Vec::with_capacity(call.ids.len());
    for (key, text) in call.keys.iter().zip(call.ids) {
        let stream = read_or_wait_on(context, key)?;
        after.push((id_to_read_behind(context.tx, stream.as_ref(), text)?, stream));
    }
    let mut found = Vec::new();
    for (key, (id, stream)) in call.keys.iter().zip(&after) {
        let (Some(stream), Some(from)) = (stream, id.next()) else { continue };
        if stream.is_empty() || *id >= stream.last_id() {
            continue;
        }
        context.weigh_elements(stream.len().min(call.count))?;
        let walk = stream.walk(context.tx, from, Id::MAX, Direction::Forward)?;
        let entries = ids::entries(walk, call.count)?;
        if !entries.is_empty() {
            found.push((*key, entries));
        }
    }
    if !found.is_empty() {
        return Ok(served(context, found));
    }
    let resume = call.block.map(|_| resumed(args.all(), &call, after.iter().map(|(id, _)| *id)));
    Ok(call.nothing(context, resume))
}

/// The stream of a key. One who waits already goes on waiting when something else comes to be there.
fn read_or_wait_on(context: &mut Context<'_>, key: &[u8]) -> Result<Option<Stream>> {
    let found = context.read::<Stream>(key);
    let is_waiting = context.session.client.blocked.load(Ordering::Relaxed);
    match found {
        Err(Error::Client(ClientError::WrongType)) if is_waiting => Ok(None),
        found => found,
    }
}

/// The id behind which entries are new to the reader.
fn id_to_read_behind(tx: &mut Tx, stream: Option<&Stream>, text: &[u8]) -> Result<Id> {
    match text {
        b"$" => Ok(stream.map_or(Id::MIN, Stream::last_id)),
        b"+" => {
            let Some(stream) = stream else { return Ok(Id::MIN) };
            let top = stream.last_entry(tx)?;
            Ok(top.and_then(|top| top.id.previous()).unwrap_or_else(|| stream.last_id()))
        }
        b">" => Err(Error::client(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        text => ids::exact(text),
    }
}

/// The request with the ids that `$` and `+` mean now.
fn resumed(words: &[&[u8]], call: &Call<'_>, ids: impl Iterator<Item = Id>) -> Arc<[Bytes]> {
    let head = words.iter().take(call.ids_at).map(|word| Bytes::copy_from_slice(word));
    head.chain(ids.map(Id::text)).collect()
}

// ---- XREADGROUP --------------------------------------------------------------------------

/// What XREADGROUP asks of a stream.
#[derive(Clone, Copy)]
enum Wanted {
    /// `>`: what nobody in the group was given.
    New,
    /// What is pending with the consumer behind this id.
    Behind(Id),
}

pub(super) fn xreadgroup(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let call = Call::parse(context, args, true)?;
    let Some((group_name, consumer)) = call.group else { return Err(ClientError::Syntax.into()) };
    let mut streams = Vec::with_capacity(call.keys.len());
    for (key, text) in call.keys.iter().zip(call.ids) {
        let stream = context.read::<Stream>(key)?;
        let group = match &stream {
            Some(stream) => stream.group(context.tx, group_name)?,
            None => None,
        };
        let (Some(stream), Some(group)) = (stream, group) else {
            return Err(ids::no_group(key, group_name, " in XREADGROUP with GROUP option"));
        };
        streams.push((*key, stream, group, wanted(text)?));
    }
    let is_alone = streams.len() == 1;
    let mut found = Vec::new();
    context.replicate_no_more();
    for (key, stream, group, wanted) in streams {
        // A key may stand there twice.
        let again = if is_alone { Some(group) } else { stream.group(context.tx, group_name)? };
        let Some(mut group) = again else { continue };
        let entries = read_in_group(context, &call, key, &stream, &mut group, consumer, wanted)?;
        group.save(context.tx)?;
        if let Some(entries) = entries {
            found.push((key, entries));
        }
    }
    if found.is_empty() { Ok(call.nothing(context, None)) } else { Ok(served(context, found)) }
}

fn wanted(text: &[u8]) -> Result<Wanted> {
    let meaningless = |id| {
        Error::client(format!(
            "ERR The {id} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The {id} ID would just return an empty result set."
        ))
    };
    match text {
        b">" => Ok(Wanted::New),
        b"$" => Err(meaningless('$')),
        b"+" => Err(meaningless('+')),
        text => match ids::exact(text)? {
            // There is nothing behind it, and Redis takes it for `>`.
            Id::MAX => Ok(Wanted::New),
            id => Ok(Wanted::Behind(id)),
        },
    }
}

/// What a consumer gets of one stream; `None` when there is nothing new.
fn read_in_group(
    context: &mut Context<'_>,
    call: &Call<'_>,
    key: &[u8],
    stream: &Stream,
    group: &mut Group,
    consumer: &[u8],
    wanted: Wanted,
) -> Result<Option<Vec<Reply>>> {
    let index = consumer_of(context, key, group, consumer)?;
    match wanted {
        Wanted::New => {
            let name = group.name.clone();
            let place = Place { key, group: &name, consumer };
            let entries = deliver_new(context, call, stream, group, index, place)?;
            Ok((!entries.is_empty()).then_some(entries))
        }
        Wanted::Behind(id) => deliver_again(context, call, stream, group, index, id).map(Some),
    }
}

/// The consumer, which is made by its first attempt, and is seen by every one.
pub(super) fn consumer_of(
    context: &mut Context<'_>,
    key: &[u8],
    group: &mut Group,
    name: &[u8],
) -> Result<ConsumerIndex> {
    let (index, is_new) = group.find_or_add_consumer(context.tx, name)?;
    if is_new {
        context.notify(Class::STREAM, "xgroup-createconsumer", key);
        let group = group.name.clone();
        effects::new_consumer(context, Place { key, group: &group, consumer: name });
    }
    group.note_seen(index, context.tx.now_ms());
    Ok(index)
}

fn deliver_new(
    context: &mut Context<'_>,
    call: &Call<'_>,
    stream: &Stream,
    group: &mut Group,
    consumer: ConsumerIndex,
    place: Place<'_>,
) -> Result<Vec<Reply>> {
    let mut replies = Vec::new();
    let Some(from) = group.last_id.next().filter(|from| *from <= stream.last_id()) else { return Ok(replies) };
    context.weigh_elements(stream.len().min(call.count))?;
    let now_ms = context.tx.now_ms();
    let mut walk = stream.walk(context.tx, from, Id::MAX, Direction::Forward)?;
    while (replies.len() as u64) < call.count
        && let Some(entry) = walk.next()?
    {
        let read = match group.entries_read {
            Some(read) if !stream.has_gaps_from(entry.id) => read.checked_add(1),
            _ => stream.added_up_to(entry.id),
        };
        group.set_last_id(entry.id, read);
        if !call.no_ack {
            group.deliver(context.tx, entry.id, consumer, now_ms)?;
            group.note_active(consumer, now_ms);
            let delivered = Pending { id: entry.id, consumer: 0, delivered_ms: now_ms, deliveries: 1 };
            effects::pending(context, place, &delivered, entry.id);
        }
        replies.push(ids::entry_reply(&entry)?);
    }
    if !replies.is_empty() {
        effects::position(context, place.key, group);
    }
    Ok(replies)
}

/// What is pending with a consumer, from behind an id on. Deleted entries come without fields.
fn deliver_again(
    context: &mut Context<'_>,
    call: &Call<'_>,
    stream: &Stream,
    group: &mut Group,
    consumer: ConsumerIndex,
    behind: Id,
) -> Result<Vec<Reply>> {
    let mut replies = Vec::new();
    let (Some(consumer), Some(from)) = (group.consumer(consumer).cloned(), behind.next()) else { return Ok(replies) };
    context.weigh_elements(consumer.pending.min(call.count))?;
    let now_ms = context.tx.now_ms();
    let mut owned = group.walk_owned(context.tx, &consumer, from, Id::MAX)?;
    while (replies.len() as u64) < call.count
        && let Some(id) = owned.next_id()?
    {
        match stream.entry(context.tx, id)? {
            None => replies.push(Reply::Array(vec![ids::reply(id), Reply::NilArray])),
            Some(entry) => {
                if let Some(pending) = group.pending_of(context.tx, id)? {
                    let deliveries = pending.deliveries.saturating_add(1);
                    group.put_pending(context.tx, Pending { delivered_ms: now_ms, deliveries, ..pending });
                }
                replies.push(ids::entry_reply(&entry)?);
            }
        }
    }
    Ok(replies)
}
