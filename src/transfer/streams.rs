//! Streams to pieces and back: entries, what the stream knows beside them, its groups.

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::import::bad_data;
use crate::base::{Error, Result};
use crate::encoding::piece::{Consumer, Group, Head, Pending, Piece, StreamId, StreamState};
use crate::keyspace::{Direction, Key, Tx};
use crate::types::stream::{self, Id, NodeLimits, Stream};

fn id_of(id: StreamId) -> Id {
    Id { ms: id.ms, seq: id.seq }
}

fn shown(id: Id) -> StreamId {
    StreamId { ms: id.ms, seq: id.seq }
}

/// Shows a stream, its head first.
pub(super) fn export<E: From<Error>>(
    tx: &mut Tx,
    stream: &Stream,
    head: Head,
    show: &mut impl FnMut(Piece) -> Result<(), E>,
) -> Result<bool, E> {
    show(Piece::Key(Head { count: stream.len(), ..head }))?;
    let mut walk = stream.walk(tx, Id::MIN, Id::MAX, Direction::Forward)?;
    while let Some(entry) = walk.next()? {
        let strings = entry.pairs()?;
        let fields = strings.chunks_exact(2).filter_map(|pair| Some((pair.first()?.clone(), pair.get(1)?.clone())));
        show(Piece::Entry { id: shown(entry.id), fields: fields.collect() })?;
    }
    let groups = stream.groups(tx)?;
    show(Piece::State(StreamState {
        last_id: shown(stream.last_id()),
        max_deleted_id: shown(stream.max_deleted_id()),
        entries_added: stream.entries_added(),
        groups: groups.len() as u64,
    }))?;
    for group in groups {
        show(Piece::Group(group_of(tx, &group)?))?;
    }
    Ok(true)
}

fn group_of(tx: &mut Tx, group: &stream::Group) -> Result<Group> {
    let consumers = group.all_consumers(tx)?;
    let places: FxHashMap<u32, u32> = consumers.iter().map(stream::Consumer::number).zip(0..).collect();
    let mut pending = Vec::new();
    let mut walk = group.walk_pending(tx, Id::MIN, Id::MAX)?;
    while let Some(entry) = walk.next()? {
        let consumer = places.get(&entry.consumer).copied();
        pending.push(Pending {
            id: shown(entry.id),
            consumer: consumer.ok_or_else(|| Error::Storage("an entry is pending with nobody".into()))?,
            delivered_ms: entry.delivered_ms,
            deliveries: entry.deliveries,
        });
    }
    let consumer = |consumer: stream::Consumer| Consumer {
        name: consumer.name,
        seen_ms: consumer.seen_ms,
        active_ms: consumer.active_ms,
    };
    Ok(Group {
        name: group.name.clone(),
        last_id: shown(group.last_id),
        entries_read: group.entries_read,
        consumers: consumers.into_iter().map(consumer).collect(),
        pending,
    })
}

/// Writes pieces of a stream.
pub(super) fn write(tx: &mut Tx, key: &Key, pieces: &[Piece], limits: NodeLimits) -> Result<()> {
    tx.edit(key, |stream: &mut Stream, tx| {
        for piece in pieces {
            match piece {
                Piece::Entry { id, fields } => add(tx, stream, id_of(*id), fields, limits)?,
                Piece::State(state) => {
                    let (last, deleted) = (id_of(state.last_id), id_of(state.max_deleted_id));
                    stream.set_last_id(last, Some(state.entries_added), Some(deleted));
                }
                Piece::Group(group) => add_group(tx, stream, group)?,
                _ => return Err(bad_data()),
            }
        }
        Ok(())
    })
}

fn add(tx: &mut Tx, stream: &mut Stream, id: Id, fields: &[(Bytes, Bytes)], limits: NodeLimits) -> Result<()> {
    if id <= stream.last_id() || fields.is_empty() {
        return Err(bad_data());
    }
    let pairs: Vec<&[u8]> = fields.iter().flat_map(|(name, value)| [&name[..], &value[..]]).collect();
    stream.add(tx, id, &pairs, limits)
}

fn add_group(tx: &mut Tx, stream: &mut Stream, group: &Group) -> Result<()> {
    let made = stream.create_group(tx, &group.name, id_of(group.last_id), group.entries_read)?;
    let mut made = made.ok_or_else(bad_data)?;
    let mut places = Vec::with_capacity(group.consumers.len());
    for consumer in &group.consumers {
        let (place, is_new) = made.find_or_add_consumer(tx, &consumer.name)?;
        if !is_new {
            return Err(bad_data());
        }
        made.note_seen(place, consumer.seen_ms);
        if let Some(active_ms) = consumer.active_ms {
            made.note_active(place, active_ms);
        }
        places.push(place);
    }
    for entry in &group.pending {
        let place = places.get(entry.consumer as usize).ok_or_else(bad_data)?;
        let after = stream::Pending {
            id: id_of(entry.id),
            consumer: 0,
            delivered_ms: entry.delivered_ms,
            deliveries: entry.deliveries,
        };
        made.give(tx, None, after, *place)?;
    }
    made.save(tx)
}
