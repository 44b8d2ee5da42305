//! The replies of COMMAND, held against those of a redis-server 7.0.15.

use super::*;
use crate::resp::{Protocol, write};

/// A reply on the wire, its line ends as spaces.
fn wire(reply: &Reply, protocol: Protocol) -> String {
    let mut bytes = Vec::new();
    write(reply, protocol, &mut bytes);
    String::from_utf8(bytes).expect("ASCII").replace("\r\n", " ").trim_end().to_owned()
}

fn entry(name: &str) -> &'static Facts {
    TABLE.get(name.as_bytes()).expect(name)
}

/// An entry with everything COMMAND INFO and DOCS can show, apart from families.
static SAMPLE: &[Command] = &[Command {
    name: "MOVEALL",
    summary: "Moves all.",
    since: "3.2.0",
    complexity: "O(N)",
    flags: flags!(WRITE | SYSTEM),
    args: &[
        text("group").after("GROUP"),
        one_of(
            "where",
            &[pattern("pattern").after("PATTERN"), super::super::grammar::token("all", "ALL").since("7.2.0")],
        )
        .optional(),
        super::super::grammar::key("destination", Access::Overwrite).after("STORE").optional(),
        text("tag").after("TAG").many_with_token().optional(),
    ],
    deprecated: Some(("7.0.0", "MOVE")),
    tips: &["nondeterministic_output"],
    run: all,
    ..Command::of(Group::Generic)
}];

fn sample() -> &'static Facts {
    let table = Box::leak(Box::new(super::super::table::Table::gather(&[SAMPLE])));
    table.get(b"moveall").expect("the sample")
}

#[test]
fn info_has_redis_shape() {
    let expected = concat!(
        "*10 $7 moveall :-3 ~2 +write +movablekeys :0 :0 :0 ~3 +@keyspace +@write +@slow ",
        "~1 $23 nondeterministic_output ",
        "~1 %3 $5 flags ~2 +OW +update ",
        "$12 begin_search %2 $4 type $7 keyword $4 spec %2 $7 keyword $5 STORE $9 startfrom :3 ",
        "$9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 ~0",
    );
    assert_eq!(wire(&description(sample()), Protocol::Resp3), expected);
}

#[test]
fn info_names_subcommands() {
    let text = wire(&description(entry("command")), Protocol::Resp2);
    assert!(
        text.starts_with("*10 $7 command :-1 *2 +loading +stale :0 :0 :0 *2 +@slow +@connection *1 $29 "),
        "{text}"
    );
    assert!(text.contains(" *0 *7 *10 $13 command|count :2 *2 +loading +stale "), "{text}");
}

#[test]
fn docs_have_redis_shape() {
    let expected = concat!(
        "%8 $7 summary $10 Moves all. $5 since $5 3.2.0 $5 group $7 generic $10 complexity $4 O(N) ",
        "$9 doc_flags ~2 +deprecated +syscmd $16 deprecated_since $5 7.0.0 $11 replaced_by $4 MOVE ",
        "$9 arguments *4 ",
        "%4 $4 name $5 group $4 type $6 string $12 display_text $5 group $5 token $5 GROUP ",
        "%4 $4 name $5 where $4 type $5 oneof $5 flags ~1 +optional $9 arguments *2 ",
        "%4 $4 name $7 pattern $4 type $7 pattern $12 display_text $7 pattern $5 token $7 PATTERN ",
        "%5 $4 name $3 all $4 type $10 pure-token $12 display_text $3 all $5 token $3 ALL $5 since $5 7.2.0 ",
        "%6 $4 name $11 destination $4 type $3 key $12 display_text $11 destination ",
        "$14 key_spec_index :0 $5 token $5 STORE $5 flags ~1 +optional ",
        "%5 $4 name $3 tag $4 type $6 string $12 display_text $3 tag $5 token $3 TAG ",
        "$5 flags ~3 +optional +multiple +multiple_token",
    );
    assert_eq!(wire(&documentation(sample()), Protocol::Resp3), expected);
}

#[test]
fn docs_nest_subcommands_under_their_full_names() {
    let text = wire(&documentation(entry("command")), Protocol::Resp2);
    assert!(text.contains("$11 subcommands *14 $13 command|count *"), "{text}");
}

#[test]
fn calls_without_keys_are_refused_in_redis_words() {
    let refusal = |call: &str| {
        let words: Vec<&[u8]> = call.split(' ').map(str::as_bytes).collect();
        keys_of_call(&words).map_or_else(|error| error.to_string(), |keys| format!("{keys:?}"))
    };
    assert_eq!(refusal("frob a"), "ERR Invalid command specified");
    assert_eq!(refusal("command frob"), "ERR Invalid command specified");
    assert_eq!(refusal("command count"), "ERR The command has no key arguments");
}

#[test]
fn help_is_made_of_the_table() {
    let lines = crate::commands::usage::help_lines(entry("command|help"));
    assert_eq!(lines[0], "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    assert_eq!(lines[3], "DOCS [command-name [command-name ...]]");
    assert!(lines.contains(&"LIST [FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]".to_owned()));
    assert_eq!(lines.len(), 15);
}
