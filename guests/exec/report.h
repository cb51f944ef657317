/*
 * The child: it reports how it was started, in one line.
 *
 * Part of exec.c. Nothing here may depend on the machine that a program is
 * built for: signals go by their names, since their numbers differ.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define SCAN 4200               /* descriptors that a child looks at */

static char line[1 << 20];
static size_t used;

static void put(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    used += vsnprintf(line + used, sizeof(line) - used, format, ap);
    va_end(ap);
    if (used >= sizeof(line)) {
        used = sizeof(line) - 1;
    }
}

/* Long strings are told by length and a sum, the rest byte by byte. */
static void put_bytes(const char *s, size_t len)
{
    if (len > 300) {
        unsigned sum = 0;
        for (size_t i = 0; i < len; i++) {
            sum = sum * 31 + (unsigned char)s[i];
        }
        put("[%zu bytes, sum %08x]", len, sum);
        return;
    }
    put("[");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = s[i];
        if (c < 32 || c > 126 || c == '\\' || c == '[' || c == ']') {
            put("\\%02x", c);
        } else {
            put("%c", c);
        }
    }
    put("]");
}

/* Very many strings are told by their number and a sum. */
static void put_list(const char *name, char **strings)
{
    unsigned sum = 0;
    int n = 0;

    put(" %s=", name);
    for (char **p = strings; *p; p++, n++) {
        for (char *c = *p; *c; c++) {
            sum = sum * 31 + (unsigned char)*c;
        }
        sum = sum * 31 + 1;
    }
    if (n > 600) {
        put("[%d strings, sum %08x]", n, sum);
        return;
    }
    for (char **p = strings; *p; p++) {
        put_bytes(*p, strlen(*p));
    }
}

static void put_file(const char *name, const char *path)
{
    static char buf[1 << 18];
    ssize_t len = 0, n;
    int fd = open(path, O_RDONLY);

    put(" %s=", name);
    if (fd < 0) {
        put("?%d", errno);
        return;
    }
    while ((n = read(fd, buf + len, sizeof(buf) - len)) > 0) {
        len += n;
    }
    close(fd);
    if (!strcmp(name, "stat")) {
        char *p = memchr(buf, '(', len), *q = memrchr(buf, ')', len);
        if (p && q) {
            put_bytes(p + 1, q - p - 1);
        }
        return;
    }
    put_bytes(buf, len);
}

static void put_numbers(const char *name, const char *set, int count)
{
    const char *sep = "";

    put(" %s=", name);
    for (int i = 0; i < count; i++) {
        int from = i;
        if (!set[i]) {
            continue;
        }
        while (i + 1 < count && set[i + 1]) {
            i++;
        }
        put(from == i ? "%s%d" : "%s%d-%d", sep, from, i);
        sep = ",";
    }
}

/* Saved ids, capabilities, and whether others of this user may debug us. */
static void put_rights(void)
{
    struct { unsigned version; int pid; } header = { 0x20080522, 0 };
    struct { unsigned effective, permitted, inheritable; } caps[2] = { 0 };
    uid_t user[3];
    gid_t group[3];

    getresuid(&user[0], &user[1], &user[2]);
    getresgid(&group[0], &group[1], &group[2]);
    put(" saved=%d,%d", (int)user[2], (int)group[2]);
    syscall(SYS_capget, &header, caps);
    put(" caps=%x%08x,%x%08x,%x%08x", caps[1].effective, caps[0].effective,
        caps[1].permitted, caps[0].permitted,
        caps[1].inheritable, caps[0].inheritable);
    put(" ambient=%d", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 12, 0, 0));
    put(" dumpable=%d", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
}

static const struct {
    const char *name;
    int number;
} signals[] = {
#define SIGNAL(name) { #name, SIG##name }
    SIGNAL(HUP), SIGNAL(INT), SIGNAL(QUIT), SIGNAL(ILL), SIGNAL(TRAP),
    SIGNAL(ABRT), SIGNAL(BUS), SIGNAL(FPE), SIGNAL(KILL), SIGNAL(USR1),
    SIGNAL(SEGV), SIGNAL(USR2), SIGNAL(PIPE), SIGNAL(ALRM), SIGNAL(TERM),
    SIGNAL(CHLD), SIGNAL(CONT), SIGNAL(STOP), SIGNAL(TSTP), SIGNAL(TTIN),
    SIGNAL(TTOU), SIGNAL(URG), SIGNAL(XCPU), SIGNAL(XFSZ), SIGNAL(VTALRM),
    SIGNAL(PROF), SIGNAL(WINCH), SIGNAL(IO), SIGNAL(PWR), SIGNAL(SYS),
};
#define REALTIME 28             /* realtime signals that every machine has */

static const char *signal_name(int number)
{
    static char buf[16];

    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        if (signals[i].number == number) {
            return signals[i].name;
        }
    }
    snprintf(buf, sizeof(buf), "RT%d", number - SIGRTMIN);
    return buf;
}

/* Is this true of a signal? */
typedef bool SignalTest(int number, const void *data);

static void put_signals(const char *name, SignalTest *test, const void *data)
{
    const char *sep = "";

    put(" %s=", name);
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        if (test(signals[i].number, data)) {
            put("%s%s", sep, signals[i].name);
            sep = ",";
        }
    }
    for (int i = 0; i < REALTIME; i++) {
        if (test(SIGRTMIN + i, data)) {
            put("%sRT%d", sep, i);
            sep = ",";
        }
    }
}

static bool is_in(int number, const void *set)
{
    return sigismember(set, number) > 0;
}

static bool is_ignored(int number, const void *data)
{
    struct sigaction act;

    (void)data;
    return sigaction(number, NULL, &act) == 0 && act.sa_handler == SIG_IGN;
}

static int report(char **argv, char **envp)
{
    static char set[SCAN];
    char buf[PATH_MAX + 1];
    struct itimerval timer;
    struct stat st1, st9;
    struct rlimit lim;
    sigset_t mask;
    ssize_t len;
    DIR *dir;
    mode_t um;

    /* Before anything else is opened. */
    for (int i = 0; i < SCAN; i++) {
        set[i] = fcntl(i, F_GETFD) >= 0;
    }
    put_numbers("fds", set, SCAN);

    memset(set, 0, sizeof(set));
    dir = opendir("/proc/self/fd");
    if (dir) {
        struct dirent *d;
        while ((d = readdir(dir))) {
            int fd = atoi(d->d_name);
            if (isdigit((unsigned char)*d->d_name) && fd < SCAN &&
                fd != dirfd(dir)) {
                set[fd] = 1;
            }
        }
        closedir(dir);
        put_numbers("listed", set, SCAN);
    }

    put_list("argv", argv);
    put_list("env", envp);
    put(" execfn=");
    const char *execfn = (const char *)getauxval(AT_EXECFN);
    if (execfn) {
        put_bytes(execfn, strlen(execfn));
    }
    len = readlink("/proc/self/exe", buf, sizeof(buf));
    put(" exe=");
    put_bytes(buf, len < 0 ? 0 : len);
    put_file("comm", "/proc/self/comm");
    put_file("stat", "/proc/self/stat");
    put_file("cmdline", "/proc/self/cmdline");
    put(" cwd=");
    if (getcwd(buf, sizeof(buf))) {
        put_bytes(buf, strlen(buf));
    }

    um = umask(0);
    umask(um);
    put(" umask=%03o", (unsigned)um);

    sigprocmask(SIG_SETMASK, NULL, &mask);
    put_signals("blocked", is_in, &mask);
    put_signals("ignored", is_ignored, NULL);
    sigpending(&mask);
    put_signals("pending", is_in, &mask);

    getitimer(ITIMER_REAL, &timer);
    put(" timer=%d", timer.it_value.tv_sec > 0);
    getrlimit(RLIMIT_NOFILE, &lim);
    put(" nofile=%ld/%ld", (long)lim.rlim_cur, (long)lim.rlim_max);
    getrlimit(RLIMIT_CORE, &lim);
    put(" core=%ld", (long)lim.rlim_cur);
    getrlimit(RLIMIT_FSIZE, &lim);
    put(" fsize=");
    put(lim.rlim_cur == RLIM_INFINITY ? "any" : "%ld", (long)lim.rlim_cur);
    put(" ids=%d,%d,%d,%d", (int)getuid(), (int)geteuid(), (int)getgid(),
        (int)getegid());
    put(" secure=%d", (int)getauxval(AT_SECURE));
    put_rights();
    put(" leads=%d,%d", getpgrp() == getpid(), getsid(0) == getpid());
    put(" alone=%d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    put(" nice=%d", getpriority(PRIO_PROCESS, 0));
    /* Some cases have a file there, and others standard output. */
    if (fstat(9, &st9) == 0 && fstat(1, &st1) == 0 &&
        st9.st_ino != st1.st_ino) {
        put(" offset=%ld", (long)lseek(9, 0, SEEK_CUR));
    }

    put("\n");
    for (size_t done = 0; done < used; ) {
        ssize_t n = write(1, line + done, used - done);
        if (n <= 0) {
            /* Standard output may be what the case has closed. */
            n = write(250, line + done, used - done);
            if (n <= 0) {
                return 1;
            }
        }
        done += n;
    }
    return 0;
}
