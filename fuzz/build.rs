//! Compiles the C file that src/base needs, as the build script of ferrock does.

fn main() {
    let source = "../src/base/number/long_double.c";
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-changed=build.rs");
    cc::Build::new().file(source).std("c11").compile("ferrock_long_double");
}
