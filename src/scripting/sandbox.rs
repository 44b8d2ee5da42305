//! The world that scripts live in: Lua's harmless functions, Redis' libraries, and no way to
//! leave anything behind for the next script.
//!
//! Redis patches Lua to know read-only tables. Ours are built from what Lua 5.1 has: scripts see an
//! empty table whose metatable leads to the real one and refuses writes; the functions that look
//! at tables themselves (`next`, `rawset`, `table.insert` …) are replaced by ones that know.

use super::lua::{Kept, Kind, Native, Raise, Raised, Stack};
use super::{api, bit, cjson, cmsgpack, structure};

/// Of Lua's base library, as it is.
const BASE: &[&str] = &[
    "assert",
    "collectgarbage",
    "error",
    "gcinfo",
    "ipairs",
    "rawequal",
    "select",
    "tonumber",
    "tostring",
    "type",
    "coroutine",
    "_VERSION",
];

/// Functions that change their first argument.
const CHANGERS: &[&str] = &["rawset", "setmetatable"];

/// Functions that look into their first argument.
const LOOKERS: &[&str] = &["next", "rawget"];

/// The same in the table library.
/// None of our read-only tables has a sequence, so that `sort` and `remove` find nothing to do.
const TABLE_CHANGERS: &[&str] = &["insert", "setn"];
const TABLE_LOOKERS: &[&str] = &["concat", "foreach", "foreachi", "getn", "maxn", "remove", "sort"];

/// Ours instead of Lua's.
const REPLACED: &[(&str, Native)] = &[
    ("getmetatable", get_metatable),
    ("load", load),
    ("loadstring", load_string),
    ("pcall", protected_call),
    ("unpack", unpack),
    ("xpcall", protected_call_with_handler),
];

/// Pushes something.
type Push = fn(&mut Stack<'_>);

const LIBRARIES: &[(&str, Push)] =
    &[("bit", bit::push), ("cjson", cjson::push), ("cmsgpack", cmsgpack::push), ("struct", structure::push)];

/// What an interpreter keeps of its world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sandbox {
    /// The globals of scripts, KEYS and ARGV among them, and the view of it that they see.
    pub globals: Kept,
    pub shown_globals: Kept,
    /// The globals of running functions, those of a library that is loaded, and the view that
    /// shows either.
    pub function_globals: Kept,
    pub loading_globals: Kept,
    pub shown_function_globals: Kept,
    pub error_handler: Kept,
}

impl Sandbox {
    /// Builds the world in a fresh interpreter.
    pub fn build(stack: &mut Stack<'_>) -> Self {
        stack.open_libraries();
        push_globals(stack);
        let (function_globals, shown_function_globals) = finish_globals(stack, api::push_for_functions);
        stack.set_top(1);
        push_globals(stack);
        let (globals, shown_globals) = finish_globals(stack, api::push_for_scripts);
        stack.set_top(1);
        disguise_strings(stack);
        stack.push_kept(shown_globals);
        stack.set_globals();
        let loading_globals = build_loading_globals(stack);
        stack.push_native(handle_error);
        let error_handler = stack.keep();
        stack.set_top(0);
        Self { globals, shown_globals, function_globals, loading_globals, shown_function_globals, error_handler }
    }
}

/// Pushes a table with all but `redis` and `_G`, from Lua's own at position 1.
fn push_globals(stack: &mut Stack<'_>) {
    stack.push_table(0, 48);
    for name in BASE {
        stack.push_field(1, name);
        stack.set_field(-2, name);
    }
    copy_wrapped(stack, 1, CHANGERS, |stack| stack.guard());
    copy_wrapped(stack, 1, LOOKERS, |stack| stack.let_look_behind());
    api::set_natives(stack, REPLACED);
    push_pairs(stack);
    stack.set_field(-2, "pairs");
    set_library(stack, "table", |stack| {
        copy_library(stack, "table");
        let original = stack.top() - 1;
        copy_wrapped(stack, original, TABLE_CHANGERS, |stack| stack.guard());
        copy_wrapped(stack, original, TABLE_LOOKERS, |stack| stack.let_look_behind());
        stack.remove(original);
    });
    set_library(stack, "string", |stack| stack.push_field(1, "string"));
    set_library(stack, "math", |stack| {
        copy_library(stack, "math");
        let original = stack.top() - 1;
        stack.remove(original);
        api::set_natives(stack, &[("random", random), ("randomseed", random_seed)]);
    });
    set_library(stack, "os", |stack| {
        stack.push_table(0, 1);
        api::set_natives(stack, &[("clock", clock)]);
    });
    for (name, push) in LIBRARIES {
        set_library(stack, name, push);
    }
}

/// Copies functions from the table at `from` to the one on top, each wrapped.
fn copy_wrapped(stack: &mut Stack<'_>, from: i32, names: &[&str], wrap: fn(&mut Stack<'_>)) {
    for name in names {
        stack.push_field(from, name);
        if stack.kind(-1) == Kind::Function {
            wrap(stack);
            stack.set_field(-2, name);
        } else {
            stack.pop(1);
        }
    }
}

/// Pushes one of Lua's libraries, and a copy of it.
fn copy_library(stack: &mut Stack<'_>, name: &str) {
    stack.push_field(1, name);
    stack.push_table(0, 40);
    stack.push_nil();
    while stack.next(-3) {
        stack.push_copy(-2);
        stack.insert(-2);
        stack.raw_set(-4);
    }
}

/// Sets a read-only library in the table on top.
fn set_library(stack: &mut Stack<'_>, name: &str, push: impl FnOnce(&mut Stack<'_>)) {
    stack.push_nil();
    push(stack);
    stack.make_read_only(refuse_write);
    stack.set_field(-2, name);
}

/// Completes the globals on top: `redis`, `_G`, an error for what is not there. Gives them, and
/// the view of them.
fn finish_globals(stack: &mut Stack<'_>, push_redis: fn(&mut Stack<'_>)) -> (Kept, Kept) {
    set_library(stack, "redis", push_redis);
    miss_loudly(stack);
    push_shown_metatable(stack);
    stack.push_copy(-2);
    stack.make_read_only(refuse_write);
    stack.push_copy(-1);
    stack.set_field(-3, "_G");
    let shown = stack.keep();
    let globals = stack.keep();
    (globals, shown)
}

/// Makes reading what the table on top has not an error.
fn miss_loudly(stack: &mut Stack<'_>) {
    stack.push_table(0, 1);
    stack.push_native(refuse_read);
    stack.set_field(-2, "__index");
    stack.set_metatable(-2);
}

/// Pushes what `getmetatable(_G)` gives.
fn push_shown_metatable(stack: &mut Stack<'_>) {
    stack.push_nil();
    stack.push_table(0, 1);
    stack.push_native(refuse_read);
    stack.set_field(-2, "__index");
    stack.make_read_only(refuse_write);
}

/// Lets `getmetatable('')` give a read-only table.
fn disguise_strings(stack: &mut Stack<'_>) {
    stack.push_bytes(b"");
    if stack.push_metatable(-1) {
        stack.push_nil();
        stack.push_table(0, 1);
        stack.push_nil();
        stack.push_field(1, "string");
        stack.make_read_only(refuse_write);
        stack.set_field(-2, "__index");
        stack.make_read_only(refuse_write);
        stack.set_field(-2, "__metatable");
        stack.pop(1);
    }
    stack.pop(1);
}

fn build_loading_globals(stack: &mut Stack<'_>) -> Kept {
    stack.push_table(0, 1);
    set_library(stack, "redis", |stack| {
        api::push_for_loading(stack);
        miss_loudly(stack);
    });
    miss_loudly(stack);
    stack.keep()
}

/// `__newindex` of whatever is read-only.
fn refuse_write(_: &mut Stack<'_>) -> Raised<i32> {
    Err(Raise::message("Attempt to modify a readonly table"))
}

/// `__index` of globals.
fn refuse_read(stack: &mut Stack<'_>) -> Raised<i32> {
    let name = String::from_utf8_lossy(stack.text(2).unwrap_or_default()).into_owned();
    Err(Raise::message(format!("Script attempted to access nonexistent global variable '{name}'")))
}

fn get_metatable(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.kind(1) == Kind::None {
        return Err(Raise::argument(1, "value expected"));
    }
    if stack.push_metatable(1) {
        stack.disguise_metatable()
    } else {
        stack.push_nil()
    }
    Ok(1)
}

/// Pushes `pairs`, which keeps our `next`: that of the table on top.
fn push_pairs(stack: &mut Stack<'_>) {
    stack.push_field(-1, "next");
    stack.push_native_with(pairs);
}

fn pairs(stack: &mut Stack<'_>) -> Raised<i32> {
    stack.table_argument(1)?;
    stack.push_own();
    stack.push_copy(1);
    stack.push_nil();
    Ok(3)
}

/// `pcall`: an error table of a command arrives as its text, as in Redis. A script that is being
/// halted is not saved by it.
fn protected_call(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.kind(1) == Kind::None {
        return Err(Raise::argument(1, "value expected"));
    }
    stack.push_boolean(true);
    stack.insert(1);
    let arguments = stack.top() - 2;
    if stack.protected_call(arguments, -1, 0).is_ok() {
        return Ok(stack.top());
    }
    if stack.shared.is_halted() {
        return Err(Raise::Halted);
    }
    if stack.kind(-1) == Kind::Table {
        stack.push_field(-1, "err");
        let is_text = matches!(stack.kind(-1), Kind::String | Kind::Number);
        if is_text { stack.replace(-2) } else { stack.pop(1) }
    }
    stack.push_boolean(false);
    stack.insert(-2);
    Ok(2)
}

/// `xpcall`. An error that the count hook raises calls the handler with the hook switched off, so
/// a script that is being halted must not get there.
fn protected_call_with_handler(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.kind(2) == Kind::None {
        return Err(Raise::argument(2, "value expected"));
    }
    stack.set_top(2);
    stack.push_native_with(call_handler);
    stack.insert(1);
    let called = stack.protected_call(0, -1, 1);
    if stack.shared.is_halted() {
        return Err(Raise::Halted);
    }
    stack.push_boolean(called.is_ok());
    stack.replace(1);
    Ok(stack.top())
}

/// Calls the error handler that it keeps, unless the script is being halted.
fn call_handler(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.shared.is_halted() {
        return Err(Raise::Halted);
    }
    stack.set_top(1);
    stack.push_own();
    stack.insert(1);
    match stack.protected_call(1, 1, 0) {
        Ok(()) => Ok(1),
        Err(_) => Err(Raise::Top),
    }
}

/// `loadstring`: source text only; compiled chunks could break the interpreter.
fn load_string(stack: &mut Stack<'_>) -> Raised<i32> {
    let code = stack.text_argument(1)?.to_vec();
    let name = if stack.top() >= 2 { stack.text_argument(2)?.to_vec() } else { code.clone() };
    Ok(compiled(stack, &code, name))
}

/// `load`: the pieces that a function gives.
fn load(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.kind(1) != Kind::Function {
        return Err(stack.wrong_type(1, "function"));
    }
    let name = if stack.top() >= 2 { stack.text_argument(2)?.to_vec() } else { b"=(load)".to_vec() };
    let mut code = Vec::new();
    loop {
        stack.push_copy(1);
        if stack.protected_call(0, 1, 0).is_err() {
            if stack.shared.is_halted() {
                return Err(Raise::Halted);
            }
            stack.push_nil();
            stack.insert(-2);
            return Ok(2);
        }
        match stack.kind(-1) {
            Kind::Nil => break,
            Kind::String | Kind::Number => {
                let piece = stack.text(-1).unwrap_or_default();
                let ends = piece.is_empty();
                code.extend_from_slice(piece);
                if ends {
                    break;
                }
            }
            _ => {
                stack.push_nil();
                stack.push_bytes(b"reader function must return a string");
                return Ok(2);
            }
        }
        stack.pop(1);
    }
    Ok(compiled(stack, &code, name))
}

/// What Lua's compiled chunks begin with.
const COMPILED: u8 = 0x1B;

/// Pushes the function of a chunk, or nil and why there is none.
fn compiled(stack: &mut Stack<'_>, code: &[u8], mut name: Vec<u8>) -> i32 {
    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
    let name = std::ffi::CString::new(name).unwrap_or_default();
    if code.first() == Some(&COMPILED) {
        stack.push_nil();
        stack.push_bytes(b"compiled code is not accepted");
        return 2;
    }
    if stack.compile(code, &name) {
        return 1;
    }
    stack.push_nil();
    stack.insert(-2);
    2
}

/// `unpack`: Lua's own counts in a C int, which a script can make overflow.
#[expect(clippy::cast_possible_truncation, reason = "positions are ints of C")]
fn unpack(stack: &mut Stack<'_>) -> Raised<i32> {
    stack.table_argument(1)?;
    let is_given = |at: i32| !matches!(stack.kind(at), Kind::None | Kind::Nil);
    let first = if is_given(2) { stack.number_argument(2)? as i64 as i32 } else { 1 };
    let length = i32::try_from(stack.length(1)).unwrap_or(i32::MAX);
    let last = if is_given(3) { stack.number_argument(3)? as i64 as i32 } else { length };
    if first > last {
        return Ok(0);
    }
    let count = i32::try_from(i64::from(last) - i64::from(first) + 1).ok().filter(|count| stack.has_room(*count));
    let count = count.ok_or_else(|| Raise::message("too many results to unpack"))?;
    (first..=last).for_each(|index| stack.push_element(1, index));
    Ok(count)
}

/// `math.random`, on a generator of the script's own.
fn random(stack: &mut Stack<'_>) -> Raised<i32> {
    let fraction = stack.shared.random.fraction();
    let number = match stack.top() {
        0 => fraction,
        1 => {
            let most = stack.number_argument(1)?.trunc();
            if most < 1.0 {
                return Err(Raise::argument(1, "interval is empty"));
            }
            (fraction * most).floor() + 1.0
        }
        2 => {
            let (least, most) = (stack.number_argument(1)?.trunc(), stack.number_argument(2)?.trunc());
            if least > most {
                return Err(Raise::argument(2, "interval is empty"));
            }
            (fraction * (most - least + 1.0)).floor() + least
        }
        _ => return Err(Raise::message("wrong number of arguments")),
    };
    stack.push_number(number);
    Ok(1)
}

#[expect(clippy::cast_possible_truncation, reason = "a seed is an int of C")]
fn random_seed(stack: &mut Stack<'_>) -> Raised<i32> {
    let seed = stack.number_argument(1)?;
    stack.shared.random.seed(seed as i64 as i32);
    Ok(0)
}

/// `os.clock`: seconds, for differences only.
#[expect(clippy::cast_precision_loss, reason = "microseconds since the start fit a double")]
fn clock(stack: &mut Stack<'_>) -> Raised<i32> {
    stack.push_number(crate::base::clock::monotonic_us() as f64 / 1e6);
    Ok(1)
}

/// Makes a table of an error that nobody caught, with the place where it came from.
fn handle_error(stack: &mut Stack<'_>) -> Raised<i32> {
    if stack.kind(1) != Kind::Table || stack.push_metatable(1) {
        let text = match stack.kind(1) {
            Kind::Boolean if stack.boolean(1) => b"true".to_vec(),
            Kind::Boolean => b"false".to_vec(),
            Kind::String | Kind::Number => stack.text(1).unwrap_or_default().to_vec(),
            kind => kind.name().as_bytes().to_vec(),
        };
        stack.push_table(0, 3);
        stack.push_bytes(&[b"ERR ", &text[..]].concat());
        stack.set_field(-2, "err");
        stack.replace(1);
    }
    if let Some((source, line)) = stack.error_place() {
        stack.push_bytes(source.as_bytes());
        stack.set_field(1, "source");
        stack.push_integer(line.into());
        stack.set_field(1, "line");
    }
    stack.set_top(1);
    Ok(1)
}
