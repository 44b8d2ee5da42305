//! The configuration of a running server: the settings of the moment, and how
//! CONFIG GET and CONFIG SET read and change them. Never touches a socket or the
//! store: whoever owns what a parameter governs applies the change, through the
//! closure that [`Config::set`] is given.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::error::SetError;
use super::parameter::{Change, Parameter, Visibility, table};
use super::rewrite::Source;
use super::settings::{ProtectedAction, Settings};
use crate::base::glob;

/// The settings of a server, shared by all who obey them.
#[derive(Debug)]
pub struct Config {
    current: Arc<ArcSwap<Settings>>,
    /// Held while a change is checked and applied.
    pub(super) changing: Mutex<()>,
    pub(super) source: Option<Source>,
    /// The command line's parameters, which go over the file whenever it is read.
    pub(super) overrides: Vec<String>,
}

/// A session's own view of the settings: reading it costs one atomic load and a
/// comparison, and no shared counter.
pub struct Reader(arc_swap::cache::Cache<Arc<ArcSwap<Settings>>, Arc<Settings>>);

impl Reader {
    /// The settings of the moment.
    pub fn load(&mut self) -> &Arc<Settings> {
        self.0.load()
    }
}

/// What a CONFIG SET changes.
#[derive(Debug)]
pub struct Changes<'a> {
    pub before: &'a Settings,
    pub after: &'a Settings,
    /// The parameters whose value differs, by their first names.
    pub names: &'a [&'static str],
}

impl Changes<'_> {
    /// Whether any of these parameters changes.
    pub fn touch(&self, names: &[&str]) -> bool {
        self.names.iter().any(|name| names.contains(name))
    }
}

/// A change that its owner could not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unapplied {
    pub parameter: &'static str,
    /// Why, as the client is told.
    pub why: String,
}

impl ProtectedAction {
    /// Whether a client may, which is `local` where it connects from this machine.
    pub const fn allows(self, local: bool) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Local => local,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Settings::default(), None)
    }
}

impl Config {
    pub(super) fn new(settings: Settings, source: Option<Source>) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(settings)),
            changing: Mutex::new(()),
            source,
            overrides: Vec::new(),
        }
    }

    /// The configuration of these settings and no file; for tests and offline tools.
    pub fn of(settings: Settings) -> Self {
        Self::new(settings, None)
    }

    /// The settings of the moment; they stay as they are while they are held.
    pub fn load(&self) -> arc_swap::Guard<Arc<Settings>> {
        self.current.load()
    }

    /// The settings of the moment, to keep across a wait.
    pub fn snapshot(&self) -> Arc<Settings> {
        self.current.load_full()
    }

    /// A view for one session or loop.
    pub fn reader(&self) -> Reader {
        Reader(arc_swap::cache::Cache::new(Arc::clone(&self.current)))
    }

    /// CONFIG GET: names and values of the parameters that any of the patterns
    /// matches, each once, in the order of the table; aliases answer too.
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(&'static str, String)> {
        let settings = self.load();
        let mut found = Vec::new();
        for parameter in table().iter() {
            let names = std::iter::once(&parameter.name).chain(parameter.aliases);
            for name in names.filter(|name| answers(parameter, name, patterns)) {
                found.push((*name, settings.show(parameter)));
            }
        }
        found
    }

    /// CONFIG SET: checks all pairs, hands the changes to `apply`, and only then makes
    /// them the settings of the moment; so all hold or none. Where `apply` fails it is
    /// called again with the changes turned round, to undo what it had done already.
    ///
    /// `allow_protected`: what [`ProtectedAction::allows`] says of this client.
    /// Answers the parameters that changed.
    pub fn set(
        &self,
        pairs: &[(&[u8], &[u8])],
        allow_protected: bool,
        apply: &mut dyn FnMut(&Changes<'_>) -> Result<(), Unapplied>,
    ) -> Result<Vec<&'static str>, SetError> {
        let _only_one = self.changing.lock();
        let before = self.snapshot();
        let chosen = choose(pairs, allow_protected)?;
        let after = changed(&before, &chosen)?;
        let names: Vec<&'static str> = differing(&before, &after);
        self.replace(&before, after, &names, apply).map_err(|failure| {
            let given = chosen.iter().find(|pair| pair.parameter.name == failure.parameter);
            let name = given.map_or(failure.parameter, |pair| pair.name.as_str());
            SetError::Failed { name: name.to_owned(), why: failure.why }
        })?;
        Ok(names)
    }

    /// Has the changes applied and makes `after` the settings of the moment.
    pub(super) fn replace(
        &self,
        before: &Settings,
        after: Settings,
        names: &[&'static str],
        apply: &mut dyn FnMut(&Changes<'_>) -> Result<(), Unapplied>,
    ) -> Result<(), Unapplied> {
        if names.is_empty() {
            return Ok(());
        }
        if let Err(failure) = apply(&Changes { before, after: &after, names }) {
            // What cannot be undone either was reported by whoever failed at it.
            let _ = apply(&Changes { before: &after, after: before, names });
            return Err(failure);
        }
        self.current.store(Arc::new(after));
        Ok(())
    }
}

/// Whether CONFIG GET with these patterns shows the parameter under this name.
fn answers(parameter: &Parameter, name: &str, patterns: &[&[u8]]) -> bool {
    patterns.iter().any(|pattern| match parameter.visibility {
        Visibility::Listed => glob::matches(pattern, name.as_bytes(), true),
        Visibility::Hidden => pattern.eq_ignore_ascii_case(name.as_bytes()),
        Visibility::FileOnly => false,
    })
}

/// A pair of CONFIG SET whose parameter is known and may change.
struct Pair<'a> {
    parameter: &'static Parameter,
    /// The name or alias given, in lower case.
    name: String,
    value: &'a [u8],
}

/// Finds the parameters of all pairs, before any value is looked at.
fn choose<'a>(pairs: &[(&[u8], &'a [u8])], allow_protected: bool) -> Result<Vec<Pair<'a>>, SetError> {
    let mut chosen: Vec<Pair<'a>> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let given = String::from_utf8_lossy(name).into_owned();
        let known = table().find(&given).filter(|known| known.visibility != Visibility::FileOnly);
        let Some(parameter) = known else {
            return Err(SetError::Unknown(given));
        };
        let lower = given.to_ascii_lowercase();
        let why = match parameter.change {
            Change::Restart => Some("can't set immutable config"),
            Change::Protected | Change::Pinned if !allow_protected => Some("can't set protected config"),
            _ if chosen.iter().any(|pair| pair.name == lower) => Some("duplicate parameter"),
            _ => None,
        };
        if let Some(why) = why {
            return Err(SetError::Failed { name: given, why: why.into() });
        }
        chosen.push(Pair { parameter, name: lower, value });
    }
    Ok(chosen)
}

/// The settings with all pairs assigned.
fn changed(before: &Settings, pairs: &[Pair<'_>]) -> Result<Settings, SetError> {
    let mut after = before.clone();
    for Pair { parameter, name, value } in pairs {
        let failed = |why: String| SetError::Failed { name: name.clone(), why };
        let text = std::str::from_utf8(value).map_err(|_| failed("argument must be valid UTF-8 text".into()))?;
        let words: Vec<&str> = match parameter.kind.takes_many() {
            true if text.is_empty() => Vec::new(),
            true => text.split(' ').collect(),
            false => vec![text],
        };
        after.assign(parameter, &words).map_err(failed)?;
        if let Some(why) = after.refusal(parameter) {
            return Err(failed(why));
        }
        if matches!(parameter.change, Change::Fixed | Change::Pinned) && after.show(parameter) != before.show(parameter)
        {
            return Err(failed("it cannot change while the server runs".into()));
        }
    }
    Ok(after)
}

/// The names of the parameters that two settings do not share.
pub(super) fn differing(a: &Settings, b: &Settings) -> Vec<&'static str> {
    let rows = table().iter().filter(|row| a.show(row) != b.show(row));
    rows.map(|row| row.name).collect()
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
