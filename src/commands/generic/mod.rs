//! The generic family: commands on keys whatever they hold.
//!
//! - `whole.rs`: whole keys: DEL, EXISTS, RENAME, MOVE, COPY, TYPE.
//! - `dump.rs`: DUMP, RESTORE. `migrate.rs`: MIGRATE. `sort.rs`: SORT and SORT_RO.
//! - `replicas.rs`: WAIT, WAITAOF.
//! - `expiry.rs`: deadlines. `walk.rs`: SCAN, KEYS, RANDOMKEY. `object.rs`: OBJECT.

mod dump;
mod expiry;
mod migrate;
mod object;
mod replicas;
mod sort;
mod walk;
mod whole;

use super::command::{Category, Command, Group, Keys, flags};
use super::grammar::{Access, Arg, Begin, Find, KeySpec, block, integer, key, one_of, pattern, text, token, unix_time};

pub static COMMANDS: &[Command] = &[
    Command {
        name: "COPY",
        summary: "Copies the value and the expiry of one key to another.",
        since: "6.2.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            key("source", Access::Read),
            key("destination", Access::Overwrite),
            integer("destination-db").after("DB").optional(),
            token("replace", "REPLACE").optional(),
        ],
        run: whole::copy,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "DEL",
        summary: "Deletes keys.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE),
        args: &[key("key", Access::Delete).many()],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        run: whole::del,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "DUMP",
        summary: "Returns the value of a key as bytes that RESTORE takes.",
        since: "2.6.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read)],
        tips: &["nondeterministic_output"],
        run: dump::dump,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "EXISTS",
        summary: "Counts how many of the given keys exist.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST | NO_TOUCH),
        args: &[key("key", Access::Inspect).many()],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        run: whole::exists,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "EXPIRE",
        summary: "Lets a key lapse after a number of seconds.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Modify), integer("seconds"), CONDITION.optional().since("7.0.0")],
        run: expiry::expire,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "EXPIREAT",
        summary: "Lets a key lapse at a time in Unix seconds.",
        since: "1.2.0",
        complexity: "O(1)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Modify), unix_time("unix-time-seconds"), CONDITION.optional().since("7.0.0")],
        run: expiry::expireat,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "EXPIRETIME",
        summary: "Tells when a key will lapse, in Unix seconds.",
        since: "7.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST | NO_TOUCH),
        args: &[key("key", Access::Read)],
        run: expiry::expiretime,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "KEYS",
        summary: "Lists the keys that match a pattern.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY | LONG),
        categories: Some(Category::DANGEROUS.union(Category::KEYSPACE)),
        args: &[pattern("pattern")],
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        run: walk::keys,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "MIGRATE",
        summary: "Moves keys to another server.",
        since: "2.6.0",
        complexity: "O(N)",
        flags: flags!(WRITE | LONG),
        categories: Some(Category::DANGEROUS.union(Category::KEYSPACE)),
        args: &[
            text("host"),
            integer("port"),
            one_of("key-selector", &[key("key", Access::Take), token("empty-string", "")]),
            integer("destination-db"),
            integer("timeout"),
            token("copy", "COPY").optional().since("3.0.0"),
            token("replace", "REPLACE").optional().since("3.0.0"),
            one_of(
                "authentication",
                &[
                    text("auth").after("AUTH").since("4.0.7"),
                    block("auth2", &[text("username"), text("password")]).after("AUTH2").since("6.0.0"),
                ],
            )
            .optional(),
            key("keys", Access::Take).after("KEYS").optional().many().since("3.0.6"),
        ],
        keys: Keys::Given(MIGRATE_KEYS, migrate::find_keys),
        tips: &["nondeterministic_output"],
        run: migrate::migrate,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "MOVE",
        summary: "Moves a key to another database.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Update), integer("db")],
        run: whole::move_key,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "OBJECT",
        summary: "Holds the subcommands that look into how a value is stored.",
        since: "2.2.3",
        subcommands: object::SUBCOMMANDS,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "PERSIST",
        summary: "Keeps a key from lapsing.",
        since: "2.2.0",
        complexity: "O(1)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Modify)],
        run: expiry::persist,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "PEXPIRE",
        summary: "Lets a key lapse after a number of milliseconds.",
        since: "2.6.0",
        complexity: "O(1)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Modify), integer("milliseconds"), CONDITION.optional().since("7.0.0")],
        run: expiry::pexpire,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "PEXPIREAT",
        summary: "Lets a key lapse at a time in Unix milliseconds.",
        since: "2.6.0",
        complexity: "O(1)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Modify), unix_time("unix-time-milliseconds"), CONDITION.optional().since("7.0.0")],
        run: expiry::pexpireat,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "PEXPIRETIME",
        summary: "Tells when a key will lapse, in Unix milliseconds.",
        since: "7.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST | NO_TOUCH),
        args: &[key("key", Access::Read)],
        run: expiry::pexpiretime,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "PTTL",
        summary: "Tells how many milliseconds a key has left.",
        since: "2.6.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST | NO_TOUCH),
        args: &[key("key", Access::Read)],
        tips: &["nondeterministic_output"],
        run: expiry::pttl,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "RANDOMKEY",
        summary: "Returns a key picked at random.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | TOUCHES_ARBITRARY_KEYS),
        tips: &["request_policy:all_shards", "nondeterministic_output"],
        run: walk::randomkey,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "RENAME",
        summary: "Gives a key another name, replacing what had that name.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE),
        args: &[key("key", Access::Take), key("newkey", Access::Overwrite)],
        run: whole::rename,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "RENAMENX",
        summary: "Gives a key another name, but only one that is free.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Take), key("newkey", Access::Create)],
        run: whole::renamenx,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "RESTORE",
        summary: "Makes a key of the bytes that DUMP returned.",
        since: "2.6.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM),
        categories: Some(Category::DANGEROUS.union(Category::KEYSPACE)),
        args: RESTORE_ARGS,
        run: dump::restore,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "RESTORE-ASKING",
        summary: "Makes a key of a slot that is being moved here.",
        since: "3.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM | ASKING | SYSTEM),
        categories: Some(Category::DANGEROUS.union(Category::KEYSPACE)),
        args: RESTORE_ARGS,
        run: dump::restore,
        ..Command::of(Group::Server)
    },
    Command {
        name: "SCAN",
        summary: "Walks through the keys of the database in steps.",
        since: "2.8.0",
        complexity: "O(COUNT)",
        flags: flags!(READONLY | TOUCHES_ARBITRARY_KEYS),
        args: &[
            integer("cursor"),
            pattern("pattern").after("MATCH").optional(),
            integer("count").after("COUNT").optional(),
            text("type").after("TYPE").optional().since("6.0.0"),
        ],
        tips: &["nondeterministic_output", "request_policy:special"],
        run: walk::scan,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "SORT",
        summary: "Returns or stores the elements of a list, set or sorted set in order.",
        since: "1.0.0",
        complexity: "O(N+M*log(M)) in the elements and those returned",
        flags: flags!(WRITE | DENY_OOM),
        categories: Some(SORTING),
        args: &[
            key("key", Access::Read),
            SORT_BY,
            SORT_LIMIT,
            SORT_GET,
            SORT_ORDER,
            SORT_ALPHA,
            key("destination", Access::Overwrite).after("STORE").optional(),
        ],
        keys: sort::KEYS,
        run: sort::sort,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "SORT_RO",
        summary: "Returns the elements of a list, set or sorted set in order.",
        since: "7.0.0",
        complexity: "O(N+M*log(M)) in the elements and those returned",
        flags: flags!(READONLY),
        categories: Some(SORTING),
        args: &[key("key", Access::Read), SORT_BY, SORT_LIMIT, SORT_GET, SORT_ORDER, SORT_ALPHA],
        keys: sort::READ_ONLY_KEYS,
        run: sort::sort_ro,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "TOUCH",
        summary: "Marks keys as used just now.",
        since: "3.2.1",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Inspect).many()],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        run: whole::touch,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "TTL",
        summary: "Tells how many seconds a key has left.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST | NO_TOUCH),
        args: &[key("key", Access::Read)],
        tips: &["nondeterministic_output"],
        run: expiry::ttl,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "TYPE",
        summary: "Tells what kind of value a key holds.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST | NO_TOUCH),
        args: &[key("key", Access::Inspect)],
        run: whole::type_of,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "UNLINK",
        summary: "Deletes keys and frees their space in the background.",
        since: "4.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Delete).many()],
        tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
        run: whole::unlink,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "WAIT",
        summary: "Waits until replicas have what this connection wrote.",
        since: "3.0.0",
        complexity: "O(1)",
        flags: flags!(BLOCKING | SETTLED),
        categories: Some(Category::CONNECTION),
        args: &[integer("numreplicas"), integer("timeout")],
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        run: replicas::wait,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "WAITAOF",
        summary: "Waits until what this connection wrote is on the disk, here and with replicas.",
        since: "7.2.0",
        complexity: "O(1)",
        flags: flags!(BLOCKING | LONG),
        categories: Some(Category::CONNECTION),
        args: &[integer("numlocal"), integer("numreplicas"), integer("timeout")],
        tips: &["request_policy:all_shards", "response_policy:agg_min"],
        run: replicas::waitaof,
        ..Command::of(Group::Generic)
    },
];

const MIGRATE_KEYS: &[KeySpec] = &[
    KeySpec {
        begin: Begin::Index(3),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        access: Access::Take,
        incomplete: false,
    },
    KeySpec {
        begin: Begin::Keyword("KEYS", -2),
        find: Find::Range { last: -1, step: 1, limit: 0 },
        access: Access::Take,
        incomplete: true,
    },
];

const RESTORE_ARGS: &[Arg] = &[
    key("key", Access::Overwrite),
    integer("ttl"),
    text("serialized-value"),
    token("replace", "REPLACE").optional().since("3.0.0"),
    token("absttl", "ABSTTL").optional().since("5.0.0"),
    integer("seconds").after("IDLETIME").optional().since("5.0.0"),
    integer("frequency").after("FREQ").optional().since("5.0.0"),
];

const CONDITION: Arg =
    one_of("condition", &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")]);

const SORTING: Category = Category::LIST.union(Category::SET).union(Category::SORTEDSET).union(Category::DANGEROUS);
const SORT_BY: Arg = pattern("by-pattern").after("BY").optional();
const SORT_LIMIT: Arg = block("limit", &[integer("offset"), integer("count")]).after("LIMIT").optional();
const SORT_GET: Arg = pattern("get-pattern").after("GET").optional().many_with_token();
const SORT_ORDER: Arg = one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional();
const SORT_ALPHA: Arg = token("sorting", "ALPHA").optional();
