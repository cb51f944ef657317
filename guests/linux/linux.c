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
#include <linux/fs.h>
#include <linux/genetlink.h>
#include <linux/inet_diag.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/sock_diag.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
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
#include "rlimit.h"
#include "robust.h"
#include "clone.h"
#include "calls.h"
#include "sockets.h"
#include "netlink.h"

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
    { "advice", advice },
    { "guard", guard },
    { "reuse", reuse },
    { "statx_mount", statx_mount },
    { "file_ioctls", file_ioctls },
    { "namespace_ioctls", namespace_ioctls },
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
    { "limits_read_back", limits_read_back },
    { "limit_of_stack", limit_of_stack },
    { "limit_of_programs_stack", limit_of_programs_stack },
    { "limits_of_maps", limits_of_maps },
    { "limits_told", limits_told },
    { "robust_ends", robust_ends },
    { "robust_killed", robust_killed },
    { "robust_thread", robust_thread },
    { "clone_namespaces", clone_namespaces },
    { "clone_then_fork", clone_then_fork },
    { "clone_signals", clone_signals },
    { "clone_shares", clone_shares },
    { "clone_sibling", clone_sibling },
    { "clone_refused", clone_refused },
    { "clone_numbers", clone_numbers },
    { "clone_by_structure", clone_by_structure },
    { "clone_without_descriptor", clone_without_descriptor },
    { "clone_beside_threads", clone_beside_threads },
    { "unshare_user", unshare_user },
    { "vectors", vectors },
    { "memory_of_processes", memory_of_processes },
    { "epoll_times", epoll_times },
    { "locked_memory", locked_memory },
    { "cached_pages", cached_pages },
    { "mounts", mounts },
    { "keys", keys },
    { "message_queue", message_queue },
    { "futexes_at_once", futexes_at_once },
    { "ipc_places", ipc_places },
    { "socket_options", socket_options },
    { "socket_values", socket_values },
    { "netlink_sockets", netlink_sockets },
    { "netlink_generic", netlink_generic },
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
