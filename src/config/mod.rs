//! The configuration: one table of parameters, and everything that follows from it.
//!
//! A parameter is stated once, as a row: name (Redis' own where Redis has one), kind,
//! default, whether CONFIG SET may change it, and its documentation. From the rows
//! come `config.toml`, `docs/configuration.md`, the reading of both file forms and of
//! the command line, CONFIG GET, SET and REWRITE, and the struct [`Settings`] with a
//! typed field for each parameter that the server obeys.
//!
//! # For the server
//!
//! ```text
//! let Loaded { config, notes } = config::load_arguments(&arguments)?;  // Err: print, exit 2
//! let config = Arc::new(config);          // notes: log each
//!
//! config.load().port                      // anywhere: a guard on the settings of the moment
//! config.snapshot()                       // Arc<Settings>, to keep across an await
//! let mut settings = config.reader();     // one per session or loop
//! settings.load().hash_max_listpack_entries  // one atomic load and a field
//!
//! config.get(&[b"max*"])                  // CONFIG GET
//! config.set(&pairs, allowed, &mut |changes| {  // CONFIG SET, all or nothing
//!     if changes.touch(&["port", "bind"]) { listen_anew(changes.after)?; }
//!     Ok(())
//! })
//! ```
//!
//! A [`Settings`] never changes: a CONFIG SET makes a new one and swaps it in, after
//! whoever owns the parts that changed has applied it. Who reads a value when it is
//! needed (a threshold, a limit) has nothing to apply; the closure is for what
//! holds state: listeners, certificates, cache sizes, the default user's password.
//!
//! # The map
//!
//! - `parameter.rs`: a row, the table, finding rows by name.
//! - `settings.rs`: the rows of what the server obeys, and their struct.
//! - `inert.rs`: the rows of what is only accepted, kept and shown, with the reason.
//! - `kind.rs`, `compound.rs`, `events.rs`: the types of values.
//! - `load.rs`: sources in their order; `toml_file.rs`, `redis_conf.rs`,
//!   `command_line.rs`: each source's text to directives.
//! - `live.rs`: [`Config`], CONFIG GET and SET. `rewrite.rs`: CONFIG REWRITE.
//!   `reload.rs`: reading it all again.
//! - `docs.rs`: `config.toml` and the documentation. `error.rs`: what can be wrong.
//!
//! This layer reads and writes files of configuration, and names only `base`.

mod command_line;
mod compound;
pub mod docs;
mod error;
mod events;
mod inert;
mod kind;
mod live;
mod load;
mod parameter;
mod redis_conf;
mod reload;
mod rewrite;
mod settings;
mod toml_file;

pub use compound::{
    Addresses, Directory, Lines, OutputLimit, OutputLimits, Percentiles, SavePoint, SavePoints, ScoreAdjustments,
};
pub use error::{ConfigError, Origin, ReloadError, RewriteError, SetError};
pub use events::EventClasses;
pub use kind::{Kind, Octal, SizeOrPercent, show_size, size};
pub use live::{Changes, Config, Reader, Unapplied};
pub use load::{Form, Loaded, Note, load, load_arguments};
pub use parameter::{Change, Parameter, Section, Table, Visibility, table};
pub use reload::Reloaded;
pub use settings::{
    AclPubsubDefault, AppendFsync, LogFormat, LogLevel, MaxmemoryPolicy, ProtectedAction, SaveFormat, Settings,
    TlsAuthClients,
};
