//! Holds the documents to the tree: links lead somewhere, and what `docs/architecture.md` names
//! (files, functions, types) is there. Read as text, without a compiler. The stored bytes of
//! `docs/format.md` are held by `format.rs`, parameters by the tests of `config`.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// README.md and the pages of `docs/`.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    let entries = fs::read_dir(root().join("docs")).expect("docs is a folder");
    found.extend(entries.map(|entry| entry.expect("a readable entry").path()));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found
}

/// The text between `open` and `close`, wherever it stands.
fn between<'a>(text: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split(close).next())
}

/// What stands between backticks, line by line, so that one left open spoils no more than its line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// All of `src/` as one text.
fn sources() -> String {
    let mut folders = vec![root().join("src")];
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of src") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all += &read(&path);
            }
        }
    }
    all
}

#[test]
fn links_lead_to_files() {
    let documents = documents();
    assert!(documents.len() >= 6, "{documents:?}");
    let mut links = 0;
    for document in documents {
        let folder = document.parent().expect("a file stands in a folder");
        let text = read(&document);
        for link in between(&text, "](", ')').filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or(link);
            assert!(folder.join(file).exists(), "{}: {link} leads nowhere", document.display());
            links += 1;
        }
    }
    assert!(links >= 6, "only {links} links were found");
}

#[test]
fn the_architecture_names_what_is_there() {
    let text = read(&root().join("docs/architecture.md"));
    let sources = sources();
    let mut names = 0;
    for name in quoted(&text) {
        let is_there = if name.contains('/') && (name.ends_with(".rs") || name.ends_with(".c")) {
            root().join("src").join(name).exists() || root().join(name).exists()
        } else if let Some((_, member)) = name.split_once("::").filter(|_| !name.contains([' ', '(', '{'])) {
            // A function, a variant, a type in a module.
            [format!("fn {member}("), format!("fn {member}<"), format!("    {member}"), format!("struct {member}")]
                .iter()
                .any(|declared| sources.contains(declared))
        } else {
            continue;
        };
        assert!(is_there, "docs/architecture.md names {name}, which is not there");
        names += 1;
    }
    assert!(names >= 40, "only {names} names were found");
}
