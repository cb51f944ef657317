/*
 * First lines of scripts: does the patch's parser agree with this kernel?
 *
 *     kernel SEED COUNT DIR [FILE...]
 *
 * Writes scripts into DIR, which must be empty and not mounted noexec, and has
 * the kernel execute each of them: COUNT random ones, then FILEs, such as a fuzzer
 * leaves. Links with the patch's execve-script.c; see ../README.md.
 * Exit 0: the same interpreter, argument and errno each time. Native only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include "qemu/osdep.h"
#include "execve-script.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t state;

static unsigned below(unsigned n)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % n;
}

static size_t blanks(char *p, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        p[i] = " \t"[below(2)];
    }
    return count;
}

/* Lines like those that people write, with everything around 256 bytes. */
static size_t random_script(char *text)
{
    unsigned shape = below(4);
    size_t n = sprintf(text, "#!"), len;

    if (below(3) == 0) {
        n += blanks(text + n, below(12));
    }
    if (shape == 1) {                   /* a long name */
        while (n < 240 + below(18)) {
            n += sprintf(text + n, "./");
        }
        n += sprintf(text + n, "i");
    } else if (shape == 2) {            /* a name far behind */
        n += blanks(text + n, 235 + below(25) - n);
        n += sprintf(text + n, "./i");
    } else if (below(8)) {
        n += sprintf(text + n, below(2) ? "./i" : "i");
    }
    len = shape == 3 ? 245 + below(30) : n + below(below(2) ? 20 : 120);
    while (n < len) {
        text[n++] = below(6) ? "ab i./x"[below(7)] : " \t\n\r\0#!"[below(7)];
    }
    if (below(2)) {
        text[n++] = '\n';
    }
    return below(10) ? n : below(n + 1);
}

/* What the interpreter "i" printed, or the errno of the exec. */
static int execute(char *out, size_t size, size_t *len)
{
    char *argv[] = { "s", "Z", NULL }, *envp[] = { NULL };
    volatile int error = 0;
    int fds[2];
    ssize_t got;
    pid_t pid;

    *len = 0;
    if (pipe2(fds, O_CLOEXEC) < 0 || (pid = vfork()) < 0) {
        abort();
    }
    if (pid == 0) {
        dup2(fds[1], 1);
        execve("s", argv, envp);
        error = errno;
        _exit(1);
    }
    close(fds[1]);
    while ((got = read(fds[0], out + *len, size - *len)) > 0) {
        *len += got;
    }
    close(fds[0]);
    waitpid(pid, NULL, 0);
    return error;
}

static void install_interpreter(void)
{
    static char copy[1 << 16];
    int from = open("/proc/self/exe", O_RDONLY), to = open("i", O_WRONLY | O_CREAT, 0755);
    ssize_t n;

    while ((n = read(from, copy, sizeof(copy))) > 0) {
        if (write(to, copy, n) != n) {
            abort();
        }
    }
    close(from);
    close(to);
}

static unsigned done, refused, other;

/* One script: 0 if the parser and the kernel say the same of it. */
static int compare(const char *text, size_t len)
{
    char buf[EXECVE_SCRIPT_SIZE] = "", out[4096], want[4096];
    char *interp = NULL, *arg = NULL;
    bool parsed, linked, executable, same;
    struct stat st;
    size_t out_len;
    int error, fd = open("s", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

    if (fd < 0 || write(fd, text, len) != (ssize_t)len) {
        perror("s");
        return 2;
    }
    close(fd);
    memcpy(buf, text, len < sizeof(buf) ? len : sizeof(buf));
    parsed = execve_script_parse(buf, &interp, &arg);
    /* Whatever name it found, let it be that of an interpreter: then the kernel has to find it. */
    linked = parsed && link("i", interp) == 0;
    error = execute(out, sizeof(out), &out_len);

    if (!parsed) {
        same = error == ENOEXEC;
        refused++;
    } else if (error) {
        executable = stat(interp, &st) == 0 && S_ISREG(st.st_mode);
        /* "s" itself is an interpreter, too: of itself. */
        same = executable ? error == ELOOP || error == ENOEXEC : error != ENOEXEC;
        other++;
    } else {
        int n = snprintf(want, sizeof(want), arg ? "[%s][%s][s][Z]" : "[%s]%s[s][Z]",
                         interp, arg ? arg : "");
        same = (size_t)n == out_len && !memcmp(want, out, n);
        done++;
    }
    if (linked && unlink(interp) < 0) {
        perror(interp);
        return 2;
    }
    if (!same) {
        printf("the kernel: errno %d, %.*s\nthe parser: %s, %s\nthe script is s\n", error,
               (int)out_len, out, interp ? interp : "refused", arg ? arg : "");
    }
    return !same;
}

/*
 * A script that somebody else wrote. It must not lead out of this folder: "/" stays
 * only where it follows a dot that is no second one.
 */
static size_t read_script(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t len;

    if (!file) {
        perror(path);
        exit(2);
    }
    len = fread(text, 1, size, file);
    fclose(file);
    for (size_t i = 0; i < len; i++) {
        bool after_dot = i > 0 && text[i - 1] == '.' && !(i > 1 && text[i - 2] == '.');

        if (text[i] == '/' && !after_dot) {
            text[i] = 'i';
        }
    }
    return len;
}

int main(int argc, char **argv)
{
    char text[512];
    int status = 0, home = open(".", O_PATH | O_CLOEXEC), folder;

    if (argc > 1 && !strcmp(argv[argc - 1], "Z")) {
        /* The interpreter "i" is this same program: say how it was called. */
        for (int i = 0; i < argc; i++) {
            printf("[%s]", argv[i]);
        }
        return 0;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: kernel SEED COUNT DIR [FILE...]\n");
        return 2;
    }
    state = strtoull(argv[1], NULL, 0);
    folder = open(argv[3], O_PATH | O_CLOEXEC);
    if (folder < 0 || fchdir(folder) < 0) {
        perror(argv[3]);
        return 2;
    }
    install_interpreter();

    for (unsigned k = strtoul(argv[2], NULL, 0); k > 0 && !status; k--) {
        status = compare(text, random_script(text));
    }
    for (int i = 4; i < argc && !status; i++) {
        size_t len;

        /* Their names may be relative to where we began. */
        if (fchdir(home) < 0) {
            abort();
        }
        len = read_script(argv[i], text, sizeof(text));
        if (fchdir(folder) < 0) {
            abort();
        }
        status = compare(text, len);
    }
    if (!status) {
        printf("%u executed, %u refused, %u other errors: all as the kernel does\n", done, refused, other);
    }
    return status;
}
