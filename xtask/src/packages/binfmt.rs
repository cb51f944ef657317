//! What registers emulators at every boot, and right after the package is installed.
//!
//! The files are those of `anyarch register --persist`, in the folder for packages. They come after those of others by
//! their names, and what was registered last counts. So others, such as Debian's `qemu-user-binfmt`, need not be
//! removed, and are what counts again without this package: there is nothing to conflict with or to replace.

use super::entry::{Entry, Kind};
use crate::facts::Host;
use anyarch_binfmt::persist;
use anyarch_manifest::target::Target;

/// What is run when the package is installed and removed: parts of shell scripts, which never fail.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// The names of all registrations.
    names: Vec<String>,
}

/// The files for these targets, and the scripts. What the host runs itself is not registered; none if nothing is left.
pub fn files(targets: &[&str], host: &Host) -> Option<(Vec<Entry>, Scripts)> {
    let is_foreign = |target: &&&str| !host.packages.runs.iter().any(|own| own == **target);
    let foreign = targets.iter().filter(is_foreign).filter_map(|target| Target::find(target));
    let packaged: Vec<persist::Packaged> = foreign.map(persist::packaged).collect();
    let names: Vec<String> = packaged.iter().map(|one| one.name.clone()).collect();
    if names.is_empty() {
        return None;
    }
    let entry = |one: persist::Packaged| Entry { path: one.path, kind: Kind::Written(one.text.into_bytes()) };
    Some((packaged.into_iter().map(entry).collect(), Scripts { names }))
}

impl Scripts {
    /// Registers where systemd runs. It is told these files alone: a restart of its service would also take out what
    /// somebody has registered since the machine was started.
    pub fn register_by_systemd(&self) -> String {
        let files: Vec<String> = self.names.iter().map(|name| format!("zz-{name}.conf")).collect();
        format!(
            "if [ -d /run/systemd/system ] && [ -x /usr/lib/systemd/systemd-binfmt ] &&\n    \
             [ \"$(readlink /etc/systemd/system/systemd-binfmt.service)\" != /dev/null ]; then\n    \
             /usr/lib/systemd/systemd-binfmt \\\n        {} ||\n        \
             echo \"anyarch-binfmt: not registered now, but at the next boot\" >&2\n\
             fi\n",
            files.join(" \\\n        ")
        )
    }

    /// Registers where OpenRC runs its service. Turning that on is left to the administrator, as for every service.
    pub fn register_by_openrc() -> &'static str {
        "if [ -d /run/openrc ]; then\n    \
         rc-service --ifexists --ifstarted binfmt restart || true\n    \
         [ -e /etc/runlevels/boot/binfmt ] ||\n        \
         echo \"anyarch-binfmt: to register now and at boot: rc-update add binfmt boot && rc-service binfmt start\"\n\
         fi\n"
    }

    /// Takes out what this package has registered, and leaves what an administrator keeps under the same name.
    pub fn unregister(&self) -> String {
        format!(
            "if [ -d /run/systemd/system ] || [ -d /run/openrc ]; then\n    \
             for name in \\\n        {}\n    \
             do\n        \
             entry=/proc/sys/fs/binfmt_misc/$name\n        \
             [ -e \"/etc/binfmt.d/zz-$name.conf\" ] || [ ! -e \"$entry\" ] || echo -1 > \"$entry\" || true\n    \
             done\n\
             fi\n",
            self.names.join(" \\\n        ")
        )
    }
}
