/*
 * What exec does, one line a case.
 *
 * Natively and under an emulator the transcript has to be the same, line by
 * line. Usage:
 *
 *     exec --run DIR         run all cases in DIR, which is emptied first
 *     exec --run DIR NAME... only cases whose name begins with one of these
 *     exec --endure DIR WHAT COUNT
 *         thousands of execs; WHAT: leak, queued, around, failing
 *     exec --do STEP...      take steps, in order, that end in an exec:
 *         chroot DIR, chdir DIR, user ID, unlink FILE, rmdir DIR, rename FROM TO,
 *         mode OCTAL FILE, files LIMIT, fill (use up all descriptors), replace
 *         (all by others), close (all from 3), noenv, setenv NAME=VALUE,
 *         unshare user|mount, pivot DIR, named ARGV0, ids REAL OTHER, saved ID,
 *         alone (no_new_privs), without CAPABILITY, forbid (setresuid), exec
 *         PATH ARG...; or instead of that: order (use up all descriptors, and
 *         tell whether each was beyond the one before)
 *     exec --facts           what the emulator's settings look like from inside
 *     exec --continue SOCKET be a debugger that lets a program run
 *     exec ANYTHING ELSE     be the child: report how one was started
 *
 * DIR is an absolute path, and the same for both runs, since it is printed.
 *
 * The program is its own child, and its own material: it copies and patches
 * its file. Linked statically or dynamically, with one and the same transcript.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

#include "report.h"

/* ---- running a case --------------------------------------------------- */

static char **only;             /* beginnings of names; NULL for all */
static const char *here;        /* DIR */
static int failures;

static const char *error_name(int e)
{
    static char buf[32];

    switch (e) {
#define NAME(x) case x: return #x
    NAME(E2BIG); NAME(EACCES); NAME(EAGAIN); NAME(EBADF); NAME(EBUSY);
    NAME(EFAULT); NAME(EINTR); NAME(EINVAL); NAME(EIO); NAME(EISDIR);
    NAME(ELIBBAD); NAME(ELOOP); NAME(EMFILE); NAME(ENAMETOOLONG); NAME(ENOENT);
    NAME(ENOEXEC); NAME(ENOMEM); NAME(ENOSYS); NAME(ENOTDIR); NAME(EPERM);
    NAME(ETXTBSY); NAME(EEXIST); NAME(ENODEV); NAME(ENXIO); NAME(ENOTTY);
    }
    snprintf(buf, sizeof(buf), "errno %d", e);
    return buf;
}

static void say(const char *format, ...)
{
    char buf[4096];
    va_list ap;
    int len;

    va_start(ap, format);
    len = vsnprintf(buf, sizeof(buf), format, ap);
    va_end(ap);
    if (write(1, buf, len) != len) {
        _exit(99);
    }
}

static void die(const char *what)
{
    say("cannot go on: %s: %s\n", what, strerror(errno));
    _exit(98);
}

/* In the process that a case runs in: what exec came to, if it came back. */
static void result(long ret)
{
    int e = errno;

    if (ret == -1) {
        say(" %s\n", error_name(e));
    } else {
        say(" exec returned %ld\n", ret);
    }
    _exit(0);
}

static char *ENV[] = { "A=1", "B=two words", NULL };

static char **list(const char *first, ...)
{
    static char *items[64];
    va_list ap;
    int n = 0;

    va_start(ap, first);
    for (const char *p = first; p; p = va_arg(ap, const char *)) {
        items[n++] = (char *)p;
    }
    va_end(ap);
    items[n] = NULL;
    return items;
}

/* Without the C library, which has opinions about NULL. */
static long sys_execve(const char *path, char **argv, char **envp)
{
    return syscall(SYS_execve, path, argv, envp);
}

static long sys_execveat(int fd, const char *path, char **argv, char **envp,
                         int flags)
{
    return syscall(SYS_execveat, fd, path, argv, envp, flags);
}

static bool is_wanted(const char *name)
{
    bool wanted = !*only;

    for (char **p = only; *p; p++) {
        wanted |= !strncmp(name, *p, strlen(*p));
    }
    return wanted;
}

typedef void Body(void);

static void run_case(const char *name, Body *body)
{
    int status;
    pid_t pid;

    if (!is_wanted(name)) {
        return;
    }
    say("%s:", name);
    pid = fork();
    if (pid < 0) {
        die("fork");
    }
    if (pid == 0) {
        if (chdir(here) < 0) {
            die("chdir");
        }
        alarm(60);
        setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
        body();
        say(" case came back\n");
        _exit(97);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        continue;
    }
    if (WIFSIGNALED(status)) {
        say(" killed by SIG%s\n", signal_name(WTERMSIG(status)));
        failures++;
    } else if (WEXITSTATUS(status)) {
        say(" exit status %d\n", WEXITSTATUS(status));
        failures++;
    }
}

#define CASE(name) static void name(void)

#include "files.h"

#include "endure.h"
#include "facts.h"

/* ---- rule 5: arguments and environment -------------------------------- */

CASE(args_plain) { result(sys_execve("child", list("child", "a", "b", NULL), ENV)); }
CASE(args_other_argv0) { result(sys_execve("./child", list("something else", "a", NULL), ENV)); }
CASE(args_empty_argv0) { result(sys_execve("child", list("", "a", NULL), ENV)); }
CASE(args_login_argv0) { result(sys_execve("child", list("-sh", "a", NULL), ENV)); }
CASE(args_none) { result(sys_execve("child", list(NULL), ENV)); }
CASE(args_null) { result(sys_execve("child", NULL, ENV)); }
CASE(args_options) { result(sys_execve("child", list("-L", "/x", "-cpu", "help", "--", "-h", "--execve", "off", NULL), ENV)); }
CASE(args_strange) { result(sys_execve("child", list("a b", "", "\n", "\xff\xfe", "'\"\\", "", NULL), ENV)); }
CASE(args_long)
{
    char *a = malloc(131072);
    memset(a, 'x', 131071);
    a[131071] = 0;
    result(sys_execve("child", list("child", a, "end", NULL), ENV));
}
CASE(args_many)
{
    char **a = calloc(5001, sizeof(char *));
    for (int i = 0; i < 5000; i++) {
        a[i] = i % 7 ? "arg" : "";
    }
    result(sys_execve("child", a, ENV));
}
CASE(args_very_many)
{
    char **a = calloc(100001, sizeof(char *));
    for (int i = 0; i < 100000; i++) {
        a[i] = "";
    }
    result(sys_execve("child", a, ENV));
}
/*
 * All together may have a quarter of the stack's limit: the strings, the path,
 * and a pointer each, which to the kernel is always one of this machine's. An
 * emulator adds a few words of its own, for which there is a page of room.
 */
static void arguments_of_size(long missing)
{
    static char *a[64], *e[] = { NULL };
    struct rlimit lim = { 8 << 20, RLIM_INFINITY };
    long left, n = 0;

    setrlimit(RLIMIT_STACK, &lim);
    getrlimit(RLIMIT_STACK, &lim);
    left = lim.rlim_cur > 24 << 20 ? 6 << 20 : lim.rlim_cur / 4;
    left -= missing + sizeof("child");
    while (left > 8 && n < 63) {
        long len = left > 120000 + 8 ? 120000 : left - 8;
        a[n] = malloc(len);
        memset(a[n], 'x', len - 1);
        a[n++][len - 1] = 0;
        left -= len + 8;
    }
    result(sys_execve("child", a, e));
}
CASE(args_most) { arguments_of_size(4096); }
CASE(args_too_much) { arguments_of_size(-8); }
CASE(env_empty) { static char *e[] = { NULL }; result(sys_execve("child", list("child", NULL), e)); }
CASE(env_null) { result(sys_execve("child", list("child", NULL), NULL)); }
CASE(env_strange)
{
    static char *e[] = { "Z=1", "A=1", "Z=2", "noequals", "", "=x", "=", "A=1",
                         "\xff=\xfe", "E=a=b", "LD_PRELOAD=", NULL };
    result(sys_execve("child", list("child", NULL), e));
}
CASE(env_qemu)
{
    static char *e[] = { "QEMU_STRACE=1", "QEMU_CPU=nonsense", "QEMU_VERSION=",
                         "QEMU_LD_PREFIX=/nonexistent", "QEMU_ARGV0=x",
                         "QEMU_SET_ENV=A=B", "QEMU_UNSET_ENV=QEMU_CPU",
                         "QEMU_EXECVE=off", "QEMU_LOG=help",
                         "QEMU_STACK_SIZE=0", NULL };
    result(sys_execve("child", list("child", NULL), e));
}

CASE(env_long)
{
    static char *e[4];
    e[0] = "A=1";
    e[1] = malloc(131072);
    memset(e[1], 'x', 131071);
    memcpy(e[1], "LONG=", 5);
    e[1][131071] = 0;
    e[2] = "A=2";
    result(sys_execve("child", list("child", NULL), e));
}
/* Order, names that come twice, and entries that are no assignments. */
CASE(env_many)
{
    static char text[500][16], *e[501];
    for (int i = 0; i < 500; i++) {
        snprintf(text[i], 16, i % 5 ? "N%d=%d" : "none%d", i * 7 % 100, i);
        e[i] = text[i];
    }
    result(sys_execve("child", list("child", NULL), e));
}

/* ---- rule 6: only ever a path ----------------------------------------- */

CASE(path_option) { result(sys_execve("-cpu", list("-cpu", "x", NULL), ENV)); }
CASE(path_dashes) { result(sys_execve("--", list("--", "x", NULL), ENV)); }
CASE(path_help) { result(sys_execve("-h", list("-h", NULL), ENV)); }
CASE(path_blank) { result(sys_execve("two words", list("x", NULL), ENV)); }
CASE(path_newline) { result(sys_execve("new\nline", list("x", NULL), ENV)); }
CASE(path_bytes) { result(sys_execve("\xff\xfe\x80", list("x", NULL), ENV)); }
CASE(path_absolute)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/child", here);
    result(sys_execve(path, list("child", NULL), ENV));
}
CASE(path_dots) { result(sys_execve("sub/..//./sub/../child", list("child", NULL), ENV)); }
static void long_path(size_t len)
{
    char *p = malloc(len + 1), *q = p;
    while (q < p + len - 6) {
        q += sprintf(q, "./");
    }
    while (q < p + len - 5) {
        *q++ = '/';
    }
    strcpy(q, "child");
    result(sys_execve(p, list("child", NULL), ENV));
}
CASE(path_255) { long_path(255); }
CASE(path_256) { long_path(256); }
CASE(path_257) { long_path(257); }
CASE(path_1025) { long_path(1025); }
CASE(path_longest) { long_path(PATH_MAX - 1); }
CASE(path_too_long) { long_path(PATH_MAX); }
CASE(path_long_absolute)
{
    char path[PATH_MAX], *p = path + sprintf(path, "%s", here);
    while (p < path + PATH_MAX - 10) {
        p += sprintf(p, "/.");
    }
    strcpy(p, "/child");
    result(sys_execve(path, list("child", NULL), ENV));
}
CASE(path_name_255)
{
    char name[256];
    memset(name, 'n', 255);
    name[255] = 0;
    result(sys_execve(name, list("x", NULL), ENV));
}
CASE(path_name_256)
{
    char name[257];
    memset(name, 'n', 256);
    name[256] = 0;
    result(sys_execve(name, list("x", NULL), ENV));
}
CASE(path_symlink) { result(sys_execve("link", list("x", NULL), ENV)); }
CASE(path_long_comm) { result(sys_execve("a-very-long-name-of-a-program", list("x", NULL), ENV)); }

/* ---- rule 9: what else a process hands on ----------------------------- */

CASE(keep_descriptors)
{
    int fd = open("text", O_RDONLY);
    dup2(fd, 9);
    lseek(9, 3, SEEK_SET);
    dup3(fd, 10, O_CLOEXEC);
    dup2(fd, 11);
    fcntl(11, F_SETFD, FD_CLOEXEC);
    dup2(fd, 200);
    dup2(fd, 1023);
    close(fd);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_closed_stdin) { close(0); result(sys_execve("child", list("child", NULL), ENV)); }
CASE(keep_closed_stdio)
{
    dup2(1, 250);
    close(0);
    close(1);
    close(2);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_cloexec_stdin) { fcntl(0, F_SETFD, FD_CLOEXEC); result(sys_execve("script", list("child", NULL), ENV)); }
CASE(keep_mask)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGALRM);
    sigaddset(&set, SIGRTMIN + 3);
    sigprocmask(SIG_SETMASK, &set, NULL);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_mask_faults)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigaddset(&set, SIGBUS);
    sigprocmask(SIG_SETMASK, &set, NULL);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_ignored)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGUSR2, SIG_DFL);
    result(sys_execve("child", list("child", NULL), ENV));
}
/* Those that end a process with a core dump are special to an emulator. */
static void ignore_faults(void)
{
    signal(SIGQUIT, SIG_IGN);
    signal(SIGILL, SIG_IGN);
    signal(SIGABRT, SIG_IGN);
    signal(SIGFPE, SIG_IGN);
    signal(SIGSEGV, SIG_IGN);
    signal(SIGBUS, SIG_IGN);
    signal(SIGTRAP, SIG_IGN);
    signal(SIGSYS, SIG_IGN);
    signal(SIGXCPU, SIG_IGN);
}
CASE(keep_ignored_faults) { ignore_faults(); result(sys_execve("child", list("child", NULL), ENV)); }
CASE(keep_ignored_twice) { ignore_faults(); result(sys_execve("child", list("child", "--again", "child", NULL), ENV)); }
CASE(keep_ignored_background)
{
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    result(sys_execve("child", list("child", "--again", "script", NULL), ENV));
}
static void handler(int sig) { (void)sig; }
CASE(keep_handlers_reset)
{
    signal(SIGUSR1, handler);
    signal(SIGTERM, handler);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_pending)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_SETMASK, &set, NULL);
    raise(SIGUSR1);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_umask) { umask(027); result(sys_execve("child", list("child", NULL), ENV)); }
CASE(keep_cwd) { if (chdir("sub") < 0) { die("sub"); } result(sys_execve("inner", list("x", NULL), ENV)); }
CASE(keep_timer)
{
    struct itimerval t = { .it_value.tv_sec = 1000 };
    setitimer(ITIMER_REAL, &t, NULL);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_nice) { nice(3); result(sys_execve("child", list("child", NULL), ENV)); }
CASE(keep_core_limit)
{
    struct rlimit lim = { 0, 0 };
    setrlimit(RLIMIT_CORE, &lim);
    result(sys_execve("child", list("child", NULL), ENV));
}
static void file_limit(rlim_t soft, rlim_t hard)
{
    struct rlimit lim = { soft, hard };
    if (setrlimit(RLIMIT_NOFILE, &lim) < 0) {
        die("setrlimit");
    }
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_few_files) { file_limit(64, 64); }
CASE(keep_very_few_files) { file_limit(12, 12); }
CASE(keep_files_soft) { file_limit(16, 1024); }
static char number[32];
CASE(keep_pid) { snprintf(number, sizeof(number), "%d", getpid()); result(sys_execve("child", list("child", "--pid", number, NULL), ENV)); }
CASE(keep_many_files)
{
    for (int i = 3; i < 900; i++) {
        if (dup2(1, i) != i) {
            die("dup2");
        }
    }
    result(sys_execve("child", list("child", NULL), ENV));
}

/* The hard limit: up needs privilege, and both answers are the kernel's. */
CASE(keep_hard_raised)
{
    struct rlimit lim;
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max += 100;
    say(setrlimit(RLIMIT_NOFILE, &lim) < 0 ? " refused" : " raised");
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_soft_raised)
{
    struct rlimit lim = { 32, 256 };
    setrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = 256;
    setrlimit(RLIMIT_NOFILE, &lim);
    /* A dynamic child needs some for itself, and exec itself a single one. */
    for (int i = 3; i < 255; i++) {
        dup3(1, i, i > 200 ? O_CLOEXEC : 0);
    }
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_file_size_limit)
{
    struct rlimit lim = { 123456789, 123456789 };
    setrlimit(RLIMIT_FSIZE, &lim);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_session) { setsid(); result(sys_execve("child", list("child", NULL), ENV)); }
CASE(keep_group) { setpgid(0, 0); result(sys_execve("child", list("child", NULL), ENV)); }
CASE(keep_no_new_privileges)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_effective_user)
{
    if (setegid(65534) < 0 || seteuid(65534) < 0) {
        say(" refused");
    }
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(keep_cwd_deleted)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/child", here);
    if (mkdir("passing", 0755) < 0 || chdir("passing") < 0 ||
        rmdir("../passing") < 0) {
        die("passing");
    }
    sys_execve("child", list("x", NULL), ENV);
    say(" %s", error_name(errno));
    result(sys_execve(path, list("child", NULL), ENV));
}
CASE(keep_cwd_deleted_relative)
{
    if (mkdir("passing", 0755) < 0 || chdir("passing") < 0 ||
        rmdir("../passing") < 0) {
        die("passing");
    }
    result(sys_execve("../child", list("child", NULL), ENV));
}
/* Locks belong to the process, and closing any descriptor of a file ends them. */
static bool is_locked(const char *path)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(path, O_RDWR);
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK);
    }
    waitpid(pid, &status, 0);
    return status != 0;
}
static void lock_file(const char *path)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    int fd = open(path, O_RDONLY);

    if (dup2(fd, 9) < 0 || fcntl(9, F_SETLK, &lock) < 0) {
        die(path);
    }
    if (fd != 9) {
        /* On the way to 9 this would end the lock too. */
        fcntl(fd, F_SETFD, 0);
    }
}
CASE(keep_lock)
{
    int up[2], down[2];
    char c = 0;
    pid_t pid;

    if (pipe(up) < 0 || pipe(down) < 0) {
        die("pipe");
    }
    pid = fork();
    if (pid == 0) {
        lock_file("plain");
        dup2(up[1], 8);
        dup2(down[0], 7);
        close(up[0]);
        close(down[1]);
        sys_execve("child", list("child", "x", "--seen", "x", NULL), ENV);
        _exit(1);
    }
    close(up[1]);
    if (read(up[0], &c, 1) != 1) {
        say(" no child");
    }
    say(is_locked("plain") ? " locked\n" : " unlocked\n");
    kill(pid, SIGKILL);
    _exit(0);
}
CASE(keep_name_until_exec)
{
    char name[17] = "";
    prctl(PR_SET_NAME, "mine", 0, 0, 0);
    sys_execve("dyn-missing", list("x", NULL), ENV);
    sys_execve("plain", list("x", NULL), ENV);
    prctl(PR_GET_NAME, name, 0, 0, 0);
    say(" %s", name);
    result(sys_execve("child", list("child", NULL), ENV));
}
/* What waits for a process waits for the new program, each in its order. */
CASE(keep_pending_queue)
{
    block(SIGRTMIN + 1, SIG_BLOCK);
    for (int i = 0; i < 3; i++) {
        sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = i });
    }
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 9);
    result(sys_execve("child", list("child", "--count", NULL), ENV));
}

/* ---- rule 10: how a path is resolved ---------------------------------- */

static int at(const char *path, int flags)
{
    int fd = open(path, flags);
    if (fd < 0 || dup3(fd, 9, flags & O_CLOEXEC) < 0) {
        die(path);
    }
    if (fd != 9) {
        close(fd);
    }
    return 9;
}
CASE(at_directory) { int d = at("sub", O_RDONLY | O_DIRECTORY); result(sys_execveat(d, "inner", list("x", NULL), ENV, 0)); }
CASE(at_directory_cloexec) { int d = at("sub", O_RDONLY | O_CLOEXEC); result(sys_execveat(d, "inner", list("x", NULL), ENV, 0)); }
CASE(at_directory_path) { int d = at("sub", O_PATH); result(sys_execveat(d, "../child", list("x", NULL), ENV, 0)); }
CASE(at_cwd) { result(sys_execveat(AT_FDCWD, "child", list("x", NULL), ENV, 0)); }
CASE(at_cwd_empty) { result(sys_execveat(AT_FDCWD, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_absolute)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/child", here);
    result(sys_execveat(77, path, list("x", NULL), ENV, 0));
}
CASE(at_bad_descriptor) { result(sys_execveat(77, "child", list("x", NULL), ENV, 0)); }
CASE(at_bad_descriptor_empty) { result(sys_execveat(77, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_no_directory) { int d = at("child", O_RDONLY); result(sys_execveat(d, "child", list("x", NULL), ENV, 0)); }
CASE(at_empty_without_flag) { int d = at("child", O_RDONLY); result(sys_execveat(d, "", list("x", NULL), ENV, 0)); }
CASE(at_unknown_flag) { int d = at("child", O_RDONLY); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH | 0x40000000)); }
CASE(at_file) { int d = at("child", O_RDONLY); result(sys_execveat(d, "", list("x", "y", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_file_cloexec) { int d = at("child", O_RDONLY | O_CLOEXEC); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_file_path) { int d = at("child", O_PATH); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_file_with_offset) { int d = at("child", O_RDONLY); lseek(d, 1234, SEEK_SET); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_file_named) { int d = at("child", O_RDONLY); result(sys_execveat(d, "child", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_directory_empty) { int d = at("sub", O_RDONLY); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_plain_file) { int d = at("plain", O_RDONLY); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_deleted) { int d = at("gone", O_RDONLY); unlink("gone"); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_link_nofollow) { result(sys_execveat(AT_FDCWD, "link", list("x", NULL), ENV, AT_SYMLINK_NOFOLLOW)); }
CASE(at_file_nofollow) { result(sys_execveat(AT_FDCWD, "child", list("x", NULL), ENV, AT_SYMLINK_NOFOLLOW)); }
CASE(at_missing) { int d = at("sub", O_RDONLY); result(sys_execveat(d, "child", list("x", NULL), ENV, 0)); }
CASE(at_link_opened) { int d = at("link", O_PATH | O_NOFOLLOW); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_proc_fd_directory) { at("child", O_RDONLY); int d = open("/proc/self/fd", O_RDONLY | O_CLOEXEC); result(sys_execveat(d, "9", list("x", NULL), ENV, 0)); }
CASE(at_absolute_empty_flag)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/child", here);
    result(sys_execveat(-1, path, list("x", NULL), ENV, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}
CASE(at_pipe)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0) {
        die("pipe");
    }
    result(sys_execveat(p[0], "", list("x", NULL), ENV, AT_EMPTY_PATH));
}
CASE(at_path_pointer) { result(sys_execveat(AT_FDCWD, (char *)16, list("x", NULL), ENV, 0)); }
CASE(at_loop) { int d = at(".", O_RDONLY); result(sys_execveat(d, "loop", list("x", NULL), ENV, 0)); }
CASE(at_plain_path) { int d = at("plain", O_PATH); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_renamed)
{
    program("temporary", 0755);
    int d = at("temporary", O_RDONLY);
    if (rename("temporary", "temporary2") < 0) {
        die("rename");
    }
    script("temporary", "not a program\n");
    result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH));
}
static int memory(int flags, const void *data, size_t len)
{
    int fd = memfd_create("in memory", flags);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len) {
        die("memfd");
    }
    lseek(fd, len ? 1 : 0, SEEK_SET);
    if (dup3(fd, 9, flags ? O_CLOEXEC : 0) < 0) {
        die("dup3");
    }
    if (fd != 9) {
        close(fd);
    }
    return 9;
}
CASE(at_memory) { int d = memory(0, self_image, self_size); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_memory_cloexec) { int d = memory(1, self_image, self_size); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_memory_empty) { int d = memory(0, "", 0); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(at_proc_fd) { at("child", O_RDONLY); result(sys_execve("/proc/self/fd/9", list("x", NULL), ENV)); }
CASE(at_dev_fd) { at("child", O_RDONLY | O_CLOEXEC); result(sys_execve("/dev/fd/9", list("x", NULL), ENV)); }
CASE(at_proc_memory) { memory(1, self_image, self_size); result(sys_execve("/proc/self/fd/9", list("x", NULL), ENV)); }
CASE(at_fexecve) { int d = at("child", O_RDONLY); fexecve(d, list("x", NULL), ENV); result(-1); }

/* ---- rule 11: scripts ------------------------------------------------- */

#define SCRIPT(name, file) \
    CASE(name) { result(sys_execve(file, list("argv0", "one", "two", NULL), ENV)); }
SCRIPT(script_simple, "./script")
SCRIPT(script_symlink, "script-link")
SCRIPT(script_not_executable, "script-plain")
SCRIPT(script_no_newline, "script-no-newline")
SCRIPT(script_arg, "script-arg")
SCRIPT(script_option, "script-option")
SCRIPT(script_relative, "script-relative")
CASE(script_relative_elsewhere) { if (chdir("sub") < 0) { die("sub"); } result(sys_execve("../script-relative", list("x", NULL), ENV)); }
SCRIPT(script_empty, "script-empty")
SCRIPT(script_blank, "script-blank")
SCRIPT(script_cr, "script-cr")
SCRIPT(script_cr_arg, "script-cr-arg")
SCRIPT(script_nul, "nul-line")
SCRIPT(script_missing, "script-missing")
SCRIPT(script_directory, "script-dir")
SCRIPT(script_to_plain, "script-to-plain")
SCRIPT(script_to_empty, "script-to-empty")
SCRIPT(script_to_machine, "script-to-machine")
SCRIPT(script_to_dynamic, "script-to-dynamic")
SCRIPT(script_self, "script-self")
SCRIPT(script_far, "script-far")
SCRIPT(script_to_link, "script-to-link")
SCRIPT(script_to_fifo, "script-to-fifo")
SCRIPT(script_to_loop, "script-to-loop")
SCRIPT(script_to_locked, "script-to-locked")
SCRIPT(script_many_options, "script-many-options")
SCRIPT(script_to_blanks, "script-to-blanks")
SCRIPT(script_level1, "level1")
SCRIPT(script_level2, "level2")
SCRIPT(script_level3, "level3")
SCRIPT(script_level4, "level4")
SCRIPT(script_level5, "level5")
SCRIPT(script_level6, "level6")
SCRIPT(script_level7, "level7")
SCRIPT(script_line252, "line252")
SCRIPT(script_line253, "line253")
SCRIPT(script_line254, "line254")
SCRIPT(script_line255, "line255")
SCRIPT(script_line256, "line256")
SCRIPT(script_line257, "line257")
SCRIPT(script_line260, "line260")
SCRIPT(script_name252, "name252")
SCRIPT(script_name253, "name253")
SCRIPT(script_name254, "name254")
SCRIPT(script_name255, "name255")
SCRIPT(script_name256, "name256")
SCRIPT(script_name257, "name257")
SCRIPT(script_name258, "name258")
SCRIPT(script_name260, "name260")
CASE(script_no_args) { result(sys_execve("script", list(NULL), ENV)); }
CASE(script_no_args_arg) { result(sys_execve("script-arg", NULL, NULL)); }
CASE(script_at_directory) { int d = at(".", O_RDONLY); result(sys_execveat(d, "script", list("x", "y", NULL), ENV, 0)); }
CASE(script_at_directory_cloexec) { int d = at(".", O_RDONLY | O_CLOEXEC); result(sys_execveat(d, "script", list("x", NULL), ENV, 0)); }
CASE(script_at_cwd) { result(sys_execveat(AT_FDCWD, "script", list("x", NULL), ENV, 0)); }
CASE(script_at_file) { int d = at("script-arg", O_RDONLY); result(sys_execveat(d, "", list("x", "y", NULL), ENV, AT_EMPTY_PATH)); }
CASE(script_at_file_cloexec) { int d = at("script", O_RDONLY | O_CLOEXEC); result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH)); }
CASE(script_at_file_level3) { int d = at("level3", O_RDONLY); result(sys_execveat(d, "", list("x", "y", NULL), ENV, AT_EMPTY_PATH)); }
CASE(script_at_link_nofollow) { int d = at(".", O_RDONLY); result(sys_execveat(d, "script-link", list("x", NULL), ENV, AT_SYMLINK_NOFOLLOW)); }
CASE(script_at_absolute)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/script", here);
    result(sys_execveat(77, path, list("x", NULL), ENV, 0));
}
CASE(script_at_deleted)
{
    char text[PATH_MAX];
    snprintf(text, sizeof(text), "#!%s/child\n", here);
    script("temporary", text);
    int d = at("temporary", O_RDONLY);
    unlink("temporary");
    result(sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH));
}
CASE(script_environment) { static char *e[] = { "QEMU_EXECVE=off", "A=1", "A=2", "none", NULL }; result(sys_execve("script-arg", list("x", NULL), e)); }
CASE(script_at_memory)
{
    char text[PATH_MAX];
    snprintf(text, sizeof(text), "#!%s/child arg\n", here);
    int d = memory(0, text, strlen(text));
    result(sys_execveat(d, "", list("x", "y", NULL), ENV, AT_EMPTY_PATH));
}
CASE(script_at_proc_fd_cloexec) { at("script", O_RDONLY | O_CLOEXEC); result(sys_execve("/proc/self/fd/9", list("x", NULL), ENV)); }

/* ---- rule 12: the running program again ------------------------------- */

CASE(exe_self) { result(sys_execve("child", list("child", "--again", "/proc/self/exe", NULL), ENV)); }
CASE(exe_thread_self) { result(sys_execve("child", list("child", "--again", "/proc/thread-self/exe", NULL), ENV)); }
CASE(exe_pid) { result(sys_execve("child", list("child", "--again", "pid", NULL), ENV)); }
CASE(exe_symlink) { result(sys_execve("child", list("child", "--again", "exe-link", NULL), ENV)); }
CASE(exe_dirfd) { result(sys_execve("child", list("child", "--again", "dirfd", NULL), ENV)); }
CASE(exe_dots) { result(sys_execve("child", list("child", "--again", "/proc/../proc/self/./exe", NULL), ENV)); }
CASE(exe_opened) { result(sys_execve("child", list("child", "--again", "opened", NULL), ENV)); }
CASE(exe_deleted)
{
    program("temporary", 0755);
    result(sys_execve("temporary", list("child", "--again", "deleted", NULL), ENV));
}
CASE(exe_renamed)
{
    program("temporary", 0755);
    result(sys_execve("temporary", list("child", "--again", "renamed", NULL), ENV));
}
CASE(exe_memory)
{
    int d = memory(1, self_image, self_size);
    result(sys_execveat(d, "", list("x", "--again", "/proc/self/exe", NULL), ENV, AT_EMPTY_PATH));
}
CASE(exe_not_executable)
{
    program("temporary", 0755);
    result(sys_execve("temporary", list("child", "--again", "chmod", NULL), ENV));
}
CASE(exe_nofollow) { result(sys_execveat(AT_FDCWD, "/proc/self/exe", list("x", NULL), ENV, AT_SYMLINK_NOFOLLOW)); }
CASE(exe_script) { result(sys_execve("script-option", list("x", NULL), ENV)); }
CASE(exe_other_file) { result(sys_execve("sub/exe", list("x", NULL), ENV)); }

/* ---- rule 13: the program's interpreter ------------------------------- */

#define FILE_CASE(name, file) \
    CASE(name) { result(sys_execve(file, list("argv0", "one", NULL), ENV)); }
FILE_CASE(interp_missing, "dyn-missing")
FILE_CASE(interp_relative, "dyn-relative")
FILE_CASE(interp_directory, "dyn-dir")
FILE_CASE(interp_not_executable, "dyn-plain")
FILE_CASE(interp_empty, "dyn-empty")
FILE_CASE(interp_other_machine, "dyn-machine")
FILE_CASE(interp_not_directory, "dyn-notdir")
FILE_CASE(interp_loop, "dyn-loop")
FILE_CASE(interp_unterminated, "dyn-unterminated")
FILE_CASE(interp_short_name, "dyn-short-name")
FILE_CASE(interp_cut_name, "dyn-cut-name")
FILE_CASE(interp_cut_headers, "dyn-cut-headers")
FILE_CASE(interp_long_name, "dyn-long-name")

FILE_CASE(interp_script, "dyn-script")
FILE_CASE(interp_fifo, "dyn-fifo")

/* ---- rule 14: errors -------------------------------------------------- */

FILE_CASE(error_not_executable, "plain")
FILE_CASE(error_directory, "dir")
FILE_CASE(error_directory_slash, "child/")
FILE_CASE(error_missing, "missing")
FILE_CASE(error_missing_component, "missing/child")
FILE_CASE(error_not_directory, "child/x")
FILE_CASE(error_loop, "loop")
FILE_CASE(error_dangling, "dangling")
FILE_CASE(error_empty_file, "empty")
FILE_CASE(error_text, "text")
FILE_CASE(error_one_byte, "one-byte")
FILE_CASE(error_magic_only, "binary")
FILE_CASE(error_half_header, "half-header")
FILE_CASE(error_only_header, "only-header")
FILE_CASE(error_other_machine, "other-machine")
FILE_CASE(error_relocatable, "relocatable")
FILE_CASE(error_fifo, "fifo")
FILE_CASE(error_device, "/dev/null")
FILE_CASE(error_empty_path, "")
FILE_CASE(error_locked, "locked/inside")
CASE(error_path_pointer) { result(sys_execve((char *)16, list("x", NULL), ENV)); }
CASE(error_path_null) { result(sys_execve(NULL, list("x", NULL), ENV)); }
CASE(error_argv_pointer) { result(sys_execve("child", (char **)16, ENV)); }
CASE(error_argv_string) { char *a[] = { "x", (char *)16, NULL }; result(sys_execve("child", a, ENV)); }
CASE(error_envp_pointer) { result(sys_execve("child", list("x", NULL), (char **)16)); }
CASE(error_envp_string) { char *e[] = { "A=1", (char *)16, NULL }; result(sys_execve("child", list("x", NULL), e)); }
/* Strings and lists that run off the end of what is mapped. */
static char *edge(void)
{
    size_t page = 65536;
    char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || munmap(p + page, page) < 0) {
        die("mmap");
    }
    return p + page;
}
CASE(error_path_unterminated) { char *p = edge() - 5; memcpy(p, "child", 5); result(sys_execve(p, list("x", NULL), ENV)); }
CASE(error_argv_unterminated) { char **p = (char **)edge() - 2; p[0] = p[1] = "x"; result(sys_execve("child", p, ENV)); }
CASE(error_argument_unterminated) { char *p = edge() - 1; *p = 'x'; result(sys_execve("child", list("x", p, NULL), ENV)); }
CASE(error_envp_unterminated) { char **p = (char **)edge() - 1; p[0] = "A=1"; result(sys_execve("child", list("x", NULL), p)); }
FILE_CASE(error_loop_component, "loop/x")
FILE_CASE(error_dangling_component, "dangling/x")
FILE_CASE(error_proc_file, "/proc/self/status")
FILE_CASE(error_root, "/")
FILE_CASE(error_dot, ".")
/* Only a privileged caller gets as far as an exec that the kernel puts off. */
CASE(error_too_many_processes)
{
    struct rlimit lim = { 0, 0 };
    int up[2];
    char c;
    pid_t pid;

    if (pipe2(up, O_CLOEXEC) < 0) {
        die("pipe");
    }
    pid = fork();
    if (pid == 0) {
        if (setuid(65533) == 0 && write(up[1], "x", 1) == 1) {
            pause();
        }
        _exit(0);
    }
    close(up[1]);
    if (read(up[0], &c, 1) != 1 || setrlimit(RLIMIT_NPROC, &lim) < 0 ||
        setuid(65533) < 0) {
        say(" refused");
    }
    sys_execve("child", list("x", NULL), ENV);
    say(" %s\n", error_name(errno));
    kill(pid, SIGKILL);
    _exit(0);
}
CASE(error_busy)
{
    int fd = open("busy", O_WRONLY);
    (void)fd;
    result(sys_execve("busy", list("x", NULL), ENV));
}
CASE(error_busy_script)
{
    int fd = open("script", O_WRONLY);
    (void)fd;
    result(sys_execve("script", list("x", NULL), ENV));
}
CASE(error_argument_size)
{
    char *a = malloc(131073);
    memset(a, 'x', 131072);
    a[131072] = 0;
    result(sys_execve("child", list("child", a, NULL), ENV));
}
CASE(error_arguments_size)
{
    static char *a[101];
    char *s = malloc(100001);
    memset(s, 'x', 100000);
    s[100000] = 0;
    for (int i = 0; i < 100; i++) {
        a[i] = s;
    }
    result(sys_execve("child", a, ENV));
}
/* After a failure, everything is as before. */
CASE(error_then_exec)
{
    sys_execve("missing", list("x", NULL), ENV);
    sys_execve("plain", list("x", NULL), ENV);
    sys_execve("dyn-missing", list("x", NULL), ENV);
    sys_execve("script-missing", list("x", NULL), ENV);
    sys_execve("child", (char **)16, ENV);
    error_argument_size();
}
CASE(error_leaves_no_descriptor)
{
    char *big = malloc(131073);
    int before, after;
    memset(big, 'x', 131072);
    big[131072] = 0;
    before = dup(1);
    close(before);
    for (int i = 0; i < 100; i++) {
        sys_execve("plain", list("x", NULL), ENV);
        sys_execve("dyn-missing", list("x", NULL), ENV);
        sys_execve("script-to-dynamic", list("x", NULL), ENV);
        sys_execve("level7", list("x", NULL), ENV);
        sys_execve("child", list("x", big, NULL), ENV);
    }
    after = dup(1);
    close(after);
    if (before != after) {
        say(" descriptors leak");
    }
    result(sys_execve("child", list("x", NULL), ENV));
}

/* What a process had, it still has: nothing was closed, reset or renamed. */
CASE(error_changes_nothing)
{
    static const char * const files[] = {
        "missing", "plain", "dyn-missing", "script-missing", "level7", "text",
    };
    struct sigaction act;
    sigset_t mask;

    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    block(SIGTERM, SIG_BLOCK);
    at("text", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 6; i++) {
        sys_execve(files[i], list("x", NULL), ENV);
    }
    sigaction(SIGUSR1, NULL, &act);
    say(act.sa_handler == handler ? " handler" : " no handler");
    sigprocmask(SIG_SETMASK, NULL, &mask);
    say(sigismember(&mask, SIGTERM) > 0 ? " mask" : " no mask");
    say(fcntl(9, F_GETFD) == FD_CLOEXEC ? " descriptor" : " no descriptor");
    result(sys_execve("child", list("x", NULL), ENV));
}

/* ---- rule 16: descriptors closed or reused ---------------------------- */

CASE(fds_close_all)
{
    for (int i = 3; i < 8192; i++) {
        close(i);
    }
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(fds_close_errors)
{
    int closed = 0;
    for (int i = 3; i < 8192; i++) {
        closed += close(i) == 0;
    }
    say(" closed %d", closed);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(fds_close_range)
{
    long ret = syscall(SYS_close_range, 3, ~0U, 0);
    say(" %ld", ret);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(fds_close_range_twice)
{
    syscall(SYS_close_range, 3, ~0U, 0);
    say(" %ld", (long)syscall(SYS_close_range, 3, ~0U, 2));
    say(" %ld", (long)syscall(SYS_close_range, 10, 3, 0));
    say(" %ld", (long)syscall(SYS_close_range, 3, ~0U, 4));
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(fds_replace_all)
{
    int n = 0;
    for (int i = 3; i < 4200; i++) {
        n += dup3(1, i, O_CLOEXEC) == i;
    }
    say(" %d", n);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(fds_replace_and_keep)
{
    for (int i = 3; i < 4200; i += 1) {
        if (dup2(1, i) == i && i % 100) {
            close(i);
        }
    }
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(fds_probe)
{
    int n = 0;
    for (int i = 3; i < 4200; i++) {
        n += fcntl(i, F_GETFD) >= 0;
        n += fcntl(i, F_SETFD, 0) >= 0;
        n += dup(i) >= 0;
        n += dup2(i, i) >= 0;
        n += fcntl(i, F_DUPFD, 0) >= 0;
    }
    say(" %d", n);
    result(sys_execve("child", list("child", NULL), ENV));
}

/*
 * Below a limit that nobody can raise, each number by one of its own. But for
 * one: contract.sh looks at what happens with none.
 */
CASE(fds_replace_limit)
{
    struct rlimit lim = { 256, 256 };
    int n = 0;
    setrlimit(RLIMIT_NOFILE, &lim);
    for (int i = 3; i < 255; i++) {
        n += dup3(1, i, i > 200 ? O_CLOEXEC : 0) == i;
    }
    say(" %d", n);
    result(sys_execve("child", list("child", NULL), ENV));
}
CASE(fds_reopen_all)
{
    int n = 0;
    /* From 4096 on, numbers are the emulator's before they are the guest's. */
    for (int i = 3; i < 4000; i++) {
        n += open("text", O_RDONLY | O_CLOEXEC) == i;
    }
    say(" %d", n);
    result(sys_execve("child", list("child", NULL), ENV));
}

/* ---- processes and threads -------------------------------------------- */

CASE(fork_vfork)
{
    int status;
    pid_t pid = vfork();
    if (pid == 0) {
        sys_execve("child", list("child", NULL), ENV);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    _exit(status ? 1 : 0);
}
static void *spin(void *arg)
{
    volatile unsigned long n = 0;
    for (;;) {
        n++;
    }
    return arg;
}
static void *opener(void *arg)
{
    for (;;) {
        int fd = open("text", O_RDONLY | O_CLOEXEC);
        close(fd);
    }
    return arg;
}
static void *execer(void *arg)
{
    (void)arg;
    result(sys_execve("child", list("child", NULL), ENV));
    return NULL;
}
CASE(thread_main)
{
    pthread_t t;
    pthread_create(&t, NULL, spin, NULL);
    pthread_create(&t, NULL, opener, NULL);
    usleep(10000);
    execer(NULL);
}
CASE(thread_other)
{
    pthread_t t;
    pthread_create(&t, NULL, spin, NULL);
    pthread_create(&t, NULL, opener, NULL);
    usleep(10000);
    pthread_create(&t, NULL, execer, NULL);
    for (;;) {
        pause();
    }
}
CASE(thread_error)
{
    pthread_t t;
    pthread_create(&t, NULL, spin, NULL);
    for (int i = 0; i < 50; i++) {
        sys_execve("missing", list("x", NULL), ENV);
        sys_execve("dyn-missing", list("x", NULL), ENV);
    }
    result(sys_execve("plain", list("x", NULL), ENV));
}
/* Many processes that start many, while threads come and go. */
static void *forker(void *arg)
{
    for (int i = 0; i < 10; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            sys_execve("child", list("child", "--quiet", NULL), ENV);
            _exit(1);
        }
        if (waitpid(pid, &status, 0) != pid || status) {
            return (void *)1;
        }
    }
    return arg;
}
CASE(thread_many)
{
    pthread_t t[4];
    long bad = 0;
    for (int i = 0; i < 4; i++) {
        pthread_create(&t[i], NULL, forker, NULL);
    }
    for (int i = 0; i < 4; i++) {
        void *ret;
        pthread_join(t[i], &ret);
        bad += ret != NULL;
    }
    say(" %ld failed\n", bad);
    _exit(0);
}
/* What other processes see of a child. */
CASE(seen_by_others)
{
    static const char * const files[] = { "cmdline", "environ", "comm" };
    int up[2], down[2];
    char path[64], c;
    pid_t pid;

    if (pipe(up) < 0 || pipe(down) < 0) {
        die("pipe");
    }
    pid = fork();
    if (pid == 0) {
        dup2(up[1], 8);
        dup2(down[0], 7);
        close(up[0]);
        close(down[1]);
        sys_execve("script-arg", list("child", "--seen", "", "a b", NULL), ENV);
        _exit(1);
    }
    close(up[1]);
    if (read(up[0], &c, 1) != 1) {
        say(" no child");
    }
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
        put_file(files[i], path);
    }
    say("%s\n", line);
    _exit(0);
}
/* What a C library makes of exec. */
CASE(library_execvp)
{
    char path[2 * PATH_MAX];
    snprintf(path, sizeof(path), "/nonexistent:%s/dir:%s/sub", here, here);
    setenv("PATH", path, 1);
    clearenv();
    setenv("PATH", path, 1);
    execvp("inner", list("x", NULL));
    result(-1);
}
CASE(library_execvp_missing)
{
    setenv("PATH", here, 1);
    execvp("no such program", list("x", NULL));
    result(-1);
}
/* It runs a file that the kernel does not know in the system's shell. */
CASE(library_execvp_text)
{
    setenv("PATH", here, 1);
    execvp("text", list("x", NULL));
    result(-1);
}
static void spawn(const char *path)
{
    int status = 0;
    pid_t pid;
    int ret = posix_spawn(&pid, path, NULL, NULL, list("x", "--exit", "5", NULL), ENV);

    if (ret == 0) {
        waitpid(pid, &status, 0);
    }
    /*
     * posix_spawn returns the error, or says nothing, by POSIX: QEMU makes a
     * fork of every vfork, so the C library of a guest cannot know, and the
     * child ends with 127.
     */
    if (ret || (WIFEXITED(status) && WEXITSTATUS(status) == 127)) {
        say(" not started\n");
    } else {
        say(" status %d\n", WEXITSTATUS(status));
    }
    _exit(0);
}
CASE(library_spawn) { spawn("child"); }
CASE(library_spawn_script) { spawn("script"); }
CASE(library_spawn_missing) { spawn("missing"); }
CASE(library_spawn_not_executable) { spawn("plain"); }
CASE(library_spawn_no_interpreter) { spawn("dyn-missing"); }
CASE(status_exit)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        sys_execve("child", list("child", "--exit", "37", NULL), ENV);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    say(" %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    _exit(0);
}
CASE(status_signal)
{
    int status;
    struct rlimit lim = { 0, 0 };
    setrlimit(RLIMIT_CORE, &lim);
    pid_t pid = fork();
    if (pid == 0) {
        sys_execve("child", list("child", "--kill", NULL), ENV);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    say(" %s\n", WIFSIGNALED(status) ? signal_name(WTERMSIG(status)) : "no");
    _exit(0);
}

static const char *own_path;    /* of the program whose names are looked at */
#include "own.h"
#include "limit.h"
#include "waits.h"
#include "ids.h"
#include "rights.h"

/* The child's side of rule 12. */
static int again(const char *how)
{
    char path[64];
    char **args = list("again", "x", NULL);

    if (!strcmp(how, "pid")) {
        char **a;
        snprintf(path, sizeof(path), "/proc/%d/exe", getpid());
        /* The pid is different in each run: leave AT_EXECFN out. */
        a = list("again", "--brief", NULL);
        result(sys_execve(path, a, ENV));
    } else if (!strcmp(how, "dirfd")) {
        int fd = open("/proc/self", O_PATH);
        dup2(fd, 9);
        close(fd);
        result(sys_execveat(9, "exe", args, ENV, 0));
    } else if (!strcmp(how, "opened")) {
        int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        dup2(fd, 9);
        close(fd);
        result(sys_execveat(9, "", args, ENV, AT_EMPTY_PATH));
    } else if (!strcmp(how, "deleted")) {
        unlink("temporary");
        how = "/proc/self/exe";
    } else if (!strcmp(how, "renamed")) {
        rename("temporary", "temporary2");
        script("temporary", "not a program\n");
        how = "/proc/self/exe";
    } else if (!strcmp(how, "chmod")) {
        chmod("temporary", 0644);
        how = "/proc/self/exe";
    }
    result(sys_execve(how, args, ENV));
    return 1;
}

static int run_cases(char **arg);

/* Takes all descriptors, and tells how often one came after a higher one. */
static int tell_order(void)
{
    int last = -1, back = 0, fd;

    while ((fd = dup(1)) >= 0) {
        back += fd < last;
        last = fd;
    }
    printf("order: %d back, %s\n", back, strerrorname_np(errno));
    return 0;
}

/* From now on nobody has it, who executes what. */
static void without(unsigned capability)
{
    struct { unsigned version; int pid; } header = { 0x20080522, 0 };
    struct { unsigned effective, permitted, inheritable; } caps[2];

    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 ||
        syscall(SYS_capget, &header, caps) < 0) {
        die("without");
    }
    caps[0].effective &= ~(1U << capability);
    caps[0].permitted &= ~(1U << capability);
    if (syscall(SYS_capset, &header, caps) < 0) {
        die("without");
    }
}

/* A filter of system calls, as containers have: no change of the user. */
static void forbid(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setresuid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { sizeof(code) / sizeof(*code), code };

    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) < 0) {
        die("forbid");
    }
}

/* Steps for tests that need more than two equal transcripts. */
static int steps(char **arg, char **envp)
{
    static char *none[] = { NULL };
    char *name = (char *)"step";

#define STEP(name, count) \
    (!strcmp(arg[0], name) && arg[count] && (arg += 1 + (count)))
#define TRY(call) if ((call) < 0) { die(#call); }

    while (*arg) {
        if (STEP("chroot", 1)) {
            TRY(chroot(arg[-1]));
            TRY(chdir("/"));
        } else if (STEP("chdir", 1)) {
            TRY(chdir(arg[-1]));
        } else if (STEP("user", 1)) {
            TRY(setgid(atoi(arg[-1])));
            TRY(setuid(atoi(arg[-1])));
        } else if (STEP("ids", 2)) {
            int real = atoi(arg[-2]), other = atoi(arg[-1]);
            TRY(setresgid(real, other, other));
            TRY(setresuid(real, other, other));
        } else if (STEP("saved", 1)) {
            TRY(setresuid(atoi(arg[-1]), atoi(arg[-1]), 0));
        } else if (STEP("alone", 0)) {
            TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        } else if (STEP("without", 1)) {
            without(atoi(arg[-1]));
        } else if (STEP("forbid", 0)) {
            forbid();
        } else if (STEP("unlink", 1)) {
            TRY(unlink(arg[-1]));
        } else if (STEP("rmdir", 1)) {
            TRY(rmdir(arg[-1]));
        } else if (STEP("rename", 2)) {
            TRY(rename(arg[-2], arg[-1]));
        } else if (STEP("mode", 2)) {
            TRY(chmod(arg[-1], strtol(arg[-2], NULL, 8)));
        } else if (STEP("files", 1)) {
            struct rlimit lim = { atoi(arg[-1]), atoi(arg[-1]) };
            TRY(setrlimit(RLIMIT_NOFILE, &lim));
        } else if (STEP("close", 0)) {
            for (int i = 3; i < 65536; i++) {
                close(i);
            }
        } else if (STEP("replace", 0)) {
            struct rlimit lim;
            TRY(getrlimit(RLIMIT_NOFILE, &lim));
            for (unsigned i = 3; i < lim.rlim_cur && i < 65536; i++) {
                dup2(1, i);
            }
        } else if (STEP("unshare", 1)) {
            TRY(unshare(*arg[-1] == 'u' ? CLONE_NEWUSER : CLONE_NEWNS));
        } else if (STEP("pivot", 1)) {
            TRY(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
            TRY(mount(arg[-1], arg[-1], NULL, MS_BIND, NULL));
            TRY(chdir(arg[-1]));
            TRY(syscall(SYS_pivot_root, ".", "."));
            TRY(umount2(".", MNT_DETACH));
            TRY(chdir("/"));
        } else if (STEP("fill", 0)) {
            while (fcntl(1, F_DUPFD_CLOEXEC, 3) >= 0) {
                continue;
            }
        } else if (STEP("order", 0)) {
            return tell_order();
        } else if (STEP("setenv", 1)) {
            char **more = calloc(1000, sizeof(char *));
            for (int i = 0; i < 998 && envp[i]; i++) {
                more[i + 1] = envp[i];
            }
            more[0] = arg[-1];
            envp = more;
        } else if (STEP("named", 1)) {
            name = arg[-1];
        } else if (STEP("noenv", 0)) {
            envp = none;
        } else if (STEP("cases", 1)) {
            return run_cases(arg - 1);
        } else if (STEP("exec", 1)) {
            char *path = arg[-1];
            arg[-1] = name;
            result(sys_execve(path, arg - 1, envp));
        } else {
            say("no such step: %s\n", *arg);
            return 2;
        }
    }
    return 0;
}

/* The least that a debugger does: connect, and let the program run. */
static int debugger(const char *path)
{
    static const char go[] = "+$c#63";
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char buf[256];

    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    alarm(20);
    while (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
        usleep(10000);
    }
    if (write(fd, go, sizeof(go) - 1) < 0) {
        return 1;
    }
    while (read(fd, buf, sizeof(buf)) > 0) {
        continue;
    }
    return 0;
}

int main(int argc, char **argv, char **envp)
{
    if (argc >= 3 && !strcmp(argv[1], "--do")) {
        return steps(argv + 2, envp);
    }
    if (argc >= 2 && !strcmp(argv[1], "--facts")) {
        return facts();
    }
    if (argc >= 3 && !strcmp(argv[1], "--continue")) {
        return debugger(argv[2]);
    }
    if (argc >= 5 && !strcmp(argv[1], "--endure")) {
        here = argv[2];
        prepare();
        return endure(argv[3], atoi(argv[4]));
    }
    if (argc >= 4 && !strcmp(argv[1], "--take")) {
        return take(atoi(argv[2]), atoi(argv[3]));
    }
    if (argc >= 2 && !strcmp(argv[1], "--count")) {
        return take(0, 3) ? 1 : (say(" all there\n"), 0);
    }
    if (argc >= 5 && !strcmp(argv[1], "--own")) {
        here = argv[2];
        return own(argv[3], argv[4]);
    }
    if (argc >= 4 && !strcmp(argv[1], "--fill")) {
        here = argv[2];
        fill_up(atoi(argv[3]));
    }
    if (argc >= 2 && !strcmp(argv[1], "--quick")) {
        say(" runs");
        return 0;
    }
    if (argc >= 2 && !strcmp(argv[1], "--pause")) {
        return sleep(10) != 0;
    }
    if (argc >= 3 && !strcmp(argv[1], "--again")) {
        return again(argv[2]);
    }
    if (argc >= 3 && !strcmp(argv[1], "--pid")) {
        say(" %s\n", atoi(argv[2]) == getpid() ? "same" : "different");
        return 0;
    }
    if (argc >= 3 && !strcmp(argv[1], "--exit")) {
        return atoi(argv[2]);
    }
    if (argc >= 2 && !strcmp(argv[1], "--kill")) {
        raise(SIGKILL);
    }
    if (argc >= 2 && !strcmp(argv[1], "--quiet")) {
        return 0;
    }
    if (argc >= 4 && !strcmp(argv[3], "--seen")) {
        char c = 0;
        return write(8, &c, 1) != 1 || read(7, &c, 1) < 0;
    }
    if (argc >= 2 && !strcmp(argv[1], "--brief")) {
        char buf[PATH_MAX];
        ssize_t len = readlink("/proc/self/exe", buf, sizeof(buf));
        put(" exe=");
        put_bytes(buf, len < 0 ? 0 : len);
        put_file("comm", "/proc/self/comm");
        say("%s\n", line);
        return 0;
    }
    if (argc < 3 || strcmp(argv[1], "--run")) {
        return report(argv, envp);
    }
    return run_cases(argv + 2);
}

/* A folder to work in, and names of cases, or none for all of them. */
static int run_cases(char **arg)
{
    here = arg[0];
    only = arg + 1;
    /* What the caller left open is not what this is about. */
    if (syscall(SYS_close_range, 3, ~0U, 0) < 0) {
        for (int i = 3; i < 65536; i++) {
            close(i);
        }
    }
    umask(022);
    prepare();

#define RUN(name) run_case(#name, name)
    RUN(args_plain); RUN(args_other_argv0); RUN(args_empty_argv0);
    RUN(args_login_argv0); RUN(args_none); RUN(args_null); RUN(args_options);
    RUN(args_strange); RUN(args_long); RUN(args_many); RUN(args_very_many);
    RUN(args_most); RUN(args_too_much);
    RUN(env_empty); RUN(env_null); RUN(env_strange); RUN(env_qemu);
    RUN(env_long); RUN(env_many);

    RUN(path_option); RUN(path_dashes); RUN(path_help); RUN(path_blank);
    RUN(path_newline); RUN(path_bytes); RUN(path_absolute); RUN(path_dots);
    RUN(path_255); RUN(path_256); RUN(path_257); RUN(path_1025);
    RUN(path_longest); RUN(path_too_long); RUN(path_long_absolute);
    RUN(path_name_255); RUN(path_name_256); RUN(path_symlink);
    RUN(path_long_comm);

    RUN(keep_descriptors); RUN(keep_closed_stdin); RUN(keep_closed_stdio);
    RUN(keep_cloexec_stdin); RUN(keep_mask); RUN(keep_mask_faults);
    RUN(keep_ignored); RUN(keep_ignored_faults); RUN(keep_ignored_twice);
    RUN(keep_ignored_background); RUN(keep_handlers_reset); RUN(keep_pending);
    RUN(keep_umask); RUN(keep_cwd); RUN(keep_timer); RUN(keep_nice);
    RUN(keep_core_limit); RUN(keep_few_files); RUN(keep_very_few_files);
    RUN(keep_files_soft); RUN(keep_pid); RUN(keep_many_files);
    RUN(keep_hard_raised); RUN(keep_soft_raised); RUN(keep_file_size_limit);
    RUN(keep_session); RUN(keep_group); RUN(keep_no_new_privileges);
    RUN(keep_effective_user); RUN(keep_cwd_deleted);
    RUN(keep_cwd_deleted_relative); RUN(keep_lock); RUN(keep_name_until_exec);
    RUN(keep_pending_queue);

    RUN(at_directory); RUN(at_directory_cloexec); RUN(at_directory_path);
    RUN(at_cwd); RUN(at_cwd_empty); RUN(at_absolute); RUN(at_bad_descriptor);
    RUN(at_bad_descriptor_empty); RUN(at_no_directory);
    RUN(at_empty_without_flag); RUN(at_unknown_flag); RUN(at_file);
    RUN(at_file_cloexec); RUN(at_file_path); RUN(at_file_with_offset);
    RUN(at_file_named); RUN(at_directory_empty); RUN(at_plain_file);
    RUN(at_deleted); RUN(at_link_nofollow); RUN(at_file_nofollow);
    RUN(at_missing); RUN(at_link_opened); RUN(at_proc_fd_directory);
    RUN(at_absolute_empty_flag); RUN(at_pipe); RUN(at_path_pointer);
    RUN(at_loop); RUN(at_plain_path); RUN(at_renamed); RUN(at_memory);
    RUN(at_memory_cloexec); RUN(at_memory_empty); RUN(at_proc_fd);
    RUN(at_dev_fd); RUN(at_proc_memory); RUN(at_fexecve);

    RUN(script_simple); RUN(script_symlink); RUN(script_not_executable);
    RUN(script_no_newline); RUN(script_arg); RUN(script_option);
    RUN(script_relative); RUN(script_relative_elsewhere); RUN(script_empty);
    RUN(script_blank); RUN(script_cr); RUN(script_cr_arg); RUN(script_nul);
    RUN(script_missing); RUN(script_directory); RUN(script_to_plain);
    RUN(script_to_empty); RUN(script_to_machine); RUN(script_to_dynamic);
    RUN(script_self); RUN(script_far); RUN(script_to_link); RUN(script_to_fifo);
    RUN(script_to_loop); RUN(script_to_locked); RUN(script_many_options);
    RUN(script_to_blanks); RUN(script_level1); RUN(script_level2);
    RUN(script_level3); RUN(script_level4); RUN(script_level5);
    RUN(script_level6); RUN(script_level7); RUN(script_line252);
    RUN(script_line253); RUN(script_line254); RUN(script_line255);
    RUN(script_line256); RUN(script_line257); RUN(script_line260);
    RUN(script_name252); RUN(script_name253); RUN(script_name254);
    RUN(script_name255); RUN(script_name256); RUN(script_name257);
    RUN(script_name258); RUN(script_name260); RUN(script_no_args);
    RUN(script_no_args_arg); RUN(script_at_directory);
    RUN(script_at_directory_cloexec); RUN(script_at_cwd); RUN(script_at_file);
    RUN(script_at_file_cloexec); RUN(script_at_file_level3);
    RUN(script_at_link_nofollow); RUN(script_at_absolute);
    RUN(script_at_deleted); RUN(script_environment); RUN(script_at_memory);
    RUN(script_at_proc_fd_cloexec);

    RUN(exe_self); RUN(exe_thread_self); RUN(exe_pid); RUN(exe_symlink);
    RUN(exe_dirfd); RUN(exe_dots); RUN(exe_opened); RUN(exe_deleted);
    RUN(exe_renamed); RUN(exe_memory); RUN(exe_not_executable);
    RUN(exe_nofollow); RUN(exe_script); RUN(exe_other_file);

    RUN(interp_missing); RUN(interp_relative); RUN(interp_directory);
    RUN(interp_not_executable); RUN(interp_empty); RUN(interp_other_machine);
    RUN(interp_not_directory); RUN(interp_loop); RUN(interp_unterminated);
    RUN(interp_short_name); RUN(interp_cut_name); RUN(interp_cut_headers);
    RUN(interp_long_name); RUN(interp_script); RUN(interp_fifo);

    RUN(error_not_executable); RUN(error_directory); RUN(error_directory_slash);
    RUN(error_missing); RUN(error_missing_component); RUN(error_not_directory);
    RUN(error_loop); RUN(error_dangling); RUN(error_empty_file);
    RUN(error_text); RUN(error_one_byte); RUN(error_magic_only);
    RUN(error_half_header); RUN(error_only_header); RUN(error_other_machine);
    RUN(error_relocatable); RUN(error_fifo); RUN(error_device);
    RUN(error_empty_path); RUN(error_locked); RUN(error_path_pointer);
    RUN(error_path_null); RUN(error_argv_pointer); RUN(error_argv_string);
    RUN(error_envp_pointer); RUN(error_envp_string);
    RUN(error_path_unterminated); RUN(error_argv_unterminated);
    RUN(error_argument_unterminated); RUN(error_envp_unterminated);
    RUN(error_loop_component); RUN(error_dangling_component);
    RUN(error_proc_file); RUN(error_root); RUN(error_dot);
    RUN(error_too_many_processes); RUN(error_busy); RUN(error_busy_script);
    RUN(error_argument_size); RUN(error_arguments_size); RUN(error_then_exec);
    RUN(error_leaves_no_descriptor); RUN(error_changes_nothing);

    RUN(fds_close_all); RUN(fds_close_errors); RUN(fds_close_range);
    RUN(fds_close_range_twice); RUN(fds_replace_all); RUN(fds_replace_and_keep);
    RUN(fds_probe); RUN(fds_replace_limit); RUN(fds_reopen_all);

    RUN(fork_vfork);
    RUN(thread_main); RUN(thread_other); RUN(thread_error); RUN(thread_many);
    RUN(seen_by_others);
    RUN(status_exit); RUN(status_signal);

    RUN(library_execvp); RUN(library_execvp_missing); RUN(library_execvp_text);
    RUN(library_spawn); RUN(library_spawn_script); RUN(library_spawn_missing);
    RUN(library_spawn_not_executable); RUN(library_spawn_no_interpreter);

    RUN(exe_names_plain); RUN(exe_names_thread); RUN(exe_names_deleted);
    RUN(exe_names_renamed); RUN(exe_names_unreadable);
    RUN(exe_names_mount); RUN(exe_names_bind); RUN(exe_open_flags);
    RUN(exe_open_flags_others);

    RUN(limit_is_mine); RUN(limit_64); RUN(limit_1024); RUN(limit_soft);
    RUN(limit_raised); RUN(limit_child); RUN(limit_child_soft);
    RUN(limit_lowered);

    RUN(wait_lease); RUN(wait_lease_at); RUN(wait_lease_script);
    RUN(wait_lease_of_script); RUN(wait_lease_read); RUN(wait_tty);
    RUN(wait_terminal); RUN(wait_zero); RUN(wait_random); RUN(wait_console);
    RUN(wait_fifo); RUN(wait_socket); RUN(wait_others_go_on);
    RUN(thread_robs_mixed); RUN(thread_robs_closes);
    RUN(thread_robs_closes_first); RUN(thread_robs_replaces);
    RUN(thread_robs_ranges); RUN(thread_robs_high_mixed);
    RUN(thread_robs_high_closes); RUN(thread_robs_high_replaces);
    RUN(thread_robs_limit_mixed); RUN(thread_robs_limit_closes);
    RUN(thread_robs_few_closes); RUN(thread_robs_interpreter);
    RUN(thread_robs_children); RUN(thread_robs_ids);

    RUN(ids_effective_environment); RUN(ids_effective_descriptor);
    RUN(ids_effective_spawn); RUN(ids_effective_few); RUN(ids_effective); RUN(ids_effective_user);
    RUN(ids_effective_group); RUN(ids_effective_script);
    RUN(ids_effective_option); RUN(ids_effective_missing);
    RUN(ids_effective_plain); RUN(ids_effective_children);
    RUN(ids_effective_grandchildren); RUN(ids_effective_exe);
    RUN(ids_effective_names); RUN(ids_real); RUN(ids_real_script);
    RUN(ids_saved); RUN(ids_mixed); RUN(ids_given_back); RUN(ids_given_up);

    RUN(rights_user); RUN(rights_group); RUN(rights_both); RUN(rights_root);
    RUN(rights_locking); RUN(rights_not_mine); RUN(rights_up);
    RUN(rights_up_user); RUN(rights_up_group); RUN(rights_same);
    RUN(rights_other); RUN(rights_mine); RUN(rights_real_other);
    RUN(rights_real_root); RUN(rights_script); RUN(rights_script_of_script);
    RUN(rights_exe); RUN(rights_children); RUN(rights_grandchildren);
    RUN(rights_of_children); RUN(rights_alone); RUN(rights_environment);
    RUN(rights_descriptor); RUN(rights_memory); RUN(rights_nosuid);
    RUN(rights_ambient); RUN(rights_too_much);

    say("%d cases ended badly\n", failures);
    chmod("locked", 0700);
    return failures ? 1 : 0;
}
