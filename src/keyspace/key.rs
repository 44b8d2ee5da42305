//! A key on its way through a command: composed once, then used for every look-up.

use bytes::Bytes;

use super::databases::DatabaseIndex;
use super::locks::Stripe;
use crate::encoding::key::{KEY_PREFIX_BYTES, KeyspaceId, StoredKey, record_key};

/// A key of a logical database, resolved to the keyspace that holds it now.
#[derive(Debug, Clone)]
pub struct Key {
    pub db: DatabaseIndex,
    pub keyspace: KeyspaceId,
    stored: StoredKey,
    stripe: Stripe,
}

impl Key {
    /// Composes the stored key and its lock stripe.
    pub fn new(db: DatabaseIndex, keyspace: KeyspaceId, user_key: &[u8]) -> Self {
        let stored = record_key(keyspace, user_key);
        Self { db, keyspace, stripe: Stripe::of(user_key), stored }
    }

    /// The key as the client named it.
    pub fn user_key(&self) -> &[u8] {
        &self.stored[KEY_PREFIX_BYTES..]
    }

    /// The key in families `keys` and `objects`.
    pub fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// The same, owned.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.stored)
    }

    /// Which lock guards it.
    pub fn stripe(&self) -> Stripe {
        self.stripe
    }
}
