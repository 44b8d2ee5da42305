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

/// The text of `docs/commands.md`.
pub fn markdown() -> String {
    let commands = TABLE.commands().count();
    let subcommands = TABLE.entries().len() - commands;
    let mut text = format!(
        "# Commands\n\n\
         Written by `ferrock commands` from the command table: {commands} commands and {subcommands}\n\
         subcommands. Square brackets hold what may be left out, `|` stands between choices, and\n\
         `...` after what may be repeated. *Since* is the Redis version that brought the command.\n"
    );
    for (group, title) in CHAPTERS {
        let members: Vec<_> = TABLE.entries().iter().filter(|entry| belongs(entry, group)).collect();
        if !members.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n## {title}\n");
            members.into_iter().for_each(|entry| text.push_str(&paragraph(entry)));
        }
    }
    text
}

/// Containers themselves do nothing, so only their subcommands are shown.
fn belongs(entry: &Facts, group: Group) -> bool {
    let container = !entry.subcommands.is_empty() && entry.arity == -2;
    entry.command.group == group && !container
}

fn paragraph(entry: &Facts) -> String {
    let command = entry.command;
    let mut facts = vec![format!("since {}", command.since)];
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
    fn every_command_has_its_chapter() {
        for entry in TABLE.entries() {
            let group = group_name(entry.command.group);
            assert!(CHAPTERS.iter().any(|(chapter, _)| group_name(*chapter) == group), "{}", entry.name);
        }
    }
}
