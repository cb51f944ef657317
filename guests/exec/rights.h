/*
 * Programs that have rights of their own: set-user-ID and set-group-ID. Who is
 * root, or becomes again who one really is, gets them. Only root can make such
 * programs; others print that.
 *
 * Part of exec.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static bool owned(const char *path, uid_t user, gid_t group, mode_t mode)
{
    /* A change of the owner takes these bits away. */
    return chown(path, user, group) == 0 && chmod(path, mode) == 0;
}

#define RIGHTS(name, call, user, group, mode, file, ...)                \
    CASE(name)                                                          \
    {                                                                   \
        program("owned", 0755);                                         \
        script("to-owned", "#!owned --\n");                             \
        if (!owned("owned", user, group, mode) || (call)) {             \
            say(" refused");                                            \
        }                                                               \
        result(sys_execve(file, list("argv0", __VA_ARGS__, NULL), ENV)); \
    }

#define ROOT false
#define IDS_ARE(real, other) \
    (setresgid(real, other, other) < 0 || setresuid(real, other, other) < 0)

RIGHTS(rights_user, ROOT, 1000, 0, 04755, "owned", "x")
RIGHTS(rights_group, ROOT, 0, 1000, 02755, "owned", "x")
RIGHTS(rights_both, ROOT, 1000, 1001, 06755, "owned", "x")
RIGHTS(rights_root, ROOT, 0, 0, 06755, "owned", "x")
/* Without the group's x, this bit means something else. */
RIGHTS(rights_locking, ROOT, 0, 1000, 02705, "owned", "x")
RIGHTS(rights_not_mine, ROOT, 1000, 1000, 0755, "owned", "x")
RIGHTS(rights_up, EFFECTIVE, 0, 0, 06755, "owned", "x")
RIGHTS(rights_up_user, EFFECTIVE, 0, 0, 04755, "owned", "x")
RIGHTS(rights_up_group, EFFECTIVE, 0, 0, 02755, "owned", "x")
RIGHTS(rights_same, EFFECTIVE, 1000, 1000, 06755, "owned", "x")
RIGHTS(rights_other, EFFECTIVE, 1002, 1003, 06755, "owned", "x")
RIGHTS(rights_mine, IDS_ARE(1000, 1002), 1000, 1000, 06755, "owned", "x")
RIGHTS(rights_real_other, IDS_ARE(1000, 0), 1002, 1003, 06755, "owned", "x")
RIGHTS(rights_real_root, IDS_ARE(1000, 0), 0, 0, 06755, "owned", "x")
RIGHTS(rights_script, ROOT, 1000, 1001, 06755, "to-owned", "x")
RIGHTS(rights_script_of_script, !owned("to-owned", 1000, 1000, 06755), 0, 0, 0755, "to-owned", "x")
RIGHTS(rights_exe, ROOT, 1000, 1001, 06755, "owned", "--again", "/proc/self/exe")
RIGHTS(rights_children, ROOT, 1000, 1001, 06755, "owned", "--do", "exec", "child", "x")
RIGHTS(rights_grandchildren, ROOT, 1000, 1001, 06755, "child", "--do", "exec", "owned", "--do", "exec", "child", "x")
RIGHTS(rights_of_children, ROOT, 1000, 1001, 06755, "owned", "--do", "exec", "to-owned", "x")
RIGHTS(rights_alone, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0, 1000, 1001, 06755, "owned", "x")

/* What a dynamic linker must not believe its caller any more */
CASE(rights_environment)
{
    static char *env[] = { "A=1", "LD_PRELOAD=./no.so", "LD_LIBRARY_PATH=.", "TMPDIR=/", NULL };

    program("owned", 0755);
    if (!owned("owned", 1000, 1000, 06755)) {
        say(" refused");
    }
    result(sys_execve("owned", list("x", NULL), env));
}

CASE(rights_descriptor)
{
    int fd;

    program("owned", 0755);
    fd = at("owned", O_RDONLY | O_CLOEXEC);
    if (!owned("owned", 1000, 1000, 06755)) {
        say(" refused");
    }
    result(sys_execveat(fd, "", list("x", "y", NULL), ENV, AT_EMPTY_PATH));
}

/* It lies in no mount of ours. */
CASE(rights_memory)
{
    int fd = syscall(SYS_memfd_create, "name", 1U);

    if (write(fd, self_image, self_size) != (ssize_t)self_size ||
        fchown(fd, 1000, 1000) < 0 || fchmod(fd, 06755) < 0) {
        say(" refused");
    }
    result(sys_execveat(fd, "", list("x", "y", NULL), ENV, AT_EMPTY_PATH));
}

/* One name has the bit's rights, and another one, in another mount, has not. */
CASE(rights_nosuid)
{
    program("sub/owned", 0755);
    if (!owned("sub/owned", 1000, 1000, 06755) || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("sub", "sub", NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, "sub", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL) < 0) {
        say(" refused");
    }
    result(sys_execve("sub/owned", list("x", "y", NULL), ENV));
}

/* Capabilities that are kept by every exec but this one */
CASE(rights_ambient)
{
    struct { unsigned version; int pid; } header = { 0x20080522, 0 };
    struct { unsigned effective, permitted, inheritable; } caps[2] = { 0 };

    program("owned", 0755);
    if (!owned("owned", 1000, 1000, 06755) ||
        syscall(SYS_capget, &header, caps) < 0) {
        say(" refused");
    }
    caps[0].inheritable |= 1 << 12;
    if (syscall(SYS_capset, &header, caps) < 0 ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 12, 0, 0) < 0) {
        say(" refused");
    }
    result(sys_execve("owned", list("x", "y", NULL), ENV));
}

/* An exec that fails leaves nobody with other rights. */
CASE(rights_too_much)
{
    size_t size = 200 << 10;
    char *large = malloc(size), *args[64] = { NULL };

    memset(large, 'a', size);
    large[size - 1] = 0;
    program("owned", 0755);
    if (!owned("owned", 1000, 1000, 06755)) {
        say(" refused");
    }
    args[0] = large;
    if (sys_execve("owned", args, ENV) < 0) {
        say(" %s", error_name(errno));
    }
    result(sys_execve("child", list("x", "y", NULL), ENV));
}
