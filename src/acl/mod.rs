//! Users and what they may do: rules, passwords, files of users, the log of refusals.
//!
//! The service knows no session and no socket, and of commands only what the catalogue says:
//! names, indexes, categories. Who runs a command describes it as a [`Call`] and asks the
//! user's [`Rules`]; that is `commands/permission.rs`, for clients, MULTI and scripts alike.
//!
//! - `catalogue.rs`: what is known of commands. `command_set.rs`, `selector.rs`, `rules.rs`:
//!   what rules are made of, from the inside out. `error.rs`: what is wrong with one.
//! - `user.rs`: a name with changing rules. `file.rs`: users on disk. `log.rs`: ACL LOG.
//!
//! Requests of a user whom nothing is refused cost one flag: [`User::is_unrestricted`].

mod catalogue;
mod command_set;
mod error;
mod file;
mod log;
mod rules;
mod selector;
mod user;

pub use catalogue::{Catalogue, Known};
pub use error::RuleError;
pub use log::{Log, LogEntry, Place, Reason, Refusal};
pub use rules::{Rules, join_selectors};
pub use selector::{Call, Denial, Reach, Selector};
pub use user::User;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

/// The user that connections begin as.
pub const DEFAULT_USER: &[u8] = b"default";

/// All users of a server.
pub struct Acl {
    catalogue: &'static Catalogue,
    /// The default user is in it as well.
    users: RwLock<BTreeMap<Bytes, Arc<User>>>,
    default: Arc<User>,
    pub log: Log,
}

/// A modifier of ACL SETUSER that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub modifier: Vec<u8>,
    pub why: RuleError,
}

/// Who remains the same user, and with that keeps its connections, when a file replaces all users.
/// The default user always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// Nobody, as with Redis' ACL LOAD.
    Nobody,
    /// Whose rules stand in the file as they are now.
    Unchanged,
}

impl Acl {
    /// The default user, all-powerful and without a password, and no other.
    pub fn new(catalogue: &'static Catalogue) -> Self {
        let name = Bytes::from_static(DEFAULT_USER);
        let default = Arc::new(User::new(name.clone(), Rules::all(catalogue)));
        let users = RwLock::new(BTreeMap::from([(name, default.clone())]));
        Self { catalogue, users, default, log: Log::default() }
    }

    /// What it knows of commands.
    pub fn catalogue(&self) -> &'static Catalogue {
        self.catalogue
    }

    /// The user that connections begin as.
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users.read().get(name).cloned()
    }

    /// All users, by name.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.users.read().values().cloned().collect()
    }

    /// The lines of ACL LIST, without their first word `user`.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let lines =
            self.all().into_iter().map(|user| [user.name(), b" ".as_slice(), &user.rules().describe()].concat());
        lines.collect()
    }

    /// The user who logs in with this name and password, if they fit.
    pub fn log_in(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        self.get(name).filter(|user| user.rules().admits(password))
    }

    /// Changes a user by modifiers, all or none, and makes it if it is missing.
    ///
    /// # Errors
    /// The first modifier that is wrong.
    pub fn set(&self, name: &[u8], modifiers: &[impl AsRef<[u8]>], all_channels: bool) -> Result<Arc<User>, Refused> {
        let mut users = self.users.write();
        let known = users.get(name).cloned();
        let mut rules = match &known {
            Some(user) => Rules::clone(&user.rules()),
            None => Rules::fresh(self.catalogue, all_channels),
        };
        for modifier in modifiers {
            let modifier = modifier.as_ref();
            let applied = rules.apply(self.catalogue, modifier, all_channels);
            applied.map_err(|why| Refused { modifier: modifier.to_vec(), why })?;
        }
        let user = match known {
            Some(user) => {
                user.set_rules(rules);
                user
            }
            None => {
                let user = Arc::new(User::new(Bytes::copy_from_slice(name), rules));
                users.insert(user.name().clone(), user.clone());
                user
            }
        };
        Ok(user)
    }

    /// Deletes a user, not the default one. Whoever still holds it may do nothing any more.
    pub fn delete(&self, name: &[u8]) -> Option<Arc<User>> {
        if name == DEFAULT_USER {
            return None;
        }
        let user = self.users.write().remove(name)?;
        user.delete(self.catalogue);
        Some(user)
    }

    /// Gives the default user this only password, or with an empty one none (`requirepass`).
    pub fn set_default_password(&self, password: &str) {
        let modifier = if password.is_empty() { "nopass".to_owned() } else { format!(">{password}") };
        // Neither modifier can be refused.
        let _ = self.set(DEFAULT_USER, &["resetpass", &modifier], false);
    }

    /// Makes the users of configuration lines (name and modifiers, as words). The default user
    /// among them starts from nothing.
    ///
    /// # Errors
    /// The line that is wrong, and why.
    pub fn take_lines(&self, lines: &[Vec<String>], all_channels: bool) -> Result<(), String> {
        let mut seen: Vec<&str> = Vec::new();
        for line in lines {
            let (name, words) = line.split_first().ok_or("a user needs a name")?;
            let wrong = |why: &str| format!("Error in user declaration '{name}': {why}");
            if seen.contains(&name.as_str()) {
                return Err(wrong("Duplicate user found. A user can only be defined once in config files"));
            }
            seen.push(name);
            selector::without_spaces(name.as_bytes()).map_err(|error| wrong(&error.to_string()))?;
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let mut modifiers = join_selectors(&words).map_err(|_| wrong("Unmatched parenthesis in selector"))?;
            if name.as_bytes() == DEFAULT_USER {
                modifiers.insert(0, b"reset".into());
            }
            let set = self.set(name.as_bytes(), &modifiers, all_channels);
            set.map_err(|refused| wrong(&refused.why.to_string()))?;
        }
        Ok(())
    }

    /// Replaces all users by those of a file, or changes nothing. A default user that the file
    /// lacks has everything, with `default_password`. Answers the users from before who do not stay:
    /// they are deleted, even if others of their names stand in the file.
    ///
    /// # Errors
    /// What is wrong with the file. `shown` is its name in messages.
    pub fn load(
        &self,
        path: &Path,
        shown: &str,
        all_channels: bool,
        default_password: &str,
        stays: Stays,
    ) -> Result<Vec<Arc<User>>, String> {
        let text = file::read(path);
        let text = text.map_err(|error| {
            format!("Error loading ACLs, opening file '{shown}': {why}", why = file::reason(&error))
        })?;
        let loaded = file::parse(self.catalogue, shown, &text, all_channels)?;
        let mut users = self.users.write();
        let old = std::mem::take(&mut *users);
        let had_default = loaded.contains_key(DEFAULT_USER);
        for (name, rules) in loaded {
            let user = if name == DEFAULT_USER {
                self.default.set_rules(rules);
                self.default.clone()
            } else {
                let may_stay = |user: &&Arc<User>| match stays {
                    Stays::Nobody => false,
                    Stays::Unchanged => user.rules().describe() == rules.describe(),
                };
                let same = old.get(&name).filter(may_stay).cloned();
                same.unwrap_or_else(|| Arc::new(User::new(name.clone(), rules)))
            };
            users.insert(name, user);
        }
        if !had_default {
            self.default.set_rules(Rules::all(self.catalogue));
            users.insert(self.default.name().clone(), self.default.clone());
        }
        let is_still_there = |user: &Arc<User>| users.get(user.name()).is_some_and(|now| Arc::ptr_eq(now, user));
        let gone: Vec<Arc<User>> = old.into_values().filter(|user| !is_still_there(user)).collect();
        drop(users);
        if !had_default && !default_password.is_empty() {
            self.set_default_password(default_password);
        }
        gone.iter().for_each(|user| user.delete(self.catalogue));
        Ok(gone)
    }

    /// Writes all users to a file.
    ///
    /// # Errors
    /// When it cannot be written; the old file is then as it was.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let lines = self.lines().into_iter().map(|line| [b"user ".as_slice(), &line, b"\n"].concat());
        file::replace(path, &lines.collect::<Vec<_>>().concat())
    }
}

#[cfg(test)]
mod tests {
    use super::catalogue::tests::small;
    use super::*;

    fn lines(acl: &Acl) -> Vec<String> {
        acl.lines().into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn a_wrong_modifier_changes_nothing() {
        let acl = Acl::new(small());
        acl.set(b"a", &["on", "+get"], false).unwrap();
        let refused = acl.set(b"a", &["off", "+set", "nonsense"], false).err().unwrap();
        assert_eq!(refused, Refused { modifier: b"nonsense".to_vec(), why: RuleError::Syntax });
        assert!(acl.set(b"b", &["nonsense"], false).is_err());
        assert_eq!(lines(&acl), ["a on resetchannels -@all +get", "default on nopass ~* &* +@all"]);
    }

    #[test]
    fn who_holds_a_deleted_user_holds_nothing() {
        let acl = Acl::new(small());
        let user = acl.set(b"a", &["on", "nopass", "+@all", "~*", "&*"], false).unwrap();
        assert!(user.is_unrestricted() && user.is_open());
        assert!(acl.delete(b"a").is_some_and(|gone| Arc::ptr_eq(&gone, &user)));
        assert!(user.is_gone() && !user.is_unrestricted() && !user.is_open());
        assert!(acl.log_in(b"a", b"").is_none());
        assert!(acl.delete(b"a").is_none() && acl.delete(b"default").is_none());
    }

    #[test]
    fn requirepass_is_the_password_of_the_default_user() {
        let acl = Acl::new(small());
        assert!(acl.default_user().is_open());
        acl.set_default_password("secret");
        assert!(!acl.default_user().is_open());
        assert!(acl.log_in(b"default", b"secret").is_some() && acl.log_in(b"default", b"x").is_none());
        acl.set_default_password("other");
        assert!(acl.log_in(b"default", b"secret").is_none());
        acl.set_default_password("");
        assert!(acl.default_user().is_open() && acl.default_user().is_unrestricted());
    }

    #[test]
    fn lines_of_the_configuration_make_users() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let acl = Acl::new(small());
        acl.take_lines(&[words("default on nopass ~* +@all"), words("bob on (+get ~x)")], false).unwrap();
        assert_eq!(
            lines(&acl),
            [
                "bob on resetchannels -@all (~x resetchannels -@all +get)",
                "default on nopass sanitize-payload ~* resetchannels +@all"
            ]
        );
        let wrong = acl.take_lines(&[words("a on"), words("a off")], false);
        let duplicate = "Duplicate user found. A user can only be defined once in config files";
        assert_eq!(wrong, Err(format!("Error in user declaration 'a': {duplicate}")));
        let wrong = acl.take_lines(&[words("a foo")], false);
        assert_eq!(wrong, Err("Error in user declaration 'a': Syntax error".into()));
    }

    #[test]
    fn a_file_replaces_all_users_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.acl");
        let acl = Acl::new(small());
        let old = acl.set(b"a", &["on", "+get"], false).unwrap();
        acl.set(b"default", &["off"], false).unwrap();
        acl.save(&path).unwrap();
        let before = lines(&acl);
        let gone = acl.load(&path, "users.acl", false, "", Stays::Nobody).unwrap();
        assert_eq!(lines(&acl), before);
        assert!(gone.len() == 1 && old.is_gone() && !acl.get(b"a").unwrap().is_gone());

        std::fs::write(&path, "user b on\nuser c wrong\n").unwrap();
        assert!(acl.load(&path, "users.acl", false, "", Stays::Nobody).is_err());
        assert_eq!(lines(&acl), before);

        std::fs::write(&path, "user b on\n").unwrap();
        acl.load(&path, "users.acl", false, "secret", Stays::Nobody).unwrap();
        assert!(acl.log_in(b"default", b"secret").is_some() && !acl.default_user().is_open());
        let missing = acl.load(&folder.path().join("no"), "no", false, "", Stays::Nobody).err().unwrap();
        assert_eq!(missing, "Error loading ACLs, opening file 'no': No such file or directory");
    }

    #[test]
    fn who_stands_in_the_file_unchanged_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.acl");
        let acl = Acl::new(small());
        acl.set_default_password("secret");
        let [a, b, c] = ["a", "b", "c"].map(|name| acl.set(name.as_bytes(), &["on", ">x", "+get"], false).unwrap());
        std::fs::write(&path, "user a on >x +get\nuser b on >y +get\nuser d on\n").unwrap();
        let gone = acl.load(&path, "users.acl", false, "secret", Stays::Unchanged).unwrap();
        let names: Vec<_> = gone.iter().map(|user| user.name().clone()).collect();
        assert_eq!(names, ["b", "c"]);
        assert!(!a.is_gone() && b.is_gone() && c.is_gone());
        assert!(
            Arc::ptr_eq(&acl.get(b"a").unwrap(), &a) && acl.log_in(b"b", b"y").is_some() && acl.get(b"d").is_some()
        );
        assert!(!acl.default_user().is_open() && acl.log_in(b"default", b"secret").is_some());
        // ACL LOAD makes all of them anew, as in Redis.
        assert_eq!(acl.load(&path, "users.acl", false, "", Stays::Nobody).unwrap().len(), 3);
        assert!(a.is_gone());
    }
}
