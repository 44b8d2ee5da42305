//! The argument grammar of a command: what may stand where, said once.
//!
//! Arity, key specs, COMMAND DOCS, GETKEYS, lock sets, ACL checks and fuzz inputs
//! derive from it (see `derive.rs`). Everything here is `const`, so that a command is one
//! static entry in its family's file. Nothing here runs a command.

/// What a command does with a key it names. Each stands for one set of Redis' key-spec flags:
/// `RO` `RW` `OW` `RM` say what happens to the key, `access` `update` `insert` `delete`
/// what happens to its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Returns the value or something worked out from it: `RO access`.
    Read,
    /// Looks at metadata only (EXISTS, TYPE, STRLEN): `RO`.
    Inspect,
    /// Replaces the value unseen: `OW update`.
    Overwrite,
    /// Creates the value where there was none: `OW insert`.
    Create,
    /// Adds to the value without returning it: `RW insert`.
    Insert,
    /// Adds to the value and takes the old one into account: `RW access insert`.
    Merge,
    /// Changes the value without returning it: `RW update`.
    Modify,
    /// Changes the value and returns it or a part: `RW access update`.
    Update,
    /// Returns the value and may rewrite it with the same meaning (PFCOUNT): `RW access`.
    Refresh,
    /// Removes parts of the value without returning them: `RW delete`.
    Remove,
    /// Removes parts of the value and returns them: `RW access delete`.
    Take,
    /// Removes the key, whatever its value: `RM delete`.
    Delete,
    /// At most `RW access update`; the options of the call decide: `variable_flags`.
    Varies,
    /// Not a key at all, only routed like one (SPUBLISH): `not_key`.
    Channel,
}

impl Access {
    /// The flags as COMMAND INFO and GETKEYSANDFLAGS spell them.
    pub const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Read => &["RO", "access"],
            Self::Inspect => &["RO"],
            Self::Overwrite => &["OW", "update"],
            Self::Create => &["OW", "insert"],
            Self::Insert => &["RW", "insert"],
            Self::Merge => &["RW", "access", "insert"],
            Self::Modify => &["RW", "update"],
            Self::Update => &["RW", "access", "update"],
            Self::Refresh => &["RW", "access"],
            Self::Remove => &["RW", "delete"],
            Self::Take => &["RW", "access", "delete"],
            Self::Delete => &["RM", "delete"],
            Self::Varies => &["RW", "access", "update", "variable_flags"],
            Self::Channel => &["not_key"],
        }
    }

    /// Whether a writer's lock is needed.
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::Inspect | Self::Channel)
    }

    /// Whether data of the value reaches the client or another key: an ACL's `%R`.
    pub const fn needs_read(self) -> bool {
        matches!(self, Self::Read | Self::Merge | Self::Update | Self::Refresh | Self::Take | Self::Varies)
    }

    /// Whether data is inserted, changed or deleted: an ACL's `%W`.
    pub const fn needs_write(self) -> bool {
        !matches!(self, Self::Read | Self::Inspect | Self::Refresh | Self::Channel)
    }
}

/// Where a run of keys begins in the argument vector (0 is the command's name; a
/// subcommand's word is 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At this position.
    Index(usize),
    /// Behind this word, searched from a position; a negative one counts from the end, and
    /// the search then goes backwards.
    Keyword(&'static str, isize),
    /// Not to be told from positions and words.
    Unknown,
}

/// Which of the arguments from there on are keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find {
    /// Every `step`th up to `last`, counted from the beginning of the run, or from the
    /// end of the arguments when negative. `limit` 2 means only the first half of them
    /// (keys, then as many IDs); 0 and 1 mean all.
    Range { last: isize, step: usize, limit: usize },
    /// As many as the argument `number` says, from argument `first`, every `step`th; both
    /// counted from the beginning of the run.
    Counted { number: usize, first: usize, step: usize },
    /// Not to be told from positions.
    Unknown,
}

/// One run of keys: where it begins, which arguments it takes, and what is done to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    pub begin: Begin,
    pub find: Find,
    pub access: Access,
    /// The run may miss keys, so that extraction needs the command's own function.
    pub incomplete: bool,
}

/// What an argument is made of.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A key, with what the command does to it.
    Key(Access),
    /// Any bytes.
    Text,
    /// A signed 64-bit integer.
    Integer,
    /// A double.
    Double,
    /// A glob pattern.
    Pattern,
    /// A point in time, in seconds or milliseconds since the epoch.
    UnixTime,
    /// A fixed word, given in the argument's `token`.
    Token,
    /// Exactly one of these.
    OneOf(&'static [Arg]),
    /// All of these, in this order.
    Block(&'static [Arg]),
}

/// One argument of a command: its shape, the fixed word in front of it, and how often it may stand.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// The name in the documents, as Redis' (`key`, `member`, `milliseconds` …).
    pub name: &'static str,
    /// What it is made of.
    pub shape: Shape,
    /// The word in front (`EX` of `EX seconds`), or the word itself for [`Shape::Token`].
    pub token: Option<&'static str>,
    /// May be left out.
    pub optional: bool,
    /// May stand several times.
    pub multiple: bool,
    /// The word in front is repeated with every occurrence.
    pub multiple_token: bool,
    /// Since which version, where later than the command.
    pub since: Option<&'static str>,
}

impl Arg {
    const fn of(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, token: None, optional: false, multiple: false, multiple_token: false, since: None }
    }

    /// May be left out.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// May stand several times, at least once unless optional.
    pub const fn many(mut self) -> Self {
        self.multiple = true;
        self
    }

    /// May stand several times, each with its word in front (`GET pattern GET pattern`).
    pub const fn many_with_token(mut self) -> Self {
        self.multiple = true;
        self.multiple_token = true;
        self
    }

    /// Stands behind this fixed word.
    pub const fn after(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    /// Came in this version.
    pub const fn since(mut self, version: &'static str) -> Self {
        self.since = Some(version);
        self
    }
}

/// A key.
pub const fn key(name: &'static str, access: Access) -> Arg {
    Arg::of(name, Shape::Key(access))
}

/// Any bytes.
pub const fn text(name: &'static str) -> Arg {
    Arg::of(name, Shape::Text)
}

/// A signed 64-bit integer.
pub const fn integer(name: &'static str) -> Arg {
    Arg::of(name, Shape::Integer)
}

/// A double.
pub const fn double(name: &'static str) -> Arg {
    Arg::of(name, Shape::Double)
}

/// A glob pattern.
pub const fn pattern(name: &'static str) -> Arg {
    Arg::of(name, Shape::Pattern)
}

/// A point in time.
pub const fn unix_time(name: &'static str) -> Arg {
    Arg::of(name, Shape::UnixTime)
}

/// A fixed word; its documented name is given apart (`nx` for `NX`).
pub const fn token(name: &'static str, word: &'static str) -> Arg {
    let mut arg = Arg::of(name, Shape::Token);
    arg.token = Some(word);
    arg
}

/// Exactly one of several.
pub const fn one_of(name: &'static str, choices: &'static [Arg]) -> Arg {
    Arg::of(name, Shape::OneOf(choices))
}

/// Several in a row.
pub const fn block(name: &'static str, parts: &'static [Arg]) -> Arg {
    Arg::of(name, Shape::Block(parts))
}
