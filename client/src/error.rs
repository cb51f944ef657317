//! Wrong use: what was asked for does not exist or does not fit. Programs tell it from failures by this type.

/// The command line asks for something that does not exist or does not fit. Programs exit with 2 for it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// What somebody may have meant by a name that is not among the known ones: the known name most like it, if one is
/// alike at all.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let alike = known.iter().map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate));
    let near = alike.filter(|(likeness, _)| *likeness > 0.7);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_leads_to_the_known_one_and_another_word_to_none() {
        let known = ["aarch64", "arm", "s390x"];
        assert_eq!(nearest("arch64", &known), Some("aarch64"));
        assert_eq!(nearest("windows", &known), None);
    }
}
