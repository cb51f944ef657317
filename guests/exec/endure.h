/*
 * Thousands of execs: what those that fail leave behind, and that no signal
 * gets lost on the way.
 *
 * Part of exec.c. Each ends with one line that says "flat" or "lost 0" if all
 * is well, natively and emulated.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* ---- failing, over and over ------------------------------------------- */

/*
 * What it may grow by, in kB, between a tenth of the rounds and the last. In
 * 1,000 rounds, the smallest leak in a single way to fail is more than that.
 */
#define SLACK 12

static char *oversized;
static int plain_fd, script_fd;

static long fail_missing(void) { return sys_execve("missing", list("x", NULL), ENV); }
static long fail_component(void) { return sys_execve("child/x", list("x", NULL), ENV); }
static long fail_mode(void) { return sys_execve("plain", list("x", NULL), ENV); }
static long fail_directory(void) { return sys_execve("dir", list("x", NULL), ENV); }
static long fail_loop(void) { return sys_execve("loop", list("x", NULL), ENV); }
static long fail_text(void) { return sys_execve("text", list("x", NULL), ENV); }
static long fail_machine(void) { return sys_execve("other-machine", list("x", NULL), ENV); }
static long fail_relocatable(void) { return sys_execve("relocatable", list("x", NULL), ENV); }
static long fail_script(void) { return sys_execve("script-missing", list("x", NULL), ENV); }
static long fail_chain(void) { return sys_execve("level7", list("x", NULL), ENV); }
static long fail_interpreter(void) { return sys_execve("dyn-missing", list("x", NULL), ENV); }
static long fail_script_interpreter(void) { return sys_execve("script-to-dynamic", list("x", NULL), ENV); }
static long fail_size(void) { return sys_execve("child", list("x", oversized, NULL), ENV); }
static long fail_script_size(void) { return sys_execve("script-arg", list("x", oversized, NULL), ENV); }
static long fail_exe_size(void) { return sys_execve("/proc/self/exe", list("x", oversized, NULL), ENV); }
static long fail_path_pointer(void) { return sys_execve((char *)16, list("x", NULL), ENV); }
static long fail_argv_pointer(void) { return sys_execve("child", (char **)16, ENV); }
static long fail_env_string(void)
{
    static char *e[] = { "A=1", (char *)16, NULL };
    return sys_execve("child", list("x", NULL), e);
}
static long fail_at_descriptor(void) { return sys_execveat(77, "child", list("x", NULL), ENV, 0); }
static long fail_at_plain(void) { return sys_execveat(plain_fd, "", list("x", NULL), ENV, AT_EMPTY_PATH); }
static long fail_at_script(void) { return sys_execveat(script_fd, "", list("x", NULL), ENV, AT_EMPTY_PATH); }
static long fail_at_link(void) { return sys_execveat(AT_FDCWD, "link", list("x", NULL), ENV, AT_SYMLINK_NOFOLLOW); }
static long fail_at_flag(void) { return sys_execveat(AT_FDCWD, "child", list("x", NULL), ENV, 0x40000000); }

static const struct {
    const char *name;
    long (*call)(void);
    int error;
} ways[] = {
    { "missing", fail_missing, ENOENT },
    { "component", fail_component, ENOTDIR },
    { "mode", fail_mode, EACCES },
    { "directory", fail_directory, EACCES },
    { "loop", fail_loop, ELOOP },
    { "text", fail_text, ENOEXEC },
    { "machine", fail_machine, ENOEXEC },
    { "relocatable", fail_relocatable, ENOEXEC },
    { "script", fail_script, ENOENT },
    { "chain", fail_chain, ELOOP },
    { "interpreter", fail_interpreter, ENOENT },
    { "script interpreter", fail_script_interpreter, ENOENT },
    { "size", fail_size, E2BIG },
    { "script size", fail_script_size, E2BIG },
    { "exe size", fail_exe_size, E2BIG },
    { "path pointer", fail_path_pointer, EFAULT },
    { "argv pointer", fail_argv_pointer, EFAULT },
    { "env string", fail_env_string, EFAULT },
    { "at descriptor", fail_at_descriptor, EBADF },
    { "at plain", fail_at_plain, EACCES },
    { "at script", fail_at_script, ENOENT },
    { "at link", fail_at_link, ELOOP },
    { "at flag", fail_at_flag, EINVAL },
};
#define WAYS (sizeof(ways) / sizeof(*ways))

static long status_field(const char *field)
{
    char text[64];
    long value = -1;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(text, sizeof(text), f)) {
        if (!strncmp(text, field, strlen(field))) {
            value = atol(text + strlen(field));
        }
    }
    if (f) {
        fclose(f);
    }
    return value;
}

/*
 * A child counts: an emulator may hide its own descriptors from its guest,
 * but another process sees what is really there.
 */
static int count_descriptors(void)
{
    char path[64];
    int status, n = 0;
    pid_t pid;

    snprintf(path, sizeof(path), "/proc/%d/fd", getpid());
    pid = fork();
    if (pid == 0) {
        DIR *dir = opendir(path);
        while (dir && readdir(dir)) {
            n++;
        }
        _exit(n);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Rounds of all ways to fail: descriptors and memory stay as they are. */
static int leak(int rounds)
{
    long before[3] = { 0 }, after[3];

    for (int round = 1; round <= rounds; round++) {
        for (size_t i = 0; i < WAYS; i++) {
            long ret = ways[i].call();
            if (ret != -1 || errno != ways[i].error) {
                say("%s: returned %ld, %s in round %d\n", ways[i].name, ret,
                    ret == -1 ? error_name(errno) : "no error", round);
                return 1;
            }
        }
        /* Twice before: what looks is translated and allocated, too. */
        if (round == rounds / 20 || round == rounds / 10 || round == rounds) {
            long *to = round == rounds ? after : before;
            to[0] = count_descriptors();
            to[1] = status_field("VmRSS:");
            to[2] = status_field("VmData:");
        }
    }
    if (before[0] <= 0 || before[1] <= 0 || before[2] <= 0 ||
        after[0] != before[0] || after[1] > before[1] + SLACK ||
        after[2] > before[2] + SLACK) {
        say("descriptors %ld, %ld; resident %ld, %ld kB; data %ld, %ld kB\n",
            before[0], after[0], before[1], after[1], before[2], after[2]);
        return 1;
    }
    say("%d rounds of %d ways to fail: flat\n", rounds, (int)WAYS);
    return 0;
}

/* ---- signals ----------------------------------------------------------- */

static volatile sig_atomic_t caught;
static int caught_fd = -1;

static void count_signal(int sig)
{
    (void)sig;
    caught++;
    if (caught_fd >= 0 && write(caught_fd, "h", 1) != 1) {
        _exit(96);
    }
}

static void block(int sig, int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, sig);
    sigprocmask(how, &set, NULL);
}

/* The queue has a limit: the kernel says when it is full. */
static void send_all(pid_t to, int sig, int count)
{
    for (int i = 0; i < count; i++) {
        while (sigqueue(to, sig, (union sigval){ .sival_int = i }) < 0) {
            if (errno != EAGAIN) {
                return;
            }
            usleep(200);
        }
        if (i % 4 == 0) {
            usleep(50);
        }
    }
}

/* Milliseconds that everything may stand still before it counts as lost. */
#define PATIENCE 3000

/*
 * Signals are queued for a process that blocks them, and that executes itself
 * over and over. Each generation takes what is there and hands on the count.
 */
static int queued(int count)
{
    char a[16], b[16];
    int got = 0, up[2];
    struct pollfd wait;
    pid_t pid, sender;

    if (pipe(up) < 0) {
        die("pipe");
    }
    block(SIGRTMIN + 1, SIG_BLOCK);
    pid = fork();
    if (pid == 0) {
        dup2(up[1], 9);
        close(up[0]);
        close(up[1]);
        snprintf(a, sizeof(a), "%d", 0);
        snprintf(b, sizeof(b), "%d", count);
        result(sys_execve("child", list("child", "--take", a, b, NULL), ENV));
    }
    sender = fork();
    if (sender == 0) {
        send_all(pid, SIGRTMIN + 1, count);
        _exit(0);
    }
    close(up[1]);
    wait = (struct pollfd){ .fd = up[0], .events = POLLIN };
    while (poll(&wait, 1, PATIENCE) > 0) {
        int n;
        if (read(up[0], &n, sizeof(n)) != sizeof(n)) {
            break;
        }
        got = n;
        if (got == count) {
            break;
        }
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    kill(sender, SIGKILL);
    waitpid(sender, NULL, 0);
    say("queued %d: lost %d\n", count, count - got);
    return got != count;
}

/* The child's side: one generation. Values count up from 0, if in order. */
static int take(int got, int count)
{
    static const struct timespec now = { 0, 0 };
    char a[16], b[16];
    siginfo_t info;
    sigset_t set;
    int before = got;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    while (sigtimedwait(&set, &info, &now) > 0) {
        if (info.si_value.sival_int != got) {
            say("out of order: %d after %d\n", info.si_value.sival_int, got);
            return 1;
        }
        got++;
    }
    if (got != before && write(9, &got, sizeof(got)) != sizeof(got)) {
        return 1;
    }
    if (got == count) {
        return 0;
    }
    snprintf(a, sizeof(a), "%d", got);
    snprintf(b, sizeof(b), "%d", count);
    result(sys_execve("child", list("child", "--take", a, b, NULL), ENV));
    return 1;
}

/*
 * A signal comes at some moment around an exec. Either the handler still runs,
 * or the new program, which has none, is killed. If neither happens, then it
 * was taken from the kernel by somebody who was gone before he handed it on.
 */
static int around(int count)
{
    int killed = 0, handled = 0, lost = 0;

    for (int i = 0; i < count; i++) {
        int ready[2], up[2], status = 0;
        char c;
        pid_t pid;

        if (pipe2(up, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0) {
            die("pipe");
        }
        pid = fork();
        if (pid == 0) {
            close(up[0]);
            caught_fd = up[1];
            signal(SIGTERM, count_signal);
            if (write(ready[1], "r", 1) != 1) {
                _exit(95);
            }
            result(sys_execve("child", list("child", "--pause", NULL), ENV));
        }
        close(up[1]);
        if (read(ready[0], &c, 1) != 1) {
            die("read");
        }
        /* Emulated, an exec begins some hundred microseconds later. */
        for (volatile int spin = 0; spin < i % 50 * 200; spin++) {
            continue;
        }
        kill(pid, SIGTERM);
        /* The handler's byte, or nothing when the exec closes the pipe. */
        if (read(up[0], &c, 1) == 1) {
            handled++;
        } else {
            int waited = 0;
            while (waitpid(pid, &status, WNOHANG) == 0 && waited < PATIENCE) {
                usleep(1000);
                waited++;
            }
            if (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) {
                killed++;
            } else {
                lost++;
            }
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close(up[0]);
        close(ready[0]);
        close(ready[1]);
    }
    say("around %d: lost %d (handled %d, killed %d)\n", count, lost, handled, killed);
    return lost;
}

/* Signals for a process whose execs all fail: none lost, and no EINTR. */
static int failing(int count)
{
    struct sigaction act = { .sa_handler = count_signal };
    int still = 0, last = 0, interrupted = 0, self = getpid();
    struct timespec t;
    long since = 0;
    pid_t pid;

    sigaction(SIGRTMIN + 2, &act, NULL);
    pid = fork();
    if (pid == 0) {
        send_all(self, SIGRTMIN + 2, count);
        _exit(0);
    }
    while (caught < count && still < PATIENCE) {
        for (size_t i = 0; i < WAYS; i++) {
            if (ways[i].call() == -1 &&
                errno == EINTR) {
                interrupted++;
            }
        }
        clock_gettime(CLOCK_MONOTONIC, &t);
        if (!since || caught != last) {
            since = t.tv_sec * 1000 + t.tv_nsec / 1000000;
            last = caught;
        }
        still = t.tv_sec * 1000 + t.tv_nsec / 1000000 - since;
    }
    waitpid(pid, NULL, 0);
    say("failing %d: lost %d, interrupted %d\n", count, count - (int)caught, interrupted);
    return caught != count || interrupted;
}

static int endure(const char *what, int count)
{
    oversized = malloc(131073);
    memset(oversized, 'x', 131072);
    oversized[131072] = 0;
    plain_fd = open("plain", O_RDONLY);
    script_fd = open("script", O_RDONLY | O_CLOEXEC);

    return !strcmp(what, "leak") ? leak(count) :
           !strcmp(what, "queued") ? queued(count) :
           !strcmp(what, "around") ? around(count) :
           !strcmp(what, "failing") ? failing(count) : 2;
}
