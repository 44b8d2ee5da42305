//! What to do next, for the failures of a start that have an answer. Told behind the error, so
//! that whoever runs the server by hand or reads the journal need not search.

use std::io::ErrorKind;

use crate::base::Error;
use crate::config::ConfigError;
use crate::server::StartError;

/// Prints an error with what to do about it.
pub(super) fn complain(error: &impl std::fmt::Display, advice: Option<&str>) {
    eprintln!("ferrock: {error}");
    if let Some(advice) = advice {
        eprintln!("ferrock: {advice}");
    }
}

/// What to do about a configuration that is wrong.
pub(super) fn of_configuration(error: &ConfigError) -> Option<&'static str> {
    match error {
        ConfigError::Read { source, .. } if source.kind() == ErrorKind::NotFound => {
            Some("without a file the defaults hold; `ferrock config docs --format toml` prints one to begin with")
        }
        ConfigError::Unknown { nearest: None, .. } => Some("`ferrock config docs` lists every parameter"),
        _ => None,
    }
}

/// What to do about a server that did not start.
pub(super) fn of_start(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::Listen { source, .. } => match source.kind() {
            ErrorKind::AddrInUse => {
                Some("another program listens there, `ss -ltnp` names it: stop it, or choose another port")
            }
            ErrorKind::AddrNotAvailable => {
                Some("this machine has no such address: mend bind, or put a - in front of what may be missing")
            }
            ErrorKind::PermissionDenied => {
                Some("ports below 1024 are root's, and the folder of a Unix socket must be this user's to write to")
            }
            _ => None,
        },
        StartError::Store(Error::Corruption { .. } | Error::Damaged { .. }) => {
            Some("`ferrock check --dir DIR` tells what is damaged, and on a copy `ferrock repair` saves the rest")
        }
        StartError::Store(Error::Io { source, .. }) => match source.kind() {
            ErrorKind::PermissionDenied => Some("the user that runs the server must own the folder named by dir"),
            ErrorKind::StorageFull => Some("make room on that disk; what was acknowledged is there"),
            _ => None,
        },
        StartError::Users(_) => {
            Some("mend the lines named above in the configuration or in aclfile; nothing was changed")
        }
        StartError::Tls(_) => Some("mend the parameters tls-…, or leave TLS out with tls-port 0"),
        StartError::PidFile { .. } => Some("name a file for pidfile that this user may write, or none"),
        StartError::Store(_) | StartError::Runtime(_) => None,
    }
}
