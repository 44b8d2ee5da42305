//! Copies of the data elsewhere: who keeps one, and the stream of commands that keeps it true. Knows
//! replicas only as something that takes bytes and must not wait; neither sockets nor sessions.
//!
//! - `feed.rs`: [`Feed`], the stream itself: one for all replicas, in the order of commits.
//! - `replica.rs`: [`Replica`], one of them, as others see it.

mod feed;
mod replica;

pub use feed::{Feed, FeedFigures, Receiver, Stretch};
pub use replica::{Replica, State};
