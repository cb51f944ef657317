/*
 * Part of linux.c: the numbers of descriptors, up to the limit.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static int by_open(int fds[2])
{
    return fds[0] = open("/dev/null", O_RDONLY);
}

static int by_dup(int fds[2])
{
    return fds[0] = dup(0);
}

static int by_pipe(int fds[2])
{
    return pipe(fds);
}

/* Takes numbers until there are none: how many, which one last, whether each was beyond those before it. */
static void take_all(int (*take)(int fds[2]), rlim_t soft, rlim_t hard)
{
    struct rlimit limit = { soft, hard };
    int count = 0, last = -1, back = 0;
    int fds[2] = { -1, -1 };

    setrlimit(RLIMIT_NOFILE, &limit);
    while (count < 2 * (int)soft && take(fds) >= 0) {
        int highest = fds[1] > fds[0] ? fds[1] : fds[0];

        back += fds[0] < last;
        last = highest;
        count++;
    }
    printf(" %d, last %d, %d back, %s;", count, last, back, strerrorname_np(errno));
    fflush(stdout);
}

static void apart_from_others(int (*take)(int fds[2]), rlim_t soft, rlim_t hard)
{
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        /* Root could raise its limit. */
        if (getuid() == 0 && setresuid(65534, 65534, 65534) < 0) {
            fail("setresuid");
        }
        take_all(take, soft, hard);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void tell_numbers(int (*take)(int fds[2]))
{
    apart_from_others(take, 64, 64);
    apart_from_others(take, 65, 1000);
}

static void numbers_opened(void)
{
    tell_numbers(by_open);
}

static void numbers_duplicated(void)
{
    tell_numbers(by_dup);
}

static void numbers_of_pipes(void)
{
    tell_numbers(by_pipe);
}

/* A descriptor of a child has no place, or no number: there is no child then. */
static void numbers_of_children(void)
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
