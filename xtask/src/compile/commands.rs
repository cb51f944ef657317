//! The two commands of a build tree: QEMU's configure and ninja.

use super::build_info::BuildInfo;
use super::file_name;
use crate::patch::SourceTree;
use crate::plan::{Plan, Profile};
use crate::slots::Slots;
use crate::toolchain::{Launcher, Toolchain};
use anyhow::{Context as _, Result};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where compiler and linker find headers and libraries.
fn sysroot_flags(profile: Profile, toolchain: &Toolchain) -> (String, String) {
    let root = toolchain.sysroot.path().display();
    if profile.is_static() {
        let all = toolchain.sysroot_options().join(" ");
        return (all.clone(), all);
    }
    // The sanitizers' libraries fit the machine's own C library. GLib still comes from the sysroot, as
    // an archive: of shared libraries, only the links are there. What GLib needs in turn is not told
    // for a dynamic build, so all of that is linked.
    let folder = format!("-L{root}/usr/lib/{}", toolchain.multiarch);
    (
        format!("--sysroot={root}"),
        format!("--sysroot=/ {folder} -Wl,--whole-archive -lpcre2-8 -Wl,--no-whole-archive"),
    )
}

/// QEMU's configure with all that we tell it, run in `folder`, a new one beside the source.
pub fn configure_command(
    folder: &Path,
    plan: &Plan,
    build_info: &BuildInfo,
    source: &SourceTree,
    toolchain: &Toolchain,
) -> Result<Command> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let beside = Path::new("..").join(file_name(source.path()));
    let (mut headers, mut libraries) = sysroot_flags(build_info.profile, toolchain);
    if let Some(header) = toolchain.header.as_ref().filter(|_| build_info.profile.is_static()) {
        headers.push_str(&format!(" -include {}", header.display()));
    }
    if let (Some(script), true, Some(_)) =
        (&toolchain.link_script, build_info.profile.is_static(), &build_info.link_script)
    {
        libraries.push_str(&format!(" -Wl,-T,{}", script.display()));
    }
    // The source's name must not be in the emulators, seen from anywhere or from the build tree.
    let absolute = format!("-ffile-prefix-map={}=.", source.path().display());
    let relative = format!("-ffile-prefix-map={}=.", beside.display());
    let flags = |own: &[String], more: &[&str]| [own.join(" "), more.join(" ")].join(" ");
    let mut configure = Command::new(beside.join("configure"));
    toolchain.environment(&mut configure);
    share_what_is_compiled(&mut configure, folder, toolchain);
    if toolchain.launcher == Some(Launcher::Distcc) {
        // Its questions are programs that may fail to compile, which distcc takes for a machine's fault: it
        // would ask no other machine for a minute. Answered here, they cost a second or two.
        configure.env("DISTCC_HOSTS", "localhost").env("DISTCC_FALLBACK", "1");
    }
    configure
        .current_dir(folder)
        .env("SOURCE_DATE_EPOCH", plan.series().pins.epoch.to_string())
        .args(&build_info.configure)
        .arg(format!("--ninja={}", toolchain.python.join("bin/ninja").display()))
        .arg(format!("--cc={}", toolchain.cc().join(" ")))
        .arg(format!("--host-cc={}", toolchain.compilers.build_cc.display()))
        .arg(format!("--extra-cflags={}", flags(&build_info.cflags, &[&headers, &absolute, &relative])))
        .arg(format!("--extra-ldflags={}", flags(&build_info.ldflags, &[&libraries])));
    if toolchain.is_cross() {
        // The companions' names come by variables, so there is no prefix to tell.
        configure.arg("--cross-prefix=");
    }
    if plan.series().pins.build.python_option {
        configure.arg(format!("--python={}", toolchain.python.join("bin/python3").display()));
    }
    Ok(toolchain.place.command(configure))
}

/// Tells ccache what makes it find more, in less time. A user's own values go before ours.
///
/// QEMU's build names some folders of the source from the root on, which no two trees have in common. Below the
/// folder that holds source and tree, ccache looks at names from the tree on: trees then find each other's objects.
///
/// The compiler writes down which headers it has read, for ninja. With that list, ccache need not read each file by
/// the preprocessor first: what it does not have yet is compiled in three quarters of the time.
fn share_what_is_compiled(command: &mut Command, folder: &Path, toolchain: &Toolchain) {
    if toolchain.launcher == Some(Launcher::Ccache) {
        command.envs(ccache_settings(folder, |name| env::var_os(name).is_some()));
    }
}

fn ccache_settings(folder: &Path, is_set: impl Fn(&str) -> bool) -> Vec<(&'static str, OsString)> {
    let mut settings = Vec::new();
    if let Some(home) = folder.parent().filter(|_| !is_set("CCACHE_BASEDIR")) {
        settings.push(("CCACHE_BASEDIR", home.into()));
    }
    if !is_set("CCACHE_DEPEND") && !is_set("CCACHE_NODEPEND") {
        settings.push(("CCACHE_DEPEND", "1".into()));
    }
    settings
}

/// How many jobs ninja runs in parallel.
#[derive(Debug, Clone, Copy)]
pub enum Jobs<'a> {
    /// A fixed number.
    Own(usize),
    /// As many as there are free job slots; the caller holds the first one.
    Shared(&'a Slots),
}

/// ninja for these outputs of the tree in `folder`.
pub fn ninja_command(folder: &Path, toolchain: &Toolchain, jobs: Jobs<'_>, words: &[String]) -> Command {
    let mut ninja = Command::new(toolchain.python.join("bin/ninja"));
    toolchain.environment(&mut ninja);
    share_what_is_compiled(&mut ninja, folder, toolchain);
    ninja.current_dir(folder).env("NINJA_STATUS", "[%f/%t] ");
    match jobs {
        Jobs::Own(number) => drop(ninja.arg(format!("-j{number}"))),
        // With -j, ninja would leave the shared slots alone.
        Jobs::Shared(slots) => drop(ninja.env("MAKEFLAGS", slots.makeflags())),
    }
    ninja.args(words);
    toolchain.place.command(ninja)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ccache_is_told_the_folder_and_to_trust_the_compiler_unless_the_user_says_otherwise() {
        let told = |set: &[&str]| {
            let settings = ccache_settings(Path::new("/trees/key/amd64"), |name| set.contains(&name));
            settings
                .into_iter()
                .map(|(name, value)| format!("{name}={}", value.display()))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&[]), ["CCACHE_BASEDIR=/trees/key", "CCACHE_DEPEND=1"]);
        assert_eq!(told(&["CCACHE_BASEDIR"]), ["CCACHE_DEPEND=1"]);
        assert_eq!(told(&["CCACHE_NODEPEND"]), ["CCACHE_BASEDIR=/trees/key"]);
        assert_eq!(told(&["CCACHE_DEPEND", "CCACHE_BASEDIR"]), Vec::<String>::new());
    }
}
