//! The layers of ferrock that turn bytes from outside into values, compiled
//! for the fuzz targets; see Cargo.toml for why not through the package.

#![allow(dead_code, missing_docs)]

#[path = "../../src/base/mod.rs"]
pub mod base;
#[path = "../../src/encoding/mod.rs"]
pub mod encoding;
#[path = "../../src/types/packed.rs"]
pub mod packed;
#[path = "../../src/resp/mod.rs"]
pub mod resp;
