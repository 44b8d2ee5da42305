//! Functions that Lua calls directly, and calls that need C's own types. The frames of the
//! former own nothing, so an error may jump over them.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use mlua::ffi;

use super::{Native, Shared, Stack};

/// Its address marks, in a metatable, what stands behind a read-only table.
static BEHIND: u8 = 0;
/// Its address marks the metatable that scripts are shown of a read-only table.
static SHOWN: u8 = 0;

/// Enough for any double in `%.17g`.
const NUMBER_BYTES: usize = 40;

pub(super) const READ_ONLY: &CStr = c"Attempt to modify a readonly table";

/// The key, in the metatable of a read-only table, of what stands behind it.
pub(super) fn behind_key() -> *mut c_void {
    ptr::from_ref(&BEHIND).cast_mut().cast()
}

/// The key of the metatable that scripts are shown.
pub(super) fn shown_key() -> *mut c_void {
    ptr::from_ref(&SHOWN).cast_mut().cast()
}

/// What natives of this state share.
pub(super) fn shared<'a>(state: *mut ffi::lua_State) -> &'a Shared {
    let mut address: *mut c_void = ptr::null_mut();
    // SAFETY: the allocator's argument is the `Shared` of the `Lua` that owns the state.
    unsafe {
        ffi::lua_getallocf(state, &raw mut address);
        &*address.cast::<Shared>()
    }
}

/// Looks at the host every so many instructions; 1 while the script is being halted.
pub(super) fn set_hook(state: *mut ffi::lua_State, instructions: c_int) {
    // SAFETY: the state is live; the hook is a static function.
    unsafe { ffi::lua_sethook(state, Some(tick), ffi::LUA_MASKCOUNT, instructions) };
}

/// A script may have stopped the collector.
pub(super) fn restart_collector(state: *mut ffi::lua_State) {
    // SAFETY: the state is live.
    unsafe { ffi::lua_gc(state, ffi::LUA_GCRESTART, 0) };
}

/// Lets the collector work for a while.
pub(super) fn step_collector(state: *mut ffi::lua_State, size: c_int) {
    // SAFETY: the state is live, and nothing runs on it. No value has a finalizer.
    unsafe { ffi::lua_gc(state, ffi::LUA_GCSTEP, size) };
}

/// The count hook.
pub(super) unsafe extern "C-unwind" fn tick(state: *mut ffi::lua_State, _: *mut ffi::lua_Debug) {
    let shared = shared(state);
    if !shared.is_halted() {
        match shared.with_host(|host| catch_unwind(AssertUnwindSafe(|| host.tick()))) {
            Some(Ok(Err(halt))) => note_halt(state, shared, halt),
            Some(Ok(Ok(()))) | None => return,
            Some(Err(_)) => note_halt(state, shared, super::Halt::broken()),
        }
    }
    set_hook(state, 1);
    // SAFETY: nothing is owned here.
    unsafe {
        ffi::lua_pushstring_(state, c"halted".as_ptr());
        ffi::lua_error(state);
    }
}

/// The script is to end; every instruction from now on raises an error.
pub(super) fn note_halt(state: *mut ffi::lua_State, shared: &Shared, halt: super::Halt) {
    *shared.halted_at.borrow_mut() = running_line(state);
    shared.set_halt(halt);
    set_hook(state, 1);
}

/// Source and line of the innermost Lua function.
fn running_line(state: *mut ffi::lua_State) -> Option<(String, i32)> {
    (0..3).find_map(|level| {
        let place = Place::at(state, level)?;
        (place.line > 0).then_some((place.source, place.line))
    })
}

/// What is known of a level of the call stack.
pub(super) struct Place {
    pub is_native: bool,
    /// As the chunk was named (`@user_script`).
    pub source: String,
    /// As messages name it (`user_script`).
    pub shown: String,
    pub line: i32,
}

impl Place {
    pub fn at(state: *mut ffi::lua_State, level: c_int) -> Option<Self> {
        // SAFETY: all fields are integers, pointers and bytes, for which zero is a value.
        let mut debug: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        // SAFETY: the state is live, and the strings live as long as the function they describe.
        unsafe {
            if ffi::lua_getstack(state, level, &raw mut debug) == 0
                || ffi::lua_getinfo(state, c"Sl".as_ptr(), &raw mut debug) == 0
            {
                return None;
            }
            Some(Self {
                is_native: text(debug.what) == "C",
                source: text(debug.source).into_owned(),
                shown: text(debug.short_src.as_ptr()).into_owned(),
                line: debug.currentline,
            })
        }
    }
}

/// The name by which the running native was called, and whether as a method.
pub(super) fn called_name(state: *mut ffi::lua_State) -> (String, bool) {
    // SAFETY: as in `Place::at`.
    unsafe {
        let mut debug: ffi::lua_Debug = std::mem::zeroed();
        if ffi::lua_getstack(state, 0, &raw mut debug) == 0
            || ffi::lua_getinfo(state, c"n".as_ptr(), &raw mut debug) == 0
            || debug.name.is_null()
        {
            return ("?".into(), false);
        }
        (text(debug.name).into_owned(), text(debug.namewhat) == "method")
    }
}

/// A C string of Lua's.
///
/// # Safety
/// Null, or NUL-terminated and live for `'a`.
pub(super) unsafe fn text<'a>(pointer: *const c_char) -> std::borrow::Cow<'a, str> {
    if pointer.is_null() {
        return "".into();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy()
}

/// What Lua calls for every native; the function itself is the first upvalue.
pub(super) unsafe extern "C-unwind" fn shim(state: *mut ffi::lua_State) -> c_int {
    let results = run_native(state);
    if results >= 0 {
        return results;
    }
    // SAFETY: the error value was pushed, and nothing is owned here.
    unsafe { ffi::lua_error(state) }
}

/// Runs the native; below 0 when it failed, with the error on top of the stack.
fn run_native(state: *mut ffi::lua_State) -> c_int {
    let shared = shared(state);
    // SAFETY: `Stack::push_native` put a `Native` there.
    let native = unsafe {
        let address = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1));
        std::mem::transmute::<*mut c_void, Native>(address)
    };
    shared.natives.set(shared.natives.get() + 1);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut stack = Stack::new(state, shared);
        native(&mut stack).or_else(|raise| {
            stack.push_error(raise);
            Ok::<i32, ()>(-1)
        })
    }));
    let results = match outcome {
        Ok(Ok(results)) => results,
        _ => {
            note_halt(state, shared, super::Halt::broken());
            Stack::new(state, shared).push_bytes(b"halted");
            -1
        }
    };
    shared.natives.set(shared.natives.get() - 1);
    results
}

/// Whether the first argument is a read-only table; what is behind it is then pushed.
unsafe fn push_behind(state: *mut ffi::lua_State) -> bool {
    // SAFETY: raw access to a table that was just pushed; nothing is owned.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE || ffi::lua_getmetatable(state, 1) == 0 {
            return false;
        }
        ffi::lua_pushlightuserdata(state, behind_key());
        ffi::lua_rawget_(state, -2);
        ffi::lua_remove(state, -2);
        if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            return true;
        }
        ffi::lua_settop(state, -2);
        false
    }
}

/// One of Lua's own functions that changes its first argument: not a read-only table.
pub(super) unsafe extern "C-unwind" fn guarded(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: the first upvalue is the original, which sees our arguments as its own.
    unsafe {
        if push_behind(state) {
            ffi::lua_pushstring_(state, READ_ONLY.as_ptr());
            ffi::lua_error(state);
        }
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(1)) {
            Some(original) => original(state),
            None => 0,
        }
    }
}

/// One of Lua's own functions that reads its first argument: what is behind a read-only table.
pub(super) unsafe extern "C-unwind" fn looking_behind(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as in `guarded`.
    unsafe {
        if push_behind(state) {
            ffi::lua_replace(state, 1);
        }
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(1)) {
            Some(original) => original(state),
            None => 0,
        }
    }
}

/// A number in C's `%.<digits>g`.
pub(in crate::scripting) fn format_number(number: f64, digits: u8) -> Vec<u8> {
    let mut text = [0_u8; NUMBER_BYTES];
    // SAFETY: the buffer's length is told, and the arguments are what the format says.
    let length =
        unsafe { libc::snprintf(text.as_mut_ptr().cast(), text.len(), c"%.*g".as_ptr(), c_int::from(digits), number) };
    let length = usize::try_from(length).unwrap_or(0).min(NUMBER_BYTES - 1);
    text[..length].to_vec()
}

/// The number that bytes begin with, as C's `strtod` reads it, and how many bytes it takes.
pub(in crate::scripting) fn read_number(bytes: &[u8]) -> Option<(f64, usize)> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let length = bytes.iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len());
    let mut terminated = bytes.get(..length)?.to_vec();
    terminated.push(0);
    let start: *const c_char = terminated.as_ptr().cast();
    let mut end = ptr::null_mut::<c_char>();
    // SAFETY: the text ends with a NUL, and `end` is set to a place within it.
    let (number, read) = unsafe {
        let number = libc::strtod(start, &raw mut end);
        (number, end.cast_const().offset_from(start))
    };
    let read = usize::try_from(read).ok().filter(|read| *read > 0)?;
    Some((number, read))
}
