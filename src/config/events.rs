//! The classes of keyspace events that `notify-keyspace-events` turns on, and
//! their letters. Pure; whoever commits a change asks [`EventClasses::wants`].

use super::kind::{Kind, Setting, one};

bitflags::bitflags! {
    /// Classes of keyspace events, and the two channels that tell them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct EventClasses: u16 {
        /// `K`: tell on `__keyspace@<db>__:<key>`.
        const KEYSPACE = 1;
        /// `E`: tell on `__keyevent@<db>__:<event>`.
        const KEYEVENT = 1 << 1;
        /// `g`: commands of any type: DEL, EXPIRE, RENAME …
        const GENERIC = 1 << 2;
        /// `$`
        const STRING = 1 << 3;
        /// `l`
        const LIST = 1 << 4;
        /// `s`
        const SET = 1 << 5;
        /// `h`
        const HASH = 1 << 6;
        /// `z`
        const ZSET = 1 << 7;
        /// `x`: keys that lapsed.
        const EXPIRED = 1 << 8;
        /// `e`: keys evicted for memory.
        const EVICTED = 1 << 9;
        /// `t`
        const STREAM = 1 << 10;
        /// `m`: reads of keys that are not there; not part of `A`.
        const MISS = 1 << 11;
        /// `d`: types of modules.
        const MODULE = 1 << 12;
        /// `n`: keys that are new; not part of `A`.
        const NEW = 1 << 13;
        /// `A`: every class but `m` and `n`.
        const ALL = Self::GENERIC.bits() | Self::STRING.bits() | Self::LIST.bits()
            | Self::SET.bits() | Self::HASH.bits() | Self::ZSET.bits()
            | Self::EXPIRED.bits() | Self::EVICTED.bits() | Self::STREAM.bits()
            | Self::MODULE.bits();
    }
}

/// Letters and classes, in the order that CONFIG GET shows them after `A`.
const LETTERS: [(char, EventClasses); 14] = [
    ('g', EventClasses::GENERIC),
    ('$', EventClasses::STRING),
    ('l', EventClasses::LIST),
    ('s', EventClasses::SET),
    ('h', EventClasses::HASH),
    ('z', EventClasses::ZSET),
    ('x', EventClasses::EXPIRED),
    ('e', EventClasses::EVICTED),
    ('t', EventClasses::STREAM),
    ('d', EventClasses::MODULE),
    ('n', EventClasses::NEW),
    ('K', EventClasses::KEYSPACE),
    ('E', EventClasses::KEYEVENT),
    ('m', EventClasses::MISS),
];

impl EventClasses {
    /// Whether events of this class are to be published on any channel.
    pub fn wants(self, class: Self) -> bool {
        self.intersects(class) && self.intersects(Self::KEYSPACE | Self::KEYEVENT)
    }
}

impl Setting for EventClasses {
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        let mut classes = Self::empty();
        for letter in one(words)?.chars() {
            classes |= match letter {
                'A' => Self::ALL,
                _ => LETTERS
                    .iter()
                    .find(|(known, _)| *known == letter)
                    .map(|(_, class)| *class)
                    .ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?,
            };
        }
        *self = classes;
        Ok(())
    }

    fn show(&self) -> String {
        let whole = self.contains(Self::ALL);
        let mut letters = String::from(if whole { "A" } else { "" });
        let shown = LETTERS.iter().filter(|(_, class)| self.contains(*class));
        letters.extend(shown.filter(|(_, class)| !(whole && Self::ALL.contains(*class))).map(|(letter, _)| letter));
        letters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Result<EventClasses, String> {
        let mut classes = EventClasses::default();
        classes.assign(&Kind::Events, &[word]).map(|()| classes)
    }

    /// As redis-server 7.0.15 answers, but that it forgets `n` beside `A`.
    #[test]
    fn classes_are_shown_in_redis_order() {
        for (given, shown) in [
            ("KEA", "AKE"),
            ("Kxgm$ln", "g$lxnKm"),
            ("g$lshzxetdmKE", "AKEm"),
            ("Kn", "nK"),
            ("AKEn", "AnKE"),
            ("", ""),
        ] {
            assert_eq!(read(given).map(|classes| classes.show()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn unknown_letters_are_refused() {
        let refusal = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
        assert_eq!(read("Kq"), Err(refusal.to_owned()));
    }

    #[test]
    fn a_class_alone_is_not_published() {
        assert!(!read("g").is_ok_and(|classes| classes.wants(EventClasses::GENERIC)));
        assert!(read("gE").is_ok_and(|classes| classes.wants(EventClasses::GENERIC)));
        assert!(!read("gE").is_ok_and(|classes| classes.wants(EventClasses::LIST)));
    }
}
