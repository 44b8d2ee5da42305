//! Backups, checkpoints and save points, and what `ferrock stats` and `ferrock compact` say and do: end to
//! end, on data of every type. Contents are compared by DEBUG DIGEST, which does not
//! depend on how values are stored.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use ferrock::transfer::backup::{BackupFolder, Description};
use support::values::{self, Noise, words};
use support::{Connection, Protocol, Reply, Server, Target};

/// How long something in the background may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const LIBRARY: &str = "#!lua name=answers\nredis.register_function('answer', function() return 42 end)";

// ---- data ---------------------------------------------------------------------------

/// Values of every type, small and large, with deadlines, groups and a function library. Of another seed
/// they are others.
fn fill(client: &mut Connection, seed: u64) {
    let mut noise = Noise::new(seed);
    let strings = [0, 5, 1000, 60_000, 400_000]
        .map(|length| words(&[b"SET", format!("{seed}:string:{length}").as_bytes(), &noise.bytes(length)]));
    let mut commands = strings.to_vec();
    commands.extend(values::collections(seed, 2000, &mut noise));
    commands.push(words(&[b"SELECT", b"9"]));
    commands.push(words(&[b"SET", format!("{seed}:elsewhere").as_bytes(), b"value"]));
    commands.push(words(&[b"SELECT", b"0"]));
    commands.push(words(&[b"FUNCTION", b"LOAD", b"REPLACE", LIBRARY.as_bytes()]));
    values::run(client, &commands);
}

fn digest(server: &Server) -> String {
    let mut client = server.connect(Protocol::Resp2);
    assert_eq!(client.must(&["FCALL", "answer", "0"]), Reply::Integer(42), "the function library");
    text_of(&client.must(&["DEBUG", "DIGEST"]))
}

fn text_of(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.bytes().expect("a text")).into_owned()
}

fn new_ferrock() -> Server {
    Server::start_with(Target::Ferrock, &[])
}

/// A field of INFO persistence.
fn field(client: &mut Connection, name: &str) -> String {
    let info = text_of(&client.must(&["INFO", "persistence"]));
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("{name} is not in {info}")).to_owned()
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

// ---- the command line -----------------------------------------------------------------

fn ferrock(words: &[&str]) -> Output {
    let done = Command::new(env!("CARGO_BIN_EXE_ferrock")).args(words).stdin(Stdio::null()).output();
    done.expect("ferrock runs")
}

/// What it says on both outputs.
fn said(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

#[track_caller]
fn must(words: &[&str]) -> String {
    let done = ferrock(words);
    assert!(done.status.success(), "ferrock {}: {}", words.join(" "), said(&done));
    said(&done)
}

#[track_caller]
fn must_fail(words: &[&str]) -> String {
    let done = ferrock(words);
    assert_eq!(done.status.code(), Some(1), "ferrock {}: {}", words.join(" "), said(&done));
    said(&done)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}

fn describe(target: &Path, id: u64) -> Description {
    BackupFolder::open(target).expect("a folder of backups").describe(Some(id)).expect("a backup")
}

/// A server on what a backup holds.
#[track_caller]
fn restored(target: &Path, id: u64) -> Server {
    let mut server = new_ferrock();
    server.terminate();
    std::fs::remove_dir_all(server.data()).expect("an empty place");
    must(&["restore-backup", "--dir", text(&server.data()), "--id", &id.to_string(), text(target)]);
    must(&["check", "--dir", text(&server.data())]);
    server.restart();
    server
}

/// A folder of backups with one of a stopped server's data.
fn backed_up() -> (tempfile::TempDir, PathBuf) {
    let mut server = new_ferrock();
    fill(&mut server.connect(Protocol::Resp2), 1);
    server.terminate();
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    must(&["backup", "--dir", text(&server.data()), text(&target)]);
    (folder, target)
}

// ---- backups ----------------------------------------------------------------------------

/// Three backups between changes, each put back; files are shared; pruning leaves the rest whole.
#[test]
fn backups_come_back_each_as_it_was() {
    let mut server = new_ferrock();
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let data = server.data();
    let mut digests = Vec::new();
    for round in 1..=3 {
        let mut client = server.connect(Protocol::Resp2);
        if round < 3 {
            fill(&mut client, round);
        } else {
            client.must(&["DEL", "1:list:2000", "1:string:5"]);
            client.must(&["SREM", "2:set:3", "x"]);
            client.must(&["HSET", "1:hash:2000", "e7", "another"]);
        }
        digests.push(digest(&server));
        server.terminate();
        must(&["backup", "--dir", text(&data), text(&target)]);
        server.restart();
        assert_eq!(digest(&server), digests[round as usize - 1], "a backup changes nothing");
    }
    assert_eq!(digests.iter().collect::<BTreeSet<_>>().len(), 3);
    let stored = |id: u64| describe(&target, id).files.into_iter().map(|file| (file.sha256, file.bytes));
    let first: BTreeSet<_> = stored(1).collect();
    let shared: u64 = stored(2).filter(|file| first.contains(file)).map(|(_, bytes)| bytes).sum();
    assert!(shared > 400_000, "{shared} bytes of the first backup are the second's too");
    for (id, digest_then) in (1..).zip(&digests) {
        assert_eq!(digest(&restored(&target, id)), *digest_then, "backup {id}");
    }
    let list = must(&["backup", "--list", text(&target)]);
    assert!(list.lines().count() == 3 && list.contains(text(&data)), "{list}");
    let pruned = must(&["backup", "--keep", "1", text(&target)]);
    assert!(pruned.contains("removed: backup 1, 2"), "{pruned}");
    must(&["backup", "--verify", text(&target)]);
    let files = std::fs::read_dir(target.join("files")).expect("the files").count();
    assert_eq!(files, stored(3).collect::<BTreeSet<_>>().len(), "and no others");
    assert_eq!(digest(&restored(&target, 3)), digests[2]);
    let into = folder.path().join("into");
    let refused = must_fail(&["restore-backup", "--dir", text(&into), "--id", "1", text(&target)]);
    assert!(refused.contains("there is no backup 1"), "{refused}");
    server.terminate();
    must(&["backup", "--dir", text(&data), "--keep", "1", text(&target)]);
    assert_eq!(describe(&target, 4).id, 4, "numbers are not used again");
}

/// What only the log has at the moment of a kill is in the backup.
#[test]
fn a_backup_has_what_is_in_the_log_only() {
    let mut server = new_ferrock();
    fill(&mut server.connect(Protocol::Resp2), 1);
    let expected = digest(&server);
    server.kill();
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    must(&["backup", "--dir", text(&server.data()), text(&target)]);
    assert_eq!(digest(&restored(&target, 1)), expected);
    let left = std::fs::read_dir(server.data()).expect("the directory");
    let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("checkpoint")), "{left:?}");
}

/// One flipped byte anywhere in a folder of backups is found and named, and never put back.
#[test]
fn a_flipped_byte_is_found() {
    let (folder, target) = backed_up();
    let into = folder.path().join("into");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(target.join("files"))
        .expect("the files")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.metadata().is_ok_and(|found| found.len() > 0))
        .collect();
    assert!(paths.len() > 4, "{paths:?}");
    paths.push(target.join("backup-1.toml"));
    let mut random = fastrand::Rng::with_seed(5);
    for path in paths {
        let whole = std::fs::read(&path).expect("a file");
        let mut damaged = whole.clone();
        damaged[random.usize(..whole.len())] ^= 1 << random.u8(..8);
        std::fs::write(&path, &damaged).expect("the damage is done");
        let found = must_fail(&["backup", "--verify", text(&target)]);
        assert!(found.contains("1 findings") && found.contains(text(&path)), "{found}");
        let refused = must_fail(&["restore-backup", "--dir", text(&into), text(&target)]);
        assert!(refused.contains(text(&path)) && refused.contains("is damaged"), "{refused}");
        std::fs::write(&path, &whole).expect("it is mended");
    }
    // The directory, in which an interrupted restore lies, is refused until one has succeeded.
    let refused = must_fail(&["check", "--dir", text(&into)]);
    assert!(refused.contains("restore-backup` again"), "{refused}");
    must(&["restore-backup", "--dir", text(&into), text(&target)]);
    must(&["check", "--dir", text(&into)]);
    let refused = must_fail(&["restore-backup", "--dir", text(&into), text(&target)]);
    assert!(refused.contains("is not empty"), "{refused}");
}

#[test]
fn a_lost_file_is_found_and_copied_again_by_the_next_backup() {
    let (folder, target) = backed_up();
    let data = folder.path().join("data");
    must(&["restore-backup", "--dir", text(&data), text(&target)]);
    let largest = describe(&target, 1).files.into_iter().max_by_key(|file| file.bytes).expect("files");
    std::fs::remove_file(target.join("files").join(&largest.sha256)).expect("it is lost");
    let found = must_fail(&["backup", "--verify", text(&target)]);
    assert!(found.contains(&largest.sha256), "{found}");
    must(&["backup", "--dir", text(&data), text(&target)]);
    must(&["backup", "--verify", text(&target)]);
}

#[test]
fn other_folders_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("letter"), "dear").expect("a file");
    let data = folder.path().join("none");
    for target in [folder.path(), &folder.path().join("missing")] {
        let refused = must_fail(&["backup", "--verify", text(target)]);
        assert!(refused.contains("there is no backup in"), "{refused}");
    }
    let refused = must_fail(&["backup", "--dir", text(&data), text(folder.path())]);
    assert!(refused.contains("no folder of backups"), "{refused}");
    let refused = must_fail(&["backup", "--dir", text(&data), text(&folder.path().join("new"))]);
    assert!(refused.contains(text(&data)), "{refused}");
    std::fs::write(folder.path().join("ferrock-backups"), "version 2\n").expect("a mark");
    let refused = must_fail(&["backup", "--list", text(folder.path())]);
    assert!(refused.contains("version 2"), "{refused}");
    assert_eq!(ferrock(&["backup", text(folder.path())]).status.code(), Some(2), "nothing to do");
}

// ---- snapshots of a running server -----------------------------------------------------------

/// BGSAVE makes checkpoints, of which backups are made while the server goes on.
#[test]
fn a_running_server_is_backed_up_by_its_checkpoint() {
    let server = new_ferrock();
    let mut client = server.connect(Protocol::Resp2);
    fill(&mut client, 1);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("backups");
    let refused = must_fail(&["backup", "--dir", text(&server.data()), text(&target)]);
    assert!(refused.contains("is in use by process") && refused.contains("save-format checkpoint"), "{refused}");
    client.must(&["CONFIG", "SET", "save-format", "checkpoint"]);
    let expected = digest(&server);
    assert_ne!(field(&mut client, "rdb_changes_since_last_save"), "0");
    assert_eq!(text_of(&client.must(&["BGSAVE"])), "Background saving started");
    wait_until("the checkpoint", || field(&mut client, "rdb_saves") == "1");
    assert_eq!(field(&mut client, "rdb_bgsave_in_progress"), "0");
    assert_eq!(field(&mut client, "rdb_last_bgsave_status"), "ok");
    assert_eq!(field(&mut client, "rdb_changes_since_last_save"), "0");
    assert_eq!(
        client.must(&["LASTSAVE"]).integer().map(|s| s.to_string()),
        Some(field(&mut client, "rdb_last_save_time"))
    );
    client.must(&["SET", "later", "value"]);
    let checkpoint = server.data().join("checkpoint");
    must(&["backup", "--dir", text(&checkpoint), text(&target)]);
    assert_eq!(digest(&restored(&target, 1)), expected);
    let stats = must(&["stats", "--dir", text(&checkpoint)]);
    assert!(stats.starts_with("16 keys"), "{stats}");
    assert_eq!(client.must(&["SAVE"]), Reply::ok());
    must(&["backup", "--dir", text(&checkpoint), text(&target)]);
    let now = digest(&server);
    assert_ne!(now, expected);
    assert_eq!(digest(&restored(&target, 2)), now);
    let checkpoints = std::fs::read_dir(server.data()).expect("the directory").filter(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        name.to_string_lossy().starts_with("checkpoint-")
    });
    assert_eq!(checkpoints.count(), 1, "the one before has gone");
    assert!(!server.data().join("dump.rdb").exists());
}

/// Save points make snapshots by themselves, and one when the server stops.
#[test]
fn save_points_are_kept() {
    for target in [Target::Ferrock, Target::Redis] {
        let mut server = Server::start_with(target, &[("save", "1 3"), ("appendonly", "no")]);
        let mut client = server.connect(Protocol::Resp2);
        let file = server.data().join("dump.rdb");
        assert_eq!(
            client.must(&["CONFIG", "GET", "save"]),
            Reply::Array(vec![Reply::bulk("save"), Reply::bulk("1 3")])
        );
        for number in 0..3 {
            client.must(&["SET", &format!("key {number}"), "value"]);
        }
        wait_until("the snapshot of a save point", || file.exists());
        wait_until("its end", || field(&mut client, "rdb_changes_since_last_save") == "0");
        std::fs::remove_file(&file).expect("it is there");
        client.must(&["SET", "one more", "value"]);
        server.terminate();
        assert!(file.exists(), "one before stopping");
        server.restart();
        assert_eq!(server.connect(Protocol::Resp2).must(&["DBSIZE"]), Reply::Integer(4));
        std::fs::remove_file(&file).expect("it is there");
        let mut client = server.connect(Protocol::Resp2);
        client.must(&["SET", "the last", "value"]);
        client.send(&["SHUTDOWN", "NOSAVE"]).expect("it is sent");
        wait_until("the end of the server", || !server.alive());
        assert!(!file.exists(), "NOSAVE");
    }
}

/// Without save points nothing happens by itself.
#[test]
fn without_save_points_stopping_saves_nothing() {
    let mut server = new_ferrock();
    server.connect(Protocol::Resp2).must(&["SET", "key", "value"]);
    server.terminate();
    assert!(!server.data().join("dump.rdb").exists());
}

/// A snapshot that fails says so, leaves the one before, and the next one may succeed.
#[test]
fn a_failed_snapshot_is_told() {
    let server = Server::start_with(Target::Ferrock, &[("save-format", "checkpoint"), ("checkpoint-dirname", "copy")]);
    let mut client = server.connect(Protocol::Resp2);
    let way = server.data().join("copy");
    std::fs::create_dir(&way).expect("something in the way");
    let refused = client.call(&["SAVE"]).expect("a reply");
    let Reply::Error(why) = refused else { panic!("{refused:?}") };
    let why = String::from_utf8_lossy(&why).into_owned();
    assert!(why.contains("is in the way"), "{why}");
    client.must(&["BGSAVE"]);
    wait_until("the end of the snapshot", || field(&mut client, "rdb_bgsave_in_progress") == "0");
    assert_eq!(field(&mut client, "rdb_last_bgsave_status"), "err");
    std::fs::remove_dir(&way).expect("it is out of the way");
    assert_eq!(client.must(&["SAVE"]), Reply::ok());
    assert_eq!(field(&mut client, "rdb_last_bgsave_status"), "ok");
    assert!(way.join("CURRENT").exists());
}

/// DEBUG RELOAD as its users know it: the data stay, unknown options are refused.
#[test]
fn a_reload_keeps_everything() {
    let server = Server::start();
    let mut client = server.connect(Protocol::Resp2);
    fill(&mut client, 1);
    let expected = digest(&server);
    assert_eq!(client.must(&["DEBUG", "RELOAD"]), Reply::ok());
    assert_eq!(digest(&server), expected);
    let refused = client.call(&["DEBUG", "RELOAD", "TWICE"]).expect("a reply");
    assert!(refused.error_starts_with("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."));
    assert_eq!(client.must(&["DEBUG", "RELOAD", "MERGE", "NOFLUSH"]), Reply::ok());
    assert_eq!(digest(&server), expected);
    assert_eq!(text_of(&client.must(&["BGREWRITEAOF"])), "Background append only file rewriting started");
    wait_until("the rewriting", || field(&mut client, "aof_rewrite_in_progress") == "0");
    assert_eq!(field(&mut client, "aof_last_bgrewrite_status"), "ok");
}

// ---- stats and compact -------------------------------------------------------------------------

#[test]
fn stats_tell_what_is_there() {
    let mut server = new_ferrock();
    let mut client = server.connect(Protocol::Resp2);
    for number in 0..10 {
        client.must(&["SET", &format!("user:{number}:name"), "0123456789"]);
    }
    client.must(&["EXPIRE", "user:3:name", "100"]);
    client.must(&["EXPIRE", "user:4:name", "1000000"]);
    client.must(&["SADD", "tags", "one", "two"]);
    client.must(&["SET", "gone", "value", "PX", "1"]);
    for number in 0..2000 {
        client.must(&["HSET", "shop:stock", &format!("article {number:04}"), "0123456789"]);
    }
    client.must(&["SELECT", "3"]);
    client.must(&["RPUSH", "queue:mail", "a"]);
    wait_until("the deadline", || client.must(&["EXISTS", "gone"]) == Reply::Integer(0));
    server.terminate();
    let data = server.data();
    let json = must(&["stats", "--dir", text(&data), "--json", "--prefixes", "2", "--top", "1"]);
    let found: serde_json::Value = serde_json::from_str(json.trim()).expect("JSON");
    let at = |path: &str| found.pointer(path).unwrap_or_else(|| panic!("{path} is not in {json}")).clone();
    assert_eq!(at("/keys"), 13);
    let databases: Vec<_> =
        at("/databases").as_array().expect("a list").iter().map(|one| one["database"].clone()).collect();
    assert_eq!(databases, [0, 3]);
    assert_eq!(at("/databases/0/types/string/keys"), 10);
    // Six bytes before a name of eleven, two before a value of ten; a deadline in the record, and one in the
    // index with thirteen before the name.
    assert_eq!(at("/databases/0/types/string/bytes"), 10 * (6 + 11 + 2 + 10) + 2 * (8 + 13 + 11));
    assert_eq!(at("/databases/0/types/set/keys"), 1);
    assert_eq!(at("/databases/0/deadlines/keys"), 2);
    assert_eq!(at("/databases/0/deadlines/within_hour"), 1);
    assert_eq!(at("/databases/0/deadlines/within_30_days"), 1);
    assert_eq!(at("/databases/0/prefixes/0/prefix"), "shop:");
    assert_eq!(at("/databases/0/prefixes/1/prefix"), "user:");
    assert_eq!(at("/databases/0/prefixes/1/keys"), 10);
    assert_eq!(at("/databases/0/prefixes/1/bytes"), at("/databases/0/types/string/bytes"));
    assert_eq!(at("/databases/0/other_prefixes/keys"), 1);
    assert_eq!(at("/databases/1/prefixes/0/prefix"), "queue:");
    assert_eq!(at("/biggest").as_array().map(Vec::len), Some(1));
    assert_eq!(at("/biggest/0/key"), "shop:stock");
    assert_eq!(at("/biggest/0/parts"), 2000);
    let bytes = at("/biggest/0/bytes").as_u64().expect("a number");
    assert!((2000 * 30..2000 * 60).contains(&bytes), "{bytes} bytes for 2000 names of 12 and values of 10");
    let sum = |path: &str| {
        at(path).as_array().expect("a list").iter().map(|one| one["bytes"].as_u64().unwrap_or(0)).sum::<u64>()
    };
    assert_eq!(
        at("/bytes"),
        at("/databases/0/bytes").as_u64().unwrap_or(0) + at("/databases/1/bytes").as_u64().unwrap_or(0)
    );
    assert!(sum("/families") > 0);
    assert_eq!(sum("/families/0/levels"), at("/families/0/bytes").as_u64().expect("a number"));
    let deep = must(&["stats", "--dir", text(&data), "--depth", "2"]);
    for line in ["13 keys", "database 3: 1 keys", "user:3:", "biggest keys:", "shop:stock", "2 with a deadline"] {
        assert!(deep.contains(line), "{line} is not in\n{deep}");
    }
}

#[test]
fn compacting_gives_space_back_and_changes_nothing() {
    let mut server = new_ferrock();
    let mut client = server.connect(Protocol::Resp2);
    fill(&mut client, 1);
    client.must(&["DEBUG", "RELOAD"]);
    client.must(&["DEL", "1:string:400000", "1:list:2000"]);
    let expected = digest(&server);
    server.kill();
    let data = server.data();
    let size = || {
        let json = must(&["stats", "--dir", text(&data), "--json"]);
        let found: serde_json::Value = serde_json::from_str(json.trim()).expect("JSON");
        let families = found["families"].as_array().expect("a list").iter();
        families.map(|family| family["bytes"].as_u64().expect("a number")).sum::<u64>()
    };
    let before = size();
    let one = must(&["compact", "--dir", text(&data), "--family", "keys"]);
    assert!(one.contains("keys") && !one.contains("data "), "{one}");
    let all = must(&["compact", "--dir", text(&data)]);
    assert!(all.contains("data ") && all.contains("together"), "{all}");
    let after = size();
    assert!(after + 400_000 < before, "{before} bytes before, {after} after");
    must(&["check", "--dir", text(&data)]);
    assert_eq!(ferrock(&["compact", "--dir", text(&data), "--family", "toys"]).status.code(), Some(2));
    server.restart();
    assert_eq!(digest(&server), expected);
}
