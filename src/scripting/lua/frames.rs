//! What a debugger needs of Lua: the hook for each line, the frames of the call stack and their local variables,
//! code that runs aside. `unsafe` as everywhere in this folder: Lua's C interface.

use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlua::ffi;

use super::raw::{note_halt, set_hook, shared, text, tick};
use super::{INSTRUCTIONS_PER_TICK, Stack};
use crate::scripting::debugger;
use crate::scripting::host::Halt;

/// What the code of `eval` is called in messages.
const EVAL_NAME: &CStr = c"@ldb_eval";

/// When the debugger is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scripting) enum Moment {
    /// Before a line.
    Line,
    /// After so many instructions.
    Tick,
}

/// A level of the call stack.
#[derive(Debug, Default)]
pub(in crate::scripting) struct Frame {
    /// As messages name it (`user_script`).
    pub source: String,
    /// The line that runs; 0 in a native function.
    pub line: usize,
    /// What the function was called by, if it was called by a name.
    pub name: Option<String>,
}

/// Asks the debugger before each line, and every now and then.
pub(super) fn hook_lines(state: *mut ffi::lua_State) {
    let mask = ffi::LUA_MASKLINE | ffi::LUA_MASKCOUNT;
    // SAFETY: the state is live; the hook is a static function.
    unsafe { ffi::lua_sethook(state, Some(watch), mask, INSTRUCTIONS_PER_TICK) };
}

/// The hook. Its frame owns nothing when it raises.
unsafe extern "C-unwind" fn watch(state: *mut ffi::lua_State, debug: *mut ffi::lua_Debug) {
    // SAFETY: Lua describes the event for as long as the hook runs.
    let moment = match unsafe { (*debug).event } {
        ffi::LUA_HOOKLINE => Moment::Line,
        _ => Moment::Tick,
    };
    if may_go_on(state, moment) {
        return;
    }
    // SAFETY: nothing is owned here.
    unsafe {
        ffi::lua_pushstring_(state, c"halted".as_ptr());
        ffi::lua_error(state);
    }
}

fn may_go_on(state: *mut ffi::lua_State, moment: Moment) -> bool {
    let shared = shared(state);
    if shared.is_halted() {
        set_hook(state, 1);
        return false;
    }
    shared.natives.set(shared.natives.get() + 1);
    let watched = catch_unwind(AssertUnwindSafe(|| debugger::watch(&mut Stack::new(state, shared), moment)));
    shared.natives.set(shared.natives.get() - 1);
    match watched {
        Ok(Ok(())) => return true,
        Ok(Err(halt)) => note_halt(state, shared, halt),
        Err(_) => note_halt(state, shared, Halt::broken()),
    }
    false
}

/// Finds a level of the call stack.
fn level_of(state: *mut ffi::lua_State, level: c_int) -> Option<ffi::lua_Debug> {
    // SAFETY: all fields are integers, pointers and bytes, for which zero is a value; the state is live.
    unsafe {
        let mut debug: ffi::lua_Debug = std::mem::zeroed();
        (ffi::lua_getstack(state, level, &raw mut debug) != 0).then_some(debug)
    }
}

// SAFETY of the calls: as for the other functions of `Stack`.
impl Stack<'_> {
    /// A level of the call stack, from 0 for the function that runs.
    pub fn frame(&self, level: c_int) -> Option<Frame> {
        let mut debug = level_of(self.state, level)?;
        // The strings live as long as the function they describe.
        unsafe {
            if ffi::lua_getinfo(self.state, c"Snl".as_ptr(), &raw mut debug) == 0 {
                return None;
            }
            Some(Frame {
                source: text(debug.short_src.as_ptr()).into_owned(),
                line: usize::try_from(debug.currentline).unwrap_or_default(),
                name: (!debug.name.is_null()).then(|| text(debug.name).into_owned()),
            })
        }
    }

    /// Pushes a local variable of a level, from 1, and gives its name. `None`, with nothing pushed,
    /// beyond the last one.
    pub fn push_local(&mut self, level: c_int, number: c_int) -> Option<Vec<u8>> {
        let debug = level_of(self.state, level)?;
        if !self.has_room(1) {
            return None;
        }
        unsafe {
            let name = ffi::lua_getlocal(self.state, &raw const debug, number);
            (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes().to_vec())
        }
    }

    /// The address of what a value stands for; 0 for values that have none.
    pub fn address(&self, at: i32) -> usize {
        unsafe { ffi::lua_topointer(self.state, at) }.addr()
    }

    /// Runs code, as an expression if it is one, and pushes its value. False: its error was pushed. Lines
    /// are not watched in it, but it can be halted: a hook sees nothing of what runs on its own stack, so
    /// this is another one.
    pub fn evaluate(&mut self, code: &[u8]) -> bool {
        let thread = unsafe { ffi::lua_newthread(self.state) };
        unsafe { ffi::lua_sethook(thread, Some(tick), ffi::LUA_MASKCOUNT, INSTRUCTIONS_PER_TICK) };
        let mut aside = Stack::new(thread, self.shared);
        let compiles = aside.compile(&[b"return ", code].concat(), EVAL_NAME) || {
            aside.pop(1);
            aside.compile(code, EVAL_NAME)
        };
        let done = compiles && aside.protected_call(0, 1, 0).is_ok();
        unsafe { ffi::lua_xmove(thread, self.state, 1) };
        self.remove(-2);
        done
    }
}
