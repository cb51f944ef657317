/* ppc, ppc64, ppc64le */
enum { FORK = 2, EXECVE = 11, WAIT4 = 114, UNAME = 122, WRITEV = 146, EXIT = 1 };

static long call(long number, long a, long b, long c, long d)
{
    register long r0 __asm__("r0") = number;
    register long r3 __asm__("r3") = a;
    register long r4 __asm__("r4") = b;
    register long r5 __asm__("r5") = c;
    register long r6 __asm__("r6") = d;

    /* An error is positive and sets the summary overflow of cr0. */
    __asm__ volatile("sc\n"
                     "bns+ 0f\n"
                     "neg 3, 3\n"
                     "0:"
                     : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6) :
                     : "r7", "r8", "r9", "r10", "r11", "r12", "ctr", "xer", "cr0", "memory");
    return r3;
}

/* A function saves its link register in its caller's frame, where the arguments would be. */
#ifndef __powerpc64__
__asm__(".globl _start\n"
        "_start: mr 3, 1\n"
        "        stwu 1, -16(1)\n"
        "        b tiny");
#elif _CALL_ELF == 2
__asm__(".globl _start\n"
        "_start: mr 3, 1\n"
        "        stdu 1, -32(1)\n"
        "        b tiny");
#else
/* The first ABI enters by a function descriptor: the address, the table of contents, nothing. */
__asm__(".section .opd, \"aw\"\n"
        ".globl _start\n"
        "_start: .quad begin, .TOC.@tocbase, 0\n"
        ".text\n"
        "begin:  mr 3, 1\n"
        "        stdu 1, -112(1)\n"
        "        b tiny");
#endif
