//! Scripts against a host that echoes: conversions, errors, the sandbox, being halted.

use bytes::Bytes;

use super::*;
use crate::base::Error;
use crate::resp::{Protocol, Reply};

const MEMORY_BYTES: usize = 64 << 20;

/// Answers `ECHO x` by x, `FAIL x` by the error x, `REPLY n` by the n-th of its replies; whatever else
/// halts the script. Ends it after so many ticks.
#[derive(Default)]
struct Echo {
    replies: Vec<Reply>,
    ticks_left: Option<u32>,
    logged: Vec<String>,
}

impl Host for Echo {
    fn call(&mut self, words: &[&[u8]], _: Protocol) -> Result<Called, Halt> {
        match words {
            [b"ECHO", word] => Ok(Reply::copy(word).into()),
            [b"FAIL", text] => {
                let text = String::from_utf8_lossy(text).into_owned();
                Ok(Called { reply: Reply::error(text), counted: true, refused: false })
            }
            [b"REPLY", number] => {
                let number: usize = std::str::from_utf8(number).unwrap().parse().unwrap();
                Ok(self.replies[number].clone().into())
            }
            _ => Err(Halt::Again(Error::Undeclared)),
        }
    }

    fn may_run(&mut self, words: &[&[u8]]) -> Option<bool> {
        matches!(words[0], b"ECHO" | b"FAIL").then_some(words[0] == b"ECHO")
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        self.logged.push(format!("{level:?} {}", text.escape_ascii()));
    }

    fn set_replication(&mut self, _: bool) {}

    fn tick(&mut self) -> Result<(), Halt> {
        match &mut self.ticks_left {
            Some(0) => Err(Halt::Killed("enough of it")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn run_with(scripts: &Scripts, host: &mut Echo, code: &str) -> Result<Reply, Halt> {
    let body = Bytes::copy_from_slice(code.as_bytes());
    let script = Script::new(Sha::of(&body), body).unwrap();
    let words = Words { keys: &[b"k1", b"k2"], args: &[b"a1"] };
    scripts.run(&script, words, MEMORY_BYTES, host).map(|answer| answer.reply)
}

fn run(code: &str) -> Reply {
    run_with(&Scripts::default(), &mut Echo::default(), code).unwrap()
}

#[track_caller]
fn fails(code: &str, text: &str) {
    match run(code) {
        Reply::Error(error) => assert!(error.contains(text), "{code}: {error}"),
        other => panic!("{code} gave {other:?}"),
    }
}

#[test]
fn values_become_replies() {
    assert_eq!(
        run("return {KEYS[2], ARGV[1], #KEYS}"),
        Reply::Array(vec![Reply::copy("k2"), Reply::copy("a1"), Reply::Integer(2)])
    );
    assert_eq!(
        run("return {1.9, -1.9, true, 'x', {}, false, 7}"),
        Reply::Array(vec![
            Reply::Integer(1),
            Reply::Integer(-1),
            Reply::Integer(1),
            Reply::copy("x"),
            Reply::EMPTY,
            Reply::Nil,
            Reply::Integer(7)
        ])
    );
    assert_eq!(run("return {1, nil, 3}"), Reply::Array(vec![Reply::Integer(1)]));
    assert_eq!(run("return {ok = 'fine'}"), Reply::simple("fine"));
    assert_eq!(run("return {err = 'NO way'}"), Reply::error("NO way"));
    assert_eq!(run("return {double = 1.5}"), Reply::Double(1.5));
    assert_eq!(run("return {set = {a = true}}"), Reply::Set(vec![Reply::copy("a")]));
    assert_eq!(run("redis.setresp(3) return true"), Reply::Boolean(true));
    assert_eq!(run("return 0/0"), Reply::Integer(i64::MIN));
}

#[test]
fn replies_become_values_of_the_protocol_chosen() {
    let mut host = Echo {
        replies: vec![
            Reply::Fields(vec![("f".into(), "v".into())]),
            Reply::Double(1.5),
            Reply::Nil,
            Reply::Members(vec!["m".into()]),
            Reply::Scored(vec![("m".into(), 2.0)]),
        ],
        ..Echo::default()
    };
    let scripts = Scripts::default();
    let mut both = |code: &str| {
        let code =
            |protocol: u8| format!("redis.setresp({protocol}) local r = redis.call('REPLY', ARGV[2] or 0) {code}");
        let one = run_with(&scripts, &mut host, &code(2)).unwrap();
        (one, run_with(&scripts, &mut host, &code(3)).unwrap())
    };
    let (flat, map) = both("return r");
    assert_eq!(flat, Reply::Array(vec![Reply::copy("f"), Reply::copy("v")]));
    assert_eq!(map, Reply::Map(vec![(Reply::copy("f"), Reply::copy("v"))]));
    let (text, number) = both("r = redis.call('REPLY', 1) return type(r) .. tostring(r.double)");
    assert_eq!((text, number), (Reply::copy("stringnil"), Reply::copy("table1.5")));
    let (no, nil) = both("return tostring(redis.call('REPLY', 2))");
    assert_eq!((no, nil), (Reply::copy("false"), Reply::copy("nil")));
    let (list, set) = both("r = redis.call('REPLY', 3) return tostring(r[1]) .. tostring(r.set and r.set.m)");
    assert_eq!((list, set), (Reply::copy("mnil"), Reply::copy("niltrue")));
    let (flat, pairs) = both("r = redis.call('REPLY', 4) return tostring(r[2]) .. type(r[1])");
    assert_eq!((flat, pairs), (Reply::copy("2string"), Reply::copy("niltable")));
}

#[test]
fn errors_say_where_they_come_from() {
    let sha = Sha::of(b"\nreturn redis.call('FAIL', 'WRONG thing')").hex();
    assert_eq!(
        run("\nreturn redis.call('FAIL', 'WRONG thing')"),
        Reply::error(format!("WRONG thing script: {sha}, on @user_script:2."))
    );
    fails("error('oops')", "ERR user_script:1: oops script: ");
    fails("error({err = 'MY own'})", "MY own script: ");
    fails("error()", "ERR nil script: ");
    fails("return redis.call()", "ERR Please specify at least one argument for this redis lib call script: ");
    fails("return redis.call({})", "ERR Lua redis lib command arguments must be strings or integers script: ");
    fails("this is no lua", "ERR Error compiling script (new function): user_script:1: '=' expected near 'is'");
    assert_eq!(run("return redis.pcall('FAIL', 'WRONG thing')['err']"), Reply::copy("WRONG thing"));
    assert_eq!(run("local _, e = pcall(redis.call, 'FAIL', 'WRONG thing') return e"), Reply::copy("WRONG thing"));
    assert_eq!(run("local _, e = pcall(error, {1}) return type(e)"), Reply::copy("table"));
}

#[test]
fn nothing_is_left_for_the_next_script() {
    let read_only = "Attempt to modify a readonly table";
    for code in [
        "x = 1",
        "redis = 1",
        "redis.call = 1",
        "cjson.encode = 1",
        "string.rep = 1",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "rawset(redis, 'x', 1)",
        "setmetatable(_G, {})",
        "getmetatable(_G).__index = {}",
        "getmetatable('').__index = nil",
        "table.insert(_G, 1)",
    ] {
        fails(code, read_only);
    }
    for name in ["print", "dofile", "loadfile", "require", "getfenv", "setfenv", "newproxy", "io", "debug", "nothing"] {
        fails(&format!("return {name}"), &format!("Script attempted to access nonexistent global variable '{name}'"));
    }
    assert_eq!(run("return rawget(_G, 'redis') == redis and _G._G == _G and ('x'):rep(2)"), Reply::copy("xx"));
    assert_eq!(
        run("local n = 0 for k in pairs(bit) do n = n + 1 end return {n, next({}) == nil}"),
        Reply::Array(vec![Reply::Integer(12), Reply::Integer(1)])
    );
    let scripts = Scripts::default();
    let mut host = Echo::default();
    assert!(run_with(&scripts, &mut host, "KEYS.x = 1 error(redis)").is_ok());
    assert_eq!(run_with(&scripts, &mut host, "return {KEYS.x, rawget(redis, 'source')}").unwrap(), Reply::EMPTY);
}

/// Lua's own `unpack` overflowed here and wrote beyond its stack.
#[test]
fn unpack_counts_without_overflow() {
    for range in ["-2, 2147483647", "0, 2147483647", "-2147483648, -2", "1, 100000"] {
        fails(&format!("return {{unpack({{1, 2, 3}}, {range})}}"), "too many results to unpack");
    }
    assert_eq!(run("return {unpack({1, 2, 3}, 2)}"), Reply::Array(vec![Reply::Integer(2), Reply::Integer(3)]));
    assert_eq!(run("return {unpack({1, 2, 3}, 1, -1)}"), Reply::EMPTY);
    assert_eq!(run("return select('#', unpack({1}, -2147483648, -2147483646))"), Reply::Integer(3));
}

#[test]
fn compiled_code_is_refused() {
    assert_eq!(run("return loadstring(string.dump(function() end))"), Reply::Nil);
    assert_eq!(run("return loadstring('return 7')()"), Reply::Integer(7));
    assert_eq!(
        run("local n = 0 return load(function() n = n + 1 return ({'return ', '8'})[n] end)()"),
        Reply::Integer(8)
    );
    fails("return loadstring('x = 1')()", "readonly");
}

#[test]
fn a_script_that_is_halted_cannot_save_itself() {
    for code in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
    ] {
        let mut host = Echo { ticks_left: Some(2), ..Echo::default() };
        let scripts = Scripts::default();
        match run_with(&scripts, &mut host, code) {
            Ok(Reply::Error(text)) => assert!(text.starts_with("ERR enough of it script: "), "{code}: {text}"),
            other => panic!("{code} gave {other:?}"),
        }
        assert_eq!(run_with(&scripts, &mut Echo::default(), "return 1").unwrap(), Reply::Integer(1));
    }
    for code in ["redis.call('HALT')", "pcall(redis.call, 'HALT') return 1", "redis.pcall('HALT') return 1"] {
        let halted = run_with(&Scripts::default(), &mut Echo::default(), code);
        assert!(matches!(halted, Err(Halt::Again(Error::Undeclared))), "{code}: {halted:?}");
    }
}

#[test]
fn memory_has_a_limit() {
    let scripts = Scripts::default();
    let mut host = Echo::default();
    let greedy = "local t = {} for i = 1, 1e9 do t[i] = i .. ('x'):rep(100000) end";
    let reply = run_with(&scripts, &mut host, greedy).unwrap();
    assert!(matches!(&reply, Reply::Error(text) if text.contains("lua-memory-limit")), "{reply:?}");
    assert!(scripts.idle.lock().is_empty());
    assert_eq!(run_with(&scripts, &mut host, "return 1").unwrap(), Reply::Integer(1));
    assert_eq!(scripts.idle.lock().len(), 1);
}

#[test]
fn a_library_is_loaded_where_it_is_called() {
    let scripts = Scripts::default();
    let mut host = Echo::default();
    let code = "#!lua name=lib\nlocal function twice(x) return x .. x end\nredis.register_function('f', function(keys, args) return twice(args[1]) .. #keys end)\nredis.register_function{function_name='g', callback=function() return redis.call('FAIL', 'NO g') end, flags={'no-writes'}, description='d'}";
    let library = scripts.load("lib".into(), code.into(), MEMORY_BYTES, &mut host).unwrap();
    assert_eq!(library.functions.len(), 2);
    assert!(library.functions[1].flags.no_writes && library.functions[1].description.is_some());
    scripts.idle.lock().clear();
    let words = Words { keys: &[b"k"], args: &[b"ab"] };
    let mut call = |place| scripts.call((&library, place), words, MEMORY_BYTES, &mut host).unwrap().reply;
    assert_eq!(call(0), Reply::copy("abab1"));
    assert_eq!(call(1), Reply::error("NO g script: g, on @user_function:4."));
}

#[test]
fn a_library_sees_little_while_it_is_loaded() {
    let load = |body: &str| {
        let code = Bytes::from(format!("#!lua name=lib\n{body}"));
        match Scripts::default().load("lib".into(), code, MEMORY_BYTES, &mut Echo::default()) {
            Err(LoadError::Refused(text)) => text,
            other => panic!("{body} gave {other:?}"),
        }
    };
    assert_eq!(
        load("return math.random()"),
        "Error registering functions: ERR user_function:2: Script attempted to access nonexistent global variable 'math'"
    );
    assert!(load("redis.call('x')").contains("nonexistent global variable 'call'"));
    assert!(load("x = 1").contains("readonly"));
    assert_eq!(load("x x"), "Error compiling function: user_function:2: '=' expected near 'x'");
    assert_eq!(load("local x"), "No functions registered");
    assert_eq!(
        load("redis.register_function('f')"),
        "Error registering functions: ERR calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments)."
    );
}

#[test]
fn the_log_is_the_hosts() {
    let mut host = Echo::default();
    run_with(&Scripts::default(), &mut host, "redis.log(redis.LOG_WARNING, 'a', 'b', 3)").unwrap();
    assert_eq!(host.logged, ["Warning a b 3"]);
}
