//! The server under systemd, played by the test: what the server tells of itself, sockets that
//! are handed over, and SIGHUP, which reads the configuration and the users again.

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{Connection, Protocol, Reply};

/// How long the server may take to say what is waited for.
const LIMIT: Duration = Duration::from_secs(60);

struct Unit {
    folder: tempfile::TempDir,
    notices: UnixDatagram,
    process: Child,
}

impl Unit {
    /// Starts a server on a configuration file, with a socket on descriptor 3 if there is one.
    fn start(configuration: &str, handed: Option<TcpListener>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let notices = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        notices.set_read_timeout(Some(LIMIT)).expect("a time limit");
        write(folder.path(), configuration);
        let process = spawn(folder.path(), handed);
        Self { folder, notices, process }
    }

    /// Starts the server again that has ended.
    fn start_again(&mut self) {
        self.process = spawn(self.folder.path(), None);
    }

    /// Waits for a notice; others before it are skipped.
    fn expect(&self, notice: &str) {
        let mut buffer = [0; 1024];
        loop {
            let length = self.notices.recv(&mut buffer);
            let length = length.unwrap_or_else(|error| panic!("no {notice}: {error}\n{}", self.log()));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line == notice) {
                return;
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }
}

/// A server on the configuration in this folder, with a socket on descriptor 3 if there is one.
fn spawn(folder: &Path, handed: Option<TcpListener>) -> Child {
    let mut shell = Command::new("sh");
    let descriptors = u32::from(handed.is_some());
    // The process id must be that of the server, which takes the shell's place.
    let script = format!(
        "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS={descriptors}; exec {} server {}",
        env!("CARGO_BIN_EXE_ferrock"),
        folder.join("redis.conf").display(),
    );
    shell.args(["-c", &script]).env("NOTIFY_SOCKET", folder.join("notify")).env("WATCHDOG_USEC", "200000");
    match handed {
        Some(listener) => shell.stdin(Stdio::from(OwnedFd::from(listener))),
        None => shell.stdin(Stdio::null()),
    };
    let log = std::fs::File::create(folder.join("log")).expect("a log file");
    let stream = log.metadata().expect("metadata of the log file");
    shell.env("JOURNAL_STREAM", format!("{}:{}", stream.dev(), stream.ino()));
    shell.stdout(log.try_clone().expect("a log file")).stderr(log);
    shell.spawn().expect("sh runs")
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write(folder: &Path, configuration: &str) {
    let mut file = std::fs::File::create(folder.join("redis.conf")).expect("a file");
    writeln!(file, "dir {}/data\n{configuration}", folder.display()).expect("the file is writable");
}

fn free_listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    (listener, port)
}

fn connect(port: u16) -> Connection {
    Connection::open(([127, 0, 0, 1], port).into(), Protocol::Resp2).expect("a connection")
}

#[test]
fn systemd_is_told_of_start_life_reload_and_stop() {
    let (listener, port) = free_listener();
    drop(listener);
    let mut unit = Unit::start(&format!("port {port}\nmaxclients 100"), None);
    unit.expect(&format!("STATUS=opening the database in {}/data", unit.folder.path().display()));
    unit.expect("READY=1");
    unit.expect("WATCHDOG=1");
    let mut client = connect(port);
    client.must(&["CONFIG", "SET", "timeout", "3"]);

    let (listener, other_port) = free_listener();
    drop(listener);
    write(unit.folder.path(), &format!("port {other_port}\nmaxclients 200\ndatabases 4"));
    unit.signal("-HUP");
    unit.expect("RELOADING=1");
    unit.expect("READY=1");
    let mut client = connect(other_port);
    let value = |client: &mut Connection, name: &str| {
        client.must(&["CONFIG", "GET", name]).elements().map(|pair| pair[1].clone())
    };
    assert_eq!(value(&mut client, "maxclients"), Some(Reply::bulk("200")));
    assert_eq!(value(&mut client, "timeout"), Some(Reply::bulk("0")));
    assert_eq!(value(&mut client, "databases"), Some(Reply::bulk("16")));
    assert!(Connection::open(([127, 0, 0, 1], port).into(), Protocol::Resp2).is_err());

    // A file that is wrong changes nothing.
    write(unit.folder.path(), "port 1\nnonsense yes");
    unit.signal("-HUP");
    unit.expect("RELOADING=1");
    unit.expect("READY=1");
    // The journal knows the time; it is told priorities.
    let wrong = unit.log().lines().find(|line| line.contains("unknown parameter 'nonsense'")).map(str::to_owned);
    assert!(wrong.as_ref().is_some_and(|line| line.starts_with("<3>the configuration stays")), "{}", unit.log());
    assert!(unit.log().contains("<6>ready to accept connections"), "{}", unit.log());
    assert_eq!(value(&mut client, "maxclients"), Some(Reply::bulk("200")));

    unit.signal("-TERM");
    unit.expect("STOPPING=1");
    assert_eq!(unit.process.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_socket_of_systemd_is_served() {
    let (listener, port) = free_listener();
    // What the configuration says of ports does not count then.
    let unit = Unit::start("port 1", Some(listener));
    unit.expect("READY=1");
    assert_eq!(connect(port).must(&["PING"]), Reply::Simple("PONG".into()));
}

#[test]
fn sighup_reads_the_users_again() {
    let (listener, port) = free_listener();
    drop(listener);
    let mut unit = Unit::start(&format!("port {port}\naclfile users.acl"), None);
    let users = unit.folder.path().join("data/users.acl");
    // Without its file of users it does not start, and says what to do.
    assert_eq!(unit.process.wait().expect("it ends").code(), Some(1));
    assert!(unit.log().contains("ferrock: mend the lines named above"), "{}", unit.log());

    let folder = users.parent().expect("a folder");
    std::fs::create_dir_all(folder).expect("the folder is writable");
    let everything = "on nopass ~* &* +@all";
    std::fs::write(&users, format!("user default {everything}\nuser ann {everything}\nuser bob {everything}\n"))
        .expect("written");
    unit.start_again();
    unit.expect("READY=1");
    let enter = |name: &str| {
        let mut client = connect(port);
        client.must(&["AUTH", name, "x"]);
        client
    };
    let (mut ann, mut bob) = (enter("ann"), enter("bob"));

    let reloaded = format!(
        "user default {everything}\nuser ann {everything}\nuser bob on nopass ~* &* -@all +ping\nuser eve {everything}\n"
    );
    std::fs::write(&users, reloaded).expect("written");
    unit.signal("-HUP");
    unit.expect("RELOADING=1");
    unit.expect("READY=1");
    // Whose rules are as they were stays; the others come in anew.
    assert_eq!(ann.must(&["ACL", "WHOAMI"]), Reply::bulk("ann"));
    assert!(bob.call(&["PING"]).is_err());
    assert_eq!(enter("bob").must(&["PING"]), Reply::Simple("PONG".into()));
    assert!(matches!(enter("bob").call(&["GET", "k"]), Ok(Reply::Error(_))));
    assert_eq!(enter("eve").must(&["ACL", "WHOAMI"]), Reply::bulk("eve"));

    std::fs::write(&users, "user default on nopass ~* &* +@all\nuser ann wrong\n").expect("written");
    unit.signal("-HUP");
    unit.expect("RELOADING=1");
    unit.expect("READY=1");
    assert_eq!(ann.must(&["ACL", "WHOAMI"]), Reply::bulk("ann"));
    assert!(unit.log().contains("users stay as they were"), "{}", unit.log());
}
