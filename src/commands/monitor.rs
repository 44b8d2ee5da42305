//! MONITOR: every command that is run, as one line to each who watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::command::{Command, Flags, Group, flags};
use super::context::Context;
use super::outcome::Outcome;
use super::request::Args;
use super::secrets;
use super::session::SessionState;
use super::table::Entry;
use crate::base::quoting::quote_into;
use crate::base::{Error, Result};
use crate::keyspace::DatabaseIndex;
use crate::observe::Client;
use crate::resp::{Protocol, Push, Reply};

pub static COMMANDS: &[Command] = &[Command {
    name: "MONITOR",
    summary: "Shows all commands of all clients as they are run.",
    since: "1.0.0",
    flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
    run: monitor,
    ..Command::of(Group::Server)
}];

/// Those who watch.
#[derive(Default)]
pub struct Monitors {
    clients: RwLock<Vec<Arc<Client>>>,
    count: AtomicUsize,
}

/// Where a command came from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Client(&'a Client),
    Script,
}

impl Monitors {
    /// Whether nobody watches.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn add(&self, client: &Arc<Client>) {
        let mut clients = self.clients.write();
        clients.push(client.clone());
        self.count.store(clients.len(), Ordering::Release);
    }

    fn remove(&self, client: &Arc<Client>) {
        let mut clients = self.clients.write();
        clients.retain(|other| !Arc::ptr_eq(other, client));
        self.count.store(clients.len(), Ordering::Release);
    }

    /// Shows a command that was run, unless it is of a kind that is not shown.
    pub fn show(&self, now_us: u64, db: DatabaseIndex, source: Source<'_>, found: Entry, args: &[&[u8]]) {
        if !found.command.flags.intersects(Flags::SKIP_MONITOR | Flags::ADMIN) {
            self.show_script(now_us, db, source, found, args);
        }
    }

    /// Shows the call of a script, which is not shown as other commands are: it comes before what it runs.
    pub fn show_script(&self, now_us: u64, db: DatabaseIndex, source: Source<'_>, found: Entry, args: &[&[u8]]) {
        if self.is_empty() {
            return;
        }
        let line = line(now_us, db, source, &secrets::shown(found, args));
        let push = Push::of(&Reply::simple(line), Protocol::Resp2);
        self.clients.read().iter().for_each(|client| client.push(push.clone()));
    }
}

fn line(now_us: u64, db: DatabaseIndex, source: Source<'_>, words: &[&[u8]]) -> String {
    let origin = match source {
        Source::Script => "lua".into(),
        Source::Client(client) => match client.address.strip_suffix(":0") {
            Some(path) => format!("unix:{path}"),
            None => client.address.clone(),
        },
    };
    let mut line = format!("{}.{:06} [{db} {origin}]", now_us / 1_000_000, now_us % 1_000_000).into_bytes();
    for word in words {
        line.push(b' ');
        quote_into(&mut line, word);
    }
    String::from_utf8_lossy(&line).into_owned()
}

impl SessionState {
    /// Watches no longer.
    pub(super) fn stop_monitoring(&self, monitors: &Monitors) {
        if self.client.monitoring.swap(false, Ordering::Relaxed) {
            monitors.remove(&self.client);
        }
    }
}

fn monitor(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    if context.in_transaction() {
        return Err(Error::client("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    let client = &context.session.client;
    if client.monitoring.swap(true, Ordering::Relaxed) {
        return Ok(Reply::Silent.into());
    }
    context.instance.monitors.add(client);
    Ok(Outcome::ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_quoted_as_redis_does() {
        let words: [&[u8]; 3] = [b"SET", b"a\"b", b"\x01\n\xff"];
        let line = line(1_339_518_083_107_412, 3, Source::Script, &words);
        assert_eq!(line, r#"1339518083.107412 [3 lua] "SET" "a\"b" "\x01\n\xff""#);
    }
}
