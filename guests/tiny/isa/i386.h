enum { FORK = 2, EXECVE = 11, WAIT4 = 114, UNAME = 122, WRITEV = 146, EXIT = 1 };

static long call(long number, long a, long b, long c, long d)
{
    __asm__ volatile("int $0x80" : "+a"(number) : "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return number;
}

__asm__(".globl _start\n"
        "_start: push %esp\n"
        "        call tiny");
