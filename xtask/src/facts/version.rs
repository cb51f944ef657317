//! How QEMU counts: which version belongs to which series, and under which tag.

/// The tag of a version, if it belongs to this series: `v11.0.2` of `11.0.2`. Candidates for the first release of
/// 11.1 count on from the series before it: 11.0.92 is `v11.1.0-rc2`.
pub fn tag_of(version: &str, series: &str) -> Option<String> {
    let [major, minor, point] = numbers(version)?;
    let [wanted_major, wanted_minor] = numbers(series)?;
    if point < FIRST_CANDIDATE {
        return ([major, minor] == [wanted_major, wanted_minor]).then(|| format!("v{version}"));
    }
    let next_of_year = [wanted_major, wanted_minor] == [major, minor + 1];
    let first_of_year = [wanted_major, wanted_minor] == [major + 1, 0];
    (next_of_year || first_of_year).then(|| format!("v{series}.0-rc{}", point - FIRST_CANDIDATE))
}

/// Whether a version is a candidate, and no release.
pub fn is_candidate(version: &str) -> bool {
    numbers::<3>(version).is_some_and(|[.., point]| point >= FIRST_CANDIDATE)
}

/// What comes after the second dot of a version from the first candidate on.
const FIRST_CANDIDATE: u32 = 90;

/// `[11, 0, 2]` of `11.0.2`, if there are as many.
pub fn numbers<const N: usize>(version: &str) -> Option<[u32; N]> {
    let numbers: Vec<u32> = version.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_of_the_series_that_it_is_or_will_become() {
        for (version, series, tag) in [
            ("11.0.2", "11.0", Some("v11.0.2")),
            ("10.2.10", "10.2", Some("v10.2.10")),
            ("11.0.92", "11.1", Some("v11.1.0-rc2")),
            ("10.2.90", "11.0", Some("v11.0.0-rc0")),
            ("11.0.2", "11.1", None),
            ("11.0.92", "11.0", None),
            ("11.0.92", "11.2", None),
            ("11.0", "11.0", None),
            ("11.0.x", "11.0", None),
        ] {
            assert_eq!(tag_of(version, series).as_deref(), tag, "{version} of {series}");
        }
        assert!(is_candidate("11.0.92") && !is_candidate("11.0.2"));
    }
}
