//! Wheels for pip: one for each emulator, which becomes a program in the environment's `bin`, and is started by
//! `python -m` as well.

use super::About;
use crate::facts::Host;
use crate::released::Unpacked;
use anyarch_manifest::layout;
use anyhow::{Context as _, Result};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use std::io::{Cursor, Write as _};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The module that is installed: says where the emulator is, and starts it.
const MODULE: [(&str, &str); 2] = [
    ("__init__.py", include_str!("../../../dist/wheel_init.py")),
    ("__main__.py", include_str!("../../../dist/wheel_main.py")),
];

/// The wheel's file name and its bytes.
///
/// # Errors
/// When a file of the release cannot be read.
pub fn pack(target: &str, unpacked: &Unpacked, host: &Host, about: &About) -> Result<(String, Vec<u8>)> {
    let (program, version) = (layout::program(target), about.version.wheel());
    let module = format!("anyarch_{}", program.replace('-', "_"));
    let (info, data) = (format!("{module}-{version}.dist-info"), format!("{module}-{version}.data"));
    let tags: Vec<String> =
        host.packages.wheel.iter().map(|platform| format!("py3-none-{platform}")).collect();
    let mut wheel = Wheel::default();
    for (name, text) in MODULE {
        wheel.add(&format!("{module}/{name}"), 0o644, text.as_bytes())?;
    }
    // Installers copy it into `bin` as it is.
    wheel.add(&format!("{data}/scripts/{program}"), 0o755, &super::read(&unpacked.program(target))?)?;
    let docs = layout::docs(target);
    for text in unpacked.docs(target, "")? {
        let name = text.name.trim_start_matches('/').trim_start_matches(docs.as_str());
        wheel.add(&format!("{info}/licenses{name}"), 0o644, &super::read(&text.from)?)?;
    }
    wheel.add(&format!("{info}/METADATA"), 0o644, metadata(&module, target, about).as_bytes())?;
    let tags: String = tags.iter().map(|tag| format!("Tag: {tag}\n")).collect();
    let kind = format!("Wheel-Version: 1.0\nGenerator: anyarch\nRoot-Is-Purelib: false\n{tags}");
    wheel.add(&format!("{info}/WHEEL"), 0o644, kind.as_bytes())?;
    let name = format!("{module}-{version}-py3-none-{}.whl", host.packages.wheel.join("."));
    Ok((name, wheel.finish(&info)?))
}

fn metadata(module: &str, target: &str, about: &About) -> String {
    let program = layout::program(target);
    let home = about.homepage.as_ref().map(|address| format!("Home-page: {address}\n")).unwrap_or_default();
    let (name, mail) = about.maintainer.rsplit_once(" <").unwrap_or((&about.maintainer, ""));
    format!(
        "Metadata-Version: 2.1\n\
         Name: {}\n\
         Version: {}\n\
         Summary: QEMU user-mode emulator for {target} that starts its guest's children\n\
         {home}\
         Maintainer: {name}\n\
         Maintainer-email: {}\n\
         License: GPL-2.0-only\n\
         Requires-Python: >=3.8\n\
         Description-Content-Type: text/markdown\n\
         \n\
         `{program} PROGRAM` runs a program that was compiled for {target}; so does `python -m {module} PROGRAM`.\n\
         With `--execve self` before it, the emulator also starts the programs that PROGRAM starts.\n\
         The emulator is static, and is that of anyarch's release {} byte for byte.\n",
        module.replace('_', "-"),
        about.version.wheel(),
        mail.trim_end_matches('>'),
        about.version.with_revision(),
    )
}

/// A zip archive that lists what is in it, with hashes. Its files have zip's first time.
struct Wheel {
    zip: ZipWriter<Cursor<Vec<u8>>>,
    record: String,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { zip: ZipWriter::new(Cursor::new(Vec::new())), record: String::new() }
    }
}

impl Wheel {
    fn add(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let hash = BASE64URL_NOPAD.encode(&Sha256::digest(bytes));
        self.record.push_str(&format!("{name},sha256={hash},{}\n", bytes.len()));
        self.put(name, mode, bytes)
    }

    fn put(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(DateTime::default())
            .unix_permissions(mode);
        self.zip
            .start_file(name, options)
            .and_then(|()| Ok(self.zip.write_all(bytes)?))
            .with_context(|| format!("cannot pack {name}"))
    }

    fn finish(mut self, info: &str) -> Result<Vec<u8>> {
        let name = format!("{info}/RECORD");
        let record = format!("{}{name},,\n", self.record);
        self.put(&name, 0o644, record.as_bytes())?;
        Ok(self.zip.finish()?.into_inner())
    }
}
