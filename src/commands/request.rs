//! The arguments of one request, as a handler reads them: in order, with the conversions
//! and exact errors that Redis' commands share.

use crate::base::number::parse_i64;
use crate::base::{ClientError, Result};

/// Arguments behind the command's name (and subcommand's), read from the front.
#[derive(Debug, Clone)]
pub struct Args<'a> {
    all: &'a [&'a [u8]],
    at: usize,
}

impl<'a> Args<'a> {
    /// The arguments of a request from position `at` on; `all` starts with the name.
    pub fn new(all: &'a [&'a [u8]], at: usize) -> Self {
        Self { all, at: at.min(all.len()) }
    }

    /// The whole request, name included.
    pub fn all(&self) -> &'a [&'a [u8]] {
        self.all
    }

    /// How many are left.
    pub fn remaining(&self) -> usize {
        self.all.len() - self.at
    }

    /// Whether none are left.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The next one.
    ///
    /// # Errors
    /// A syntax error when there is none.
    #[expect(clippy::should_implement_trait, reason = "fallible: there may be none")]
    pub fn next(&mut self) -> Result<&'a [u8]> {
        let arg = self.all.get(self.at).ok_or(ClientError::Syntax)?;
        self.at += 1;
        Ok(arg)
    }

    /// The next one, if there is one.
    pub fn next_if_any(&mut self) -> Option<&'a [u8]> {
        let arg = self.all.get(self.at)?;
        self.at += 1;
        Some(arg)
    }

    /// The next one, left where it is.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.all.get(self.at).copied()
    }

    /// The next one as a key.
    ///
    /// # Errors
    /// A syntax error when there is none.
    pub fn key(&mut self) -> Result<&'a [u8]> {
        self.next()
    }

    /// The next one as a signed integer.
    ///
    /// # Errors
    /// `ERR value is not an integer or out of range`.
    pub fn integer(&mut self) -> Result<i64> {
        Ok(parse_i64(self.next()?).ok_or(ClientError::NotInteger)?)
    }

    /// Consumes the next one if it is this word, whatever its case.
    pub fn accept(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        self.at += usize::from(found);
        found
    }

    /// All that are left.
    pub fn rest(&mut self) -> &'a [&'a [u8]] {
        let rest = self.all.get(self.at..).unwrap_or_default();
        self.at = self.all.len();
        rest
    }

    /// The next `count`.
    ///
    /// # Errors
    /// A syntax error when fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [&'a [u8]]> {
        let end = self.at.checked_add(count).ok_or(ClientError::Syntax)?;
        let taken = self.all.get(self.at..end).ok_or(ClientError::Syntax)?;
        self.at = end;
        Ok(taken)
    }

    /// Fails unless all were read.
    ///
    /// # Errors
    /// A syntax error when some are left.
    pub fn finish(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(ClientError::Syntax.into()) }
    }
}
