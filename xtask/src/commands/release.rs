//! `release`: the folders of several jobs and machines joined into one.

use super::show;
use crate::cli::ReleaseArgs;
use crate::facts::Series;
use crate::package::{self, Tarball};
use crate::plan::{Plan, Profile, Request};
use crate::progress::{count, human_bytes};
use crate::release::{self, Published, Wishes, sums};
use crate::session::Session;
use crate::toolchain::Tooling;
use anyhow::{Result, bail};
use serde_json::json;

/// Joins folders, and says what the release holds and lacks.
pub fn run(session: &Session, arguments: &ReleaseArgs) -> Result<()> {
    let series = Series::read(&session.workspace.root.join("patches"), &arguments.series)?;
    arguments.sign.as_deref().map(sums::can_sign).transpose()?;
    package::is_writable(session, &series.release())?;
    let own = session.workspace.out.join(series.release());
    let folders = if arguments.folders.is_empty() { vec![own] } else { arguments.folders.clone() };
    let release = release::gather(&folders, &series)?;
    let whole = Request {
        targets: vec!["all".to_owned()],
        hosts: vec!["all".to_owned()],
        series: arguments.series.clone(),
        profile: Profile::Release,
        tooling: Tooling::default(),
    };
    let lacks = release.lacks(&Plan::make(&session.workspace, &whole)?);
    if arguments.complete && !lacks.is_empty() {
        bail!("the release lacks {}:\n  {}", count(lacks.len(), "emulator"), lacks.join("\n  "));
    }
    let not_run = release.not_run();
    let wishes = Wishes {
        zst: arguments.zst,
        base: arguments.base.clone(),
        builder: arguments.builder.clone(),
        key: arguments.sign.clone(),
    };
    let published = release.publish(session, &wishes)?;
    let result = json!({
        "release": series.release(),
        "folder": published.folder,
        "sums": published.sums,
        "signature": published.signature,
        "tarballs": published.tarballs,
        "lacks": lacks,
        "not_run": not_run,
    });
    show(session, &result, || text(&published, &lacks))?;
    for one in &not_run {
        session.progress.say(&format!("not run: {one}"));
    }
    Ok(())
}

fn text(release: &Published, lacks: &[String]) -> String {
    let mut hosts: Vec<&str> = release.tarballs.iter().map(Tarball::host).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let mut text = String::new();
    for host in &hosts {
        let of_host = release.tarballs.iter().filter(|one| one.host() == *host);
        let sizes: Vec<u64> = of_host.map(|one| one.record().size).collect();
        let all = human_bytes(sizes.iter().sum());
        text.push_str(&format!("{host:<9} {:>14}, {all:>9}\n", count(sizes.len(), "emulator")));
    }
    let lacking = if lacks.is_empty() { "nothing".to_owned() } else { count(lacks.len(), "emulator") };
    text.push_str(&format!(
        "{} for {}; of the whole matrix it lacks {lacking}\n{}\n",
        count(release.tarballs.len(), "tarball"),
        count(hosts.len(), "host"),
        release.folder.display()
    ));
    text
}
