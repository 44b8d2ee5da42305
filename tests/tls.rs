//! TLS from a client's side: who gets in with which certificate, what changes while the server
//! runs, and that nothing gets lost in the buffers between. redis-cli is the client, the
//! certificates are made by openssl. `FERROCK_TEST_SERVER=redis-server` proves the tests on the
//! reference.

mod support;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Connection, Protocol, Reply, Server, Target};

/// How long a change by signal may take.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);

/// A folder with an authority `ca` and what it signed.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let made = Self(folder);
        made.authority("ca");
        made.signed("server", "ca", "server");
        made.signed("client", "ca", "client");
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn authority(&self, name: &str) {
        let (key, certificate) = (self.text(&format!("{name}.key")), self.text(&format!("{name}.crt")));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &certificate,
        ]);
    }

    /// A key `name.key` and a certificate `name.crt` of this subject, signed by `authority`.
    fn signed(&self, name: &str, authority: &str, subject: &str) {
        let file = |ending: &str| self.text(&format!("{name}.{ending}"));
        std::fs::write(self.path("extensions"), "basicConstraints=CA:FALSE\n").expect("the folder is writable");
        let subject = format!("/CN={subject}");
        openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            &subject,
            "-keyout",
            &file("key"),
            "-out",
            &file("csr"),
        ]);
        let (ca, ca_key) = (self.text(&format!("{authority}.crt")), self.text(&format!("{authority}.key")));
        openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-CAcreateserial",
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-extfile",
            &self.text("extensions"),
            "-in",
            &file("csr"),
            "-out",
            &file("crt"),
        ]);
    }
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let run = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().expect("openssl runs");
    assert!(run.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    run.stdout
}

/// A server with a plain and a TLS port.
struct Pair {
    server: Server,
    certificates: Certificates,
    tls_port: u16,
}

impl Pair {
    fn start(parameters: &[(&str, &str)]) -> Self {
        let certificates = Certificates::make();
        let tls_port = free_port();
        let (port, ca) = (tls_port.to_string(), certificates.text("ca.crt"));
        let (certificate, key) = (certificates.text("server.crt"), certificates.text("server.key"));
        let mut all = vec![
            ("tls-port", port.as_str()),
            ("tls-cert-file", &certificate),
            ("tls-key-file", &key),
            ("tls-ca-cert-file", &ca),
        ];
        all.extend_from_slice(parameters);
        let server = Server::start_with(Target::from_environment(), &all);
        Self { server, certificates, tls_port }
    }

    /// What redis-cli prints for a command through TLS.
    fn ask(&self, port: u16, more: &[&str], command: &[&str]) -> String {
        let ca = self.certificates.text("ca.crt");
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &port.to_string(), "--tls", "--cacert", &ca]).args(more).args(command);
        let run = cli.stdin(Stdio::null()).output().expect("redis-cli runs");
        let text = [run.stdout, run.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_owned()
    }

    fn with_certificate(&self, command: &[&str]) -> String {
        let (certificate, key) = (self.certificates.text("client.crt"), self.certificates.text("client.key"));
        self.ask(self.tls_port, &["--cert", &certificate, "--key", &key], command)
    }

    fn without_certificate(&self, command: &[&str]) -> String {
        self.ask(self.tls_port, &[], command)
    }

    fn plain(&self) -> Connection {
        self.server.connect(Protocol::Resp2)
    }

    /// The subject of the certificate that the server shows.
    fn shown_subject(&self) -> String {
        let address = format!("127.0.0.1:{}", self.tls_port);
        let (certificate, key) = (self.certificates.text("client.crt"), self.certificates.text("client.key"));
        let arguments = ["s_client", "-connect", &address, "-cert", &certificate, "-key", &key];
        let run = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().expect("openssl runs");
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with("subject="));
        line.unwrap_or_default().rsplit('=').next().unwrap_or_default().trim().to_owned()
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound port").port()
}

#[test]
fn clients_get_in_by_their_certificates() {
    let pair = Pair::start(&[]);
    let mut admin = pair.plain();
    assert_eq!(pair.with_certificate(&["PING"]), "PONG");
    assert_ne!(pair.without_certificate(&["PING"]), "PONG");
    admin.must(&["CONFIG", "SET", "tls-auth-clients", "optional"]);
    assert_eq!(pair.with_certificate(&["PING"]), "PONG");
    assert_eq!(pair.without_certificate(&["PING"]), "PONG");
    // Whoever shows a certificate must show a good one.
    pair.certificates.authority("stranger");
    pair.certificates.signed("forged", "stranger", "client");
    let (certificate, key) = (pair.certificates.text("forged.crt"), pair.certificates.text("forged.key"));
    assert_ne!(pair.ask(pair.tls_port, &["--cert", &certificate, "--key", &key], &["PING"]), "PONG");
    admin.must(&["CONFIG", "SET", "tls-auth-clients", "no"]);
    assert_eq!(pair.without_certificate(&["PING"]), "PONG");
    admin.must(&["CONFIG", "SET", "tls-auth-clients", "yes"]);
    assert_ne!(pair.without_certificate(&["PING"]), "PONG");
}

#[test]
fn a_folder_may_hold_the_authorities() {
    let pair = Pair::start(&[]);
    let folder = pair.certificates.path("authorities");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::copy(pair.certificates.path("ca.crt"), folder.join("ca.crt")).expect("a copy");
    openssl(&["rehash", &folder.display().to_string()]);
    let folder = folder.display().to_string();
    pair.plain().must(&["CONFIG", "SET", "tls-ca-cert-file", "", "tls-ca-cert-dir", &folder]);
    assert_eq!(pair.with_certificate(&["PING"]), "PONG");
    assert_ne!(pair.without_certificate(&["PING"]), "PONG");
}

#[test]
fn plain_text_is_not_spoken_on_the_tls_port() {
    let pair = Pair::start(&[]);
    let address = ([127, 0, 0, 1], pair.tls_port).into();
    let mut plain = Connection::open(address, Protocol::Resp2).expect("a connection");
    assert!(plain.call(&["PING"]).is_err());
}

#[test]
fn large_values_pass_whole() {
    let pair = Pair::start(&[("tls-auth-clients", "no")]);
    let value = "0123456789abcdef".repeat(1 << 18);
    pair.plain().must(&["SET", "large", &value]);
    assert_eq!(pair.without_certificate(&["GET", "large"]), value);
    assert_eq!(pair.without_certificate(&["STRLEN", "large"]), value.len().to_string());
}

#[test]
fn versions_can_be_left_out() {
    let pair = Pair::start(&[("tls-auth-clients", "no"), ("tls-protocols", "TLSv1.3")]);
    let agreed = |version: &str| {
        let address = format!("127.0.0.1:{}", pair.tls_port);
        let run =
            Command::new("openssl").args(["s_client", "-connect", &address, version]).stdin(Stdio::null()).output();
        run.expect("openssl runs").status.success()
    };
    assert!(agreed("-tls1_3") && !agreed("-tls1_2"));
    pair.plain().must(&["CONFIG", "SET", "tls-protocols", "TLSv1.2"]);
    assert!(!agreed("-tls1_3") && agreed("-tls1_2"));
    pair.plain().must(&["CONFIG", "SET", "tls-protocols", ""]);
    assert!(agreed("-tls1_3") && agreed("-tls1_2"));
}

#[test]
fn ports_move_while_the_server_runs() {
    let mut pair = Pair::start(&[("tls-auth-clients", "no")]);
    let mut admin = pair.plain();
    let before = pair.tls_port;
    let after = free_port();
    admin.must(&["CONFIG", "SET", "tls-port", &after.to_string()]);
    assert_ne!(pair.without_certificate(&["PING"]), "PONG", "the old port {before}");
    pair.tls_port = after;
    assert_eq!(pair.without_certificate(&["PING"]), "PONG");
    // From TLS to plain text and back, on the same port.
    let swapped = free_port();
    admin.must(&["CONFIG", "SET", "tls-port", "0"]);
    admin.must(&["CONFIG", "SET", "port", &after.to_string()]);
    let mut plain = Connection::open(([127, 0, 0, 1], after).into(), Protocol::Resp2).expect("a connection");
    assert_eq!(plain.must(&["PING"]), Reply::Simple("PONG".into()));
    admin.must(&["CONFIG", "SET", "port", &swapped.to_string()]);
    admin.must(&["CONFIG", "SET", "tls-port", &after.to_string()]);
    assert_eq!(pair.without_certificate(&["PING"]), "PONG");
    // The connection that changed all this goes on.
    admin.must(&["PING"]);
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let pair = Pair::start(&[]);
    let mut admin = pair.plain();
    let encrypted = pair.certificates.text("encrypted.key");
    openssl(&[
        "pkey",
        "-in",
        &pair.certificates.text("server.key"),
        "-aes256",
        "-passout",
        "pass:1234",
        "-out",
        &encrypted,
    ]);
    let stranger = pair.certificates.text("client.key");
    let missing = pair.certificates.text("missing");
    for (name, value) in [
        ("tls-key-file", encrypted.as_str()),
        ("tls-key-file", &stranger),
        ("tls-cert-file", &missing),
        ("tls-cert-file", &stranger),
        ("tls-cert-file", ""),
    ] {
        let told = admin.call(&["CONFIG", "SET", name, value]).expect("a reply");
        assert!(told.error_starts_with("ERR CONFIG SET failed"), "{name} {value}: {told:?}");
        assert_eq!(pair.with_certificate(&["PING"]), "PONG", "after {name} {value}");
    }
    let told = admin.call(&["CONFIG", "SET", "tls-protocols", "SSLv3"]).expect("a reply");
    assert!(told.is_error(), "{told:?}");
}

#[test]
fn new_certificates_are_shown_without_a_restart() {
    let pair = Pair::start(&[]);
    assert_eq!(pair.shown_subject(), "server");
    pair.certificates.signed("second", "ca", "second");
    let (certificate, key) = (pair.certificates.text("second.crt"), pair.certificates.text("second.key"));
    pair.plain().must(&["CONFIG", "SET", "tls-cert-file", &certificate, "tls-key-file", &key]);
    assert_eq!(pair.shown_subject(), "second");
}

/// As certbot and its like renew: the files change under their names, and SIGHUP tells.
#[test]
fn sighup_reads_the_same_files_again() {
    let pair = Pair::start(&[]);
    if *pair.server.target() == Target::Redis {
        return;
    }
    pair.certificates.signed("renewed", "ca", "renewed");
    let replace = |from: &str, to: &str| {
        std::fs::rename(pair.certificates.path(from), pair.certificates.path(to)).expect("a file replaces another");
    };
    replace("renewed.crt", "server.crt");
    replace("renewed.key", "server.key");
    hang_up(&pair.server);
    eventually(|| pair.shown_subject() == "renewed");
    // Half a renewal: the old pair is shown on.
    pair.certificates.signed("half", "ca", "half");
    replace("half.crt", "server.crt");
    hang_up(&pair.server);
    eventually(|| pair.server.log().contains("certificates stay as they were"));
    assert_eq!(pair.shown_subject(), "renewed");
    assert_eq!(pair.with_certificate(&["PING"]), "PONG");
}

fn hang_up(server: &Server) {
    let sent = Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

fn eventually(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + CHANGE_LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "it did not come true within {CHANGE_LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server that is told to speak TLS and cannot does not start.
#[test]
fn a_server_does_not_start_without_its_certificate() {
    if Target::from_environment() == Target::Redis {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let start = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferrock"));
        command.args(["server", "--port", "0", "--dir"]).arg(folder.path().join("data")).args(arguments);
        let run = command.stdin(Stdio::null()).output().expect("ferrock runs");
        (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
    };
    let port = free_port().to_string();
    let missing = folder.path().join("missing");
    let missing = Path::new(&missing).display().to_string();
    let (code, told) = start(&["--tls-port", &port]);
    assert!(code == Some(2) && told.contains("tls-cert-file"), "{code:?} {told}");
    let (code, told) = start(&["--tls-port", &port, "--tls-cert-file", &missing, "--tls-key-file", &missing]);
    assert!(code == Some(1) && told.contains("tls-ca-cert-file"), "{code:?} {told}");
    let nobody =
        ["--tls-port", &port, "--tls-auth-clients", "no", "--tls-cert-file", &missing, "--tls-key-file", &missing];
    let (code, told) = start(&nobody);
    assert!(code == Some(1) && told.contains("cannot speak TLS") && told.contains("missing"), "{code:?} {told}");
}
