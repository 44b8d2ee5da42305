//! CONFIG GET and SET against what redis-server 7.0.15 answered to the same requests
//! (recorded by hand); where Ferrock answers otherwise on purpose, the test says why.

use super::*;

fn get(config: &Config, patterns: &[&str]) -> Vec<(&'static str, String)> {
    let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
    config.get(&patterns)
}

fn value(config: &Config, name: &str) -> String {
    match get(config, &[name]).as_slice() {
        [(_, value)] => value.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    config.set(&pairs, false, &mut |_| Ok(())).map_err(|error| error.to_string())
}

/// The reply to a CONFIG SET that fails.
fn refusal(config: &Config, pairs: &[(&str, &str)]) -> String {
    set(config, pairs).expect_err("is refused")
}

fn failed(name: &str, why: &str) -> String {
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
}

/// `redis-server --save ""`, CONFIG GET: every parameter that Ferrock shares with it
/// and whose default is the same.
const DEFAULTS_OF_REDIS: &str = include_str!("redis_defaults.txt");

#[test]
fn defaults_are_those_of_redis() {
    let config = Config::default();
    let mut compared = 0;
    for line in DEFAULTS_OF_REDIS.lines().filter(|line| !line.starts_with('#')) {
        let (name, expected) = line.split_once('\t').expect("name and value");
        assert_eq!(value(&config, name), expected, "{name}");
        compared += 1;
    }
    assert!(compared > 170, "{compared}");
}

#[test]
fn values_are_shown_in_redis_form() {
    let config = Config::default();
    for (name, given, shown) in [
        ("hz", "1000", "500"),
        ("hz", "0", "1"),
        ("save", "100 1 50 2", "100 1 50 2"),
        ("save", "", ""),
        (
            "client-output-buffer-limit",
            "normal 1mb 2kb 3 replica 1 2 3",
            "normal 1048576 2048 3 slave 1 2 3 pubsub 33554432 8388608 60",
        ),
        (
            "client-output-buffer-limit",
            "normal 0 0 0 normal 1 2 3",
            "normal 1 2 3 slave 1 2 3 pubsub 33554432 8388608 60",
        ),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("maxmemory-clients", "5%", "5%"),
        ("maxmemory-clients", "10mb", "10485760"),
        ("oom-score-adj-values", "3 2 1", "3 2 1"),
        ("latency-tracking-info-percentiles", "50.0 99.95 0", "50 99.95 0"),
        ("latency-tracking-info-percentiles", "", ""),
        ("shutdown-on-sigint", "now default", "now"),
        ("shutdown-on-sigint", "now nosave", "nosave now"),
        ("shutdown-on-sigint", "FORCE", "force"),
        ("loglevel", "DEBUG", "debug"),
        ("auto-aof-rewrite-min-size", "1KB", "1024"),
        ("auto-aof-rewrite-min-size", "64b", "64"),
        ("MAXMEMORY", "5", "5"),
        ("maxmemory", "18446744073709551615", "18446744073709551615"),
        ("maxmemory-policy", "allkeys-lru", "allkeys-lru"),
        ("latency-tracking", "NO", "no"),
        ("list-max-ziplist-size", "-9", "-9"),
        ("lua-time-limit", "0", "0"),
        ("zset-max-ziplist-value", "10kb", "10240"),
        ("masterauth", "a b", "a b"),
        ("slowlog-log-slower-than", "-1", "-1"),
        ("bind", "", ""),
    ] {
        set(&config, &[(name, given)]).expect(name);
        assert_eq!(value(&config, name), shown, "{name} {given}");
    }
}

#[test]
fn refusals_have_redis_texts() {
    let config = Config::default();
    let before = get(&config, &["*"]);
    for (name, given, why) in [
        ("maxmemory", "10mbb", "argument must be a memory value"),
        ("maxmemory", "-1", "argument must be a memory value"),
        ("auto-aof-rewrite-min-size", "1.5gb", "argument must be a memory value"),
        ("auto-aof-rewrite-min-size", "1 kb", "argument must be a memory value"),
        ("hz", "a", "argument couldn't be parsed into an integer"),
        ("timeout", "-1", "argument must be between 0 and 2147483647 inclusive"),
        ("timeout", "9999999999", "argument must be between 0 and 2147483647 inclusive"),
        ("timeout", "99999999999999999999", "argument couldn't be parsed into an integer"),
        ("timeout", "", "argument couldn't be parsed into an integer"),
        ("timeout", " 1", "argument couldn't be parsed into an integer"),
        ("timeout", "010", "argument couldn't be parsed into an integer"),
        ("timeout", "+1", "argument couldn't be parsed into an integer"),
        ("timeout", "1 2", "argument couldn't be parsed into an integer"),
        ("appendfsync", "foo", "argument(s) must be one of the following: everysec, always, no"),
        ("save", "a b", "Invalid save parameters"),
        ("save", "100 1 10", "Invalid save parameters"),
        ("save", "0 1", "Invalid save parameters"),
        ("save", "100 -1", "Invalid save parameters"),
        ("save", "  100   1 ", "Invalid save parameters"),
        ("client-output-buffer-limit", "foo 1 2 3", "Invalid client class specified in buffer limit configuration."),
        ("client-output-buffer-limit", "normal 1 2", "Wrong number of arguments in buffer limit configuration."),
        (
            "client-output-buffer-limit",
            "normal -1 0 0",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        ("notify-keyspace-events", "xyq!", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ("maxmemory-clients", "101%", "percentage argument must be less or equal to 100"),
        ("maxmemory-clients", "x%", "argument must be a memory or percent value"),
        ("maxmemory-clients", "-1", "argument must be a memory or percent value"),
        ("oom-score-adj-values", "1 2", "wrong number of arguments"),
        ("oom-score-adj-values", "1 -2001 3", "Invalid oom-score-adj-values, elements must be between -2000 and 2000."),
        ("oom-score-adj", "foo", "argument(s) must be one of the following: no, yes, relative, absolute"),
        (
            "latency-tracking-info-percentiles",
            "1 101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        ("latency-tracking-info-percentiles", "a", "Invalid latency-tracking-info-percentiles parameters"),
        ("enable-debug-command", "yes", "can't set immutable config"),
        ("slaveof", "x", "can't set immutable config"),
        ("databases", "3", "can't set immutable config"),
        ("DATABASES", "3", "can't set immutable config"),
        ("dir", "/nonexist", "can't set protected config"),
        ("dbfilename", "x", "can't set protected config"),
        ("appendonly", "maybe", "argument must be 'yes' or 'no'"),
        ("hash-max-listpack-entries", "-1", "argument must be between 0 and 9223372036854775807 inclusive"),
        ("list-max-ziplist-size", "99999999999", "argument must be between -2147483648 and 2147483647 inclusive"),
        ("proc-title-template", "{foo}", "template format is invalid or contains unknown variables"),
        (
            "shutdown-on-sigint",
            "now foo",
            "argument(s) must be one of the following: default, save, nosave, now, force",
        ),
        ("shutdown-on-sigint", "", "argument(s) must be one of the following: default, save, nosave, now, force"),
        ("shutdown-on-sigint", "save nosave", "shutdown options SAVE and NOSAVE can't be used simultaneously"),
        ("cluster-announce-hostname", "_-/", "Hostnames may only contain alphanumeric characters, hyphens or dots"),
        ("client-query-buffer-limit", "1", "argument must be between 1048576 and 9223372036854775807 inclusive"),
        (
            "client-query-buffer-limit",
            "9223372036854775808",
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        ("acl-pubsub-default", "foo", "argument(s) must be one of the following: allchannels, resetchannels"),
        (
            "maxmemory-policy",
            "foo",
            "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, \
             volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction",
        ),
        ("slowlog-log-slower-than", "-2", "argument must be between -1 and 9223372036854775807 inclusive"),
        ("port", "70000", "argument must be between 0 and 65535 inclusive"),
        ("unixsocket", "x", "can't set immutable config"),
        // Redis takes the largest number that it can hold, and "kb" for no bytes.
        ("maxmemory", "18446744073709551616", "argument must be a memory value"),
        ("maxmemory", "kb", "argument must be a memory value"),
    ] {
        assert_eq!(refusal(&config, &[(name, given)]), failed(name, why), "{name} {given}");
    }
    assert_eq!(get(&config, &["*"]), before);
}

#[test]
fn pairs_hold_together_or_not_at_all() {
    let config = Config::default();
    let before = get(&config, &["*"]);
    let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'Foo'";
    assert_eq!(refusal(&config, &[("maxmemory", "1"), ("Foo", "2"), ("bar", "3")]), unknown);
    assert_eq!(refusal(&config, &[("hz", "a"), ("Foo", "2")]), unknown);
    assert_eq!(
        refusal(&config, &[("databases", "1"), ("foo", "2")]),
        failed("databases", "can't set immutable config")
    );
    assert_eq!(refusal(&config, &[("hz", "a"), ("hz", "10")]), failed("hz", "duplicate parameter"));
    assert_eq!(
        refusal(&config, &[("maxmemory", "1"), ("hz", "a")]),
        failed("hz", "argument couldn't be parsed into an integer")
    );
    assert_eq!(get(&config, &["*"]), before);
    let changed = set(&config, &[("maxmemory", "3000000"), ("timeout", "0"), ("hz", "11")]);
    assert_eq!(changed, Ok(vec!["hz", "maxmemory"]));
}

#[test]
fn directives_of_files_are_no_parameters() {
    let config = Config::default();
    for name in ["user", "rename-command", "include", "loadmodule"] {
        let unknown = format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
        assert_eq!(refusal(&config, &[(name, "x")]), unknown);
        assert_eq!(get(&config, &[name]), []);
    }
}

#[test]
fn aliases_are_names_of_their_own() {
    let config = Config::default();
    let both = [("hash-max-listpack-entries", "1"), ("hash-max-ziplist-entries", "2")];
    set(&config, &both).expect("not duplicates");
    assert_eq!(
        get(&config, &["hash-max-*-entries"]),
        [("hash-max-listpack-entries", "2".to_owned()), ("hash-max-ziplist-entries", "2".to_owned())]
    );
    assert_eq!(
        refusal(&config, &[("LUA-TIME-LIMIT", "a")]),
        failed("lua-time-limit", "argument couldn't be parsed into an integer")
    );
}

#[test]
fn patterns_find_each_parameter_once() {
    let config = Config::default();
    let names = |patterns: &[&str]| -> Vec<&str> { get(&config, patterns).iter().map(|(name, _)| *name).collect() };
    assert_eq!(names(&["save", "sav?", "s[ab]v[e]", "SAVE", "nothing"]), ["save"]);
    assert_eq!(names(&["APPENDFS*", "timeout"]), ["timeout", "appendfsync"]);
    assert!(names(&["*"]).len() > 190);
}

#[test]
fn hidden_parameters_answer_to_their_names_only() {
    let config = Config::default();
    assert_eq!(get(&config, &["rdb-key-save-dela*"]), []);
    assert_eq!(value(&config, "rdb-key-save-delay"), "0");
    assert_eq!(set(&config, &[("use-exit-on-panic", "yes")]), Ok(vec!["use-exit-on-panic"]));
}

#[test]
fn protected_parameters_need_permission() {
    let config = Config::default();
    let dir = value(&config, "dir");
    let set = |name: &str, value: &str| {
        let pairs: [(&[u8], &[u8]); 1] = [(name.as_bytes(), value.as_bytes())];
        config.set(&pairs, true, &mut |_| Ok(())).map_err(|error| error.to_string())
    };
    assert_eq!(set("dbfilename", "x.rdb"), Ok(vec!["dbfilename"]));
    let path = "dbfilename can't be a path, just a filename";
    assert_eq!(set("dbfilename", "a/b"), Err(failed("dbfilename", path)));
    assert_eq!(set("dir", &dir), Ok(vec![]));
    // Redis would go there; a database cannot move while it is open.
    assert_eq!(set("dir", "/tmp"), Err(failed("dir", "it cannot change while the server runs")));
    assert!(ProtectedAction::Local.allows(true) && !ProtectedAction::Local.allows(false));
}

#[test]
fn what_cannot_be_applied_is_undone() {
    let config = Config::default();
    let pairs: [(&[u8], &[u8]); 2] = [(b"maxmemory", b"1gb"), (b"PORT", b"1")];
    let mut seen = Vec::new();
    let mut apply = |changes: &Changes<'_>| {
        assert!(changes.touch(&["port"]) && !changes.touch(&["hz"]));
        seen.push((changes.before.port, changes.after.port));
        match changes.after.port {
            1 => Err(Unapplied { parameter: "port", why: "Unable to listen on this port.".into() }),
            _ => Ok(()),
        }
    };
    let outcome = config.set(&pairs, false, &mut apply).map_err(|error| error.to_string());
    assert_eq!(outcome, Err(failed("port", "Unable to listen on this port.")));
    assert_eq!(seen, [(6379, 1), (1, 6379)]);
    assert_eq!(config.load().maxmemory, 512 << 20);
}

#[test]
fn readers_see_changes() {
    let config = Config::default();
    let mut reader = config.reader();
    assert_eq!(reader.load().slowlog_max_len, 128);
    set(&config, &[("slowlog-max-len", "7")]).expect("valid");
    assert_eq!(reader.load().slowlog_max_len, 7);
    assert_eq!(config.snapshot().slowlog_max_len, 7);
    assert_eq!(config.load().text("SLOWLOG-MAX-LEN").as_deref(), Some("7"));
}

#[test]
fn values_are_text() {
    let config = Config::default();
    let pairs: [(&[u8], &[u8]); 1] = [(b"requirepass", b"\xff")];
    let outcome = config.set(&pairs, false, &mut |_| Ok(())).map_err(|error| error.to_string());
    assert_eq!(outcome, Err(failed("requirepass", "argument must be valid UTF-8 text")));
}

#[test]
fn the_budget_of_no_number_is_a_quarter_of_the_machine() {
    let mut settings = Settings::default();
    assert_eq!(settings.memory_budget(8 << 30), 512 << 20);
    settings.maxmemory = 0;
    assert_eq!(settings.memory_budget(8 << 30), 2 << 30);
}
