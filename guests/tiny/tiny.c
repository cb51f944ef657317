/*
 * The smallest guest that can tell whether an emulator runs its children itself.
 *
 *     tiny [WORD]
 *     tiny PROGRAM ARGUMENT...
 *
 * Both forms print a line, the kernel's release and their last argument: what the
 * release is, QEMU's option -r decides, so the line shows who ran the program. The
 * first form then exits with 41. The second form has executed PROGRAM in a child
 * before, with the same arguments from there on, and exits with the child's
 * status + 1. So the status counts how many generations there were. A child that
 * could not be executed exits with errno; one that was killed counts as 99.
 *
 * No C library and neither data nor strings: all of the program is one function,
 * so that no target's linker has anything to relocate. What a target does in its
 * own way is in isa/, which also has this program in assembly for the targets
 * without a C compiler.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* Numbers of system calls, call() and the entry point, which calls tiny(). */
#include ISA

/* On each target that has to be told. */
enum { SIGCHLD = 17 };

struct utsname {
    char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};

struct iovec {
    char *base;
    unsigned long length;
};

/* Nothing terminates the strings after this, so it must be the last that reads them. */
static struct iovec ended_by(char last, char *string)
{
    char *end = string;

    while (*end) {
        end++;
    }
    *end++ = last;
    return (struct iovec) { string, end - string };
}

static int status_of(long child)
{
#ifdef WAITID
    /* Words of a siginfo_t; where the kernel has no wait4. */
    enum { P_PID = 1, WEXITED = 4, CODE = 2, CLD_EXITED = 1, STATUS = 5 };
    volatile int info[32];

    info[CODE] = 0;
    call(WAITID, P_PID, child, (long)info, WEXITED);
    return info[CODE] == CLD_EXITED ? info[STATUS] : 99;
#else
    volatile int status = 1; /* killed, if there is no child to wait for */

    call(WAIT4, child, (long)&status, 0, 0);
    return status & 0x7f ? 99 : status >> 8 & 0xff;
#endif
}

__attribute__((noreturn, used)) void tiny(long *stack)
{
    long argc = stack[0];
    char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
    struct utsname system;
    struct iovec line[2];
    int status = 40;

    if (argc >= 3) {
        /* fork ignores the argument; where there is only clone, it is the flags. */
        long child = call(FORK, SIGCHLD, 0, 0, 0);

        if (child == 0) {
            call(EXIT, -call(EXECVE, (long)argv[1], (long)(argv + 1), (long)envp, 0), 0, 0, 0);
        }
        status = status_of(child);
    }
    call(UNAME, (long)&system, 0, 0, 0);
    line[0] = ended_by(' ', system.release);
    line[1] = ended_by('\n', argv[argc - 1]);
    call(WRITEV, 1, (long)line, 2, 0);
    for (;;) {
        call(EXIT, status + 1, 0, 0, 0);
    }
}
