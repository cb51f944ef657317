//! The program starts, says what it is, and refuses what makes no sense. What it does stands in `xtask/tests/it/users`,
//! beside the releases and systems that it does it with.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on has failed")]

use std::process::{Command, Output};

fn anyarch(words: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_anyarch")).args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn help_begins_with_examples_and_every_command_has_some() {
    let (code, help, _) = anyarch(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.starts_with("Examples:\n  anyarch run "), "{help}");
    for command in ["run", "rootfs", "install", "remove", "register", "unregister", "status", "completions"] {
        let (code, help, _) = anyarch(&[command, "--help"]);
        assert!(code == Some(0) && help.contains("Examples:\n"), "{command}: {help}");
    }
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = anyarch(&["completions", shell]);
        assert!(code == Some(0) && script.contains("ANYARCH_COMPLETE"), "{shell}: {script}");
    }
}

#[test]
fn the_version_names_the_release_and_what_is_installed() {
    let (code, said, _) = anyarch(&["--version"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(code, Some(0));
    assert!(lines[0].starts_with("anyarch ") && lines.last().unwrap().starts_with("installed in "), "{said}");
    let (_, short, _) = anyarch(&["-V"]);
    assert_eq!(short.trim_end(), lines[0]);
}

#[test]
fn the_stages_of_a_run_are_not_for_the_command_line() {
    for words in [
        &["__enter", "1"][..],
        &["__enter", "77"],
        &["__map", "x"],
        &["__inside", "3"],
        &["__try", "9"],
        &["__clean", "5"],
        &["__rootfs", "6"],
    ] {
        let (code, _, said) = anyarch(words);
        assert!(code == Some(125) && said.starts_with("error: "), "{words:?}: {code:?} {said}");
    }
}

#[test]
fn an_error_is_json_where_json_is_asked_for() {
    let (code, said, told) = anyarch(&["--json", "run", "/no/such"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, json["code"].as_u64()), (Some(2), Some(2)));
    assert!(json["error"].as_str().unwrap().starts_with("/no/such: ") && told.starts_with("error: /no/such"));
}
