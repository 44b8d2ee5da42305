//! What a user may do, as a value: flags, passwords, selectors. Made and changed by
//! modifiers (`on`, `>secret`, `+@read`, `(~x +get)` …), shown again as such.
//!
//! A [`Rules`] never changes once a user has it: a change makes a new one, so that whoever
//! checks a call sees the old rules or the new ones and nothing between.

use sha2::{Digest, Sha256};

use super::catalogue::Catalogue;
use super::error::RuleError;
use super::selector::{self, Call, Denial, Selector};

/// Bytes of a password's SHA-256.
const DIGEST_BYTES: usize = 32;

/// The digest of a password; passwords themselves are never kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PasswordDigest([u8; DIGEST_BYTES]);

impl PasswordDigest {
    fn of(password: &[u8]) -> Self {
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&Sha256::digest(password));
        Self(digest)
    }

    /// Out of 64 lower-case hexadecimal digits.
    fn from_hex(text: &[u8]) -> Result<Self, RuleError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(RuleError::BadHash),
        };
        let (pairs, rest) = text.as_chunks::<2>();
        if pairs.len() != DIGEST_BYTES || !rest.is_empty() {
            return Err(RuleError::BadHash);
        }
        let mut digest = [0; DIGEST_BYTES];
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(digest))
    }

    fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Compared in a time that tells nothing of where they differ.
    fn equals(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
    }
}

/// Whether RESTORE checks this user's payloads; kept and shown, Ferrock always checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sanitize {
    #[default]
    Unsaid,
    Yes,
    Skip,
}

/// A user's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    on: bool,
    no_password: bool,
    sanitize: Sanitize,
    passwords: Vec<PasswordDigest>,
    own: Selector,
    more: Vec<Selector>,
}

impl Rules {
    /// Those of a new user: off, nothing allowed, but perhaps all channels.
    pub fn fresh(catalogue: &Catalogue, all_channels: bool) -> Self {
        let mut own = Selector::none(catalogue);
        own.set_all_channels(all_channels);
        Self { on: false, no_password: false, sanitize: Sanitize::Unsaid, passwords: Vec::new(), own, more: Vec::new() }
    }

    /// Those of the default user: everything, without a password.
    pub fn all(catalogue: &Catalogue) -> Self {
        let own = Selector::all(catalogue);
        Self { on: true, no_password: true, own, ..Self::fresh(catalogue, true) }
    }

    /// Applies one modifier. `all_channels` is what `reset` leaves open (`acl-pubsub-default`).
    pub fn apply(&mut self, catalogue: &Catalogue, modifier: &[u8], all_channels: bool) -> Result<(), RuleError> {
        match modifier.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.on = true,
            b"off" => self.on = false,
            b"nopass" => {
                self.no_password = true;
                self.passwords.clear();
            }
            b"resetpass" => {
                self.no_password = false;
                self.passwords.clear();
            }
            b"sanitize-payload" => self.sanitize = Sanitize::Yes,
            b"skip-sanitize-payload" => self.sanitize = Sanitize::Skip,
            b"clearselectors" => self.more.clear(),
            b"reset" => *self = Self { sanitize: Sanitize::Yes, ..Self::fresh(catalogue, all_channels) },
            [b'>' | b'#' | b'<' | b'!', ..] => self.apply_password(modifier)?,
            [b'(', rules @ .., b')'] => {
                // The rules keep their case: patterns may have letters.
                let rules = modifier.get(1..rules.len() + 1).unwrap_or_default();
                self.more.push(selector::of_rules(catalogue, rules)?);
            }
            _ => self.own.apply(catalogue, modifier)?,
        }
        Ok(())
    }

    fn apply_password(&mut self, modifier: &[u8]) -> Result<(), RuleError> {
        let Some((sign, text)) = modifier.split_first() else { return Err(RuleError::Syntax) };
        let digest = match sign {
            b'#' | b'!' => PasswordDigest::from_hex(text)?,
            _ => PasswordDigest::of(text),
        };
        let known = self.passwords.iter().position(|known| *known == digest);
        match (sign, known) {
            (b'>' | b'#', known) => {
                if known.is_none() {
                    self.passwords.push(digest);
                }
                self.no_password = false;
            }
            (_, Some(place)) => {
                self.passwords.remove(place);
            }
            (_, None) => return Err(RuleError::NoSuchPassword),
        }
        Ok(())
    }

    /// Whether this password lets the user in.
    pub fn admits(&self, password: &[u8]) -> bool {
        let given = PasswordDigest::of(password);
        // All are compared, whichever fits.
        let fits = self.passwords.iter().fold(false, |fits, known| fits | known.equals(&given));
        self.on && (self.no_password || fits)
    }

    /// Whether anybody is this user without a word.
    pub fn is_open(&self) -> bool {
        self.on && self.no_password
    }

    /// Whether any password will do.
    pub fn needs_no_password(&self) -> bool {
        self.no_password
    }

    /// Whether nothing is refused, so that no call has to be looked at.
    pub fn is_unrestricted(&self) -> bool {
        self.selectors().any(Selector::is_all)
    }

    /// Whether the keys of a call matter.
    pub fn weighs_keys(&self) -> bool {
        self.selectors().any(Selector::weighs_keys)
    }

    /// Whether the channels of a call matter.
    pub fn weighs_channels(&self) -> bool {
        self.selectors().any(Selector::weighs_channels)
    }

    /// Whether one selector allows all of a call. If none does, the denial is that of the one
    /// that came furthest.
    pub fn check(&self, call: &Call<'_>, open: bool) -> Result<(), Denial> {
        let mut furthest = Denial::Command;
        for selector in self.selectors() {
            match selector.check(call, open) {
                Ok(()) => return Ok(()),
                Err(denial) => furthest = furthest.max(denial),
            }
        }
        Err(furthest)
    }

    /// Whether one selector allows the call on keys of any name.
    pub fn reads_any_key(&self, call: &Call<'_>) -> bool {
        self.selectors().any(|selector| selector.reads_any_key(call))
    }

    /// Whether a channel, or a pattern of channels, may be subscribed to.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors().any(|selector| selector.allows_channel(channel, is_pattern))
    }

    fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.own).chain(&self.more)
    }

    /// The selector outside of parentheses.
    pub fn own_selector(&self) -> &Selector {
        &self.own
    }

    /// The selectors in parentheses.
    pub fn more_selectors(&self) -> &[Selector] {
        &self.more
    }

    /// The flags, in Redis' order.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.on { "on" } else { "off" }];
        if self.no_password {
            flags.push("nopass");
        }
        match self.sanitize {
            Sanitize::Unsaid => {}
            Sanitize::Yes => flags.push("sanitize-payload"),
            Sanitize::Skip => flags.push("skip-sanitize-payload"),
        }
        flags
    }

    /// The passwords' digests in hexadecimal.
    pub fn password_digests(&self) -> Vec<String> {
        self.passwords.iter().map(|digest| digest.to_hex()).collect()
    }

    /// Modifiers that make these rules, separated by blanks, as ACL LIST shows them.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = self.flags().into_iter().map(|flag| flag.as_bytes().to_vec()).collect();
        parts.extend(self.password_digests().into_iter().map(|digest| format!("#{digest}").into_bytes()));
        parts.push(self.own.describe());
        parts.extend(self.more.iter().map(|selector| [b"(".as_slice(), &selector.describe(), b")"].concat()));
        parts.join(&b' ')
    }
}

/// Joins the words of selectors, `(+get` `~x)`, to one modifier each.
///
/// # Errors
/// The word that opens a parenthesis which is never closed.
pub fn join_selectors<'a>(words: &[&'a [u8]]) -> Result<Vec<std::borrow::Cow<'a, [u8]>>, &'a [u8]> {
    use std::borrow::Cow;
    let mut joined: Vec<Cow<'a, [u8]>> = Vec::with_capacity(words.len());
    let mut open: Option<(&'a [u8], Vec<u8>)> = None;
    for word in words {
        let begins = open.is_none() && word.first() == Some(&b'(');
        match &mut open {
            None if begins && word.last() != Some(&b')') => open = Some((word, word.to_vec())),
            None => joined.push(Cow::Borrowed(word)),
            Some((_, text)) => {
                text.push(b' ');
                text.extend_from_slice(word);
                if word.last() == Some(&b')') {
                    joined.extend(open.take().map(|(_, text)| Cow::Owned(text)));
                }
            }
        }
    }
    open.map_or(Ok(joined), |(word, _)| Err(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::acl::catalogue::tests::small;
    use crate::acl::selector::Reach;

    fn made_by(modifiers: &[&str]) -> Rules {
        let mut rules = Rules::fresh(small(), false);
        for modifier in modifiers {
            rules.apply(small(), modifier.as_bytes(), false).unwrap_or_else(|error| panic!("{modifier}: {error}"));
        }
        rules
    }

    fn shown(modifiers: &[&str]) -> String {
        String::from_utf8(made_by(modifiers).describe()).unwrap()
    }

    #[test]
    fn rules_are_shown_as_redis_shows_them() {
        let digest = "148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940";
        assert_eq!(shown(&[]), "off resetchannels -@all");
        assert_eq!(shown(&["reset"]), "off sanitize-payload resetchannels -@all");
        assert_eq!(
            shown(&["on", ">p", "+@all", "-get", "~x", "%R~y", "&ch", "(+get ~A)", "(%R~b)"]),
            format!(
                "on #{digest} ~x %R~y resetchannels &ch +@all -get (~A resetchannels -@all +get) \
                 (%R~b resetchannels -@all)"
            )
        );
        assert_eq!(
            shown(&["ALLKEYS", "ALLCOMMANDS", "&*", "ON", "NOPASS", "skip-sanitize-payload"]),
            "on nopass skip-sanitize-payload ~* &* +@all"
        );
        assert_eq!(String::from_utf8(Rules::all(small()).describe()).unwrap(), "on nopass ~* &* +@all");
    }

    #[test]
    fn passwords_let_in() {
        let rules = made_by(&["on", ">a", ">b", ">a"]);
        assert_eq!(rules.password_digests().len(), 2);
        assert!(rules.admits(b"a") && rules.admits(b"b") && !rules.admits(b"c"));
        assert!(!made_by(&["on", ">a", "<a"]).admits(b"a"));
        assert!(!made_by(&[">a"]).admits(b"a"));
        assert!(made_by(&["on", "nopass"]).admits(b"anything"));
        assert!(!made_by(&["on", "nopass", "resetpass"]).admits(b""));
        assert!(!made_by(&["on"]).admits(b""));
        // A password takes nopass back.
        assert!(!made_by(&["on", "nopass", ">a"]).admits(b"b"));
    }

    #[test]
    fn digests_are_read_strictly() {
        let digest = made_by(&[">a"]).password_digests().remove(0);
        assert_eq!(made_by(&[&format!("#{digest}")]), made_by(&[">a"]));
        assert_eq!(made_by(&[">a", &format!("!{digest}")]), made_by(&[]));
        let refusal = |modifier: &str| made_by(&[">b"]).apply(small(), modifier.as_bytes(), false);
        for wrong in ["#zz", "!zz", &format!("#{}", digest.to_uppercase()), &format!("#{digest}0"), "#"] {
            assert_eq!(refusal(wrong), Err(RuleError::BadHash), "{wrong}");
        }
        assert_eq!(refusal("<a"), Err(RuleError::NoSuchPassword));
        assert_eq!(refusal(&format!("!{digest}")), Err(RuleError::NoSuchPassword));
    }

    #[test]
    fn selectors_do_not_add_up() {
        let rules = made_by(&["(%R~r* +@all)", "(%W~w* +@all)"]);
        let reach = |reads, writes| Reach { reads, writes };
        let args: [&[u8]; 3] = [b"get", b"r", b"w"];
        let call = |keys: &[(usize, Reach)]| Call {
            command: 0,
            args: &args,
            keys: keys.iter().copied().collect(),
            channels: smallvec::SmallVec::new(),
        };
        assert_eq!(rules.check(&call(&[(1, reach(true, false))]), false), Ok(()));
        assert_eq!(rules.check(&call(&[(2, reach(false, true))]), false), Ok(()));
        let both = [(1, reach(true, false)), (2, reach(false, true))];
        // The first selector came as far as the second key.
        assert_eq!(rules.check(&call(&both), false), Err(Denial::Key(2)));
        assert_eq!(made_by(&["+set"]).check(&call(&both), false), Err(Denial::Command));
    }

    #[test]
    fn reset_keeps_the_channels_that_the_configuration_says() {
        let mut rules = Rules::all(small());
        rules.apply(small(), b"reset", true).unwrap();
        assert_eq!(String::from_utf8(rules.describe()).unwrap(), "off sanitize-payload &* -@all");
    }

    #[test]
    fn words_of_selectors_are_joined() {
        let joined = |words: &[&'static str]| -> Result<Vec<String>, String> {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            join_selectors(&words).map(|all| all.iter().map(|word| text(word)).collect()).map_err(text)
        };
        assert_eq!(
            joined(&["on", "(+get", "~x)", "(", "~y", ")"]),
            Ok(vec!["on".into(), "(+get ~x)".into(), "( ~y )".into()])
        );
        assert_eq!(joined(&["(+get)", ")"]), Ok(vec!["(+get)".into(), ")".into()]));
        assert_eq!(joined(&["on", "(+get", "~x"]), Err("(+get".into()));
    }

    /// What rules come to: flags, passwords, and each selector's keys, channels and commands.
    fn meaning(rules: &Rules) -> impl PartialEq + std::fmt::Debug {
        let selectors = std::iter::once(rules.own_selector()).chain(rules.more_selectors());
        let selectors: Vec<_> = selectors
            .map(|selector| {
                let calls: [&[&[u8]]; 3] = [&[b"x"], &[b"x", b"0"], &[b"x", b"1"]];
                let allowed =
                    (0..small().len()).map(|command| calls.map(|call| selector.allows_command(command, call)));
                (selector.describe_keys(), selector.describe_channels(), allowed.collect::<Vec<_>>())
            })
            .collect();
        (rules.flags(), rules.password_digests(), selectors)
    }

    proptest! {
        /// Whatever a client sends: no panic, and what is shown makes the same rules.
        #[test]
        fn what_is_shown_makes_the_same_rules(
            modifiers in proptest::collection::vec(
                prop_oneof![
                    "[-+](@read|@write|@slow|@all|get|set|select(\\|[01])?|config(\\|(get|set))?)",
                    "(%R|%W|%RW|)~([a-c]{1,2}\\*?)?", "&[a-c*]{0,2}", "[<>][a-c]",
                    "on|off|nopass|resetpass|reset|resetkeys|allkeys|resetchannels|clearselectors",
                    "\\((\\+get|-get|\\+@all|~a|%R~b|&c| ){0,4}\\)", ".{0,6}",
                ],
                0..12,
            )
        ) {
            let mut rules = Rules::fresh(small(), false);
            for modifier in &modifiers {
                let before = rules.clone();
                if rules.apply(small(), modifier.as_bytes(), false).is_err() {
                    rules = before;
                }
            }
            let described = rules.describe();
            let words: Vec<&[u8]> = described.split(|byte| *byte == b' ').collect();
            let mut again = Rules::fresh(small(), false);
            for modifier in join_selectors(&words).unwrap() {
                again.apply(small(), &modifier, false).unwrap();
            }
            // Not the words themselves: a rule about a category is kept where it once changed something, as in Redis.
            prop_assert_eq!(meaning(&again), meaning(&rules));
            prop_assert_eq!(again.is_unrestricted(), rules.is_unrestricted());
        }
    }
}
