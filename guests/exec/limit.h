/*
 * The limit of open files: it is the guest's, to the last descriptor, and
 * nobody sees it change who has not changed it.
 *
 * Part of exec.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static volatile bool is_over;

static void *fail_all_along(void *arg)
{
    static const char * const files[] = {
        "missing", "plain", "dyn-missing", "text", "level7", "dir", "fifo",
        "other-machine", "script-missing", "script-to-dynamic",
    };
    char *big = malloc(131073);

    memset(big, 'x', 131072);
    big[131072] = 0;
    for (unsigned i = 0; !is_over; i++) {
        sys_execve(files[i % 10], list("x", NULL), ENV);
        /* One of the emulator's own programs, that is refused late */
        sys_execve("child", list("x", big, NULL), ENV);
        sys_execve("/proc/self/exe", list("x", big, NULL), ENV);
    }
    return arg;
}

/* One thread sets and reads the limit, while another one's execs fail. */
CASE(limit_is_mine)
{
    struct rlimit set, got, first;
    pthread_t thread;
    long wrong = 0;

    getrlimit(RLIMIT_NOFILE, &first);
    set.rlim_cur = set.rlim_max = first.rlim_max < 2000 ? first.rlim_max : 2000;
    if (setrlimit(RLIMIT_NOFILE, &set) < 0 ||
        pthread_create(&thread, NULL, fail_all_along, NULL)) {
        die("limit");
    }
    for (int i = 0; i < 20000; i++) {
        set.rlim_cur = 100 + i % 900;
        if ((i & 1 ? prlimit(0, RLIMIT_NOFILE, &set, NULL) :
             setrlimit(RLIMIT_NOFILE, &set)) < 0) {
            wrong++;
        }
        for (int look = 0; look < 3; look++) {
            memset(&got, 0, sizeof(got));
            if ((look & 1 ? prlimit(0, RLIMIT_NOFILE, NULL, &got) :
                 getrlimit(RLIMIT_NOFILE, &got)) < 0 ||
                got.rlim_cur != set.rlim_cur || got.rlim_max != set.rlim_max) {
                wrong++;
            }
        }
        /* What a new process has is what this one had. */
        if (i % 200 == 0) {
            int status;
            pid_t pid = fork();
            if (pid == 0) {
                getrlimit(RLIMIT_NOFILE, &got);
                _exit(got.rlim_cur != set.rlim_cur ||
                      got.rlim_max != set.rlim_max);
            }
            wrong += waitpid(pid, &status, 0) != pid || status;
        }
    }
    is_over = true;
    pthread_join(thread, NULL);
    result(sys_execve("child", list("x", wrong ? "the limit was another one" : "right", NULL), ENV));
}

static int by_open(void) { return open("text", O_RDONLY); }
static int by_creat(void) { return open("made", O_RDWR | O_CREAT | O_CLOEXEC, 0644); }
static int by_dup(void) { return dup(1); }
static int by_fcntl(void) { return fcntl(1, F_DUPFD, 0); }
static int by_fcntl_cloexec(void) { return fcntl(1, F_DUPFD_CLOEXEC, 5); }
static int by_socket(void) { return socket(AF_UNIX, SOCK_STREAM, 0); }
static int by_pipe(void) { int p[2]; return pipe(p) < 0 ? -1 : p[1]; }
static int by_pair(void) { int p[2]; return socketpair(AF_UNIX, SOCK_STREAM, 0, p) < 0 ? -1 : p[1]; }
static int by_memfd(void) { return memfd_create("x", 0); }

static int how_many(const char *name, int (*one)(void))
{
    int highest = 0, last = 0, e, n = 0;

    while ((last = one()) >= 0) {
        highest = last > highest ? last : highest;
        n++;
    }
    e = errno;
    say(" %s %d to %d %s,", name, n, highest, error_name(e));
    syscall(SYS_close_range, 3, ~0U, 0);
    return n;
}

/* All that a limit permits, however it is opened; then a child. */
static void fill_up(int limit)
{
    how_many("open", by_open);
    how_many("creat", by_creat);
    how_many("dup", by_dup);
    how_many("F_DUPFD", by_fcntl);
    how_many("F_DUPFD_CLOEXEC", by_fcntl_cloexec);
    how_many("socket", by_socket);
    how_many("pipe", by_pipe);
    how_many("socketpair", by_pair);
    how_many("memfd", by_memfd);
    say(" highest %d", dup2(1, limit - 1));
    say(" next %s", dup2(1, limit) < 0 ? error_name(errno) : "done");
    say(" from there %d", fcntl(1, F_DUPFD, limit - 1));
    say(" or there %s", fcntl(1, F_DUPFD, limit) < 0 ? error_name(errno) : "done");
    close(limit - 1);
    while (by_open() >= 0) {
        continue;
    }
    say(" full");
    /* A dynamic child wants a few for itself. */
    for (int i = 10; i < 16; i++) {
        close(i);
    }
    result(sys_execve("child", list("child", NULL), ENV));
}
static void limited(int soft, int hard)
{
    struct rlimit lim = { soft, hard };

    if (setrlimit(RLIMIT_NOFILE, &lim) < 0) {
        die("setrlimit");
    }
    fill_up(soft);
}
CASE(limit_64) { limited(64, 64); }
CASE(limit_1024) { limited(1024, 1024); }
CASE(limit_soft) { limited(64, 1024); }
CASE(limit_raised)
{
    struct rlimit lim = { 64, 256 };
    setrlimit(RLIMIT_NOFILE, &lim);
    while (by_open() >= 0) {
        continue;
    }
    syscall(SYS_close_range, 3, ~0U, 0);
    limited(256, 256);
}
/* A child that starts with the limit, rather than to lower it itself */
CASE(limit_child)
{
    struct rlimit lim = { 64, 64 };
    setrlimit(RLIMIT_NOFILE, &lim);
    result(sys_execve("child", list("child", "--fill", here, "64", NULL), ENV));
}
CASE(limit_child_soft)
{
    struct rlimit lim = { 64, 1024 };
    setrlimit(RLIMIT_NOFILE, &lim);
    result(sys_execve("child", list("child", "--fill", here, "64", NULL), ENV));
}
/* Not even what has no number left below the limit is lost. */
CASE(limit_lowered)
{
    struct rlimit lim = { 16, 16 };
    for (int i = 0; i < 40; i++) {
        by_open();
    }
    setrlimit(RLIMIT_NOFILE, &lim);
    say(" %s", dup(1) < 0 ? error_name(errno) : "dup");
    say(" %s", fcntl(30, F_GETFD) < 0 ? error_name(errno) : "open");
    for (int i = 8; i < 14; i++) {
        close(i);
    }
    result(sys_execve("child", list("child", NULL), ENV));
}
