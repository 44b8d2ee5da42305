//! The line between a script that is debugged and its client: the script's thread has the [`Console`] and
//! may wait at it, the connection has the [`Wire`] and never does. Either end sees that the other is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::scripting::running::{Kind, Running};

/// Scripts that are debugged at a time: each has a thread, an interpreter and a frozen state of the data.
pub const SESSIONS_MAX: usize = 16;
/// Pieces of input or output on their way.
const PIECES: usize = 16;

/// The sessions that are open.
#[derive(Debug, Default)]
pub struct Sessions(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The script's end.
#[derive(Debug)]
pub struct Console {
    input: mpsc::Receiver<Bytes>,
    output: mpsc::Sender<Bytes>,
    running: Arc<Running>,
    _place: Place,
}

/// The connection's end. Dropping it hangs up.
#[derive(Debug)]
pub struct Wire {
    /// What the client sends.
    pub input: mpsc::Sender<Bytes>,
    /// What goes to the client; ends with the session.
    pub output: mpsc::Receiver<Bytes>,
    running: Arc<Running>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.running.kill();
    }
}

impl Sessions {
    /// A new session; `None` while there are [`SESSIONS_MAX`].
    pub fn open(&self) -> Option<(Console, Wire)> {
        let room = |open| (open < SESSIONS_MAX).then_some(open + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        let place = Place(self.0.clone());
        let (input, from_client) = mpsc::channel(PIECES);
        let (to_client, output) = mpsc::channel(PIECES);
        let running = Arc::new(Running::unseen(Kind::Script));
        let console = Console { input: from_client, output: to_client, running: running.clone(), _place: place };
        Some((console, Wire { input, output, running }))
    }
}

impl Console {
    /// Waits for more from the client; `None` when it has hung up.
    pub fn receive(&mut self) -> Option<Bytes> {
        self.input.blocking_recv()
    }

    /// Sends something to the client, or nothing if it has hung up: whoever reads next notices.
    pub fn send(&self, bytes: Vec<u8>) {
        let _ = self.output.blocking_send(bytes.into());
    }

    /// What others see of the script; it is killed when the client hangs up.
    pub fn running(&self) -> &Arc<Running> {
        &self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_again_when_one_has_ended() {
        let sessions = Sessions::default();
        let mut open: Vec<_> = (0..SESSIONS_MAX).map(|_| sessions.open().expect("room")).collect();
        assert!(sessions.open().is_none());
        open.pop();
        assert!(sessions.open().is_some());
    }

    #[test]
    fn who_hangs_up_kills_the_script() {
        let (mut console, wire) = Sessions::default().open().expect("room");
        assert!(!console.running().is_killed());
        drop(wire);
        assert!(console.running().is_killed() && console.receive().is_none());
        console.send(b"nobody hears it".to_vec());
    }
}
