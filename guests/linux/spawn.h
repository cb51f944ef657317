/*
 * Part of linux.c: children by posix_spawn() and vfork().
 *
 * What is started are programs of the machine that runs this: there need be none for
 * what is emulated.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

extern char **environ;

static void make(const char *name, mode_t mode, const char *text)
{
    int fd = open(below(name), O_CREAT | O_WRONLY | O_TRUNC, 0700);

    if (fd < 0 || write(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0) {
        fail(name);
    }
    close(fd);
}

/* What the parent is told: an error, or how the child ended. */
static void spawn_one(const char *what, const char *path, const posix_spawn_file_actions_t *actions,
                      const posix_spawnattr_t *attributes)
{
    char *argv[] = { "child", NULL };
    pid_t pid;
    int status, failed = posix_spawn(&pid, path, actions, attributes, argv, environ);

    if (failed) {
        /* There is no child then. */
        status = wait(NULL) < 0 && errno == ECHILD;
        printf(" %s %s%s,", what, strerrorname_np(failed), status ? "" : " and a child");
    } else {
        waitpid(pid, &status, 0);
        printf(" %s exit %d,", what, WEXITSTATUS(status));
    }
    fflush(stdout);
}

static void spawn(void)
{
    make("text", 0700, "neither a script nor a program\n");
    make("plain", 0600, "");
    make("script", 0700, "#!/no/such/interpreter\n");
    spawn_one("true", "/bin/true", NULL, NULL);
    spawn_one("false", "/bin/false", NULL, NULL);
    spawn_one("missing", below("missing"), NULL, NULL);
    spawn_one("not executable", below("plain"), NULL, NULL);
    spawn_one("folder", folder, NULL, NULL);
    spawn_one("in a file", below("plain/file"), NULL, NULL);
    spawn_one("no interpreter", below("script"), NULL, NULL);
    spawn_one("text", below("text"), NULL, NULL);
}

static void spawn_with_actions(void)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 5, "no-such/file", O_RDONLY, 0);
    spawn_one("action", "/bin/true", &actions, NULL);
    posix_spawn_file_actions_destroy(&actions);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    spawn_one("attributes", below("missing"), NULL, &attributes);
    spawn_one("attributes", "/bin/false", NULL, &attributes);
    posix_spawnattr_destroy(&attributes);
}

static void vfork_tells(void)
{
    char *argv[] = { "child", NULL };
    volatile int seen = 0;
    int status;
    pid_t pid = vfork();

    if (pid == 0) {
        execv("/no/such/program", argv);
        seen = errno;
        _exit(3);
    }
    waitpid(pid, &status, 0);
    printf("%s, exit %d,", seen ? strerrorname_np(seen) : "nothing", WEXITSTATUS(status));
    seen = 0;
    for (volatile int i = 0; i < 20; i++) {
        pid = vfork();
        if (pid == 0) {
            seen++;
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    printf(" counted %d", seen);
}

/* The parent goes on when the child is done, not sooner. */
static void vfork_waits(void)
{
    volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *argv[] = { "sleep", "0.5", NULL };
    pid_t pid = vfork();
    int status;

    if (pid == 0) {
        usleep(100000);
        *shared = 1;
        _exit(0);
    }
    printf("%d at its end,", *shared);
    waitpid(pid, NULL, 0);
    pid = vfork();
    if (pid == 0) {
        usleep(100000);
        *shared = 2;
        execv("/bin/sleep", argv);
        _exit(1);
    }
    printf(" %d at its exec,", *shared);
    printf(" %d later,", waitpid(pid, NULL, WNOHANG) == 0);
    waitpid(pid, &status, 0);
    printf(" exit %d,", WEXITSTATUS(status));
    pid = vfork();
    if (pid == 0) {
        kill(getpid(), SIGKILL);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    printf(" killed %d", WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void vfork_descriptors(void)
{
    int fd = open("/dev/null", O_RDONLY);
    pid_t pid = vfork();

    if (pid == 0) {
        for (int i = 3; i < 64; i++) {
            close(i);
        }
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    printf("%s", fcntl(fd, F_GETFD) >= 0 ? "kept" : "lost");
    close(fd);
}

static volatile int stop;

static void *count(void *counted)
{
    while (!stop) {
        __atomic_add_fetch((long *)counted, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* What another thread has counted, once that is more than before: at once, or on a busy machine later. */
static long counted_beyond(long *counted, long before)
{
    long now;

    for (int turn = 0; turn < 1000; turn++) {
        now = __atomic_load_n(counted, __ATOMIC_SEQ_CST);
        if (now > before) {
            break;
        }
        usleep(10000);
    }
    return now;
}

/* What other threads write meanwhile stays. */
static void vfork_beside_threads(void)
{
    long counted = 0, before, during, after;
    pthread_t thread;
    pid_t pid;

    pthread_create(&thread, NULL, count, &counted);
    before = counted_beyond(&counted, 0);
    pid = vfork();
    if (pid == 0) {
        usleep(50000);
        _exit(0);
    }
    during = __atomic_load_n(&counted, __ATOMIC_SEQ_CST);
    waitpid(pid, NULL, 0);
    after = counted_beyond(&counted, during);
    stop = 1;
    pthread_join(thread, NULL);
    printf("%s", before > 0 && during >= before && after > during ? "they run" : "they stand still");
}
