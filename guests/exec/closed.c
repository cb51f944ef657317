/*
 * Do the descriptors that an emulator keeps for itself look closed?
 *
 * Whatever a guest program does with such a number has to come to what it comes
 * to where nothing is open there. So it is done twice: under the emulator with
 * --execve, and under the same one without, where these numbers are closed.
 *
 *     closed which HOST              the numbers that are open, but not to us
 *     closed sweep FILE NUMBER...    all system calls with each number as each
 *                                    argument; writes what they come to
 *     closed compare OFF OFF ON ON   what differs between such files: seen in
 *                                    both of the last, and in none of the first
 *     closed calls NUMBER            calls by name, a line each: those that have
 *                                    the descriptor in memory, or in a path
 *     closed keeps HOST COMMAND ARGUMENT...
 *                                    does one of the above, as a child, and says
 *                                    whether all descriptors are as before
 *     closed memory HOST             whether the copy in memory that an emulator
 *                                    runs from can be changed from within
 *     closed list PID, closed seals PID...
 *                                    what is open in processes; whether such a
 *                                    copy can be changed from outside (for HOST)
 *     closed older COMMAND...        runs it on a kernel that looks older
 *
 * HOST is this program, built for this machine, by an absolute path: run by a
 * guest, it is no guest, and sees what other processes have open. Files are
 * made in a folder of the current one, and removed.
 *
 * Nothing in here names a machine: which calls there are comes from its headers,
 * and one that is not there is ENOSYS.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
/* <linux/fs.h> does not go together with all C libraries. */
#define CLONE_FILE _IOW(0x94, 9, int)
#define CLONE_FILE_RANGE _IOW(0x94, 13, uint64_t[4])
#define DEDUPE_FILE_RANGE _IOWR(0x94, 54, uint64_t[3])
#define LOOP_SET_FILE 0x4c00
#define LOOP_CLEAR_FILE 0x4c01

static void die(const char *what)
{
    fprintf(stderr, "closed: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- system calls by name --------------------------------------------- */

/*
 * What a number is called. The text of "__NR_read" is a sum, like "63" or
 * "(5000 + 0)"; of a call that this machine has not, the name itself.
 */
#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)
#define CALL(name) { #name, TEXT_OF(__NR_##name), NULL }
#define OMIT(name, reason) { #name, TEXT_OF(__NR_##name), reason }
#define ENDS "ends or replaces the process"
#define BORN "makes a process"
#define KILLS "sends signals"
#define WAITS "only waits"
#define CACHE "/memfd:qemu-tb-cache"
#define MEMORY "takes the memory away that this program lives in"
#define TIMER "is what this program gets away with from calls that wait"
#define OTHERS "is about other processes, or the whole machine"
#define STAYS "leaves something behind that outlives the process"
#define NAMED "is among the calls by name"
#define FILLS "fills the disk, if its length is an address; it is among the calls by name"

static const struct {
    const char *name, *number;
    const char *omitted;        /* why it is not part of the sweep */
} calls[] = {
    OMIT(exit, ENDS), OMIT(exit_group, ENDS), OMIT(execve, NAMED),
    OMIT(execveat, NAMED), OMIT(sigreturn, ENDS), OMIT(rt_sigreturn, ENDS),
    OMIT(swapcontext, ENDS),
    OMIT(seccomp, ENDS), OMIT(fork, BORN), OMIT(vfork, BORN),
    OMIT(clone, BORN), OMIT(clone2, BORN), OMIT(clone3, BORN),
    OMIT(kill, KILLS), OMIT(tkill, KILLS), OMIT(tgkill, KILLS),
    OMIT(rt_sigqueueinfo, KILLS), OMIT(rt_tgsigqueueinfo, KILLS),
    OMIT(pidfd_send_signal, NAMED), OMIT(ptrace, OTHERS),
    OMIT(pause, WAITS), OMIT(sigsuspend, WAITS), OMIT(rt_sigsuspend, WAITS),
    OMIT(rt_sigtimedwait, WAITS), OMIT(rt_sigtimedwait_time64, WAITS),
    OMIT(futex, WAITS), OMIT(futex_time64, WAITS), OMIT(futex_wait, WAITS),
    OMIT(futex_waitv, WAITS), OMIT(nanosleep, WAITS),
    OMIT(clock_nanosleep, WAITS), OMIT(clock_nanosleep_time64, WAITS),
    OMIT(poll, NAMED), OMIT(ppoll, NAMED), OMIT(ppoll_time64, NAMED),
    OMIT(select, NAMED), OMIT(_newselect, NAMED), OMIT(pselect6, NAMED),
    OMIT(pselect6_time64, NAMED),
    OMIT(brk, MEMORY), OMIT(munmap, MEMORY), OMIT(mprotect, MEMORY),
    OMIT(pkey_mprotect, MEMORY), OMIT(mremap, MEMORY), OMIT(madvise, MEMORY),
    OMIT(shmat, MEMORY), OMIT(shmdt, MEMORY), OMIT(mlockall, MEMORY),
    OMIT(set_thread_area, MEMORY), OMIT(arch_prctl, MEMORY),
    OMIT(modify_ldt, MEMORY), OMIT(sigaltstack, MEMORY), OMIT(rseq, MEMORY),
    OMIT(remap_file_pages, MEMORY),
    OMIT(prctl, NAMED), OMIT(personality, MEMORY),
    OMIT(alarm, TIMER), OMIT(setitimer, TIMER), OMIT(sigaction, TIMER),
    OMIT(rt_sigaction, TIMER), OMIT(signal, TIMER), OMIT(sigprocmask, TIMER),
    OMIT(rt_sigprocmask, TIMER), OMIT(sgetmask, TIMER), OMIT(ssetmask, TIMER),
    OMIT(setrlimit, TIMER), OMIT(prlimit64, OTHERS),
    OMIT(reboot, OTHERS), OMIT(kexec_load, OTHERS), OMIT(syslog, OTHERS),
    OMIT(sethostname, OTHERS), OMIT(setdomainname, OTHERS),
    OMIT(settimeofday, OTHERS), OMIT(clock_settime, OTHERS),
    OMIT(clock_settime64, OTHERS), OMIT(stime, OTHERS), OMIT(sync, WAITS),
    OMIT(adjtimex, OTHERS), OMIT(clock_adjtime, OTHERS),
    OMIT(clock_adjtime64, OTHERS),
    OMIT(setpriority, OTHERS), OMIT(ioprio_set, OTHERS),
    OMIT(sched_setaffinity, OTHERS), OMIT(sched_setparam, OTHERS),
    OMIT(sched_setscheduler, OTHERS), OMIT(sched_setattr, OTHERS),
    OMIT(vhangup, OTHERS), OMIT(ipc, STAYS), OMIT(shmget, STAYS),
    OMIT(semget, STAYS), OMIT(msgget, STAYS), OMIT(add_key, STAYS),
    OMIT(keyctl, STAYS), OMIT(request_key, STAYS), OMIT(mq_open, STAYS),
    CALL(_llseek), CALL(_newselect), CALL(accept), CALL(accept4), CALL(access),
    CALL(bind), CALL(bpf), CALL(cachestat), CALL(chdir), CALL(chmod),
    CALL(chown), CALL(chroot), CALL(close), CALL(close_range), CALL(connect),
    CALL(copy_file_range), CALL(creat), CALL(delete_module), CALL(dup),
    CALL(dup2), CALL(dup3), CALL(epoll_create), CALL(epoll_create1),
    CALL(epoll_ctl), CALL(epoll_pwait), CALL(epoll_pwait2), CALL(epoll_wait),
    CALL(eventfd), CALL(eventfd2), CALL(faccessat), CALL(faccessat2),
    CALL(fadvise64), CALL(fadvise64_64), CALL(arm_fadvise64_64),
    OMIT(fallocate, FILLS), CALL(fanotify_init), CALL(fanotify_mark), CALL(fchdir),
    CALL(fchmod), CALL(fchmodat), CALL(fchmodat2), CALL(fchown),
    CALL(fchown32), CALL(fchownat), CALL(fcntl), CALL(fcntl64),
    CALL(fdatasync), CALL(fgetxattr), CALL(finit_module), CALL(flistxattr),
    CALL(flock), CALL(fremovexattr), CALL(fsconfig), CALL(fsetxattr),
    CALL(fsmount), CALL(fsopen), CALL(fspick), CALL(fstat), CALL(fstat64),
    CALL(fstatat64), CALL(fstatfs), CALL(fstatfs64), CALL(fsync),
    CALL(ftruncate), CALL(ftruncate64), CALL(futimesat), CALL(getdents),
    CALL(getdents64), CALL(getpeername), CALL(getpid), CALL(getsockname),
    CALL(getsockopt), CALL(getxattr), CALL(inotify_add_watch),
    CALL(inotify_init1), CALL(inotify_rm_watch), CALL(io_submit),
    CALL(io_uring_enter), CALL(io_uring_register), CALL(io_uring_setup),
    CALL(ioctl), CALL(kcmp), CALL(kexec_file_load),
    CALL(landlock_add_rule), CALL(landlock_restrict_self), CALL(lchown),
    CALL(link), CALL(linkat), CALL(listen), CALL(listxattr), CALL(lseek),
    CALL(lstat), CALL(lstat64), CALL(memfd_create), CALL(mkdir), CALL(mkdirat),
    CALL(mknod), CALL(mknodat), CALL(mmap), CALL(mmap2), CALL(mount),
    CALL(mount_setattr), CALL(move_mount), CALL(mq_getsetattr),
    CALL(mq_notify), CALL(mq_timedreceive), CALL(mq_timedreceive_time64),
    CALL(mq_timedsend), CALL(mq_timedsend_time64), CALL(name_to_handle_at),
    CALL(newfstatat), CALL(open), CALL(open_by_handle_at), CALL(open_tree),
    CALL(openat), CALL(openat2), CALL(perf_event_open), CALL(pidfd_getfd),
    CALL(pidfd_open), CALL(pipe), CALL(pipe2), CALL(pread64), CALL(preadv),
    CALL(preadv2), CALL(process_madvise), CALL(process_mrelease),
    CALL(pwrite64), CALL(pwritev), CALL(pwritev2), CALL(quotactl_fd),
    CALL(read), CALL(readahead), CALL(readlink), CALL(readlinkat),
    CALL(readv), CALL(recv), CALL(recvfrom), CALL(recvmmsg),
    CALL(recvmmsg_time64), CALL(recvmsg), CALL(rename), CALL(renameat),
    CALL(renameat2), CALL(rmdir), CALL(send), CALL(sendfile),
    CALL(sendfile64), CALL(sendmmsg), CALL(sendmsg), CALL(sendto),
    CALL(setns), CALL(setsockopt), CALL(setxattr), CALL(shutdown),
    CALL(signalfd), CALL(signalfd4), CALL(socket), CALL(socketcall),
    CALL(socketpair), CALL(splice), CALL(stat), CALL(stat64), CALL(statfs),
    CALL(statfs64), CALL(statx), CALL(symlink), CALL(symlinkat),
    CALL(sync_file_range), CALL(sync_file_range2), CALL(syncfs), CALL(tee),
    CALL(timerfd_create), CALL(timerfd_gettime), CALL(timerfd_gettime64),
    CALL(timerfd_settime), CALL(timerfd_settime64), CALL(truncate),
    CALL(truncate64), CALL(umount2), CALL(unlink), CALL(unlinkat),
    CALL(userfaultfd), CALL(utime), CALL(utimensat), CALL(utimensat_time64),
    CALL(utimes), CALL(vmsplice), CALL(wait4), CALL(waitid), CALL(waitpid),
    CALL(write), CALL(writev),
};
#define CALLS (sizeof(calls) / sizeof(*calls))

static long number_of(size_t call)
{
    const char *p = calls[call].number;
    long sum = 0;

    if (!strncmp(p, "__NR_", 5)) {
        return -1;
    }
    while (*(p += strcspn(p, "0123456789"))) {
        sum += strtol(p, (char **)&p, 10);
    }
    return sum;
}

static long number_named(const char *name)
{
    for (size_t i = 0; i < CALLS; i++) {
        if (!strcmp(calls[i].name, name)) {
            return number_of(i);
        }
    }
    fprintf(stderr, "closed: no call is known as %s\n", name);
    exit(2);
}

/* By which a call is known here, or NULL. */
static const char *name_of(long number, const char **omitted)
{
    for (size_t i = 0; i < CALLS; i++) {
        if (number_of(i) == number) {
            *omitted = calls[i].omitted;
            return calls[i].name;
        }
    }
    *omitted = NULL;
    return NULL;
}

static long call(const char *name, ...)
{
    long number = number_named(name), a[6];
    va_list ap;

    if (number < 0) {
        errno = ENOSYS;
        return -1;
    }
    va_start(ap, name);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(ap, long);
    }
    va_end(ap);
    return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
/* Six arguments, all of them long. */
#define P(x) ((long)(x))
#define CALL6(name, a, b, c, d, e, f, ...) \
    call(name, P(a), P(b), P(c), P(d), P(e), P(f))
#define DO(name, ...) CALL6(#name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)

static const char *error_name(int e)
{
    static char text[32];

    switch (e) {
#define NAME(x) case x: return #x
    NAME(EPERM); NAME(ENOENT); NAME(ESRCH); NAME(EINTR); NAME(EIO);
    NAME(EBADF); NAME(ECHILD); NAME(EAGAIN); NAME(ENOMEM); NAME(EACCES);
    NAME(EFAULT); NAME(EBUSY); NAME(EEXIST); NAME(EXDEV); NAME(ENODEV);
    NAME(ENOTDIR); NAME(EISDIR); NAME(EINVAL); NAME(EMFILE); NAME(ENOTTY);
    NAME(ETXTBSY); NAME(ENOSPC); NAME(ESPIPE); NAME(ENOSYS); NAME(ELOOP);
    NAME(ENODATA); NAME(ENOTSOCK); NAME(EOPNOTSUPP); NAME(ENOEXEC);
    }
    snprintf(text, sizeof(text), "errno %d", e);
    return text;
}

/* ---- what a process has open ------------------------------------------ */

/* All but what a caller may have left at the standard ones. */
static int list(const char *pid)
{
    char path[64], info[512], *line;
    struct dirent *d;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    dir = opendir(path);
    if (!dir) {
        die(path);
    }
    while ((d = readdir(dir))) {
        int fd, number = atoi(d->d_name);
        struct stat st;
        ssize_t len;

        if (*d->d_name == '.' || number <= 2) {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/%s/fd/%d", pid, number);
        if (stat(path, &st) < 0) {
            if (errno == ENOENT) {
                continue;       /* closed meanwhile: the pipe to who asks */
            }
            die(path);
        }
        printf("%d mode %o size %lld owner %d links %d", number,
               (unsigned)st.st_mode, (long long)st.st_size, (int)st.st_uid,
               (int)st.st_nlink);
        len = readlink(path, info, sizeof(info) - 1);
        info[len < 0 ? 0 : len] = 0;
        /* A cache of translations is written to all the time. */
        if (strncmp(info, CACHE, strlen(CACHE))) {
            printf(" modified %lld.%ld", (long long)st.st_mtim.tv_sec,
                   (long)st.st_mtim.tv_nsec);
        }
        snprintf(path, sizeof(path), "/proc/%s/fdinfo/%d", pid, number);
        fd = open(path, O_RDONLY);
        len = read(fd, info, sizeof(info) - 1);
        close(fd);
        info[len < 0 ? 0 : len] = 0;
        for (line = strtok(info, "\n"); line; line = strtok(NULL, "\n")) {
            /* pos and flags; the rest is about where it is mounted */
            if (!strncmp(line, "pos", 3) || !strncmp(line, "flags", 5) ||
                !strncmp(line, "lock", 4)) {
                printf(" %s", line);
            }
        }
        printf("\n");
    }
    closedir(dir);
    return 0;
}

/* What a program of the host says of this process. */
static char *seen_from_outside(char *host)
{
    static char *args[4];
    char pid[16], *text = calloc(1, 65536);
    size_t used = 0;
    ssize_t len;
    int ends[2];
    pid_t child;

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if (pipe2(ends, O_CLOEXEC) < 0) {
        die("pipe");
    }
    child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        args[0] = host;
        args[1] = "list";
        args[2] = pid;
        execv(host, args);
        die(host);
    }
    close(ends[1]);
    while ((len = read(ends[0], text + used, 65535 - used)) > 0) {
        used += len;
    }
    close(ends[0]);
    waitpid(child, NULL, 0);
    /* It has seen the pipe. */
    for (char *p = text; *p; ) {
        char *next = strchr(p, '\n') + 1;
        if (atoi(p) == ends[0] || atoi(p) == ends[1]) {
            memmove(p, next, strlen(next) + 1);
        } else {
            p = next;
        }
    }
    return text;
}

/* The lowest numbers are what a guest has of its own; it closes these first. */
static int which(char *host)
{
    char *text = seen_from_outside(host);
    int found = 0;

    for (char *p = text; *p; p = strchr(p, '\n') + 1) {
        printf("%d\n", atoi(p));
        found++;
    }
    return found ? 0 : 1;
}

/* ---- all calls -------------------------------------------------------- */

#define RANGE 620               /* numbers of calls, from the machine's first */
#define ARGUMENTS 6
#define TEMPLATES 22

/* Looks at a child, 200 microseconds apart: in one place, and in all */
#define STUCK 5000
#define CIRCLES 300000

#define KILLED 0x40000000       /* and the signal */
#define HANGS 0x41000000
#define OMITTED 0x42000000
#define NOT_YET 0x43000000

typedef int32_t Table[RANGE][ARGUMENTS][TEMPLATES];

struct shared {
    Table table;
    volatile int argument, template;    /* where the child is */
};

static char zeros[65536] __attribute__((aligned(65536)));
static char empty[] = "", dot[] = ".", name[] = "nowhere/g";
static int valid;               /* a regular file */
static char *ARGS[] = { "x", NULL }, *NONE[] = { NULL };

/* The arguments besides @n, which is argument @at. */
static void fill(long a[ARGUMENTS], int template, int at)
{
    long z = P(zeros);
    static const int small[] = { 1, 16, -1 };

    for (int i = 0; i < ARGUMENTS; i++) {
        a[i] = 0;
    }
    switch (template) {
    case 0:
        break;
    case 1:
        for (int i = 0; i < ARGUMENTS; i++) {
            a[i] = z;
        }
        break;
    case 2: case 3: case 4:
        for (int i = 0; i < ARGUMENTS; i++) {
            a[i] = small[template - 2];
        }
        break;
    case 5: case 6:                             /* read and its like */
        for (int i = 0; i < ARGUMENTS; i++) {
            a[i] = i == at + 1 ? z : i == at + 2 ? 16 : 0;
        }
        if (template == 6) {
            a[5] = a[4] = z;
        }
        break;
    case 7:                                     /* in another file's company */
        for (int i = 0; i < ARGUMENTS; i++) {
            a[i] = valid;
        }
        break;
    case 8: case 9:                             /* splice and its like */
        for (int i = 0; i < ARGUMENTS; i++) {
            a[i] = i < 4 ? (i == at ? 0 : i % 2 ? 0 : valid) : 16;
        }
        a[template == 8 ? 5 : 3] = 0;
        break;
    case 10:                                    /* mmap */
        a[1] = 4096, a[2] = PROT_READ, a[3] = MAP_PRIVATE;
        break;
    case 11:
        a[0] = valid, a[1] = z, a[2] = valid, a[3] = z, a[4] = 16;
        break;
    case 12: case 13:                           /* two directories */
        a[0] = AT_FDCWD, a[1] = P(dot), a[2] = AT_FDCWD, a[3] = P(name);
        a[4] = template == 13 ? AT_EMPTY_PATH : 0;
        break;
    case 14: case 15:
        a[(at + 1) % 6] = P(empty), a[(at + 2) % 6] = AT_FDCWD;
        a[(at + 3) % 6] = P(name), a[(at + 4) % 6] = AT_EMPTY_PATH;
        if (template == 15) {
            a[(at + 1) % 6] = P(name);
        }
        break;
    default:                                    /* an empty path, and the flag */
        for (int i = 0; i < ARGUMENTS; i++) {
            a[i] = i == template - 16 ? AT_EMPTY_PATH : z;
        }
        a[(at + 1) % 6] = P(template - 16 == (at + 1) % 6 ? name : empty);
        break;
    }
}

static void interrupted(int sig) { (void)sig; }

static void sweep_call(struct shared *shared, long base, int call, int argument,
                       int template, int n)
{
    for (; argument < ARGUMENTS; argument++, template = 0) {
        for (; template < TEMPLATES; template++) {
            long a[ARGUMENTS], ret;

            fill(a, template, argument);
            a[argument] = n;
            shared->argument = argument;
            shared->template = template;
            errno = 0;
            ret = syscall(base + call, a[0], a[1], a[2], a[3], a[4], a[5]);
            shared->table[call][argument][template] =
                ret == -1 && errno ? -errno : 0;
        }
    }
}

static int sweep(const char *path, char **numbers)
{
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    long base = number_named("read") / 1000 * 1000;
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    char dir[] = "closed.XXXXXX";
    struct rlimit small = { 4 << 20, 4 << 20 };

    /* Nor may anything else make large files. */
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);

    if (shared == MAP_FAILED || out < 0 || !mkdtemp(dir) ||
        chmod(dir, 0777) < 0 || chdir(dir) < 0) {
        die(path);
    }
    valid = open("f", O_RDWR | O_CREAT, 0666);
    if (valid < 0 || fchmod(valid, 0666) < 0) {
        die("f");
    }
    for (; *numbers; numbers++) {
        int n = atoi(*numbers);

        for (int call = 0; call < RANGE; call++) {
            int32_t *results = &shared->table[call][0][0];
            int argument = 0, template = 0, stuck = 0, looks = 0, status;
            const char *omitted;

            name_of(base + call, &omitted);
            for (int i = 0; i < ARGUMENTS * TEMPLATES; i++) {
                results[i] = omitted ? OMITTED : NOT_YET;
            }
            while (!omitted && argument < ARGUMENTS) {
                int before = -1;
                pid_t pid;

                shared->argument = argument;
                shared->template = template;
                pid = fork();

                if (pid < 0) {
                    die("fork");
                }
                if (pid == 0) {
                    struct itimerval tick = { { 0, 20000 }, { 0, 20000 } };
                    int null = open("/dev/null", O_RDWR);

                    dup2(null, 0), dup2(null, 1), dup2(null, 2);
                    close(null);
                    close(out);
                    /* What only root may do is done by name. */
                    if (geteuid() == 0 &&
                        (setgroups(0, NULL) < 0 || setgid(65534) < 0 ||
                         setuid(65534) < 0)) {
                        _exit(2);
                    }
                    sigaction(SIGALRM, &(struct sigaction)
                              { .sa_handler = interrupted }, NULL);
                    setitimer(ITIMER_REAL, &tick, NULL);
                    sweep_call(shared, base, call, argument, template, n);
                    _exit(0);
                }
                /* Nor may a call go round in circles for long. */
                for (stuck = looks = 0; stuck < STUCK; stuck++) {
                    int at = shared->argument * TEMPLATES + shared->template;
                    if (++looks == CIRCLES) {
                        stuck = STUCK;
                        break;
                    }
                    if (waitpid(pid, &status, WNOHANG) == pid) {
                        break;
                    }
                    stuck = at == before ? stuck : 0;
                    before = at;
                    usleep(200);
                }
                if (stuck == STUCK) {
                    kill(pid, SIGKILL);
                    waitpid(pid, &status, 0);
                } else if (WIFEXITED(status) && !WEXITSTATUS(status)) {
                    break;
                }
                argument = shared->argument;
                template = shared->template;
                shared->table[call][argument][template] =
                    stuck == STUCK ? HANGS :
                    KILLED + (WIFSIGNALED(status) ? WTERMSIG(status) : 99);
                if (++template == TEMPLATES) {
                    template = 0;
                    argument++;
                }
            }
        }
        if (write(out, &n, sizeof(n)) != sizeof(n) ||
            write(out, shared->table, sizeof(Table)) != sizeof(Table)) {
            die(path);
        }
    }
    close(valid);
    close(out);
    if (unlink("f") < 0 || chdir("..") < 0 || rmdir(dir) < 0) {
        die(dir);
    }
    return 0;
}

static const char *result_text(int32_t code, char text[32])
{
    if (code == HANGS || code == OMITTED || code == NOT_YET) {
        return code == HANGS ? "hangs" : code == OMITTED ? "omitted" : "not done";
    }
    if (code >= KILLED) {
        snprintf(text, 32, "killed by %d", code - KILLED);
        return text;
    }
    snprintf(text, 32, "%s", code ? error_name(-code) : "succeeds");
    return text;
}

static int compare(char **paths)
{
    static Table tables[4];
    long base = number_named("read") / 1000 * 1000;
    long made = 0, closed = 0, differ = 0;
    int n[4], in[4];

    for (int i = 0; i < 4; i++) {
        in[i] = open(paths[i], O_RDONLY);
        if (in[i] < 0) {
            die(paths[i]);
        }
    }
    while (read(in[0], &n[0], sizeof(int)) == sizeof(int)) {
        for (int i = 0; i < 4; i++) {
            if ((i && read(in[i], &n[i], sizeof(int)) != sizeof(int)) ||
                n[i] != n[0] ||
                read(in[i], tables[i], sizeof(Table)) != sizeof(Table)) {
                fprintf(stderr, "closed: %s is about other numbers\n", paths[i]);
                return 2;
            }
        }
        for (int call = 0; call < RANGE; call++) {
            for (int argument = 0; argument < ARGUMENTS; argument++) {
                const char *omitted, *name = name_of(base + call, &omitted);
                int first = -1, count = 0;
                char off[32], on[32];

                for (int t = 0; t < TEMPLATES; t++) {
                    int32_t code[4];
                    for (int i = 0; i < 4; i++) {
                        code[i] = tables[i][call][argument][t];
                    }
                    made += code[0] != OMITTED;
                    closed += code[0] == -EBADF;
                    if (code[0] == code[1] && code[2] == code[3] &&
                        code[0] != code[2]) {
                        first = count++ ? first : t;
                    }
                }
                if (count) {
                    differ += count;
                    printf("%d as argument %d of %s (%ld): %s instead of %s, "
                           "%d times (first in way %d)\n",
                           n[0], argument + 1, name ? name : "a call",
                           base + call,
                           result_text(tables[2][call][argument][first], on),
                           result_text(tables[0][call][argument][first], off),
                           count, first);
                }
            }
        }
    }
    printf("%ld calls, EBADF %ld times, %ld differ\n", made, closed, differ);
    /* A sweep that hardly ever meets a closed descriptor shows nothing. */
    return differ || closed < 500;
}

/* ---- calls by name ---------------------------------------------------- */

struct answer {
    volatile int is_given;
    volatile long value;
    volatile int error;
};
static struct answer *answer;
static char own[PATH_MAX];      /* this program's file */

/* In a process of its own: what the call does to it is not what the next meets. */
static bool is_own_process(void)
{
    pid_t pid = fork();
    int status;

    if (pid < 0) {
        die("fork");
    }
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0), dup2(null, 1), dup2(null, 2);
        close(null);
        alarm(3);
        answer->is_given = 0;
        errno = 0;
        return true;
    }
    waitpid(pid, &status, 0);
    if (answer->is_given) {
        if (answer->value == -1) {
            printf(" %s\n", error_name(answer->error));
        } else {
            printf(" %ld\n", answer->value);
        }
    } else if (WIFSIGNALED(status)) {
        printf(" killed by signal %d\n", WTERMSIG(status));
    } else {
        printf(" something else was executed\n");
    }
    answer->is_given = 0;
    return false;
}
static void give(long value)
{
    answer->error = errno;
    answer->value = value;
    answer->is_given = 1;
    _exit(0);
}
/* A line: @label and what @expression comes to. */
#define SEE(label, expression) do {                                     \
        printf("%s:", label);                                           \
        fflush(stdout);                                                 \
        if (is_own_process()) {                                         \
            give((long)(expression));                                   \
        }                                                               \
    } while (0)

static int file(void) { return open("f", O_RDWR); }
static int end(int which)
{
    static int ends[2];
    if (which == 0 && (pipe(ends) < 0 || write(ends[1], "text", 4) != 4)) {
        _exit(1);
    }
    return ends[which];
}
static int process(void) { return DO(pidfd_open, getpid(), 0); }
static int waiting_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(2);
        pause();
    }
    return DO(pidfd_open, pid, 0);
}

static long polled(const char *how, int n)
{
    struct pollfd p[2] = { { n, POLLIN | POLLOUT, 0 }, { -1, 0, 0 } };
    static long none[4];
    long ret = !strcmp(how, "poll") ? DO(poll, p, 2, 0) :
               call(how, P(p), 2L, P(none), 0L, 8L, 0L);

    return ret < 0 ? ret : ret * 1000 + p[0].revents;
}
static unsigned long set[65536 / sizeof(long)];
static long selected(const char *how, int n, int which)
{
    static long none[4];
    long a[5] = { n + 1, 0, 0, 0, P(none) };

    /* The kernel looks no further than its table, which grows by this. */
    close(dup2(1, n - 1));
    close(dup2(1, n + 1));
    set[n / (8 * sizeof(long))] |= 1UL << n % (8 * sizeof(long));
    a[1 + which] = P(set);
    if (!strcmp(how, "in memory")) {
        return DO(select, a);
    }
    return call(how, a[0], a[1], a[2], a[3], a[4], 0L);
}
static long sent(int n, bool many)
{
    struct {
        struct msghdr header;
        unsigned len;
    } m;
    char byte = 0, control[CMSG_SPACE(2 * sizeof(int))];
    struct iovec iov = { &byte, 1 };
    struct cmsghdr *c = (struct cmsghdr *)control;
    int s[2], numbers[2] = { 0, n };

    memset(&m, 0, sizeof(m));
    memset(control, 0, sizeof(control));
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, s) < 0) {
        _exit(1);
    }
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(numbers));
    memcpy(CMSG_DATA(c), numbers, sizeof(numbers));
    m.header.msg_iov = &iov;
    m.header.msg_iovlen = 1;
    m.header.msg_control = control;
    m.header.msg_controllen = sizeof(control);
    return many ? DO(sendmmsg, s[0], &m, 1, 0) : sendmsg(s[0], &m.header, 0);
}
static long cloned(int n, int how)
{
    uint64_t range[4] = { 0 }, dedupe[7] = { 0 };
    int64_t source = n;

    switch (how) {
    case 0:
        return ioctl(file(), CLONE_FILE, (long)n);
    case 1:
        memcpy(range, &source, 8);
        return ioctl(file(), CLONE_FILE_RANGE, range);
    default:
        /* src_offset, src_length, dest_count (16 bits), and one target */
        dedupe[1] = 1;
        *(uint16_t *)&dedupe[2] = 1;
        memcpy(&dedupe[3], &source, 8);
        if (ioctl(file(), DEDUPE_FILE_RANGE, dedupe) < 0) {
            return -1;
        }
        return (long)(int32_t)(dedupe[6] & 0xffffffff);
    }
}
static long looped(int n)
{
    int fd = open("/dev/loop0", O_RDWR);
    long ret;

    if (fd < 0) {
        return -1;
    }
    ret = ioctl(fd, LOOP_SET_FILE, (long)n);
    if (ret == 0) {
        ioctl(fd, LOOP_CLEAR_FILE, 0);
    }
    return ret;
}
static long watched(int n, int operation)
{
    struct epoll_event event = { .events = EPOLLIN };
    return epoll_ctl(epoll_create1(0), operation, n, &event);
}
static long mapped(int n, bool by_struct)
{
    long a[6] = { 0, 4096, PROT_READ, MAP_PRIVATE, n, 0 };
    void *p;

    if (by_struct) {
        return DO(mmap, a) == -1 ? -1 : 0;
    }
    p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, n, 0);
    return p == MAP_FAILED ? -1 : 0;
}
static long waited(int n)
{
    siginfo_t info;
    return DO(waitid, 3, n, &info, WEXITED | WNOHANG, 0);
}
static long handled(int n)
{
    static struct { unsigned bytes; int type; char data[128]; } handle;
    handle.bytes = 8;
    handle.type = 1;
    return DO(open_by_handle_at, n, &handle, O_RDONLY);
}
static long timed(int n)
{
    static long spec[8];
    return number_named("timerfd_settime64") >= 0 ?
           DO(timerfd_settime64, n, 0, spec, 0) :
           DO(timerfd_settime, n, 0, spec, 0);
}
static int run(const char *path)
{
    char *args[] = { "closed", NULL };
    execve(path, args, args + 1);
    return -1;
}
/* After the number was used for something else, a child still starts. */
static long starts_after(int ret)
{
    char *args[] = { own, "none", NULL };
    int status = 0;
    pid_t pid;

    if (ret < 0) {
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        execve(own, args, args + 2);
        /* Without --execve it does not, and that is no difference. */
        _exit(errno == ENOEXEC ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    return status ? -2 : ret;
}
static long listed(const char *path, int n)
{
    struct dirent *d;
    DIR *dir = opendir(path);

    while (dir && (d = readdir(dir))) {
        if (*d->d_name != '.' && atoi(d->d_name) == n) {
            return 1;
        }
    }
    return dir ? 0 : -1;
}
/* How many the kernel counts there; since Linux 6.2. */
static long counted(void)
{
    struct stat st;
    return stat("/proc/self/fd", &st) < 0 ? -1 : (long)st.st_size;
}

static void paths(int n)
{
    static const char * const forms[] = {
        "/proc/self/fd/%d", "/proc/thread-self/fd/%d", "/dev/fd/%d",
        "/proc/%p/fd/%d", "/proc/self/task/%p/fd/%d", "/proc/%p/task/%p/fd/%d",
        "/proc/self/fdinfo/%d", "/proc/%p/fdinfo/%d", "//proc//self/./fd//%d",
        "/proc/self/../self/fd/%d", "/proc/self/root/proc/self/fd/%d",
        "/proc/self/cwd/link", "link", "%d", "fd/%d", "task/%p/fd/%d",
        "/proc/self/fd/%d/", "/proc/self/fd/%d/x",
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        char path[128] = "", label[160], target[64];
        int dir = AT_FDCWD;
        struct { uint64_t flags, mode, resolve; } how = { O_RDONLY, 0, 0 };
        static uint64_t buf[512];

        for (const char *p = forms[i]; *p; p++) {
            size_t len = strlen(path);
            if (*p == '%') {
                snprintf(path + len, sizeof(path) - len, "%d",
                         *++p == 'd' ? n : (int)getpid());
            } else {
                path[len] = *p;
            }
        }
        if (*path != '/' && *path != 'l') {
            dir = open(*path == 'f' || *path == 't' ? "/proc/self" :
                       "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        snprintf(target, sizeof(target), "/proc/self/fd/%d", n);
        unlink("link");
        if (symlink(target, "link") < 0) {
            die("link");
        }
#define PATH(what, expression)                                          \
        snprintf(label, sizeof(label), "%s %s", what, forms[i]);        \
        SEE(label, expression)
        PATH("openat", openat(dir, path, O_RDONLY) < 0 ? -1 : 0);
        PATH("openat O_RDWR", openat(dir, path, O_RDWR) < 0 ? -1 : 0);
        PATH("openat O_PATH", openat(dir, path, O_PATH) < 0 ? -1 : 0);
        PATH("openat O_CREAT|O_EXCL", openat(dir, path, O_CREAT | O_EXCL | O_RDWR, 0600) < 0 ? -1 : 0);
        PATH("openat O_PATH|O_NOFOLLOW", openat(dir, path, O_PATH | O_NOFOLLOW) < 0 ? -1 : 0);
        PATH("openat2", DO(openat2, dir, path, &how, sizeof(how)) < 0 ? -1 : 0);
        PATH("fstatat", fstatat(dir, path, (struct stat *)buf, 0));
        PATH("fstatat nofollow", fstatat(dir, path, (struct stat *)buf, AT_SYMLINK_NOFOLLOW));
        PATH("statx", DO(statx, dir, path, 0, 0x7ff, buf));
        PATH("readlinkat", readlinkat(dir, path, (char *)buf, sizeof(buf)));
        PATH("faccessat", DO(faccessat, dir, path, R_OK, 0));
        PATH("faccessat2", DO(faccessat2, dir, path, R_OK, AT_SYMLINK_NOFOLLOW));
        PATH("fchmodat", DO(fchmodat, dir, path, 0755, 0));
        PATH("fchmodat2", DO(fchmodat2, dir, path, 0755, 0));
        PATH("fchownat", fchownat(dir, path, -1, -1, 0));
        PATH("utimensat", utimensat(dir, path, NULL, 0));
        PATH("utimensat nofollow", utimensat(dir, path, NULL, AT_SYMLINK_NOFOLLOW));
        PATH("linkat", linkat(dir, path, AT_FDCWD, "made", AT_SYMLINK_FOLLOW));
        /* What would take the link away, or put something in its place */
        if (!strstr(path, "link")) {
            PATH("unlinkat", unlinkat(dir, path, 0));
            PATH("renameat", renameat(dir, path, AT_FDCWD, "made"));
            PATH("mkdirat", mkdirat(dir, path, 0700));
        }
        PATH("symlinkat", symlinkat("x", dir, path));
        PATH("name_to_handle_at", DO(name_to_handle_at, dir, path, buf, buf + 64, AT_SYMLINK_FOLLOW));
        PATH("execveat", DO(execveat, dir, path, ARGS, NONE, 0));
        if (dir == AT_FDCWD) {
            PATH("open", DO(open, path, O_RDONLY, 0) < 0 ? -1 : 0);
            PATH("stat", stat(path, (struct stat *)buf));
            PATH("lstat", lstat(path, (struct stat *)buf));
            PATH("readlink", readlink(path, (char *)buf, sizeof(buf)));
            PATH("access", access(path, X_OK));
            PATH("chmod", chmod(path, 0755));
            PATH("chown", chown(path, -1, -1));
            PATH("truncate", truncate(path, 1000000000));
            PATH("execve", run(path));
            PATH("statfs", DO(statfs, path, buf));
            PATH("getxattr", DO(getxattr, path, "user.x", buf, 64));
            PATH("inotify_add_watch", DO(inotify_add_watch, DO(inotify_init1, 0), path, 2));
            PATH("chdir", chdir(path));
            PATH("utimes", utimes(path, NULL));
            PATH("creat", DO(creat, path, 0600) < 0 ? -1 : 0);
        } else {
            PATH("open after fchdir", fchdir(dir) < 0 || open(path, O_RDONLY) < 0 ? -1 : 0);
            PATH("readlink after fchdir", fchdir(dir) < 0 ? -1 : readlink(path, (char *)buf, 512));
            PATH("stat after fchdir", fchdir(dir) < 0 ? -1 : stat(path, (struct stat *)buf));
            PATH("execve after fchdir", fchdir(dir) < 0 ? -1 : run(path));
            close(dir);
        }
    }
}

static int by_name(int n)
{
    char dir[] = "closed.XXXXXX";
    static uint64_t buf[512];
    static int commands[] = {
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 23, 24, 33,
        34, 35, 36, 37, 38, 1024, 1025, 1026, 1027, 1028, 1029, 1030, 1031,
        1032, 1033, 1034, 1036, 1037, 1038, 1039, 1040,
    };
    struct iovec bytes = { buf, 4 };
    char label[64];

    answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (answer == MAP_FAILED || !mkdtemp(dir) || chdir(dir) < 0) {
        die(dir);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    close(open("f", O_RDWR | O_CREAT, 0644));
    if (truncate("f", 65536) < 0) {
        die("f");
    }

    SEE("poll", polled("poll", n));
    SEE("ppoll", polled("ppoll", n));
    SEE("ppoll_time64", polled("ppoll_time64", n));
    for (int i = 0; i < 3; i++) {
        static const char * const sets[] = { "read", "write", "except" };
#define SELECT(how)                                                     \
        snprintf(label, sizeof(label), "%s %s", how, sets[i]);          \
        SEE(label, selected(how, n, i))
        SELECT("pselect6");
        SELECT("pselect6_time64");
        if (number_named("_newselect") >= 0) {
            SELECT("_newselect");
            snprintf(label, sizeof(label), "select in memory, %s", sets[i]);
            SEE(label, selected("in memory", n, i));
        } else {
            SELECT("select");
        }
    }
    SEE("sendmsg SCM_RIGHTS", sent(n, false));
    SEE("sendmmsg SCM_RIGHTS", sent(n, true));
    SEE("pidfd_getfd of itself", DO(pidfd_getfd, process(), n, 0) < 0 ? -1 : 0);
    SEE("pidfd_getfd of a child", DO(pidfd_getfd, waiting_child(), n, 0) < 0 ? -1 : 0);
    SEE("pidfd_getfd by it", DO(pidfd_getfd, n, 1, 0));
    SEE("pidfd_send_signal", DO(pidfd_send_signal, n, 0, 0, 0));
    SEE("waitid P_PIDFD", waited(n));
    SEE("process_madvise", DO(process_madvise, n, buf, 0, 4, 0));
    SEE("process_mrelease", DO(process_mrelease, n, 0));
    SEE("kcmp", DO(kcmp, getpid(), getpid(), 0, n, n));
    SEE("ioctl FIOCLEX", ioctl(n, FIOCLEX));
    SEE("ioctl FIONCLEX", ioctl(n, FIONCLEX));
    SEE("ioctl FIONREAD", ioctl(n, FIONREAD, buf));
    SEE("ioctl FIONBIO", ioctl(n, FIONBIO, buf));
    SEE("ioctl FIOASYNC", ioctl(n, FIOASYNC, buf));
    SEE("ioctl FIGETBSZ", ioctl(n, _IO(0, 2), buf));
    SEE("ioctl FS_IOC_GETFLAGS", ioctl(n, _IOR('f', 1, long), buf));
    SEE("ioctl FS_IOC_SETFLAGS", ioctl(n, _IOW('f', 2, long), buf));
    SEE("ioctl of it with an unknown request", ioctl(n, 0x12345678, buf));
    SEE("ioctl FICLONE to it", ioctl(n, CLONE_FILE, (long)file()));
    SEE("ioctl FICLONE from it", cloned(n, 0));
    SEE("ioctl FICLONERANGE from it", cloned(n, 1));
    SEE("ioctl FIDEDUPERANGE onto it", cloned(n, 2));
    if (geteuid() == 0) {
        SEE("ioctl LOOP_SET_FD", looped(n));
    }
    SEE("epoll_ctl add", watched(n, EPOLL_CTL_ADD));
    SEE("epoll_ctl modify", watched(n, EPOLL_CTL_MOD));
    SEE("epoll_ctl delete", watched(n, EPOLL_CTL_DEL));
    SEE("epoll_ctl of it", epoll_ctl(n, EPOLL_CTL_ADD, end(0), (void *)buf));
    SEE("splice from it", (end(0), DO(splice, n, 0, end(1), 0, 16, 0)));
    SEE("splice to it", DO(splice, end(0), 0, n, 0, 4, 0));
    SEE("tee from it", (end(0), DO(tee, n, end(1), 16, 0)));
    SEE("tee to it", DO(tee, end(0), n, 4, 0));
    SEE("vmsplice", DO(vmsplice, n, &bytes, 1, 0));
    SEE("copy_file_range from it", DO(copy_file_range, n, 0, file(), 0, 16, 0));
    SEE("copy_file_range to it", DO(copy_file_range, file(), 0, n, 0, 16, 0));
    SEE("sendfile from it", DO(sendfile, file(), n, 0, 16));
    SEE("sendfile to it", DO(sendfile, n, file(), 0, 16));
    SEE("sendfile64 from it", DO(sendfile64, file(), n, buf, 16));
    SEE("mmap", mapped(n, false));
#if defined(__i386__) || defined(__s390__) || defined(__m68k__)
    SEE("mmap in memory", mapped(n, true));
#endif
    for (int i = 1; i <= 20 && number_named("socketcall") >= 0; i++) {
        long a[6] = { n, P(buf), 16, 0, 0, 0 };
        long b[6] = { n, 1, 1, P(buf), 16, 0 };
        if (i != 1 && i != 8) {
            snprintf(label, sizeof(label), "socketcall %d", i);
            SEE(label, DO(socketcall, i, i == 14 || i == 15 ? b : a));
        }
    }
    SEE("linkat AT_EMPTY_PATH", linkat(n, "", AT_FDCWD, "made", AT_EMPTY_PATH));
    unlink("made");
    SEE("execveat AT_EMPTY_PATH", DO(execveat, n, "", ARGS, NONE, AT_EMPTY_PATH));
    SEE("execveat of a name in it", DO(execveat, n, "x", ARGS, NONE, 0));
    SEE("openat", openat(n, "f", O_RDONLY));
    SEE("openat, empty", openat(n, "", O_RDONLY));
    SEE("openat with an absolute path", openat(n, "/dev/null", O_RDONLY) < 0 ? -1 : 0);
    SEE("openat O_TMPFILE", openat(n, ".", O_TMPFILE | O_RDWR, 0600));
    SEE("openat2", DO(openat2, n, "f", zeros, 24));
    SEE("mkdirat", mkdirat(n, "made", 0700));
    SEE("mknodat", mknodat(n, "made", S_IFIFO | 0600, 0));
    SEE("unlinkat", unlinkat(n, "f", 0));
    SEE("symlinkat", symlinkat("x", n, "made"));
    SEE("readlinkat", readlinkat(n, "f", (char *)buf, 64));
    SEE("readlinkat, empty", readlinkat(n, "", (char *)buf, 64));
    SEE("fchmodat", DO(fchmodat, n, "f", 0600));
    SEE("fchmodat2", DO(fchmodat2, n, "", 0600, AT_EMPTY_PATH));
    SEE("faccessat", DO(faccessat, n, "f", R_OK));
    SEE("faccessat2", DO(faccessat2, n, "", R_OK, AT_EMPTY_PATH));
    SEE("utimensat of itself", DO(utimensat, n, 0, 0, 0));
    SEE("utimensat", utimensat(n, "f", NULL, 0));
    SEE("utimensat AT_EMPTY_PATH", utimensat(n, "", NULL, AT_EMPTY_PATH));
    SEE("futimens", futimens(n, NULL));
    SEE("futimesat", DO(futimesat, n, 0, 0));
    SEE("fstat", fstat(n, (struct stat *)buf));
    SEE("fstatat", fstatat(n, "f", (struct stat *)buf, 0));
    SEE("fstatat AT_EMPTY_PATH", fstatat(n, "", (struct stat *)buf, AT_EMPTY_PATH));
    SEE("statx AT_EMPTY_PATH", DO(statx, n, "", AT_EMPTY_PATH, 0x7ff, buf));
    SEE("statx without a path", DO(statx, n, 0, AT_EMPTY_PATH, 0x7ff, buf));
    SEE("renameat from it", renameat(n, "f", AT_FDCWD, "made"));
    SEE("renameat to it", renameat(AT_FDCWD, "f", n, "made"));
    SEE("renameat2 to it", DO(renameat2, AT_FDCWD, "f", n, "made", 1));
    SEE("linkat to it", linkat(AT_FDCWD, "f", n, "made", 0));
    SEE("fchownat AT_EMPTY_PATH", fchownat(n, "", -1, -1, AT_EMPTY_PATH));
    SEE("fchown", fchown(n, -1, -1));
    SEE("fchmod", fchmod(n, 0755));
    SEE("name_to_handle_at", DO(name_to_handle_at, n, "", buf, buf + 64, AT_EMPTY_PATH));
    SEE("open_by_handle_at", handled(n));
    SEE("open_tree", DO(open_tree, n, "", AT_EMPTY_PATH));
    SEE("move_mount from it", DO(move_mount, n, "", AT_FDCWD, "nowhere", 4));
    SEE("mount_setattr", DO(mount_setattr, n, "", AT_EMPTY_PATH, buf, 32));
    SEE("fspick", DO(fspick, n, "", 8));
    SEE("inotify_add_watch", DO(inotify_add_watch, n, ".", 2));
    SEE("inotify_rm_watch", DO(inotify_rm_watch, n, 1));
    SEE("fanotify_mark of it", DO(fanotify_mark, n, 1, 0, 2, AT_FDCWD, "."));
    SEE("signalfd", DO(signalfd, n, buf, 8));
    SEE("signalfd4", DO(signalfd4, n, buf, 8, 0));
    SEE("timerfd_settime", timed(n));
    SEE("timerfd_gettime", DO(timerfd_gettime, n, buf));
    SEE("setns", DO(setns, n, 0));
    SEE("mq_timedsend", DO(mq_timedsend, n, buf, 1, 0, 0));
    SEE("mq_timedreceive", DO(mq_timedreceive, n, buf, 8192, 0, 0));
    SEE("mq_getsetattr", DO(mq_getsetattr, n, 0, buf));
    SEE("mq_notify", DO(mq_notify, n, 0));
    SEE("flock", DO(flock, n, 6));
    SEE("lseek", lseek(n, 1, SEEK_SET));
    SEE("_llseek", DO(_llseek, n, 0, 0, buf, 1));
    SEE("read", read(n, buf, 16));
    SEE("read of nothing", read(n, buf, 0));
    SEE("read to nowhere", DO(read, n, 16, 16));
    SEE("write", write(n, "x", 1));
    SEE("pread64", pread(n, buf, 16, 0));
    SEE("pwrite64", pwrite(n, "x", 1, 0));
    SEE("readv", DO(readv, n, &bytes, 1));
    SEE("writev", DO(writev, n, &bytes, 1));
    SEE("preadv", DO(preadv, n, &bytes, 1, 0, 0));
    SEE("preadv2", DO(preadv2, n, &bytes, 1, 0, 0, 0));
    SEE("ftruncate", ftruncate(n, 1000000000));
    SEE("fallocate", DO(fallocate, n, 0, 0, 0, 16, 0));
    SEE("fsync", fsync(n));
    SEE("fdatasync", fdatasync(n));
    SEE("syncfs", DO(syncfs, n));
    SEE("fchdir", fchdir(n));
    SEE("fstatfs", DO(fstatfs, n, buf));
    SEE("fgetxattr", DO(fgetxattr, n, "user.x", buf, 64));
    SEE("fsetxattr", DO(fsetxattr, n, "user.x", buf, 1, 0));
    SEE("flistxattr", DO(flistxattr, n, buf, 64));
    SEE("fremovexattr", DO(fremovexattr, n, "user.x"));
    SEE("getdents64", DO(getdents64, n, buf, 4096));
    SEE("perf_event_open", DO(perf_event_open, buf, 0, -1, n, 0));
    SEE("prctl PR_SET_MM_EXE_FILE", DO(prctl, 35, 13, n, 0, 0));
    SEE("dup", dup(n) < 0 ? -1 : 0);
    SEE("dup2 of it", dup2(n, 50));
    SEE("dup2 onto itself", DO(dup2, n, n));
    SEE("dup3 of it", dup3(n, 50, O_CLOEXEC));
    SEE("dup3 onto itself", dup3(n, n, O_CLOEXEC));
    SEE("dup2 onto it", starts_after(dup2(file(), n)));
    SEE("dup3 onto it", starts_after(dup3(file(), n, O_CLOEXEC)));
    SEE("dup2 onto it, and use", dup2(file(), n) < 0 ? -1 : read(n, buf, 16));
    SEE("dup2 onto it, and close twice", dup2(file(), n) < 0 || close(n) < 0 ? -2 : close(n));
    SEE("F_DUPFD from there", starts_after(fcntl(file(), F_DUPFD, n) < n ? -1 : 0));
    SEE("close", starts_after(close(n) < 0 ? -errno : 0));
    SEE("close, once more", close(n));
    SEE("close_range of it", DO(close_range, n, n, 0));
    SEE("close_range of it, CLOSE_RANGE_CLOEXEC", DO(close_range, n, n, 4));
    SEE("close_range around it", starts_after(DO(close_range, n - 1, n + 1, 0)));
    SEE("close_range of all, CLOSE_RANGE_UNSHARE", starts_after(DO(close_range, 3, -1, 2)));
    SEE("close_range of all, CLOSE_RANGE_CLOEXEC", starts_after(DO(close_range, 3, -1, 4)));
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        snprintf(label, sizeof(label), "fcntl command %d", commands[i]);
        SEE(label, fcntl(n, commands[i], 0L));
        snprintf(label, sizeof(label), "fcntl command %d with memory", commands[i]);
        SEE(label, fcntl(n, commands[i], buf));
    }
    SEE("listed in /proc/self/fd", listed("/proc/self/fd", n));
    SEE("listed in /proc/self/fdinfo", listed("/proc/self/fdinfo", n));
    SEE("listed in /proc/thread-self/fd", listed("/proc/thread-self/fd", n));
    SEE("listed in /dev/fd", listed("/dev/fd", n));
    {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/fd", (int)getpid());
        /* By a child, the parent's: these are not its own descriptors. */
        SEE("listed in /proc/PID/fd of the parent", listed(path, n));
        SEE("listed in /proc/PID/fd", (snprintf(path, sizeof(path), "/proc/%d/fd", (int)getpid()), listed(path, n)));
        SEE("listed in /proc/self/task/TID/fd", (snprintf(path, sizeof(path), "/proc/self/task/%d/fd", (int)getpid()), listed(path, n)));
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), n);
        SEE("open of the parent's", open(path, O_RDONLY) < 0 ? -1 : 0);
        SEE("open of the parent's, O_PATH", open(path, O_PATH) < 0 ? -1 : 0);
        SEE("readlink of the parent's", readlink(path, (char *)buf, 64));
        SEE("execve of the parent's", run(path));
    }
    SEE("size of /proc/self/fd", counted());

    paths(n);
    unlink("link");
    unlink("made");
    unlink("f");
    return chdir("..") < 0 || rmdir(dir) < 0;
}

/* ---- is all as before? ------------------------------------------------ */

static int keeps(char *host, char **command)
{
    char *before = seen_from_outside(host), *after;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int ret = 2;
        if (!strcmp(*command, "sweep")) {
            ret = sweep(command[1], command + 2);
        } else if (!strcmp(*command, "calls")) {
            ret = by_name(atoi(command[1]));
        }
        exit(ret);
    }
    waitpid(pid, &status, 0);
    after = seen_from_outside(host);
    if (strcmp(before, after)) {
        fprintf(stderr, "descriptors were changed:\n%s%s", before, after);
        return 1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- an emulator in memory -------------------------------------------- */

#define GET_SEALS 1034
#define SEALED 0x000f           /* SEAL, SHRINK, GROW, WRITE */

static int ways;                /* to change the copy that were found */

static void found(const char *how, const char *path)
{
    printf("%s changes %s\n", how, path);
    ways++;
}
static void change(int fd, const char *path)
{
    struct stat st, now;
    void *p;

    if (fstat(fd, &st) < 0) {
        return;
    }
    if (pwrite(fd, "", 1, st.st_size - 1) == 1) {
        found("a write", path);
    }
    if (ftruncate(fd, st.st_size + 1) == 0 && ftruncate(fd, st.st_size) == 0) {
        found("ftruncate", path);
    }
    if (fallocate(fd, 0, 0, st.st_size + 4096) == 0) {
        found("fallocate", path);
    }
    p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED) {
        found("a mapping", path);
    }
    /* A child that nobody can execute is as good as none. */
    if (fchmod(fd, 0600) == 0 && fstat(fd, &now) == 0 && !(now.st_mode & 0111)) {
        fchmod(fd, st.st_mode & 07777);
        found("fchmod", path);
    }
}
/* By its name in /proc. */
static void change_path(const char *path)
{
    static const int flags[] = {
        O_RDONLY, O_RDWR, O_WRONLY, O_WRONLY | O_APPEND, O_RDWR | O_NONBLOCK,
    };
    struct stat st, now;

    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
        int fd = open(path, flags[i] | O_CLOEXEC);
        if (fd >= 0) {
            change(fd, path);
            close(fd);
        }
    }
    if (stat(path, &st) == 0) {
        if (chmod(path, 0600) == 0 && stat(path, &now) == 0 &&
            !(now.st_mode & 0111)) {
            chmod(path, st.st_mode & 07777);
            found("chmod", path);
        }
        if (truncate(path, st.st_size + 1) == 0) {
            found("truncate", path);
        }
        /* Last, since it would be the end of it. */
        if (st.st_size && (close(open(path, O_RDONLY | O_TRUNC)),
                           close(open(path, O_RDWR | O_TRUNC)),
                           stat(path, &now) == 0 && now.st_size != st.st_size)) {
            found("O_TRUNC", path);
        }
    }
}

/* What a program of the host can do to what these processes run from. */
static int seals(char **pids)
{
    int copies = 0;

    for (; *pids; pids++) {
        char path[320], target[256];
        struct dirent *d;
        ssize_t len;
        DIR *dir;

        snprintf(path, sizeof(path), "/proc/%s/fd", *pids);
        dir = opendir(path);
        if (!dir) {
            printf("cannot look at %s: %s\n", path, strerror(errno));
            return 1;
        }
        while ((d = readdir(dir))) {
            int fd, is;

            snprintf(path, sizeof(path), "/proc/%s/fd/%s", *pids, d->d_name);
            len = readlink(path, target, sizeof(target) - 1);
            target[len < 0 ? 0 : len] = 0;
            /* A cache of translations is for those to write to whom its processes belong. */
            if (len < 8 || strncmp(target, "/memfd:", 7) || !strncmp(target, CACHE, strlen(CACHE))) {
                continue;
            }
            copies++;
            fd = open(path, O_RDONLY | O_CLOEXEC);
            is = fcntl(fd, GET_SEALS);
            close(fd);
            if ((is & SEALED) != SEALED) {
                printf("%s has seals %x\n", path, is);
                ways++;
            }
            change_path(path);
        }
        closedir(dir);
        snprintf(path, sizeof(path), "/proc/%s/exe", *pids);
        len = readlink(path, target, sizeof(target) - 1);
        if (len >= 8 && !strncmp(target, "/memfd:", 7)) {
            copies++;
            change_path(path);
        }
    }
    printf("%d copies seen by a program of the host, %d ways to change them\n",
           copies, ways);
    return copies == 0 || ways;
}

/*
 * Run by an emulator that is a copy in memory: tries to change the copy, has
 * @host try it, and starts a child of its own.
 */
static int in_memory(char *host)
{
    char self[16], other[16], path[64];
    char *args[] = { host, "seals", self, other, NULL };
    char *wait_args[] = { own, "wait", NULL }, *child_args[] = { own, "none", NULL };
    char *text = seen_from_outside(host);
    int status, bad = 0, ends[2];
    pid_t waiter, pid;
    char c;

    for (char *p = text; *p; p = strchr(p, '\n') + 1) {
        int n = atoi(p);
        change(n, "its number");
        snprintf(path, sizeof(path), "/proc/self/fd/%d", n);
        change_path(path);
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), n);
        change_path(path);
        snprintf(path, sizeof(path), "/dev/fd/%d", n);
        change_path(path);
        if (fcntl(n, 1033, 0) == 0) {
            found("F_ADD_SEALS", "its number");
        }
    }
    printf("%d ways for the guest to change it\n", ways);
    fflush(stdout);
    bad |= ways != 0;

    if (pipe(ends) < 0) {
        die("pipe");
    }
    waiter = fork();
    if (waiter == 0) {
        dup2(ends[1], 9);
        execv(own, wait_args);
        _exit(1);
    }
    close(ends[1]);
    bad |= read(ends[0], &c, 1) != 1;
    snprintf(self, sizeof(self), "%d", (int)getpid());
    snprintf(other, sizeof(other), "%d", (int)waiter);
    pid = fork();
    if (pid == 0) {
        execv(host, args);
        _exit(3);
    }
    waitpid(pid, &status, 0);
    bad |= status != 0;
    kill(waiter, SIGKILL);
    waitpid(waiter, NULL, 0);

    pid = fork();
    if (pid == 0) {
        execv(own, child_args);
        _exit(4);
    }
    waitpid(pid, &status, 0);
    printf("a child %s\n", status ? "does not start" : "starts");
    return bad || status;
}

/*
 * Runs a program on a kernel that looks older. Before Linux 6.14, execveat knows
 * no AT_EXECVE_CHECK, and says EINVAL. From 5.9 to 6.7 it reads the arguments
 * before it looks at the file: EFAULT says nothing about that. Which kernel it
 * is, uname still tells as it is: so it is not to be believed.
 */
static int older(char **command)
{
    const bool big = htonl(1) == 1;
#define LOW(field) (offsetof(struct seccomp_data, field) + (big ? 4 : 0))
#define HIGH(field) (offsetof(struct seccomp_data, field) + (big ? 0 : 4))
#define LOAD(from) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, from)
/* At the end of memory, or at its beginning, which is seven instructions long */
#define BAD_ARGUMENTS(field)                                            \
        LOAD(HIGH(field)),                                              \
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x80000000, 4, 0),          \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4),                   \
        LOAD(LOW(field)),                                               \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0),                   \
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 65536, 1, 0),               \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EFAULT)
    struct sock_filter code[] = {
        LOAD(offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 8),
        BAD_ARGUMENTS(args[1]),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 0, 10),
        LOAD(LOW(args[4])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x10000, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BAD_ARGUMENTS(args[2]),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { sizeof(code) / sizeof(*code), code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) {
        die("seccomp");
    }
    execvp(command[0], command);
    die(command[0]);
    return 1;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);

    if (len < 0) {
        die("/proc/self/exe");
    }
    own[len] = 0;
    if (!strcmp(what, "none")) {
        return 0;
    }
    if (!strcmp(what, "wait")) {
        alarm(30);
        return write(9, "x", 1) == 1 && pause();
    }
    if (!strcmp(what, "older") && argc > 2) {
        return older(argv + 2);
    }
    if (!strcmp(what, "seals") && argc > 2) {
        return seals(argv + 2);
    }
    if (!strcmp(what, "list") && argc == 3) {
        return list(argv[2]);
    }
    if (!strcmp(what, "compare") && argc == 6) {
        return compare(argv + 2);
    }
    /* What a caller left open is not what this is about. */
    for (int i = 3; i < 8192; i++) {
        close(i);
    }
    if (!strcmp(what, "which") && argc == 3) {
        return which(argv[2]);
    }
    if (!strcmp(what, "sweep") && argc > 3) {
        return sweep(argv[2], argv + 3);
    }
    if (!strcmp(what, "calls") && argc == 3) {
        return by_name(atoi(argv[2]));
    }
    if (!strcmp(what, "memory") && argc == 3) {
        return in_memory(argv[2]);
    }
    if (!strcmp(what, "keeps") && argc > 4) {
        return keeps(argv[2], argv + 3);
    }
    fprintf(stderr, "usage: closed which HOST, sweep FILE NUMBER..., "
            "compare OFF OFF ON ON, calls NUMBER, keeps HOST COMMAND..., "
            "memory HOST, list PID, seals PID...\n");
    return 2;
}
