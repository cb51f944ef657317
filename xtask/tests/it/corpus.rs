//! The fuzzers' corpora and promises, without a fuzzer: they still fit what `fetch` reads, and are what their names say.

use anyarch_promises::{archive, manifest};
use std::fs;
use std::path::Path;

/// The names of a corpus's files, sorted: those that were taken, and those that were refused.
fn sorted(corpus: &str, hold: fn(&[u8]) -> bool) -> [Vec<String>; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(corpus);
    let mut sorted = [Vec::new(), Vec::new()];
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let is_taken = hold(&fs::read(entry.path()).unwrap());
        sorted[usize::from(!is_taken)].push(entry.file_name().into_string().unwrap());
    }
    for names in &mut sorted {
        names.sort();
    }
    sorted
}

#[test]
fn every_archive_of_the_corpus_keeps_the_promises_and_only_the_right_ones_are_unpacked() {
    let [taken, refused] = sorted("archive", archive::hold);
    assert_eq!(taken, ["raw", "small", "whole"]);
    let wrong = ["absolute", "big", "climb", "device", "fifo", "hard", "link", "long", "twice"];
    assert_eq!(refused, wrong);
}

#[test]
fn every_manifest_of_the_corpus_keeps_the_promises_and_only_those_of_this_format_are_read() {
    let [taken, refused] = sorted("manifest", manifest::hold);
    assert_eq!(taken, ["empty", "later-fields", "old-1"]);
    assert_eq!(refused, ["newer"]);
}
