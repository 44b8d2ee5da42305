//! Files of users: one `user <name> <modifier> …` a line, as ACL LIST shows them. Text to
//! rules and back, and the two ways to the disk.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;

use super::catalogue::Catalogue;
use super::error::RuleError;
use super::rules::{Rules, join_selectors};
use super::selector::without_spaces;

/// No use for a larger one.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Ends every message about a wrong file.
const UNCHANGED: &str = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";

/// The users of a text, by name. `shown` is the name of the file in messages.
///
/// # Errors
/// All that is wrong with it, in Redis' words, one sentence for each line.
pub(super) fn parse(
    catalogue: &Catalogue,
    shown: &str,
    text: &[u8],
    all_channels: bool,
) -> Result<BTreeMap<Bytes, Rules>, String> {
    let mut users = BTreeMap::new();
    let mut errors = String::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if !line.is_empty() {
            parse_line(catalogue, &format!("{shown}:{number}"), number, line, all_channels, &mut users, &mut errors);
        }
    }
    if errors.is_empty() { Ok(users) } else { Err(errors + UNCHANGED) }
}

fn parse_line(
    catalogue: &Catalogue,
    place: &str,
    number: usize,
    line: &[u8],
    all_channels: bool,
    users: &mut BTreeMap<Bytes, Rules>,
    errors: &mut String,
) {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(b"user"), Some(name)) = (words.next(), words.next()) else {
        *errors += &format!("{place} should start with user keyword followed by the username. ");
        return;
    };
    if without_spaces(name).is_err() {
        *errors += &format!("'{place}: username '{}' contains invalid characters. ", String::from_utf8_lossy(name));
        return;
    }
    if users.contains_key(name) {
        let name = String::from_utf8_lossy(name);
        *errors += &format!("WARNING: Duplicate user '{name}' found on line {number}. ");
        return;
    }
    let words: Vec<&[u8]> = words.collect();
    let Ok(modifiers) = join_selectors(&words) else {
        *errors += &format!("{place}: Unmatched parenthesis in selector definition.");
        return;
    };
    let mut rules = Rules::fresh(catalogue, all_channels);
    let mut told = false;
    for modifier in modifiers {
        match rules.apply(catalogue, &modifier, all_channels) {
            Ok(()) => {}
            // A name that nobody knows is no secret, and more of them can be told at once.
            Err(error @ RuleError::Unknown) => {
                let modifier = String::from_utf8_lossy(&modifier);
                *errors += &format!("{place}: Error in applying operation '{modifier}': {error}. ");
            }
            Err(_) if told => {}
            Err(error) => {
                *errors += &format!("{place}: {error}. ");
                told = true;
            }
        }
    }
    users.insert(Bytes::copy_from_slice(name), rules);
}

/// Reads a file of users.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("larger than the {MAX_FILE_BYTES} bytes allowed")));
    }
    std::fs::read(path)
}

/// Puts a text in the place of a file in one step, synced, readable as the old one was, or
/// by its owner alone.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    if let Ok(old) = std::fs::metadata(&target) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// A failure of the operating system in its own words, as Redis shows it.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::catalogue::tests::small;

    fn parse_text(text: &str) -> Result<Vec<String>, String> {
        let users = parse(small(), "users.acl", text.as_bytes(), false)?;
        let shown = users.iter().map(|(name, rules)| [name, b" ".as_slice(), &rules.describe()].concat());
        Ok(shown.map(|line| String::from_utf8(line).unwrap()).collect())
    }

    #[test]
    fn lines_make_users() {
        let text = "user alice on ~* +@all (+get  ~x) ( +set ~y )\n\n  user default on nopass ~*  \r\n";
        let alice = "alice on ~* resetchannels +@all (~x resetchannels -@all +get) (~y resetchannels -@all +set)";
        let default = "default on nopass ~* resetchannels -@all";
        assert_eq!(parse_text(text), Ok(vec![alice.into(), default.into()]));
        assert_eq!(parse_text(""), Ok(vec![]));
    }

    /// As redis-server 7.0.15 says it.
    #[test]
    fn everything_wrong_is_told() {
        let told = |text: &str| parse_text(text).unwrap_err().strip_suffix(UNCHANGED).unwrap().to_owned();
        let keyword = "should start with user keyword followed by the username. ";
        assert_eq!(told("# c\nuser\n"), format!("users.acl:1 {keyword}users.acl:2 {keyword}"));
        assert_eq!(
            told("user a b c\nuser d +nosuch +@x bad"),
            concat!(
                "users.acl:1: Syntax error. ",
                "users.acl:2: Error in applying operation '+nosuch': Unknown command or category name in ACL. ",
                "users.acl:2: Error in applying operation '+@x': Unknown command or category name in ACL. ",
                "users.acl:2: Syntax error. ",
            )
        );
        assert_eq!(told("user a on\nuser a off"), "WARNING: Duplicate user 'a' found on line 2. ");
        assert!(told("user a (+get").contains("Unmatched parenthesis"));
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.acl");
        replace(&path, b"user a on\n").unwrap();
        replace(&path, b"user b on\n").unwrap();
        assert_eq!(read(&path).unwrap(), b"user b on\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(reason(&read(&folder.path().join("no")).unwrap_err()), "No such file or directory");
    }
}
