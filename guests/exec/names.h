/*
 * What a process reads about itself in /proc, whatever the name that it opens
 *
 * Part of cache.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static void print_file(const char *what, int fd)
{
    char text[256];
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (len < 0) {
        printf("%s: %s\n", what, strerror(errno));
        return;
    }
    text[len] = '\0';
    for (ssize_t i = 0; i < len - 1; i++) {
        if (!text[i]) {
            text[i] = ' ';
        }
    }
    printf("%s: %s\n", what, text);
    close(fd);
}

/* Its command line, by links, folders and descriptors; and files that are in no /proc, with some flags */
static int names(void)
{
    char home[] = "/tmp/names-XXXXXX";
    int fd;

    if (!mkdtemp(home)) {
        die("mkdtemp");
    }
    TRY(chdir(home));
    TRY(symlink("/proc/self/cmdline", "file"));
    TRY(symlink("/proc", "folder"));
    TRY(symlink("file", "twice"));
    TRY(symlink("/proc/self", "self"));
    TRY(symlink("nowhere", "dangling"));
    print_file("plain", open("/proc/self/cmdline", O_RDONLY));
    print_file("slashes", open("//proc//self/cmdline", O_RDONLY));
    print_file("dots", open("/usr/../proc/self/cmdline", O_RDONLY));
    print_file("link", open("file", O_RDONLY));
    print_file("link to a link", open("twice", O_RDONLY));
    print_file("link to the folder", open("folder/self/cmdline", O_RDONLY));
    print_file("link to self", open("self/cmdline", O_RDONLY));
    print_file("link that is not followed", open("file", O_RDONLY | O_NOFOLLOW));
    fd = open("/proc", O_PATH);
    print_file("descriptor of the folder", openat(fd, "self/cmdline", O_RDONLY));
    close(fd);
    fd = open("/proc/self", O_RDONLY | O_DIRECTORY);
    print_file("descriptor of self", openat(fd, "cmdline", O_RDONLY));
    close(fd);
    print_file("no file", open("none", O_RDONLY));
    print_file("no folder", open("file/none", O_RDONLY));
    print_file("dangling", open("dangling", O_RDONLY));
    print_file("a folder", open(".", O_WRONLY));
    print_file("made", open("made", O_RDWR | O_CREAT | O_EXCL, 0640));
    print_file("made twice", open("made", O_RDWR | O_CREAT | O_EXCL, 0640));
    print_file("emptied", open("made", O_RDWR | O_CREAT | O_TRUNC, 07777));
    print_file("without a name", open(".", O_RDWR | O_TMPFILE, 0600));
    print_file("of a descriptor", open("/dev/fd/0", O_RDONLY));
    print_file("a mode that is not used", open("made", O_RDONLY, 0xffffffff));
    TRY(chdir("/proc"));
    print_file("from the folder", open("self/cmdline", O_RDONLY));
    TRY(chdir("self"));
    print_file("from self", open("cmdline", O_RDONLY));
    TRY(chdir(home));
    for (const char *const *name = (const char *const[]){ "file", "folder", "twice", "self", "dangling", "made", NULL };
         *name; name++) {
        TRY(unlink(*name));
    }
    TRY(rmdir(home));
    return 0;
}
