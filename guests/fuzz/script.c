/*
 * Fuzzes the parser of a script's first line (the patches' execve-script.c).
 *
 * What it answers must be what a second reading of the kernel's rules says, which
 * is written below in another way. That both readings are the kernel's own is
 * shown by kernel.c. See ../README.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "execve-script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "script: %s\n", what);
        abort();
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The rules once more. @line gets all but "#!", cut where the kernel cuts it. */
static bool expect(const char buf[EXECVE_SCRIPT_SIZE], char line[EXECVE_SCRIPT_SIZE],
                   const char **interp, const char **arg)
{
    const char *newline = memchr(buf, '\n', strnlen(buf, EXECVE_SCRIPT_SIZE));
    size_t len = (newline ? newline - buf : EXECVE_SCRIPT_SIZE - 1) - 2;
    char *name;

    if (memcmp(buf, "#!", 2)) {
        return false;
    }
    if (!newline) {
        /* The name has to end in what the kernel sees. */
        size_t n = 2;

        while (n < EXECVE_SCRIPT_SIZE && is_blank(buf[n])) {
            n++;
        }
        while (n < EXECVE_SCRIPT_SIZE && buf[n] && !is_blank(buf[n])) {
            n++;
        }
        if (n == EXECVE_SCRIPT_SIZE) {
            return false;
        }
    }

    memset(line, 0, EXECVE_SCRIPT_SIZE);
    memcpy(line, buf + 2, len);
    while (len > 0 && is_blank(line[len - 1])) {
        line[--len] = '\0';
    }
    name = line + strspn(line, " \t");
    if (name == line + len) {
        return false;
    }
    *interp = name;
    *arg = NULL;
    name += strcspn(name, " \t");
    if (*name) {
        *name++ = '\0';
        *arg = name + strspn(name, " \t");
    }
    return true;
}

static void check_place(const char *buf, const char *text, const char *what)
{
    must(text >= buf + 2 && text < buf + EXECVE_SCRIPT_SIZE, what);
    must(strnlen(text, buf + EXECVE_SCRIPT_SIZE - text) < (size_t)(buf + EXECVE_SCRIPT_SIZE - text), what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Allocated, so that a byte too far is noticed. */
    char *buf = calloc(1, EXECVE_SCRIPT_SIZE), line[EXECVE_SCRIPT_SIZE];
    char *interp = NULL, *arg = NULL;
    const char *want_interp = NULL, *want_arg = NULL;
    bool is_script, want;

    must(buf, "no memory");
    if (size) {
        memcpy(buf, data, size < EXECVE_SCRIPT_SIZE ? size : EXECVE_SCRIPT_SIZE);
    }
    want = expect(buf, line, &want_interp, &want_arg);
    is_script = execve_script_parse(buf, &interp, &arg);

    must(is_script == want, is_script ? "should be refused" : "should be a script");
    if (is_script) {
        check_place(buf, interp, "the interpreter lies outside");
        must(!strcmp(interp, want_interp), "another interpreter");
        must(!arg == !want_arg, arg ? "should have no argument" : "should have an argument");
        if (arg) {
            check_place(buf, arg, "the argument lies outside");
            must(!strcmp(arg, want_arg), "another argument");
        }
    }
    free(buf);
    return 0;
}
