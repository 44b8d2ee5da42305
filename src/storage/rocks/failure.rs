//! RocksDB's texts of failure, translated into the errors of the house. RocksDB's C interface
//! tells kinds apart only by how the text begins; this is the one file that looks.

use std::path::Path;

use crate::base::Error;
use crate::storage::Family;

/// How RocksDB's text of a full disk begins.
const NO_SPACE: &str = "IO error: No space left on device";

/// What a read of one key (or of a cursor, with where it was sent) came to.
pub(super) fn of_read(text: String, family: Family, key: &[u8]) -> Error {
    if text.starts_with("Result incomplete") {
        return Error::NotInMemory;
    }
    if let Some(what) = text.strip_prefix("Corruption: ") {
        return Error::Corruption { family: family.name(), key: key.to_vec(), what: what.to_owned() };
    }
    of(text, "read")
}

/// What a commit came to.
pub(super) fn of_write(text: String) -> Error {
    if text.starts_with("Result incomplete") {
        return Error::WouldStall;
    }
    of(text, "write")
}

/// What opening a directory came to.
pub(super) fn of_open(text: String, directory: &Path) -> Error {
    // A file that the list of files names may be missing, or the list itself.
    if text.starts_with("Corruption") || text.contains("No such file or directory") {
        return Error::Damaged { directory: directory.into(), what: text.trim_end().to_owned() };
    }
    of(text, &format!("open the database in {}", directory.display()))
}

/// Everything else; `verb` says what was tried.
pub(super) fn of(text: String, verb: &str) -> Error {
    if text.starts_with(NO_SPACE) {
        return Error::Storage(format!(
            "the disk is full: cannot {verb}; reads go on, writes resume when there is space ({text})"
        ));
    }
    Error::Storage(format!("cannot {verb}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_and_stalls_are_signals() {
        let text = || "Result incomplete: Write stall".to_owned();
        assert!(matches!(of_read(text(), Family::Keys, b"k"), Error::NotInMemory));
        assert!(matches!(of_write(text()), Error::WouldStall));
    }

    #[test]
    fn corruption_keeps_family_key_and_file() {
        let text = "Corruption: block checksum mismatch in /d/000012.sst offset 0 size 99".to_owned();
        let error = of_read(text, Family::Data, b"k\x00").to_string();
        assert_eq!(
            error,
            "corruption in family data, key k\\x00: block checksum mismatch in /d/000012.sst offset 0 size 99"
        );
    }

    #[test]
    fn a_full_disk_is_named() {
        let text = "IO error: No space left on device: While appending to file: /d/000004.log".to_owned();
        let error = of_write(text).to_string();
        assert!(error.starts_with("storage: the disk is full: cannot write; "), "{error}");
        assert!(error.contains("/d/000004.log"), "{error}");
    }
}
