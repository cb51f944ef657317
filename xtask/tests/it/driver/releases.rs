//! Small releases with all that a mirror has: emulators that are scripts with some noise behind them, packed as
//! real ones are, a manifest, sums, and a signature by the real `ssh-keygen`.
//!
//! ```ignore
//! let mut release = FakeRelease::make(base, "1.2.3-1");        // base/1.2.3-1/..., whole and right
//! release.repack("aarch64", "amd64", tar);                     // other members, and a manifest that vouches for them
//! release.edit(|manifest| manifest["format"] = json!(2));      // any JSON, and sums that vouch for it
//! Key::make(folder).sign(&release);                            // SHA256SUMS.sig
//! ```

use super::run;
use anyarch_manifest::layout::{self, PROGRAM};
use anyarch_manifest::{
    Archive, ArchiveFormat, Artifact, Build, Bundle, Check, Document, DocumentKind, Emulator, FILE, FileName,
    Manifest, Outcome, Patch, Program, ProgramBuild, Sha256, Source,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tar::{Builder, EntryType, Header};
use xz2::stream::{Check as Sum, Filters, LzmaOptions, Stream};
use xz2::write::XzEncoder;

/// What every release has; `arm` only for the last host.
pub const PAIRS: [(&str, &str); 5] = [
    ("aarch64", "amd64"),
    ("riscv64", "amd64"),
    ("aarch64", "arm64"),
    ("aarch64", "arm/v7"),
    ("arm", "arm/v7"),
];

/// A release in a folder of its own.
#[derive(Debug)]
pub struct FakeRelease {
    /// The mirror: the folder that the release's folder stands in.
    pub base: PathBuf,
    /// `10.2.2-1`
    pub name: String,
    /// As it was made, or last repacked.
    pub manifest: Manifest,
}

impl FakeRelease {
    /// Makes `base/<name>/` with all its files.
    pub fn make(base: &Path, name: &str) -> Self {
        fs::create_dir_all(base.join(name)).unwrap();
        let version = name.split('-').next().unwrap().to_owned();
        let source = Source {
            series: version.rsplit_once('.').map_or(version.clone(), |(series, _)| series.to_owned()),
            tag: format!("v{version}"),
            version,
            repository: "https://example.org/qemu.git".to_owned(),
            commit: None,
            tarballs: Vec::new(),
            epoch: 1_700_000_000,
            patches: vec![Patch {
                name: "common/execve/0001-x.patch".to_owned(),
                sha256: hash(b"x"),
                topic: Some("execve".to_owned()),
            }],
        };
        let builds = ["amd64", "arm64", "arm/v7"].map(|host| (host.to_owned(), build(host)));
        let mut release = Self {
            base: base.to_owned(),
            name: name.to_owned(),
            manifest: Manifest {
                format: 1,
                release: file_name(name),
                source,
                builds: builds.into(),
                artifacts: Vec::new(),
                programs: Vec::new(),
                bundles: Vec::new(),
                documents: Vec::new(),
                changes: None,
            },
        };
        for (target, host) in PAIRS {
            let artifact = release.artifact(target, host);
            release.manifest.artifacts.push(artifact);
        }
        release.write();
        release
    }

    /// Gives the release the users' program for these hosts: a script, as emulators are ones here.
    pub fn with_program(mut self, hosts: &[&str]) -> Self {
        for host in hosts {
            let Artifact { emulator, unpacked_size, archives, verified, .. } = self.artifact(PROGRAM, host);
            let build = ProgramBuild {
                target: "x86_64-unknown-linux-musl".to_owned(),
                rustc: "rustc 1".to_owned(),
                rustflags: Vec::new(),
                compiler: "cc 1".to_owned(),
                linker: "ld 1".to_owned(),
                sysroot: Vec::new(),
            };
            let host = (*host).to_owned();
            let program = Program { host, program: emulator, unpacked_size, archives, verified, build };
            self.manifest.programs.push(program);
        }
        self.write();
        self
    }

    /// Gives the release the archive of all emulators for a host, once its members were changed. Manifest and sums vouch
    /// for it.
    pub fn with_bundle(mut self, host: &str, change: impl FnOnce(&mut Vec<Member>)) -> Self {
        let of_host: Vec<Artifact> =
            self.manifest.artifacts.iter().filter(|one| one.host == host).cloned().collect();
        let mut members: Vec<Member> = Vec::new();
        for member in of_host.iter().flat_map(|one| self.members(&one.target, host)) {
            if member.kind != EntryType::Directory || members.iter().all(|known| known.name != member.name) {
                members.push(member);
            }
        }
        change(&mut members);
        let packed = packed(&tar(&members));
        let name = layout::bundle(&self.name, host) + ".tar.xz";
        fs::write(self.folder().join(&name), &packed).unwrap();
        self.manifest.bundles.push(Bundle {
            host: host.to_owned(),
            targets: of_host.iter().map(|one| one.target.clone()).collect(),
            unpacked_size: of_host.iter().map(|one| one.unpacked_size).sum(),
            archives: vec![Archive {
                file: file_name(&name),
                format: ArchiveFormat::TarXz,
                size: packed.len() as u64,
                sha256: hash(&packed),
            }],
        });
        self.write();
        self
    }

    /// The folder of the release.
    pub fn folder(&self) -> PathBuf {
        self.base.join(&self.name)
    }

    /// The name of an archive.
    pub fn archive(&self, target: &str, host: &str) -> String {
        format!("{}-{}-linux-{}.tar.xz", layout::program(target), self.name, host.replace('/', "-"))
    }

    /// The emulator of a pair: a script that knows `--version`, as many bytes of noise behind it as make the
    /// archive some 200 kB.
    pub fn emulator(&self, target: &str, host: &str) -> Vec<u8> {
        let version = &self.manifest.source.version;
        let script = format!(
            "#!/bin/sh\n# {target} for {host} of {}\necho \"{} version {version}\"\nexit 0\n",
            self.name,
            layout::program(target)
        );
        let mut bytes = script.into_bytes();
        let mut state =
            bytes.iter().fold(1_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.push((state >> 56) as u8);
        }
        bytes
    }

    /// Its texts; those of two releases differ.
    pub fn docs(&self, target: &str) -> Vec<(String, Vec<u8>)> {
        let at = |name: &str| format!("{}/{name}", layout::docs(target));
        let build = format!("{{\"release\": \"{}\"}}\n", self.name);
        vec![(at("LICENSE"), b"GPL\n".to_vec()), (at("build.json"), build.into_bytes())]
    }

    /// The members of a right archive, as they stand in it.
    pub fn members(&self, target: &str, host: &str) -> Vec<Member> {
        let doc = format!("{}/", layout::docs(target));
        let mut all = vec![
            Member::folder("bin/"),
            Member::file(&layout::emulator(target), 0o755, &self.emulator(target, host)),
        ];
        all.extend(["share/", "share/doc/", "share/doc/anyarch/", &doc].map(Member::folder));
        all.extend(self.docs(target).iter().map(|(name, text)| Member::file(name, 0o644, text)));
        all
    }

    /// Gives a pair another emulator; everything in the release agrees with it.
    pub fn put_emulator(&mut self, target: &str, host: &str, bytes: &[u8]) {
        let mut members = self.members(target, host);
        let (old, new) = (members[1].content.len() as u64, bytes.len() as u64);
        members[1].content = bytes.to_vec();
        self.repack(target, host, &tar(&members));
        let artifacts = &mut self.manifest.artifacts;
        let one = artifacts.iter_mut().find(|one| one.target == target && one.host == host).unwrap();
        one.emulator = Emulator { size: new, sha256: hash(bytes) };
        one.unpacked_size = one.unpacked_size - old + new;
        self.write();
    }

    /// Gives a host another program; everything in the release agrees with it.
    pub fn put_program(&mut self, host: &str, bytes: &[u8]) {
        let mut members = self.members(PROGRAM, host);
        members[1].content = bytes.to_vec();
        let unpacked_size = members.iter().map(|one| one.content.len() as u64).sum();
        let archive = self.put(PROGRAM, host, &packed(&tar(&members)));
        let one = self.manifest.programs.iter_mut().find(|one| one.host == host).unwrap();
        one.program = Emulator { size: bytes.len() as u64, sha256: hash(bytes) };
        (one.unpacked_size, one.archives) = (unpacked_size, vec![archive]);
        self.write();
    }

    /// Gives the release its installer, which knows the release and where it lies.
    pub fn put_installer(&mut self, base: &str) {
        let script = fs::read_to_string(super::checkout().join("dist/install.sh")).unwrap();
        let script = script.replace("@RELEASE@", &self.name).replace("@BASE@", base);
        fs::write(self.folder().join("install.sh"), &script).unwrap();
        self.manifest.documents.push(Document {
            kind: DocumentKind::Installer,
            file: file_name("install.sh"),
            size: script.len() as u64,
            sha256: hash(script.as_bytes()),
        });
        self.write();
    }

    fn artifact(&self, target: &str, host: &str) -> Artifact {
        let emulator = self.emulator(target, host);
        let docs: usize = self.docs(target).iter().map(|(_, text)| text.len()).sum();
        Artifact {
            target: target.to_owned(),
            host: host.to_owned(),
            emulator: Emulator { size: emulator.len() as u64, sha256: hash(&emulator) },
            unpacked_size: (emulator.len() + docs) as u64,
            archives: vec![self.put(target, host, &packed(&tar(&self.members(target, host))))],
            verified: vec![Check {
                name: "version".to_owned(),
                outcome: Outcome::Passed,
                detail: "as pinned".to_owned(),
            }],
        }
    }

    /// Writes an archive.
    fn put(&self, target: &str, host: &str, packed: &[u8]) -> Archive {
        let name = self.archive(target, host);
        fs::write(self.folder().join(&name), packed).unwrap();
        Archive {
            file: file_name(&name),
            format: ArchiveFormat::TarXz,
            size: packed.len() as u64,
            sha256: hash(packed),
        }
    }

    /// Gives a pair's archive another content; manifest and sums vouch for it, the sizes of what is unpacked and
    /// the emulator's hash stay as they were.
    pub fn repack(&mut self, target: &str, host: &str, tar: &[u8]) {
        self.replace(target, host, &packed(tar));
    }

    /// The same with an archive that is packed already.
    pub fn replace(&mut self, target: &str, host: &str, packed: &[u8]) {
        let archive = self.put(target, host, packed);
        let artifacts = &mut self.manifest.artifacts;
        let one = artifacts.iter_mut().find(|one| one.target == target && one.host == host).unwrap();
        one.archives = vec![archive];
        self.write();
    }

    /// Edits the manifest as JSON; the sums vouch for it.
    pub fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let mut manifest = serde_json::to_value(&self.manifest).unwrap();
        edit(&mut manifest);
        fs::write(self.folder().join(FILE), manifest.to_string()).unwrap();
        self.sum();
    }

    /// Writes the manifest and the sums.
    pub fn write(&self) {
        fs::write(self.folder().join(FILE), self.manifest.text()).unwrap();
        self.sum();
    }

    /// Writes the sums of what is in the folder.
    pub fn sum(&self) {
        let mut names: Vec<String> = fs::read_dir(self.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("SHA256SUMS"))
            .collect();
        names.sort();
        let line = |name: &String| {
            format!("{}  {name}\n", anyarch_client::hash::sha256_file(&self.folder().join(name)).unwrap())
        };
        fs::write(self.folder().join("SHA256SUMS"), names.iter().map(line).collect::<String>()).unwrap();
    }
}

/// A tar stream packed by xz with a dictionary of so many MiB, which is what unpacking it takes.
pub fn packed_with(dictionary: u32, tar: &[u8]) -> Vec<u8> {
    let mut options = LzmaOptions::new_preset(0).unwrap();
    options.dict_size(dictionary << 20);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let mut encoder =
        XzEncoder::new_stream(Vec::new(), Stream::new_stream_encoder(&filters, Sum::Crc64).unwrap());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

/// Packs a tar stream. Tests make the same releases again and again, so what was packed once is kept.
fn packed(tar: &[u8]) -> Vec<u8> {
    static PACKED: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let key = anyarch_client::hash::sha256(tar);
    if let Some(packed) = PACKED.lock().unwrap().get(&key) {
        return packed.clone();
    }
    let mut encoder = XzEncoder::new(Vec::new(), 0);
    encoder.write_all(tar).unwrap();
    let packed = encoder.finish().unwrap();
    PACKED.lock().unwrap().insert(key, packed.clone());
    packed
}

/// A member of an archive, right or wrong.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: String,
    pub kind: EntryType,
    pub mode: u32,
    pub link: String,
    pub content: Vec<u8>,
}

impl Member {
    pub fn folder(name: &str) -> Self {
        Self { mode: 0o755, ..Self::special(name, EntryType::Directory, "") }
    }

    pub fn file(name: &str, mode: u32, content: &[u8]) -> Self {
        Self { mode, content: content.to_vec(), ..Self::special(name, EntryType::Regular, "") }
    }

    /// A link, a device ...
    pub fn special(name: &str, kind: EntryType, link: &str) -> Self {
        Self { name: name.to_owned(), kind, mode: 0o644, link: link.to_owned(), content: Vec::new() }
    }
}

/// A tar stream; names go in unchecked, as an attacker would write them.
pub fn tar(members: &[Member]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for member in members {
        let mut header = Header::new_gnu();
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..member.name.len()].copy_from_slice(member.name.as_bytes());
        gnu.linkname[..member.link.len()].copy_from_slice(member.link.as_bytes());
        header.set_entry_type(member.kind);
        header.set_mode(member.mode);
        header.set_mtime(1_700_000_000);
        header.set_size(member.content.len() as u64);
        header.set_cksum();
        builder.append(&header, member.content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Somebody's key for signatures.
#[derive(Debug)]
pub struct Key {
    /// The private one; the public one has `.pub` behind it.
    pub path: PathBuf,
}

impl Key {
    /// A new one of a kind that `ssh-keygen -t` knows.
    pub fn make(folder: &Path, name: &str, kind: &str) -> Self {
        let path = super::mkdir(folder).join(name);
        run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", name, "-f", path.to_str().unwrap()]);
        Self { path }
    }

    /// The file with the public key.
    pub fn public(&self) -> String {
        format!("{}.pub", self.path.display())
    }

    /// As `ssh-keygen -l` prints it: `SHA256:...`.
    pub fn fingerprint(&self) -> String {
        let listed = run("ssh-keygen", &["-lf", &self.public()]);
        listed.split(' ').nth(1).unwrap().to_owned()
    }

    /// Signs the sums of a release.
    pub fn sign(&self, release: &FakeRelease) {
        self.sign_as("anyarch", release);
    }

    /// The same in another namespace.
    pub fn sign_as(&self, namespace: &str, release: &FakeRelease) {
        let sums = release.folder().join("SHA256SUMS");
        let _ = fs::remove_file(sums.with_extension("sig"));
        let key = self.path.to_str().unwrap();
        run("ssh-keygen", &["-q", "-Y", "sign", "-n", namespace, "-f", key, sums.to_str().unwrap()]);
    }
}

fn file_name(name: &str) -> FileName {
    FileName::try_from(name.to_owned()).unwrap()
}

fn hash(bytes: &[u8]) -> Sha256 {
    Sha256::try_from(anyarch_client::hash::sha256(bytes)).unwrap()
}

fn build(host: &str) -> Build {
    Build {
        triple: format!("{}-linux-gnu", host.replace('/', "-")),
        compiler: "cc 1".to_owned(),
        compiler_options: Vec::new(),
        linker: "ld 1".to_owned(),
        configure: Vec::new(),
        cflags: Vec::new(),
        ldflags: Vec::new(),
        sysroot: Vec::new(),
    }
}
