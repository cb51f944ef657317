//! What registers a format again at every boot: files that systemd and OpenRC read, or binfmt-support's own list.
//! And who has put a registration there, as far as these tell.

use crate::emulator::{Emulator, INTERCEPTING};
use crate::format::{Format, Registration, escaped};
use crate::step::Step;
use crate::table::{Entry, OURS, own_name};
use crate::target::spoken;
use anyarch_manifest::layout;
use anyarch_manifest::target::Target;
use std::fs;
use std::path::{Path, PathBuf};

/// Where systemd and OpenRC look for formats, the first of a name counts.
const FOLDERS: [&str; 4] = ["etc/binfmt.d", "run/binfmt.d", "usr/local/lib/binfmt.d", "usr/lib/binfmt.d"];
/// binfmt-support's program, and its list: a file for each format.
const UPDATE_BINFMTS: &str = "usr/sbin/update-binfmts";
const SUPPORTS_LIST: &str = "var/lib/binfmts";
/// OpenRC's service, and where it stands when it is to start at boot.
const SERVICE: &str = "etc/init.d/binfmt";
const RUNLEVEL: &str = "etc/runlevels/boot/binfmt";

/// What registers formats at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Debian's binfmt-support, with `update-binfmts`. Where it is installed, it rules.
    BinfmtSupport,
    /// systemd-binfmt.
    Systemd,
    /// OpenRC's service `binfmt`.
    OpenRc,
}

impl System {
    /// What a system has; `root` is its root folder.
    pub fn of(root: &Path) -> Option<Self> {
        let has = |paths: &[&str]| paths.iter().any(|path| root.join(path).symlink_metadata().is_ok());
        if has(&[UPDATE_BINFMTS]) {
            Some(Self::BinfmtSupport)
        } else if has(&["usr/lib/systemd/systemd-binfmt", "lib/systemd/systemd-binfmt"]) {
            Some(Self::Systemd)
        } else if has(&[SERVICE]) {
            Some(Self::OpenRc)
        } else {
            None
        }
    }
}

/// The name of the file that systemd and OpenRC read. They register in the order of names, and the last one wins: this
/// one comes after those of distributions (`qemu-aarch64.conf`).
fn file_name(target: &Target) -> String {
    format!("zz-{}.conf", own_name(target))
}

/// The file that an administrator's registration is kept in. It counts in the place of a package's of the same name.
fn file(root: &Path, target: &Target) -> PathBuf {
    root.join(FOLDERS[0]).join(file_name(target))
}

/// Its text.
fn text(registration: &Registration, target: &Target, undo: &str) -> String {
    format!(
        "# Programs for {target} are run by the emulator that this line names.\n# {undo}\n{}\n",
        registration.line()
    )
}

/// A file by which a package registers a target at every boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packaged {
    /// The name of the registration.
    pub name: String,
    /// The file, without a slash at the beginning.
    pub path: String,
    /// All of it.
    pub text: String,
    /// The emulator that is registered: a link to the plain one, whose name has it start its guest's children.
    pub interpreter: String,
}

/// What a package registers for a target, by the emulator in [`layout::PACKAGED`]: the same as `register --persist` on
/// Linux 5.12 and newer.
pub fn packaged(target: &Target) -> Packaged {
    let interpreter = format!("{}/{}{INTERCEPTING}", layout::PACKAGED, layout::program(target.name));
    let registration = Registration {
        name: own_name(target),
        format: Format::of(target),
        interpreter: interpreter.clone(),
        flags: "FP".to_owned(),
    };
    let name = file_name(target);
    let undo = format!("A link to /dev/null as /{}/{name} turns it off.", FOLDERS[0]);
    let text = text(&registration, target, &undo);
    Packaged { name: registration.name, path: format!("{}/{name}", FOLDERS[3]), text, interpreter }
}

/// What keeps a registration over boots.
pub fn keep(system: System, root: &Path, registration: &Registration, target: &'static Target) -> Vec<Step> {
    let undo = format!("`anyarch unregister {}` removes this file.", spoken(target));
    let write = Step::Write { path: file(root, target), text: text(registration, target, &undo) };
    let has = |flag: char| if registration.flags.contains(flag) { "yes" } else { "no" }.to_owned();
    match system {
        System::Systemd => vec![write],
        System::OpenRc => {
            let at = root.join(RUNLEVEL);
            let link = Step::Link { at: at.clone(), to: PathBuf::from("/").join(SERVICE) };
            if at.symlink_metadata().is_ok() { vec![write] } else { vec![write, link] }
        }
        System::BinfmtSupport => {
            let format = &registration.format;
            let arguments = [
                ["--install", &registration.name, &registration.interpreter].map(str::to_owned).to_vec(),
                vec![
                    "--magic".to_owned(),
                    escaped(&format.magic),
                    "--mask".to_owned(),
                    escaped(&format.mask),
                ],
                vec!["--offset".to_owned(), "0".to_owned(), "--credentials".to_owned(), has('C')],
                vec!["--preserve".to_owned(), has('P'), "--fix-binary".to_owned(), has('F')],
            ];
            // It registers anew, so that is looked at again.
            let check = Step::Check { target, name: registration.name.clone() };
            vec![Step::Call { program: root.join(UPDATE_BINFMTS), arguments: arguments.concat() }, check]
        }
    }
}

/// What undoes [`keep`], by what of it is there.
pub fn forget(root: &Path, target: &Target) -> Vec<Step> {
    let mut steps = Vec::new();
    let listed = root.join(SUPPORTS_LIST).join(own_name(target));
    if let Ok(text) = fs::read_to_string(listed)
        && let Some(interpreter) = interpreter_of_list(&text)
    {
        let arguments = ["--remove", &own_name(target), interpreter].map(str::to_owned).to_vec();
        steps.push(Step::Call { program: root.join(UPDATE_BINFMTS), arguments });
    }
    let file = file(root, target);
    if file.symlink_metadata().is_ok() {
        steps.push(Step::Delete(file.clone()));
        let others = files(root).any(|other| other != file);
        let runlevel = root.join(RUNLEVEL);
        // Nothing is left for the service to do.
        if !others && runlevel.symlink_metadata().is_ok() {
            steps.push(Step::Delete(runlevel));
        }
    }
    steps
}

/// The interpreter in a file of binfmt-support's list: the first of its lines that is a path.
fn interpreter_of_list(text: &str) -> Option<&str> {
    text.lines().find(|line| line.starts_with('/'))
}

/// All files that systemd and OpenRC read.
fn files(root: &Path) -> impl Iterator<Item = PathBuf> {
    let listed = FOLDERS.map(|folder| fs::read_dir(root.join(folder)));
    let paths = listed.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "conf"))
}

/// The registrations in the text of such a file: name and interpreter. The first character of a line divides it.
fn registrations(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter(|line| !line.starts_with(['#', ';'])).filter_map(|line| {
        let divider = line.chars().next()?;
        let fields: Vec<&str> = line.split(divider).collect();
        Some((*fields.get(1)?, *fields.get(6)?))
    })
}

/// The file that registers a name at boot, if there is one.
pub fn persistent(root: &Path, name: &str) -> Option<PathBuf> {
    let listed = root.join(SUPPORTS_LIST).join(name);
    if listed.is_file() {
        return Some(listed);
    }
    files(root).find(|path| {
        fs::read_to_string(path)
            .is_ok_and(|text| registrations(&text).any(|(registered, _)| registered == name))
    })
}

/// Who has registered an entry, for people. `None` if nothing tells.
pub fn owner(root: &Path, entry: &Entry) -> Option<String> {
    if entry.name.starts_with(OURS) {
        return Some("anyarch".to_owned());
    }
    if let Some(path) = persistent(root, &entry.name) {
        let is_listed = path.starts_with(root.join(SUPPORTS_LIST));
        let text = fs::read_to_string(&path).unwrap_or_default();
        // An administrator's own entry has a colon where a package's has its name.
        let package = text.lines().next().filter(|package| is_listed && *package != ":");
        return Some(package.map_or(path.display().to_string(), |package| format!("the package {package}")));
    }
    // What a container registers with the flag F stays when its files are gone.
    let is_gone = entry.flags.contains('F') && !entry.interpreter.exists();
    is_gone.then(|| "a container image".to_owned())
}

/// The links that were made for a target's registration, by what is registered now and at boot. Those in
/// [`layout::PACKAGED`] are a package's.
pub fn links(root: &Path, target: &Target, entries: &[Entry]) -> Vec<PathBuf> {
    let name = own_name(target);
    let registered = entries.iter().filter(|entry| entry.name == name).map(|entry| entry.interpreter.clone());
    let text = fs::read_to_string(file(root, target)).unwrap_or_default();
    let listed = fs::read_to_string(root.join(SUPPORTS_LIST).join(&name)).unwrap_or_default();
    let kept = registrations(&text).map(|(_, interpreter)| PathBuf::from(interpreter));
    let mut links: Vec<PathBuf> = registered.chain(kept).collect();
    links.extend(interpreter_of_list(&listed).map(PathBuf::from));
    links.retain(|path| {
        let leads_to = fs::read_link(path).ok();
        let emulator = leads_to.as_deref().and_then(Path::file_name);
        let is_packaged = path.parent() == Some(Path::new(layout::PACKAGED));
        !is_packaged
            && Emulator::is_intercepting(path)
            && emulator.is_some_and(|file| *file == *layout::program(target.name))
    });
    links.sort();
    links.dedup();
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use std::os::unix::fs::symlink;

    fn arm64() -> &'static Target {
        Target::find("arm64").expect("known")
    }

    fn registration(interpreter: &str) -> Registration {
        Registration {
            name: own_name(arm64()),
            format: Format::of(arm64()),
            interpreter: interpreter.to_owned(),
            flags: "FP".to_owned(),
        }
    }

    fn put(root: &Path, path: &str, text: &str) -> PathBuf {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, text).expect("written");
        path
    }

    #[test]
    fn binfmt_support_rules_then_systemd_then_openrc() {
        let home = tempfile::tempdir().expect("a folder");
        assert_eq!(System::of(home.path()), None);
        for (path, system) in [
            (SERVICE, System::OpenRc),
            ("usr/lib/systemd/systemd-binfmt", System::Systemd),
            (UPDATE_BINFMTS, System::BinfmtSupport),
        ] {
            put(home.path(), path, "");
            assert_eq!(System::of(home.path()), Some(system));
        }
    }

    #[test]
    fn systemd_reads_one_line_after_those_of_distributions() {
        let steps = keep(System::Systemd, Path::new("/r"), &registration("/e/qemu-aarch64"), arm64());
        let [Step::Write { path, text }] = &steps[..] else { unreachable!("{steps:?}") };
        assert_eq!(path, Path::new("/r/etc/binfmt.d/zz-anyarch-aarch64.conf"));
        let name = path.file_name().expect("a name").to_str().expect("text");
        assert!(name > "qemu-aarch64.conf");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, [registration("/e/qemu-aarch64").line()]);
        assert!(text.contains("`anyarch unregister arm64`"));
        assert_eq!(registrations(text).collect::<Vec<_>>(), [("anyarch-aarch64", "/e/qemu-aarch64")]);
    }

    #[test]
    fn a_packages_file_is_what_persist_writes_and_an_administrators_goes_before_it() {
        let packaged = packaged(arm64());
        let registration = registration(&packaged.interpreter);
        let steps = keep(System::Systemd, Path::new("/"), &registration, arm64());
        let [Step::Write { path, text }] = &steps[..] else { unreachable!("{steps:?}") };
        assert_eq!(packaged.path, "usr/lib/binfmt.d/zz-anyarch-aarch64.conf");
        assert_eq!(path.file_name(), Path::new(&packaged.path).file_name());
        assert!(path.starts_with("/etc/binfmt.d") && packaged.text.contains(path.to_str().expect("text")));
        assert_eq!(packaged.text.lines().last(), text.lines().last());
        assert_eq!(packaged.interpreter, "/usr/libexec/anyarch/qemu-aarch64-execve");
        assert_eq!(packaged.name, registration.name);
    }

    #[test]
    fn openrcs_service_is_turned_on_and_off_again_if_it_has_nothing_left_to_do() {
        let home = tempfile::tempdir().expect("a folder");
        let root = home.path();
        let steps = keep(System::OpenRc, root, &registration("/e/qemu-aarch64"), arm64());
        assert!(
            matches!(&steps[..], [Step::Write { .. }, Step::Link { at, .. }] if *at == root.join(RUNLEVEL))
        );
        let ours = put(root, "etc/binfmt.d/zz-anyarch-aarch64.conf", "");
        let runlevel = put(root, RUNLEVEL, "");
        assert_eq!(keep(System::OpenRc, root, &registration("/e"), arm64()).len(), 1, "it is on already");
        assert_eq!(forget(root, arm64()), [Step::Delete(ours.clone()), Step::Delete(runlevel)]);
        put(root, "usr/lib/binfmt.d/wine.conf", "");
        assert_eq!(forget(root, arm64()), [Step::Delete(ours)]);
    }

    #[test]
    fn binfmt_support_is_told_the_flags_and_checked_again() {
        let steps = keep(System::BinfmtSupport, Path::new("/"), &registration("/e/qemu-aarch64"), arm64());
        let [Step::Call { program, arguments }, Step::Check { .. }] = &steps[..] else {
            unreachable!("{steps:?}")
        };
        assert_eq!(program, Path::new("/usr/sbin/update-binfmts"));
        let said = arguments.join(" ");
        assert!(said.starts_with("--install anyarch-aarch64 /e/qemu-aarch64 --magic \\x7f"), "{said}");
        assert!(said.ends_with("--offset 0 --credentials no --preserve yes --fix-binary yes"), "{said}");
    }

    #[test]
    fn what_binfmt_support_has_listed_is_removed_by_it() {
        let home = tempfile::tempdir().expect("a folder");
        assert_eq!(forget(home.path(), arm64()), []);
        let list = ":\nmagic\n0\n\\x7f\n\\xff\n/e/qemu-aarch64-execve\n\nno\nyes\nyes\n";
        put(home.path(), "var/lib/binfmts/anyarch-aarch64", list);
        let steps = forget(home.path(), arm64());
        let [Step::Call { arguments, .. }] = &steps[..] else { unreachable!("{steps:?}") };
        assert_eq!(arguments, &["--remove", "anyarch-aarch64", "/e/qemu-aarch64-execve"]);
    }

    #[test]
    fn owners_are_named_as_far_as_files_tell() {
        let home = tempfile::tempdir().expect("a folder");
        let root = home.path();
        put(root, "var/lib/binfmts/qemu-arm", "qemu-user-static\nmagic\n");
        put(root, "var/lib/binfmts/mine", ":\nmagic\n");
        let conf = put(root, "usr/lib/binfmt.d/qemu-sh4.conf", "# x\n:qemu-sh4:M::m:k:/usr/bin/qemu-sh4:F\n");
        let entry = |name: &str, flags: &str| {
            let text = format!("enabled\ninterpreter /nowhere/qemu\nflags: {flags}\noffset 0\nmagic 7f\n");
            Entry::parse(name, &text).expect("an entry")
        };
        let owner = |name: &str, flags: &str| owner(root, &entry(name, flags));
        assert_eq!(owner("anyarch-arm", "").as_deref(), Some("anyarch"));
        assert_eq!(owner("qemu-arm", "OCF").as_deref(), Some("the package qemu-user-static"));
        assert!(owner("mine", "").expect("known").ends_with("var/lib/binfmts/mine"));
        assert_eq!(owner("qemu-sh4", "F"), Some(conf.display().to_string()));
        assert_eq!(owner("qemu-riscv64", "POCF").as_deref(), Some("a container image"));
        assert_eq!(owner("qemu-riscv64", ""), None);
    }

    #[test]
    fn only_links_that_were_made_for_it_are_removed() {
        let home = tempfile::tempdir().expect("a folder");
        let root = home.path();
        let (link, other) = (root.join("qemu-aarch64-execve"), root.join("other-execve"));
        symlink(root.join("qemu-aarch64"), &link).expect("linked");
        symlink("/bin/sh", &other).expect("linked");
        let copy = put(root, "copy-execve", "");
        for (interpreter, expected) in [(&link, vec![link.clone()]), (&other, vec![]), (&copy, vec![])] {
            let line = registration(interpreter.to_str().expect("text")).line();
            put(root, "etc/binfmt.d/zz-anyarch-aarch64.conf", &format!("{line}\n"));
            assert_eq!(links(root, arm64(), &[]), expected);
        }
    }
}
