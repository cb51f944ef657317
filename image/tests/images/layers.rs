//! Layers: what they put, replace and take away, and what is refused of hostile ones.

use crate::made::{Layer, Made, Packed, gzip};
use crate::places::{Place, read, tree};
use crate::wants;
use anyarch_client::files;
use anyarch_image::{Limits, Owners, Root};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use tar::EntryType;

/// Unpacks an image of these layers, each packed in another way.
fn unpack_for(place: &Place, layers: Vec<Vec<u8>>, owners: Owners) -> Result<Root, String> {
    let ways = [Packed::Gzip, Packed::Plain, Packed::Zstd];
    let layers: Vec<_> = layers.into_iter().zip(ways.into_iter().cycle()).collect();
    let mut made = Made::default();
    let image = made.image("linux/arm64", &layers);
    let layout = place.path("layout");
    made.layout(&layout, &[image]);
    place.root_for(&layout.display().to_string(), None, owners)
}

fn unpack(place: &Place, layers: Vec<Vec<u8>>) -> Result<Root, String> {
    unpack_for(place, layers, Owners::Squashed)
}

#[test]
fn files_that_higher_layers_take_away_are_gone() {
    let place = Place::new();
    let lower = Layer::new().file("a/x", "1").file("a/y", "2").file("b/c/z", "3").file("d", "4");
    // umoci also names what was in a folder that is a file now.
    let upper = Layer::new()
        .file("a/.wh.x", "")
        .file(".wh.b", "")
        .file("a/new", "5")
        .file("d/.wh.x", "")
        .file(".wh.never", "")
        .file("no/.wh.z", "");
    let root = unpack(&place, vec![lower.tar(), upper.tar()]).unwrap();
    assert_eq!(tree(&root.path()), ["a", "a/new", "a/y", "d"]);
}

#[test]
fn an_opaque_folder_hides_lower_layers_and_nothing_of_its_own() {
    let place = Place::new();
    let lower = Layer::new().file("d/one", "1").file("d/sub/two", "2").file("e/three", "3");
    // Own files stand before and behind the marks.
    let upper = Layer::new()
        .file("d/before", "")
        .file("d/sub/before", "")
        .file("d/.wh..wh..opq", "")
        .file("d/behind", "")
        .file("e/own", "")
        .file("e/.wh.own", "")
        .file("e/.wh..wh.plnk", "");
    let root = unpack(&place, vec![lower.tar(), upper.tar()]).unwrap();
    let expected = ["d", "d/before", "d/behind", "d/sub", "d/sub/before", "e", "e/own", "e/three"];
    assert_eq!(tree(&root.path()), expected);
}

#[test]
fn whatever_is_there_is_replaced_by_whatever_comes() {
    let place = Place::new();
    let lower = Layer::new()
        .file("file", "old")
        .file("folder/below", "old")
        .file("kept/below", "old")
        .file("target/x", "untouched")
        .symlink("link-to-folder", "target")
        .symlink("link-to-file", "target/x")
        .hard_link("name", "target/x");
    let upper = Layer::new()
        .folder("file")
        .file("file/below", "new")
        .file("folder", "new")
        .folder("kept")
        .folder("link-to-folder/")
        .file("link-to-file", "new")
        .file("name", "new");
    let root = unpack(&place, vec![lower.tar(), upper.tar()]).unwrap();
    for (path, text) in [
        ("file/below", "new"),
        ("folder", "new"),
        ("kept/below", "old"),
        ("target/x", "untouched"),
        ("link-to-file", "new"),
        ("name", "new"),
    ] {
        assert_eq!(read(&root, path), text, "{path}");
    }
    for path in ["link-to-folder", "link-to-file"] {
        assert!(!fs::symlink_metadata(root.path().join(path)).unwrap().is_symlink(), "{path}");
    }
}

#[test]
fn links_lead_where_they_would_in_the_root_and_hard_links_share_their_file() {
    let place = Place::new();
    let lower = Layer::new()
        .folder("usr/lib")
        .symlink("lib", "usr/lib")
        .symlink("run", "/var/run")
        .symlink("var/up", "../usr/../usr");
    let upper = Layer::new()
        .file("lib/x", "1")
        .file("run/y", "2")
        .file("var/up/z", "3")
        .hard_link("other", "/lib/x")
        .file("/absolute", "4");
    let root = unpack(&place, vec![lower.tar(), upper.tar()]).unwrap();
    for (path, text) in
        [("usr/lib/x", "1"), ("var/run/y", "2"), ("usr/z", "3"), ("other", "1"), ("absolute", "4")]
    {
        assert_eq!(read(&root, path), text, "{path}");
    }
    let inode = |path: &str| fs::metadata(root.path().join(path)).unwrap().ino();
    assert_eq!(inode("usr/lib/x"), inode("other"));
}

#[test]
fn what_is_hostile_is_refused_and_leaves_nothing() {
    let deep = "d/".repeat(250);
    let sparse = Layer::new().raw(EntryType::GNUSparse, "x", "", 0o644, 0, b"");
    let cases: [(Layer, &str); 16] = [
        (Layer::new().file("../evil", ""), "`..`"),
        (Layer::new().file("a/../../evil", ""), "`..`"),
        (Layer::new().folder("a/../.."), "`..`"),
        (Layer::new().symlink("../evil", "x"), "`..`"),
        (Layer::new().hard_link("x", "../evil"), "`..`"),
        (Layer::new().hard_link("x", "/etc/passwd"), "not there"),
        (Layer::new().symlink("out", "/../../../").hard_link("x", "out/etc/passwd"), "not there"),
        (Layer::new().folder("f").hard_link("x", "f"), "a further name for a folder"),
        (Layer::new().file("a/.wh...", ""), "takes away no file"),
        (Layer::new().file(".wh..", ""), "takes away no file"),
        (Layer::new().symlink("./", "/tmp"), "the root is no folder"),
        (Layer::new().file("a", "").file("a/b", ""), "is a file, and something shall be below it"),
        (Layer::new().symlink("a", "b").symlink("b", "a").file("a/x", ""), "links on the way"),
        (Layer::new().said("path", deep.as_bytes()).folder("x"), "in one another"),
        (Layer::new().raw(EntryType::new(b'V'), "volume", "", 0, 0, b""), "neither a file"),
        (sparse, "holes"),
    ];
    for (layer, reason) in cases {
        let place = Place::new();
        let good = Layer::new().file("first", "x").tar();
        let error = unpack(&place, vec![good, layer.tar()]).expect_err(reason);
        assert!(error.contains(reason) && error.contains("layer 2"), "{reason}: {error}");
        place.assert_clean(0);
        assert!(!place.path("evil").exists() && !place.path("cache/evil").exists());
    }
}

#[test]
fn a_link_that_leads_out_is_kept_and_never_followed() {
    let place = Place::new();
    let outside = place.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "alive").unwrap();
    let up = "../".repeat(30) + outside.to_str().unwrap().trim_start_matches('/');
    let (up, abs) = (up.as_bytes(), outside.to_str().unwrap().as_bytes());
    let lower = Layer::new().said("linkpath", up).symlink("up", "").said("linkpath", abs).symlink("abs", "");
    let upper = Layer::new()
        .file("up/evil", "")
        .file("abs/evil", "")
        .file("up/victim", "overwritten")
        .file("up/.wh.victim", "")
        .file("abs/.wh..wh..opq", "")
        .raw(EntryType::Directory, "abs/sub", "", 0o777, 0, b"");
    let root = unpack(&place, vec![lower.tar(), upper.tar()]).unwrap();
    assert_eq!(tree(&outside), ["victim"]);
    assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "alive");
    assert_eq!(fs::read_link(root.path().join("abs")).unwrap(), outside);
    let inside = root.path().join(outside.strip_prefix("/").unwrap());
    assert_eq!(tree(&inside), ["evil", "sub", "victim"], "in the root, it leads to the same name");
}

#[test]
fn devices_are_left_out_and_pipes_are_made() {
    let place = Place::new();
    let layer = Layer::new()
        .raw(EntryType::Char, "dev/null", "", 0o666, 0, b"")
        .raw(EntryType::Block, "disk", "", 0o666, 0, b"")
        .raw(EntryType::Fifo, "pipe", "", 0o644, 0, b"");
    let root = unpack_for(&place, vec![layer.tar()], Owners::possible()).unwrap();
    assert_eq!(tree(&root.path()), ["pipe"]);
    assert!(fs::metadata(root.path().join("pipe")).unwrap().file_type().is_fifo());
}

#[test]
fn an_ordinary_user_gets_no_file_that_hands_out_their_rights() {
    let place = Place::new();
    let layer = Layer::new()
        .raw(EntryType::Regular, "su", "", 0o6755, 0, b"x")
        .raw(EntryType::Directory, "tmp", "", 0o7777, 5, b"")
        .said("SCHILY.xattr.security.capability", b"\x01\0\0\x02\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
        .file("ping", "");
    let root = unpack(&place, vec![layer.tar()]).unwrap();
    let mode = |name: &str| fs::metadata(root.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("su"), mode("tmp")), (0o755, 0o1777));
    let me = rustix::process::geteuid().as_raw();
    assert_eq!(fs::metadata(root.path().join("tmp")).unwrap().uid(), me);
    assert_eq!(xattr(&root, "ping", "security.capability"), None);
    // Nobody else comes near them, in either case.
    let above = fs::metadata(place.path("cache/images")).unwrap();
    assert_eq!(above.mode() & 0o777, 0o700);
}

fn xattr(root: &Root, path: &str, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1000];
    let length = rustix::fs::getxattr(root.path().join(path), name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn with_many_ids_owners_set_user_id_bits_and_capabilities_are_kept() {
    let owners = Owners::possible();
    if owners == Owners::Squashed {
        return wants::not_run("only root or a user namespace with many ids keeps owners");
    }
    let capability: &[u8] = b"\x01\0\0\x02\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let place = Place::new();
    let layer = Layer::new()
        .raw(EntryType::Regular, "su", "", 0o4755, 0, b"x")
        .raw(EntryType::Directory, "home", "", 0o2750, 1000, b"")
        .raw(EntryType::Symlink, "link", "su", 0o777, 33, b"")
        .said("SCHILY.xattr.security.capability", capability)
        .said("SCHILY.xattr.user.overlay.redirect", b"/etc")
        .file("ping", "");
    let root = unpack_for(&place, vec![layer.tar()], owners.clone()).unwrap();
    let meta = |name: &str| fs::symlink_metadata(root.path().join(name)).unwrap();
    assert_eq!((meta("su").mode() & 0o7777, meta("home").mode() & 0o7777), (0o4755, 0o2750));
    assert_eq!((meta("home").uid(), meta("home").gid(), meta("link").uid()), (1000, 1000, 33));
    assert_eq!(xattr(&root, "ping", "user.overlay.redirect"), None);
    if let Some(found) = xattr(&root, "ping", "security.capability") {
        assert_eq!(found, capability);
    }

    let place = Place::new();
    let nobody = Layer::new().said("uid", b"4294967295").file("x", "");
    let error = unpack_for(&place, vec![nobody.tar()], owners).expect_err("no such user");
    assert!(error.contains("is no user"), "{error}");
}

#[test]
fn folders_that_may_not_be_written_are_filled_and_get_their_looks_at_the_end() {
    let place = Place::new();
    let lower = Layer::new()
        .raw(EntryType::Directory, "./", "", 0o755, 0, b"")
        .raw(EntryType::Directory, "ro/sub", "", 0o555, 0, b"")
        .raw(EntryType::Directory, "ro", "", 0o555, 0, b"");
    let upper = Layer::new().file("ro/sub/x", "1").raw(EntryType::Directory, "ro/sub", "", 0o500, 0, b"");
    let root = unpack(&place, vec![lower.tar(), upper.tar()]).unwrap();
    let meta = |name: &str| fs::metadata(root.path().join(name)).unwrap();
    assert_eq!((meta("ro").mode() & 0o7777, meta("ro/sub").mode() & 0o7777), (0o555, 0o500));
    for name in ["", "ro", "ro/sub", "ro/sub/x"] {
        assert_eq!(meta(name).mtime(), 1_000_000_000, "{name}");
    }
    drop(root);
    for one in place.images().roots().unwrap() {
        one.remove().unwrap();
    }
    place.assert_clean(0);
}

#[test]
fn more_than_an_image_may_have_is_refused() {
    let many = (0..60).fold(Layer::new(), |layer, n| layer.file(&format!("f{n}"), ""));
    let big = Layer::new().file("a", &"x".repeat(6000)).file("b", &"y".repeat(6000));
    let bomb = Layer::new().file("zeros", &"\0".repeat(600_000));
    let few = Limits { entries: 50, unpacked: 10_000, ratio: 10, harmless: 50_000 };
    let many_bytes = Limits { unpacked: 1 << 20, ..few.clone() };
    for (layer, limits, reason) in [
        (many, &few, "more than 50 entries"),
        (big, &few, "more than 10000 bytes"),
        (bomb, &many_bytes, "unpack to more"),
    ] {
        let mut place = Place::new();
        place.options.limits = limits.clone();
        let error = unpack(&place, vec![layer.tar()]).expect_err(reason);
        assert!(error.contains(reason), "{reason}: {error}");
        place.assert_clean(0);
    }
}

#[test]
fn layers_that_are_other_than_documents_say_are_refused() {
    let tar = Layer::new().file("x", "1").tar();
    let other = Layer::new().file("x", "2").tar();
    let digest = |bytes: &[u8]| anyarch_image::Digest::of(bytes).to_string();
    let cut = tar[..600].to_vec();
    for (bytes, diff, size, reason) in [
        (gzip(&tar), digest(&other), None, "unpacks to"),
        (gzip(&tar), digest(&tar), Some(5), "wrong size"),
        (gzip(&tar), digest(&tar), Some(5000), "wrong size"),
        (gzip(&cut), digest(&cut), None, "truncated"),
        (gzip(&tar)[..60].to_vec(), digest(&tar), None, "truncated"),
        (b"BZh91AY".to_vec(), digest(&tar), None, "bzip2"),
        (vec![b'x'; 2048], digest(&tar), None, "no tar archive"),
    ] {
        let place = Place::new();
        let mut made = Made::default();
        let mut layer = made.blob(bytes, "application/vnd.oci.image.layer.v1.tar+gzip");
        if let Some(size) = size {
            layer["size"] = size.into();
        }
        let image = made.image_of("linux/arm64", vec![layer], vec![diff]);
        made.layout(&place.path("layout"), &[image]);
        let error = place.root(&place.path("layout").display().to_string(), None).expect_err(reason);
        assert!(error.contains(reason), "{reason}: {error}");
        place.assert_clean(0);
    }
    let place = Place::new();
    let mut made = Made::default();
    let layer = made.layer(&tar, Packed::Gzip);
    let image = made.image_of("linux/arm64", vec![layer], vec![]);
    made.layout(&place.path("layout"), &[image]);
    let error = place.root(&place.path("layout").display().to_string(), None).expect_err("no diff ids");
    assert!(error.contains("its config speaks of 0"), "{error}");
}

/// Numbers that look as if by chance, the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

#[test]
fn no_layer_made_by_chance_touches_anything_outside_of_its_root() {
    let place = Place::new();
    let outside = place.path("outside");
    fs::create_dir_all(outside.join("a/b")).unwrap();
    for name in ["a/b/victim", "victim"] {
        fs::write(outside.join(name), "alive").unwrap();
    }
    let before = tree(place.home.path());
    let absolute = outside.display().to_string();
    let links =
        ["a", "b", "/a", "/", "..", "../..", "../../../../../../../outside", "a/../..", ".", &absolute];
    let names =
        ["a", "b", "a/b", "b/a", "a/b/victim", "b/victim", "victim", "a/victim", "/a", "./b/", "a/b/a"];
    let marks = [
        ".wh.a",
        ".wh.b",
        "a/.wh.victim",
        "b/.wh.victim",
        ".wh..wh..opq",
        "a/.wh..wh..opq",
        "a/b/.wh..wh..opq",
    ];
    let mut chance = Chance(1);
    let mut unpacked = 0;
    for _ in 0..150 {
        let mut layers = Vec::new();
        for _ in 0..1 + chance.below(3) {
            let mut layer = Layer::new();
            for _ in 0..1 + chance.below(8) {
                let name = chance.pick(&names);
                layer = match chance.below(7) {
                    0 => layer.file(name, "x"),
                    1 => layer.folder(name),
                    2 | 3 => {
                        let link = chance.pick(&links);
                        layer.said("linkpath", link.as_bytes()).symlink(name, "")
                    }
                    4 => layer.hard_link(name, chance.pick(&names)),
                    5 => layer.file(chance.pick(&marks), ""),
                    _ => layer.raw(EntryType::Fifo, name, "", 0o777, 0, b""),
                };
            }
            layers.push(layer.tar());
        }
        unpacked += usize::from(unpack(&place, layers).is_ok());
        fs::remove_dir_all(place.path("layout")).unwrap();
        for name in ["a/b/victim", "victim"] {
            assert_eq!(fs::read_to_string(outside.join(name)).unwrap(), "alive");
        }
    }
    assert!((20..150).contains(&unpacked), "{unpacked} of 150: some are good, some are refused");
    // Some folders may not be entered.
    files::remove(&place.path("cache")).unwrap();
    assert_eq!(tree(place.home.path()), before);
}
