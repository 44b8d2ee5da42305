//! COMMAND: the server's description of its own commands, read off the command table. The
//! shapes are Redis', since client libraries and redis-cli's hints are built on them.
//!
//! Only tells; finding a command for a request is `table.rs`, its keys `keys.rs`.

use bytes::Bytes;

use super::command::{Category, Command, Flags, Group, flags};
use super::context::Context;
use super::derive::{flag_names, group_name};
use super::grammar::{Access, Arg, Begin, Find, KeySpec, Shape, one_of, pattern, text};
use super::outcome::Outcome;
use super::request::Args;
use super::table::{Facts, TABLE};
use super::usage::help;
use crate::base::{ClientError, Error, Result, glob};
use crate::resp::Reply;

pub static COMMANDS: &[Command] = &[Command {
    name: "COMMAND",
    summary: "Describes all commands.",
    since: "2.8.13",
    complexity: "O(N)",
    flags: flags!(LOADING | STALE),
    categories: Some(Category::CONNECTION),
    arity: Some(-1),
    tips: &["nondeterministic_output_order"],
    subcommands: SUBCOMMANDS_OF_COMMAND,
    run: all,
    ..Command::of(Group::Server)
}];

/// The subcommands of COMMAND.
static SUBCOMMANDS_OF_COMMAND: &[Command] = &[
    Command {
        name: "COUNT",
        summary: "Counts the commands.",
        since: "2.8.13",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        categories: Some(Category::CONNECTION),
        run: count,
        ..Command::of(Group::Server)
    },
    Command {
        name: "DOCS",
        summary: "Documents commands: summary, group, complexity and argument grammar.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(LOADING | STALE),
        categories: Some(Category::CONNECTION),
        args: &[text("command-name").many().optional()],
        tips: &["nondeterministic_output_order"],
        run: docs,
        ..Command::of(Group::Server)
    },
    Command {
        name: "GETKEYS",
        summary: "Picks the keys out of a complete command line.",
        since: "2.8.13",
        complexity: "O(N)",
        flags: flags!(LOADING | STALE),
        categories: Some(Category::CONNECTION),
        args: &[text("command"), text("arg").many().optional()],
        run: getkeys,
        ..Command::of(Group::Server)
    },
    Command {
        name: "GETKEYSANDFLAGS",
        summary: "Picks the keys out of a complete command line, with what is done to each.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(LOADING | STALE),
        categories: Some(Category::CONNECTION),
        args: &[text("command"), text("arg").many().optional()],
        run: getkeysandflags,
        ..Command::of(Group::Server)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of COMMAND.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        categories: Some(Category::CONNECTION),
        run: help,
        ..Command::of(Group::Server)
    },
    Command {
        name: "INFO",
        summary: "Describes commands by arity, flags, key positions and categories.",
        since: "2.8.13",
        complexity: "O(N)",
        flags: flags!(LOADING | STALE),
        categories: Some(Category::CONNECTION),
        args: &[text("command-name").many().optional()],
        tips: &["nondeterministic_output_order"],
        run: info,
        ..Command::of(Group::Server)
    },
    Command {
        name: "LIST",
        summary: "Names the commands, all or those that pass a filter.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(LOADING | STALE),
        categories: Some(Category::CONNECTION),
        args: &[one_of(
            "filterby",
            &[
                text("module-name").after("MODULE"),
                text("category").after("ACLCAT"),
                pattern("pattern").after("PATTERN"),
            ],
        )
        .after("FILTERBY")
        .optional()],
        tips: &["nondeterministic_output_order"],
        run: list,
        ..Command::of(Group::Server)
    },
];

/// Every command.
fn all(_context: &mut Context<'_>, _args: &mut Args<'_>) -> Result<Outcome> {
    Ok(Reply::array(TABLE.commands().map(description)).into())
}

fn count(_context: &mut Context<'_>, _args: &mut Args<'_>) -> Result<Outcome> {
    Ok(Outcome::count(TABLE.commands().count()))
}

fn info(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    if args.is_empty() {
        return all(context, args);
    }
    let described = args.rest().iter().map(|name| TABLE.get(name).map_or(Reply::Nil, description));
    Ok(Reply::array(described).into())
}

fn docs(_context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let documented = |entry: &Facts| (Reply::copy(&*entry.name), documentation(entry));
    let documents = if args.is_empty() {
        TABLE.commands().map(documented).collect()
    } else {
        args.rest().iter().filter_map(|name| TABLE.get(name)).map(documented).collect()
    };
    Ok(Reply::Map(documents).into())
}

fn list(_context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let filter = if args.is_empty() { Filter::None } else { Filter::parse(args)? };
    let names = TABLE.entries().iter().filter(|entry| filter.passes(entry));
    let names = names.map(|entry| Bytes::from_static(entry.name.as_bytes())).collect();
    Ok(Reply::Bulks(names).into())
}

/// Which commands COMMAND LIST names.
enum Filter<'a> {
    None,
    /// There are no modules, so this passes nothing.
    Module,
    /// An unknown category passes nothing.
    Category(Option<Category>),
    Pattern(&'a [u8]),
}

impl<'a> Filter<'a> {
    fn parse(args: &mut Args<'a>) -> Result<Self> {
        if !args.accept("FILTERBY") {
            return Err(ClientError::Syntax.into());
        }
        let (by, operand) = (args.next()?, args.next()?);
        args.finish()?;
        match by.to_ascii_uppercase().as_slice() {
            b"MODULE" => Ok(Self::Module),
            b"ACLCAT" => {
                let name = String::from_utf8_lossy(operand).to_uppercase();
                Ok(Self::Category(Category::from_name(&name)))
            }
            b"PATTERN" => Ok(Self::Pattern(operand)),
            _ => Err(ClientError::Syntax.into()),
        }
    }

    fn passes(&self, entry: &Facts) -> bool {
        match self {
            Self::None => true,
            Self::Module => false,
            Self::Category(category) => category.is_some_and(|category| entry.categories.contains(category)),
            Self::Pattern(pattern) => glob::matches(pattern, entry.name.as_bytes(), true),
        }
    }
}

fn getkeys(_context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let keys = keys_of_call(args.rest())?;
    Ok(Reply::array(keys.into_iter().map(|(key, _)| Reply::copy(key))).into())
}

fn getkeysandflags(_context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let keys = keys_of_call(args.rest())?;
    let pair = |(key, access): (&[u8], Access)| Reply::array([Reply::copy(key), words(access.flags())]);
    Ok(Reply::array(keys.into_iter().map(pair)).into())
}

/// The keys of a complete command line, with what is done to them.
fn keys_of_call<'a>(call: &[&'a [u8]]) -> Result<Vec<(&'a [u8], Access)>> {
    let entry = TABLE.resolve(call).map_err(|_| Error::client("ERR Invalid command specified"))?;
    if entry.key_specs.iter().all(|spec| spec.access == Access::Channel) {
        return Err(Error::client("ERR The command has no key arguments"));
    }
    if !entry.accepts(call.len()) {
        return Err(Error::client("ERR Invalid number of arguments specified for command"));
    }
    let mut keys = Vec::new();
    let told = entry.key_positions(call, |position, access| {
        keys.extend(call.get(position).map(|key| (*key, access)));
    });
    match told {
        Ok(()) if !keys.is_empty() => Ok(keys),
        _ if entry.command.flags.contains(Flags::NO_MANDATORY_KEYS) => Ok(Vec::new()),
        _ => Err(Error::client("ERR Invalid arguments specified for command")),
    }
}

/// A set of status lines, as flags and categories are told.
fn words<'a>(words: impl IntoIterator<Item = &'a &'static str>) -> Reply {
    Reply::Set(words.into_iter().map(|word| Reply::simple(*word)).collect())
}

/// One command as COMMAND INFO describes it: the ten elements of Redis' array.
fn description(entry: &Facts) -> Reply {
    let movable = entry.movable_keys.then_some("movablekeys");
    let flags: Vec<_> = flag_names(entry.command.flags).chain(movable).collect();
    let categories = entry.categories.iter_names();
    let categories = categories.map(|(name, _)| Reply::simple(format!("@{}", name.to_lowercase())));
    let range = entry.key_range;
    Reply::array([
        Reply::copy(&*entry.name),
        Reply::Integer(entry.arity.into()),
        words(&flags),
        Reply::count(range.first),
        Reply::Integer(range.last as i64),
        Reply::count(range.step),
        Reply::Set(categories.collect()),
        Reply::Set(entry.command.tips.iter().map(|tip| Reply::Static(tip)).collect()),
        Reply::Set(entry.key_specs.iter().map(key_spec).collect()),
        Reply::Set(TABLE.subcommands(entry).map(description).collect()),
    ])
}

fn key_spec(spec: &KeySpec) -> Reply {
    let number = |number: usize| Reply::count(number);
    let incomplete = spec.incomplete.then_some(&"incomplete");
    let (search, operands) = match spec.begin {
        Begin::Index(index) => ("index", vec![("index", number(index))]),
        Begin::Keyword(word, from) => {
            ("keyword", vec![("keyword", Reply::Static(word)), ("startfrom", Reply::Integer(from as i64))])
        }
        Begin::Unknown => ("unknown", Vec::new()),
    };
    let begin = Reply::named([("type", Reply::Static(search)), ("spec", Reply::named(operands))]);
    let (found, operands) = match spec.find {
        Find::Range { last, step, limit } => (
            "range",
            vec![("lastkey", Reply::Integer(last as i64)), ("keystep", number(step)), ("limit", number(limit))],
        ),
        Find::Counted { number: count, first, step } => {
            ("keynum", vec![("keynumidx", number(count)), ("firstkey", number(first)), ("keystep", number(step))])
        }
        Find::Unknown => ("unknown", Vec::new()),
    };
    let find = Reply::named([("type", Reply::Static(found)), ("spec", Reply::named(operands))]);
    let flags = words(spec.access.flags().iter().chain(incomplete));
    Reply::named([("flags", flags), ("begin_search", begin), ("find_keys", find)])
}

/// One command as COMMAND DOCS documents it.
fn documentation(entry: &Facts) -> Reply {
    let command = entry.command;
    let mut fields = vec![
        ("summary", Reply::Static(command.summary)),
        ("since", Reply::Static(command.since)),
        ("group", Reply::Static(group_name(command.group))),
    ];
    if !command.complexity.is_empty() {
        fields.push(("complexity", Reply::Static(command.complexity)));
    }
    let system = command.flags.contains(Flags::SYSTEM).then_some(&"syscmd");
    let marks: Vec<_> = command.deprecated.map(|_| &"deprecated").into_iter().chain(system).collect();
    if !marks.is_empty() {
        fields.push(("doc_flags", words(marks)));
    }
    if let Some((since, replaced_by)) = command.deprecated {
        fields.push(("deprecated_since", Reply::Static(since)));
        fields.push(("replaced_by", Reply::Static(replaced_by)));
    }
    if !command.args.is_empty() {
        let mut specs = UnusedSpecs(entry.key_specs.iter().map(|spec| Some(spec.access)).collect());
        fields.push(("arguments", arguments(command.args, &mut specs)));
    }
    if !entry.subcommands.is_empty() {
        let documents = TABLE.subcommands(entry).map(|entry| (Reply::copy(&*entry.name), documentation(entry)));
        fields.push(("subcommands", Reply::Map(documents.collect())));
    }
    Reply::named(fields)
}

/// The key specs of a command that no argument has been matched with yet.
struct UnusedSpecs(Vec<Option<Access>>);

impl UnusedSpecs {
    /// The number of the spec behind the next key argument of this access.
    fn take(&mut self, access: Access) -> Option<usize> {
        let number = self.0.iter().position(|spec| *spec == Some(access))?;
        *self.0.get_mut(number)? = None;
        Some(number)
    }
}

fn arguments(args: &[Arg], specs: &mut UnusedSpecs) -> Reply {
    Reply::array(args.iter().map(|arg| argument(arg, specs)))
}

fn argument(arg: &Arg, specs: &mut UnusedSpecs) -> Reply {
    let mut fields = vec![("name", Reply::Static(arg.name)), ("type", Reply::Static(type_name(arg.shape)))];
    if !matches!(arg.shape, Shape::OneOf(_) | Shape::Block(_)) {
        fields.push(("display_text", Reply::Static(arg.name)));
    }
    if let Shape::Key(access) = arg.shape
        && let Some(spec) = specs.take(access).filter(|_| access != Access::Channel)
    {
        fields.push(("key_spec_index", Reply::count(spec)));
    }
    if let Some(word) = arg.token {
        fields.push(("token", Reply::Static(word)));
    }
    if let Some(version) = arg.since {
        fields.push(("since", Reply::Static(version)));
    }
    let flags: Vec<_> =
        [(arg.optional, &"optional"), (arg.multiple, &"multiple"), (arg.multiple_token, &"multiple_token")]
            .into_iter()
            .filter_map(|(holds, name)| holds.then_some(name))
            .collect();
    if !flags.is_empty() {
        fields.push(("flags", words(flags)));
    }
    if let Shape::OneOf(inner) | Shape::Block(inner) = arg.shape {
        fields.push(("arguments", arguments(inner, specs)));
    }
    Reply::named(fields)
}

fn type_name(shape: Shape) -> &'static str {
    match shape {
        // A channel is routed like a key, but it is none.
        Shape::Key(Access::Channel) | Shape::Text => "string",
        Shape::Key(_) => "key",
        Shape::Integer => "integer",
        Shape::Double => "double",
        Shape::Pattern => "pattern",
        Shape::UnixTime => "unix-time",
        Shape::Token => "pure-token",
        Shape::OneOf(_) => "oneof",
        Shape::Block(_) => "block",
    }
}

#[cfg(test)]
#[path = "command_info_tests.rs"]
mod tests;
