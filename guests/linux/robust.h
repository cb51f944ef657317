/*
 * Part of linux.c: locks whose holder ends.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static pthread_mutex_t *robust(void)
{
    pthread_mutex_t *lock = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &attributes);
    return lock;
}

/* What becomes of a lock: not for ever, if it has been forgotten. */
static void take(const char *when, pthread_mutex_t *lock)
{
    struct timespec until;
    int result;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    result = pthread_mutex_timedlock(lock, &until);
    printf(" %s %s", when, result ? strerrorname_np(result) : "locked");
    if (result == EOWNERDEAD) {
        pthread_mutex_consistent(lock);
        pthread_mutex_unlock(lock);
        result = pthread_mutex_timedlock(lock, &until);
        printf(" then %s", result ? strerrorname_np(result) : "locked");
    }
    printf(",");
}

static pid_t holder(pthread_mutex_t *lock, int signal, int wait)
{
    volatile int *ready = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct rlimit none = { 0, 0 };

        setrlimit(RLIMIT_CORE, &none);
        pthread_mutex_lock(lock);
        *ready = 1;
        usleep(wait);
        if (signal == SIGSEGV) {
            *(volatile int *)16 = 1;
        } else if (signal) {
            kill(getpid(), signal);
        }
        _exit(0);
    }
    while (!*ready) {
        usleep(1000);
    }
    return pid;
}

static void robust_ends(void)
{
    pthread_mutex_t *lock = robust();

    waitpid(holder(lock, 0, 0), NULL, 0);
    take("exit", lock);
    lock = robust();
    waitpid(holder(lock, SIGSEGV, 0), NULL, 0);
    take("crash", lock);
    lock = robust();
    holder(lock, 0, 300000);
    take("meanwhile", lock);
    wait(NULL);
}

static void robust_killed(void)
{
    pthread_mutex_t *lock = robust();

    waitpid(holder(lock, SIGKILL, 0), NULL, 0);
    take("killed", lock);
}

static void *hold_both(void *locks)
{
    pthread_mutex_lock(((pthread_mutex_t **)locks)[0]);
    pthread_mutex_lock(((pthread_mutex_t **)locks)[1]);
    return NULL;
}

static void robust_thread(void)
{
    pthread_mutex_t *locks[] = { robust(), robust() };
    pthread_t thread;

    pthread_create(&thread, NULL, hold_both, locks);
    pthread_join(thread, NULL);
    take("first", locks[0]);
    take("second", locks[1]);
    pthread_mutex_unlock(locks[0]);
    take("again", locks[0]);
}
