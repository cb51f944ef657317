/*
 * The files that the cases execute.
 *
 * Part of exec.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static char *self_image;
static size_t self_size;

static void make(const char *path, const void *data, size_t len, int mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, data, len) != (ssize_t)len ||
        fchmod(fd, mode) < 0) {
        die(path);
    }
    close(fd);
}

static void script(const char *path, const char *text)
{
    make(path, text, strlen(text), 0755);
}

static void program(const char *path, int mode)
{
    make(path, self_image, self_size, mode);
}

/* A program with nothing in it but the name of its interpreter. */
static void dynamic(const char *path, const char *interp, size_t interp_len,
                    size_t cut)
{
    struct {
        ElfW(Ehdr) ehdr;
        ElfW(Phdr) phdr[2];
        char interp[8192];
    } f;
    size_t size = offsetof(__typeof__(f), interp) + interp_len;

    memset(&f, 0, sizeof(f));
    memcpy(&f.ehdr, self_image, sizeof(f.ehdr));
    f.ehdr.e_phoff = offsetof(__typeof__(f), phdr);
    f.ehdr.e_phnum = 2;
    f.ehdr.e_shoff = f.ehdr.e_shnum = f.ehdr.e_shstrndx = 0;
    f.phdr[0].p_type = PT_INTERP;
    f.phdr[0].p_offset = offsetof(__typeof__(f), interp);
    f.phdr[0].p_filesz = f.phdr[0].p_memsz = interp_len;
    f.phdr[1].p_type = PT_LOAD;
    f.phdr[1].p_flags = PF_R | PF_X;
    f.phdr[1].p_vaddr = f.phdr[1].p_paddr = 0x400000;
    f.phdr[1].p_filesz = f.phdr[1].p_memsz = size;
    f.phdr[1].p_align = 0x1000;
    memcpy(f.interp, interp, interp_len);
    make(path, &f, size - cut, 0755);
}

/* The program with one byte of its header changed. */
static void patched(const char *path, size_t offset, int value)
{
    char *copy = malloc(self_size);

    memcpy(copy, self_image, self_size);
    copy[offset] = value;
    make(path, copy, self_size, 0755);
    free(copy);
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *d;

    if (!dir) {
        return;
    }
    while ((d = readdir(dir))) {
        if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")) {
            continue;
        }
        if (unlinkat(dirfd(dir), d->d_name, 0) < 0 &&
            unlinkat(dirfd(dir), d->d_name, AT_REMOVEDIR) < 0) {
            char *sub;
            if (asprintf(&sub, "%s/%s", path, d->d_name) >= 0) {
                chmod(sub, 0700);
                remove_tree(sub);
                rmdir(sub);
                free(sub);
            }
        }
    }
    closedir(dir);
}

static void prepare(void)
{
    char text[2048];
    char *p;
    FILE *f = fopen("/proc/self/exe", "r");
    struct stat st;

    if (!f || fstat(fileno(f), &st) < 0) {
        die("/proc/self/exe");
    }
    self_size = st.st_size;
    self_image = malloc(self_size);
    if (!self_image || fread(self_image, 1, self_size, f) != self_size) {
        die("/proc/self/exe");
    }
    fclose(f);

    if (mkdir(here, 0755) < 0 && errno != EEXIST) {
        die(here);
    }
    remove_tree(here);
    if (chdir(here) < 0 || mkdir("dir", 0755) < 0 || mkdir("sub", 0755) < 0 ||
        mkdir("locked", 0755) < 0) {
        die(here);
    }

    program("child", 0755);
    program("-cpu", 0755);
    program("--", 0755);
    program("-h", 0755);
    program("two words", 0755);
    program("new\nline", 0755);
    program("\xff\xfe\x80", 0755);
    program("sub/inner", 0755);
    program("plain", 0644);
    program("only-exec", 0111);
    program("busy", 0755);
    program("gone", 0755);
    program("a-very-long-name-of-a-program", 0755);
    program("sub/exe", 0755);
    program("locked/inside", 0755);
    memset(text, 'n', 255);
    text[255] = 0;
    program(text, 0755);

    make("empty", "", 0, 0755);
    make("text", "echo no first line\n", 19, 0755);
    make("one-byte", "#", 1, 0755);
    make("binary", "\x7f" "ELF", 4, 0755);
    make("half-header", self_image, sizeof(ElfW(Ehdr)) / 2, 0755);
    make("only-header", self_image, sizeof(ElfW(Ehdr)), 0755);
    patched("other-machine", offsetof(ElfW(Ehdr), e_machine) + 0, 0x7d);
    patched("other-class", EI_CLASS, 7);
    patched("other-order", EI_DATA, self_image[EI_DATA] == 1 ? 2 : 1);
    patched("relocatable",
            offsetof(ElfW(Ehdr), e_type) + (self_image[EI_DATA] == 2), ET_REL);
    make("nul-line", "#!\0/bin/sh\n", 11, 0755);
    if (mkfifo("fifo", 0755) < 0 || symlink("child", "link") < 0 ||
        symlink("loop", "loop") < 0 || symlink("missing", "dangling") < 0 ||
        symlink("script", "script-link") < 0 ||
        symlink("/proc/self/exe", "exe-link") < 0) {
        die("links");
    }

    /* interpreters */
    dynamic("dyn-missing", "/nonexistent/ld.so", 19, 0);
    dynamic("dyn-relative", "nonexistent-ld.so", 18, 0);
    snprintf(text, sizeof(text), "%s/dir", here);
    dynamic("dyn-dir", text, strlen(text) + 1, 0);
    snprintf(text, sizeof(text), "%s/plain", here);
    dynamic("dyn-plain", text, strlen(text) + 1, 0);
    snprintf(text, sizeof(text), "%s/empty", here);
    dynamic("dyn-empty", text, strlen(text) + 1, 0);
    snprintf(text, sizeof(text), "%s/other-machine", here);
    dynamic("dyn-machine", text, strlen(text) + 1, 0);
    snprintf(text, sizeof(text), "%s/child/x", here);
    dynamic("dyn-notdir", text, strlen(text) + 1, 0);
    snprintf(text, sizeof(text), "%s/loop", here);
    dynamic("dyn-loop", text, strlen(text) + 1, 0);
    dynamic("dyn-unterminated", "/nonexistent/ld.so", 18, 0);
    dynamic("dyn-short-name", "", 1, 0);
    dynamic("dyn-cut-name", "/nonexistent/ld.so", 19, 5);
    dynamic("dyn-cut-headers", "/nonexistent/ld.so", 19,
            19 + sizeof(ElfW(Phdr)));
    p = calloc(1, 5000);
    memset(p, 'x', 4999);
    dynamic("dyn-long-name", p, 5000, 0);
    free(p);

    /*
     * Scripts.  This one is longer than a header of ELF of 64 bits: as an
     * interpreter, a shorter one has another error for programs of 32 bits.
     */
    snprintf(text, sizeof(text), "#!%s/child\n%064d\n", here, 0);
    script("script", text);
    make("script-plain", text, strlen(text), 0644);
    snprintf(text, sizeof(text), "#!%s/child", here);
    script("script-no-newline", text);
    snprintf(text, sizeof(text), "#! \t %s/child \t one  two\tthree \t\nrest\n",
             here);
    script("script-arg", text);
    snprintf(text, sizeof(text), "#!%s/child -cpu\n", here);
    script("script-option", text);
    script("script-relative", "#!child\n");
    script("script-empty", "#!\n");
    script("script-blank", "#!   \t \n");
    snprintf(text, sizeof(text), "#!%s/child\r\n", here);
    script("script-cr", text);
    snprintf(text, sizeof(text), "#!%s/child a\r\n", here);
    script("script-cr-arg", text);
    script("script-missing", "#!/nonexistent/sh\n");
    snprintf(text, sizeof(text), "#!%s/dir\n", here);
    script("script-dir", text);
    snprintf(text, sizeof(text), "#!%s/plain\n", here);
    script("script-to-plain", text);
    snprintf(text, sizeof(text), "#!%s/empty\n", here);
    script("script-to-empty", text);
    snprintf(text, sizeof(text), "#!%s/other-machine\n", here);
    script("script-to-machine", text);
    snprintf(text, sizeof(text), "#!%s/dyn-missing\n", here);
    script("script-to-dynamic", text);
    snprintf(text, sizeof(text), "#!%s/script-self\n", here);
    script("script-self", text);
    for (int i = 1; i <= 7; i++) {
        char name[16], arg[16];
        snprintf(name, sizeof(name), "level%d", i);
        snprintf(arg, sizeof(arg), i % 2 ? " arg%d" : "", i);
        if (i == 1) {
            snprintf(text, sizeof(text), "#!%s/child%s\n", here, arg);
        } else {
            snprintf(text, sizeof(text), "#!%s/level%d%s\n", here, i - 1, arg);
        }
        script(name, text);
    }
    /* First lines around the size of the kernel's buffer. */
    for (int size = 252; size <= 260; size++) {
        char name[32];

        snprintf(name, sizeof(name), "line%d", size);
        p = text + sprintf(text, "#!%s/child ", here);
        memset(p, 'a', text + size - p);
        text[size] = '\n';
        text[size + 1] = 0;
        script(name, text);

        snprintf(name, sizeof(name), "name%d", size);
        p = text + sprintf(text, "#!%s/", here);
        while (p < text + size - 6) {
            p += sprintf(p, "./");
        }
        if (p > text + size - 5) {
            p--;
            p[-1] = '/';
        }
        p += sprintf(p, "child");
        *p++ = '\n';
        *p = 0;
        script(name, text);
    }
    memset(text, ' ', 300);
    memcpy(text, "#!", 2);
    sprintf(text + 300, "%s/child\n", here);
    script("script-far", text);
    snprintf(text, sizeof(text), "#!%s/link one\n", here);
    script("script-to-link", text);
    snprintf(text, sizeof(text), "#!%s/fifo\n", here);
    script("script-to-fifo", text);
    snprintf(text, sizeof(text), "#!%s/loop\n", here);
    script("script-to-loop", text);
    snprintf(text, sizeof(text), "#!%s/locked/inside\n", here);
    script("script-to-locked", text);
    snprintf(text, sizeof(text), "#!%s/child --execve off -- -h\n", here);
    script("script-many-options", text);
    program("interpreter with blanks", 0755);
    snprintf(text, sizeof(text), "#!%s/interpreter with blanks\n", here);
    script("script-to-blanks", text);

    /* more interpreters of dynamic programs */
    snprintf(text, sizeof(text), "%s/script", here);
    dynamic("dyn-script", text, strlen(text) + 1, 0);
    snprintf(text, sizeof(text), "%s/fifo", here);
    dynamic("dyn-fifo", text, strlen(text) + 1, 0);

    if (chmod("locked", 0) < 0) {
        die("locked");
    }
}
