//! A file, opcode by opcode.

use std::io::Read;

use bytes::Bytes;

use super::input::Input;
use super::value::ValueReader;
use super::{MAGIC, NEWEST, RdbError, Result, opcode};
use crate::encoding::piece::{Head, Piece};

/// Files before this version end without a checksum.
const SUMMED_FROM: u32 = 5;

/// Reads a file, or the body of one.
pub struct Reader<R> {
    input: Input<R>,
    version: u32,
    /// What opcodes said of the key that follows.
    ahead: Ahead,
    value: Option<ValueReader>,
    is_done: bool,
    /// What the file says of its making: `redis-ver` and the like.
    facts: Vec<(Bytes, Bytes)>,
}

#[derive(Debug, Default)]
struct Ahead {
    expire_at_ms: Option<u64>,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads magic and version.
    ///
    /// # Errors
    /// When it is no RDB file, or one that is newer than this codec.
    pub fn open(from: R) -> Result<Self> {
        let mut reader = Self::body(from);
        let magic: [u8; 5] = reader.input.array()?;
        let digits: [u8; 4] = reader.input.array()?;
        if &magic != MAGIC {
            return Err(RdbError::Magic);
        }
        let text = String::from_utf8_lossy(&digits).into_owned();
        let version = text.parse().ok().filter(|version| (1..=NEWEST).contains(version));
        reader.version = version.ok_or(RdbError::Version(text))?;
        Ok(reader)
    }

    /// Begins behind magic and version, where other formats have said that.
    pub fn body(from: R) -> Self {
        Self {
            input: Input::new(from),
            version: NEWEST,
            ahead: Ahead::default(),
            value: None,
            is_done: false,
            facts: Vec::new(),
        }
    }

    /// How many bytes were read.
    pub fn at(&self) -> u64 {
        self.input.at()
    }

    /// What the file said so far of its making.
    pub fn facts(&self) -> &[(Bytes, Bytes)] {
        &self.facts
    }

    /// The next piece; `None` when the file is complete and its checksum right.
    ///
    /// # Errors
    /// When the file is damaged, ends early, or holds what only a module can read.
    #[expect(clippy::should_implement_trait, reason = "fallible")]
    pub fn next(&mut self) -> Result<Option<Piece>> {
        if let Some(value) = &mut self.value {
            if let Some(piece) = value.next(&mut self.input)? {
                return Ok(Some(piece));
            }
            self.value = None;
            return Ok(Some(Piece::End));
        }
        while !self.is_done {
            let code = self.input.byte()?;
            if let Some(piece) = self.step(code)? {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn step(&mut self, code: u8) -> Result<Option<Piece>> {
        let input = &mut self.input;
        match code {
            opcode::SELECT_DB => {
                let number = u32::try_from(input.length()?).map_err(|_| input.damaged("the number of a database"))?;
                return Ok(Some(Piece::Database(number)));
            }
            opcode::FUNCTION2 => return Ok(Some(Piece::Library(input.string()?))),
            opcode::FUNCTION_PRE_GA => return Err(input.damaged("a function of a release candidate of Redis 7.0")),
            opcode::EXPIRE_AT_S => {
                let seconds = u32::from_le_bytes(input.array()?);
                self.ahead.expire_at_ms = Some(u64::from(seconds) * 1000);
            }
            // A deadline before the epoch, which Redis takes, has come as well.
            opcode::EXPIRE_AT_MS => {
                let deadline = input.u64_le()?.cast_signed().max(0);
                self.ahead.expire_at_ms = Some(deadline.unsigned_abs());
            }
            opcode::IDLE => self.ahead.idle_s = Some(input.length()?),
            opcode::FREQUENCY => self.ahead.frequency = Some(input.byte()?),
            opcode::RESIZE_DB => {
                input.length()?;
                input.length()?;
            }
            opcode::SLOT_INFO => {
                for _ in 0..3 {
                    input.length()?;
                }
            }
            opcode::AUX => {
                let fact = (input.string()?, input.string()?);
                self.facts.push(fact);
                // A hostile file may have more of them than memory.
                self.facts.truncate(64);
            }
            opcode::MODULE_AUX => self.skip_module_data()?,
            opcode::EOF => self.end()?,
            kind => return self.key(kind).map(Some),
        }
        Ok(None)
    }

    fn key(&mut self, kind: u8) -> Result<Piece> {
        let name = self.input.string()?;
        let (value, head) = ValueReader::begin(&mut self.input, kind)?;
        self.value = Some(value);
        let Ahead { expire_at_ms, idle_s, frequency } = std::mem::take(&mut self.ahead);
        Ok(Piece::Key(Head { name, expire_at_ms, idle_s, frequency, ..head }))
    }

    /// What a module left beside the keys: it says of every value what it is, so it can be skipped.
    fn skip_module_data(&mut self) -> Result<()> {
        self.input.length()?;
        self.input.length()?;
        self.input.length()?;
        loop {
            match self.input.length()? {
                0 => return Ok(()),
                1 | 2 => {
                    self.input.length()?;
                }
                3 => {
                    self.input.array::<4>()?;
                }
                4 => {
                    self.input.array::<8>()?;
                }
                5 => {
                    self.input.string()?;
                }
                _ => return Err(self.input.damaged("data of a module")),
            }
        }
    }

    fn end(&mut self) -> Result<()> {
        self.is_done = true;
        if self.version < SUMMED_FROM {
            return Ok(());
        }
        let computed = self.input.checksum();
        let found = self.input.u64_le()?;
        // 0 stands for a file written with `rdbchecksum no`.
        if found != 0 && found != computed {
            return Err(RdbError::Checksum { found, computed });
        }
        Ok(())
    }
}
