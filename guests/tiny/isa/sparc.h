/* sparc, sparc32plus, sparc64 */
enum { FORK = 2, EXECVE = 59, WAIT4 = 7, UNAME = 189, WRITEV = 121, EXIT = 1 };

#ifdef __arch64__
#define TRAP "ta 0x6d\n"
#define NO_CARRY "bcc,pt %%xcc, 0f\n"
#else
#define TRAP "ta 0x10\n"
#define NO_CARRY "bcc 0f\n"
#endif

static long call(long number, long a, long b, long c, long d)
{
    register long g1 __asm__("g1") = number;
    register long o0 __asm__("o0") = a;
    register long o1 __asm__("o1") = b;
    register long o2 __asm__("o2") = c;
    register long o3 __asm__("o3") = d;

    /* An error is positive and sets the carry. */
    __asm__ volatile(TRAP NO_CARRY
                     " nop\n"
                     "neg %%o0\n"
                     "0:"
                     : "+r"(o0), "+r"(o1) : "r"(g1), "r"(o2), "r"(o3) : "cc", "memory");
    /* fork gives both processes a pid, the other's, and the child a 1 beside it. */
    return number == FORK && o1 ? 0 : o0;
}

/* Above the stack pointer is room for a window of registers, then come the arguments. */
#ifdef __arch64__
__asm__(".globl _start\n"
        "_start: add %sp, 2047 + 16 * 8, %o0\n"
        "        ba tiny\n"
        "        sub %sp, 6 * 8, %sp");
#else
__asm__(".globl _start\n"
        "_start: add %sp, 16 * 4, %o0\n"
        "        ba tiny\n"
        "        sub %sp, 8 * 4, %sp");
#endif
