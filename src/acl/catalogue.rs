//! What permissions need to know of commands: names, who contains whom, categories. Made
//! once from the command table, which stands above this layer.

use std::collections::HashMap;

/// A command or subcommand; its place in the catalogue is its index in the command table.
#[derive(Debug, Clone)]
pub struct Known {
    /// In lower case: `get`, `client|list`.
    pub name: &'static str,
    /// The command that this is a subcommand of.
    pub container: Option<usize>,
    pub subcommands: Vec<usize>,
    /// A bit for each category it belongs to.
    pub categories: u32,
    /// Open to everybody: AUTH, HELLO, QUIT, RESET.
    pub open: bool,
}

/// All commands and categories.
#[derive(Debug)]
pub struct Catalogue {
    commands: Vec<Known>,
    categories: Vec<(&'static str, u32)>,
    by_name: HashMap<&'static str, usize>,
}

impl Catalogue {
    /// Of these commands and these categories, each with its bit.
    pub fn new(commands: Vec<Known>, categories: Vec<(&'static str, u32)>) -> Self {
        let by_name = commands.iter().enumerate().map(|(index, known)| (known.name, index)).collect();
        Self { commands, categories, by_name }
    }

    /// How many commands and subcommands there are.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The command of this index.
    pub fn get(&self, index: usize) -> Option<&Known> {
        self.commands.get(index)
    }

    /// The index of a command by its name, in any case of letters.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        self.by_name.get(name.as_str()).copied()
    }

    /// The bit of a category by its name, in any case of letters.
    pub fn category(&self, name: &[u8]) -> Option<u32> {
        let found = self.categories.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        found.map(|(_, bit)| *bit)
    }

    /// The names of all categories, in Redis' order.
    pub fn category_names(&self) -> impl Iterator<Item = &'static str> {
        self.categories.iter().map(|(name, _)| *name)
    }

    /// The commands and subcommands of a category.
    pub fn members(&self, category: u32) -> impl Iterator<Item = (usize, &Known)> {
        self.commands.iter().enumerate().filter(move |(_, known)| known.categories & category != 0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Bits of the categories below.
    pub const READ: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const SLOW: u32 = 4;

    /// A small world: `get`, `set`, `select`, `config` with two subcommands, `publish`, `auth`.
    pub fn small() -> &'static Catalogue {
        static SMALL: std::sync::LazyLock<Catalogue> = std::sync::LazyLock::new(|| {
            let known = |name, categories| Known {
                name,
                container: None,
                subcommands: Vec::new(),
                categories,
                open: name == "auth",
            };
            let mut commands = vec![
                known("get", READ),
                known("set", WRITE),
                known("select", 0),
                known("config", SLOW),
                known("config|get", 0),
                known("config|set", WRITE),
                known("publish", 0),
                known("auth", 0),
            ];
            commands[3].subcommands = vec![4, 5];
            commands[4].container = Some(3);
            commands[5].container = Some(3);
            Catalogue::new(commands, vec![("read", READ), ("write", WRITE), ("slow", SLOW)])
        });
        &SMALL
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(small().find(b"CONFIG|Get"), Some(4));
        assert_eq!(small().find(b"nosuch"), None);
        assert_eq!(small().find(b"\xff"), None);
        assert_eq!(small().category(b"WRITE"), Some(WRITE));
        let writers: Vec<&str> = small().members(WRITE).map(|(_, known)| known.name).collect();
        assert_eq!(writers, ["set", "config|set"]);
    }
}
