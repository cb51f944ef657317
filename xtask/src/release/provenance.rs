//! Where a release comes from, as an in-toto statement with SLSA's provenance
//! (<https://slsa.dev/spec/v1.0/provenance>): every file by its hash, and all that it was made from.

use super::sbom::purl_of_file;
use crate::git;
use crate::process::{self, capture};
use crate::session::Session;
use anyarch_client::files;
use anyarch_manifest::{Manifest, Source};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};

/// What our `externalParameters` mean: the arguments of `cargo xtask build`, and as `programs` the hosts of `cargo xtask
/// program`. What that takes from others is pinned in the checkout's `Cargo.lock`.
const BUILD_TYPE: &str = "urn:anyarch:xtask-build:1";
/// Who builds where nobody says.
const SOMEBODY: &str = "urn:anyarch:builder:unnamed";

/// Writes `anyarch-<release>.intoto.json`; `more` are files that the manifest does not name, with their hashes.
pub fn write(
    session: &Session,
    manifest: &Manifest,
    more: &[(String, String)],
    builder: Option<&str>,
    folder: &Path,
) -> Result<PathBuf> {
    let path = folder.join(format!("anyarch-{}.intoto.json", manifest.release));
    let checkout = checkout(&session.workspace.root)?;
    let builder = builder.map_or_else(workflow, str::to_owned);
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects(manifest, more),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "release": manifest.release,
                    "qemu": manifest.source.series,
                    "targets": manifest.artifacts.iter().map(|one| &one.target).collect::<BTreeSet<_>>(),
                    "hosts": manifest.builds.keys().collect::<Vec<_>>(),
                    "programs": manifest.programs.iter().map(|one| &one.host).collect::<Vec<_>>(),
                },
                "internalParameters": {},
                "resolvedDependencies": dependencies(manifest, checkout),
            },
            "runDetails": { "builder": { "id": builder } },
        },
    });
    files::write_json(&path, &statement)?;
    Ok(path)
}

fn subjects(manifest: &Manifest, more: &[(String, String)]) -> Vec<Value> {
    let more = more.iter().map(|(name, sha256)| (name.as_str(), sha256.as_str()));
    let all = manifest.files().map(|(name, sha256)| (name.as_str(), sha256.as_str())).chain(more);
    all.map(|(name, sha256)| json!({ "name": name, "digest": { "sha256": sha256 } })).collect()
}

fn dependencies(manifest: &Manifest, checkout: Value) -> Vec<Value> {
    let mut all = vec![checkout];
    all.extend(qemu(&manifest.source));
    let patches = manifest.source.patches.iter();
    all.extend(patches.map(|one| json!({ "name": one.name, "digest": { "sha256": one.sha256 } })));
    let packages: BTreeSet<(&str, &str)> = manifest
        .builds
        .values()
        .map(|build| &build.sysroot)
        .chain(manifest.programs.iter().map(|one| &one.build.sysroot))
        .flatten()
        .map(|one| (one.name.as_str(), one.sha256.as_str()))
        .collect();
    all.extend(packages.into_iter().map(
        |(file, sha256)| json!({ "uri": purl_of_file(file), "name": file, "digest": { "sha256": sha256 } }),
    ));
    all
}

/// QEMU's source, by each pin that it may have been checked by.
fn qemu(source: &Source) -> Vec<Value> {
    let tag = source.commit.as_ref().map(|commit| {
        json!({
            "uri": format!("git+{}@refs/tags/{}", source.repository, source.tag),
            "digest": { "gitCommit": commit },
        })
    });
    let tarballs = source.tarballs.iter();
    let tarballs = tarballs.map(|one| json!({ "name": one.name, "digest": { "sha256": one.sha256 } }));
    tag.into_iter().chain(tarballs).collect()
}

/// The commit of the checkout that joins, with whose pins, patches and toolchains every tarball was compared; and
/// whether something in it was changed since.
fn checkout(root: &Path) -> Result<Value> {
    let shell = process::shell()?;
    let ask = |words: &[&str]| capture(git::at(&shell, root).args(words));
    let commit = ask(&["rev-parse", "HEAD"])?.trim().to_owned();
    let changed = !ask(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(json!({
        "name": "anyarch",
        "digest": { "gitCommit": commit },
        "annotations": { "role": "joined, and compared with", "changedSince": changed },
    }))
}

/// The workflow that runs this, where GitHub says so.
fn workflow() -> String {
    let said = |name| env::var(name).ok();
    match (said("GITHUB_SERVER_URL"), said("GITHUB_WORKFLOW_REF")) {
        (Some(server), Some(workflow)) => format!("{server}/{workflow}"),
        _ => SOMEBODY.to_owned(),
    }
}
