//! Programs of a root that have rights of their own: set-user-ID, set-group-ID, capabilities. Only the kernel can give
//! them to a process that has none, and it does for programs that it starts itself. So the emulator is registered with
//! it, in a table that belongs to the run's user namespace and ends with it (Linux 6.7).

use crate::run::handover;
use anyarch_binfmt::format::{Format, Registration};
use anyarch_binfmt::look;
use anyarch_binfmt::table::{Entry, Table, own_name};
use anyarch_manifest::layout;
use anyarch_manifest::target::Target;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// The kernel opens the emulator at once (`F`), hands it the program (`O`) and the program's rights (`C`), and keeps
/// `argv[0]` (`P`).
const FLAGS: &str = "POCF";

/// What the emulator is called in `/dev`. By such a name it leaves programs with rights to the kernel.
pub fn name(target: &str) -> String {
    format!("{}-execve", layout::program(target))
}

/// A table of the run's own, which is not mounted yet.
#[derive(Debug)]
pub struct Own(pub OwnedFd);

impl Own {
    fn table(&self) -> Table {
        Table { folder: handover::name(self.0.as_fd()) }
    }

    /// Has the formats of this machine's table go on to count: from now on the kernel looks at this one alone. Those
    /// whose emulator it would look for in the root never did count there.
    pub fn take_over(&self) {
        let seen = look::seen().entries().unwrap_or_default();
        for registration in seen.iter().filter_map(again) {
            // It may lie where this user sees nothing.
            let _ = self.table().register(&registration);
        }
    }

    /// Registers the emulator, which lies at `/dev` by its name; gives its path, if the kernel takes it.
    pub fn register(&self, target: &Target) -> Option<PathBuf> {
        let interpreter = format!("/dev/{}", name(target.name));
        let path = PathBuf::from(&interpreter);
        let (name, format) = (own_name(target), Format::of(target));
        // Whatever was there under this name is for the same programs.
        let _ = self.table().remove(&name);
        let registration = Registration { name, format, interpreter, flags: FLAGS.to_owned() };
        self.table().register(&registration).is_ok().then_some(path)
    }
}

/// A registration as it can be made again.
fn again(entry: &Entry) -> Option<Registration> {
    let is_usable =
        entry.is_enabled && entry.flags.contains('F') && entry.offset == 0 && !entry.magic.is_empty();
    let mask = if entry.mask.is_empty() { vec![0xff; entry.magic.len()] } else { entry.mask.clone() };
    is_usable.then(|| Registration {
        name: entry.name.clone(),
        format: Format { magic: entry.magic.clone(), mask },
        interpreter: entry.interpreter.to_string_lossy().into_owned(),
        flags: entry.flags.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_in_a_root_goes_on_to_count() {
        let text = "enabled\ninterpreter /usr/bin/qemu-arm\nflags: OCF\noffset 0\nmagic 7f45\n";
        let entry = Entry::parse("qemu-arm", text).expect("an entry");
        let line = again(&entry).expect("a registration").line();
        assert_eq!(line, ":qemu-arm:M::\\x7f\\x45:\\xff\\xff:/usr/bin/qemu-arm:OCF");
        for (from, to) in
            [("OCF", "OC"), ("enabled", "disabled"), ("offset 0", "offset 4"), ("magic 7f45", "magic ")]
        {
            let other = Entry::parse("qemu-arm", &text.replace(from, to)).expect("an entry");
            assert_eq!(again(&other), None, "{to}");
        }
    }

    #[test]
    fn the_emulators_name_is_one_that_leaves_rights_to_the_kernel() {
        assert_eq!(name("aarch64"), "qemu-aarch64-execve");
    }
}
