//! The command lines of three other images that register emulators, so that ours takes their place by its name alone:
//! tonistiigi/binfmt (`--install all`), dbhi/qus (`-s -- -p aarch64`) and multiarch/qemu-user-static (`--reset -p yes`).
//!
//! Their words are read here and nowhere else, and become what [`anyarch_binfmt`] does anyway. Other than theirs, the exit
//! code tells whether all of it was done.

use crate::commands::install;
use crate::ended;
use crate::releases::{self, Place};
use crate::session::Session;
use anyarch_binfmt::Setting;
use anyarch_binfmt::emulator::Emulator;
use anyarch_binfmt::place::{Circumstances, Mounted, Obstacle, Scope};
use anyarch_binfmt::podman::For;
use anyarch_binfmt::register::{self, Register};
use anyarch_binfmt::status::{self, StatusArgs};
use anyarch_binfmt::table::{Entry, own_name};
use anyarch_binfmt::target::{self, ALL, spoken};
use anyarch_binfmt::unregister::{self, Unregister};
use anyarch_client::error::Usage;
use anyarch_manifest::layout;
use anyarch_manifest::target::{TARGETS, Target};
use anyhow::{Context as _, Result, anyhow, bail};
use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What the image says when nobody says anything: their images tell what is registered then.
const STATUS: &str = "--status";

/// What somebody wants who speaks to one of the three.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Registrations to take out, by names, targets or patterns.
    uninstall: Vec<String>,
    /// Targets to register.
    install: Vec<String>,
    /// Set-user-ID programs have their owner's rights.
    credentials: bool,
    /// Where emulators are installed from before, which the other images do not know. Also by `ANYARCH_FROM`.
    from: Vec<String>,
    /// Of which release; else of the newest there.
    release: Option<String>,
    /// The key that must have signed it. Also by `ANYARCH_KEY`.
    key: Option<PathBuf>,
}

/// Where emulators are installed that come from a release: one of the usual folders.
const PREFIX: &str = "/usr/local";

/// Reads the words of a command line, if it is one of theirs.
pub fn read(words: &[OsString]) -> Option<Result<Asked>> {
    let words: Vec<&str> = words.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
    let (first, _) = words.first()?.split_once('=').unwrap_or((words[0], ""));
    match first {
        STATUS if words.len() == 1 => Some(Ok(Asked::default())),
        "--install" | "-install" | "--uninstall" | "-uninstall" => Some(binfmt(&words)),
        "--reset" | "-p" | "--persistent" | "-c" | "--credential" | "-s" | "--static" | "-static" | "-l"
        | "--list" | "-list" | "--" => Some(scripts(&words)),
        _ => None,
    }
}

/// tonistiigi/binfmt: Go's flags, with their value behind a `=` or in the next word.
fn binfmt(words: &[&str]) -> Result<Asked> {
    // Its registrations always have the flag `C`.
    let mut asked = Asked { credentials: true, ..Asked::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, value),
            None => (*word, words.next().copied().ok_or_else(|| Usage(format!("{word} wants a value")))?),
        };
        let names = value.split(',').filter(|name| !name.is_empty()).map(str::to_owned);
        match flag.trim_start_matches('-') {
            "install" => asked.install.extend(names),
            "uninstall" => asked.uninstall.extend(names),
            "from" => asked.from.push(value.to_owned()),
            "release" => asked.release = Some(value.to_owned()),
            "key" => asked.key = Some(PathBuf::from(value)),
            _ => bail!(unknown(word)),
        }
    }
    Ok(asked)
}

/// qus and multiarch: two scripts before QEMU's `qemu-binfmt-conf.sh`, whose words stand behind `--` for one of them.
fn scripts(words: &[&str]) -> Result<Asked> {
    let mut asked = Asked::default();
    let (mut registers, mut lists) = (false, false);
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        match *word {
            // Ours are static, and always hold their file open.
            "-s" | "--static" | "-static" | "--" => {}
            "-l" | "--list" | "-list" => lists = true,
            // That of multiarch registers anew, that of qus does not.
            "--reset" => {
                asked.uninstall.push(EMULATORS.to_owned());
                registers = true;
            }
            "-r" => asked.uninstall.push(EMULATORS.to_owned()),
            "-p" | "--persistent" => {
                registers = true;
                rest = flag(rest).1;
            }
            "-c" | "--credential" => {
                registers = true;
                (asked.credentials, rest) = flag(rest);
            }
            word if word.starts_with('-') => bail!(unknown(word)),
            name => asked.install.push(name.to_owned()),
        }
    }
    let says_more = lists || !asked.uninstall.is_empty();
    if asked.install.is_empty() && (registers || !says_more) {
        asked.install.push(ALL.to_owned());
    }
    Ok(asked)
}

/// The name of every emulator, in their words.
const EMULATORS: &str = "qemu-*";

/// The value of an option that may have one, and what follows.
fn flag<'a, 'b>(rest: &'a [&'b str]) -> (bool, &'a [&'b str]) {
    match rest.split_first() {
        Some((&"yes", after)) => (true, after),
        Some((&"no", after)) => (false, after),
        _ => (true, rest),
    }
}

fn unknown(word: &str) -> Usage {
    Usage(format!(
        "`{word}` is not understood\n  of tonistiigi/binfmt: --install, --uninstall, --version; of qus: -s, -l, -- with -p, -r; \
         of multiarch: --reset, -p yes, --credential yes\n  or `anyarch register`, see `anyarch --help`"
    ))
}

/// Does it, and then prints what is registered, as JSON.
///
/// # Errors
/// When something of it could not be done. The rest of it is done, unless nothing can be.
pub fn run(asked: &Asked) -> Result<()> {
    let session = Session::new(0, false);
    let circumstances = Circumstances::look()?;
    let user = circumstances.scope == Scope::UserNamespace;
    let scope = For { user, podman: false };
    let setting = setting(&session)?;
    let prefix = prefix()?;
    // Who misspells a name shall hear of it before anything changes.
    target::named(&plain(&asked.install))?;
    fetch(&session, asked)?;
    let targets = chosen(&asked.install, &setting, &prefix)?;
    let mut failed = Vec::new();
    if !asked.uninstall.is_empty() {
        uninstall(&asked.uninstall, &setting, scope)?;
    }
    for target in targets {
        let done = register::run(&setting, &request(target, &setting, &prefix, asked.credentials, scope));
        match done {
            Err(error) if error.chain().any(<dyn std::error::Error>::is::<Obstacle>) => return Err(error),
            Err(error) => failed.push(error.context(format!("{} is not registered", spoken(target)))),
            Ok(()) => {}
        }
    }
    // A container sees no table until one is mounted in it. Whoever may not see it is told so by `status`.
    if circumstances.mounted == Mounted::Nothing && circumstances.is_root {
        let _ = circumstances.open();
    }
    let to_tools = Setting { json: true, ..setting };
    status::run(&to_tools, &StatusArgs { podman: false, user, root: None })?;
    let number = failed.len();
    let mut failed = failed.into_iter();
    match failed.next() {
        None => Ok(()),
        Some(first) => {
            failed.for_each(|error| session.progress.say(&format!("error: {error:#}")));
            Err(if number == 1 {
                first
            } else {
                first.context(format!("{number} targets are not registered"))
            })
        }
    }
}

/// Where emulators are looked for: `QEMU_BINARY_PATH`, else the usual folders.
fn setting(session: &Session) -> Result<Setting<'_>> {
    let mut setting = session.setting();
    if let Some(folder) = env::var_os("QEMU_BINARY_PATH").filter(|value| !value.is_empty()) {
        let folder = std::path::absolute(PathBuf::from(folder)).context("QEMU_BINARY_PATH is no path")?;
        setting.folders = vec![folder];
    }
    Ok(setting)
}

/// What stands before the names of emulators: `QEMU_BINARY_PREFIX`. `QEMU_PRESERVE_ARGV0` is always kept.
fn prefix() -> Result<String, Usage> {
    let prefix = env::var("QEMU_BINARY_PREFIX").unwrap_or_default();
    if prefix.contains('/') {
        return Err(Usage("QEMU_BINARY_PREFIX is no folder; QEMU_BINARY_PATH names one".to_owned()));
    }
    Ok(prefix)
}

/// The targets that are meant; all means those that there are emulators for.
fn chosen(names: &[String], setting: &Setting<'_>, prefix: &str) -> Result<Vec<&'static Target>> {
    let names = plain(names);
    let targets = target::named(&names)?;
    if !names.iter().any(|name| name == ALL) {
        return Ok(targets);
    }
    let has = |target: &&Target| file(target, setting, prefix).is_some();
    let there: Vec<&'static Target> = targets.into_iter().filter(has).collect();
    if there.is_empty() {
        let folders: Vec<String> =
            setting.folders.iter().map(|folder| folder.display().to_string()).collect();
        bail!("there is no emulator in {}", folders.join(", "));
    }
    Ok(there)
}

/// Targets by names that we know. They know processors, and take any of their variants: `linux/arm64/v8`.
fn plain(names: &[String]) -> Vec<String> {
    let plain = |name: &String| {
        let known = Target::find(name).is_some() || name == ALL;
        let short =
            name.rsplit_once('/').map(|(short, _)| short).filter(|short| Target::find(short).is_some());
        short.filter(|_| !known).map_or_else(|| name.clone(), str::to_owned)
    };
    names.iter().map(plain).collect()
}

/// Installs the emulators that are to be registered, where a release is named that they come from.
fn fetch(session: &Session, asked: &Asked) -> Result<()> {
    let key = asked.key.clone().or_else(|| env::var_os("ANYARCH_KEY").map(PathBuf::from));
    let place = Place { from: asked.from.clone(), release: asked.release.clone(), key };
    if asked.install.is_empty() || !place.is_named() {
        return Ok(());
    }
    let release = releases::open(session, &place)?;
    let targets = install::named(&plain(&asked.install))?;
    install::install(session, &release, &targets, Path::new(PREFIX)).map(drop).map_err(|error| {
        let no_room = [ErrorKind::QuotaExceeded, ErrorKind::ReadOnlyFilesystem, ErrorKind::StorageFull];
        if ended::is_of(&error, &no_room) { error.context(ROOM) } else { error }
    })
}

/// What helps where the container has no place for emulators.
const ROOM: &str = "there is no room for the emulators\n  \
     give the container some: docker run -v anyarch:/usr/local -e ANYARCH_CACHE=/usr/local/cache ...";

/// The file of an emulator.
fn file(target: &Target, setting: &Setting<'_>, prefix: &str) -> Option<PathBuf> {
    let places =
        setting.folders.iter().map(|folder| folder.join(prefix.to_owned() + &layout::program(target.name)));
    places.into_iter().find(|path| path.symlink_metadata().is_ok())
}

fn request(target: &Target, setting: &Setting<'_>, prefix: &str, credentials: bool, scope: For) -> Register {
    let emulator = if prefix.is_empty() { None } else { file(target, setting, prefix) };
    // `C` makes a program of root's: an emulator that others can change gets it from nobody.
    let is_safe = |found: Emulator| found.changeable.is_none();
    let found = match &emulator {
        Some(path) => Emulator::read(target, path).ok(),
        None => Emulator::find(target, &setting.folders).ok().flatten(),
    };
    Register {
        targets: vec![target.name.to_owned()],
        emulator,
        emulators: None,
        replace: true,
        persist: false,
        credentials: credentials && (scope.user || found.is_none_or(is_safe)),
        no_execve: false,
        scope,
        dry_run: false,
        root: None,
    }
}

/// Takes out registrations: ours as `unregister` does it, and those of others, since whoever says `qemu-*` means all.
fn uninstall(patterns: &[String], setting: &Setting<'_>, scope: For) -> Result<()> {
    let circumstances = Circumstances::look()?;
    let wanted = if scope.user { Scope::UserNamespace } else { Scope::Machine };
    if let Some(obstacle) = circumstances.obstacle(wanted) {
        return Err(obstacle.into());
    }
    let table = circumstances.open()?;
    let entries = table.entries()?;
    for pattern in patterns {
        let is_there = entries.iter().any(|entry| is_meant(pattern, entry));
        if !is_there && !pattern.contains(['*', '?']) {
            // Nothing to undo, or a name that nobody knows.
            target::named(std::slice::from_ref(pattern))?;
        }
        let targets = of_ours(pattern, &entries);
        if !targets.is_empty() {
            let request = Unregister { targets, scope, dry_run: false, root: None };
            unregister::run(setting, &request)?;
        }
    }
    let _lock = table.lock(setting.progress)?;
    for entry in table.entries()?.iter().filter(|entry| !entry.is_ours() && !entry.is_untouchable()) {
        if patterns.iter().any(|pattern| is_meant(pattern, entry)) {
            table.remove(&entry.name).map_err(|error| anyhow!("cannot take {} out: {error}", entry.name))?;
            setting.progress.say(&format!("unregistered: {}", entry.name));
        }
    }
    Ok(())
}

/// Targets to take out of what we have registered. One that is named is, also where only a file for the next boot is left
/// of it; so are all, if all are meant.
fn of_ours(pattern: &str, entries: &[Entry]) -> Vec<String> {
    if let Some(target) = Target::find(pattern) {
        return vec![target.name.to_owned()];
    }
    let fits = |target: &&Target| matches(pattern, &layout::program(target.name));
    if TARGETS.iter().all(|target| fits(&target)) {
        return vec![ALL.to_owned()];
    }
    let is_ours = |target: &&Target| entries.iter().any(|entry| entry.name == own_name(target));
    TARGETS.iter().filter(fits).filter(is_ours).map(|target| target.name.to_owned()).collect()
}

/// Whether a registration is meant: by its name, the end of it, or a target that is spelt in another way.
fn is_meant(pattern: &str, entry: &Entry) -> bool {
    let name = entry.name.as_str();
    let of_target = Target::find(pattern).is_some_and(|target| {
        name == layout::program(target.name) || name.ends_with(&format!("-{}", target.name))
    });
    matches(pattern, name) || name.ends_with(&format!("-{pattern}")) || of_target
}

/// Whether a name fits a pattern with `*` and `?`.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = &pattern[1..];
            name.char_indices().map(|(at, _)| &name[at..]).chain([""]).any(|end| matches(rest, end))
        }
        (Some('?'), Some(letter)) => matches(&pattern[1..], &name[letter.len_utf8()..]),
        (Some(one), Some(other)) if one == other => {
            matches(&pattern[one.len_utf8()..], &name[other.len_utf8()..])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> Result<Asked> {
        let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        read(&words).expect("one of theirs")
    }

    fn is(words: &str, uninstall: &[&str], install: &[&str], credentials: bool) {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let expected =
            Asked { uninstall: owned(uninstall), install: owned(install), credentials, ..Asked::default() };
        assert_eq!(asked(words).expect(words), expected, "{words}");
    }

    #[test]
    fn what_others_are_told_is_understood() {
        is("--install all", &[], &["all"], true);
        is("--install=arm64,riscv64", &[], &["arm64", "riscv64"], true);
        is("-install arm64", &[], &["arm64"], true);
        is("--uninstall qemu-* --install arm", &["qemu-*"], &["arm"], true);
        is("--status", &[], &[], false);
        is("-s -- -p aarch64", &[], &["aarch64"], false);
        is("-s -- -p", &[], &["all"], false);
        is("-- -r", &["qemu-*"], &[], false);
        is("-l", &[], &[], false);
        is("--reset -p yes", &["qemu-*"], &["all"], false);
        is("--reset", &["qemu-*"], &["all"], false);
        is("--reset --credential yes --persistent yes", &["qemu-*"], &["all"], true);
        is("--credential no -p yes", &[], &["all"], false);
    }

    #[test]
    fn emulators_may_come_from_a_release_first() {
        let asked = asked("--install all --from https://example.org/a --release 1.2.3-1 --key /k")
            .expect("understood");
        assert_eq!(asked.from, ["https://example.org/a"]);
        assert_eq!((asked.release.as_deref(), asked.key), (Some("1.2.3-1"), Some("/k".into())));
    }

    #[test]
    fn our_own_command_lines_are_none_of_theirs() {
        for words in [
            "register arm64",
            "--version",
            "--help",
            "run --platform arm64 x",
            "status --json",
            "-v status",
            "",
        ] {
            let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
            assert!(read(&words).is_none(), "{words:?}");
        }
    }

    #[test]
    fn what_nobody_understands_is_wrong_use() {
        for words in ["--install", "--install all --mount /x", "-s -- --systemd ALL", "--reset --bogus"] {
            let error = asked(words).expect_err(words);
            assert!(error.is::<Usage>(), "{error:#}");
        }
    }

    #[test]
    fn registrations_are_meant_by_name_end_pattern_or_target() {
        let entry = |name| Entry::parse(name, "enabled\ninterpreter /x\n").expect("an entry");
        for (pattern, name, expected) in [
            ("qemu-*", "qemu-aarch64", true),
            ("qemu-*", "WSLInterop", false),
            ("aarch64", "qemu-aarch64", true),
            ("arm64", "qemu-aarch64", true),
            ("arm64", "qemu-arm", false),
            ("arm", "qemu-arm", true),
            ("qemu-arm?", "qemu-armeb", false),
            ("python3*", "python3.11", true),
        ] {
            assert_eq!(is_meant(pattern, &entry(name)), expected, "{pattern} {name}");
        }
    }
}
