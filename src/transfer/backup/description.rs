//! The description of a backup: TOML behind a line with the digest of it, so that damage to a description
//! is noticed as that of a file is.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::hex;

/// What stands before the digest, in a comment of TOML.
const HEAD: &str = "# A backup of Ferrock. SHA-256 of the lines below: ";

/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// What a backup is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    pub id: u64,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// The database directory it is of.
    pub source: String,
    /// Program and version.
    pub made_by: String,
    pub files: Vec<StoredFile>,
}

/// A file of the database, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredFile {
    /// The name in the database directory.
    pub name: String,
    pub bytes: u64,
    /// Of all of it, in hexadecimal digits; the name it is stored under.
    pub sha256: String,
    /// Of its end, for sorted files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_sha256: Option<String>,
}

impl StoredFile {
    /// Names become parts of paths, so only plain ones are taken.
    fn is_sound(&self) -> bool {
        let is_plain = !self.name.is_empty() && !self.name.starts_with('.') && !self.name.contains(['/', '\0']);
        is_plain && self.sha256.len() == DIGITS && self.sha256.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl Description {
    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// As it is stored.
    ///
    /// # Errors
    /// TOML's own text: a number beyond what it can hold.
    pub(super) fn encode(&self) -> Result<String, String> {
        let body = toml::to_string(self).map_err(|error| error.to_string())?;
        Ok(format!("{HEAD}{}\n{body}", digest(&body)))
    }

    /// Out of its stored form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode(stored: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(stored).map_err(|_| "it is no text")?;
        let (noted, body) = text.strip_prefix(HEAD).and_then(|rest| rest.split_once('\n')).ok_or("it has no digest")?;
        if noted != digest(body) {
            return Err("its digest is another".into());
        }
        let description: Self = toml::from_str(body).map_err(|error| error.message().to_owned())?;
        match description.files.iter().find(|file| !file.is_sound()) {
            None => Ok(description),
            Some(file) => Err(format!("its file \"{}\" has no sound name", file.name.escape_debug())),
        }
    }
}

fn digest(body: &str) -> String {
    hex(&Sha256::digest(body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(name: &str) -> Description {
        let file = StoredFile { name: name.into(), bytes: 5, sha256: "a1".repeat(32), tail_sha256: None };
        Description {
            id: 3,
            created_ms: 1_795_772_355_123,
            source: "/a \"b\"\n".into(),
            made_by: "x".into(),
            files: vec![file],
        }
    }

    #[test]
    fn descriptions_come_back_and_every_flipped_byte_is_noticed() {
        let stored = description("000012.sst").encode().unwrap().into_bytes();
        assert_eq!(Description::decode(&stored), Ok(description("000012.sst")));
        for at in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[at] ^= 1;
            assert!(Description::decode(&damaged).is_err(), "byte {at}");
            assert!(Description::decode(&stored[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../CURRENT", "/etc/passwd", "", "..", "a/b"] {
            let stored = description(name).encode().unwrap();
            assert!(Description::decode(stored.as_bytes()).unwrap_err().contains("no sound name"), "{name}");
        }
    }
}
