//! Images in files: OCI layouts in folders and archives, and what `docker save` writes.

use crate::made::{Layer, Made, Packed, gzip, small};
use crate::places::{Place, read};
use anyarch_image::{Digest, Limits, Owners, Source};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// Packs a folder as an archive, as `tar -C FOLDER -c .` does.
fn archive(folder: &Path) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    builder.append_dir_all(".", folder).unwrap();
    builder.into_inner().unwrap()
}

fn named(mut image: Value, name: &str) -> Value {
    image["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    image
}

#[test]
fn a_layout_is_unpacked_from_a_folder_an_archive_and_a_packed_archive() {
    let place = Place::new();
    let mut made = Made::default();
    let image = small(&mut made, "linux/arm64/v8", "it");
    made.layout(&place.path("layout"), &[image]);
    let bytes = archive(&place.path("layout"));
    fs::write(place.path("plain.tar"), &bytes).unwrap();
    fs::write(place.path("packed.tar.gz"), gzip(&bytes)).unwrap();
    for name in ["layout", "plain.tar", "packed.tar.gz"] {
        let fresh = Place::new();
        let path = place.path(name).display().to_string();
        let root = fresh.root(&path, Some("linux/arm64")).unwrap();
        assert_eq!(read(&root, "etc/name"), "it", "{name}");
        assert_eq!(root.about().platform, "linux/arm64/v8");
        let error = fresh.root(&path, Some("linux/s390x")).expect_err(name);
        assert!(error.contains("not there for linux/s390x, but for linux/arm64/v8"), "{error}");
        let found = Source::at(&place.path(name), &Limits::default()).unwrap();
        assert_eq!(found, Some(Source::Files { path: place.path(name), name: None }), "{name}");
        fresh.assert_clean(1);
    }
}

#[test]
fn what_one_process_pulled_another_one_unpacks() {
    let place = Place::new();
    let mut made = Made::default();
    let image = small(&mut made, "linux/arm/v7", "it");
    made.layout(&place.path("layout"), &[image]);
    let images = place.images();
    let source = Source::named(&place.path("layout").display().to_string()).unwrap();
    let pulled = images.resolve(&source, None).unwrap().pull().unwrap();
    let about = pulled.about();
    assert!(pulled.file().is_file());
    // Where it came from is not looked at again.
    fs::remove_dir_all(place.path("layout")).unwrap();
    let again = place.images();
    let again = again.pulled(&about).unwrap();
    assert_eq!((again.about(), again.platform()), (about.clone(), pulled.platform()));
    let root = again.root(Owners::possible()).unwrap();
    assert_eq!((read(&root, "etc/name"), root.about()), ("it".to_owned(), &about));
    fs::remove_file(pulled.file()).unwrap();
    let lost = images.pulled(&about).err().unwrap().to_string();
    assert!(lost.contains("the cache has lost") && lost.contains("run the same command again"), "{lost}");
}

#[test]
fn one_of_several_images_is_named() {
    let place = Place::new();
    let mut made = Made::default();
    let images = ["one", "two"].map(|text| named(small(&mut made, "linux/arm64", text), text));
    made.layout(&place.path("layout"), &images);
    let path = place.path("layout").display().to_string();
    assert_eq!(read(&place.root(&format!("{path}:two"), None).unwrap(), "etc/name"), "two");
    let error = place.root(&path, None).expect_err("which one");
    assert!(error.contains("name one of one, two"), "{error}");
    let error = place.root(&format!("{path}:three"), None).expect_err("not there");
    assert!(error.contains("none is called three; there is one, two"), "{error}");
}

#[test]
fn a_platform_that_only_the_config_names_counts() {
    let place = Place::new();
    let mut made = Made::default();
    let mut image = small(&mut made, "linux/arm/v7", "it");
    image.as_object_mut().unwrap().remove("platform");
    made.layout(&place.path("layout"), &[image]);
    let path = place.path("layout").display().to_string();
    place.root(&path, Some("linux/arm")).unwrap();
    place.root(&path, None).unwrap();
    let error = place.root(&path, Some("linux/amd64")).expect_err("another");
    assert!(error.contains("not there for linux/amd64, but for linux/arm/v7"), "{error}");
}

/// An archive as docker wrote it before it took up OCI's layout: a layer that two images have is a link.
fn saved(layers: &[Vec<u8>], tags: &[&str]) -> Vec<u8> {
    let diffs: Vec<String> = layers.iter().map(|tar| Digest::of(tar).to_string()).collect();
    let config = json!({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": diffs}}).to_string();
    let ids: Vec<String> = (0..layers.len()).map(|n| format!("{n:064}")).collect();
    let paths: Vec<String> = ids.iter().map(|id| format!("{id}/layer.tar")).collect();
    let name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let list = json!([{"Config": name, "RepoTags": tags, "Layers": paths}]).to_string();
    let mut archive = Layer::new();
    for (at, (tar, path)) in layers.iter().zip(&paths).enumerate() {
        archive = if at > 0 && layers[at - 1] == *tar {
            archive.symlink(path, &format!("../{}/layer.tar", ids[at - 1]))
        } else {
            archive.raw(EntryType::Regular, path, "", 0o644, 0, tar)
        };
    }
    archive.file(&name, &config).file("manifest.json", &list).tar()
}

#[test]
fn what_docker_save_wrote_is_unpacked_and_its_layers_are_checked() {
    let place = Place::new();
    let layers = [
        Layer::new().file("a", "1").tar(),
        Layer::new().file("b", "2").tar(),
        Layer::new().file("b", "2").tar(),
    ];
    fs::write(place.path("saved.tar"), saved(&layers, &["x:1", "y:2"])).unwrap();
    let path = place.path("saved.tar").display().to_string();
    let root = place.root(&format!("docker-archive:{path}:y:2"), None).unwrap();
    assert_eq!((read(&root, "a"), read(&root, "b")), ("1".to_owned(), "2".to_owned()));
    assert!(Source::at(&place.path("saved.tar"), &Limits::default()).unwrap().is_some());
    let error = place.root(&format!("{path}:z"), None).expect_err("not there");
    assert!(error.contains("name one of these: x:1, y:2"), "{error}");

    let place = Place::new();
    let mut bytes = saved(&layers, &["x:1"]);
    // Behind the header of the layer, and of the file in it.
    bytes[1024] ^= 1;
    fs::write(place.path("saved.tar"), bytes).unwrap();
    let error = place.root(&place.path("saved.tar").display().to_string(), None).expect_err("changed");
    assert!(error.contains("wrong content"), "{error}");
    place.assert_clean(0);
}

#[test]
fn files_that_are_no_images_are_told_from_those_that_are() {
    let place = Place::new();
    fs::create_dir_all(place.path("root/etc")).unwrap();
    fs::write(place.path("root/etc/passwd"), "").unwrap();
    fs::write(place.path("root.tar"), archive(&place.path("root"))).unwrap();
    fs::write(place.path("text"), "hello").unwrap();
    for name in ["root", "root.tar"] {
        assert_eq!(Source::at(&place.path(name), &Limits::default()).unwrap(), None, "{name}");
        let error = place.root(&place.path(name).display().to_string(), None).expect_err(name);
        assert!(error.contains("neither an OCI layout nor an archive of images"), "{error}");
    }
    assert!(Source::at(&place.path("text"), &Limits::default()).is_err());
    assert!(Source::at(&place.path("missing"), &Limits::default()).is_err());
    let error = place.root(&place.path("missing").display().to_string(), None).expect_err("missing");
    assert!(error.contains("cannot read") && error.contains("No such file"), "{error}");
}

#[test]
fn a_hostile_layout_leads_nowhere_else() {
    // A blob that is a link to a file of the user's.
    let place = Place::new();
    let mut made = Made::default();
    let image = small(&mut made, "linux/arm64", "it");
    made.layout(&place.path("layout"), std::slice::from_ref(&image));
    let digest = image["digest"].as_str().unwrap().replace(':', "/");
    let blob = place.path("layout/blobs").join(digest);
    fs::rename(&blob, place.path("moved")).unwrap();
    std::os::unix::fs::symlink(place.path("moved"), &blob).unwrap();
    let error = place.root(&place.path("layout").display().to_string(), None).expect_err("a link");
    assert!(error.contains("it has no blobs/sha256/"), "{error}");

    // An archive whose lists name files outside of it, and one that has a file twice.
    let list = |config: &str| json!([{"Config": config, "Layers": []}]).to_string();
    let cases = [
        (Layer::new().file("manifest.json", &list("../../etc/passwd")), "leads elsewhere"),
        (Layer::new().file("manifest.json", &list("/etc/passwd")), "leads elsewhere"),
        (Layer::new().file("manifest.json", &list("c")).symlink("c", "/etc/passwd"), "it has no c"),
        (Layer::new().file("manifest.json", &list("c")).symlink("c", "c"), "it has no c"),
        (Layer::new().file("index.json", "{}").file("index.json", "{}"), "twice"),
        (Layer::new().file("index.json", "{}"), "index.json"),
    ];
    for (archive, reason) in cases {
        fs::write(place.path("x.tar"), archive.tar()).unwrap();
        let error = place.root(&place.path("x.tar").display().to_string(), None).expect_err(reason);
        assert!(error.contains(reason), "{reason}: {error}");
    }
    place.assert_clean(0);
}

#[test]
fn an_index_that_leads_from_index_to_index_is_refused() {
    let place = Place::new();
    let mut made = Made::default();
    let mut image = small(&mut made, "linux/arm64", "it");
    for _ in 0..5 {
        image = made.index(&[image]);
    }
    made.layout(&place.path("layout"), &[image]);
    let error = place.root(&place.path("layout").display().to_string(), None).expect_err("deep");
    assert!(error.contains("from index to index"), "{error}");
}

#[test]
fn a_name_that_fills_more_than_a_header_is_understood() {
    let mut header = Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    let mut builder = Builder::new(Vec::new());
    let long = format!("{}/file", "folder".repeat(30));
    builder.append_data(&mut header, &long, &b"long"[..]).unwrap();
    let place = Place::new();
    let mut made = Made::default();
    let image = made.image("linux/arm64", &[(builder.into_inner().unwrap(), Packed::Plain)]);
    made.layout(&place.path("layout"), &[image]);
    let root = place.root(&place.path("layout").display().to_string(), None).unwrap();
    assert_eq!(read(&root, &long), "long");
}
