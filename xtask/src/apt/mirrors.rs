//! Finds Debian mirrors in the machine's own apt settings.

use crate::error::Missing;
use crate::process::{self, capture};
use anyhow::Result;
use xshell::cmd;

/// Names a mirror of Debian for machines whose apt knows none.
const MIRROR: &str = "ANYARCH_DEBIAN_MIRROR";

/// The Debian mirrors that this machine's apt uses.
#[derive(Debug, PartialEq, Eq)]
pub struct Mirrors {
    /// URL of Debian's archive.
    pub main: String,
    /// URL of Debian's security archive, if apt knows one.
    pub security: Option<String>,
}

impl Mirrors {
    /// Reads the mirrors from apt's configuration. Package lists are not needed.
    pub fn of_this_machine() -> Result<Self> {
        if let Some(main) = std::env::var(MIRROR).ok().filter(|uri| !uri.is_empty()) {
            return Ok(Self { main, security: None });
        }
        let shell = process::shell()?;
        let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
        let targets = capture(cmd!(
            shell,
            "apt-get indextargets --no-release-info --format {format} 'Created-By: Packages'"
        ))?;
        Self::parse(&targets).ok_or_else(|| {
            Missing::new(
                "a Debian mirror in this machine's apt configuration",
                format!("export {MIRROR}=URI, with the address of a Debian mirror"),
            )
            .into()
        })
    }

    /// The first repository with a `main` of a Debian release, and the first with its security fixes.
    fn parse(targets: &str) -> Option<Self> {
        const SUITES: [&str; 12] = [
            "bullseye",
            "bookworm",
            "trixie",
            "forky",
            "duke",
            "sid",
            "oldoldstable",
            "oldstable",
            "stable",
            "testing",
            "unstable",
            "experimental",
        ];
        let mut main = None;
        let mut security = None;
        for line in targets.lines() {
            let mut words = line.split_whitespace();
            let (Some(uri), Some(release), Some("main")) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            match release.rsplit_once('-') {
                None if SUITES.contains(&release) => drop(main.get_or_insert(uri)),
                Some((suite, "security")) if SUITES.contains(&suite) => drop(security.get_or_insert(uri)),
                _ => {}
            }
        }
        Some(Self { main: main?.to_owned(), security: security.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_mirrors_are_found_among_other_repositories() {
        let targets = "https://other.example/apt/ cloud main\n\
                       http://mirror.example/security/ bookworm-security main\n\
                       http://mirror.example/debian/ bookworm-updates main\n\
                       http://mirror.example/debian/ bookworm main\n\
                       http://second.example/debian/ trixie main\n";
        let expected = Mirrors {
            main: "http://mirror.example/debian/".into(),
            security: Some("http://mirror.example/security/".into()),
        };
        assert_eq!(Mirrors::parse(targets), Some(expected));
        assert_eq!(Mirrors::parse("https://other.example/apt/ cloud main\n"), None);
    }
}
