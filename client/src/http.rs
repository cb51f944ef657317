//! The client for HTTP and HTTPS: how long it waits, whom it trusts, and where it lets itself be led.

use anyhow::{Context as _, Result};
use reqwest::Url;
use reqwest::blocking::{Client, ClientBuilder};
use reqwest::redirect::Policy;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long to wait for a connection to a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A download that receives nothing for this long is given up.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Limit of redirections for one download.
const MAX_REDIRECTIONS: usize = 10;

/// A client with the proxies and the certificates of the machine. No answer, or no further byte of one, for as long
/// as `stall` is an error. What was asked over HTTPS is not taken over plain HTTP.
///
/// # Errors
/// When a proxy that the environment names is none, or TLS cannot be set up.
pub fn client(stall: Duration) -> Result<Client> {
    built(|| builder(stall))
}

/// The same for servers on this machine, which no proxy can reach.
///
/// # Errors
/// When TLS cannot be set up.
pub fn local_client(stall: Duration) -> Result<Client> {
    built(|| builder(stall).no_proxy())
}

/// Whether a client of this process trusts nobody, since the machine has no certificates: an image with one program in it,
/// say. Folders and plain HTTP need none.
static WITHOUT_CERTIFICATES: AtomicBool = AtomicBool::new(false);

fn built(builder: impl Fn() -> ClientBuilder) -> Result<Client> {
    builder().build().or_else(|error| {
        WITHOUT_CERTIFICATES.store(true, Ordering::SeqCst);
        builder().tls_certs_only([]).build().map_err(|_| error).context("cannot set up HTTPS")
    })
}

/// What helps where a server's certificate is not believed.
pub fn advice() -> &'static str {
    match WITHOUT_CERTIFICATES.load(Ordering::SeqCst) {
        true => {
            "; this machine has no certificates of authorities: apt-get install ca-certificates, or set SSL_CERT_FILE \
             (in a container, mount /etc/ssl/certs/ca-certificates.crt)"
        }
        false => "",
    }
}

fn builder(stall: Duration) -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    // A second installation only says that there is one already.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(stall)
        .redirect(redirects())
        .user_agent(concat!("anyarch/", env!("CARGO_PKG_VERSION")))
}

fn redirects() -> Policy {
    Policy::custom(|attempt| {
        if is_downgrade(attempt.previous(), attempt.url()) {
            let to = attempt.url().scheme().to_owned();
            attempt.error(format!("it redirects from https to {to}"))
        } else if attempt.previous().len() > MAX_REDIRECTIONS {
            attempt.error("it redirects too often")
        } else {
            attempt.follow()
        }
    })
}

/// Whether somebody on the way could put in what they like.
fn is_downgrade(previous: &[Url], next: &Url) -> bool {
    next.scheme() != "https" && previous.iter().any(|url| url.scheme() == "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_over_https_is_not_taken_over_http() {
        let url = |text: &str| Url::parse(text).expect("an address");
        let (tls, plain) = ([url("https://example.org")], [url("http://example.org")]);
        assert!(is_downgrade(&tls, &plain[0]) && !is_downgrade(&tls, &tls[0]));
        assert!(!is_downgrade(&plain, &tls[0]) && !is_downgrade(&plain, &plain[0]));
        assert!(is_downgrade(&[plain[0].clone(), tls[0].clone()], &plain[0]), "on the way back, too");
    }
}
