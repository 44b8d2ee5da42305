//! `config.toml`: flat keys, each a parameter's name, with values of TOML's own
//! types where they fit and Redis' texts otherwise. Text in, directives out.

use std::path::Path;

use toml_edit::{Array, Document, Item, Value};

use super::error::{ConfigError, Origin};
use super::kind::{Kind, size};
use super::load::{Directive, line_of};
use super::parameter::{Parameter, table};
use crate::base::quoting::split_arguments;

/// The directives of a text, in its order.
pub(super) fn directives(path: &Path, text: &str) -> Result<Vec<Directive>, ConfigError> {
    let at = |offset: usize| line_of(path, line_at(text, offset));
    let document = Document::parse(text).map_err(|error| ConfigError::Syntax {
        origin: at(error.span().map_or(0, |span| span.start)),
        what: error.message().trim().to_owned(),
    })?;
    let table_of_file = document.as_table();
    let mut directives = Vec::new();
    for (name, item) in table_of_file.iter() {
        let key = table_of_file.key(name).and_then(toml_edit::Key::span);
        let span = key.or_else(|| item.span());
        let origin = at(span.map_or(0, |span| span.start));
        take(name, item, origin, &mut directives)?;
    }
    Ok(directives)
}

fn take(name: &str, item: &Item, origin: Origin, directives: &mut Vec<Directive>) -> Result<(), ConfigError> {
    let Item::Value(value) = item else {
        let what = format!("'{name}' begins a table; parameters stand outside of any");
        return Err(ConfigError::Syntax { origin, what });
    };
    let parameter = table().find(name);
    let parameter = parameter.ok_or_else(|| ConfigError::unknown(origin.clone(), name))?;
    let given = value.to_string().trim().to_owned();
    let read = arguments(parameter, value).map_err(|why| ConfigError::value(origin.clone(), parameter, why, given))?;
    directives.extend(read.into_iter().map(|words| Directive {
        origin: origin.clone(),
        name: parameter.name.to_owned(),
        words,
    }));
    Ok(())
}

/// The words of a value; several lists of them for a directive that may stand
/// several times.
fn arguments(parameter: &Parameter, value: &Value) -> Result<Vec<Vec<String>>, String> {
    match (&parameter.kind, value) {
        (Kind::Lines { .. }, Value::Array(lines)) => lines.iter().map(line).collect(),
        (Kind::Lines { .. }, one) => Ok(vec![line(one)?]),
        (kind, Value::Array(items)) if kind.takes_many() => Ok(vec![list(kind, items)?]),
        (kind, one) if kind.takes_many() => Ok(vec![split(&scalar(kind, one)?)]),
        (kind, one) => Ok(vec![vec![scalar(kind, one)?]]),
    }
}

/// One line of a directive that may stand many times, quoted as in `redis.conf`.
fn line(value: &Value) -> Result<Vec<String>, String> {
    let text = value.as_str().ok_or_else(|| wrong_type(value))?;
    let words = split_arguments(text.as_bytes()).map_err(|error| error.to_string())?;
    let words = words.into_iter().map(String::from_utf8);
    words.collect::<Result<_, _>>().map_err(|_| "must be valid UTF-8 text".into())
}

fn list(kind: &Kind, items: &Array) -> Result<Vec<String>, String> {
    let scalars = items.iter().map(|item| scalar(kind, item));
    let texts = scalars.collect::<Result<Vec<String>, String>>()?;
    Ok(texts.iter().flat_map(|text| split(text)).collect())
}

fn split(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// One value as the text that Redis would read, if its type suits the kind.
fn scalar(kind: &Kind, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.value().clone()),
        Value::Integer(number) if takes_integers(kind) => Ok(number.value().to_string()),
        Value::Float(number) if matches!(kind, Kind::Percentiles) => Ok(number.value().to_string()),
        Value::Boolean(answer) if takes_booleans(kind) => Ok(if *answer.value() { "yes".into() } else { "no".into() }),
        _ => Err(wrong_type(value)),
    }
}

const fn takes_integers(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Integer { .. }
            | Kind::Clamped { .. }
            | Kind::Size { .. }
            | Kind::SizeOrPercent
            | Kind::SavePoints
            | Kind::OutputLimits
            | Kind::ScoreAdjustments
            | Kind::Percentiles
            | Kind::Master
    )
}

fn takes_booleans(kind: &Kind) -> bool {
    match kind {
        Kind::YesNo => true,
        Kind::Choice(words) => words.contains(&"yes") || words.contains(&"no"),
        _ => false,
    }
}

fn wrong_type(value: &Value) -> String {
    format!("the wrong type: {}", value.type_name())
}

/// The value of a parameter as this file would give it.
pub(super) fn value_of(parameter: &Parameter, shown: &str) -> Value {
    match parameter.kind {
        Kind::YesNo => Value::from(shown == "yes"),
        Kind::Integer { .. } | Kind::Clamped { .. } => match shown.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(shown),
        },
        Kind::Size { .. } | Kind::SizeOrPercent => match size(shown) {
            Some(bytes) => size_value(bytes),
            None => Value::from(shown),
        },
        _ => Value::from(shown),
    }
}

/// A size: with its unit where one divides it.
fn size_value(bytes: u64) -> Value {
    let text = super::kind::show_size(bytes);
    match text.parse::<i64>() {
        Ok(number) => Value::from(number),
        Err(_) => Value::from(text),
    }
}

/// The line, counted from 1, of a byte of the text.
fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}
