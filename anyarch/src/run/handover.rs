//! What one stage of a run hands to the next, which is a process of its own: the plan, and open descriptors.
//!
//! The next stage is this program again, started with the numbers of what it inherits. So each stage is single-threaded
//! from its first line, as the kernel demands of one that enters a user namespace, and nothing has to be safe after a fork.

use anyhow::{Context as _, Result};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::Command;

/// This program, whatever its name is now.
pub const SELF: &str = "/proc/self/exe";

/// A command that starts the next stage.
pub fn next(program: impl AsRef<OsStr>, stage: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(stage);
    command
}

/// Lets a child inherit a descriptor; gives the word that tells the child its number.
///
/// # Errors
/// When the kernel refuses.
pub fn inherit(descriptor: impl AsFd) -> Result<String> {
    let descriptor = descriptor.as_fd();
    fcntl_setfd(descriptor, FdFlags::empty()).context("cannot hand a descriptor on")?;
    Ok(descriptor.as_raw_fd().to_string())
}

/// Takes a descriptor that this process inherited, by the word that tells its number. No child inherits it again.
///
/// # Errors
/// When there is none.
#[allow(unsafe_code, reason = "only whoever started this process knows which of its descriptors are whose")]
pub fn take(word: &OsStr) -> Result<OwnedFd> {
    let number: Option<RawFd> = word.to_str().and_then(|word| word.parse().ok()).filter(|number| *number > 2);
    let number = number.context("a stage of `run` is not for the command line")?;
    std::fs::metadata(format!("/proc/self/fd/{number}")).context("a descriptor was not handed on")?;
    // SAFETY: the stage before opened it for this one, named it once, and this process has no other use of it.
    let taken = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&taken, FdFlags::CLOEXEC).context("a descriptor was not handed on")?;
    Ok(taken)
}

/// Writes a value into a file in memory, for the next stage.
///
/// # Errors
/// When there is no memory.
pub fn write(value: &impl Serialize) -> Result<OwnedFd> {
    let mut file = File::from(memfd_create("anyarch-plan", MemfdFlags::CLOEXEC).context("no memory")?);
    let json = serde_json::to_vec(value).context("cannot encode the plan")?;
    file.write_all(&json).context("no memory")?;
    Ok(file.into())
}

/// Reads the value that the stage before wrote.
///
/// # Errors
/// When it did not.
pub fn read<T: DeserializeOwned>(from: &OwnedFd) -> Result<T> {
    let mut file = File::from(from.try_clone().context("the plan was not handed on")?);
    file.rewind().context("the plan was not handed on")?;
    let mut json = Vec::new();
    file.read_to_end(&mut json).context("the plan was not handed on")?;
    serde_json::from_slice(&json).context("the plan was not handed on")
}

/// The name of an open descriptor, by which it can be executed or mounted.
pub fn name(descriptor: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd()))
}
