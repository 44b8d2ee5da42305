//! What a debugger has to say, line by line, until it is sent: as an array of status replies.

/// The most that is said at once. A script that talks on and on is cut short.
pub(super) const BYTES_MAX: usize = 1 << 20;
/// Values and replies are cut after so many bytes, unless the client wants it otherwise.
const TRIM_BYTES: usize = 256;
/// The least that a client may choose.
const TRIM_BYTES_MIN: usize = 60;

const TRIMMED_HINT: &[u8] = b"<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.";
const CUT_HINT: &[u8] = b"<hint> There was more to say than a megabyte, which was left out.";

/// The lines to be sent next.
#[derive(Debug)]
pub(super) struct Log {
    lines: Vec<Vec<u8>>,
    bytes: usize,
    is_cut: bool,
    /// 0 for as much as there is.
    trim_bytes: usize,
    /// The client knows that lines are trimmed.
    hinted: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { lines: Vec::new(), bytes: 0, is_cut: false, trim_bytes: TRIM_BYTES, hinted: false }
    }
}

impl Log {
    /// Adds a line.
    pub fn add(&mut self, mut line: Vec<u8>) {
        line.truncate(BYTES_MAX);
        if self.bytes + line.len() > BYTES_MAX {
            self.is_cut = true;
            return;
        }
        self.must(line);
    }

    /// Adds a line that clients rely on.
    pub fn must(&mut self, line: Vec<u8>) {
        self.bytes += line.len() + size_of::<Vec<u8>>();
        self.lines.push(line);
    }

    /// Adds a line with a value or a reply, trimmed.
    pub fn add_trimmed(&mut self, mut line: Vec<u8>) {
        let is_long = self.trim_bytes > 0 && line.len() > self.trim_bytes;
        if is_long {
            line.truncate(self.trim_bytes);
            line.extend_from_slice(b" ...");
        }
        self.add(line);
        if is_long && !std::mem::replace(&mut self.hinted, true) {
            self.add(TRIMMED_HINT.to_vec());
        }
    }

    /// So many bytes of a value are worth being written.
    pub fn room(&self) -> usize {
        if self.trim_bytes > 0 { self.trim_bytes } else { BYTES_MAX }
    }

    /// Trims values to so many bytes from here on; 0 for all.
    pub fn trim_to(&mut self, bytes: usize) {
        self.hinted = true;
        self.trim_bytes = if bytes == 0 { 0 } else { bytes.max(TRIM_BYTES_MIN) };
    }

    /// What values are trimmed to; 0 for no limit.
    pub fn trims_to(&self) -> usize {
        self.trim_bytes
    }

    /// Takes all lines as they go over the wire.
    pub fn take(&mut self) -> Vec<u8> {
        let mut lines = std::mem::take(&mut self.lines);
        if std::mem::take(&mut self.is_cut) {
            lines.insert(0, CUT_HINT.to_vec());
        }
        self.bytes = 0;
        let mut wire = format!("*{}\r\n", lines.len()).into_bytes();
        for line in lines {
            wire.push(b'+');
            wire.extend(line.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
            wire.extend_from_slice(b"\r\n");
        }
        wire
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_status_replies_on_one_line_each() {
        let mut log = Log::default();
        log.add(b"a\r\nb".to_vec());
        log.must(b"c".to_vec());
        assert_eq!(log.take(), b"*2\r\n+a  b\r\n+c\r\n");
        assert_eq!(log.take(), b"*0\r\n");
    }

    #[test]
    fn long_values_are_trimmed_with_one_hint() {
        let mut log = Log::default();
        log.add_trimmed(vec![b'x'; TRIM_BYTES]);
        assert!(!log.hinted);
        log.add_trimmed(vec![b'x'; TRIM_BYTES + 1]);
        log.add_trimmed(vec![b'x'; TRIM_BYTES + 1]);
        let lengths: Vec<usize> = log.lines.iter().map(Vec::len).collect();
        assert_eq!(lengths, [TRIM_BYTES, TRIM_BYTES + 4, TRIMMED_HINT.len(), TRIM_BYTES + 4]);
        log.trim_to(1);
        assert_eq!(log.trims_to(), TRIM_BYTES_MIN);
        log.trim_to(0);
        log.add_trimmed(vec![b'x'; 1 << 16]);
        assert_eq!(log.lines.last().map(Vec::len), Some(1 << 16));
    }

    #[test]
    fn what_a_script_says_is_bounded_and_what_clients_rely_on_comes_all_the_same() {
        let mut log = Log::default();
        (0..100_000).for_each(|_| log.add(vec![b'x'; 100]));
        log.must(b"end".to_vec());
        let wire = log.take();
        assert!(wire.len() < 2 * BYTES_MAX, "{} bytes", wire.len());
        assert!(wire.ends_with(b"+end\r\n"));
        assert!(memchr::memmem::find(&wire, CUT_HINT).is_some());
        log.add(b"more".to_vec());
        assert_eq!(log.take(), b"*1\r\n+more\r\n");
    }
}
