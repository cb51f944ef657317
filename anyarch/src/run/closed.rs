//! Why a machine refuses user namespaces, and what its owner can do about it.

use rustix::io::Errno;
use std::fs;

/// What a machine says of itself.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// `kernel.unprivileged_userns_clone`, which Debian and its relatives have.
    pub unprivileged: Option<String>,
    /// `user.max_user_namespaces`
    pub most: Option<String>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, which Ubuntu has.
    pub apparmor: Option<String>,
    /// Whether system calls are filtered (seccomp), as in containers.
    pub is_filtered: bool,
}

impl Facts {
    /// Those of this machine.
    pub fn of_this_machine() -> Self {
        let read = |name: &str| Some(fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().to_owned());
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Self {
            unprivileged: read("kernel/unprivileged_userns_clone"),
            most: read("user/max_user_namespaces"),
            apparmor: read("kernel/apparmor_restrict_unprivileged_userns"),
            is_filtered: seccomp.is_some_and(|mode| mode.trim() != "0"),
        }
    }

    /// Whether AppArmor lets namespaces be made, and then nothing be done in them.
    pub fn is_restricted_by_apparmor(&self) -> bool {
        self.apparmor.as_deref() == Some("1")
    }

    /// The cause of a refusal, and what to do about it.
    pub fn cause(&self, error: Errno) -> String {
        let sysctl = |name: &str, value: &str| format!("sudo sysctl -w {name}={value}");
        let (cause, remedy) = if self.unprivileged.as_deref() == Some("0") {
            let name = "kernel.unprivileged_userns_clone";
            (format!("{name} is 0"), sysctl(name, "1"))
        } else if self.most.as_deref() == Some("0") {
            let name = "user.max_user_namespaces";
            (format!("{name} is 0"), sysctl(name, "15000"))
        } else if self.is_restricted_by_apparmor() {
            let name = "kernel.apparmor_restrict_unprivileged_userns";
            (format!("AppArmor restricts them ({name} is 1)"), sysctl(name, "0"))
        } else if error == Errno::NOSPC || error == Errno::USERS {
            let cause = "too many are in use, or nested too deep (user.max_user_namespaces)";
            (cause.to_owned(), sysctl("user.max_user_namespaces", "15000"))
        } else if error == Errno::NOSYS || error == Errno::INVAL {
            ("the kernel is built without them (CONFIG_USER_NS)".to_owned(), "use another kernel".to_owned())
        } else if self.is_filtered {
            let cause = "system calls are filtered (seccomp), as in a container";
            (cause.to_owned(), "start the container with --security-opt seccomp=unconfined".to_owned())
        } else {
            let cause = "a security module forbids them, or this is a chroot";
            (format!("{cause} ({error})"), "ask whoever runs the machine".to_owned())
        };
        format!("{cause}\n  to fix it: {remedy}; or run it as root, which works without them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_named_with_its_remedy() {
        let some = |value: &str| Some(value.to_owned());
        let cases = [
            (
                Facts { unprivileged: some("0"), ..Facts::default() },
                Errno::PERM,
                "kernel.unprivileged_userns_clone=1",
            ),
            (Facts { most: some("0"), ..Facts::default() }, Errno::NOSPC, "user.max_user_namespaces is 0"),
            (Facts { apparmor: some("1"), ..Facts::default() }, Errno::PERM, "AppArmor restricts them"),
            (Facts { is_filtered: true, ..Facts::default() }, Errno::PERM, "seccomp=unconfined"),
            (Facts { most: some("9"), ..Facts::default() }, Errno::NOSPC, "nested too deep"),
            (Facts::default(), Errno::INVAL, "CONFIG_USER_NS"),
            (Facts::default(), Errno::PERM, "a security module forbids them"),
        ];
        for (facts, error, said) in cases {
            let cause = facts.cause(error);
            assert!(cause.contains(said) && cause.contains("to fix it: "), "{said}: {cause}");
        }
    }
}
