/*
 * Read before every source file for 386. In Debian's C library the checked memset and its like jump to the plain ones in
 * a way that no static PIE can have, and a program that uses them does not link. These do the same, and the linker
 * drops them where nobody calls them.
 */
#ifndef __ASSEMBLER__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wredundant-decls"

extern void __chk_fail(void) __attribute__((noreturn));

#define CHECKED(name, type, what) \
    __attribute__((weak, visibility("hidden"))) \
    void *__##name##_chk(void *to, type what, __SIZE_TYPE__ length, __SIZE_TYPE__ room) \
    { \
        if (length > room) { \
            __chk_fail(); \
        } \
        return __builtin_##name(to, what, length); \
    }

CHECKED(memset, int, value)
CHECKED(memcpy, const void *, from)
CHECKED(memmove, const void *, from)
CHECKED(mempcpy, const void *, from)

#undef CHECKED
#pragma GCC diagnostic pop
#endif
