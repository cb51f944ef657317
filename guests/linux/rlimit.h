/*
 * Part of linux.c: limits of memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define MIB (1024UL * 1024)

/* What a child says by its exit status, or the signal that ended it. */
static void in_child(int (*run)(void))
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct rlimit none = { 0, 0 };

        setrlimit(RLIMIT_CORE, &none);
        _exit(run());
    }
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) {
        printf("%s", sigabbrev_np(WTERMSIG(status)));
    } else {
        printf("%d", WEXITSTATUS(status));
    }
}

/* The soft limit, in MiB. */
static int set(int resource, unsigned long size)
{
    struct rlimit limit;

    getrlimit(resource, &limit);
    limit.rlim_cur = size * MIB;
    return setrlimit(resource, &limit);
}

static int read_back(void)
{
    static const int resources[] = { RLIMIT_STACK, RLIMIT_AS, RLIMIT_DATA };
    struct rlimit seen, old;
    int wrong = 0;

    for (int i = 0; i < 3; i++) {
        struct rlimit lower = { 32 * MIB, 700 * MIB + 4096 }, odd = { 3, 2 };

        wrong += setrlimit(resources[i], &lower) != 0;
        wrong += getrlimit(resources[i], &seen) != 0;
        wrong += seen.rlim_cur != lower.rlim_cur || seen.rlim_max != lower.rlim_max;
        wrong += setrlimit(resources[i], &odd) != -1 || errno != EINVAL;
        lower.rlim_cur = lower.rlim_max;
        wrong += prlimit(0, resources[i], &lower, &old) != 0;
        wrong += old.rlim_cur != seen.rlim_cur;
        wrong += prlimit(getpid(), resources[i], NULL, &old) != 0;
        wrong += old.rlim_cur != lower.rlim_max;
    }
    return wrong;
}

static void limits_read_back(void)
{
    printf("wrong ");
    in_child(read_back);
}

/* What is told of running out of the stack. */
static void on_overflow(int number, siginfo_t *info, void *context)
{
    (void)context;
    _exit(number == SIGSEGV && info->si_code == SEGV_MAPERR ? 100 : 101);
}

static int dig(int mebibytes)
{
    volatile char here[MIB];

    for (size_t i = 0; i < sizeof(here); i += 1024) {
        here[i] = 1;
    }
    return mebibytes > 1 ? dig(mebibytes - 1) + here[0] : here[0];
}

static int dig_so_far(int limit, int depth)
{
    static char own[65536];
    stack_t stack = { .ss_sp = own, .ss_size = sizeof(own) };
    struct sigaction action = { .sa_sigaction = on_overflow, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    if (sigaltstack(&stack, NULL) < 0 || sigaction(SIGSEGV, &action, NULL) < 0) {
        fail("sigaltstack");
    }
    if (set(RLIMIT_STACK, limit) < 0) {
        return 102;
    }
    return dig(depth) == depth ? 103 : 104;
}

static int stack_default(void)
{
    return dig_so_far(8, 6);
}

static int stack_grows(void)
{
    return dig_so_far(64, 50);
}

static int stack_too_deep(void)
{
    return dig_so_far(64, 70);
}

static int stack_shrinks(void)
{
    return dig_so_far(3, 5);
}

static int stack_small(void)
{
    return dig_so_far(3, 2);
}

static void limit_of_stack(void)
{
    printf("within ");
    in_child(stack_default);
    printf(", raised ");
    in_child(stack_grows);
    printf(", beyond ");
    in_child(stack_too_deep);
    printf(", lowered ");
    in_child(stack_shrinks);
    printf(", within ");
    in_child(stack_small);
}

/* What the stack is limited to is inherited. */
static int stack_of_program(void)
{
    char *argv[] = { "sh", "-c", "test $(ulimit -s) = 20480", NULL };

    if (set(RLIMIT_STACK, 20) == 0) {
        execv("/bin/sh", argv);
    }
    return 105;
}

static void limit_of_programs_stack(void)
{
    in_child(stack_of_program);
}

static bool can_map(size_t mebibytes, int protection)
{
    void *map = mmap(NULL, mebibytes * MIB, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return map != MAP_FAILED ? munmap(map, mebibytes * MIB) == 0 : errno != ENOMEM;
}

static int address_space(void)
{
    char *map;
    int seen = 0;

    set(RLIMIT_AS, 512);
    seen |= can_map(300, PROT_NONE) << 0;
    seen |= can_map(600, PROT_NONE) << 1;
    map = mmap(NULL, 300 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    seen |= can_map(300, PROT_READ) << 2;
    seen |= (mremap(map, 300 * MIB, 600 * MIB, MREMAP_MAYMOVE) != MAP_FAILED) << 3;
    seen |= (sbrk(300 * MIB) != (void *)-1) << 4;
    munmap(map, 300 * MIB);
    seen |= can_map(300, PROT_READ) << 5;
    set(RLIMIT_AS, 700);
    seen |= can_map(600, PROT_READ) << 6;
    return seen;
}

static int data(void)
{
    int seen = 0;

    set(RLIMIT_DATA, 64);
    seen |= can_map(100, PROT_READ | PROT_WRITE) << 0;
    seen |= can_map(100, PROT_READ) << 1;
    seen |= can_map(32, PROT_READ | PROT_WRITE) << 2;
    seen |= (sbrk(100 * MIB) != (void *)-1) << 3;
    return seen;
}

static void limits_of_maps(void)
{
    printf("address space ");
    in_child(address_space);
    printf(", data ");
    in_child(data);
}

/* /proc tells the same. */
static int limits_in_proc(void)
{
    char text[4096], *line;
    int fd, seen = 0;
    ssize_t length;

    set(RLIMIT_STACK, 20);
    set(RLIMIT_AS, 600);
    fd = open("/proc/self/limits", O_RDONLY);
    length = read(fd, text, sizeof(text) - 1);
    text[length < 0 ? 0 : length] = 0;
    line = strstr(text, "Max stack size ");
    seen |= (line && strtoul(line + 26, NULL, 10) == 20 * MIB) << 0;
    line = strstr(text, "Max address space ");
    seen |= (line && strtoul(line + 26, NULL, 10) == 600 * MIB) << 1;
    seen |= (strstr(text, "Max realtime timeout ") != NULL) << 2;
    return seen;
}

static void limits_told(void)
{
    in_child(limits_in_proc);
}
