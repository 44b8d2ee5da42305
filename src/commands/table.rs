//! The command table: every family's entries gathered once, with what follows from them.
//!
//! Families declare (`pub static COMMANDS` in their files, listed in [`FAMILIES`]); this file
//! finds. A lookup hashes a few bytes of the word, compares once and allocates nothing, since
//! every request begins with one. Every command and subcommand has a dense index, for arrays of
//! statistics beside the table.

use std::sync::LazyLock;

use super::command::{Category, Command};
use super::context::unknown_subcommand;
use super::derive::{self, KeyRange};
use super::grammar::{Access, Begin, KeySpec};
use super::keys::{self, InvalidArguments, KeyPattern};
use crate::base::{self, Error};

/// The entries of all families. A new family adds its line here.
#[rustfmt::skip] // One a line, so that several can be added at once.
static FAMILIES: &[&[Command]] = &[
    super::acl::COMMANDS,
    super::bitmap::COMMANDS,
    super::cluster::COMMANDS,
    super::command_info::COMMANDS,
    super::connection::COMMANDS,
    super::generic::COMMANDS,
    super::geo::COMMANDS,
    super::hash::COMMANDS,
    super::hyperloglog::COMMANDS,
    super::list::COMMANDS,
    super::monitor::COMMANDS,
    super::pubsub::COMMANDS,
    super::replication::COMMANDS,
    super::scripting::COMMANDS,
    super::server::COMMANDS,
    super::set::COMMANDS,
    super::stream::COMMANDS,
    super::string::COMMANDS,
    super::transactions::COMMANDS,
    super::zset::COMMANDS,
];

/// The table of this server.
pub static TABLE: LazyLock<Table> = LazyLock::new(|| Table::gather(FAMILIES));

/// A command as the rest of the server holds it: a reference into [`TABLE`].
pub type Entry = &'static Facts;

/// A command or subcommand with what follows from its declaration.
#[derive(Debug)]
pub struct Facts {
    pub command: &'static Command,
    /// The full name in lower case: `get`, `client|list`.
    pub name: Box<str>,
    /// Dense, from 0, in the order of the names; the index of per-command statistics.
    pub index: usize,
    /// How many words the name has: 2 for a subcommand.
    pub words: usize,
    /// The index of the container, for a subcommand.
    pub container: Option<usize>,
    /// The indexes of the subcommands, for a container.
    pub subcommands: Vec<usize>,
    /// Redis' arity: exact when positive, the least when negative, the name included.
    pub arity: i32,
    pub categories: Category,
    pub key_specs: Box<[KeySpec]>,
    pub key_range: KeyRange,
    /// The triple `key_range` does not tell all keys.
    pub movable_keys: bool,
    pub keys: KeyPattern,
}

impl Facts {
    fn new(command: &'static Command, container: Option<&'static Command>) -> Self {
        let (name, words) = match container {
            Some(container) => (format!("{}|{}", container.name, command.name), 2),
            None => (command.name.to_owned(), 1),
        };
        let key_specs = derive::key_specs(command, words);
        let (key_range, movable_keys) = derive::key_range(&key_specs);
        Self {
            command,
            name: name.to_ascii_lowercase().into(),
            index: 0,
            words,
            container: None,
            subcommands: Vec::new(),
            arity: derive::arity(command, words),
            categories: derive::categories(command),
            keys: KeyPattern::of(command, &key_specs),
            key_specs: key_specs.into(),
            key_range,
            movable_keys,
        }
    }

    /// Whether a call may have this many arguments, the command's name (and the
    /// subcommand's word) included.
    pub fn accepts(&self, count: usize) -> bool {
        match usize::try_from(self.arity) {
            Ok(exact) => count == exact,
            Err(_) => count >= self.arity.unsigned_abs() as usize,
        }
    }

    /// Whether it may read keys that no argument names, as SORT's patterns do.
    pub fn reads_other_keys(&self) -> bool {
        self.key_specs.iter().any(|spec| spec.begin == Begin::Unknown && spec.access == Access::Read)
    }

    /// Calls `each` with every key among `args` (0 is the command's name) and what is done
    /// to it, for locks: [`Access::Varies`] stands as it is, channels are left out. Of
    /// arguments that make no sense only some keys may be told; the handler refuses them.
    pub fn for_each_key<'a>(&self, args: &[&'a [u8]], mut each: impl FnMut(&'a [u8], Access)) {
        // The error says no more than what the handler is about to reply.
        let _ = self.keys.for_each(args, |position, access| {
            if let Some(key) = args.get(position).filter(|_| access != Access::Channel) {
                each(key, access);
            }
        });
    }

    /// Calls `each` with the position of every key and channel among `args` and what exactly is
    /// done to it, for ACL checks, slots and GETKEYSANDFLAGS.
    ///
    /// # Errors
    /// The arguments do not tell; running the command gives the client the fitting reply.
    pub fn key_positions<A: AsRef<[u8]>>(
        &self,
        args: &[A],
        mut each: impl FnMut(usize, Access),
    ) -> Result<(), InvalidArguments> {
        self.keys.for_each(args, |position, access| {
            each(position, keys::resolved_access(self.command, args, access));
        })
    }
}

/// The command that a request calls.
///
/// # Errors
/// Redis' texts for unknown commands and subcommands.
pub fn resolve(args: &[&[u8]]) -> base::Result<Entry> {
    TABLE.resolve(args).map_err(|not_found| match not_found {
        NotFound::Command => unknown_command(args),
        NotFound::Subcommand(container) => {
            unknown_subcommand(container.command.name, args.get(1).copied().unwrap_or_default())
        }
    })
}

/// How much of an unknown command, and of its arguments, the error shows, in bytes.
const SHOWN_BYTES: usize = 128;

/// The error for a command that there is not.
pub fn unknown_command(args: &[&[u8]]) -> Error {
    let shown = |bytes: &[u8], limit: usize| String::from_utf8_lossy(bytes.get(..limit).unwrap_or(bytes)).into_owned();
    let name = shown(args.first().copied().unwrap_or_default(), SHOWN_BYTES);
    let mut beginning = String::new();
    for arg in args.iter().skip(1) {
        let Some(room) = SHOWN_BYTES.checked_sub(beginning.len()).filter(|room| *room > 0) else { break };
        beginning += &format!("'{}' ", shown(arg, room));
    }
    Error::client(format!("ERR unknown command '{name}', with args beginning with: {beginning}"))
}

/// The full name of a command in lower case, as error texts show it (`client|list`).
pub fn full_name(command: &'static Command) -> String {
    let entry = TABLE.entries().iter().find(|entry| std::ptr::eq(entry.command, command));
    entry.map_or_else(|| command.name.to_lowercase(), |entry| entry.name.to_string())
}

/// Why no command was found.
#[derive(Debug, Clone, Copy)]
pub enum NotFound<'a> {
    /// No command has this name.
    Command,
    /// The container is known, its subcommand is not.
    Subcommand(&'a Facts),
}

/// All commands.
#[derive(Debug)]
pub struct Table {
    entries: Vec<Facts>,
    /// Indexes of entries under the hashes of their words, probed linearly; [`VACANT`]
    /// elsewhere. A power of two, at most a quarter full.
    slots: Box<[u16]>,
}

const VACANT: u16 = u16::MAX;

impl Table {
    /// Gathers the entries of families.
    pub fn gather(families: &[&'static [Command]]) -> Self {
        let subcommands = |command: &'static Command| {
            command.subcommands.iter().map(move |subcommand| Facts::new(subcommand, Some(command)))
        };
        let mut entries: Vec<Facts> = families
            .iter()
            .copied()
            .flatten()
            .flat_map(|command| std::iter::once(Facts::new(command, None)).chain(subcommands(command)))
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        join_containers(&mut entries);
        let slots = slots_of(&entries);
        Self { entries, slots }
    }

    /// All entries, subcommands included, by name; the position is the index.
    pub fn entries(&self) -> &[Facts] {
        &self.entries
    }

    /// The commands proper, without subcommands.
    pub fn commands(&self) -> impl Iterator<Item = &Facts> {
        self.entries.iter().filter(|entry| entry.container.is_none())
    }

    /// The subcommands of a container.
    pub fn subcommands(&self, container: &Facts) -> impl Iterator<Item = &Facts> {
        container.subcommands.iter().filter_map(|index| self.entries.get(*index))
    }

    /// By full name in any case: `GET`, `client|list`.
    pub fn get(&self, name: &[u8]) -> Option<&Facts> {
        match name.iter().position(|byte| *byte == b'|') {
            None => self.find(None, name),
            Some(bar) => {
                let container = self.find(None, name.get(..bar)?)?;
                self.find(Some(container.index), name.get(bar + 1..)?)
            }
        }
    }

    /// The command that arguments call, down to the subcommand. A container called
    /// without a word is found as itself; its arity then refuses the call.
    pub fn resolve<A: AsRef<[u8]>>(&self, args: &[A]) -> Result<&Facts, NotFound<'_>> {
        let name = args.first().ok_or(NotFound::Command)?.as_ref();
        let entry = self.find(None, name).ok_or(NotFound::Command)?;
        match args.get(1) {
            Some(word) if !entry.subcommands.is_empty() => {
                self.find(Some(entry.index), word.as_ref()).ok_or(NotFound::Subcommand(entry))
            }
            _ => Ok(entry),
        }
    }

    fn find(&self, container: Option<usize>, word: &[u8]) -> Option<&Facts> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = hash(container, word) & mask;
        loop {
            // A vacant slot, whose number no entry has, ends the search.
            let entry = self.entries.get(usize::from(*self.slots.get(slot)?))?;
            if entry.container == container && entry.command.name.as_bytes().eq_ignore_ascii_case(word) {
                return Some(entry);
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// Numbers sorted entries and ties subcommands to their containers.
fn join_containers(entries: &mut [Facts]) {
    for index in 0..entries.len() {
        let name = entries[index].name.clone();
        let container = name
            .split_once('|')
            .and_then(|(container, _)| entries.binary_search_by(|entry| (*entry.name).cmp(container)).ok());
        entries[index].index = index;
        entries[index].container = container;
        if let Some(container) = container {
            entries[container].subcommands.push(index);
        }
    }
}

fn slots_of(entries: &[Facts]) -> Box<[u16]> {
    let mut slots = vec![VACANT; (entries.len() * 4).next_power_of_two()];
    let mask = slots.len() - 1;
    for (number, entry) in (0..VACANT).zip(entries) {
        let mut slot = hash(entry.container, entry.command.name.as_bytes()) & mask;
        while slots[slot] != VACANT {
            slot = (slot + 1) & mask;
        }
        slots[slot] = number;
    }
    slots.into()
}

/// A hash of a word that is blind to case: of its length and at most its first and last eight
/// bytes, with the bit set that tells letters' cases apart.
fn hash(container: Option<usize>, word: &[u8]) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    const LOWER: u64 = 0x2020_2020_2020_2020;
    let (head, tail) = ends(word);
    let seed = container.map_or(0, |container| container + 1) as u64;
    let mixed = ((head | LOWER) ^ (tail | LOWER).rotate_left(29) ^ word.len() as u64).wrapping_add(seed << 17);
    (mixed.wrapping_mul(ODD) >> 32) as usize
}

/// The first and the last bytes of a word: eight, or four, or what there is.
fn ends(word: &[u8]) -> (u64, u64) {
    if let (Some(head), Some(tail)) = (word.first_chunk(), word.last_chunk()) {
        return (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
    }
    if let (Some(head), Some(tail)) = (word.first_chunk(), word.last_chunk()) {
        return (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into());
    }
    match *word {
        [] => (0, 0),
        [only] => (only.into(), 0),
        [first, .., last] => (first.into(), last.into()),
    }
}
