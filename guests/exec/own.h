/*
 * What /proc/self/exe is, under all of its names and with all flags: the
 * program's own file.
 *
 * Part of exec.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static struct stat own_file;    /* the program's, by its path */

/* Whatever is said of a file: is it the program's? */
static const char *whose(const struct stat *st)
{
    if (S_ISLNK(st->st_mode)) {
        return "link";
    }
    return st->st_dev == own_file.st_dev && st->st_ino == own_file.st_ino &&
           st->st_size == own_file.st_size ? "own" : "other";
}

static const char *whose_fd(int fd)
{
    struct stat st;
    const char *text;

    if (fd < 0) {
        return error_name(errno);
    }
    text = fstat(fd, &st) < 0 ? error_name(errno) : whose(&st);
    close(fd);
    return text;
}

static const char *target(int fd, const char *path)
{
    static char buf[PATH_MAX + 1];
    ssize_t len = readlinkat(fd, path, buf, PATH_MAX);

    if (len < 0) {
        return error_name(errno);
    }
    buf[len] = 0;
    return buf;
}

/* As others may name a file: has a call that is newer than the emulator no say? */
static const char *newer(int fd)
{
    return fd < 0 && errno == ENOSYS ? "own" : whose_fd(fd);
}
static const char *whose_statx(int dirfd, const char *path)
{
    struct statx st;

    if (statx(dirfd, path, 0, STATX_INO | STATX_SIZE, &st) < 0) {
        return error_name(errno);
    }
    return st.stx_ino == own_file.st_ino &&
           st.stx_size == (unsigned long long)own_file.st_size &&
           makedev(st.stx_dev_major, st.stx_dev_minor) == own_file.st_dev ?
           "own" : "other";
}

static const char *own_case_name, *proc_mount;

/* A name in /proc: of PROC, PID and TID, what they are for this thread */
static char *expand(const char *form)
{
    char *path = calloc(1, PATH_MAX), *to = path;

    for (const char *p = form; *p; ) {
        if (!strncmp(p, "PROC", 4)) {
            to += sprintf(to, "%s", proc_mount);
            p += 4;
        } else if (!strncmp(p, "PID", 3)) {
            to += sprintf(to, "%d", (int)getpid());
            p += 3;
        } else if (!strncmp(p, "TID", 3)) {
            to += sprintf(to, "%d", (int)syscall(SYS_gettid));
            p += 3;
        } else {
            *to++ = *p++;
        }
    }
    return path;
}

/* The same, where numbers would be different ones in each run */
static const char *target_form(int fd, const char *path)
{
    static char text[PATH_MAX];
    const char *is = target(fd, path), *pid = expand("PROC/PID/exe");

    if (!strcmp(is, pid)) {
        snprintf(text, sizeof(text), "PROC/PID/exe");
        return text;
    }
    return is;
}

/*
 * Looks at a file by @form, from folder @dir, which may be NULL, opened with
 * @flags. @link: by a link to that
 */
static void look(const char *dir, int flags, const char *form, bool link)
{
    uint64_t how[3] = { O_RDONLY | O_CLOEXEC, 0, 0 };
    char *path = expand(form);
    int dirfd = AT_FDCWD, fd;
    struct stat st;

    say("%s %s%s%s%s:", own_case_name, form, dir ? " from " : "", dir ? dir : "",
        link ? " by a link" : flags & O_PATH ? " by O_PATH" : "");
    if (dir) {
        dirfd = open(expand(dir), flags | O_CLOEXEC);
    }
    if (link) {
        unlink("own-link");
        if (symlink(path, "own-link") < 0) {
            say(" no link");
        }
        path = "own-link";
    }
#define FD(call) ((call) < 0 ? error_name(errno) : whose(&st))
    if (dirfd == AT_FDCWD) {
        say(" stat %s", FD(stat(path, &st)));
        say(" lstat %s", FD(lstat(path, &st)));
        say(" open %s", whose_fd(open(path, O_RDONLY)));
        say(" access %s", access(path, X_OK) < 0 ? error_name(errno) : "yes");
        say(" readlink %s", target_form(AT_FDCWD, path));
    }
    say(" fstatat %s", FD(fstatat(dirfd, path, &st, 0)));
    say(" nofollow %s", FD(fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW)));
    say(" statx %s", whose_statx(dirfd, path));
    say(" openat %s", whose_fd(openat(dirfd, path, O_RDONLY)));
    say(" O_PATH %s", whose_fd(openat(dirfd, path, O_PATH)));
#ifdef SYS_openat2
    say(" openat2 %s", newer(syscall(SYS_openat2, dirfd, path, how, sizeof(how))));
#else
    (void)how;
    say(" openat2 own");
#endif
    say(" faccessat %s", faccessat(dirfd, path, X_OK, 0) < 0 ? error_name(errno) : "yes");
    say(" readlinkat %s", target_form(dirfd, path));
    fd = openat(dirfd, path, O_PATH | O_NOFOLLOW);
    if (fd < 0) {
        say(" O_NOFOLLOW %s", error_name(errno));
    } else {
        say(" O_NOFOLLOW %s", FD(fstat(fd, &st)));
        say(" to %s", target_form(fd, ""));
        say(" fstatat %s", FD(fstatat(fd, "", &st, AT_EMPTY_PATH)));
        close(fd);
    }
    close(dirfd);
    /* What it is that runs: in processes of their own, that look anew. */
    for (int i = dir != NULL; i < 2; i++) {
        char **args = list("again", "--quick", NULL);
        pid_t pid = fork();
        if (pid == 0) {
            char *path = expand(form);
            /* Its own: where it is now, is its parent's. */
            if (!dir && !strcmp(form, "exe") && chdir(expand("PROC/self")) < 0) {
                say(" no /proc");
            }
            int dirfd = dir ? open(expand(dir), flags | O_CLOEXEC) : AT_FDCWD;
            long ret = i ? sys_execveat(dirfd, path, args, ENV, 0) :
                       sys_execve(path, args, ENV);
            say(ret ? " %s" : "", error_name(errno));
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    say("\n");
}

static void look_at_all(void)
{
    static const char * const forms[] = {
        "PROC/self/exe", "PROC/thread-self/exe", "PROC//self/../self/./exe",
        "PROC/self/task/TID/exe", "PROC/PID/exe", "PROC/PID/task/TID/exe",
        "PROC/self/rootPROC/self/exe",
    };

    say("\n");
    for (int i = 0; i < 6; i++) {
        look(NULL, 0, forms[i], false);
        if (!strstr(forms[i], "TID")) {
            look(NULL, 0, forms[i], true);
        }
    }
    look(NULL, 0, forms[6], false);
    look("PROC/self", O_RDONLY | O_DIRECTORY, "exe", false);
    look("PROC/self", O_RDONLY | O_DIRECTORY, "./exe", false);
    look("PROC/self", O_PATH, "exe", false);
    look("PROC/thread-self", O_RDONLY, "exe", false);
    look("PROC/PID/task/TID", O_RDONLY, "exe", false);
    look("PROC/self/fd", O_RDONLY, "../exe", false);
    look("PROC", O_RDONLY, "self/exe", false);
    look("PROC", O_PATH, "thread-self/exe", false);
    if (chdir(expand("PROC/self")) == 0) {
        look(NULL, 0, "exe", false);
    }
    if (chdir(proc_mount) == 0) {
        look(NULL, 0, "self/exe", false);
    }
    if (chdir(here) < 0) {
        die(here);
    }
    unlink("own-link");
    say("%s: done\n", own_case_name);
}

static void *look_in_thread(void *arg)
{
    look_at_all();
    _exit(0);
    return arg;
}

/* Openings that would write to the program, and others that cannot be. */
static void open_all(const char *path)
{
    static const struct {
        const char *name;
        int flags;
    } ways[] = {
#define WAY(flags) { #flags, flags }
        WAY(O_RDONLY), WAY(O_WRONLY), WAY(O_RDWR), WAY(O_RDONLY | O_TRUNC),
        WAY(O_WRONLY | O_TRUNC), WAY(O_RDWR | O_TRUNC), WAY(O_RDONLY | O_CREAT),
        WAY(O_RDWR | O_CREAT), WAY(O_WRONLY | O_CREAT | O_TRUNC),
        WAY(O_CREAT | O_EXCL), WAY(O_RDWR | O_CREAT | O_EXCL),
        WAY(O_RDONLY | O_DIRECTORY), WAY(O_RDWR | O_TMPFILE),
        WAY(O_RDONLY | O_NOFOLLOW), WAY(O_RDWR | O_NOFOLLOW), WAY(O_PATH),
        WAY(O_PATH | O_NOFOLLOW), WAY(O_PATH | O_DIRECTORY),
        WAY(O_RDONLY | O_APPEND), WAY(O_WRONLY | O_APPEND),
        WAY(O_RDWR | O_APPEND), WAY(O_RDONLY | O_NONBLOCK),
        WAY(O_RDONLY | O_NOATIME), WAY(O_RDONLY | O_SYNC), WAY(O_ACCMODE),
        WAY(O_CREAT | O_DIRECTORY),
    };
    struct stat st;

    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        int fd = open(path, ways[i].flags, 0600);

        say(" %s:", ways[i].name);
        if (fd >= 0) {
            say(" mode %d", fcntl(fd, F_GETFL) & O_ACCMODE);
            say(fcntl(fd, F_GETFL) & O_APPEND ? " appends" : "");
            say(fcntl(fd, F_GETFL) & O_NONBLOCK ? " does not wait" : "");
        }
        say(" %s,", whose_fd(fd));
    }
    say(" truncate: %s,", truncate(path, 0) < 0 ? error_name(errno) : "done");
    say(" creat: %s,", whose_fd(creat(path, 0600)));
    say(" program is %s;", stat(own_path, &st) < 0 ? error_name(errno) : whose(&st));
}

/* The program's side. */
static int own(const char *how, const char *path)
{
    static char proc[PATH_MAX], name[64];

    own_path = path;
    strcpy(proc, "/proc");
    proc_mount = proc;
    snprintf(name, sizeof(name), "exe_names_%s", how);
    own_case_name = name;
    if (stat(path, &own_file) < 0) {
        die(path);
    }
    if (!strcmp(how, "open")) {
        open_all("/proc/self/exe");
        say("\n");
        return 0;
    }
    if (!strcmp(how, "open others")) {
        char text[64];
        open_all("/proc/thread-self/exe");
        snprintf(text, sizeof(text), "/proc/%d/exe", (int)getpid());
        open_all(text);
        open_all("exe-link");
        say("\n");
        return 0;
    }
    if (!strcmp(how, "deleted")) {
        unlink(path);
    } else if (!strcmp(how, "renamed")) {
        rename(path, "temporary2");
        script(path, "not a program\n");
    } else if (!strcmp(how, "unreadable")) {
        chmod(path, 0311);
    } else if (!strcmp(how, "mount") || !strcmp(how, "bind")) {
        pid_t pid;

        snprintf(proc, sizeof(proc), "%s/proc2", here);
        mkdir(proc, 0755);
        /* A user namespace is for a single thread, and QEMU has two. */
        if (geteuid() ||
            unshare(CLONE_NEWNS | (*how == 'm' ? CLONE_NEWPID : 0)) < 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
            say(" refused\n");
            return 0;
        }
        pid = fork();
        if (pid) {
            return waitpid(pid, NULL, 0) != pid;
        }
        if (mount(*how == 'm' ? "none" : "/proc", proc, "proc",
                  *how == 'm' ? 0 : MS_BIND | MS_REC, NULL) < 0) {
            say(" refused\n");
            return 0;
        }
    } else if (!strcmp(how, "thread")) {
        pthread_t thread;

        pthread_create(&thread, NULL, look_in_thread, NULL);
        for (;;) {
            pause();
        }
    }
    look_at_all();
    return 0;
}

static void own_case(const char *how)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/temporary", here);
    program(path, 0755);
    result(sys_execve(path, list("temporary", "--own", here, how, path, NULL), ENV));
}
CASE(exe_names_plain) { own_case("plain"); }
CASE(exe_names_thread) { own_case("thread"); }
CASE(exe_names_deleted) { own_case("deleted"); }
CASE(exe_names_renamed) { own_case("renamed"); }
CASE(exe_names_unreadable) { own_case("unreadable"); }
CASE(exe_names_mount) { own_case("mount"); }
CASE(exe_names_bind) { own_case("bind"); }
CASE(exe_open_flags) { own_case("open"); }
CASE(exe_open_flags_others) { own_case("open others"); }
