/* arm, armeb: the EABI */
enum { FORK = 2, EXECVE = 11, WAIT4 = 114, UNAME = 122, WRITEV = 146, EXIT = 1 };

static long call(long number, long a, long b, long c, long d)
{
    register long r7 __asm__("r7") = number;
    register long r0 __asm__("r0") = a;
    register long r1 __asm__("r1") = b;
    register long r2 __asm__("r2") = c;
    register long r3 __asm__("r3") = d;

    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3) : "memory");
    return r0;
}

__asm__(".globl _start\n"
        "_start: mov r0, sp\n"
        "        b tiny");
