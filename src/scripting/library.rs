//! Function libraries: what the first line of a library's code says, what its code registers, and
//! all libraries of a server as one immutable [`Libraries`], which a change replaces.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::lua::{Kept, Kind, Raise, Raised, Stack};
use crate::base::glob;

/// What a script or function asks to be held to, or to be let off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScriptFlags {
    pub no_writes: bool,
    pub allow_oom: bool,
    pub allow_stale: bool,
    pub no_cluster: bool,
    pub allow_cross_slot_keys: bool,
}

impl ScriptFlags {
    /// Sets the flag of this name; false if there is none.
    pub fn set(&mut self, name: &[u8]) -> bool {
        let flag = match name {
            b"no-writes" => &mut self.no_writes,
            b"allow-oom" => &mut self.allow_oom,
            b"allow-stale" => &mut self.allow_stale,
            b"no-cluster" => &mut self.no_cluster,
            b"allow-cross-slot-keys" => &mut self.allow_cross_slot_keys,
            _ => return false,
        };
        *flag = true;
        true
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.allow_oom, "allow-oom"),
            (self.allow_stale, "allow-stale"),
            (self.allow_cross_slot_keys, "allow-cross-slot-keys"),
            (self.no_cluster, "no-cluster"),
            (self.no_writes, "no-writes"),
        ];
        all.into_iter().filter(|(set, _)| *set).map(|(_, name)| name)
    }
}

/// A function of a library.
#[derive(Debug, Clone)]
pub struct Function {
    pub name: String,
    pub description: Option<Bytes>,
    pub flags: ScriptFlags,
}

/// A function that an interpreter knows.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    pub function: Function,
    pub callback: Kept,
}

/// A library.
#[derive(Debug)]
pub struct Library {
    pub name: String,
    pub code: Bytes,
    pub functions: Vec<Function>,
    /// No other load has the same, so that interpreters know which they hold.
    pub(super) stamp: u64,
}

impl Library {
    pub(super) fn new(name: String, code: Bytes, functions: Vec<Function>) -> Self {
        static STAMPS: AtomicU64 = AtomicU64::new(1);
        Self { name, code, functions, stamp: STAMPS.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Functions are found whatever the case of their names; libraries are not.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// All libraries of a server.
#[derive(Debug, Clone, Default)]
pub struct Libraries {
    by_name: BTreeMap<String, Arc<Library>>,
    functions: FxHashMap<String, (Arc<Library>, usize)>,
}

impl Libraries {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Bytes of their code.
    pub fn bytes(&self) -> usize {
        self.all().map(|library| library.code.len()).sum()
    }

    pub fn function_count(&self) -> usize {
        self.all().map(|library| library.functions.len()).sum()
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Library>> {
        self.by_name.values()
    }

    /// Those whose names match.
    pub fn matching(&self, pattern: &[u8]) -> impl Iterator<Item = &Arc<Library>> {
        self.all().filter(move |library| glob::matches(pattern, library.name.as_bytes(), true))
    }

    /// Whether one of these has this stamp.
    pub(super) fn holds(&self, stamp: u64) -> bool {
        self.all().any(|library| library.stamp == stamp)
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Library>> {
        self.by_name.get(name)
    }

    /// The library and the place in it of a function.
    pub fn function(&self, name: &str) -> Option<(&Arc<Library>, usize)> {
        let found = self.functions.get(name).or_else(|| self.functions.get(&folded(name)));
        found.map(|(library, place)| (library, *place))
    }

    /// These and one more, instead of one of the same name if there is one.
    ///
    /// # Errors
    /// The name of a function that another library has.
    pub fn with(&self, library: Arc<Library>) -> Result<Self, String> {
        let mut changed = self.without(&library.name);
        for (place, function) in library.functions.iter().enumerate() {
            let entry = changed.functions.entry(folded(&function.name));
            let (owner, _) = entry.or_insert_with(|| (library.clone(), place));
            if owner.stamp != library.stamp {
                return Err(function.name.clone());
            }
        }
        changed.by_name.insert(library.name.clone(), library);
        Ok(changed)
    }

    /// These without one.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut changed = self.clone();
        if let Some(library) = changed.by_name.remove(name) {
            changed.functions.retain(|_, (owner, _)| owner.stamp != library.stamp);
        }
        changed
    }
}

/// What the first line of a library says.
#[derive(Debug, PartialEq, Eq)]
pub struct Metadata {
    pub name: String,
    /// Where the code begins: at the end of the line, so that lines keep their numbers.
    pub body: usize,
}

const BAD_NAME: &str =
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Reads the first line of a library: `#!lua name=…`.
///
/// # Errors
/// Redis' texts, without `ERR`.
pub fn read_metadata(code: &[u8]) -> Result<Metadata, String> {
    if !code.starts_with(b"#!") {
        return Err("Missing library metadata".into());
    }
    let body = code.iter().position(|byte| *byte == b'\n').ok_or("Invalid library metadata")?;
    let line = String::from_utf8_lossy(&code[2..body]).into_owned();
    let words = split_words(&line).ok_or("Invalid library metadata")?;
    let mut words = words.iter().map(String::as_str);
    let engine = if line.starts_with(' ') { "" } else { words.next().unwrap_or_default() };
    let mut name = None;
    for word in words {
        let value = word.split_once('=').filter(|(key, _)| key.eq_ignore_ascii_case("name")).map(|(_, value)| value);
        match value {
            None => return Err(format!("Invalid metadata value given: {word}")),
            Some(_) if name.is_some() => {
                return Err("Invalid metadata value, name argument was given multiple times".into());
            }
            Some(value) => name = Some(value.to_owned()),
        }
    }
    let name = name.ok_or("Library name was not given")?;
    if !is_name(name.as_bytes()) {
        return Err(BAD_NAME.into());
    }
    if !engine.eq_ignore_ascii_case("lua") {
        return Err(format!("Engine '{engine}' not found"));
    }
    Ok(Metadata { name, body })
}

/// Words as redis-cli quotes them.
fn split_words(line: &str) -> Option<Vec<String>> {
    let words = crate::base::quoting::split_arguments(line.as_bytes()).ok()?;
    Some(words.into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect())
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// `redis.register_function(name, callback)` or `{function_name = …, callback = …}`.
pub(super) fn register_function(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.shared.loading.borrow().is_none() {
        return refuse(stack, "redis.register_function can only be called on FUNCTION LOAD command");
    }
    let read = match stack.top() {
        1 => read_named(stack),
        2 => read_positional(stack),
        _ => Err("wrong number of arguments to redis.register_function"),
    };
    let registered = match read {
        Ok(registered) => registered,
        Err(text) => return refuse(stack, text),
    };
    if !is_name(registered.function.name.as_bytes()) {
        return refuse(stack, BAD_NAME);
    }
    let mut loading = stack.shared.loading.borrow_mut();
    let registry = loading.get_or_insert_default();
    if registry.iter().any(|other| other.function.name == registered.function.name) {
        drop(loading);
        return refuse(stack, "Function already exists in the library");
    }
    registry.push(registered);
    Ok(0)
}

/// Raises an error as a table, as commands' errors are.
fn refuse(stack: &mut Stack<'_>, text: &str) -> Raised<i32> {
    stack.push_table(0, 3);
    stack.push_bytes(format!("ERR {text}").as_bytes());
    stack.set_field(-2, "err");
    Err(Raise::Top)
}

/// A name that Lua gave; what is no UTF-8 is no name either.
fn name_at(stack: &mut Stack<'_>, at: i32) -> String {
    String::from_utf8_lossy(stack.text(at).unwrap_or_default()).into_owned()
}

fn read_positional(stack: &mut Stack<'_>) -> Result<Registered, &'static str> {
    if !matches!(stack.kind(1), Kind::String | Kind::Number) {
        return Err("first argument to redis.register_function must be a string");
    }
    if stack.kind(2) != Kind::Function {
        return Err("second argument to redis.register_function must be a function");
    }
    let name = name_at(stack, 1);
    let callback = stack.keep();
    Ok(Registered { function: Function { name, description: None, flags: ScriptFlags::default() }, callback })
}

fn read_named(stack: &mut Stack<'_>) -> Result<Registered, &'static str> {
    if stack.kind(1) != Kind::Table {
        return Err(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        );
    }
    let (mut name, mut callback, mut description, mut flags) = (None, None, None, ScriptFlags::default());
    stack.push_nil();
    while stack.next(1) {
        if stack.kind(-2) != Kind::String {
            return Err("named argument key given to redis.register_function is not a string");
        }
        let is_text = matches!(stack.kind(-1), Kind::String | Kind::Number);
        match stack.string(-2).unwrap_or_default() {
            b"function_name" if is_text => name = Some(name_at(stack, -1)),
            b"function_name" => return Err("function_name argument given to redis.register_function must be a string"),
            b"description" if is_text => {
                description = Some(Bytes::copy_from_slice(stack.text(-1).unwrap_or_default()));
            }
            b"description" => return Err("description argument given to redis.register_function must be a string"),
            b"callback" if stack.kind(-1) == Kind::Function => {
                stack.push_copy(-1);
                callback = Some(stack.keep());
            }
            b"callback" => return Err("callback argument given to redis.register_function must be a function"),
            b"flags" if stack.kind(-1) == Kind::Table => flags = read_flags(stack)?,
            b"flags" => {
                return Err("flags argument to redis.register_function must be a table representing function flags");
            }
            _ => return Err("unknown argument given to redis.register_function"),
        }
        stack.pop(1);
    }
    let name = name.ok_or("redis.register_function must get a function name argument")?;
    let callback = callback.ok_or("redis.register_function must get a callback argument")?;
    Ok(Registered { function: Function { name, description, flags }, callback })
}

/// The flags that the table on top lists.
fn read_flags(stack: &mut Stack<'_>) -> Result<ScriptFlags, &'static str> {
    let mut flags = ScriptFlags::default();
    for index in 1.. {
        stack.push_element(-1, index);
        let known = match stack.kind(-1) {
            Kind::Nil => break,
            Kind::String => flags.set(stack.string(-1).unwrap_or_default()),
            _ => false,
        };
        stack.pop(1);
        if !known {
            return Err("unknown flag given");
        }
    }
    stack.pop(1);
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_library() {
        assert_eq!(read_metadata(b"#!lua name=one\ncode"), Ok(Metadata { name: "one".into(), body: 14 }));
        assert_eq!(read_metadata(b"#!LUA NAME=\"one\"\n").map(|read| read.name), Ok("one".into()));
        for (code, error) in [
            (&b"code"[..], "Missing library metadata"),
            (b"#!lua name=one", "Invalid library metadata"),
            (b"#!lua\n", "Library name was not given"),
            (b"#!lua name=a name=b\n", "Invalid metadata value, name argument was given multiple times"),
            (b"#!lua name=a more\n", "Invalid metadata value given: more"),
            (b"#!js name=a\n", "Engine 'js' not found"),
            (b"#! name=a\n", "Engine '' not found"),
            (b"#!lua name=a-b\n", BAD_NAME),
        ] {
            assert_eq!(read_metadata(code), Err(error.to_owned()), "{}", code.escape_ascii());
        }
    }

    fn library(name: &str, functions: &[&str]) -> Arc<Library> {
        let function =
            |name: &&str| Function { name: (*name).to_owned(), description: None, flags: ScriptFlags::default() };
        Arc::new(Library::new(name.to_owned(), Bytes::new(), functions.iter().map(function).collect()))
    }

    #[test]
    fn a_function_belongs_to_one_library() {
        let one = Libraries::default().with(library("one", &["a", "b"])).unwrap();
        assert_eq!(one.with(library("two", &["c", "B"])).unwrap_err(), "B");
        let both = one.with(library("two", &["c"])).unwrap();
        assert_eq!((both.len(), both.function_count()), (2, 3));
        assert_eq!(both.function("C").map(|(library, place)| (library.name.clone(), place)), Some(("two".into(), 0)));
        let replaced = both.with(library("one", &["d"])).unwrap();
        assert_eq!((replaced.len(), replaced.function_count()), (2, 2));
        assert!(replaced.function("a").is_none());
        assert_eq!(replaced.without("two").function_count(), 1);
    }
}
