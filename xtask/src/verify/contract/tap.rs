//! The Test Anything Protocol, as much of it as `contract.sh` speaks.

/// The parsed output of a test script.
#[derive(Debug, Default)]
pub struct Tap {
    /// How many tests it says to have made.
    pub planned: Option<usize>,
    /// How many passed.
    pub passed: usize,
    /// Names and reasons.
    pub skipped: Vec<String>,
    /// Whole lines, with what follows them.
    pub failed: Vec<String>,
}

impl Tap {
    /// Reads a script's standard output.
    pub fn read(text: &str) -> Self {
        let mut tap = Self::default();
        for line in text.lines() {
            if line.starts_with("not ok ") {
                tap.failed.push(line.to_owned());
            } else if line.starts_with("ok ") && line.contains("# SKIP") {
                tap.skipped.push(line.splitn(3, ' ').nth(2).unwrap_or(line).replace(" # SKIP ", ": "));
            } else if line.starts_with("ok ") {
                tap.passed += 1;
            } else if let Some(count) = line.strip_prefix("1..") {
                tap.planned = count.parse().ok();
            } else if let (Some(last), true) = (tap.failed.last_mut(), line.starts_with("# ")) {
                last.push_str(&format!(" {line}"));
            }
        }
        tap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_skips_are_read_from_tap() {
        let tap = Tap::read("ok 1 one\nnot ok 2 two\n# wanted x\nok 3 three # SKIP no strace\n1..3\n");
        assert_eq!((tap.passed, tap.planned), (1, Some(3)));
        assert_eq!(tap.skipped, ["three: no strace"]);
        assert_eq!(tap.failed, ["not ok 2 two # wanted x"]);
    }
}
