/*
 * What Linux promises to a program, asked by one: each case prints a line that
 * is the same on every machine.  Run natively and emulated, the lines are
 * compared.
 *
 *     linux --run FOLDER      all cases; FOLDER is made, and may be left full
 *     linux --run FOLDER CASE...
 *
 * A line says what was seen, not whether it is right: that, the native run says.
 * No line may depend on the target: errors go by name, sizes by comparison.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *folder;

static void fail(const char *what)
{
    fprintf(stderr, "linux: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The error of a call, or that it succeeded. */
static const char *error(long result)
{
    return result == -1 ? strerrorname_np(errno) : "done";
}

/* A path below the folder; only for the time until the next call. */
static const char *below(const char *name)
{
    static char path[4096];

    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        fail(folder);
    }
    return path;
}

#include "memory.h"
#include "files.h"
#include "proc.h"
#include "signals.h"
#include "spawn.h"

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    { "heap", heap },
    { "heap_after_maps", heap_after_maps },
    { "mremap_fails", mremap_fails },
    { "mremap_moves", mremap_moves },
    { "readdir", list },
    { "seekdir", resume },
    { "reuse", reuse },
    { "cwd", cwd },
    { "stat_fields", stat_fields },
    { "stat_sizes", stat_sizes },
    { "realtime_signals", realtime_signals },
    { "crash_blocked", crash_blocked },
    { "crash_ignored", crash_ignored },
    { "spawn", spawn },
    { "spawn_with_actions", spawn_with_actions },
    { "vfork_tells", vfork_tells },
    { "vfork_waits", vfork_waits },
    { "vfork_descriptors", vfork_descriptors },
    { "vfork_beside_threads", vfork_beside_threads },
};

int main(int argc, char **argv)
{
    if (argc < 3 || strcmp(argv[1], "--run")) {
        fprintf(stderr, "usage: linux --run FOLDER [CASE...]\n");
        return 2;
    }
    folder = argv[2];
    if (mkdir(folder, 0700) < 0) {
        fail(folder);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool wanted = argc == 3;

        for (int word = 3; word < argc; word++) {
            wanted |= !strcmp(argv[word], cases[i].name);
        }
        if (wanted) {
            printf("%s: ", cases[i].name);
            fflush(stdout);
            cases[i].run();
            printf("\n");
        }
    }
    return 0;
}
