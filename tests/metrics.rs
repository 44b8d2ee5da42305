//! The metrics port: /metrics under a strict reader of OpenMetrics, the probes, who may see what,
//! the console's figures, and what clients come up with that mean no good.
//! `FERROCK_METRICS_WRITE=yes` writes the list of metrics in `docs/metrics.md` anew.

mod openmetrics;
mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use openmetrics::{Exposition, Family};
use support::{Connection, Protocol, Server, Target};

/// How long anything may take that is meant to happen soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a metrics port.
struct Watched {
    server: Server,
    port: u16,
}

/// An answer of the metrics port.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// Names in lower case.
    headers: BTreeMap<String, String>,
    body: String,
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// Reads one answer; `None` when the server hung up without one.
fn read_answer(stream: &mut TcpStream, has_body: bool) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(head).expect("headers are text");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let headers: BTreeMap<String, String> = lines.filter_map(pair).collect();
    let length: usize = headers.get("content-length").expect("a length").parse().expect("a number");
    let mut body = vec![0; if has_body { length } else { 0 }];
    stream.read_exact(&mut body).expect("the whole body");
    Some(Answer { status, headers, body: String::from_utf8(body).expect("a body of text") })
}

impl Watched {
    fn start(parameters: &[(&str, &str)]) -> Self {
        let port = free_port();
        let number = port.to_string();
        let mut all = vec![("metrics-port", number.as_str())];
        all.extend_from_slice(parameters);
        Self { server: Server::start_with(Target::Ferrock, &all), port }
    }

    fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port))).expect("the metrics port");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream
    }

    fn send(&self, request: &str) -> Option<Answer> {
        let mut stream = self.stream();
        stream.write_all(request.as_bytes()).expect("the request goes out");
        read_answer(&mut stream, !request.starts_with("HEAD"))
    }

    fn get_with(&self, path: &str, headers: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")).expect("an answer")
    }

    fn get(&self, path: &str) -> Answer {
        self.get_with(path, "")
    }

    fn metrics(&self) -> Exposition {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.body);
        openmetrics::parse(&answer.body).unwrap_or_else(|why| panic!("{why}\n{}", answer.body))
    }

    fn connect(&self) -> Connection {
        self.server.connect(Protocol::Resp3)
    }
}

/// The value of the one sample with these labels.
fn value(exposition: &Exposition, name: &str, labels: &[(&str, &str)]) -> f64 {
    let found = exposition.value(name, labels);
    found.unwrap_or_else(|| panic!("no sample {name} {labels:?}"))
}

#[test]
fn metrics_tell_what_happened() {
    let watched = Watched::start(&[("latency-tracking", "yes")]);
    let mut client = watched.connect();
    for round in 0..50 {
        client.must(&["SET", &format!("key:{round}"), "value"]);
        client.must(&["GET", &format!("key:{round}")]);
    }
    client.must(&["GET", "nothing"]);
    client.must(&["SET", "short", "lived", "PX", "1"]);
    client.must(&["HSET", "hash", "field", "value"]);
    assert!(client.call(&["INCR", "hash"]).expect("a reply").is_error());
    assert!(client.call(&["GET"]).expect("a reply").is_error());
    // An error code of a script's choice is a label of any characters.
    assert!(client.call(&["EVAL", "return redis.error_reply('A\"\\\\\\nB x')", "0"]).expect("a reply").is_error());
    let lapsed = Instant::now();
    while client.must(&["DBSIZE"]).integer() != Some(51) {
        assert!(lapsed.elapsed() < PATIENCE, "the key does not lapse");
        std::thread::sleep(Duration::from_millis(20));
    }

    let metrics = watched.metrics();
    let command = |metric: &str, name: &str| value(&metrics, metric, &[("command", name)]);
    assert_eq!(command("ferrock_command_calls_total", "set"), 51.0);
    assert_eq!(command("ferrock_command_calls_total", "get"), 51.0);
    assert_eq!(command("ferrock_command_failures_total", "incr"), 1.0);
    assert_eq!(command("ferrock_command_rejections_total", "get"), 1.0);
    assert_eq!(command("ferrock_command_duration_seconds_count", "set"), 51.0);
    assert!(command("ferrock_command_duration_seconds_sum", "set") < PATIENCE.as_secs_f64());
    assert_eq!(value(&metrics, "ferrock_errors_total", &[("code", "WRONGTYPE")]), 1.0);
    assert_eq!(value(&metrics, "ferrock_clients", &[("state", "connected")]), 1.0);
    assert_eq!(value(&metrics, "ferrock_keyspace_hits_total", &[]), 50.0);
    assert_eq!(value(&metrics, "ferrock_keyspace_misses_total", &[]), 1.0);
    assert_eq!(value(&metrics, "ferrock_keys", &[("db", "0")]), 51.0);
    assert_eq!(value(&metrics, "ferrock_expired_keys_total", &[]), 1.0);
    assert!(value(&metrics, "ferrock_cache_hits_total", &[("cache", "record")]) >= 50.0);
    assert!(value(&metrics, "ferrock_network_bytes_total", &[("direction", "input")]) > 1000.0);
    assert!(value(&metrics, "ferrock_wal_written_bytes_total", &[]) > 1000.0);
    for (metric, zero) in [("ferrock_expiry_backlog", 0.0), ("ferrock_wal_failed", 0.0), ("ferrock_replicas", 0.0)] {
        assert_eq!(value(&metrics, metric, &[]), zero, "{metric}");
    }
    let parts = metrics.samples("ferrock_memory_bytes");
    assert!(parts.len() >= 8 && parts.iter().map(|sample| sample.value).sum::<f64>() > 1e6, "{parts:?}");

    // A second look, after more work: counters do not go back.
    client.must(&["GET", "key:1"]);
    let later = watched.metrics();
    for (name, family) in &metrics.families {
        for sample in family.samples.iter().filter(|sample| openmetrics::only_grows(&family.kind, &sample.name)) {
            let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
            let now = value(&later, &sample.name, &labels);
            assert!(now >= sample.value, "{name} went from {} back to {now}", sample.value);
        }
    }
    assert_eq!(value(&later, "ferrock_command_calls_total", &[("command", "get")]), 52.0);
}

#[test]
fn info_and_metrics_agree() {
    let watched = Watched::start(&[]);
    let mut client = watched.connect();
    (0..20).for_each(|round| drop(client.must(&["SET", &round.to_string(), "x"])));
    let info = client.must(&["INFO", "everything"]);
    let info = String::from_utf8_lossy(info.bytes().expect("a text")).into_owned();
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("INFO has no {name}")).to_owned()
    };
    let metrics = watched.metrics();
    let calls = value(&metrics, "ferrock_command_calls_total", &[("command", "set")]);
    assert!(field("cmdstat_set").starts_with(&format!("calls={calls},")), "{}", field("cmdstat_set"));
    assert!(field("db0").starts_with("keys=20,"), "{}", field("db0"));
    let budget: f64 = field("maxmemory_budget").parse().expect("a number");
    assert_eq!(value(&metrics, "ferrock_memory_budget_bytes", &[]), budget);
    let capacity: f64 = field("used_memory_record_cache_capacity").parse().expect("a number");
    assert_eq!(value(&metrics, "ferrock_cache_capacity_bytes", &[("cache", "record")]), capacity);
}

const OPENED: &str = "<!-- The list below is written by tests/metrics.rs. -->\n";

/// The list of metrics is that of a running server.
#[test]
fn the_document_lists_every_metric() {
    let watched = Watched::start(&[]);
    let mut client = watched.connect();
    client.must(&["SET", "key", "value"]);
    assert!(client.call(&["INCR", "key"]).expect("a reply").is_error());
    let row = |(name, family): (&String, &Family)| {
        let labels: Vec<String> = family.labels().iter().map(|label| format!("`{label}`")).collect();
        let suffix = match family.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        format!("| `{name}{suffix}` | {} | {} | {} |\n", family.kind, labels.join(", "), family.help)
    };
    let metrics = watched.metrics();
    let rows: String = metrics.in_order().map(row).collect();
    let list = format!("{OPENED}\n| metric | type | labels | what it tells |\n| --- | --- | --- | --- |\n{rows}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let document = std::fs::read_to_string(path).expect("docs/metrics.md");
    let (before, after) = document.split_once(OPENED).expect("the comment in front of the list");
    let after = after.split_once("\n## ").map_or(String::new(), |(_, rest)| format!("\n## {rest}"));
    let wanted = format!("{before}{list}{after}");
    if std::env::var("FERROCK_METRICS_WRITE").is_ok() {
        std::fs::write(path, wanted).expect("docs/metrics.md can be written");
    } else {
        assert!(
            document == wanted,
            "docs/metrics.md is stale: FERROCK_METRICS_WRITE=yes writes it. It should be\n{list}"
        );
    }
}

/// What the dashboard shows and what the manual would have people called for is there.
#[test]
fn dashboard_and_manual_name_metrics_that_exist() {
    let watched = Watched::start(&[]);
    watched.connect().must(&["SET", "key", "value"]);
    let metrics = watched.metrics();
    let known: Vec<String> =
        metrics.families.iter().flat_map(|(name, family)| openmetrics::names(name, &family.kind)).collect();
    for (path, least) in [("packaging/grafana-dashboard.json", 20), ("docs/operating.md", 12)] {
        let text = std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect(path);
        let mut named = 0;
        // Not the package, `ferrock_*.deb`.
        for rest in text.split("ferrock_").skip(1).filter(|rest| !rest.starts_with('*')) {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
            let name = format!("ferrock_{}", &rest[..end]);
            assert!(known.contains(&name), "{path} asks for {name}");
            named += 1;
        }
        assert!(named >= least, "only {named} names were found in {path}");
    }
}

#[test]
fn a_password_guards_all_but_the_probes() {
    let watched = Watched::start(&[("metrics-user", "ada"), ("metrics-password", "love:lace")]);
    // printf ada:love:lace | base64
    const RIGHT: &str = "authorization: Basic YWRhOmxvdmU6bGFjZQ==\r\n";
    // ada:wrong
    const WRONG: &str = "authorization: Basic YWRhOndyb25n\r\n";
    for path in ["/metrics", "/", "/console.json"] {
        for headers in ["", WRONG, "authorization: Basic\r\n", "authorization: Bearer YWRhOmxvdmU6bGFjZQ==\r\n"] {
            let refused = watched.get_with(path, headers);
            assert_eq!(refused.status, 401, "{path} with {headers:?}");
            assert!(refused.headers["www-authenticate"].starts_with("Basic realm="));
            assert!(!refused.body.contains("ferrock_"), "{}", refused.body);
        }
        assert_eq!(watched.get_with(path, RIGHT).status, 200, "{path}");
    }
    assert_eq!((watched.get("/healthz").status, watched.get("/readyz").status), (200, 200));

    // It changes while the server runs, and nobody is shown it.
    let mut client = watched.connect();
    client.must(&["CONFIG", "SET", "metrics-password", "other"]);
    assert_eq!(watched.get_with("/metrics", RIGHT).status, 401);
    client.must(&["CONFIG", "SET", "metrics-password", ""]);
    assert_eq!(watched.get("/metrics").status, 200);
    assert!(client.call(&["CONFIG", "SET", "metrics-user", "a:b"]).expect("a reply").is_error());
}

/// A page of another site whose name leads to this machine gets nothing.
#[test]
fn without_a_password_only_names_of_this_machine_are_answered() {
    let watched = Watched::start(&[]);
    let as_host = |host: &str| {
        let request = format!("GET /console.json HTTP/1.1\r\nhost: {host}\r\n\r\n");
        watched.send(&request).expect("an answer").status
    };
    assert_eq!((as_host("localhost:1"), as_host("127.0.0.1"), as_host("[::1]:1")), (200, 200, 200));
    assert_eq!((as_host("evil.example"), as_host("localhost.evil.example:1")), (403, 403));
    watched.connect().must(&["CONFIG", "SET", "protected-mode", "no"]);
    assert_eq!(as_host("evil.example"), 200);
}

#[test]
fn listeners_follow_the_settings() {
    let mut watched = Watched::start(&[]);
    let mut client = watched.connect();
    let first = watched.port;
    let next = free_port();
    client.must(&["CONFIG", "SET", "metrics-port", &next.to_string()]);
    assert!(TcpStream::connect(("127.0.0.1", first)).is_err(), "the old port is closed");
    watched.port = next;
    assert_eq!(watched.get("/healthz").status, 200);

    // A port that is taken changes nothing.
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let number = taken.local_addr().expect("an address").port().to_string();
    assert!(client.call(&["CONFIG", "SET", "metrics-port", &number]).expect("a reply").is_error());
    assert_eq!(watched.get("/healthz").status, 200);

    client.must(&["CONFIG", "SET", "metrics-port", "0"]);
    assert!(TcpStream::connect(("127.0.0.1", next)).is_err(), "no port at all");
    client.must(&["CONFIG", "SET", "metrics-port", &next.to_string()]);
    assert_eq!(watched.get("/healthz").status, 200);
}

#[test]
fn readiness_says_why_not() {
    let watched = Watched::start(&[]);
    let ready = watched.get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
    let mut client = watched.connect();
    let disk = i64::MAX.to_string();
    client.must(&["CONFIG", "SET", "min-free-disk", &disk]);
    let began = Instant::now();
    let refused = loop {
        let answer = watched.get("/readyz");
        if answer.status != 200 {
            break answer;
        }
        assert!(began.elapsed() < PATIENCE, "ready though the disk is full");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("min-free-disk"), "{}", refused.body);
    assert_eq!(watched.get("/healthz").status, 200, "restarting would not help");
}

#[test]
fn the_console_gets_its_figures() {
    let watched = Watched::start(&[("slowlog-log-slower-than", "0")]);
    let page = watched.get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.starts_with("<!doctype html>") && page.body.contains("console.json"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        let found = page.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(outside), "the page names {outside}");
    }
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");

    let mut client = watched.connect();
    client.must(&["CLIENT", "SETNAME", "watcher"]);
    for round in 0..200 {
        client.must(&["GET", "hot"]);
        client.must(&["SET", &format!("cold:{round}"), "x"]);
    }
    client.must(&["SET", "big\n\u{1}", &"x".repeat(1 << 20)]);
    client.must(&["SET", "<script>", "quotes \" and \\ back"]);
    let figures = watched.get("/console.json");
    assert_eq!((figures.status, figures.headers["content-type"].as_str()), (200, "application/json"));
    let json: serde_json::Value = serde_json::from_str(&figures.body).expect("JSON");
    assert_eq!(json["hot"][0]["key"], "hot");
    assert_eq!(json["hot"][0]["command"], "get");
    assert!(json["operations"].as_u64() >= Some(400), "{}", json["operations"]);
    assert_eq!(json["big"][0]["key"], "\"big\\n\\x01\"");
    assert_eq!(json["big"][0]["kind"], "string");
    assert_eq!(json["clients"]["shown"][0]["name"], "watcher");
    assert!(json["slow"].as_array().is_some_and(|slow| slow.len() == 20));
    assert_eq!(json["slow"][0]["command"], "SET <script> quotes \" and \\ back");
    // Every field that the page reads is there.
    let levels = json["levels"].as_array();
    assert!(levels.is_some_and(|levels| levels.iter().all(|level| level["files"].is_u64())));
}

#[test]
fn every_answer_says_what_it_is() {
    let watched = Watched::start(&[]);
    for path in ["/", "/metrics", "/healthz", "/readyz", "/console.json", "/nothing"] {
        let answer = watched.get(path);
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert!(answer.headers["content-security-policy"].contains("default-src 'none'"), "{path}");
    }
    let metrics = watched.get("/metrics");
    assert_eq!(metrics.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

#[test]
fn what_is_no_good_request_is_refused() {
    let watched = Watched::start(&[]);
    let status = |request: &str| watched.send(request).map(|answer| answer.status);
    for path in ["/nothing", "/metrics/", "//", "/metrics%00", "/../etc/passwd"] {
        assert_eq!(watched.get(path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        let request = format!("{method} /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello");
        let refused = watched.send(&request).expect("an answer");
        assert_eq!((refused.status, refused.headers["allow"].as_str()), (405, "GET, HEAD"), "{method}");
    }
    assert_eq!(status("GET /metrics?name=x HTTP/1.1\r\nhost: localhost\r\n\r\n"), Some(200));
    assert_eq!(status("GET /healthz HTTP/1.0\r\n\r\n"), Some(200));
    assert_eq!(status("HEAD /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"), Some(200));
    assert_eq!(status("nonsense\r\n\r\n"), Some(400));
    assert_eq!(status("*1\r\n$4\r\nPING\r\n\r\n"), Some(400));
    let long = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(60_000));
    let too_long = status(&long);
    assert!(too_long == Some(431) || too_long.is_none(), "{too_long:?}");
    let many = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert_eq!(status(&many), Some(431));
    let mut junk = watched.stream();
    let _ = junk.write_all(&[0xff; 4096]);
    assert!(read_answer(&mut junk, true).is_none_or(|answer| answer.status == 400));
    assert_eq!(watched.get("/healthz").status, 200);
}

#[test]
fn a_connection_serves_many_requests() {
    let watched = Watched::start(&[]);
    let mut stream = watched.stream();
    for path in ["/healthz", "/metrics", "/nothing", "/readyz"] {
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("the request goes out");
        let answer = read_answer(&mut stream, true).expect("an answer");
        assert_eq!(answer.status, if path == "/nothing" { 404 } else { 200 }, "{path}");
    }
    // Two at once, and one that ends.
    write!(
        stream,
        "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    )
    .expect("the requests go out");
    assert_eq!(read_answer(&mut stream, true).expect("an answer").body, "ok\n");
    assert_eq!(read_answer(&mut stream, true).expect("an answer").body, "ready\n");
    assert!(read_answer(&mut stream, true).is_none(), "closed");
}

/// Silent connections take all places: who comes then is told so, clients of the database notice
/// nothing, and a place that comes free is given away.
#[test]
fn connections_are_limited() {
    let watched = Watched::start(&[]);
    let mut held: Vec<TcpStream> = (0..64).map(|_| watched.stream()).collect();
    // Half a request each, so that they are known to be served.
    for stream in &mut held {
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").expect("half a request");
    }
    let began = Instant::now();
    while read_answer(&mut watched.stream(), true).is_none_or(|answer| answer.status != 503) {
        assert!(began.elapsed() < PATIENCE, "nobody is turned away");
    }
    let mut client = watched.connect();
    client.must(&["SET", "key", "value"]);
    held.truncate(32);
    let began = Instant::now();
    loop {
        let mut stream = watched.stream();
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        if read_answer(&mut stream, true).is_some_and(|answer| answer.status == 200) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "no place comes free");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Those that held out get their answer.
    held[0].write_all(b"host: localhost\r\n\r\n").expect("the rest of the request");
    assert_eq!(read_answer(&mut held[0], true).expect("an answer").status, 200);
}

/// Many ask at once, some of them go away in the middle: everybody else is answered.
#[test]
fn many_readers_and_quitters() {
    let watched = Watched::start(&[]);
    watched.connect().must(&["SET", "key", "value"]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let watched = &watched;
            scope.spawn(move || {
                for _ in 0..10 {
                    if number % 2 == 0 {
                        assert_eq!(watched.get("/metrics").status, 200);
                        assert_eq!(watched.get("/console.json").status, 200);
                    } else {
                        let mut stream = watched.stream();
                        let _ = stream.write_all(b"GET /console.json HTTP/1.1\r\nhost: localhost\r\n\r\n");
                    }
                }
            });
        }
    });
    watched.metrics();
    let log = watched.server.log();
    assert!(!log.contains("panic"), "{log}");
}
