//! Mirrors that speak https.

use crate::driver::encrypted::Encrypted;
use crate::machine::{DOWNLOADERS, Machine, PAIRED, RELEASE, mirror, own_mirror};
use std::fs;

/// Makes the machine's downloaders trust it.
fn trust(machine: &mut Machine, encrypted: &Encrypted) {
    let certificate = encrypted.certificate();
    let settings = machine.home.path().join("wgetrc");
    fs::write(&settings, format!("ca_certificate = {certificate}\n")).unwrap();
    machine.environment.push(("WGETRC".into(), settings.display().to_string()));
    machine.environment.push(("CURL_CA_BUNDLE".into(), certificate));
}

#[test]
fn who_began_encrypted_is_not_led_elsewhere_in_the_clear() {
    let encrypted = Encrypted::new();
    for (shell, downloader) in PAIRED {
        let (_home, release, server) = own_mirror();
        let mut machine = Machine::new(shell, downloader);
        trust(&mut machine, &encrypted);
        let archive = release.archive("aarch64", "amd64");
        for name in ["SHA256SUMS", archive.as_str()] {
            encrypted.serves(&release.folder());
            encrypted.leads(RELEASE, name, &server);
            let ended = machine.install(&encrypted.url());
            machine.has_nothing(&ended, 1, &[name, "can't be had"]);
            // Another mirror has it.
            let pair = ["--target", "aarch64", "--host", "amd64", "--from", &server.url()];
            machine.has_installed(&machine.run(&encrypted.url(), &pair), &release);
            fs::remove_dir_all(machine.prefix()).unwrap();
        }
    }
}

#[test]
fn a_downloader_that_may_not_check_certificates_is_named() {
    let encrypted = Encrypted::new();
    let (release, server) = mirror();
    encrypted.serves(&release.folder());
    for downloader in DOWNLOADERS {
        let mut machine = Machine::new(PAIRED[0].0, downloader);
        let warns = |from: &str, machine: &Machine| {
            let ended = machine.install(from);
            machine.has_installed(&ended, release);
            ended.stderr.contains("certificates") && ended.stderr.contains("give --key, or install curl")
        };
        trust(&mut machine, &encrypted);
        assert_eq!(warns(&encrypted.url(), &machine), downloader == "busybox-wget", "{downloader}");
        assert!(!warns(&server.url(), &machine), "{downloader}: nobody promised encryption");
    }
}
