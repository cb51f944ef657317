//! What emulators are built from and with, and the key of their build tree, which is a hash of that.

use crate::facts::{Host, Series, Target};
use crate::plan::{self, Plan, Profile, TreePlan};
use crate::toolchain::Toolchain;
use anyarch_client::hash;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What an emulator was built from and with: source, patches, compiler, options, libraries. It is written to
/// `build.json` of the package, so it contains no paths and no times.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct BuildInfo {
    /// Name of the release: QEMU's version and our revision, `10.2.2-1`.
    pub release: String,
    /// Upstream's git tag: `v10.2.2`.
    pub tag: String,
    /// The commit that the tag names, where that is known.
    pub commit: Option<String>,
    /// Our patches: name below `patches/` and SHA-256 in lower-case hex.
    pub patches: Vec<(String, String)>,
    /// Profile that the emulator was compiled with.
    pub profile: Profile,
    /// The host's GNU triple.
    pub triple: String,
    /// Version of the C compiler: first line of `--version`, without the program's name.
    pub compiler: String,
    /// Options that make the C compiler generate code for the host.
    pub compiler_options: Vec<String>,
    /// Version of the linker: first line of `--version`, without the program's name.
    pub linker: String,
    /// Packages of the static libraries: file name and SHA-256 in lower-case hex.
    pub sysroot: Vec<(String, String)>,
    /// Options of QEMU's configure, without paths.
    pub configure: Vec<String>,
    /// C compiler options, in addition to QEMU's own.
    pub cflags: Vec<String>,
    /// Header of `toolchains/` that is included before every source file, with its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<(String, String)>,
    /// Linker options, in addition to QEMU's own.
    pub ldflags: Vec<String>,
    /// Script of `toolchains/` that the linker reads beside its own, with its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_script: Option<(String, String)>,
}

/// Counted up when the same facts are turned into other bytes: another environment, another layout.
pub(super) const RECIPE: u32 = 3;

/// Compiler options that make small files whose bytes do not depend on where they were built.
fn cflags(profile: Profile) -> Vec<String> {
    let mut flags = vec!["-ffunction-sections".into(), "-fdata-sections".into()];
    if profile == Profile::Release {
        // What only debuggers and C++ read of a stripped file: a tenth of it as it is packed. A thread that
        // ends is unwound by tables, too; C libraries stop, as they should, at the first function without one.
        flags.extend(["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"].map(str::to_owned));
    }
    if profile == Profile::Sanitized {
        // A finding must end the emulator, or nobody notices it. With the sanitizers' checks in between,
        // gcc no longer proves what QEMU has it prove by inlining; this has QEMU assert it instead.
        let more = ["-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-D__NO_INLINE__"];
        flags.extend(more.map(str::to_owned));
    }
    flags
}

fn ldflags(host: &Host, profile: Profile) -> Vec<String> {
    let mut flags = vec!["-Wl,--gc-sections".into(), "-Wl,--build-id=sha1".into()];
    // Some of MIPS's objects do not say that they need no executable stack.
    flags.push("-Wl,-z,noexecstack".into());
    flags.extend(host.compiler.linker.as_ref().map(|linker| format!("-fuse-ld={linker}")));
    flags.extend(host.compiler.link_options.iter().cloned());
    // A sysroot has no shared libraries, and configure asks some of its questions with them unless it is told.
    if profile.is_static() {
        flags.push(if host.elf.pie { "-static-pie".into() } else { "-static".into() });
    }
    flags
}

impl BuildInfo {
    /// Collects the build info for the emulators of a tree.
    pub fn gather(plan: &Plan, tree: &TreePlan, toolchain: &Toolchain) -> Self {
        Self::configured_for(tree.configured(), plan, tree, toolchain)
    }

    /// The same for a tree that is configured for other targets. Nothing of it is packed.
    pub fn configured_for(targets: &[Target], plan: &Plan, tree: &TreePlan, toolchain: &Toolchain) -> Self {
        let series = plan.series();
        let targets: Vec<String> =
            targets.iter().map(|target| format!("{}-linux-user", target.name)).collect();
        let mut configure = series.pins.build.configure.clone();
        configure.retain(|option| plan.profile().is_static() || option != "--static");
        configure.extend(plan.profile().configure().iter().map(|option| (*option).to_owned()));
        configure.push(if tree.host().elf.pie { "--enable-pie".into() } else { "--disable-pie".into() });
        configure.push(format!("{PKGVERSION}{}", pkgversion(series)));
        configure.push(format!("--target-list={}", targets.join(",")));
        Self {
            release: plan.release().to_owned(),
            tag: series.pins.tag.clone(),
            commit: series.pins.git.commit.clone(),
            patches: series.patches.iter().map(|patch| (patch.name.clone(), patch.sha256.clone())).collect(),
            profile: plan.profile(),
            triple: tree.host().triple.clone(),
            compiler: toolchain.cc_version.clone(),
            compiler_options: toolchain.compilers.options.clone(),
            linker: toolchain.ld_version.clone(),
            sysroot: toolchain
                .sysroot
                .packages()
                .iter()
                .map(|p| (p.file.clone(), p.sha256.clone()))
                .collect(),
            configure,
            cflags: cflags(plan.profile()),
            header: toolchain.header_hash(),
            ldflags: ldflags(tree.host(), plan.profile()),
            link_script: toolchain.link_script_hash(),
        }
    }

    /// What of the pins is another one than what the series is made from now, in words.
    pub fn other_pin(&self, series: &Series, profile: Profile) -> Option<String> {
        let of = |what: &str, seen: &str, wanted: &str| {
            (seen != wanted).then(|| format!("{what} {seen}, not {wanted}"))
        };
        let patches = || {
            let now: Vec<(&String, &String)> =
                series.patches.iter().map(|patch| (&patch.name, &patch.sha256)).collect();
            let seen: Vec<(&String, &String)> =
                self.patches.iter().map(|(name, hash)| (name, hash)).collect();
            let odd =
                seen.iter().find(|one| !now.contains(one)).or(now.iter().find(|one| !seen.contains(one)));
            let odd = odd.map(|(name, _)| format!("the patch {name} is missing, added or different"));
            odd.or_else(|| (seen != now).then(|| "the patches are in another order".to_owned()))
        };
        let commit = |commit: &Option<String>| commit.clone().unwrap_or_else(|| "unknown".to_owned());
        of("tag", &self.tag, &series.pins.tag)
            .or_else(|| of("release", &self.release, &plan::release(series, profile)))
            .or_else(|| of("profile", self.profile.name(), profile.name()))
            .or_else(|| of("commit", &commit(&self.commit), &commit(&series.pins.git.commit)))
            .or_else(patches)
    }

    /// The same without our patches and our `--version` text. Everything that affects speed and behaviour is
    /// unchanged.
    pub(super) fn without_patches(self) -> Self {
        let ours = |option: &String| option.starts_with(PKGVERSION);
        let mut configure: Vec<String> = self.configure.into_iter().filter(|option| !ours(option)).collect();
        configure.push(format!("{PKGVERSION}{UPSTREAM}"));
        Self { release: format!("{}-{UPSTREAM}", self.tag), patches: Vec::new(), configure, ..self }
    }
}

/// The option that sets what `--version` says in parentheses.
const PKGVERSION: &str = "--with-pkgversion=";
/// Part of the names of everything that is built without our patches.
pub(super) const UPSTREAM: &str = "upstream";

/// The text in parentheses in the output of `--version`.
pub fn pkgversion(series: &Series) -> String {
    format!("anyarch-{}", series.release())
}

/// The key of the tree that a plan's host is built in: everything that goes into it.
pub fn key(plan: &Plan, tree: &TreePlan, toolchain: &Toolchain) -> Result<String> {
    let build_info = BuildInfo::gather(plan, tree, toolchain);
    hash::short_key(&(RECIPE, &build_info, crate::patch::key(plan.series())?, toolchain.key()?))
}
