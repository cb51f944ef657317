//! A registry: manifests and blobs over HTTP, by the protocol of Docker and OCI. It is asked without a login first, and
//! with one when it wants one. Nothing that it sends is believed before its digest was checked.

use crate::challenge::Challenge;
use crate::credentials::{Credentials, Login};
use crate::digest::Digest;
use crate::document::{ACCEPTED, Descriptor, MAX_BYTES};
use crate::reference::{DEFAULT_REGISTRY, Reference};
use crate::store::Growing;
use anyarch_client::answer::{self, Body, TransferError, printable};
use anyarch_client::http;
use anyarch_client::progress::{Progress, Step};
use anyarch_client::tries::{Asked, RetryPolicy, Wanted};
use anyhow::{Context as _, Result, anyhow};
use data_encoding::BASE64;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RANGE, WWW_AUTHENTICATE};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where docker.io answers.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// The most bytes of a token, or of what a registry says about an error.
const MAX_WORDS: u64 = 1 << 20;

/// How a registry is asked.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// How often and for how long.
    pub policy: RetryPolicy,
    /// The logins for those that want one.
    pub credentials: Credentials,
    /// Registries that are asked over plain HTTP, by their names in images (`registry:5000`). Those on this machine
    /// always are.
    pub plain_http: Vec<String>,
}

/// Makes a request for an address; it may be made anew, with a login.
pub type MakeRequest<'a> = &'a dyn Fn(&Client, Url) -> Result<RequestBuilder, TransferError>;

/// A repository in a registry.
pub struct Registry<'a> {
    client: Client,
    access: &'a Access,
    progress: &'a Progress,
    reference: &'a Reference,
    base: Url,
    /// The header that it took last.
    authorization: Mutex<Option<HeaderValue>>,
    answered: AtomicBool,
}

/// What whoever gives tokens answers; the name depends on who it is.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// What a registry says about an error.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl<'a> Registry<'a> {
    /// The repository of an image. It is not asked yet.
    ///
    /// # Errors
    /// When HTTPS cannot be set up.
    pub fn new(reference: &'a Reference, access: &'a Access, progress: &'a Progress) -> Result<Self> {
        let name = reference.registry();
        let is_plain = reference.is_local() || access.plain_http.iter().any(|plain| plain == name);
        let host = if name == DEFAULT_REGISTRY { DOCKER_HUB } else { name };
        let scheme = if is_plain { "http" } else { "https" };
        let address = format!("{scheme}://{host}/v2/{}/", reference.repository());
        let base = Url::parse(&address).with_context(|| format!("{name} is not the name of a registry"))?;
        let stall = access.policy.stall;
        let client = if reference.is_local() { http::local_client(stall)? } else { http::client(stall)? };
        let (authorization, answered) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { client, access, progress, reference, base, authorization, answered })
    }

    /// Reads the manifest or index that a tag or digest leads to, and checks its digest where it is known.
    ///
    /// # Errors
    /// When the registry does not give it, or gives another.
    pub fn document(&self, wanted: &str) -> Result<Vec<u8>> {
        self.small("the manifest", &format!("manifests/{wanted}"), wanted.parse().ok().as_ref())
    }

    /// Reads a small blob, and checks it.
    ///
    /// # Errors
    /// When the registry does not give it, or gives another.
    pub fn blob_document(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.small("the config", &format!("blobs/{digest}"), Some(digest))
    }

    fn small(&self, what: &str, path: &str, digest: Option<&Digest>) -> Result<Vec<u8>> {
        let open = |_| self.open(path, 0);
        let from = Asked { who: &self.reference.registry(), open: &open, is_last: true };
        let read = self.access.policy.read_small(self.progress, from, what, MAX_BYTES);
        let bytes = read.map_err(|trouble| self.failed(what, trouble))?;
        let found = Digest::of(&bytes);
        if let Some(digest) = digest.filter(|digest| **digest != found) {
            let why = format!("wrong content: its digest is {found}, not {digest}");
            return Err(self.failed(what, TransferError::Useless(why)));
        }
        Ok(bytes)
    }

    /// Gets a blob, or what is missing of it, checks it and keeps it.
    ///
    /// # Errors
    /// When the registry does not give a blob with that size and digest, or the cache cannot be written. What is there
    /// stays for the next run, unless it is wrong.
    pub fn blob(&self, blob: &Descriptor, what: &str, mut growing: Growing, step: &Step<'_>) -> Result<()> {
        let open = |offset| self.open(&format!("blobs/{}", blob.digest), offset);
        let from = Asked { who: &self.reference.registry(), open: &open, is_last: true };
        let wanted = Wanted { name: what, size: blob.size, sha256: blob.digest.hex(), by: "the manifest" };
        let filled = self.access.policy.fill(self.progress, from, wanted, &mut growing.file, step);
        filled.map_err(|trouble| self.failed(what, trouble))?;
        growing.keep()
    }

    /// What failed, as the user would name it.
    pub fn failed(&self, what: &str, trouble: TransferError) -> anyhow::Error {
        let reason = match trouble {
            TransferError::Ours(error) => return error,
            TransferError::Absent(reason)
            | TransferError::NoPart(reason)
            | TransferError::Slow(reason)
            | TransferError::Useless(reason)
            | TransferError::Passing { reason, .. } => printable(&reason),
        };
        let registry = self.reference.registry();
        anyhow!("{what} of {} could not be transferred:\n  {registry}: {reason}", self.reference)
    }

    /// Opens something of the repository, from the byte at offset `from` on if the registry can.
    fn open(&self, path: &str, from: u64) -> Result<Body, TransferError> {
        let url = self.address(path)?;
        let response = self.exchange(&url, &|client, url| {
            let request = client.get(url).header(ACCEPT, ACCEPTED);
            Ok(if from > 0 { request.header(RANGE, format!("bytes={from}-")) } else { request })
        })?;
        answer::body(response, from)
    }

    /// The address of something of the repository.
    ///
    /// # Errors
    /// When the path makes no address.
    pub fn address(&self, path: &str) -> Result<Url, TransferError> {
        self.base.join(path).map_err(|error| TransferError::Absent(error.to_string()))
    }

    /// Asks, with a login if one is wanted, and gives an answer that is a success. Another server than the registry is
    /// shown no login.
    ///
    /// # Errors
    /// What `request` ends with; else by what helps after what the registry answered.
    pub fn exchange(&self, url: &Url, request: MakeRequest<'_>) -> Result<Response, TransferError> {
        let is_own = url.origin() == self.base.origin();
        let ask = || {
            let request = request(&self.client, url.clone())?;
            let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.send(
                authorization
                    .into_iter()
                    .filter(|_| is_own)
                    .fold(request, |request, value| request.header(AUTHORIZATION, value)),
            )
        };
        let mut response = ask()?;
        // A token may be old, too: a big layer takes longer than it holds.
        if response.status() == StatusCode::UNAUTHORIZED && is_own {
            self.authorize(response.headers())?;
            response = ask()?;
        }
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response)) }
    }

    /// The registry, as users name it.
    pub fn name(&self) -> &str {
        self.reference.registry()
    }

    /// How often the registry is asked, and for how long.
    pub fn policy(&self) -> &RetryPolicy {
        &self.access.policy
    }

    fn send(&self, request: RequestBuilder) -> Result<Response, TransferError> {
        let response = request.send().map_err(|error| {
            let reason = answer::innermost(&error);
            // What was never there is not waited for; what was may come back.
            if error.is_redirect() || !self.answered.load(Ordering::SeqCst) && error.is_connect() {
                TransferError::Useless(format!("it cannot be reached: {reason}"))
            } else {
                TransferError::passing(format!("it does not answer: {reason}"))
            }
        })?;
        self.answered.store(true, Ordering::SeqCst);
        Ok(response)
    }

    /// What helps after an answer that brings nothing, with what the registry says about it.
    fn refused(&self, response: Response) -> TransferError {
        let status = response.status();
        let sorted = answer::refusal(status, response.headers());
        let mut said = Vec::new();
        // What cannot be read is left out: the status says the most.
        let _ = response.take(MAX_WORDS).read_to_end(&mut said);
        let errors = serde_json::from_slice(&said).map_or(Vec::new(), |all: Errors| all.errors);
        let words =
            errors.first().map(|error| if error.message.is_empty() { &error.code } else { &error.message });
        let mut more: String =
            words.map(|words| format!(": {words}").chars().take(300).collect()).unwrap_or_default();
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS].contains(&status)
        {
            let registry = self.reference.registry();
            more.push_str(&match status {
                StatusCode::TOO_MANY_REQUESTS => {
                    format!("; those who log in may ask more often: docker login {registry}")
                }
                _ => format!("; there is no such image, or it wants another login: docker login {registry}"),
            });
        }
        match sorted {
            TransferError::Absent(reason) => TransferError::Absent(reason + &more),
            TransferError::Passing { reason, wait, brought } => {
                TransferError::Passing { reason: reason + &more, wait, brought }
            }
            other => other,
        }
    }

    /// Gets what the registry wants of those who ask, and keeps it for the next questions.
    fn authorize(&self, headers: &HeaderMap) -> Result<(), TransferError> {
        let all = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenge = Challenge::read(&all.collect::<Vec<_>>().join(", "));
        let login =
            self.access.credentials.login(self.reference, self.progress).map_err(TransferError::Ours)?;
        let value = match (challenge, login) {
            (Some(Challenge::Bearer { realm, service, scope }), login) => {
                format!("Bearer {}", self.token(&realm, service.as_deref(), scope.as_deref(), login)?)
            }
            (Some(Challenge::Basic), Some(Login::Password { user, secret })) => basic(&user, &secret),
            (Some(Challenge::Basic), _) => {
                let registry = self.reference.registry();
                return Err(TransferError::Useless(format!("it wants a password: docker login {registry}")));
            }
            (None, _) => {
                let why = "it answers 401 Unauthorized, and wants a kind of login that is not supported";
                return Err(TransferError::Useless(why.to_owned()));
            }
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| TransferError::Useless("its token is not one word".to_owned()))?;
        value.set_sensitive(true);
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    /// A token to pull from the repository, of the one who gives them.
    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        login: Option<Login>,
    ) -> Result<String, TransferError> {
        let useless = |why: &str| TransferError::Useless(format!("it asks for a token of `{realm}`, {why}"));
        let mut url = Url::parse(realm).map_err(|error| useless(&error.to_string()))?;
        // A password goes there: over a network only where nobody reads along.
        if !(url.scheme() == "https" || url.scheme() == "http" && self.base.scheme() == "http") {
            return Err(useless("which is not on https"));
        }
        let pull = format!("repository:{}:pull", self.reference.repository());
        let scope = scope.unwrap_or(&pull);
        let request = match login {
            Some(Login::Identity(identity)) => {
                let service = service.unwrap_or_default();
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("service", service),
                    ("client_id", "anyarch"),
                    ("scope", scope),
                    ("refresh_token", &identity),
                ];
                let mut form = url.clone();
                form.query_pairs_mut().clear().extend_pairs(fields);
                let body = form.query().unwrap_or_default().to_owned();
                self.client.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(body)
            }
            other => {
                let fields =
                    service.map(|service| ("service", service)).into_iter().chain([("scope", scope)]);
                url.query_pairs_mut().extend_pairs(fields);
                let request = self.client.get(url);
                match other {
                    Some(Login::Password { user, secret }) => {
                        let mut value = HeaderValue::from_str(&basic(&user, &secret))
                            .map_err(|_| useless("but the login is not text"))?;
                        value.set_sensitive(true);
                        request.header(AUTHORIZATION, value)
                    }
                    _ => request,
                }
            }
        };
        let response = self.send(request)?;
        if !response.status().is_success() {
            return Err(match self.refused(response) {
                TransferError::Absent(reason) => useless(&format!("and there {reason}")),
                other => other,
            });
        }
        let mut bytes = Vec::new();
        let read = response.take(MAX_WORDS).read_to_end(&mut bytes);
        read.map_err(|error| TransferError::passing(format!("the token broke off ({error})")))?;
        let token = serde_json::from_slice::<Token>(&bytes).ok();
        let token =
            token.and_then(|token| token.token.or(token.access_token)).filter(|token| !token.is_empty());
        token.ok_or_else(|| useless("which gives none"))
    }
}

fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{secret}").as_bytes()))
}
