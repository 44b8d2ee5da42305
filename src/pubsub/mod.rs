//! Pub/sub: who has subscribed to which channel, shard channel or pattern, and handing a message to
//! all of them. A message is encoded once, whoever gets it. Knows subscribers only as something
//! that takes a push and must not wait; neither sockets nor sessions nor any other service.
//!
//! - `hub.rs`: [`Hub`], all subscriptions of a server, and publishing.
//! - `subscriptions.rs`: [`Subscriptions`], those of one client, kept by its session.

mod hub;
mod subscriptions;

pub use hub::{Hub, Subscriber};
pub use subscriptions::Subscriptions;

/// What can be subscribed to. The three are worlds apart: a message published to a shard channel
/// reaches no subscriber of a channel of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Pattern,
    Shard,
}

impl Kind {
    /// All of them, in the order of this declaration.
    pub const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::Shard];
}
