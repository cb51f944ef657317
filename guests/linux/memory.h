/*
 * Part of linux.c: memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* A heap has room: as much as any program of this width may ask for. */
#define HEAP ((size_t)(sizeof(void *) == 8 ? 1 << 30 : 1 << 28))

static void heap(void)
{
    size_t step = 1 << 20, grown = 0;

    while (grown < HEAP && sbrk(step) != (void *)-1) {
        grown += step;
    }
    printf("%s", grown == HEAP ? "grew" : strerrorname_np(errno));
    sbrk(-(intptr_t)grown);
}

/* Maps that the program makes are not put where the heap grows. */
static void heap_after_maps(void)
{
    for (int i = 0; i < 100; i++) {
        if (mmap(NULL, 1 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
            fail("mmap");
        }
    }
    heap();
}

static const char *unmapped(size_t page)
{
    char *hole = mmap(NULL, 2 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    munmap(hole, 2 * page);
    return error((long)mremap(hole, 2 * page, 4 * page, MREMAP_MAYMOVE));
}

/* What cannot be moved stays where it is. */
static void mremap_fails(void)
{
    size_t page = sysconf(_SC_PAGESIZE), huge = -16 * page;
    char *old = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *to = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (old == MAP_FAILED || to == MAP_FAILED) {
        fail("mmap");
    }
    memset(old, 7, 4 * page);
    memset(to, 8, 4 * page);
    /* Kernels differ in the error. */
    printf("huge %s,", mremap(old, 4 * page, huge, MREMAP_MAYMOVE) == MAP_FAILED ? "refused" : "done");
    printf(" odd %s,", error((long)mremap(old + 1, 4 * page, 8 * page, MREMAP_MAYMOVE)));
    printf(" empty %s,", error((long)mremap(old, 4 * page, 0, MREMAP_MAYMOVE)));
    printf(" fixed odd %s,",
           error((long)mremap(old, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, to + 1)));
    printf(" fixed overlap %s,",
           error((long)mremap(old, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, old + page)));
    printf(" fixed alone %s,", error((long)mremap(old, 4 * page, 4 * page, MREMAP_FIXED, to)));
    printf(" flags %s,", error((long)mremap(old, 4 * page, 4 * page, 64)));
    printf(" unmapped %s,", unmapped(page));
    printf(" old %d%d, to %d%d", old[0], old[4 * page - 1], to[0], to[4 * page - 1]);
    munmap(old, 4 * page);
    munmap(to, 4 * page);
}

/* What is in memory stays there, wherever it goes. */
static void mremap_moves(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    char *old = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *now;

    if (old == MAP_FAILED) {
        fail("mmap");
    }
    memset(old, 7, 8 * page);
    now = mremap(old, 8 * page, 4 * page, MREMAP_MAYMOVE);
    printf("smaller %s,", now == old ? "in place" : "moved");
    now = mremap(now, 4 * page, 4 * page, MREMAP_MAYMOVE);
    printf(" as large %s,", now == old ? "in place" : "moved");
    now = mremap(now, 4 * page, 4096 * page, MREMAP_MAYMOVE);
    printf(" larger %s,", now == MAP_FAILED ? error(-1) : "done");
    printf(" holds %d%d%d,", now[0], now[4 * page - 1], now[4 * page]);
    old = mremap(now, page, page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    printf(" kept %d%d", old[0], now[0]);
}

/* Advice that changes what is in memory: done, or refused. */
static void advice(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    int fd = memfd_create("advice", 0), status = 0;
    char *map, *own;
    pid_t pid;

    if (fd < 0 || ftruncate(fd, 2 * page) < 0) {
        fail("memfd_create");
    }
    map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memset(map, 7, 2 * page);
    printf("removed %s", error(madvise(map, page, MADV_REMOVE)));
    printf(" %d%d,", map[0], map[page]);
    own = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(own, 7, 2 * page);
    printf(" wiped %s,", error(madvise(own, page, MADV_WIPEONFORK)));
    printf(" not in children %s", error(madvise(own + page, page, MADV_DONTFORK)));
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct rlimit none = { 0, 0 };

        setrlimit(RLIMIT_CORE, &none);
        _exit(own[0] + 10 * (own[page + 1] == 7));
    }
    waitpid(pid, &status, 0);
    printf(" %s %d,", WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "runs", WEXITSTATUS(status));
    printf(" here %d%d", own[0], own[page]);
    munmap(map, 2 * page);
    munmap(own, 2 * page);
    close(fd);
}

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* A guard page guards, if there is one. */
static void guard(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    char *own = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool refused = madvise(own, page, MADV_GUARD_INSTALL) < 0;
    int status = 0;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct rlimit none = { 0, 0 };

        setrlimit(RLIMIT_CORE, &none);
        own[0] = 1;
        _exit(0);
    }
    waitpid(pid, &status, 0);
    printf("%s", refused || WIFSIGNALED(status) ? "as told" : "not guarded");
    munmap(own, page);
}
