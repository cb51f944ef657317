//! Mirrors that speak https: a certificate of our own, and `openssl` as the server.

use crate::driver::server::Server;
use crate::driver::{mkdir, run, scratch};
use crate::machine::{DOWNLOADERS, Machine, PAIRED, RELEASE, mirror, own_mirror, program};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// Answers what stands in files, heads included; it ends when this is dropped.
struct Encrypted {
    home: TempDir,
    child: Child,
    /// What it writes to must stay open.
    _said: BufReader<ChildStdout>,
    port: String,
}

impl Encrypted {
    fn new() -> Self {
        let home = scratch();
        let at = |name: &str| home.path().join(name).display().to_string();
        let (key, certificate) = (at("key"), at("certificate"));
        let who = ["-subj", "/CN=mirror", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
        let files = ["-keyout", &key, "-out", &certificate];
        run("openssl", &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"][..], &who, &files].concat());
        // Busybox's own TLS knows only old ciphers.
        let mut child = Command::new(program("openssl"))
            .args(["s_server", "-HTTP", "-accept", "127.0.0.1:0", "-cipher", "ALL:@SECLEVEL=0"])
            .args(["-cert", &certificate, "-key", &key])
            .current_dir(mkdir(&home.path().join("files")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let port = said.by_ref().lines().map(Result::unwrap).find_map(|line| {
            line.strip_prefix("ACCEPT ").and_then(|place| place.rsplit(':').next().map(str::to_owned))
        });
        Self { home, child, _said: said, port: port.unwrap() }
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn answers(&self, name: &str, head: &str, body: &[u8]) {
        let folder = self.home.path().join("files").join(RELEASE);
        mkdir(&folder);
        let answer = [format!("HTTP/1.0 {head}\r\n\r\n").as_bytes(), body].concat();
        fs::write(folder.join(name), answer).unwrap();
    }

    /// All files of a release.
    fn serves(&self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let body = fs::read(&path).unwrap();
            let head = format!("200 OK\r\nContent-Length: {}", body.len());
            self.answers(path.file_name().unwrap().to_str().unwrap(), &head, &body);
        }
    }

    fn leads(&self, name: &str, to: &Server) {
        let there = format!("{}/{RELEASE}/{name}", to.url());
        self.answers(name, &format!("302 Found\r\nLocation: {there}\r\nContent-Length: 0"), b"");
    }

    /// Makes the machine's downloaders trust it.
    fn is_trusted_by(&self, machine: &mut Machine) {
        let certificate = self.home.path().join("certificate").display().to_string();
        let settings = machine.home.path().join("wgetrc");
        fs::write(&settings, format!("ca_certificate = {certificate}\n")).unwrap();
        machine.environment.push(("WGETRC".into(), settings.display().to_string()));
        machine.environment.push(("CURL_CA_BUNDLE".into(), certificate));
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn who_began_encrypted_is_not_led_elsewhere_in_the_clear() {
    let encrypted = Encrypted::new();
    for (shell, downloader) in PAIRED {
        let (_home, release, server) = own_mirror();
        let mut machine = Machine::new(shell, downloader);
        encrypted.is_trusted_by(&mut machine);
        let archive = release.archive("aarch64", "amd64");
        for name in ["SHA256SUMS", archive.as_str()] {
            encrypted.serves(&release.folder());
            encrypted.leads(name, &server);
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
        encrypted.is_trusted_by(&mut machine);
        assert_eq!(warns(&encrypted.url(), &machine), downloader == "busybox-wget", "{downloader}");
        assert!(!warns(&server.url(), &machine), "{downloader}: nobody promised encryption");
    }
}
