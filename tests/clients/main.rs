//! A session of redis-rs in both protocol versions: strings, hashes, pipelines
//! and SCAN, as an application would use them. The sessions of redis-py and of
//! the node clients are run by `run.sh` beside this file.

#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use redis::{Commands, Connection, RedisResult};
use support::Server;

#[test]
fn session_in_resp2() {
    session("resp2").expect("the session runs");
}

#[test]
fn session_in_resp3() {
    session("resp3").expect("the session runs");
}

fn session(protocol: &str) -> RedisResult<()> {
    let server = Server::start();
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/?protocol={protocol}", server.port()))?;
    let mut connection = client.get_connection()?;
    strings(&mut connection)?;
    hashes(&mut connection)?;
    pipelines(&mut connection)?;
    scan(&mut connection)
}

fn strings(connection: &mut Connection) -> RedisResult<()> {
    let _: () = connection.set("greeting", "hello")?;
    assert_eq!(connection.get::<_, String>("greeting")?, "hello");
    assert_eq!(connection.get::<_, Option<String>>("nothing")?, None);
    assert!(!connection.set_nx::<_, _, bool>("greeting", "other")?);
    assert_eq!(connection.incr::<_, _, i64>("counter", 42)?, 42);
    assert_eq!(connection.append::<_, _, usize>("greeting", "!")?, 6);
    assert_eq!(connection.getrange::<_, String>("greeting", 0, 1)?, "he");
    let binary: Vec<u8> = (0..=255).collect();
    let _: () = connection.set(b"\x00\xff", &binary)?;
    assert_eq!(connection.get::<_, Vec<u8>>(b"\x00\xff")?, binary);
    assert!(connection.expire::<_, bool>("greeting", 100)?);
    assert!((1..=100).contains(&connection.ttl::<_, i64>("greeting")?));
    assert_eq!(connection.del::<_, i64>(&["greeting", "nothing"])?, 1);
    Ok(())
}

fn hashes(connection: &mut Connection) -> RedisResult<()> {
    let _: () = connection.hset_multiple("user", &[("name", "Ann"), ("age", "30")])?;
    assert_eq!(connection.hget::<_, _, String>("user", "name")?, "Ann");
    assert_eq!(connection.hincr::<_, _, _, i64>("user", "age", 5)?, 35);
    let all: BTreeMap<String, String> = connection.hgetall("user")?;
    assert_eq!(all, BTreeMap::from([("name".into(), "Ann".into()), ("age".into(), "35".into())]));
    let wide: Vec<(String, u64)> = (0..2000).map(|number| (format!("field:{number}"), number)).collect();
    let _: () = connection.hset_multiple("wide", &wide)?;
    let scanned: BTreeMap<String, u64> = connection.hscan::<_, (String, u64)>("wide")?.collect::<RedisResult<_>>()?;
    assert_eq!(scanned, wide.into_iter().collect());
    Ok(())
}

fn pipelines(connection: &mut Connection) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    for number in 0..500_u64 {
        pipe.set(format!("pipe:{number}"), number).ignore();
        pipe.get(format!("pipe:{number}"));
    }
    let values: Vec<u64> = pipe.query(connection)?;
    assert_eq!(values, (0..500).collect::<Vec<_>>());
    let (counter, age): (i64, i64) =
        redis::pipe().atomic().incr("counter", 1).hincr("user", "age", 1).query(connection)?;
    assert_eq!((counter, age), (43, 36));
    let refused = connection.hget::<_, _, String>("counter", "field").expect_err("a wrong type is refused");
    assert_eq!(refused.code(), Some("WRONGTYPE"), "{refused:?}");
    Ok(())
}

fn scan(connection: &mut Connection) -> RedisResult<()> {
    let found: BTreeSet<String> = connection.scan_match::<_, String>("pipe:*")?.collect::<RedisResult<_>>()?;
    assert_eq!(found.len(), 500);
    assert_eq!(redis::cmd("DBSIZE").query::<usize>(connection)?, 504);
    Ok(())
}
