//! Replies as one line of text, each kind told apart, for golden scripts and
//! for messages:
//!
//! ```text
//! +OK  -ERR text  :1  "bulk"  $-1  *-1  _  #t  ,1.5  (123  =txt:"verbatim"
//! ["array", :1]  {"map" => "value"}  ~["set"]  >["push"]
//! ```

use super::quoting::quote;
use super::resp::Reply;

/// Strings longer than this are told by length and a checksum.
const STRING_BYTES_MAX: usize = 400;

pub fn render(reply: &Reply) -> String {
    match reply {
        Reply::Simple(text) => format!("+{}", plain(text)),
        Reply::Error(text) => format!("-{}", plain(text)),
        Reply::Integer(value) => format!(":{value}"),
        Reply::Bulk(bytes) if bytes.len() > STRING_BYTES_MAX => {
            format!("\"{}…\" ({} bytes, sum {:08x})", plain(&bytes[..16]), bytes.len(), checksum(bytes))
        }
        Reply::Bulk(bytes) => quote(bytes),
        Reply::NullBulk => "$-1".into(),
        Reply::NullArray => "*-1".into(),
        Reply::Null => "_".into(),
        Reply::Array(elements) => list("[", elements),
        Reply::Set(elements) => list("~[", elements),
        Reply::Push(elements) => list(">[", elements),
        Reply::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{} => {}", render(key), render(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Reply::Double(digits) => format!(",{}", plain(digits)),
        Reply::Boolean(value) => if *value { "#t" } else { "#f" }.into(),
        Reply::BigNumber(digits) => format!("({}", plain(digits)),
        Reply::Verbatim(format, text) => format!("={}:{}", plain(format), quote(text)),
    }
}

fn list(open: &str, elements: &[Reply]) -> String {
    let elements = elements.iter().map(render);
    format!("{open}{}]", elements.collect::<Vec<_>>().join(", "))
}

/// Text without quotes around it; what would break the line is escaped.
fn plain(bytes: &[u8]) -> String {
    let quoted = quote(bytes);
    quoted[1..quoted.len() - 1].replace("\\\"", "\"")
}

/// FNV-1a, enough to see that two long strings differ.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
