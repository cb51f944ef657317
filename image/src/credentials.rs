//! Logins for registries, where `docker login` and `podman login` keep them. Read when a registry wants one, never
//! written, never shown.

use crate::reference::{DEFAULT_REGISTRY, Reference};
use anyarch_client::answer::printable;
use anyarch_client::progress::Progress;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use data_encoding::BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What Docker calls its own registry in these files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The name that helpers give with a token instead of a password.
const TOKEN_USER: &str = "<token>";

/// How somebody shows a registry who they are.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A name and a password, or what stands for one.
    Password {
        /// The name.
        user: String,
        /// The password.
        secret: String,
    },
    /// A token that is changed for one that serves.
    Identity(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Login(..)")
    }
}

/// The files that logins are looked up in, in this order.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    files: Vec<PathBuf>,
}

/// `config.json` of Docker, `auth.json` of podman.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logins {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

impl Credentials {
    /// Those in these files, which need not be there.
    pub fn in_files(files: Vec<PathBuf>) -> Self {
        Self { files }
    }

    /// Those of the user: `$REGISTRY_AUTH_FILE`, Docker's, podman's.
    pub fn of_user() -> Self {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = folder("HOME");
        let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
        let docker = folder("DOCKER_CONFIG").or_else(|| below_home(".docker"));
        let settings = folder("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
        let files = [
            folder("REGISTRY_AUTH_FILE"),
            docker.map(|docker| docker.join("config.json")),
            folder("XDG_RUNTIME_DIR").map(|run| run.join("containers/auth.json")),
            settings.map(|settings| settings.join("containers/auth.json")),
        ];
        Self { files: files.into_iter().flatten().collect() }
    }

    /// The login for the registry of an image, if there is one.
    ///
    /// # Errors
    /// When a file cannot be understood. A helper that does not work is only told: most images need no login.
    pub fn login(&self, reference: &Reference, progress: &Progress) -> Result<Option<Login>> {
        for file in &self.files {
            let bytes = match fs::read(file) {
                Ok(bytes) => bytes,
                Err(error)
                    if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) =>
                {
                    continue;
                }
                Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
            };
            let found = secret_json(&bytes).and_then(|logins: Logins| logins.login(reference, progress));
            let found = found.with_context(|| {
                format!("the logins in {} cannot be used: correct it, or log in again", file.display())
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

impl Logins {
    fn login(&self, reference: &Reference, progress: &Progress) -> Result<Option<Login>> {
        let registry = reference.registry();
        let server = if registry == DEFAULT_REGISTRY { DOCKER_HUB } else { registry };
        let own = self.cred_helpers.iter().find(|(key, _)| is_of(key, registry)).map(|(_, helper)| helper);
        let store = Some(&self.creds_store).filter(|store| !store.is_empty());
        for helper in [own, store].into_iter().flatten() {
            match ask(helper, server) {
                Ok(Some(login)) => return Ok(Some(login)),
                Ok(None) => {}
                Err(error) => {
                    let error = printable(&format!("{error:#}"));
                    progress.say(&format!("going on without the login of {registry}: {error}"));
                }
            }
        }
        // podman's may be for a part of a registry only; the longest that fits is meant.
        let name = format!("{registry}/{}", reference.repository());
        let fits = |key: &str| {
            is_of(key, registry)
                || name.strip_prefix(key).is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
        };
        let entries = self.auths.iter().filter(|(key, _)| fits(key));
        entries
            .max_by_key(|(key, _)| if is_of(key, registry) { 0 } else { key.len() })
            .map_or(Ok(None), |(_, entry)| entry.login())
    }
}

/// Whether a key of these files means this registry: it may be an address, and docker.io has several names.
fn is_of(key: &str, registry: &str) -> bool {
    let host = key.split_once("://").map_or(key, |(_, rest)| rest);
    let host =
        ["/v1/", "/v2/", "/v1", "/v2", "/"].iter().find_map(|end| host.strip_suffix(end)).unwrap_or(host);
    let is_hub = ["docker.io", "index.docker.io", "registry-1.docker.io"].contains(&host);
    host == registry || registry == DEFAULT_REGISTRY && is_hub
}

impl Entry {
    /// `None` where a helper has it: then the entry is empty.
    fn login(&self) -> Result<Option<Login>> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Login::Identity(self.identitytoken.clone())));
        }
        if self.auth.is_empty() {
            let is_there = !self.username.is_empty();
            let password = || Login::Password { user: self.username.clone(), secret: self.password.clone() };
            return Ok(is_there.then(password));
        }
        let text = BASE64.decode(self.auth.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.context("a login is not base64")?;
        let (user, secret) = text.split_once(':').context("a login has no password")?;
        // Docker once filled it up with zero bytes.
        let secret = secret.trim_matches('\0').to_owned();
        Ok(Some(Login::Password { user: user.to_owned(), secret }))
    }
}

/// Reads JSON whose errors must not show what is in it.
fn secret_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| anyhow!("line {}, column {} is not as it should be", error.line(), error.column()))
}

/// Asks `docker-credential-<helper>`. `None` if it knows of no login.
fn ask(helper: &str, server: &str) -> Result<Option<Login>> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    ensure!(
        !helper.is_empty() && helper.bytes().all(fits),
        "`{}` is not the name of a helper",
        helper.escape_debug()
    );
    let program = OsString::from(format!("docker-credential-{helper}"));
    let shown = Path::new(&program).display().to_string();
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not listen says why by its status.
        let _ = stdin.write_all(server.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        if said.contains("credentials not found") {
            return Ok(None);
        }
        bail!("{shown} failed ({}): {said}", output.status);
    }
    let helped: Helped = secret_json(&output.stdout).with_context(|| format!("the answer of {shown}"))?;
    Ok(Some(match helped.username.as_str() {
        TOKEN_USER => Login::Identity(helped.secret),
        _ => Login::Password { user: helped.username, secret: helped.secret },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(text: &str, image: &str) -> Result<Option<Login>> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), text)?;
        let missing = PathBuf::from("/no/such/config.json");
        let credentials = Credentials::in_files(vec![missing, file.path().to_owned()]);
        credentials.login(&image.parse()?, &Progress::silent())
    }

    fn password(user: &str, secret: &str) -> Option<Login> {
        Some(Login::Password { user: user.to_owned(), secret: secret.to_owned() })
    }

    #[test]
    fn a_login_is_found_as_docker_and_podman_write_it() {
        // `me:pa:ss` and `you:word`
        let text = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"bWU6cGE6c3M="},
            "ghcr.io":{"auth":"bWU6cGE6c3M="},
            "ghcr.io/a/b":{"auth":"eW91OndvcmQ="},
            "https://old.example/v2/":{"username":"u","password":"p"},
            "token.example":{"identitytoken":"t","auth":"bWU6cGE6c3M="},
            "helped.example":{}}, "HttpHeaders":{"x":"y"}}"#;
        for (image, expected) in [
            ("debian", password("me", "pa:ss")),
            ("ghcr.io/x/y", password("me", "pa:ss")),
            ("ghcr.io/a/b", password("you", "word")),
            ("ghcr.io/a/b/c", password("you", "word")),
            ("ghcr.io/a/bc", password("me", "pa:ss")),
            ("old.example/x", password("u", "p")),
            ("token.example/x", Some(Login::Identity("t".to_owned()))),
            ("helped.example/x", None),
            ("other.example/x", None),
        ] {
            assert_eq!(login(text, image).expect("understood"), expected, "{image}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_told_without_what_is_secret() {
        let secret = BASE64.encode(b"no-colon-but-secret");
        let bad = format!(r#"{{"auths":{{"a.example":{{"auth":"{secret}"}}}}}}"#);
        for text in
            [bad.as_str(), "{", r#"{"auths":"secret"}"#, r#"{"auths":{"a.example":{"auth":"%%secret%%"}}}"#]
        {
            let error = format!("{:#}", login(text, "a.example/x").expect_err(text));
            assert!(error.contains("cannot be used") && !error.contains("secret"), "{error}");
        }
        let shown = format!("{:?}", password("me", "secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_helper_that_is_none_or_is_missing_does_not_stop_who_needs_no_login() {
        for helper in ["../../bin/sh", "", "no-such-helper-anywhere"] {
            let text = format!(r#"{{"credsStore":"{helper}","credHelpers":{{"a.example":"{helper}"}}}}"#);
            assert_eq!(login(&text, "a.example/x").expect("told only"), None, "{helper}");
        }
    }
}
