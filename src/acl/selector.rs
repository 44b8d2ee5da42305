//! A selector: commands, keys and channels that go together. A user has one of its own and
//! may have more in parentheses; a call is allowed if one of them allows all of it.

use std::fmt::Write;

use smallvec::SmallVec;

use super::catalogue::Catalogue;
use super::command_set::CommandSet;
use super::error::RuleError;
use crate::base::glob;

/// What a call does to a key, or a pattern allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    pub reads: bool,
    pub writes: bool,
}

impl Reach {
    const BOTH: Self = Self { reads: true, writes: true };

    fn covers(self, needed: Self) -> bool {
        (self.reads || !needed.reads) && (self.writes || !needed.writes)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyPattern {
    glob: Vec<u8>,
    reach: Reach,
}

/// A call that is to be allowed or not.
#[derive(Debug)]
pub struct Call<'a> {
    /// Index in the catalogue.
    pub command: usize,
    /// The words of the request, the command's name the first.
    pub args: &'a [&'a [u8]],
    /// Positions of keys in `args`, in their order.
    pub keys: SmallVec<[(usize, Reach); 8]>,
    /// Positions of channels in `args`, and whether each is a pattern to subscribe to.
    pub channels: SmallVec<[(usize, bool); 4]>,
}

/// Why a call is not allowed; keys and channels by their position among the arguments.
/// Ordered: what stands behind has come further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    Command,
    Key(usize),
    Channel(usize),
}

/// One selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    commands: CommandSet,
    /// `None` for all keys.
    keys: Option<Vec<KeyPattern>>,
    /// `None` for all channels.
    channels: Option<Vec<Vec<u8>>>,
}

impl Selector {
    /// Allows nothing.
    pub fn none(catalogue: &Catalogue) -> Self {
        Self { commands: CommandSet::none(catalogue), keys: Some(Vec::new()), channels: Some(Vec::new()) }
    }

    /// Whether it allows a command, its keys and channels aside.
    #[cfg(test)]
    pub(super) fn allows_command(&self, command: usize, args: &[&[u8]]) -> bool {
        self.commands.allows(command, args)
    }

    /// Allows everything.
    pub fn all(catalogue: &Catalogue) -> Self {
        Self { commands: CommandSet::all(catalogue), keys: None, channels: None }
    }

    /// Whether nothing is beyond it.
    pub fn is_all(&self) -> bool {
        self.keys.is_none() && self.channels.is_none() && self.commands.is_all()
    }

    /// Whether it asks which keys a call touches.
    pub fn weighs_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether it asks which channels a call touches.
    pub fn weighs_channels(&self) -> bool {
        self.channels.is_some()
    }

    /// Opens all channels, or none.
    pub fn set_all_channels(&mut self, all: bool) {
        self.channels = if all { None } else { Some(Vec::new()) };
    }

    /// Whether all of a call is allowed; `open` commands are so for everybody.
    pub fn check(&self, call: &Call<'_>, open: bool) -> Result<(), Denial> {
        if !open && !self.commands.allows(call.command, call.args) {
            return Err(Denial::Command);
        }
        let name = |position: usize| call.args.get(position).copied().unwrap_or_default();
        let key = call.keys.iter().find(|(position, reach)| !self.allows_key(name(*position), *reach));
        if let Some((position, _)) = key {
            return Err(Denial::Key(*position));
        }
        let channel = call.channels.iter().find(|(position, pattern)| !self.allows_channel(name(*position), *pattern));
        channel.map_or(Ok(()), |(position, _)| Err(Denial::Channel(*position)))
    }

    fn allows_key(&self, key: &[u8], needed: Reach) -> bool {
        let Some(patterns) = &self.keys else { return true };
        patterns.iter().any(|pattern| pattern.reach.covers(needed) && glob::matches(&pattern.glob, key, false))
    }

    /// Whether a channel may be used. A pattern to subscribe to must be allowed literally:
    /// nobody can tell whether one pattern matches no more than another.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let Some(allowed) = &self.channels else { return true };
        allowed.iter().any(|glob| if is_pattern { glob == channel } else { glob::matches(glob, channel, false) })
    }

    /// Whether it allows the command of a call on any key there is, for reading (SORT's BY and
    /// GET reach keys that no argument names).
    pub fn reads_any_key(&self, call: &Call<'_>) -> bool {
        let any = |pattern: &KeyPattern| pattern.reach.reads && pattern.glob == b"*";
        let keys = self.keys.as_ref().is_none_or(|patterns| patterns.iter().any(any));
        keys && self.commands.allows(call.command, call.args)
    }

    /// Applies one rule about commands, keys or channels.
    pub fn apply(&mut self, catalogue: &Catalogue, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => self.keys = None,
            b"resetkeys" => self.keys = Some(Vec::new()),
            b"allchannels" | b"&*" => self.channels = None,
            b"resetchannels" => self.channels = Some(Vec::new()),
            b"allcommands" => self.commands.apply(catalogue, b"+@all")?,
            b"nocommands" => self.commands.apply(catalogue, b"-@all")?,
            [b'~', ..] => self.add_key(rule.get(1..).unwrap_or_default(), Reach::BOTH)?,
            [b'%', ..] => {
                let (reach, glob) = reach_and_glob(rule.get(1..).unwrap_or_default())?;
                self.add_key(glob, reach)?;
            }
            [b'&', ..] => self.add_channel(rule.get(1..).unwrap_or_default())?,
            _ => self.commands.apply(catalogue, rule)?,
        }
        Ok(())
    }

    fn add_key(&mut self, glob: &[u8], reach: Reach) -> Result<(), RuleError> {
        let Some(patterns) = &mut self.keys else { return Err(RuleError::AfterAllKeys) };
        without_spaces(glob)?;
        match patterns.iter_mut().find(|pattern| pattern.glob == glob) {
            Some(known) => {
                known.reach.reads |= reach.reads;
                known.reach.writes |= reach.writes;
            }
            None => patterns.push(KeyPattern { glob: glob.to_vec(), reach }),
        }
        Ok(())
    }

    fn add_channel(&mut self, glob: &[u8]) -> Result<(), RuleError> {
        let Some(channels) = &mut self.channels else { return Err(RuleError::AfterAllChannels) };
        without_spaces(glob)?;
        if !channels.iter().any(|known| known == glob) {
            channels.push(glob.to_vec());
        }
        Ok(())
    }

    /// The rules about commands.
    pub fn describe_commands(&self) -> String {
        self.commands.describe()
    }

    /// The rules about keys.
    pub fn describe_keys(&self) -> Vec<u8> {
        let Some(patterns) = &self.keys else { return b"~*".to_vec() };
        let shown = patterns.iter().map(|pattern| {
            let sign: &[u8] = match pattern.reach {
                Reach { reads: true, writes: false } => b"%R~",
                Reach { reads: false, writes: true } => b"%W~",
                _ => b"~",
            };
            [sign, &pattern.glob].concat()
        });
        shown.collect::<Vec<_>>().join(&b' ')
    }

    /// The rules about channels.
    pub fn describe_channels(&self) -> Vec<u8> {
        let Some(channels) = &self.channels else { return b"&*".to_vec() };
        let shown: Vec<Vec<u8>> = channels.iter().map(|glob| [b"&", glob.as_slice()].concat()).collect();
        shown.join(&b' ')
    }

    /// All rules, as ACL LIST shows them.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts = vec![self.describe_keys()];
        if self.channels.is_some() {
            parts.push(b"resetchannels".to_vec());
        }
        parts.push(self.describe_channels());
        parts.push(self.describe_commands().into_bytes());
        parts.retain(|part| !part.is_empty());
        parts.join(&b' ')
    }
}

/// What stands behind `%`: letters of reach, then `~` and a pattern. Redis takes a missing
/// `~` for an empty pattern.
fn reach_and_glob(rule: &[u8]) -> Result<(Reach, &[u8]), RuleError> {
    let mut reach = Reach { reads: false, writes: false };
    let end = rule.iter().position(|byte| *byte == b'~').unwrap_or(rule.len());
    for letter in rule.get(..end).unwrap_or_default() {
        let wanted = match letter.to_ascii_uppercase() {
            b'R' => &mut reach.reads,
            b'W' => &mut reach.writes,
            _ => return Err(RuleError::Syntax),
        };
        if std::mem::replace(wanted, true) {
            return Err(RuleError::Syntax);
        }
    }
    if !reach.reads && !reach.writes {
        return Err(RuleError::Syntax);
    }
    Ok((reach, rule.get(end + 1..).unwrap_or_default()))
}

/// What a line of an ACL file can hold in one word.
pub(super) fn without_spaces(text: &[u8]) -> Result<(), RuleError> {
    match text.iter().any(|byte| matches!(byte, 0 | b' ' | b'\t'..=b'\r')) {
        true => Err(RuleError::Syntax),
        false => Ok(()),
    }
}

/// A selector out of the rules between parentheses.
pub(super) fn of_rules(catalogue: &Catalogue, rules: &[u8]) -> Result<Selector, RuleError> {
    let mut selector = Selector::none(catalogue);
    for rule in rules.split(u8::is_ascii_whitespace).filter(|rule| !rule.is_empty()) {
        selector.apply(catalogue, rule)?;
    }
    Ok(selector)
}

impl std::fmt::Display for Denial {
    /// As clients are told behind NOPERM.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Command => out.write_str("this user has no permissions to run this command"),
            Self::Key(_) => out.write_str("this user has no permissions to access one of the keys used as arguments"),
            Self::Channel(_) => {
                out.write_str("this user has no permissions to access one of the channels used as arguments")
            }
        }
    }
}

impl Denial {
    /// What a client is told whose call of the command of this name is refused.
    pub fn reply(self, command: &str) -> String {
        match self {
            Self::Command => format!("NOPERM this user has no permissions to run the '{command}' command"),
            Self::Key(_) | Self::Channel(_) => format!("NOPERM {self}"),
        }
    }

    /// What EXEC answers for a command that was allowed when it was queued.
    pub fn reply_in_exec(self) -> String {
        let mut text = String::from(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
             This command is no longer allowed for the following reason: ",
        );
        let why = match self {
            Self::Command => "no permission to execute the command or subcommand",
            Self::Key(_) => "no permission to touch the specified keys",
            Self::Channel(_) => "no permission to access one of the channels used as arguments to the command",
        };
        // Writing to a string cannot fail.
        let _ = text.write_str(why);
        text
    }

    /// What a script is told whose call is refused, without a code.
    pub fn reply_in_script(self) -> &'static str {
        match self {
            Self::Command => "The user executing the script can't run this command or subcommand",
            Self::Key(_) => {
                "The user executing the script can't access at least one of the keys mentioned in the command arguments"
            }
            Self::Channel(_) => "The user executing the script can't publish to the channel mentioned in the command",
        }
    }

    /// What ACL DRYRUN answers.
    pub fn dry_run(self, command: &str, args: &[&[u8]]) -> Vec<u8> {
        let (before, name, behind): (&str, &[u8], &str) = match self {
            Self::Command => ("run the '", command.as_bytes(), "' command"),
            Self::Key(position) => ("access the '", args.get(position).copied().unwrap_or_default(), "' key"),
            Self::Channel(position) => ("access the '", args.get(position).copied().unwrap_or_default(), "' channel"),
        };
        [b"This user has no permissions to ", before.as_bytes(), name, behind.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::catalogue::tests::small;

    fn selector(rules: &str) -> Selector {
        of_rules(small(), rules.as_bytes()).unwrap_or_else(|error| panic!("{rules}: {error}"))
    }

    fn call<'a>(command: &str, args: &'a [&'a [u8]], keys: &[(usize, Reach)], channels: &[(usize, bool)]) -> Call<'a> {
        let command = small().find(command.as_bytes()).unwrap();
        Call { command, args, keys: keys.iter().copied().collect(), channels: channels.iter().copied().collect() }
    }

    const READS: Reach = Reach { reads: true, writes: false };
    const WRITES: Reach = Reach { reads: false, writes: true };
    const LOOKS: Reach = Reach { reads: false, writes: false };

    #[test]
    fn patterns_allow_what_they_reach() {
        let of = selector("+@all %R~r* %W~w* ~b*");
        let check = |key: &[u8], reach| {
            let args: [&[u8]; 2] = [b"get", key];
            of.check(&call("get", &args, &[(1, reach)], &[]), false)
        };
        assert_eq!(check(b"r1", READS), Ok(()));
        assert_eq!(check(b"r1", WRITES), Err(Denial::Key(1)));
        assert_eq!(check(b"w1", WRITES), Ok(()));
        assert_eq!(check(b"w1", Reach::BOTH), Err(Denial::Key(1)));
        assert_eq!(check(b"w1", LOOKS), Ok(()));
        assert_eq!(check(b"b1", Reach::BOTH), Ok(()));
        assert_eq!(check(b"x", LOOKS), Err(Denial::Key(1)));
    }

    #[test]
    fn channels_match_and_patterns_must_be_named() {
        let of = selector("+@all &news* &one");
        let check = |channel: &[u8], pattern| {
            let args: [&[u8]; 2] = [b"publish", channel];
            of.check(&call("publish", &args, &[], &[(1, pattern)]), false)
        };
        assert_eq!(check(b"news.de", false), Ok(()));
        assert_eq!(check(b"two", false), Err(Denial::Channel(1)));
        assert_eq!(check(b"news*", true), Ok(()));
        assert_eq!(check(b"news.*", true), Err(Denial::Channel(1)));
    }

    #[test]
    fn open_commands_need_no_permission_to_run() {
        let args: [&[u8]; 1] = [b"auth"];
        assert_eq!(selector("").check(&call("auth", &args, &[], &[]), true), Ok(()));
        assert_eq!(selector("").check(&call("auth", &args, &[], &[]), false), Err(Denial::Command));
    }

    #[test]
    fn rules_are_shown_as_redis_shows_them() {
        for (given, shown) in [
            ("", "resetchannels -@all"),
            ("~* &* +@all", "~* &* +@all"),
            ("allkeys allchannels allcommands", "~* &* +@all"),
            ("%R~foo %W~foo %RW~bar", "~foo ~bar resetchannels -@all"),
            ("%rw~a %R", "~a %R~ resetchannels -@all"),
            ("&b &a &b ~x", "~x resetchannels &b &a -@all"),
            ("~* resetkeys ~y &* resetchannels", "~y resetchannels -@all"),
        ] {
            assert_eq!(String::from_utf8(selector(given).describe()).unwrap(), shown, "{given}");
        }
    }

    #[test]
    fn wrong_rules_are_refused() {
        for (rules, error) in [
            ("%~", RuleError::Syntax),
            ("%", RuleError::Syntax),
            ("%RR~a", RuleError::Syntax),
            ("%X~a", RuleError::Syntax),
            ("~* ~a", RuleError::AfterAllKeys),
            ("&* &a", RuleError::AfterAllChannels),
            ("on", RuleError::Syntax),
            ("(+get)", RuleError::Syntax),
        ] {
            assert_eq!(of_rules(small(), rules.as_bytes()), Err(error), "{rules}");
        }
    }

    #[test]
    fn a_sort_by_pattern_needs_every_key() {
        let args: [&[u8]; 2] = [b"get", b"k"];
        let sort = call("get", &args, &[], &[]);
        assert!(selector("+get ~*").reads_any_key(&sort));
        assert!(selector("+get %R~*").reads_any_key(&sort));
        assert!(!selector("+get %W~*").reads_any_key(&sort));
        assert!(!selector("+get ~v*").reads_any_key(&sort));
        assert!(!selector("~*").reads_any_key(&sort));
    }
}
