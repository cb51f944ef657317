//! What Debian's policy wants a package to say: control, copyright, changelog; and what lintian is told.

use super::super::About;
use super::super::contents::{BINFMT, EMULATORS, Package};
use super::super::entry::Entry;
use anyarch_manifest::layout::{PACKAGED, PROGRAM};
use anyhow::Result;
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// The `control` file. `size` is in KiB.
pub fn control(package: &Package, arch: &str, about: &About, size: u64) -> String {
    let version = about.version.with_revision();
    let list = |names: &[&str], version: &str| {
        names.iter().map(|name| format!("{name}{version}")).collect::<Vec<_>>().join(", ")
    };
    let mut fields = vec![
        ("Package", package.name.to_owned()),
        ("Source", PROGRAM.to_owned()),
        ("Version", version.clone()),
        ("Architecture", arch.to_owned()),
        ("Maintainer", about.maintainer.clone()),
        ("Installed-Size", size.to_string()),
    ];
    if package.name == PROGRAM {
        fields.retain(|(name, _)| *name != "Source");
    }
    if !package.depends.is_empty() {
        fields.push(("Depends", list(package.depends, &format!(" (= {version})"))));
    }
    if !package.suggests.is_empty() {
        fields.push(("Suggests", list(package.suggests, "")));
    }
    fields.push(("Section", "otherosfs".to_owned()));
    fields.push(("Priority", "optional".to_owned()));
    // Programs of any architecture may want it.
    fields.push(("Multi-Arch", "foreign".to_owned()));
    fields.extend(about.homepage.iter().map(|address| ("Homepage", address.clone())));
    let mut text: String = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    text.push_str(&format!("Description: {}\n", package.summary));
    package.description.iter().for_each(|line| text.push_str(&format!(" {line}\n")));
    text
}

/// Licences whose texts every Debian has, by the names that the release's files have.
const COMMON: [(&str, &str); 3] =
    [("COPYING", "GPL-2"), ("COPYING.LIB", "LGPL-2.1"), ("LICENSE-APACHE", "Apache-2.0")];

/// The `copyright` file, for people: each other text once, however many emulators have it.
///
/// # Errors
/// When a text cannot be read.
pub fn copyright(package: &Package, licences: &[Entry], about: &About) -> Result<String> {
    let version = about.version.with_revision();
    let mut text = format!(
        "These files are taken from anyarch's release {version}, byte for byte.\n\
         The corresponding source stands beside them there: anyarch-{version}-source.tar\n\n\
         Licence: {}\n",
        package.license
    );
    let year = date(about).split_whitespace().nth(3).unwrap_or_default().to_owned();
    if package.name == EMULATORS {
        text.push_str(&format!(
            "\nCopyright (c) 2003-{year} Fabrice Bellard and the QEMU Project developers\n\
             Copyright (c) {year} the anyarch maintainers, for the patches\n\n\
             The C library, GLib, PCRE2 and zlib are linked into each emulator. The release's SBOM\n\
             (anyarch-{version}.cdx.json) names their versions, authors and licences.\n"
        ));
    } else {
        text.push_str(&format!("\nCopyright (c) {year} the anyarch maintainers\n"));
    }
    text.push_str("\nOn Debian systems, these texts are in /usr/share/common-licenses:\n");
    let mentioned =
        |name: &str| package.license.contains(name) || licences.iter().any(|one| one.file_name() == name);
    for (name, common) in COMMON {
        if mentioned(name) || mentioned(common) {
            text.push_str(&format!("  {common}\n"));
        }
    }
    let mut others: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
    for one in licences.iter().filter(|one| COMMON.iter().all(|(name, _)| *name != one.file_name())) {
        others.entry(one.bytes()?).or_insert_with(|| one.file_name());
    }
    let mut others: Vec<(&str, Vec<u8>)> = others.into_iter().map(|(bytes, name)| (name, bytes)).collect();
    others.sort();
    for (name, bytes) in others {
        text.push_str(&format!("\n{name}:\n\n{}", String::from_utf8_lossy(&bytes)));
    }
    Ok(text)
}

/// The changelog.
pub fn changelog(package: &Package, about: &About) -> String {
    let version = about.version.with_revision();
    let time = date(about);
    format!(
        "anyarch ({version}) stable; urgency=medium\n\n  \
         * {}: the files of release {version}, with QEMU {}.\n\n \
         -- {}  {time}\n",
        package.name, about.version.upstream, about.maintainer
    )
}

/// The time of the release: `Tue, 14 Nov 2023 22:13:20 +0000`.
fn date(about: &About) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(about.epoch.into());
    httpdate::fmt_http_date(time).replace("GMT", "+0000")
}

/// What lintian would say of a package, and why it is meant so.
pub fn overrides(package: &Package) -> Option<String> {
    let name = package.name;
    let never_uploaded = format!(
        "# It is made of a release, and never uploaded to Debian.\n{name}: initial-upload-closes-no-bugs\n"
    );
    let programs = match name {
        EMULATORS => format!("{}/qemu-*", PACKAGED.trim_start_matches('/')),
        PROGRAM => format!("usr/bin/{PROGRAM}"),
        BINFMT => return Some(never_uploaded),
        _ => return None,
    };
    let manual = match name {
        PROGRAM => format!(
            "# Its --help says it all, and so does run.md in its folder of documentation.\n\
             {name}: no-manual-page [{programs}]\n"
        ),
        _ => String::new(),
    };
    Some(format!(
        "# Static on purpose, and static PIE where the machine has that: they also run in roots without libraries.\n\
         {name}: statically-linked-binary [{programs}]\n\
         {name}: shared-library-lacks-prerequisites [{programs}]\n{manual}{never_uploaded}"
    ))
}
