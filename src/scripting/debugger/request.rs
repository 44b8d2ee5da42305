//! The commands that a debugger's client sends, taken out of what has arrived. As in Redis they are arrays
//! of short strings, and whatever stands before the array is passed over.

use memchr::{memchr, memmem};

use crate::base::number::parse_i64;

/// The most arguments, and the longest one.
const MOST: i64 = 1024;
/// The most that is kept of an unfinished command.
const BUFFER_MAX: usize = 1 << 20;

/// What cannot be read ends the session; the texts are Redis'.
pub(super) const PROTOCOL_ERROR: &str = "protocol error";
pub(super) const TOO_LONG: &str = "max client buffer reached";

/// Takes the first command off the front; `None` if it is not all there.
///
/// # Errors
/// Why the session ends.
pub(super) fn take_command(buffer: &mut Vec<u8>) -> Result<Option<Vec<Vec<u8>>>, &'static str> {
    if buffer.is_empty() {
        return Ok(None);
    }
    match read_command(buffer) {
        Ok((words, consumed)) => {
            buffer.drain(..consumed);
            Ok(Some(words))
        }
        Err(Stop::Unfinished) if buffer.len() > BUFFER_MAX => Err(TOO_LONG),
        Err(Stop::Unfinished) => Ok(None),
        Err(Stop::Wrong) => Err(PROTOCOL_ERROR),
    }
}

enum Stop {
    Unfinished,
    Wrong,
}

/// The words, and how many bytes they took.
fn read_command(buffer: &[u8]) -> Result<(Vec<Vec<u8>>, usize), Stop> {
    let mut rest = buffer.get(memchr(b'*', buffer).ok_or(Stop::Wrong)?..).unwrap_or_default();
    let count = take_number(&mut rest, b'*')?;
    let words = (0..count).map(|_| take_word(&mut rest)).collect::<Result<Vec<_>, Stop>>()?;
    Ok((words, buffer.len() - rest.len()))
}

/// A line of a mark and a number from 1 to [`MOST`].
fn take_number(rest: &mut &[u8], mark: u8) -> Result<i64, Stop> {
    let (first, line) = rest.split_first().ok_or(Stop::Unfinished)?;
    if *first != mark {
        return Err(Stop::Wrong);
    }
    let end = memmem::find(line, b"\r\n").ok_or(Stop::Unfinished)?;
    let number = parse_i64(line.get(..end).unwrap_or_default()).filter(|number| (1..=MOST).contains(number));
    *rest = line.get(end + 2..).unwrap_or_default();
    number.ok_or(Stop::Wrong)
}

fn take_word(rest: &mut &[u8]) -> Result<Vec<u8>, Stop> {
    let length = usize::try_from(take_number(rest, b'$')?).map_err(|_| Stop::Wrong)?;
    let (word, behind) = rest.split_at_checked(length).ok_or(Stop::Unfinished)?;
    match behind {
        [b'\r', b'\n', after @ ..] => {
            *rest = after;
            Ok(word.to_vec())
        }
        [] | [b'\r'] => Err(Stop::Unfinished),
        _ => Err(Stop::Wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: &[u8]) -> Result<Option<Vec<Vec<u8>>>, &'static str> {
        take_command(&mut bytes.to_vec())
    }

    #[test]
    fn a_command_is_an_array_of_short_strings() {
        let mut buffer = b"xx*2\r\n$1\r\np\r\n$3\r\na\0b\r\n*1\r\n".to_vec();
        assert_eq!(take_command(&mut buffer), Ok(Some(vec![b"p".to_vec(), b"a\0b".to_vec()])));
        assert_eq!(buffer, b"*1\r\n");
        assert_eq!(take_command(&mut buffer), Ok(None));
        for whole in [&b"*1\r\n$1\r\ns\r\n"[..], b"*2\r\n$4\r\neval\r\n$5\r\n1 + 1\r\n"] {
            for end in 0..whole.len() {
                assert_eq!(taken(&whole[..end]), Ok(None), "{end} bytes");
            }
            assert!(taken(whole).unwrap().is_some());
        }
        for wrong in [
            &b"s\r\n"[..],
            b"*0\r\n",
            b"*x\r\n",
            b"*1025\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n$0\r\n\r\n",
            b"*1\r\n$1\r\nabc",
        ] {
            assert_eq!(taken(wrong), Err(PROTOCOL_ERROR), "{}", String::from_utf8_lossy(wrong));
        }
        let endless = [b"*1".to_vec(), vec![b'0'; BUFFER_MAX]].concat();
        assert_eq!(taken(&endless), Err(TOO_LONG));
    }
}
