/*
 * Has LeakSanitizer look for leaks when an emulator ends.
 *
 * QEMU ends by the system call, past everything that a C library does at exit, which
 * is when the sanitizer would look. As a shared library that is preloaded into an
 * emulator with AddressSanitizer, this stands before that call. Exit status 23 if
 * anything leaked.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

#define LEAKED 23

long syscall(long number, ...)
{
    static long (*next)(long, ...);
    long arg[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++) {
        arg[i] = va_arg(list, long);
    }
    va_end(list);
    if (!next) {
        next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    }
    if (number == SYS_exit_group && __lsan_do_recoverable_leak_check &&
        __lsan_do_recoverable_leak_check()) {
        arg[0] = LEAKED;
    }
    return next(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}
