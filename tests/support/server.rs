//! A server process under test: the built binary on a free port with a
//! temporary directory, or a real redis-server in its place, so that a test can
//! prove itself against the reference. It is stopped by its process id when the
//! value is dropped, whatever the test did.

use std::io::{Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::resp::{Connection, Protocol};

/// How long a server may take until it answers PING.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a server may take to stop after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Attempts to find a port nobody else takes between our look and the server's bind.
const START_ATTEMPTS: usize = 5;

/// Which program is tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Ferrock,
    /// The reference, found on the PATH.
    Redis,
}

impl Target {
    /// `FERROCK_TEST_SERVER=redis-server` turns the tests on the reference.
    ///
    /// # Panics
    /// When the variable names anything else.
    pub fn from_environment() -> Self {
        match std::env::var("FERROCK_TEST_SERVER").as_deref() {
            Err(_) | Ok("" | "ferrock") => Self::Ferrock,
            Ok("redis-server") => Self::Redis,
            Ok(other) => panic!("FERROCK_TEST_SERVER is `ferrock` or `redis-server`, not {other}"),
        }
    }

    /// The program with the arguments that come before the parameters.
    fn command(&self) -> Command {
        match self {
            Self::Ferrock => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_ferrock"));
                command.arg("server");
                command
            }
            Self::Redis => {
                let mut command = Command::new("redis-server");
                command.args(["--save", "", "--appendonly", "yes"]);
                command
            }
        }
    }
}

pub struct Server {
    target: Target,
    parameters: Vec<(String, String)>,
    directory: tempfile::TempDir,
    log: PathBuf,
    port: u16,
    process: Child,
}

impl Server {
    /// Starts what `FERROCK_TEST_SERVER` asks for, with default parameters.
    pub fn start() -> Self {
        Self::start_with(Target::from_environment(), &[])
    }

    /// Starts `target` with parameters such as `("appendfsync", "always")` and
    /// waits until it answers.
    ///
    /// # Panics
    /// When the server does not come up; the message holds its log.
    pub fn start_with(target: Target, parameters: &[(&str, &str)]) -> Self {
        let directory = tempfile::Builder::new().prefix("ferrock-test-").tempdir().expect("a temporary directory");
        std::fs::create_dir(directory.path().join("data")).expect("a data directory");
        let log = directory.path().join("server.log");
        let parameters: Vec<_> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (process, port) = spawn(&target, &parameters, directory.path(), &log);
        Self { target, parameters, directory, log, port, process }
    }

    /// Starts on a copy of a database directory; `None` if the server refuses it.
    pub fn try_on(target: Target, data: &Path, parameters: &[(&str, &str)]) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("ferrock-test-").tempdir().expect("a temporary directory");
        let copied = Command::new("cp").arg("-a").arg(data).arg(directory.path().join("data")).status();
        assert!(copied.expect("cp runs").success(), "{} could not be copied", data.display());
        let log = directory.path().join("server.log");
        let parameters: Vec<_> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (process, port) = try_spawn(&target, &parameters, directory.path(), &log)?;
        Some(Self { target, parameters, directory, log, port, process })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The database directory; it lives as long as this value.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A new connection that has spoken HELLO for RESP3 and nothing for RESP2.
    pub fn connect(&self, protocol: Protocol) -> Connection {
        Connection::open(self.address(), protocol)
            .unwrap_or_else(|error| panic!("connecting to {}: {error}\n{}", self.address(), self.log()))
    }

    /// Ends the process as a power cut of the process would: nothing is flushed by it.
    pub fn kill(&mut self) {
        // An error means that it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Asks the server to stop by SIGTERM and returns its exit code.
    ///
    /// # Panics
    /// When it does not stop within 30 seconds.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success(), "kill -TERM {pid} failed");
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait().expect("the process is ours") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server did not stop within {STOP_LIMIT:?} of SIGTERM:\n{}", self.log());
    }

    /// Starts the server again on the same directory, with the same parameters.
    pub fn restart(&mut self) {
        self.kill();
        let (process, port) = spawn(&self.target, &self.parameters, self.directory.path(), &self.log);
        self.process = process;
        self.port = port;
    }

    /// Whether the process still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(target: &Target, parameters: &[(String, String)], directory: &Path, log: &Path) -> (Child, u16) {
    let started = (0..START_ATTEMPTS).find_map(|_| try_spawn(target, parameters, directory, log));
    started.unwrap_or_else(|| panic!("{target:?} did not start:\n{}", tail(log)))
}

/// One attempt, on a port that was free just before.
fn try_spawn(target: &Target, parameters: &[(String, String)], directory: &Path, log: &Path) -> Option<(Child, u16)> {
    let port = free_port();
    let output = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log file");
    let mut command = target.command();
    command.args(["--port", &port.to_string(), "--dir"]).arg(directory.join("data"));
    command.args(["--enable-debug-command", "yes"]);
    for (name, value) in parameters {
        command.arg(format!("--{name}")).arg(value);
    }
    command.stdin(Stdio::null()).stderr(output.try_clone().expect("a log file")).stdout(output);
    let mut process = command.spawn().unwrap_or_else(|error| panic!("starting {target:?}: {error}"));
    if wait_until_it_answers(&mut process, port) {
        return Some((process, port));
    }
    let _ = process.kill();
    let _ = process.wait();
    None
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound port").port()
}

/// False when the process ended by itself, as it does when the port was taken.
fn wait_until_it_answers(process: &mut Child, port: u16) -> bool {
    let deadline = Instant::now() + START_LIMIT;
    while Instant::now() < deadline {
        if !matches!(process.try_wait(), Ok(None)) {
            return false;
        }
        // While it loads its data a server answers -LOADING: wait for the end of that.
        let answer = Connection::open(SocketAddr::from(([127, 0, 0, 1], port)), Protocol::Resp2)
            .and_then(|mut connection| connection.call(&["PING"]));
        match answer {
            Ok(reply) if !reply.error_starts_with("LOADING") => return true,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    false
}

/// The last kilobytes of a log, for a failure's message.
fn tail(log: &Path) -> String {
    const TAIL_BYTES: u64 = 4096;
    let Ok(mut file) = std::fs::File::open(log) else {
        return String::new();
    };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::new();
    let _ = file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)));
    let _ = file.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
