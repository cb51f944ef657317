/*
 * Fuzzes what keeps the emulator's descriptors out of the guest's sight (the patches'
 * reserved-fd.c and own-proc.c).
 *
 * A guest and its emulator do random things with one table of descriptors. After each,
 * the guest's part of the table must be what it would be natively, and the emulator's
 * what the emulator has put there. What differs from native is said where it is
 * allowed: numbers that are in use cannot be the lowest free ones, and a call may fail
 * with EMFILE if nothing that is in its way can give way.
 *
 * All of this happens in a thread with a table of its own, so that neither a fuzzer nor
 * the next input notices. See ../README.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "own-proc.h"
#include <sys/resource.h>

static int put_rlimit(int resource, const struct rlimit *lim);
static int get_rlimit(int resource, struct rlimit *lim);

#define setrlimit put_rlimit
#define getrlimit get_rlimit
/* With its variables, which have to be as at a start for each input. */
#include "reserved-fd.c"
#undef setrlimit
#undef getrlimit
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

#define NUMBERS 5120                    /* no descriptor is as high as this */
#define MOST 4600                       /* nor is any limit */
#define BORROWERS (RESERVED_FD_COUNT - RESERVED_FD_KEPT)
#define WORK 8000                      /* numbers to look at, before an input is given up */

/* As guest_fd() in guest-fd.c has it */
#define NEVER_OPEN (INT_MAX - 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the end, of which the process hears that has the fuzzer's descriptors */

static char *failure;                   /* shared with processes of ours */
static pid_t fuzzer;

static void fail(const char *what)
{
    if (what != failure) {
        snprintf(failure, 256, "%s", what);
    }
    if (getpid() != fuzzer) {
        _exit(1);
    }
    pthread_exit(NULL);
}

static void must(bool holds, const char *what)
{
    if (!holds) {
        fail(what);
    }
}

/* ---- what the input says */

static const uint8_t *input, *input_end;
/* After its end, as it says at its beginning: no more, or numbers that follow from it */
static bool goes_on;
static uint64_t state;

static unsigned number(unsigned below)
{
    if (input < input_end) {
        return *input++ % below;
    }
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return goes_on ? (state >> 33) % below : 0;
}

static unsigned large_number(unsigned below)
{
    unsigned high = number(256);

    return (high << 8 | number(256)) % below;
}

/* ---- the hard limit, which goes up again for nobody but root: the kernel is only told of the soft one */

static bool is_privileged;
static struct rlimit fuzzers, hard;

static int put_rlimit(int resource, const struct rlimit *lim)
{
    struct rlimit soft = { lim->rlim_cur, fuzzers.rlim_max };

    if (lim->rlim_cur > lim->rlim_max || (lim->rlim_max > hard.rlim_max && !is_privileged)) {
        errno = lim->rlim_cur > lim->rlim_max ? EINVAL : EPERM;
        return -1;
    }
    if (setrlimit(resource, &soft) < 0) {
        return -1;
    }
    hard = *lim;
    return 0;
}

static int get_rlimit(int resource, struct rlimit *lim)
{
    (void)resource;
    *lim = hard;
    return 0;
}

/* ---- what should be */

typedef struct File {
    bool is_open;
    bool cloexec;
    dev_t dev;
    ino_t ino;
} File;

static File guest[NUMBERS];             /* what stands where, for the guest */
static File ours[RESERVED_FD_COUNT];    /* what stands in which slot */
static int top;                         /* nothing was ever opened from here on */
static struct rlimit limit;             /* what the guest has set */
static bool can_spare[RESERVED_FD_COUNT], was_spared[RESERVED_FD_COUNT];
static int low;                         /* the guest leaves what is below alone */

/* What borrowers believe that they have */
static struct borrower {
    int slot, fd;
    bool has_lost;                      /* to the guest */
} borrowers[BORROWERS];
static unsigned borrower_count;

static bool has_forked;

static bool does_without(ReservedFd slot)
{
    if (slot >= RESERVED_FD_KEPT) {
        fail("it is asked whether borrowed files are needed");
    }
    was_spared[slot] |= can_spare[slot];
    return can_spare[slot];
}

/* What is seen to have been run is not how this looks at everything after each step. */
#ifdef __clang__
#define UNSEEN __attribute__((no_sanitize("coverage")))
#else
#define UNSEEN __attribute__((no_sanitize_coverage))
#endif

static bool UNSEEN same(const File *a, const File *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}

/* What stands at a number, as the kernel says. */
static File UNSEEN look(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    File file = { .is_open = flags >= 0, .cloexec = flags > 0 };
    struct stat st;

    if (file.is_open) {
        must(fstat(fd, &st) == 0, "a descriptor without a file");
        file.dev = st.st_dev;
        file.ino = st.st_ino;
    }
    return file;
}

static int UNSEEN slot_at(int fd)
{
    for (int slot = 0; slot < RESERVED_FD_COUNT; slot++) {
        if (ours[slot].is_open && reserved_fd_get(slot) == fd) {
            return slot;
        }
    }
    return -1;
}

static bool is_guests(int fd)
{
    return fd >= 0 && fd < NUMBERS && guest[fd].is_open;
}

/* Numbers that are neither the guest's nor ours */
static int UNSEEN count_free(int first, int end)
{
    int count = 0;

    for (int fd = first; fd < end; fd++) {
        count += !guest[fd].is_open;
    }
    for (int slot = 0; slot < RESERVED_FD_COUNT; slot++) {
        int fd = ours[slot].is_open ? reserved_fd_get(slot) : -1;

        count -= fd >= first && fd < end;
    }
    return count;
}

static int UNSEEN count_guests(void)
{
    int count = 0;

    for (int fd = 0; fd < top; fd++) {
        count += guest[fd].is_open;
    }
    return count;
}

static int stretched(void)
{
    rlim_t end = limit.rlim_cur + RESERVED_FD_ROOM;

    return is_privileged ? end : MIN(end, limit.rlim_max);
}

/*
 * How many numbers from @first on the guest can get: those that are free, and those
 * of ours that can go elsewhere, or be done without. The log's cannot.
 */
static int count_available(int first)
{
    static const int order[] = { RESERVED_FD_PROGRAM, RESERVED_FD_EMULATOR };
    int count = count_free(first, limit.rlim_cur), room = count_free(limit.rlim_cur, stretched());

    for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
        int fd = ours[order[i]].is_open ? reserved_fd_get(order[i]) : -1;

        if (fd >= 0 && fd < (int)limit.rlim_cur && (room > 0 || can_spare[order[i]])) {
            room -= room > 0;
            count += fd >= first;
        }
    }
    return count;
}

/* After each step */
static void UNSEEN check(void)
{
    struct rlimit now;

    must(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == limit.rlim_cur &&
         hard.rlim_cur == limit.rlim_cur && hard.rlim_max == limit.rlim_max,
         "the limit is not what the guest has set");
    for (int slot = 0; slot < RESERVED_FD_COUNT; slot++) {
        int fd = reserved_fd_get(slot);
        File file;

        if (fd < 0 && was_spared[slot]) {
            ours[slot].is_open = false;
        }
        was_spared[slot] = false;
        must((fd >= 0) == ours[slot].is_open, fd >= 0 ? "a slot is full" : "a slot is empty");
        if (fd >= 0) {
            must(fd < NUMBERS && !guest[fd].is_open, "a slot has a descriptor of the guest's");
            must(is_reserved_fd(fd), "it is not hidden");
            must(slot_at(fd) == slot, "two slots have the same descriptor");
            file = look(fd);
            must(file.is_open, "a slot's descriptor was closed");
            must(same(&file, &ours[slot]), "a slot leads to another file");
            must(file.cloexec, "it is inherited by whoever is executed");
        }
    }
    for (int fd = 0; fd < top; fd++) {
        File file;

        if (!guest[fd].is_open) {
            must(slot_at(fd) >= 0 || fcntl(fd, F_GETFD) < 0, "a descriptor that nobody has");
            continue;
        }
        file = look(fd);
        must(file.is_open, "the guest has lost a descriptor");
        must(same(&file, &guest[fd]), "the guest has another file there");
        must(file.cloexec == guest[fd].cloexec, "close-on-exec is not what the guest has set");
        must(!is_reserved_fd(fd), "a descriptor of the guest's is hidden");
    }
    must(!is_reserved_fd(-1) && !is_reserved_fd(NEVER_OPEN), "what is no descriptor is hidden");
}

/* ---- what the guest does, as syscall.c does it for the guest */

static int guest_fd(int fd)
{
    return is_reserved_fd(fd) ? NEVER_OPEN : fd;
}

/* guest_fd_leave(): is the call, which wants a number from @first on, to be carried out once more? */
static bool again_from(int first, int ret)
{
    return ret < 0 && errno == EMFILE && reserved_fd_enabled() && reserved_fd_give_way(first);
}

static bool again(int ret)
{
    return again_from(0, ret);
}

/* The guest has got a number, the lowest from @first on, or must not have got one. */
static void got(int fd, int first, int available, bool cloexec)
{
    if (fd < 0) {
        must(errno == EMFILE, "another error");
        must(available == 0, "no number for the guest though there are some");
        return;
    }
    must(fd >= first && fd < (int)limit.rlim_cur, "a number that cannot be");
    must(!is_guests(fd), "a number that the guest has already");
    must(count_free(first, fd) == 0, "not the lowest number");
    guest[fd] = look(fd);
    must(guest[fd].is_open && guest[fd].cloexec == cloexec, "not as it was opened");
}

/* A number of ours, as far as there is one */
static int our_number(void)
{
    unsigned at = number(RESERVED_FD_COUNT);

    for (int i = 0; i < RESERVED_FD_COUNT; i++) {
        int slot = (at + i) % RESERVED_FD_COUNT;

        if (ours[slot].is_open) {
            return reserved_fd_get(slot);
        }
    }
    return -1;
}

/* Any number: the guest's, ours, or of neither. */
static int any_number(void)
{
    unsigned way = number(8);

    if (way < 4) {
        unsigned at = large_number(top);

        for (int i = 0; i < top; i++) {
            int fd = (at + i) % top;

            if (guest[fd].is_open && fd >= low) {
                return fd;
            }
        }
    } else if (way < 6) {
        return our_number();
    } else if (way == 6) {
        return low + large_number(limit.rlim_cur + 4);
    }
    return (int[]) { -1, INT_MIN, INT_MAX, NUMBERS - 1 }[number(4)];
}

static void guest_opens(void)
{
    bool cloexec = number(2);
    int fd, available = count_available(0);

    do {
        fd = memfd_create("guest", cloexec ? MFD_CLOEXEC : 0);
    } while (again(fd));
    got(fd, 0, available, cloexec);
}

static void guest_opens_two(void)
{
    bool cloexec = number(2);
    int fds[2], ret, available = count_available(0);

    do {
        ret = socketpair(AF_UNIX, SOCK_STREAM | (cloexec ? SOCK_CLOEXEC : 0), 0, fds);
    } while (again(ret));
    if (ret < 0) {
        must(errno == EMFILE && available < 2, "no two numbers for the guest though there are some");
        return;
    }
    got(fds[0], 0, available, cloexec);
    got(fds[1], 0, available, cloexec);
}

static void guest_duplicates(void)
{
    bool cloexec = number(2);
    int old = any_number(), first = number(4) ? 0 : large_number(limit.rlim_cur + 3), fd, available;

    available = first < (int)limit.rlim_cur ? count_available(first) : 0;
    do {
        fd = fcntl(guest_fd(old), cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, first);
    } while (again_from(first, fd));
    if (!is_guests(old)) {
        must(fd < 0 && errno == EBADF, "a copy of what the guest has not got");
    } else if (first >= (int)limit.rlim_cur) {
        must(fd < 0 && errno == EINVAL, "a copy beyond the limit");
    } else {
        got(fd, first, available, cloexec);
        must(fd < 0 || same(&guest[fd], &guest[old]), "a copy of something else");
    }
}

static void take_from_borrower(int slot)
{
    ours[slot].is_open = false;
    for (unsigned i = 0; i < borrower_count; i++) {
        borrowers[i].has_lost |= borrowers[i].slot == slot;
    }
}

/*
 * Can what is in this slot make way for the guest's? It goes to no number below 3, which
 * are for standard streams, and nothing else gives way if two numbers are free.
 */
static bool can_move(int slot)
{
    int other = slot == RESERVED_FD_EMULATOR ? RESERVED_FD_PROGRAM : RESERVED_FD_EMULATOR;
    int fd = ours[other].is_open ? reserved_fd_get(other) : -1;

    return can_spare[slot] || count_free(3, limit.rlim_cur) > 0 || count_free(limit.rlim_cur, stretched()) > 0 ||
           (fd >= 3 && fd < (int)limit.rlim_cur && can_spare[other] && count_free(0, limit.rlim_cur) < 2);
}

/* dup2() or dup3() */
static void guest_puts(void)
{
    bool is_dup3 = number(2), cloexec = is_dup3 && number(2), may_fail = false;
    int old = any_number(), new = number(2) ? our_number() : any_number(), slot = slot_at(new), ret;

    if (new >= 0 && new < low) {
        return;
    }
    if (slot >= 0 && slot < RESERVED_FD_KEPT) {
        may_fail = slot == RESERVED_FD_LOG || !can_move(slot);
    }
    do {
        ret = is_dup3 ? reserved_fd_guest_dup3(old == new ? old : guest_fd(old), new, cloexec ? O_CLOEXEC : 0) :
              reserved_fd_guest_dup2(guest_fd(old), new);
    } while (again(ret));
    if (is_dup3 && old == new) {
        must(ret < 0 && errno == EINVAL, "dup3() with equal numbers");
    } else if (old == new && is_guests(old)) {
        must(ret == new, "dup2() with equal numbers");
    } else if (!is_guests(old) || new < 0 || new >= (int)limit.rlim_cur) {
        must(ret < 0 && errno == EBADF, "dup2() with what cannot be");
    } else if (ret < 0) {
        must(errno == EMFILE && may_fail, "dup2() fails");
    } else {
        must(ret == new, "dup2() returns another number");
        if (slot >= RESERVED_FD_KEPT) {
            take_from_borrower(slot);
        }
        if (old != new) {
            guest[new] = guest[old];
            guest[new].cloexec = cloexec;
        }
    }
}

static void guest_closes(void)
{
    int fd = any_number(), ret;

    if (fd >= 0 && fd < low) {
        return;
    }
    ret = close(guest_fd(fd));
    must(ret == (is_guests(fd) ? 0 : -1), ret == 0 ? "closed what was not open" : "not closed");
    if (is_guests(fd)) {
        guest[fd].is_open = false;
    }
}

static int host_close_range(int first, int last, int flags)
{
    return syscall(SYS_close_range, first, last, flags);
}

static void guest_closes_range(void)
{
    static const unsigned any_flags[] = {
        0, CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC, 1 << 5, ~0
    };
    unsigned first = any_number(), last = any_number(), flags = any_flags[number(ARRAY_SIZE(any_flags))];
    bool bad = flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC);
    int ret;

    first = number(2) ? (unsigned)low : MAX(first, (unsigned)low);
    last = number(2) ? UINT_MAX : last;
    ret = reserved_fd_guest_close_range(host_close_range, first, last, flags);
    if (bad || first > last) {
        must(ret < 0 && errno == EINVAL, "close_range() with what cannot be");
        return;
    }
    must(ret == 0, "close_range() fails");
    for (unsigned fd = first; fd <= last && fd < NUMBERS; fd++) {
        if (flags & CLOSE_RANGE_CLOEXEC) {
            guest[fd].cloexec = true;
        } else {
            guest[fd].is_open = false;
        }
    }
}

static void guest_sets_flag(void)
{
    int fd = any_number(), flag = number(2);

    if (fd >= 0 && fd < low) {
        return;
    }
    must(fcntl(guest_fd(fd), F_SETFD, flag) == (is_guests(fd) ? 0 : -1), "F_SETFD");
    if (is_guests(fd)) {
        guest[fd].cloexec = flag;
    }
}

static void put_limit(const struct rlimit *lim)
{
    reserved_fd_lock();
    must(put_rlimit(RLIMIT_NOFILE, lim) == 0, "the guest's limit cannot be set");
    reserved_fd_unlock();
    limit = *lim;
    top = MAX(top, (int)lim->rlim_cur + RESERVED_FD_ROOM + 1);
}

static void set_limit(void)
{
    struct rlimit lim = limit;

    switch (number(16)) {
    case 15:
        lim.rlim_cur = 4080 + large_number(40);
        break;
    case 14:
        lim.rlim_cur = large_number(300);
        break;
    default:
        lim.rlim_cur = 3 + number(number(2) ? 10 : 40);
    }
    if (is_privileged || number(4) == 0) {
        lim.rlim_max = lim.rlim_cur + (int[]) { 0, 0, 5, 16, 200 }[number(5)];
    }
    if (lim.rlim_cur <= lim.rlim_max && lim.rlim_cur <= MOST &&
        (is_privileged || lim.rlim_max <= limit.rlim_max)) {
        put_limit(&lim);
    }
}

/* ---- a listing */

#define RECLEN 16                       /* where an entry's length stands, with 64 bits */

static bool listed[NUMBERS];

static void take_entry(const char *name, bool is_unfiltered)
{
    int fd;

    if (!strcmp(name, ".") || !strcmp(name, "..") || is_unfiltered) {
        return;
    }
    must(qemu_strtoi(name, NULL, 10, &fd) == 0 && is_guests(fd), "something is listed that the guest has not got");
    must(!listed[fd], "listed twice");
    listed[fd] = true;
}

/* By getdents64(), or by the older call, which has the name in another place. */
static int read_entries(int fd, char *buf, int size, bool old_call, int *name_offset)
{
    int len, got;

    *name_offset = 19;
    do {
#ifdef SYS_getdents
        if (old_call) {
            *name_offset = 18;
            got = syscall(SYS_getdents, fd, buf, size);
        } else
#endif
        got = syscall(SYS_getdents64, fd, buf, size);
        must(got >= 0, "cannot list");
        len = reserved_fd_filter_dents(fd, buf, got, RECLEN, *name_offset);
        must(len <= got && (len > 0 || len == -1 || got == 0), "a length that cannot be");
    } while (len < 0);
    return len;
}

static void guest_lists(void)
{
    char name[64], *buf;
    unsigned which = number(6), size = 48 + number(250);
    bool is_fds = which < 5;
    int fd, len, name_offset, available = count_available(0), tid = syscall(SYS_gettid);

    switch (which) {
    case 0:
    case 1:
        sprintf(name, "/proc/thread-self/fd");
        break;
    case 2:
        sprintf(name, "/proc/thread-self/fdinfo");
        break;
    case 3:
        sprintf(name, "/proc/%d/task/%d/fd", getpid(), tid);
        break;
    case 4:
        sprintf(name, "/proc/self/task/%d/fdinfo", tid);
        break;
    default:
        /* Has numbers as well, which mean something else */
        sprintf(name, number(2) ? "/proc/self/task" : "/proc");
    }
    do {
        fd = open(name, O_RDONLY | O_DIRECTORY);
    } while (again(fd));
    got(fd, 0, available, false);
    if (fd < 0) {
        return;
    }
    memset(listed, 0, sizeof(listed));
    /* Of its very size, so that a byte too far is noticed. */
    buf = malloc(size);
    while ((len = read_entries(fd, buf, size, number(2), &name_offset)) > 0) {
        for (int at = 0; at < len; ) {
            unsigned short reclen;

            memcpy(&reclen, buf + at + RECLEN, sizeof(reclen));
            must(reclen > name_offset && at + reclen <= len, "an entry is cut");
            take_entry(buf + at + name_offset, !is_fds);
            at += reclen;
        }
    }
    free(buf);
    for (int i = 0; i < top && is_fds; i++) {
        must(listed[i] == guest[i].is_open, "something is missing in a listing");
    }
    if (number(4)) {
        must(close(guest_fd(fd)) == 0, "cannot close a folder");
        guest[fd].is_open = false;
    }
}

/* A folder like /proc is left as it is, number for number. */
static void guest_lists_others(void)
{
    char buf[2048], copy[sizeof(buf)];
    int len, ret, fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return;
    }
    len = syscall(SYS_getdents64, fd, buf, sizeof(buf));
    if (len > 0) {
        memcpy(copy, buf, len);
    }
    ret = reserved_fd_filter_dents(fd, buf, len, RECLEN, 19);
    close(fd);
    must(ret == len && (len <= 0 || !memcmp(buf, copy, len)), "another listing is changed");
}

static void guest_asks_for_size(void)
{
    struct stat st;

    must(stat("/proc/thread-self/fd", &st) == 0, "no /proc");
    /* Before Linux 6.2 it is 0. */
    if (st.st_size) {
        reserved_fd_discount(AT_FDCWD, "/proc/thread-self/fd", &st);
        must(st.st_size == count_guests(), "the folder has another size");
    }
    must(stat("/proc", &st) == 0, "no /proc");
    st.st_size = 1000;
    reserved_fd_discount(AT_FDCWD, "/proc", &st);
    must(st.st_size == 1000, "another folder's size is changed");
}

/* Names of our own folders, however they are spelled, and of others'. */
static void ask_for_names(void)
{
    static const char *roots[] = { "/proc", "/proc/self/root/proc", "/../proc/./", "/proc/1/root/proc" };
    static const char *ends[] = { "", "/", "/.", "/fd", "/fd/", "/fdinfo", "/fd/../fd", "/exe", "/task", "/net" };
    const char *root = roots[number(geteuid() ? 3 : 4)];
    unsigned process = number(6), end = number(ARRAY_SIZE(ends));
    bool is_own = process < 5, is_dir = end < 3, is_list = end >= 3 && end < 7, is_exe = end == 7;
    char name[160], self[60];
    int tid = syscall(SYS_gettid);

    switch (process) {
    case 0:
        sprintf(self, "self");
        break;
    case 1:
        sprintf(self, "thread-self");
        break;
    case 2:
        sprintf(self, "%d", getpid());
        break;
    case 3:
        sprintf(self, "self/task/%d", tid);
        break;
    case 4:
        sprintf(self, "%d/task/%d", getpid(), tid);
        break;
    default:
        sprintf(self, "%d", getppid());
    }
    sprintf(name, "%s/%s%s", root, self, ends[end]);
    if (faccessat(AT_FDCWD, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
        /* Another PID namespace, or a process that has ended */
        return;
    }
    must(own_proc_dir(AT_FDCWD, name) == (is_own && is_dir), name);
    if (is_own || !is_list) {
        must(own_proc_lists_fds(AT_FDCWD, name) == (is_own && is_list), name);
    }
    if (is_own) {
        char *dir = own_proc_exe(AT_FDCWD, name, false);

        must((dir != NULL) == is_exe, name);
        must(!dir || own_proc_dir(AT_FDCWD, dir), name);
        g_free(dir);
        dir = own_proc_exe(AT_FDCWD, name, true);
        must((dir != NULL) == is_exe, name);
        g_free(dir);
    }
}

/* ---- what the emulator does */

/* As open_one_more() in execve-file.c: even if the guest has no number left */
static int open_one_more(void)
{
    int available = count_available(0), fd;
    struct rlimit lim;

    do {
        fd = memfd_create("emulator", MFD_CLOEXEC);
    } while (again(fd));
    must(fd >= 0 || available == 0, "no number for the emulator though there are some");
    if (fd < 0) {
        reserved_fd_lock();
        if (reserved_fd_stretch_limit(&lim)) {
            fd = memfd_create("emulator", MFD_CLOEXEC);
            reserved_fd_restore_limit(&lim);
        }
        reserved_fd_unlock();
    }
    return fd;
}

/* What was given up on the way is not missed when a slot is filled anew. */
static void note_spared(void)
{
    for (int slot = 0; slot < RESERVED_FD_KEPT; slot++) {
        if (was_spared[slot] && reserved_fd_get(slot) < 0) {
            ours[slot].is_open = false;
        }
        was_spared[slot] = false;
    }
}

static void emulator_keeps(void)
{
    int slot = (int[]) { RESERVED_FD_EMULATOR, RESERVED_FD_LOG }[number(2)], fd = open_one_more();
    bool beyond = slot == RESERVED_FD_EMULATOR && number(2), has_room;
    File file;

    if (fd < 0) {
        return;
    }
    note_spared();
    file = look(fd);
    has_room = limit.rlim_cur < RESERVED_FD_CEILING;
    has_room = has_room && count_free(limit.rlim_cur, stretched()) > (fd >= (int)limit.rlim_cur);
    if (number(2)) {
        reserved_fd_keep(slot, fd, beyond);
        must(!beyond || !has_room || reserved_fd_get(slot) >= (int)limit.rlim_cur, "not beyond the limit");
    } else {
        reserved_fd_inherit(slot, fd);
        must(reserved_fd_get(slot) == fd, "an inherited one is moved");
    }
    ours[slot] = file;
}

/* The program's file, which the loader opens, and closes when it is done */
static void emulator_keeps_copy(void)
{
    int fd = open_one_more(), room;

    if (fd < 0) {
        return;
    }
    note_spared();
    room = count_free(3, limit.rlim_cur) - (fd >= 3 && fd < (int)limit.rlim_cur);
    reserved_fd_keep_copy(RESERVED_FD_PROGRAM, fd);
    must((reserved_fd_get(RESERVED_FD_PROGRAM) >= 0) == (room > 0), "a copy without room, or none");
    ours[RESERVED_FD_PROGRAM] = look(fd);
    must(ours[RESERVED_FD_PROGRAM].is_open, "a copy in the place of what was copied");
    ours[RESERVED_FD_PROGRAM].is_open = room > 0;
    close(fd);
}

static void emulator_borrows(void)
{
    int fd = open_one_more(), slot;

    if (fd < 0) {
        return;
    }
    slot = reserved_fd_borrow(fd);
    if (slot < 0) {
        must(borrower_count == BORROWERS, "no slot though there are some");
        close(fd);
        return;
    }
    must(slot >= RESERVED_FD_KEPT && slot < RESERVED_FD_COUNT, "a slot that cannot be");
    for (unsigned i = 0; i < borrower_count; i++) {
        must(borrowers[i].slot != slot, "two borrowers have the same slot");
    }
    ours[slot] = look(fd);
    borrowers[borrower_count++] = (struct borrower) { slot, fd, false };
}

/* As execve_drop() in execve-file.c, or it is the guest's. Who has lost it does nothing to another. */
static void emulator_gives_back(void)
{
    struct borrower *who = &borrowers[borrower_count ? number(borrower_count) : 0];
    bool is_returned = number(4);

    if (!borrower_count) {
        return;
    }
    must(reserved_fd_has(who->slot, who->fd) == !who->has_lost, "a borrower is told wrongly");
    if (is_returned) {
        reserved_fd_return(who->slot);
    } else {
        if (!who->has_lost) {
            guest[who->fd] = ours[who->slot];
        }
        reserved_fd_forget(who->slot);
    }
    ours[who->slot].is_open = false;
    *who = borrowers[--borrower_count];
}

static void emulator_gives_way(void)
{
    int free = count_free(0, limit.rlim_cur), available = count_available(0);
    bool gave;

    errno = ENOTUNIQ;
    gave = reserved_fd_give_way(0);
    must(errno == ENOTUNIQ, "errno is lost");
    if (free == 0) {
        must(gave == (available > 0), gave ? "it gives way though it cannot" : "it does not give way");
    } else if (free > 1) {
        must(!gave, "it gives way without need");
    }
    note_spared();
    must(count_free(0, limit.rlim_cur) == free + gave, "another number of free ones");
}

static void emulator_stretches(void)
{
    struct rlimit saved, now;
    bool can;

    reserved_fd_lock();
    can = reserved_fd_stretch_limit(&saved);
    must(can || stretched() == (int)limit.rlim_cur, "the limit cannot be stretched");
    must(getrlimit(RLIMIT_NOFILE, &now) == 0, "no limit");
    must(!can || (int)now.rlim_cur == stretched(), "another limit");
    if (can) {
        reserved_fd_restore_limit(&saved);
    }
    reserved_fd_unlock();
}

/* As fork_start() and fork_end() in main.c */
static void guest_forks(void)
{
    int status;
    pid_t pid;

    reserved_fd_lock();
    pid = fork();
    reserved_fd_unlock();
    if (pid == 0) {
        reserved_fd_after_fork();
        for (int slot = RESERVED_FD_KEPT; slot < RESERVED_FD_COUNT; slot++) {
            ours[slot].is_open = false;
        }
        check();
        guest_opens();
        check();
        _exit(0);
    }
    /* libFuzzer has a clock that interrupts. */
    must(pid > 0 && TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) == pid && status == 0,
         *failure ? failure : "no process");
}

static void change_need(void)
{
    can_spare[RESERVED_FD_EMULATOR] = number(2);
    can_spare[RESERVED_FD_PROGRAM] = number(2);
}

/* ---- all of it */

static void step(void)
{
    static void (*const all[])(void) = {
        guest_opens, guest_opens, guest_opens, guest_opens, guest_opens_two, guest_duplicates,
        guest_duplicates, guest_puts, guest_puts, guest_puts, guest_puts, guest_closes, guest_closes,
        guest_closes_range, guest_sets_flag, set_limit, set_limit, guest_lists, guest_lists_others,
        guest_asks_for_size, ask_for_names, emulator_keeps, emulator_keeps, emulator_keeps_copy,
        emulator_borrows, emulator_borrows, emulator_gives_back, emulator_gives_way, emulator_stretches,
        change_need,
    };
    unsigned which = number(256);

    if (which == 255) {
        /* Once, since it takes so long */
        if (!has_forked) {
            guest_forks();
        }
        has_forked = true;
    } else if (which >= 240) {
        /* Up to the limit, often */
        for (unsigned n = which == 254 ? 60 : 2 * (which - 230); n > 0; n--) {
            guest_opens();
        }
    } else {
        all[which % ARRAY_SIZE(all)]();
    }
    check();
}

static void *run(void *unused)
{
    (void)unused;
    if (unshare(CLONE_FILES) < 0) {
        fail("no table of descriptors");
    }
    syscall(SYS_close_range, 3, UINT_MAX, 0);
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            must(open("/dev/null", O_RDWR) == fd, "no /dev/null");
        }
        guest[fd] = look(fd);
    }
    put_limit(&(struct rlimit) { 20, MOST });
    set_limit();
    for (unsigned n = number(4); n > 0; n--) {
        guest_opens();
    }
    reserved_fd_enable(does_without);
    emulator_keeps();
    own_proc_init(reserved_fd_get(RESERVED_FD_EMULATOR), false);
    for (int work = 0; (input < input_end || goes_on) && work < WORK; work += top) {
        step();
    }
    /* What is borrowed is given back in the end. */
    while (borrower_count) {
        emulator_gives_back();
    }
    check();
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pthread_t thread;

    if (!failure) {
        if (getrlimit(RLIMIT_NOFILE, &fuzzers) < 0 || fuzzers.rlim_max < NUMBERS) {
            fprintf(stderr, "descriptors: wants a hard limit of %d open files\n", NUMBERS);
            exit(2);
        }
        failure = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        fuzzer = getpid();
    }
    input = data;
    input_end = data + size;
    memset(guest, 0, sizeof(guest));
    memset(ours, 0, sizeof(ours));
    memset(can_spare, 0, sizeof(can_spare));
    memset(was_spared, 0, sizeof(was_spared));
    enabled = false;
    slots_end = RESERVED_FD_KEPT;
    borrower_count = 0;
    has_forked = false;
    top = 0;
    state = 0;
    for (size_t i = 0; i < size; i++) {
        state = (state ^ data[i]) * 1099511628211ULL;
    }
    goes_on = number(2);
    low = number(4) ? 3 : 0;
    is_privileged = number(2);
    hard = limit = fuzzers;

    if (pthread_create(&thread, NULL, run, NULL)) {
        snprintf(failure, 256, "no thread");
    } else {
        pthread_join(thread, NULL);
    }
    setrlimit(RLIMIT_NOFILE, &fuzzers);
    if (*failure) {
        fprintf(stderr, "descriptors: %s\n", failure);
        abort();
    }
    return 0;
}
