//! How LTP's cases ended, and what a reader wants to know of them.

use serde::{Deserialize, Serialize};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// Every case, and how it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    /// In LTP's order.
    pub rows: Vec<Row>,
    /// Cases whose program did not compile, for this machine or for the target.
    pub not_compiled: Vec<String>,
}

/// A case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// LTP's name of it.
    pub case: String,
    /// How this machine's own program ended.
    pub native: Ended,
    /// How the target's ended in upstream's emulator. It was not run if this machine's own did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Ended>,
    /// How it ended in ours, with interception on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<Ended>,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// All of it was run and is as LTP wants it.
    Passed,
    /// It is not; the first line that says so.
    Failed(String),
    /// It says that it can't be run here, and why.
    Skipped(String),
}

impl Ended {
    /// Whether it passed.
    pub fn is_passed(&self) -> bool {
        *self == Self::Passed
    }

    fn words(&self) -> &str {
        match self {
            Self::Passed => "passed",
            Self::Failed(words) | Self::Skipped(words) => words,
        }
    }
}

impl Table {
    /// `1050 of the 1212 cases that pass natively; upstream's 900; 7 did not compile`.
    pub fn summary(&self) -> String {
        let count = |counts: fn(&Row) -> bool| self.rows.iter().filter(|row| counts(row)).count();
        format!(
            "{} of the {} cases that pass natively; upstream's {}; {} did not compile",
            count(Row::passes),
            count(|row| row.native.is_passed()),
            count(Row::passes_upstream),
            self.not_compiled.len()
        )
    }

    /// The cases that pass in upstream's emulator and not in ours, a line each.
    pub fn worse(&self) -> Vec<String> {
        self.rows.iter().filter(|row| row.passes_upstream() && !row.passes()).map(Row::line).collect()
    }

    /// The cases that pass natively and not in ours, a line each.
    pub fn notable(&self) -> String {
        self.rows.iter().filter(|row| row.native.is_passed() && !row.passes()).map(Row::line).collect()
    }
}

impl Row {
    fn passes(&self) -> bool {
        self.ours.as_ref().is_some_and(Ended::is_passed)
    }

    fn passes_upstream(&self) -> bool {
        self.upstream.as_ref().is_some_and(Ended::is_passed)
    }

    fn line(&self) -> String {
        format!("    {:<28} {}\n", self.case, self.ours.as_ref().map_or("not run", Ended::words))
    }
}

/// Reads LTP's exit status, a sum of bits, and the first line of its output that explains it.
pub fn read(status: ExitStatus, said: &[u8]) -> Ended {
    /// "Not for this machine."
    const CONF: i32 = 32;
    if status.success() {
        return Ended::Passed;
    }
    let text = String::from_utf8_lossy(said);
    let line = |words: &[&str]| {
        let line = text.lines().find(|line| words.iter().any(|word| line.contains(word)))?;
        Some(line.trim().to_owned())
    };
    let last = || text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
    if status.code() == Some(CONF) {
        return Ended::Skipped(line(&["TCONF"]).unwrap_or_else(last));
    }
    let how = match (status.signal(), status.code()) {
        (Some(signal), _) => format!("ended by signal {signal}: "),
        (None, Some(code)) if code > 63 => format!("exit code {code}: "),
        _ => String::new(),
    };
    Ended::Failed(how + &line(&["TFAIL", "TBROK", "TWARN"]).unwrap_or_else(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn row(case: &str, native: bool, emulated: Option<(bool, bool)>) -> Row {
        let ended = |passed| if passed { Ended::Passed } else { Ended::Failed(format!("{case} failed")) };
        Row {
            case: case.into(),
            native: ended(native),
            upstream: emulated.map(|(upstream, _)| ended(upstream)),
            ours: emulated.map(|(_, ours)| ended(ours)),
        }
    }

    #[test]
    fn a_status_is_read_with_the_line_that_explains_it() {
        let said = b"tst_test.c:1: TINFO: Timeout\nx.c:9: TFAIL: EINVAL (22)\nx.c:10: TBROK: more\n";
        assert_eq!(read(exit(0), said), Ended::Passed);
        assert_eq!(read(exit(1), said), Ended::Failed("x.c:9: TFAIL: EINVAL (22)".into()));
        assert_eq!(
            read(exit(32), b"a.c:1: TCONF: no such call\n"),
            Ended::Skipped("a.c:1: TCONF: no such call".into())
        );
        assert_eq!(read(ExitStatus::from_raw(11), b"\n"), Ended::Failed("ended by signal 11: ".into()));
        assert_eq!(
            read(exit(139), b"Segmentation fault\n"),
            Ended::Failed("exit code 139: Segmentation fault".into())
        );
    }

    #[test]
    fn what_counts_is_what_passes_natively() {
        let rows = vec![
            row("a", true, Some((true, true))),
            row("b", true, Some((false, true))),
            row("c", true, Some((true, false))),
            row("d", false, None),
        ];
        let table = Table { rows, not_compiled: vec!["e".into()] };
        assert_eq!(table.summary(), "2 of the 3 cases that pass natively; upstream's 2; 1 did not compile");
        assert_eq!(table.worse().len(), 1);
        assert!(table.notable().contains("c failed"), "{}", table.notable());
    }
}
