/*
 * An emulator whose guest fails to exec, again and again, must not grow.
 *
 *     fail COUNT FOLDER
 *
 * Fails COUNT times, in turn in every way that there is, each of which ends on
 * another path through the emulator; makes and removes files in FOLDER, which must
 * be empty. Then tells how much more memory the process has and how many more
 * descriptors, compared with before (but after each way was gone once): exit 0 if
 * that is next to nothing. Runs natively, too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What may be left over: an allocator's caches, not a page a way. */
#define ALLOWED_KIB 160

static char *argv_one[] = { "x", NULL }, *no_env[] = { NULL };
static char **argv_huge;
static char image[1 << 16];
static size_t image_size;

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void file(const char *name, mode_t mode, const void *text, size_t size)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

    if (fd < 0 || write(fd, text, size) != (ssize_t)size || fchmod(fd, mode) < 0 || close(fd) < 0) {
        die(name);
    }
}

static void text(const char *name, const char *text)
{
    file(name, 0755, text, strlen(text));
}

/* Our own file, as far as it matters for an error that comes before it is run. */
static void read_image(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, image, sizeof(image));

    if (size < (ssize_t)sizeof(Elf64_Ehdr)) {
        die("/proc/self/exe");
    }
    close(fd);
    image_size = size;
}

/* The first program header becomes that of an interpreter called @name. */
static void with_interpreter(const char *file_name, const char *name)
{
    static char copy[sizeof(image)];
    size_t at = image_size - 64;

    memcpy(copy, image, image_size);
    strcpy(copy + at, name);
    if (sizeof(void *) == 8) {
        Elf64_Phdr *phdr = (void *)(copy + ((Elf64_Ehdr *)copy)->e_phoff);

        phdr->p_type = PT_INTERP;
        phdr->p_offset = at;
        phdr->p_filesz = phdr->p_memsz = strlen(name) + 1;
    } else {
        Elf32_Phdr *phdr = (void *)(copy + ((Elf32_Ehdr *)copy)->e_phoff);

        phdr->p_type = PT_INTERP;
        phdr->p_offset = at;
        phdr->p_filesz = phdr->p_memsz = strlen(name) + 1;
    }
    file(file_name, 0755, copy, image_size);
}

static void make_files(void)
{
    read_image();
    mkdir("directory", 0755);
    file("plain", 0644, image, image_size);
    text("empty", "");
    text("nonsense", "neither a program nor a script\n");
    text("script-missing", "#!./missing with argument\n");
    text("script-directory", "#!./directory\n");
    text("script-nonsense", "#!./nonsense\n");
    text("script-itself", "#!./script-itself one\n");
    text("script-long", "#!./script-interp a b\n");
    file("program", 0755, image, image_size);
    text("script-interp", "#!./program c\n");
    with_interpreter("interp-missing", "./no-such-interpreter");
    with_interpreter("interp-directory", "./directory");
    with_interpreter("interp-nonsense", "./nonsense");
    image[EI_DATA] ^= 3;
    image[18] ^= 0xff;          /* e_machine */
    file("wrong-machine", 0755, image, image_size);
    if (symlink("loop", "loop") < 0) {
        die("loop");
    }
}

/* More than the kernel takes: a quarter of the stack's limit, and 6 MiB at most. */
static void make_huge(void)
{
    size_t count = 64, size = 128 * 1024 - 1;
    char *string = malloc(size + 1);

    memset(string, 'x', size);
    string[size] = '\0';
    argv_huge = calloc(count + 1, sizeof(*argv_huge));
    for (size_t i = 0; i < count; i++) {
        argv_huge[i] = string;
    }
}

static int at(int fd, const char *path, int flags)
{
    return syscall(SYS_execveat, fd, path, argv_one, no_env, flags);
}

/* One failure; what must come back is the exec's errno, or another one on purpose. */
static void fail(unsigned way)
{
    static const char *const paths[] = {
        "missing", "directory", "plain", "empty", "nonsense", "script-missing", "script-directory",
        "script-nonsense", "script-itself", "interp-missing", "interp-directory",
        "interp-nonsense", "wrong-machine", "loop", "program/below", "", "/proc/self/fd/0/x",
    };
    const unsigned count = sizeof(paths) / sizeof(*paths);
    struct rlimit old, none = { 0 };
    int fd, result;

    if (way < count) {
        result = execve(paths[way], argv_one, no_env);
    } else if (way < 2 * count) {
        result = at(AT_FDCWD, paths[way - count], AT_SYMLINK_NOFOLLOW);
    } else if (way == 2 * count) {
        /* The emulator would run these, but for the kernel's limit. */
        result = execve("program", argv_huge, no_env);
    } else if (way == 2 * count + 1) {
        result = execve("script-long", argv_huge, no_env);
    } else if (way == 2 * count + 2) {
        result = execve("/proc/self/exe", argv_huge, no_env);
    } else if (way == 2 * count + 3) {
        /* A script that its interpreter could not open, and a directory by descriptor. */
        fd = open("script-long", O_RDONLY | O_CLOEXEC);
        result = at(fd, "", AT_EMPTY_PATH);
        close(fd);
    } else if (way == 2 * count + 4) {
        fd = open("directory", O_RDONLY | O_CLOEXEC);
        result = at(fd, "", AT_EMPTY_PATH);
        close(fd);
    } else if (way == 2 * count + 5) {
        fd = open("interp-missing", O_RDONLY | O_CLOEXEC);
        result = at(fd, "", AT_EMPTY_PATH);
        close(fd);
    } else if (way == 2 * count + 6) {
        result = at(-1, "program", 0);
    } else if (way == 2 * count + 7) {
        result = at(AT_FDCWD, "program", 0x40);
    } else if (way == 2 * count + 8) {
        result = execve((char *)-1, argv_one, no_env);
    } else if (way == 2 * count + 9) {
        result = execve("program", (char **)-1, no_env);
    } else if (way == 2 * count + 10) {
        result = execve("program", argv_one, (char **)-1);
    } else {
        /* No descriptor is left to open anything with. */
        if (getrlimit(RLIMIT_NOFILE, &old) < 0) {
            die("getrlimit");
        }
        none.rlim_max = old.rlim_max;
        setrlimit(RLIMIT_NOFILE, &none);
        result = execve("script-long", argv_huge, no_env);
        setrlimit(RLIMIT_NOFILE, &old);
    }
    if (result != -1) {
        fprintf(stderr, "fail: way %u: %d\n", way, result);
        exit(1);
    }
}

#define WAYS (2 * 17 + 12)

static long resident_kib(void)
{
    long size = 0, pages = -1;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file || fscanf(file, "%ld %ld", &size, &pages) != 2) {
        die("/proc/self/statm");
    }
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    if (!dir) {
        die("/proc/self/fd");
    }
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    unsigned long count = argc == 3 ? strtoul(argv[1], NULL, 0) : 0;
    long memory;
    int fds;

    if (!count) {
        fprintf(stderr, "usage: fail COUNT FOLDER\n");
        return 2;
    }
    if (chdir(argv[2]) < 0) {
        die(argv[2]);
    }
    make_files();
    make_huge();
    /* What is done for the first time costs memory once, looking too. */
    for (unsigned i = 0; i < 20 * WAYS; i++) {
        fail(i % WAYS);
        if (i % WAYS == 0) {
            fds = descriptors();
            memory = resident_kib();
        }
    }
    fds = descriptors();
    memory = resident_kib();
    for (unsigned long i = 0; i < count; i++) {
        fail(i % WAYS);
    }
    memory = resident_kib() - memory;
    fds = descriptors() - fds;
    printf("%lu failures: %+ld KiB, %+d descriptors\n", count, memory, fds);
    return memory > ALLOWED_KIB || fds != 0;
}
