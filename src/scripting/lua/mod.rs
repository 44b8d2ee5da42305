//! Lua 5.1 behind a safe door: [`Lua`] owns an interpreter, [`Stack`] is what native functions
//! see of it. This folder holds all `unsafe` of the scripting layer: calls into Lua's C interface.
//!
//! Lua reports errors by `longjmp`, which must not jump over a Rust frame that owns something. So:
//!
//! - Natives return [`Raise`]; only `shim`, which then owns nothing any more, raises it in Lua.
//! - Of Lua's functions natives get only those that raise no error but *out of memory*
//!   (raw access, no metamethods), and while a native runs the memory limit is not enforced; it is
//!   again as soon as Lua runs. What remains (`raw.rs`) are frames that own nothing.
//! - Lua code runs through [`Stack::protected_call`] only, which catches everything.
//!
//! A script is stopped by a count hook. What has stopped it is kept aside ([`Halt`]), and from then on every
//! single instruction raises an error, so that no `pcall` of the script can swallow it.
//!
//! The other reason for this door: an error out of a function of mlua's safe interface is an object
//! that scripts can tell from Redis' strings. Only mlua's build of Lua is used here.
#![allow(unsafe_code, reason = "the C interface of Lua")]

mod frames;
mod raw;
mod stack;

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use mlua::ffi;

use super::cjson;
use super::debugger::Debugger;
use super::host::{Halt, Host};
use super::library::Registered;
use super::random::Random;
use crate::resp::Protocol;

pub(super) use frames::Moment;
pub(super) use raw::{format_number, read_number};
pub(super) use stack::{Kind, Raise, Raised, Stack};

/// Instructions between two looks at the clock: some 50 µs.
const INSTRUCTIONS_PER_TICK: c_int = 10_000;

/// A native function: arguments on the stack, results pushed; how many is its value.
pub(super) type Native = fn(&mut Stack<'_>) -> Raised<i32>;

/// How a protected call failed; the error value is on top of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// By an error that Lua code or a native raised.
    Error,
    OutOfMemory,
    /// While the error was being handled.
    Handler,
}

/// What natives of one interpreter share; its address is the allocator's.
pub(super) struct Shared {
    limit_bytes: Cell<usize>,
    used_bytes: Cell<usize>,
    /// An allocation was refused: the interpreter is to be thrown away.
    refused: Cell<bool>,
    /// Natives that run, one inside the other; Lua itself runs at 0.
    natives: Cell<u32>,
    host: Cell<Option<NonNull<dyn Host>>>,
    halt: RefCell<Option<Halt>>,
    /// Where the script was halted, as errors show it.
    pub halted_at: RefCell<Option<(String, i32)>>,
    /// The protocol that replies are converted by (`redis.setresp`).
    pub protocol: Cell<Protocol>,
    pub random: Random,
    /// The settings of `cjson`'s instances; reset for each run.
    pub json: RefCell<Vec<cjson::Settings>>,
    /// Functions registered so far, while a library is being loaded.
    pub loading: RefCell<Option<Vec<Registered>>>,
    /// Whoever debugs the script that runs.
    pub debugger: RefCell<Option<Debugger>>,
}

/// How much one step of the collector does, in Lua's measure: enough to keep up with small scripts.
const COLLECTOR_STEP: c_int = 50;

/// An interpreter.
pub(super) struct Lua {
    state: NonNull<ffi::lua_State>,
    shared: Box<Shared>,
}

// SAFETY: the interpreter has no tie to a thread, and `Lua` is its only owner; what is shared by
// cells is reached through it alone.
unsafe impl Send for Lua {}

/// A value kept in the interpreter's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept(c_int);

impl Lua {
    /// An interpreter without any libraries. `None` when there is no memory.
    pub fn new() -> Option<Self> {
        let shared = Box::new(Shared {
            limit_bytes: Cell::new(usize::MAX),
            used_bytes: Cell::new(0),
            refused: Cell::new(false),
            natives: Cell::new(0),
            host: Cell::new(None),
            halt: RefCell::new(None),
            halted_at: RefCell::new(None),
            protocol: Cell::new(Protocol::Resp2),
            random: Random::default(),
            json: RefCell::default(),
            loading: RefCell::new(None),
            debugger: RefCell::new(None),
        });
        let address = ptr::from_ref::<Shared>(&shared).cast_mut().cast::<c_void>();
        // SAFETY: the allocator keeps to Lua's contract, and `shared` outlives the state.
        let state = NonNull::new(unsafe { ffi::lua_newstate(allocate, address) })?;
        Some(Self { state, shared })
    }

    /// What natives share.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The most memory it may use; natives may go beyond for as long as they run.
    pub fn limit_memory(&mut self, bytes: usize) {
        self.shared.limit_bytes.set(bytes);
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> usize {
        self.shared.used_bytes.get()
    }

    /// Lets the collector work for a while.
    pub fn collect(&mut self) {
        raw::step_collector(self.state.as_ptr(), COLLECTOR_STEP);
    }

    /// Whether it has met the limit since it was made.
    pub fn ran_out_of_memory(&self) -> bool {
        self.shared.refused.get()
    }

    /// Works on its base stack, which is empty before and after.
    pub fn with<R>(&mut self, work: impl FnOnce(&mut Stack<'_>) -> R) -> R {
        self.shared.natives.set(1);
        let mut stack = Stack::new(self.state.as_ptr(), &self.shared);
        let result = work(&mut stack);
        stack.set_top(0);
        self.shared.natives.set(0);
        result
    }

    /// The same for Lua code that runs on behalf of a host, which can halt it.
    ///
    /// # Errors
    /// Why the host halted it.
    pub fn run<R>(&mut self, host: &mut dyn Host, work: impl FnOnce(&mut Stack<'_>) -> R) -> Result<R, Halt> {
        let host: NonNull<dyn Host + '_> = NonNull::from(host);
        // SAFETY: only the lifetime changes; the pointer is taken back before `run` returns.
        let host: NonNull<dyn Host + 'static> = unsafe { std::mem::transmute(host) };
        self.shared.host.set(Some(host));
        match self.shared.is_debugged() {
            true => frames::hook_lines(self.state.as_ptr()),
            false => raw::set_hook(self.state.as_ptr(), INSTRUCTIONS_PER_TICK),
        }
        raw::restart_collector(self.state.as_ptr());
        let result = self.with(work);
        self.shared.host.set(None);
        match self.shared.halt.borrow_mut().take() {
            Some(halt) => Err(halt),
            None => Ok(result),
        }
    }
}

impl Drop for Lua {
    fn drop(&mut self) {
        // SAFETY: the state is ours and closed once, before what its allocator points to. No
        // value of it has a finalizer (`newproxy` is not offered), so that no code runs.
        unsafe { ffi::lua_close(self.state.as_ptr()) };
    }
}

impl Shared {
    /// Does something with the host of the script that runs; `None` when nothing runs, or the
    /// host is at work already.
    pub fn with_host<R>(&self, work: impl FnOnce(&mut dyn Host) -> R) -> Option<R> {
        let mut host = self.host.take()?;
        // SAFETY: `run` holds the host's unique borrow for as long as the pointer is here, and
        // taking it out makes this the only use of it.
        let result = work(unsafe { host.as_mut() });
        self.host.set(Some(host));
        Some(result)
    }

    /// Whether the script is to end.
    pub fn is_halted(&self) -> bool {
        self.halt.borrow().is_some()
    }

    /// Why the script is to end, which it is then no more.
    pub fn take_halt(&self) -> Option<Halt> {
        self.halt.borrow_mut().take()
    }

    /// Whether the script is being debugged.
    pub fn is_debugged(&self) -> bool {
        self.debugger.borrow().is_some()
    }

    /// Does something with the debugger; `None` without one.
    pub fn debug<R>(&self, work: impl FnOnce(&mut Debugger) -> R) -> Option<R> {
        self.debugger.borrow_mut().as_mut().map(work)
    }

    fn set_halt(&self, halt: Halt) {
        self.halt.borrow_mut().get_or_insert(halt);
    }
}

/// Lua's allocator: counts, and refuses what goes beyond the limit.
unsafe extern "C" fn allocate(shared: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: the address that `Lua::new` handed over, valid for as long as the state.
    let shared = unsafe { &*shared.cast::<Shared>() };
    let old = if block.is_null() { 0 } else { old };
    if new == 0 {
        // SAFETY: a block of ours or null.
        unsafe { libc::free(block) };
        shared.used_bytes.set(shared.used_bytes.get().saturating_sub(old));
        return ptr::null_mut();
    }
    let used = shared.used_bytes.get().saturating_sub(old).saturating_add(new);
    if new > old && used > shared.limit_bytes.get() && shared.natives.get() == 0 {
        shared.refused.set(true);
        return ptr::null_mut();
    }
    // SAFETY: a block of ours or null.
    let block = unsafe { libc::realloc(block, new) };
    if !block.is_null() {
        shared.used_bytes.set(used);
    }
    block
}
