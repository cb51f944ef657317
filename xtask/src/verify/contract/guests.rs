//! The guest program, compiled for a target and for this machine.

use crate::error::Missing;
use crate::facts::Target;
use crate::process::{self, capture};
use anyhow::{Context as _, Result, anyhow};
use serde::Deserialize;
use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use xshell::cmd;

/// How a guest program is linked with its C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Linkage {
    /// Statically linked.
    Statically,
    /// Dynamically linked.
    Dynamically,
}

impl fmt::Display for Linkage {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Statically => "statically",
            Self::Dynamically => "dynamically",
        })
    }
}

/// A guest program that is ready to run.
#[derive(Debug)]
pub struct Guest {
    /// Name of the program.
    pub program: PathBuf,
    /// For the emulator's `-L`: below it are the interpreter and the library of the target.
    pub prefix: Option<PathBuf>,
}

/// The guest for the target, and the same for this machine.
#[derive(Debug)]
pub struct Pair {
    /// For the emulator.
    pub guest: Guest,
    /// The program that it is compared with, for this machine.
    pub native: PathBuf,
}

/// A program that looks at an emulator from within and from outside, for the target and for this machine:
/// `closed.c`, `cache.c`.
#[derive(Debug)]
pub struct Onlooker {
    /// For the emulator.
    pub guest: PathBuf,
    /// The program that inspects it, for this machine.
    pub native: PathBuf,
}

/// The compilers for both sides of the comparison.
#[derive(Debug)]
pub struct Compilers {
    cross: PathBuf,
    native: PathBuf,
    triple: &'static str,
}

impl Compilers {
    /// Looks for them.
    pub fn find(target: Target) -> Result<Self, Missing> {
        let Some(known) = target.compiler else {
            let what = format!("a C compiler with a C library for {}, which Debian has not", target.name);
            return Err(Missing { what, command: None });
        };
        let find = |name: &str, what: &str, packages: &str| {
            which::which(name)
                .map_err(|_| Missing::new(format!("{what} ({name})"), format!("apt-get install {packages}")))
        };
        Ok(Self {
            cross: find(&format!("{}-gcc", known.triple), "a C compiler for the guest", known.packages)?,
            native: find("gcc", "a C compiler for this machine", "gcc libc6-dev")?,
            triple: known.triple,
        })
    }

    /// Compiles the guest for both, at the same time, in a folder of `home`.
    pub fn pair(&self, source: &Path, home: &Path, linked: Linkage) -> Result<Pair> {
        let home = home.join(linked.to_string());
        let source = &source.join("exec.c");
        fs::create_dir(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let (guest, native) = thread::scope(|scope| {
            let native = scope.spawn(|| compile(&self.native, source, &home.join("native"), linked));
            let guest = compile(&self.cross, source, &home.join("guest"), linked);
            (
                guest,
                native.join().unwrap_or_else(|_| Err(anyhow!("the thread that runs a compiler panicked"))),
            )
        });
        let prefix = match linked {
            Linkage::Statically => None,
            Linkage::Dynamically => Some(self.prefix(&home)?),
        };
        Ok(Pair { guest: Guest { program: guest?, prefix }, native: native? })
    }

    /// Compiles a program for both, in a folder of `home`, linked in the way that gcc calls `option`. None where the
    /// target's C library has nothing to link so.
    pub fn linked(&self, source: &Path, home: &Path, option: &str) -> Result<Option<Pair>> {
        let home = home.join(option);
        fs::create_dir(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let (guest, native) = (home.join("guest"), home.join("native"));
        link(&self.native, source, &native, &[option])?;
        if let Err(error) = link(&self.cross, source, &guest, &[option]) {
            // What does not compile would not do so in any other way.
            link(&self.cross, source, &guest, &["-static"]).map_err(|_| error)?;
            return Ok(None);
        }
        let prefix = if option.starts_with("-static") { None } else { Some(self.prefix(&home)?) };
        Ok(Some(Pair { guest: Guest { program: guest, prefix }, native }))
    }

    /// Compiles `NAME.c` for both, statically linked.
    pub fn onlooker(&self, source: &Path, home: &Path, name: &str) -> Result<Onlooker> {
        let source = source.join(format!("{name}.c"));
        Ok(Onlooker {
            guest: compile(&self.cross, &source, &home.join(name), Linkage::Statically)?,
            native: compile(
                &self.native,
                &source,
                &home.join(format!("{name}-native")),
                Linkage::Statically,
            )?,
        })
    }

    /// A root with the target's libraries, and an empty `ld.so.cache`: this machine's would lead a guest
    /// to libraries of this machine, and an i386 one even to some that it can load but not use.
    fn prefix(&self, home: &Path) -> Result<PathBuf> {
        let prefix = home.join("prefix");
        fs::create_dir_all(prefix.join("etc"))?;
        fs::write(prefix.join("etc/ld.so.cache"), "")?;
        let cross = Path::new("/usr").join(self.triple);
        // This machine's own compiler has its libraries where the machine has them.
        let root = if cross.is_dir() { cross } else { PathBuf::from("/") };
        for name in ["lib", "lib32", "lib64"] {
            if root.join(name).is_dir() {
                symlink(root.join(name), prefix.join(name))?;
            }
        }
        Ok(prefix)
    }
}

/// The C compiler for a target's programs.
pub fn compiler(target: Target) -> Result<PathBuf, Missing> {
    Compilers::find(target).map(|compilers| compilers.cross)
}

/// Compiles a guest program.
pub fn compile(cc: &Path, source: &Path, to: &Path, linked: Linkage) -> Result<PathBuf> {
    link(cc, source, to, if linked == Linkage::Statically { &["-static"] } else { &[] })?;
    Ok(to.to_owned())
}

fn link(cc: &Path, source: &Path, to: &Path, options: &[&str]) -> Result<()> {
    let shell = process::shell()?;
    capture(cmd!(shell, "{cc} {options...} -O1 -pthread -o {to} {source}"))
        .context("the guest does not compile")?;
    Ok(())
}
