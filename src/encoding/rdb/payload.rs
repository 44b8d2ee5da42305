//! What DUMP replies and RESTORE takes: a value, type byte first, then its version and a
//! checksum of all before it.

use super::input::Input;
use super::value::ValueReader;
use super::write::{Output, ValueWriter};
use super::{NEWEST, Result, TIMED, WRITTEN};
use crate::base::crc::{Crc64, crc64};
use crate::encoding::piece::{Head, Piece};

const CHECKSUM_BYTES: usize = 8;
const VERSION_BYTES: usize = 2;

/// The payload's version is too new, or its checksum is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payload is of a newer version, or its checksum is wrong")]
pub struct WrongFooter;

/// Writes the payload of one value.
pub struct PayloadWriter {
    output: Output<Vec<u8>>,
    value: ValueWriter,
    version: u16,
}

impl PayloadWriter {
    /// Begins the value.
    ///
    /// # Errors
    /// None that memory has.
    pub fn begin(head: &Head) -> Result<Self> {
        let mut output = Output::new(Vec::new(), true);
        output.bytes(&[ValueWriter::kind(head)])?;
        let value = ValueWriter::begin(&mut output, head)?;
        Ok(Self { output, value, version: if head.timed { TIMED } else { WRITTEN } })
    }

    /// The next piece of the value.
    ///
    /// # Errors
    /// When it is not what the head announced.
    pub fn piece(&mut self, piece: &Piece) -> Result<()> {
        self.value.piece(&mut self.output, piece)
    }

    /// The payload, version and checksum included.
    ///
    /// # Errors
    /// When the value is not complete.
    pub fn seal(mut self) -> Result<Vec<u8>> {
        self.value.finish(&mut self.output)?;
        let mut bytes = self.output.into_inner();
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&crc64(&bytes).to_le_bytes());
        Ok(bytes)
    }
}

/// Reads the payload of one value: its head, its pieces, its end.
pub struct PayloadReader<'a> {
    input: Input<&'a [u8]>,
    state: State,
}

enum State {
    Begin,
    Value(ValueReader),
    Done,
}

impl<'a> PayloadReader<'a> {
    /// Checks version and checksum.
    ///
    /// # Errors
    /// When either is wrong.
    pub fn open(payload: &'a [u8]) -> Result<Self, WrongFooter> {
        let (summed, checksum) = payload.split_last_chunk::<CHECKSUM_BYTES>().ok_or(WrongFooter)?;
        let (value, version) = summed.split_last_chunk::<VERSION_BYTES>().ok_or(WrongFooter)?;
        let mut computed = Crc64::new();
        computed.update(summed);
        if u32::from(u16::from_le_bytes(*version)) > NEWEST || computed.value() != u64::from_le_bytes(*checksum) {
            return Err(WrongFooter);
        }
        Ok(Self { input: Input::new(value), state: State::Begin })
    }

    /// The next piece; `None` when the value is complete.
    ///
    /// # Errors
    /// When the bytes are not a value.
    #[expect(clippy::should_implement_trait, reason = "fallible")]
    pub fn next(&mut self) -> Result<Option<Piece>> {
        match &mut self.state {
            State::Begin => {
                let kind = self.input.byte()?;
                let (value, head) = ValueReader::begin(&mut self.input, kind)?;
                self.state = State::Value(value);
                Ok(Some(Piece::Key(head)))
            }
            State::Value(value) => match value.next(&mut self.input)? {
                Some(piece) => Ok(Some(piece)),
                None => {
                    self.state = State::Done;
                    Ok(Some(Piece::End))
                }
            },
            State::Done => Ok(None),
        }
    }
}
