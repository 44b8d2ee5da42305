//! Numbers as Redis reads and prints them: strict integers, `strtod` doubles,
//! and the long doubles of INCRBYFLOAT. Bytes in, values out and back; pure.
//!
//! | file | owns |
//! | --- | --- |
//! | `integer` | i64 and u64, strict and in the manner of `strtoull` |
//! | `double` | f64: `strtod` grammar in, shortest digits out |
//! | `long_double` | the C `long double`, behind the one unsafe door of this layer |
//! | `text` | the small buffer that a printed number lives in |

mod double;
mod integer;
mod long_double;
mod text;

pub use double::{format_double, parse_double, parse_double_lenient};
pub use integer::{format_i64, format_u64, parse_i64, parse_u64, parse_u64_lenient};
pub use long_double::LongDouble;
pub use text::NumberText;

/// The white space of C's `isspace` in the "C" locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
