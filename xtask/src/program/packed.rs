//! The program as an archive with its record beside it, as emulators have one.

use super::crates::Linked;
use super::facts::Facts;
use super::proof::{Proven, SUITE};
use crate::facts::{Host, Series};
use crate::package::{self, EXTENSION, Member, contents, record_path, write_archive};
use crate::session::Session;
use crate::verify::Report;
use anyarch_client::files;
use anyarch_client::hash;
use anyarch_manifest::layout::{self, PROGRAM};
use anyhow::{Context as _, Result, bail, ensure};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// What the format may change in; counted up when the layout or the compression does.
const LAYOUT: u32 = 1;
/// Texts of the checkout that go with the program.
const TEXTS: [&str; 5] =
    ["LICENSE-APACHE", "LICENSE-MIT", "docs/images-run.md", "docs/register.md", "docs/run.md"];
/// The licences of what is linked.
const OTHERS: &str = "LICENSES-OF-OTHERS";
/// The variable by which a shell's script asks the program to complete a word: `anyarch/src/complete.rs` has it, too.
const COMPLETE: &str = "ANYARCH_COMPLETE";

/// A packed program. Only [`pack`] makes one, from a [`Proven`] one; [`checked`] and [`found`] take it again by its
/// record, when its bytes are still those and it was made from this checkout's source.
#[derive(Debug, Clone, Serialize)]
pub struct Packed {
    path: PathBuf,
    /// Bytes of all files in it.
    unpacked: u64,
    #[serde(flatten)]
    record: Record,
}

/// What is known about a packed program. It is stored in a JSON file beside the archive, so that archives of several
/// machines can be joined into a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Host, by Docker's platform name without `linux/`: `amd64`, `arm/v7`.
    pub host: String,
    /// Hash of everything that the archive depends on. If it is unchanged, the archive is up to date.
    pub key: String,
    /// SHA-256 of the archive, lower-case hex.
    pub sha256: String,
    /// Size of the archive in bytes.
    pub size: u64,
    /// The result of verifying the program in it.
    pub program: Report,
    /// What the program was built from and with.
    pub facts: Facts,
    /// What of others is linked into it.
    pub linked: Vec<Linked>,
}

impl Packed {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The record of the archive.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Bytes of all files in the archive.
    pub fn unpacked(&self) -> u64 {
        self.unpacked
    }
}

/// Hash of everything that an archive depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The key of what is made from these facts for a host.
    pub fn new(root: &Path, facts: &Facts, host: &Host, series: &Series) -> Result<Self> {
        let texts =
            TEXTS.iter().map(|name| hash::sha256_file(&root.join(name))).collect::<Result<Vec<_>>>()?;
        let key = (LAYOUT, SUITE, facts, &host.elf, &host.rust, texts, series.pins.epoch);
        hash::short_key(&key).map(Self)
    }

    /// Whether the archive of this record was made with this key.
    pub fn is_of(&self, record: &Record) -> bool {
        self.0 == record.key
    }
}

/// The name of a host's archive.
pub fn file_name(release: &str, host: &str) -> String {
    format!("{PROGRAM}-{release}-linux-{}{EXTENSION}", host.replace('/', "-"))
}

/// Whether a file's name is that of such an archive.
pub fn is_archive(name: &str) -> bool {
    name.starts_with(&format!("{PROGRAM}-")) && name.contains("-linux-") && name.ends_with(EXTENSION)
}

/// Packs a proven program into the folder of its release.
pub fn pack(session: &Session, proven: &Proven, key: &Key, epoch: u64) -> Result<Packed> {
    let Proven { compiled, report } = proven;
    let host = &compiled.host;
    let content =
        fs::read(&compiled.path).with_context(|| format!("cannot read {}", compiled.path.display()))?;
    ensure!(
        hash::sha256(&content) == report.sha256,
        "{} changed since it was verified; run the command again",
        compiled.path.display()
    );
    let root = &session.workspace.root;
    let members = members(root, content, &compiled.facts, &compiled.licenses)?;
    let release = &compiled.facts.release;
    let path = session.workspace.out.join(release).join(file_name(release, &host.platform));
    files::write_file_with(&path, |file| write_archive(file, &members, host.elf.xz_filter, epoch))
        .context("cannot write the archive")?;
    let record = Record {
        host: host.platform.clone(),
        key: key.0.clone(),
        sha256: hash::sha256_file(&path)?,
        size: fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len(),
        program: report.clone(),
        facts: compiled.facts.clone(),
        linked: compiled.linked.clone(),
    };
    files::write_json(&record_path(&path), &record)?;
    let unpacked = members.iter().map(|member| member.content.len() as u64).sum();
    Ok(Packed { path, unpacked, record })
}

/// The files of an archive, sorted by name.
fn members(root: &Path, program: Vec<u8>, facts: &Facts, licenses: &str) -> Result<Vec<Member>> {
    let docs = layout::docs(PROGRAM);
    let text = |name: &str, content: Vec<u8>| Member { name: format!("{docs}/{name}"), mode: 0o644, content };
    let mut members = vec![Member { name: layout::emulator(PROGRAM), mode: 0o755, content: program }];
    for name in TEXTS {
        let content = fs::read(root.join(name)).with_context(|| format!("cannot read {name}"))?;
        members.push(text(name.rsplit('/').next().unwrap_or(name), content));
    }
    members.push(text(OTHERS, licenses.as_bytes().to_vec()));
    let mut build = serde_json::to_vec_pretty(facts).context("cannot encode the facts")?;
    build.push(b'\n');
    members.push(Member { name: layout::build_facts(PROGRAM), mode: 0o644, content: build });
    for shell in [&Bash as &dyn EnvCompleter, &Fish, &Zsh] {
        let mut script = Vec::new();
        shell.write_registration(COMPLETE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
        members.push(text(&format!("{PROGRAM}.{}", shell.name()), script));
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

/// The archive in this file, if its record stands beside it, it is still the same, inside and out, and it was made from
/// this checkout's source.
pub fn found(path: &Path, root: &Path, series: &Series) -> Option<Packed> {
    checked(path, root, series).ok()
}

/// The same; an error says what is wrong.
pub fn checked(path: &Path, root: &Path, series: &Series) -> Result<Packed> {
    let record = package::as_recorded(path, |record: &Record| {
        (record.sha256.clone(), file_name(&record.facts.release, &record.host), String::new())
    })?;
    let contents = contents::read::<Facts>(path, PROGRAM)?;
    ensure!(contents.emulator == record.program.sha256, "its program is not the one that was verified");
    ensure!(contents.build_info == record.facts, "its build.json does not match its record");
    if let Some(other) = record.facts.other_pin(root, series)? {
        bail!("built from other pins than this checkout: {other}");
    }
    Ok(Packed { path: path.to_owned(), unpacked: contents.unpacked, record })
}

/// The programs' archives in a folder, by name; a folder that is not there has none.
pub fn archives(folder: &Path) -> Result<Vec<PathBuf>> {
    let all = package::tarballs(folder)?;
    Ok(all
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| is_archive(&name.to_string_lossy())))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::hosts::RustLibrary;

    fn facts() -> Facts {
        Facts {
            release: "1.2.3-1".to_owned(),
            targets: vec!["arm".to_owned()],
            source: String::new(),
            target: "x86_64-unknown-linux-musl".to_owned(),
            library: RustLibrary::Rustup,
            rustc: "rustc 1".to_owned(),
            rustflags: Vec::new(),
            compiler: "gcc".to_owned(),
            compiler_options: Vec::new(),
            linker: "ld".to_owned(),
            sysroot: Vec::new(),
        }
    }

    #[test]
    fn an_archive_holds_the_program_its_licences_and_what_completes_it() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let members = members(&root, b"\x7fELF".to_vec(), &facts(), "MIT\n").expect("members");
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names[0], "bin/anyarch");
        let docs = "share/doc/anyarch/anyarch";
        for name in
            ["LICENSE-MIT", OTHERS, "build.json", "anyarch.bash", "anyarch.fish", "anyarch.zsh", "run.md"]
        {
            assert!(names.contains(&format!("{docs}/{name}").as_str()), "{name} is not in {names:?}");
        }
        for member in &members {
            anyarch_client::archive::belongs(PROGRAM, tar::EntryType::Regular, &member.name)
                .expect("it belongs");
        }
        let script = members.iter().find(|member| member.name.ends_with(".bash")).expect("a script");
        assert!(String::from_utf8_lossy(&script.content).contains(COMPLETE));
    }

    #[test]
    fn an_archive_is_known_by_its_name() {
        assert_eq!(file_name("1.2.3-1", "arm/v7"), "anyarch-1.2.3-1-linux-arm-v7.tar.xz");
        assert!(is_archive("anyarch-1.2.3-1-linux-amd64.tar.xz"));
        for other in
            ["qemu-arm-1.2.3-1-linux-amd64.tar.xz", "anyarch-1.2.3-1-source.tar", "anyarch-1.cdx.json"]
        {
            assert!(!is_archive(other), "{other}");
        }
    }
}
