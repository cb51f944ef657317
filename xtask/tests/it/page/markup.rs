//! What the page says, and that nothing in a manifest becomes markup: read without a browser.

use super::{
    BASE, HOSTILE, all, artifact, manifest, page, page_with, program, release, sha, small, text, whole, words,
};
use crate::driver::releases::FakeRelease;
use crate::driver::{checkout, scratch};
use anyarch_client::error::Usage;
use data_encoding::BASE64;
use scraper::{Html, Selector};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs;
use xtask::release::page as writer;
use xtask::release::peers::Peers;
use xtask::release::shelf;
use xtask::release::speed::Speed;

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
fn the_users_program_is_offered_where_a_release_has_it() {
    let without = Html::parse_document(&page(&small(), Some(BASE)));
    assert!(all(&without, "#program, a[href='#program']").is_empty());
    let mut value = small();
    let file = "anyarch-10.2.2-1-linux-amd64.tar.xz";
    value["programs"] = json!([program("amd64")]);
    let document = Html::parse_document(&page(&value, Some(BASE)));
    let said = text(&document, "#program");
    for word in ["install.sh | sh -s -- --target anyarch", &sha("program"), HOSTILE, "1 633 124"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert_eq!(all(&document, &format!("#program a[href='{file}']")).len(), 1);
    // What to do with it comes first.
    let uses = text(&document, "#use");
    for word in
        ["anyarch run --platform", "anyarch register arm64 --persist", "anyarch unregister", "anyarch remove"]
    {
        assert!(uses.contains(word), "{word} is not in {uses}");
    }
    assert_eq!(all(&document, "main section")[0].attr("id"), Some("use"));
}

#[test]
fn the_date_and_what_changed_are_shown_where_a_release_says_them() {
    let mut value = small();
    let document = Html::parse_document(&page(&value, Some(BASE)));
    assert!(text(&document, ".lead").ends_with("Released on 2026-11-21"));
    assert!(text(&document, "#changes").contains(HOSTILE));
    assert_eq!(text(&document, "#changes > p"), "The first of many.");
    assert_eq!(text(&document, "#changes > p code"), "first");
    let shown: Vec<String> = all(&document, "#changes details[open]").into_iter().map(words).collect();
    assert_eq!(shown, [&format!("Added: 1 {HOSTILE}"), "Fixed: 2 One. Two."], "a few are not folded");
    value["changes"]["kinds"][1]["items"] = json!(vec!["One."; 12]);
    let document = Html::parse_document(&page(&value, Some(BASE)));
    assert_eq!((all(&document, "#changes details").len(), all(&document, "details[open]").len()), (2, 0));
    value["changes"] = json!(null);
    let document = Html::parse_document(&page(&value, Some(BASE)));
    assert!(all(&document, "#changes, [href='#changes'], time").is_empty());
}

#[test]
fn the_list_of_releases_says_when_each_was_made_and_what_changed() {
    let home = scratch();
    for name in ["9.9.9-2", "9.9.9-1"] {
        FakeRelease::make(home.path(), name);
    }
    let newer = FakeRelease::make(home.path(), "9.9.10-1");
    newer.edit(|manifest| manifest["changes"] = small()["changes"].clone());
    shelf::write(home.path(), Some(BASE)).unwrap();
    let document = Html::parse_document(&fs::read_to_string(home.path().join("index.html")).unwrap());
    let rows: Vec<String> = all(&document, "tbody tr").into_iter().map(words).collect();
    assert!(rows[0].starts_with("9.9.10-1") && rows[0].contains("2026-11-21"), "{rows:?}");
    assert!(rows[1].starts_with("9.9.9-2") && rows[1].contains("not known"), "{rows:?}");
    let said = text(&document, "main section");
    assert!(
        said.starts_with("What changed in 9.9.10-1 The first of many.") && said.contains(HOSTILE),
        "{said}"
    );
    assert!(words(all(&document, "main > p")[0]).contains("released on 2026-11-21"));
    assert_eq!((all(&document, "script").len(), all(&document, "img").len()), (0, 0));
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
fn a_source_whose_commit_nobody_knows_is_shown_without_it() {
    let mut value = small();
    value["source"].as_object_mut().unwrap().remove("commit");
    let said = text(&Html::parse_document(&page(&value, Some(BASE))), "#source");
    assert!(said.contains("tag v10.2.2") && !said.contains("commit"), "{said}");
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
    // QEMU's name, and Docker's where that is another one.
    assert_eq!(rows[0][0], "aarch64 arm64");
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
        let error =
            writer::html(&manifest(&small()), &peers, &Speed::default(), Some(bad), None).unwrap_err();
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
fn the_chart_of_speed_and_its_table_hold_the_measured_ratios() {
    let mut speed = Speed::read(&checkout()).unwrap();
    let run = &mut speed.measurements[0];
    run.machine = HOSTILE.to_owned();
    (run.loads[0].tree, run.loads[0].folder, run.loads[0].registered) = (6.25, 0.97, Some(4.0));
    run.loads[1].registered = None;
    let document = Html::parse_document(&page_with(&small(), &speed, None));
    let run = &speed.measurements[0];
    let caption = text(&document, "#speed figcaption");
    for word in [HOSTILE, &run.peer, &run.peer_version, &run.release, &run.measured] {
        assert!(caption.contains(word), "{word} is not in {caption}");
    }
    let label = all(&document, "#speed li svg[role='img']")[0].attr("aria-label").unwrap();
    assert!(label.starts_with("200 x /bin/true from bash: 6.2 times as fast in one tree, 0.97 "), "{label}");
    let rows: Vec<Vec<String>> = all(&document, "#speed tbody tr")
        .into_iter()
        .map(|row| row.child_elements().map(words).collect())
        .collect();
    assert_eq!(rows.len(), run.loads.len());
    let seconds = format!("{:.2}", run.loads[0].peer_seconds);
    assert_eq!(rows[0], ["200 x /bin/true from bash", "6.2", "0.97", "4.0", &seconds]);
    assert_eq!(rows[1][3], "–not measured");
    let width = |class: &str| -> f64 {
        let bars = all(&document, &format!("#speed li svg[role='img'] rect.{class}"));
        bars[0].attr("width").unwrap().trim_end_matches('%').parse().unwrap()
    };
    assert!((width("tree") / width("folder") - 6.25 / 0.97).abs() < 0.01, "bars of other lengths");
    let peer = all(&document, "#speed li svg[role='img'] line.peer")[0].attr("x1").unwrap();
    let peer: f64 = peer.trim_end_matches('%').parse().unwrap();
    assert!((width("registered") / peer - 4.0).abs() < 0.01, "the peer's line is not at 1");
}

#[test]
fn what_was_measured_of_another_series_or_target_is_not_in_a_release() {
    let speed = Speed::read(&checkout()).unwrap();
    let shows = |value: &_, speed: &_| {
        let document = Html::parse_document(&page_with(value, speed, None));
        let (sections, links) = (all(&document, "#speed").len(), all(&document, "[href='#speed']").len());
        assert_eq!(sections, links);
        sections == 1
    };
    assert!(shows(&small(), &speed));
    let mut other = speed.clone();
    other.measurements.iter_mut().for_each(|run| run.release = "10.2.1-3".to_owned());
    assert!(shows(&small(), &other), "a revision of the same series");
    other.measurements.iter_mut().for_each(|run| run.release = "10.0.13-1".to_owned());
    assert!(!shows(&small(), &other), "another series");
    assert!(!shows(&release(&[artifact("sh4", "amd64", 1_000_000)]), &speed), "another target");
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
