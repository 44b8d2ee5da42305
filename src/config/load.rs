//! From files and arguments to a [`Config`]: each source gives directives, which are
//! assigned in order over the defaults and then checked together. Reads files of
//! configuration and nothing else; logs nothing (what should be said is returned).

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::error::{ConfigError, Origin};
use super::kind::Kind;
use super::live::Config;
use super::parameter::{Parameter, Visibility, table};
use super::rewrite::Source;
use super::settings::Settings;
use super::{command_line, redis_conf, toml_file};

/// The largest file of configuration that is read.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A parameter and the words it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    pub origin: Origin,
    pub name: String,
    pub words: Vec<String>,
}

/// Something worth a line in the log, though nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub origin: Origin,
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.origin, self.text)
    }
}

/// A configuration to start with, and what should be logged about it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub notes: Vec<Note>,
}

/// The two forms of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `port = 6379`
    Toml,
    /// `port 6379`
    RedisConf,
}

/// Reads `[FILE] [--<parameter> <value>…]…`, the arguments of `ferrock server`.
pub fn load_arguments(arguments: &[String]) -> Result<Loaded, ConfigError> {
    let (file, overrides) = match arguments.split_first() {
        Some((first, rest)) if !first.starts_with("--") => (Some(Path::new(first)), rest),
        _ => (None, arguments),
    };
    load(file, overrides)
}

/// Reads the defaults, over them the file, over both `--<parameter> <value>…`.
pub fn load(file: Option<&Path>, overrides: &[String]) -> Result<Loaded, ConfigError> {
    let (assembly, source) = assemble(file, overrides)?;
    let Assembly { settings, notes, .. } = assembly;
    let mut config = Config::new(settings, source);
    config.overrides = overrides.to_vec();
    Ok(Loaded { config, notes })
}

/// The settings that a file and the command line give.
pub(super) fn settings_from(file: Option<&Path>, overrides: &[String]) -> Result<Settings, ConfigError> {
    assemble(file, overrides).map(|(assembly, _)| assembly.settings)
}

/// Reads the sources, in their order, and checks what they give.
fn assemble(file: Option<&Path>, overrides: &[String]) -> Result<(Assembly, Option<Source>), ConfigError> {
    let mut assembly = Assembly::default();
    let source = file.map(|path| assembly.take_file(path)).transpose()?;
    assembly.take_all(command_line::directives(overrides)?)?;
    assembly.refuse_unavailable()?;
    assembly.check()?;
    Ok((assembly, source))
}

/// The settings that a text of this form gives, by itself; for CONFIG REWRITE.
pub(super) fn settings_of(path: &Path, text: &str, form: Form) -> Result<Settings, ConfigError> {
    let mut assembly = Assembly::default();
    let read = match form {
        Form::Toml => toml_file::directives(path, text)?,
        Form::RedisConf => redis_conf::own_directives(path, text)?,
    };
    assembly.take_all(read)?;
    Ok(assembly.settings)
}

/// Settings in the making.
#[derive(Default)]
struct Assembly {
    settings: Settings,
    /// What a value without an effect is compared with.
    defaults: Settings,
    notes: Vec<Note>,
    /// Where each parameter was last given.
    given: HashMap<&'static str, Origin>,
}

impl Assembly {
    fn take_file(&mut self, path: &Path) -> Result<Source, ConfigError> {
        let text = read(path)?;
        let form = form_of(path, &text);
        let directives = match form {
            Form::Toml => toml_file::directives(path, &text)?,
            Form::RedisConf => redis_conf::directives(path, &text, &mut self.notes)?,
        };
        self.take_all(directives)?;
        // Absolute, so that it is found again whatever becomes of the current folder.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Source { path, form })
    }

    /// Assigns the directives of one source. Several `save` lines make one value.
    fn take_all(&mut self, directives: Vec<Directive>) -> Result<(), ConfigError> {
        let mut gathered: HashMap<&'static str, Vec<String>> = HashMap::new();
        for Directive { origin, name, mut words } in directives {
            let parameter = table().find(&name);
            let parameter = parameter.ok_or_else(|| ConfigError::unknown(origin.clone(), &name))?;
            if parameter.kind.gathers() {
                let all = gathered.entry(parameter.name).or_default();
                match words.as_slice() {
                    [] => all.clear(),
                    [only] if only.is_empty() => all.clear(),
                    _ => all.append(&mut words),
                }
                words.clone_from(all);
            }
            self.assign(parameter, origin, &words)?;
        }
        Ok(())
    }

    fn assign(&mut self, parameter: &'static Parameter, origin: Origin, words: &[String]) -> Result<(), ConfigError> {
        let borrowed: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Err(why) = self.settings.assign(parameter, &borrowed) {
            return Err(ConfigError::value(origin, parameter, why, borrowed.join(" ")));
        }
        self.note_without_effect(parameter, &origin);
        self.given.insert(parameter.name, origin);
        Ok(())
    }

    /// Says so where a value is given that differs from the default and does nothing.
    fn note_without_effect(&mut self, parameter: &Parameter, origin: &Origin) {
        let same = self.settings.show(parameter) == self.defaults.show(parameter);
        let reason = parameter.no_effect.filter(|_| !parameter.refused);
        if let (Some(reason), false) = (reason, same) {
            let text = format!("{} has no effect: {reason}", parameter.name);
            self.notes.push(Note { origin: origin.clone(), text });
        }
    }

    /// Refuses what a server must not go on without.
    fn refuse_unavailable(&self) -> Result<(), ConfigError> {
        let refusals = table().iter().map(|row| (row.name, self.settings.refusal(row)));
        match refusals.into_iter().find_map(|(name, why)| Some((name, why?))) {
            Some((name, why)) => self.conflict(name, &why),
            None => Ok(()),
        }
    }

    /// What no single value can tell.
    fn check(&self) -> Result<(), ConfigError> {
        let settings = &self.settings;
        if settings.record_cache_percent + settings.write_buffer_percent > 90 {
            let why = "with write-buffer-percent it leaves less than 10 percent of maxmemory";
            return self.conflict("record-cache-percent", why);
        }
        let certified = !settings.tls_cert_file.is_empty() && !settings.tls_key_file.is_empty();
        if settings.tls_port != 0 && !certified {
            return self.conflict("tls-port", "it needs tls-cert-file and tls-key-file");
        }
        if !settings.aclfile.is_empty() && !settings.user.0.is_empty() {
            return self.conflict("aclfile", "users stand in it or in this file, not in both");
        }
        Ok(())
    }

    fn conflict(&self, name: &'static str, why: &str) -> Result<(), ConfigError> {
        let origin = self.given.get(name).cloned().unwrap_or(Origin::CommandLine);
        Err(ConfigError::Conflict { origin, name, why: why.to_owned() })
    }
}

/// Reads a file of configuration as text.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_FILE_BYTES {
        let why = format!("larger than the {MAX_FILE_BYTES} bytes allowed");
        return Err(failed(std::io::Error::other(why)));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// The form of a file: told by its extension, else by whether the first line with
/// a directive has an equals sign after its name.
pub(super) fn form_of(path: &Path, text: &str) -> Form {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => return Form::Toml,
        Some("conf") => return Form::RedisConf,
        _ => {}
    }
    let lines = text.lines().map(str::trim);
    let first = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with('#'));
    let name_end = |line: &str| line.find(|c: char| c == '=' || c.is_whitespace());
    let assigns = first.is_some_and(|line| {
        let after = name_end(line).map_or("", |end| line.split_at(end).1);
        line.starts_with('[') || after.trim_start().starts_with('=')
    });
    if assigns { Form::Toml } else { Form::RedisConf }
}

/// A line of a file.
pub(super) fn line_of(path: &Path, line: usize) -> Origin {
    Origin::Line { file: Arc::from(path), line }
}

/// Whether a parameter of this kind and visibility may be written to files at all.
pub(super) fn is_rewritten(parameter: &Parameter) -> bool {
    parameter.visibility != Visibility::FileOnly && !matches!(parameter.kind, Kind::Lines { .. })
}

#[cfg(test)]
#[path = "load_tests.rs"]
pub(super) mod tests;
