//! Words of a request that nobody but the server may see: passwords and what stands for them. The
//! monitor and the slow log show [`HIDDEN`] in their place.

use smallvec::SmallVec;

use super::table::Entry;
use crate::config;

/// What is shown instead.
const HIDDEN: &[u8] = b"(redacted)";

/// The words of a request, as they may be shown.
pub(super) type Shown<'a> = SmallVec<[&'a [u8]; 8]>;

/// A request without its secrets.
pub(super) fn shown<'a>(found: Entry, args: &[&'a [u8]]) -> Shown<'a> {
    let mut words: Shown<'a> = args.iter().copied().collect();
    match &*found.name {
        "auth" => hide(&mut words, 1, usize::MAX),
        "acl|setuser" => hide(&mut words, 2, usize::MAX),
        "hello" => hide_behind(&mut words, b"AUTH", 2),
        "migrate" => {
            hide_behind(&mut words, b"AUTH", 1);
            hide_behind(&mut words, b"AUTH2", 2);
        }
        "config|set" => hide_settings(&mut words),
        _ => {}
    }
    words
}

fn hide(words: &mut Shown<'_>, from: usize, count: usize) {
    words.iter_mut().skip(from).take(count).for_each(|word| *word = HIDDEN);
}

fn hide_behind(words: &mut Shown<'_>, option: &[u8], count: usize) {
    if let Some(place) = words.iter().position(|word| word.eq_ignore_ascii_case(option)) {
        hide(words, place + 1, count);
    }
}

/// The values of parameters that CONFIG GET hides as well.
fn hide_settings(words: &mut Shown<'_>) {
    for place in (2..words.len()).step_by(2) {
        let secret = std::str::from_utf8(words[place])
            .is_ok_and(|name| config::table().find(name).is_some_and(|row| row.secret));
        if secret {
            hide(words, place + 1, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table::resolve;

    fn line(text: &str) -> String {
        let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        let words = shown(resolve(&args).expect("a command of the table"), &args);
        words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn secrets_are_hidden_and_nothing_else() {
        assert_eq!(line("auth secret"), "auth (redacted)");
        assert_eq!(line("AUTH user secret"), "AUTH (redacted) (redacted)");
        assert_eq!(line("hello 3 auth user secret setname x"), "hello 3 auth (redacted) (redacted) setname x");
        assert_eq!(line("CONFIG SET port 1 requirepass x"), "CONFIG SET port 1 requirepass (redacted)");
        assert_eq!(line("SET auth secret"), "SET auth secret");
    }
}
