//! The arguments of `ferrock server` as redis-server takes its own: `--<parameter>`
//! and words up to the next one that begins with `--`. Pure.
//!
//! The word after a name alone is always a value, even one that begins with `--`,
//! save that `--save --port 1` means no save points. Name and value may also stand
//! in one argument: `"--port 6380"`, or `--port=6380`, which redis-server lacks.

use super::error::{ConfigError, Origin};
use super::load::Directive;
use super::parameter::table;
use crate::base::quoting::split_arguments;

/// The directives of these arguments.
pub(super) fn directives(arguments: &[String]) -> Result<Vec<Directive>, ConfigError> {
    let mut directives: Vec<Directive> = Vec::new();
    for argument in arguments {
        match (argument.strip_prefix("--"), directives.last_mut()) {
            (Some(_), Some(last)) if awaits_value(last) => last.words.push(argument.clone()),
            (Some(option), _) => directives.push(begin(option)?),
            (None, Some(last)) => last.words.push(argument.clone()),
            (None, None) => {
                let what = format!("'{argument}' is no option: write --<parameter> <value>");
                return Err(wrong(what));
            }
        }
    }
    directives.iter_mut().for_each(split_list);
    Ok(directives)
}

fn wrong(what: String) -> ConfigError {
    ConfigError::Syntax { origin: Origin::CommandLine, what }
}

/// Whether the next argument belongs to this option, whatever it looks like.
fn awaits_value(directive: &Directive) -> bool {
    directive.words.is_empty() && !directive.name.eq_ignore_ascii_case("save")
}

/// The directive that an option begins.
fn begin(option: &str) -> Result<Directive, ConfigError> {
    let end = option.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(option.len());
    let (name, values) = option.split_at(end);
    let words = match values.strip_prefix('=') {
        Some(value) => vec![value.to_owned()],
        None => {
            let unbalanced = |_| wrong(format!("unbalanced quotes in '--{option}'"));
            let words = split_arguments(values.as_bytes()).map_err(unbalanced)?;
            let text = |word: Vec<u8>| String::from_utf8_lossy(&word).into_owned();
            words.into_iter().map(text).collect()
        }
    };
    Ok(Directive { origin: Origin::CommandLine, name: name.to_owned(), words })
}

/// `--save "100 1 200 2"` is the same as `--save 100 1 200 2`.
fn split_list(directive: &mut Directive) {
    let many = table().find(&directive.name).is_some_and(|known| known.kind.takes_many());
    if let ([list], true) = (directive.words.as_slice(), many) {
        directive.words = list.split_whitespace().map(str::to_owned).collect();
    }
}
