//! Mirrors that speak https.

use super::machine::{DOWNLOADERS, Machine, PAIRED, RELEASE, mirror, own_mirror};
use crate::driver::encrypted::Encrypted;
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
            machine.has_nothing(&ended, 1, &[name, "every mirror failed"]);
            // Busybox's goes where it is led, and only then it can be seen.
            assert!(downloader == "busybox-wget" || server.requests().is_empty(), "{downloader} asked");
            // Another mirror has it.
            let pair = ["--target", "aarch64", "--host", "amd64", "--from", &server.url()];
            machine.has_installed(&machine.run(&encrypted.url(), &pair), &release);
            fs::remove_dir_all(machine.prefix()).unwrap();
            server.mend();
        }
    }
}

#[test]
fn who_began_encrypted_is_led_to_nothing_but_what_is_encrypted() {
    let encrypted = Encrypted::new();
    for (shell, downloader) in PAIRED {
        let (_home, release, server) = own_mirror();
        let mut machine = Machine::new(shell, downloader);
        trust(&mut machine, &encrypted);
        let archive = release.archive("aarch64", "amd64");
        let plain = format!("{}/{RELEASE}/{archive}", server.url());
        encrypted.serves(&release.folder());
        encrypted.leads_to(RELEASE, "hop", &plain);
        let wrong = [
            plain.replace("http:", "HTTP:"),
            format!("\t{plain}"),
            "ftp://127.0.0.1:1/x".to_owned(),
            "gopher://127.0.0.1:1/x".to_owned(),
            "file:///etc/hostname".to_owned(),
            // Two steps.
            format!("{}/{RELEASE}/hop", encrypted.url()),
        ];
        for to in wrong {
            encrypted.leads_to(RELEASE, &archive, &to);
            let ended = machine.install(&encrypted.url());
            machine.has_nothing(&ended, 1, &[&archive, "every mirror failed"]);
            if downloader != "curl" {
                assert!(ended.stderr.contains("redirects from https to "), "{to}: {}", ended.stderr);
            }
            assert!(!ended.stderr.contains("again in"), "{to}: {}", ended.stderr);
            assert!(downloader == "busybox-wget" || server.requests().is_empty(), "{downloader}, {to}");
        }
        encrypted.serves(&release.folder());
        encrypted.moves(RELEASE, &archive);
        let right = [
            format!("{}/{RELEASE}/moved/{archive}", encrypted.url()),
            format!("/{RELEASE}/moved/{archive}"),
            format!("{}/{RELEASE}/moved/{archive}", encrypted.url().trim_start_matches("https:")),
            format!("moved/{archive}"),
            format!("../{RELEASE}/moved/{archive}"),
        ];
        for to in right {
            encrypted.leads_to(RELEASE, &archive, &to);
            let ended = machine.install(&encrypted.url());
            // It takes these for the names of a path or a host.
            if downloader == "busybox-wget" && !to.starts_with("https:") && !to.starts_with("/1") {
                machine.has_nothing(&ended, 1, &["every mirror failed"]);
                continue;
            }
            machine.has_installed(&ended, &release);
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
            machine.has_installed(&ended, &release);
            ended.stderr.contains("certificates") && ended.stderr.contains("pass --key, or install curl")
        };
        trust(&mut machine, &encrypted);
        assert_eq!(warns(&encrypted.url(), &machine), downloader == "busybox-wget", "{downloader}");
        assert!(!warns(&server.url(), &machine), "{downloader}: nobody promised encryption");
    }
}
