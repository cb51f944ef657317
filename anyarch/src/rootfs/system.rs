//! A system on its way: its own programs, run in it as `anyarch run` runs them, with what they say kept for whoever has
//! to know why one failed.

use crate::rootfs::stage;
use crate::run::emulator::Emulator;
use crate::run::ids::Ids;
use crate::run::plan::{self, Found, Network, Request};
use crate::run::root::{Defaults, Source};
use crate::run::{enter, handover};
use crate::session::Session;
use anyarch_client::answer::printable;
use anyarch_client::interrupt;
use anyhow::{Context as _, Result, bail};
use std::collections::VecDeque;
use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many lines of a program that fails are shown.
const LINES: usize = 25;

/// Variables that lead programs to the network, as whoever runs this has them.
const WAYS: [&str; 6] = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// Variables for dpkg and apt: nobody is there to be asked.
const ASK_NOBODY: [&str; 3] =
    ["DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "LC_ALL=C.UTF-8"];

/// A system whose programs can be run.
pub struct System<'a> {
    /// Where progress is told.
    pub session: &'a Session,
    /// Its folder.
    pub root: PathBuf,
    /// What runs its programs; this machine itself, if none.
    pub emulator: Option<Emulator>,
    /// The ids that there are.
    pub ids: Ids,
    /// The process that runs, if one does: for whoever has to end it.
    pub running: Arc<AtomicU32>,
}

impl System<'_> {
    /// Runs a program of the system to its end, which must be a good one. Each line that it says goes to `on_line`.
    ///
    /// # Errors
    /// When it fails, with the last lines that it said.
    pub fn run(&self, words: &[&str], network: Network, mut on_line: impl FnMut(&str)) -> Result<()> {
        let plan = handover::write(&self.plan(words, network)?)?;
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        let mut command = stage::next(enter::STAGE);
        command
            .arg(handover::inherit(&plan)?)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().context("cannot make a pipe")?)
            .stderr(writer);
        let mut child = command.spawn().context("cannot start this program again; is /proc mounted?")?;
        // It holds the other end of the pipe.
        drop(command);
        self.running.store(child.id(), Ordering::SeqCst);
        let mut last: VecDeque<String> = VecDeque::new();
        for line in BufReader::new(reader).split(b'\n') {
            let line = printable(&String::from_utf8_lossy(&line.context("cannot read what it says")?));
            self.session.progress.output(&line);
            on_line(&line);
            if last.len() == LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
        let ended = child.wait().context("cannot wait for a program of the system")?;
        self.running.store(0, Ordering::SeqCst);
        interrupt::wait_if_interrupted();
        if !ended.success() {
            let said = last.into_iter().collect::<Vec<_>>().join("\n  | ");
            let program = words.first().copied().unwrap_or_default();
            bail!("{program} failed in the new system ({ended}); its last words:\n  | {said}");
        }
        Ok(())
    }

    fn plan(&self, words: &[&str], network: Network) -> Result<plan::Plan> {
        let ways = WAYS.iter().filter(|name| env::var_os(name).is_some());
        let request = Request {
            command: words.iter().map(Into::into).collect(),
            entrypoint: None,
            binds: Vec::new(),
            environment: ASK_NOBODY.iter().chain(ways).map(Into::into).collect(),
            workdir: None,
            user: None,
            hostname: None,
            cpu: None,
            network,
            read_only: false,
            ephemeral: false,
            is_init: false,
        };
        let found = Found {
            root: Source::Folder(self.root.as_path().into()),
            defaults: Defaults::default(),
            emulator: self.emulator.clone(),
            ids: self.ids.clone(),
            translations: None,
            kept: None,
            variables: WAYS.iter().filter_map(|name| Some(((*name).into(), env::var_os(name)?))).collect(),
        };
        Ok(plan::plan(&request, found)?)
    }
}
