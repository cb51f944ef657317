//! What is read off the output of a run.

use anyhow::{Context as _, Result, bail, ensure};

/// What one run of a load said and took.
#[derive(Debug)]
pub struct Run {
    /// Seconds.
    pub elapsed: f64,
    /// Seconds of processor time, of all its processes.
    pub processor: f64,
    /// Standard output.
    pub said: String,
    /// Standard error, with the emulators' logs.
    pub log: String,
}

impl Run {
    /// `output` is what the helper left of a program's standard output: its own line is the last.
    pub fn read(output: &str, log: String) -> Result<Self> {
        let (said, last) = output.trim_end().rsplit_once('\n').unwrap_or(("", output.trim_end()));
        let times = last.split_once(' ').and_then(|(elapsed, processor)| {
            let seconds = |text: &str| text.parse::<u64>().ok().map(|nanoseconds| nanoseconds as f64 / 1e9);
            Some((seconds(elapsed)?, seconds(processor)?))
        });
        let (elapsed, processor) = times.with_context(|| format!("no times, but: {last}"))?;
        Ok(Self { elapsed, processor, said: said.to_owned(), log })
    }
}

/// Megabytes in the lines called `fields` of several `/proc/PID/smaps_rollup`, of exactly `processes`.
pub fn memory(rollups: &str, fields: &[&str], processes: usize) -> Result<f64> {
    let mut kibibytes = 0;
    let mut found = 0;
    for (name, value) in rollups.lines().filter_map(|line| line.split_once(':')) {
        if fields.contains(&name) {
            let number = value.trim().strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok());
            kibibytes += number.with_context(|| format!("`{name}:{value}` is no size"))?;
            found += 1;
        }
    }
    let expected = processes * fields.len();
    ensure!(found == expected, "{found} lines of {} instead of {expected}", fields.join(", "));
    Ok(kibibytes as f64 * 1024.0 / 1e6)
}

/// Line on standard error at the end of the first part of a load.
pub const FIRST_ENDS: &str = "== first ends ==";
/// The same of its second part.
pub const SECOND_ENDS: &str = "== second ends ==";

/// Blocks translated by the processes that ended in the first and in the second part, off the lines of `-d tb_cache`.
pub fn translated(log: &str) -> Result<[u64; 2]> {
    let (first, rest) = log.split_once(FIRST_ENDS).context("the first part has no end")?;
    let (second, _) = rest.split_once(SECOND_ENDS).context("the second part has no end")?;
    let blocks = [blocks(first)?, blocks(second)?];
    ensure!(blocks[0] > 0, "nothing was translated in the first part: does the emulator know `-d tb_cache`?");
    Ok(blocks)
}

/// Of lines like `tb_cache: 4711 blocks translated, 4700 published, ...`.
fn blocks(log: &str) -> Result<u64> {
    let mut sum = 0;
    for line in log.lines().filter_map(|line| line.strip_prefix("tb_cache: ")) {
        let number = line.split_once(" blocks translated").and_then(|(number, _)| number.parse::<u64>().ok());
        match number {
            Some(number) => sum += number,
            None => bail!("the cache of translations is not in use: {line}"),
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_the_last_line_of_a_runs_output() {
        let run = Run::read("a\nb\n1500000000 500000000\n", String::new()).expect("a run");
        assert_eq!((run.elapsed, run.processor, run.said.as_str()), (1.5, 0.5, "a\nb"));
        assert_eq!(Run::read("1 2\n", String::new()).expect("a run").said, "");
        assert!(Run::read("a\nb\n", String::new()).is_err());
    }

    #[test]
    fn memory_is_the_sum_of_the_fields_of_all_processes() {
        let one = "Rss:  40 kB\nPrivate_Clean:  10 kB\nPrivate_Dirty:   5 kB\n";
        let fields = ["Private_Clean", "Private_Dirty"];
        let sum = memory(&one.repeat(2), &fields, 2).expect("a sum");
        assert!((sum - 0.03072).abs() < 1e-9, "{sum}");
        assert!(memory(one, &fields, 2).is_err(), "one is gone");
        assert!(memory("Rss: many\n", &["Rss"], 1).is_err());
    }

    #[test]
    fn blocks_are_counted_for_the_part_in_which_a_process_ended() {
        let stats = |number| {
            format!(
                "tb_cache: {number} blocks translated, 9 published, 3 pages used, 4 KiB in 2 pages cached, closed"
            )
        };
        let log =
            [&stats(100), "a.c: a warning", &stats(20), FIRST_ENDS, &stats(1), SECOND_ENDS, &stats(999)];
        assert_eq!(translated(&log.join("\n")).expect("blocks"), [120, 1]);
        assert_eq!(blocks("tb_cache_x: no\nnothing").expect("blocks"), 0);
    }

    #[test]
    fn a_cache_that_is_off_is_an_error_and_so_are_lines_that_lack() {
        let off = format!("tb_cache: off: no build ID\n{FIRST_ENDS}\n{SECOND_ENDS}\n");
        assert!(translated(&off).is_err_and(|error| error.to_string().contains("no build ID")));
        assert!(translated(&format!("{FIRST_ENDS}\n{SECOND_ENDS}\n")).is_err());
        assert!(translated("tb_cache: 5 blocks translated\n").is_err());
    }
}
