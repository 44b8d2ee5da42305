//! A byte of a database's files flips: what is read afterwards is right or refused, never wrong, and nothing
//! panics; `ferrock check` names the file; `ferrock repair` saves the rest and says what is lost.
//!
//! `FERROCK_DAMAGE_ROUNDS` (default 40), `FERROCK_DAMAGE_SEED` (default 1). Every round damages a copy of one
//! database: sorted files of all families, and a write-ahead log that a kill has left.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fastrand::Rng;
use support::values::{self, Noise, words};
use support::{Protocol, Reply, Server, Target, dial};

/// A server reads damaged files in one round of so many.
const ROUNDS_A_SERVER: u64 = 8;

/// Files that hold no data and that nobody needs: RocksDB's reports, its identity, settings that it was opened
/// with, the process id in a lock. Others must not pass unnoticed unless all that can be read is right.
const HARMLESS: [&str; 5] = ["LOG", "IDENTITY", "OPTIONS", "ferrock.lock", "LOCK"];

fn ferrock(words: &[&str]) -> Output {
    let done = Command::new(env!("CARGO_BIN_EXE_ferrock")).args(words).stdin(Stdio::null()).output();
    done.expect("ferrock runs")
}

fn on(directory: &Path, words: &[&str]) -> Output {
    let directory = directory.to_str().expect("a temporary path is text");
    let [command, others @ ..] = words else { panic!("a command") };
    let done = ferrock(&[&[*command, "--dir", directory][..], others].concat());
    let said = text(&done);
    assert!(done.status.code().is_some_and(|code| code <= 2), "{words:?} ended with {}: {said}", done.status);
    assert!(!said.contains("panicked"), "{words:?}: {said}");
    done
}

fn text(done: &Output) -> String {
    let shown = if done.stdout.len() < 1 << 20 { &done.stdout[..] } else { &[] };
    String::from_utf8_lossy(&[shown, &done.stderr].concat()).into_owned()
}

/// Writes values of every type, inline and large.
fn load(server: &Server, seed: u64) {
    let mut noise = Noise::new(seed);
    let mut string =
        |name: usize, length| words(&[b"SET", format!("{seed}:string:{name}").as_bytes(), &noise.bytes(length)]);
    let mut commands: Vec<_> = (0..1500).map(|number| string(number, number % 90)).collect();
    commands.push(string(300_000, 300_000));
    commands.extend(values::collections(seed, 1500, &mut noise));
    values::run(&mut server.connect(Protocol::Resp2), &commands);
}

/// A database of sorted files and a log, as a kill leaves it.
struct Original {
    server: Server,
    /// All of it as commands.
    dump: Vec<u8>,
    /// By key the reply of DUMP.
    values: BTreeMap<Vec<u8>, Reply>,
    digests: BTreeMap<Vec<u8>, Reply>,
}

impl Original {
    fn make() -> Self {
        let mut server = Server::start_with(Target::Ferrock, &[]);
        load(&server, 1);
        assert_eq!(server.terminate(), Some(0));
        assert!(on(&server.data(), &["compact"]).status.success());
        server.restart();
        load(&server, 2);
        let values = by_key(&server, &[b"DUMP"]);
        let digests = by_key(&server, DIGEST);
        server.kill();
        let copy = Copy::of(&server.data());
        let done = on(copy.path(), &["dump", "--format", "resp", "-"]);
        assert!(done.status.success(), "{}", text(&done));
        Self { server, dump: done.stdout, values, digests }
    }
}

/// Contents whatever the order in which they are stored: a value that was made again has another one.
const DIGEST: &[&[u8]] = &[b"DEBUG", b"DIGEST-VALUE"];

/// The reply to a command for every key.
fn by_key(server: &Server, command: &[&[u8]]) -> BTreeMap<Vec<u8>, Reply> {
    let mut client = server.connect(Protocol::Resp2);
    let keys = client.must(&["KEYS", "*"]);
    let keys = keys.elements().expect("an array").iter().map(|key| key.bytes().expect("a key").to_vec());
    keys.map(|key| {
        let value = client.call(&[command, &[&key[..]]].concat()).expect("an answer");
        (key, value)
    })
    .collect()
}

/// A copy of a database directory that is gone when dropped.
struct Copy(tempfile::TempDir);

impl Copy {
    fn of(directory: &Path) -> Self {
        let copy = tempfile::tempdir().expect("a temporary directory");
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                fs::copy(&path, copy.path().join(path.file_name().expect("a name"))).expect("copied");
            }
        }
        Self(copy)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// One flipped byte.
#[derive(Debug, Clone)]
struct Flip {
    file: String,
    at: usize,
    mask: u8,
}

impl Flip {
    fn draw(directory: &Path, random: &mut Rng) -> Self {
        let mut files: Vec<(String, u64)> = fs::read_dir(directory)
            .expect("a directory")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.metadata().expect("a size").len()))
            .filter(|(name, bytes)| *bytes > 0 && !name.starts_with("LOG"))
            .collect();
        files.sort_unstable();
        let (file, bytes) = files[random.usize(..files.len())].clone();
        Self { file, at: random.u64(..bytes) as usize, mask: random.u8(1..) }
    }

    fn damage(&self, directory: &Path) {
        let path = directory.join(&self.file);
        let mut bytes = fs::read(&path).expect("read");
        bytes[self.at] ^= self.mask;
        fs::write(&path, bytes).expect("written");
    }

    fn is_harmless(&self) -> bool {
        HARMLESS.iter().any(|name| self.file.starts_with(name))
    }
}

#[test]
fn a_flipped_byte_is_named_or_harmless_and_never_served() {
    let rounds = dial("FERROCK_DAMAGE_ROUNDS", 40);
    let seed = dial("FERROCK_DAMAGE_SEED", 1);
    let mut random = Rng::with_seed(seed);
    let original = Original::make();
    let mut found = BTreeMap::<(String, bool), u64>::new();
    for round in 0..rounds {
        let flip = Flip::draw(&original.server.data(), &mut random);
        let noticed = look_at(&original, &flip);
        let kind: String = flip.file.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        *found.entry((kind, noticed)).or_default() += 1;
        if round % ROUNDS_A_SERVER == 0 {
            serve(&original, &flip);
        }
        if noticed {
            repair(&original, &flip);
        }
    }
    println!("{rounds} flipped bytes, seed {seed}, by kind of file and whether noticed: {found:?}");
    assert!(found.iter().any(|((kind, noticed), _)| kind == ".sst" && *noticed), "no damage to data was tried");
}

/// What the commands say of a damaged copy; tells whether `ferrock check` noticed.
fn look_at(original: &Original, flip: &Flip) -> bool {
    let copy = Copy::of(&original.server.data());
    flip.damage(copy.path());
    let other = Copy::of(copy.path());
    let checked = on(copy.path(), &["check"]);
    let dumped = on(other.path(), &["dump", "--format", "resp", "-"]);
    let is_right = dumped.status.success() && dumped.stdout == original.dump;
    assert!(is_right || !dumped.status.success(), "{flip:?}: a wrong answer");
    let noticed = !checked.status.success();
    assert!(noticed || is_right, "{flip:?}: `ferrock check` has nothing to say, `ferrock dump` has: {}", text(&dumped));
    assert!(!(noticed && flip.is_harmless()), "{flip:?}: {}", text(&checked));
    if noticed {
        assert!(
            text(&checked).contains(&flip.file) || names_list(&text(&checked), flip),
            "{flip:?}: {}",
            text(&checked)
        );
    }
    noticed
}

/// CURRENT and the file it names are one list in two files.
fn names_list(said: &str, flip: &Flip) -> bool {
    (flip.file == "CURRENT" || flip.file.starts_with("MANIFEST"))
        && (said.contains("CURRENT") || said.contains("MANIFEST"))
}

/// A server on a damaged copy: it refuses to start, or each answer is right or an error.
fn serve(original: &Original, flip: &Flip) {
    let copy = Copy::of(&original.server.data());
    flip.damage(copy.path());
    let Some(server) = Server::try_on(Target::Ferrock, copy.path(), &[]) else { return };
    let mut client = server.connect(Protocol::Resp2);
    for (key, value) in &original.values {
        let reply = client.call(&[b"DUMP", &key[..]]).expect("an answer");
        let shown = key.escape_ascii();
        assert!(reply.is_error() || reply == *value, "{flip:?}: DUMP {shown} is wrong\n{}", server.log());
    }
    assert!(!server.log().contains("panicked"), "{flip:?}: {}", server.log());
}

/// After a repair all is whole, what is there is as it was, and what is not is in the list.
fn repair(original: &Original, flip: &Flip) {
    let copy = Copy::of(&original.server.data());
    flip.damage(copy.path());
    let repaired = on(copy.path(), &["repair"]);
    let checked = on(copy.path(), &["check"]);
    assert!(checked.status.success(), "{flip:?}: {}\nafter a repair: {}", text(&repaired), text(&checked));
    let server = Server::try_on(Target::Ferrock, copy.path(), &[]);
    let server = server.unwrap_or_else(|| panic!("{flip:?}: no start after a repair: {}", text(&repaired)));
    let kept = by_key(&server, DIGEST);
    let strings = |key: &&Vec<u8>| key.windows(8).any(|part| part == b":string:");
    for key in kept.keys().filter(strings).filter(|key| kept.get(*key) != original.digests.get(*key)) {
        let key = key.escape_ascii().to_string();
        let is_listed = |line: &str| line.starts_with("partly lost") && line.contains(&key);
        assert!(text(&repaired).lines().any(is_listed), "{flip:?}: {key} is not as it was\n{}", text(&repaired));
    }
    let all: BTreeSet<_> = original.digests.keys().collect();
    assert!(kept.keys().all(|key| all.contains(key)), "{flip:?}: a key that never was");
    let lost = original.digests.iter().any(|(key, value)| kept.get(key) != Some(value));
    assert!(!(lost && repaired.status.success()), "{flip:?}: something is lost without a word");
    if !repaired.status.success() {
        assert!(text(&repaired).contains("lost: "), "{flip:?}: {}", text(&repaired));
    }
}

/// A directory without its list of files is no empty directory: nothing in it may be taken for rubbish.
#[test]
fn a_lost_list_of_files_is_no_new_database() {
    let original = Original::make();
    for what in ["CURRENT", "MANIFEST"] {
        let copy = Copy::of(&original.server.data());
        let files = || fs::read_dir(copy.path()).expect("a directory").map(|entry| entry.expect("an entry").path());
        let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(what));
        for path in files().filter(is_it) {
            fs::remove_file(path).expect("removed");
        }
        assert!(Server::try_on(Target::Ferrock, copy.path(), &[]).is_none(), "a server without {what}");
        let checked = on(copy.path(), &["check"]);
        assert!(text(&checked).contains(what), "{}", text(&checked));
        let repaired = on(copy.path(), &["repair"]);
        assert!(repaired.status.success(), "without {what}: {}", text(&repaired));
        let server = Server::try_on(Target::Ferrock, copy.path(), &[]).expect("a repaired database");
        assert_eq!(by_key(&server, DIGEST), original.digests, "without {what}");
    }
}
