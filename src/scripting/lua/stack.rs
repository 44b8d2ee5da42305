//! [`Stack`]: what a native function may do. Only what raises no error in Lua, so that nothing
//! can jump over the Rust frames that call it; a failure is a [`Raise`] on the way back.

use std::borrow::Cow;
use std::ffi::{CStr, c_int};

use mlua::ffi;

use super::{Failure, Kept, Native, Shared, raw};
use crate::scripting::host::{Halt, Host};

/// The type of a Lua value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scripting) enum Kind {
    /// No value at all: beyond the last argument.
    None,
    Nil,
    Boolean,
    /// A light userdata, of which scripts meet one only: `cjson.null`.
    Null,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

impl Kind {
    /// The name as Lua's messages have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "no value",
            Self::Nil => "nil",
            Self::Boolean => "boolean",
            Self::Null | Self::Userdata => "userdata",
            Self::Number => "number",
            Self::String => "string",
            Self::Table => "table",
            Self::Function => "function",
            Self::Thread => "thread",
        }
    }
}

/// An error on its way into Lua.
#[derive(Debug)]
pub(in crate::scripting) enum Raise {
    /// A message; where the caller stands is put in front of it.
    Message(Cow<'static, str>),
    /// Something is wrong with an argument.
    Argument(i32, Cow<'static, str>),
    /// The value on top of the stack.
    Top,
    /// The script is being halted.
    Halted,
}

/// What natives return.
pub(in crate::scripting) type Raised<T> = Result<T, Raise>;

impl Raise {
    pub fn message(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Message(text.into())
    }

    pub fn argument(number: i32, text: impl Into<Cow<'static, str>>) -> Self {
        Self::Argument(number, text.into())
    }
}

/// A state's stack, as one native call or [`super::Lua::with`] sees it. Positions count from 1;
/// negative ones from the top.
pub(in crate::scripting) struct Stack<'a> {
    pub(super) state: *mut ffi::lua_State,
    pub shared: &'a Shared,
}

/// Slots that are free without asking.
const FREE_SLOTS: i32 = 16;

// SAFETY of every call below: the state is live and this thread's (`Lua` is borrowed while a
// `Stack` exists); room is made before a push; the functions called raise no error but *out of
// memory*, which the allocator does not report while natives run.
impl<'a> Stack<'a> {
    pub(super) fn new(state: *mut ffi::lua_State, shared: &'a Shared) -> Self {
        let mut stack = Self { state, shared };
        stack.has_room(FREE_SLOTS);
        stack
    }

    /// Makes room for more values; false beyond Lua's own limit.
    pub fn has_room(&mut self, more: i32) -> bool {
        unsafe { ffi::lua_checkstack(self.state, more) != 0 }
    }

    /// How many values there are: in a native, first its arguments.
    pub fn top(&self) -> i32 {
        unsafe { ffi::lua_gettop(self.state) }
    }

    /// Drops values, or adds nils.
    pub fn set_top(&mut self, top: i32) {
        unsafe { ffi::lua_settop(self.state, top) };
    }

    /// Drops values from the top.
    pub fn pop(&mut self, count: i32) {
        unsafe { ffi::lua_settop(self.state, -count - 1) };
    }

    /// Pushes a copy of the value at a position.
    pub fn push_copy(&mut self, at: i32) {
        unsafe { ffi::lua_pushvalue(self.state, at) };
    }

    /// Takes the top value to a position, the others move up.
    pub fn insert(&mut self, at: i32) {
        unsafe { ffi::lua_insert(self.state, at) };
    }

    /// Takes a value out.
    pub fn remove(&mut self, at: i32) {
        unsafe { ffi::lua_remove(self.state, at) };
    }

    /// Moves the top value over the one at a position.
    pub fn replace(&mut self, at: i32) {
        unsafe { ffi::lua_replace(self.state, at) };
    }

    // ---- looking at values -----------------------------------------------------

    pub fn kind(&self, at: i32) -> Kind {
        match unsafe { ffi::lua_type(self.state, at) } {
            ffi::LUA_TNIL => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TLIGHTUSERDATA => Kind::Null,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::String,
            ffi::LUA_TTABLE => Kind::Table,
            ffi::LUA_TFUNCTION => Kind::Function,
            ffi::LUA_TUSERDATA => Kind::Userdata,
            ffi::LUA_TTHREAD => Kind::Thread,
            _ => Kind::None,
        }
    }

    /// The truth of a value: all but nil and false.
    pub fn boolean(&self, at: i32) -> bool {
        unsafe { ffi::lua_toboolean(self.state, at) != 0 }
    }

    /// A number, or a string that reads as one.
    pub fn number(&self, at: i32) -> Option<f64> {
        unsafe { (ffi::lua_isnumber(self.state, at) != 0).then(|| ffi::lua_tonumber(self.state, at)) }
    }

    /// The bytes of a string.
    pub fn string(&self, at: i32) -> Option<&[u8]> {
        if self.kind(at) != Kind::String {
            return None;
        }
        let mut length = 0;
        // The bytes stay while the value is on the stack, which the borrow of `self` ensures.
        unsafe {
            let start = ffi::lua_tolstring(self.state, at, &raw mut length);
            Some(std::slice::from_raw_parts(start.cast::<u8>(), length))
        }
    }

    /// The bytes of a string; a number becomes one, where it stands.
    pub fn text(&mut self, at: i32) -> Option<&[u8]> {
        if self.kind(at) == Kind::Number {
            unsafe { ffi::lua_tolstring(self.state, at, std::ptr::null_mut()) };
        }
        self.string(at)
    }

    /// The length of a string, or of a table's sequence.
    pub fn length(&self, at: i32) -> usize {
        unsafe { ffi::lua_objlen(self.state, at) }
    }

    // ---- pushing values ----------------------------------------------------------

    pub fn push_nil(&mut self) {
        unsafe { ffi::lua_pushnil(self.state) };
    }

    pub fn push_boolean(&mut self, value: bool) {
        unsafe { ffi::lua_pushboolean(self.state, value.into()) };
    }

    pub fn push_number(&mut self, value: f64) {
        unsafe { ffi::lua_pushnumber(self.state, value) };
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of Lua is a double")]
    pub fn push_integer(&mut self, value: i64) {
        self.push_number(value as f64);
    }

    pub fn push_bytes(&mut self, bytes: &[u8]) {
        unsafe { ffi::lua_pushlstring_(self.state, bytes.as_ptr().cast(), bytes.len()) };
    }

    /// `cjson.null`.
    pub fn push_null(&mut self) {
        unsafe { ffi::lua_pushlightuserdata(self.state, std::ptr::null_mut()) };
    }

    /// An empty table with room for a sequence and for named fields.
    pub fn push_table(&mut self, sequence: usize, fields: usize) {
        let room = |count: usize| c_int::try_from(count.min(1 << 20)).unwrap_or(0);
        unsafe { ffi::lua_createtable(self.state, room(sequence), room(fields)) };
    }

    /// A native function.
    pub fn push_native(&mut self, native: Native) {
        unsafe {
            ffi::lua_pushlightuserdata(self.state, native as *mut std::ffi::c_void);
            ffi::lua_pushcclosure(self.state, raw::shim, 1);
        }
    }

    /// A native function that keeps the top value, which is taken off, as its own.
    pub fn push_native_with(&mut self, native: Native) {
        unsafe {
            ffi::lua_pushlightuserdata(self.state, native as *mut std::ffi::c_void);
            ffi::lua_insert(self.state, -2);
            ffi::lua_pushcclosure(self.state, raw::shim, 2);
        }
    }

    /// Pushes what the running native keeps.
    pub fn push_own(&mut self) {
        unsafe { ffi::lua_pushvalue(self.state, ffi::lua_upvalueindex(2)) };
    }

    // ---- tables, raw ----------------------------------------------------------------

    /// Replaces the key on top by its value in a table.
    pub fn raw_get(&mut self, table: i32) {
        unsafe { ffi::lua_rawget_(self.state, table) };
    }

    /// Pushes a field of a table.
    pub fn push_field(&mut self, table: i32, name: &str) {
        let table = self.absolute(table);
        self.push_bytes(name.as_bytes());
        self.raw_get(table);
    }

    /// Pushes an element of a table's sequence.
    pub fn push_element(&mut self, table: i32, index: i32) {
        unsafe { ffi::lua_rawgeti_(self.state, table, index) };
    }

    /// Sets an entry from the key and the value on top, which are taken off. The key is neither nil
    /// nor NaN.
    pub fn raw_set(&mut self, table: i32) {
        debug_assert!(self.kind(-2) != Kind::Nil && self.number(-2).is_none_or(|key| !key.is_nan()));
        unsafe { ffi::lua_rawset(self.state, table) };
    }

    /// Sets a field from the value on top, which is taken off.
    pub fn set_field(&mut self, table: i32, name: &str) {
        let table = self.absolute(table);
        self.push_bytes(name.as_bytes());
        self.insert(-2);
        self.raw_set(table);
    }

    /// Sets an element of the sequence from the value on top, which is taken off.
    pub fn set_element(&mut self, table: i32, index: i32) {
        unsafe { ffi::lua_rawseti_(self.state, table, index) };
    }

    /// Replaces the key on top by the next key and its value; false, and the key is gone, at
    /// the end. The table was not changed meanwhile.
    pub fn next(&mut self, table: i32) -> bool {
        unsafe { ffi::lua_next(self.state, table) != 0 }
    }

    /// Pushes the metatable, if there is one.
    pub fn push_metatable(&mut self, of: i32) -> bool {
        unsafe { ffi::lua_getmetatable(self.state, of) != 0 }
    }

    /// Gives a value the metatable on top, which is taken off.
    pub fn set_metatable(&mut self, of: i32) {
        unsafe { ffi::lua_setmetatable(self.state, of) };
    }

    fn absolute(&self, at: i32) -> i32 {
        if at < 0 && at > ffi::LUA_REGISTRYINDEX { self.top() + at + 1 } else { at }
    }

    // ---- read-only tables ----------------------------------------------------------

    /// Replaces the table on top by a read-only view of it; below it lies the metatable that
    /// scripts are shown, or nil, which is taken off. `refuse` answers writes.
    pub fn make_read_only(&mut self, refuse: Native) {
        self.push_table(0, 0);
        self.push_table(0, 4);
        self.push_copy(-3);
        self.set_field(-2, "__index");
        self.push_native(refuse);
        self.set_field(-2, "__newindex");
        self.push_mark(raw::behind_key());
        self.push_copy(-4);
        self.raw_set(-3);
        self.push_mark(raw::shown_key());
        self.push_copy(-5);
        self.raw_set(-3);
        self.set_metatable(-2);
        self.insert(-3);
        self.pop(2);
    }

    /// Makes a read-only table show another one.
    pub fn show(&mut self, read_only: i32, behind: i32) {
        let behind = self.absolute(behind);
        if self.push_metatable(read_only) {
            self.push_copy(behind);
            self.set_field(-2, "__index");
            self.push_mark(raw::behind_key());
            self.push_copy(behind);
            self.raw_set(-3);
            self.pop(1);
        }
    }

    /// Pushes what is behind a read-only table, or the table itself if it is none.
    pub fn push_behind(&mut self, at: i32) {
        self.push_copy(at);
        if !self.push_metatable(-1) {
            return;
        }
        self.push_mark(raw::behind_key());
        self.raw_get(-2);
        self.remove(-2);
        if self.kind(-1) == Kind::Table { self.remove(-2) } else { self.pop(1) }
    }

    /// Replaces the metatable on top by what scripts are shown of it.
    pub fn disguise_metatable(&mut self) {
        self.push_mark(raw::behind_key());
        self.raw_get(-2);
        let is_read_only = self.kind(-1) == Kind::Table;
        self.pop(1);
        if is_read_only {
            self.push_mark(raw::shown_key());
            self.raw_get(-2);
            self.replace(-2);
            return;
        }
        self.push_field(-1, "__metatable");
        if self.kind(-1) == Kind::Nil { self.pop(1) } else { self.replace(-2) }
    }

    fn push_mark(&mut self, mark: *mut std::ffi::c_void) {
        unsafe { ffi::lua_pushlightuserdata(self.state, mark) };
    }

    /// Wraps the function on top, one of Lua's own, so that it leaves read-only tables alone.
    pub fn guard(&mut self) {
        unsafe { ffi::lua_pushcclosure(self.state, raw::guarded, 1) };
    }

    /// Wraps the function on top, one of Lua's own, so that it looks behind read-only tables.
    pub fn let_look_behind(&mut self) {
        unsafe { ffi::lua_pushcclosure(self.state, raw::looking_behind, 1) };
    }

    // ---- globals, code, calls --------------------------------------------------------

    /// Opens Lua's own libraries that scripts see parts of, and pushes the table of globals.
    pub fn open_libraries(&mut self) {
        let openers: [(ffi::lua_CFunction, &CStr); 4] = [
            (ffi::luaopen_base, c""),
            (ffi::luaopen_table, c"table"),
            (ffi::luaopen_string, c"string"),
            (ffi::luaopen_math, c"math"),
        ];
        for (open, name) in openers {
            // They allocate, and fail in no other way.
            unsafe {
                ffi::lua_pushcclosure(self.state, open, 0);
                ffi::lua_pushstring_(self.state, name.as_ptr());
                ffi::lua_call(self.state, 1, 0);
            }
        }
        unsafe { ffi::lua_pushvalue(self.state, ffi::LUA_GLOBALSINDEX) };
    }

    /// Makes the table on top, which is taken off, the globals of code compiled from now on.
    pub fn set_globals(&mut self) {
        unsafe { ffi::lua_replace(self.state, ffi::LUA_GLOBALSINDEX) };
    }

    /// Compiles a chunk and pushes its function, or else the message.
    pub fn compile(&mut self, code: &[u8], name: &CStr) -> bool {
        let natives = self.shared.natives.replace(0);
        let status = unsafe { ffi::luaL_loadbuffer(self.state, code.as_ptr().cast(), code.len(), name.as_ptr()) };
        self.shared.natives.set(natives);
        status == 0
    }

    /// Calls the function below `arguments` values. `results` below 0: as many as there are.
    /// `handler` is the position of an error handler, or 0.
    ///
    /// # Errors
    /// What it failed with is on top instead of results.
    pub fn protected_call(&mut self, arguments: i32, results: i32, handler: i32) -> Result<(), Failure> {
        let natives = self.shared.natives.replace(0);
        let status = unsafe { ffi::lua_pcall(self.state, arguments, results, handler) };
        self.shared.natives.set(natives);
        match status {
            0 => Ok(()),
            ffi::LUA_ERRMEM => Err(Failure::OutOfMemory),
            ffi::LUA_ERRERR => Err(Failure::Handler),
            _ => Err(Failure::Error),
        }
    }

    /// Keeps the top value, which is taken off, beyond this stack.
    pub fn keep(&mut self) -> Kept {
        Kept(unsafe { ffi::luaL_ref(self.state, ffi::LUA_REGISTRYINDEX) })
    }

    /// Keeps a value no longer.
    pub fn forget(&mut self, kept: Kept) {
        unsafe { ffi::luaL_unref(self.state, ffi::LUA_REGISTRYINDEX, kept.0) };
    }

    /// Pushes a kept value.
    pub fn push_kept(&mut self, kept: Kept) {
        unsafe { ffi::lua_rawgeti_(self.state, ffi::LUA_REGISTRYINDEX, kept.0) };
    }

    // ---- the host, and errors ------------------------------------------------------------

    /// Does something with the host of the running script.
    ///
    /// # Errors
    /// The host halts the script.
    pub fn with_host<R>(&mut self, work: impl FnOnce(&Self, &mut dyn Host) -> Result<R, Halt>) -> Raised<R> {
        let shared = self.shared;
        if shared.is_halted() {
            return Err(Raise::Halted);
        }
        match shared.with_host(|host| work(self, host)) {
            Some(Ok(result)) => Ok(result),
            Some(Err(halt)) => {
                raw::note_halt(self.state, shared, halt);
                Err(Raise::Halted)
            }
            None => Err(Raise::Message("no script is running".into())),
        }
    }

    /// Where the function that raised an error stands, from inside an error handler.
    pub fn error_place(&self) -> Option<(String, i32)> {
        let raiser = raw::Place::at(self.state, 1)?;
        let place = if raiser.is_native { raw::Place::at(self.state, 2)? } else { raiser };
        Some((place.source, place.line))
    }

    /// `user_script:1: `, for the caller of the running native.
    fn position(&self) -> String {
        match raw::Place::at(self.state, 1) {
            Some(place) if place.line > 0 => {
                format!("{}:{}: ", place.shown, place.line)
            }
            _ => String::new(),
        }
    }

    /// Pushes what an error is to Lua.
    pub(super) fn push_error(&mut self, raise: Raise) {
        self.has_room(FREE_SLOTS);
        match raise {
            Raise::Top => {}
            Raise::Halted => self.push_bytes(b"halted"),
            Raise::Message(text) => {
                let text = format!("{}{text}", self.position());
                self.push_bytes(text.as_bytes());
            }
            Raise::Argument(number, text) => {
                let (name, is_method) = raw::called_name(self.state);
                let number = number - i32::from(is_method);
                let text = match number {
                    0 if is_method => format!("{}calling '{name}' on bad self ({text})", self.position()),
                    _ => format!("{}bad argument #{number} to '{name}' ({text})", self.position()),
                };
                self.push_bytes(text.as_bytes());
            }
        }
    }

    // ---- arguments -------------------------------------------------------------------

    /// An argument that must be a number, or read as one.
    pub fn number_argument(&self, at: i32) -> Raised<f64> {
        self.number(at).ok_or_else(|| self.wrong_type(at, "number"))
    }

    /// An argument that must be a string, or a number.
    pub fn text_argument(&mut self, at: i32) -> Raised<&[u8]> {
        if !matches!(self.kind(at), Kind::String | Kind::Number) {
            return Err(self.wrong_type(at, "string"));
        }
        Ok(self.text(at).unwrap_or_default())
    }

    /// An argument that must be a table.
    pub fn table_argument(&self, at: i32) -> Raised<()> {
        if self.kind(at) == Kind::Table { Ok(()) } else { Err(self.wrong_type(at, "table")) }
    }

    pub fn wrong_type(&self, at: i32, wanted: &str) -> Raise {
        Raise::argument(at, format!("{wanted} expected, got {}", self.kind(at).name()))
    }
}
