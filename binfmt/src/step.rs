//! What is done, one thing at a time: a plan is a list of these, and `--dry-run` prints it.

use crate::format::Registration;
use crate::place::FOLDER;
use anyarch_manifest::target::Target;
use std::fmt;
use std::path::PathBuf;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Mount the table.
    Mount,
    /// Have an emulator start a small guest directly, before anything changes.
    Try {
        /// Whose guest.
        target: &'static Target,
        /// The emulator.
        emulator: PathBuf,
    },
    /// Make a symbolic link, in the place of another one if need be.
    Link {
        /// Where.
        at: PathBuf,
        /// Where it leads.
        to: PathBuf,
    },
    /// Register a format.
    Register(Registration),
    /// Take a registration out.
    Unregister {
        /// Its name.
        name: String,
        /// Who has put it there, if it was somebody else.
        owner: Option<String>,
    },
    /// Have the kernel start a small guest; if it does not run, the registration is taken out again.
    Check {
        /// Whose guest.
        target: &'static Target,
        /// The registration.
        name: String,
    },
    /// Write a file, in the place of an older one.
    Write {
        /// Where.
        path: PathBuf,
        /// All of it.
        text: String,
    },
    /// Remove a file or a link.
    Delete(PathBuf),
    /// Run a program of the system's.
    Call {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount => write!(to, "mount binfmt_misc on {FOLDER}"),
            Self::Try { target, emulator } => {
                write!(to, "try a program for {target} in {}", emulator.display())
            }
            Self::Link { at, to: leads } => write!(to, "link {} to {}", at.display(), leads.display()),
            Self::Register(registration) => write!(to, "register {}", registration.line()),
            Self::Unregister { name, owner: None } => write!(to, "unregister {name}"),
            Self::Unregister { name, owner: Some(owner) } => write!(to, "unregister {name} (of {owner})"),
            Self::Check { target, .. } => write!(to, "check that the kernel runs a program for {target}"),
            Self::Write { path, .. } => write!(to, "write {}", path.display()),
            Self::Delete(path) => write!(to, "remove {}", path.display()),
            Self::Call { program, arguments } => {
                write!(to, "run {} {}", program.display(), arguments.join(" "))
            }
        }
    }
}
