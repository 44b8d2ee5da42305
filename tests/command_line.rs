//! The command line from outside: exit codes, what standard error says and advises, manual pages
//! and completions as the package installs them.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn ferrock(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferrock"));
    command.args(arguments).stdin(Stdio::null()).output().expect("ferrock runs")
}

/// The exit code and standard error.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let run = ferrock(arguments);
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
}

fn printed(arguments: &[&str]) -> String {
    let run = ferrock(arguments);
    assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("UTF-8")
}

#[test]
fn a_wrong_command_line_or_configuration_ends_with_2() {
    let (code, _) = refused(&["nonsense"]);
    assert_eq!(code, Some(2));
    let (code, said) = refused(&["server", "/nowhere/config.toml"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("/nowhere/config.toml") && said.contains("`ferrock config docs --format toml`"), "{said}");
    let (code, said) = refused(&["config", "check", "--prot", "1"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("did you mean 'port'?"), "{said}");
    let (_, said) = refused(&["config", "check", "--zzzzzz", "1"]);
    assert!(said.contains("`ferrock config docs` lists every parameter"), "{said}");
}

#[test]
fn a_server_that_cannot_start_ends_with_1_and_says_what_to_do() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("a bound port").port().to_string();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let dir = folder.path().display().to_string();
    let server = |more: &[&str]| refused(&[&["server", "--dir", &dir], more].concat());
    let (code, said) = server(&["--port", &port, "--bind", "127.0.0.1"]);
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}")) && said.contains("`ss -ltnp`"), "{said}");
    let files = ["--tls-auth-clients", "no", "--tls-cert-file", "/nowhere/crt", "--tls-key-file", "/nowhere/key"];
    let (code, said) = server(&[&["--port", "0", "--tls-port", &port], files.as_slice()].concat());
    assert_eq!(code, Some(1));
    assert!(said.contains("/nowhere/crt") && said.contains("leave TLS out with tls-port 0"), "{said}");
    let (code, said) = refused(&["check", "--dir", &format!("{dir}/none")]);
    assert_eq!(code, Some(1));
    assert!(said.contains("/none"), "{said}");
}

#[test]
fn every_subcommand_has_its_manual_page() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let out = folder.path().join("man1");
    printed(&["man", "--out", out.to_str().expect("UTF-8")]);
    for name in ["ferrock", "ferrock-server", "ferrock-config-check", "ferrock-restore", "ferrock-man"] {
        let page =
            std::fs::read_to_string(out.join(format!("{name}.1"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".SH NAME") && page.contains("Exit codes:"), "{name}: {page}");
    }
    let page = printed(&["man"]);
    assert!(page.contains(".TH ferrock 1") && page.contains("Exit codes:"), "{page}");
}

#[test]
fn shells_complete_subcommands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = printed(&["completions", shell]);
        for word in ["restore", "completions", "repair"] {
            assert!(text.contains(word), "{shell}: no {word}");
        }
    }
    // As bash does it: the function is called with the words typed so far.
    let script = format!(
        "{}\nCOMP_WORDS=(ferrock repa); COMP_CWORD=1; _ferrock ferrock repa ferrock; echo \"${{COMPREPLY[@]}}\"",
        printed(&["completions", "bash"])
    );
    let run = Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).output().expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "repair", "{}", String::from_utf8_lossy(&run.stderr));
}
