//! Commands run without a connection: an append-only file, or a script of commands, against a
//! database that no server has open.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;

use super::control::{Controller, sync_mode};
use super::start::{self, StartError};
use crate::base::{Error, Result, clock};
use crate::commands::{Instance, Next, Session};
use crate::config::{AppendFsync, Config, Settings};
use crate::keyspace::{Locks, Store};
use crate::resp::{Reply, encode_command, parse_reply};
use crate::scripting::read_metadata;
use crate::storage::durability::Syncer;
use crate::storage::{Engine, Tier};

/// What commands were answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    pub commands: u64,
    pub refused: u64,
    /// The first of the refusals.
    pub first_refusal: Option<String>,
}

/// What became of a function library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LibraryLoad {
    Loaded,
    /// There is one of its name, which stayed.
    AlreadyThere,
}

/// A database opened for commands, and the one client that gives them.
pub struct Replay {
    engine: Arc<dyn Engine>,
    store: Arc<Store>,
    syncer: Arc<Syncer<dyn Engine>>,
    settings: Arc<Settings>,
    instance: Arc<Instance>,
    session: Session,
    input: BytesMut,
    output: BytesMut,
    answers: Answers,
}

impl Replay {
    /// Opens the database of a configuration.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(config: Config) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let settings = config.snapshot();
        let (engine, store) = start::open(&settings)?;
        let syncer = Arc::new(Syncer::start(engine.clone(), sync_mode(AppendFsync::No))?);
        let controller = Arc::new(Controller::new(syncer.clone(), engine.clone(), 0));
        let instance = start::assemble(config, store.clone(), syncer.clone(), controller)?;
        let client = instance.observe.clients.enter(String::new(), String::new(), true, -1, clock::now_ms());
        let session = Session::new(instance.clone(), client);
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Ok(Self { engine, store, syncer, settings, instance, session, input, output, answers: Answers::default() })
    }

    /// The store that the commands work on.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// What the database was opened with.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.settings.dir.path()
    }

    /// What was answered so far.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Runs what is complete of the commands in these bytes and those before.
    ///
    /// # Errors
    /// When the bytes are no commands.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.input.extend_from_slice(bytes);
        loop {
            let next = self.session.run(&mut self.input, &mut self.output, Tier::Disk);
            self.read_answers();
            match next {
                Next::Read { .. } => return Ok(()),
                Next::Send | Next::Offload | Next::OffloadScript | Next::Pause { .. } => {}
                Next::Lock(wanted) => {
                    let locks = Locks::acquire_waiting(self.store.locks(), wanted);
                    self.session.adopt(locks);
                }
                Next::Block { .. } => return Err(Error::client("ERR a command that waits has no place in a script")),
                Next::Close | Next::FullSync(_) | Next::Debug(_) => {
                    return Err(Error::client("ERR the script is not one of commands, or ends the server"));
                }
            }
        }
    }

    /// Loads a function library by the command for it, which runs its code; that does not count among the
    /// answers. One of the same name stays unless the new one `replaces` it.
    ///
    /// # Errors
    /// Why the library was refused.
    pub fn load_library(&mut self, code: &[u8], replaces: bool) -> Result<LibraryLoad> {
        if !replaces
            && let Ok(metadata) = read_metadata(code)
            && self.instance.scripts.libraries().get(&metadata.name).is_some()
        {
            return Ok(LibraryLoad::AlreadyThere);
        }
        let words: &[&[u8]] =
            if replaces { &[b"FUNCTION", b"LOAD", b"REPLACE", code] } else { &[b"FUNCTION", b"LOAD", code] };
        let counted = std::mem::take(&mut self.answers);
        let ran = self.feed(&encode_command(words));
        let answers = std::mem::replace(&mut self.answers, counted);
        ran?;
        answers.first_refusal.map_or(Ok(LibraryLoad::Loaded), |why| Err(Error::client(why)))
    }

    /// Bytes that wait for the rest of their command.
    pub fn unfinished_bytes(&self) -> usize {
        self.input.len()
    }

    fn read_answers(&mut self) {
        let mut at = 0;
        while let Ok(Some((reply, length))) = parse_reply(self.output.get(at..).unwrap_or_default()) {
            at += length;
            self.answers.commands += 1;
            // Redis marks moments in its log by lines that begin with #.
            if let Reply::Error(text) = &reply
                && !text.starts_with("ERR unknown command '#")
            {
                self.answers.refused += 1;
                self.answers.first_refusal.get_or_insert_with(|| text.to_string());
            }
        }
        self.output.clear();
    }

    /// Gives back the space of what was replaced and closes the database.
    ///
    /// # Errors
    /// When the last writes could not be made safe.
    pub fn close(self) -> Result<Answers> {
        let Self { engine, store, syncer, instance, session, answers, .. } = self;
        drop((session, instance));
        while store.reclaim_step()? {}
        syncer.stop();
        store.close()?;
        engine.close()?;
        Ok(answers)
    }
}
