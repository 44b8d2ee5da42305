//! Scripts that run for longer: who they are, which locks they hold, and the word to stop. Only
//! scripts off the network threads are entered here; on those none runs for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::keyspace::{Stripes, Wanted};

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A script of EVAL.
    Script,
    /// A function, by name.
    Function(String),
}

impl Kind {
    /// The error for those who cannot wait for its end.
    pub fn busy(&self) -> &'static str {
        match self {
            Self::Script => "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            Self::Function(_) => {
                "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
            }
        }
    }

    fn is_script(&self) -> bool {
        matches!(self, Self::Script)
    }
}

/// The locks of a running script, as far as others have to know.
#[derive(Debug, Default)]
struct Held {
    stripes: Stripes,
    all: bool,
}

/// A script that runs.
#[derive(Debug)]
pub struct Running {
    id: u64,
    pub kind: Kind,
    /// The words of the command that called it.
    pub command: Vec<Bytes>,
    pub since: Instant,
    killed: AtomicBool,
    /// It has written, so that only its own end makes an end of it.
    wrote: AtomicBool,
    held: Mutex<Held>,
}

impl Running {
    /// A script that neither BUSY nor SCRIPT KILL know of.
    pub fn unseen(kind: Kind) -> Self {
        Self::new(0, kind, Vec::new())
    }

    fn new(id: u64, kind: Kind, command: Vec<Bytes>) -> Self {
        Self {
            id,
            kind,
            command,
            since: Instant::now(),
            killed: AtomicBool::new(false),
            wrote: AtomicBool::new(false),
            held: Mutex::default(),
        }
    }

    /// It is to end, whatever it has done.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
    }

    /// It has written.
    pub fn note_write(&self) {
        self.wrote.store(true, Ordering::Release);
    }

    /// It holds these locks.
    pub fn note_locks(&self, stripes: Stripes, all: bool) {
        *self.held.lock() = Held { stripes, all };
    }

    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    fn stands_in_the_way(&self, wanted: &Wanted) -> bool {
        let held = self.held.lock();
        match wanted {
            Wanted::All => held.all || !held.stripes.is_empty(),
            Wanted::Some(stripes) => held.all || stripes.iter().any(|stripe| held.stripes.contains(stripe)),
        }
    }
}

/// A killing that did not happen; the text is the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotKilled(pub &'static str);

const NOT_BUSY: &str = "NOTBUSY No scripts in execution right now.";
const UNKILLABLE: &str = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";

/// A script younger than this is not taken for one that somebody wants to kill.
const YOUNG: Duration = Duration::from_millis(100);

/// All scripts that run.
#[derive(Debug, Default)]
pub struct RunningScripts {
    all: Mutex<Vec<Arc<Running>>>,
    last_id: AtomicU64,
    /// The server stops: scripts end, whatever they have done. None of it is committed.
    stopping: AtomicBool,
}

/// A script's place among the running ones, given up when dropped.
pub struct Place<'a> {
    scripts: &'a RunningScripts,
    pub running: Arc<Running>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.scripts.all.lock().retain(|other| other.id != self.running.id);
    }
}

impl RunningScripts {
    /// A script begins.
    pub fn enter(&self, kind: Kind, command: Vec<Bytes>) -> Place<'_> {
        let running = Arc::new(Running::new(self.last_id.fetch_add(1, Ordering::Relaxed), kind, command));
        self.all.lock().push(running.clone());
        Place { scripts: self, running }
    }

    /// The script that has run for `threshold` and holds one of the wanted locks.
    pub fn in_the_way(&self, wanted: &Wanted, threshold: Duration) -> Option<Arc<Running>> {
        let all = self.all.lock();
        all.iter().find(|one| one.since.elapsed() >= threshold && one.stands_in_the_way(wanted)).cloned()
    }

    /// The script that has run longest.
    pub fn oldest(&self) -> Option<Arc<Running>> {
        self.all.lock().iter().min_by_key(|one| one.since).cloned()
    }

    /// Whether any runs.
    pub fn is_empty(&self) -> bool {
        self.all.lock().is_empty()
    }

    /// Kills all scripts, or all functions, that have run for `threshold` and may be killed.
    ///
    /// # Errors
    /// Redis' texts when there is none.
    pub fn kill(&self, scripts: bool, threshold: Duration) -> Result<(), NotKilled> {
        let all = self.all.lock();
        let old: Vec<&Arc<Running>> = all.iter().filter(|one| one.since.elapsed() >= threshold.min(YOUNG)).collect();
        let of_kind = || old.iter().filter(|one| one.kind.is_script() == scripts);
        let mut killed = 0_u32;
        for one in of_kind().filter(|one| !one.wrote.load(Ordering::Acquire)) {
            one.kill();
            killed += 1;
        }
        match (killed, of_kind().next(), old.first()) {
            (1.., ..) => Ok(()),
            (0, Some(_), _) => Err(NotKilled(UNKILLABLE)),
            (0, None, Some(other)) => Err(NotKilled(other.kind.busy())),
            (0, None, None) => Err(NotKilled(NOT_BUSY)),
        }
    }

    /// Makes every script end, for the server to stop.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::Stripe;

    const NOW: Duration = Duration::ZERO;

    fn stripes(keys: &[&str]) -> Stripes {
        keys.iter().map(|key| Stripe::of(key.as_bytes())).collect()
    }

    #[test]
    fn only_those_who_need_its_locks_find_a_script_in_the_way() {
        let scripts = RunningScripts::default();
        let place = scripts.enter(Kind::Script, Vec::new());
        let wanted = Wanted::Some(stripes(&["a"]));
        assert!(scripts.in_the_way(&wanted, NOW).is_none());
        place.running.note_locks(stripes(&["a", "b"]), false);
        assert!(scripts.in_the_way(&wanted, NOW).is_some());
        assert!(scripts.in_the_way(&wanted, Duration::from_secs(60)).is_none());
        assert!(scripts.in_the_way(&Wanted::Some(stripes(&["c"])), NOW).is_none());
        assert!(scripts.in_the_way(&Wanted::All, NOW).is_some());
        drop(place);
        assert!(scripts.in_the_way(&Wanted::All, NOW).is_none());
    }

    #[test]
    fn a_script_that_wrote_is_not_killed() {
        let scripts = RunningScripts::default();
        assert_eq!(scripts.kill(true, NOW), Err(NotKilled(NOT_BUSY)));
        let writer = scripts.enter(Kind::Script, Vec::new());
        writer.running.note_write();
        assert_eq!(scripts.kill(true, NOW), Err(NotKilled(UNKILLABLE)));
        assert_eq!(scripts.kill(false, NOW), Err(NotKilled(Kind::Script.busy())));
        let reader = scripts.enter(Kind::Script, Vec::new());
        assert_eq!(scripts.kill(true, NOW), Ok(()));
        assert!(reader.running.is_killed() && !writer.running.is_killed());
        let function = scripts.enter(Kind::Function("f".into()), Vec::new());
        assert_eq!(scripts.kill(false, NOW), Ok(()));
        assert!(function.running.is_killed());
    }
}
