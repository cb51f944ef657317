/*
 * What a cache of translations must not change, and who must not have it.
 *
 * usage: cache mappings SEED COUNT    map, change, unmap and call code
 *        cache privileges HOST CHANGE which cache this process has before a change of privileges, which one
 *                                     after it, and which one a child has then: the first, another, or none
 *                                     (a change may also be: more pages of code than fit in)
 *        cache spoiled HOST           whether a child ends badly if HOST has written to the cache
 *        cache crowd                  many children at once, some of which are killed
 *        cache names                  what it reads in /proc and elsewhere, by many names
 *        cache guarded, guarded-back  Arm: branches into pages that are guarded
 *        cache guarded-both           Arm: one after the other, in two programs
 *        cache registers              Arm: which registers of the system can be read
 *
 * Built for the target. HOST is the same program built for this machine, and so is what spoils.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/capability.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NAME "/memfd:qemu-tb-cache"

static void die(const char *what)
{
    printf("cannot go on: %s: %s\n", what, strerror(errno));
    exit(99);
}

#define TRY(call) do { if ((call) < 0) { die(#call); } } while (0)

/* ---- code that is mapped ---------------------------------------------- */

#define PAGE 4096
#define SLOTS 48

/* Each in a page of its own, and without a word about where it lies */
#define FUNCTION(n) \
    __attribute__((aligned(PAGE), noinline, used)) static int f##n(int x) { return (x ^ n) * (2 * n + 3) + n; }
FUNCTION(0) FUNCTION(1) FUNCTION(2) FUNCTION(3) FUNCTION(4) FUNCTION(5) FUNCTION(6) FUNCTION(7)
/* So that the last page holds nothing that may change */
__attribute__((aligned(PAGE), noinline, used)) static int end(int x) { return x; }

static int (*const functions[])(int) = { f0, f1, f2, f3, f4, f5, f6, f7 };
#define COUNT ARRAY_SIZE(functions)

static uint64_t seed;
static int program = -1;                /* this file */
static long offsets[COUNT];             /* of the functions' pages in it */
static uint8_t *slots;
static int holds[SLOTS];                /* number of a function, or -1 */
static bool writable[SLOTS];
static unsigned long calls;

static unsigned number(unsigned below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

/* Arm says by the lowest bit which instructions these are. */
static uintptr_t bits(int f)
{
    return (uintptr_t)functions[f] % 2;
}

static uint8_t *page_of(int f)
{
    return (uint8_t *)((uintptr_t)functions[f] - bits(f));
}

static uint8_t *slot(int s)
{
    return slots + (size_t)s * PAGE;
}

static int find(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    for (unsigned f = 0; f < COUNT; f++) {
        uintptr_t at = (uintptr_t)page_of(f) - info->dlpi_addr;

        for (int i = 0; i < info->dlpi_phnum; i++) {
            const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

            if (ph->p_type == PT_LOAD && at - ph->p_vaddr < ph->p_filesz) {
                offsets[f] = at - ph->p_vaddr + ph->p_offset;
            }
        }
    }
    return 1;
}

static void call(int s)
{
    int f = holds[s], x = number(1000000), is;

    if (f < 0) {
        return;
    }
    is = ((int (*)(int))((uintptr_t)slot(s) + bits(f)))(x);
    calls++;
    if (is != functions[f](x)) {
        printf("function %d at slot %d: %d, not %d, after %lu calls\n", f, s, is, functions[f](x), calls);
        exit(1);
    }
}

static void map_file(int s, int f, int prot)
{
    if (mmap(slot(s), PAGE, prot, MAP_PRIVATE | MAP_FIXED, program, offsets[f]) == MAP_FAILED) {
        die("mmap");
    }
    holds[s] = f;
    writable[s] = prot & PROT_WRITE;
}

static void write_code(int s, int f)
{
    if (!writable[s]) {
        TRY(mprotect(slot(s), PAGE, PROT_READ | PROT_WRITE));
    }
    memcpy(slot(s), page_of(f), PAGE);
    __builtin___clear_cache((char *)slot(s), (char *)slot(s) + PAGE);
    if (!writable[s]) {
        TRY(mprotect(slot(s), PAGE, PROT_READ | PROT_EXEC));
    }
    holds[s] = f;
}

static void map_memory(int s, int f)
{
    int prot = PROT_READ | PROT_WRITE | PROT_EXEC;

    if (mmap(slot(s), PAGE, prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
        die("mmap of memory");
    }
    writable[s] = true;
    write_code(s, f);
}

/* A file that holds one function, then another */
static void map_changed(int s, int f, int g, int flags)
{
    int fd = memfd_create("code", MFD_CLOEXEC);

    TRY(fd);
    for (int i = 0; i < 2; i++) {
        TRY(pwrite(fd, page_of(i ? g : f), PAGE, 0));
        if (mmap(slot(s), PAGE, PROT_READ | PROT_EXEC, flags | MAP_FIXED, fd, 0) == MAP_FAILED) {
            die("mmap of a changed file");
        }
        __builtin___clear_cache((char *)slot(s), (char *)slot(s) + PAGE);
        holds[s] = i ? g : f;
        writable[s] = false;
        call(s);
    }
    close(fd);
}

static void forget(int s)
{
    if (mmap(slot(s), PAGE, PROT_NONE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
        die("mmap of nothing");
    }
    holds[s] = -1;
    writable[s] = false;
}

static void move(int from, int to)
{
    if (from == to || holds[from] < 0) {
        return;
    }
    if (mremap(slot(from), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, slot(to)) == MAP_FAILED) {
        die("mremap");
    }
    holds[to] = holds[from];
    writable[to] = writable[from];
    forget(from);
}

static void in_child(void)
{
    int status;
    pid_t pid = fork();

    TRY(pid);
    if (pid == 0) {
        for (int s = 0; s < SLOTS; s++) {
            call(s);
        }
        for (int i = 0; i < 8; i++) {
            map_file(number(SLOTS), number(COUNT), PROT_READ | PROT_EXEC);
            call(number(SLOTS));
        }
        _exit(0);
    }
    TRY(waitpid(pid, &status, 0));
    if (status) {
        exit(1);
    }
}

static void step(void)
{
    int s = number(SLOTS), f = number(COUNT), g = number(COUNT);

    switch (number(16)) {
    case 0 ... 3:
        map_file(s, f, PROT_READ | PROT_EXEC);
        break;
    case 4:
        map_file(s, f, PROT_READ | PROT_WRITE | PROT_EXEC);
        break;
    case 5:
        if (holds[s] >= 0) {
            write_code(s, f);
        }
        break;
    case 6:
        map_memory(s, f);
        break;
    case 7:
        map_changed(s, f, g, number(2) ? MAP_PRIVATE : MAP_SHARED);
        break;
    case 8:
        forget(s);
        break;
    case 9:
        move(s, number(SLOTS));
        break;
    case 10:
        if (holds[s] >= 0) {
            TRY(mprotect(slot(s), PAGE, PROT_NONE));
            TRY(mprotect(slot(s), PAGE, PROT_READ | PROT_EXEC));
            writable[s] = false;
        }
        break;
    case 11:
        if (number(50) == 0) {
            in_child();
        }
        break;
    case 12:
        TRY(madvise(slot(s), PAGE, MADV_WILLNEED));
        break;
    default:
        break;
    }
    for (int i = 0; i < 6; i++) {
        call(i ? (int)number(SLOTS) : s);
    }
}

static void begin(void)
{
    program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    TRY(program);
    dl_iterate_phdr(find, NULL);
    slots = mmap(NULL, SLOTS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED || end(0)) {
        die("mmap of the slots");
    }
    for (int s = 0; s < SLOTS; s++) {
        holds[s] = -1;
    }
}

static int mappings(unsigned long from, long count)
{
    seed = from;
    begin();
    while (count-- > 0) {
        step();
    }
    printf("%lu calls\n", calls);
    return 0;
}

/* More different pages of code than a cache has room for */
static void fill(void)
{
    const size_t count = 35000;
    uint8_t content[PAGE], *at;
    int fd;

    begin();
    slots = mmap(NULL, count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned n = 0; n < count; n++) {
        fd = memfd_create("code", MFD_CLOEXEC);
        TRY(fd);
        memcpy(content, page_of(n % COUNT), PAGE);
        memcpy(content + PAGE - sizeof(n), &n, sizeof(n));
        TRY(pwrite(fd, content, PAGE, 0));
        at = mmap(slots, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
        if (at == MAP_FAILED) {
            die("mmap");
        }
        __builtin___clear_cache((char *)at, (char *)at + PAGE);
        close(fd);
        holds[0] = n % COUNT;
        call(0);
        slots += PAGE;
    }
}

/* ---- who has it -------------------------------------------------------- */

/* A descriptor of the cache in this process, or -1 */
static int cache_of(const char *pid)
{
    char path[64], target[256];
    struct dirent *d;
    int found = -1;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    dir = opendir(path);
    if (!dir) {
        die(path);
    }
    while ((d = readdir(dir))) {
        char link[sizeof(path) + sizeof(d->d_name) + 2];
        ssize_t len;

        snprintf(link, sizeof(link), "%s/%s", path, d->d_name);
        len = readlink(link, target, sizeof(target) - 1);
        if (len > 0) {
            target[len] = '\0';
            if (!strncmp(target, NAME, strlen(NAME))) {
                found = atoi(d->d_name);
            }
        }
    }
    closedir(dir);
    return found;
}

static ino_t inode_of(const char *pid)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof(path), "/proc/%s/fd/%d", pid, cache_of(pid));
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* For each line of process numbers, one that says whether each has the first cache, another, or none */
static int look(void)
{
    char line[256], *pid;
    ino_t first = 0;

    while (fgets(line, sizeof(line), stdin)) {
        for (pid = strtok(line, " \n"); pid; pid = strtok(NULL, " \n")) {
            ino_t inode = inode_of(pid);

            first = first ? first : inode;
            printf("%s ", inode == 0 ? "none" : inode == first ? "first" : "other");
        }
        printf("\n");
        fflush(stdout);
    }
    return 0;
}

/*
 * How a block ends on this machine: its address goes to a register, and there is a jump, whose aim (this is its lowest
 * byte) changes.
 */
#ifdef __aarch64__
#define CODE_SIZE (120 << 20)
#define AIM 4

/* adr x0; b */
static bool is_end(const uint8_t *p)
{
    return (uintptr_t)p % 4 == 0 && (p[0] & 0x1f) == 0 && (p[3] & 0x9f) == 0x10 && (p[7] & 0xfc) == 0x14;
}
#else
#define CODE_SIZE (128 << 20)
#define AIM 8

/* lea rax; jmp */
static bool is_end(const uint8_t *p)
{
    return p[0] == 0x48 && p[1] == 0x8d && p[2] == 0x05 && p[7] == 0xe9;
}
#endif

static int spoil(const char *pid)
{
    char path[64];
    _Alignas(4) uint8_t page[PAGE];
    struct stat st;
    unsigned long changed = 0;
    int fd;

    snprintf(path, sizeof(path), "/proc/%s/fd/%d", pid, cache_of(pid));
    fd = open(path, O_RDWR | O_CLOEXEC);
    TRY(fd);
    TRY(fstat(fd, &st));
    /* Code is at the end of the file. Most of it is holes. */
    for (off_t at = st.st_size - CODE_SIZE; at < st.st_size; at += PAGE) {
        TRY(pread(fd, page, PAGE, at));
        for (int i = 0; i < PAGE - 12; i++) {
            if (is_end(page + i)) {
                page[i + AIM] ^= 1;
                changed++;
            }
        }
        TRY(pwrite(fd, page, PAGE, at));
    }
    printf("%lu changes\n", changed);
    return changed == 0;
}

/* ---- changes of privileges --------------------------------------------- */

static void change_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    TRY(syscall(SYS_capget, &header, data));
    data[0].effective &= ~(1u << CAP_SYS_CHROOT);
    data[0].permitted &= ~(1u << CAP_SYS_CHROOT);
    TRY(syscall(SYS_capset, &header, data));
}

static void change_groups(void)
{
    gid_t group = 4242;

    TRY(setgroups(1, &group));
}

static bool change(const char *what)
{
    if (!strcmp(what, "full")) {
        fill();
    } else if (!strcmp(what, "nothing")) {
        TRY(setresuid(-1, -1, -1));
        TRY(setuid(getuid()));
        TRY(setgid(getgid()));
    } else if (!strcmp(what, "setuid")) {
        TRY(setuid(65534));
    } else if (!strcmp(what, "seteuid")) {
        TRY(seteuid(65534));
    } else if (!strcmp(what, "setgid")) {
        TRY(setgid(65534));
    } else if (!strcmp(what, "setgroups")) {
        change_groups();
    } else if (!strcmp(what, "capset")) {
        change_capabilities();
    } else if (!strcmp(what, "no_new_privs")) {
        TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    } else if (!strcmp(what, "unshare_user")) {
        TRY(unshare(CLONE_NEWUSER));
    } else if (!strcmp(what, "unshare_mount")) {
        TRY(unshare(CLONE_NEWNS));
    } else {
        return false;
    }
    return true;
}

/* A program of this machine that can see what the guest must not */
typedef struct Looker {
    pid_t pid;
    FILE *to, *from;
} Looker;

static Looker start_look(const char *host)
{
    int to[2], from[2];
    Looker looker;

    TRY(pipe2(to, O_CLOEXEC));
    TRY(pipe2(from, O_CLOEXEC));
    looker.pid = fork();
    TRY(looker.pid);
    if (looker.pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execl(host, host, "look", (char *)NULL);
        _exit(98);
    }
    close(to[0]);
    close(from[1]);
    looker.to = fdopen(to[1], "w");
    looker.from = fdopen(from[0], "r");
    return looker;
}

/* Print what it says of one process, or two, and wait until it has said it. */
static void ask(const Looker *looker, pid_t one, pid_t two)
{
    char line[256];

    fprintf(looker->to, two ? "%d %d\n" : "%d\n", one, two);
    fflush(looker->to);
    if (!fgets(line, sizeof(line), looker->from)) {
        die("the program of this machine");
    }
    line[strcspn(line, "\n")] = '\0';
    printf("%s", line);
}

/* A child that has begun, and stays until @end is closed */
static pid_t start_child(char *self, int *end)
{
    int begun[2], stay[2];
    char byte;
    pid_t pid;

    TRY(pipe2(begun, O_CLOEXEC));
    TRY(pipe2(stay, O_CLOEXEC));
    pid = fork();
    TRY(pid);
    if (pid == 0) {
        dup2(stay[0], 0);
        dup2(begun[1], 1);
        execl(self, self, "stay", (char *)NULL);
        _exit(98);
    }
    close(begun[1]);
    TRY(read(begun[0], &byte, 1));
    *end = stay[1];
    return pid;
}

static int stay(void)
{
    char byte = 0;

    return write(1, &byte, 1) != 1 || read(0, &byte, 1) != 0;
}

static int run(char **args)
{
    int status;
    pid_t pid = fork();

    TRY(pid);
    if (pid == 0) {
        execv(args[0], args);
        _exit(98);
    }
    TRY(waitpid(pid, &status, 0));
    return status;
}

/* Does a child notice that somebody has written to the cache? */
static int spoiled(char *host, char *self)
{
    char pid[16];
    char *again[] = { self, "mappings", "1", "10", NULL }, *spoils[] = { host, "spoil", pid, NULL };

    snprintf(pid, sizeof(pid), "%d", getpid());
    if (run(again) || run(spoils)) {
        return 2;
    }
    return run(again) ? 0 : 1;
}

/* Many at once, some of which are killed: the others must not notice. */
static int crowd(char *self)
{
    char number[16], *args[] = { self, "mappings", number, "400", NULL };
    pid_t pids[20];
    int status, bad = 0;

    for (int round = 0; round < 4; round++) {
        for (unsigned i = 0; i < ARRAY_SIZE(pids); i++) {
            snprintf(number, sizeof(number), "%d", round * 3 + (int)i % 5);
            pids[i] = fork();
            TRY(pids[i]);
            if (pids[i] == 0) {
                execv(self, args);
                _exit(98);
            }
        }
        for (unsigned i = 0; i < ARRAY_SIZE(pids); i++) {
            if (i % 3 == 0) {
                usleep(4000);
                kill(pids[i], SIGKILL);
            }
        }
        for (unsigned i = 0; i < ARRAY_SIZE(pids); i++) {
            TRY(waitpid(pids[i], &status, 0));
            bad += status && !(i % 3 == 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
    }
    printf("%d of %d ended badly\n", bad, (int)ARRAY_SIZE(pids) * 4);
    return bad != 0;
}

static int privileges(const char *host, const char *what, char *self)
{
    Looker looker = start_look(host);
    pid_t child;
    int end, status;

    ask(&looker, getpid(), 0);
    if (!change(what)) {
        return 2;
    }
    child = start_child(self, &end);
    ask(&looker, getpid(), child);
    printf("\n");
    fclose(looker.to);
    TRY(waitpid(looker.pid, &status, 0));
    close(end);
    TRY(waitpid(child, &status, 0));
    return status != 0;
}

#include "names.h"
#if defined(__aarch64__) || defined(__arm__)
#include "arm.h"
#endif

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (!strcmp(what, "mappings") && argc == 4) {
        return mappings(strtoul(argv[2], NULL, 0), atol(argv[3]));
    }
    if (!strcmp(what, "privileges") && argc == 4) {
        return privileges(argv[2], argv[3], argv[0]);
    }
    if (!strcmp(what, "spoiled") && argc == 3) {
        return spoiled(argv[2], argv[0]);
    }
    if (!strcmp(what, "crowd")) {
        return crowd(argv[0]);
    }
    if (!strcmp(what, "names")) {
        return names();
    }
#if defined(__aarch64__) || defined(__arm__)
    if (!strcmp(what, "registers")) {
        return registers();
    }
#endif
#ifdef __aarch64__
    if (!strcmp(what, "guarded") || !strcmp(what, "guarded-back")) {
        return guarded(!strcmp(what, "guarded-back"));
    }
    if (!strcmp(what, "guarded-both")) {
        return guarded_both(argv[0]);
    }
#endif
    if (!strcmp(what, "look")) {
        return look();
    }
    if (!strcmp(what, "stay")) {
        return stay();
    }
    if (!strcmp(what, "spoil") && argc == 3) {
        return spoil(argv[2]);
    }
    fprintf(stderr, "usage: cache mappings SEED COUNT, cache privileges HOST CHANGE, cache spoiled HOST, cache crowd\n");
    return 2;
}
