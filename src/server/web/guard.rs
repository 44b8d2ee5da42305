//! Who may see the metrics and the console. With a password, who knows it; without one, this machine,
//! or everybody if `protected-mode` is off.

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST};
use sha2::{Digest, Sha256};

use crate::config::Settings;

/// Why a page is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No password was given, or a wrong one.
    Password,
    /// There is no password, and the client is on another machine.
    Stranger,
    /// There is no password, and the name the client knows this machine by may be anybody's.
    Name,
}

/// Whether a client may see what is not for everybody.
///
/// # Errors
/// Why not.
pub(super) fn admit(settings: &Settings, peer: IpAddr, headers: &HeaderMap) -> Result<(), Refusal> {
    if !settings.metrics_password.is_empty() {
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
        let is_right = matches(given, &settings.metrics_user, &settings.metrics_password);
        return if is_right { Ok(()) } else { Err(Refusal::Password) };
    }
    if !settings.protected_mode {
        return Ok(());
    }
    if !peer.to_canonical().is_loopback() {
        return Err(Refusal::Stranger);
    }
    // A page of another site may have its own name lead here; a browser then takes this for that site.
    match headers.get(HOST).map(|host| is_own_name(host.as_bytes())) {
        Some(false) => Err(Refusal::Name),
        _ => Ok(()),
    }
}

/// Whether the header is `Basic` with this user and password. Takes as long whatever is wrong with it.
fn matches(given: &[u8], user: &str, password: &str) -> bool {
    let Some((scheme, token)) = given.split_at_checked(6) else { return false };
    let wanted = BASE64_STANDARD.encode(format!("{user}:{password}"));
    scheme.eq_ignore_ascii_case(b"basic ") && Sha256::digest(token.trim_ascii()) == Sha256::digest(wanted)
}

/// Whether a Host header is an address, or names this machine to itself.
fn is_own_name(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_words_match() {
        let token = BASE64_STANDARD.encode("ada:lovelace:1");
        for given in [format!("Basic {token}"), format!("bAsIc  {token}")] {
            assert!(matches(given.as_bytes(), "ada", "lovelace:1"), "{given}");
        }
        let wrong = ["", "Basic", "Basic ", "Bearer x", &token, &format!("Basic {token}x")].map(str::to_owned);
        for given in wrong {
            assert!(!matches(given.as_bytes(), "ada", "lovelace:1"), "{given}");
        }
        assert!(!matches(format!("Basic {token}").as_bytes(), "ada", "lovelace:2"));
    }

    #[test]
    fn names_of_this_machine() {
        for own in ["localhost", "LOCALHOST:80", "127.0.0.1:9121", "[::1]:9121", "[::1]", "192.168.1.2"] {
            assert!(is_own_name(own.as_bytes()), "{own}");
        }
        for other in ["", "example.org", "localhost.example.org:80", "127.0.0.1.example.org", "[::1", "\u{fe}"] {
            assert_eq!(is_own_name(other.as_bytes()), other == "[::1", "{other}");
        }
    }
}
