//! The text of a new `series.toml`: that of another series with new pins, its comments kept where they still hold.

use crate::facts::series::{Pins, Tarball};
use crate::source::Unpinned;

/// What a new series has that its model has not, besides the pins of its source.
pub struct Draft<'a> {
    /// The series' name.
    pub name: &'a str,
    /// What its model pins.
    pub model: &'a Pins,
    /// The pins of its source.
    pub found: &'a Unpinned,
    /// Its targets; none means those of the model.
    pub targets: Option<&'a [String]>,
    /// Targets of the model that it no longer has.
    pub gone: &'a [String],
}

impl Draft<'_> {
    /// The new file, made of the model's.
    pub fn text(&self, model: &str) -> String {
        let mut all = sections(model);
        if !self.gone.is_empty() && all.iter().all(|section| section.name != LEFT_OUT) {
            all.push(Section { name: LEFT_OUT.to_owned(), text: format!("[{LEFT_OUT}]") });
        }
        all.iter().map(|section| self.section(section)).collect::<Vec<_>>().join("\n\n") + "\n"
    }

    fn section(&self, section: &Section) -> String {
        let Self { name, found, model, .. } = self;
        match section.name.as_str() {
            "" => self.head(),
            "git" => {
                let commit = match &found.commit {
                    Some(commit) => format!("commit = \"{commit}\""),
                    None => "# The commit of the tag is not known: nothing is taken from git.".to_owned(),
                };
                format!("[git]\nurl = \"{}\"\n{commit}", model.git.url)
            }
            "tarball" => {
                let folder = model.tarball.url.rsplit_once('/').map_or("", |(folder, _)| folder);
                let sha256 = match &found.sha256 {
                    Some(sha256) => format!("# Of the one file that was at hand.\nsha256 = \"{sha256}\""),
                    None => "# Its sha256 is not known: the tarball is not used.".to_owned(),
                };
                format!("[tarball]\nurl = \"{folder}/{}\"\n{sha256}", Tarball::name(&found.tag))
            }
            "debian" => "# Whether Debian has its source package is not known.".to_owned(),
            "build" => self.with_targets(&section.text),
            LEFT_OUT => {
                let gone = self
                    .gone
                    .iter()
                    .map(|target| format!("\n{target} = \"QEMU has it up to {}\"", model.series));
                section.text.clone() + &gone.collect::<String>()
            }
            "left_out_hosts" => {
                section.text.replace(&format!("QEMU {} ", model.series), &format!("QEMU {name} "))
            }
            _ => section.text.clone(),
        }
    }

    fn head(&self) -> String {
        let Self { name, found, .. } = self;
        format!(
            "# QEMU {name}: what is built, where it comes from, and the hashes that it must have.\n\n\
             series = \"{name}\"\nversion = \"{}\"\ntag = \"{}\"\n\
             # Our revision: the release is <version>-<revision>.\nrevision = 1\n\
             # The time of every file that we pack (seconds since 1970): of {}.\nepoch = {}",
            found.version,
            found.tag,
            if found.commit.is_some() { "the tag's commit" } else { "VERSION in upstream's tarball" },
            found.epoch
        )
    }

    /// `[build]` with another list of targets.
    fn with_targets(&self, text: &str) -> String {
        let Some(targets) = self.targets else { return text.to_owned() };
        let Some((before, rest)) = text.split_once("\ntargets = [") else { return text.to_owned() };
        let after = rest.split_once(']').map_or("", |(_, after)| after);
        let mut list = String::new();
        let mut length = 0;
        for target in targets {
            let word = format!(" \"{target}\",");
            if length == 0 || length + word.len() > 100 {
                list.push_str("\n   ");
                length = 3;
            }
            length += word.len();
            list.push_str(&word);
        }
        format!("{before}\ntargets = [{list}\n]{after}")
    }
}

/// The table of targets that users may miss.
const LEFT_OUT: &str = "left_out";

/// A table of a TOML file with the comments before it.
struct Section {
    name: String,
    text: String,
}

/// The tables of a file. Comments right before a heading belong to it; the first has no heading.
fn sections(text: &str) -> Vec<Section> {
    let mut sections = vec![Section { name: String::new(), text: String::new() }];
    let mut comments = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push(Section { name: name.to_owned(), text: std::mem::take(&mut comments) });
        }
        if line.starts_with('#') {
            comments.push_str(&format!("{line}\n"));
        } else if let Some(last) = sections.last_mut() {
            last.text.push_str(&format!("{}{line}\n", std::mem::take(&mut comments)));
        }
    }
    sections.into_iter().map(|section| Section { text: section.text.trim().to_owned(), ..section }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Series;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_new_file_has_the_new_pins_and_of_the_old_one_only_what_still_holds() {
        let patches = Path::new(env!("CARGO_MANIFEST_DIR")).join("../patches");
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir(home.path().join("11.1")).expect("created");
        for model in Series::names(&patches).expect("listed") {
            let old = Series::pins(&patches, &model).expect("pins");
            let text = fs::read_to_string(patches.join(&model).join("series.toml")).expect("readable");
            let found = Unpinned {
                version: "11.0.92".into(),
                tag: "v11.1.0-rc2".into(),
                epoch: 5,
                commit: Some("e".repeat(40)),
                sha256: None,
            };
            let targets = ["arm".to_owned(), "aarch64".to_owned()];
            let gone = ["sh4".to_owned()];
            let draft =
                Draft { name: "11.1", model: &old, found: &found, targets: Some(&targets), gone: &gone };
            fs::write(home.path().join("11.1/series.toml"), draft.text(&text)).expect("written");
            let new = Series::pins(home.path(), "11.1").expect(&model);
            assert_eq!((new.version, new.tag, new.epoch), (found.version, found.tag, 5));
            assert_eq!((new.revision, new.git.url, new.git.commit), (1, old.git.url, found.commit));
            assert!(new.tarball.url.ends_with("/qemu-11.1.0-rc2.tar.xz"), "{}", new.tarball.url);
            assert!(new.tarball.sha256.is_none() && new.tarball.tree.is_none() && new.debian.is_none());
            assert_eq!((new.build.targets, new.build.configure), (targets.to_vec(), old.build.configure));
            assert_eq!(new.tree.placeholders, old.tree.placeholders);
            assert_eq!(new.left_out.len(), old.left_out.len() + 1);
            assert!(new.left_out_hosts.keys().eq(old.left_out_hosts.keys()));
        }
    }
}
