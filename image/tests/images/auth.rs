//! Registries that want a login.

use crate::made::{Made, small};
use crate::places::{Place, read};
use crate::server::{ALWAYS, Door, Server, Wrong};
use anyarch_image::Credentials;
use data_encoding::BASE64;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

fn basic(login: &str) -> String {
    format!("Basic {}", BASE64.encode(login.as_bytes()))
}

fn server() -> Server {
    let mut made = Made::default();
    let image = small(&mut made, "linux/arm64", "it");
    Server::of(&made, &[("latest", &image)])
}

/// Has the logins in a file as docker writes it.
fn logged_in(place: &mut Place, text: &str) {
    let file = place.path("config.json");
    fs::write(&file, text).unwrap();
    place.options.access.credentials = Credentials::in_files(vec![file]);
}

fn entry(server: &Server, login: &str) -> String {
    let host = server.name("");
    let host = host.trim_end_matches('/');
    format!(r#"{{"auths":{{"{host}":{{"auth":"{}"}}}}}}"#, BASE64.encode(login.as_bytes()))
}

#[test]
fn a_token_is_had_without_a_login_where_none_is_wanted_and_anew_when_it_is_used_up() {
    let (place, server) = (Place::new(), server());
    server.door(Door::Token { login: None, serves: 1 });
    let root = place.root(&server.name("x"), None).unwrap();
    assert_eq!(read(&root, "etc/name"), "it");
    let tokens = server.asked("/token");
    assert_eq!(tokens.len(), 3, "manifest, config, layer");
    assert!(
        tokens[0].target.contains("service=it") && tokens[0].target.contains("scope=repository%3Ax%3Apull")
    );
    assert!(tokens.iter().all(|one| !one.headers.contains_key("authorization")));
}

#[test]
fn the_login_of_dockers_config_is_shown_to_the_registry_that_it_is_for() {
    for door in
        [Door::Token { login: Some(basic("me:pa:ss")), serves: ALWAYS }, Door::Basic(basic("me:pa:ss"))]
    {
        let (mut place, server) = (Place::new(), server());
        server.door(door.clone());
        let error = place.root(&server.name("x"), None).expect_err("no login");
        assert!(error.contains("docker login 127.0.0.1") || error.contains("401"), "{error}");
        logged_in(&mut place, &entry(&server, "me:wrong"));
        let error = place.root(&server.name("x"), None).expect_err("a wrong password");
        assert!(error.contains("401") && !error.contains("wrong"), "{error}");
        logged_in(&mut place, &entry(&server, "me:pa:ss"));
        place.root(&server.name("x"), None).unwrap_or_else(|error| panic!("{door:?}: {error}"));
        // Somebody else's login is not shown.
        let other = crate::auth::server();
        other.door(Door::Token { login: None, serves: ALWAYS });
        place.root(&other.name("x"), None).unwrap();
        assert!(other.asked("/token").iter().all(|one| !one.headers.contains_key("authorization")));
    }
}

#[test]
fn an_identity_is_changed_for_a_token() {
    let (mut place, server) = (Place::new(), server());
    server.door(Door::Token { login: Some("never".to_owned()), serves: ALWAYS });
    let host = server.name("");
    let text = format!(r#"{{"auths":{{"{}":{{"identitytoken":"identity"}}}}}}"#, host.trim_end_matches('/'));
    logged_in(&mut place, &text);
    place.root(&server.name("x"), None).unwrap();
    assert_eq!(server.asked("/token")[0].method, "POST");
}

/// The only test that changes what children see: nobody else here starts one by its name.
#[test]
fn a_helper_is_asked_by_its_name_and_never_by_a_shell() {
    let (mut place, server) = (Place::new(), server());
    server.door(Door::Basic(basic("helped:secret")));
    // Not where programs may not be run, as in `/dev/shm` of containers.
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    let host = server.name("").trim_end_matches('/').to_owned();
    let script = format!(
        "#!/bin/sh\nread -r server || :\n[ \"$1 $server\" = 'get {host}' ] || exit 1\n\
         echo '{{\"ServerURL\":\"x\",\"Username\":\"helped\",\"Secret\":\"secret\"}}'\n"
    );
    let program = folder.join("docker-credential-anyarch-test");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let text = format!(r#"{{"credHelpers":{{"{host}":"anyarch-test"}}}}"#);
    logged_in(&mut place, &text);
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let again = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "auth::child_that_pulls_with_a_helper", "--ignored", "--nocapture"])
        .env("PATH", path)
        .env("ANYARCH_TEST_PULL", server.name("x"))
        .env("ANYARCH_TEST_CONFIG", place.path("config.json"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout).into_owned() + &String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && said.contains("1 passed"), "{said}");
    assert!(!server.asked("blobs/").is_empty());
}

#[test]
#[ignore = "what another test runs, with a PATH of its own"]
fn child_that_pulls_with_a_helper() {
    let Some(name) = std::env::var_os("ANYARCH_TEST_PULL") else { return };
    let mut place = Place::new();
    let file = std::env::var_os("ANYARCH_TEST_CONFIG").unwrap();
    place.options.access.credentials = Credentials::in_files(vec![file.into()]);
    place.root(name.to_str().unwrap(), None).unwrap();
}

#[test]
fn a_login_does_not_follow_to_another_server() {
    let mut made = Made::default();
    let image = small(&mut made, "linux/arm64", "it");
    let other = Server::of(&made, &[]);
    let server = Server::of(&made, &[("latest", &image)]);
    let mut place = Place::new();
    logged_in(&mut place, &entry(&server, "me:secret"));
    server.door(Door::Basic(basic("me:secret")));
    // The server's first answer is its challenge: only what is asked after it is sent elsewhere.
    place.images();
    for digest in made.blobs.keys() {
        let to = format!(
            "http://localhost:{}/v2/x/blobs/{digest}",
            other.name("").trim_end_matches('/').rsplit(':').next().unwrap()
        );
        server.wrong(&format!("blobs/{digest}"), Wrong::Redirect(to), ALWAYS);
    }
    place.root(&server.name("x"), None).unwrap();
    let seen = other.asked("blobs/");
    assert_eq!(seen.len(), 2, "config and layer");
    assert!(seen.iter().all(|one| !one.headers.contains_key("authorization")));
    assert!(server.asked("blobs/").iter().all(|one| one.headers.contains_key("authorization")));
}

#[test]
fn a_token_that_is_late_is_waited_for_and_what_is_none_is_told() {
    for (wrong, times, reason) in [
        (Wrong::Status(503, None, ""), 1, None),
        (Wrong::Silence, 1, None),
        (Wrong::Status(503, None, ""), ALWAYS, Some("(3 tries)")),
        (Wrong::Status(200, None, "{}"), ALWAYS, Some("which gives none")),
        (Wrong::Status(200, None, r#"{"token":"two\nlines"}"#), ALWAYS, Some("not one word")),
        (Wrong::Status(404, None, ""), ALWAYS, Some("and there it answers 404")),
        (Wrong::Redirect("http://127.0.0.1:1/".to_owned()), ALWAYS, Some("Connection refused")),
    ] {
        let (place, server) = (Place::new(), server());
        server.door(Door::Token { login: None, serves: ALWAYS });
        server.wrong("/token", wrong.clone(), times);
        match (place.root(&server.name("x"), None), reason) {
            (Ok(root), None) => assert_eq!(read(&root, "etc/name"), "it"),
            (Err(error), Some(reason)) => assert!(error.contains(reason), "{wrong:?}: {error}"),
            (outcome, _) => panic!("{wrong:?}: {outcome:?}"),
        }
    }
}

#[test]
fn what_nobody_can_satisfy_is_told() {
    for (challenge, reason) in [
        ("Negotiate", "not supported"),
        ("Bearer realm=\"ftp://example.org/token\"", "not on https"),
        ("Bearer realm=\"no address\"", "no address"),
        ("Bearer realm=\"http://127.0.0.1:1/token\"", "does not answer"),
        ("Basic realm=\"x\"", "docker login"),
    ] {
        let (place, server) = (Place::new(), server());
        server.door(Door::Closed(challenge.to_owned()));
        let error = place.root(&server.name("x"), None).expect_err(challenge);
        assert!(error.contains(reason), "{challenge}: {error}");
    }
}

#[test]
fn a_config_that_cannot_be_understood_is_told_only_where_a_login_is_wanted() {
    let (mut place, server) = (Place::new(), server());
    logged_in(&mut place, "{");
    place.root(&server.name("x"), None).unwrap();
    let fresh = crate::auth::server();
    fresh.door(Door::Basic(basic("a:b")));
    let error = place.root(&fresh.name("x"), None).expect_err("it is wanted");
    assert!(error.contains("config.json cannot be used"), "{error}");
}
