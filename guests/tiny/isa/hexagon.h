enum { FORK = 220, EXECVE = 221, WAIT4 = 260, UNAME = 160, WRITEV = 66, EXIT = 93 };

static long call(long number, long a, long b, long c, long d)
{
    register long r6 __asm__("r6") = number;
    register long r0 __asm__("r0") = a;
    register long r1 __asm__("r1") = b;
    register long r2 __asm__("r2") = c;
    register long r3 __asm__("r3") = d;

    __asm__ volatile("trap0(#1)" : "+r"(r0) : "r"(r6), "r"(r1), "r"(r2), "r"(r3) : "memory");
    return r0;
}

__asm__(".globl _start\n"
        "_start: r0 = r29\n"
        "        jump tiny");
