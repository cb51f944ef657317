//! A mirror that speaks https: a certificate of our own, and `openssl` as the server.

use super::server::Server;
use super::{mkdir, run, scratch};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// Answers what stands in files, heads included; it ends when this is dropped.
pub struct Encrypted {
    home: TempDir,
    child: Child,
    /// What it writes to must stay open.
    _said: BufReader<ChildStdout>,
    port: String,
}

impl Encrypted {
    pub fn new() -> Self {
        let home = scratch();
        let at = |name: &str| home.path().join(name).display().to_string();
        let (key, certificate) = (at("key"), at("certificate"));
        let who = ["-subj", "/CN=mirror", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
        // Its own root, and yet no authority: rustls takes no authority for a server.
        let who = [&who[..], &["-addext", "basicConstraints=critical,CA:FALSE"]].concat();
        let files = ["-keyout", &key, "-out", &certificate];
        run("openssl", &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"][..], &who, &files].concat());
        // Busybox's own TLS knows only old ciphers.
        let mut child = Command::new("openssl")
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

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The certificate, which nobody has signed but itself.
    pub fn certificate(&self) -> String {
        self.home.path().join("certificate").display().to_string()
    }

    fn answers(&self, release: &str, name: &str, head: &str, body: &[u8]) {
        let folder = self.home.path().join("files").join(release);
        mkdir(&folder);
        let answer = [format!("HTTP/1.0 {head}\r\n\r\n").as_bytes(), body].concat();
        fs::write(folder.join(name), answer).unwrap();
    }

    /// All files of a release.
    pub fn serves(&self, folder: &Path) {
        let release = folder.file_name().unwrap().to_str().unwrap();
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let body = fs::read(&path).unwrap();
            let head = format!("200 OK\r\nContent-Length: {}", body.len());
            self.answers(release, path.file_name().unwrap().to_str().unwrap(), &head, &body);
        }
    }

    /// A file of a release is said to be on another server.
    pub fn leads(&self, release: &str, name: &str, to: &Server) {
        self.leads_to(release, name, &format!("{}/{release}/{name}", to.url()));
    }

    /// A file of a release is said to be at another address.
    pub fn leads_to(&self, release: &str, name: &str, there: &str) {
        self.answers(release, name, &format!("302 Found\r\nLocation: {there}\r\nContent-Length: 0"), b"");
    }

    /// A file of a release is moved to the folder `moved` in that release's.
    pub fn moves(&self, release: &str, name: &str) {
        let folder = self.home.path().join("files").join(release);
        fs::rename(folder.join(name), mkdir(&folder.join("moved")).join(name)).unwrap();
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
