//! Which keys are meant, by database, name and type.

use std::borrow::Cow;

use crate::base::glob;
use crate::keyspace::{DatabaseIndex, Type};

/// Which keys are meant; empty lists leave all of them in.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub databases: Vec<DatabaseIndex>,
    /// Glob patterns, one of which a key must match.
    pub patterns: Vec<Vec<u8>>,
    pub kinds: Vec<Type>,
}

impl Filter {
    /// Whether keys of this database may be meant.
    pub fn wants_database(&self, db: DatabaseIndex) -> bool {
        self.databases.is_empty() || self.databases.contains(&db)
    }

    /// Whether this key of such a database is.
    pub fn wants_key(&self, name: &[u8], kind: Type) -> bool {
        let matches = |pattern: &Vec<u8>| glob::matches(pattern, name, false);
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (self.patterns.is_empty() || self.patterns.iter().any(matches))
    }

    /// Whether everything is meant, what is no key included.
    pub fn wants_all(&self) -> bool {
        self.databases.is_empty() && self.patterns.is_empty() && self.kinds.is_empty()
    }

    /// What every wanted name begins with.
    pub fn prefix(&self) -> Cow<'_, [u8]> {
        match &self.patterns[..] {
            [pattern] => glob::literal_prefix(pattern),
            _ => Cow::Borrowed(b""),
        }
    }
}
