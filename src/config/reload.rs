//! Reading the sources again while the server runs: what may change live changes, the rest is
//! told and waits for a restart. The file and the command line are what counts, so what
//! CONFIG SET changed and CONFIG REWRITE did not keep goes back.

use super::error::ReloadError;
use super::kind::Kind;
use super::live::{Changes, Config, Unapplied, differing};
use super::load::settings_from;
use super::parameter::{Change, Parameter, table};
use super::settings::Settings;

/// What a reload found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Parameters that have other values now.
    pub changed: Vec<&'static str>,
    /// Parameters whose new values count from the next start.
    pub at_restart: Vec<&'static str>,
}

impl Config {
    /// Reads file and command line again, and has the changes applied as [`Config::set`] does.
    ///
    /// # Errors
    /// When the file is wrong, or a change could not be applied; nothing has changed then.
    pub fn reload(
        &self,
        apply: &mut dyn FnMut(&Changes<'_>) -> Result<(), Unapplied>,
    ) -> Result<Reloaded, ReloadError> {
        let _only_one = self.changing.lock();
        let told = settings_from(self.file(), &self.overrides)?;
        let before = self.snapshot();
        let mut after = Settings::clone(&before);
        let mut reloaded = Reloaded { changed: Vec::new(), at_restart: Vec::new() };
        for name in differing(&before, &told) {
            match table().find(name).filter(|row| is_live(row)) {
                Some(row) => {
                    take(&mut after, row, &told.show(row))?;
                    reloaded.changed.push(name);
                }
                None => reloaded.at_restart.push(name),
            }
        }
        self.replace(&before, after, &reloaded.changed, apply)?;
        Ok(reloaded)
    }
}

fn is_live(row: &Parameter) -> bool {
    matches!(row.change, Change::Live | Change::Protected) && !matches!(row.kind, Kind::Lines { .. })
}

/// Gives a parameter the value that is shown so.
fn take(settings: &mut Settings, row: &'static Parameter, shown: &str) -> Result<(), Unapplied> {
    let words: Vec<&str> = match row.kind.takes_many() {
        true if shown.is_empty() => Vec::new(),
        true => shown.split(' ').collect(),
        false => vec![shown],
    };
    settings.assign(row, &words).map_err(|why| Unapplied { parameter: row.name, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn none(_: &Changes<'_>) -> Result<(), Unapplied> {
        Ok(())
    }

    #[test]
    fn what_the_file_says_counts_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redis.conf");
        std::fs::write(&path, "maxclients 100\ntimeout 5\ndatabases 3\n").unwrap();
        let overrides = ["--timeout", "7"].map(str::to_owned);
        let config = load::load(Some(&path), &overrides).unwrap().config;
        config.set(&[(b"slowlog-max-len", b"9"), (b"maxclients", b"50")], false, &mut none).unwrap();

        std::fs::write(&path, "maxclients 200\ntimeout 6\ndatabases 4\nbind 127.0.0.1 ::1\n").unwrap();
        let mut applied = Vec::new();
        let reloaded = config.reload(&mut |changes| {
            applied.extend_from_slice(changes.names);
            Ok(())
        });
        let reloaded = reloaded.unwrap();
        assert_eq!(reloaded.at_restart, ["databases"]);
        assert_eq!(reloaded.changed, ["bind", "maxclients", "slowlog-max-len"]);
        assert_eq!(applied, reloaded.changed);
        let settings = config.load();
        assert_eq!((settings.maxclients, settings.timeout, settings.databases), (200, 7, 3));
        assert_eq!((settings.slowlog_max_len, settings.bind.0.len()), (128, 2));
    }

    #[test]
    fn a_wrong_file_or_a_failure_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redis.conf");
        std::fs::write(&path, "maxclients 100\n").unwrap();
        let config = load::load(Some(&path), &[]).unwrap().config;
        std::fs::write(&path, "maxclients 200\nnonsense\n").unwrap();
        assert!(config.reload(&mut none).is_err());
        std::fs::write(&path, "maxclients 200\nport 1\n").unwrap();
        let refused = config.reload(&mut |changes| match changes.after.port {
            1 => Err(Unapplied { parameter: "port", why: "taken".into() }),
            _ => Ok(()),
        });
        assert_eq!(refused.unwrap_err().to_string(), "port: taken");
        assert_eq!((config.load().maxclients, config.load().port), (100, 6379));
    }
}
