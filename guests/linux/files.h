/*
 * Part of linux.c: files and folders.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* So many that the kernel hands them out in several pieces. */
#define ENTRIES 500

static DIR *full(const char *name)
{
    static char file[64];
    DIR *opened;

    if (mkdir(below(name), 0700) < 0) {
        fail(name);
    }
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(file, sizeof(file), "%s/a-file-with-a-name-%03d", name, i);
        if (mknod(below(file), S_IFREG | 0600, 0) < 0) {
            fail(file);
        }
    }
    opened = opendir(below(name));
    if (!opened) {
        fail(name);
    }
    return opened;
}

static int rest(DIR *opened)
{
    int count = 0;

    errno = 0;
    while (readdir(opened)) {
        count++;
    }
    return count;
}

static void list(void)
{
    DIR *opened = full("list");
    int count = rest(opened);

    printf("%d, %s", count, errno ? strerrorname_np(errno) : "to the end");
    rewinddir(opened);
    printf(", again %d", rest(opened));
    closedir(opened);
}

/* From any place that telldir() names, the same entries follow. */
static void resume(void)
{
    DIR *opened = full("resume");
    long places[ENTRIES + 2];
    int wrong = 0;

    for (int i = 0; i < ENTRIES + 2; i++) {
        places[i] = telldir(opened);
        if (!readdir(opened)) {
            break;
        }
    }
    for (int i = 0; i < ENTRIES + 2; i += 50) {
        seekdir(opened, places[i]);
        wrong += rest(opened) != ENTRIES + 2 - i;
    }
    printf("%d wrong", wrong);
    closedir(opened);
}

/* What takes the number of a directory's descriptor is no directory. */
static void reuse(void)
{
    DIR *opened = full("reuse");
    int number = dirfd(opened), fd;

    rest(opened);
    closedir(opened);
    fd = open(below("reuse/file"), O_RDWR | O_CREAT, 0600);
    printf("%s,", fd == number ? "same" : "other");
    printf(" to %ld,", (long)lseek(fd, 3, SEEK_SET));
    printf(" at %ld,", (long)lseek(fd, 0, SEEK_CUR));
    printf(" wrote %d,", (int)write(fd, "x", 1));
    printf(" size %ld", (long)lseek(fd, 0, SEEK_END));
    close(fd);
}

static void cwd(void)
{
    char small[1], path[4096];
    int here = open(".", O_RDONLY | O_DIRECTORY);

    if (chdir(folder) < 0) {
        fail(folder);
    }
    printf("empty %s,", error(syscall(SYS_getcwd, path, 0)));
    printf(" small %s,", error(syscall(SYS_getcwd, small, 1)));
    printf(" bad %s,", error(syscall(SYS_getcwd, (char *)16, sizeof(path))));
    printf(" length %d", syscall(SYS_getcwd, path, sizeof(path)) == (long)strlen(path) + 1);
    if (fchdir(here) < 0 || close(here) < 0) {
        fail("fchdir");
    }
}

/* A program that asks for the number of a mount gets one. */
static void statx_mount(void)
{
    struct statx here, proc, again;

    printf("%s,", error(statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS | STATX_MNT_ID, &here)));
    printf(" %s,", error(statx(AT_FDCWD, "/proc", 0, STATX_MNT_ID, &proc)));
    printf(" %s,", error(statx(AT_FDCWD, "/proc/self", 0, STATX_MNT_ID, &again)));
    printf(" %d told, %d a number, %d other, %d same", !!(here.stx_mask & STATX_MNT_ID), here.stx_mnt_id != 0,
           here.stx_mnt_id != proc.stx_mnt_id, proc.stx_mnt_id == again.stx_mnt_id);
}

static void file_ioctls(void)
{
    struct fsxattr attributes = { .fsx_xflags = 1 };
    int fd = open(below("attributes"), O_RDWR | O_CREAT, 0600);
    char label[FSLABEL_MAX] = "";
    uint64_t hint = 3;

    printf("%s", error(ioctl(fd, FS_IOC_FSGETXATTR, &attributes)));
    printf(" %u,", attributes.fsx_xflags);
    attributes.fsx_extsize = 1;
    attributes.fsx_xflags = 1 << 30;
    printf(" %s,", error(ioctl(fd, FS_IOC_FSSETXATTR, &attributes)));
    printf(" label %s,", error(ioctl(fd, FS_IOC_GETFSLABEL, label)));
    printf(" hint %s", error(fcntl(fd, F_SET_RW_HINT, &hint)));
    hint = 0;
    printf(" %s", error(fcntl(fd, F_GET_RW_HINT, &hint)));
    printf(" %d,", (int)hint);
    hint = 77;
    printf(" wrong %s", error(fcntl(fd, F_SET_RW_HINT, &hint)));
    close(fd);
}

static void namespace_ioctls(void)
{
    int fd = open("/proc/self/ns/uts", O_RDONLY), owner;
    uid_t uid = 12345;

    printf("type %x,", ioctl(fd, NS_GET_NSTYPE));
    owner = ioctl(fd, NS_GET_USERNS);
    printf(" owner %s,", error(owner < 0 ? -1 : 0));
    if (owner >= 0) {
        printf(" type %x, %s", ioctl(owner, NS_GET_NSTYPE), error(ioctl(owner, NS_GET_OWNER_UID, &uid)));
        printf(" %d,", uid);
        printf(" parent %s", error(ioctl(owner, NS_GET_PARENT)));
        close(owner);
    }
    close(fd);
}
