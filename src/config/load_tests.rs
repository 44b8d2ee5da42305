//! Every source of configuration: what it gives, and what it says when it is wrong.

use std::fs;
use std::path::PathBuf;

use super::*;

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

/// Loads as the server does, but takes what is not built yet.
pub(in crate::config) fn load_all(file: Option<&Path>, overrides: &[String]) -> Result<Loaded, ConfigError> {
    let (assembly, source) = assemble(file, overrides)?;
    assembly.check()?;
    let Assembly { settings, notes, .. } = assembly;
    Ok(Loaded { config: Config::new(settings, source), notes })
}

/// Loads a text as a file of this name.
fn file(name: &str, text: &str) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, text).expect("written");
    let shown = format!("{}/", folder.path().display());
    load_all(Some(&path), &[]).map_err(|error| error.to_string().replace(&shown, ""))
}

fn refusal(name: &str, text: &str) -> String {
    file(name, text).expect_err("is refused")
}

fn arguments(text: &[&str]) -> Result<Config, String> {
    let loaded = match text.split_first() {
        Some((first, rest)) if !first.starts_with("--") => load_all(Some(Path::new(first)), &words(rest)),
        _ => load_all(None, &words(text)),
    };
    loaded.map(|loaded| loaded.config).map_err(|error| error.to_string())
}

/// To start without them would leave open what was to be closed.
#[test]
fn a_server_does_not_start_without_what_protects_it() {
    let told = load_arguments(&words(&["--tls-key-file-pass", "x"])).map(|_| ()).map_err(|error| error.to_string());
    let told = told.expect_err("is refused");
    assert!(told.starts_with("command line: tls-key-file-pass: not available: "), "{told}");
    assert!(load_arguments(&words(&["--tls-key-file-pass", "", "--aclfile", ""])).is_ok());
    let set: [(&[u8], &[u8]); 1] = [(b"tls-key-file-pass", b"x")];
    let told = Config::default().set(&set, true, &mut |_| Ok(())).map_err(|error| error.to_string());
    assert!(told.is_err_and(|told| told.contains("not available")));
}

fn value(config: &Config, name: &str) -> String {
    config.load().text(name).expect("a parameter")
}

#[test]
fn toml_takes_its_own_types_and_texts() {
    let config = file(
        "c.toml",
        r#"
port = 7000
maxmemory = "1gb"
proto-max-bulk-len = 1048576
appendonly = false
latency-tracking = "no"
enable-debug-command = true
unixsocketperm = "770"
maxmemory-clients = "5%"
save = ["3600 1", "300 100"]
bind = ["127.0.0.1", "::1"]
client-output-buffer-limit = "pubsub 1mb 2 3"
oom-score-adj-values = [1, 2, 3]
latency-tracking-info-percentiles = [50, 99.9]
PORT = 7001
hash-max-ziplist-entries = 9
user = ["alice on >secret ~* +@all", "bob off"]
rename-command = ['DEBUG ""']
replicaof = "127.0.0.1 6379"
"#,
    );
    let config = config.expect("a right file").config;
    for (name, expected) in [
        ("port", "7001"),
        ("maxmemory", "1073741824"),
        ("proto-max-bulk-len", "1048576"),
        ("appendonly", "no"),
        ("latency-tracking", "no"),
        ("enable-debug-command", "yes"),
        ("unixsocketperm", "770"),
        ("maxmemory-clients", "5%"),
        ("save", "3600 1 300 100"),
        ("bind", "127.0.0.1 ::1"),
        ("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 2 3"),
        ("oom-score-adj-values", "1 2 3"),
        ("latency-tracking-info-percentiles", "50 99.9"),
        ("hash-max-listpack-entries", "9"),
        ("replicaof", "127.0.0.1 6379"),
    ] {
        assert_eq!(value(&config, name), expected, "{name}");
    }
    let settings = config.load();
    assert_eq!(settings.port, 7001);
    assert_eq!(settings.user.0.len(), 2);
    assert_eq!(settings.rename_command.0, [words(&["DEBUG", ""])]);
}

#[test]
fn toml_is_refused_by_line() {
    for (text, expected) in [
        ("port = 1\nprot = 2\n", "c.toml:2: unknown parameter 'prot'; did you mean 'port'?"),
        ("qqqqqqqqqqqq = 2\n", "c.toml:1: unknown parameter 'qqqqqqqqqqqq'"),
        (
            "# x\n\nport = 70000\n",
            "c.toml:3: port: argument must be between 0 and 65535 inclusive \
             (takes an integer from 0 to 65535; given: '70000')",
        ),
        (
            "port = true\n",
            "c.toml:1: port: the wrong type: boolean (takes an integer from 0 to 65535; \
             given: 'true')",
        ),
        ("logfile = 5\n", "c.toml:1: logfile: the wrong type: integer (takes text; given: '5')"),
        (
            "unixsocketperm = 770\n",
            "c.toml:1: unixsocketperm: the wrong type: integer (takes octal digits from 0 to 777; \
             given: '770')",
        ),
        (
            "appendfsync = \"sometimes\"\n",
            "c.toml:1: appendfsync: argument(s) must be one of the following: everysec, always, no \
             (takes one of everysec, always, no; given: 'sometimes')",
        ),
        ("requirepass = 5\n", "c.toml:1: requirepass: the wrong type: integer (takes text)"),
        ("[network]\nport = 1\n", "c.toml:1: 'network' begins a table; parameters stand outside of any"),
        ("tls-port = 6380\n", "c.toml:1: tls-port: it needs tls-cert-file and tls-key-file"),
        ("aclfile = \"x\"\nuser = [\"a on\"]\n", "c.toml:1: aclfile: users stand in it or in this file, not in both"),
        (
            "record-cache-percent = 80\nwrite-buffer-percent = 50\n",
            "c.toml:1: record-cache-percent: with write-buffer-percent it leaves less than \
             10 percent of maxmemory",
        ),
    ] {
        assert_eq!(refusal("c.toml", text), expected);
    }
    for (text, line) in [("port = 1\nhz = \n", "c.toml:2: "), ("port = 1\nport = 2\n", "c.toml:2: ")] {
        let refusal = refusal("c.toml", text);
        assert!(refusal.starts_with(line), "{refusal}");
        assert!(!refusal.contains('\n'), "{refusal}");
    }
}

#[test]
fn redis_conf_is_read_as_redis_reads_it() {
    let text = "\
# A comment
   \t
PORT 7000\r
save 100 1
save 200 2
slave-read-only no
requirepass \"a b\\\"\\x41\"
masterauth 'it''s'
notify-keyspace-events \"\"
client-output-buffer-limit replica 1mb 2 3
client-output-buffer-limit pubsub 1 2 3
user alice on >x ~* +@all
user bob off
rename-command CONFIG \"\"
bind 127.0.0.1 -::1
hz 12
loadmodule /x.so arg
list-max-ziplist-entries 5
";
    // Quotes must be followed by white space, so that line 8 is wrong; then mend it.
    let wrong = refusal("redis.conf", text);
    assert_eq!(wrong, "redis.conf:8: unbalanced quotes in this line");
    let loaded = file("redis.conf", &text.replace("it''s", "it\\'s")).expect("a right file");
    for (name, expected) in [
        ("port", "7000"),
        ("save", "100 1 200 2"),
        ("replica-read-only", "no"),
        ("requirepass", "a b\"A"),
        ("masterauth", "it's"),
        ("notify-keyspace-events", ""),
        ("client-output-buffer-limit", "normal 0 0 0 slave 1048576 2 3 pubsub 1 2 3"),
        ("bind", "127.0.0.1 -::1"),
        ("hz", "12"),
    ] {
        assert_eq!(value(&loaded.config, name), expected, "{name}");
    }
    let settings = loaded.config.load();
    assert_eq!(settings.user.0.len(), 2);
    assert_eq!(settings.rename_command.0, [words(&["CONFIG", ""])]);
    let notes: Vec<String> = loaded.notes.iter().map(|note| note.text.clone()).collect();
    let about = |name: &str| notes.iter().any(|note| note.starts_with(&format!("{name} has no effect: ")));
    for name in ["loadmodule", "list-max-ziplist-entries", "hz", "replica-read-only"] {
        assert!(about(name), "{name}: {notes:?}");
    }
    assert!(!about("port") && !about("bind") && !about("user") && !about("save"), "{notes:?}");
}

#[test]
fn redis_conf_is_refused_by_line() {
    for (text, expected) in [
        ("# x\nport 1\nfoo bar\n", "redis.conf:3: unknown parameter 'foo'"),
        ("port 1\nhz \"a b\n", "redis.conf:2: unbalanced quotes in this line"),
        (
            "port 1 2\n",
            "redis.conf:1: port: wrong number of arguments (takes an integer from 0 to 65535; \
             given: '1 2')",
        ),
        (
            "port\n",
            "redis.conf:1: port: wrong number of arguments (takes an integer from 0 to 65535; \
             given: '')",
        ),
        ("requirepass a b\n", "redis.conf:1: requirepass: wrong number of arguments (takes text)"),
        (
            "cluster-enabled yes\n",
            "redis.conf:1: cluster-enabled: argument(s) must be one of the following: no \
             (takes one of no; given: 'yes')",
        ),
    ] {
        assert_eq!(refusal("redis.conf", text), expected);
    }
}

#[test]
fn include_reads_another_file_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let include = |name: &str| format!("include {}\n", at(name).display());
    let write = |name: &str, text: &str| fs::write(at(name), text).expect("written");
    write("main.conf", &format!("port 1\nhz 11\n{}timeout 3\n", include("a.conf")));
    write("a.conf", "port 2\ntimeout 2\n");
    let config = load(Some(&at("main.conf")), &[]).expect("a right file").config;
    let values = ["port", "hz", "timeout"].map(|name| value(&config, name));
    assert_eq!(values, ["2", "11", "3"]);

    write("a.conf", "port 2\nfoo 2\n");
    let wrong = load(Some(&at("main.conf")), &[]).expect_err("is refused").to_string();
    assert!(wrong.contains("a.conf:2: unknown parameter 'foo'"), "{wrong}");

    write("a.conf", &include("main.conf"));
    let wrong = load(Some(&at("main.conf")), &[]).expect_err("is refused").to_string();
    assert!(wrong.contains("is included too deeply or too often"), "{wrong}");

    write("a.conf", &include("nowhere.conf").repeat(2));
    let wrong = load(Some(&at("main.conf")), &[]).expect_err("is refused").to_string();
    assert!(wrong.contains("a.conf:1: include: "), "{wrong}");
}

/// Two includes in each of two files would read 2^depth of them.
#[test]
fn includes_do_not_multiply() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |number: usize| folder.path().join(format!("{number}.conf"));
    for number in 0..14 {
        let line = format!("include {}\n", at(number + 1).display());
        fs::write(at(number), line.repeat(2)).expect("written");
    }
    fs::write(at(14), "port 1\n").expect("written");
    let wrong = load(Some(&at(0)), &[]).expect_err("is refused").to_string();
    assert!(wrong.contains("too deeply or too often"), "{wrong}");
}

/// As redis-server 7.0.15 understood the same arguments, its own tests included.
#[test]
fn the_command_line_is_read_as_redis_reads_it() {
    for (given, name, expected) in [
        (vec!["--port", "1", "--save", "--appendonly", "no"], "save", ""),
        (vec!["--save", "--appendonly", "no"], "appendonly", "no"),
        (vec!["--port", "1", "--save"], "save", ""),
        (vec!["--save", "100", "1", "200", "2", "--bind", "a", "-b"], "save", "100 1 200 2"),
        (vec!["--save", "100 1 200 2"], "save", "100 1 200 2"),
        (vec!["--save", "100", "1", "--save", "200", "2"], "save", "100 1 200 2"),
        (vec!["--save", "", "--save", "5", "6"], "save", "5 6"),
        (vec!["--save", "5", "6", "--save", ""], "save", ""),
        (vec!["--bind", "127.0.0.1", "-::1", "--port", "1"], "bind", "127.0.0.1 -::1"),
        (
            vec!["--client-output-buffer-limit", "normal", "1mb", "2", "3"],
            "client-output-buffer-limit",
            "normal 1048576 2 3 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        ),
        (vec!["--requirepass", "a b"], "requirepass", "a b"),
        (vec!["--requirepass", "--a", "--port", "1"], "requirepass", "--a"),
        (vec!["--requirepass", "--a", "--port", "1"], "port", "1"),
        (vec!["--requirepass", "--save", "--save", "", "--port", "1"], "requirepass", "--save"),
        (vec!["--maxmemory 700mb", "--port '1'"], "maxmemory", "734003200"),
        (vec!["--maxmemory 700mb", "--port '1'"], "port", "1"),
        (vec!["--requirepass --a", "--port 1"], "requirepass", "--a"),
        (vec!["--shutdown-on-sigint", "nosave", "force", "now"], "shutdown-on-sigint", "nosave now force"),
        (vec!["--shutdown-on-sigterm", "nosave force"], "shutdown-on-sigterm", "nosave force"),
        (vec!["--PORT", "1", "--port", "2"], "port", "2"),
        // An equals sign is Ferrock's own.
        (vec!["--maxmemory=256mb"], "maxmemory", "268435456"),
        (vec!["--requirepass=a=b c"], "requirepass", "a=b c"),
        (vec!["--user", "alice", "on", "nopass"], "port", "6379"),
    ] {
        let config = arguments(&given);
        assert_eq!(config.map(|config| value(&config, name)), Ok(expected.to_owned()), "{given:?}");
    }
    let config = arguments(&["--rename-command", "CONFIG", ""]).expect("right");
    assert_eq!(config.load().rename_command.0, [words(&["CONFIG", ""])]);
}

#[test]
fn the_command_line_is_refused_by_parameter() {
    let wrong = |text: &[&str]| arguments(text).map(|_| ()).expect_err("is refused");
    assert_eq!(wrong(&["--prot", "1"]), "command line: unknown parameter 'prot'; did you mean 'port'?");
    for (given, name, why) in [
        (vec!["--port"], "port", "wrong number of arguments"),
        (vec!["--port", "1", "--loglevel"], "loglevel", "wrong number of arguments"),
        (vec!["--port", "6379", "6380"], "port", "wrong number of arguments"),
        (vec!["--port", "--loglevel", "verbose"], "port", "wrong number of arguments"),
        (vec!["--port", "--bla", "--hz", "1"], "port", "argument couldn't be parsed into an integer"),
        (vec!["--logfile", "--my", "--loglevel", "--bla"], "loglevel", "argument(s) must be one of the following"),
        (vec!["--shutdown-on-sigint"], "shutdown-on-sigint", "argument(s) must be one of the following"),
        (vec!["--replicaof", "127.0.0.1", "abc"], "replicaof", "Invalid master port"),
        (vec!["--replicaof", "--127.0.0.1", "--abc"], "replicaof", "wrong number of arguments"),
    ] {
        let told = wrong(&given);
        assert!(told.starts_with(&format!("command line: {name}: {why}")), "{given:?}: {told}");
    }
    assert!(wrong(&["--"]).starts_with("command line: unknown parameter ''"));
    assert_eq!(wrong(&["--port '1"]), "command line: unbalanced quotes in '--port '1'");
    assert_eq!(
        load(None, &words(&["port", "1"])).map(|_| ()).expect_err("is refused").to_string(),
        "command line: 'port' is no option: write --<parameter> <value>"
    );
    let missing = wrong(&["/nowhere/config.toml", "--port", "1"]);
    assert!(missing.starts_with("/nowhere/config.toml: No such file"), "{missing}");
}

#[test]
fn the_command_line_goes_over_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("any name");
    fs::write(&path, "port = 7000\nsave = \"1 2\"\ntimeout = 5\n").expect("written");
    let path = path.display().to_string();
    let config = arguments(&[&path, "--port", "7001", "--save", "3 4"]).expect("right");
    let values = ["port", "save", "timeout"].map(|name| value(&config, name));
    assert_eq!(values, ["7001", "3 4", "5"]);
    assert_eq!(config.file(), Some(Path::new(&path)));
}

#[test]
fn forms_are_told_by_extension_or_content() {
    for (name, text, form) in [
        ("a.toml", "port 1", Form::Toml),
        ("a.conf", "port = 1", Form::RedisConf),
        ("a", "# x\n\nport = 1\n", Form::Toml),
        ("a", "# x\nport=1", Form::Toml),
        ("a", "[x]\n", Form::Toml),
        ("a", "# x\nport 1\nrequirepass =\n", Form::RedisConf),
        ("a", "requirepass a=b\n", Form::RedisConf),
        ("a", "", Form::RedisConf),
    ] {
        assert_eq!(form_of(Path::new(name), text), form, "{name} {text}");
    }
}

#[test]
fn folders_are_absolute() {
    let config = arguments(&["--dir", "some/./place/"]).expect("right");
    let here = std::env::current_dir().expect("a folder");
    let expected: PathBuf = here.join("some/place");
    assert_eq!(config.load().dir.path(), expected);
    assert_eq!(value(&config, "dir"), expected.display().to_string());
}

#[test]
fn secrets_are_not_told() {
    let text = "masterauth secret1 secret2\n";
    assert!(!refusal("redis.conf", text).contains("secret"));
    let long = "user = [5]\n";
    assert!(!refusal("c.toml", long).contains('5'));
}

/// A file that sets what Debian's redis.conf sets; the server starts with it.
#[test]
fn a_stock_redis_conf_is_taken() {
    let stock = include_str!("redis_defaults.txt");
    let lines: Vec<String> = stock
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| match table().find(name).is_some_and(|row| row.kind.takes_many()) {
            true => format!("{name} {value}"),
            false => format!("{name} \"{value}\""),
        })
        .collect();
    let loaded = file("redis.conf", &lines.join("\n")).expect("a right file");
    assert_eq!(loaded.notes, []);
    let noisy = file("redis.conf", "daemonize yes\nappendonly no\n").expect("a right file");
    assert_eq!(noisy.notes.len(), 2);
}

proptest::proptest! {
    /// Whatever a file says, reading it ends in settings or in a message.
    #[test]
    fn no_file_makes_the_reader_panic(text in r#"([a-z-]{1,12}|port|save|user|bind|=|\[|\]|"|'|#|\\|[0-9]{1,3}|\n| |\PC){0,60}"#) {
        let path = Path::new("x");
        for form in [Form::Toml, Form::RedisConf] {
            if let Err(error) = settings_of(path, &text, form) {
                proptest::prop_assert!(error.to_string().starts_with("x:"));
            }
        }
        let _ = super::super::command_line::directives(&[format!("--{text}"), text]);
    }
}
