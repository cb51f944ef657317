//! Answers of servers, sorted by what can be done about them. Nobody believes a byte of one before it was checked.

use crate::http;
use reqwest::StatusCode;
use reqwest::blocking::Response;
use reqwest::header::{CONTENT_RANGE, HeaderMap, RETRY_AFTER};
use std::io::Read;
use std::time::Duration;

/// Why a transfer failed. The variant says what to do next.
#[derive(Debug)]
pub enum TransferError {
    /// Another try helps, after a while.
    Passing {
        /// What was seen, for the user.
        reason: String,
        /// For how long the server asks not to be asked again.
        wait: Option<Duration>,
        /// How many bytes of the file the try brought nevertheless.
        brought: u64,
    },
    /// Another try for the whole file helps: the server gives no parts, or wrong ones. The text is for the user.
    NoPart(String),
    /// Another mirror helps: this one does not have the file. The text is for the user.
    Absent(String),
    /// Another mirror helps, if there is one: this one is slow. The text is for the user.
    Slow(String),
    /// Another mirror helps, for this and all other files. The text is for the user.
    Useless(String),
    /// No mirror helps: something on this machine failed.
    Ours(anyhow::Error),
}

impl TransferError {
    /// A [`TransferError::Passing`] after which the server asks for no wait, and which brought no byte.
    pub fn passing(reason: impl Into<String>) -> Self {
        Self::Passing { reason: reason.into(), wait: None, brought: 0 }
    }
}

/// An answer: a file, or the rest of one.
pub struct Body {
    /// The offset of the first byte of the answer in the file: the one that was asked for, or 0.
    pub from: u64,
    /// The size of the whole file in bytes, if the server says it.
    pub whole: Option<u64>,
    /// The bytes of the answer. They may end early, or never.
    pub bytes: Box<dyn Read>,
}

/// The body of an answer to a question for a file from the byte at offset `from` on.
///
/// # Errors
/// When the server refuses, or sends another part than that: what then helps says the kind of [`TransferError`].
pub fn body(response: Response, from: u64) -> Result<Body, TransferError> {
    match response.status() {
        StatusCode::OK => Ok(Body { from: 0, whole: response.content_length(), bytes: Box::new(response) }),
        StatusCode::PARTIAL_CONTENT if from > 0 => part(response, from),
        status => Err(refusal(status, response.headers())),
    }
}

/// The answer to a question for a part; another part than that is of no use.
fn part(response: Response, from: u64) -> Result<Body, TransferError> {
    let range =
        response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).and_then(content_range);
    match range {
        Some((first, whole)) if first == from => Ok(Body { from, whole, bytes: Box::new(response) }),
        _ => {
            Err(TransferError::NoPart(format!("it was asked for the bytes from {from} on, but sent others")))
        }
    }
}

/// `bytes 10-99/100` as the first byte and the size of the whole, which may be `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (bounds, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = bounds.split_once('-')?;
    Some((first.parse().ok()?, whole.parse().ok()))
}

/// What helps after an answer that brings nothing.
pub fn refusal(status: StatusCode, headers: &HeaderMap) -> TransferError {
    let passes = status.is_server_error()
        || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS]
            .contains(&status);
    let reason = format!("it answers {status}");
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        return TransferError::NoPart(reason);
    }
    if !passes {
        return TransferError::Absent(reason);
    }
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    TransferError::Passing { reason, wait: seconds.map(Duration::from_secs), brought: 0 }
}

/// The last cause: the others say again which address was asked.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    let said = last.to_string();
    let advice = if said.contains("certificate") { http::advice() } else { "" };
    said + advice
}

/// What a server said, for a terminal that it must not speak to.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_where_it_begins_and_how_big_the_whole_is() {
        assert_eq!(content_range("bytes 10-99/100"), Some((10, Some(100))));
        assert_eq!(content_range("bytes 10-99/*"), Some((10, None)));
        for bad in ["", "bytes", "bytes */100", "10-99/100", "bytes x-99/100"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_server_says_cannot_reach_the_terminal_as_more_than_text() {
        assert_eq!(printable("a\u{1b}[31mb\r\nc\u{9b}"), "a?[31mb?\nc?");
    }
}
