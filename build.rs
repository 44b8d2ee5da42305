//! Compiles the one C file of Ferrock: long-double arithmetic, a type Rust lacks.

fn main() {
    let source = "src/base/number/long_double.c";
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-changed=build.rs");
    cc::Build::new().file(source).std("c11").warnings_into_errors(true).compile("ferrock_long_double");
}
