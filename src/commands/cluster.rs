//! The cluster family. Ferrock is no member of a cluster (`cluster-enabled no`), so every command says so,
//! as a Redis server outside a cluster does. They are here for clients that ask, for COMMAND, and so that
//! users' permissions can name them.

use super::command::{Category, Command, Flags, Group, flags};
use super::context::Context;
use super::grammar::{Arg, block, integer, one_of, text, token};
use super::outcome::Outcome;
use super::request::Args;
use crate::base::{Error, Result};

/// The words of those that change a cluster.
const CHANGES: Flags = flags!(ADMIN | NO_ASYNC_LOADING | STALE);
const READS: Flags = flags!(STALE);

/// A command about a connection to a member.
const fn of_connection(name: &'static str, summary: &'static str, flags: Flags) -> Command {
    Command {
        name,
        summary,
        since: "3.0.0",
        complexity: "O(1)",
        flags,
        categories: Some(Category::CONNECTION),
        run: not_a_member,
        ..Command::of(Group::Cluster)
    }
}

pub static COMMANDS: &[Command] = &[
    of_connection("ASKING", "Lets the next command reach a slot that is being imported.", flags!(FAST)),
    Command {
        name: "CLUSTER",
        summary: "Holds the subcommands about the cluster.",
        since: "3.0.0",
        subcommands: SUBCOMMANDS,
        ..Command::of(Group::Cluster)
    },
    of_connection("READONLY", "Lets this connection read from a replica.", flags!(FAST | LOADING | STALE)),
    of_connection("READWRITE", "Ends what READONLY began.", flags!(FAST | LOADING | STALE)),
];

const fn subcommand(
    name: &'static str,
    summary: &'static str,
    since: &'static str,
    flags: Flags,
    args: &'static [Arg],
) -> Command {
    Command { name, summary, since, complexity: "O(1)", flags, args, run: not_a_member, ..Command::of(Group::Cluster) }
}

static SUBCOMMANDS: &[Command] = &[
    subcommand("ADDSLOTS", "Assigns slots to this member.", "3.0.0", CHANGES, &[integer("slot").many()]),
    subcommand(
        "ADDSLOTSRANGE",
        "Assigns ranges of slots to this member.",
        "7.0.0",
        CHANGES,
        &[block("range", &[integer("start-slot"), integer("end-slot")]).many()],
    ),
    subcommand("BUMPEPOCH", "Raises the configuration epoch of this member.", "3.0.0", CHANGES, &[]),
    subcommand(
        "COUNT-FAILURE-REPORTS",
        "Counts the reports that a member has failed.",
        "3.0.0",
        flags!(ADMIN | STALE),
        &[text("node-id")],
    ),
    subcommand("COUNTKEYSINSLOT", "Counts the keys of a slot.", "3.0.0", READS, &[integer("slot")]),
    subcommand("DELSLOTS", "Takes slots from this member.", "3.0.0", CHANGES, &[integer("slot").many()]),
    subcommand(
        "DELSLOTSRANGE",
        "Takes ranges of slots from this member.",
        "7.0.0",
        CHANGES,
        &[block("range", &[integer("start-slot"), integer("end-slot")]).many()],
    ),
    subcommand(
        "FAILOVER",
        "Makes a replica take over from its master.",
        "3.0.0",
        CHANGES,
        &[one_of("options", &[token("force", "FORCE"), token("takeover", "TAKEOVER")]).optional()],
    ),
    subcommand("FLUSHSLOTS", "Takes all slots from this member.", "3.0.0", CHANGES, &[]),
    subcommand("FORGET", "Removes a member from those this one knows.", "3.0.0", CHANGES, &[text("node-id")]),
    subcommand("GETKEYSINSLOT", "Returns keys of a slot.", "3.0.0", READS, &[integer("slot"), integer("count")]),
    subcommand("HELP", "Explains the subcommands of CLUSTER.", "5.0.0", flags!(LOADING | STALE), &[]),
    subcommand("INFO", "Tells the state of the cluster.", "3.0.0", READS, &[]),
    subcommand("KEYSLOT", "Tells the slot of a key.", "3.0.0", READS, &[text("key")]),
    subcommand("LINKS", "Lists the links to other members.", "7.0.0", READS, &[]),
    subcommand(
        "MEET",
        "Joins this server and another into one cluster.",
        "3.0.0",
        CHANGES,
        &[text("ip"), integer("port"), integer("cluster-bus-port").since("4.0.0").optional()],
    ),
    subcommand("MYID", "Tells the id of this member.", "3.0.0", READS, &[]),
    subcommand("MYSHARDID", "Tells the id of this member's shard.", "7.2.0", READS, &[]),
    subcommand("NODES", "Describes all members, in the format of their file.", "3.0.0", READS, &[]),
    subcommand("REPLICAS", "Lists the replicas of a master.", "5.0.0", flags!(ADMIN | STALE), &[text("node-id")]),
    subcommand("REPLICATE", "Makes this member a replica of another.", "3.0.0", CHANGES, &[text("node-id")]),
    subcommand(
        "RESET",
        "Makes this member forget the cluster.",
        "3.0.0",
        flags!(ADMIN | NOSCRIPT | STALE),
        &[one_of("reset-type", &[token("hard", "HARD"), token("soft", "SOFT")]).optional()],
    ),
    subcommand("SAVECONFIG", "Writes what this member knows to its file.", "3.0.0", CHANGES, &[]),
    subcommand(
        "SET-CONFIG-EPOCH",
        "Sets the configuration epoch of a new member.",
        "3.0.0",
        CHANGES,
        &[integer("config-epoch")],
    ),
    subcommand(
        "SETSLOT",
        "Tells this member of a slot that moves.",
        "3.0.0",
        CHANGES,
        &[
            integer("slot"),
            one_of(
                "subcommand",
                &[
                    text("importing").after("IMPORTING"),
                    text("migrating").after("MIGRATING"),
                    text("node").after("NODE"),
                    token("stable", "STABLE"),
                ],
            ),
        ],
    ),
    subcommand("SHARDS", "Lists the shards and their members.", "7.0.0", READS, &[]),
    Command {
        deprecated: Some(("5.0.0", "CLUSTER REPLICAS")),
        ..subcommand("SLAVES", "Lists the replicas of a master.", "3.0.0", flags!(ADMIN | STALE), &[text("node-id")])
    },
    Command {
        deprecated: Some(("7.0.0", "CLUSTER SHARDS")),
        ..subcommand("SLOTS", "Lists which member serves which slots.", "3.0.0", READS, &[])
    },
];

fn not_a_member(_: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    Err(Error::client("ERR This instance has cluster support disabled"))
}
