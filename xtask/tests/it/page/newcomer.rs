//! What a newcomer does with a release: the commands of its pages, as a browser shows them, in a home of their own.

use super::browser::{Browser, Scripts};
use super::{Peers, Speed, writer};
use crate::driver::releases::{FakeRelease, Key};
use crate::driver::server::Server;
use crate::driver::{Ended, checkout, files, mkdir, run, scratch, wants};
use crate::users::built;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use xtask::release::shelf;

const RELEASE: &str = "9.9.9-1";

/// A signed release with its page on a server of this machine, and whoever comes there.
struct Newcomer {
    home: TempDir,
    server: Server,
    browser: Browser,
}

impl Newcomer {
    fn new() -> Self {
        let home = scratch();
        let mirror = home.path().join("mirror");
        let mut release = FakeRelease::make(&mirror, RELEASE).with_program(&["amd64"]);
        let server = Server::of(&mirror);
        // The real program, without what only debuggers read.
        let program = home.path().join("anyarch");
        run("strip", &["-o", program.to_str().unwrap(), built().to_str().unwrap()]);
        release.put_program("amd64", &fs::read(program).unwrap());
        release.put_installer(&server.url());
        let key = Key::make(home.path(), "release_key", "ed25519");
        let (peers, speed) = (Peers::read(&checkout()).unwrap(), Speed::read(&checkout()).unwrap());
        let (base, signer) = (server.url(), key.fingerprint());
        let page = writer::html(&release.manifest, &peers, &speed, Some(&base), Some(&signer)).unwrap();
        fs::write(release.folder().join(writer::FILE), page).unwrap();
        release.sum();
        key.sign(&release);
        fs::copy(key.public(), release.folder().join("anyarch.pub")).unwrap();
        shelf::write(&mirror, Some(&base)).unwrap();
        mkdir(&home.path().join("home"));
        Self { home, server, browser: Browser::start(Scripts::Run) }
    }

    fn home(&self) -> PathBuf {
        self.home.path().join("home")
    }

    fn open(&self, page: &str) {
        self.browser.open(&format!("{}/{page}", self.server.url()));
    }

    /// Runs what a page says.
    fn run(&self, command: &str) -> Ended {
        let path = format!("{}:/usr/bin:/bin", self.home().join(".local/bin").display());
        let mut shell = Command::new("sh");
        shell.args(["-ec", command]).env_clear().env("PATH", path).env("HOME", self.home());
        Ended::of(shell.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1").current_dir(self.home()))
    }

    fn succeeds(&self, command: &str) -> Ended {
        let ended = self.run(command);
        assert_eq!(ended.code, Some(0), "{command}: {ended:?}");
        ended
    }

    fn has(&self, name: &str) -> bool {
        self.home().join(".local/bin").join(name).is_file()
    }

    /// Nothing is below `.local`, not even an empty folder.
    fn has_nothing(&self) {
        let local = self.home().join(".local");
        let left = fs::read_dir(&local).map_or(0, Iterator::count);
        assert_eq!((files(&local), left), (Vec::new(), 0));
    }
}

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn a_newcomer_gets_checks_uses_and_takes_away_by_the_commands_of_the_pages() {
    if anyarch_client::machine::native().unwrap() != "amd64" {
        return wants::not_run("the test's release has the program for amd64 alone");
    }
    let newcomer = Newcomer::new();
    // The list of all releases, and back.
    newcomer.open("index.html");
    let newest = newcomer.browser.text("main pre");
    newcomer.succeeds(&newest);
    assert!(newcomer.has("qemu-aarch64"));
    newcomer.succeeds(&format!("{newest} --uninstall"));
    newcomer.has_nothing();

    // The release's own page: one emulator, checked by hand as well, and back.
    newcomer.open(&format!("{RELEASE}/{}", writer::FILE));
    let one = newcomer.browser.text("#sh");
    newcomer.succeeds(&one);
    assert!(newcomer.has("qemu-aarch64"));
    assert!(newcomer.browser.text("#get").contains("--uninstall"), "nobody says how to take it away");
    newcomer.succeeds(&format!("{one} --uninstall"));
    newcomer.has_nothing();
    let archive = format!("{}/{RELEASE}/qemu-aarch64-{RELEASE}-linux-amd64.tar.xz", newcomer.server.url());
    newcomer.succeeds(&format!(
        "curl -fsSLO {archive}; curl -fsSLO {}/{RELEASE}/anyarch.pub",
        newcomer.server.url()
    ));
    let said = newcomer.succeeds(&newcomer.browser.text("#verify pre:first-of-type"));
    assert!(said.stdout.contains("linux-amd64.tar.xz: OK"), "{said:?}");
    let said = newcomer.succeeds(&newcomer.browser.text("#verify pre:last-of-type"));
    assert!(said.stdout.starts_with("Good \"anyarch\" signature"), "{said:?}");

    // The program for users, which gets the rest by itself.
    newcomer.succeeds(&newcomer.browser.text("#use dd:first-of-type"));
    assert!(newcomer.has("anyarch") && !newcomer.has("qemu-aarch64"));
    let from = newcomer.server.url();
    newcomer.succeeds(&format!("anyarch install --target arm64 --from {from}"));
    assert!(newcomer.succeeds("anyarch list").stdout.contains("aarch64") && newcomer.has("qemu-aarch64"));
    newcomer.succeeds(&newcomer.browser.text("#use dd:last-of-type"));
    newcomer.has_nothing();

    // A byte of it is another one, and nothing is installed.
    flip(&newcomer.home.path().join(format!("mirror/{RELEASE}/qemu-aarch64-{RELEASE}-linux-amd64.tar.xz")));
    let ended = newcomer.run(&one);
    assert_ne!(ended.code, Some(0), "{ended:?}");
    newcomer.has_nothing();
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[1000] ^= 1;
    fs::write(file, bytes).unwrap();
}
