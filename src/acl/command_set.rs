//! Which commands a selector allows: one bit for each, first arguments allowed one by one
//! (`+select|0`), and the rules that made them, which are what clients are shown.
//!
//! The bits decide. The rules are kept in the order they came, without those that changed
//! nothing or were overridden by name, so that what is shown gives the same bits again. Rules
//! about categories are kept even if they change nothing yet: a later version may have more
//! commands in them.

use super::catalogue::Catalogue;
use super::error::RuleError;

/// First arguments allowed for a command that is not allowed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FirstArg {
    command: usize,
    word: Box<[u8]>,
}

/// A set of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSet {
    /// By index in the catalogue.
    bits: Vec<u64>,
    /// Whether it began with `+@all`, and so has what later versions bring.
    future: bool,
    first_args: Vec<FirstArg>,
    /// After `+@all` or `-@all`, each with its sign.
    rules: Vec<String>,
}

impl CommandSet {
    /// Every command.
    pub fn all(catalogue: &Catalogue) -> Self {
        let words = catalogue.len().div_ceil(64);
        Self { bits: vec![u64::MAX; words], future: true, first_args: Vec::new(), rules: Vec::new() }
    }

    /// No command.
    pub fn none(catalogue: &Catalogue) -> Self {
        let words = catalogue.len().div_ceil(64);
        Self { bits: vec![0; words], future: false, first_args: Vec::new(), rules: Vec::new() }
    }

    /// Whether every command is in it.
    pub fn is_all(&self) -> bool {
        self.future && self.bits.iter().all(|word| *word == u64::MAX)
    }

    /// Whether a command may be called with these arguments, its name the first.
    pub fn allows(&self, command: usize, args: &[&[u8]]) -> bool {
        let word = self.bits.get(command / 64).copied().unwrap_or(0);
        word >> (command % 64) & 1 == 1 || self.allows_first_arg(command, args)
    }

    fn allows_first_arg(&self, command: usize, args: &[&[u8]]) -> bool {
        let Some(given) = args.get(1) else { return false };
        let mut allowed = self.first_args.iter().filter(|allowed| allowed.command == command);
        allowed.any(|allowed| allowed.word.eq_ignore_ascii_case(given))
    }

    /// Applies `+name`, `-name`, `+@category`, `-@category` or `+name|argument`.
    pub fn apply(&mut self, catalogue: &Catalogue, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"+@all" => *self = Self::all(catalogue),
            b"-@all" => *self = Self::none(catalogue),
            [sign @ (b'+' | b'-'), b'@', name @ ..] => {
                let category = catalogue.category(name).ok_or(RuleError::Unknown)?;
                let members: Vec<usize> = catalogue.members(category).map(|(index, _)| index).collect();
                self.change(catalogue, rule, |set| {
                    members.iter().for_each(|index| set.put(catalogue, *index, *sign == b'+'))
                });
            }
            [sign @ (b'+' | b'-'), name @ ..] => self.apply_command(catalogue, rule, name, *sign == b'+')?,
            _ => return Err(RuleError::Syntax),
        }
        Ok(())
    }

    fn apply_command(&mut self, catalogue: &Catalogue, rule: &[u8], name: &[u8], allow: bool) -> Result<(), RuleError> {
        let Some(bar) = name.iter().rposition(|byte| *byte == b'|').filter(|_| allow) else {
            let command = catalogue.find(name).ok_or(RuleError::Unknown)?;
            self.change(catalogue, rule, |set| set.put(catalogue, command, allow));
            return Ok(());
        };
        let (before, behind) = (name.get(..bar).unwrap_or_default(), name.get(bar + 1..).unwrap_or_default());
        let command = catalogue.find(before).ok_or(RuleError::Unknown)?;
        let known = catalogue.get(command).ok_or(RuleError::Unknown)?;
        if known.container.is_some() {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if behind.is_empty() {
            return Err(RuleError::Syntax);
        }
        if known.subcommands.is_empty() {
            self.change(catalogue, rule, |set| set.allow_first_arg(command, behind));
        } else {
            let subcommand = catalogue.find(name).ok_or(RuleError::Unknown)?;
            self.change(catalogue, rule, |set| set.put(catalogue, subcommand, true));
        }
        Ok(())
    }

    /// Changes the bits, and keeps the rule if the rules that stay do not make them already.
    fn change(&mut self, catalogue: &Catalogue, rule: &[u8], change: impl FnOnce(&mut Self)) {
        let mut without = self.clone();
        change(self);
        if self.forget_rules_of(rule) {
            without = self.replayed(catalogue);
        }
        let differs = (&self.bits, &self.first_args) != (&without.bits, &without.first_args);
        if differs || self.may_matter_later(rule) {
            self.rules.push(String::from_utf8_lossy(rule).to_ascii_lowercase());
        }
    }

    /// Whether a rule about a category says something that the rules so far do not say of every
    /// command there may ever be.
    fn may_matter_later(&self, rule: &[u8]) -> bool {
        let repeats_the_first = self.rules.is_empty() && rule.starts_with(b"+") == self.future;
        rule.get(1) == Some(&b'@') && !repeats_the_first
    }

    /// The set that its rules make.
    fn replayed(&self, catalogue: &Catalogue) -> Self {
        let mut made = if self.future { Self::all(catalogue) } else { Self::none(catalogue) };
        for rule in &self.rules {
            // They were all accepted once.
            let _ = made.apply(catalogue, rule.as_bytes());
        }
        made
    }

    /// Drops the rules about the same name or its subcommands; whether there were any.
    fn forget_rules_of(&mut self, rule: &[u8]) -> bool {
        let name = String::from_utf8_lossy(rule.get(1..).unwrap_or_default()).to_ascii_lowercase();
        let held = self.rules.len();
        self.rules.retain(|old| {
            let rest = old.get(1..).and_then(|old| old.strip_prefix(name.as_str()));
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        });
        self.rules.len() < held
    }

    /// Sets or clears a command's bit, and those of its subcommands.
    fn put(&mut self, catalogue: &Catalogue, command: usize, allow: bool) {
        self.put_bit(command, allow);
        for subcommand in catalogue.get(command).map_or(&[][..], |known| &known.subcommands) {
            self.put_bit(*subcommand, allow);
        }
    }

    fn put_bit(&mut self, command: usize, allow: bool) {
        if let Some(word) = self.bits.get_mut(command / 64) {
            let bit = 1 << (command % 64);
            *word = if allow { *word | bit } else { *word & !bit };
        }
        self.first_args.retain(|first| first.command != command);
    }

    fn allow_first_arg(&mut self, command: usize, word: &[u8]) {
        let new = FirstArg { command, word: word.into() };
        if !self.first_args.contains(&new) {
            self.first_args.push(new);
        }
    }

    /// The rules that make this set: `-@all +get`.
    pub fn describe(&self) -> String {
        let mut text = String::from(if self.future { "+@all" } else { "-@all" });
        for rule in &self.rules {
            text.push(' ');
            text.push_str(rule);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::catalogue::tests::small;

    fn made_by(rules: &str) -> CommandSet {
        let mut set = CommandSet::none(small());
        for rule in rules.split_whitespace() {
            set.apply(small(), rule.as_bytes()).unwrap_or_else(|error| panic!("{rule}: {error}"));
        }
        set
    }

    fn allowed(set: &CommandSet) -> Vec<&'static str> {
        let names = (0..small().len()).filter(|index| set.allows(*index, &[]));
        names.map(|index| small().get(index).unwrap().name).collect()
    }

    #[test]
    fn rules_are_applied_in_order() {
        assert_eq!(allowed(&made_by("+get +SET -get")), ["set"]);
        assert_eq!(allowed(&made_by("+@write")), ["set", "config|set"]);
        assert_eq!(allowed(&made_by("+config -config|set")), ["config", "config|get"]);
        assert_eq!(allowed(&made_by("+config|get")), ["config|get"]);
        // A container of the category brings its subcommands.
        assert_eq!(allowed(&made_by("+@slow")), ["config", "config|get", "config|set"]);
        assert_eq!(allowed(&made_by("+@all -@write -config")), ["get", "select", "publish", "auth"]);
    }

    #[test]
    fn what_is_shown_makes_the_same_set() {
        for (given, shown) in [
            ("", "-@all"),
            ("+@all", "+@all"),
            ("+@all -get", "+@all -get"),
            ("+config|get +config", "-@all +config"),
            ("+config|get +@all +config|set", "+@all"),
            ("-get +get +set", "-@all +get +set"),
            ("+get -get", "-@all"),
            ("+config -@read", "-@all +config -@read"),
            ("-@write", "-@all"),
            ("+@all +@read", "+@all"),
            ("+@all -@slow -@slow", "+@all -@slow"),
            ("+@all -get +get", "+@all"),
            ("+@read +get", "-@all +@read"),
            ("+get -@read +get", "-@all -@read +get"),
            ("+select|0 +select|1 +Select|0", "-@all +select|1 +select|0"),
            ("+select|0 +select", "-@all +select"),
            ("+config -config|set", "-@all +config -config|set"),
        ] {
            let set = made_by(given);
            assert_eq!(set.describe(), shown, "{given}");
            assert_eq!(allowed(&made_by(shown)), allowed(&set), "{given}");
        }
    }

    #[test]
    fn a_first_argument_opens_a_command_for_itself() {
        let set = made_by("+select|0");
        assert!(set.allows(2, &[b"select", b"0"]));
        assert!(!set.allows(2, &[b"select", b"1"]));
        assert!(!set.allows(2, &[b"select"]));
        assert!(!made_by("+select|0 -select").allows(2, &[b"select", b"0"]));
    }

    #[test]
    fn nonsense_is_refused() {
        let refusal = |rule: &str| CommandSet::none(small()).apply(small(), rule.as_bytes());
        for (rule, error) in [
            ("+nosuch", RuleError::Unknown),
            ("-nosuch", RuleError::Unknown),
            ("+@nosuch", RuleError::Unknown),
            ("+config|nosuch", RuleError::Unknown),
            ("-select|0", RuleError::Unknown),
            ("+get|a|b", RuleError::Unknown),
            ("+config|get|x", RuleError::FirstArgOfSubcommand),
            ("+get|", RuleError::Syntax),
            ("get", RuleError::Syntax),
        ] {
            assert_eq!(refusal(rule), Err(error), "{rule}");
        }
    }

    #[test]
    fn only_plus_all_is_all() {
        assert!(made_by("+@all").is_all());
        assert!(made_by("+@all -get +get").is_all());
        assert!(!made_by("+@all -get").is_all());
        assert!(!made_by("+@read").is_all());
    }
}
