/*
 * What only Arm has, and what an emulator may decide when it translates: branches into pages that are guarded
 * (PROT_BTI), and registers of the system that a process can read.
 *
 * Part of cache.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <setjmp.h>

static sigjmp_buf after_sigill;

static void on_sigill(int number)
{
    (void)number;
    siglongjmp(after_sigill, 1);
}

static void catch_sigill(void)
{
    struct sigaction action = { .sa_handler = on_sigill, .sa_flags = SA_NODEFER };

    TRY(sigaction(SIGILL, &action, NULL));
}

#ifdef __aarch64__

#ifndef PROT_BTI
#define PROT_BTI 0x10
#endif

/* One page: a jump to where x1 says, and three places to land. Each begins so far behind the one before. */
#define LANDING 4
static const uint32_t branches[] = {
    0xd503245f, 0xd61f0020, 0, 0,   /* bti c; br x1 */
    0xd503201f, 0xd65f03c0, 0, 0,   /* nop; ret */
    0xd503249f, 0xd65f03c0, 0, 0,   /* bti j; ret */
    0xd503245f, 0xd65f03c0, 0, 0,   /* bti c; ret */
};

static __attribute__((noinline)) void jump(const uint32_t *from, const uint32_t *to)
{
    asm volatile("mov x1, %1; blr %0" : : "r" (from), "r" (to) : "x1", "x30", "memory");
}

static bool lands(const uint32_t *from, const uint32_t *to)
{
    if (sigsetjmp(after_sigill, 1)) {
        return false;
    }
    jump(from, to);
    return true;
}

static void guard(uint32_t *page, bool on)
{
    TRY(mprotect(page, PAGE, PROT_READ | PROT_EXEC | (on ? PROT_BTI : 0)));
}

/*
 * All four ways for the page that is left and the one that is entered to be guarded or not; the other way round if
 * @back. Each program finds what others have translated of the same two pages.
 */
static int guarded(bool back)
{
    static const char *const names[] = { "nop", "bti j", "bti c" };
    FILE *file = tmpfile();
    uint32_t *from, *to;

    if (!file || fwrite(branches, sizeof(branches), 1, file) != 1 || fflush(file)) {
        die("tmpfile");
    }
    TRY(ftruncate(fileno(file), PAGE));
    from = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(file), 0);
    to = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(file), 0);
    if (from == MAP_FAILED || to == MAP_FAILED) {
        die("mmap");
    }
    catch_sigill();
    for (int i = 0; i < 8; i++) {
        int both = (back ? 7 - i : i) % 4;

        guard(from, both & 1);
        guard(to, both & 2);
        for (int n = 0; n < 3; n++) {
            if (!lands(from, to + LANDING * (n + 1))) {
                printf("%s to %s: not to %s\n", both & 1 ? "guarded" : "plain", both & 2 ? "guarded" : "plain",
                       names[n]);
            }
        }
    }
    return 0;
}

static int guarded_both(char *self)
{
    char *args[] = { self, "guarded", NULL };
    pid_t child = fork();
    int status;

    TRY(child);
    if (child > 0) {
        TRY(waitpid(child, &status, 0));
        args[1] = "guarded-back";
    }
    execv(self, args);
    return 98;
}

#define N_REGISTERS (8 * 16 * 16 * 8)
#define RETURN 0xd65f03c0
/* mrs x0, S3_<op1>_C<n>_C<m>_<op2>: the number is these one after the other */
#define READ(number) (0xd5380000u | (number) << 5)
/* Of these, what an ID register says is the same each time; the others count, or are random. */
#define IS_CONSTANT(number) ((number) < N_REGISTERS / 8)
typedef uint64_t Register;

#else

#define N_REGISTERS (8 * 16 * 8 * 16)
#define RETURN 0xe12fff1e
/* mrc p15, <op1>, r0, c<n>, c<m>, <op2> */
#define READ(number) (0xee100f10u | ((number) >> 11 & 7) << 21 | ((number) >> 7 & 15) << 16 | \
                      ((number) >> 4 & 7) << 5 | ((number) & 15))
#define IS_CONSTANT(number) false
typedef uint32_t Register;

#endif

/* Which registers of the system can be read, and what those say that are constant, as a hash */
static int registers(void)
{
    uint32_t *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t hash = 0xcbf29ce484222325;
    volatile int readable = 0;

    if (code == MAP_FAILED) {
        die("mmap");
    }
    catch_sigill();
    for (volatile unsigned number = 0; number < N_REGISTERS; number++) {
        Register value = 0;

        code[0] = READ(number);
        code[1] = RETURN;
        __builtin___clear_cache((char *)code, (char *)(code + 2));
        if (sigsetjmp(after_sigill, 1)) {
            continue;
        }
        value = ((Register (*)(void))code)();
        readable++;
        hash = (hash ^ number) * 0x100000001b3;
        hash = (hash ^ (IS_CONSTANT(number) ? value : 0)) * 0x100000001b3;
    }
    printf("%d registers, %016llx\n", readable, (unsigned long long)hash);
    return 0;
}
