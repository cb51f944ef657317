//! How big the emulators of others are, as measured: `dist/peers.toml`. `cargo xtask bench sizes` measures them
//! again and says what changed.

use crate::facts::{Target, read_toml};
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The file, below the checkout.
pub const FILE: &str = "dist/peers.toml";

/// Sizes of the emulators that others publish for one host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// Host of these emulators, by Docker's platform name.
    pub host: String,
    /// How they were measured, a sentence for the release's page.
    pub how: String,
    /// Nearest to us first.
    #[serde(rename = "peer")]
    pub peers: Vec<Peer>,
}

/// A package of emulators that others publish.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its publisher: `Debian 13`.
    pub name: String,
    /// Where its package is: a suite of Debian.
    pub suite: String,
    /// The package.
    pub package: String,
    /// The package's version that was measured.
    pub version: String,
    /// QEMU's version in it.
    pub qemu: String,
    /// Suffix of the emulators' file names in that package: `-static` or empty.
    pub suffix: String,
    /// The day, as `2026-11-21`.
    pub measured: String,
    /// Largest allowed ratio of our archive to their emulator packed by xz.
    pub at_most: f64,
    /// The emulators by target.
    pub targets: BTreeMap<String, Packed>,
}

/// Sizes of one emulator, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packed {
    /// Size of the file itself.
    pub size: u64,
    /// Size after `xz -9e`.
    pub xz: u64,
    /// Size after `gzip -9`.
    pub gzip: u64,
}

impl Peers {
    /// Reads the file of a checkout.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join(FILE);
        let peers: Self = read_toml(&path)?;
        peers.check().with_context(|| format!("{} cannot be right", path.display()))?;
        Ok(peers)
    }

    /// Figures that were typed wrong would be published as facts.
    fn check(&self) -> Result<()> {
        for peer in &self.peers {
            for (target, packed) in &peer.targets {
                Target::named(target)?;
                ensure!(
                    0 < packed.xz && packed.xz <= packed.gzip && packed.gzip <= packed.size,
                    "{} of {}: xz packs smaller than gzip, and both make it smaller; not so {packed:?}",
                    target,
                    peer.name
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"
        host = "amd64"
        how = "By hand."
        [[peer]]
        name = "Debian 13"
        suite = "trixie"
        package = "qemu-user"
        version = "1:10"
        qemu = "10.0"
        suffix = ""
        measured = "2026-11-21"
        at_most = 0.5
        [peer.targets]
        arm = { size = 30, xz = 10, gzip = 20 }
    "#;

    fn read(text: &str) -> Result<Peers> {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(root.path().join("dist")).expect("made");
        std::fs::write(root.path().join(FILE), text).expect("written");
        Peers::read(root.path())
    }

    #[test]
    fn the_published_figures_are_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let peers = Peers::read(&root).expect("dist/peers.toml");
        assert!(peers.peers.len() >= 2 && peers.peers.iter().all(|peer| peer.targets.len() >= 30));
        assert_eq!(peers.host, "amd64");
    }

    #[test]
    fn a_field_that_nobody_knows_or_figures_that_cannot_be_are_refused() {
        let read_one = read(ONE).expect("read");
        assert_eq!(read_one.peers[0].targets["arm"], Packed { size: 30, xz: 10, gzip: 20 });
        let cases = [
            (ONE.replace("qemu =", "quemu ="), "quemu"),
            (ONE.replace("gzip = 20", "gzip = 20, zstd = 9"), "zstd"),
            (ONE.replace("xz = 10", "xz = 25"), "not so"),
            (ONE.replace("xz = 10", "xz = 0"), "not so"),
            (ONE.replace("arm =", "leg ="), "there is no target `leg`"),
        ];
        for (text, reason) in cases {
            let error = format!("{:#}", read(&text).expect_err("refused"));
            assert!(error.contains(reason), "{error} does not say `{reason}`");
        }
    }
}
