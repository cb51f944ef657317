//! Registries that are down, slow, busy, or send what they must not.

use crate::made::{Layer, Made, Packed, small};
use crate::places::{Place, read};
use crate::server::{ALWAYS, Server, Wrong};
use anyarch_image::{Ask, Source};
use serde_json::json;
use std::time::{Duration, Instant};

/// Bytes that do not pack.
fn noise(size: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + u8::try_from((state >> 33) % 90).unwrap())
    };
    (0..size).map(|_| next()).collect()
}

/// An index of two platforms, with one layer of some size for arm64.
fn two_platforms(made: &mut Made) -> serde_json::Value {
    let tar = Layer::new().file("etc/name", "arm64").file("noise", &noise(200_000)).tar();
    let arm64 = made.image("linux/arm64/v8", &[(tar, Packed::Gzip)]);
    let riscv64 = small(made, "linux/riscv64", "riscv64");
    made.index(&[arm64, riscv64])
}

/// The digest of the biggest blob: the layer.
fn layer(made: &Made) -> String {
    made.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().0.clone()
}

#[test]
fn an_image_is_pulled_for_the_platform_and_the_second_run_asks_nobody() {
    let place = Place::new();
    let mut made = Made::default();
    let index = two_platforms(&mut made);
    let server = Server::of(&made, &[("latest", &index)]);
    let root = place.root(&server.name("x"), Some("linux/riscv64")).unwrap();
    assert_eq!(read(&root, "etc/name"), "riscv64");
    assert!(server.asked(&layer(&made)).is_empty(), "the other platform's layer is not needed");
    let error = place.root(&server.name("x"), Some("linux/s390x")).expect_err("not there");
    assert!(error.contains("not there for linux/s390x, but for linux/arm64/v8, linux/riscv64"), "{error}");

    let before = server.asked("").len();
    let name = server.name("x");
    drop(server);
    assert!(before > 3);
    let again = place.root(&name, Some("linux/riscv64")).unwrap();
    assert_eq!(again.path(), root.path());
    place.assert_clean(1);
}

#[test]
fn what_the_image_says_about_its_program_comes_with_it() {
    let place = Place::new();
    let mut made = Made::default();
    let image = small(&mut made, "linux/arm64", "it");
    let server = Server::of(&made, &[("latest", &image)]);
    let images = place.images();
    let source = Source::named(&server.name("x")).unwrap();
    let pulled = images.resolve(&source, None).unwrap().pull().unwrap();
    let run = pulled.run();
    assert_eq!(run.command(&[]), ["/entry", "word"]);
    assert_eq!((run.user.as_str(), run.working_dir.as_str()), ("1000", "/w"));
    assert_eq!(pulled.platform().target().map(|target| target.name), Some("aarch64"));
    assert_eq!(pulled.digest().to_string(), image["digest"]);
}

#[test]
fn a_name_may_mean_something_newer_for_those_who_ask_always() {
    let mut place = Place::new();
    let mut made = Made::default();
    let (old, new) = (small(&mut made, "linux/arm64", "old"), small(&mut made, "linux/arm64", "new"));
    let server = Server::of(&made, &[("latest", &old)]);
    let other = Server::of(&made, &[("latest", &new), ("x", &old)]);
    let name = server.name("x");
    assert_eq!(read(&place.root(&name, None).unwrap(), "etc/name"), "old");
    // The same registry says something else now.
    server.wrong(
        "manifests/latest",
        Wrong::Other(made.blobs[new["digest"].as_str().unwrap()].clone()),
        ALWAYS,
    );
    assert_eq!(read(&place.root(&name, None).unwrap(), "etc/name"), "old");
    place.options.ask = Ask::Always;
    assert_eq!(read(&place.root(&name, None).unwrap(), "etc/name"), "new");
    let pinned = other.name(&format!("x@{}", old["digest"].as_str().unwrap()));
    assert_eq!(read(&place.root(&pinned, None).unwrap(), "etc/name"), "old");
    place.assert_clean(2);
}

#[test]
fn a_registry_that_recovers_is_waited_for_and_a_layer_goes_on_where_it_broke_off() {
    let mut made = Made::default();
    let index = two_platforms(&mut made);
    let digest = layer(&made);
    for wrong in [
        Wrong::Status(503, None, ""),
        Wrong::Status(429, Some(1), ""),
        Wrong::Silence,
        Wrong::Cut(100_000),
        Wrong::Stall(100_000),
        Wrong::Bytes,
    ] {
        let place = Place::new();
        let server = Server::of(&made, &[("latest", &index)]);
        server.wrong(&digest, wrong.clone(), 1);
        server.wrong("manifests/latest", Wrong::Status(502, None, ""), 1);
        let begun = Instant::now();
        let root =
            place.root(&server.name("x"), Some("arm64")).unwrap_or_else(|error| panic!("{wrong:?}: {error}"));
        assert_eq!(read(&root, "etc/name"), "arm64");
        let asked = server.asked(&digest);
        assert_eq!(asked.len(), 2, "{wrong:?}");
        let range = asked[1].headers.get("range").map(String::as_str);
        let goes_on = matches!(wrong, Wrong::Cut(_) | Wrong::Stall(_));
        assert_eq!(range, goes_on.then_some("bytes=100000-"), "{wrong:?}");
        if matches!(wrong, Wrong::Status(429, ..)) {
            assert!(begun.elapsed() >= Duration::from_secs(1), "it asked to wait");
        }
        place.assert_clean(1);
    }
}

#[test]
fn a_registry_that_does_not_recover_is_told_with_its_reason() {
    let mut made = Made::default();
    let index = two_platforms(&mut made);
    let digest = layer(&made);
    let busy = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow \u001b[31mdown"}]}"#;
    let denied = r#"{"errors":[{"code":"DENIED","message":"requested access is denied"}]}"#;
    let manifests = "manifests/";
    for (part, wrong, reasons) in [
        (manifests, Wrong::Status(429, None, busy), &["429", "slow ?[31mdown", "docker login 127.0.0.1"][..]),
        (manifests, Wrong::Status(429, Some(900), ""), &["asks to wait 900 s"]),
        (manifests, Wrong::Status(500, None, ""), &["500", "(3 tries)"]),
        (manifests, Wrong::Status(403, None, denied), &["403", "denied", "wants another login"]),
        (manifests, Wrong::Silence, &["does not answer", "(3 tries)"]),
        (manifests, Wrong::Stall(10), &["(3 tries)"]),
        (manifests, Wrong::Endless, &["more than 4.19 MB"]),
        (manifests, Wrong::Other(b"<html>".to_vec()), &["cannot be read"]),
        (manifests, Wrong::Other(br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec()), &["gave up in 2019"]),
        (manifests, Wrong::Redirect("http://127.0.0.1:1/".to_owned()), &["cannot be reached"]),
        (&digest, Wrong::Bytes, &["wrong content", "layer 1 of 1"]),
        (&digest, Wrong::Cut(900), &["(3 tries)", "after"]),
        (&digest, Wrong::Other(b"short".to_vec()), &["wrong size"]),
        (&digest, Wrong::Status(404, None, ""), &["404"]),
        (&digest, Wrong::Endless, &[]),
    ] {
        let place = Place::new();
        let server = Server::of(&made, &[("latest", &index)]);
        server.wrong(part, wrong.clone(), ALWAYS);
        let outcome = place.root(&server.name("x"), Some("arm64"));
        if wrong == Wrong::Endless && part == digest {
            // What comes behind the layer is not read.
            outcome.unwrap();
            continue;
        }
        let error = outcome.expect_err(&format!("{wrong:?}"));
        for reason in reasons {
            assert!(error.contains(reason), "{wrong:?}: {reason}: {error}");
        }
        assert!(error.contains("127.0.0.1") && !error.contains('\u{1b}'), "{error}");
        place.assert_clean(0);
        // It is not in the way of the next run, which goes on where this one ended.
        server.mend();
        let before = server.asked(&digest).len();
        place.root(&server.name("x"), Some("arm64")).unwrap();
        let range = server.asked(&digest)[before].headers.get("range").cloned();
        let goes_on = matches!(wrong, Wrong::Cut(_));
        assert_eq!(range.as_deref(), goes_on.then_some("bytes=2700-"), "{wrong:?}");
    }
}

#[test]
fn what_is_not_there_is_told_and_a_registry_that_is_down_is_not_waited_for() {
    let place = Place::new();
    let mut made = Made::default();
    let image = small(&mut made, "linux/arm64", "it");
    let server = Server::of(&made, &[("latest", &image)]);
    let error = place.root(&server.name("x:v2"), None).expect_err("no such tag");
    assert!(error.contains("404") && error.contains("manifest unknown") && error.contains("x:v2"), "{error}");
    let begun = Instant::now();
    let error = place.root("127.0.0.1:1/x", None).expect_err("nobody is there");
    assert!(error.contains("cannot be reached"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_digest_in_the_name_is_what_counts() {
    let place = Place::new();
    let mut made = Made::default();
    let (one, other) = (small(&mut made, "linux/arm64", "one"), small(&mut made, "linux/arm64", "other"));
    let server = Server::of(&made, &[("latest", &one)]);
    server.wrong("manifests/sha256", Wrong::Other(made.blobs[other["digest"].as_str().unwrap()].clone()), 1);
    let name = server.name(&format!("x@{}", one["digest"].as_str().unwrap()));
    let error = place.root(&name, None).expect_err("another");
    assert!(error.contains("wrong content"), "{error}");
    assert_eq!(read(&place.root(&name, None).unwrap(), "etc/name"), "one");
}

#[test]
fn a_config_that_lies_about_its_size_or_is_another_is_refused() {
    let mut made = Made::default();
    let tar = Layer::new().file("x", "").tar();
    let image = made.image("linux/arm64", &[(tar, Packed::Gzip)]);
    let manifest: serde_json::Value =
        serde_json::from_slice(&made.blobs[image["digest"].as_str().unwrap()]).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap();
    let other = json!({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": []}}).to_string();
    let server = Server::of(&made, &[("latest", &image)]);
    server.wrong(config, Wrong::Other(other.into_bytes()), 1);
    let place = Place::new();
    let error = place.root(&server.name("x"), None).expect_err("another");
    assert!(error.contains("wrong content"), "{error}");
    place.root(&server.name("x"), None).unwrap();

    let mut lying = manifest.clone();
    lying["config"]["size"] = 5.into();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let lying = made.blob(lying.to_string().into_bytes(), kind);
    let server = Server::of(&made, &[("latest", &lying)]);
    let error = Place::new().root(&server.name("x"), None).expect_err("a size that is none");
    assert!(error.contains("wrong size"), "{error}");
}

#[test]
fn a_blob_that_changes_in_the_cache_is_found_out_and_got_anew() {
    let place = Place::new();
    let mut made = Made::default();
    let index = two_platforms(&mut made);
    let server = Server::of(&made, &[("latest", &index)]);
    drop(place.root(&server.name("x"), Some("arm64")).unwrap());
    let one = place.images().roots().unwrap().remove(0);
    one.remove().unwrap();
    let path = place.path("cache/images/blobs").join(layer(&made).replace(':', "/"));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() - 5;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = place.root(&server.name("x"), Some("arm64")).expect_err("changed");
    assert!(
        error.contains("has changed in the cache") && error.contains("run the same command again"),
        "{error}"
    );
    let root = place.root(&server.name("x"), Some("arm64"));
    assert_eq!(read(&root.unwrap(), "etc/name"), "arm64");
}

#[test]
fn a_root_in_use_is_not_removed() {
    let place = Place::new();
    let mut made = Made::default();
    let image = small(&mut made, "linux/arm64", "it");
    let server = Server::of(&made, &[("latest", &image)]);
    let root = place.root(&server.name("x"), None).unwrap();
    let list = || place.images().roots().unwrap();
    assert_eq!(list()[0].about, *root.about());
    let error = list().remove(0).remove().expect_err("in use").to_string();
    assert!(error.contains("is in use"), "{error}");
    drop(root);
    list().remove(0).remove().unwrap();
    assert!(list().is_empty());
    place.assert_clean(0);
}
