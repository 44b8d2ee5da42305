//! The command reference, `docs/commands.md`, written from the command table. A test holds
//! the file in the tree to it.

use std::fmt::Write as _;

use super::command::Group;
use super::derive::flag_names;
use super::table::{Facts, TABLE};
use super::usage::usage;

/// The chapters, in the order a reader looks for them.
const CHAPTERS: [(Group, &str); 16] = [
    (Group::Generic, "Keys"),
    (Group::String, "Strings"),
    (Group::Bitmap, "Bitmaps"),
    (Group::Hash, "Hashes"),
    (Group::List, "Lists"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::Stream, "Streams"),
    (Group::HyperLogLog, "HyperLogLogs"),
    (Group::Geo, "Geographic indexes"),
    (Group::PubSub, "Channels"),
    (Group::Transactions, "Transactions"),
    (Group::Scripting, "Scripts and functions"),
    (Group::Connection, "Connections"),
    (Group::Server, "The server"),
    (Group::Cluster, "The cluster"),
];

/// What is to be known of a command before it is relied on; of the others it is that they work.
/// `docs/compatibility.md` tells of differences in what works.
const STATES: &[(&str, &str)] = &[
    ("bgrewriteaof", "accepted, does nothing: the log is always on"),
    ("bgsave", "works, for taking data elsewhere: the server never reads what it wrote"),
    ("save", "works, for taking data elsewhere: the server never reads what it wrote"),
    ("debug", "in part"),
    ("lolwut", "works, in its own words"),
    ("object|refcount", "always 1"),
    ("psync", "always a full copy"),
    ("replicaof", "NO ONE only: being a replica is not built"),
    ("slaveof", "NO ONE only: being a replica is not built"),
    ("waitaof", "works, and asks nothing of replicas"),
];

/// Core commands of Redis that are not there.
const MISSING: [&str; 2] = ["FAILOVER", "MODULE"];

/// The text of `docs/commands.md`.
pub fn markdown() -> String {
    let commands = TABLE.commands().count();
    let subcommands = TABLE.entries().len() - commands;
    let mut text = format!(
        "# Commands\n\n\
         <!-- Made by `ferrock commands docs`; a test holds it equal to the table of commands. -->\n\n\
         {commands} commands and {subcommands} subcommands. Square brackets hold what may be left out, `|` stands\n\
         between choices, and `...` after what may be repeated. The line below each begins with its state in\n\
         Ferrock; *since* is the Redis version that brought it. [compatibility.md](compatibility.md) lists what\n\
         works otherwise than in Redis on purpose.\n"
    );
    for (group, title) in CHAPTERS {
        let members: Vec<_> = TABLE.entries().iter().filter(|entry| belongs(entry, group)).collect();
        if !members.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n## {title}\n");
            members.into_iter().for_each(|entry| text.push_str(&paragraph(entry)));
        }
    }
    let _ = write!(text, "\n## Not there\n\n{}: not built.\n", MISSING.map(|name| format!("`{name}`")).join(", "));
    text
}

/// Containers themselves do nothing, so only their subcommands are shown.
fn belongs(entry: &Facts, group: Group) -> bool {
    let container = !entry.subcommands.is_empty() && entry.arity == -2;
    entry.command.group == group && !container
}

fn paragraph(entry: &Facts) -> String {
    let command = entry.command;
    let state = STATES.iter().find(|(name, _)| **name == *entry.name).map_or("works", |(_, state)| state);
    let mut facts = vec![state.to_owned(), format!("since {}", command.since)];
    if !command.complexity.is_empty() {
        facts.push(command.complexity.replace('*', "·"));
    }
    facts.extend(flag_names(command.flags).map(str::to_owned));
    if let Some((since, instead)) = command.deprecated {
        facts.push(format!("deprecated since {since}, better {instead}"));
    }
    format!("\n### `{}`\n\n{}\n*{}*\n", usage(entry), command.summary, facts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::derive::group_name;
    use super::*;

    #[test]
    fn the_file_in_the_tree_is_up_to_date() {
        let hint = "run `ferrock commands docs > docs/commands.md`";
        assert!(include_str!("../../docs/commands.md") == markdown(), "docs/commands.md: {hint}");
    }

    #[test]
    fn states_are_those_of_commands() {
        for (name, _) in STATES {
            assert!(TABLE.get(name.as_bytes()).is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let missing = include_str!("../../tests/fixtures/missing-commands.txt").lines();
        let commands: Vec<String> = missing.filter(|name| !name.contains('|')).map(str::to_uppercase).collect();
        assert_eq!(commands, MISSING);
    }

    #[test]
    fn every_command_has_its_chapter() {
        for entry in TABLE.entries() {
            let group = group_name(entry.command.group);
            assert!(CHAPTERS.iter().any(|(chapter, _)| group_name(*chapter) == group), "{}", entry.name);
        }
    }
}
