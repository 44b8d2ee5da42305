//! What clients call commands by: their own names, unless `rename-command` gave one another
//! name or took it away. Permissions, statistics and documents go by the own names.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::table::{self, Entry, TABLE};
use crate::base::Result;

/// The names of a server's commands.
#[derive(Debug, Default)]
pub struct Names {
    /// By name in lower case: what it calls, or `None` where it calls nothing any more.
    changed: HashMap<Vec<u8>, Option<Entry>>,
}

impl Names {
    /// Of the lines of `rename-command`: a command and its new name, or an empty one.
    ///
    /// # Errors
    /// In Redis' words, what is wrong with a line.
    pub fn new(lines: &[Vec<String>]) -> Result<Self, String> {
        let mut names = Self::default();
        for line in lines {
            let [old, new] = line.as_slice() else { return Err("wrong number of arguments".into()) };
            let known = names.find(old.as_bytes()).ok_or("No such command in rename-command")?;
            names.changed.insert(old.to_ascii_lowercase().into_bytes(), None);
            if new.is_empty() {
                continue;
            }
            if names.find(new.as_bytes()).is_some() {
                return Err("Target command name already exists".into());
            }
            names.changed.insert(new.to_ascii_lowercase().into_bytes(), Some(known));
        }
        Ok(names)
    }

    fn find(&self, name: &[u8]) -> Option<Entry> {
        match self.changed.get(name.to_ascii_lowercase().as_slice()) {
            Some(found) => *found,
            None => TABLE.get(name).filter(|entry| entry.container.is_none()),
        }
    }

    /// The command that a request calls.
    ///
    /// # Errors
    /// Redis' texts for unknown commands and subcommands.
    #[inline]
    pub fn resolve(&self, args: &[&[u8]]) -> Result<Entry> {
        if self.changed.is_empty() { table::resolve(args) } else { self.resolve_changed(args) }
    }

    fn resolve_changed(&self, args: &[&[u8]]) -> Result<Entry> {
        let name = args.first().copied().unwrap_or_default();
        match self.changed.get(name.to_ascii_lowercase().as_slice()) {
            None => table::resolve(args),
            Some(None) => Err(table::unknown_command(args)),
            Some(Some(entry)) => {
                let mut own: SmallVec<[&[u8]; 8]> = args.iter().copied().collect();
                if let Some(first) = own.first_mut() {
                    *first = entry.name.as_bytes();
                }
                table::resolve(&own)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(lines: &[[&str; 2]]) -> Result<Names, String> {
        let lines: Vec<Vec<String>> = lines.iter().map(|line| line.map(str::to_owned).to_vec()).collect();
        Names::new(&lines)
    }

    #[test]
    fn commands_are_renamed_and_taken_away() {
        let names = names(&[["GET", "fetch"], ["flushall", ""], ["config", "settings"]]).unwrap();
        let called = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            names.resolve(&words).map(|entry| &*entry.name).map_err(|error| error.to_string())
        };
        assert_eq!(called("Fetch a"), Ok("get"));
        assert_eq!(called("SETTINGS get x"), Ok("config|get"));
        assert_eq!(called("set a b"), Ok("set"));
        for gone in ["get a", "flushall", "config get x"] {
            assert!(called(gone).is_err_and(|error| error.starts_with("ERR unknown command")), "{gone}");
        }
    }

    #[test]
    fn a_name_may_be_taken_once() {
        assert_eq!(names(&[["nosuch", "a"]]).err().unwrap(), "No such command in rename-command");
        assert_eq!(names(&[["config|get", "a"]]).err().unwrap(), "No such command in rename-command");
        assert_eq!(names(&[["get", "set"]]).err().unwrap(), "Target command name already exists");
        assert_eq!(names(&[["get", "x"], ["set", "x"]]).err().unwrap(), "Target command name already exists");
        // What was given away is free.
        assert!(names(&[["get", "x"], ["set", "get"]]).is_ok());
    }
}
