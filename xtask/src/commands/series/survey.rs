//! What a new source has that the source of another series has not, and the other way round, as far as pins and
//! data depend on it.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The names of the linux-user targets of a source.
pub fn targets(source: &Path) -> Result<BTreeSet<String>> {
    let names = listed(&source.join("configs/targets"))?;
    Ok(names.iter().filter_map(|name| name.strip_suffix("-linux-user.mak")).map(str::to_owned).collect())
}

/// The processors that a source makes code for: the folders in `tcg/` with a backend. tci is an interpreter.
pub fn processors(source: &Path) -> Result<BTreeSet<String>> {
    let folder = source.join("tcg");
    let has_backend = |name: &String| folder.join(name).join("tcg-target.c.inc").is_file();
    Ok(listed(&folder)?.into_iter().filter(|name| name != "tci" && has_backend(name)).collect())
}

/// The Python packages that a source's configure wants and that are neither in the source nor in lists of `lists`.
pub fn python(source: &Path, lists: &[String]) -> Result<Vec<String>> {
    let path = source.join("pythondeps.toml");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(Vec::new()) };
    let groups: BTreeMap<String, BTreeMap<String, Wanted>> =
        toml::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))?;
    let mut have: BTreeSet<String> = lists.iter().flat_map(|list| list.lines()).filter_map(pinned).collect();
    have.extend(
        listed(&source.join("python/wheels"))?
            .iter()
            .filter_map(|name| name.strip_suffix(".whl").and_then(|name| name.split('-').next()).map(plain)),
    );
    let wanted = GROUPS.iter().filter_map(|group| groups.get(*group)).flatten();
    let lacks = wanted.filter(|(name, wanted)| wanted.path.is_none() && !have.contains(&plain(name)));
    Ok(lacks
        .map(|(name, wanted)| format!("{name} {}", wanted.accepted.as_deref().unwrap_or("of any version")))
        .collect())
}

/// The groups that configure has installed for every build.
const GROUPS: [&str; 2] = ["meson", "tooling"];

/// An entry of `pythondeps.toml`.
#[derive(Deserialize)]
struct Wanted {
    accepted: Option<String>,
    /// It is in the source.
    path: Option<String>,
}

/// The package of a line `wheel==0.45.1 \`.
fn pinned(line: &str) -> Option<String> {
    line.split_once("==").map(|(name, _)| plain(name.trim()))
}

/// A package's name as all of its spellings come to.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '.'], "_")
}

/// The names in a folder; none if there is no such folder.
fn listed(folder: &Path) -> Result<BTreeSet<String>> {
    if !folder.is_dir() {
        return Ok(BTreeSet::new());
    }
    let what = || format!("cannot list {}", folder.display());
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(what)? {
        names.insert(entry.with_context(what)?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyarch_client::files;

    #[test]
    fn what_a_source_wants_of_python_is_told_where_it_is_not_at_hand() {
        let home = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            files::write_file(&home.path().join(name), text.as_bytes()).expect("written");
        };
        assert!(python(home.path(), &[]).expect("none wanted").is_empty());
        file(
            "pythondeps.toml",
            "[meson]\nmeson = { accepted = \">=1.5\", installed = \"1.11\", canary = \"meson\" }\n\
             [docs]\nsphinx = { accepted = \">=3\" }\n\
             [tooling]\n\"qemu.qmp\" = { accepted = \">=0.0.5\" }\n\"qemu\" = { path = \"python/\" }\n\
             wheel = { accepted = \">=0.34\" }\nset-up = { }\n",
        );
        file("python/wheels/meson-1.11-py3-none-any.whl", "");
        file("python/wheels/qemu_qmp-0.0.6-py3-none-any.whl", "");
        let lists = ["# a comment\nset_up==1 \\\n    --hash=sha256:00\n".to_owned()];
        assert_eq!(python(home.path(), &lists).expect("read"), ["wheel >=0.34"]);
    }

    #[test]
    fn targets_and_processors_are_read_off_the_source() {
        let home = tempfile::tempdir().expect("a folder");
        for name in [
            "configs/targets/arm-linux-user.mak",
            "configs/targets/arm-softmmu.mak",
            "configs/targets/sh4-linux-user.mak",
            "tcg/aarch64/tcg-target.c.inc",
            "tcg/tci/tcg-target.c.inc",
            "tcg/optimize.c",
        ] {
            files::write_file(&home.path().join(name), b"").expect("written");
        }
        assert!(targets(home.path()).expect("read").iter().eq(["arm", "sh4"]));
        assert!(processors(home.path()).expect("read").iter().eq(["aarch64"]));
    }
}
