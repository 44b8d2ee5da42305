//! What a command is: one declarative entry. The entries stand in the files of their
//! families; `table.rs` gathers them, `derive.rs` works out what follows from the
//! grammar (arity, key specs, categories).

use bitflags::bitflags;

use super::context::Context;
use super::grammar::{Access, Arg, KeySpec};
use super::outcome::Outcome;
use super::request::Args;
use crate::base::Result;

bitflags! {
    /// Redis' command flags. `movablekeys` is missing on purpose: it follows from the keys.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Flags: u32 {
        const WRITE = 1;
        const READONLY = 1 << 1;
        const DENY_OOM = 1 << 2;
        const ADMIN = 1 << 3;
        const PUBSUB = 1 << 4;
        const NOSCRIPT = 1 << 5;
        const BLOCKING = 1 << 6;
        const LOADING = 1 << 7;
        const STALE = 1 << 8;
        const SKIP_MONITOR = 1 << 9;
        const SKIP_SLOWLOG = 1 << 10;
        const ASKING = 1 << 11;
        const FAST = 1 << 12;
        const NO_AUTH = 1 << 13;
        const NO_MANDATORY_KEYS = 1 << 14;
        const NO_ASYNC_LOADING = 1 << 15;
        const NO_MULTI = 1 << 16;
        const ALLOW_BUSY = 1 << 17;
        /// Kept from clients, as the next three: may write though it is no write command (EVAL, PUBLISH).
        const MAY_REPLICATE = 1 << 18;
        /// Needs `enable-debug-command` or `enable-module-command`.
        const PROTECTED = 1 << 19;
        /// Meets keys its arguments do not name (SCAN, RANDOMKEY).
        const TOUCHES_ARBITRARY_KEYS = 1 << 20;
        /// Internal to servers and tests: COMMAND DOCS marks it `syscmd`.
        const SYSTEM = 1 << 21;
        /// Ours: needs the whole keyspace to itself (FLUSHALL, SWAPDB): runs under the exclusive lock.
        const EXCLUSIVE = 1 << 24;
        /// Ours: walks many keys or a whole object (KEYS, DBSIZE, DEBUG DIGEST), so runs on the I/O pool at once.
        const LONG = 1 << 25;
        /// Ours: looks at what was told of writes, or asks to be told what comes. So what this connection
        /// wrote before must be told before it begins.
        const SETTLED = 1 << 26;
        /// Ours: for RESP2 clients that have subscribed to something as well.
        const LISTENING = 1 << 27;
        /// Ours: its look at a key is no use of it (OBJECT IDLETIME).
        const NO_TOUCH = 1 << 28;
    }
}

/// Flags joined by `|`, usable in a `static`, where the operator itself is not:
/// `flags!(WRITE | FAST)`.
macro_rules! flags {
    ($($flag:ident)|+) => {
        $crate::commands::command::Flags::empty()$(.union($crate::commands::command::Flags::$flag))+
    };
}
pub(crate) use flags;

bitflags! {
    /// ACL categories.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Category: u32 {
        const KEYSPACE = 1;
        const READ = 1 << 1;
        const WRITE = 1 << 2;
        const SET = 1 << 3;
        const SORTEDSET = 1 << 4;
        const LIST = 1 << 5;
        const HASH = 1 << 6;
        const STRING = 1 << 7;
        const BITMAP = 1 << 8;
        const HYPERLOGLOG = 1 << 9;
        const GEO = 1 << 10;
        const STREAM = 1 << 11;
        const PUBSUB = 1 << 12;
        const ADMIN = 1 << 13;
        const FAST = 1 << 14;
        const SLOW = 1 << 15;
        const BLOCKING = 1 << 16;
        const DANGEROUS = 1 << 17;
        const CONNECTION = 1 << 18;
        const TRANSACTION = 1 << 19;
        const SCRIPTING = 1 << 20;
    }
}

/// The group of a command, as COMMAND DOCS names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Geo,
    Hash,
    HyperLogLog,
    List,
    PubSub,
    Scripting,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
}

/// Finds the keys in a complete argument vector (0 is the command's name): positions with
/// their access. `None` when the arguments make no sense.
pub type FindKeys = fn(&[&[u8]]) -> Option<Vec<(usize, Access)>>;

/// Where a command's keys stand, when the grammar alone cannot say.
#[derive(Debug, Clone, Copy)]
pub enum Keys {
    /// As the grammar says (nearly all commands).
    Derived,
    /// Where the grammar says, but what is done to them depends on the other arguments
    /// (`SET … GET`): the function tells, given the whole argument vector.
    Varying(fn(&[&[u8]]) -> Access),
    /// Described by these specs and found by this function (SORT … STORE, MIGRATE).
    Given(&'static [KeySpec], FindKeys),
}

/// Runs a command: arguments in, outcome out; everything it changes goes through the context.
pub type Handler = fn(&mut Context<'_>, &mut Args<'_>) -> Result<Outcome>;

/// One command or subcommand.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Upper case; a subcommand's own word only (`LIST` of `CLIENT LIST`).
    pub name: &'static str,
    /// One sentence in our own words.
    pub summary: &'static str,
    /// The Redis version that brought it.
    pub since: &'static str,
    /// Big-O in Redis' manner, for COMMAND DOCS.
    pub complexity: &'static str,
    pub group: Group,
    pub flags: Flags,
    /// Instead of the category that the group implies; those of the flags are added either way.
    pub categories: Option<Category>,
    pub args: &'static [Arg],
    /// Given only where it does not follow from the grammar.
    pub arity: Option<i32>,
    pub keys: Keys,
    pub subcommands: &'static [Command],
    /// Since when, and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Hints for clients (`request_policy:all_shards` …).
    pub tips: &'static [&'static str],
    pub run: Handler,
}

impl Command {
    /// The blank of an entry, to be filled by struct update: `..Command::of(Group::Set)`.
    pub const fn of(group: Group) -> Self {
        Self {
            name: "",
            summary: "",
            since: "1.0.0",
            complexity: "",
            group,
            flags: Flags::empty(),
            categories: None,
            args: &[],
            arity: None,
            keys: Keys::Derived,
            subcommands: &[],
            deprecated: None,
            tips: &[],
            run: super::context::container,
        }
    }
}
