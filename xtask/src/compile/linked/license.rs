//! The licence of a library as an SPDX expression, from the copyright file of its package.
//!
//! Most of these files follow Debian's machine-readable format (DEP-5): paragraphs that give files a licence. What
//! holds for a library is the licence of all files together with those of the files in its own folders of the source.
//! Licences that SPDX has no name for become references to the copyright file, whose hash stands beside.

use anyhow::{Context as _, Result, ensure};

/// Sources whose copyright file says it in prose, or lists many files that are in no library: how the source
/// is named or begins, what the file must say, and what that is in SPDX.
const IN_PROSE: [(&str, &[&str], &str); 3] = [
    (
        "glibc",
        &["either version 2.1 of the License, or (at your option) any later version", "License: LGPL-2.1+"],
        "LGPL-2.1-or-later",
    ),
    (
        "gcc-",
        &["GNU General Public License (v3 or later) with version 3.1 of the GCC Runtime Library Exception"],
        "GPL-3.0-or-later WITH GCC-exception-3.1",
    ),
    (
        "libxcrypt",
        &["the GNU Lesser General Public License, version 2.1 (or, at your option, any later version)"],
        "LGPL-2.1-or-later",
    ),
];

/// Folders of the source that a library is made from, where the source holds more than that.
const FOLDERS: [(&str, &[&str]); 7] = [
    ("libgio-2.0.a", &["gio/"]),
    ("libglib-2.0.a", &["glib/"]),
    ("libgmodule-2.0.a", &["gmodule/"]),
    ("libgobject-2.0.a", &["gobject/"]),
    ("libgthread-2.0.a", &["gthread/"]),
    ("libpcre2-8.a", &["src/", "deps/sljit/"]),
    // All of its source is in the top folder.
    ("libz.a", &[]),
];

/// What SPDX calls a licence of Debian's: without the version's `+`, in lower case.
const NAMES: [(&str, &str); 17] = [
    ("afl-2.0", "AFL-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-2-clause-patent", "BSD-2-Clause-Patent"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-3-clause-cambridge", "BSD-3-Clause"),
    ("bsl-1.0", "BSL-1.0"),
    ("bzip2-1.0.6", "bzip2-1.0.6"),
    ("cc0-1.0", "CC0-1.0"),
    ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
    ("expat", "MIT"),
    ("fsfap", "FSFAP"),
    ("fsfullr", "FSFULLR"),
    ("isc", "ISC"),
    ("unicode-dfs-2016", "Unicode-DFS-2016"),
    ("x11", "X11"),
    ("zlib", "Zlib"),
];
/// The same for what is added to one after `with`.
const EXCEPTIONS: [(&str, &str); 2] =
    [("binary library-like packages exception", "PCRE2-exception"), ("llvm exception", "LLVM-exception")];

/// The licence of a library (`libz.a`) of a source package (`zlib`) with this copyright file.
pub fn expression(source: &str, library: &str, copyright: &str) -> Result<String> {
    let is_of = |name: &str| source == name || name.ends_with('-') && source.starts_with(name);
    if let Some((_, phrases, expression)) = IN_PROSE.iter().find(|(name, ..)| is_of(name)) {
        let text = copyright.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(
            phrases.iter().any(|phrase| text.contains(phrase)),
            "the copyright file of {source} no longer says `{}`",
            phrases[0]
        );
        return Ok((*expression).to_owned());
    }
    ensure!(copyright.trim_start().starts_with("Format:"), "the copyright file of {source} is only prose");
    let folders = FOLDERS.iter().find(|(name, _)| *name == library).map(|(_, folders)| *folders);
    let mut parts: Vec<String> = Vec::new();
    for paragraph in copyright.split("\n\n") {
        let Some(files) = field(paragraph, "Files") else { continue };
        if files.split_whitespace().any(|pattern| is_in(pattern, folders)) {
            let name = field(paragraph, "License").and_then(|text| text.lines().next().map(str::to_owned));
            for part in all_of(name.with_context(|| format!("{files} have no licence"))?.trim()) {
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
        }
    }
    ensure!(!parts.is_empty(), "the copyright file of {source} names no licence for {library}");
    Ok(parts.join(" AND "))
}

/// A field of a paragraph, with the lines that continue it.
fn field(paragraph: &str, name: &str) -> Option<String> {
    let mut lines = paragraph
        .lines()
        .skip_while(|line| !line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
    let mut text = lines.next()?[name.len() + 1..].trim().to_owned();
    for line in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        text.push('\n');
        text.push_str(line.trim());
    }
    Some(text)
}

/// Whether files of this pattern become part of a library that is made from these folders; from all of the
/// source, if that is not known.
fn is_in(pattern: &str, folders: Option<&[&str]>) -> bool {
    if pattern == "*" {
        return true;
    }
    // What builds, tests and documents is in no library.
    let (folder, file) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let is_beside =
        |part: &str| matches!(part, "debian" | "doc" | "docs" | "po" | "test" | "tests" | "testdata");
    let is_code = ["c", "h", "S", "inc", "def"].iter().any(|end| file.ends_with(&format!(".{end}")));
    if folder.split('/').any(is_beside) || !(is_code || file.ends_with('*')) {
        return false;
    }
    folders.is_none_or(|folders| match folder {
        "" => folders.is_empty(),
        _ => folders.iter().any(|inside| pattern.starts_with(inside)),
    })
}

/// A licence in Debian's words as the parts that hold together, each in SPDX's. `and` binds closer than `or`,
/// unless a comma stands before it.
fn all_of(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for group in name.split(", and ") {
        if group.contains(", or ") {
            let choices: Vec<String> =
                group.split(", or ").map(|choice| bracketed(&all_of(choice))).collect();
            parts.push(format!("({})", choices.join(" OR ")));
            continue;
        }
        let choices: Vec<Vec<String>> =
            group.split(" or ").map(|choice| choice.split(" and ").map(one).collect()).collect();
        match &choices[..] {
            [only] => parts.extend(only.iter().cloned()),
            several => {
                let joined: Vec<String> = several.iter().map(|all| all.join(" AND ")).collect();
                parts.push(format!("({})", joined.join(" OR ")));
            }
        }
    }
    parts
}

/// Parts that hold together as one, where it stands among others.
fn bracketed(parts: &[String]) -> String {
    match parts {
        [one] => one.clone(),
        several => format!("({})", several.join(" AND ")),
    }
}

/// One licence, with an exception or without.
fn one(name: &str) -> String {
    let name = name.trim();
    let (license, exception) = name.split_once(" with ").map_or((name, None), |(a, b)| (a, Some(b)));
    let exception = exception.map(|text| {
        let found = EXCEPTIONS.iter().find(|(known, _)| *known == text.trim().to_lowercase());
        found.map(|(_, spdx)| *spdx)
    });
    match (spdx(license), exception) {
        (Some(license), None) => license,
        (Some(license), Some(Some(exception))) => format!("{license} WITH {exception}"),
        _ => reference(name),
    }
}

fn spdx(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let (plain, later) = lower.strip_suffix('+').map_or((lower.as_str(), false), |plain| (plain, true));
    if let Some((family, version)) =
        plain.split_once('-').filter(|(family, _)| ["gpl", "lgpl"].contains(family))
    {
        let version = if version.contains('.') { version.to_owned() } else { format!("{version}.0") };
        let is_version = version.chars().all(|c| c.is_ascii_digit() || c == '.');
        let end = if later { "or-later" } else { "only" };
        return is_version.then(|| format!("{}-{version}-{end}", family.to_uppercase()));
    }
    NAMES.iter().find(|(known, _)| !later && *known == plain).map(|(_, spdx)| (*spdx).to_owned())
}

/// A name of ours for what SPDX does not know, as its grammar has it.
fn reference(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    format!("LicenseRef-Debian-{}", name.replace('+', "-or-later").chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_debians_become_those_of_spdx() {
        let cases = [
            ("Expat", "MIT"),
            ("GPL-2", "GPL-2.0-only"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("GPL-3.0+", "GPL-3.0-or-later"),
            (
                "BSD-3-clause-Cambridge with BINARY LIBRARY-LIKE PACKAGES exception",
                "BSD-3-Clause WITH PCRE2-exception",
            ),
            ("Apache-2.0 with LLVM exception", "Apache-2.0 WITH LLVM-exception"),
            ("GPL-2+ with Autoconf exception", "LicenseRef-Debian-GPL-2-or-later-with-Autoconf-exception"),
            ("public-domain", "LicenseRef-Debian-public-domain"),
            ("GPL-2+-with-link-exception", "LicenseRef-Debian-GPL-2-or-later-with-link-exception"),
            ("AFL-2.0 or LGPL-2.1+", "(AFL-2.0 OR LGPL-2.1-or-later)"),
            ("LGPL-2+ and Zlib", "LGPL-2.0-or-later AND Zlib"),
            ("GPL-2+ or Expat, and Zlib", "(GPL-2.0-or-later OR MIT) AND Zlib"),
            ("GPL-2+ and Expat, or Zlib", "((GPL-2.0-or-later AND MIT) OR Zlib)"),
            ("GPL-2+ or Expat and Zlib", "(GPL-2.0-or-later OR MIT AND Zlib)"),
        ];
        for (debian, spdx) in cases {
            assert_eq!(all_of(debian).join(" AND "), spdx, "{debian}");
        }
    }

    const FILE: &str = "Format: https://example.org/\nSource: x\n\nFiles: *\nCopyright: A\nLicense: LGPL-2.1+\n\n\
        Files: debian/*\nCopyright: B\nLicense: GPL-3+\n\n\
        Files:\n gio/a.c\n glib/b.c\nCopyright: C\nLicense: Expat\n\n\
        Files: glib/tests/c.c glib/d.py\nCopyright: D\nLicense: GPL-2\n\n\
        Files: glib/e/*\nCopyright: E\nLicense: Odd-one\n the text\n .\n of it\n\n\
        Files: top.h\nCopyright: F\nLicense: ISC\n\n\
        License: Expat\n Permission ...\n";

    #[test]
    fn a_library_has_the_licences_of_its_own_files_and_of_all_files() {
        let cases = [
            ("libglib-2.0.a", "LGPL-2.1-or-later AND MIT AND LicenseRef-Debian-Odd-one"),
            ("libgio-2.0.a", "LGPL-2.1-or-later AND MIT"),
            ("libgobject-2.0.a", "LGPL-2.1-or-later"),
            ("libz.a", "LGPL-2.1-or-later AND ISC"),
            ("libunknown.a", "LGPL-2.1-or-later AND MIT AND LicenseRef-Debian-Odd-one AND ISC"),
        ];
        for (library, expected) in cases {
            assert_eq!(expression("glib2.0", library, FILE).expect(library), expected);
        }
    }

    #[test]
    fn what_a_copyright_file_no_longer_says_is_not_claimed() {
        let prose = "libgcc is under the GNU General\nPublic License (v3 or later) with version 3.1 of the GCC\nRuntime Library Exception.";
        let gcc = expression("gcc-12-cross", "libgcc.a", prose).expect("read");
        assert_eq!(gcc, "GPL-3.0-or-later WITH GCC-exception-3.1");
        let error = expression("gcc-12", "libgcc.a", "All rights reserved.").expect_err("refused");
        assert!(error.to_string().contains("no longer says"), "{error}");
        let error = expression("zlib", "libz.a", "Free, as in beer.").expect_err("refused");
        assert!(error.to_string().contains("only prose"), "{error}");
        let error = expression("zlib", "libz.a", "Format: x\n\nFiles: debian/*\nLicense: ISC\n")
            .expect_err("refused");
        assert!(error.to_string().contains("names no licence"), "{error}");
    }
}
