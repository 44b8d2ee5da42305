//! What a server sends that is no reply: messages, invalidations, a monitor's lines. One
//! [`Push`] is encoded once and shared by all who get it: RESP2 and RESP3 spell it alike but for
//! the first byte, which whoever writes it out puts right.

use bytes::Bytes;

use super::{Output, Protocol, Reply, write};

/// Bytes on their way to a client that did not ask for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    bytes: Bytes,
    /// The first byte is the marker of a push, `*` to RESP2.
    marked: bool,
}

impl Push {
    /// A push of these elements; in RESP2 an array of the same. None of them may be spelled
    /// differently by the two protocols.
    pub fn new(elements: Vec<Reply>) -> Self {
        Self { bytes: encoded(&Reply::Push(elements), Protocol::Resp3), marked: true }
    }

    /// Anything else, as it goes to clients of one protocol.
    pub fn of(reply: &Reply, protocol: Protocol) -> Self {
        Self { bytes: encoded(reply, protocol), marked: false }
    }

    /// Bytes that are as they go out, whatever the protocol.
    pub fn raw(bytes: Bytes) -> Self {
        Self { bytes, marked: false }
    }

    /// How many bytes go out.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing goes out.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends it in the given protocol.
    pub fn write(&self, protocol: Protocol, out: &mut impl Output) {
        match self.bytes.split_first() {
            Some((_, rest)) if self.marked && protocol == Protocol::Resp2 => {
                out.put(b"*");
                out.put(rest);
            }
            _ => out.put(&self.bytes),
        }
    }
}

fn encoded(reply: &Reply, protocol: Protocol) -> Bytes {
    let mut out = Vec::new();
    write(reply, protocol, &mut out);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(push: &Push, protocol: Protocol) -> String {
        let mut out = Vec::new();
        push.write(protocol, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn both_protocols_get_their_own_marker() {
        let push = Push::new(vec![Reply::Static("message"), Reply::bulk("a")]);
        assert_eq!(written(&push, Protocol::Resp3), ">2\r\n$7\r\nmessage\r\n$1\r\na\r\n");
        assert_eq!(written(&push, Protocol::Resp2), "*2\r\n$7\r\nmessage\r\n$1\r\na\r\n");
    }

    #[test]
    fn a_line_stays_as_it_is() {
        let push = Push::of(&Reply::simple("0.1 \"PING\""), Protocol::Resp2);
        assert_eq!(written(&push, Protocol::Resp2), "+0.1 \"PING\"\r\n");
        assert_eq!(written(&push, Protocol::Resp3), "+0.1 \"PING\"\r\n");
    }
}
