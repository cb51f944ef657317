enum { FORK = 220, EXECVE = 221, WAIT4 = 260, UNAME = 160, WRITEV = 66, EXIT = 93 };

static long call(long number, long a, long b, long c, long d)
{
    register long r11 __asm__("r11") = number;
    register long r3 __asm__("r3") = a;
    register long r4 __asm__("r4") = b;
    register long r5 __asm__("r5") = c;
    register long r6 __asm__("r6") = d;

    /* The kernel keeps the odd registers from r15 up, like any function, and the arguments. */
    __asm__ volatile("l.sys 1" : "+r"(r11), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6) :
                     : "r7", "r8", "r12", "r13", "r15", "r17", "r19", "r21", "r23", "r25", "r27",
                       "r29", "r31", "memory");
    return r11;
}

__asm__(".globl _start\n"
        "_start: l.j tiny\n"
        "        l.ori r3, r1, 0"); /* in the jump's delay slot */
