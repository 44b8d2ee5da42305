//! [`ScriptHost`]: what a script may do. It runs the script's commands in the session's transaction, as
//! EXEC does, and decides which locks that takes.
//!
//! A script begins without locks. As long as it only reads, its reads are validated in the end, as
//! those of any reader. At its first write it takes the locks of all that it has read, of its
//! declared keys and of the key to be written, if they are free and nothing has changed; from
//! then on it takes the lock of each key before it looks. A lock that is not free ends the run with
//! [`Error::Undeclared`]: `dispatch` waits for the locks of the declared keys, and if those are not
//! enough for all there are, and runs the script again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::acl::{Denial, Place};
use crate::base::{Error, Result, clock};
use crate::commands::command::{Flags, flags};
use crate::commands::context::{Context, Within};
use crate::commands::dispatch::owned;
use crate::commands::inside::{Tally, run_inside};
use crate::commands::monitor::Source;
use crate::commands::permission;
use crate::commands::table::Entry;
use crate::keyspace::{DatabaseIndex, Stripe, Stripes, Used, Wanted};
use crate::resp::{Protocol, Reply};
use crate::scripting::running::Running;
use crate::scripting::{Called, Halt, Host, LogLevel};
use crate::storage::Tier;

/// How long a script may run on a network thread.
const NETWORK_THREAD_US: u64 = 1000;
/// Commands between two looks at the clock.
const CALLS_PER_LOOK: u32 = 64;
/// Commands of one run that MONITOR shows, and refusals that ACL LOG may hear of.
const SHOWN_MAX: usize = 4096;
/// Lines that one run may log.
const LOG_LINES_MAX: usize = 1000;

/// What a script may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    pub writes: bool,
}

/// A script's way to the commands.
pub(super) struct ScriptHost<'h, 'c> {
    context: &'h mut Context<'c>,
    rights: Rights,
    /// The locks of the keys that the call declares.
    declared: Stripes,
    /// On the I/O pool: what others see of this script.
    running: Option<Arc<Running>>,
    started_us: u64,
    calls: u32,
    /// It has written, so everything it looks at is locked first.
    locks: bool,
    /// It runs over a draft, which needs no locks, and has used these keys of it.
    drafted: Option<Stripes>,
    /// It has looked at keys that nobody named.
    scanned: bool,
    /// What it writes stays here (redis.set_repl).
    keeps_writes: bool,
    /// The server stops, so that it came to no end.
    cut_short: bool,
    notes: Notes,
}

/// What is to be told when it is certain that the script is not run again.
#[derive(Default)]
pub(super) struct Notes {
    tally: Tally,
    log: Vec<(LogLevel, Vec<u8>)>,
    denials: Vec<(Entry, Vec<Bytes>, Denial)>,
    /// What MONITOR shows, if anybody watches.
    ran: Vec<(Entry, Vec<Bytes>, DatabaseIndex)>,
}

impl Notes {
    /// `call`: the words of the command that called the script. `counted`: the script's own reply is an
    /// error that is among those noted here.
    pub fn tell(self, context: &Context<'_>, call: &[&[u8]], counted: bool) {
        self.tally.tell(context, counted);
        for (entry, words, denial) in self.denials {
            let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
            permission::note_denial(context.instance, context.session, entry, &words, denial, Place::Script);
        }
        // Who watches sees the script before its commands.
        let (monitors, source) = (&context.instance.monitors, Source::Client(&context.session.client));
        monitors.show_script(clock::now_us(), context.session.db, source, context.entry, call);
        for (entry, words, db) in self.ran {
            let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
            monitors.show(clock::now_us(), db, Source::Script, entry, &words);
        }
        for (level, text) in self.log {
            let text = String::from_utf8_lossy(&text);
            match level {
                LogLevel::Debug => tracing::debug!("script: {text}"),
                LogLevel::Verbose | LogLevel::Notice => tracing::info!("script: {text}"),
                LogLevel::Warning => tracing::warn!("script: {text}"),
            }
        }
    }
}

impl<'h, 'c> ScriptHost<'h, 'c> {
    /// For a call of these words.
    pub fn new(context: &'h mut Context<'c>, rights: Rights, running: Option<Arc<Running>>, call: &[&[u8]]) -> Self {
        let mut declared = Stripes::new();
        context.entry.for_each_key(call, |key, _| declared.push(Stripe::of(key)));
        Self {
            context,
            rights,
            declared,
            running,
            started_us: clock::monotonic_us(),
            calls: 0,
            locks: false,
            drafted: None,
            scanned: false,
            keeps_writes: false,
            cut_short: false,
            notes: Notes::default(),
        }
    }

    /// For a script that runs over a draft, as [`ScriptHost::new`].
    pub fn of_draft(context: &'h mut Context<'c>, rights: Rights, running: Arc<Running>, call: &[&[u8]]) -> Self {
        let mut host = Self::new(context, rights, Some(running), call);
        host.drafted = Some(Stripes::new());
        host
    }

    /// What a script over a draft has used of it.
    pub fn used(&self) -> Used {
        match &self.drafted {
            Some(stripes) if !self.scanned => Used::Some(stripes.to_vec()),
            _ => Used::All,
        }
    }

    /// Where a script may run for long it holds its locks from the beginning.
    ///
    /// # Errors
    /// `Undeclared` when they are not free.
    pub fn begin(&mut self) -> Result<()> {
        self.context.session.protocol = Protocol::Resp2;
        if self.running.is_some() && self.rights.writes {
            self.take_locks(Stripes::new())?;
        }
        Ok(())
    }

    /// What is left to be told.
    ///
    /// # Errors
    /// When the script came to no end, so that nothing of it may stay.
    pub fn end(self) -> Result<Notes> {
        if self.cut_short { Err(Error::client("ERR the server stops")) } else { Ok(self.notes) }
    }

    /// Takes the locks of what was read, of the declared keys and of some more.
    fn take_locks(&mut self, mut more: Stripes) -> Result<()> {
        more.extend_from_slice(&self.declared);
        if !self.context.tx.lock_what_was_read(more) {
            return Err(Error::Undeclared);
        }
        self.locks = true;
        self.tell_locks();
        Ok(())
    }

    fn tell_locks(&mut self) {
        if let Some(running) = &self.running {
            let locks = self.context.tx.locks();
            running.note_locks(locks.stripes().iter().copied().collect(), locks.is_exclusive());
        }
    }

    /// Sees to the locks that a command needs.
    fn lock_for(&mut self, entry: Entry, words: &[&[u8]]) -> Result<()> {
        let flags = entry.command.flags;
        let scans = flags.intersects(Flags::TOUCHES_ARBITRARY_KEYS | Flags::LONG | Flags::EXCLUSIVE)
            || entry.reads_other_keys();
        if let Some(used) = &mut self.drafted {
            self.scanned |= scans;
            entry.for_each_key(words, |key, _| used.push(Stripe::of(key)));
            return Ok(());
        }
        if !self.rights.writes || self.context.tx.locks().is_exclusive() {
            return Ok(());
        }
        let writes = flags.contains(Flags::WRITE);
        if !writes && !self.locks {
            self.scanned |= scans;
            return Ok(());
        }
        if scans || (writes && self.scanned) {
            // What was scanned before it was locked cannot be trusted any more.
            let all = !self.scanned && self.context.tx.locks().try_extend(&Wanted::All);
            return if all { self.take_locks(Stripes::new()) } else { Err(Error::Undeclared) };
        }
        let mut stripes = Stripes::new();
        entry.for_each_key(words, |key, _| stripes.push(Stripe::of(key)));
        if self.locks && stripes.iter().all(|stripe| self.context.tx.locks().holds(*stripe)) {
            return Ok(());
        }
        self.take_locks(stripes)
    }

    /// Why a command is not for scripts, or not for this one.
    fn refusal(&self, entry: Entry, words: &[&[u8]]) -> Option<&'static str> {
        let flags = entry.command.flags;
        if flags.contains(Flags::NOSCRIPT) && !self.context.instance.scripts_run_all.load(Ordering::Relaxed) {
            return Some("ERR This Redis command is not allowed from script");
        }
        if !entry.accepts(words.len()) {
            return Some("ERR Wrong number of args calling Redis command from script");
        }
        None
    }

    /// What every command of a script has to pass.
    fn gate(&mut self, entry: Entry, words: &[&[u8]]) -> Result<()> {
        if let Err(denial) = self.context.session.may_run(entry, words) {
            if self.notes.denials.len() < SHOWN_MAX {
                self.notes.denials.push((entry, owned(words), denial));
            }
            return Err(Error::client(format!("ERR {}", denial.reply_in_script())));
        }
        let flags = entry.command.flags;
        if !self.rights.writes && flags.intersects(flags!(WRITE | MAY_REPLICATE)) {
            return Err(Error::client("ERR Write commands are not allowed from read-only scripts."));
        }
        self.context.instance.writes_allowed(flags, self.context.settings)
    }

    fn run(&mut self, entry: Entry, words: &[&[u8]]) -> Result<Reply> {
        let flags = entry.command.flags;
        if flags.contains(Flags::LONG) && self.context.tx.tier() == Tier::Memory {
            return Err(Error::NotInMemory);
        }
        self.lock_for(entry, words)?;
        if !self.context.instance.monitors.is_empty() && self.notes.ran.len() < SHOWN_MAX {
            self.notes.ran.push((entry, owned(words), self.context.session.db));
        }
        if !self.locks && self.drafted.is_none() {
            // Without its lock a key is remembered before it is read, so that no change is missed.
            self.context.session.note_reads(&self.context.instance.tracking, entry, words);
        }
        let savepoint = self.context.tx.savepoint();
        let reply = run_inside(self.context, entry, words, Within::Script, &mut self.notes.tally)?;
        if self.keeps_writes {
            self.context.tx.forget_effects(savepoint);
        }
        if flags.contains(Flags::WRITE)
            && let Some(running) = &self.running
        {
            running.note_write();
        }
        Ok(reply)
    }
}

/// The answer to a command that is not run.
fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Called {
    Called { reply: Reply::error(text), counted: false, refused: true }
}

impl Host for ScriptHost<'_, '_> {
    fn call(&mut self, words: &[&[u8]], protocol: Protocol) -> Result<Called, Halt> {
        self.calls += 1;
        if self.calls.is_multiple_of(CALLS_PER_LOOK) {
            self.tick()?;
        }
        let Ok(entry) = self.context.instance.names.resolve(words) else {
            return Ok(refused("ERR Unknown Redis command called from script"));
        };
        if let Some(text) = self.refusal(entry, words) {
            return Ok(refused(text));
        }
        if let Err(error) = self.gate(entry, words) {
            self.notes.tally.reject(self.context, entry, &error);
            return Ok(Called { counted: true, ..refused(error.to_string()) });
        }
        self.context.session.protocol = protocol;
        let reply = self.run(entry, words).map_err(Halt::Again)?;
        Ok(Called { counted: reply.is_error(), reply, refused: false })
    }

    fn may_run(&mut self, words: &[&[u8]]) -> Option<bool> {
        let entry = self.context.instance.names.resolve(words).ok()?;
        Some(self.context.session.may_run(entry, words).is_ok())
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        if self.notes.log.len() < LOG_LINES_MAX {
            self.notes.log.push((level, text.to_vec()));
        }
    }

    fn set_replication(&mut self, on: bool) {
        self.keeps_writes = !on;
    }

    fn tick(&mut self) -> Result<(), Halt> {
        let Some(running) = &self.running else {
            let took_us = clock::monotonic_us().saturating_sub(self.started_us);
            return if took_us > NETWORK_THREAD_US { Err(Halt::Again(Error::NotInMemory)) } else { Ok(()) };
        };
        let stopping = self.context.instance.scripts.running.is_stopping();
        self.cut_short |= stopping;
        if running.is_killed() || stopping {
            return Err(Halt::Killed("Script killed by user with SCRIPT KILL..."));
        }
        // A reader that was overtaken by a writer may never come to an end.
        if self.context.tx.reads_are_consistent() { Ok(()) } else { Err(Halt::Again(Error::Undeclared)) }
    }
}
