/* riscv32, riscv64 */
enum { FORK = 220, EXECVE = 221, UNAME = 160, WRITEV = 66, EXIT = 93 };
#if __riscv_xlen == 32
#define WAITID 95
#else
enum { WAIT4 = 260 };
#endif

static long call(long number, long a, long b, long c, long d)
{
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = 0; /* of waitid: no rusage */

    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
    return a0;
}

__asm__(".globl _start\n"
        "_start: mv a0, sp\n"
        "        j tiny");
