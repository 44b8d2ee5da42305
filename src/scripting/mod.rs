//! Scripts: the service that runs Lua for EVAL and FCALL. It knows neither sessions nor commands: what
//! a script asks for goes through a [`Host`] given from above.
//!
//! - [`Scripts`]: what a server has of them. `script.rs`: the texts of EVAL. `library.rs`: functions.
//!   `running.rs`: scripts that take long, and killing them.
//! - `vm.rs`: an interpreter and one run on it. `sandbox.rs`: the world inside; `api.rs`: its table
//!   `redis`; `cjson/`, `cmsgpack.rs`, `structure.rs`, `bit.rs`: the libraries that Redis brings.
//! - `debugger/`: stopping a script line by line for a client to look at it.
//! - `convert.rs`: replies to values and back. `host.rs`: what is asked of those above.
//! - `lua/`: Lua itself behind a safe door, and all `unsafe` of this layer.
//!
//! A script touches nothing but its host's transaction, so it can be run again: elsewhere when data is
//! on disk only or it takes long, under other locks when it reaches for a key that it has not declared.

mod api;
mod bit;
mod cjson;
mod cmsgpack;
mod convert;
mod debugger;
mod host;
mod library;
mod lua;
mod random;
pub mod running;
mod sandbox;
mod script;
mod structure;
#[cfg(test)]
mod tests;
pub mod version;
mod vm;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;

pub use convert::Answer;
pub use debugger::{Console, DEFAULT_LIMIT, Debugger, Wire};
pub use host::{Called, Halt, Host, LogLevel};
pub use library::{Function, Libraries, Library, Metadata, ScriptFlags, read_metadata};
pub use running::RunningScripts;
pub use script::{Script, ScriptCache, Sha};
pub use vm::{LoadError, Words};

use vm::Vm;

/// Interpreters kept while nothing runs on them.
const IDLE_VMS: usize = 16;

/// What a server has of scripts.
#[derive(Default)]
pub struct Scripts {
    pub cache: ScriptCache,
    pub running: RunningScripts,
    /// Scripts that are being debugged.
    pub debugged: debugger::Sessions,
    libraries: ArcSwap<Libraries>,
    idle: Mutex<Vec<Vm>>,
    /// Bytes of the interpreters that are idle.
    idle_bytes: AtomicUsize,
}

impl Scripts {
    /// The libraries as of the last commit that changed them.
    pub fn libraries(&self) -> Arc<Libraries> {
        self.libraries.load_full()
    }

    /// A commit has changed the libraries.
    pub fn publish(&self, libraries: Arc<Libraries>) {
        self.libraries.store(libraries);
    }

    /// Compiles a script, to know whether it can be.
    ///
    /// # Errors
    /// Lua's message.
    pub fn check(&self, script: &Script) -> Result<(), String> {
        self.with_vm(usize::MAX, |vm| vm.compile(script).map(drop)).unwrap_or_else(|| Err(NO_MEMORY.into()))
    }

    /// Runs a script with at most `memory_bytes`.
    ///
    /// # Errors
    /// Why it is to be run again.
    pub fn run(
        &self,
        script: &Script,
        words: Words<'_>,
        memory_bytes: usize,
        host: &mut dyn Host,
    ) -> Result<Answer, Halt> {
        self.with_vm(memory_bytes, |vm| vm.run_script(script, words, host)).unwrap_or_else(|| Ok(no_memory()))
    }

    /// Runs a script in a debugger, on an interpreter that nobody has used or will use.
    ///
    /// # Errors
    /// Why it came to no end.
    pub fn debug(
        &self,
        script: &Script,
        words: Words<'_>,
        memory_bytes: usize,
        host: &mut dyn Host,
        debugger: Debugger,
    ) -> (Result<Answer, Halt>, Option<Debugger>) {
        let Some(mut vm) = Vm::new(0) else { return (Ok(no_memory()), Some(debugger)) };
        vm.limit_memory(memory_bytes);
        vm.debug_script(script, words, host, debugger)
    }

    /// Calls a function of a library.
    ///
    /// # Errors
    /// As [`Scripts::run`].
    pub fn call(
        &self,
        function: (&Library, usize),
        words: Words<'_>,
        memory_bytes: usize,
        host: &mut dyn Host,
    ) -> Result<Answer, Halt> {
        let (library, place) = function;
        let run = |vm: &mut Vm| vm.run_function(library, place, words, host);
        self.with_vm(memory_bytes, run).unwrap_or_else(|| Ok(no_memory()))
    }

    /// Runs the code of a library to learn its functions.
    ///
    /// # Errors
    /// Why it is refused or was halted.
    pub fn load(
        &self,
        name: String,
        code: Bytes,
        memory_bytes: usize,
        host: &mut dyn Host,
    ) -> Result<Library, LoadError> {
        let load = |vm: &mut Vm| {
            let registered = vm.load(&code, host)?;
            let functions = registered.iter().map(|registered| registered.function.clone()).collect();
            let library = Library::new(name, code.clone(), functions);
            vm.know(&library, registered);
            Ok(library)
        };
        self.with_vm(memory_bytes, load).unwrap_or_else(|| Err(LoadError::Refused(NO_MEMORY.into())))
    }

    /// Bytes of idle interpreters, for INFO.
    pub fn memory_bytes(&self) -> usize {
        self.idle_bytes.load(Ordering::Relaxed)
    }

    /// Does something with an interpreter of one's own.
    fn with_vm<R>(&self, memory_bytes: usize, work: impl FnOnce(&mut Vm) -> R) -> Option<R> {
        let flushes = self.cache.flushes.load(Ordering::Acquire);
        let mut vm = self.take(flushes).or_else(|| Vm::new(flushes))?;
        vm.limit_memory(memory_bytes);
        let result = work(&mut vm);
        if vm.is_sound() {
            vm.tidy(&self.libraries.load());
            self.give_back(vm);
        }
        Some(result)
    }

    fn take(&self, flushes: usize) -> Option<Vm> {
        loop {
            let vm = self.idle.lock().pop()?;
            self.idle_bytes.fetch_sub(vm.used_bytes(), Ordering::Relaxed);
            // What was compiled before a flush is forgotten with the interpreter.
            if vm.flushes == flushes {
                return Some(vm);
            }
        }
    }

    fn give_back(&self, vm: Vm) {
        let bytes = vm.used_bytes();
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_VMS {
            self.idle_bytes.fetch_add(bytes, Ordering::Relaxed);
            idle.push(vm);
        }
    }
}

const NO_MEMORY: &str = "no memory for a Lua interpreter";

fn no_memory() -> Answer {
    Answer { reply: crate::resp::Reply::error(format!("ERR {NO_MEMORY}")), counted: false }
}
