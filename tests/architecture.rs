//! Holds the source tree to the layers of `docs/architecture.md`: imports run
//! downward only, services do not name each other, one folder names RocksDB,
//! one file names bincode, `unsafe` stays where its reason is written down, and
//! every file says at its head what it owns. Read as text, without a compiler:
//! a failure names file, line and the edge that breaks the rule.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The layers from top to bottom; folders on one line are one layer.
const LAYERS: &[&[&str]] = &[
    &["main", "cli"],
    &["server"],
    &["commands"],
    SERVICES,
    &["types"],
    &["keyspace"],
    &["storage"],
    &["encoding", "resp", "config"],
    &["base"],
];

/// What commands share. They do not name each other: what one needs of another
/// it gets through a trait or a closure from above.
const SERVICES: &[&str] = &["acl", "pubsub", "observe", "scripting", "replication", "transfer"];

/// Downward edges that are forbidden all the same, with the reason.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("types", "resp", "a type knows values, not how a client reads them"),
    ("keyspace", "resp", "records and transactions have no protocol"),
    ("server", "encoding", "a connection does not know how a key is stored"),
];

/// Folders that open or hold sockets. Everything else is driven by them.
const SOCKETS: &[&str] = &["main", "cli", "server", "replication"];

/// Files that may say `unsafe`, each with the reason at its head: C's long double
/// for INCRBYFLOAT, the parts of RocksDB its safe wrapper leaves out, Lua's C interface, and a mapped file.
const UNSAFE: &[&str] = &[
    "base/number/long_double.rs",
    "scripting/lua/frames.rs",
    "scripting/lua/mod.rs",
    "scripting/lua/raw.rs",
    "scripting/lua/stack.rs",
    "storage/rocks/ffi/mod.rs",
    "storage/rocks/ffi/reads.rs",
    "storage/rocks/ffi/writes.rs",
    "storage/writeback/window.rs",
];

const FILE_LINES_MAX: usize = 900;

struct Source {
    /// Path below `src/`, with `/`.
    path: String,
    /// Text with comments and literals blanked, line breaks kept.
    code: String,
    text: String,
}

impl Source {
    fn layer(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The path of the module a file defines: `types/hash/mod.rs` is `[types, hash]`.
    fn module(&self) -> Vec<&str> {
        let stem = self.path.trim_end_matches(".rs");
        let stem = stem.strip_suffix("/mod").unwrap_or(stem);
        if stem == "lib" || stem == "main" { Vec::new() } else { stem.split('/').collect() }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Every top-level module this file names, with the line it does so on.
    fn named_modules(&self) -> Vec<(String, usize)> {
        let mut named = Vec::new();
        for root in ["crate::", "ferrock::"] {
            for offset in word_offsets(&self.code, root) {
                for name in first_segments(&self.code[offset + root.len()..]) {
                    named.push((name, self.line_of(offset)));
                }
            }
        }
        self.named_through_super(&mut named);
        named
    }

    /// `super::super::x` that climbs out of its layer names a top-level module too.
    fn named_through_super(&self, named: &mut Vec<(String, usize)>) {
        let depth = self.module().len();
        for offset in word_offsets(&self.code, "super::") {
            if self.code[..offset].ends_with("super::") {
                continue;
            }
            let mut rest = &self.code[offset..];
            let mut climbed = 0;
            while let Some(after) = rest.strip_prefix("super::") {
                rest = after;
                climbed += 1;
            }
            if climbed == depth {
                for name in first_segments(rest) {
                    named.push((name, self.line_of(offset)));
                }
            }
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let text = std::fs::read_to_string(file).expect("source files are UTF-8");
            let path = file.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
            Source { path, code: blank_comments_and_literals(&text), text }
        })
        .collect();
    assert!(sources.len() > 3, "the source tree was not found below {}", root.display());
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Offsets of `word` where no identifier character or path precedes it.
fn word_offsets<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(offset, _)| offset).filter(move |&offset| {
        let before = code[..offset].chars().next_back();
        !before.is_some_and(|char| char.is_alphanumeric() || char == '_')
    })
}

/// The first segments of a path or of each entry of a braced list: of
/// `{types::Set, base::{a, b}}` it is `types` and `base`.
fn first_segments(rest: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.trim_start().chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
    };
    let Some(list) = rest.strip_prefix('{') else {
        return vec![identifier(rest)];
    };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut entry = String::new();
    for char in list.chars() {
        match char {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.push(identifier(&std::mem::take(&mut entry))),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        entry.push(char);
    }
    names.push(identifier(entry.trim_start_matches(',')));
    names.retain(|name| !name.is_empty());
    names
}

/// Replaces comments, strings and character literals by spaces, so that what
/// prose and messages mention is not taken for code.
fn blank_comments_and_literals(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while !rest.is_empty() {
        let length = literal_length(rest, code.chars().next_back());
        let step = if length == 0 { rest.chars().next().map_or(1, char::len_utf8) } else { length };
        let (taken, after) = rest.split_at(step);
        if length == 0 {
            code.push_str(taken);
        } else {
            code.extend(taken.chars().map(|char| if char == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// Bytes of the comment or literal at the start of `rest`; 0 when there is none.
fn literal_length(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    let in_word = before.is_some_and(|char| char.is_alphanumeric() || char == '_');
    if !in_word && let Some(length) = raw_string_length(rest) {
        return length;
    }
    match rest.chars().next() {
        Some('"') => 1 + escaped_length(&rest[1..], '"'),
        // A lifetime has no closing quote two characters on; a literal has.
        Some('\'') if rest[1..].starts_with('\\') => 1 + escaped_length(&rest[1..], '\''),
        Some('\'') => match rest[1..].chars().next() {
            Some(char) if rest[1 + char.len_utf8()..].starts_with('\'') => char.len_utf8() + 2,
            _ => 0,
        },
        _ => 0,
    }
}

fn raw_string_length(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.chars().take_while(|char| *char == '#').count();
    let body = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close)? + close.len();
    Some(rest.len() - body.len() + end)
}

fn escaped_length(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (offset, char) in body.char_indices() {
        if !escaped && char == quote {
            return offset + 1;
        }
        escaped = !escaped && char == '\\';
    }
    body.len()
}

fn depth_of(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|layers| layers.contains(&layer))
}

/// Why `from` must not name `to`, if it must not.
fn broken_rule(from: &str, to: &str) -> Option<String> {
    let (above, below) = (depth_of(from)?, depth_of(to)?);
    if from == to {
        return None;
    }
    if below < above {
        return Some("imports run downward only".into());
    }
    if SERVICES.contains(&from) && SERVICES.contains(&to) {
        return Some("services do not name each other".into());
    }
    let rule = FORBIDDEN.iter().find(|(top, bottom, _)| (*top, *bottom) == (from, to));
    rule.map(|(_, _, reason)| (*reason).to_owned())
}

/// One line a broken edge: `src/types/set.rs:12 types → commands: reason`.
fn broken_edges(sources: &[Source]) -> String {
    let mut report = String::new();
    for source in sources.iter().filter(|source| source.layer() != "lib") {
        for (named, line) in source.named_modules() {
            if let Some(reason) = broken_rule(source.layer(), &named) {
                let _ = writeln!(report, "src/{}:{line} {} → {named}: {reason}", source.path, source.layer());
            }
        }
    }
    report
}

/// Lines of the files in which one of `words` stands as code, `allowed` files aside.
fn uses(sources: &[Source], words: &[&str], allowed: impl Fn(&Source) -> bool) -> String {
    let mut report = String::new();
    for source in sources.iter().filter(|source| !allowed(source)) {
        for word in words {
            for offset in word_offsets(&source.code, word) {
                let _ = writeln!(report, "src/{}:{} {word}", source.path, source.line_of(offset));
            }
        }
    }
    report
}

#[test]
fn imports_run_downward_only() {
    let broken = broken_edges(&sources());
    assert!(broken.is_empty(), "edges that break the layers:\n{broken}");
}

#[test]
fn every_module_belongs_to_a_layer() {
    let strangers: Vec<String> = sources()
        .iter()
        .filter(|source| source.layer() != "lib" && depth_of(source.layer()).is_none())
        .map(|source| format!("src/{}", source.path))
        .collect();
    assert!(strangers.is_empty(), "outside every layer: {strangers:?}");
}

#[test]
fn only_storage_names_rocksdb() {
    let words = ["rocksdb::", "use rocksdb", "librocksdb_sys"];
    let named = uses(&sources(), &words, |source| source.layer() == "storage");
    assert!(named.is_empty(), "RocksDB outside src/storage:\n{named}");
}

#[test]
fn one_file_names_bincode() {
    let mut files = BTreeMap::new();
    for source in sources() {
        if word_offsets(&source.code, "bincode::").next().is_some() {
            files.insert(source.path.clone(), ());
        }
    }
    assert!(files.len() <= 1, "bincode belongs to one file, but is named in {:?}", files.keys());
}

#[test]
fn unsafe_stays_in_its_files() {
    let sources = sources();
    let outside = uses(&sources, &["unsafe"], |source| UNSAFE.contains(&source.path.as_str()));
    let outside: Vec<&str> = outside.lines().filter(|line| !line.contains("unsafe_code")).collect();
    assert!(outside.is_empty(), "unsafe outside its files:\n{}", outside.join("\n"));
    for path in UNSAFE {
        let used = sources.iter().any(|source| source.path == *path && source.code.contains("unsafe"));
        assert!(used, "{path} is listed for unsafe and has none");
    }
}

#[test]
fn only_the_server_holds_sockets() {
    let words = ["tokio::net", "TcpListener", "TcpStream", "UnixListener", "UnixStream"];
    let named = uses(&sources(), &words, |source| SOCKETS.contains(&source.layer()));
    assert!(named.is_empty(), "sockets below the server:\n{named}");
}

#[test]
fn every_file_opens_with_what_it_owns() {
    let silent: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| format!("src/{}", source.path))
        .collect();
    assert!(silent.is_empty(), "files that do not open with //!: {silent:?}");
}

#[test]
fn no_file_grows_past_reading() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|source| source.text.lines().count() > FILE_LINES_MAX)
        .map(|source| format!("src/{}", source.path))
        .collect();
    assert!(long.is_empty(), "files longer than {FILE_LINES_MAX} lines: {long:?}");
}

/// The test itself must see an edge, whichever way it is written.
#[test]
fn planted_edges_are_found() {
    let plant = |path: &str, text: &str| Source {
        path: path.into(),
        code: blank_comments_and_literals(text),
        text: text.into(),
    };
    let planted = [
        plant("types/set.rs", "use crate::commands::Context;"),
        plant("types/hash/mod.rs", "fn f() { let x = crate::{base::clock, server::Listener}; }"),
        plant("storage/engine.rs", "use super::super::keyspace::Tx;"),
        plant("acl/mod.rs", "use crate::pubsub::Hub;"),
        plant("types/list.rs", "fn f<'a>() { 'x'; \"//\"; crate::resp::Reply::Nil }"),
    ];
    let report = broken_edges(&planted);
    for edge in ["types → commands", "types → server", "storage → keyspace", "acl → pubsub", "types → resp"] {
        assert!(report.contains(edge), "{edge} was not found in:\n{report}");
    }
    let innocent = [
        plant("types/set.rs", "// crate::commands\nuse crate::base::Error; const X: &str = \"crate::server::\";"),
        plant("commands/set.rs", "use crate::{types::Set, resp::{Reply, Value}}; use super::table;"),
        plant("base/glob.rs", "const R: &[u8] = br#\"crate::server::x\"#; /* crate::cli::y */"),
    ];
    assert_eq!(broken_edges(&innocent), "");
}
