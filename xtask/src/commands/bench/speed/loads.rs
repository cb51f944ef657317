//! What is run, and how much faster or smaller ours shall be.

use super::column::Column;
use super::readings::{Run, memory, translated};
use crate::commands::bench::Limit;
use anyhow::Result;
use std::fs;
use std::path::Path;

/// Something to run in the root file system.
#[derive(Debug)]
pub struct Load {
    /// The name for `--loads`.
    pub name: &'static str,
    /// What people read.
    pub what: &'static str,
    /// What it shall show.
    pub goal: Goal,
    /// What it is about, where not every root has it.
    pub needs: Option<Need>,
    /// Whether it changes the root, in memory: then only root of the machine can run it, who has all ids.
    pub changes: bool,
    /// For the root's `bash -ec`, in an empty `/tmp`. [`super::system`] says what is in `/tmp/in`.
    pub script: &'static str,
}

/// What not every root has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A program; its package has the same name.
    Program(&'static str),
    /// A package that apt has downloaded, with those that it depends on.
    Download(&'static str),
}

impl Need {
    /// The name of the package.
    pub fn package(self) -> &'static str {
        match self {
            Self::Program(name) | Self::Download(name) => name,
        }
    }

    /// Whether `root` has it.
    pub fn is_in(self, root: &Path) -> bool {
        match self {
            Self::Program(name) => root.join("usr/bin").join(name).exists(),
            Self::Download(name) => {
                let downloads = fs::read_dir(root.join("var/cache/apt/archives"));
                let mut names = downloads.into_iter().flatten().flatten().map(|entry| entry.file_name());
                names.any(|file| file.to_string_lossy().starts_with(&format!("{name}_")))
            }
        }
    }
}

/// Children of the load that [`Goal::Private`] looks at.
const SLEEPERS: usize = 30;

/// What is measured of a load, and the limit of the ratio.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// Elapsed time, the peer's / ours: at least this.
    Faster(f64),
    /// The same of a first run: no column has what an earlier one translated.
    First(f64),
    /// Private memory of the children, ours / the peer's: at most this.
    Private(f64),
    /// Resident memory, with the cache of translations / without: at most this.
    Resident(f64),
    /// Blocks translated, by the second part of the load / by the first: at most this.
    Translated(f64),
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// In the goal's unit.
    pub value: f64,
    /// What it is compared with, where that is of the same run.
    pub base: Option<f64>,
    /// Seconds of processor time.
    pub processor: f64,
}

impl Goal {
    /// Where the ratio shall lie.
    pub fn limit(self) -> Limit {
        match self {
            Self::Faster(ratio) | Self::First(ratio) => Limit::AtLeast(ratio),
            Self::Private(ratio) | Self::Resident(ratio) | Self::Translated(ratio) => Limit::AtMost(ratio),
        }
    }

    /// The columns whose ratio is the figure; a single one has both in each of its runs.
    pub fn ratio(self) -> (Column, Option<Column>) {
        match self {
            Self::Faster(_) | Self::First(_) => (Column::Peer, Some(Column::Ours)),
            Self::Private(_) => (Column::Ours, Some(Column::Peer)),
            Self::Resident(_) => (Column::Ours, Some(Column::Uncached)),
            Self::Translated(_) => (Column::Logged, None),
        }
    }

    /// That ratio in words.
    pub fn ratio_name(self) -> &'static str {
        match self {
            Self::Faster(_) | Self::First(_) => "peer / ours",
            Self::Private(_) => "ours / peer",
            Self::Resident(_) => "with the cache / without",
            Self::Translated(_) => "second / first",
        }
    }

    /// What measurements are in.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Faster(_) | Self::First(_) => "s",
            Self::Private(_) | Self::Resident(_) => "MB",
            Self::Translated(_) => "blocks",
        }
    }

    /// All columns that run the load; ours under binfmt_misc if that is asked for.
    pub fn columns(self, registered: bool) -> Vec<Column> {
        match self {
            Self::Faster(_) | Self::First(_) | Self::Private(_) => {
                let mut columns = vec![Column::Peer, Column::Ours];
                columns.extend((!matches!(self, Self::First(_))).then_some(Column::Kept));
                columns.push(Column::Uncached);
                columns.extend(registered.then_some(Column::Registered));
                columns
            }
            Self::Resident(_) => vec![Column::Ours, Column::Uncached],
            Self::Translated(_) => vec![Column::Logged],
        }
    }

    /// The measurement of a run.
    pub fn read(self, run: &Run) -> Result<Sample> {
        let mut base = None;
        let value = match self {
            Self::Faster(_) | Self::First(_) => run.elapsed,
            Self::Private(_) => memory(&run.said, &["Private_Clean", "Private_Dirty"], SLEEPERS)?,
            Self::Resident(_) => memory(&run.said, &["Rss"], 1)?,
            Self::Translated(_) => {
                let [first, second] = translated(&run.log)?;
                base = Some(first as f64);
                second as f64
            }
        };
        Ok(Sample { value, base, processor: run.processor })
    }
}

/// All of them: many short programs, starts, steady state, the cache's price and yield, memory, and what people wait
/// for.
pub const LOADS: [Load; 16] = [
    Load {
        name: "true",
        what: "200 x /bin/true from bash",
        goal: Goal::Faster(8.0),
        needs: None,
        changes: false,
        script: "for i in {1..200}; do /bin/true; done",
    },
    Load {
        name: "commands",
        what: "500 small commands and pipes",
        goal: Goal::Faster(8.0),
        needs: None,
        changes: false,
        script: r#"
for i in {1..100}; do
    echo "line $i" | sed s/line/row/ | tr a-z A-Z > out
    grep -q "ROW $i" out
    expr $i + 1 > sum
    basename /usr/lib/lib$i.so .so > name
done
"#,
    },
    Load {
        name: "gcc",
        what: "10 x gcc -c of a small file",
        goal: Goal::Faster(4.5),
        needs: None,
        changes: false,
        script: "for i in {1..10}; do gcc -c in/hello.c -o hello.o; done",
    },
    Load {
        name: "configure",
        what: "the tests of a configure script: 30 x gcc, with sed, grep and expr",
        goal: Goal::Faster(6.0),
        needs: None,
        changes: false,
        script: r#"
for header in stdio stdlib string strings unistd errno fcntl signal time wchar; do
    echo "checking for $header.h" >> log
    name=$(echo "HAVE_$header.h" | tr a-z A-Z | sed 's/[^A-Z0-9_]/_/g')
    printf '#include <%s.h>\nint main(void) { return 0; }\n' $header > conftest.c
    gcc -E conftest.c > conftest.i 2>> log
    grep -q "$header\.h" conftest.i
    gcc -c conftest.c -o conftest.o 2>> log
    gcc conftest.o -o conftest 2>> log
    ./conftest
    expr "x$header" : 'x\(.*\)' > found
    echo '#define @NAME@ 1' | sed "s/@NAME@/$name/" >> confdefs.h
    rm -f conftest*
done
"#,
    },
    Load {
        name: "python-start",
        what: "10 x python3 -c pass",
        goal: Goal::Faster(5.0),
        needs: None,
        changes: false,
        script: "for i in {1..10}; do python3 -c pass; done",
    },
    Load {
        name: "xz",
        what: "xz -1 of 8 MB",
        goal: Goal::Faster(1.1),
        needs: None,
        changes: false,
        script: "xz -1 -c in/data > data.xz",
    },
    Load {
        name: "sha256sum",
        what: "sha256sum of 100 MB of zeros",
        goal: Goal::Faster(1.1),
        needs: None,
        changes: false,
        script: "head -c 100MB /dev/zero | sha256sum",
    },
    Load {
        name: "python-loop",
        what: "a loop of 3,000,000 in python",
        goal: Goal::Faster(1.1),
        needs: None,
        changes: false,
        script: "python3 -c 'for i in range(3_000_000): i * i'",
    },
    Load {
        name: "gcc-large",
        what: "gcc -O2 -S of 3,000 functions",
        goal: Goal::Faster(1.1),
        needs: None,
        changes: false,
        script: "gcc -O2 -S in/large.c -o large.s",
    },
    Load {
        name: "first-run",
        what: "gcc -c once, nothing cached",
        goal: Goal::First(0.85),
        needs: None,
        changes: false,
        script: "gcc -c in/hello.c -o hello.o",
    },
    Load {
        name: "second-run",
        what: "blocks translated by the second gcc -c of a tree",
        goal: Goal::Translated(0.01),
        needs: None,
        changes: false,
        script: r#"
gcc -c in/hello.c -o hello.o
echo "== first ends ==" >&2
gcc -c in/hello.c -o hello.o
echo "== second ends ==" >&2
"#,
    },
    Load {
        name: "private-memory",
        what: "private memory of 30 x sleep",
        goal: Goal::Private(0.7),
        needs: None,
        changes: false,
        // All have long been asleep when their memory is looked at.
        script: r#"
for i in {1..30}; do sleep 60 & done
sleep 5
cat $(printf '/proc/%s/smaps_rollup ' $(jobs -p))
kill $(jobs -p)
wait || true
"#,
    },
    Load {
        name: "resident-memory",
        what: "resident memory of a python program",
        goal: Goal::Resident(1.1),
        needs: None,
        changes: false,
        script: r#"
python3 -c '
import argparse, ast, email, json, re, unittest
for i in range(5): ast.dump(ast.parse(open(ast.__file__).read()))
print(open("/proc/self/smaps_rollup").read())
'
"#,
    },
    Load {
        name: "cargo",
        what: "cargo build of a new crate",
        goal: Goal::Faster(1.0),
        needs: Some(Need::Program("cargo")),
        changes: false,
        script: "cargo init --quiet --vcs none --name hello hello && cd hello && cargo build --quiet --offline",
    },
    Load {
        name: "npm",
        what: "npm --version",
        goal: Goal::Faster(1.0),
        needs: Some(Need::Program("npm")),
        changes: false,
        script: "npm --version > version",
    },
    Load {
        name: "apt",
        what: "apt-get install of ca-certificates, openssl with it",
        goal: Goal::Faster(1.0),
        needs: Some(Need::Download("ca-certificates")),
        changes: true,
        // Everything was downloaded before; apt's own user for downloads would have no rights to a `/tmp` in memory.
        script: r#"
export DEBIAN_FRONTEND=noninteractive
apt-get install --quiet=2 --yes --no-download --no-install-recommends -o APT::Sandbox::User=root ca-certificates > log
grep -q 'Processing triggers for ca-certificates' log
"#,
    },
];

#[cfg(test)]
mod tests {
    use super::super::readings::{FIRST_ENDS, SECOND_ENDS};
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_load_has_a_name_of_its_own_and_a_ratio_of_its_columns() {
        let names: BTreeSet<&str> = LOADS.iter().map(|load| load.name).collect();
        assert_eq!(names.len(), LOADS.len());
        for load in &LOADS {
            let columns = load.goal.columns(false);
            let (over, under) = load.goal.ratio();
            assert!([Some(over), under].iter().flatten().all(|one| columns.contains(one)), "{}", load.name);
        }
    }

    #[test]
    fn scripts_are_what_bash_reads_and_do_as_often_as_they_say() {
        for load in &LOADS {
            let checked = std::process::Command::new("bash").args(["-n", "-c", load.script]).status();
            assert!(checked.expect("bash").success(), "{}", load.name);
        }
        let script = |name: &str| LOADS.iter().find(|load| load.name == name).expect(name).script;
        assert!(script("private-memory").contains(&format!("{{1..{SLEEPERS}}}")));
        for end in [FIRST_ENDS, SECOND_ENDS] {
            assert!(script("second-run").contains(&format!("echo \"{end}\" >&2")), "{end}");
        }
    }

    #[test]
    fn a_run_is_read_as_its_goal_says() {
        let run = Run {
            elapsed: 2.0,
            processor: 1.5,
            said: "Rss:  1000 kB\n".into(),
            log: format!(
                "tb_cache: 200 blocks translated, 1\n{FIRST_ENDS}\ntb_cache: 1 blocks translated, 1\n{SECOND_ENDS}\n"
            ),
        };
        let value = |goal: Goal| goal.read(&run).map(|sample| sample.value).ok();
        let base = Goal::Translated(1.0).read(&run).expect("a sample").base;
        assert_eq!(base, Some(200.0));
        assert_eq!(value(Goal::Faster(1.0)), Some(2.0));
        assert_eq!(value(Goal::Resident(1.0)), Some(1.024));
        assert_eq!(value(Goal::Translated(1.0)), Some(1.0));
        assert_eq!(value(Goal::Private(1.0)), None, "there are no sleepers");
    }
}
