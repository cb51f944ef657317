//! What holds for every Markdown page of the checkout: short lines, links that lead somewhere, a README that is read to
//! the end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The most characters of a line outside tables and code.
const WIDTH: usize = 120;

/// The most lines of the README.
const README_LINES: usize = 80;

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Adds the Markdown pages in a folder and below it, without those of releases and build trees.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            let hidden = name.as_encoded_bytes().starts_with(b".") && name != ".github";
            if !hidden && !folder.ends_with("dist") && name != "target" {
                collect(&path, into);
            }
        } else if path.extension().is_some_and(|kind| kind == "md") {
            into.push(path);
        }
    }
}

/// Every page with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    collect(&root(), &mut paths);
    assert!(paths.len() > 10, "{paths:?}");
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("a page"))).collect()
}

/// The lines that are no code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        (!fence && !code).then_some((number + 1, line))
    })
}

/// Where the links of a line lead, other sites left out.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let ends = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    ends.map(|(link, _)| link).filter(|link| !link.contains("://"))
}

/// The names that a page's headings can be reached by, as GitHub forms them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter_map(|(_, line)| line.strip_prefix('#'));
    let name = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
    };
    headings.map(name).collect()
}

#[test]
fn the_readme_is_short() {
    let lines = fs::read_to_string(root().join("README.md")).expect("a README").lines().count();
    assert!(lines <= README_LINES, "{lines} lines; move something to docs/");
}

#[test]
fn lines_of_pages_are_short_outside_tables_and_code() {
    let mut long = Vec::new();
    for (path, text) in pages() {
        let lines = prose(&text).filter(|(_, line)| !line.trim_start().starts_with('|'));
        let lines = lines.filter(|(_, line)| line.chars().count() > WIDTH);
        long.extend(lines.map(|(number, _)| format!("{}:{number}", path.display())));
    }
    assert!(long.is_empty(), "over {WIDTH} characters: {long:#?}");
}

#[test]
fn links_between_pages_lead_to_files_and_headings_that_there_are() {
    let mut dead = Vec::new();
    for (path, text) in pages() {
        for (number, line) in prose(&text) {
            for link in links(line) {
                let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
                let linked = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
                let leads = match anchor {
                    "" => linked.exists(),
                    _ => fs::read_to_string(&linked).is_ok_and(|text| anchors(&text).contains(anchor)),
                };
                if !leads {
                    dead.push(format!("{}:{number}: {link}", path.display()));
                }
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_checks_of_pages_see_what_they_shall() {
    let text = "# A `b` c\n```\n[x](code.md)\n```\n| [y](a.md#b) | [z](https://x.example) |\n## Proof beyond a build's\n";
    assert_eq!(prose(text).map(|(number, _)| number).collect::<Vec<_>>(), [1, 5, 6]);
    assert_eq!(prose(text).flat_map(|(_, line)| links(line)).collect::<Vec<_>>(), ["a.md#b"]);
    assert_eq!(anchors(text), BTreeSet::from(["a-b-c".to_owned(), "proof-beyond-a-builds".to_owned()]));
}
