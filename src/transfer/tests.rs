//! Values out of one store and into another, in memory: whole, in batches, interrupted.

use bytes::Bytes;

use super::{Conflict, Filter, Frozen, Limits, Loaded, Loader, Piece, ScriptWriter};
use crate::base::{Error, Result};
use crate::config::Settings;
use crate::encoding::piece::Head;
use crate::keyspace::{Finding, Tx, Type};
use crate::storage::{Family, Tier};
use crate::types::set::Set;
use crate::types::trial::Trial;

fn limits() -> Limits {
    Limits::of(&Settings::default())
}

fn loader(trial: &Trial, conflict: Conflict) -> Loader {
    Loader::new(trial.store.clone(), limits(), Filter::default(), conflict)
}

fn head(name: &str, kind: Type, count: u64) -> Piece {
    Piece::Key(Head { name: Bytes::copy_from_slice(name.as_bytes()), ..Head::of(kind, count) })
}

fn member(number: u64) -> Piece {
    Piece::Member(Bytes::from(format!("member {number}")))
}

/// A set of this many members, up to its last member.
fn set(loader: &mut Loader, name: &str, members: u64) -> Result<()> {
    loader.piece(head(name, Type::Set, members))?;
    (0..members).try_for_each(|number| loader.piece(member(number)))
}

fn pieces(trial: &Trial) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let shown = Frozen::now(&trial.store).show::<Error>(&Filter::default(), |piece| {
        pieces.push(piece);
        Ok(())
    });
    shown.unwrap();
    pieces
}

/// Read without locks, which a loader holds.
fn members_of(trial: &Trial, name: &str) -> u64 {
    let mut tx = Tx::new(trial.store.clone());
    tx.start(Tier::Disk, trial.now_ms);
    let key = tx.key(0, name.as_bytes());
    tx.read::<Set>(&key).unwrap().map_or(0, |set| set.len())
}

fn findings(trial: &Trial) -> Vec<Finding> {
    let mut found = Vec::new();
    trial.store.check(&crate::types::check, &mut |finding| found.push(finding), &mut |_| ()).unwrap();
    found
}

#[test]
fn what_is_shown_can_be_loaded() {
    let (from, to) = (Trial::new(), Trial::new());
    let mut loading = loader(&from, Conflict::Refuse);
    set(&mut loading, "large", 5000).unwrap();
    loading.piece(Piece::End).unwrap();
    loading.piece(head("text", Type::String, 3)).unwrap();
    loading.piece(Piece::Bytes(Bytes::from_static(b"abc"))).unwrap();
    loading.piece(Piece::End).unwrap();
    loading.piece(head("nothing", Type::String, 0)).unwrap();
    loading.piece(Piece::End).unwrap();
    assert_eq!(loading.finish().unwrap().keys, 3);
    let shown = pieces(&from);
    let mut loading = loader(&to, Conflict::Refuse);
    shown.iter().cloned().for_each(|piece| loading.piece(piece).unwrap());
    assert_eq!(loading.finish().unwrap().keys, 3);
    assert_eq!(members_of(&to, "large"), 5000);
    assert_eq!(pieces(&to).len(), shown.len());
    assert_eq!(findings(&to), []);
}

/// A value that takes several batches is not there before its end, and leaves nothing behind
/// when the end does not come.
#[test]
fn a_large_value_appears_when_it_is_complete() {
    let trial = Trial::new();
    let mut loading = loader(&trial, Conflict::Refuse);
    set(&mut loading, "whole", 5000).unwrap();
    assert_eq!(members_of(&trial, "whole"), 0);
    assert!(trial.parts() > 0, "nothing was written before the end");
    loading.piece(Piece::End).unwrap();
    set(&mut loading, "cut off", 5000).unwrap();
    assert_eq!(loading.finish().unwrap(), Loaded { keys: 1, ..Loaded::default() });
    assert_eq!((members_of(&trial, "whole"), members_of(&trial, "cut off")), (5000, 0));
    assert_eq!(findings(&trial), []);
    while trial.store.reclaim_step().unwrap() {}
    assert_eq!(trial.parts(), 5000);
    assert_eq!(trial.engine.entries(Family::Keys), 1);
}

#[test]
fn conflicts_are_settled_as_asked() {
    let trial = Trial::new();
    let load = |conflict, members| {
        let mut loading = loader(&trial, conflict);
        let loaded = set(&mut loading, "key", members).and_then(|()| loading.piece(Piece::End));
        loaded.map(|()| loading.finish().unwrap())
    };
    assert_eq!(load(Conflict::Refuse, 3).unwrap().keys, 1);
    assert!(load(Conflict::Refuse, 4).unwrap_err().to_string().starts_with("BUSYKEY the key \"key\""));
    assert_eq!(load(Conflict::Skip, 4).unwrap().skipped, 1);
    assert_eq!(members_of(&trial, "key"), 3);
    for members in [4, 5000, 2] {
        assert_eq!(load(Conflict::Replace, members).unwrap().replaced, 1);
        assert_eq!(members_of(&trial, "key"), members);
    }
    while trial.store.reclaim_step().unwrap() {}
    assert_eq!(trial.parts(), 0);
}

#[test]
fn a_member_that_stands_twice_is_bad_data() {
    let trial = Trial::new();
    let mut loading = loader(&trial, Conflict::Refuse);
    set(&mut loading, "key", 3).unwrap();
    loading.piece(member(0)).unwrap();
    assert!(loading.piece(Piece::End).is_err());
}

#[test]
fn commands_are_those_that_make_the_key() {
    let mut writer = ScriptWriter::new(Vec::new(), true);
    let deadline = Head { expire_at_ms: Some(9), name: Bytes::from_static(b"k"), ..Head::of(Type::Set, 65) };
    writer.piece(Piece::Key(deadline)).unwrap();
    (0..65).for_each(|number| writer.piece(member(number)).unwrap());
    writer.piece(Piece::End).unwrap();
    let script = String::from_utf8(writer.finish().unwrap()).unwrap();
    let commands: Vec<&str> = script.split('*').skip(1).map(|command| command.split("\r\n").nth(2).unwrap()).collect();
    assert_eq!(commands, ["DEL", "SADD", "SADD", "PEXPIREAT"]);
    assert!(script.ends_with("$9\r\nmember 64\r\n*3\r\n$9\r\nPEXPIREAT\r\n$1\r\nk\r\n$1\r\n9\r\n"), "{script}");
}
