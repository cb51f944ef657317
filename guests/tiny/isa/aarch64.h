/* aarch64, aarch64_be */
enum { FORK = 220, EXECVE = 221, WAIT4 = 260, UNAME = 160, WRITEV = 66, EXIT = 93 };

static long call(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}

__asm__(".globl _start\n"
        "_start: mov x0, sp\n"
        "        b tiny");
