//! Changes of owner where there is one owner. Every file stays root's then, so the kernel refuses to give one to somebody
//! else; programs that install others cannot do without. Here they are told that it was done.

use anyhow::{Context as _, Result};
use nix::libc;
use std::io;

/// System calls that succeed, and do nothing.
const CALLS: &[libc::c_long] = &[
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setgroups,
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "loongarch64")))]
    libc::SYS_chown,
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "loongarch64")))]
    libc::SYS_lchown,
    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    libc::SYS_chown32,
    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    libc::SYS_fchown32,
    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    libc::SYS_lchown32,
    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    libc::SYS_setgroups32,
];

/// This machine's number in `linux/audit.h`: that of `elf.h`, with two bits for 64 bits and for the order of bytes. The
/// same system call has another number in programs of another kind.
const MACHINE: u32 = {
    let number = if cfg!(target_arch = "x86_64") {
        62
    } else if cfg!(target_arch = "aarch64") {
        183
    } else if cfg!(target_arch = "riscv64") {
        243
    } else if cfg!(target_arch = "loongarch64") {
        258
    } else if cfg!(target_arch = "s390x") {
        22
    } else if cfg!(target_arch = "powerpc64") {
        21
    } else if cfg!(target_arch = "arm") {
        40
    } else if cfg!(target_arch = "x86") {
        3
    } else {
        0
    };
    let wide = if cfg!(target_pointer_width = "64") { 0x8000_0000 } else { 0 };
    let little = if cfg!(target_endian = "little") { 0x4000_0000 } else { 0 };
    number | wide | little
};

/// Where `struct seccomp_data` of `linux/seccomp.h` has the number of the call, and the kind of program.
const NUMBER: u32 = 0;
const KIND: u32 = 4;

/// Has the kernel say of changes of owner that they were done, to this process and all that it starts.
///
/// # Errors
/// When the kernel refuses.
#[allow(unsafe_code, reason = "no library of ours has seccomp")]
pub fn of_owners() -> Result<()> {
    let mut filter = filter();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).context("too many system calls")?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which is as long as it says, and keeps no pointer.
    let done =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, std::ptr::from_ref(&program)) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()).context("cannot have changes of owner tolerated"),
    }
}

/// What the kernel runs at each system call: who is of this kind, and calls one of ours, is told that it succeeded.
fn filter() -> Vec<libc::sock_filter> {
    let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, 0, 0);
    let is = |value, then, other| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, then, other);
    let end = |value| step(libc::BPF_RET | libc::BPF_K, value, 0, 0);
    let count = u8::try_from(CALLS.len()).unwrap_or(u8::MAX);
    let mut steps = vec![load(KIND), is(MACHINE, 0, count + 1), load(NUMBER)];
    for (left, call) in (0..count).rev().zip(CALLS) {
        steps.push(is(u32::try_from(*call).unwrap_or(u32::MAX), left + 1, 0));
    }
    // An error of zero is none.
    steps.extend([end(libc::SECCOMP_RET_ALLOW), end(libc::SECCOMP_RET_ERRNO)]);
    steps
}

fn step(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap_or_default(), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel does.
    fn ends_with(kind: u32, number: u32) -> u32 {
        let steps = filter();
        let (mut at, mut value) = (0, 0);
        loop {
            let step = steps[at];
            at += 1;
            match u32::from(step.code) & 7 {
                libc::BPF_LD => value = if step.k == KIND { kind } else { number },
                libc::BPF_JMP => at += usize::from(if value == step.k { step.jt } else { step.jf }),
                _ => return step.k,
            }
        }
    }

    #[test]
    fn changes_of_owner_succeed_and_all_else_is_left_to_the_kernel() {
        for call in CALLS {
            let number = u32::try_from(*call).expect("small");
            assert_eq!(ends_with(MACHINE, number), libc::SECCOMP_RET_ERRNO, "{call}");
            assert_eq!(ends_with(MACHINE ^ 1, number), libc::SECCOMP_RET_ALLOW, "{call} of another kind");
        }
        for call in [libc::SYS_openat, libc::SYS_execve, libc::SYS_setresuid, libc::SYS_fchmod] {
            let number = u32::try_from(call).expect("small");
            assert_eq!(ends_with(MACHINE, number), libc::SECCOMP_RET_ALLOW, "{call}");
        }
    }
}
