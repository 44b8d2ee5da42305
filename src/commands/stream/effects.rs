//! What copies are told of consumer groups: not who read, which would give other entries at another
//! time, but what then stood in the group.

use crate::base::number::format_u64;
use crate::commands::context::Context;
use crate::types::stream::{Group, Id, Pending};

/// Where a command works: a consumer of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub key: &'a [u8],
    pub group: &'a [u8],
    pub consumer: &'a [u8],
}

/// A consumer was made.
pub(super) fn new_consumer(context: &mut Context<'_>, place: Place<'_>) {
    context.replicate_as(&[b"XGROUP", b"CREATECONSUMER", place.key, place.group, place.consumer]);
}

/// An entry is now pending with the consumer, or if it is gone from the stream with nobody.
pub(super) fn pending(context: &mut Context<'_>, place: Place<'_>, pending: &Pending, last_id: Id) {
    let (at, count) = (format_u64(pending.delivered_ms), format_u64(pending.deliveries));
    let Place { key, group, consumer } = place;
    let (id, last_id) = (pending.id.text(), last_id.text());
    context.replicate_as(&[
        b"XCLAIM",
        key,
        group,
        consumer,
        b"0",
        &id,
        b"TIME",
        &at,
        b"RETRYCOUNT",
        &count,
        b"FORCE",
        b"JUSTID",
        b"LASTID",
        &last_id,
    ]);
}

/// How far the group has read.
pub(super) fn position(context: &mut Context<'_>, key: &[u8], group: &Group) {
    let read = group.entries_read.map_or_else(|| b"-1".to_vec(), |read| format_u64(read).to_vec());
    context.replicate_as(&[b"XGROUP", b"SETID", key, &group.name, &group.last_id.text(), b"ENTRIESREAD", &read]);
}
