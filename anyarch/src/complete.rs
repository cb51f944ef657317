//! Words that a shell completes: targets, platforms, releases. Nothing here waits for a network.

use anyarch_client::record;
use anyarch_manifest::FILE;
use anyarch_manifest::layout::PROGRAM;
use anyarch_manifest::target::TARGETS;
use clap::builder::StyledStr;
use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

/// The variable by which a shell asks this program to complete a word. Archives have scripts that set it.
pub const VARIABLE: &str = "ANYARCH_COMPLETE";

/// The command line, with what its options complete to.
pub fn with_words(command: Command) -> Command {
    let takes_program = ["install", "remove"].contains(&command.get_name());
    command.mut_args(|arg| arg_with_words(arg, takes_program)).mut_subcommands(with_words)
}

fn arg_with_words(arg: Arg, takes_program: bool) -> Arg {
    match arg.get_id().as_str() {
        "target" => arg.add(ArgValueCandidates::new(|| targets(&[]))),
        "targets" if takes_program => arg.add(ArgValueCandidates::new(|| targets(&["all", PROGRAM]))),
        "targets" => arg.add(ArgValueCandidates::new(|| targets(&["all"]))),
        "platform" => arg.add(ArgValueCandidates::new(platforms)),
        "release" => arg.add(ArgValueCandidates::new(releases)),
        _ => arg,
    }
}

/// Targets by QEMU's names, with others' behind them.
fn targets(more: &[&str]) -> Vec<CompletionCandidate> {
    let named = TARGETS.iter().map(|target| {
        let others = target.aliases.join(" ");
        let help = (!others.is_empty()).then(|| StyledStr::from(others));
        CompletionCandidate::new(target.name).help(help)
    });
    named.chain(more.iter().map(|name| CompletionCandidate::new(*name))).collect()
}

/// Docker's platforms that there are emulators for.
fn platforms() -> Vec<CompletionCandidate> {
    let all = TARGETS.iter().flat_map(|target| target.platforms);
    all.map(|platform| CompletionCandidate::new(format!("linux/{platform}"))).collect()
}

/// Releases in the folders that are named as places, and those that are installed.
fn releases() -> Vec<CompletionCandidate> {
    let words: Vec<OsString> = env::args_os().collect();
    let mut names: BTreeSet<String> = folders(&words).iter().flat_map(releases_in).collect();
    let home = env::home_dir().unwrap_or_default();
    names.extend(record::all(&home.join(".local")).into_iter().map(|one| one.record.release));
    names.remove("unknown");
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// The places of a command line that are folders, else those of `ANYARCH_FROM`.
fn folders(words: &[OsString]) -> Vec<PathBuf> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let mut named: Vec<String> =
        words.iter().filter_map(|word| word.strip_prefix("--from=")).map(str::to_owned).collect();
    named.extend(words.windows(2).filter(|pair| pair[0] == "--from").map(|pair| pair[1].to_owned()));
    if named.is_empty() {
        let variable = env::var("ANYARCH_FROM").unwrap_or_default();
        named.extend(variable.split_whitespace().map(str::to_owned));
    }
    let folder = |place: &String| {
        let place = place.strip_prefix("file://").unwrap_or(place);
        (!place.contains("://")).then(|| PathBuf::from(place))
    };
    named.iter().filter_map(folder).collect()
}

fn releases_in(folder: &PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let has_manifest = entries.filter(|entry| entry.path().join(FILE).is_file());
    has_manifest.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_off_the_command_line_and_servers_are_not_asked() {
        let words = ["anyarch", "install", "--from", "/a", "--from=file:///b", "--from", "https://c.example"];
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        assert_eq!(folders(&words), [PathBuf::from("/b"), PathBuf::from("/a")]);
    }

    #[test]
    fn a_folder_has_the_releases_that_have_a_manifest() {
        let home = tempfile::tempdir().expect("a folder");
        for name in ["1.2.3-1/release.json", "1.2.3-2/other"] {
            anyarch_client::files::write_file(&home.path().join(name), b"").expect("written");
        }
        assert_eq!(releases_in(&home.path().to_owned()), ["1.2.3-1"]);
    }
}
