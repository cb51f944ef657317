/*
 * Part of linux.c: system calls that emulators tend not to know.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* Pieces of memory, and all of a file: what is moved, and how much. */
static void vectors(void)
{
    char one[4] = "abc", two[8] = "defghij", back[11] = "";
    struct iovec out[] = { { one, 3 }, { two, 7 } }, in[] = { { back, 2 }, { back + 2, 8 } };
    int fd = open(below("vectors"), O_RDWR | O_CREAT, 0600);

    printf("wrote %d,", (int)pwritev2(fd, out, 2, 5, 0));
    printf(" read %d", (int)preadv2(fd, in, 2, 5, 0));
    printf(" %s,", back);
    printf(" at %ld,", (long)lseek(fd, 0, SEEK_CUR));
    printf(" on %d,", (int)pwritev2(fd, out, 1, -1, RWF_APPEND));
    printf(" size %ld,", (long)lseek(fd, 0, SEEK_END));
    printf(" end %d,", (int)preadv2(fd, in, 2, -1, 0));
    printf(" flag %s,", error(preadv2(fd, in, 2, 0, 0x40000000)));
    printf(" far %d", (int)preadv2(fd, in, 2, 1 << 30, 0));
    close(fd);
}

static void memory_of_processes(void)
{
    char from[8] = "memory", to[8] = "";
    struct iovec here[] = { { to, 2 }, { to + 2, 4 } }, there = { from, 6 }, nowhere = { (void *)16, 6 };

    printf("read %d", (int)process_vm_readv(getpid(), here, 2, &there, 1, 0));
    printf(" %s,", to);
    memcpy(to, "sample", 6);
    printf(" wrote %d", (int)process_vm_writev(getpid(), here, 2, &there, 1, 0));
    printf(" %s,", from);
    printf(" nowhere %s,", error(process_vm_readv(getpid(), here, 2, &nowhere, 1, 0)));
    printf(" nobody %s,", error(process_vm_readv(0x3ffffff, here, 2, &there, 1, 0)));
    printf(" flags %s,", error(process_vm_readv(getpid(), here, 2, &there, 1, 1)));
    printf(" nothing %d", (int)process_vm_readv(getpid(), here, 0, &there, 1, 0));
}

static void epoll_times(void)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = 0x123456789abcdefULL };
    struct timespec none = { 0, 0 }, little = { 0, 20000000 }, wrong = { 0, -1 };
    int all = epoll_create1(0), ends[2];

    if (pipe(ends) < 0 || epoll_ctl(all, EPOLL_CTL_ADD, ends[0], &event) < 0) {
        fail("epoll");
    }
    event.data.u64 = 0;
    printf("empty %d,", epoll_pwait2(all, &event, 1, &none, NULL));
    printf(" later %d,", epoll_pwait2(all, &event, 1, &little, NULL));
    printf(" wrong %s,", error(epoll_pwait2(all, &event, 1, &wrong, NULL)));
    printf(" wrote %d,", (int)write(ends[1], "x", 1));
    printf(" full %d", epoll_pwait2(all, &event, 1, NULL, NULL));
    printf(" %d", event.data.u64 == 0x123456789abcdefULL);
    close(all);
    close(ends[0]);
    close(ends[1]);
}

static void locked_memory(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    printf("now %s,", error(mlock2(map, page, 0)));
    printf(" later %s,", error(mlock2(map, page, MLOCK_ONFAULT)));
    printf(" flags %s,", error(mlock2(map, page, 64)));
    munmap(map, 2 * page);
    printf(" unmapped %s", error(mlock2(map, page, 0)));
}

/* Of 2023: headers may be older. */
#ifndef SYS_cachestat
#ifdef __NR_Linux
#define SYS_cachestat (__NR_Linux + 451)
#elif defined(__alpha__)
#define SYS_cachestat 561
#else
#define SYS_cachestat 451
#endif
#endif

static void cached_pages(void)
{
    uint64_t range[2] = { 0, 0 }, seen[5] = { 0 };
    int fd = open(below("cached"), O_RDWR | O_CREAT, 0600);

    for (int i = 0; i < 16; i++) {
        if (write(fd, range, sizeof(range)) < 0) {
            fail("cached");
        }
    }
    printf("%s,", error(syscall(SYS_cachestat, fd, range, seen, 0)));
    printf(" cached %d,", seen[0] > 0 && seen[0] < 100);
    printf(" flags %s,", error(syscall(SYS_cachestat, fd, range, seen, 1)));
    printf(" bad %s", error(syscall(SYS_cachestat, -1, range, seen, 0)));
    close(fd);
}

/* Mounts, in a namespace of its own. */
static int mount_new(void)
{
    uint64_t attributes[4] = { 1 /* read-only */, 0, 0, 0 };
    int context, made;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        return 90;
    }
    context = syscall(SYS_fsopen, "tmpfs", 1);
    if (context < 0) {
        return errno == ENOSYS ? 91 : 92;
    }
    if (syscall(SYS_fsconfig, context, 1, "size", "1m", 0) < 0) {
        return 93;
    }
    if (syscall(SYS_fsconfig, context, 0, "no-such-flag", NULL, 0) == 0) {
        return 94;
    }
    if (syscall(SYS_fsconfig, context, 6, NULL, NULL, 0) < 0) {
        return 95;
    }
    made = syscall(SYS_fsmount, context, 1, 0);
    if (made < 0) {
        return 96;
    }
    if (mkdirat(made, "before", 0700) < 0) {
        return 97;
    }
    if (syscall(SYS_mount_setattr, made, "", 0x1000, attributes, sizeof(attributes)) < 0) {
        return 98;
    }
    if (mkdirat(made, "after", 0700) == 0 || errno != EROFS) {
        return 99;
    }
    if (syscall(SYS_move_mount, made, "", AT_FDCWD, below("mounted"), 4) < 0) {
        return 100;
    }
    close(made);
    if (access(below("mounted/before"), F_OK) < 0) {
        return 101;
    }
    made = syscall(SYS_fspick, AT_FDCWD, below("mounted"), 1);
    if (made < 0 || syscall(SYS_fsconfig, made, 7, NULL, NULL, 0) < 0) {
        return 102;
    }
    return 0;
}

static void mounts(void)
{
    if (mkdir(below("mounted"), 0700) < 0) {
        fail("mounted");
    }
    in_child(mount_new);
    printf(", unknown %s,", error(syscall(SYS_fsopen, "no-such-file-system", 0)));
    printf(" bad %s", error(syscall(SYS_fsconfig, -1, 1, "key", "value", 0)));
}

/* Keys, in a session of their own. */
static void keys(void)
{
    char read[16] = "", described[128] = "";
    int session, key, found;

    session = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
    if (session < 0) {
        printf("%s", strerrorname_np(errno));
        return;
    }
    key = syscall(SYS_add_key, "user", "anyarch:key", "secret", (size_t)6, KEY_SPEC_SESSION_KEYRING);
    printf("added %s,", error(key < 0 ? -1 : 0));
    found = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "anyarch:key", 0);
    printf(" found %d,", found == key);
    found = syscall(SYS_request_key, "user", "anyarch:key", NULL, 0);
    printf(" requested %d,", found == key);
    found = syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, described, sizeof(described));
    printf(" described %d %.4s,", found > 10, described);
    printf(" updated %s,", error(syscall(SYS_keyctl, KEYCTL_UPDATE, key, "other", (size_t)5)));
    printf(" read %ld", syscall(SYS_keyctl, KEYCTL_READ, key, read, sizeof(read)));
    printf(" %s,", read);
    printf(" revoked %s,", error(syscall(SYS_keyctl, KEYCTL_REVOKE, key)));
    printf(" gone %s,", error(syscall(SYS_keyctl, KEYCTL_READ, key, read, sizeof(read))));
    printf(" unknown %s", error(syscall(SYS_add_key, "no-such-type", "x", NULL, (size_t)0, KEY_SPEC_SESSION_KEYRING)));
}

static volatile sig_atomic_t messages;

static void on_message(int number, siginfo_t *info, void *context)
{
    (void)context;
    messages = number == SIGUSR2 && info->si_code == SI_MESGQ ? info->si_value.sival_int : -1;
}

static volatile int heard;

static void on_thread(union sigval value)
{
    heard = value.sival_int;
}

static void message_queue(void)
{
    struct sigaction action = { .sa_sigaction = on_message, .sa_flags = SA_SIGINFO };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_int = 77 };
    struct mq_attr attributes = { .mq_maxmsg = 2, .mq_msgsize = 16 };
    char name[64], got[16];
    mqd_t queue;

    snprintf(name, sizeof(name), "/anyarch-linux-%d", getpid());
    queue = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attributes);
    if (queue < 0) {
        printf("%s", strerrorname_np(errno));
        return;
    }
    mq_unlink(name);
    sigaction(SIGUSR2, &action, NULL);
    printf("signal %s,", error(mq_notify(queue, &event)));
    printf(" again %s,", error(mq_notify(queue, &event)));
    mq_send(queue, "x", 1, 0);
    printf(" told %d,", messages);
    mq_receive(queue, got, sizeof(got), NULL);
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_notify_function = on_thread;
    event.sigev_value.sival_int = 78;
    printf(" thread %s,", error(mq_notify(queue, &event)));
    mq_send(queue, "x", 1, 0);
    for (int i = 0; i < 500 && !heard; i++) {
        usleep(10000);
    }
    printf(" told %d,", heard);
    printf(" none %s", error(mq_notify(queue, NULL)));
    mq_close(queue);
}

#ifndef SYS_futex_waitv
#ifdef __NR_Linux
#define SYS_futex_waitv (__NR_Linux + 449)
#elif defined(__alpha__)
#define SYS_futex_waitv 559
#else
#define SYS_futex_waitv 449
#endif
#endif

struct waiter {
    uint64_t value, address;
    uint32_t flags, reserved;
};

static uint32_t futexes[2] = { 0x01020304, 5 };

static void *wake_second(void *argument)
{
    while (syscall(SYS_futex, &futexes[1], 129 /* private */, 1, NULL, NULL, 0) < 1) {
        usleep(10000);
    }
    return argument;
}

/* For several locks at once. */
static void futexes_at_once(void)
{
    struct waiter waiters[] = { { 0x01020304, (uintptr_t)&futexes[0], 2 | 128, 0 },
                                { 5, (uintptr_t)&futexes[1], 2 | 128, 0 } };
    int64_t until[2];
    struct timespec now;
    pthread_t thread;

    clock_gettime(CLOCK_MONOTONIC, &now);
    until[0] = now.tv_sec, until[1] = now.tv_nsec;
    printf("late %s,", error(syscall(SYS_futex_waitv, waiters, 2, 0, until, CLOCK_MONOTONIC)));
    until[0] += 10;
    pthread_create(&thread, NULL, wake_second, NULL);
    printf(" woken %ld,", (long)syscall(SYS_futex_waitv, waiters, 2, 0, until, CLOCK_MONOTONIC));
    pthread_join(thread, NULL);
    waiters[0].value = 0x04030201;
    printf(" other value %s,", error(syscall(SYS_futex_waitv, waiters, 2, 0, until, CLOCK_MONOTONIC)));
    printf(" none %s", error(syscall(SYS_futex_waitv, waiters, 0, 0, until, CLOCK_MONOTONIC)));
}

/* The same is told of an object by its place as by its number. */
static void ipc_places(void)
{
    struct shmid_ds by_number, by_place;
    int number = shmget(IPC_PRIVATE, 12345, 0600), last, place = -1;

    last = shmctl(0, IPC_INFO, &by_number);
    shmctl(number, IPC_STAT, &by_number);
    for (int i = 0; i <= last && place < 0; i++) {
        place = shmctl(i, SHM_STAT_ANY, &by_place) == number ? i : -1;
    }
    printf("found %d, size %d,", place >= 0, by_place.shm_segsz == by_number.shm_segsz);
    shmctl(number, IPC_RMID, NULL);
    printf(" gone %s,", error(shmctl(place, SHM_STAT_ANY, &by_place)));
    number = msgget(IPC_PRIVATE, 0600);
    printf(" queue %s,", error(msgctl(0x7ffff, MSG_STAT_ANY, (struct msqid_ds *)&by_place)));
    msgctl(number, IPC_RMID, NULL);
    printf(" semaphores %s", error(semctl(0x7ffff, 0, SEM_STAT_ANY, &by_place)));
}
