//! One parameter: its name, kind, default, who may change it and when, what it
//! does. Rows are stated in `settings.rs` (parameters the server obeys) and
//! `inert.rs` (those it only keeps for clients that ask); [`table`] joins them.
//! Files, the command line, CONFIG GET and SET and the documents all read this.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::kind::{Choice, Kind};
use super::settings::Settings;
use super::{inert, settings};

/// The chapters of `config.toml` and of the documentation, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Network,
    Tls,
    General,
    Security,
    Clients,
    Memory,
    Persistence,
    Keyspace,
    Encodings,
    Scripts,
    Observation,
    Replication,
    Cluster,
}

impl Section {
    /// Every section, in the order of the documents.
    pub const ALL: [Self; 13] = [
        Self::Network,
        Self::Tls,
        Self::General,
        Self::Security,
        Self::Clients,
        Self::Memory,
        Self::Persistence,
        Self::Keyspace,
        Self::Encodings,
        Self::Scripts,
        Self::Observation,
        Self::Replication,
        Self::Cluster,
    ];

    /// The heading of the chapter.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Network => "Network",
            Self::Tls => "TLS",
            Self::General => "General",
            Self::Security => "Security",
            Self::Clients => "Clients and protocol limits",
            Self::Memory => "Memory",
            Self::Persistence => "Durability and disk",
            Self::Keyspace => "Keyspace",
            Self::Encodings => "Encodings",
            Self::Scripts => "Scripts",
            Self::Observation => "Slow log, latency and metrics",
            Self::Replication => "Replication",
            Self::Cluster => "Cluster",
        }
    }
}

/// When a parameter may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Any time, by CONFIG SET.
    Live,
    /// Only by starting the server anew.
    Restart,
    /// The same for a parameter that Redis has not: CONFIG SET takes the value it has, for clients
    /// that write back all they read.
    Fixed,
    /// By CONFIG SET where `enable-protected-configs` allows it.
    Protected,
    /// As `Protected`, and only to the value it has: the database cannot move
    /// under a running server, but clients that write back what they read succeed.
    Pinned,
}

/// Who sees a parameter in CONFIG GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody, by pattern or name.
    Listed,
    /// Those who ask for its exact name.
    Hidden,
    /// Nobody: a directive of files and the command line only.
    FileOnly,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Redis' name where Redis has one; lower case.
    pub name: &'static str,
    /// Older names, accepted wherever the name is, and listed by CONFIG GET.
    pub aliases: &'static [&'static str],
    pub section: Section,
    pub kind: Kind,
    /// The default as a line of `redis.conf` would give it.
    pub default: &'static str,
    pub change: Change,
    pub visibility: Visibility,
    /// Whether the value must not appear in messages and logs.
    pub secret: bool,
    /// Why the value changes nothing in Ferrock; `None` where it does.
    pub no_effect: Option<&'static str>,
    /// Whether any value but the default is refused for that reason, because to go on
    /// without its effect would be dangerous.
    pub refused: bool,
    /// What it does, as lines of prose, each with one leading space.
    pub about: &'static [&'static str],
    pub(super) slot: Slot,
}

/// Where the value of a parameter is kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    /// A typed field of [`Settings`].
    Field { show: fn(&Settings) -> String, assign: fn(&mut Settings, &Kind, &[&str]) -> Result<(), String> },
    /// Text in its normal form, by its place among the inert parameters.
    Inert(usize),
}

impl Parameter {
    pub(super) const fn new(name: &'static str, kind: Kind, default: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            section: Section::General,
            kind,
            default,
            change: Change::Live,
            visibility: Visibility::Listed,
            secret: false,
            no_effect: None,
            refused: false,
            about: &[],
            slot: Slot::Inert(usize::MAX),
        }
    }

    pub(super) const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Takes effect at the start of the server only.
    pub(super) const fn restart(mut self) -> Self {
        self.change = Change::Restart;
        self
    }

    pub(super) const fn fixed(mut self) -> Self {
        self.change = Change::Fixed;
        self
    }

    pub(super) const fn protected(mut self) -> Self {
        self.change = Change::Protected;
        self
    }

    pub(super) const fn pinned(mut self) -> Self {
        self.change = Change::Pinned;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(super) const fn hidden(mut self) -> Self {
        self.visibility = Visibility::Hidden;
        self
    }

    pub(super) const fn file_only(mut self) -> Self {
        self.visibility = Visibility::FileOnly;
        self.change = Change::Restart;
        self
    }

    /// What it governs is not built yet; it is kept until then.
    pub(super) const fn not_yet(mut self, reason: &'static str) -> Self {
        self.no_effect = Some(reason);
        self
    }

    /// Has no effect, and whoever relies on it is told so rather than left without.
    pub(super) const fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// The prose about it, joined to one line.
    pub fn about_line(&self) -> String {
        let lines: Vec<&str> = self.about.iter().map(|line| line.trim()).collect();
        lines.join(" ")
    }

    /// The words of the default.
    pub(super) fn default_words(&self) -> Vec<&'static str> {
        match self.kind.takes_many() {
            true => self.default.split_whitespace().collect(),
            false => vec![self.default],
        }
    }
}

pub(super) const fn yes_no(name: &'static str, default: &'static str) -> Parameter {
    Parameter::new(name, Kind::YesNo, default)
}

pub(super) const fn integer(name: &'static str, min: i64, max: i64, default: &'static str) -> Parameter {
    Parameter::new(name, Kind::Integer { min, max }, default)
}

pub(super) const fn size(name: &'static str, min: u64, max: u64, default: &'static str) -> Parameter {
    Parameter::new(name, Kind::Size { min, max }, default)
}

pub(super) const fn text(name: &'static str, default: &'static str) -> Parameter {
    Parameter::new(name, Kind::Text(any_text), default)
}

pub(super) const fn choice<T: Choice>(name: &'static str, default: &'static str) -> Parameter {
    Parameter::new(name, Kind::Choice(T::WORDS), default)
}

/// The check of texts that may be anything.
fn any_text(_: &str) -> Result<(), &'static str> {
    Ok(())
}

/// All parameters, in the order of the documents, found by name or alias.
pub struct Table {
    parameters: Vec<Parameter>,
    by_name: HashMap<&'static str, usize>,
}

impl Table {
    fn build() -> Self {
        let mut parameters = settings::effective();
        let inert = inert::inert().into_iter().enumerate();
        parameters.extend(inert.map(|(place, parameter)| Parameter { slot: Slot::Inert(place), ..parameter }));
        parameters.sort_by_key(|parameter| (parameter.section, parameter.no_effect.is_some()));
        let mut by_name = HashMap::new();
        for (place, parameter) in parameters.iter().enumerate() {
            for name in std::iter::once(&parameter.name).chain(parameter.aliases) {
                by_name.insert(*name, place);
            }
        }
        Self { parameters, by_name }
    }

    /// The parameter of this name or alias, in any case of letters.
    pub fn find(&self, name: &str) -> Option<&Parameter> {
        let place = self.by_name.get(name.to_ascii_lowercase().as_str())?;
        self.parameters.get(*place)
    }

    /// The parameters in the order of the documents.
    pub fn iter(&self) -> std::slice::Iter<'_, Parameter> {
        self.parameters.iter()
    }

    /// Every name and alias.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }
}

/// The table of parameters.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(Table::build);
    &TABLE
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut seen = HashSet::new();
        for row in table().iter() {
            for name in std::iter::once(&row.name).chain(row.aliases) {
                assert!(seen.insert(*name), "{name} stands twice");
                assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'_'));
            }
        }
        assert_eq!(seen.len(), table().names().count());
    }

    /// A default that its own row refuses would leave the field at zero.
    #[test]
    fn every_default_is_accepted() {
        let mut settings = Settings::default();
        for row in table().iter().filter(|row| !matches!(row.kind, Kind::Lines { .. })) {
            assert_eq!(settings.assign(row, &row.default_words()), Ok(()), "{}", row.name);
        }
    }

    /// The bounds of a row must fit the type of its field: both ends are accepted.
    #[test]
    fn both_bounds_are_accepted() {
        let mut settings = Settings::default();
        for row in table().iter() {
            let (min, max) = match row.kind {
                Kind::Integer { min, max } => (min.to_string(), max.to_string()),
                Kind::Size { min, max } => (min.to_string(), max.to_string()),
                _ => continue,
            };
            for bound in [min, max] {
                assert_eq!(settings.assign(row, &[&bound]), Ok(()), "{} {bound}", row.name);
                assert_eq!(settings.show(row), bound);
            }
        }
    }

    /// What CONFIG GET shows, CONFIG SET takes.
    #[test]
    fn every_shown_value_is_accepted_again() {
        let mut settings = Settings::default();
        for row in table().iter().filter(|row| !matches!(row.kind, Kind::Lines { .. })) {
            let shown = settings.show(row);
            let words: Vec<&str> = match row.kind.takes_many() {
                true => shown.split_whitespace().collect(),
                false => vec![&shown],
            };
            assert_eq!(settings.assign(row, &words), Ok(()), "{} {shown}", row.name);
            assert_eq!(settings.show(row), shown);
        }
    }

    #[test]
    fn every_row_says_what_it_does() {
        for row in table().iter() {
            assert!(row.about_line().ends_with('.'), "{}", row.name);
        }
    }
}
