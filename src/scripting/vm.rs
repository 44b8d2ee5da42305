//! [`Vm`]: an interpreter with its sandbox and the scripts and libraries it has compiled. One at a
//! time runs on it; a server keeps a few.

use rustc_hash::FxHashMap;
use std::ffi::CStr;

use super::convert::{Answer, pop_answer};
use super::debugger::Debugger;
use super::host::{Halt, Host};
use super::library::{Function, Libraries, Library, Registered};
use super::lua::{Failure, Kept, Kind, Lua, Stack};
use super::sandbox::Sandbox;
use super::script::{Script, Sha};
use crate::resp::{Protocol, Reply};

/// Beyond this many compiled scripts and libraries an interpreter is replaced.
const COMPILED_MAX: usize = 4096;
/// An interpreter that holds more between two runs is replaced.
const IDLE_BYTES: usize = 8 << 20;

/// Libraries that were replaced or deleted, as many as an interpreter keeps all the same.
const OUTDATED_LIBRARIES: usize = 16;
/// Runs between two steps of the garbage collector that nothing else asks for.
const RUNS_PER_COLLECTION: u32 = 50;

const SCRIPT_NAME: &CStr = c"@user_script";
const FUNCTION_NAME: &CStr = c"@user_function";

/// An interpreter and what it has compiled.
pub(super) struct Vm {
    lua: Lua,
    sandbox: Sandbox,
    scripts: FxHashMap<Sha, Kept>,
    /// The functions of libraries by the stamps of these.
    libraries: FxHashMap<u64, Vec<Kept>>,
    /// Something went wrong that it may not have got over.
    spoilt: bool,
    runs: u32,
    /// How many flushes there had been when it was made.
    pub flushes: usize,
}

/// Why a library was not loaded.
#[derive(Debug)]
pub enum LoadError {
    /// Redis' text, without `ERR`.
    Refused(String),
    Halted(Halt),
}

/// The words that a script finds in KEYS and ARGV.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    pub keys: &'a [&'a [u8]],
    pub args: &'a [&'a [u8]],
}

impl Vm {
    /// A fresh one; `None` when there is no memory.
    pub fn new(flushes: usize) -> Option<Self> {
        let mut lua = Lua::new()?;
        let sandbox = lua.with(Sandbox::build);
        Some(Self {
            lua,
            sandbox,
            scripts: FxHashMap::default(),
            libraries: FxHashMap::default(),
            spoilt: false,
            runs: 0,
            flushes,
        })
    }

    /// The most memory that it may use.
    pub fn limit_memory(&mut self, bytes: usize) {
        self.lua.limit_memory(bytes);
    }

    pub fn used_bytes(&self) -> usize {
        self.lua.used_bytes()
    }

    /// After a run: gives back what nobody will ask for any more.
    pub fn tidy(&mut self, current: &Libraries) {
        self.runs = self.runs.wrapping_add(1);
        if self.libraries.len() > current.len() + OUTDATED_LIBRARIES {
            let outdated: Vec<u64> = self.libraries.keys().copied().filter(|stamp| !current.holds(*stamp)).collect();
            for stamp in outdated {
                let functions = self.libraries.remove(&stamp).unwrap_or_default();
                self.lua.with(|stack| functions.into_iter().for_each(|kept| stack.forget(kept)));
            }
        }
        if self.runs.is_multiple_of(RUNS_PER_COLLECTION) {
            self.lua.collect();
        }
    }

    /// Whether it may run something again.
    pub fn is_sound(&self) -> bool {
        !self.spoilt
            && !self.lua.ran_out_of_memory()
            && self.lua.used_bytes() <= IDLE_BYTES
            && self.scripts.len() + self.libraries.len() <= COMPILED_MAX
    }

    /// Compiles a script, if that has not been done.
    ///
    /// # Errors
    /// Lua's message.
    pub fn compile(&mut self, script: &Script) -> Result<Kept, String> {
        if let Some(kept) = self.scripts.get(&script.sha) {
            return Ok(*kept);
        }
        let sandbox = self.sandbox;
        let kept = self.lua.with(|stack| {
            stack.push_kept(sandbox.shown_globals);
            stack.set_globals();
            if stack.compile(script.code(), SCRIPT_NAME) { Ok(stack.keep()) } else { Err(message(stack)) }
        })?;
        self.scripts.insert(script.sha, kept);
        Ok(kept)
    }

    /// Runs a script.
    ///
    /// # Errors
    /// Why it was halted, if it is to be run again.
    pub fn run_script(&mut self, script: &Script, words: Words<'_>, host: &mut dyn Host) -> Result<Answer, Halt> {
        let function = match self.compile(script) {
            Ok(function) => function,
            Err(text) => {
                return Ok(plain(Reply::error(format!("ERR Error compiling script (new function): {text}"))));
            }
        };
        let sandbox = self.sandbox;
        let run = self.run(host, |stack| {
            stack.push_kept(sandbox.shown_globals);
            stack.set_globals();
            stack.push_kept(sandbox.error_handler);
            stack.push_kept(sandbox.globals);
            push_words(stack, words.keys);
            stack.set_field(-2, "KEYS");
            push_words(stack, words.args);
            stack.set_field(-2, "ARGV");
            stack.pop(1);
            stack.push_kept(function);
            let outcome = stack.protected_call(0, 1, 1);
            settle(stack, outcome, || script.sha.hex())
        });
        self.bury(run, || script.sha.hex())
    }

    /// Runs a script in a debugger, which is given back.
    ///
    /// # Errors
    /// As [`Vm::run_script`].
    pub fn debug_script(
        &mut self,
        script: &Script,
        words: Words<'_>,
        host: &mut dyn Host,
        mut debugger: Debugger,
    ) -> (Result<Answer, Halt>, Option<Debugger>) {
        debugger.begin(self.sandbox.globals);
        *self.lua.shared().debugger.borrow_mut() = Some(debugger);
        let ran = self.run_script(script, words, host);
        (ran, self.lua.shared().debugger.borrow_mut().take())
    }

    /// Calls a function of a library, which is loaded first if need be.
    ///
    /// # Errors
    /// As [`Vm::run_script`].
    pub fn run_function(
        &mut self,
        library: &Library,
        place: usize,
        words: Words<'_>,
        host: &mut dyn Host,
    ) -> Result<Answer, Halt> {
        if !self.libraries.contains_key(&library.stamp) {
            match self.load(&library.code, host) {
                Ok(registered) => self.know(library, registered),
                Err(LoadError::Halted(halt)) => return Err(halt),
                Err(LoadError::Refused(text)) => return Ok(plain(Reply::error(format!("ERR {text}")))),
            }
        }
        let Some(callback) = self.libraries.get(&library.stamp).and_then(|functions| functions.get(place)).copied()
        else {
            return Ok(plain(Reply::error("ERR Function not found")));
        };
        let sandbox = self.sandbox;
        let run = self.run(host, |stack| {
            stack.push_kept(sandbox.shown_function_globals);
            stack.set_globals();
            stack.push_kept(sandbox.error_handler);
            stack.push_kept(callback);
            push_words(stack, words.keys);
            push_words(stack, words.args);
            let outcome = stack.protected_call(2, 1, 1);
            settle(stack, outcome, || function_name(library, place))
        });
        self.bury(run, || function_name(library, place))
    }

    /// Keeps the functions of a library that was just loaded, in the library's own order.
    pub fn know(&mut self, library: &Library, registered: Vec<Registered>) {
        let in_order = |function: &Function| registered.iter().find(|other| other.function.name == function.name);
        let functions = library.functions.iter().filter_map(in_order).map(|registered| registered.callback);
        self.libraries.insert(library.stamp, functions.collect());
    }

    /// Runs the code of a library, which registers its functions.
    ///
    /// # Errors
    /// Why it was refused, or halted.
    pub fn load(&mut self, code: &[u8], host: &mut dyn Host) -> Result<Vec<Registered>, LoadError> {
        let body = code.iter().position(|byte| *byte == b'\n').unwrap_or(code.len());
        let sandbox = self.sandbox;
        *self.lua.shared().loading.borrow_mut() = Some(Vec::new());
        let loaded = self.run(host, |stack| {
            stack.push_kept(sandbox.shown_function_globals);
            stack.push_copy(-1);
            stack.set_globals();
            stack.push_kept(sandbox.loading_globals);
            stack.show(-2, -1);
            stack.set_top(0);
            stack.push_kept(sandbox.error_handler);
            let result = if !stack.compile(&code[body..], FUNCTION_NAME) {
                Err(format!("Error compiling function: {}", message(stack)))
            } else if stack.protected_call(0, 0, 1).is_err() {
                Err(format!("Error registering functions: {}", pop_error(stack).text))
            } else {
                Ok(())
            };
            stack.push_kept(sandbox.shown_function_globals);
            stack.push_kept(sandbox.function_globals);
            stack.show(-2, -1);
            result
        });
        let registered = self.lua.shared().loading.borrow_mut().take().unwrap_or_default();
        // What a failed load has left behind is not worth looking for.
        self.spoilt |= !matches!(loaded, Ok(Ok(())));
        match loaded {
            Err(halt) => Err(LoadError::Halted(halt)),
            Ok(Err(text)) => Err(LoadError::Refused(text)),
            Ok(Ok(())) if registered.is_empty() => Err(LoadError::Refused("No functions registered".into())),
            Ok(Ok(())) => Ok(registered),
        }
    }

    /// Runs something as a script runs.
    fn run<R>(&mut self, host: &mut dyn Host, work: impl FnOnce(&mut Stack<'_>) -> R) -> Result<R, Halt> {
        let shared = self.lua.shared();
        shared.protocol.set(Protocol::Resp2);
        shared.random.scramble();
        shared.halted_at.replace(None);
        shared.json.borrow_mut().clear();
        self.lua.run(host, work)
    }

    /// A script that was killed has an answer all the same.
    fn bury(&self, run: Result<Answer, Halt>, name: impl FnOnce() -> String) -> Result<Answer, Halt> {
        let Err(Halt::Killed(text)) = run else { return run };
        let place = self.lua.shared().halted_at.take();
        let error = ScriptError { text: format!("ERR {text}"), place, counted: false };
        Ok(error.answer(&name()))
    }
}

fn function_name(library: &Library, place: usize) -> String {
    library.functions.get(place).map(|function| function.name.clone()).unwrap_or_default()
}

/// An error that ended a script.
struct ScriptError {
    text: String,
    /// Source and line.
    place: Option<(String, i32)>,
    counted: bool,
}

impl ScriptError {
    fn answer(self, script: &str) -> Answer {
        let reply = match &self.place {
            Some((source, line)) => format!("{} script: {script}, on {source}:{line}.", self.text),
            None => self.text,
        };
        Answer { reply: Reply::error(reply), counted: self.counted }
    }
}

/// What became of a call, taken off the stack.
fn settle(stack: &mut Stack<'_>, outcome: Result<(), Failure>, name: impl FnOnce() -> String) -> Answer {
    match outcome {
        Ok(()) => pop_answer(stack),
        Err(Failure::OutOfMemory) => {
            plain(Reply::error("ERR the script needs more memory than lua-memory-limit allows"))
        }
        Err(Failure::Error | Failure::Handler) => pop_error(stack).answer(&name()),
    }
}

/// The error on top, as the error handler has left it.
fn pop_error(stack: &mut Stack<'_>) -> ScriptError {
    if stack.kind(-1) != Kind::Table {
        return ScriptError { text: format!("ERR {}", message(stack)), place: None, counted: false };
    }
    let text = text_field(stack, "err").unwrap_or_else(|| "ERR execution failure".into());
    let source = text_field(stack, "source");
    stack.push_field(-1, "line");
    #[expect(clippy::cast_possible_truncation, reason = "a line number")]
    let line = stack.number(-1).map(|line| line as i32);
    stack.pop(1);
    stack.push_field(-1, "ignore_error_stats_update");
    let counted = stack.boolean(-1);
    stack.pop(2);
    ScriptError { text, place: source.zip(line), counted }
}

fn text_field(stack: &mut Stack<'_>, name: &str) -> Option<String> {
    stack.push_field(-1, name);
    let text = stack.text(-1).map(|text| String::from_utf8_lossy(text).into_owned());
    stack.pop(1);
    text
}

/// The message on top, taken off.
fn message(stack: &mut Stack<'_>) -> String {
    let text =
        stack.text(-1).map_or_else(|| "execution failure".into(), |text| String::from_utf8_lossy(text).into_owned());
    stack.pop(1);
    text
}

/// A list of words as a table.
fn push_words(stack: &mut Stack<'_>, words: &[&[u8]]) {
    stack.push_table(words.len(), 0);
    for (index, word) in (1..).zip(words) {
        stack.push_bytes(word);
        stack.set_element(-2, index);
    }
}

fn plain(reply: Reply) -> Answer {
    Answer { reply, counted: false }
}
