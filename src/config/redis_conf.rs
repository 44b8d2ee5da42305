//! `redis.conf`: a directive on each line, arguments at white space, quotes as Redis
//! has them; `include` reads another file in its place. Text in, directives and
//! notes out; the files named by `include` are all that is read here.

use std::path::Path;

use super::error::{ConfigError, Origin};
use super::load::{Directive, Note, line_of, read};
use crate::base::quoting::split_arguments;

/// How deep files may include each other.
const MAX_INCLUDES: usize = 16;
/// How many files may be read in all: a file may include another twice.
const MAX_FILES: usize = 1000;

/// Directives that Redis has and that are no parameters, with what becomes of them.
const FOREIGN: &[(&str, &str)] = &[
    ("loadmodule", "Ferrock loads no modules"),
    ("list-max-ziplist-entries", "Redis itself has given it up"),
    ("list-max-ziplist-value", "Redis itself has given it up"),
    ("lua-replicate-commands", "Redis itself has given it up"),
    ("gopher-enabled", "Redis itself has given it up"),
    ("rdb-version-check", "every known version is read"),
    ("unixsocketgroup", "the socket belongs to the group of the server"),
    ("sentinel", "Ferrock is no Sentinel"),
];

/// The directives of a text and of what it includes, in order.
pub(super) fn directives(path: &Path, text: &str, notes: &mut Vec<Note>) -> Result<Vec<Directive>, ConfigError> {
    let mut reading = Reading { directives: Vec::new(), notes, files: 1 };
    reading.text(path, text, 0)?;
    Ok(reading.directives)
}

/// The directives of a text alone, includes left out.
pub(super) fn own_directives(path: &Path, text: &str) -> Result<Vec<Directive>, ConfigError> {
    let mut directives = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let read = directive(line_of(path, number + 1), line)?;
        directives.extend(read.filter(|read| !is_foreign(&read.name)));
    }
    Ok(directives)
}

struct Reading<'a> {
    directives: Vec<Directive>,
    notes: &'a mut Vec<Note>,
    files: usize,
}

impl Reading<'_> {
    fn text(&mut self, path: &Path, text: &str, depth: usize) -> Result<(), ConfigError> {
        for (number, line) in text.lines().enumerate() {
            let origin = line_of(path, number + 1);
            let Some(directive) = directive(origin.clone(), line)? else {
                continue;
            };
            if directive.name == "include" {
                self.include(origin, &directive.words, depth)?;
            } else if let Some(reason) = foreign(&directive.name) {
                let text = format!("{} has no effect: {reason}", directive.name);
                self.notes.push(Note { origin, text });
            } else {
                self.directives.push(directive);
            }
        }
        Ok(())
    }

    fn include(&mut self, origin: Origin, words: &[String], depth: usize) -> Result<(), ConfigError> {
        let wrong = |what: String| ConfigError::Syntax { origin: origin.clone(), what };
        let [name] = words else {
            return Err(wrong("include takes one file".into()));
        };
        self.files += 1;
        if depth >= MAX_INCLUDES || self.files > MAX_FILES {
            return Err(wrong(format!("'{name}' is included too deeply or too often")));
        }
        let text = read(Path::new(name)).map_err(|error| wrong(format!("include: {error}")))?;
        self.text(Path::new(name), &text, depth + 1)
    }
}

/// Why a directive of Redis means nothing here, if that is so.
fn foreign(name: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
}

/// The directive of a line, unless it is blank or a comment.
fn directive(origin: Origin, line: &str) -> Result<Option<Directive>, ConfigError> {
    let line = line.trim_matches([' ', '\t', '\r', '\n']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let wrong = |what: &str| ConfigError::Syntax { origin: origin.clone(), what: what.into() };
    let words = split_arguments(line.as_bytes()).map_err(|_| wrong("unbalanced quotes in this line"))?;
    let words = words.into_iter().map(String::from_utf8).collect::<Result<Vec<_>, _>>();
    let words = words.map_err(|_| wrong("the values of this line are not valid UTF-8 text"))?;
    let Some((name, words)) = words.split_first() else {
        return Ok(None);
    };
    let (name, words) = (name.to_ascii_lowercase(), words.to_vec());
    Ok(Some(Directive { origin, name, words }))
}

/// The name of the directive on a line, in lower case, if there is one.
pub(super) fn name_of_line(line: &str) -> Option<String> {
    directive(Origin::CommandLine, line).ok().flatten().map(|directive| directive.name)
}

/// Whether a directive is one of Redis' that is no parameter here.
fn is_foreign(name: &str) -> bool {
    name == "include" || foreign(name).is_some()
}
