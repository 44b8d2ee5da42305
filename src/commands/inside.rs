//! Commands that run inside another one, EXEC or a script: same transaction, nothing blocks,
//! and what they do to the statistics is kept until it is certain that the whole will not be run again.

use bytes::Bytes;

use super::command::Flags;
use super::context::{Context, Within};
use super::dispatch::{error_reply, owned, sample_keys};
use super::outcome::Outcome;
use super::request::Args;
use super::secrets;
use super::table::Entry;
use crate::base::{Error, Result, clock};
use crate::keyspace::{DatabaseIndex, Savepoint, Tx};
use crate::observe::CommandEnd;
use crate::resp::Reply;

/// So much is kept; a script that runs more commands is not held back by what it might still do.
const KEPT: usize = 4096;

/// What statistics are to hear of.
#[derive(Debug, Default)]
pub(super) struct Tally {
    ended: Vec<CommandEnd>,
    rejected: Vec<usize>,
    errors: Vec<String>,
    /// Slow commands of EXEC, which is not logged itself, with their words.
    slow: Vec<(CommandEnd, Vec<Bytes>)>,
    logs_slow: bool,
}

impl Tally {
    /// A tally whose commands go into the slow log one by one.
    pub fn logging_slow() -> Self {
        Self { logs_slow: true, ..Self::default() }
    }

    /// A command was refused before it ran.
    pub fn reject(&mut self, context: &Context<'_>, entry: Entry, error: &Error) {
        self.bound(context);
        self.rejected.push(entry.index);
        self.errors.push(error.to_string());
    }

    /// Tells what was kept if it has become too much.
    fn bound(&mut self, context: &Context<'_>) {
        if self.ended.len() + self.rejected.len() >= KEPT {
            let next = Self { logs_slow: self.logs_slow, ..Self::default() };
            std::mem::replace(self, next).tell(context, false);
        }
    }

    /// The whole has its reply: statistics are told. `last_error_is_reply`: the last error is what the
    /// whole answers, and so will be counted by whoever answers.
    pub fn tell(mut self, context: &Context<'_>, last_error_is_reply: bool) {
        if last_error_is_reply {
            self.errors.pop();
        }
        let stats = &context.instance.observe.stats;
        for end in &self.ended {
            stats.ended(end, context.settings.latency_tracking);
        }
        for (end, words) in &self.slow {
            let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
            let most = context.settings.slowlog_max_len;
            context.instance.observe.log_slow(end, &context.session.client, &words, most);
        }
        self.rejected.iter().for_each(|command| stats.rejected(*command));
        self.errors.iter().for_each(|text| context.instance.observe.note_error_text(text));
    }
}

/// A command has run: what it changed is told to copies as the command itself, unless the handler
/// has said something else.
pub(super) fn tell_effect(tx: &mut Tx, db: DatabaseIndex, entry: Entry, args: &[&[u8]], since: Savepoint) {
    if tx.wants_effects() && entry.command.flags.contains(Flags::WRITE) && tx.owes_effect(since) {
        tx.push_effect(db, owned(args));
    }
}

/// Runs one command inside another. Its own failure is its reply; only a re-run of the whole
/// comes out as an error.
pub(super) fn run_inside(
    context: &mut Context<'_>,
    entry: Entry,
    args: &[&[u8]],
    within: Within,
    tally: &mut Tally,
) -> Result<Reply> {
    tally.bound(context);
    let savepoint = context.tx.savepoint();
    context.tx.begin_effects();
    let (began_us, started_us) = (clock::now_us(), clock::monotonic_us());
    context.session.note_looks(context.tx, entry, args);
    let db = context.session.db;
    let mut inner = Context {
        tx: context.tx,
        session: context.session,
        instance: context.instance,
        settings: context.settings,
        entry,
        within,
        called_for: &[],
    };
    inner.count_uses();
    let reply = match (entry.command.run)(&mut inner, &mut Args::new(args, entry.words)) {
        Ok(Outcome::Reply(reply) | Outcome::Close(reply) | Outcome::FullSync(reply, _)) => reply,
        Ok(Outcome::Wait(wait)) => wait.on_timeout,
        // Only a client's own EVAL is debugged.
        Ok(Outcome::Debug(_)) => Reply::Nil,
        Err(error) if error.is_rerun() => return Err(error),
        Err(error) => {
            context.tx.rollback(savepoint);
            error_reply(&error)
        }
    };
    tell_effect(context.tx, db, entry, args, savepoint);
    if let Reply::Error(text) = &reply {
        tally.errors.push(text.to_string());
    }
    let end = CommandEnd {
        command: entry.index,
        started_us: began_us,
        duration_us: clock::monotonic_us().saturating_sub(started_us),
        failed: reply.is_error(),
        loggable: tally.logs_slow && !entry.command.flags.contains(Flags::SKIP_SLOWLOG),
        fast: false,
    };
    if end.is_slow(context.settings) {
        tally.slow.push((end, owned(&secrets::shown(entry, args))));
    }
    tally.ended.push(end);
    sample_keys(context.instance, db, entry, args);
    Ok(reply)
}
