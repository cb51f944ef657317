/*
 * Runs a program in a root file system that stays as it is, and tells what that took.
 *
 *     root kept|changed ROOT FILES PROGRAM [ARGUMENT...]
 *
 * To be started where mounts are ours alone, as by binfmt.c. In ROOT, /tmp becomes an
 * empty file system in memory, the folder FILES appears as /tmp/in, /proc is this machine's, and
 * /dev has the few devices that harm nobody. PROGRAM is named as ROOT names it, runs in
 * /tmp, and its exit code is ours. With "changed" it may write everywhere: its changes are
 * in memory, too, and gone when it ends.
 *
 * The last line on standard output: the nanoseconds that it took from before the fork until
 * after the wait, and those of processor time, its children's included.
 *
 * Exit 3: this machine, or this user, can't do that.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const devices[] = { "null", "zero", "full", "random", "urandom" };

static void lacks(const char *what)
{
    fprintf(stderr, "root: %s: %s\n", what, strerror(errno));
    exit(3);
}

/* Only for the time until the next call. */
static const char *below(const char *folder, const char *name)
{
    static char path[4096];

    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        lacks(folder);
    }
    return path;
}

static void put_memory(const char *path)
{
    if (mount("tmpfs", path, "tmpfs", 0, "mode=1777") < 0) {
        lacks(path);
    }
}

static void put(const char *from, const char *path)
{
    if (mount(from, path, NULL, MS_BIND | MS_REC, NULL) < 0) {
        lacks(path);
    }
}

static void put_devices(const char *root)
{
    char from[64], to[64];

    put_memory(below(root, "dev"));
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        int fd;

        snprintf(from, sizeof(from), "/dev/%s", devices[i]);
        snprintf(to, sizeof(to), "dev/%s", devices[i]);
        fd = open(below(root, to), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0 || close(fd) < 0) {
            lacks(to);
        }
        put(from, below(root, to));
    }
}

/* Lays a file system in memory over ROOT. */
static void put_changes(const char *root)
{
    const char *options = "lowerdir=.,upperdir=tmp/upper,workdir=tmp/work,userxattr";

    put_memory(below(root, "tmp"));
    if (mkdir(below(root, "tmp/upper"), 0755) < 0 || mkdir(below(root, "tmp/work"), 0755) < 0 ||
        chdir(root) < 0 || mount("overlay", ".", "overlay", 0, options) < 0) {
        lacks("no file system in memory over a folder");
    }
}

static void enter(const char *root, const char *files)
{
    put_memory(below(root, "tmp"));
    if (mkdir(below(root, "tmp/in"), 0777) < 0) {
        lacks("tmp/in");
    }
    put(files, below(root, "tmp/in"));
    put("/proc", below(root, "proc"));
    put_devices(root);
    if (chroot(root) < 0 || chdir("/tmp") < 0) {
        lacks(root);
    }
}

static long long nanoseconds(struct timeval time)
{
    return time.tv_sec * 1000000000LL + time.tv_usec * 1000LL;
}

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
    struct rusage used;
    long long begin, elapsed;
    int status;
    pid_t pid;

    if (argc < 5 || (strcmp(argv[1], "kept") && strcmp(argv[1], "changed"))) {
        fprintf(stderr, "usage: root kept|changed ROOT FILES PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    if (!strcmp(argv[1], "changed")) {
        put_changes(argv[2]);
    }
    enter(argv[2], argv[3]);
    begin = now();
    pid = vfork();
    if (pid == 0) {
        execv(argv[4], argv + 4);
        fprintf(stderr, "root: %s: %s\n", argv[4], strerror(errno));
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &used) < 0) {
        lacks("no child process");
    }
    elapsed = now() - begin;
    printf("%lld %lld\n", elapsed, nanoseconds(used.ru_utime) + nanoseconds(used.ru_stime));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
