//! Counting, and when a difference is more than chance.
//!
//! Some of QEMU's tests fail now and then whatever runs them, so one failure proves nothing: such a
//! test is run again by all three, and ours is worse when it passes so much less often than upstream's
//! that chance would do that less than once in a hundred times.

use super::ROUNDS;
use super::guests::Guests;
use super::test_runner::TestOutcome;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How rarely chance alone may call a patch bad.
const CHANCE: f64 = 0.01;
/// So many failures in a row are enough to say that upstream never passes.
const NEVER: u32 = 3;

/// The results of all tests of a target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Table {
    /// Every test, in the makefiles' order.
    pub rows: Vec<Row>,
}

/// One test.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// Its rule: `run-linux-test`.
    pub test: String,
    /// Results with upstream's emulator.
    pub upstream: PassCount,
    /// Results with our emulator, interception off.
    pub off: PassCount,
    /// Results with our emulator, interception on.
    pub on: PassCount,
    /// Why it was not run, if it wasn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_run: Option<String>,
    /// The last words of the last failure, and whose they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// How many times a test was run, and how many times it passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassCount {
    /// Number of runs that passed.
    pub passed: u32,
    /// Number of runs.
    pub runs: u32,
}

impl PassCount {
    fn add(&mut self, ended: &TestOutcome) {
        self.runs += 1;
        self.passed += u32::from(*ended == TestOutcome::Passed);
    }

    fn always(self) -> bool {
        self.passed == self.runs && self.runs > 0
    }

    /// Whether it passed less often than `upstream`, and not by chance.
    fn is_worse_than(self, upstream: Self) -> bool {
        u64::from(self.passed) * u64::from(upstream.runs) < u64::from(upstream.passed) * u64::from(self.runs)
            && self.chance(upstream) < CHANCE
    }

    /// How likely so few passes are, or fewer, if `upstream` is no better: Fisher's exact test.
    fn chance(self, upstream: Self) -> f64 {
        let passes = self.passed + upstream.passed;
        let ways = |ours: u32| choose(self.runs, ours) * choose(upstream.runs, passes.saturating_sub(ours));
        let all: f64 = (0..=passes).map(ways).sum();
        (0..=self.passed).map(ways).sum::<f64>() / all
    }
}

impl std::fmt::Display for PassCount {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.pad(&format!("{}/{}", self.passed, self.runs))
    }
}

/// In how many ways `some` things can be picked from `all`.
fn choose(all: u32, some: u32) -> f64 {
    if some > all {
        return 0.0;
    }
    (0..some).map(|n| f64::from(all - n) / f64::from(n + 1)).product()
}

/// The head of the lines that [`Row::line`] makes.
pub const HEAD: &str = "  test                                 upstream     off      on\n";

impl Row {
    /// A test that was not run yet.
    fn new(test: &str, not_run: Option<String>) -> Self {
        let none = PassCount::default();
        Self { test: test.to_owned(), upstream: none, off: none, on: none, not_run, failure: None }
    }

    /// Counts a run of each: upstream's, ours with interception off, and on.
    pub fn count(&mut self, ended: [&TestOutcome; 3]) {
        if let [TestOutcome::Skipped(reason), TestOutcome::Skipped(_), TestOutcome::Skipped(_)] = ended {
            self.not_run = Some(reason.clone());
            return;
        }
        let test_runners = [("upstream", &mut self.upstream), ("off", &mut self.off), ("on", &mut self.on)];
        for ((name, count), ended) in test_runners.into_iter().zip(ended) {
            count.add(ended);
            if let TestOutcome::Failed(words) = ended {
                self.failure = Some(format!("{name}: {words}"));
            }
        }
    }

    /// Whether it is to be run in this round, counted from 1.
    pub fn is_due(&self, round: u32) -> bool {
        if self.not_run.is_some() || round > ROUNDS {
            return false;
        }
        let decided = self.is_worse() || (self.upstream.passed == 0 && self.upstream.runs >= NEVER);
        round == 1 || !(decided || self.always_passed())
    }

    /// Whether ours passes less often, with interception off or on.
    pub fn is_worse(&self) -> bool {
        self.off.is_worse_than(self.upstream) || self.on.is_worse_than(self.upstream)
    }

    fn always_passed(&self) -> bool {
        self.upstream.always() && self.off.always() && self.on.always()
    }

    /// For people, with the last failure below it.
    pub fn line(&self) -> String {
        let mut line = format!("  {:<36} {:>8} {:>7} {:>7}\n", self.test, self.upstream, self.off, self.on);
        if let Some(failure) = &self.failure {
            let _ = writeln!(line, "    {failure}");
        }
        line
    }
}

impl Table {
    /// A row for each test that there is a rule for.
    pub fn new(guests: &Guests) -> Self {
        let row = |runner: &String| {
            let program = runner.strip_prefix("run-").unwrap_or(runner);
            let failed = guests.failed.get(program);
            Row::new(runner, failed.map(|words| format!("it does not compile: {words}")))
        };
        Self { rows: guests.runners.iter().map(row).collect() }
    }

    fn ran(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.not_run.is_none())
    }

    /// Whether upstream's own emulator fails most tests, so that ours could not do worse.
    pub fn proves_nothing(&self) -> bool {
        let good = self.ran().filter(|row| row.upstream.passed > 0).count();
        good * 2 <= self.ran().count()
    }

    /// How many were run, how many always pass, and what was not run.
    pub fn summary(&self) -> String {
        let always = |of: fn(&Row) -> PassCount| self.ran().filter(|row| of(row).always()).count();
        let mut text = format!(
            "{} tests run, always passing: {} in upstream's, {} in ours, {} with interception on",
            self.ran().count(),
            always(|row| row.upstream),
            always(|row| row.off),
            always(|row| row.on)
        );
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in self.rows.iter().filter_map(|row| row.not_run.as_deref()) {
            *reasons.entry(reason).or_default() += 1;
        }
        let not_run: usize = reasons.values().sum();
        if not_run > 0 {
            let _ = write!(text, "; {not_run} not run");
            for (number, (reason, count)) in reasons.into_iter().enumerate() {
                let _ = write!(text, "{}{count}: {reason}", if number == 0 { " (" } else { "; " });
            }
            text.push(')');
        }
        text
    }

    /// The tests that did not always pass everywhere, for people.
    pub fn notable(&self) -> String {
        let lines: Vec<String> = self.ran().filter(|row| !row.always_passed()).map(Row::line).collect();
        if lines.is_empty() { String::new() } else { format!("{HEAD}{}", lines.concat()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(passed: u32, runs: u32) -> PassCount {
        PassCount { passed, runs }
    }

    #[test]
    fn fishers_test_gives_the_known_probabilities() {
        // The lady tasting tea: three of four cups, by guessing.
        let other = count(3, 4);
        assert!((count(1, 4).chance(other) - 17.0 / 70.0).abs() < 1e-9);
        assert!((count(0, 5).chance(count(5, 5)) - 1.0 / 252.0).abs() < 1e-9);
        assert!((count(3, 3).chance(count(3, 3)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn worse_is_what_chance_does_not_explain() {
        let worse = [(0, 5, 5, 5), (4, 10, 10, 10), (0, 10, 6, 10)];
        for (ours, runs, upstream, upstream_runs) in worse {
            assert!(count(ours, runs).is_worse_than(count(upstream, upstream_runs)), "{ours}/{runs}");
        }
        let chance = [(0, 1, 1, 1), (9, 10, 10, 10), (10, 10, 10, 10), (0, 3, 0, 3), (10, 10, 2, 10)];
        for (ours, runs, upstream, upstream_runs) in chance {
            assert!(!count(ours, runs).is_worse_than(count(upstream, upstream_runs)), "{ours}/{runs}");
        }
    }

    /// Runs a test until it is decided; `script` says how each round ends in the three.
    fn decide(script: impl Fn(u32) -> [TestOutcome; 3]) -> Row {
        let mut row = Row::new("run-x", None);
        for round in 1..=ROUNDS {
            if row.is_due(round) {
                let [upstream, off, on] = script(round);
                row.count([&upstream, &off, &on]);
            }
        }
        row
    }

    fn failed() -> TestOutcome {
        TestOutcome::Failed("Killed".into())
    }

    #[test]
    fn a_test_runs_once_when_all_is_well_and_more_often_when_not() {
        let well = decide(|_| [TestOutcome::Passed, TestOutcome::Passed, TestOutcome::Passed]);
        assert_eq!((well.on, well.is_worse()), (count(1, 1), false));
        let broken_upstream = decide(|_| [failed(), failed(), failed()]);
        assert_eq!((broken_upstream.on, broken_upstream.is_worse()), (count(0, NEVER), false));
        let once = decide(|round| {
            [
                TestOutcome::Passed,
                TestOutcome::Passed,
                if round == 1 { failed() } else { TestOutcome::Passed },
            ]
        });
        assert_eq!((once.on, once.is_worse()), (count(ROUNDS - 1, ROUNDS), false));
        assert_eq!(once.failure.as_deref(), Some("on: Killed"));
    }

    #[test]
    fn a_test_that_our_patches_break_is_worse_off_or_on() {
        let off = decide(|_| [TestOutcome::Passed, failed(), TestOutcome::Passed]);
        assert!(off.is_worse() && off.off.runs == 5, "{off:?}");
        assert!(decide(|_| [TestOutcome::Passed, TestOutcome::Passed, failed()]).is_worse());
        // What upstream's skips and ours does not, or the other way round, is not the same either.
        let skipped = || TestOutcome::Skipped("x".into());
        assert!(decide(|_| [TestOutcome::Passed, skipped(), TestOutcome::Passed]).is_worse());
        assert!(decide(|_| [skipped(), skipped(), skipped()]).not_run.is_some());
    }

    #[test]
    fn tests_that_fail_in_upstreams_too_prove_nothing() {
        let good = || decide(|_| [TestOutcome::Passed, TestOutcome::Passed, TestOutcome::Passed]);
        let bad = || decide(|_| [failed(), failed(), failed()]);
        assert!(Table { rows: vec![] }.proves_nothing());
        assert!(Table { rows: vec![good(), bad()] }.proves_nothing());
        assert!(!Table { rows: vec![good(), bad(), good()] }.proves_nothing());
    }

    #[test]
    fn the_summary_counts_what_ran_and_says_why_the_rest_did_not() {
        let skipped = TestOutcome::Skipped("need working gdb".into());
        let rows = vec![
            decide(|_| [TestOutcome::Passed, TestOutcome::Passed, TestOutcome::Passed]),
            decide(|_| [failed(), failed(), failed()]),
            decide(|_| [skipped.clone(), skipped.clone(), skipped.clone()]),
        ];
        let table = Table { rows };
        let text = table.summary();
        assert!(
            text.starts_with("2 tests run, always passing: 1 in upstream's, 1 in ours, 1 with"),
            "{text}"
        );
        assert!(text.ends_with("; 1 not run (1: need working gdb)"), "{text}");
        assert_eq!(table.notable().lines().count(), 3, "{}", table.notable());
    }
}
