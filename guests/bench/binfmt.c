/*
 * Runs a program while a file format is registered in binfmt_misc.
 *
 *     binfmt own FOLDER REGISTRATION PROGRAM [ARGUMENT...]
 *     binfmt machine FOLDER REGISTRATION PROGRAM [ARGUMENT...]
 *
 * Mounts binfmt_misc on FOLDER, where nobody else sees it, writes REGISTRATION (see
 * the kernel's Documentation/admin-guide/binfmt-misc.rst), and becomes PROGRAM. If
 * REGISTRATION is empty, nothing is registered.
 *
 * "own" makes a user namespace, which has a binfmt_misc of its own since Linux 6.7:
 * it needs no root, nobody else notices, and with the last process it is gone. "machine"
 * is for older kernels: it needs root, and the format is registered for everybody until
 * PROGRAM and all that it started have ended, however that comes about.
 *
 * Exit 3: this machine, or this user, can't do that.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static void lacks(const char *what)
{
    fprintf(stderr, "binfmt: %s: %s\n", what, strerror(errno));
    exit(3);
}

static int is_put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0;
}

static void put(const char *path, const char *text)
{
    if (!is_put(path, text)) {
        lacks(path);
    }
}

/*
 * Leaves a child behind that gives our new user namespace all ids of this one, as only
 * root may, and as only a process outside can. It does so when it reads a byte.
 */
static int map_all_later(pid_t *child)
{
    const char *all = "0 0 4294967295";
    char path[64], groups[64], byte;
    pid_t parent = getpid();
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0 || (*child = fork()) < 0) {
        lacks("no process to map ids");
    }
    if (*child > 0) {
        close(ends[0]);
        return ends[1];
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1) {
        _exit(1);
    }
    snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)parent);
    snprintf(groups, sizeof(groups), "/proc/%d/gid_map", (int)parent);
    _exit(!is_put(path, all) || !is_put(groups, all));
}

/* A user namespace in which we are root: with all ids if we were root of the machine before. */
static void be_root(void)
{
    unsigned uid = geteuid(), gid = getegid();
    char text[64];
    pid_t child;
    int begin = uid == 0 ? map_all_later(&child) : -1, status;

    if (unshare(CLONE_NEWUSER) < 0) {
        lacks("no user namespaces");
    }
    if (begin >= 0 && write(begin, "", 1) == 1 && close(begin) == 0 &&
        waitpid(child, &status, 0) == child && status == 0) {
        return;
    }
    put("/proc/self/setgroups", "deny");
    snprintf(text, sizeof(text), "0 %u 1", uid);
    put("/proc/self/uid_map", text);
    snprintf(text, sizeof(text), "0 %u 1", gid);
    put("/proc/self/gid_map", text);
}

/*
 * Leaves a process behind that unregisters the format called @name when we and all
 * that we start have ended. It is in no process group that somebody kills, and keeps
 * standard output open, so that who reads that waits for it, too.
 */
static void unregister_later(const char *folder, const char *name)
{
    char path[4096], byte;
    int ends[2];
    pid_t pid;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (pipe(ends) < 0 || (pid = fork()) < 0) {
        lacks("no process to clean up");
    }
    if (pid > 0) {
        close(ends[0]);         /* The other end stays with us and our children. */
        return;
    }
    setsid();
    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_IGN);
    }
    close(ends[1]);
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
        continue;
    }
    put(path, "-1");
    _exit(0);
}

int main(int argc, char **argv)
{
    char path[4096], name[256];
    const char *folder, *registration;
    int own;

    if (argc < 5 || (strcmp(argv[1], "own") && strcmp(argv[1], "machine"))) {
        fprintf(stderr, "usage: binfmt own|machine FOLDER REGISTRATION PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    own = !strcmp(argv[1], "own");
    folder = argv[2];
    registration = argv[3];
    if (own) {
        be_root();
    }
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        lacks("no mount namespaces");
    }
    /* Before Linux 6.7, a user namespace is refused this: there is only one, the machine's. */
    if (mount("binfmt_misc", folder, "binfmt_misc", 0, NULL) < 0) {
        lacks("binfmt_misc can't be mounted");
    }
    if (*registration) {
        if (sscanf(registration, ":%255[^:]:", name) != 1) {
            fprintf(stderr, "binfmt: a registration begins with ':NAME:'\n");
            return 2;
        }
        snprintf(path, sizeof(path), "%s/register", folder);
        put(path, registration);
        if (!own) {
            unregister_later(folder, name);
        }
    }
    execv(argv[4], argv + 4);
    lacks(argv[4]);
}
