enum { FORK = 57, EXECVE = 59, WAIT4 = 61, UNAME = 63, WRITEV = 20, EXIT = 60 };

static long call(long number, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;

    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return number;
}

__asm__(".globl _start\n"
        "_start: mov %rsp, %rdi\n"
        "        call tiny"); /* a call, for the stack's alignment */
