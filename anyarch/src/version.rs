//! What `--version` says: the release that this program belongs to, its emulators, and those that are installed.

use anyarch_client::record;
use anyarch_manifest::layout::PROGRAM;
use std::env;
use std::sync::LazyLock;

/// The release, as `cargo xtask program` compiles it in.
pub const SHORT: &str = match option_env!("ANYARCH_RELEASE") {
    Some(release) => release,
    None => concat!(env!("CARGO_PKG_VERSION"), " (of no release)"),
};

/// The targets that the release has emulators for.
const TARGETS: &str = match option_env!("ANYARCH_TARGETS") {
    Some(targets) => targets,
    None => "",
};

/// The release, and what emulators there are.
pub static LONG: LazyLock<String> = LazyLock::new(|| {
    let mut text = SHORT.to_owned();
    if !TARGETS.is_empty() {
        text.push_str(&format!("\nemulators of this release: {TARGETS}"));
    }
    text.push_str(&format!("\ninstalled in ~/.local: {}", installed()));
    text
});

/// Those that are installed for the user, each with its release.
fn installed() -> String {
    let Some(home) = env::home_dir() else { return "none".to_owned() };
    let all = record::all(&home.join(".local")).into_iter().filter(|one| one.record.target != PROGRAM);
    let names: Vec<String> = all.map(|one| format!("{} {}", one.record.target, one.record.release)).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
