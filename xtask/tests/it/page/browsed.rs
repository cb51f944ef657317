//! The page as people use it, in a browser.

use super::browser::{Browser, Scripts};
use super::{BASE, changes, page, sha, small, whole};
use crate::driver::releases::FakeRelease;
use crate::driver::{scratch, serve};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use xtask::release::page as writer;
use xtask::release::shelf;

/// A page as a file, and its address.
fn file(html: &str) -> (TempDir, String) {
    let home = scratch();
    let path = home.path().join(writer::FILE);
    fs::write(&path, html).unwrap();
    let address = format!("file://{}", path.display());
    (home, address)
}

fn picture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{name}.png"))
}

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn choosing_a_target_and_a_host_fills_in_the_commands() {
    let (_home, address) = file(&page(&small(), Some(BASE)));
    let browser = Browser::start(Scripts::Run);
    browser.open(&address);
    let sh = |rest: &str| format!("curl -fsSL {BASE}/10.2.2-1/install.sh | sh -s -- --target {rest}");
    assert_eq!(browser.text("#sh"), sh("aarch64"), "a host is not needed on the machine itself");
    assert_eq!(browser.text("#chosen"), "qemu-aarch64 runs on amd64, arm64, arm/v7.");
    browser.choose("#target", "arm");
    browser.choose("#host", "arm/v7");
    assert_eq!(browser.text("#sh"), sh("arm --host arm/v7"));
    assert_eq!(
        browser.text("#cargo"),
        format!("cargo xtask fetch --target arm --host arm/v7 --release 10.2.2-1 --from {BASE}")
    );
    assert_eq!(browser.text("#chosen"), "1.33 MB, qemu-arm for arm/v7: all 4 checks passed.");
    browser.choose("#target", "i386");
    assert_eq!(
        browser.text("#chosen"),
        "This release has no qemu-i386 for arm/v7; there is one for amd64, arm64."
    );
    assert_eq!(browser.text("#commands"), "", "no command for what is not there");
    // By the keyboard alone: the next option up, which is arm64.
    browser.press("#host", "\u{e013}");
    assert_eq!(browser.text("#sh"), sh("i386 --host arm64"));
    assert_eq!(browser.console(), [] as [Value; 0]);
}

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn a_command_is_copied_as_it_stands() {
    let (_home, address) = file(&page(&small(), Some(BASE)));
    let browser = Browser::start(Scripts::Run);
    browser.open(&address);
    browser.permit("clipboard-read");
    browser.permit("clipboard-write");
    browser.choose("#host", "arm64");
    for command in ["sh", "cargo"] {
        browser.click(&format!("button[data-copies='{command}']"));
        let copied = browser
            .run("await new Promise(done => setTimeout(done, 200)); return navigator.clipboard.readText()");
        assert_eq!(copied, browser.text(&format!("#{command}")));
        assert_eq!(browser.text("#copied"), "Copied.");
        browser.choose("#target", "arm");
        assert_eq!(browser.text("#copied"), "", "another command was not copied yet");
    }
}

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn a_page_that_nobody_told_an_address_looks_where_it_came_from() {
    let html = page(&small(), None);
    let server = serve("200 OK\r\ncontent-type: text/html", html.clone().into_bytes());
    let browser = Browser::start(Scripts::Run);
    let base = |from: &str| {
        browser.open(from);
        (
            browser.text("#get .base"),
            browser.text("#verify .base"),
            browser.text("#get").contains("lies below"),
        )
    };
    let known = format!("{server}/mirror");
    assert_eq!(base(&format!("{server}/mirror/10.2.2-1/")), (known.clone(), known.clone(), false));
    assert_eq!(base(&format!("{server}/mirror/10.2.2-1/index.html?x#get")), (known.clone(), known, false));
    let unknown = || ("BASE_URL".to_owned(), "BASE_URL".to_owned(), true);
    assert_eq!(base(&format!("{server}/latest/index.html")), unknown(), "the release is not in the address");
    assert_eq!(base(&format!("{server}/$(reboot)/10.2.2-1/")), unknown(), "it would be run");
    assert_eq!(base(&file(&html).1), unknown());
}

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn it_asks_for_nothing_but_itself_and_says_nothing_on_the_console() {
    let server = serve("200 OK\r\ncontent-type: text/html", page(&small(), Some(BASE)).into_bytes());
    let browser = Browser::start(Scripts::Run);
    // A browser begins with a page of its own, which asks for much.
    browser.open("about:blank");
    drop(browser.requests());
    let address = format!("{server}/10.2.2-1/index.html");
    browser.open(&address);
    browser.choose("#target", "arm");
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)");
    let asked: Vec<String> =
        browser.requests().into_iter().filter(|address| !address.starts_with("data:")).collect();
    assert_eq!(asked, [address]);
    assert_eq!(browser.console(), [] as [Value; 0]);
}

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn it_can_be_read_without_scripts() {
    let (_home, address) = file(&page(&whole(), None));
    let browser = Browser::start(Scripts::Off);
    browser.open(&address);
    assert_eq!(browser.text("#chooser"), "");
    assert!(browser.text("#get").contains("--target TARGET --host HOST --from BASE_URL"));
    assert!(browser.text("#get").contains("for TARGET and HOST"));
    assert!(browser.text("#emulators").contains("xtensaeb"));
    assert!(!browser.text("#sizes").contains("riscv64"), "a sentence, and a fold");
    browser.click("#sizes summary");
    assert!(browser.text("#sizes").contains("riscv64"));
    browser.click("#checks summary");
    assert!(browser.text("#checks-aarch64").contains(&sha("qemu-aarch64-10.2.2-1-linux-amd64.tar.xz")));
    browser.resize(1200, 900);
    browser.picture(&picture("no-script"), false);
}

/// Every text whose contrast with what is behind it is less than 4.5, with that contrast.
const FAINT: &str = r"
    const parts = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
        .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = parts(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        throw new Error('nothing behind');
    };
    const faint = [];
    let seen = 0;
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const element = walk.currentNode.parentElement;
        if (walk.currentNode.data.trim() === '' || !element.checkVisibility() || element.closest('.unseen')) continue;
        seen += 1;
        const style = getComputedStyle(element);
        const ink = parts(element instanceof SVGElement ? style.fill : style.color);
        const [low, high] = [light(ink), light(behind(element))].sort((a, b) => a - b);
        const contrast = (high + 0.05) / (low + 0.05);
        if (contrast < 4.5) faint.push(`${walk.currentNode.data.trim()}: ${contrast.toFixed(2)}`);
    }
    if (seen < 100) throw new Error(`only ${seen} texts`);
    return faint;
";

/// By how much the page is wider than the window.
const OVER: &str = "const page = document.documentElement; return page.scrollWidth - page.clientWidth";

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn it_fits_phones_and_desks_by_day_and_by_night() {
    let html = page(&whole(), Some(BASE));
    // Beside its pictures, for people.
    fs::write(picture("desk-light").with_file_name(writer::FILE), &html).unwrap();
    let (_home, address) = file(&html);
    let browser = Browser::start(Scripts::Run);
    browser.open(&address);
    for (device, width, height) in [("desk", 1280, 900), ("phone", 320, 640)] {
        browser.resize(width, height);
        let mut pictures = Vec::new();
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            let name = format!("{device}-{scheme}");
            pictures.push(browser.picture(&picture(&name), false));
            browser.picture(&picture(&format!("{name}-whole")), true);
            browser.run("document.querySelectorAll('details').forEach(one => one.open = true)");
            assert_eq!(browser.run(OVER), 0, "{name} must be scrolled sideways");
            assert_eq!(browser.run(FAINT), json!([]), "{name}");
            browser.run("document.querySelectorAll('details').forEach(one => one.open = false)");
        }
        assert_ne!(pictures[0], pictures[1], "night looks like day");
    }
    let scrolls = browser.run("const table = document.querySelector('#matrix .scroll'); return table.scrollWidth > table.clientWidth");
    assert_eq!(scrolls, true, "the matrix scrolls by itself on a phone");
}

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn the_list_of_releases_fits_phones_and_desks_by_day_and_by_night() {
    let home = scratch();
    for name in ["9.9.9-1", "9.9.9-2", "9.9.10-1"] {
        let release = FakeRelease::make(home.path(), name);
        let log = if name == "9.9.10-1" { "Unreleased" } else { "10.2.2-1" };
        release.edit(|manifest| manifest["changes"] = changes(log));
    }
    shelf::write(home.path(), Some(BASE)).unwrap();
    let browser = Browser::start(Scripts::Off);
    browser.open(&format!("file://{}", home.path().join("index.html").display()));
    for (device, width) in [("desk", 1280), ("phone", 390)] {
        browser.resize(width, 844);
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            browser.picture(&picture(&format!("list-{device}-{scheme}")), true);
            browser.run("document.querySelectorAll('details').forEach(one => one.open = true)");
            assert_eq!(browser.run(OVER), 0, "{device} must be scrolled sideways");
            assert_eq!(browser.run(FAINT), json!([]), "{device} {scheme}");
            browser.run("document.querySelectorAll('details').forEach(one => one.open = false)");
        }
    }
}

/// Ratios of the chart of speed that are cut off, lie over another one, or are not at the end of their bar.
const MISPLACED: &str = r"
    const wrong = [];
    const page = document.documentElement.clientWidth;
    for (const ratio of document.querySelectorAll('#speed .ratio')) {
        const bar = ratio.previousElementSibling.getBoundingClientRect();
        const text = ratio.getBoundingClientRect();
        const middle = (text.top + text.bottom) / 2;
        const fits = text.right <= page && text.left >= bar.right && text.left < bar.right + 10;
        if (!fits || middle < bar.top || middle > bar.bottom) wrong.push(ratio.textContent);
    }
    return wrong;
";

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn the_chart_of_speed_fits_a_phone_and_its_table_is_folded() {
    let (_home, address) = file(&page(&whole(), Some(BASE)));
    let browser = Browser::start(Scripts::Run);
    browser.open(&address);
    browser.resize(390, 844);
    browser.run("document.querySelector('#speed').scrollIntoView()");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        browser.picture(&picture(&format!("speed-{scheme}")), false);
        assert_eq!(browser.run(MISPLACED), json!([]), "{scheme}");
    }
    let bars = browser.run("return document.querySelectorAll('#speed .ratio').length");
    assert!(bars.as_u64().unwrap() >= 16, "{bars}");
    assert!(!browser.text("#speed").contains("seconds"), "the table is there before it is unfolded");
    browser.click("#speed summary");
    assert!(browser.text("#speed table").contains("200 x /bin/true from bash"));
    assert_eq!(browser.run(OVER), 0, "the table must be scrolled sideways");
}

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn the_keyboard_reaches_everything_and_is_seen_there() {
    let (_home, address) = file(&page(&small(), Some(BASE)));
    let browser = Browser::start(Scripts::Run);
    browser.open(&address);
    let mut reached = Vec::new();
    for _ in 0..60 {
        browser.press_key("\u{e004}");
        let at = browser.run(
            "const at = document.activeElement;
             if (at === document.body) return null;
             const style = getComputedStyle(at);
             if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) throw new Error(`unseen: ${at.outerHTML}`);
             return at.id || at.dataset.copies || at.className || at.getAttribute('href') || at.tagName",
        );
        let Some(at) = at.as_str() else { break };
        reached.push(at.to_owned());
    }
    assert_eq!(reached[0], "skip");
    let mut left = reached.iter();
    for wanted in ["#get", "#verify", "target", "host", "sh", "cargo", "scroll", "#checks-aarch64", "SUMMARY"]
    {
        assert!(left.any(|at| at == wanted), "{wanted} is not reached in its place: {reached:?}");
    }
}
