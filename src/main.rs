//! The binary `ferrock`: hands the command line to `cli`.

use std::process::ExitCode;

/// One allocator for Rust and for RocksDB, which finds it under the plain names.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ferrock::cli::main()
}
