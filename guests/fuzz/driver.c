/*
 * Runs a fuzz target where there is no libFuzzer: a main() for any C compiler.
 *
 *     TARGET [--seconds N] [--seed N] [--keep DIR] [FILE...]
 *
 * Changes inputs at random, keeps those that reach code which no other has reached,
 * and goes on from them. With files it runs these and ends. The target's sources
 * (not this one) are compiled with -fsanitize-coverage=trace-pc, which gcc has, too;
 * without that it still runs, blindly. The same seed gives the same inputs for as
 * long as time allows. An input that makes the target end is left in the current
 * folder, as "crash".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_SIZE 600                    /* some more than twice the line that the kernel reads */
#define MAX_KEPT 4096
#define MAP_SIZE (1 << 12)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_cov_trace_pc(void);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* ---- coverage: how often the run went from one place to another, roughly */

static uint8_t hits[MAP_SIZE], seen[MAP_SIZE];
static uintptr_t last_place;
static unsigned edges;

void __sanitizer_cov_trace_pc(void)
{
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    uint8_t *count;

    place = (place >> 4) ^ (place << 8);
    count = &hits[(place ^ last_place) % MAP_SIZE];
    *count += *count < 255;
    last_place = place >> 1;
}

/* 1, 2, 3, 4-7, 8-15, 16-31, 32-127, more: a bit each. */
static uint8_t bucket(uint8_t count)
{
    static const uint8_t limits[] = { 1, 2, 3, 7, 15, 31, 127, 255 };
    int i = 0;

    while (count > limits[i]) {
        i++;
    }
    return 1 << i;
}

static int is_new(void)
{
    int found = 0;

    for (int i = 0; i < MAP_SIZE; i++) {
        if (hits[i]) {
            uint8_t bit = bucket(hits[i]);

            edges += !seen[i];
            found |= !(seen[i] & bit);
            seen[i] |= bit;
            hits[i] = 0;
        }
    }
    return found;
}

/* ---- inputs */

static struct input { uint8_t *data; size_t size; } kept[MAX_KEPT];
static unsigned kept_count;
static uint8_t current[MAX_SIZE];
static size_t current_size;
static uint64_t state;
static int home;                        /* the folder that we began in */

static unsigned below(unsigned n)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % n;
}

static void keep(const char *folder)
{
    char name[4096];
    struct input *input = &kept[kept_count];
    FILE *file;

    if (kept_count == MAX_KEPT) {
        return;
    }
    input->data = malloc(current_size ? current_size : 1);
    input->size = current_size;
    memcpy(input->data, current, current_size);
    if (folder) {
        snprintf(name, sizeof(name), "%s/%04u", folder, kept_count);
        file = fopen(name, "w");
        if (!file || fwrite(current, 1, current_size, file) != current_size || fclose(file)) {
            perror(name);
            exit(2);
        }
    }
    kept_count++;
}

static uint8_t byte(void)
{
    static const uint8_t likely[] = "# !/\t \n\r\0-,=./i\xff";

    return below(3) ? likely[below(sizeof(likely) - 1)] : below(256);
}

static void insert(size_t at, size_t count, int value)
{
    if (count > MAX_SIZE - current_size) {
        count = MAX_SIZE - current_size;
    }
    memmove(current + at + count, current + at, current_size - at);
    for (size_t i = 0; i < count; i++) {
        current[at + i] = value < 0 ? byte() : value;
    }
    current_size += count;
}

static void cut(size_t at, size_t count)
{
    if (count > current_size - at) {
        count = current_size - at;
    }
    memmove(current + at, current + at + count, current_size - at - count);
    current_size -= count;
}

static void mix(const struct input *other)
{
    size_t at = below(current_size + 1), from = below(other->size + 1);
    size_t count = below(other->size - from + 1);

    if (count > MAX_SIZE - at) {
        count = MAX_SIZE - at;
    }
    memcpy(current + at, other->data + from, count);
    current_size = at + count > current_size ? at + count : current_size;
}

static void change(void)
{
    static const unsigned sizes[] = { 1, 1, 2, 4, 16, 100, 250, 256 };
    size_t at = below(current_size + 1);
    unsigned count = 1 + below(sizes[below(8)]);

    switch (below(7)) {
    case 0:
        insert(at, count, -1);
        break;
    case 1:
        insert(at, count, byte());
        break;
    case 2:
        cut(at, count);
        break;
    case 3:
        /* To a size that matters. */
        if (current_size < 254) {
            insert(current_size, 252 + below(8) - current_size, byte());
        } else {
            current_size = 252 + below(2);
        }
        break;
    case 4:
        mix(&kept[below(kept_count)]);
        break;
    default:
        if (at < current_size) {
            current[at] = below(2) ? byte() : current[at] + below(5) - 2;
        }
    }
}

static void next(void)
{
    const struct input *from = &kept[below(2) ? below(kept_count) : kept_count - 1 - below(kept_count / 4 + 1)];

    memcpy(current, from->data, from->size);
    current_size = from->size;
    for (unsigned n = 1 + below(5); n > 0; n--) {
        change();
    }
}

/* ---- the end */

static void save(void)
{
    int fd = openat(home, "crash", O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd >= 0 && write(fd, current, current_size) == (ssize_t)current_size) {
        close(fd);
    }
}

static void on_abort(int number)
{
    save();
    signal(number, SIG_DFL);
    raise(number);
}

static void run(void)
{
    /* In a place of its own size, so that a byte too far is noticed. */
    uint8_t *copy = malloc(current_size ? current_size : 1);

    memcpy(copy, current, current_size);
    last_place = 0;
    LLVMFuzzerTestOneInput(copy, current_size);
    free(copy);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static int replay(char **files)
{
    for (; *files; files++) {
        FILE *file = fopen(*files, "r");

        if (!file) {
            perror(*files);
            return 2;
        }
        current_size = fread(current, 1, MAX_SIZE, file);
        fclose(file);
        run();
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const char *seeds[] = { "", "#!/bin/sh\n", "#! \t/usr/bin/env\tsh -x \n", "\1\3a\0b\0c\0" };
    static const char *values[3] = { "20", "1", NULL };
    static const char *names[] = { "--seconds", "--seed", "--keep" };
    unsigned long runs = 0;
    double start, end;

    for (argv++, argc--; argc > 1 && !strncmp(*argv, "--", 2); argv += 2, argc -= 2) {
        int i = 0;

        while (i < 3 && strcmp(*argv, names[i])) {
            i++;
        }
        if (i == 3) {
            fprintf(stderr, "usage: TARGET [--seconds N] [--seed N] [--keep DIR] [FILE...]\n");
            return 2;
        }
        values[i] = argv[1];
    }
    home = open(".", O_PATH | O_CLOEXEC);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(save);
    }
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    if (argc > 0) {
        return replay(argv);
    }

    state = strtoull(values[1], NULL, 0);
    for (unsigned i = 0; i < sizeof(seeds) / sizeof(*seeds); i++) {
        current_size = i == 3 ? 8 : strlen(seeds[i]);
        memcpy(current, seeds[i], current_size);
        run();
        is_new();
        keep(values[2]);
    }
    start = now();
    end = start + strtod(values[0], NULL);
    while (runs % 256 || now() < end) {
        next();
        run();
        runs++;
        if (is_new()) {
            keep(values[2]);
        }
    }
    printf("%lu runs in %.0f s, %u edges, %u inputs kept\n", runs, now() - start, edges, kept_count);
    return edges > 0 ? 0 : 1;
}
