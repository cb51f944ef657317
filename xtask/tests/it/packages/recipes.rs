//! The texts for Nix and Homebrew.

use super::{BASE, NAME, Stage};
use crate::driver::{run, wants};
use anyarch_client::hash;
use std::fs;
use std::path::Path;

#[test]
fn recipes_name_the_releases_archives_by_their_hashes() {
    let stage = Stage::new();
    let (folder, _) = stage.make("out", &["--format", "nix,homebrew", "--base", BASE]);
    let [nix, ruby] = ["nix/flake.nix", "homebrew/anyarch.rb"].map(|name| folder.join(name));
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let place = |name: &str| format!("{BASE}/{NAME}/{name}");
    for (host, in_ruby) in [("amd64", true), ("arm64", true), ("arm/v7", false)] {
        let name = stage.release.archive("aarch64", host);
        let sum = hash::sha256_file(&stage.release.folder().join(&name)).unwrap();
        let in_nix = format!("file = \"{name}\";\n            sha256 = \"{sum}\";");
        assert!(text(&nix).contains(&in_nix), "{host}: {}", text(&nix));
        let formula = format!("url \"{}\"\n      sha256 \"{sum}\"", place(&name));
        assert_eq!(text(&ruby).contains(&formula), in_ruby, "{host}: {}", text(&ruby));
    }
    let program = format!("  on_arm do\n    url \"{}\"", place("anyarch-9.9.9-1-linux-arm64.tar.xz"));
    assert!(text(&ruby).contains(&program), "{}", text(&ruby));
    for (reader, words, file) in [("nix-instantiate", "--parse", &nix), ("ruby", "-c", &ruby)] {
        if which::which(reader).is_err() {
            wants::partly_not_run(&format!("missing on this machine: {reader}"));
            continue;
        }
        run(reader, &[words, file.to_str().unwrap()]);
    }
}
