/*
 * Fuzzes the proof that a process with other privileges than its caller's was started
 * by an emulator (the patches' execve-proof.c).
 *
 * Whatever descriptor is handed over, in whatever combination of IDs: under AT_SECURE
 * only a file counts that nobody can make who has not got the same effective IDs. What
 * is right is said once more below, by what the harness has made and as whom. The IDs
 * are real ones, of this thread alone, so this must run as root. See ../README.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "execve-proof.h"
#include <elf.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#define NEEDED (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define SIZE 64                         /* of a proof */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Ids {
    unsigned uid, euid, gid, egid;
} Ids;

static const uint8_t *input, *input_end;
static bool at_secure;
/* Of the process that runs; the kernel says the same. */
static Ids now;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "proof: %s\n", what);
        /* Who keeps the input must be able to. */
        syscall(SYS_setresuid, 0, 0, 0);
        abort();
    }
}

unsigned long qemu_getauxval(unsigned long type)
{
    must(type == AT_SECURE, "asks for something else");
    return at_secure;
}

static unsigned number(unsigned below)
{
    return input < input_end ? *input++ % below : 0;
}

/* ---- IDs of this thread, for which the saved ones stay root's so that there is a way back */

static void become(const Ids *ids)
{
    /* Only this way round the capabilities that go with it come back. */
    setfsuid(0);
    must(syscall(SYS_setresuid, 0, 0, 0) == 0, "no way back to root");
    must(syscall(SYS_setresgid, ids->gid, ids->egid, 0) == 0, "cannot change group");
    must(syscall(SYS_setresuid, ids->uid, ids->euid, 0) == 0, "cannot change user");
    now = *ids;
}

static void become_root(void)
{
    become(&(Ids) { 0, 0, 0, 0 });
}

static unsigned any_id(void)
{
    static const unsigned likely[] = { 0, 1000, 1001, 65534 };

    return likely[number(ARRAY_SIZE(likely))];
}

static Ids any_ids(void)
{
    Ids ids = { .uid = any_id(), .euid = any_id(), .gid = any_id(), .egid = any_id() };

    return ids;
}

static bool differ(const Ids *ids)
{
    return ids->uid != ids->euid || ids->gid != ids->egid;
}

/* ---- what can be handed over */

typedef struct Proof {
    int fd;
    /* A file that cannot change any more, of that owner, with the text for this process? */
    bool is_good;
    unsigned uid, gid;
} Proof;

/* What a proof says, spelled once more. */
static void write_text(char text[SIZE], int pid)
{
    char line[SIZE];

    memset(text, 0, SIZE);
    must(sprintf(line, "qemu execve child of %d", pid) < SIZE, "no room");
    memcpy(text, line, strlen(line));
}

/* As another number of the same file, opened so. -1 without /proc, or if it may not be. */
static int reopen(int fd, int flags)
{
    char name[40];

    sprintf(name, "/proc/self/fd/%d", fd);
    return open(name, flags | O_CLOEXEC);
}

/* A file in memory, which may be all that a proof has to be, or all but one thing. */
static Proof make_memory_file(void)
{
    static const int seals[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE,
                                 F_SEAL_FUTURE_WRITE, F_SEAL_EXEC };
    Ids maker = now, before = now;
    Proof proof = { .uid = setfsuid(-1), .gid = setfsgid(-1) };
    char text[2 * SIZE] = "";
    unsigned size = number(3) ? SIZE : number(sizeof(text)), way;
    int sealed, set, pid = number(4) ? getpid() : (int[]) { getppid(), 1, 0, -1, getpid() * 10 }[number(5)];
    bool text_is_right = pid == getpid();

    if (number(3) == 0) {
        maker = any_ids();
        become(&maker);
        proof.uid = maker.euid;
        proof.gid = maker.egid;
    }
    write_text(text, pid);
    if (number(4) == 0) {
        unsigned at = number(SIZE);
        char byte = number(256);

        text_is_right &= text[at] == byte;
        text[at] = byte;
    }
    proof.fd = memfd_create("proof", MFD_CLOEXEC | (number(8) ? MFD_ALLOW_SEALING : 0));
    must(proof.fd >= 0, "no file in memory");
    must(write(proof.fd, text, size) == (ssize_t)size, "cannot write");
    become_root();
    if (number(4) == 0) {
        proof.uid = any_id();
        proof.gid = any_id();
        must(fchown(proof.fd, proof.uid, proof.gid) == 0, "cannot give away");
    }
    set = number(2) ? 0x3f : number(64);
    for (unsigned i = 0; i < ARRAY_SIZE(seals); i++) {
        /* The one that forbids others comes last. */
        unsigned n = ARRAY_SIZE(seals) - 1 - i;

        if (set & 1 << n) {
            fcntl(proof.fd, F_ADD_SEALS, seals[n]);
        }
    }
    /* F_SEAL_EXEC brings others with it. */
    sealed = fcntl(proof.fd, F_GET_SEALS);
    way = number(12);
    if (way < 3) {
        /* Which cannot be read, or is no open file at all */
        int fd = reopen(proof.fd, (int[]) { O_RDONLY, O_WRONLY, O_PATH }[way]);

        if (fd >= 0) {
            close(proof.fd);
            proof.fd = fd;
            text_is_right &= way == 0;
        }
    }
    proof.is_good = text_is_right && size == SIZE && (sealed & NEEDED) == NEEDED;
    become(&before);
    return proof;
}

/* Files of which nobody can say that they will stay as they are. */
static Proof make_other(void)
{
    char text[SIZE];
    Proof proof = { .fd = -1 };
    int fds[2];
    Ids before = now;

    write_text(text, getpid());
    become_root();
    switch (number(5)) {
    case 0:
        proof.fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        break;
    case 1:
        must(pipe2(fds, O_CLOEXEC) == 0, "no pipe");
        must(write(fds[1], text, SIZE) == SIZE, "cannot write to a pipe");
        close(fds[1]);
        proof.fd = fds[0];
        break;
    case 2:
    case 3:
        /* Of the right owner, with the right text, but on a disk, or in a tmpfs */
        proof.fd = open(number(2) ? "/dev/shm" : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (proof.fd >= 0) {
            must(write(proof.fd, text, SIZE) == SIZE, "cannot write to a file");
            must(fchown(proof.fd, before.euid, before.egid) == 0, "cannot give a file away");
            fcntl(proof.fd, F_ADD_SEALS, NEEDED);
        }
        break;
    default:
        proof.fd = open("/", O_PATH | O_CLOEXEC);
    }
    become(&before);
    return proof;
}

/* Made by what is tested: it must be made if it is needed, and be what it should be. */
static Proof make_right(void)
{
    Proof proof = { .uid = now.euid, .gid = now.egid };
    struct stat st;

    must(execve_proof_open(&proof.fd) && (proof.fd < 0 || execve_proof_fill(proof.fd)),
         "no proof can be made");
    must((proof.fd >= 0) == differ(&now), proof.fd < 0 ? "no proof is made" : "a proof without need");
    if (proof.fd >= 0) {
        must(fcntl(proof.fd, F_GETFD) == FD_CLOEXEC, "the proof is inherited by whoever is executed");
        must((fcntl(proof.fd, F_GET_SEALS) & NEEDED) == NEEDED, "it can be changed");
        must(fstat(proof.fd, &st) == 0 && st.st_uid == now.euid && st.st_gid == now.egid, "another owner");
        must(pwrite(proof.fd, "x", 1, 0) < 0 && ftruncate(proof.fd, 0) < 0 && ftruncate(proof.fd, SIZE + 1) < 0,
             "it can be written to");
        must(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, proof.fd, 0) == MAP_FAILED, "or mapped");
        proof.is_good = true;
    }
    return proof;
}

static Proof make_any(void)
{
    Proof none = { .fd = -1 };

    switch (number(8)) {
    case 0:
        none.fd = (int[]) { -1, -2, INT_MAX, INT_MIN, 1000000 }[number(5)];
        return none;
    case 1:
        return make_other();
    case 2:
    case 3:
    case 4:
        return make_right();
    default:
        return make_memory_file();
    }
}

/* ---- questions */

static void ask(const Proof *proof, const char *wrong)
{
    bool equal = now.uid == now.euid && now.gid == now.egid;
    bool want = !at_secure ||
                (!equal && proof->is_good && proof->uid == now.euid && proof->gid == now.egid);
    bool is_open = fcntl(proof->fd, F_GETFD) >= 0;

    must(execve_is_secure() == at_secure, "AT_SECURE is not what the kernel says");
    must(execve_proof_holds(proof->fd) == want, wrong);
    must((fcntl(proof->fd, F_GETFD) >= 0) == is_open, "the proof is opened or closed");
}

/* Another process, with the same IDs or with others. */
static void ask_a_child(const Proof *proof)
{
    bool becomes_other = number(2);
    Ids other = any_ids();
    int status;
    pid_t pid = fork();

    must(pid >= 0, "no process");
    if (pid == 0) {
        Proof of_parent = *proof;

        of_parent.is_good = false;
        if (becomes_other) {
            become(&other);
        }
        ask(&of_parent, "a child takes its parent's proof for its own");
        _exit(0);
    }
    /* libFuzzer has a clock that interrupts. */
    must(TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) == pid && status == 0, "a child does not do as it should");
}

static void check_fs_ids(unsigned fsuid, unsigned fsgid)
{
    must((unsigned)setfsuid(-1) == fsuid && (unsigned)setfsgid(-1) == fsgid, "files belong to others afterwards");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned fsuid, fsgid;
    Ids ids, other;
    Proof proof;
    int lowest, next;

    input = data;
    input_end = data + size;
    if (geteuid()) {
        fprintf(stderr, "proof: must run as root\n");
        exit(2);
    }
    lowest = dup(2);
    close(lowest);

    at_secure = number(4);
    ids = any_ids();
    if (number(4) == 0) {
        /* As for capabilities: what the kernel says has another reason. */
        ids.euid = ids.uid;
        ids.egid = ids.gid;
    }
    become(&ids);
    fsuid = ids.euid;
    fsgid = ids.egid;
    if (ids.euid == 0 && number(2)) {
        /* The guest may have set these, which a proof must neither obey nor change. */
        fsuid = any_id();
        fsgid = any_id();
        setfsgid(fsgid);
        setfsuid(fsuid);
    }
    check_fs_ids(fsuid, fsgid);
    if (number(2)) {
        proof = make_right();
        check_fs_ids(fsuid, fsgid);
    } else {
        proof = make_any();
    }
    ask(&proof, "not what should be");
    ask(&proof, "asked twice, it says something else");
    if (number(32) == 31) {
        ask_a_child(&proof);
    }
    other = any_ids();
    if (number(2)) {
        other.euid = ids.euid;
        other.egid = ids.egid;
    }
    become(&other);
    ask(&proof, "not what should be after a change of IDs");
    at_secure = !at_secure;
    ask(&proof, "not what should be with another AT_SECURE");

    become_root();
    if (proof.fd >= 0 && fcntl(proof.fd, F_GETFD) >= 0) {
        close(proof.fd);
    }
    next = dup(2);
    must(next == lowest, "a descriptor is left open");
    close(next);
    return 0;
}
