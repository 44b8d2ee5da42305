//! RDB written: the plain encodings that redis-server 7.0 reads, piece by piece.

use std::io::Write;

use super::stream::StreamWriter;
use super::{MAGIC, RdbError, Result, WRITTEN, kind, length, opcode};
use crate::base::crc::Crc64;
use crate::base::number::parse_i64;
use crate::encoding::lzf;
use crate::encoding::piece::{CHUNK_BYTES, Head, Piece};
use crate::encoding::record::Type;

/// The longest text that may be an integer written in its stead.
const LONGEST_INTEGER: usize = 11;

/// Bytes on their way out, summed up for the checksum.
pub(super) struct Output<W> {
    to: W,
    checksum: Crc64,
    written: u64,
    compress: bool,
}

impl<W: Write> Output<W> {
    /// Gives back where it was written to.
    pub fn into_inner(self) -> W {
        self.to
    }

    pub fn new(to: W, compress: bool) -> Self {
        Self { to, checksum: Crc64::new(), written: 0, compress }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes)?;
        self.checksum.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    pub fn length(&mut self, length: u64) -> Result<()> {
        match length {
            0..=0x3f => self.bytes(&[length as u8]),
            0x40..=0x3fff => self.bytes(&(0x4000 | length as u16).to_be_bytes()),
            _ if u32::try_from(length).is_ok() => {
                self.bytes(&[length::BITS_32])?;
                self.bytes(&(length as u32).to_be_bytes())
            }
            _ => {
                self.bytes(&[length::BITS_64])?;
                self.bytes(&length.to_be_bytes())
            }
        }
    }

    /// A string as it is.
    pub fn raw_string(&mut self, text: &[u8]) -> Result<()> {
        self.length(text.len() as u64)?;
        self.bytes(text)
    }

    /// A string in the shortest way there is.
    pub fn string(&mut self, text: &[u8]) -> Result<()> {
        if text.len() <= LONGEST_INTEGER
            && let Some(number) = parse_i64(text)
            && self.integer(number)?
        {
            return Ok(());
        }
        if self.compress
            && text.len() <= CHUNK_BYTES
            && let Some(compressed) = lzf::compress(text)
        {
            self.bytes(&[length::ENCODED << 6 | length::LZF])?;
            self.length(compressed.len() as u64)?;
            self.length(text.len() as u64)?;
            return self.bytes(&compressed);
        }
        self.raw_string(text)
    }

    /// An integer of up to 32 bits; says whether it was one.
    fn integer(&mut self, number: i64) -> Result<bool> {
        let encoded = |width: u8| length::ENCODED << 6 | width;
        if let Ok(number) = i8::try_from(number) {
            let [byte] = number.to_le_bytes();
            self.bytes(&[encoded(length::INT_8), byte])?;
        } else if let Ok(number) = i16::try_from(number) {
            self.bytes(&[encoded(length::INT_16)])?;
            self.bytes(&number.to_le_bytes())?;
        } else if let Ok(number) = i32::try_from(number) {
            self.bytes(&[encoded(length::INT_32)])?;
            self.bytes(&number.to_le_bytes())?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Pieces that do not follow from what was announced.
    pub fn misfit(&self) -> RdbError {
        RdbError::Damaged { at: self.written, what: "a value does not have the elements its key announced" }
    }
}

/// Writes one value.
pub struct ValueWriter(State);

enum State {
    Text { left: u64, length: u64 },
    Counted { kind: Type, left: u64, from_ms: Option<u64> },
    Stream(Box<StreamWriter>),
}

impl ValueWriter {
    /// The type byte of a value.
    pub(super) fn kind(head: &Head) -> u8 {
        match head.kind {
            Type::String => kind::STRING,
            Type::List => kind::LIST,
            Type::Set => kind::SET,
            Type::SortedSet => kind::ZSET_2,
            Type::Hash if head.timed => kind::HASH_METADATA,
            Type::Hash => kind::HASH,
            Type::Stream => kind::STREAM_LISTPACKS_2,
        }
    }

    /// Begins a value, behind its type byte and name.
    pub(super) fn begin<W: Write>(output: &mut Output<W>, head: &Head) -> Result<Self> {
        Ok(Self(match head.kind {
            Type::String => {
                if head.count > CHUNK_BYTES as u64 || head.count == 0 {
                    output.length(head.count)?;
                }
                State::Text { left: head.count, length: head.count }
            }
            Type::Stream => State::Stream(Box::new(StreamWriter::begin(head.count))),
            kind => {
                let from_ms = head.timed.then_some(1);
                if let Some(from_ms) = from_ms {
                    // Deadlines are counted from the first millisecond, so the earliest need not be known.
                    output.bytes(&u64::to_le_bytes(from_ms))?;
                }
                output.length(head.count)?;
                State::Counted { kind, left: head.count, from_ms }
            }
        }))
    }

    pub(super) fn piece<W: Write>(&mut self, output: &mut Output<W>, piece: &Piece) -> Result<()> {
        match (&mut self.0, piece) {
            (State::Text { left, length }, Piece::Bytes(bytes)) => {
                *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| output.misfit())?;
                if *length > CHUNK_BYTES as u64 {
                    return output.bytes(bytes);
                }
                // A short string comes whole, else the misfit shows at the end.
                if *left > 0 {
                    return Err(output.misfit());
                }
                output.string(bytes)
            }
            (State::Stream(stream), piece) => stream.piece(output, piece),
            (State::Counted { kind, left, from_ms }, piece) => {
                *left = left.checked_sub(1).ok_or_else(|| output.misfit())?;
                write_element(output, *kind, *from_ms, piece)
            }
            (State::Text { .. }, _) => Err(output.misfit()),
        }
    }

    pub(super) fn finish<W: Write>(self, output: &mut Output<W>) -> Result<()> {
        let complete = match &self.0 {
            State::Text { left, .. } | State::Counted { left, .. } => *left == 0,
            State::Stream(stream) => stream.is_complete(),
        };
        if complete { Ok(()) } else { Err(output.misfit()) }
    }
}

fn write_element<W: Write>(output: &mut Output<W>, kind: Type, from_ms: Option<u64>, piece: &Piece) -> Result<()> {
    match (kind, piece) {
        (Type::List, Piece::Item(text)) | (Type::Set, Piece::Member(text)) => output.string(text),
        (Type::SortedSet, Piece::Scored { member, score }) => {
            output.string(member)?;
            output.bytes(&score.to_le_bytes())
        }
        (Type::Hash, Piece::Field { name, value, expire_at_ms }) => {
            match (from_ms, expire_at_ms) {
                (Some(from_ms), deadline) => {
                    output.length(deadline.map_or(0, |deadline| deadline.saturating_sub(from_ms) + 1))?;
                }
                (None, None) => {}
                (None, Some(_)) => return Err(output.misfit()),
            }
            output.string(name)?;
            output.string(value)
        }
        _ => Err(output.misfit()),
    }
}

/// Writes a file, or the body of one.
pub struct Writer<W> {
    output: Output<W>,
    value: Option<ValueWriter>,
}

impl<W: Write> Writer<W> {
    /// A writer that has written nothing.
    pub fn new(to: W, compress: bool) -> Self {
        Self { output: Output::new(to, compress), value: None }
    }

    /// Magic and version, and what files say of their making.
    pub fn begin(&mut self, facts: &[(&str, String)]) -> Result<()> {
        self.output.bytes(MAGIC)?;
        self.output.bytes(format!("{WRITTEN:04}").as_bytes())?;
        for (name, value) in facts {
            self.output.bytes(&[opcode::AUX])?;
            self.output.string(name.as_bytes())?;
            self.output.string(value.as_bytes())?;
        }
        Ok(())
    }

    /// The next piece.
    pub fn piece(&mut self, piece: &Piece) -> Result<()> {
        match piece {
            Piece::Database(number) => {
                self.output.bytes(&[opcode::SELECT_DB])?;
                self.output.length((*number).into())
            }
            Piece::Library(code) => {
                self.output.bytes(&[opcode::FUNCTION2])?;
                self.output.string(code)
            }
            Piece::Key(head) => self.key(head),
            Piece::End => match self.value.take() {
                Some(value) => value.finish(&mut self.output),
                None => Err(self.output.misfit()),
            },
            piece => match &mut self.value {
                Some(value) => value.piece(&mut self.output, piece),
                None => Err(self.output.misfit()),
            },
        }
    }

    fn key(&mut self, head: &Head) -> Result<()> {
        if self.value.is_some() {
            return Err(self.output.misfit());
        }
        if let Some(deadline) = head.expire_at_ms {
            self.output.bytes(&[opcode::EXPIRE_AT_MS])?;
            self.output.bytes(&deadline.to_le_bytes())?;
        }
        if let Some(idle) = head.idle_s {
            self.output.bytes(&[opcode::IDLE])?;
            self.output.length(idle)?;
        } else if let Some(frequency) = head.frequency {
            self.output.bytes(&[opcode::FREQUENCY, frequency])?;
        }
        self.output.bytes(&[ValueWriter::kind(head)])?;
        self.output.string(&head.name)?;
        self.value = Some(ValueWriter::begin(&mut self.output, head)?);
        Ok(())
    }

    /// How many bytes were written so far.
    pub fn written(&self) -> u64 {
        self.output.written
    }

    /// The end of the file and its checksum; gives back where it was written to.
    pub fn finish(mut self) -> Result<W> {
        if self.value.is_some() {
            return Err(self.output.misfit());
        }
        self.output.bytes(&[opcode::EOF])?;
        let checksum = self.output.checksum.value();
        self.output.to.write_all(&checksum.to_le_bytes())?;
        self.output.to.flush()?;
        Ok(self.output.to)
    }
}
