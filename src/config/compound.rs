//! Values of several words: save points, buffer limits, addresses and the like;
//! each reads and shows itself in Redis' form and with Redis' refusals. Pure.

use std::path::{Path, PathBuf};

use super::kind::{Kind, Setting, one, size};

/// Redis listens on no more addresses than this.
const MAX_ADDRESSES: usize = 16;
/// No list of save points or percentiles needs to be longer.
const MAX_ITEMS: usize = 1024;

/// The words without the single empty one that stands for an empty list.
fn listed<'a, 'b>(words: &'b [&'a str]) -> &'b [&'a str] {
    match words {
        [""] => &[],
        words => words,
    }
}

/// Whole folders only, always absolute: what a relative path meant when it was
/// read must not change later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory(PathBuf);

impl Directory {
    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Setting for Directory {
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        let word = one(words)?;
        let path = std::path::absolute(word).map_err(|error| error.to_string())?;
        // Rebuilt from its components, so that `dir/.` and `dir/` read the same.
        self.0 = path.components().collect();
        Ok(())
    }

    fn show(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

/// Save points: after so many seconds, if there were so many changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavePoints(pub Vec<SavePoint>);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: u64,
    pub changes: u64,
}

impl Setting for SavePoints {
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        let words = listed(words);
        let refusal = || String::from("Invalid save parameters");
        if !words.len().is_multiple_of(2) || words.len() > MAX_ITEMS {
            return Err(refusal());
        }
        let pairs = words.chunks_exact(2).map(|pair| match pair {
            [seconds, changes] => Some(SavePoint {
                seconds: seconds.parse().ok().filter(|seconds| *seconds > 0)?,
                changes: changes.parse().ok()?,
            }),
            _ => None,
        });
        self.0 = pairs.collect::<Option<_>>().ok_or_else(refusal)?;
        Ok(())
    }

    fn show(&self) -> String {
        let points = self.0.iter().map(|point| format!("{} {}", point.seconds, point.changes));
        points.collect::<Vec<_>>().join(" ")
    }
}

/// How much a client may leave unread before it is closed. 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which the client is closed at once.
    pub hard: u64,
    /// Bytes that it may not exceed for long.
    pub soft: u64,
    /// How long it may exceed them.
    pub soft_seconds: u64,
}

/// The limits of each class of clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    fn class(&mut self, name: &str) -> Result<&mut OutputLimit, String> {
        match name.to_ascii_lowercase().as_str() {
            "normal" => Ok(&mut self.normal),
            "replica" | "slave" => Ok(&mut self.replica),
            "pubsub" => Ok(&mut self.pubsub),
            _ => Err("Invalid client class specified in buffer limit configuration.".into()),
        }
    }
}

impl Setting for OutputLimits {
    /// Classes that the words leave out keep what they had.
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        let words = listed(words);
        if !words.len().is_multiple_of(4) || words.len() > MAX_ITEMS {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        let mut limits = *self;
        for group in words.chunks_exact(4) {
            if let [class, numbers @ ..] = group {
                *limits.class(class)? = output_limit(numbers)
                    .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
            }
        }
        *self = limits;
        Ok(())
    }

    fn show(&self) -> String {
        let classes = [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)];
        let shown = classes.map(|(name, limit)| format!("{name} {} {} {}", limit.hard, limit.soft, limit.soft_seconds));
        shown.join(" ")
    }
}

fn output_limit(numbers: &[&str]) -> Option<OutputLimit> {
    match numbers {
        [hard, soft, seconds] => {
            Some(OutputLimit { hard: size(hard)?, soft: size(soft)?, soft_seconds: seconds.parse().ok()? })
        }
        _ => None,
    }
}

/// Badness for the OOM killer: of the master, a replica, a child process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScoreAdjustments(pub [i32; 3]);

impl Setting for ScoreAdjustments {
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        let [a, b, c] = words else {
            return Err("wrong number of arguments".into());
        };
        let read = |word: &str| {
            let value = word.parse::<i32>().ok();
            value
                .filter(|value| (-2000..=2000).contains(value))
                .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")
        };
        self.0 = [read(a)?, read(b)?, read(c)?];
        Ok(())
    }

    fn show(&self) -> String {
        self.0.map(|value| value.to_string()).join(" ")
    }
}

/// Percentiles, as given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Percentiles(pub Vec<f64>);

impl Setting for Percentiles {
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        let words = listed(words);
        let refusal = "Invalid latency-tracking-info-percentiles parameters";
        if words.len() > MAX_ITEMS {
            return Err(refusal.into());
        }
        let mut percentiles = Vec::with_capacity(words.len());
        for word in words {
            let value: f64 = word.parse().map_err(|_| refusal)?;
            if !(0.0..=100.0).contains(&value) {
                let bounds = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
                return Err(bounds.into());
            }
            percentiles.push(value);
        }
        self.0 = percentiles;
        Ok(())
    }

    fn show(&self) -> String {
        let shown: Vec<String> = self.0.iter().map(f64::to_string).collect();
        shown.join(" ")
    }
}

/// What SHUTDOWN does when a signal asks for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShutdownFlags(u8);

/// The words, in the order that CONFIG GET shows them; each is a bit but the first.
const SHUTDOWN_WORDS: [(&str, u8); 5] = [("default", 0), ("save", 1), ("nosave", 2), ("now", 4), ("force", 8)];

impl Setting for ShutdownFlags {
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        let mut flags = 0;
        for word in words {
            let known = SHUTDOWN_WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
            let (_, bit) = known.ok_or_else(shutdown_words)?;
            flags |= bit;
        }
        if words.is_empty() {
            return Err(shutdown_words());
        }
        if flags & 3 == 3 {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
        }
        self.0 = flags;
        Ok(())
    }

    fn show(&self) -> String {
        let set = SHUTDOWN_WORDS.iter().filter(|(_, bit)| self.0 & bit != 0);
        let names: Vec<&str> = set.map(|(name, _)| *name).collect();
        if names.is_empty() { "default".into() } else { names.join(" ") }
    }
}

fn shutdown_words() -> String {
    super::kind::must_be_one_of(&SHUTDOWN_WORDS.map(|(name, _)| name))
}

/// Addresses to listen on. `*` is every IPv4 and `::*` every IPv6 address; a
/// leading `-` says that an address which this machine lacks is no error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(pub Vec<String>);

impl Setting for Addresses {
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        let words = listed(words);
        if words.len() > MAX_ADDRESSES {
            return Err("Too many bind addresses specified.".into());
        }
        if words.contains(&"") {
            return Err("an address is empty".into());
        }
        self.0 = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(())
    }

    fn show(&self) -> String {
        self.0.join(" ")
    }
}

/// The normal form of a master's address: empty for none.
pub(super) fn master(words: &[&str]) -> Result<String, String> {
    match words {
        [] | [""] => Ok(String::new()),
        [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => Ok(String::new()),
        [host, port] => match port.parse::<u16>() {
            Ok(port) => Ok(format!("{host} {port}")),
            Err(_) => Err("Invalid master port".into()),
        },
        _ => Err("wrong number of arguments".into()),
    }
}

/// A directive that may stand many times: the arguments of each, in order.
/// Assigning adds one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(pub Vec<Vec<String>>);

/// No file has a use for more.
const MAX_LINES: usize = 100_000;

impl Setting for Lines {
    fn assign(&mut self, _: &Kind, words: &[&str]) -> Result<(), String> {
        if words.is_empty() {
            return Err("wrong number of arguments".into());
        }
        if self.0.len() >= MAX_LINES {
            return Err(format!("may stand at most {MAX_LINES} times"));
        }
        self.0.push(words.iter().map(|word| (*word).to_owned()).collect());
        Ok(())
    }

    fn show(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(|line| line.join(" ")).collect();
        lines.join("\n")
    }
}
