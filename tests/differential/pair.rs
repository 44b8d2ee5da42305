//! Two servers side by side: the reference and the one under test. Commands go
//! to both, one by one or in pipelines, and the first difference in a reply or
//! in the whole state is what comes back.

use std::time::Duration;

use super::grammar::Command;
use super::judge::{Check, agree, agree_in_transaction, check_of, name_of};
use super::support::notation::render;
use super::support::quoting::join;
use super::support::{Connection, Protocol, Reply, Server, Target};

/// The logical databases a case may leave something in.
const DATABASES: [&str; 2] = ["0", "1"];
/// Long enough for a time to live of one millisecond to lapse on both sides.
const LAPSE: Duration = Duration::from_millis(12);

pub struct Pair {
    reference: Server,
    tested: Server,
}

/// How a case is sent.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub protocol: Protocol,
    /// Commands sent at once; 1 sends one by one.
    pub pipeline: usize,
    /// The state is compared after so many steps.
    pub state_every: usize,
    /// Keyspace notifications are on, and compared after each batch.
    pub hears_events: bool,
}

#[derive(Clone, Debug)]
pub struct Difference {
    /// The step it showed at, counted from 0.
    pub step: usize,
    pub command: String,
    pub reference: String,
    pub tested: String,
}

struct Two {
    reference: Connection,
    tested: Connection,
    /// What was queued since MULTI, while a transaction is open.
    transaction: Option<Vec<Command>>,
    /// Connections for what the first ones cannot do themselves.
    aside: [Aside; 2],
    hears_events: bool,
}

/// More connections to one of the servers.
struct Aside {
    /// Blocks.
    blocked: Connection,
    /// Subscribed to all keyspace notifications, and to the channel of markers.
    listener: Connection,
    /// Looks, and publishes markers.
    caller: Connection,
}

impl Aside {
    fn of(server: &Server, manner: Manner) -> Self {
        let mut aside = Self {
            blocked: server.connect(manner.protocol),
            listener: server.connect(Protocol::Resp2),
            caller: server.connect(Protocol::Resp2),
        };
        let classes = if manner.hears_events { "KEA" } else { "" };
        aside.caller.must(&["CONFIG", "SET", "notify-keyspace-events", classes]);
        aside.listener.must(&["PSUBSCRIBE", "__key*__:*"]);
        aside.listener.must(&["SUBSCRIBE", MARKER]);
        aside
    }

    /// The events since the last time: channels and what was said there.
    fn events(&mut self) -> std::io::Result<Vec<String>> {
        self.caller.call(&["PUBLISH", MARKER, "now"])?;
        let mut heard = Vec::new();
        loop {
            let message = self.listener.read_message()?;
            let words: Vec<&[u8]> = message.elements().unwrap_or_default().iter().filter_map(Reply::bytes).collect();
            let [kind, .., channel, payload] = words.as_slice() else { continue };
            if *kind == b"message" {
                return Ok(heard);
            }
            let event = format!("{} {}", channel.escape_ascii(), payload.escape_ascii());
            // When a key expires each server decides for itself; when a consumer is made changed in 7.2.
            if !event.contains("expired") && !event.contains("xgroup-createconsumer") {
                heard.push(event);
            }
        }
    }

    /// Waits until the blocking command waits, or has its reply.
    fn settles(&mut self) {
        for _ in 0..SETTLE_LOOKS {
            let info = self.caller.must(&["INFO", "clients"]);
            let waits = info.bytes().is_some_and(|text| text.windows(17).any(|part| part == b"blocked_clients:1"));
            if waits || !self.blocked.silent_for(SETTLE_LOOK).unwrap_or(false) {
                return;
            }
        }
    }
}

/// The channel on which a word tells that all events before it have come.
const MARKER: &str = "marker";
const SETTLE_LOOKS: usize = 100;
const SETTLE_LOOK: Duration = Duration::from_millis(2);

impl Pair {
    pub fn start() -> Self {
        // A busy test machine needs no second fsync a second.
        let quiet = [("appendfsync", "no")];
        Self {
            reference: Server::start_with(Target::Redis, &quiet),
            tested: Server::start_with(Target::from_environment(), &quiet),
        }
    }

    /// Plays a case from an empty state and returns the first difference.
    pub fn play(&mut self, commands: &[Command], manner: Manner) -> Option<Difference> {
        if !self.tested.alive() {
            self.tested.restart();
        }
        let mut two = Two {
            reference: self.reference.connect(manner.protocol),
            tested: self.tested.connect(manner.protocol),
            transaction: None,
            aside: [Aside::of(&self.reference, manner), Aside::of(&self.tested, manner)],
            hears_events: manner.hears_events,
        };
        two.reference.must(&["FLUSHALL"]);
        if let Err(error) = two.tested.call(&["FLUSHALL"]) {
            return Some(two.lost(0, "FLUSHALL", &error.to_string()));
        }
        let mut step = 0;
        while step < commands.len() {
            let length = pipelined(&commands[step..], manner.pipeline);
            let batch = &commands[step..step + length];
            if let Some(difference) = two.send(step, batch) {
                return Some(difference);
            }
            step += length;
            let due = step % manner.state_every < length || step == commands.len();
            if due
                && two.transaction.is_none()
                && let Some(difference) = two.compare_state(step)
            {
                return Some(difference);
            }
        }
        None
    }

    pub fn tested_log(&self) -> String {
        self.tested.log()
    }
}

/// How many of the next commands may go at once: one that is followed by an
/// errand of its own goes alone.
fn pipelined(commands: &[Command], most: usize) -> usize {
    let lonely = |command: &Command| matches!(name_of(command).as_slice(), b"LAPSE" | b"BLOCKED" | b"SPOP" | b"SELECT");
    let together = commands.iter().take(most).take_while(|command| !lonely(command)).count();
    together.max(1)
}

impl Two {
    fn send(&mut self, step: usize, batch: &[Command]) -> Option<Difference> {
        if let [command] = batch
            && name_of(command) == b"LAPSE"
        {
            return self.lapse(step, command);
        }
        if let [command] = batch
            && name_of(command) == b"BLOCKED"
        {
            return self.block_and_serve(step, command).or_else(|| self.compare_events(step, batch));
        }
        let reference = self.reference.pipeline(batch).expect("the reference answers");
        let tested = match self.tested.pipeline(batch) {
            Ok(replies) => replies,
            Err(error) => {
                let words = join(batch.last().expect("a batch has a command"));
                return Some(self.lost(step + batch.len() - 1, &words, &error.to_string()));
            }
        };
        for (offset, command) in batch.iter().enumerate() {
            if !self.judge(command, &reference[offset], &tested[offset]) {
                return Some(difference(step + offset, command, &reference[offset], &tested[offset]));
            }
        }
        self.settle(batch).or_else(|| self.compare_events(step + batch.len() - 1, batch))
    }

    /// What was told of keys since the last time, in order.
    fn compare_events(&mut self, step: usize, batch: &[Command]) -> Option<Difference> {
        if !self.hears_events {
            return None;
        }
        let [reference, tested] = self.aside.each_mut().map(Aside::events);
        let reference = reference.expect("the reference tells");
        let command = batch.iter().map(|command| join(command)).collect::<Vec<_>>().join(" ; ");
        match tested {
            Err(error) => Some(self.lost(step, &command, &error.to_string())),
            Ok(tested) if tested == reference => None,
            Ok(tested) => {
                Some(plain(step, &format!("(events of) {command}"), &reference.join(", "), &tested.join(", ")))
            }
        }
    }

    /// One connection blocks, the first one runs what may serve it: both replies count.
    fn block_and_serve(&mut self, step: usize, command: &Command) -> Option<Difference> {
        let then = command.iter().position(|word| word == b"then")?;
        if self.transaction.is_some() {
            return None;
        }
        let (blocking, serving) = (command[1..then].to_vec(), command[then + 1..].to_vec());
        for aside in &mut self.aside {
            aside.blocked.send(&blocking).expect("sent");
            aside.settles();
        }
        let found = self.ask(step, &serving);
        let [reference, tested] = self.aside.each_mut().map(|aside| aside.blocked.read());
        let reference = reference.expect("the reference answers");
        match tested {
            _ if found.is_some() => found,
            Err(error) => Some(self.lost(step, &join(command), &error.to_string())),
            Ok(tested) if agree(&blocking, &reference, &tested) => None,
            Ok(tested) => Some(difference(step, command, &reference, &tested)),
        }
    }

    /// Whether two replies agree, keeping account of what a transaction has queued.
    fn judge(&mut self, command: &Command, reference: &Reply, tested: &Reply) -> bool {
        match (name_of(command).as_slice(), &mut self.transaction) {
            (b"MULTI", transaction) => {
                if *reference == Reply::ok() {
                    *transaction = Some(Vec::new());
                }
                reference == tested
            }
            (b"EXEC" | b"DISCARD", _) if command.len() == 1 => {
                let queued = self.transaction.take().unwrap_or_default();
                agree_in_transaction(&queued, reference, tested)
            }
            (_, Some(queued)) => {
                if *reference == Reply::Simple(b"QUEUED".to_vec()) {
                    queued.push(command.clone());
                }
                reference == tested
            }
            _ => agree(command, reference, tested),
        }
    }

    /// What was popped at random differs: both sides forget the rest.
    fn settle(&mut self, batch: &[Command]) -> Option<Difference> {
        for command in batch {
            if check_of(command) == Check::Shape && name_of(command) == b"SPOP" && command.len() > 1 {
                self.reference.must(&[b"DEL".as_slice(), &command[1]]);
                let _ = self.tested.call(&[b"DEL".as_slice(), &command[1]]);
            }
        }
        None
    }

    /// Lets a key lapse on both sides, then looks at it: redis-server counts a
    /// lapsed key until somebody does.
    fn lapse(&mut self, step: usize, command: &Command) -> Option<Difference> {
        let key = command.get(1).cloned().unwrap_or_default();
        let expire = vec![b"PEXPIRE".to_vec(), key.clone(), b"1".to_vec()];
        let found = self.ask(step, &expire);
        std::thread::sleep(LAPSE);
        found.or_else(|| self.ask(step, &vec![b"EXISTS".to_vec(), key]))
    }

    fn lost(&self, step: usize, command: &str, error: &str) -> Difference {
        Difference {
            step,
            command: command.to_owned(),
            reference: "a reply".into(),
            tested: format!("no reply: {error}"),
        }
    }

    /// Compares keys, types, encodings, times to live and contents of every database.
    fn compare_state(&mut self, step: usize) -> Option<Difference> {
        let mut connections = [&mut self.reference, &mut self.tested];
        let databases = connections.each_mut().map(|connection| current_database(connection));
        if databases[0] != databases[1] {
            return Some(plain(step, "CLIENT INFO (db=)", &databases[0], &databases[1]));
        }
        let found = DATABASES.iter().find_map(|database| self.compare_database(step, database));
        let back = databases[0].clone();
        self.reference.must(&["SELECT", &back]);
        let _ = self.tested.call(&["SELECT", &back]);
        found
    }

    fn compare_database(&mut self, step: usize, database: &str) -> Option<Difference> {
        let ask = |text: &[&str]| text.iter().map(|word| word.as_bytes().to_vec()).collect::<Command>();
        if let Some(difference) = self.ask(step, &ask(&["SELECT", database])) {
            return Some(difference);
        }
        // Not DBSIZE: redis-server counts keys born lapsed (SET … EXAT 1) until its own expiry finds them.
        if let Some(difference) = self.ask(step, &ask(&["KEYS", "*"])) {
            return Some(difference);
        }
        let Reply::Array(keys) = self.reference.must(&["KEYS", "*"]) else {
            return None;
        };
        let keys: Vec<Vec<u8>> = keys.iter().filter_map(|key| key.bytes().map(<[u8]>::to_vec)).collect();
        keys.iter().find_map(|key| self.compare_key(step, key))
    }

    fn compare_key(&mut self, step: usize, key: &[u8]) -> Option<Difference> {
        let reply = self.reference.must(&[b"TYPE".as_slice(), key]);
        let kind = reply.bytes().unwrap_or_default().to_vec();
        let contents: &[&str] = match kind.as_slice() {
            b"string" => &["GET", "#"],
            b"hash" => &["HGETALL", "#"],
            b"list" => &["LRANGE", "#", "0", "-1"],
            b"set" => &["SMEMBERS", "#"],
            b"zset" => &["ZRANGE", "#", "0", "-1", "WITHSCORES"],
            b"stream" => &["XINFO", "STREAM", "#", "FULL"],
            _ => &["TYPE", "#"],
        };
        let questions = [&["TYPE", "#"], contents, &["PEXPIRETIME", "#"], &["OBJECT", "ENCODING", "#"]];
        questions.into_iter().find_map(|question| {
            let words = question.iter().map(|word| if *word == "#" { key.to_vec() } else { word.as_bytes().to_vec() });
            self.ask(step, &words.collect())
        })
    }

    fn ask(&mut self, step: usize, question: &Command) -> Option<Difference> {
        let reference = self.reference.must(question);
        match self.tested.call(question) {
            Err(error) => Some(self.lost(step, &join(question), &error.to_string())),
            Ok(tested) if agree(question, &reference, &tested) => None,
            Ok(tested) => Some(Difference {
                command: format!("(asked) {}", join(question)),
                ..difference(step, question, &reference, &tested)
            }),
        }
    }
}

fn current_database(connection: &mut Connection) -> String {
    let reply = connection.call(&["CLIENT", "INFO"]);
    let text = reply.ok().and_then(|reply| reply.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    let text = text.unwrap_or_default();
    let found = text.split(' ').find_map(|field| field.strip_prefix("db=").map(str::to_owned));
    found.unwrap_or_else(|| "0".into())
}

fn difference(step: usize, command: &Command, reference: &Reply, tested: &Reply) -> Difference {
    plain(step, &join(command), &render(reference), &render(tested))
}

fn plain(step: usize, command: &str, reference: &str, tested: &str) -> Difference {
    Difference { step, command: command.to_owned(), reference: reference.to_owned(), tested: tested.to_owned() }
}
