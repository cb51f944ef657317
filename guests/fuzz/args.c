/*
 * Fuzzes the hand-over from an emulator to the one that it starts for a child (the
 * patches' execve-args.c): what was put on the command line must be read back as
 * it was, whatever strings a guest or a user may think of.
 *
 * The input is read as a list of choices and strings. See ../README.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include "qemu/osdep.h"
#include "execve-args.h"
#include <fcntl.h>
#include <unistd.h>

#define MAX_STRINGS 24
#define MAX_SCRIPTS 5                   /* as many as the kernel follows */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "args: %s\n", what);
        abort();
    }
}

/* ---- what the input says */

static const uint8_t *input, *input_end;
static int home = -1;                   /* where we began */

static unsigned number(unsigned below)
{
    return input < input_end ? *input++ % below : 0;
}

static int wide_number(void)
{
    uint32_t n = 0;

    for (int i = 0; i < 4; i++) {
        n = n << 8 | number(256);
    }
    return n;
}

/* Up to the next zero byte; a new string of its very size, so that a byte too far is noticed. */
static char *string(void)
{
    size_t len = strnlen((const char *)input, input_end - input);
    char *copy = g_strndup((const char *)input, len);

    input += len + (input + len < input_end);
    return copy;
}

/* ---- the options, as QEMU's main.c has them */

static const struct {
    const char *name;
    ExecveArg type;
} options[] = {
    { "cpu", EXECVE_ARG_STRING },
    { "strace", EXECVE_ARG_NONE },
    { "L", EXECVE_ARG_PATH },
    { "D", EXECVE_ARG_PATH },
    { "plugin", EXECVE_ARG_PLUGIN },
    { "d", EXECVE_ARG_STRING },
    { "one-insn-per-tb", EXECVE_ARG_NONE },
};

static int find_option(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        if (!strcmp(options[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static char *expect_absolute(const char *path)
{
    char cwd[4096];

    must(getcwd(cwd, sizeof(cwd)), "no working directory");
    return *path && *path != '/' ? g_strconcat(cwd, "/", path, NULL) : g_strdup(path);
}

/* What must reach the child of an option's argument. */
static char *expect_argument(const char *arg, ExecveArg type)
{
    char *path, *comma, *absolute, *whole;

    if (type == EXECVE_ARG_PATH) {
        return expect_absolute(arg);
    }
    if (type != EXECVE_ARG_PLUGIN) {
        return g_strdup(arg);
    }
    /* Only the file's name, and only if it is no mere name. */
    path = g_strdup(strncmp(arg, "file=", 5) ? arg : arg + 5);
    comma = strchr(path, ',');
    if (comma) {
        *comma = '\0';
    }
    if (!strchr(path, '/')) {
        g_free(path);
        return g_strdup(arg);
    }
    absolute = expect_absolute(path);
    whole = g_strconcat(strncmp(arg, "file=", 5) ? "" : "file=", absolute,
                        comma ? "," : NULL, comma ? comma + 1 : NULL, NULL);
    g_free(absolute);
    g_free(path);
    return whole;
}

/*
 * Reads options as main.c does and adds them as it does, for the child's children.
 * Returns the number of the first argument that is none.
 */
static int read_options(int argc, char **argv, int i, GPtrArray *again)
{
    while (i < argc && argv[i][0] == '-') {
        const char *name = argv[i++] + 1;
        int option;

        if (!strcmp(name, "-")) {
            break;
        }
        option = find_option(*name == '-' ? name + 1 : name);
        must(option >= 0, "the child sees an unknown option");
        if (options[option].type == EXECVE_ARG_NONE) {
            execve_args_add_option(again, options[option].name, NULL, EXECVE_ARG_NONE);
        } else {
            must(i < argc, "the child misses an option's argument");
            execve_args_add_option(again, options[option].name, argv[i++], options[option].type);
        }
    }
    return i;
}

/* ---- the whole way */

static void same_strings(const GPtrArray *want, char **got, const char *what)
{
    unsigned n = 0;

    while (n < want->len && got[n]) {
        must(!strcmp(g_ptr_array_index(want, n), got[n]), what);
        n++;
    }
    must(n == want->len && !got[n], what);
}

static int length(char **strings)
{
    int n = 0;

    while (strings[n]) {
        n++;
    }
    return n;
}

/* Options at random; @want gets what must be on the command line. */
static void make_options(GPtrArray *made, GPtrArray *want)
{
    for (unsigned n = number(8); n > 0; n--) {
        unsigned option = number(G_N_ELEMENTS(options));
        bool has_arg = options[option].type != EXECVE_ARG_NONE;
        char *arg = has_arg ? string() : NULL;

        execve_args_add_option(made, options[option].name, arg, options[option].type);
        g_ptr_array_add(want, g_strconcat("-", options[option].name, NULL));
        if (has_arg) {
            g_ptr_array_add(want, expect_argument(arg, options[option].type));
        }
        g_free(arg);
    }
}

/*
 * Scripts at random. @want, the program's argv, is changed as the kernel does it:
 * argv[0] goes, then the script's name, the argument and the interpreter are pushed.
 */
static void make_scripts(const char *filename, GPtrArray *made, GPtrArray *want)
{
    char *name = g_strdup(filename);

    for (unsigned n = number(MAX_SCRIPTS + 1); n > 0; n--) {
        char *interp = string(), *arg = number(2) ? string() : NULL;

        execve_args_add_script(made, filename, interp, arg);
        g_ptr_array_remove_index(want, 0);
        g_ptr_array_insert(want, 0, name);
        if (arg) {
            g_ptr_array_insert(want, 0, arg);
        }
        g_ptr_array_insert(want, 0, g_strdup(interp));
        name = interp;
    }
    g_free(name);
}

/* The vector that a guest gives, and what the kernel makes of it: never without argv[0]. */
static GPtrArray *make_argv(GPtrArray *want)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

    for (unsigned n = number(MAX_STRINGS); n > 0; n--) {
        g_ptr_array_add(argv, string());
        g_ptr_array_add(want, g_strdup(g_ptr_array_index(argv, argv->len - 1)));
    }
    g_ptr_array_add(argv, NULL);
    if (!want->len) {
        g_ptr_array_add(want, g_strdup(""));
    }
    return argv;
}

/* What is read of a command line, and what the reader would tell children of its own. */
static char **read_back(GPtrArray *line, ExecveHandover *seen, GPtrArray *again)
{
    int argc = line->len - 1, first = execve_args_parse(argc, (char **)line->pdata, seen);
    char **argv;

    must(first == EXECVE_CHILD_PLAIN_ARGS, "the child does not know itself");
    first = read_options(argc, (char **)line->pdata, first, again);
    must(first < argc && !strcmp(line->pdata[first - 1], "--"), "the options do not end where they should");
    argv = execve_args_parse_program((char **)line->pdata + first, seen);
    must(argv, "the child finds no program");
    return argv;
}

static void same_handover(const ExecveHandover *a, const ExecveHandover *b)
{
    must(a->emulator == b->emulator && a->program == b->program && a->log == b->log && a->proof == b->proof &&
         a->shared == b->shared && a->base == b->base, "other descriptors");
    must(a->ignored == b->ignored && a->blocked == b->blocked, "other signals");
    must(!strcmp(a->filename, b->filename) && !strcmp(a->comm, b->comm) && !strcmp(a->path, b->path),
         "other names");
}

/* As an emulator has them: all differ, and the last four may be missing. */
static void make_descriptors(ExecveHandover *given)
{
    int *fds[] = { &given->emulator, &given->program, &given->log, &given->proof, &given->shared, &given->base };

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        bool again = true;

        *fds[i] = i >= 2 && number(3) == 0 ? -1 : number(2) ? (int)number(256) : wide_number() & INT32_MAX;
        while (again && *fds[i] >= 0) {
            again = false;
            for (unsigned j = 0; j < i; j++) {
                again |= *fds[j] == *fds[i];
            }
            if (again) {
                *fds[i] = *fds[i] < INT32_MAX ? *fds[i] + 1 : 0;
            }
        }
    }
}

static void round_trip(void)
{
    GPtrArray *made = g_ptr_array_new_with_free_func(g_free);
    GPtrArray *want_options = g_ptr_array_new_with_free_func(g_free);
    GPtrArray *scripts = g_ptr_array_new_with_free_func(g_free);
    GPtrArray *want_argv = g_ptr_array_new_with_free_func(g_free);
    GPtrArray *again = g_ptr_array_new_with_free_func(g_free), *none = g_ptr_array_new();
    char *filename = string(), *comm = string(), *path = string();
    char *state = g_malloc(EXECVE_STATE_SIZE), *state2 = g_malloc(EXECVE_STATE_SIZE);
    ExecveHandover seen = { 0 }, given = {
        .ignored = wide_number(), .blocked = wide_number(), .filename = filename, .comm = comm, .path = path,
    };
    GPtrArray *argv, *line, *line2;
    char **program;

    make_descriptors(&given);
    make_options(made, want_options);
    argv = make_argv(want_argv);
    make_scripts(filename, scripts, want_argv);

    line = execve_args_build("qemu", &given, state, made->len || number(2) ? made : NULL, scripts,
                             (char **)argv->pdata);
    must(line->len && !line->pdata[line->len - 1], "no NULL at the end");
    must(length((char **)line->pdata) == (int)line->len - 1, "a NULL within");
    program = read_back(line, &seen, again);
    same_handover(&given, &seen);
    same_strings(want_argv, program, "another argv");
    g_ptr_array_add(again, NULL);
    same_strings(want_options, (char **)again->pdata, "other options");
    g_ptr_array_remove_index(again, again->len - 1);

    /* A child that has gone elsewhere tells its own child the same. */
    must(chdir("/usr") == 0, "no /usr");
    line2 = execve_args_build("qemu", &seen, state2, again, none, program);
    g_ptr_array_set_size(made, 0);
    same_strings(want_argv, read_back(line2, &seen, made), "another argv in a child's child");
    same_handover(&given, &seen);
    g_ptr_array_add(made, NULL);
    same_strings(want_options, (char **)made->pdata, "other options in a child's child");
    must(fchdir(home) == 0, "no way back");

    g_ptr_array_unref(line);
    g_ptr_array_unref(line2);
    g_ptr_array_unref(argv);
    g_ptr_array_unref(made);
    g_ptr_array_unref(want_options);
    g_ptr_array_unref(scripts);
    g_ptr_array_unref(want_argv);
    g_ptr_array_unref(again);
    g_ptr_array_unref(none);
    g_free(state);
    g_free(state2);
    g_free(filename);
    g_free(comm);
    g_free(path);
}

/* A number as it should be, or as somebody could write it who wants it to be taken for another. */
static char *descriptor(void)
{
    switch (number(8)) {
    case 0:
        return g_strdup_printf("%d", wide_number());
    case 1:
        return g_strdup("-1");
    case 2:
        return g_strdup_printf("%s%u", (const char *[]) { " ", "+", "0", "-", "\t", "0x" }[number(6)], number(6));
    case 3:
        /* Too large for an int, or for any number */
        return g_strdup_printf("%u%09u", 1 + number(256), (unsigned)wide_number() % 1000000000);
    case 4:
        return g_strdup_printf("%" G_GINT64_FORMAT, ((gint64)1 << 32) + number(8));
    default:
        return g_strdup_printf("%u", number(8));
    }
}

static char *signals(void)
{
    static const char *before[] = { "", "", "", "0x", "-", "+", " ", "1", "f00000000" };

    return g_strdup_printf("%s%x", before[number(G_N_ELEMENTS(before))], number(2) ? wide_number() : 0);
}

/* Eight numbers as the option wants them, or nearly so. */
static char *numbers(void)
{
    char *fds[6], *masks[2], *text, *rest;

    for (int i = 0; i < 6; i++) {
        fds[i] = descriptor();
    }
    masks[0] = signals();
    masks[1] = signals();
    rest = number(2) ? string() : g_strdup("");
    text = g_strdup_printf("%s,%s,%s,%s,%s,%s,%s,%s%s", fds[0], fds[1], fds[2], fds[3], fds[4], fds[5], masks[0],
                           masks[1], rest);
    for (int i = 0; i < 6; i++) {
        g_free(fds[i]);
    }
    g_free(masks[0]);
    g_free(masks[1]);
    g_free(rest);
    return text;
}

/* Only what a parent can have: open numbers, all different, of which four may be missing. */
static bool can_be(const ExecveHandover *h)
{
    const int fds[] = { h->emulator, h->program, h->log, h->proof, h->shared, h->base };

    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] < (i < 2 ? 0 : -1)) {
            return false;
        }
        for (unsigned j = i + 1; j < G_N_ELEMENTS(fds); j++) {
            if (fds[i] != -1 && fds[i] == fds[j]) {
                return false;
            }
        }
    }
    return true;
}

/* Digits as printf() writes them, up to a comma or to the end; another reading than the parser's. */
static bool is_plain(const char **text, int base, gint64 least, gint64 most)
{
    gint64 value = 0, sign = base == 10 && **text == '-' ? -1 : 1;
    const char *p = *text + (sign < 0), *first = p;

    while (g_ascii_isxdigit(*p) && !g_ascii_isupper(*p) && g_ascii_xdigit_value(*p) < base && p - first < 11) {
        value = value * base + g_ascii_xdigit_value(*p++);
    }
    if (p == first || (*first == '0' && p != first + 1) || (sign < 0 && value == 0) ||
        value * sign < least || value * sign > most) {
        return false;
    }
    *text = p;
    return true;
}

/* Is this text something that an emulator writes, if it has such descriptors? */
static bool is_written_so(const char *text)
{
    for (int i = 0; i < 8; i++) {
        if (!is_plain(&text, i < 6 ? 10 : 16, i >= 2 && i < 6 ? -1 : 0, i < 6 ? INT32_MAX : UINT32_MAX) ||
            *text != (i < 7 ? ',' : '\0')) {
            return false;
        }
        text++;
    }
    return true;
}

/*
 * Anybody may type the internal option: of all the texts that may follow it, those
 * are taken that an emulator can have written, and no other.
 */
static void typed_by_hand(void)
{
    GPtrArray *line = g_ptr_array_new_with_free_func(g_free), *none = g_ptr_array_new();
    char *empty[] = { NULL }, state[EXECVE_STATE_SIZE], **argv;
    ExecveHandover seen = { .filename = "", .comm = "", .path = "" }, again;
    GPtrArray *rebuilt;
    int argc, taken;

    g_ptr_array_add(line, g_strdup("qemu"));
    g_ptr_array_add(line, number(8) ? g_strdup(EXECVE_CHILD_OPTION) : string());
    for (unsigned n = number(8); n > 0; n--) {
        g_ptr_array_add(line, line->len == 2 && number(2) ? numbers() : string());
    }
    argc = line->len;
    g_ptr_array_add(line, NULL);
    /* Of its very size. */
    argv = g_malloc(line->len * sizeof(*argv));
    memcpy(argv, line->pdata, line->len * sizeof(*argv));

    taken = execve_args_parse(argc, argv, &seen);
    must(taken <= 0 || taken == EXECVE_CHILD_PLAIN_ARGS, "another number of arguments");
    if (taken < 0 && is_written_so(argv[2])) {
        must(!can_be(&seen), "what an emulator writes is refused");
    }
    if (taken > 0) {
        must(!strcmp(argv[1], EXECVE_CHILD_OPTION), "another option is taken for ours");
        must(can_be(&seen), "descriptors that can't be");
        must(is_written_so(argv[2]), "a text that no emulator writes");
        rebuilt = execve_args_build("qemu", &seen, state, NULL, none, empty);
        must(execve_args_parse(rebuilt->len - 1, (char **)rebuilt->pdata, &again) == taken &&
             again.emulator == seen.emulator && again.program == seen.program && again.log == seen.log &&
             again.proof == seen.proof && again.shared == seen.shared && again.base == seen.base &&
             again.ignored == seen.ignored && again.blocked == seen.blocked,
             "numbers change on the way");
        must(!strcmp(state, argv[2]), "another text for the same numbers");
        g_ptr_array_unref(rebuilt);
        must(!execve_args_parse_program(argv + taken, &seen) == (argc < taken + EXECVE_CHILD_STRINGS),
             "a program out of nothing, or none");
    }
    g_free(argv);
    g_ptr_array_unref(line);
    g_ptr_array_unref(none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (home < 0) {
        home = open(".", O_PATH | O_CLOEXEC);
        /* GLib looks there first. */
        unsetenv("PWD");
    }
    input = data;
    input_end = data + size;
    if (number(4)) {
        round_trip();
    } else {
        typed_by_hand();
    }
    return 0;
}
