//! The documents that are made of the table: `config.toml` as it comes with the
//! server, and `docs/configuration.md`. Tests hold the files in the tree equal to
//! these texts; `ferrock config docs` prints them.

use std::fmt::Write;

use super::kind::Kind;
use super::parameter::{Change, Parameter, Section, Visibility, table};
use super::settings::Settings;
use super::toml_file::value_of;

/// Where lines of comments are broken.
const WIDTH: usize = 96;

/// The text of `config.toml`.
pub fn toml() -> String {
    let mut out = String::new();
    let defaults = Settings::default();
    comment(&mut out, TOML_HEAD);
    for section in Section::ALL {
        let title = section.title();
        let _ = write!(out, "\n\n# ---- {title} {}\n", "-".repeat(80 - title.len()));
        for row in effective(section) {
            out.push('\n');
            toml_entry(&mut out, row, &defaults);
        }
        toml_inert(&mut out, section, &defaults);
    }
    out
}

const TOML_HEAD: &str = "\
Ferrock's configuration. Every parameter stands here with its default; what differs from it is
all that a file needs. `ferrock config check FILE` says whether a file is right.

Parameters are keys outside of any table. Sizes are bytes, or texts with a unit: \"1k\" is 1000
bytes, \"1kb\" 1024; the same for m, mb, g and gb. The command line goes over the file:
ferrock server config.toml --port 6380 --maxmemory 256mb. CONFIG SET changes what is not marked
with (restart) in a running server, and CONFIG REWRITE writes it down here.";

fn toml_entry(out: &mut String, row: &Parameter, defaults: &Settings) {
    comment(out, &row.about_line());
    let allowed = match row.kind {
        Kind::YesNo => "true or false".to_owned(),
        kind => kind.allowed(),
    };
    comment(out, &format!("Takes {allowed}.{}", when(row)));
    let off = if row.visibility == Visibility::FileOnly { "# " } else { "" };
    let _ = writeln!(out, "{off}{} = {}", row.name, default_value(row, defaults));
}

/// When a change counts, where that is not at once.
const fn when(row: &Parameter) -> &'static str {
    match row.change {
        Change::Live => "",
        Change::Restart => " (restart)",
        Change::Protected => " (needs enable-protected-configs)",
        Change::Fixed | Change::Pinned => " (restart)",
    }
}

fn toml_inert(out: &mut String, section: Section, defaults: &Settings) {
    for (reason, rows) in inert(section) {
        out.push('\n');
        comment(out, &introduction(reason, &rows));
        for row in rows {
            let _ = writeln!(out, "# {} = {}  # {}", row.name, default_value(row, defaults), row.about_line());
        }
    }
}

/// The default as a value of TOML.
fn default_value(row: &Parameter, defaults: &Settings) -> String {
    match row.kind {
        Kind::Lines { .. } => "[]".to_owned(),
        Kind::Directory => value_of(row, row.default).to_string(),
        _ => value_of(row, &defaults.show(row)).to_string(),
    }
}

/// The parameters of a section that the server obeys.
fn effective(section: Section) -> impl Iterator<Item = &'static Parameter> {
    table().iter().filter(move |row| row.section == section && row.no_effect.is_none())
}

/// How documents introduce what has no effect.
fn introduction(reason: &str, rows: &[&Parameter]) -> String {
    let refused: Vec<&str> = rows.iter().filter(|row| row.refused).map(|row| row.name).collect();
    match refused.as_slice() {
        [] => format!("Accepted, but without an effect: {reason}."),
        _ => format!("Without an effect: {reason}. A server that is given {} refuses to start.", refused.join(", ")),
    }
}

/// Those that it does not, hidden ones left out, by their reason.
fn inert(section: Section) -> Vec<(&'static str, Vec<&'static Parameter>)> {
    let mut groups: Vec<(&'static str, Vec<&'static Parameter>)> = Vec::new();
    let rows = table().iter().filter(|row| row.section == section);
    for row in rows.filter(|row| row.visibility != Visibility::Hidden) {
        let Some(reason) = row.no_effect else {
            continue;
        };
        match groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((reason, vec![row])),
        }
    }
    groups
}

/// Writes a text as comments, broken into lines.
fn comment(out: &mut String, text: &str) {
    for (place, paragraph) in text.split("\n\n").enumerate() {
        if place > 0 {
            out.push_str("#\n");
        }
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                let _ = writeln!(out, "{line}");
                line = String::from("#");
            }
            let _ = write!(line, " {word}");
        }
        let _ = writeln!(out, "{line}");
    }
}

/// The text of `docs/configuration.md`.
pub fn markdown() -> String {
    let mut out = String::from(MARKDOWN_HEAD);
    for section in Section::ALL {
        let _ = write!(out, "\n## {}\n", section.title());
        for row in effective(section) {
            markdown_entry(&mut out, row);
        }
        markdown_inert(&mut out, section);
    }
    out
}

const MARKDOWN_HEAD: &str = "\
# Configuration

<!-- Made by `ferrock config docs`; a test holds it equal to the table of parameters. -->

Every parameter has a default; a file, the command line and CONFIG SET go over it, in this
order. Names are those of Redis where Redis has the parameter, and its older names (`slave-…`)
are understood as well.

    ferrock server                                      # defaults
    ferrock server config.toml                          # a file
    ferrock server /etc/redis/redis.conf --port 6380    # Redis' own file, and the command line
    ferrock server --port 6380 --save \"\" --bind 127.0.0.1 -::1

`ferrock config check FILE` reads a file and says what is wrong with it, by line. A wrong
configuration ends the server with exit code 2.

**`config.toml`** has parameters as keys outside of any table. Yes and no are `true` and `false` (or
\"yes\" and \"no\"). Sizes are bytes, or texts with a unit: \"1k\" is 1000 bytes, \"1kb\" 1024, and the
same for m, mb, g and gb. What is a list may be a text of words or an array of texts:
`bind = \"127.0.0.1 -::1\"` or `bind = [\"127.0.0.1\", \"-::1\"]`. `user` and `rename-command` are
arrays with a text for each line.

**`redis.conf`** is read as Redis reads it, `include` too (relative names start at the current
folder). Directives that mean nothing to Ferrock are noted in the log, unknown ones refused. A
file is taken for one or the other by its extension (`.toml`, `.conf`), else by its first line.

**CONFIG SET** changes several parameters together or, if one is refused, none. **CONFIG
REWRITE** writes what differs into the file that the server was started with, and keeps its
comments. Values are UTF-8 text.
";

fn markdown_entry(out: &mut String, row: &Parameter) {
    let _ = write!(out, "\n### `{}`\n\n{}\n\n", row.name, row.about_line());
    let change = match row.change {
        Change::Live => "by CONFIG SET",
        Change::Restart => "at the next start",
        Change::Protected => "by CONFIG SET, where `enable-protected-configs` allows it",
        Change::Fixed | Change::Pinned => "at the next start (CONFIG SET takes the value it has)",
    };
    let default = if row.default.is_empty() { "empty".into() } else { format!("`{}`", row.default) };
    let _ = writeln!(out, "Takes {}. Default: {default}. Changes {change}.", row.kind.allowed());
    if !row.aliases.is_empty() {
        let names: Vec<String> = row.aliases.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(out, "Also known as {}.", names.join(", "));
    }
}

fn markdown_inert(out: &mut String, section: Section) {
    for (reason, rows) in inert(section) {
        let _ = write!(out, "\n{}\n\n", introduction(reason, &rows));
        out.push_str("| parameter | default | about |\n| --- | --- | --- |\n");
        for row in rows {
            let names: Vec<String> =
                std::iter::once(&row.name).chain(row.aliases).map(|name| format!("`{name}`")).collect();
            let default = if row.default.is_empty() { "" } else { &format!("`{}`", row.default) };
            let _ = writeln!(out, "| {} | {default} | {} |", names.join(", "), row.about_line());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Form, settings_of};

    #[test]
    fn the_files_in_the_tree_are_up_to_date() {
        let hint = "run `ferrock config docs --format toml > config.toml` and \
                    `ferrock config docs > docs/configuration.md`";
        assert!(include_str!("../../config.toml") == toml(), "config.toml: {hint}");
        assert!(include_str!("../../docs/configuration.md") == markdown(), "docs: {hint}");
    }

    /// The file that comes with the server says what the server does without it.
    #[test]
    fn config_toml_gives_the_defaults() {
        let path = std::path::Path::new("config.toml");
        let settings = settings_of(path, &toml(), Form::Toml).expect("is right");
        for row in table().iter() {
            assert_eq!(settings.show(row), Settings::default().show(row), "{}", row.name);
        }
    }

    /// So does what it says of parameters without an effect, behind the comment sign.
    #[test]
    fn what_is_commented_out_is_right_too() {
        let path = std::path::Path::new("config.toml");
        let keys = toml();
        let keys = keys.lines().filter_map(|line| line.strip_prefix("# "));
        let rows = keys.filter(|line| line.split_once(" = ").is_some_and(|(name, _)| table().find(name).is_some()));
        let rows: Vec<&str> = rows.collect();
        assert!(rows.len() > 80, "{}", rows.len());
        let settings = settings_of(path, &rows.join("\n"), Form::Toml).expect("is right");
        for row in table().iter() {
            assert_eq!(settings.show(row), Settings::default().show(row), "{}", row.name);
        }
    }

    #[test]
    fn lines_are_not_endless() {
        let longest = toml().lines().filter(|line| !line.contains("  # ")).map(str::len).max();
        assert!(longest.is_some_and(|longest| longest <= 100), "{longest:?}");
    }
}
