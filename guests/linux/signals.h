/*
 * Part of linux.c: signals.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static volatile sig_atomic_t arrived, value;

static void on_realtime(int number, siginfo_t *info, void *context)
{
    (void)context;
    arrived = number;
    value = info->si_value.sival_int;
}

/* Each of those that the C library leaves to programs is sent and arrives. */
static void realtime_signals(void)
{
    struct sigaction action = { .sa_sigaction = on_realtime, .sa_flags = SA_SIGINFO };
    int lost = 0, refused = 0;

    for (int number = SIGRTMIN; number <= SIGRTMAX; number++) {
        union sigval sent = { .sival_int = number * 3 };

        if (sigaction(number, &action, NULL) < 0 || sigqueue(getpid(), number, sent) < 0) {
            refused++;
            continue;
        }
        lost += arrived != number || value != number * 3;
    }
    printf("%d, %d refused, %d lost", SIGRTMAX - SIGRTMIN + 1, refused, lost);
}

/* How a child ends that reads where there is nothing. */
static void crash(bool is_blocked)
{
    sigset_t all;
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct rlimit none = { 0, 0 };

        setrlimit(RLIMIT_CORE, &none);
        sigfillset(&all);
        if (is_blocked) {
            sigprocmask(SIG_BLOCK, &all, NULL);
        } else {
            signal(SIGSEGV, SIG_IGN);
        }
        alarm(10);
        *(volatile int *)16 = 1;
        _exit(0);
    }
    for (int tenths = 0; pid > 0 && waitpid(pid, &status, WNOHANG) == 0; tenths++) {
        if (tenths == 50) {
            kill(pid, SIGKILL);
        }
        usleep(100000);
    }
    if (WIFSIGNALED(status)) {
        printf("%s", sigabbrev_np(WTERMSIG(status)));
    } else {
        printf("exit %d", WEXITSTATUS(status));
    }
}

static void crash_blocked(void)
{
    crash(true);
}

static void crash_ignored(void)
{
    crash(false);
}
