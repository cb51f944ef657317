//! What `series new` has done, and what people must do.

use crate::facts::version::is_candidate;
use crate::facts::{Series, Target};
use crate::patch::{Carried, Outcome};
use crate::source::Unpinned;
use serde::Serialize;
use std::collections::BTreeSet;

/// What was read off the sources.
pub struct Seen {
    /// The new source's targets.
    pub targets: BTreeSet<String>,
    /// The processors that it makes code for.
    pub processors: BTreeSet<String>,
    /// Those of the source before it, if that was there.
    pub processors_before: Option<BTreeSet<String>>,
    /// Python packages that it wants and that are not at hand.
    pub python: Vec<String>,
}

impl Seen {
    /// Targets that the new source does not have.
    pub fn gone(&self, before: &[String]) -> Vec<String> {
        let stays = |name: &&String| self.targets.is_empty() || self.targets.contains(*name);
        before.iter().filter(|name| !stays(name)).cloned().collect()
    }
}

/// The result of `series new`.
#[derive(Debug, Serialize)]
pub struct Report {
    series: String,
    from: String,
    version: String,
    tag: String,
    commit: Option<String>,
    /// Every patch, in the order in which it was tried.
    patches: Vec<Carried>,
    targets_new: Vec<String>,
    targets_gone: Vec<String>,
    /// What a program cannot do, in sentences.
    by_hand: Vec<String>,
}

impl Report {
    /// Puts together what is known. `alone` says which topic does not apply without the others.
    pub fn new(
        found: &Unpinned,
        (name, from): (&str, &str),
        model: &Series,
        patches: Vec<Carried>,
        seen: &Seen,
        alone: Option<String>,
    ) -> Self {
        let before = &model.pins.build.targets;
        let mut report = Self {
            series: name.to_owned(),
            from: from.to_owned(),
            version: found.version.clone(),
            tag: found.tag.clone(),
            commit: found.commit.clone(),
            patches,
            targets_new: seen.targets.iter().filter(|name| !before.contains(name)).cloned().collect(),
            targets_gone: seen.gone(before),
            by_hand: Vec::new(),
        };
        report.by_hand = [
            report.about_patches(alone),
            report.about_pins(found),
            report.about_targets(),
            about_processors(seen, &report.from),
            about_python(seen),
            report.about_the_rest(),
        ]
        .concat();
        report
    }

    fn about_patches(&self, alone: Option<String>) -> Vec<String> {
        let mut all = Vec::new();
        match self.number(|outcome| matches!(outcome, Outcome::LeftOut { .. })) {
            0 => {}
            n => all.push(format!(
                "{n} of the patches above are left out: carry them (docs/adding-a-series.md, step 3)"
            )),
        }
        all.push(format!(
            "what git has merged may be wrong all the same: compare the patches with those of {}",
            self.from
        ));
        all.extend(alone.map(|why| format!("a topic does not apply without the others: {why}")));
        all
    }

    fn about_pins(&self, found: &Unpinned) -> Vec<String> {
        let tag = &self.tag;
        let mut all = Vec::new();
        if is_candidate(&found.version) {
            all.push(format!("{tag} is a candidate: pin the release when there is one"));
        }
        all.push(match &found.commit {
            None => format!("git.commit: the commit of {tag}; without it nothing is taken from git"),
            Some(commit) => format!("git.commit: two public records that say {commit} is {tag}"),
        });
        all.push(match &found.sha256 {
            None => "tarball.sha256: the hash that two public records agree on; without it the tarball is not used".to_owned(),
            Some(_) => "tarball.sha256 is that of the file given: two public records that agree".to_owned(),
        });
        all.push("[debian]: Debian's source package, if it has one".to_owned());
        all
    }

    fn about_targets(&self) -> Vec<String> {
        let unknown = |name: &&String| Target::named(name).is_err();
        let mut all: Vec<String> = Vec::new();
        for name in self.targets_new.iter().filter(unknown) {
            all.push(format!(
                "the target {name} is new: a line in xtask/src/facts/targets.rs, a guest in guests/tiny, and its \
                 name in build.targets"
            ));
        }
        if !self.targets_gone.is_empty() {
            let names = self.targets_gone.join(" ");
            all.push(format!("targets that ended are in left_out, with a reason to be checked: {names}"));
        }
        all
    }

    fn about_the_rest(&self) -> Vec<String> {
        let name = &self.series;
        vec![
            format!("left_out_hosts has the reasons of {}: do they hold for {name}?", self.from),
            format!("build and prove it: cargo xtask build --qemu {name} --target aarch64 (step 4)"),
            "docs/targets-and-hosts.md: the table of series; CHANGELOG.md".to_owned(),
            "whether it becomes the default (step 5)".to_owned(),
        ]
    }

    fn number(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.patches.iter().filter(|one| is(&one.outcome)).count()
    }

    /// The report for people.
    pub fn text(&self, dry_run: bool) -> String {
        let mut text = String::new();
        for Carried { patch, outcome } in &self.patches {
            text.push_str(&match outcome {
                Outcome::Fits => format!("fits      {patch}\n"),
                Outcome::Upstream => format!("upstream  {patch}: the source has it, or it is empty\n"),
                Outcome::LeftOut { files, after } => {
                    let perhaps = match after.len() {
                        0 => String::new(),
                        n => format!(" (as do {n} of those left out before it)"),
                    };
                    format!("left out  {patch}: does not fit in {}{perhaps}\n", files.join(" "))
                }
            });
        }
        let fit = self.number(|outcome| *outcome == Outcome::Fits);
        let place =
            if dry_run { "nothing is written".to_owned() } else { format!("patches/{}", self.series) };
        let (all, version, tag) = (self.patches.len(), &self.version, &self.tag);
        text.push_str(&format!(
            "{fit} of {all} patches fit QEMU {version} ({tag}): {place}\n\nto do by hand:\n"
        ));
        text.extend(self.by_hand.iter().map(|line| format!("  * {line}\n")));
        text
    }
}

fn about_processors(seen: &Seen, from: &str) -> Vec<String> {
    let Some(before) = &seen.processors_before else {
        return vec![format!(
            "hosts that ended: the source of {from} was not there, so compare what is in tcg/"
        )];
    };
    let gone = before.difference(&seen.processors);
    let gone = gone
        .map(|name| format!("tcg/ has no {name} any more: hosts with that processor go to left_out_hosts"));
    let new =
        seen.processors.difference(before).map(|name| format!("tcg/ has {name} now: perhaps a new host"));
    gone.chain(new).collect()
}

fn about_python(seen: &Seen) -> Vec<String> {
    let one = |package: &String| {
        format!(
            "configure wants the Python package {package}: name it in a list in toolchains/ (python_packages)"
        )
    };
    seen.python.iter().map(one).collect()
}
