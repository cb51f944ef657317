//! What is there, for a plan: the table, the links' folder, what registers at boot. Nothing is changed.

use crate::format::Format;
use crate::persist::{self, System};
use crate::place::{Circumstances, FOLDER, Mounted, Scope};
use crate::plan::There;
use crate::table::Table;
use anyarch_client::files;
use anyarch_manifest::target::{TARGETS, Target};
use anyhow::{Context as _, Result};
use std::env;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// For whom, and below which folder the system's files are.
#[derive(Debug, Clone, Copy)]
pub struct Wanting<'a> {
    /// For the user namespace, not the machine.
    pub user: bool,
    /// The root folder of the system's files, if it is not `/`.
    pub root: Option<&'a Path>,
}

impl Wanting<'_> {
    /// The table that is meant.
    pub fn scope(&self) -> Scope {
        if self.user { Scope::UserNamespace } else { Scope::Machine }
    }

    /// The root folder of the system's files.
    pub fn root(&self) -> &Path {
        self.root.unwrap_or(Path::new("/"))
    }
}

/// What a plan is made of. Without a table that is open, what can be seen of it.
///
/// # Errors
/// When the table cannot be read.
pub fn there(circumstances: &Circumstances, wanting: &Wanting<'_>, open: Option<&Table>) -> Result<There> {
    let seen = seen();
    let is_seen =
        circumstances.mounted != Mounted::Nothing && circumstances.visible_scope() == wanting.scope();
    let table = open.or(is_seen.then_some(&seen));
    let entries = table.map(Table::entries).transpose()?.unwrap_or_default();
    let root = wanting.root();
    let with_owner = entries.into_iter().map(|entry| {
        let owner = persist::owner(root, &entry);
        (entry, owner)
    });
    Ok(There {
        is_mounted: table.is_some(),
        entries: with_owner.collect(),
        keeps_argv0: circumstances.keeps_argv0(),
        is_machine: circumstances.scope == Scope::Machine,
        link_folder: link_folder(wanting.scope(), circumstances.is_root),
        system: System::of(root),
        root: root.to_owned(),
    })
}

/// The table that everybody sees, whosever it is.
pub fn seen() -> Table {
    Table { folder: FOLDER.into() }
}

/// The target of this very program, which this machine runs itself.
///
/// # Errors
/// When `/proc` is missing.
pub fn own_target() -> Result<Option<&'static Target>> {
    let mut header = Vec::new();
    let own = File::open("/proc/self/exe").context("cannot read this program; mount /proc")?;
    own.take(64).read_to_end(&mut header).context("cannot read this program")?;
    Ok(TARGETS.iter().find(|target| Format::of(target).matches(&header)))
}

/// A folder for links that are gone at the next boot, as registrations are. Who is not root only asks what root
/// would do.
fn link_folder(scope: Scope, is_root: bool) -> Option<PathBuf> {
    let user = env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = user.filter(|_| scope == Scope::UserNamespace);
    let folders = user.into_iter().chain([PathBuf::from("/run")]).map(|folder| folder.join("anyarch"));
    folders.into_iter().find(|folder| !is_root || files::is_writable(folder, "").is_ok())
}
