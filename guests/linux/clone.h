/*
 * Part of linux.c: processes by clone().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static char clone_stack[65536] __attribute__((aligned(64)));

static pid_t clone_one(int (*run)(void *), int flags, void *argument)
{
    fflush(stdout);
    return clone(run, clone_stack + sizeof(clone_stack), flags, argument);
}

static int end_with_3(void *argument)
{
    (void)argument;
    return 3;
}

/* What is said of a child, and how it ends. */
static void tell_clone(const char *what, int (*run)(void *), int flags, void *argument)
{
    pid_t pid = clone_one(run, flags, argument);
    int status = 0;

    printf(" %s ", what);
    if (pid < 0) {
        printf("%s,", strerrorname_np(errno));
    } else if (waitpid(pid, &status, __WALL) != pid) {
        printf("lost,");
    } else {
        printf("%d,", WEXITSTATUS(status));
    }
}

static char parents[128];

static void namespace(const char *name, char *seen, size_t size)
{
    char path[64];
    ssize_t length;

    snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    length = readlink(path, seen, size - 1);
    seen[length < 0 ? 0 : length] = 0;
}

static int is_apart(void *name)
{
    char own[128];

    namespace(name, own, sizeof(own));
    return own[0] ? strcmp(parents, own) != 0 : 100;
}

static void apart(const char *name, int flags)
{
    namespace(name, parents, sizeof(parents));
    tell_clone(name, is_apart, flags | SIGCHLD, (void *)name);
}

static int is_first(void *argument)
{
    (void)argument;
    return getpid() == 1 && getppid() == 0;
}

static void clone_namespaces(void)
{
    apart("mnt", CLONE_NEWUSER | CLONE_NEWNS);
    apart("uts", CLONE_NEWUSER | CLONE_NEWUTS);
    apart("ipc", CLONE_NEWUSER | CLONE_NEWIPC);
    apart("net", CLONE_NEWUSER | CLONE_NEWNET);
    apart("user", CLONE_NEWUSER);
    apart("cgroup", CLONE_NEWUSER | CLONE_NEWCGROUP);
    apart("net", 0);
    tell_clone("processes", is_first, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, NULL);
    tell_clone("all", is_first, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | SIGCHLD, NULL);
}

/* A process that makes others, within: as a sandbox does. */
static int fork_within(void *argument)
{
    int status;
    pid_t pid;

    (void)argument;
    pid = fork();
    if (pid == 0) {
        _exit(getpid() == 2 && getppid() == 1 ? 4 : 5);
    }
    if (pid != 2 || wait(&status) != 2) {
        return 6;
    }
    return WEXITSTATUS(status);
}

static void clone_then_fork(void)
{
    tell_clone("within", fork_within, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, NULL);
}

static volatile sig_atomic_t told;

static void on_end(int number)
{
    told = number;
}

static void clone_signals(void)
{
    signal(SIGUSR1, on_end);
    tell_clone("other", end_with_3, SIGUSR1, NULL);
    printf(" told %d,", told == SIGUSR1);
    told = 0;
    signal(SIGCHLD, on_end);
    tell_clone("none", end_with_3, 0, NULL);
    printf(" told %d,", told != 0);
    signal(SIGCHLD, SIG_DFL);
    if (clone_one(end_with_3, 0, NULL) > 0) {
        printf(" alone %s,", error(waitpid(-1, NULL, 0)));
        printf(" by flag %s", error(waitpid(-1, NULL, __WCLONE) > 0 ? 0 : -1));
    }
}

static int go_elsewhere(void *opened)
{
    *(volatile int *)opened = open("/dev/null", O_RDONLY);
    return chdir("/proc");
}

static void clone_shares(void)
{
    volatile int *opened = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int here = open(".", O_RDONLY | O_DIRECTORY);
    char path[4096];

    tell_clone("folder", go_elsewhere, CLONE_FS | SIGCHLD, (void *)opened);
    printf(" moved %d, opened %d,", !strcmp(getcwd(path, sizeof(path)), "/proc"), fcntl(*opened, F_GETFD) >= 0);
    if (fchdir(here) < 0) {
        fail("fchdir");
    }
    tell_clone("files", go_elsewhere, CLONE_FILES | SIGCHLD, (void *)opened);
    printf(" moved %d, opened %d,", !strcmp(getcwd(path, sizeof(path)), "/proc"), fcntl(*opened, F_GETFD) >= 0);
    close(*opened);
    close(here);
}

static int make_sibling(void *parent)
{
    pid_t pid = clone(end_with_3, clone_stack + sizeof(clone_stack), CLONE_PARENT | SIGCHLD, NULL);

    *(volatile pid_t *)parent = pid;
    return pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == ECHILD ? 1 : 2;
}

static void clone_sibling(void)
{
    volatile pid_t *sibling = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid;
    int status = 0;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        _exit(make_sibling((void *)sibling));
    }
    waitpid(pid, &status, 0);
    printf("made %d,", WEXITSTATUS(status));
    printf(" ours %d,", waitpid(*sibling, &status, 0) == *sibling);
    printf(" exit %d", WEXITSTATUS(status));
}

static void clone_refused(void)
{
    tell_clone("handlers", end_with_3, CLONE_SIGHAND | SIGCHLD, NULL);
    tell_clone("thread", end_with_3, CLONE_THREAD | SIGCHLD, NULL);
    tell_clone("mounts and folder", end_with_3, CLONE_NEWNS | CLONE_FS | SIGCHLD, NULL);
    tell_clone("user and folder", end_with_3, CLONE_NEWUSER | CLONE_FS | SIGCHLD, NULL);
}

/* Who makes it gets its number, where it asks for it. */
static void clone_numbers(void)
{
    pid_t number = 0, own = 0, pid;

    fflush(stdout);
    pid = clone(end_with_3, clone_stack + sizeof(clone_stack), CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, NULL,
                &number, NULL, &own);
    waitpid(pid, NULL, 0);
    printf("parent %d, own %d", number == pid, own == 0);
}

static volatile int thread_ends;

static void *just_wait(void *argument)
{
    while (!thread_ends) {
        usleep(1000);
    }
    return argument;
}

static void clone_beside_threads(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, just_wait, NULL);
    apart("uts", CLONE_NEWUSER | CLONE_NEWUTS);
    tell_clone("processes", is_first, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, NULL);
    tell_clone("within", fork_within, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, NULL);
    thread_ends = 1;
    pthread_join(thread, NULL);
}

/* As a program that has done much before: emulators may have threads by then. */
static void work(void)
{
    for (int i = 0; i < 2000; i++) {
        munmap(mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 65536);
    }
    usleep(200000);
}

static int leave(void)
{
    work();
    namespace("user", parents, sizeof(parents));
    return unshare(CLONE_NEWUSER) == 0 ? is_apart("user") : 100;
}

static int leave_for_children(void)
{
    int status;
    pid_t pid;

    work();
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0) {
        return 100;
    }
    work();
    pid = fork();
    if (pid == 0) {
        _exit(fork_within(NULL));
    }
    return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : 101;
}

static int enter_own(void)
{
    int fd;

    work();
    if (unshare(CLONE_NEWUSER | CLONE_NEWUTS) < 0) {
        return 100;
    }
    fd = open("/proc/self/ns/uts", O_RDONLY);
    return setns(fd, 0) == 0 && setns(fd, CLONE_NEWUTS) == 0 ? setns(fd, CLONE_NEWNET) < 0 : 101;
}

static void unshare_user(void)
{
    printf("own ");
    in_child(leave);
    printf(", for children ");
    in_child(leave_for_children);
    printf(", entered ");
    in_child(enter_own);
}

#ifndef SYS_clone3
#ifdef __NR_Linux
#define SYS_clone3 (__NR_Linux + 435)
#elif defined(__alpha__)
#define SYS_clone3 545
#else
#define SYS_clone3 435
#endif
#endif

struct clone3_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static long clone3_one(struct clone3_arguments *arguments, size_t size)
{
    long pid;

    fflush(stdout);
    pid = syscall(SYS_clone3, arguments, size);
    if (pid == 0) {
        struct sigaction action;

        sigaction(SIGUSR1, NULL, &action);
        _exit(action.sa_handler == SIG_DFL ? 7 : 8);
    }
    return pid;
}

static void tell_clone3(const char *what, struct clone3_arguments *arguments, size_t size)
{
    int status = 0;
    long pid = clone3_one(arguments, size);

    printf(" %s ", what);
    if (pid < 0) {
        printf("%s,", strerrorname_np(errno));
    } else {
        waitpid(pid, &status, __WALL);
        printf("%d,", WEXITSTATUS(status));
    }
}

static void clone_by_structure(void)
{
    int descriptor = -1, number = 0, wanted = 32111;
    struct clone3_arguments plain = { .exit_signal = SIGCHLD }, clear = { .flags = 1ULL << 32, .exit_signal = SIGCHLD };
    struct clone3_arguments full = { .flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .exit_signal = SIGCHLD,
                                     .pidfd = (uintptr_t)&descriptor, .parent_tid = (uintptr_t)&number };
    struct clone3_arguments own = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&wanted, .set_tid_size = 1 };
    struct clone3_arguments user = { .flags = CLONE_NEWUSER | CLONE_NEWPID, .exit_signal = SIGCHLD };
    struct clone3_arguments stack = { .exit_signal = SIGCHLD, .stack_size = 4096 }, odd = { .flags = SIGCHLD };
    siginfo_t info = { 0 };
    long pid;

    signal(SIGUSR1, on_end);
    tell_clone3("plain", &plain, 88);
    tell_clone3("old", &plain, 64);
    tell_clone3("short", &plain, 56);
    tell_clone3("cleared", &clear, 88);
    tell_clone3("namespaces", &user, 88);
    tell_clone3("no stack", &stack, 88);
    tell_clone3("signal as flag", &odd, 88);
    pid = clone3_one(&full, 88);
    printf(" number %d,", number == pid);
    printf(" by descriptor %s,", error(waitid((idtype_t)3 /* a descriptor */, descriptor, &info, WEXITED)));
    printf(" %d %d,", info.si_pid == pid, info.si_status);
    close(descriptor);
    while ((pid = clone3_one(&own, 88)) < 0 && errno == EEXIST) {
        wanted++;
    }
    printf(" chosen %s %d", error(pid < 0 ? -1 : 0), pid == wanted);
    if (pid > 0) {
        waitpid(pid, NULL, 0);
    }
    signal(SIGUSR1, SIG_DFL);
}

/* A descriptor of a child has no place, or no number: there is no child then. */
static void clone_without_descriptor(void)
{
    struct clone3_arguments lost = { .flags = CLONE_PIDFD, .pidfd = 8, .exit_signal = SIGCHLD };
    struct rlimit limit = { 3, 64 };
    int descriptor;

    tell_clone3("no place", &lost, 64);
    lost.pidfd = (uintptr_t)&descriptor;
    fflush(stdout);
    if (fork() == 0) {
        close(0);
        setrlimit(RLIMIT_NOFILE, &limit);
        open("/dev/null", O_RDONLY);
        tell_clone3("no number", &lost, 64);
        printf(" child %s", error(waitpid(-1, NULL, 0)));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    printf(", child %s", error(waitpid(-1, NULL, 0)));
}
