//! The trailer `Topic: NAME`, by which a commit says which folder its patch belongs to. It is in commits
//! alone: the folder says it of a patch.

use crate::facts::Topic;
use anyhow::{Context as _, Result, bail};

const KEY: &str = "Topic: ";

/// The topic that a commit's message says, if it says one. A commit that was squashed together from several
/// says it several times.
pub fn topic_of(message: &str) -> Result<Option<Topic>> {
    let mut found: Option<Topic> = None;
    for name in message.lines().filter_map(|line| line.strip_prefix(KEY)) {
        let topic = name.trim().parse()?;
        if found.is_some_and(|found| found != topic) {
            bail!("it names more than one topic: split the commit, or keep one `{KEY}...` line");
        }
        found = Some(topic);
    }
    Ok(found)
}

/// A patch as `git format-patch` makes it, with the trailer at the end of its message.
pub fn with_topic(mail: &[u8], topic: Topic) -> Result<Vec<u8>> {
    let (headers, message, rest) = split(mail)?;
    let blank = if ends_with_trailers(message) || message.is_empty() { "" } else { "\n" };
    Ok([headers, format!("{message}{blank}{KEY}{topic}\n").as_bytes(), rest].concat())
}

/// Removes the trailer from such a patch.
pub fn without_topic(mail: &[u8]) -> Result<Vec<u8>> {
    let (headers, message, rest) = split(mail)?;
    let kept: String = message.split_inclusive('\n').filter(|line| !line.starts_with(KEY)).collect();
    let kept = match kept.trim_end() {
        "" => String::new(),
        // Where it stood between two paragraphs, one blank line is enough.
        text => format!("{}\n", text.replace("\n\n\n", "\n\n")),
    };
    Ok([headers, kept.as_bytes(), rest].concat())
}

/// The headers with the blank line after them, the message, and what begins with `---`.
fn split(mail: &[u8]) -> Result<(&[u8], &str, &[u8])> {
    const NO_MAIL: &str = "it is not a patch as `git format-patch` writes it";
    let start = find(mail, b"\n\n").context(NO_MAIL)? + 2;
    let length = match mail[start..].starts_with(b"---\n") {
        true => 0,
        false => find(&mail[start..], b"\n---\n").context(NO_MAIL)? + 1,
    };
    let message = str::from_utf8(&mail[start..start + length]).context("its message is not UTF-8")?;
    Ok((&mail[..start], message, &mail[start + length..]))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Whether the last paragraph is of lines such as `Fixes: ...`, which another one joins.
fn ends_with_trailers(message: &str) -> bool {
    let last = message.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let is_trailer = |line: &str| {
        let key = line.split_once(": ").map_or("", |(key, _)| key);
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    last.lines().all(is_trailer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(message: &str) -> String {
        format!(
            "From 0 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] x\n\n{message}---\n a | 1 +\n"
        )
    }

    #[test]
    fn the_topic_joins_other_trailers_and_leaves_no_trace() {
        let cases = [
            ("", "Topic: fast\n"),
            (
                "Why: a reason\nthat takes two lines.\n",
                "Why: a reason\nthat takes two lines.\n\nTopic: fast\n",
            ),
            ("Why.\n\nFixes: 1234 (\"x\")\n", "Why.\n\nFixes: 1234 (\"x\")\nTopic: fast\n"),
        ];
        for (without, with) in cases {
            let made = with_topic(mail(without).as_bytes(), Topic::Fast).expect("a mail");
            assert_eq!(String::from_utf8_lossy(&made), mail(with));
            let back = without_topic(&made).expect("a mail");
            assert_eq!(String::from_utf8_lossy(&back), mail(without));
            assert_eq!(topic_of(with).expect("read"), Some(Topic::Fast));
        }
        let squashed = mail("One.\n\nTopic: fast\n\nTwo.\n\nTopic: fast\n");
        let back = without_topic(squashed.as_bytes()).expect("a mail");
        assert_eq!(String::from_utf8_lossy(&back), mail("One.\n\nTwo.\n"));
    }

    #[test]
    fn what_a_patch_changes_is_left_alone_whatever_it_looks_like() {
        let odd = [mail("Why.\n").as_bytes(), b"+Topic: fast\n\xff\n---\n"].concat();
        let made = with_topic(&odd, Topic::Fixes).expect("a mail");
        assert!(made.ends_with(b" a | 1 +\n+Topic: fast\n\xff\n---\n"));
        assert_eq!(without_topic(&made).expect("a mail"), odd);
        assert!(with_topic(b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", Topic::Fixes).is_err(), "no mail");
    }

    #[test]
    fn a_message_says_one_topic_or_none() {
        assert_eq!(topic_of("x\n\nWhy.\n").expect("read"), None);
        assert_eq!(topic_of("x\n\nTopic: fixes\n\ny\n\nTopic: fixes\n").expect("read"), Some(Topic::Fixes));
        let two = topic_of("x\n\nTopic: fixes\nTopic: fast\n").expect_err("refused").to_string();
        assert!(two.contains("more than one topic"), "{two}");
        let unknown = topic_of("x\n\nTopic: speed\n").expect_err("refused").to_string();
        assert!(unknown.contains("no topic `speed`") && unknown.contains("execve fast fixes"), "{unknown}");
    }
}
