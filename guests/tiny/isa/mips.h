/* mips, mipsel, mips64, mips64el, mipsn32, mipsn32el */
#if _MIPS_SIM == _ABIO32
enum { FORK = 4002, EXECVE = 4011, WAIT4 = 4114, UNAME = 4122, WRITEV = 4146, EXIT = 4001 };
#elif _MIPS_SIM == _ABIN32
enum { FORK = 6056, EXECVE = 6057, WAIT4 = 6059, UNAME = 6061, WRITEV = 6019, EXIT = 6058 };
#else
enum { FORK = 5056, EXECVE = 5057, WAIT4 = 5059, UNAME = 5061, WRITEV = 5019, EXIT = 5058 };
#endif

static long call(long number, long a, long b, long c, long d)
{
    register long v0 __asm__("$2") = number;
    register long a0 __asm__("$4") = a;
    register long a1 __asm__("$5") = b;
    register long a2 __asm__("$6") = c;
    register long a3 __asm__("$7") = d;

    /* An error is positive and sets a3. */
    __asm__ volatile("syscall" : "+r"(v0), "+r"(a3) : "r"(a0), "r"(a1), "r"(a2)
                     : "$1", "$3", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25",
                       "hi", "lo", "memory");
    return a3 ? -v0 : v0;
}

/* The room is where a function of o32 may keep its arguments. */
__asm__(".globl _start\n"
        ".set noreorder\n"
        "_start: move $4, $29\n"
        "        b tiny\n"
#if _MIPS_SIM == _ABI64
        "        daddiu $29, $29, -32\n"
#else
        "        addiu $29, $29, -32\n"
#endif
        ".set reorder");
