//! The kinds of values and how each is read from words and shown again, with
//! Redis' texts for what it refuses. Pure; knows no file and no parameter name.
//! Compound values (save points, buffer limits …) are in `compound.rs`.

use super::compound::{Addresses, Lines, OutputLimits, Percentiles, SavePoints, ScoreAdjustments, ShutdownFlags};
use super::events::EventClasses;

/// What a parameter takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    YesNo,
    /// A decimal integer within bounds, both included.
    Integer {
        min: i64,
        max: i64,
    },
    /// An integer of which the nearest value within bounds is taken.
    Clamped {
        min: i64,
        max: i64,
    },
    /// File permissions in octal digits.
    Octal {
        max: u32,
    },
    /// Bytes, with Redis' units.
    Size {
        min: u64,
        max: u64,
    },
    /// Bytes, or a percentage of `maxmemory`.
    SizeOrPercent,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One text, checked further.
    Text(fn(&str) -> Result<(), &'static str>),
    /// A folder; relative ones start where the server was started.
    Directory,
    /// Keyspace event classes, a letter each.
    Events,
    /// Pairs of seconds and changes.
    SavePoints,
    /// Class, hard limit, soft limit, soft seconds; repeated.
    OutputLimits,
    /// Three values for the kernel's OOM killer.
    ScoreAdjustments,
    /// Percentiles from 0 to 100.
    Percentiles,
    /// What SHUTDOWN does on a signal.
    ShutdownFlags,
    /// Addresses to listen on.
    Addresses,
    /// A master's host and port.
    Master,
    /// A directive that may stand many times, each with these arguments.
    Lines {
        form: &'static str,
    },
}

impl Kind {
    /// Whether a value is several words rather than one.
    pub const fn takes_many(&self) -> bool {
        matches!(
            self,
            Self::SavePoints
                | Self::OutputLimits
                | Self::ScoreAdjustments
                | Self::Percentiles
                | Self::ShutdownFlags
                | Self::Addresses
                | Self::Master
                | Self::Lines { .. }
        )
    }

    /// Whether several lines of one file make one value together.
    pub const fn gathers(&self) -> bool {
        matches!(self, Self::SavePoints)
    }

    /// What is allowed, for messages and documents.
    pub fn allowed(&self) -> String {
        match self {
            Self::YesNo => "yes or no".into(),
            Self::Integer { min, max } => span("an integer", min, max, i32::MAX as i64, i64::MAX),
            Self::Clamped { min, max } => format!("an integer, brought into {min} to {max}"),
            Self::Octal { max } => format!("octal digits from 0 to {max:o}"),
            Self::Size { min: 0, .. } => "a size in bytes, or with a unit: 100mb".into(),
            Self::Size { min, .. } => {
                format!("a size of at least {min} bytes, or with a unit: 100mb")
            }
            Self::SizeOrPercent => "a size (100mb) or a percentage of maxmemory (5%)".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Text(_) => "text".into(),
            Self::Directory => "a folder".into(),
            Self::Events => "letters of A g $ l s h z x e t d m n K E".into(),
            Self::SavePoints => "pairs of seconds and changes, or nothing".into(),
            Self::OutputLimits => {
                "groups of class (normal, replica, pubsub), hard limit, soft limit, soft seconds".into()
            }
            Self::ScoreAdjustments => "three integers from -2000 to 2000".into(),
            Self::Percentiles => "numbers from 0 to 100, or nothing".into(),
            Self::ShutdownFlags => "default, or some of save, nosave, now, force".into(),
            Self::Addresses => "addresses, each with a leading - if it may be missing".into(),
            Self::Master => "host and port, or \"no one\"".into(),
            Self::Lines { form } => (*form).into(),
        }
    }

    /// Reads words that no field keeps: their normal form, or Redis' refusal.
    /// `before` is the normal form of the value so far.
    pub(super) fn normal_form(&self, words: &[&str], before: &str) -> Result<String, String> {
        match self {
            Self::YesNo => through::<bool>(self, words, before),
            Self::Integer { .. } | Self::Clamped { .. } => through::<i64>(self, words, before),
            Self::Octal { .. } => through::<Octal>(self, words, before),
            Self::Size { .. } => through::<u64>(self, words, before),
            Self::SizeOrPercent => through::<SizeOrPercent>(self, words, before),
            Self::Choice(allowed) => Ok(choose(allowed, words)?.1.to_owned()),
            Self::Text(_) | Self::Directory => through::<String>(self, words, before),
            Self::Events => through::<EventClasses>(self, words, before),
            Self::SavePoints => through::<SavePoints>(self, words, before),
            Self::OutputLimits => through::<OutputLimits>(self, words, before),
            Self::ScoreAdjustments => through::<ScoreAdjustments>(self, words, before),
            Self::Percentiles => through::<Percentiles>(self, words, before),
            Self::ShutdownFlags => through::<ShutdownFlags>(self, words, before),
            Self::Addresses => through::<Addresses>(self, words, before),
            Self::Master => super::compound::master(words),
            Self::Lines { .. } => through::<Lines>(self, words, before),
        }
    }
}

/// "an integer from 0 to 65535", or "of at least 0" where the top is just the type's.
fn span(what: &str, min: &i64, max: &i64, word: i64, long: i64) -> String {
    match *max == word || *max == long || *max == u32::MAX as i64 {
        true => format!("{what} of at least {min}"),
        false => format!("{what} from {min} to {max}"),
    }
}

/// Assigns words over the value of an earlier normal form and shows the result.
fn through<T: Setting>(kind: &Kind, words: &[&str], before: &str) -> Result<String, String> {
    let mut value = T::default();
    if matches!(kind, Kind::OutputLimits) && !before.is_empty() {
        let earlier: Vec<&str> = before.split(' ').collect();
        value.assign(kind, &earlier)?;
    }
    value.assign(kind, words)?;
    Ok(value.show())
}

/// A value that a field of the settings can have.
pub trait Setting: Default {
    /// Takes the value that these words give within the bounds of the kind, or
    /// says, in Redis' words, why not; the value is then as it was.
    fn assign(&mut self, kind: &Kind, words: &[&str]) -> Result<(), String>;

    /// The value as CONFIG GET shows it.
    fn show(&self) -> String;
}

/// The only word of a value that has one.
pub(super) fn one<'a>(words: &[&'a str]) -> Result<&'a str, String> {
    match words {
        [word] => Ok(word),
        _ => Err("wrong number of arguments".into()),
    }
}

impl Setting for bool {
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        let word = one(words)?;
        *self = match word {
            _ if word.eq_ignore_ascii_case("yes") => true,
            _ if word.eq_ignore_ascii_case("no") => false,
            _ => return Err("argument must be 'yes' or 'no'".into()),
        };
        Ok(())
    }

    fn show(&self) -> String {
        if *self { "yes".into() } else { "no".into() }
    }
}

impl Setting for String {
    fn assign(&mut self, kind: &Kind, words: &[&str]) -> Result<(), String> {
        let word = one(words)?;
        if let Kind::Text(check) = kind {
            check(word)?;
        }
        *self = word.to_owned();
        Ok(())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// Integers and sizes: read as the kind says, held as the type.
macro_rules! number {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            fn assign(&mut self, kind: &Kind, words: &[&str]) -> Result<(), String> {
                let value = number(kind, one(words)?)?;
                *self = value.try_into().map_err(|_| between(<$type>::MIN, <$type>::MAX))?;
                Ok(())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

number!(u16, u32, u64, usize, i64);

/// A number of any of the kinds that are one; wide enough for all of them.
fn number(kind: &Kind, word: &str) -> Result<i128, String> {
    match *kind {
        Kind::Clamped { min, max } => Ok(integer(word)?.clamp(min, max).into()),
        Kind::Size { min, max } => match size(word) {
            Some(bytes) if (min..=max).contains(&bytes) => Ok(bytes.into()),
            Some(_) => Err(between(min, max)),
            None => Err("argument must be a memory value".into()),
        },
        Kind::Integer { min, max } => match integer(word)? {
            value if (min..=max).contains(&value) => Ok(value.into()),
            _ => Err(between(min, max)),
        },
        _ => Ok(integer(word)?.into()),
    }
}

fn between(min: impl std::fmt::Display, max: impl std::fmt::Display) -> String {
    format!("argument must be between {min} and {max} inclusive")
}

/// A decimal integer in its only spelling: no sign but a minus, no leading zeros.
fn integer(word: &str) -> Result<i64, String> {
    word.parse::<i64>()
        .ok()
        .filter(|value| value.to_string() == word)
        .ok_or_else(|| "argument couldn't be parsed into an integer".into())
}

/// Bytes of a size as Redis writes them: digits and b, k, kb, m, mb, g or gb,
/// where `k` is 1000 and `kb` 1024. `None` for anything else, or beyond 64 bits.
pub fn size(word: &str) -> Option<u64> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.split_at(digits);
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Bytes in the largest binary unit that divides them, as files are written.
pub fn show_size(bytes: u64) -> String {
    for (unit, name) in [(1u64 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes > 0 && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// File permissions, read and shown in octal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Octal(pub u32);

impl Setting for Octal {
    fn assign(&mut self, kind: &Kind, words: &[&str]) -> Result<(), String> {
        let word = one(words)?;
        let max = match kind {
            Kind::Octal { max } => *max,
            _ => u32::MAX,
        };
        let digits = word.bytes().all(|byte| byte.is_ascii_digit());
        let value = u32::from_str_radix(word, 8).ok().filter(|_| digits);
        let value = value.ok_or("argument couldn't be parsed as an octal number")?;
        if value > max {
            return Err(format!("argument must be between 0 and {max:o} inclusive"));
        }
        self.0 = value;
        Ok(())
    }

    fn show(&self) -> String {
        format!("{:o}", self.0)
    }
}

/// Bytes, or a share of `maxmemory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeOrPercent {
    Bytes(u64),
    Percent(u8),
}

impl Default for SizeOrPercent {
    fn default() -> Self {
        Self::Bytes(0)
    }
}

impl SizeOrPercent {
    /// The bytes it means where the whole is `total` bytes.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (u128::from(total) * u128::from(percent) / 100) as u64,
        }
    }
}

impl Setting for SizeOrPercent {
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        let word = one(words)?;
        let refusal = "argument must be a memory or percent value";
        *self = match word.strip_suffix('%') {
            Some(percent) => match percent.parse::<u64>() {
                Ok(percent @ 0..=100) => Self::Percent(percent as u8),
                Ok(_) => return Err("percentage argument must be less or equal to 100".into()),
                Err(_) => return Err(refusal.into()),
            },
            None => Self::Bytes(size(word).ok_or(refusal)?),
        };
        Ok(())
    }

    fn show(&self) -> String {
        match self {
            Self::Bytes(bytes) => bytes.to_string(),
            Self::Percent(percent) => format!("{percent}%"),
        }
    }
}

/// A word out of a list, in any case of letters: its place and its spelling.
pub(super) fn choose(allowed: &'static [&'static str], words: &[&str]) -> Result<(usize, &'static str), String> {
    let word = one(words)?;
    let found = allowed.iter().enumerate().find(|(_, known)| known.eq_ignore_ascii_case(word));
    let (place, known) = found.ok_or_else(|| must_be_one_of(allowed))?;
    Ok((place, known))
}

pub(super) fn must_be_one_of(allowed: &[&str]) -> String {
    format!("argument(s) must be one of the following: {}", allowed.join(", "))
}

/// A closed set of words with a variant each.
pub trait Choice: Sized {
    /// The words, in the order that refusals list them.
    const WORDS: &'static [&'static str];
}

/// Declares such a set; the first variant is the type's default.
macro_rules! choices {
    ($($(#[$attribute:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum $name {
            #[default]
            $($variant),+
        }

        impl $name {
            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::config::kind::Choice for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl $crate::config::kind::Setting for $name {
            fn assign(
                &mut self,
                _: &$crate::config::kind::Kind,
                words: &[&str],
            ) -> Result<(), String> {
                let all = [$(Self::$variant),+];
                let words_of = <Self as $crate::config::kind::Choice>::WORDS;
                let (place, _) = $crate::config::kind::choose(words_of, words)?;
                *self = all.get(place).copied().unwrap_or_default();
                Ok(())
            }

            fn show(&self) -> String {
                self.as_str().to_owned()
            }
        }
    )+};
}
pub(super) use choices;
