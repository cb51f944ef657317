/*
 * Part of linux.c: what /proc says of this process.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

static char stat_text[4096];

/* The fields after the name, from the third on; see proc_pid_stat(5). */
static int read_stat(char *fields[], int max)
{
    int fd = open("/proc/self/stat", O_RDONLY), count = 0;
    ssize_t length = fd < 0 ? -1 : read(fd, stat_text, sizeof(stat_text) - 1);
    char *next;

    if (length < 0) {
        fail("/proc/self/stat");
    }
    stat_text[length] = 0;
    close(fd);
    next = strrchr(stat_text, ')') + 1;
    while ((next = strtok(next, " \n")) && count < max) {
        fields[count++] = next;
        next = NULL;
    }
    return count;
}

static void stat_fields(void)
{
    char *fields[80], name[32];
    int count = read_stat(fields, 80);

    snprintf(name, sizeof(name), "(%.15s)", program_invocation_short_name);
    printf("%d fields, %d pid, %d name,", count + 2, atoi(stat_text) == getpid(),
           !strncmp(strchr(stat_text, '('), name, strlen(name)));
    printf(" state %s, %d parent,", fields[0], atoi(fields[1]) == getppid());
    printf(" %d group, %d session, %s threads", atoi(fields[2]) == getpgrp(),
           atoi(fields[3]) == getsid(0), fields[17]);
}

/* Sizes and places: the same relations everywhere. */
static void stat_sizes(void)
{
    char *fields[80];
    int count = read_stat(fields, 80), here;
    unsigned long size, pages, code, end, stack, break_, arguments, environment, last;

    if (count < 50) {
        printf("too few");
        return;
    }
    size = strtoul(fields[20], NULL, 10);
    pages = strtoul(fields[21], NULL, 10);
    code = strtoul(fields[23], NULL, 10);
    end = strtoul(fields[24], NULL, 10);
    stack = strtoul(fields[25], NULL, 10);
    break_ = strtoul(fields[44], NULL, 10);
    arguments = strtoul(fields[45], NULL, 10);
    environment = strtoul(fields[47], NULL, 10);
    last = strtoul(fields[48], NULL, 10);
    printf("size %d, resident %d,", size > 100000, pages > 10);
    printf(" code %d, stack %d,", code <= (uintptr_t)read_stat && (uintptr_t)read_stat < end,
           stack >= (uintptr_t)&here);
    printf(" heap %d, arguments %d,", break_ <= (uintptr_t)sbrk(0),
           arguments == (uintptr_t)program_invocation_name);
    printf(" environment %d %d", environment > arguments, last >= environment);
}
