/*
 * Starts children and tells how long each of them took.
 *
 *     start COUNT PROGRAM [ARGUMENT...]
 *     start
 *
 * The first form starts PROGRAM once to warm up, then COUNT times, one after the
 * other, and prints a line each: nanoseconds from before the fork until the child
 * has been waited for, and those of them that the child was on a processor, which
 * other work on the machine disturbs less. PROGRAM is a path. The second form does nothing: a program
 * to start. Runs in an emulator; see ../README.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

struct cost {
    long long wall, cpu;
};

static struct cost start(char **argv)
{
    struct cost cost = { .wall = now() };
    struct rusage used;
    int status;
    pid_t pid = vfork();

    if (pid == 0) {
        execve(argv[0], argv, environ);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &used) != pid) {
        perror("start");
        exit(1);
    }
    if (status != 0) {
        fprintf(stderr, "start: %s ended with status 0x%x\n", argv[0], status);
        exit(1);
    }
    cost.wall = now() - cost.wall;
    cost.cpu = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000LL +
               (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000LL;
    return cost;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 0;
    struct cost *took;

    if (argc == 1) {
        return 0;
    }
    if (argc == 2 || count < 1) {
        fprintf(stderr, "usage: start COUNT PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    took = calloc(count, sizeof(*took));
    if (!took) {
        perror("start");
        return 1;
    }
    start(argv + 2);
    for (int i = 0; i < count; i++) {
        took[i] = start(argv + 2);
    }
    for (int i = 0; i < count; i++) {
        printf("%lld %lld\n", took[i].wall, took[i].cpu);
    }
    return 0;
}
