/*
 * What the emulator's settings look like from inside, a line each. A setting
 * that a child has is one whose line is the same as in a first program.
 *
 * Part of exec.c. Only what another process sees of this one tells about the
 * emulator itself, so a child reads it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#if defined(__i386__) || defined(__x86_64__)
#include <cpuid.h>
#endif

/* Lines of /proc/PID/maps, as another process sees them. */
static void each_host_mapping(void (*see)(const char *, void *), void *data)
{
    char path[64], text[PATH_MAX + 128];
    int up[2], len = 0;
    pid_t pid;

    snprintf(path, sizeof(path), "/proc/%d/maps", getpid());
    if (pipe(up) < 0) {
        return;
    }
    pid = fork();
    if (pid == 0) {
        int fd = open(path, O_RDONLY);
        ssize_t n;
        while ((n = read(fd, text, sizeof(text))) > 0 &&
               write(up[1], text, n) == n) {
            continue;
        }
        _exit(0);
    }
    close(up[1]);
    while (len < (int)sizeof(text) - 1 && read(up[0], text + len, 1) == 1) {
        if (text[len++] == '\n') {
            text[len - 1] = 0;
            see(text, data);
            len = 0;
        }
    }
    close(up[0]);
    waitpid(pid, NULL, 0);
}

struct mappings {
    const char *image;
    unsigned long long base, code;
};

static void see_mapping(const char *text, void *data)
{
    struct mappings *m = data;
    unsigned long long from, to, offset;
    char mode[8], name[PATH_MAX] = "";

    if (sscanf(text, "%llx-%llx %7s %llx %*s %*s %4095[^\n]", &from, &to, mode,
               &offset, name) < 4) {
        return;
    }
    if (!m->base && offset == 0 && !strcmp(name, m->image)) {
        m->base = from;
    }
    /* Translated code is all that is writable and executable. */
    if (mode[1] == 'w' && mode[2] == 'x' && to - from > m->code) {
        m->code = to - from;
    }
}

/* The size of the mapping that holds this address, as the guest sees it. */
static unsigned long mapping_size(const void *address)
{
    char text[PATH_MAX + 128];
    unsigned long long from, to;
    unsigned long size = 0;
    FILE *f = fopen("/proc/self/maps", "r");

    while (f && fgets(text, sizeof(text), f)) {
        if (sscanf(text, "%llx-%llx", &from, &to) == 2 &&
            from <= (uintptr_t)address && (uintptr_t)address < to) {
            size = to - from;
        }
    }
    if (f) {
        fclose(f);
    }
    return size;
}

/* Does the kernel, or who plays it, have memory at an address to give? */
static int reaches(unsigned long address)
{
    void *p = mmap((void *)address, 65536, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == (void *)address;
}

/*
 * The real-time signals that the host ignores. Of the others, an emulator
 * without --execve catches those that dump core even if its caller ignored
 * them, so they tell nothing of its options; what the guest sees of them is in
 * report.h.
 */
static unsigned long long host_ignored(void)
{
    char text[256];
    unsigned long long set = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(text, sizeof(text), f)) {
        sscanf(text, "SigIgn: %llx", &set);
    }
    if (f) {
        fclose(f);
    }
    return set & ~0x7fffffffULL;
}

static unsigned cpu_model(void)
{
    unsigned a = 0;
#if defined(__i386__) || defined(__x86_64__)
    unsigned b, c, d;
    __get_cpuid(1, &a, &b, &c, &d);
#endif
    return a;
}

static void on_signal(int sig) { (void)sig; }

static int facts(void)
{
    unsigned char *r = (unsigned char *)getauxval(AT_RANDOM);
    const char *platform = (const char *)getauxval(AT_PLATFORM);
    const ElfW(Phdr) *phdr = (void *)getauxval(AT_PHDR);
    struct mappings m = { 0 };
    char exe[PATH_MAX] = "";
    struct utsname u;

    if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0) {
        m.image = exe;
        each_host_mapping(see_mapping, &m);
    }
    uname(&u);
    say("release %s\n", u.release);
    say("cpu %lx %lx %s %x\n", getauxval(AT_HWCAP), getauxval(AT_HWCAP2),
        platform ? platform : "none", cpu_model());
    say("random ");
    for (int i = 0; r && i < 16; i++) {
        say("%02x", r[i]);
    }
    say("\n");
    say("page %lu\n", getauxval(AT_PAGESZ));
    say("stack %lu\n", mapping_size(&u));
    /* Where the guest's address 0 is, from the image's first page. */
    say("base %llx\n", m.base - ((uintptr_t)phdr & -65536UL));
    say("code %llu\n", m.code);
    say("reaches");
    for (unsigned long a = 0x50000000; a < 0xf0000000; a += 0x8000000) {
        say(" %d", reaches(a));
    }
    if (sizeof(long) == 8) {
        say(" %d", reaches((unsigned long)(0x6000000000ULL)));
    }
    say("\n");
    signal(SIGRTMIN + 5, SIG_IGN);
    say("ignored %llx\n", host_ignored());
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    return 0;
}
