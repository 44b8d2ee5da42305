//! Executes the examples of `docs/format.md`. Each runs its commands against a fresh server; then
//! the server is stopped, its database is opened without it, and what lies in RocksDB is held
//! against the bytes that the document shows. So the document cannot drift from the code, and
//! a change of the format cannot pass unnoticed.
//!
//! The notation is described at the head of the document. A family that an example names must
//! hold what is shown and nothing else; those it does not name must be empty, `system` apart.

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use ferrock::base::sip::sip13;
use ferrock::encoding::key::{KeyspaceId, ObjectId, reclaim_keyspace_key, reclaim_object_key};
use ferrock::storage::budget::EngineBudget;
use ferrock::storage::{self, Family, KeyRange, OpenOptions, Tier, View};
use support::{Protocol, Server, Target, quoting};

const DOCUMENT: &str = include_str!("../docs/format.md");
/// What opens an example in the document.
const FENCE: &str = "```example";
const BUDGET: EngineBudget = EngineBudget { block_cache_bytes: 8 << 20, write_buffer_bytes: 4 << 20 };

/// One example of the document.
struct Example {
    /// The line of the document it begins on.
    line: usize,
    parameters: Vec<(String, String)>,
    commands: Vec<Vec<Vec<u8>>>,
    entries: Vec<Entry>,
}

/// A key and a value that an example shows.
struct Entry {
    text: String,
    family: Family,
    key: Vec<Piece>,
    value: Vec<Piece>,
    /// It is gone as soon as the server has come to it.
    passing: bool,
}

/// One byte of what is shown.
#[derive(Clone)]
enum Piece {
    Byte(u8),
    /// `??`
    Any,
    /// A byte of `salt`, which the example's large object has drawn.
    Salt(usize),
    /// A byte of `place(name)`, which follows from the salt.
    Place(Vec<u8>, usize),
}

type Stored = (Vec<u8>, Vec<u8>);

// ---- reading the document ------------------------------------------------------------

fn examples() -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(DOCUMENT.lines()) {
        match line {
            FENCE => {
                inside = true;
                found.push(Example { line: number, parameters: Vec::new(), commands: Vec::new(), entries: Vec::new() });
            }
            "```" => inside = false,
            _ if inside => {
                let example = found.last_mut().expect("the fence has opened one");
                read_line(line, example).unwrap_or_else(|what| panic!("docs/format.md:{number}: {what}: {line}"));
            }
            _ => {}
        }
    }
    found
}

fn read_line(line: &str, example: &mut Example) -> Result<(), String> {
    if let Some(parameter) = line.strip_prefix("#! --") {
        let (name, value) = parameter.split_once(' ').ok_or("a parameter without a value")?;
        example.parameters.push((name.into(), value.into()));
    } else if let Some(command) = line.strip_prefix("> ") {
        let words = quoting::split(command)?;
        example.commands.push(words.into_iter().map(|word| repeated(&word).unwrap_or(word)).collect());
    } else if !line.is_empty() {
        example.entries.push(entry(line)?);
    }
    Ok(())
}

/// The bytes of `repeat(x,count)`.
fn repeated(word: &[u8]) -> Option<Vec<u8>> {
    let word = std::str::from_utf8(word).ok()?;
    let (text, count) = word.strip_prefix("repeat(")?.strip_suffix(')')?.split_once(',')?;
    Some(text.as_bytes().repeat(count.parse().ok()?))
}

fn entry(line: &str) -> Result<Entry, String> {
    let (passing, shown) = line.strip_prefix("passing ").map_or((false, line), |rest| (true, rest));
    let (name, rest) = shown.split_once(' ').ok_or("a family and nothing else")?;
    let family = Family::ALL.into_iter().find(|family| family.name() == name).ok_or("no such family")?;
    let (key, value) = rest.split_once('=').ok_or("a key without `=` and a value")?;
    Ok(Entry { text: line.into(), family, key: pieces(key)?, value: pieces(value)?, passing })
}

/// Bytes in the document's notation.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (string, after) = quoted.split_once('"').ok_or("an open quote")?;
            found.extend(string.bytes().map(Piece::Byte));
            rest = after.trim_start();
            continue;
        }
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        found.extend(word_pieces(word)?);
        rest = after.trim_start();
    }
    Ok(found)
}

fn word_pieces(word: &str) -> Result<Vec<Piece>, String> {
    if word == "salt" {
        return Ok((0..8).map(Piece::Salt).collect());
    }
    if let Some(name) = word.strip_prefix("place(").and_then(|rest| rest.strip_suffix(')')) {
        let name = repeated(name.as_bytes()).unwrap_or_else(|| name.into());
        return Ok((0..4).map(|nth| Piece::Place(name.clone(), nth)).collect());
    }
    let (unit, count) = word.split_once('*').unwrap_or((word, "1"));
    let count: usize = count.parse().map_err(|_| "not a number of times")?;
    let unit: Vec<Piece> = match unit {
        "??" => vec![Piece::Any],
        hex if hex.len().is_multiple_of(2) && hex.is_ascii() => (0..hex.len() / 2)
            .map(|nth| u8::from_str_radix(&hex[2 * nth..2 * nth + 2], 16).map(Piece::Byte))
            .collect::<Result<_, _>>()
            .map_err(|_| format!("{hex} is not hexadecimal"))?,
        other => return Err(format!("{other} is not whole bytes")),
    };
    Ok(std::iter::repeat_n(unit, count).flatten().collect())
}

// ---- comparing ------------------------------------------------------------------------

/// Whether these are the bytes; without a salt, what follows from it may be anything.
fn shows(pieces: &[Piece], bytes: &[u8], salt: Option<[u8; 8]>) -> bool {
    let is = |piece: &Piece, byte: u8| match (piece, salt) {
        (Piece::Byte(shown), _) => *shown == byte,
        (Piece::Salt(nth), Some(salt)) => salt[*nth] == byte,
        (Piece::Place(name, nth), Some(salt)) => place(salt, name)[*nth] == byte,
        (Piece::Any | Piece::Salt(_) | Piece::Place(..), _) => true,
    };
    pieces.len() == bytes.len() && pieces.iter().zip(bytes).all(|(piece, byte)| is(piece, *byte))
}

/// Where a name lies on the circle of an object with this salt.
fn place(salt: [u8; 8], name: &[u8]) -> [u8; 4] {
    ((sip13([u64::from_be_bytes(salt), 0], name) >> 32) as u32).to_be_bytes()
}

/// The salt, read where an example shows it.
fn salt_of(entries: &[Entry], stored: &[(Family, Vec<Stored>)]) -> Option<[u8; 8]> {
    let entry = entries.iter().find(|entry| entry.value.iter().any(|piece| matches!(piece, Piece::Salt(_))))?;
    let at = entry.value.iter().position(|piece| matches!(piece, Piece::Salt(0)))?;
    let all = stored.iter().find(|(family, _)| *family == entry.family).map(|(_, all)| all)?;
    let (_, value) =
        all.iter().find(|(key, value)| shows(&entry.key, key, None) && shows(&entry.value, value, None))?;
    value.get(at..at + 8)?.try_into().ok()
}

/// What a database holds, family by family.
fn dump(directory: &Path) -> Vec<(Family, Vec<Stored>)> {
    let options = OpenOptions { read_only: true, create_if_missing: false, ..OpenOptions::new(BUDGET) };
    let engine = storage::open(directory, &options).expect("the database opens without its server");
    let all = |family| {
        let view = View::latest(Tier::Disk);
        let mut cursor = engine.cursor(family, KeyRange::default(), &view).expect("a cursor");
        cursor.seek_to_first().expect("a readable family");
        let mut found = Vec::new();
        while let Some((key, value)) = cursor.entry() {
            found.push((key.to_vec(), value.to_vec()));
            cursor.next().expect("a readable family");
        }
        found
    };
    Family::ALL.into_iter().map(|family| (family, all(family))).collect()
}

fn run(example: &Example) -> Vec<(Family, Vec<Stored>)> {
    let parameters: Vec<(&str, &str)> =
        example.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut server = Server::start_with(Target::Ferrock, &parameters);
    let mut connection = server.connect(Protocol::Resp2);
    for command in &example.commands {
        let reply = connection.must(command);
        assert!(!reply.is_error(), "docs/format.md:{}: {reply:?}", example.line);
    }
    drop(connection);
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    dump(&server.data())
}

/// What is wrong with an example, line by line.
fn differences(example: &Example, stored: &[(Family, Vec<Stored>)]) -> Vec<String> {
    let salt = salt_of(&example.entries, stored);
    let mut wrong = Vec::new();
    for (family, all) in stored {
        let shown: Vec<&Entry> = example.entries.iter().filter(|entry| entry.family == *family).collect();
        if *family == Family::System && shown.is_empty() {
            continue;
        }
        let is =
            |entry: &Entry, (key, value): &Stored| shows(&entry.key, key, salt) && shows(&entry.value, value, salt);
        for entry in &shown {
            let times = all.iter().filter(|one| is(entry, one)).count();
            if times != 1 && !(times == 0 && entry.passing) {
                wrong.push(format!("found {times} times: {}", entry.text));
            }
        }
        for one in all.iter().filter(|one| !shown.iter().any(|entry| is(entry, one))) {
            wrong.push(format!("not shown: {} {} = {}", family.name(), hex(&one.0), hex(&one.1)));
        }
    }
    wrong
}

/// Bytes for a message, long runs shortened.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let [byte, ..] = rest {
        let run = rest.iter().take_while(|other| *other == byte).count();
        let (times, taken) = if run > 8 { (format!("*{run} "), run) } else { (String::new(), 1) };
        text += &format!("{byte:02x}{times}");
        rest = &rest[taken..];
    }
    text
}

// ---- the tests -------------------------------------------------------------------------

#[test]
fn what_the_document_shows_is_what_is_stored() {
    let mut report = Vec::new();
    for example in examples() {
        for wrong in differences(&example, &run(&example)) {
            report.push(format!("docs/format.md:{}: {wrong}", example.line));
        }
    }
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

#[test]
fn every_example_runs_something_and_every_family_in_use_has_one() {
    let examples = examples();
    for example in &examples {
        assert!(!example.commands.is_empty() && !example.entries.is_empty(), "docs/format.md:{}", example.line);
    }
    let shown: BTreeSet<Family> =
        examples.iter().flat_map(|example| &example.entries).map(|entry| entry.family).collect();
    assert_eq!(shown, BTreeSet::from(Family::ALL));
}

/// A running server may have dealt with these before it stops, so their keys are compared here.
#[test]
fn what_passes_quickly_has_the_keys_that_are_shown() {
    let examples = examples();
    let entries = examples.iter().flat_map(|example| &example.entries);
    let shown: BTreeSet<Vec<u8>> = entries
        .filter(|entry| entry.passing && entry.family == Family::System)
        .map(|entry| {
            let byte = |piece: &Piece| match piece {
                Piece::Byte(byte) => *byte,
                _ => panic!("a masked byte in {}", entry.text),
            };
            entry.key.iter().map(byte).collect()
        })
        .collect();
    assert_eq!(shown, BTreeSet::from([reclaim_object_key(ObjectId(1)), reclaim_keyspace_key(KeyspaceId(0))]));
}
