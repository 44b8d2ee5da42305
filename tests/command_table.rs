//! Holds the command table against Redis: against what a redis-server 7.0.15 says of its
//! commands (`fixtures/command-info-7.0.tsv`, made by the script beside it), and against the
//! list of the core commands of Redis 7.2 and 7.4 (`fixtures/core-commands.tsv`).

use std::collections::{BTreeMap, BTreeSet};

use ferrock::commands::command::Command;
use ferrock::commands::derive::{flag_names, group_name};
use ferrock::commands::grammar::{Arg, Begin, Find, KeySpec, Shape};
use ferrock::commands::keys::InvalidArguments;
use ferrock::commands::table::{Facts, NotFound, TABLE, resolve};

const REDIS_7_0: &str = include_str!("fixtures/command-info-7.0.tsv");
const CORE_COMMANDS: &str = include_str!("fixtures/core-commands.tsv");

/// Core commands that Ferrock does not have yet, one a line. Whoever adds one strikes it out.
const MISSING: &str = include_str!("fixtures/missing-commands.txt");

/// Where the table differs on purpose: name, column of the fixture, what we say. All but LCS
/// is Redis 7.2 (WAIT may block there, ZRANK takes WITHSCORE).
const DELIBERATE: &[(&str, &str, &str)] = &[
    ("command|getkeys", "arity", "-3"),
    ("command|getkeysandflags", "arity", "-3"),
    // Two key arguments, two specs; Redis covers both with one.
    ("lcs", "key specs", "RO access, index 1, range 0 1 0; RO access, index 2, range 0 1 0"),
    ("wait", "flags", "blocking"),
    ("wait", "categories", "@blocking @connection @slow"),
    ("zrank", "arity", "-3"),
    ("zrevrank", "arity", "-3"),
];

/// The rows of a fixture: name to column to value.
fn rows(fixture: &'static str) -> BTreeMap<&'static str, BTreeMap<&'static str, &'static str>> {
    let mut lines = fixture.lines().map(|line| line.split('\t'));
    let columns: Vec<&str> = lines.next().expect("a head line").collect();
    lines
        .map(|cells| columns.iter().copied().zip(cells).collect::<BTreeMap<_, _>>())
        .map(|row| (row["name"], row))
        .collect()
}

fn sorted(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
}

fn spec_text(spec: &KeySpec) -> String {
    let begin = match spec.begin {
        Begin::Index(position) => format!("index {position}"),
        Begin::Keyword(word, from) => format!("keyword {word} {from}"),
        Begin::Unknown => "unknown".into(),
    };
    let find = match spec.find {
        Find::Range { last, step, limit } => format!("range {last} {step} {limit}"),
        Find::Counted { number, first, step } => format!("keynum {number} {first} {step}"),
        Find::Unknown => "unknown".into(),
    };
    let incomplete = if spec.incomplete { " incomplete" } else { "" };
    format!("{}{incomplete}, {begin}, {find}", spec.access.flags().join(" "))
}

/// An entry in the words of the fixture's columns.
fn described(entry: &Facts) -> BTreeMap<&'static str, String> {
    let movable = entry.movable_keys.then_some("movablekeys");
    let range = entry.key_range;
    BTreeMap::from([
        ("arity", entry.arity.to_string()),
        ("flags", sorted(flag_names(entry.command.flags).chain(movable).map(str::to_owned))),
        ("first last step", format!("{} {} {}", range.first, range.last, range.step)),
        ("categories", sorted(entry.categories.iter_names().map(|(name, _)| format!("@{}", name.to_lowercase())))),
        ("key specs", entry.key_specs.iter().map(spec_text).collect::<Vec<_>>().join("; ")),
    ])
}

#[test]
fn redis_server_says_the_same_of_its_commands() {
    let mut differences = Vec::new();
    for (name, row) in rows(REDIS_7_0) {
        let Some(entry) = TABLE.get(name.as_bytes()) else { continue };
        for (column, ours) in described(entry) {
            let deliberate = DELIBERATE.iter().find(|row| row.0 == name && row.1 == column);
            let theirs = deliberate.map_or(row[column], |row| row.2);
            if ours != theirs {
                differences.push(format!("{name}: {column}: ours {ours:?}, redis-server's {theirs:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn core_commands_are_there_or_listed_as_missing() {
    let missing: BTreeSet<&str> =
        rows(CORE_COMMANDS).into_keys().filter(|name| TABLE.get(name.as_bytes()).is_none()).collect();
    let listed: BTreeSet<&str> = MISSING.lines().collect();
    let forgotten: Vec<_> = missing.difference(&listed).collect();
    let arrived: Vec<_> = listed.difference(&missing).collect();
    assert!(forgotten.is_empty(), "core commands the table lacks: {forgotten:?}");
    assert!(arrived.is_empty(), "strike out of tests/fixtures/missing-commands.txt: {arrived:?}");
}

#[test]
fn core_commands_have_their_facts() {
    let mut differences = Vec::new();
    for (name, row) in rows(CORE_COMMANDS) {
        let Some(entry) = TABLE.get(name.as_bytes()) else { continue };
        let ours = [
            ("group", group_name(entry.command.group).to_owned()),
            ("since", entry.command.since.to_owned()),
            ("arity", entry.arity.to_string()),
            ("deprecated_since", entry.command.deprecated.map_or("", |deprecated| deprecated.0).to_owned()),
        ];
        for (column, ours) in ours {
            if ours != row[column] {
                differences.push(format!("{name}: {column}: ours {ours:?}, listed {:?}", row[column]));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn nothing_but_core_commands_is_there() {
    let core = rows(CORE_COMMANDS);
    let extra: Vec<_> =
        TABLE.entries().iter().map(|entry| &*entry.name).filter(|name| !core.contains_key(name)).collect();
    assert_eq!(extra, Vec::<&str>::new());
}

#[test]
fn indexes_are_dense_and_families_hang_together() {
    assert!(!TABLE.entries().is_empty());
    for (position, entry) in TABLE.entries().iter().enumerate() {
        assert_eq!(entry.index, position, "{}", entry.name);
        let container = entry.container.map(|container| &TABLE.entries()[container]);
        assert_eq!(container.is_some(), entry.name.contains('|'), "{}", entry.name);
        assert!(container.is_none_or(|container| container.subcommands.contains(&position)), "{}", entry.name);
        assert_eq!(TABLE.subcommands(entry).count(), entry.command.subcommands.len(), "{}", entry.name);
    }
}

/// Every argument of a command, nested ones too.
fn arguments(args: &'static [Arg]) -> Vec<&'static Arg> {
    args.iter()
        .flat_map(|arg| {
            let inner = match arg.shape {
                Shape::OneOf(inner) | Shape::Block(inner) => arguments(inner),
                _ => Vec::new(),
            };
            std::iter::once(arg).chain(inner)
        })
        .collect()
}

fn sentence_is_whole(command: &Command) -> bool {
    let summary = command.summary;
    summary.starts_with(|c: char| c.is_uppercase()) && summary.ends_with('.') && !summary.contains('\n')
}

#[test]
fn entries_are_well_formed() {
    for Facts { command, name, .. } in TABLE.entries() {
        assert!(sentence_is_whole(command), "{name}: {:?}", command.summary);
        for arg in arguments(command.args) {
            assert!(!arg.name.is_empty(), "{name}");
            assert!(arg.token.is_none_or(|token| token == token.to_uppercase()), "{name}: {:?}", arg.token);
            assert!(!arg.multiple_token || (arg.multiple && arg.token.is_some()), "{name}: {}", arg.name);
        }
    }
}

#[test]
fn lookup_folds_case_and_minds_containers() {
    let found = |line: &str| TABLE.resolve(&words(line)).map(|entry| &*entry.name);
    assert_eq!(found("command").ok(), Some("command"));
    assert_eq!(found("CoMMaND cOuNT").ok(), Some("command|count"));
    assert!(matches!(found("command frob"), Err(NotFound::Subcommand(entry)) if &*entry.name == "command"));
    assert!(matches!(found("command|count"), Err(NotFound::Command)));
    assert!(matches!(found(""), Err(NotFound::Command)));
    assert!(matches!(found(&"x".repeat(1000)), Err(NotFound::Command)));
    for entry in TABLE.entries() {
        let found = TABLE.get(entry.name.to_uppercase().as_bytes());
        assert_eq!(found.map(|found| found.index), Some(entry.index), "{}", entry.name);
    }
}

/// The words of a line; `''` is the empty one.
fn words(line: &str) -> Vec<&[u8]> {
    line.split_whitespace().map(|word| if word == "''" { "" } else { word }.as_bytes()).collect()
}

/// What a call's keys are, as `key:flags`.
fn keys(line: &str) -> Result<String, InvalidArguments> {
    let args = words(line);
    let entry = TABLE.resolve(&args).expect(line);
    let mut keys = Vec::new();
    entry.key_positions(&args, |position, access| {
        keys.push(format!("{}:{}", args[position].escape_ascii(), access.flags().join(",")));
    })?;
    Ok(keys.join(" "))
}

/// Call and keys, as redis-server 7.0.15 answers COMMAND GETKEYSANDFLAGS.
const KEYS_OF_CALLS: &[(&str, &str)] = &[
    ("get a", "a:RO,access"),
    ("set a b", "a:OW,update"),
    ("set a b get", "a:RW,access,update"),
    ("set a get", "a:OW,update"),
    ("mset a 1 b 2", "a:OW,update b:OW,update"),
    ("mget a b", "a:RO,access b:RO,access"),
    ("rename a b", "a:RW,access,delete b:OW,update"),
    ("blpop a b 0", "a:RW,access,delete b:RW,access,delete"),
    ("memory usage k", "k:RO"),
    ("bitfield a get u8 0", "a:RO,access"),
    ("bitfield a", "a:RO,access"),
    ("bitfield a get u8 0 set u8 0 1", "a:RW,access,update"),
    ("eval x 0", ""),
    ("eval x 2 a b c", "a:RW,access,update b:RW,access,update"),
    ("zunionstore d 2 a b", "d:OW,update a:RO,access b:RO,access"),
    ("zunion 1 a weights 2", "a:RO,access"),
    ("pfcount a b", "a:RW,access b:RW,access"),
    ("pfmerge a", "a:RW,access,insert"),
    ("xread count 1 streams a b 1 2", "a:RO,access b:RO,access"),
    ("xread streams a b 1", "a:RO,access"),
    ("xreadgroup group streams c streams a 1", "a:RO,access"),
    ("georadius k 1 2 3 m", "k:RO,access"),
    ("georadius k 1 2 3 m store x storedist y", "k:RO,access x:OW,update y:OW,update"),
    ("sort a store b store c", "a:RO,access c:OW,update"),
    ("sort a by store get store", "a:RO,access"),
    ("sort_ro a", "a:RO,access"),
    ("migrate h p k 0 1", "k:RW,access,delete"),
    ("migrate h p '' 0 1 auth keys keys a b", "a:RW,access,delete b:RW,access,delete"),
    ("object encoding a", "a:RO"),
    ("ping", ""),
];

#[test]
fn keys_are_found_in_real_arguments() {
    for (line, expected) in KEYS_OF_CALLS {
        if TABLE.resolve(&words(line)).is_ok() {
            assert_eq!(keys(line).as_deref(), Ok(*expected), "{line}");
        }
    }
}

#[test]
fn senseless_arguments_have_no_keys() {
    for line in ["zunionstore d 3 a b", "zunionstore d 0 a", "zunion x a", "eval x 5 a", "eval x -1", "get"] {
        if TABLE.resolve(&words(line)).is_ok() {
            assert_eq!(keys(line), Err(InvalidArguments), "{line}");
        }
    }
}

#[test]
fn unknown_commands_are_refused_in_redis_words() {
    let refusal = |line: &str| resolve(&words(line)).map_or_else(|error| error.to_string(), |_| String::new());
    assert_eq!(refusal("frob"), "ERR unknown command 'frob', with args beginning with: ");
    assert_eq!(refusal("frob a b"), "ERR unknown command 'frob', with args beginning with: 'a' 'b' ");
    assert_eq!(refusal("command frob"), "ERR unknown subcommand 'frob'. Try COMMAND HELP.");
    let long = format!("frob {} b {} c", "a".repeat(96), "b".repeat(50));
    let shown = format!("'{}' 'b' '{}' ", "a".repeat(96), "b".repeat(25));
    assert_eq!(refusal(&long), format!("ERR unknown command 'frob', with args beginning with: {shown}"));
}
