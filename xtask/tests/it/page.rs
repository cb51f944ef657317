//! The page of a release: what it says is what the manifest says, everyone can read it, and it asks for nothing.

mod browser;

use crate::driver::{checkout, scratch, serve};
use anyarch_client::error::Usage;
use anyarch_manifest::Manifest;
use browser::{Browser, Scripts};
use data_encoding::{BASE64, HEXLOWER};
use scraper::{ElementRef, Html, Selector};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use xtask::facts::targets::TARGETS;
use xtask::release::page;
use xtask::release::peers::Peers;

const BASE: &str = "https://downloads.example/anyarch";
const HOSTS: [&str; 10] =
    ["amd64", "arm64", "arm/v7", "arm/v6", "386", "ppc64le", "s390x", "riscv64", "mips64le", "loong64"];
/// What somebody would write who wants to get through.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror='alert(2)'> & {{ 7 * 7 }}";

fn sha(seed: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(seed))
}

fn artifact(target: &str, host: &str, size: u64) -> Value {
    let file = format!("qemu-{target}-10.2.2-1-linux-{}.tar.xz", host.replace('/', "-"));
    json!({
        "target": target, "host": host, "unpacked_size": size * 4,
        "emulator": { "size": size * 3, "sha256": sha(&format!("{file} emulator")) },
        "archives": [{ "file": file, "format": "tar.xz", "size": size, "sha256": sha(&file) }],
        "verified": [
            { "name": "elf", "outcome": "passed", "detail": "static PIE, full RELRO, no executable stack" },
            { "name": "version", "outcome": "passed", "detail": format!("qemu-{target} version 10.2.2 (anyarch-10.2.2-1)") },
            { "name": "start", "outcome": "passed", "detail": "20 starts of 20 natively" },
            { "name": "guest", "outcome": "passed", "detail": "a program without a C library started children" },
        ],
    })
}

/// A manifest with these emulators.
fn release(artifacts: &[Value]) -> Value {
    let mut value: Value =
        serde_json::from_slice(&fs::read(checkout().join("manifest/tests/old/1.json")).unwrap()).unwrap();
    let mut builds = serde_json::Map::new();
    for one in artifacts {
        let mut build = value["builds"]["arm/v7"].clone();
        build["triple"] = json!(format!("{}-linux-gnu", one["host"].as_str().unwrap().replace('/', "")));
        builds.insert(one["host"].as_str().unwrap().to_owned(), build);
    }
    value["builds"] = Value::Object(builds);
    value["artifacts"] = json!(artifacts);
    value["documents"] = json!([
        { "kind": "source", "file": "anyarch-10.2.2-1-source.tar", "size": 41_000_000, "sha256": sha("source") },
        { "kind": "sbom", "file": "anyarch-10.2.2-1.cdx.json", "size": 51_234, "sha256": sha("sbom") },
        { "kind": "installer", "file": "install.sh", "size": 6_123, "sha256": sha("installer") },
    ]);
    value
}

/// Three targets on three hosts: one pair missing, one check not run, a second packing, hostile words.
fn small() -> Value {
    let mut all = Vec::new();
    for (number, target) in ["aarch64", "arm", "i386"].iter().enumerate() {
        for host in ["amd64", "arm64", "arm/v7"] {
            if (*target, host) != ("i386", "arm/v7") {
                all.push(artifact(target, host, 1_234_567 + number as u64 * 100_000));
            }
        }
    }
    let mut value = release(&all);
    let artifacts = value["artifacts"].as_array_mut().unwrap();
    artifacts[1]["verified"][3]["outcome"] = json!("not-run");
    artifacts[1]["verified"][3]["detail"] = json!(HOSTILE);
    let zstd = "qemu-aarch64-10.2.2-1-linux-amd64.tar.zst";
    let second = json!({ "file": zstd, "format": "tar.zst", "size": 1_700_000, "sha256": sha(zstd) });
    artifacts[0]["archives"].as_array_mut().unwrap().push(second);
    value["builds"]["amd64"]["compiler"] = json!(HOSTILE);
    value["source"]["patches"][0]["name"] = json!(HOSTILE);
    value
}

/// Every target on every host, but the few that are not made.
fn whole() -> Value {
    let mut all = Vec::new();
    let series_has = |name: &&str| !["cris", "nios2"].contains(name);
    for (row, target) in TARGETS.iter().map(|target| target.name).filter(series_has).enumerate() {
        for (column, host) in HOSTS.iter().enumerate() {
            if target == "hexagon" && *host == "386" {
                continue;
            }
            let mut one = artifact(
                target,
                host,
                900_000 + (row as u64 * 7_919 + column as u64 * 13_007) * 37 % 660_000,
            );
            if ["mips64le", "loong64"].contains(host) && row % 5 == 2 {
                one["verified"][3]["outcome"] = json!("not-run");
                one["verified"][3]["detail"] = json!("no guest program of this target is there to be had");
            }
            all.push(one);
        }
    }
    release(&all)
}

fn manifest(value: &Value) -> Manifest {
    Manifest::read(value.to_string().as_bytes()).unwrap()
}

fn page(value: &Value, base: Option<&str>) -> String {
    page::html(&manifest(value), &Peers::read(&checkout()).unwrap(), base).unwrap()
}

fn all<'a>(document: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    document.select(&Selector::parse(selector).unwrap()).collect()
}

/// The text of the only element that fits.
fn text(document: &Html, selector: &str) -> String {
    let found = all(document, selector);
    assert_eq!(found.len(), 1, "{selector}");
    words(found[0])
}

fn words(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn links_lead_to_the_files_of_the_release_and_to_qemus_source_only() {
    let value = small();
    let document = Html::parse_document(&page(&value, Some(BASE)));
    let manifest = manifest(&value);
    let archives = manifest.artifacts.iter().flat_map(|one| &one.archives).map(|one| one.file.to_string());
    let documents = manifest.documents.iter().map(|one| one.file.to_string());
    let mut expected: BTreeSet<String> = archives.chain(documents).collect();
    expected.extend(["anyarch-10.2.2-1.intoto.json", "release.json", "SHA256SUMS"].map(str::to_owned));
    expected.insert(manifest.source.repository.clone());
    let links = all(&document, "a").into_iter().map(|link| link.attr("href").unwrap());
    let (inside, outside): (BTreeSet<&str>, BTreeSet<&str>) = links.partition(|link| link.starts_with('#'));
    assert_eq!(outside.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    for anchor in inside {
        let named = format!("[id='{}']", &anchor[1..]);
        assert_eq!(all(&document, &named).len(), 1, "{anchor} leads nowhere");
    }
}

#[test]
fn an_address_of_upstream_that_a_browser_would_run_is_no_link() {
    let mut value = small();
    value["source"]["repository"] = json!("javascript:alert(1)");
    let document = Html::parse_document(&page(&value, None));
    assert!(all(&document, "a").iter().all(|link| !link.attr("href").unwrap().starts_with("javascript")));
    assert!(text(&document, "#source").contains("javascript:alert(1)"), "it is shown as text");
}

#[test]
fn no_word_of_a_manifest_becomes_markup() {
    let document = Html::parse_document(&page(&small(), Some(BASE)));
    assert_eq!((all(&document, "script").len(), all(&document, "img").len()), (1, 0));
    for (what, selector) in [("a check", "#checks"), ("a compiler", "#source"), ("a patch", "#source ol")] {
        assert!(text(&document, selector).contains(HOSTILE), "{what} is not shown as it was written");
    }
}

#[test]
fn its_policy_allows_its_own_style_and_script_and_nothing_else() {
    let document = Html::parse_document(&page(&small(), Some(BASE)));
    let hash = |tag: &str| {
        let inside: String = all(&document, tag)[0].text().collect();
        format!("'sha256-{}'", BASE64.encode(&Sha256::digest(inside)))
    };
    let policy = all(&document, "meta[http-equiv='Content-Security-Policy']")[0].attr("content").unwrap();
    let expected = format!(
        "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hash("style"),
        hash("script")
    );
    assert_eq!(policy, expected);
    for element in all(&document, "*") {
        for (name, value) in element.value().attrs() {
            let is_allowed =
                !name.starts_with("on") && !["style", "src", "srcset", "action", "ping"].contains(&name);
            assert!(is_allowed, "{name}={value}");
        }
    }
}

#[test]
fn the_matrix_says_for_each_pair_what_the_manifest_says() {
    let value = small();
    let document = Html::parse_document(&page(&value, Some(BASE)));
    let heads: Vec<String> = all(&document, "#emulators thead th").into_iter().map(words).collect();
    assert_eq!(heads, ["Target", "amd64", "arm64", "arm/v7"]);
    let rows: Vec<Vec<String>> = all(&document, "#emulators tbody tr")
        .into_iter()
        .map(|row| row.child_elements().map(words).collect())
        .collect();
    let cell =
        |size: &str, pair: &str, symbol: &str, checks: &str| format!("{size} MB, {pair} {symbol}{checks}");
    let passed = |size: &str, pair: &str| cell(size, pair, "✓", "all 4 checks passed");
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0][0], "aarch64");
    assert_eq!(rows[0][1], passed("1.23", "qemu-aarch64 for amd64"));
    assert_eq!(rows[0][2], cell("1.23", "qemu-aarch64 for arm64", "○ 1", "1 of 4 checks not run"));
    assert_eq!(rows[1][3], passed("1.33", "qemu-arm for arm/v7"));
    assert_eq!(rows[2][3], "–not in this release");
    assert!(text(&document, "#checks > p").starts_with("31 checks passed, 1 was not run"));
    for one in &manifest(&value).artifacts {
        let here = text(&document, &format!("#checks-{}", one.target));
        for hash in one.archives.iter().map(|one| &one.sha256).chain([&one.emulator.sha256]) {
            assert!(here.contains(hash.as_str()), "{hash} of {}", one.target);
        }
    }
}

#[test]
fn without_scripts_the_chooser_is_a_general_command() {
    let document = Html::parse_document(&page(&small(), Some(BASE)));
    assert_eq!(
        text(&document, "#sh"),
        format!("curl -fsSL {BASE}/10.2.2-1/install.sh | sh -s -- --target TARGET --host HOST")
    );
    assert_eq!(
        text(&document, "#cargo"),
        format!("cargo xtask fetch --target TARGET --host HOST --release 10.2.2-1 --from {BASE}")
    );
    for hidden in ["#chooser", "#chosen", "button[data-copies='sh']", "button[data-copies='cargo']"] {
        assert!(all(&document, hidden)[0].attr("hidden").is_some(), "{hidden} does nothing without scripts");
    }
    let unknown = Html::parse_document(&page(&small(), None));
    assert_eq!(
        text(&unknown, "#sh"),
        "curl -fsSL BASE_URL/10.2.2-1/install.sh | sh -s -- --target TARGET --host HOST --from BASE_URL"
    );
    assert!(text(&unknown, "#fill-in-base").ends_with("for BASE_URL."));
}

#[test]
fn a_base_that_a_shell_would_run_is_refused() {
    let peers = Peers::read(&checkout()).unwrap();
    for bad in ["https://x.example/$(reboot)", "https://x.example/a b", "ftp://x.example", "--upload-file=x"]
    {
        let error = page::html(&manifest(&small()), &peers, Some(bad)).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains(bad), "{error:#}");
    }
}

#[test]
fn the_same_release_gives_the_same_bytes() {
    assert_eq!(page(&whole(), Some(BASE)), page(&whole(), Some(BASE)));
}

#[test]
fn the_chart_and_its_table_hold_the_measured_sizes() {
    let document = Html::parse_document(&page(&small(), Some(BASE)));
    let peers = Peers::read(&checkout()).unwrap();
    let debian = &peers.peers[0];
    let packed = debian.targets["aarch64"];
    let megabytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
    let label = all(&document, "#sizes li svg[role='img']")[0].attr("aria-label").unwrap();
    let (xz, gzip) = (megabytes(packed.xz), megabytes(packed.gzip));
    let said = format!("aarch64: anyarch 1.23 MB; {} {xz} MB by xz, {gzip} MB by gzip", debian.name);
    assert!(label.starts_with(&said), "{label} is not {said}");
    let row: Vec<String> = all(&document, "#sizes tbody tr")[0].child_elements().map(words).collect();
    assert_eq!(row[..5], ["aarch64", "1.23", &megabytes(packed.size), &xz, &gzip]);
    let share = format!("{:.0} %", 1_234_567.0 * 100.0 / packed.xz as f64);
    assert_eq!(row.last().unwrap().replace('\u{a0}', " "), share);
    let of = |class: &str| -> Vec<f64> {
        let bars = all(&document, &format!("#sizes li svg[role='img'] rect.{class}"));
        bars.into_iter()
            .map(|bar| bar.attr("width").unwrap().trim_end_matches('%').parse().unwrap())
            .collect()
    };
    let drawn = of("ours")[0] / of("peer-1")[0];
    assert!((drawn - 1_234_567.0 / packed.xz as f64).abs() < 0.001, "bars of other lengths than the sizes");
    assert!(of("more").iter().all(|width| *width <= 100.0));
}

#[test]
fn a_release_that_shares_nothing_with_peers_has_no_chart() {
    let document = Html::parse_document(&page(&release(&[artifact("arm", "riscv64", 1_000_000)]), None));
    assert!(all(&document, "#sizes, [href='#sizes']").is_empty());
    assert_eq!(all(&document, "#emulators td").len(), 1);
}

#[test]
fn its_structure_can_be_read_aloud() {
    let document = Html::parse_document(&page(&whole(), None));
    assert_eq!(all(&document, "html")[0].attr("lang"), Some("en"));
    for landmark in ["header", "nav[aria-label]", "main", "footer", "h1", "title"] {
        assert_eq!(all(&document, landmark).len(), 1, "{landmark}");
    }
    let mut above = 0;
    for heading in all(&document, "h1, h2, h3, h4, h5, h6") {
        let level: u32 = heading.value().name()[1..].parse().unwrap();
        assert!(level <= above + 1, "{} leaves a level out", words(heading));
        above = level;
    }
    for table in all(&document, "table") {
        assert_eq!(table.select(&Selector::parse("caption").unwrap()).count(), 1);
    }
    assert!(all(&document, "th").iter().all(|head| head.attr("scope").is_some()));
    for field in all(&document, "select") {
        assert_eq!(all(&document, &format!("label[for='{}']", field.attr("id").unwrap())).len(), 1);
    }
    for region in all(&document, ".scroll") {
        assert_eq!((region.attr("tabindex"), region.attr("role")), (Some("0"), Some("region")));
        assert!(region.attr("aria-label").or(region.attr("aria-labelledby")).is_some());
    }
    let ids: Vec<&str> = all(&document, "[id]").into_iter().filter_map(|one| one.attr("id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id is in the page twice");
    for named in all(&document, "[aria-labelledby]") {
        assert!(ids.contains(&named.attr("aria-labelledby").unwrap()));
    }
}

/// A page as a file, and its address.
fn file(html: &str) -> (TempDir, String) {
    let home = scratch();
    let path = home.path().join(page::FILE);
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
    assert!(browser.text("#emulators").contains("xtensaeb") && browser.text("#sizes").contains("aarch64"));
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

#[test]
#[ignore = "wants chromium; run by `cargo xtask test`"]
fn it_fits_phones_and_desks_by_day_and_by_night() {
    let html = page(&whole(), Some(BASE));
    // Beside its pictures, for people.
    fs::write(picture("desk-light").with_file_name(page::FILE), &html).unwrap();
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
            let over = browser
                .run("const page = document.documentElement; return page.scrollWidth - page.clientWidth");
            assert_eq!(over, 0, "{name} must be scrolled sideways");
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
