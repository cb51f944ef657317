//! Imports point downward: a module takes from those below it, never from one above or beside it. The layers of the
//! driver, of the client, of images, of what registers and of the users' program are tables in `docs/driver.md`;
//! these tests hold the sources against them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A package whose modules have layers.
struct Package {
    /// Its folder in the checkout.
    folder: &'static str,
    /// The heading in `docs/driver.md` that its table follows.
    heading: &'static str,
}

const PACKAGES: [Package; 5] = [
    Package { folder: "xtask", heading: "## Layers" },
    Package { folder: "client", heading: "### Layers of the client" },
    Package { folder: "binfmt", heading: "### Layers of what registers" },
    Package { folder: "image", heading: "### Layers of images" },
    Package { folder: "anyarch", heading: "### Layers of anyarch" },
];

/// A source file by its place below `src`: `["verify", "guest"]`; `mod.rs` is its folder.
type Place = Vec<String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The layer of each module of a package, the highest first, as `docs/driver.md` shows them.
fn layers(package: &Package) -> BTreeMap<String, usize> {
    let page = fs::read_to_string(root().join("docs/driver.md")).expect("docs/driver.md");
    let section = page.split(&format!("\n{}\n", package.heading)).nth(1).expect(package.heading);
    let table = section.split("| layer | modules |").nth(1).expect("a table of layers");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut layers = BTreeMap::new();
    for (number, row) in rows.enumerate() {
        let modules = row.split('|').nth(2).expect("a column of modules");
        for name in modules.split('`').skip(1).step_by(2) {
            assert_eq!(layers.insert(name.to_owned(), number), None, "{name} is in two layers");
        }
    }
    layers
}

/// All source files of a package, with what each imports by a path that begins with `crate` or `super`.
fn imports(package: &Package) -> BTreeMap<Place, BTreeSet<Place>> {
    let src = root().join(package.folder).join("src");
    let mut found = BTreeMap::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).expect("source");
                let place = place(&path, &src);
                let is_folder = path.ends_with("mod.rs");
                found.insert(place.clone(), imported(&text, &place, is_folder));
            }
        }
    }
    found
}

fn place(path: &Path, src: &Path) -> Place {
    let below = path.strip_prefix(src).expect("below src").with_extension("");
    let mut place: Place = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if place.last().is_some_and(|last| last == "mod") {
        place.pop();
    }
    place
}

/// What a file imports. Its unit tests may take from anywhere.
fn imported(text: &str, place: &[String], is_folder: bool) -> BTreeSet<Place> {
    let text = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut found = BTreeSet::new();
    for word in ["crate::", "super::"] {
        for (at, _) in code.match_indices(word) {
            if code[..at].ends_with(|before: char| before.is_alphanumeric() || "_:$".contains(before)) {
                continue;
            }
            let base: &[String] = match word {
                "crate::" => &[],
                _ if is_folder => &place[..place.len() - 1],
                _ => &place[..place.len().saturating_sub(1)],
            };
            for path in paths(&code[at + word.len()..]) {
                found.insert([base, &path].concat());
            }
        }
    }
    found
}

/// `a::b` of `a::b::C;`, and both of `{a::B, c};`: the modules at the beginning of paths, to the second level.
fn paths(rest: &str) -> Vec<Place> {
    let Some(list) = rest.strip_prefix('{') else { return vec![modules(rest)] };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(modules(list[start..at].trim()));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

fn modules(path: &str) -> Place {
    let end = path.find(|letter: char| !letter.is_alphanumeric() && !"_:".contains(letter));
    let parts = path[..end.unwrap_or(path.len())].split("::");
    parts
        .take_while(|part| part.starts_with(|first: char| first.is_ascii_lowercase()))
        .map(str::to_owned)
        .collect()
}

/// The file that a path leads into: the longest beginning of it that is one.
fn file<'a>(path: &Place, files: &'a BTreeMap<Place, BTreeSet<Place>>) -> Option<&'a Place> {
    (1..=path.len()).rev().find_map(|length| files.get_key_value(&path[..length])).map(|(place, _)| place)
}

#[test]
fn modules_import_from_lower_layers_only() {
    for package in &PACKAGES {
        let (layers, files) = (layers(package), imports(package));
        let mut wrong = Vec::new();
        let mut seen = BTreeSet::new();
        for (place, imported) in &files {
            let own = &place[0];
            if ["lib", "layers"].contains(&own.as_str()) {
                continue;
            }
            let layer = layers.get(own);
            assert!(layer.is_some(), "{own} of {} is in no layer of docs/driver.md", package.folder);
            seen.insert(own.clone());
            for other in imported.iter().filter_map(|path| file(path, &files)).map(|place| &place[0]) {
                if other != own && layers.get(other) <= layer {
                    wrong.push(format!("{} imports {other}", place.join("/")));
                }
            }
        }
        assert!(wrong.is_empty(), "upward in {}:\n  {}", package.folder, wrong.join("\n  "));
        let lost: Vec<&String> = layers.keys().filter(|name| !seen.contains(*name)).collect();
        assert!(lost.is_empty(), "in the table of {}, but no module: {lost:?}", package.folder);
    }
}

#[test]
fn files_of_one_module_do_not_import_each_other_in_a_circle() {
    for package in &PACKAGES {
        let files = imports(package);
        for begin in files.keys() {
            let (mut ways, mut known) = (vec![vec![begin]], BTreeSet::new());
            while let Some(way) = ways.pop() {
                for next in beside(way[way.len() - 1], &files) {
                    let names = || way.iter().map(|place| place.join("/")).collect::<Vec<_>>().join(" -> ");
                    assert!(next != begin, "a circle: {} -> {}", names(), begin.join("/"));
                    if known.insert(next) {
                        ways.push([way.clone(), vec![next]].concat());
                    }
                }
            }
        }
    }
}

/// The other files that one imports. A file and the folder's own that declares it belong together.
fn beside<'a>(place: &Place, files: &'a BTreeMap<Place, BTreeSet<Place>>) -> Vec<&'a Place> {
    let others = files[place].iter().filter_map(|path| file(path, files));
    others.filter(|other| *other != place && !place.starts_with(other) && !other.starts_with(place)).collect()
}

/// Cargo would refuse a package that the driver depends on and that depends on it, save for tests.
#[test]
fn what_users_have_names_nothing_of_the_driver() {
    let mut folders = ["anyarch", "binfmt", "client", "image"].map(|name| root().join(name)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).expect("source");
                assert!(!text.contains("xtask::"), "{} imports the driver", path.display());
            }
        }
    }
}

#[test]
fn what_a_file_imports_is_read_as_the_compiler_reads_it() {
    let place = |text: &str| -> Place { text.split('/').map(str::to_owned).collect() };
    let text = "use super::{Difference, elf};\nuse crate::a::{b::C, d};\n// use crate::never;\n\
        fn f() { crate::e::f(); mycrate::g(); }\n#[cfg(test)]\nmod tests { use crate::h; }\n";
    let found = imported(text, &place("verify/reproduce/content"), false);
    let expected = ["verify/reproduce", "verify/reproduce/elf", "a", "e/f"].map(place);
    assert_eq!(found, expected.into_iter().collect());
    assert_eq!(paths("{a::b, c::{d, e}, F}; use x"), [place("a/b"), place("c"), vec![]]);
}
