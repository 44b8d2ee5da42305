//! The scripts of EVAL: their texts under the SHA-1 that clients call them by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use sha1::{Digest, Sha1};

use super::api::hexadecimal;
use super::library::ScriptFlags;

/// Scripts that EVAL brought are forgotten beyond this many, the oldest first; those of SCRIPT LOAD stay.
const EVALUATED_SCRIPTS: usize = 8192;

/// The SHA-1 of a script's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha([u8; 20]);

impl Sha {
    pub fn of(body: &[u8]) -> Self {
        Self(Sha1::digest(body).into())
    }

    /// From 40 hexadecimal digits of either case.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let (pairs, rest) = digits.as_chunks::<2>();
        if pairs.len() != 20 || !rest.is_empty() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut sha = [0; 20];
        for (byte, [high, low]) in sha.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(sha))
    }

    /// 40 lower-case digits.
    pub fn hex(&self) -> String {
        hexadecimal(&self.0)
    }
}

/// A script.
#[derive(Debug)]
pub struct Script {
    pub sha: Sha,
    pub body: Bytes,
    /// Where the code begins: behind a first line that is for us.
    pub(super) code_start: usize,
    /// What its first line says; `None` without one, which means Redis' older rules.
    pub flags: Option<ScriptFlags>,
    /// It took long the last time: not for a network thread.
    pub slow: AtomicBool,
}

impl Script {
    /// Reads a script's first line.
    ///
    /// # Errors
    /// Redis' texts, without `ERR`.
    pub fn new(sha: Sha, body: Bytes) -> Result<Self, String> {
        let (flags, code_start) = read_shebang(&body)?;
        Ok(Self { sha, body, code_start, flags, slow: AtomicBool::new(false) })
    }

    pub(super) fn code(&self) -> &[u8] {
        self.body.get(self.code_start..).unwrap_or_default()
    }
}

/// The flags of a first line `#!lua flags=…`, and where the line ends.
fn read_shebang(body: &[u8]) -> Result<(Option<ScriptFlags>, usize), String> {
    if !body.starts_with(b"#!") {
        return Ok((None, 0));
    }
    let end = body.iter().position(|byte| *byte == b'\n').ok_or("Invalid script shebang")?;
    let line = String::from_utf8_lossy(&body[..end]).into_owned();
    let mut words = line.split(' ');
    let engine = words.next().unwrap_or_default();
    if engine != "#!lua" {
        return Err(format!("Unexpected engine in script shebang: {engine}"));
    }
    let mut flags = ScriptFlags::default();
    for word in words.filter(|word| !word.is_empty()) {
        let list = word.strip_prefix("flags=").ok_or_else(|| format!("Unknown lua shebang option: {word}"))?;
        for name in list.split(',').filter(|name| !name.is_empty()) {
            if !flags.set(name.as_bytes()) {
                return Err(format!("Unexpected flag in script shebang: {name}"));
            }
        }
    }
    Ok((Some(flags), end))
}

/// All scripts that clients may call by their SHA-1.
#[derive(Default)]
pub struct ScriptCache {
    known: RwLock<Known>,
    /// Raised by each flush, for interpreters to notice.
    pub(super) flushes: AtomicUsize,
}

#[derive(Default)]
struct Known {
    scripts: FxHashMap<Sha, Arc<Script>>,
    /// Those that EVAL brought, the oldest first.
    evaluated: VecDeque<Sha>,
}

impl ScriptCache {
    pub fn get(&self, sha: &Sha) -> Option<Arc<Script>> {
        self.known.read().scripts.get(sha).cloned()
    }

    /// Remembers a script; `evaluated` if EVAL brought it.
    pub fn add(&self, script: Arc<Script>, evaluated: bool) {
        let mut known = self.known.write();
        let sha = script.sha;
        let is_new = known.scripts.insert(sha, script).is_none();
        if !evaluated {
            known.evaluated.retain(|other| *other != sha);
        } else if is_new {
            known.evaluated.push_back(sha);
            if known.evaluated.len() > EVALUATED_SCRIPTS
                && let Some(oldest) = known.evaluated.pop_front()
            {
                known.scripts.remove(&oldest);
            }
        }
    }

    /// Forgets all.
    pub fn flush(&self) {
        *self.known.write() = Known::default();
        self.flushes.fetch_add(1, Ordering::Release);
    }

    pub fn len(&self) -> usize {
        self.known.read().scripts.len()
    }

    /// Bytes of their texts.
    pub fn bytes(&self) -> usize {
        self.known.read().scripts.values().map(|script| script.body.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sha_is_forty_digits_of_either_case() {
        let sha = Sha::of(b"return 1");
        assert_eq!(sha.hex(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(Sha::parse(sha.hex().to_uppercase().as_bytes()), Some(sha));
        assert_eq!(Sha::parse(b"e0e1"), None);
        assert_eq!(Sha::parse(&[b'x'; 40]), None);
    }

    #[test]
    fn the_first_line_may_hold_flags() {
        let flags = |body: &[u8]| read_shebang(body).map(|(flags, _)| flags);
        assert_eq!(flags(b"return 1"), Ok(None));
        assert_eq!(flags(b"#!lua  flags=\n"), Ok(Some(ScriptFlags::default())));
        let no_writes = ScriptFlags { no_writes: true, ..ScriptFlags::default() };
        assert_eq!(flags(b"#!lua flags=no-writes\nreturn 1"), Ok(Some(no_writes)));
        assert_eq!(flags(b"#!lua"), Err("Invalid script shebang".into()));
        assert_eq!(flags(b"#!js\n"), Err("Unexpected engine in script shebang: #!js".into()));
        assert_eq!(flags(b"#!lua name=a\n"), Err("Unknown lua shebang option: name=a".into()));
        assert_eq!(flags(b"#!lua flags=x\n"), Err("Unexpected flag in script shebang: x".into()));
    }

    #[test]
    fn scripts_of_eval_make_room_for_younger_ones() {
        let cache = ScriptCache::default();
        let script = |number: usize| {
            let body = Bytes::from(format!("return {number}"));
            Arc::new(Script::new(Sha::of(&body), body).unwrap())
        };
        let kept = script(0);
        cache.add(kept.clone(), true);
        cache.add(kept.clone(), false);
        for number in 1..=EVALUATED_SCRIPTS + 5 {
            cache.add(script(number), true);
        }
        assert_eq!(cache.len(), EVALUATED_SCRIPTS + 1);
        assert!(cache.get(&kept.sha).is_some());
        assert!(cache.get(&script(3).sha).is_none());
        cache.flush();
        assert!(cache.is_empty());
    }
}
