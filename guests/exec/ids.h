/*
 * Processes whose real and effective ids differ. What they execute runs as it
 * does natively: with AT_SECURE. Only root can become such; others print that.
 *
 * Part of exec.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define IDS(name, call, file, ...)                                      \
    CASE(name)                                                          \
    {                                                                   \
        if (call) {                                                     \
            say(" refused");                                            \
        }                                                               \
        result(sys_execve(file, list("argv0", __VA_ARGS__, NULL), ENV)); \
    }

#define EFFECTIVE (setegid(1000) < 0 || seteuid(1000) < 0)
IDS(ids_effective, EFFECTIVE, "child", "x")
IDS(ids_effective_user, seteuid(1000) < 0, "child", "x")
IDS(ids_effective_group, setegid(1000) < 0, "child", "x")
IDS(ids_effective_script, EFFECTIVE, "level3", "x")
IDS(ids_effective_option, EFFECTIVE, "script-option", "x")
IDS(ids_effective_missing, EFFECTIVE, "dyn-missing", "x")
IDS(ids_effective_plain, EFFECTIVE, "plain", "x")
IDS(ids_effective_children, EFFECTIVE, "child", "--do", "exec", "script-arg", "x")
IDS(ids_effective_grandchildren, EFFECTIVE, "child", "--do", "exec", "child", "--do", "exec", "child", "x")
IDS(ids_effective_exe, EFFECTIVE, "child", "--again", "/proc/self/exe")
IDS(ids_effective_names, EFFECTIVE, "-cpu", "--execve", "off")
IDS(ids_real, setresgid(1000, 0, 0) < 0 || setresuid(1000, 0, 0) < 0, "child", "--do", "exec", "child", "x")
IDS(ids_real_script, setresuid(1000, 0, 1000) < 0, "level2", "x")
IDS(ids_saved, setresuid(1000, 1000, 0) < 0, "child", "--do", "exec", "child", "x")
IDS(ids_mixed, setresgid(1003, 1004, 1005) < 0 || setresuid(1000, 1001, 1002) < 0, "child", "--do", "exec", "level2", "x")
IDS(ids_given_back, EFFECTIVE || seteuid(0) < 0 || setegid(0) < 0, "child", "x")
IDS(ids_given_up, setgid(1000) < 0 || setuid(1000) < 0, "child", "--do", "exec", "child", "x")
/* What is in the environment stays the guest's, and is not for the emulator. */
CASE(ids_effective_environment)
{
    if (EFFECTIVE) {
        say(" refused");
    }
    env_qemu();
}
CASE(ids_effective_descriptor)
{
    int d = at("child", O_RDONLY | O_CLOEXEC);
    if (EFFECTIVE) {
        say(" refused");
    }
    result(sys_execveat(d, "", list("x", "y", NULL), ENV, AT_EMPTY_PATH));
}
CASE(ids_effective_spawn)
{
    if (EFFECTIVE) {
        say(" refused");
    }
    spawn("child");
}
/* The last two numbers are enough. */
CASE(ids_effective_few)
{
    struct rlimit lim = { 64, 64 };
    if (EFFECTIVE) {
        say(" refused");
    }
    setrlimit(RLIMIT_NOFILE, &lim);
    for (int i = 3; i < 62; i++) {
        dup3(1, i, i > 20 ? O_CLOEXEC : 0);
    }
    result(sys_execve("child", list("child", NULL), ENV));
}
