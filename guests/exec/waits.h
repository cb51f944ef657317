/*
 * Execs that have to wait, and what other threads do meanwhile.
 *
 * Part of exec.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * A process that holds a write lease on a file: whoever opens that waits, until
 * it has let go, a while after the kernel told it.
 */
static pid_t hold_lease(const char *path, int milliseconds)
{
    int ready[2];
    char c;
    pid_t pid;

    if (pipe2(ready, O_CLOEXEC) < 0) {
        die("pipe");
    }
    pid = fork();
    if (pid == 0) {
        sigset_t set;
        int fd = open(path, O_RDWR | O_CLOEXEC), sig;

        sigemptyset(&set);
        sigaddset(&set, SIGIO);
        sigprocmask(SIG_BLOCK, &set, NULL);
        if (fd < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) < 0) {
            say(" no lease: %s", error_name(errno));
            _exit(1);
        }
        if (write(ready[1], "x", 1) != 1) {
            _exit(1);
        }
        alarm(20);
        sigwait(&set, &sig);
        usleep(milliseconds * 1000);
        /* That it can be executed, nobody may have it open for writing. */
        close(fd);
        _exit(0);
    }
    close(ready[1]);
    if (read(ready[0], &c, 1) != 1) {
        say(" no lease");
    }
    close(ready[0]);
    return pid;
}
static void leased(const char *path, bool by_at)
{
    program("leased", 0755);
    hold_lease("leased", 200);
    alarm(10);
    if (by_at) {
        int d = at(".", O_RDONLY | O_CLOEXEC);
        result(sys_execveat(d, path, list("x", NULL), ENV, 0));
    }
    result(sys_execve(path, list("x", NULL), ENV));
}
CASE(wait_lease) { leased("leased", false); }
CASE(wait_lease_at) { leased("leased", true); }
CASE(wait_lease_script)
{
    char text[PATH_MAX];
    snprintf(text, sizeof(text), "#!%s/leased arg\n", here);
    script("temporary", text);
    leased("temporary", false);
}
/* The script itself is leased. */
CASE(wait_lease_of_script)
{
    char text[PATH_MAX];
    snprintf(text, sizeof(text), "#!%s/child arg\n", here);
    script("temporary", text);
    hold_lease("temporary", 200);
    alarm(10);
    result(sys_execve("temporary", list("x", NULL), ENV));
}
/* A lease for reading is in nobody's way. */
CASE(wait_lease_read)
{
    program("leased", 0755);
    int fd = open("leased", O_RDONLY | O_CLOEXEC);
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0) {
        say(" no lease: %s", error_name(errno));
    }
    result(sys_execve("leased", list("x", NULL), ENV));
}

/* What is no regular file is refused at once, in each place. */
static void special(const char *path)
{
    char text[PATH_MAX];

    alarm(5);
    sys_execve(path, list("x", NULL), ENV);
    say(" program %s", error_name(errno));
    snprintf(text, sizeof(text), "#!%s\n", path);
    script("temporary", text);
    sys_execve("temporary", list("x", NULL), ENV);
    say(" script %s", error_name(errno));
    dynamic("temporary", path, strlen(path) + 1, 0);
    sys_execve("temporary", list("x", NULL), ENV);
    say(" interpreter %s", error_name(errno));
    int d = open(path, O_PATH | O_CLOEXEC);
    sys_execveat(d, "", list("x", NULL), ENV, AT_EMPTY_PATH);
    say(" descriptor %s\n", error_name(errno));
    _exit(0);
}
CASE(wait_tty) { special("/dev/tty"); }
CASE(wait_terminal) { special("/dev/ptmx"); }
CASE(wait_zero) { special("/dev/zero"); }
CASE(wait_random) { special("/dev/random"); }
CASE(wait_console) { special("/dev/console"); }
CASE(wait_fifo)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/fifo", here);
    special(path);
}
CASE(wait_socket)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    char path[PATH_MAX];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(name.sun_path, "socket");
    unlink("socket");
    if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
        listen(fd, 5) < 0 || chmod("socket", 0755) < 0) {
        die("socket");
    }
    snprintf(path, sizeof(path), "%s/socket", here);
    special(path);
}

/* ---- while it waits --------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static void *exec_leased(void *arg)
{
    (void)arg;
    result(sys_execve("leased", list("x", NULL), ENV));
    return NULL;
}
/* In one of three tries, which leaves room for a machine that does much else. */
static void in_time(const char *what, double limit, bool executes)
{
    double best = 100;

    for (int i = 0; i < 3 && best > limit; i++) {
        double begun = now();
        pid_t pid = fork();

        if (pid == 0) {
            if (executes) {
                sys_execve("child", list("child", "--quiet", NULL), ENV);
            }
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        best = now() - begun < best ? now() - begun : best;
    }
    say(" %s %s", what, best <= limit ? "in time" : "is held up");
}
CASE(wait_others_go_on)
{
    double begun;
    pthread_t thread;

    program("leased", 0755);
    hold_lease("leased", 2500);
    alarm(15);
    pthread_create(&thread, NULL, exec_leased, NULL);
    usleep(100000);
    in_time("a fork", 0.3, false);
    in_time("a child", 0.7, true);
    begun = now();
    for (int i = 0; i < 10; i++) {
        close(dup2(1, 100 + i));
        syscall(SYS_close_range, 100, 200, 0);
        sys_execve("missing", list("x", NULL), ENV);
        close(open("text", O_RDONLY));
    }
    say(" others %s", now() - begun < 0.5 ? "in time" : "are held up");
    for (;;) {
        pause();
    }
}

/* ---- numbers that are taken away -------------------------------------- */

enum how { MIXED, CLOSES, REPLACES, CLOSES_RANGES };
static struct { int from, to; enum how how; } robber;

static void *rob(void *arg)
{
    for (int i = 0; ; i = (i + 1) % 6) {
        if (robber.how == CLOSES_RANGES) {
            syscall(SYS_close_range, robber.from, robber.to - 1, 0);
            continue;
        }
        for (int n = robber.from; n < robber.to; n++) {
            int turn = i + n, way = robber.how == MIXED ? turn % 3 :
                      robber.how == CLOSES ? 0 : 1 + turn % 2;
            if (way == 0) {
                close(n);
            } else if (way == 1) {
                dup2(1, n);
            } else {
                dup3(2, n, O_CLOEXEC);
            }
        }
    }
    return arg;
}
/*
 * A thread closes or replaces descriptors that are none of its own, all along,
 * while another one executes a program, each time in a new process.
 */
static void robbed_of(int times, const char *even, const char *odd)
{
    int started = 0;
    char text[PATH_MAX];

    snprintf(text, sizeof(text), "#!%s/child --quiet\n", here);
    script("script-quiet", text);
    for (int i = 0; i < times; i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            pthread_t thread;

            alarm(20);
            pthread_create(&thread, NULL, rob, NULL);
            usleep(1000 + i * 37 % 3000);
            sys_execve(i & 1 ? odd : even, list("child", "--quiet", NULL), ENV);
            _exit(errno & 255);
        }
        if (waitpid(pid, &status, 0) != pid) {
            die("waitpid");
        }
        if (WIFSIGNALED(status)) {
            say(" SIG%s", signal_name(WTERMSIG(status)));
        } else if (WEXITSTATUS(status)) {
            say(" %s", error_name(WEXITSTATUS(status)));
        } else {
            started++;
        }
    }
    say(" %d started\n", started);
    _exit(0);
}
static void robbed(int from, int to, enum how how)
{
    robber.from = from;
    robber.to = to;
    robber.how = how;
    robbed_of(30, "child", "script-quiet");
}
static void low_limit(void)
{
    struct rlimit lim = { 900, 900 };
    setrlimit(RLIMIT_NOFILE, &lim);
}
CASE(thread_robs_mixed) { robbed(3, 200, MIXED); }
CASE(thread_robs_closes) { robbed(3, 200, CLOSES); }
CASE(thread_robs_closes_first) { robbed(3, 10, CLOSES); }
CASE(thread_robs_replaces) { robbed(3, 200, REPLACES); }
CASE(thread_robs_ranges) { robbed(3, INT_MAX, CLOSES_RANGES); }
CASE(thread_robs_high_mixed) { robbed(4080, 4140, MIXED); }
CASE(thread_robs_high_closes) { robbed(4090, 4110, CLOSES); }
CASE(thread_robs_high_replaces) { robbed(4090, 4110, REPLACES); }
CASE(thread_robs_limit_mixed) { low_limit(); robbed(860, 900, MIXED); }
CASE(thread_robs_limit_closes) { low_limit(); robbed(880, 900, CLOSES); }
static void robbed_of_first(const char *even, const char *odd)
{
    robber.from = 3;
    robber.to = 10;
    robber.how = CLOSES;
    robbed_of(16, even, odd);
}
/* Execs that fail say why, not that a number was taken away meanwhile. */
CASE(thread_robs_interpreter) { robbed_of_first("dyn-script", "dyn-plain"); }
CASE(thread_robs_children) { robbed_of_first("child", "script-quiet"); }
/* With other effective ids than real ones, where who executes has more to prove. */
CASE(thread_robs_ids)
{
    if (syscall(SYS_setregid, -1, 1) < 0 && errno != EPERM) {
        die("setregid");
    }
    robbed_of_first("child", "script-quiet");
}
CASE(thread_robs_few_closes)
{
    struct rlimit lim = { 16, 16 };
    setrlimit(RLIMIT_NOFILE, &lim);
    robbed(3, 16, CLOSES);
}
