//! Registries that images are pushed to, and that do not answer.

use crate::made::{Made, small};
use crate::places::{Place, hasty};
use anyarch_client::progress::Progress;
use anyarch_image::{Access, Reference, push};
use serde_json::json;
use std::net::TcpListener;
use std::time::{Duration, Instant};

#[test]
fn a_registry_that_takes_the_call_and_says_nothing_is_given_up() {
    let place = Place::new();
    let mut made = Made::default();
    let mut image = small(&mut made, "linux/arm64", "it");
    image["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    made.layout(&place.path("layout"), &[image]);
    // The system takes connections for it; nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let to: Reference = format!("{}/team/x", silent.local_addr().unwrap()).parse().unwrap();
    let access = Access { policy: hasty(), ..Access::default() };
    let began = Instant::now();
    let error = push(&place.path("layout"), &to, &access, &Progress::silent()).expect_err("nobody answers");
    let said = format!("{error:#}");
    assert!(said.contains("the images are not all pushed") && said.contains("127.0.0.1"), "{said}");
    assert!(said.contains("time"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
