//! What a script asks of the layers above: to run commands, and whether it may go on. The
//! commands layer implements it; here nobody knows what a command is.

use crate::base::Error;
use crate::resp::{Protocol, Reply};

/// Why a script ends before it has come to its end.
#[derive(Debug)]
pub enum Halt {
    /// It is to be run again from scratch, elsewhere or under other locks.
    Again(Error),
    /// For good; the text is part of the reply.
    Killed(&'static str),
}

impl Halt {
    /// Something of ours broke while the script ran.
    pub fn broken() -> Self {
        Self::Killed("internal error while the script ran")
    }
}

/// The levels of `redis.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// The answer to a command of a script.
#[derive(Debug)]
pub struct Called {
    pub reply: Reply,
    /// It is an error that the statistics of errors know of already.
    pub counted: bool,
    /// It is an error of a command that was not run.
    pub refused: bool,
}

impl From<Reply> for Called {
    fn from(reply: Reply) -> Self {
        Self { reply, counted: false, refused: false }
    }
}

/// On whose behalf a script runs.
pub trait Host {
    /// Runs a command; its own failure is its reply.
    ///
    /// # Errors
    /// When the script is to end instead.
    fn call(&mut self, words: &[&[u8]], protocol: Protocol) -> Result<Called, Halt>;
    /// Whether the user may run this; `None` if there is no such command.
    fn may_run(&mut self, words: &[&[u8]]) -> Option<bool>;
    /// Says something in the server's log.
    fn log(&mut self, level: LogLevel, text: &[u8]);
    /// Whether copies of the data are to get what follows.
    fn set_replication(&mut self, on: bool);
    /// Called every now and then while Lua runs.
    ///
    /// # Errors
    /// When the script is to end.
    fn tick(&mut self) -> Result<(), Halt>;
}
